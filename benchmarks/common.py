"""What the benchmarks share: random data, and a guard against timing the compiler."""

import functools
import math
import os
import random

import numpy as np
from numba.core import event
from numba.core.registry import cpu_target

# Numba would do this when it first compiles or loads a function. asv imports this module once, in a process that it
# forks for each combination of parameters, so that each fork saves half a second. This starts no threads.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()

SMALL = os.environ.get("FASTFNN_BENCH_SMALL") == "1"  # only the first combination of each benchmark, for tools/check.py
DTYPES = ["float32", "float64"]
MOST_DRAWN = 1 << 20


def normal(*shape, dtype="float32", seed=0):
    """Standard normal numbers, the same in every run. Beyond the first million they repeat: drawing takes long."""
    drawn = np.random.default_rng(seed).standard_normal(min(math.prod(shape), MOST_DRAWN))
    return np.resize(drawn.astype(dtype), shape)


def scattered(array):
    """A copy that begins at a random cache line of a page, another one each time.

    Large kernels take up to a fifth longer if loads and stores agree in the last 12 bits of their addresses. Where
    arrays lie by themselves depends on all that a process has allocated before, and so on the version that is measured.
    """
    page, line = 4096, 64
    memory = np.empty(array.nbytes + 2 * page, np.uint8)
    start = -memory.ctypes.data % page + line * random.randrange(page // line)
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class Guard(event.Listener):
    """Counts how often Numba compiles a function or loads one from its cache on disk, until `stop` is called."""

    # Numba takes this lock for both and for nothing else.
    KIND = "numba:compiler_lock"

    def __init__(self):
        self.count = 0
        event.register(self.KIND, self)

    def on_start(self, _event):
        self.count += 1

    def on_end(self, _event):
        pass

    def stop(self):
        event.unregister(self.KIND, self)
        return self.count


def _guarded(setup):
    """A `setup` that works only once for the same parameters, and then starts the guard."""

    # asv calls setup before every sample and teardown after it.
    @functools.wraps(setup)
    def once(self, *params):
        if self.prepared != params:
            setup(self, *params)
            self.prepared = params
        self.guard = Guard()

    return once


class Compiled:
    """Base of benchmarks whose `setup` calls what is measured. They fail if Numba compiles or loads code after that.

    `setup` raises NotImplementedError if the version of fastfnn lacks what is measured: asv then skips the benchmark.
    It must not call `setup` of a base class.
    """

    # A sample is one call. The time limit in `repeat` includes teardown and setup.
    rounds = 3
    warmup_time = 0.05
    repeat = (5, 200, 0.8)

    prepared = None
    guard = None

    def __init_subclass__(cls):
        if "setup" in vars(cls):
            cls.setup = _guarded(cls.setup)
        if SMALL and "params" in vars(cls):
            cls.params = [values[:1] for values in cls.params]

    def teardown(self, *_params):
        guard, self.guard = self.guard, None
        if guard and guard.stop():  # None if setup has raised
            raise RuntimeError("Numba compiled something, or loaded it from disk, inside the timed part")
