"""Nested values in files: what JSON can hold, numbers that are not finite, and arrays.

`continuation.py` stores with it what a training goes on with. An array is stored under the path that leads to it, as
"training.history.loss", and the JSON text refers to it: `{"$array": "training.history.loss"}`. NaN and infinity, which
JSON lacks, are `{"$float": "nan"}`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

# The dtypes of arrays, and their names in safetensors.
DTYPES = {
    "bool": "BOOL", "int8": "I8", "uint8": "U8", "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
BY_STORED_NAME = {stored: name for name, stored in DTYPES.items()}

SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

MOST_NESTED = 16  # objects and lists within each other
WHOLE_LIMIT = 1 << 62  # of counts: sums of two are numbers of 64 bits


def packed(value: Any, name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a value as JSON, and its arrays by name; `name` is the path of the value.

    Raises
    ------
    TypeError, ValueError
        If the value holds something else, in a message that begins with its path.
    """
    arrays: dict[str, np.ndarray] = {}
    return _packed(value, name, arrays, 0), arrays


def _packed(value: Any, name: str, arrays: dict[str, np.ndarray], depth: int) -> Any:
    if depth > MOST_NESTED:
        raise ValueError(f"{name} must not be nested deeper than {MOST_NESTED} times")
    if isinstance(value, np.ndarray):
        if value.dtype.name not in DTYPES:
            raise TypeError(f"{name} must have a dtype of numbers or booleans, got {value.dtype}")
        if name in arrays:
            raise ValueError(f"{name} must be the path of one array, got two")
        arrays[name] = np.asarray(value, value.dtype.newbyteorder("="))
        return {"$array": name}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [_packed(item, f"{name}.{i}", arrays, depth + 1) for i, item in enumerate(value)]
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be what JSON can hold, or an array; got {type(value).__name__}")
    for key in value:
        if not isinstance(key, str) or key.startswith("$"):
            raise TypeError(f"{name} must have keys that are str and do not begin with '$', got {key!r}")
    return {key: _packed(item, f"{name}.{key}", arrays, depth + 1) for key, item in value.items()}


class Stored(NamedTuple):
    """An array of a file that has not been read yet."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    tensors: Any  # of the open file

    def read(self) -> np.ndarray:
        """Read the array; NaN and infinity, too."""
        array: np.ndarray = self.tensors.get_tensor(self.name)
        return array if array.flags.writeable else array.copy()


def unpacked(value: Any, entries: Mapping[str, Any], tensors: Any) -> Any:
    """Return a value that `packed` made JSON of; its arrays are `Stored`.

    Parameters
    ----------
    value : object
        From a JSON text.
    entries : mapping of str to dict
        The dtype and shape of each array, from the header of the file.
    tensors
        The open file.

    Raises
    ------
    ValueError
        If the value does not refer to each of the arrays once.
    """
    left = dict(entries)
    result = _unpacked(value, left, tensors, 0)
    if left:
        raise ValueError(f"the file must hold the arrays that it describes only; got {', '.join(left)} too")
    return result


def _unpacked(value: Any, left: dict[str, Any], tensors: Any, depth: int) -> Any:
    if depth > MOST_NESTED:
        raise ValueError(f"values must not be nested deeper than {MOST_NESTED} times")
    if isinstance(value, list):
        return [_unpacked(item, left, tensors, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if not any(key.startswith("$") for key in value):
        return {key: _unpacked(item, left, tensors, depth + 1) for key, item in value.items()}
    ((key, item), *more) = value.items()
    if not more and key == "$float" and isinstance(item, str) and item in SPECIAL:
        return SPECIAL[item]
    if more or key != "$array" or not isinstance(item, str):
        raise ValueError(f"{value!r} must be an array or a special number")
    if item not in left:
        raise ValueError(f"the file must hold an array {item!r}, once")
    entry = left.pop(item)
    if entry["dtype"] not in BY_STORED_NAME:
        raise ValueError(f"{item} must have a dtype of numbers or booleans, got {entry['dtype']}")
    return Stored(item, BY_STORED_NAME[entry["dtype"]], tuple(entry["shape"]), tensors)


# Checks of what was unpacked


def record(name: str, value: Any, keys: Collection[str]) -> dict[str, Any]:
    """Return `value`, which must be an object with just these keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object, got {type(value).__name__}")
    for key in keys:
        if key not in value:
            raise ValueError(f"{name} must have the entry {key}")
    for key in value:
        if key not in keys:
            raise ValueError(f"{name} must have no entry {key!r}")
    return value


def whole(name: str, value: Any, least: int = 0, limit: int = WHOLE_LIMIT) -> int:
    """Return `value`, which must be an int from `least` to below `limit`."""
    if type(value) is not int or not least <= value < limit:
        got = value if type(value) is int and abs(value) < 10**20 else type(value).__name__
        raise ValueError(f"{name} must be an int from {least} to {limit - 1}, got {got}")
    return value


def array(name: str, value: Any, dtype: str, shape: tuple[int, ...]) -> Stored:
    """Return `value`, which must be an array of this dtype and shape."""
    if not isinstance(value, Stored):
        raise ValueError(f"{name} must be an array, got {type(value).__name__}")
    if (value.dtype, value.shape) != (dtype, shape):
        raise ValueError(f"{name} must be {dtype} of shape {shape}, got {value.dtype} of shape {value.shape}")
    return value


def read(value: Any) -> Any:
    """Return an unpacked value with all of its arrays read."""
    if isinstance(value, Stored):
        return value.read()
    if isinstance(value, list):
        return [read(item) for item in value]
    return {key: read(item) for key, item in value.items()} if isinstance(value, dict) else value
