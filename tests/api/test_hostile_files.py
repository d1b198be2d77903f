"""Files that are no networks, or pretend to be: each is a ValueError that names it, in little memory and at once."""

import json
import os
import pickle
import struct
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from small_networks import network

import fastfnn as fnn
from fastfnn import files

MEGABYTE = 1 << 20

TENSORS = {name: value.copy() for name, value in fnn.FNN((4, 5, 3), seed=0).params.items()}
DESCRIPTION = {
    "layer_sizes": [4, 5, 3], "activation": ["relu"], "loss": "softmax_cross_entropy", "dtype": "float32",
    "weight_decay": 0.0, "dropout": 0.0, "batch_norm": False, "book": False,
}  # fmt: skip


def good(description=DESCRIPTION, tensors=TENSORS, **metadata):
    text = description if isinstance(description, str) else json.dumps(description)
    return save(tensors, {"format": "fastfnn-1", "network": text, **metadata})


def told(**entries):
    """A file whose description differs in these entries; `...` leaves an entry out."""
    return good({name: value for name, value in (DESCRIPTION | entries).items() if value is not ...})


def raw(header, announced=None):
    """A file with any header; the arrays are those of a good file."""
    content = good()
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(header) if announced is None else announced
    return struct.pack("<Q", length) + header + content[8 + struct.unpack("<Q", content[:8])[0] :]


HEADER = json.loads(good()[8 : 8 + struct.unpack("<Q", good()[:8])[0]])


def entry(name, **changes):
    """A file whose header has other entries for an array."""
    return raw(HEADER | {name: HEADER[name] | changes})


def metadata(value):
    return raw(HEADER | {"__metadata__": value})


