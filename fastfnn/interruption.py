"""Ctrl-C and other early ends of the command `fastfnn`: each takes effect, and none costs the network."""

import _thread
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastfnn.network import FNN

RETRY_SECONDS = 0.05


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Repeat a Ctrl-C that comes while a destructor runs: Python ignores every exception there.

    Numba and LLVM have many, above all while compiled code is loaded.
    """
    before = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if ignored.exc_type is KeyboardInterrupt:
            again = threading.Timer(RETRY_SECONDS, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            before(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def rescue(net: FNN, path: str | None) -> Iterator[None]:
    """If the training in this context is cut short, save the network at `path` and add that to the message."""
    untrained = net.params.flat.copy()

    def rescued() -> str:
        if path is None:
            return ""
        if np.array_equal(net.params.flat, untrained):
            return "; nothing is saved, for the network is still untrained"
        try:
            net.save(path)
        except OSError as error:
            return f"; the network is not saved: {error}"
        return f"; the network as it is now is saved: {path}"

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(rescued()) from None
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}{rescued()}") from error
    except OSError as error:  # standard output has been closed
        raise OSError(f"{error}{rescued()}") from error
