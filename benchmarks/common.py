"""What the benchmarks share: data, and a guard against timing the compiler."""

import numpy as np

from fastfnn.kernels import jit

DTYPES = ["float32", "float64"]


def normal(*shape, dtype="float32", seed=0):
    """Standard normal numbers, the same in every run."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class Compiled:
    """A benchmark whose `setup` calls the kernel once; it fails if anything is compiled after that."""

    # asv calls setup once, then takes all samples of one process: the first of them must not include the compiler.
    rounds = 2
    warmup_time = 0.1

    def compiled(self, call):
        """Run `call` once, so that all it needs is compiled, and count compilations from now on."""
        call()
        self.compilations = []
        jit.compile_listeners.append(self.compilations.append)

    def teardown(self, *_params):
        if self.compilations:
            raise RuntimeError(f"compiled inside the timed part: {', '.join(self.compilations)}")
