"""Sources of files give the rows that are in the files."""

import struct

import numpy as np
import pytest
from safetensors.numpy import save_file
from source_samples import COUNT, ArraySource, ShardSource, T, W, X, parts, trained

from fastfnn.sources import ParquetSource

BYTES = (abs(X) * 50).astype(np.uint8)
LABELS = T.astype(np.uint8)
IDX_CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def write_idx(path, array, kind="u1"):
    header = bytes((0, 0, IDX_CODES[kind], array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(kind).tobytes())
    return path


def write_npy(path, array):
    np.save(path, array)
    return path


def same(source, expected):
    """Whether trainings on both take the same steps in order."""
    first, second = trained(source), trained(expected)
    return first[0].tobytes() == second[0].tobytes() and source.samples == COUNT


IN_ORDER = {"shuffle": False, "window": 40}
EXPECTED = ArraySource(X, T, **IN_ORDER)


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files(tmp_path, order):
    x = write_npy(tmp_path / "x.npy", np.asarray(X, order=order))
    t = write_npy(tmp_path / "t.npy", T)
    w = write_npy(tmp_path / "w.npy", W)
    assert same(ArraySource(x, t, **IN_ORDER), EXPECTED)
    assert same(ArraySource(str(x), T, w, **IN_ORDER), ArraySource(X, T, W, **IN_ORDER))


@pytest.mark.parametrize("kind", IDX_CODES)
def test_idx_files(tmp_path, kind):
    images = BYTES.reshape(COUNT, 2, 2) // 2
    source = ArraySource(write_idx(tmp_path / "x", images, kind), write_idx(tmp_path / "t", LABELS), **IN_ORDER)
    assert same(source, ArraySource(images.reshape(COUNT, 4), T, **IN_ORDER))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int32", "bool"])
def test_safetensors_files(tmp_path, dtype):
    path, x = tmp_path / "both.safetensors", (abs(X) * 3).astype(dtype)
    # One byte in front of the others, so that they are not aligned.
    save_file({"byte": np.zeros(1, np.uint8), "images": x, "labels": T, "weights": W}, path)
    assert same(ArraySource(path, names=("images", "labels"), **IN_ORDER), ArraySource(x, T, **IN_ORDER))
    with_weights = ArraySource(path, names=("images", "labels", "weights"), **IN_ORDER)
    assert same(with_weights, ArraySource(x, T, W, **IN_ORDER))


def test_npz_files(tmp_path):
    np.savez(tmp_path / "both.npz", x=X, t=T)
    assert same(ArraySource(tmp_path / "both.npz", **IN_ORDER), EXPECTED)


@pytest.mark.parametrize("size", [5, 30, 100])
def test_shards(tmp_path, size):
    for i, (x, t, w) in enumerate(parts(size, X, T, W)):
        write_npy(tmp_path / f"x-{i:03}.npy", x)
        write_npy(tmp_path / f"t-{i:03}.npy", t)
        write_npy(tmp_path / f"w-{i:03}.npy", w)
    assert same(ShardSource(tmp_path, **IN_ORDER), EXPECTED)
    weighted = ArraySource(X, T, W, **IN_ORDER)
    assert same(ShardSource(tmp_path, names=("x", "t", "w"), **IN_ORDER), weighted)
    pairs = [(tmp_path / f"x-{i:03}.npy", tmp_path / f"t-{i:03}.npy") for i in range(-(-COUNT // size))]
    assert same(ShardSource(pairs, **IN_ORDER), EXPECTED)


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_shards_that_hold_both(tmp_path, kind):
    for i, (x, t) in enumerate(parts(30, X, T)):
        path = tmp_path / f"{i}.{kind}"
        save_file({"a": x, "b": t}, path) if kind == "safetensors" else np.savez_compressed(path, a=x, b=t)
    (tmp_path / "readme.txt").write_text("not a shard")
    source = ShardSource(tmp_path, names=("a", "b"), **IN_ORDER)
    assert same(source, EXPECTED)
    assert same(ShardSource(sorted(tmp_path.glob(f"*.{kind}")), names=("a", "b"), **IN_ORDER), EXPECTED)
    assert np.concatenate(list(source._targets())).tolist() == T.tolist()


def test_shards_are_visited_in_random_order(tmp_path):
    for i, (x, t) in enumerate(parts(30, X, T)):
        np.savez(tmp_path / f"{i}.npz", x=x, t=t)
    source, rng = ShardSource(tmp_path), np.random.default_rng(0)
    orders = [[chunk.of for chunk in source._epoch(rng.permutation, None)] for _ in range(3)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert not orders[0] == orders[1] == orders[2]


# Parquet


@pytest.fixture
def tables(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {f"x{j}": X[:, j] for j in range(4)} | {"label": T, "weight": W}
    for i, part in enumerate(parts(70, *columns.values())):
        pq.write_table(pa.table(dict(zip(columns, part, strict=True))), tmp_path / f"{i}.parquet", row_group_size=30)
    return tmp_path


def test_parquet_files(tables):
    names = [f"x{j}" for j in range(4)]
    source = ParquetSource(tables, "label", names, **IN_ORDER)
    assert same(source, EXPECTED)
    assert len(list(source.chunks())) == 6
    weighted = ParquetSource([tables / "0.parquet", tables / "1.parquet"], "label", sample_weight="weight", **IN_ORDER)
    assert weighted.features == names
    assert same(weighted, ArraySource(X, T, W, **IN_ORDER))


def test_several_targets_of_a_parquet_file_are_rows(tables):
    source = ParquetSource(tables / "0.parquet", ["x2", "x3"], ["x0", "x1"])
    (first, *_) = source.chunks()
    assert (first.x == X[:30, :2]).all()
    assert (first.t == X[:30, 2:]).all()


def test_columns_that_cannot_be_used_are_named(tables):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tables / "other.parquet"
    pq.write_table(pa.table({"a": [1.0, None], "b": ["u", "v"], "t": [0, 1]}), path)
    with pytest.raises(ValueError, match="column 'a' must have no missing values, got 1 in the row group"):
        list(ParquetSource(path, "t", ["a"]).chunks())
    with pytest.raises(TypeError, match="column 'b' must hold real numbers, got string"):
        list(ParquetSource(path, "t", ["b"]).chunks())
    with pytest.raises(ValueError, match=r"other.parquet must have the column 'label', got a, b, t"):
        ParquetSource(path, "label")
    with pytest.raises(TypeError, match="features must be a sequence of str, got 'a'"):
        ParquetSource(path, "t", "a")
    with pytest.raises(ValueError, match="paths must be at least one file"):
        ParquetSource([], "t", ["a"])
    path.write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"other.parquet is no Parquet file"):
        ParquetSource(path, "t")


# Wrong files


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        ArraySource(tmp_path / "none.npy", T)
    with pytest.raises(FileNotFoundError):
        ShardSource(tmp_path / "none")
    path = tmp_path / "x"
    for content, message in (
        (b"", "must be .npy, .safetensors or raw IDX, got a file that begins with nothing"),
        (b"\x1f\x8b\x08\x00", "1f 8b 08 00; decompress it first"),
        (b"\0\0\x08\x02\0\0", "must have an IDX header of 12 bytes, got 6"),
        (b"\0\0\x08\x01\0\0\0\x09abc", "must have 17 bytes for the shape"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            ArraySource(path, T)
    for name, content in (("x.npy", b"\x93NUMPY\x01\0"), ("x.npz", b"PK"), ("x.safetensors", b"{}")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is no"):
            ArraySource(tmp_path / name, None if name != "x.npy" else T)
        with pytest.raises(ValueError, match=f"{name} is no"):
            ShardSource([tmp_path / name] if name != "x.npy" else [(tmp_path / name, tmp_path / name)])


def test_files_that_do_not_fit_together_are_named(tmp_path):
    short = write_npy(tmp_path / "x-0.npy", X[:9]), write_npy(tmp_path / "t-0.npy", T[:8])
    with pytest.raises(ValueError, match=r"x-0.npy and .*t-0.npy must have one entry per row in each array"):
        ShardSource([short])
    (tmp_path / "t-0.npy").unlink()
    with pytest.raises(ValueError, match=r"must have t-0.npy beside x-0.npy, got none"):
        ShardSource(tmp_path)
    (tmp_path / "x-0.npy").unlink()
    with pytest.raises(ValueError, match="shards must be at least one shard, got none in"):
        ShardSource(tmp_path)
    save_file({"a": X}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"names must be those of arrays in .*, got 'x'; it has a"):
        ArraySource(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="t and sample_weight must be arrays in"):
        ArraySource(tmp_path / "a.safetensors", T)
    with pytest.raises(ValueError, match=r"t must be an array, or a .npy or IDX file, got"):
        ArraySource(X, tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("shards", "kind", "message"),
    [
        (3, TypeError, "shards must be a folder or a sequence of files, got int"),
        ([3], TypeError, r"shards\[0\] must be a file or a tuple of files, got 3"),
        (["x.npy"], ValueError, r"shards\[0\] must be one .npz or .safetensors file, or a tuple"),
        ([("x.npz", "t.npz")], ValueError, r"shards\[0\] must be one .npz or .safetensors file, or a tuple"),
    ],
)
def test_wrong_shards_are_refused(shards, kind, message):
    with pytest.raises(kind, match=message):
        ShardSource(shards)


@pytest.mark.parametrize("names", ["xt", ("x",), ("x", 3), ("x", "t", "w", "v")])
def test_wrong_names_are_refused(names):
    with pytest.raises((TypeError, ValueError), match="names must be"):
        ShardSource([], names=names)
