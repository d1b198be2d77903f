"""The asv suite: speed, size and accuracy of the kernels, the networks and the package.

    common.py          random data, and the guard against timing the compiler
    measure.py         ratios, memory bandwidth and the processor's peak, which are tracked beside the times
    arguments.py       the arguments of every kernel, by name
    cases.py           the networks of the speed table
    bench_*.py         the benchmarks

asv and tools/regress.py run the suite with old versions of fastfnn too. So it uses the public API, the public names of
fastfnn.kernels and fastfnn.backend only, and raises NotImplementedError in `setup` where a version lacks something.

tools/regress.py times the combinations of parameters that a class lists in `regress`. With them, a call of its time_*
methods must take between 20 us and 10 ms.
"""
