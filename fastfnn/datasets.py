"""Handwritten digits to train on: the digits in the package, or a folder of files in the format of MNIST."""

from __future__ import annotations

import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

SHIPPED = pathlib.Path(__file__).with_name("data") / "mnist10k.npz"
SHIPPED_NAME = "mnist10k"  # on the command line
SHIPPED_TRAIN = 8_000  # the first 8,000 of the shipped digits are for training, the other 2,000 for test

PARTS = ("train", "t10k")  # beginnings of the names of the files in a folder

UNSIGNED_BYTE = 8  # the dtype code of IDX files that MNIST and its relatives use

Arrays = tuple[np.ndarray, np.ndarray]


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    folder: str | os.PathLike[str] | None = None,
) -> tuple[Arrays, Arrays]:
    """Load images and labels: the shipped digits, or those in a folder of IDX files.

    Parameters
    ----------
    normalize : bool, default True
        True gives float32 in [0, 1], False uint8 in [0, 255].
    flatten : bool, default True
        True gives images of shape (N, H W), False (N, 1, H, W).
    one_hot_label : bool, default False
        False gives int64 labels (N,) in [0, K), True float32 one-hot rows (N, K).
    folder : str or path-like, optional
        A folder with the four files of MNIST, each plain or compressed (.gz): train-images-idx3-ubyte,
        train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte. The spelling train-images.idx3-ubyte is
        accepted too. Images may have any size; there may be up to 256 classes. None loads the shipped digits.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        The shipped digits are 8,000 for training and 2,000 for test, with H = W = 28 and K = 10. For a folder K is the
        largest label plus 1.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is malformed.

    References
    ----------
    MNIST, by Y. LeCun, C. Cortes and C. Burges. The signature is that of the book 'Deep Learning from Scratch', from
    which section 5 of the lecture notes draws.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> (x, t), (x_test, t_test) = fnn.datasets.load_mnist()
    >>> x.shape, x.dtype, t.shape, x_test.shape
    ((8000, 784), dtype('float32'), (8000,), (2000, 784))
    """
    for name, value in (("normalize", normalize), ("flatten", flatten), ("one_hot_label", one_hot_label)):
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    if folder is not None and not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path or None, got {folder!r}")

    train, test = _shipped() if folder is None else _from_folder(pathlib.Path(folder))
    classes = 1 + int(max(labels.max(initial=0) for _, labels in (train, test)))

    def prepare(images: np.ndarray, labels: np.ndarray) -> Arrays:
        # images (N, H, W) uint8, labels (N,) uint8
        count, height, width = images.shape
        x = images.reshape((count, height * width) if flatten else (count, 1, height, width))
        x = x.astype(np.float32 if normalize else np.uint8)
        if normalize:
            x /= 255  # in place, because x is large
        return x, np.eye(classes, dtype=np.float32)[labels] if one_hot_label else labels.astype(np.int64)

    return prepare(*train), prepare(*test)


def files_in(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Return the files that `load_mnist` reads in a folder, without those that are missing."""
    kinds = [(f"{part}-{what}", ndim) for part in PARTS for what, ndim in (("images", 3), ("labels", 1))]
    return [path for name, ndim in kinds if (path := _existing(pathlib.Path(folder), _spellings(name, ndim)))]


def _shipped() -> tuple[Arrays, Arrays]:
    with np.load(SHIPPED) as data:
        images, labels = data["images"], data["labels"]
    return (images[:SHIPPED_TRAIN], labels[:SHIPPED_TRAIN]), (images[SHIPPED_TRAIN:], labels[SHIPPED_TRAIN:])


def _from_folder(folder: pathlib.Path) -> tuple[Arrays, Arrays]:
    (train, train_path), (test, test_path) = (_read_part(folder, part) for part in PARTS)
    size, test_size = train[0].shape[1:], test[0].shape[1:]
    if size != test_size:
        raise ValueError(f"{test_path}: expected images of {size}, the size of those in {train_path}, got {test_size}")
    return train, test


def _read_part(folder: pathlib.Path, part: str) -> tuple[Arrays, pathlib.Path]:
    """Return images and labels of the part "train" or "t10k", and the path of the images."""
    images_path, labels_path = _find(folder, f"{part}-images", 3), _find(folder, f"{part}-labels", 1)
    images, labels = _read_idx(images_path, 3), _read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path}: expected {len(images)} labels, one per image of {images_path}, got {len(labels)}"
        )
    return (images, labels), images_path


def _find(folder: pathlib.Path, name: str, ndim: int) -> pathlib.Path:
    """Return the path of an IDX file with `ndim` dimensions in one of its spellings."""
    spellings = _spellings(name, ndim)
    if path := _existing(folder, spellings):
        return path
    raise FileNotFoundError(
        f"{folder / spellings[0]}: no such file; the other accepted names are {', '.join(spellings[1:])}"
    )


def _spellings(name: str, ndim: int) -> list[str]:
    return [f"{name}{mark}idx{ndim}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]


def _existing(folder: pathlib.Path, spellings: list[str]) -> pathlib.Path | None:
    return next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)


def _read_idx(path: pathlib.Path, ndim: int) -> np.ndarray:
    """Read an IDX file: two zero bytes, a dtype code, the number of dimensions, sizes of 4 bytes, then the elements."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: expected a gzip file, got one that does not decompress: {error}") from error

    magic = bytes((0, 0, UNSIGNED_BYTE, ndim))
    if data[:4] != magic:
        raise ValueError(
            f"{path}: expected the first bytes {magic.hex(' ')} (IDX, unsigned bytes in {ndim} dimensions), "
            f"got {data[:4].hex(' ') or 'an empty file'}"
        )
    start = 4 + 4 * ndim
    if len(data) < start:
        raise ValueError(f"{path}: expected a header of {start} bytes, got {len(data)} bytes in all")
    shape = struct.unpack(f">{ndim}I", data[4:start])
    elements = len(data) - start
    if elements != math.prod(shape):
        raise ValueError(f"{path}: expected {math.prod(shape)} elements for the shape {shape}, got {elements}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
