"""Whose files compiled code is loaded from: what is loaded runs as this user, so nobody else may be able to change it.

cache.py asks here for each folder and each file. Windows has no such bits: there the folders of a user are closed to
others by their access control lists.
"""

import os
import pathlib
import stat
from collections.abc import Iterator

CHECKED = hasattr(os, "geteuid")

# The folder of a cache that an ordinary user makes is closed to others. What root compiles, everybody may load: a
# container's image is filled by root and used by others.
_OPEN_TO_ITS_USER, _OPEN_TO_READERS = 0o700, 0o755
FILE_MODE = 0o644


def make_folder(path: pathlib.Path) -> None:
    """Make a folder, and those above it, for compiled code."""
    mode = _OPEN_TO_READERS if CHECKED and os.geteuid() == 0 else _OPEN_TO_ITS_USER
    missing = [path, *path.parents]
    while missing and missing[-1].exists():
        del missing[-1]
    for folder in reversed(missing):
        folder.mkdir(mode, exist_ok=True)


def why_folder_is_not_trusted(path: pathlib.Path) -> str | None:
    """The reason why somebody else could change what lies in a folder; None if nobody but this user and root could.

    A folder above it may be open to all if it is sticky, as /tmp is: nobody can replace there what others own.
    """
    if not CHECKED:
        return None
    for folder, above in _each_folder(path):
        try:
            status = os.lstat(folder)
        except OSError as error:
            return str(error)
        if stat.S_ISLNK(status.st_mode):
            if status.st_uid not in (0, os.geteuid()):
                return f"{folder} is a link of another user's"
            continue
        if status.st_uid not in (0, os.geteuid()):
            return f"{folder} belongs to another user"
        if _others_write(status) and not (above and status.st_mode & stat.S_ISVTX):
            return f"others may write to {folder}"
    return None


def why_file_is_not_trusted(file: int) -> str | None:
    """The reason why somebody else could have written an open file, given its descriptor; else None."""
    if not CHECKED:
        return None
    status = os.fstat(file)
    if status.st_uid not in (0, os.geteuid()):
        return "it belongs to another user"
    if _others_write(status):
        return "others may write to it"
    return None


def _others_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWOTH) or (bool(status.st_mode & stat.S_IWGRP) and not _is_private(status))


def _is_private(status: os.stat_result) -> bool:
    """Whether a group is that of its owner alone: systems that give each user one let it write by default."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner and set(group.gr_mem) <= {owner}


def _each_folder(path: pathlib.Path) -> Iterator[tuple[pathlib.Path, bool]]:
    """A folder and those above it, and whether it is one of the latter: by its own path, then by where links lead."""
    for whole in dict.fromkeys((path.absolute(), pathlib.Path(os.path.realpath(path)))):
        yield whole, False
        yield from ((folder, True) for folder in whole.parents)
