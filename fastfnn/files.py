"""Files: a network as a safetensors file with its description, in JSON, among the metadata.

Knows arrays and descriptions only; `network.py` makes a network of them.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastfnn import atomic

FILE_FORMAT = "fastfnn-1"

Path = str | os.PathLike[str]


def write(path: Path, arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
    """Write named arrays and the description of their network to `path`, see `atomic.replace`."""
    from safetensors.numpy import save

    metadata = {"format": FILE_FORMAT, "network": json.dumps(description)}
    atomic.replace(path, save(dict(arrays), metadata))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the description in the file at `path`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a safetensors file of this format.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):
        pass  # an unreadable file raises an OSError that names it
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{os.fspath(path)} is not a safetensors file: {error}") from error
    if metadata.get("format") != FILE_FORMAT:
        raise ValueError(
            f"{os.fspath(path)} must be a network saved by fastfnn, format {FILE_FORMAT!r}; "
            f"got format {metadata.get('format')!r}"
        )
    with damage_reported(path):
        return arrays, json.loads(metadata["network"])


def copy_arrays(arrays: Mapping[str, np.ndarray], into: Mapping[str, np.ndarray]) -> None:
    """Copy the arrays of a file into those of a network; names, shapes and dtypes must agree.

    NaN and infinity are copied too: a network that diverged can be saved and loaded.
    """
    if set(arrays) != set(into):
        raise ValueError(f"the file must hold {', '.join(into)}; got {', '.join(sorted(arrays))}")
    for name, array in arrays.items():
        target = into[name]
        if array.shape != target.shape or array.dtype != target.dtype:
            raise ValueError(f"{name} must be {target.shape} of {target.dtype}, got {array.shape} of {array.dtype}")
        target[...] = array


@contextlib.contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn the errors of a malformed description or array into a ValueError that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: {error}") from error
