"""The asv suite: how fast, how large and how exact the kernels, the networks and the package are.

    common.py          data, and the guard against timing the compiler
    measure.py         ratios, bandwidth and the processor's peak, for what is tracked beside the times
    arguments.py       the arguments of every kernel, by name
    cases.py           the networks of the speed table
    bench_*.py         the benchmarks
    check.py           runs each of them once, and says whether all could be run

A class may list in `regress` the combinations of parameters that the regression check times: its time_* methods take
20 us to 10 ms a call with them.
"""
