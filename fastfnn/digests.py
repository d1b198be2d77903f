"""Digests of arrays and descriptions of settings: what tells the data and the arguments of a training from others.

A checkpoint holds them, see `resuming`, and a training that goes on compares its own. All rows are read once, in
blocks, so that a memory map larger than memory has a digest, too, and several processes can compute that of the rows
that they share, see `parallel.measuring`. Knows neither networks nor files of ours.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastfnn.memory_maps import forget

BLOCK_BYTES = 1 << 20
SPARSE_BLOCK_ROWS = 4096
LONGEST_TEXT = 200


def digest(rows: Any, dtype: np.dtype[Any] | None = None) -> str | None:
    """Return a text that tells the rows of an array from others; None for an empty array.

    Parameters
    ----------
    rows : array or sparse array, or None
    dtype : dtype, optional
        In which the numbers are compared; by default their own.
    """
    if rows is None or not rows.shape[0]:
        return None
    rows, size = by_rows(rows), block_rows(rows, dtype)
    blocks = (block_digest(rows[first : first + size], dtype) for first in range(0, rows.shape[0], size))
    return of_blocks(blocks, rows.shape[0])


def by_rows(rows: Any) -> Any:
    """Return an array whose rows can be taken: CSR, if it is sparse."""
    return rows if isinstance(rows, np.ndarray) else rows.tocsr()


def block_rows(rows: Any, dtype: np.dtype[Any] | None) -> int:
    """Return the rows of a block, which depend on what a row is alone."""
    if not isinstance(rows, np.ndarray):
        return SPARSE_BLOCK_ROWS
    itemsize = (dtype or rows.dtype).itemsize
    return max(BLOCK_BYTES // max(itemsize * int(np.prod(rows.shape[1:])), 1), 1)


def block_digest(rows: Any, dtype: np.dtype[Any] | None) -> bytes:
    """Return the digest of the rows of a block."""
    if isinstance(rows, np.ndarray):
        result = _digest_of_arrays(rows.shape[1:], converted(rows, dtype))
        forget(rows)
        return result
    rows = rows.copy()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    places = (rows.indptr - rows.indptr[0]).astype(np.int64), rows.indices.astype(np.int64)
    return _digest_of_arrays(("sparse", rows.shape[1]), *places, converted(rows.data, dtype))


def converted(rows: np.ndarray, dtype: np.dtype[Any] | None) -> np.ndarray:
    """Return rows that are contiguous, in the dtype in which they are compared."""
    return np.ascontiguousarray(rows, rows.dtype.newbyteorder("=") if dtype is None else dtype)


def of_blocks(blocks: Iterable[bytes], count: int) -> str:
    """Return the digest of `count` rows from those of their blocks."""
    whole = hashlib.sha256()
    for block in blocks:
        whole.update(block)
    return f"digest {whole.hexdigest()[:16]} of {count} rows"


def file_digest(path: str) -> str:
    """Return a text that tells the content of a file from others."""
    with open(path, "rb") as file:
        return f"digest {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def _digest_of_arrays(kind: Any, *arrays: np.ndarray) -> bytes:
    content = hashlib.sha256(repr((kind, [array.dtype.str for array in arrays])).encode())
    for array in arrays:
        content.update(array.reshape(-1).view(np.uint8).data)
    return content.digest()


# Settings


def described(value: Any) -> Any:
    """Return a setting as it is compared: as JSON.

    Numbers, texts, sequences and mappings are told by their value, arrays by their numbers, sources of random numbers
    by their state, functions by their name: a file holds no code.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    return _short(_text(value))


def _text(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return repr([described(item) for item in value.ravel().tolist()])
        return f"array of shape {value.shape}, {digest(np.atleast_1d(value))}"
    if isinstance(value, Mapping):
        items = sorted((repr(described(key)), repr(described(item))) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in items) + "}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(repr(described(item)) for item in value)) + "}"
    if isinstance(value, np.random.RandomState):
        return f"{kind}, {_state_digest(value.get_state(legacy=False))}"
    if isinstance(value, np.random.Generator):
        return f"{kind}, {_state_digest(value.bit_generator.state)}"
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if hasattr(value, "get_params"):
        return f"{kind}({_text(value.get_params(deep=False))})"
    if isinstance(value, functools.partial):
        return f"partial({described([value.func, value.args, value.keywords])})"
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"function {name}"
    told = repr(value)
    return kind if " at 0x" in told else told  # an address is another one in each process


def _short(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[: LONGEST_TEXT // 2]}..., digest {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _state_digest(state: Any) -> str:
    return f"digest {hashlib.sha256(_flat_text(state).encode()).hexdigest()[:16]}"


def _flat_text(state: Any) -> str:
    if isinstance(state, Mapping):
        return repr([(key, _flat_text(item)) for key, item in sorted(state.items())])
    return repr(state.tolist()) if isinstance(state, np.ndarray) else repr(state)


def compared(
    arguments: Mapping[str, Any], otherwise: Mapping[str, str], describe: Callable[[Any], Any] = described
) -> dict[str, Any]:
    """Return arguments as they are compared: all but those that may differ or are compared in another way.

    `otherwise` holds the names of the latter, and the reason of each.
    """
    return {name: describe(value) for name, value in arguments.items() if name not in otherwise}