def wide(text, filling):
    """A header of the greatest length that is read, filled with many small values."""
    room = files.HEADER_LIMIT - len(text) - 100
    return raw(text.replace("FILLING", ", ".join([filling] * (room // (len(filling) + 2)))).encode())


INNER = '{"__metadata__": {"format": "fastfnn-1", "network": "{\\"layer_sizes\\": [FILLING]}"}}'
DUPLICATE = b'{"W1": ' + json.dumps(HEADER["W1"]).encode() + b", " + json.dumps(HEADER).encode()[1:]

HOSTILE = {
    **{f"cut after {size}": lambda size=size: good()[:size] for size in (0, 1, 7, 8, 9, 50, len(good()) - 1)},
    "longer": lambda: good() + b"x",
    "text": lambda: b"hello\n" * 100,
    "pickle": lambda: pickle.dumps({"a": 1}),
    **{f"header of {size}": lambda size=size: raw(HEADER, size) for size in (10**3, 10**8, 2**63, 2**64 - 1)},
    "header of spaces": lambda: raw(b" " * 50_000_000 + json.dumps(HEADER).encode()),
    "header of lists": lambda: wide('{"a": [FILLING]}', "[]"),
    "header of objects": lambda: wide('{"a": [FILLING]}', "{}"),
    "header of arrays": lambda: wide("{FILLING}", '"W1": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}'),
    "header is a list": lambda: raw([]),
    "header is UTF-16": lambda: raw(json.dumps(HEADER).encode("utf-16")),
    "nested header": lambda: raw(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "array twice": lambda: raw(DUPLICATE),
    "array is a number": lambda: raw(HEADER | {"W1": 3}),
    "negative offsets": lambda: entry("W1", data_offsets=[-8, 72]),
    "reversed offsets": lambda: entry("W1", data_offsets=[80, 0]),
    "offsets beyond the end": lambda: entry("W1", data_offsets=[0, 10**12]),
    "overlapping arrays": lambda: entry("b1", data_offsets=HEADER["W1"]["data_offsets"]),
    "huge shape": lambda: entry("W1", shape=[2**62, 2**62]),
    "huge shape of nothing": lambda: entry("W1", shape=[2**63, 0]),
    "shape of true": lambda: entry("b2", shape=[True]),
    "shape of floats": lambda: entry("W1", shape=[4.0, 5.0]),
    "other dtype": lambda: entry("W1", dtype="F64"),
    "unknown dtype": lambda: entry("W1", dtype="Q7"),
    "metadata is a list": lambda: metadata(["format"]),
    "metadata is null": lambda: metadata(None),
    "metadata of numbers": lambda: metadata({"format": 1}),
    "network is no text": lambda: metadata({"format": "fastfnn-1", "network": DESCRIPTION}),
    "no network": lambda: metadata({"format": "fastfnn-1"}),
    "other format": lambda: good(format="pt"),
    "long format": lambda: good(format="x" * MEGABYTE),
    **{f"network is {text}": lambda text=text: good(text) for text in ("", "{", "[]", "null", '"x"', "3", "NaN", "{}")},
    "nested lists": lambda: good("[" * 100_000 + "]" * 100_000),
    "nested objects": lambda: good('{"a":' * 100_000 + "1" + "}" * 100_000),
    "nested sizes": lambda: told(layer_sizes=json.loads("[" * 500 + "]" * 500)),
    "a description of lists": lambda: wide(INNER, "[]"),
    "a description of numbers": lambda: wide(INNER, "1"),
    "entry twice": lambda: good(json.dumps(DESCRIPTION)[:-1] + ', "loss": "squared_error"}'),
    "entry unknown": lambda: told(flavour="vanilla"),
    **{f"entry {name}": lambda name=name: told(**{name: 1}) for name in ("seed", "init", "backend", "self")},
    **{f"no {name}": lambda name=name: told(**{name: ...}) for name in files.REQUIRED},
    **{
        f"sizes {sizes!r}": lambda sizes=sizes: told(layer_sizes=sizes)
        for sizes in (
            [10**9, 10**9, 3], [60_000, 30_000, 3], [10**30, 5, 3], [2**63, 5, 3], [], [4], [4, -5, 3], [4, 0, 3],
            [4.0, 5, 3], [True, 5, 3], ["4", "5", "3"], "453", None, 4, {"a": 1}, [[4, 5, 3]], [4, [5], 3],
        )
    },
    "a long number": lambda: good(json.dumps(DESCRIPTION).replace("4", "9" * 5000, 1)),
    "many layers": lambda: told(layer_sizes=[1] * 200_000, activation=["relu"] * 199_998),
    "more layers": lambda: told(layer_sizes=[4, 5, 3, 3], activation=["relu"] * 2),
    **{
        f"activation {value!r}": lambda value=value: told(activation=value)
        for value in (None, "relu", [], ["relu", "relu"], {"relu": 1}, [{}], [["relu"]], [3], ["softmax"], ["mine"])
    },
    "activation of a megabyte": lambda: told(activation=["x" * MEGABYTE]),
    **{
        f"dtype {value!r}": lambda value=value: told(dtype=value)
        for value in ("float16", "float64", "f4", ">f4", "O", "f4,f4", [["a", "f4"]], None, 4)
    },
    **{
        f"{name} {value!r}": lambda name=name, value=value: told(**{name: value})
        for name, values in {
            "loss": ("mse", None, 3, ["softmax_cross_entropy"]),
            "loss_options": (
                None, 3, "x", [], {"delta": 1.0}, {"label_smoothing": 1.0}, {"label_smoothing": "0"}, {"self": 1},
                {"label_smoothing": None}, {"label_smoothing": 10**400}, {"label_smoothing": [0.1]}, {"": 0},
            ),
            "dropout": (1, 2, -0.5, "0.5", True, None, float("nan"), float("inf"), 10**400),
            "weight_decay": (-1, "0", False, None, [0], float("nan"), float("inf"), 10**400),
            "batch_norm": (True, 0, 1, "false", None),
            "book": (0, "yes", None),
        }.items()
        for value in values
    },
    "weight_decay 1e999": lambda: good(json.dumps(DESCRIPTION).replace('"weight_decay": 0.0', '"weight_decay": 1e999')),
    "array missing": lambda: good(tensors={"W1": TENSORS["W1"]}),
    "no arrays": lambda: good(tensors={}),
    "array too many": lambda: good(tensors=TENSORS | {"W9": TENSORS["W1"]}),
    "array of other shape": lambda: good(tensors=TENSORS | {"W1": TENSORS["W1"].T.copy()}),
    "array of other dtype": lambda: good(tensors=TENSORS | {"W1": TENSORS["W1"].astype(np.float16)}),
    "statistics without batch_norm": lambda: good(tensors=TENSORS | {"mean1": TENSORS["b1"]}),
    "a name of a megabyte": lambda: good(tensors=TENSORS | {"x" * MEGABYTE: TENSORS["W1"]}),
}  # fmt: skip


@pytest.fixture
def address_space():
    """The process may get 1 GB more than it has, so that an allocation of what a file asks for fails."""
    resource = pytest.importorskip("resource")
    try:
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        pytest.skip("needs /proc")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 1024 * MEGABYTE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_file_that_the_others_are_made_of_loads(tmp_path):
    path = tmp_path / "good"
    for content in (good(), raw(HEADER), told()):
        path.write_bytes(content)
        assert repr(fnn.load(path)) == "FNN(4-5-3, relu; softmax_cross_entropy; float32)"


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_a_valueerror_that_names_it(tmp_path, address_space, case):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(HOSTILE[case]())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"hostile\.safetensors") as caught:
            fnn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 150 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert caught.type is ValueError
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_a_device_or_a_pipe_is_a_valueerror(tmp_path, kind):
    path = "/dev/zero" if kind == "device" else str(tmp_path / "pipe")
    if kind == "pipe":
        os.mkfifo(path)
    caught = []

    def attempt():
        try:
            fnn.load(path)
        except ValueError as error:
            caught.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)  # an open of a pipe would wait for a writer
    thread.start()
    thread.join(60)
    assert caught == [f"{path} is not a safetensors file: it is a pipe or a device"]


@pytest.mark.parametrize("path", [3, None, ["net"], True])
def test_a_path_of_another_type_is_a_typeerror(path):
    for function in (fnn.load, fnn.FNN((2, 2)).save):
        with pytest.raises(TypeError, match=f"^path must be a str or a path-like object, got {type(path).__name__}$"):
            function(path)


def test_bytes_are_a_path(tmp_path):
    path = os.fsencode(tmp_path / "net")
    net = fnn.FNN((3, 2), seed=0)
    net.save(path)
    np.testing.assert_array_equal(fnn.load(path).params.flat, net.params.flat)


SMALL = {
    kind: save(
        {name: np.array(value) for name, value in {**net.params, **net._running()}.items()},
        {
            "format": "fastfnn-1",
            "network": json.dumps({"layer_sizes": list(net.layer_sizes)} | net._options() | {"loss": net.loss_name}),
        },
    )
    for kind, net in {
        "plain": network((4, 5, 3), dtype="float32"),
        "batch norm": network((2, 3, 1), loss="squared_error", batch_norm=True, dropout=0.5),
    }.items()
}


@given(
    kind=st.sampled_from(sorted(SMALL)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
    more=st.binary(max_size=3),
)
def test_changed_and_cut_files_load_or_are_a_valueerror(tmp_path_factory, kind, changes, kept, more):
    content = bytearray(SMALL[kind])
    for place, value in changes:
        content[int(place * len(content))] = value
    content = bytes(content[: round(kept * len(content))]) + more
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    path.write_bytes(content)
    try:
        net = fnn.load(path)
    except ValueError as error:
        assert type(error) is ValueError and path.name in str(error)
    else:
        net.predict(np.zeros((1, net.layer_sizes[0])))


def test_a_header_with_any_byte_changed_loads_or_is_a_valueerror(tmp_path):
    path = tmp_path / "changed.safetensors"
    content = SMALL["plain"]
    errors = 0
    for position in range(8 + int.from_bytes(content[:8], "little")):
        for value in (0x00, 0x22, 0x39, 0xFF, content[position] ^ 1):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                fnn.load(path)
            except ValueError as error:
                assert type(error) is ValueError and path.name in str(error), (position, value)
                errors += 1
    assert errors > len(content)
