"""Files: a network as a safetensors file with its description, in JSON, among the metadata.

The metadata are texts: `format`, the `version` of the package that wrote the file, the description as `network`, and
what else belongs to a network as sections, each JSON under its own key. Only the section `training` has arrays, whose
names begin with "training.".

Knows arrays and descriptions only; `network.py` makes a network of them. A file that is read may come from anywhere:
nothing is allocated for it before its description is known to agree with its arrays, and these with its size.
"""

import collections
import contextlib
import itertools
import json
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

import fastfnn
from fastfnn import atomic, validation
from fastfnn.options import checked_layer_sizes
from fastfnn.params import parameter_shapes, statistics_shapes

FILE_FORMAT = "fastfnn-2"  # of the files that are written
FILE_FORMATS = ("fastfnn-1", FILE_FORMAT)  # of those that are read; the first has no sections
TABULAR_FORMAT = "fastfnn-tabular-1"  # of estimators for tables, which `fastfnn.tabular.load` reads

# What may belong to a network besides its description: an estimator and a table's preparation, with which it predicts,
# and what its training goes on with.
SECTIONS = ("estimator", "table", "training")

# Bytes of names, shapes and description: enough for thousands of layers, and whatever they hold is read in 150 MB.
HEADER_LIMIT = 1 << 22

TRAINING_PREFIX = "training."  # of the names of its arrays

# The entries of a description; the first version of the package wrote only those without a default. `loss_options` are
# the parameters of the loss, and missing where it has none.
REQUIRED = ("layer_sizes", "activation", "loss", "dtype")
DEFAULTS: dict[str, Any] = {"loss_options": {}, "weight_decay": 0.0, "dropout": 0.0, "batch_norm": False, "book": False}

SAFETENSORS_DTYPE = {"float32": "F32", "float64": "F64"}

LONGEST_REASON = 300  # characters of an error message that a damaged file may fill

Path = str | os.PathLike[str]


