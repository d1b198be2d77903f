"""The paths of a command: what it reads and what it writes, checked before anything is read.

Each command registers all of its paths. None that it writes may be the file of another one, whatever their spelling.
"""

import argparse
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastfnn import atomic, datasets, outputs, streams

# Returns the files that are read for the value of an argument.
Finder = Callable[[argparse.Namespace, Any], Sequence[str | os.PathLike[str]]]


class Paths(NamedTuple):
    """What a command reads and writes, by the names of arguments as the user knows them, such as MODEL and --out."""

    reads: Mapping[str, Finder]
    writes: Sequence[str]
    shown: bool  # whether nothing comes of the command if it can neither print nor write a file
    dash: bool  # whether a written - is standard output


def register(
    parser: argparse.ArgumentParser,
    *,
    reads: Mapping[str, Finder] | None = None,
    writes: Sequence[str] = (),
    shown: bool = True,
    dash: bool = False,
) -> None:
    """Tell which arguments of a command are paths; `main` checks them."""
    parser.set_defaults(paths=Paths(reads or {}, writes, shown, dash))


# Finders


def a_file(options: argparse.Namespace, path: str) -> Sequence[str]:
    """Return a file."""
    return [path]


def samples(options: argparse.Namespace, path: str) -> Sequence[str | os.PathLike[str]]:
    """Return the file of a table, or those of the digits in the package or of a folder of images."""
    if path == datasets.SHIPPED_NAME:
        return [datasets.SHIPPED]
    return datasets.files_in(path) if path != streams.DASH and os.path.isdir(path) else [path]


def array(options: argparse.Namespace, name: str) -> Sequence[str]:
    """Return the file of an array of targets, beside one of samples; a column has no file."""
    samples_of = options.data if "data" in options else options.rows
    return [name] if name.lower().endswith(".npy") and samples_of.lower().endswith(".npy") else []


def number_or_file(options: argparse.Namespace, value: str) -> Sequence[str]:
    """Return the file that a value names if it is no number."""
    try:
        float(value)
    except ValueError:
        return [value]
    return []


# The check


class _File(NamedTuple):
    """A file that a command reads or writes."""

    label: str
    path: str  # as it was given
    found: os.stat_result | None  # None if there is no such file yet
    is_stream: bool = False  # of this process, or no file on a disk: several options may write to it

    def is_same(self, other: "_File") -> bool:
        """Whether both are one file on a disk, or will be."""
        if self.found is None or other.found is None:
            missing = self.found is None and other.found is None
            return missing and _resolved(self.path) == _resolved(other.path)
        return stat.S_ISREG(self.found.st_mode) and os.path.samestat(self.found, other.found)


def check(options: argparse.Namespace) -> None:
    """Raise ValueError, OSError or ImportError unless a command can write its files, which are all different ones.

    No file that it writes may be one that it reads, or another one that it writes. Links of both kinds are seen
    through, and so are spellings of a file that does not exist yet. Several options may name a device, a pipe or a
    stream of this process such as /dev/stdout. Standard output and standard error count as written.
    """
    paths: Paths = options.paths
    given = {label: value for label in (*paths.reads, *paths.writes) if (value := _value(options, label)) is not None}
    written = [label for label in paths.writes if label in given and not (paths.dash and given[label] == streams.DASH)]
    if paths.shown and not written and not streams.is_open(streams.output()):
        cure = f": {' or '.join(paths.writes)} names a file" if paths.writes else ""
        raise ValueError(f"standard output is closed, and the result would be lost{cure}")
    files = [
        _file(label, os.fspath(path))
        for label, finder in paths.reads.items()
        if label in given
        for path in finder(options, given[label])
    ]
    for name, stream in (("standard output", streams.output()), ("standard error", streams.errors())):
        file = _File(name, name, streams.status(stream), is_stream=True)
        _check_apart(file, files, "must not be")
        files.append(file)
    for label in written:
        file = _file(label, given[label])
        if file.found is not None:
            file = file._replace(is_stream=atomic.is_stream(file.path, file.found))
        _check_apart(file, files, "must not name")
        files.append(file)
    for label in written:
        _check_can_be_written(label, given[label])


def _check_apart(file: _File, others: Sequence[_File], must_not: str) -> None:
    """Raise ValueError if a file that is written is one of the others; streams may be the same."""
    for other in others:
        if file.is_same(other) and not (file.is_stream and other.is_stream):
            both = file.path if file.path == other.path else f"{file.path} and {other.path}"
            raise ValueError(f"{file.label} {must_not} the file of {other.label}, got {both}")


def _check_can_be_written(label: str, path: str) -> None:
    if path == streams.DASH:
        raise ValueError(f"{label} must name a file, got {path}: ./{path} names a file that is called so")
    folder, resolved = os.path.split(_resolved(path))
    if not os.path.isdir(folder):
        raise ValueError(f"{label} must name a file in an existing folder, got the folder {folder}")
    if os.path.isdir(path):
        raise ValueError(f"{label} must name a file, got the folder {os.path.join(folder, resolved)}")
    if label == "--plot":
        outputs.plot_format(path)
    try:
        atomic.check(path)
    except OSError as error:
        raise OSError(f"{label} must name a file that can be written: {error}") from error


def _file(label: str, path: str) -> _File:
    if path == streams.DASH:  # of an input
        return _File(label, "standard input", streams.status(streams.entry()))
    try:
        return _File(label, path, os.stat(path))
    except OSError:  # whoever opens it says what is wrong
        return _File(label, path, None)


def _resolved(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def _value(options: argparse.Namespace, label: str) -> Any:
    return getattr(options, label.lstrip("-").lower().replace("-", "_"), None)
