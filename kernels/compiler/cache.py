"""The cache of compiled code on disk, and the announcement of what has to be compiled.

Each function has a file for each dtype, Python and processor. It begins with the key of what it holds and with a
checksum: pickle and LLVM get nothing else, as it could end the process. What it holds runs as this user, so a file that
somebody else could have written is not read, see trust.py. The key contains a fingerprint of all files of
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
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from . import trust
from .exclusion import one_process

logger: logging.Logger = logging.getLogger("fastfnn")

_COMPILING = (
    "fastfnn compiles {kernels} for this processor, not in its cache yet, and what else this process needs: "
    "later runs load them from disk ('fastfnn compile' compiles all kernels ahead)"
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

    A package that was installed with its compiled code is read even if nobody may write to it. Nothing is kept in a
    folder to which somebody else may write, and nothing read from it.
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
            trust.make_folder(path)
            tempfile.TemporaryFile(dir=path).close()
        except OSError:
            continue
        reason = trust.why_folder_is_not_trusted(path)
        if reason is not None:
            if named and count == 1:
                _warn_of_others(path, reason)
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
_OWN_PREFIX = "own."  # of the files of users' functions

# A file's time of modification is the time of its last use, to a day: it is set when the file is loaded.
_DAY = 24 * 3600.0

# Age in seconds from which the files are removed that a killed process has left; that nobody has used and that are of
# an earlier version of the kernels, of another installation, or of a user's function.
_TEMPORARY_AGE = 3600.0
_UNUSED_AGE = 30 * _DAY
# Size of all files together from which those go that were used the longest ago: twenty times the kernels of a dtype.
_CACHE_BYTES = 128 * 1024 * 1024
# Files of one piece of a user's code: for this many of the numbers that it was last used with.
_NUMBERS_KEPT = 8


def _hash(*parts: Any) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


class CodeFile:
    """The file of a function's compiled code for a dtype, and the cache that Numba asks for it.

    function   the function, whose module and name no other function has
    dtype      float32 or float64
    signature  Numba's, for that dtype
    processor  what Numba compiles for
    family     of a user's function: what the names of functions begin with that are the same code with other numbers
    """

    def __init__(
        self, function: Callable[..., Any], dtype: np.dtype[Any], signature: Any, processor: Any, family: str = ""
    ) -> None:
        self.announced: str = function.__name__.lstrip("_")
        # One file for each Python and processor that share the folder, which a later version of the kernels replaces.
        self._machine = _hash(sys.implementation.cache_tag, processor).hex()[:8]
        place = _OWN_PREFIX if family else f"{function.__module__.rpartition('kernels.')[2]}."
        name = f"{place}{function.__qualname__}.{dtype}"
        self.name: str = f"{re.sub('[<>]', '', name)}-{self._machine}{_SUFFIX}"
        self._relatives = f"{_OWN_PREFIX}{family}*.{dtype}-{self._machine}{_SUFFIX}" if family else ""
        self._version = _hash(FINGERPRINT)
        code = hashlib.sha256(function.__code__.co_code).hexdigest()
        called = function.__module__, function.__qualname__
        self._key = _hash(numba.__version__, sys.implementation.cache_tag, processor, str(signature), called, code)
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
            if self._relatives:
                for _, relative in _by_last_use(path.glob(self._relatives))[:-_NUMBERS_KEPT]:
                    _remove(relative)
            with contextlib.suppress(OSError):
                sweep(path)
        except OSError as error:
            not_kept.append(error)
            _warn_once("keeping", f"fastfnn cannot keep its compiled kernels in {path}: {error}")

    def _read(self) -> bytes | None:
        for path in folders().readable:
            try:
                with (path / self.name).open("rb") as file:
                    held, reason = file.read(), trust.why_file_is_not_trusted(file.fileno())
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._warn_of_damage(path, str(error))
                continue
            header, content = held[:_HEADER_BYTES], memoryview(held)[_HEADER_BYTES:]
            if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
                self._warn_of_damage(path, "it holds something else")
            elif header[len(_MAGIC) : -_HASH_BYTES] == self._version + self._key:
                reason = trust.why_folder_is_not_trusted(path) or reason
                if reason is not None:
                    _warn_of_others(path / self.name, reason)
                    continue
                if header.endswith(hashlib.sha256(content).digest()):
                    _note_use(path / self.name)
                    return bytes(content)
                self._warn_of_damage(path, "its content has changed")
        return None

    def is_missing(self) -> bool:
        """Whether no folder has a file of this version: what `announce` says, not what is loaded."""
        for path in folders().readable:
            with contextlib.suppress(OSError), (path / self.name).open("rb") as file:
                if file.read(_HEADER_BYTES)[len(_MAGIC) : -_HASH_BYTES] == self._version + self._key:
                    return False
        return True

    def _warn_of_damage(self, path: pathlib.Path, reason: str) -> None:
        _warn_once("damage", f"fastfnn compiles a kernel again: it cannot use {path / self.name}: {reason}")

    def _write(self, folder: pathlib.Path, content: bytes) -> None:
        trust.make_folder(folder)
        path = folder / self.name
        temporary = folder / f"{self.name}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
        try:
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, trust.FILE_MODE)) as file:
                file.write(_MAGIC + self._version + self._key + hashlib.sha256(content).digest())
                file.write(content)
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


class NoFile:
    """In place of a `CodeFile`, for code that is compiled in each process."""

    def __init__(self, function: Callable[..., Any], *_described: Any) -> None:
        self.announced: str = function.__name__.lstrip("_")

    def ready(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def load_overload(self, _signature: Any, _target_context: Any) -> None:
        announce(self.announced)

    def save_overload(self, _signature: Any, _result: Any) -> None:
        pass


# What goes, and when. Another process may load or remove the same files: it finds a whole file or none.


def _note_use(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError):  # another user's, or read-only
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)


def _by_last_use(paths: Iterable[pathlib.Path]) -> list[tuple[os.stat_result, pathlib.Path]]:
    """Files with what is known of them, those first that were used the longest ago."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append((path.stat(), path))
    return sorted(found, key=lambda each: (each[0].st_mtime_ns, each[1].name))


