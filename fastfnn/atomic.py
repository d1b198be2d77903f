"""Atomic writes: a file becomes its new content as a whole, or stays as it was.

`files.py` writes networks with it, the command line plots, predictions and measurements. Nothing here knows what it
writes.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

Path = str | os.PathLike[str]

# Folders of links to the streams of this process, such as /dev/stdout: their files are never replaced.
STREAM_FOLDERS = ("/dev", "/dev/fd")
STREAM_ROOT = "/proc/"
OWN_STREAM = re.compile(r"/dev/(stdout|stderr|fd/(\d+))")


def replace(path: Path, content: bytes) -> None:
    """Replace the file at `path`, or create it, so that at every moment it is the old file or the new one.

    The content goes to a temporary file in the same folder, which takes the place of the old file once it is on the
    disk. A symbolic link is followed, and permissions are kept. A device, a pipe or a stream of this process such as
    /dev/stdout is written to directly.

    Raises
    ------
    OSError
        If the file cannot be written. It names `path`; the old file is as it was, and no temporary file is left.
    """
    with replacing(path) as file:
        file.write(content)


def is_stream(path: Path, found: os.stat_result) -> bool:
    """Whether a path, which leads to what was found, is that of a device, a pipe or a stream of this process."""
    folder = os.path.realpath(os.path.dirname(os.fsdecode(path)))
    return not stat.S_ISREG(found.st_mode) or folder in STREAM_FOLDERS or folder.startswith(STREAM_ROOT)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file for the content that comes part by part: `replace` once the context ends without an error."""
    path = os.fsdecode(path)
    target, old = _destination(path)
    if target is None:
        with _opened(path) as stream:
            yield stream
        return
    with _temporary(path, target) as temporary:
        with open(temporary, "xb") as file:
            if old is not None:
                _copy_permissions(old, temporary)  # before the content, which may be private
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _flush_folder(os.path.dirname(target))


def check(path: Path) -> None:
    """Raise the OSError that `replace` would raise for a folder or a file that cannot be written to."""
    path = os.fsdecode(path)
    target, _ = _destination(path)
    if target is not None:
        with _temporary(path, target) as temporary, open(temporary, "xb"):
            pass


def _opened(path: str) -> BinaryIO:
    """Open a device, a pipe or a stream of this process, whose file is written to from where the stream is."""
    found = OWN_STREAM.fullmatch(path)
    if found is None:
        return open(path, "wb")
    number = {"stdout": 1, "stderr": 2}.get(found[1]) or int(found[2] or 0)
    return os.fdopen(os.dup(number), "wb")


def _destination(path: str) -> tuple[str | None, os.stat_result | None]:
    """Return the file that a path leads to, None if it must be written to directly, and the state of an existing one.

    Raises OSError if the path leads to a folder, or to a file that is write-protected.
    """
    try:
        now = os.stat(path)
    except FileNotFoundError:
        if os.path.basename(path) in ("", os.curdir, os.pardir):
            raise  # the name of a folder that does not exist
        return os.path.realpath(path), None
    if stat.S_ISDIR(now.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if is_stream(path, now):
        return None, now
    os.close(os.open(path, os.O_WRONLY))
    return os.path.realpath(path), now


@contextlib.contextmanager
def _temporary(path: str, target: str) -> Iterator[str]:
    """Yield a new name in the folder of `target`; remove a file of this name afterwards. An OSError names `path`."""
    # Not made from the name of the target, which may have the greatest length already.
    temporary = os.path.join(os.path.dirname(target), f".fastfnn-{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _copy_permissions(old: os.stat_result, path: str) -> None:
    """Give a file the permissions of an old one, and its owner and group where the system allows that."""
    new = os.stat(path)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        for owner in ((-1, old.st_gid), (old.st_uid, -1)):
            with contextlib.suppress(PermissionError):
                os.chown(path, *owner)
    os.chmod(path, stat.S_IMODE(old.st_mode))


def _flush_folder(folder: str) -> None:
    """Write the entries of a folder to the disk; without effect where the system has no such operation."""
    with contextlib.suppress(OSError):
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
