"""Ctrl-C and other early ends of the command `fastfnn`: each takes effect, and none costs the network."""

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastfnn.network import FNN

RETRY_SECONDS = 0.05


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which containers and batch systems end a program."""


@contextlib.contextmanager
def heeded(rank: int | None = None) -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, and repeat a Ctrl-C that comes while a destructor runs.

    Python ignores every exception in destructors. Numba and LLVM have many, above all while compiled code is loaded.

    With `rank`, of a process that trains together with others, signals are left as they are here: rank 0 obeys the
    first one, because a launcher may pass on what the terminal has sent already, and ends all others, which ignore it.
    """
    before = sys.unraisablehook
    in_main_thread = threading.current_thread() is threading.main_thread()
    obeyed = False

    def stop(number: int, frame: Any) -> None:
        nonlocal obeyed
        if rank is not None and obeyed:
            return
        obeyed = True
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def hook(ignored: Any) -> None:
        nonlocal obeyed
        if ignored.exc_type is KeyboardInterrupt:
            obeyed = False
            again = threading.Timer(RETRY_SECONDS, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            before(ignored)

    sys.unraisablehook = hook
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN if rank else stop) if in_main_thread else None
    if rank is not None and in_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_IGN if rank else stop)
    try:
        yield
    finally:
        sys.unraisablehook = before
        if handler is not None and rank is None:
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def rescue(
    path: str | None, save: Callable[[str], None], trained: Callable[[], bool], what: str = "the network as it is now"
) -> Iterator[None]:
    """If the training in this context is cut short, `save` the network at `path` and add that to the message.

    Nothing is saved unless `trained` says that there is something to save; the message calls it `what`.
    """

    def rescued() -> str:
        if path is None:
            return ""
        if not trained():
            return "; nothing is saved, for the network is still untrained"
        try:
            save(path)
        except OSError as error:
            return f"; the network is not saved: {error}"
        return f"; {what} is saved: {path}"

    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(rescued()) from None
    except BrokenPipeError as error:
        raise BrokenPipeError(rescued()) from error
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}{rescued()}") from error
    except OSError as error:  # standard output cannot be written to
        raise OSError(f"{error}{rescued()}") from error


def changed(net: FNN) -> Callable[[], bool]:
    """Return a function that tells whether the parameters of a network are no longer what they are now."""
    now = net.params.flat.copy()
    return lambda: not np.array_equal(net.params.flat, now)
