"""The cache of compiled code on disk, and the announcement of what has to be compiled.

Each function has a file for each dtype, Python and processor. It begins with the key of what it holds and with a
checksum: pickle and LLVM get nothing else, as it could end the process. The key contains a fingerprint of all files of
kernels/, since a function's code holds that of functions in other files. Numba's own cache would not see a change
there, not read from a folder that it cannot write to, and let all processes compile that start together.

decorators.py gives each function that it compiles a `CodeFile` and counts the functions; fastfnn/backend.py hands the
announcements on to the progress bar and to the command `fastfnn compile`.
"""

import contextlib
import functools
import hashlib
import logging
import os
import pathlib
import pickle
import re
import secrets
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from .exclusion import one_process

logger: logging.Logger = logging.getLogger("fastfnn")

_COMPILING = (
    "fastfnn compiles its kernels for this processor, once: later runs load them from disk "
    "('fastfnn compile' does it ahead)"
)
_COMPILING_ALWAYS = (
    "fastfnn compiles its kernels in every process: it finds no cache folder that it can write to "
    "(NUMBA_CACHE_DIR names one)"
)

KERNELS = pathlib.Path(os.path.abspath(__file__)).parents[1]


def _fingerprint() -> str:
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for path in sorted(KERNELS.rglob("*.py")):
        digest.update(path.relative_to(KERNELS).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = _fingerprint()


class Folders(NamedTuple):
    """Where compiled code is looked for, in this order, and the one of them where it is kept, if any."""

    readable: tuple[pathlib.Path, ...]
    writable: pathlib.Path | None


def folders() -> Folders:
    """The folder that NUMBA_CACHE_DIR names, the package's own, the user's: up to the first that can be written to.

    A package that was installed with its compiled code is read even if nobody may write to it.
    """
    return _folders(numba.config.CACHE_DIR)


@functools.cache
def _folders(named: str) -> Folders:
    installation = f"fastfnn_{hashlib.sha256(str(KERNELS).encode()).hexdigest()[:16]}"
    readable = [KERNELS / "__pycache__", pathlib.Path(AppDirs("numba", False).user_cache_dir, installation)]
    if named:
        readable.insert(0, pathlib.Path(named, installation).absolute())
    if not readable[-1].is_absolute():  # the user has no home
        del readable[-1]
    for count, path in enumerate(readable, 1):
        try:
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        except OSError:
            continue
        return Folders(tuple(readable[:count]), path)
    return Folders(tuple(readable), None)


def folder() -> str | None:
    """The folder in which compiled kernels are kept; None if there is none that can be written to."""
    path = folders().writable
    return None if path is None else str(path)


# A file: these bytes; SHA-256 of the version of the kernels, of what else the code depends on, and of the content; the
# content, pickled.
_MAGIC = b"fastfnn code 1\n"
_HASH_BYTES = hashlib.sha256().digest_size
_HEADER_BYTES = len(_MAGIC) + 3 * _HASH_BYTES
_SUFFIX, _TEMPORARY_SUFFIX, _LOCK_NAME = ".nbc", ".tmp", "fastfnn.lock"

# Age in seconds from which files are removed that a killed process, or an earlier version of the kernels, has left.
_TEMPORARY_AGE = 3600.0
_FORMER_AGE = 30 * 24 * 3600.0


def _hash(*parts: Any) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


class CodeFile:
    """The file of a function's compiled code for a dtype, and the cache that Numba asks for it.

    function   the function, whose module and name no other function has
    dtype      float32 or float64
    signature  Numba's, for that dtype
    processor  what Numba compiles for
    """

    def __init__(self, function: Callable[..., Any], dtype: np.dtype[Any], signature: Any, processor: Any) -> None:
        self.announced: str = function.__name__.lstrip("_")
        # One file for each Python and processor that share the folder, which a later version of the kernels replaces.
        self._machine = _hash(sys.implementation.cache_tag, processor).hex()[:8]
        name = f"{function.__module__.rpartition('kernels.')[2]}.{function.__qualname__}.{dtype}"
        self.name: str = f"{re.sub('[<>]', '', name)}-{self._machine}{_SUFFIX}"
        self._version = _hash(FINGERPRINT)
        code = hashlib.sha256(function.__code__.co_code).hexdigest()
        self._key = _hash(numba.__version__, sys.implementation.cache_tag, processor, str(signature), code)
        self._content: bytes | None = None

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Read the file, or wait for the process that makes it; if there is none, other processes wait for this one."""
        self._content, writable = self._read(), folders().writable
        with contextlib.ExitStack() as locked:
            if self._content is None and writable is not None:
                locked.enter_context(one_process(writable / _LOCK_NAME, zlib.crc32(self.name.encode())))
                self._content = self._read()
            yield

    def load_overload(self, _signature: Any, target_context: Any) -> Any:
        """Numba asks for what `ready` has read; None if the function has to be compiled."""
        content, self._content = self._content, None
        if content is not None:
            target_context.refresh()
            # An activation of the user's may refer to a module that is not here any more.
            with contextlib.suppress(Exception):
                return CompileResult._rebuild(target_context, *pickle.loads(content))
        announce(self.announced)
        return None

    def save_overload(self, _signature: Any, result: Any) -> None:
        """Numba has compiled the function: write the file. If that fails, the code is in memory all the same."""
        path = folders().writable
        if path is None or result.library.has_dynamic_globals:  # it holds addresses of this process
            return
        try:
            self._write(path, dumps(result._reduce()))
            self._sweep(path)
        except OSError as error:
            not_kept.append(error)
            _warn_once("keeping", f"fastfnn cannot keep its compiled kernels in {path}: {error}")

    def _read(self) -> bytes | None:
        for path in folders().readable:
            try:
                held = (path / self.name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._warn_of_damage(path, str(error))
                continue
            header, content = held[:_HEADER_BYTES], memoryview(held)[_HEADER_BYTES:]
            if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
                self._warn_of_damage(path, "it holds something else")
            elif header[len(_MAGIC) : -_HASH_BYTES] == self._version + self._key:
                if header.endswith(hashlib.sha256(content).digest()):
                    return bytes(content)
                self._warn_of_damage(path, "its content has changed")
        return None

    def _warn_of_damage(self, path: pathlib.Path, reason: str) -> None:
        _warn_once("damage", f"fastfnn compiles a kernel again: it cannot use {path / self.name}: {reason}")

    def _write(self, folder: pathlib.Path, content: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        temporary = folder / f"{self.name}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
        try:
            with temporary.open("xb") as file:
                file.write(_MAGIC + self._version + self._key + hashlib.sha256(content).digest())
                file.write(content)
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _sweep(self, folder: pathlib.Path) -> None:
        """Once in a process, remove old files that are of no use to anybody."""
        if folder in _swept:
            return
        _swept.add(folder)
        now = time.time()
        for path in folder.glob(f"*{_SUFFIX}.*{_TEMPORARY_SUFFIX}"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _TEMPORARY_AGE:
                    path.unlink()
        for path in folder.glob(f"*-{self._machine}{_SUFFIX}"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _FORMER_AGE:
                    with path.open("rb") as file:
                        version = file.read(_HEADER_BYTES)[len(_MAGIC) : len(_MAGIC) + _HASH_BYTES]
                    if version != self._version:
                        path.unlink()


_swept: set[pathlib.Path] = set()
not_kept: list[OSError] = []  # why compiled functions could not be written to disk


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
    _log(logging.INFO, "compiling %d of %d: %s", progress.number, progress.total, name)
    for listener in compile_listeners:
        listener(progress)


def _warn_once(subject: str, message: str) -> None:
    """Log a warning, unless this process has logged one on the subject before."""
    if subject not in _warned:
        _warned.add(subject)
        _log(logging.WARNING, message)


def _log(level: int, message: str, *values: Any) -> None:
    """Log a message; where standard error is closed, the handlers of logging raise ValueError."""
    with contextlib.suppress(ValueError):
        logger.log(level, message, *values)
