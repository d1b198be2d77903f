"""What the benchmarks share: data, and a guard against timing the compiler."""

import functools
import math
import os

import numpy as np
from numba.core import event
from numba.core.registry import cpu_target

# What Numba otherwise does when it first compiles or loads a function. asv imports this once, in a process from which
# it forks another for each combination of parameters: each takes half a second less. This starts no threads.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()

SMALL = os.environ.get("FASTFNN_BENCH_SMALL") == "1"  # the first combination of each benchmark only: see check.py
DTYPES = ["float32", "float64"]
MOST_DRAWN = 1 << 20


def normal(*shape, dtype="float32", seed=0):
    """Standard normal numbers, the same in every run; from a million on they repeat, for drawing them takes long."""
    drawn = np.random.default_rng(seed).standard_normal(min(math.prod(shape), MOST_DRAWN))
    return np.resize(drawn.astype(dtype), shape)


class Guard(event.Listener):
    """Counts how often Numba compiles a function, or loads one from its cache on disk, until it is stopped."""

    # Numba takes this lock for both, and for nothing else.
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
    """`setup` that does its work once for the same parameters, and then starts the guard."""

    # asv calls setup before every sample, with teardown between two of them.
    @functools.wraps(setup)
    def once(self, *params):
        if self.prepared != params:
            setup(self, *params)
            self.prepared = params
        self.guard = Guard()

    return once


class Compiled:
    """A benchmark whose `setup` calls what is measured; it fails if Numba has anything to do after that.

    `setup` raises NotImplementedError for what a version of fastfnn does not have: asv then skips it. It must not call
    the one of a base class.
    """

    # A sample is one call. The limit counts what teardown and setup take, too.
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
        if guard and guard.stop():  # there is none where setup has raised
            raise RuntimeError("Numba compiled something, or loaded it from disk, inside the timed part")
