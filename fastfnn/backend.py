"""The one door to the kernels: everything else in this package reaches them, or their NumPy twins, through here."""

import contextlib
import math
import platform
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import llvmlite
import numba
import numpy as np

from fastfnn import kernels, reference, streams
from fastfnn.kernels.compiler import cache, decorators
from fastfnn.kernels.compiler.cache import folder as cache_folder
from fastfnn.kernels.compiler.memory import aligned_zeros
from fastfnn.kernels.elementwise.checks import all_finite, are_distributions
from fastfnn.kernels.elementwise.constants import FLOAT64
from fastfnn.kernels.elementwise.conversion import all_finite_as, is_convertible
from fastfnn.kernels.tuning import CONVERT_ONCE_BYTES, SAMPLES_PER_GROUP, WORK_PER_PREDICTION
from fastfnn.kernels.workers import pool, region, threads
from fastfnn.kernels.workers.threads import max_threads, process_threads

BACKENDS: dict[str, ModuleType] = {"kernels": kernels, "reference": reference}

ACTIVATIONS = kernels.ACTIVATIONS
LOSSES = kernels.LOSSES
OPTIMIZERS = kernels.OPTIMIZERS
SETTINGS = kernels.SETTINGS
CompileProgress = cache.Progress

# What other libraries need to compute the activations of the kernels: the slope of leaky ReLU for x < 0, and the
# constants of GELU in float64, see kernels/elementwise/elementary.py.
LEAK = reference.activations.LEAK
GELU_SCALE = float(FLOAT64.gelu_scale)
GELU_POLYNOMIAL = tuple(map(float, FLOAT64.gelu_polynomial))

__all__ = [
    "ACTIVATIONS",
    "BACKENDS",
    "CONVERT_ONCE_BYTES",
    "GELU_POLYNOMIAL",
    "GELU_SCALE",
    "LEAK",
    "LOSSES",
    "OPTIMIZERS",
    "SAMPLES_PER_GROUP",
    "SETTINGS",
    "WORK_PER_PREDICTION",
    "CompileProgress",
    "aligned_zeros",
    "all_finite",
    "all_finite_as",
    "are_distributions",
    "cache_folder",
    "calls_are_atomic",
    "compile_kernels",
    "get_num_threads",
    "is_convertible",
    "kernels",
    "max_threads",
    "on_compilation",
    "peak_flops",
    "process_threads",
    "set_num_threads",
    "show_config",
    "thread_limit",
]

# Products (rows, inputs, outputs) that come near the processor's peak: whole tiles for every instruction set and up to
# 32 threads, sums long enough to make up for the writing, operands that fit into the second-level cache.
PEAK_SHAPES = tuple((32 * 42, inputs, outputs) for inputs, outputs in ((128, 128), (256, 128), (512, 128), (256, 512)))


def calls_are_atomic(backend: str) -> bool:
    """Return whether a call of a backend's training steps is compiled as a whole: no exception can come in between."""
    return backend == "kernels" and not numba.config.DISABLE_JIT


def get_num_threads() -> int:
    """Return the number of threads that a large kernel runs on, if it has the workers to itself.

    Returns
    -------
    int
        Under a limit of the present Python thread, see `thread_limit`, the smaller of both numbers.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> fnn.get_num_threads() >= 1
    True
    """
    return threads.get_num_threads()


def set_num_threads(count: int) -> None:
    """Let kernels use at most `count` threads.

    Parameters
    ----------
    count : int
        From 1 to the number of CPUs that the process may use (its affinity, the limit of its container), or to
        OMP_NUM_THREADS if that is less. NUMBA_NUM_THREADS, if it is set, takes the place of both.

    Raises
    ------
    TypeError, ValueError
        If `count` is anything else.

    Notes
    -----
    Results have the same bits for every count.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> before = fnn.get_num_threads()
    >>> fnn.set_num_threads(1)
    >>> fnn.get_num_threads()
    1
    >>> fnn.set_num_threads(before)
    """
    _check_is_int(count)
    if not 1 <= count <= threads.max_threads():
        raise ValueError(f"count must be from 1 to {threads.max_threads()}, got {count}")
    threads.set_num_threads(int(count))


def thread_limit(count: int) -> contextlib.AbstractContextManager[None]:
    """Return a context in which kernels that the present Python thread calls use at most `count` threads.

    Parameters
    ----------
    count : int
        1 or more; `set_num_threads` may allow less.

    Returns
    -------
    context manager
        The limit holds inside its ``with`` block; inside another one the smaller limit holds.

    Raises
    ------
    TypeError, ValueError
        If `count` is anything else.

    Notes
    -----
    Other Python threads are not affected. Several that are limited to 1 each run side by side. Results have the same
    bits for every count.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> with fnn.backend.thread_limit(1):
    ...     fnn.get_num_threads()
    1
    """
    _check_is_int(count)
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
    return threads.limited(int(count))


def _check_is_int(count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise TypeError(f"count must be an int, got {type(count).__name__}")


def show_config() -> None:
    """Print the versions, the processor and the threads that kernels are compiled for and run on.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> fnn.show_config()  # doctest: +ELLIPSIS
    python           3...
    numpy            ...
    numba            ...
    llvmlite         ...
    cpu              ...
    jit              ...
    threads          ... of ...
    """
    import llvmlite.binding as llvm

    rows = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "cpu": numba.config.CPU_NAME or llvm.get_host_cpu_name(),
        "jit": "off" if numba.config.DISABLE_JIT else "on",
        "threads": f"{get_num_threads()} of {threads.max_threads()}",
    }
    for name, value in rows.items():
        streams.say(f"{name:16} {value}")


def peak_flops(dtype: str, seconds: float = 0.05) -> float:
    """Floating-point operations a second that the register tile does on all threads, 2 for a multiply-add.

    The best of products whose operands stay in the cache, repeated for about `seconds`; NaN with the JIT off.
    """
    if numba.config.DISABLE_JIT:
        return math.nan
    best = 0.0
    for rows, inputs, outputs in PEAK_SHAPES:
        arrays = [np.ones(shape, dtype) for shape in ((rows, outputs), (rows, inputs), (inputs, outputs), (outputs,))]
        kernels.affine_forward(*arrays)  # compiles
        end = time.perf_counter() + seconds / len(PEAK_SHAPES)
        while (start := time.perf_counter()) < end:
            kernels.affine_forward(*arrays)
            best = max(best, 2 * rows * inputs * outputs / (time.perf_counter() - start))
    return best


@contextlib.contextmanager
def on_compilation(listener: Callable[[CompileProgress], None]) -> Iterator[None]:
    """Inside the context, call `listener` for each kernel that this thread compiles, as the cache on disk lacks it.

    Parameters
    ----------
    listener : callable
        Gets the kernel's name, its number among those that the call needs, and how many these are.
    """
    thread = threading.get_ident()

    def heard(progress: CompileProgress) -> None:
        if threading.get_ident() == thread:
            listener(progress)

    cache.compile_listeners.append(heard)
    try:
        yield
    finally:
        cache.compile_listeners.remove(heard)


def compile_kernels(dtype: str) -> None:
    """Compile all kernels for a dtype, or load them, so that the cache on disk holds them for later processes.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the networks that will use them.

    Raises
    ------
    OSError
        If the cache could not be written.
    """
    before = len(cache.not_kept)
    decorators.prepare([*decorators.everything(np.dtype(dtype)), (region.work, pool.WORK_DTYPE)])
    if len(cache.not_kept) > before:
        raise OSError(f"the compiled kernels cannot be kept in {cache.folder()}: {cache.not_kept[-1]}")
