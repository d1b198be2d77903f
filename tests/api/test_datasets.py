import gzip
import hashlib
import pathlib

import numpy as np
import pytest

from fastfnn.datasets import load_mnist

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "t_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "t_test": "t10k-labels-idx1-ubyte",
}


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    # images that are not square, more than ten classes, and a class (12) that occurs only in the test part
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (5, 3, 4)),
        "t_train": np.array([0, 11, 3, 3, 7]),
        "x_test": rng.integers(0, 256, (2, 3, 4)),
        "t_test": np.array([12, 0]),
    }


@pytest.fixture
def folder(tmp_path: pathlib.Path, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    for key, name in NAMES.items():
        (tmp_path / name).write_bytes(idx(arrays[key]))
    return tmp_path


# The shipped digits


def test_the_shipped_digits_have_their_documented_shapes():
    (x, t), (x_test, t_test) = load_mnist(normalize=False)
    assert (x.shape, x.dtype) == ((8000, 784), np.uint8)
    assert (t.shape, t.dtype) == ((8000,), np.int64)
    assert (x_test.shape, t_test.shape) == ((2000, 784), (2000,))
    assert (x.min(), x.max()) == (0, 255)
    np.testing.assert_array_equal(np.bincount(t), [784, 882, 805, 828, 789, 679, 811, 882, 755, 785])
    np.testing.assert_array_equal(np.bincount(t_test), [217, 245, 186, 204, 191, 184, 203, 188, 189, 193])


def test_the_split_of_the_shipped_digits_is_fixed():
    # published accuracies depend on it
    digest = hashlib.sha256()
    for x, t in load_mnist(normalize=False):
        digest.update(x.tobytes() + t.astype(np.uint8).tobytes())
    assert digest.hexdigest() == "1839c5476854cb3a1778f9b706998522160791c51616257bc3a9fed4fa331bca"


def test_normalize_divides_bytes_by_255():
    (x, _), _ = load_mnist()
    (raw, _), _ = load_mnist(normalize=False)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(x, raw.astype(np.float32) / np.float32(255))


def test_images_that_are_not_flattened_have_a_channel_axis():
    (x, _), (x_test, _) = load_mnist(flatten=False)
    assert (x.shape, x_test.shape) == ((8000, 1, 28, 28), (2000, 1, 28, 28))
    (flat, _), _ = load_mnist()
    np.testing.assert_array_equal(x.reshape(8000, 784), flat)


def test_one_hot_rows_encode_the_labels():
    (_, rows), (_, test_rows) = load_mnist(one_hot_label=True)
    (_, labels), _ = load_mnist()
    assert (rows.shape, rows.dtype, test_rows.shape) == ((8000, 10), np.float32, (2000, 10))
    np.testing.assert_array_equal(rows.sum(axis=1), 1)
    np.testing.assert_array_equal(rows.argmax(axis=1), labels)


def test_every_load_returns_new_arrays():
    # neither a view of shared memory nor read-only
    (x, t), _ = load_mnist(normalize=False)
    x[:], t[:] = 1, 1
    (again, _), _ = load_mnist(normalize=False)
    assert again.max() == 255


# A folder of IDX files


@pytest.mark.parametrize("spelling", ["{}", "{}.gz", "dot", "dot.gz"])
def test_files_in_a_folder_are_found_in_every_spelling(folder, arrays, spelling):
    for name in NAMES.values():
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        name = name.replace("-idx", ".idx") if spelling.startswith("dot") else name
        if spelling.endswith(".gz"):
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    (x, t), (x_test, t_test) = load_mnist(normalize=False, flatten=False, folder=folder)
    np.testing.assert_array_equal(x[:, 0], arrays["x_train"])
    np.testing.assert_array_equal(t, arrays["t_train"])
    np.testing.assert_array_equal(x_test[:, 0], arrays["x_test"])
    np.testing.assert_array_equal(t_test, arrays["t_test"])


def test_a_folder_may_be_text_and_hold_images_of_any_size(folder):
    (x, t), (x_test, t_test) = load_mnist(one_hot_label=True, folder=str(folder))
    assert (x.shape, x_test.shape) == ((5, 12), (2, 12))
    assert (t.shape, t_test.shape) == ((5, 13), (2, 13))
    assert t_test[0, 12] == 1
    x[:] = 0  # writable


def test_a_folder_without_samples_gives_empty_arrays(folder):
    for key, shape in {"x_train": (0, 3, 4), "t_train": (0,), "x_test": (0, 3, 4), "t_test": (0,)}.items():
        (folder / NAMES[key]).write_bytes(idx(np.empty(shape)))
    (x, t), _ = load_mnist(folder=folder)
    assert (x.shape, t.shape) == ((0, 12), (0,))


@pytest.mark.parametrize("name", NAMES.values())
def test_a_missing_file_is_reported_by_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file; the other accepted names are {name}.gz, "):
        load_mnist(folder=folder)


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_mnist(folder=tmp_path / "nowhere")


BROKEN_IMAGES = {
    "empty": (lambda content: b"", "expected the first bytes 00 00 08 03 .* got an empty file"),
    "short magic": (lambda content: content[:3], "got 00 00 08$"),
    "bad magic": (lambda content: b"PK" + content[2:], "expected the first bytes 00 00 08 03 .* got 50 4b 08 03"),
    "float elements": (lambda content: b"\0\0\x0d" + content[3:], "got 00 00 0d 03"),
    "labels for images": (lambda content: idx(np.arange(5)), "got 00 00 08 01"),
    "short header": (lambda content: content[:15], "expected a header of 16 bytes, got 15 bytes"),
    "truncated": (lambda content: content[:-1], r"expected 60 elements for the shape \(5, 3, 4\), got 59"),
    "trailing bytes": (lambda content: content + b"\n", r"expected 60 elements .* got 61"),
    "absurd sizes": (lambda content: content[:4] + b"\xff" * 12 + content[16:], "expected 792281624.* got 60"),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("case", BROKEN_IMAGES)
def test_a_malformed_file_is_reported_by_name(folder, case, suffix):
    damage, message = BROKEN_IMAGES[case]
    path = folder / NAMES["x_train"]
    content = damage(path.read_bytes())
    path.unlink()
    path.with_name(path.name + suffix).write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(ValueError, match=f"{path.name}{suffix}: .*{message}"):
        load_mnist(folder=folder)


@pytest.mark.parametrize(
    "damage",
    [
        gzip.decompress,
        lambda content: content[:-9],
        lambda content: content[:12] + bytes(reversed(content[12:])),
        lambda content: content + b"more",
    ],
    ids=["plain", "truncated", "scrambled", "trailing bytes"],
)
def test_a_broken_gzip_file_is_reported_by_name(folder, damage):
    path = folder / NAMES["t_test"]
    path.with_name(path.name + ".gz").write_bytes(damage(gzip.compress(path.read_bytes())))
    path.unlink()
    with pytest.raises(ValueError, match=f"{path.name}.gz: expected a gzip file"):
        load_mnist(folder=folder)


def test_different_numbers_of_images_and_labels_are_rejected(folder):
    (folder / NAMES["t_train"]).write_bytes(idx(np.arange(4)))
    with pytest.raises(ValueError, match=f"{NAMES['t_train']}: expected 5 labels, one per image of .*, got 4"):
        load_mnist(folder=folder)


def test_different_sizes_of_training_and_test_images_are_rejected(folder):
    (folder / NAMES["x_test"]).write_bytes(idx(np.zeros((2, 4, 3))))
    with pytest.raises(ValueError, match=rf"{NAMES['x_test']}: expected images of \(3, 4\), .* got \(4, 3\)"):
        load_mnist(folder=folder)


@pytest.mark.parametrize("name", ["normalize", "flatten", "one_hot_label"])
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_options_must_be_bool(name, value):
    with pytest.raises(TypeError, match=f"{name} must be True or False, got {value!r}"):
        load_mnist(**{name: value})


@pytest.mark.parametrize("value", [1, b"folder", ["folder"]])
def test_folder_must_be_a_path(value):
    with pytest.raises(TypeError, match="folder must be a path or None, got "):
        load_mnist(folder=value)
