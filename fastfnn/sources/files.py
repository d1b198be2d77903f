"""Arrays in files as memory maps: .npy, raw IDX, and the tensors of a safetensors file; .npz is read.

`ArraySource` and `ShardSource` call this. What is wrong with a file is a ValueError that names it.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastfnn import files

# Element types of IDX files by their code, and of safetensors files by their name.
IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
SAFETENSORS = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip

TOGETHER = (".npz", ".safetensors")  # the files that hold samples and targets


def is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def suffix(path: Any) -> str:
    return os.path.splitext(str(os.fspath(path)))[1].lower()


def mapped(path: Any) -> np.ndarray:
    """Return the array of a .npy or IDX file as a read-only memory map."""
    if suffix(path) == ".npy":
        try:
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is no .npy file that can be mapped: {error}") from error
        return array
    with open(path, "rb") as file:
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX or not start[3]:
            hint = "; decompress it first" if start[:2] == bytes((0x1F, 0x8B)) else ""
            got = start.hex(" ") or "nothing"
            raise ValueError(f"{path} must be .npy, .safetensors or raw IDX, got a file that begins with {got}{hint}")
        sizes = file.read(4 * start[3])
        if len(sizes) < 4 * start[3]:
            raise ValueError(f"{path} must have an IDX header of {4 + 4 * start[3]} bytes, got {4 + len(sizes)}")
    return _mapped_at(path, IDX[start[2]], struct.unpack(f">{start[3]}I", sizes), 4 + 4 * start[3])


def together(path: Any, names: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays of these names in a .safetensors file, as memory maps, or in a .npz file, read."""
    if suffix(path) == ".npz":
        _check_names(path, names, members(path))
        return archived(path, names)
    header, start = _safetensors_header(path)
    _check_names(path, names, header)
    return [_tensor(path, name, header[name], start) for name in names]


def shapes(path: Any, names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays that `together` returns, without reading them."""
    if suffix(path) != ".npz":
        return [array.shape for array in together(path, names)]
    _check_names(path, names, members(path))
    with zipfile.ZipFile(path) as archive, _explained(path):
        return [_shape_in(archive, name) for name in names]


def members(path: Any) -> list[str]:
    """Return the names of the arrays in a .npz file."""
    with _explained(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def archived(path: Any, names: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays of these names in a .npz file, read."""
    with _explained(path), np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in names]


@contextlib.contextmanager
def _explained(path: Any) -> Iterator[None]:
    """Let an error about what a .npz file holds name the file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is no .npz file that can be read: {error}") from error


def _shape_in(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with archive.open(f"{name}.npy") as member:
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            np.lib.format.read_magic(member), np.lib.format.read_array_header_2_0
        )
        shape: tuple[int, ...] = read(member)[0]
        return shape


def _check_names(path: Any, names: Sequence[str], found: Any) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        others = ", ".join(sorted(set(found) - {"__metadata__"})) or "none"
        raise ValueError(f"names must be those of arrays in {path}, got {missing[0]!r}; it has {others}")


def _safetensors_header(path: Any) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and where the tensors begin."""
    header = files._header(os.fspath(path))
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
    return header, 8 + length


def _tensor(path: Any, name: str, told: Any, start: int) -> np.ndarray:
    try:
        kind, shape, (first, last) = SAFETENSORS[told["dtype"]], tuple(told["shape"]), told["data_offsets"]
        size = math.prod(shape) * np.dtype(kind).itemsize
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} must hold {name} as numbers of {', '.join(SAFETENSORS)}, got {told}") from None
    if last - first != size:
        raise ValueError(f"{path} must hold {size} bytes for {name} of shape {shape}, got {last - first}")
    return _mapped_at(path, kind, shape, start + first)


def _mapped_at(path: Any, kind: str, shape: tuple[int, ...], offset: int) -> np.ndarray:
    needed = offset + math.prod(shape) * np.dtype(kind).itemsize
    if os.path.getsize(path) < needed:
        raise ValueError(f"{path} must have {needed} bytes for the shape {shape}, got {os.path.getsize(path)}")
    if not math.prod(shape):
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", offset, shape)
