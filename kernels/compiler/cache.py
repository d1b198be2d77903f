"""The cache of compiled code on disk, and the announcement that something has to be compiled.

Numba keys its cache on the one file that holds a function and so misses a change in a file that the function calls;
here the key is a fingerprint of all files of kernels/. On a read-only installation with no writable cache folder
anywhere, kernels are compiled anew in each process.
"""

import contextlib
import hashlib
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import llvmlite
from numba.core.caching import FunctionCache, IndexDataCacheFile

logger = logging.getLogger("fastfnn")


def _fingerprint() -> str:
    digest = hashlib.sha256(llvmlite.__version__.encode())
    folder = pathlib.Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = _fingerprint()


class _CheckedFile(IndexDataCacheFile):
    """Cache files that carry the key of what they hold.

    Numba numbers the files and writes the index first. A process that reads the index before the file is written finds
    the file's previous content, and of two processes that compile different versions at once one may overwrite what the
    other has in its index. Without the key, code of an earlier version or for the other dtype would run.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        held = super().load(key)
        return held[2] if held is not None and held[:2] == (self._source_stamp, key) else None


class KernelCache(FunctionCache):
    """Numba's cache on disk, keyed on the source of all kernels; it announces what has to be compiled.

    Raises RuntimeError if there is no folder that may be written to.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(function)
        self._cache_file = _CheckedFile(self._cache_path, self._impl.filename_base, FINGERPRINT)
        self._name_to_announce = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            overload = super().load_overload(sig, target_context)
        except Exception:  # a truncated file, or one made from an activation of a module that is not here
            overload = None
        if overload is None:
            announce(self._name_to_announce)
        return overload


def folder() -> str | None:
    """The folder in which compiled kernels are kept; None if there is none that may be written to."""
    try:
        return str(KernelCache(folder, "").cache_path)
    except RuntimeError:
        return None


class Progress(NamedTuple):
    """A function that is about to be compiled: its name, its number, and how many there may be."""

    name: str
    number: int
    total: int


# Called with the progress of each function that is about to be compiled, not loaded from disk.
compile_listeners: list[Callable[[Progress], None]] = []

_count = [0, 0]  # the number of the function that is being prepared, and how many there are
_announced = False


@contextlib.contextmanager
def counting(total: int) -> Iterator[Callable[[], None]]:
    """Count functions while they are prepared, for `Progress`; inside another count, do nothing."""
    if _count[1]:
        yield lambda: None
        return
    _count[:] = 0, total

    def count() -> None:
        _count[0] += 1

    try:
        yield count
    finally:
        _count[:] = 0, 0


def announce(name: str) -> None:
    """Tell the log and all listeners that a function is being compiled; the first time in a process, why that is."""
    global _announced
    progress = Progress(name, max(_count[0], 1), max(_count[1], 1))
    if not _announced and not compile_listeners:  # listeners tell the user themselves
        _announced = True
        logger.warning(
            "fastfnn compiles its kernels for this processor: some seconds, once; later runs load them from disk "
            "('fastfnn compile' does it ahead)"
        )
    logger.info("compiling %d of %d: %s", progress.number, progress.total, name)
    for listener in compile_listeners:
        listener(progress)
