"""Handwritten digits to train on: those that come with the package, or a folder of MNIST-format files."""

import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

SHIPPED = pathlib.Path(__file__).with_name("data") / "mnist10k.npz"
SHIPPED_TRAIN = 8_000  # the first 8,000 of the shipped digits are for training, the other 2,000 for test

UNSIGNED_BYTE = 8  # the dtype code of IDX that MNIST and its relatives use

Arrays = tuple[np.ndarray, np.ndarray]


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    folder: str | os.PathLike[str] | None = None,
) -> tuple[Arrays, Arrays]:
    """Images and labels as (x_train, t_train), (x_test, t_test): the shipped digits, or those in a folder of IDX files.

    x  (N, H W), or (N, 1, H, W) with flatten=False  float32 in [0, 1], or uint8 in [0, 255] with normalize=False
    t  (N,), or one-hot rows (N, K)                  int64 in [0, K), or float32 with one_hot_label=True

    The shipped digits are 8,000 for training and 2,000 for test, with H = W = 28 and K = 10. A folder may hold images
    of any size and up to 256 classes (K is the largest label plus 1), in the four files that MNIST comes in, each
    plain or compressed to .gz:
        train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte  t10k-labels-idx1-ubyte
    The variant spelling train-images.idx3-ubyte is taken too.

    Raises TypeError for an argument of the wrong type, FileNotFoundError for a missing file, ValueError for a broken
    one.
    Source: MNIST, Yann LeCun, Corinna Cortes and Christopher J. C. Burges; the signature is that of the book 'Deep
    Learning from Scratch', on which section 5 of the notes draws.
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
            x /= 255  # in place: a full-size x takes 200 MB
        return x, np.eye(classes, dtype=np.float32)[labels] if one_hot_label else labels.astype(np.int64)

    return prepare(*train), prepare(*test)


def _shipped() -> tuple[Arrays, Arrays]:
    with np.load(SHIPPED) as data:
        images, labels = data["images"], data["labels"]
    return (images[:SHIPPED_TRAIN], labels[:SHIPPED_TRAIN]), (images[SHIPPED_TRAIN:], labels[SHIPPED_TRAIN:])


def _from_folder(folder: pathlib.Path) -> tuple[Arrays, Arrays]:
    (train, train_path), (test, test_path) = _read_part(folder, "train"), _read_part(folder, "t10k")
    size, test_size = train[0].shape[1:], test[0].shape[1:]
    if size != test_size:
        raise ValueError(f"{test_path}: expected images of {size}, the size of those in {train_path}, got {test_size}")
    return train, test


def _read_part(folder: pathlib.Path, part: str) -> tuple[Arrays, pathlib.Path]:
    """The images and labels of a part, "train" or "t10k", and the path of the images."""
    images_path, labels_path = _find(folder, f"{part}-images", 3), _find(folder, f"{part}-labels", 1)
    images, labels = _read_idx(images_path, 3), _read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path}: expected {len(images)} labels, one per image of {images_path}, got {len(labels)}"
        )
    return (images, labels), images_path


def _find(folder: pathlib.Path, name: str, ndim: int) -> pathlib.Path:
    spellings = [f"{name}{mark}idx{ndim}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    for spelling in spellings:
        if (folder / spelling).is_file():
            return folder / spelling
    raise FileNotFoundError(f"{folder / spellings[0]}: no such file, nor one named {', '.join(spellings[1:])}")


def _read_idx(path: pathlib.Path, ndim: int) -> np.ndarray:
    """An IDX file: two zero bytes, a dtype code, the number of dimensions, each size in 4 bytes, then the elements."""
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
        raise ValueError(f"{path}: expected {math.prod(shape)} elements, as its header says {shape}, got {elements}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