def _remove(path: pathlib.Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def sweep(folder: pathlib.Path) -> None:
    """Once in a process, remove what is of no use to anybody from the folder of this installation and from others'."""
    if folder in _swept:
        return
    _swept.add(folder)
    now, all_folders = time.time(), [folder]
    if _INSTALLATION.fullmatch(folder.name):
        for other in folder.parent.iterdir():
            if not _INSTALLATION.fullmatch(other.name) or other == folder or not other.is_dir():
                continue
            if trust.why_folder_is_not_trusted(other) is None:
                all_folders.append(other)
    for each in all_folders:
        for status, path in _by_last_use(each.glob(f"*{_SUFFIX}.*{_TEMPORARY_SUFFIX}")):
            if now - status.st_mtime > _TEMPORARY_AGE:
                _remove(path)
    kept = []
    for status, path in _by_last_use(path for each in all_folders for path in each.glob(f"*{_SUFFIX}")):
        unused = now - status.st_mtime > _UNUSED_AGE
        if not (unused and (path.parent != folder or _is_for_few(path)) and _remove(path)):
            kept.append((status, path))
    size = sum(status.st_size for status, _ in kept)
    for status, path in kept:
        if size <= _CACHE_BYTES:
            break
        size -= status.st_size if _remove(path) else 0
    for other in all_folders[1:]:
        if all(path.name == _LOCK_NAME and now - path.stat().st_mtime > _UNUSED_AGE for path in other.iterdir()):
            _remove(other / _LOCK_NAME)
            with contextlib.suppress(OSError):
                other.rmdir()


def _is_for_few(path: pathlib.Path) -> bool:
    """Whether a file is of a user's function, or of an earlier version of the kernels."""
    if path.name.startswith(_OWN_PREFIX):
        return True
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(_HEADER_BYTES)[len(_MAGIC) : len(_MAGIC) + _HASH_BYTES] != _hash(FINGERPRINT)
    return False


_INSTALLATION = re.compile("fastfnn_[0-9a-f]{16}")
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
    """Of each thread: the number of the function that is being prepared, how many there are and are not on disk."""

    number = total = 0
    missing: Callable[[], int] | None = None


_count = _Count()
_warned: set[str] = set()  # subjects


@contextlib.contextmanager
def counting(total: int, missing: Callable[[], int] | None = None) -> Iterator[Callable[[], None]]:
    """Count functions while they are prepared, for `Progress`; inside another count, do nothing.

    total    how many there are
    missing  how many of those that are left, this one included, are not on disk: asked for once, by the warning
    """
    if _count.total:
        yield lambda: None
        return

    def count() -> None:
        _count.number += 1

    try:
        _count.number, _count.total, _count.missing = 0, total, missing
        yield count
    finally:
        _count.number, _count.total, _count.missing = 0, 0, None


def announce(name: str) -> None:
    """Tell the log and all listeners that a function is being compiled. Without listeners, warn once of the wait."""
    progress = Progress(name, max(_count.number, 1), max(_count.total, 1))
    if not compile_listeners and "compiling" not in _warned:  # listeners tell the user themselves
        _warn_once("compiling", _wait(name) if folder() else _COMPILING_ALWAYS)
    logger.info("compiling %d of %d: %s", progress.number, progress.total, name)
    for listener in compile_listeners:
        listener(progress)


def _wait(name: str) -> str:
    """The warning of the wait: how many kernels are compiled, the name of the first."""
    number = max(_count.missing() if _count.missing else 1, 1)
    return _COMPILING.format(kernels=f"the kernel {name}" if number == 1 else f"{number} kernels ({name}, ...)")


def _warn_of_others(path: pathlib.Path, reason: str) -> None:
    _warn_once(
        "others",
        f"fastfnn loads no compiled code from {path}: {reason}. It must belong to you or to root, "
        "and nobody else may write to it (NUMBA_CACHE_DIR names another folder)",
    )


def _warn_once(subject: str, message: str) -> None:
    """Log a warning, unless this process has logged one on the subject before."""
    if subject not in _warned:
        _warned.add(subject)
        _log(logging.WARNING, message)


def _log(level: int, message: str, *values: Any) -> None:
    """Log a message; where standard error is closed, the handlers of logging raise ValueError."""
    with contextlib.suppress(ValueError):
        logger.log(level, message, *values)