def write(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    description: Mapping[str, Any],
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write named arrays, the description of their network and sections of JSON to `path`, see `atomic.replace`."""
    from safetensors.numpy import save

    checked_path(path)
    texts = {name: json.dumps(value, allow_nan=False) for name, value in (sections or {}).items()}
    metadata = {"format": FILE_FORMAT, "version": fastfnn.__version__, "network": json.dumps(description), **texts}
    content = save(dict(arrays), metadata)
    length = int.from_bytes(content[:8], "little")
    if length > HEADER_LIMIT:
        raise ValueError(
            f"a saved network must be described by at most {HEADER_LIMIT} bytes, got {length} for "
            + ", ".join([f"{len(description['layer_sizes']) - 1} layers", *texts])
        )
    atomic.replace(path, content)


def checked_path(path: Any) -> str:
    """Return the name of a file as a str, not as one of NumPy, of which `os.scandir` makes bytes."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"path must be a str or a path-like object, got {type(path).__name__}")
    return str(os.fsdecode(path))


def format_of(path: Path) -> str:
    """Return the format of a file that this package wrote, by its header alone.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is no safetensors file, or has another format.
    """
    path = checked_path(path)
    metadata = _header(path).get("__metadata__")
    found = metadata.get("format") if isinstance(metadata, dict) else None
    known = (*FILE_FORMATS, TABULAR_FORMAT)
    if found not in known:
        raise ValueError(
            f"{path} must be a file saved by fastfnn, format {' or '.join(map(repr, known))}; got format "
            f"{shortened(repr(found))}"
        )
    return str(found)


class SavedNetwork(NamedTuple):
    """An open file whose description and arrays agree."""

    description: dict[str, Any]  # arguments of FNN; activations are names
    sections: dict[str, dict[str, Any]]  # those that the file has, unchecked
    version: str  # of the package that wrote it, "" if that is not known
    entries: dict[str, Any]  # dtype and shape of the arrays of the section `training`, unchecked
    tensors: Any

    def copy_into(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy the arrays of the file into those of its network.

        NaN and infinity are copied too: a network that diverged can be saved and loaded.
        """
        for name, array in arrays.items():
            array[...] = self.tensors.get_tensor(name)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SavedNetwork]:
    """Open the file of a network and check all of it but the values of its arrays.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a safetensors file of this format, or does not describe the arrays that it holds.
    """
    from safetensors import SafetensorError, safe_open

    path = checked_path(path)
    entries = _header(path)
    try:
        with safe_open(path, framework="numpy") as tensors:  # checks that the arrays fill the rest of the file
            metadata = entries.pop("__metadata__", None) or {}
            if metadata.get("format") not in FILE_FORMATS:
                raise ValueError(
                    f"{path} must be a network saved by fastfnn, format {' or '.join(map(repr, FILE_FORMATS))}; "
                    f"got format {shortened(repr(metadata.get('format')))}"
                )
            with damage_reported(path):
                description = _checked_description(metadata["network"])
                sections = {name: parsed(metadata[name]) for name in SECTIONS if name in metadata}
                trained = _check_arrays(entries, description, "training" in sections)
            version = shortened(metadata.get("version", ""))
            yield SavedNetwork(description, sections, version, trained, tensors)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {shortened(str(error))}") from error


def _header(path: str) -> dict[str, Any]:
    """Return the header of a safetensors file.

    It is read here too because the library would read up to 100 MB, and keep the last of several arrays of one name.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder, open says so
        raise ValueError(f"{path} is not a safetensors file: it is a pipe or a device")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        try:
            if size < 8 + length:
                raise ValueError(f"a header of {length} bytes is announced in a file of {size}")
            if length > HEADER_LIMIT:
                raise ValueError(f"its header must have at most {HEADER_LIMIT} bytes, got {length}")
            return parsed(file.read(length).decode("utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a safetensors file: {shortened(str(error))}") from error


def parsed(text: str) -> dict[str, Any]:
    """Return the object that a JSON text describes; every key once, and no NaN or infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            ((name, count),) = collections.Counter(name for name, _ in pairs).most_common(1)
            raise ValueError(f"{name!r} must occur once, got it {count} times")
        return result

    def refuse(number: str) -> None:
        raise ValueError(f"{number} is not a number of JSON")

    try:
        result = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(result, dict):
        raise ValueError(f"its JSON must be an object, got {type(result).__name__}")
    return result


def _checked_description(text: str) -> dict[str, Any]:
    """Return the description as arguments of FNN, those checked that determine the arrays."""
    told = parsed(text)
    for name in REQUIRED:
        if name not in told:
            raise ValueError(f"the description must have the entry {name}")
    for name in told:
        if name not in REQUIRED and name not in DEFAULTS:
            raise ValueError(f"the description must have no entry {name!r}")
    if not isinstance(told["activation"], list) or not all(isinstance(name, str) for name in told["activation"]):
        raise ValueError("activation must be a list of names")
    validation.choice("dtype", told["dtype"], tuple(SAFETENSORS_DTYPE))
    validation.boolean("batch_norm", told.get("batch_norm", False))
    return {**DEFAULTS, **told, "layer_sizes": checked_layer_sizes(told["layer_sizes"])}


def _check_arrays(entries: dict[str, Any], description: dict[str, Any], training: bool) -> dict[str, Any]:
    """Raise ValueError unless the arrays of a header are those of the network that is described.

    Returns the entries of the arrays of the section `training`, if there is one.
    """
    sizes, batch_norm = description["layer_sizes"], description["batch_norm"]
    dtype = SAFETENSORS_DTYPE[description["dtype"]]
    known: dict[str, None] = {}  # in order
    shapes = itertools.chain(parameter_shapes(sizes, batch_norm), statistics_shapes(sizes[1:-1] if batch_norm else ()))
    for name, shape in shapes:  # ends at the first that is missing, however many are described
        if name not in entries:
            raise ValueError(f"the file must hold {name} of shape {shape}; got {', '.join(entries)}")
        got = entries[name]
        if (got["dtype"], got["shape"]) != (dtype, list(shape)):
            raise ValueError(f"{name} must be {dtype} of shape {shape}, got {got['dtype']} of shape {got['shape']}")
        known[name] = None
    others = {name: entry for name, entry in entries.items() if name not in known}
    extra = [name for name in others if not (training and name.startswith(TRAINING_PREFIX))]
    if extra:
        raise ValueError(f"the file must hold {', '.join(known)} only; got {', '.join(extra)} too")
    return others


@contextlib.contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn the errors of a malformed description into a ValueError that names the file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{os.fspath(path)} is damaged: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: {shortened(str(error))}") from error


def shortened(text: str) -> str:
    """Return the beginning of a text that comes from a file and may have any length."""
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
