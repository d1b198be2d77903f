"""The cache of compiled code on disk, and the announcement of what has to be compiled.

Numba keys its cache on the one file that holds a function and so misses a change in a file that the function calls;
here the key is a fingerprint of all files of kernels/. On a read-only installation with no writable cache folder
anywhere, kernels are compiled anew in each process.

decorators.py gives each compiled function a `KernelCache` and counts the functions; fastfnn/backend.py hands the
announcements on to the progress bar and to the command `fastfnn compile`.
"""

import contextlib
import hashlib
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import llvmlite
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

logger = logging.getLogger("fastfnn")

_COMPILING = (
    "fastfnn compiles its kernels for this processor, once: later runs load them from disk "
    "('fastfnn compile' does it ahead)"
)
_COMPILING_ALWAYS = (
    "fastfnn compiles its kernels in every process: it finds no cache folder that it can write to "
    "(NUMBA_CACHE_DIR names one)"
)

KERNELS = pathlib.Path(__file__).parents[1]


def _fingerprint() -> str:
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for path in sorted(KERNELS.rglob("*.py")):
        digest.update(path.relative_to(KERNELS).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = _fingerprint()


class _CheckedFile(IndexDataCacheFile):
    """Cache files that carry the key of what they hold, and an index that may be damaged.

    Numba numbers the files and writes the index first. A process that reads the index before the file is written finds
    the file's previous content, and of two processes that compile different versions at once one may overwrite what the
    other has in its index. Without the key, code of an earlier version or for the other dtype would run.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        held = super().load(key)
        return held[2] if held is not None and held[:2] == (self._source_stamp, key) else None

    def _load_index(self) -> dict[Any, str]:
        # An index that cannot be read counts as empty, also for `save`, which then replaces it: it may be truncated, or
        # name a class that an earlier version of the kernels had.
        try:
            index: dict[Any, str] = super()._load_index()
        except Exception:
            return {}
        return index


class KernelCache(FunctionCache):
    """Numba's cache on disk, keyed on the source of all kernels; it announces what has to be compiled.

    Each dtype has files of its own, so that two processes can fill the cache for two dtypes at once: the last to write
    an index would drop the other's entry. Raises RuntimeError if there is no folder that may be written to.
    """

    def __init__(self, function: Callable[..., Any], name: str, dtype: np.dtype[Any]) -> None:
        super().__init__(function)
        self._cache_file = _CheckedFile(self._cache_path, f"{self._impl.filename_base}.{dtype}", FINGERPRINT)
        self._name_to_announce = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            overload = super().load_overload(sig, target_context)
        except Exception:  # a truncated file, or one made from an activation of a module that is not here
            overload = None
        if overload is None:
            announce(self._name_to_announce)
        return overload

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # a full disk, say: the compiled code is in memory all the same
            _warn_once("keeping", f"fastfnn cannot keep its compiled kernels in {self.cache_path}: {error}")


def folder() -> str | None:
    """The folder in which compiled kernels are kept; None if there is none that may be written to."""
    try:
        path = pathlib.Path(FunctionCache(folder).cache_path)
    except RuntimeError:
        return None
    # Numba keeps the functions of each source folder in a folder of their own.
    return str(KERNELS if path.name == "__pycache__" else path.parent)


class Progress(NamedTuple):
    """A function that is about to be compiled: its name, its number among those needed now, and how many these are.

    Functions that are loaded from disk are counted, too, but not announced.
    """

    name: str
    number: int
    total: int


# Called with the progress of each function that is about to be compiled, not loaded from disk.
compile_listeners: list[Callable[[Progress], None]] = []


class _Count(threading.local):
    """Of each thread: the number of the function that is being prepared, and how many there are."""

    number = total = 0


_count = _Count()
_warned: set[str] = set()  # subjects


@contextlib.contextmanager
def counting(total: int) -> Iterator[Callable[[], None]]:
    """Count functions while they are prepared, for `Progress`; inside another count, do nothing."""
    if _count.total:
        yield lambda: None
        return

    def count() -> None:
        _count.number += 1

    try:
        _count.number, _count.total = 0, total
        yield count
    finally:
        _count.number = _count.total = 0


def announce(name: str) -> None:
    """Tell the log and all listeners that a function is being compiled. Without listeners, warn once of the wait."""
    progress = Progress(name, max(_count.number, 1), max(_count.total, 1))
    if not compile_listeners:  # listeners tell the user themselves
        _warn_once("compiling", _COMPILING if folder() else _COMPILING_ALWAYS)
    logger.info("compiling %d of %d: %s", progress.number, progress.total, name)
    for listener in compile_listeners:
        listener(progress)


def _warn_once(subject: str, message: str) -> None:
    """Log a warning, unless this process has logged one on the subject before."""
    if subject not in _warned:
        _warned.add(subject)
        logger.warning(message)
