"""The arrays of fuzz.py's cases: values, dtypes, and layouts in memory; and that no call changes them."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

MOST_LISTED = 3000  # elements: larger arrays are not given as lists, which are slow


def random_numbers(rng: np.random.Generator, shape: tuple[int, ...], given: dict[str, Any]) -> np.ndarray:
    """Numbers of a dtype; floats are normal, times the scale that is given."""
    dtype = np.dtype(given.get("dtype", "float64"))
    if dtype.kind == "f":
        scale = 1.0 if dtype == np.float16 else given.get("scale", 1.0)
        return (scale * rng.standard_normal(shape)).astype(dtype)
    return rng.integers(*((0, 2) if dtype.kind == "b" else (0, 5) if dtype.kind == "u" else (-3, 4)), shape).astype(
        dtype
    )


def laid_out(values: np.ndarray, layout: str | None) -> Any:
    """The values in a layout; "repeated" is the first row again and again, with a stride of 0."""
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "strided":
        larger = np.zeros([3 * size + 1 for size in values.shape], values.dtype)
        view = larger[tuple(slice(1, 1 + 3 * size, 3) for size in values.shape)]
        view[...] = values
        return view
    if layout == "reversed":
        backwards = (slice(None, None, -1),) * values.ndim
        return np.array(values[backwards], order="C")[backwards]
    if layout == "sliced":
        larger = np.zeros([size + 3 for size in values.shape], values.dtype)
        view = larger[tuple(slice(1, 1 + size) for size in values.shape)]
        view[...] = values
        return view
    if layout == "readonly":
        copy = values.copy()
        copy.flags.writeable = False
        return copy
    if layout == "repeated":
        return np.broadcast_to(values[:1], values.shape)
    if layout == "unaligned":
        memory = np.zeros(values.nbytes + 1, np.uint8)[1:]
        view = memory.view(values.dtype).reshape(values.shape)
        view[...] = values
        return view
    if layout == "list" and values.size <= MOST_LISTED and values.dtype.kind != "f":
        return values.tolist()  # NumPy reads lists of floats as float64
    return values


def digest(value: Any) -> str:
    """A hash of arrays, numbers and what holds them: equal for equal bits."""
    hashed = hashlib.sha256()
    _feed(hashed, value)
    return hashed.hexdigest()


def _feed(hashed: Any, value: Any) -> None:
    if isinstance(value, dict):
        for name, part in value.items():
            hashed.update(str(name).encode())
            _feed(hashed, part)
    elif isinstance(value, (list, tuple)) and any(isinstance(part, (np.ndarray, list, tuple)) for part in value):
        for part in value:
            _feed(hashed, part)
    else:
        array = np.asarray(value)
        hashed.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())


class InputChanged(AssertionError):
    """A call wrote to its arguments."""


@contextlib.contextmanager
def unchanged(inputs: dict[str, Any]) -> Iterator[None]:
    """Raise if the block changes one of the inputs."""
    before = {name: digest(value) for name, value in inputs.items()}
    yield
    for name, value in inputs.items():
        if digest(value) != before[name]:
            raise InputChanged(f"{name} was changed")
