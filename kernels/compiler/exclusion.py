"""One compilation at a time: among threads, among processes, while a process forks; Ctrl-C waits for its end.

decorators.py prepares each function inside `one_thread` and hands it to Numba inside `undivided`; cache.py makes a file
inside `one_process`. Each of them lasts for one function, so that nobody waits for a whole network.
"""

import contextlib
import gc
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

import llvmlite.binding
from numba.core.compiler_lock import global_compiler_lock

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# The longest wait of a fork for other threads, and of a process for others that compile: far longer than one function
# takes, so that only a process or a thread that is stuck is given up.
FORK_SECONDS = 60.0
PROCESS_SECONDS = 60.0
_POLL_SECONDS = 0.02

_compiling = threading.RLock()
_turnstile = threading.RLock()  # a thread that forks holds it, so that the next function is not begun before

# Locks of Numba and llvmlite, by the objects that hold them as `_lock`.
_OTHERS: tuple[Any, ...] = (global_compiler_lock, llvmlite.binding.ffi.lib._lock)


def one_thread() -> contextlib.AbstractContextManager[Any]:
    """A context inside which no other thread of this process prepares a function."""
    with _turnstile:
        pass
    return _compiling


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Inside the context, neither Ctrl-C nor a fork of another thread finds Numba and LLVM half way.

    Python's collection of garbage is paused, too.
    """
    with _interrupted_later(), global_compiler_lock, _without_collection():
        yield


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the context: Numba and LLVM would keep locks and half-made types.

    A second Ctrl-C does not wait. Other threads than the main one are never interrupted.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.get_ident() != threading.main_thread().ident or not callable(handler):
        yield
        return
    received: list[tuple[int, Any]] = []

    def later(number: int, frame: Any) -> None:
        received.append((number, frame))
        if len(received) > 1:
            handler(number, frame)

    signal.signal(signal.SIGINT, later)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if len(received) == 1:
            handler(*received[0])


_collection_paused = False


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Pause Python's collection of garbage: Numba makes so many objects that it takes a tenth of the compile time."""
    global _collection_paused
    if not gc.isenabled():
        yield
        return
    try:
        _collection_paused = True
        gc.disable()
        yield
    finally:
        gc.enable()
        _collection_paused = False


# Forks. A child has only the thread that forked: a lock that another thread held would never be released, and what LLVM
# was changing would stay half changed. So a fork waits until no function is being compiled.

_fork = threading.local()


def _before_fork() -> None:
    _fork.taken = taken = []
    deadline = time.monotonic() + FORK_SECONDS
    for lock in (_turnstile, *(other._lock for other in _OTHERS)):
        if lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
            taken.append(lock)
    # Who holds this one alone waits for another process, or is between two functions.
    if _compiling.acquire(blocking=False):
        taken.append(_compiling)


def _after_fork_in_parent() -> None:
    for lock in reversed(_fork.taken):
        lock.release()


def _after_fork_in_child() -> None:
    global _collection_paused, _compiling, _turnstile
    taken = _fork.taken
    if _collection_paused and global_compiler_lock._lock not in taken:
        gc.enable()
        _collection_paused = False
    if _turnstile not in taken:
        _turnstile = threading.RLock()
    if _compiling not in taken:
        _compiling = threading.RLock()
    for other in _OTHERS:
        if other._lock not in taken:
            other._lock = threading.RLock()
    for lock in reversed(taken):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


# Processes

_patience = PROCESS_SECONDS  # what is left of it in this process: it waits in vain once, not for each function


@contextlib.contextmanager
def one_process(path: pathlib.Path, place: int) -> Iterator[None]:
    """Inside the context, no other process is inside it with the same lock file and place in it.

    Goes on without the lock if the file cannot be made, if its file system has no locks, or after a long wait. The
    system releases the lock of a process that ends. One thread at a time may be inside.
    """
    try:
        file = path.open("ab")
    except OSError:
        yield
        return
    with file:
        held = _wait_for_lock(file, place)
        try:
            yield
        finally:
            if held:
                _unlock(file, place)


def _wait_for_lock(file: IO[bytes], place: int) -> bool:
    global _patience
    deadline = time.monotonic() + _patience
    while True:
        try:
            _lock(file, place)
            return True
        except (BlockingIOError, PermissionError):  # another process holds it
            if time.monotonic() >= deadline:
                _patience = 0.0
                return False
        except OSError:
            return False
        time.sleep(_POLL_SECONDS)


# Locks of one byte each: a file serves all functions. They belong to a process and not to an open file, so that a child
# does not keep its parent's.


if sys.platform == "win32":

    def _lock(file: IO[bytes], place: int) -> None:
        file.seek(place)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(file: IO[bytes], place: int) -> None:
        file.seek(place)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:

    def _lock(file: IO[bytes], place: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def _unlock(file: IO[bytes], place: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)
