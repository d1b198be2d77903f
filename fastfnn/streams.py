"""The standard streams, which a process may lack: under pythonw and in many services they are None, or were closed.

Whatever prints, warns or shows progress asks here, and writes to nowhere where a stream cannot be written to. Nothing
here knows what is written.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO, cast

DASH = "-"  # stands for a standard stream on a command line


class _Nowhere(io.TextIOBase):
    """Stands for a stream that is not there."""

    encoding = "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


_NOWHERE = cast(TextIO, _Nowhere())


def is_open(stream: Any) -> bool:
    """Whether a stream is there, and neither it nor its file is closed."""
    if stream is None or stream is _NOWHERE or getattr(stream, "closed", False):
        return False
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):  # no file, such as a stream in memory
        return True
    return _status(descriptor) is not None


def status(stream: Any) -> os.stat_result | None:
    """Return the status of the file that a stream writes to or reads from; None if there is none."""
    try:
        return _status(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def output() -> TextIO:
    """Return standard output, or nowhere."""
    return sys.stdout if is_open(sys.stdout) else _NOWHERE


def errors() -> TextIO:
    """Return standard error, or nowhere."""
    return sys.stderr if is_open(sys.stderr) else _NOWHERE


def entry() -> TextIO:
    """Return standard input; ValueError if it is closed."""
    if not is_open(sys.stdin):
        raise ValueError("standard input is closed: name a table")
    return sys.stdin


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody may watch a stream; an object in place of one need not know."""
    asked = getattr(stream, "isatty", None)
    return asked is not None and bool(asked())


def say(text: str) -> None:
    """Print a line on standard output."""
    print(text, file=output())


def tell(text: str) -> None:
    """Print a line on standard error, at once."""
    print(text, file=errors(), flush=True)


def warn(message: str, category: type[Warning] = UserWarning, stacklevel: int = 1) -> None:
    """Warn as `warnings.warn` does, which raises ValueError where standard error is closed."""
    try:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
    except ValueError:
        if is_open(sys.stderr):
            raise


@contextlib.contextmanager
def complete() -> Iterator[None]:
    """Let a command write to all streams, whatever writes: those that are not there lead to nowhere in this context.

    Their file descriptors are taken, too: otherwise the next file that is opened would get one of them, and be written
    to by whatever prints from C or in a child process.
    """
    before = sys.stdout, sys.stderr
    _take_descriptors()
    sys.stdout, sys.stderr = output(), errors()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _take_descriptors() -> None:
    """Open the null device for each of the descriptors 0, 1 and 2 that is closed."""
    for descriptor in range(3):
        if _status(descriptor) is None:
            with contextlib.suppress(OSError):
                free = os.open(os.devnull, os.O_RDWR)  # the lowest one
                os.set_inheritable(free, True)


def _status(descriptor: int) -> os.stat_result | None:
    try:
        return os.fstat(descriptor)
    except OSError:
        return None
