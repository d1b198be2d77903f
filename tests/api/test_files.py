"""Files: what is saved is loaded bit for bit, and a bad file is reported by name."""

import json
import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from small_networks import DTYPES, LOSSES, bits, network, samples

import fastfnn as fnn
from fastfnn import files


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("sizes", "activation"), [((4, 3), "relu"), ((4, 5, 3), "tanh"), ((4, 5, 6, 2, 3), ("relu", "sigmoid", "identity"))]
)
def test_a_saved_network_loads_bit_for_bit(tmp_path, sizes, activation, loss, dtype):
    net = network(sizes, activation=activation, loss=loss, dtype=dtype)
    x, t = samples(loss)
    net.fit(x, t, epochs=1)
    net.save(tmp_path / "net.safetensors")
    twin = fnn.load(tmp_path / "net.safetensors")
    assert type(twin) is fnn.FNN
    assert bits(twin) == bits(net)
    assert repr(twin) == repr(net)
    assert twin.predict(x).tobytes() == net.predict(x).tobytes()
    assert twin.evaluate(x, t) == net.evaluate(x, t)
    twin.params["b1"][...] = 9  # loaded parameters are live and no longer tied to the file
    assert twin.predict(x).tobytes() != net.predict(x).tobytes()
    assert bits(fnn.load(tmp_path / "net.safetensors")) == bits(net)


def test_a_saved_file_is_plain_safetensors(tmp_path):
    net = fnn.FNN((4, 3, 2), seed=0)
    net.save(str(tmp_path / "net.safetensors"))
    tensors = load_file(tmp_path / "net.safetensors")
    assert {name: tensor.tobytes() for name, tensor in tensors.items()} == bits(net)


def test_files_of_the_first_format_load(rewrite):
    assert load_metadata(rewrite())["format"] == "fastfnn-1"
    assert repr(fnn.load(rewrite())) == "FNN(4-3-2, relu; softmax_cross_entropy; float32)"


def load_metadata(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def test_metadata_of_a_file_are_json_for_other_tools(tmp_path):
    net = fnn.FNN((4, 3, 2), loss=fnn.losses.Huber(delta=2.0), seed=0)
    net.save(tmp_path / "net.safetensors")
    metadata = load_metadata(tmp_path / "net.safetensors")
    assert (metadata["format"], metadata["version"]) == ("fastfnn-2", fnn.__version__)
    told = json.loads(metadata["network"])
    assert (told["layer_sizes"], told["loss"], told["loss_options"]) == ([4, 3, 2], "huber", {"delta": 2.0})


def test_sections_of_a_file_come_back(tmp_path):
    net, path = fnn.FNN((4, 3, 2), seed=0), tmp_path / "net.safetensors"
    net.save(path)
    with files.opened(path) as saved:
        assert saved.sections == {}
        description = saved.description
    sections = {"table": {"columns": ["größe", "b"]}, "training": {"steps": 3}}
    moments = np.arange(3.0)
    files.write(path, {**net.params, "training.first": moments}, description, sections)
    with files.opened(path) as saved:
        assert saved.sections == sections
        assert (saved.version, list(saved.entries)) == (fnn.__version__, ["training.first"])
        assert np.array_equal(saved.tensors.get_tensor("training.first"), moments)
    files.write(path, net.params, description, {"table": sections["table"]})
    assert bits(fnn.load(path)) == bits(net)


@pytest.mark.parametrize("value", ["", "{", "[]", "3", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000])
@pytest.mark.parametrize("section", files.SECTIONS)
def test_a_section_that_is_no_json_object_is_refused(rewrite, section, value):
    path = rewrite(metadata=lambda d: d.update({section: value}))
    with pytest.raises(ValueError, match=r"ours\.safetensors is damaged"):
        fnn.load(path)


def test_arrays_of_a_training_need_their_section(rewrite):
    moments = {"training.first": np.zeros(3)}
    with pytest.raises(ValueError, match=r"W1, b1, W2, b2 only; got training\.first too"):
        fnn.load(rewrite(tensors=lambda d: d.update(moments)))


def test_a_section_that_is_not_finite_is_not_written(tmp_path):
    net, path = fnn.FNN((4, 3, 2), seed=0), tmp_path / "net.safetensors"
    net.save(path)
    before = path.read_bytes()
    with files.opened(path) as saved, pytest.raises(ValueError, match="JSON"):
        files.write(path, net.params, saved.description, {"table": {"mean": float("nan")}})
    assert path.read_bytes() == before


def test_save_replaces_a_file(tmp_path):
    path = tmp_path / "net.safetensors"
    fnn.FNN((9, 9, 9), seed=0).save(path)
    net = fnn.FNN((2, 2), seed=1)
    net.save(path)
    assert bits(fnn.load(path)) == bits(net)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_textbook_network_saves_and_loads(tmp_path):
    net = fnn.TwoLayerNet(4, 3, 2, seed=0)
    net.save(tmp_path / "net")
    assert bits(fnn.load(tmp_path / "net")) == bits(net)


def test_load_of_a_missing_file_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        fnn.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("content", [b"", b"garbage" * 20, b"\x93NUMPY", b"\xff" * 64], ids=repr)
def test_load_rejects_files_that_are_not_safetensors(tmp_path, content):
    path = tmp_path / "garbage.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"garbage\.bin is not a safetensors file"):
        fnn.load(path)


def test_load_rejects_a_truncated_file(tmp_path):
    path = tmp_path / "cut.safetensors"
    fnn.FNN((4, 3)).save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cut\.safetensors is not a safetensors file"):
        fnn.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "fastfnn-999"}])
def test_load_rejects_the_files_of_other_programs(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"W1": np.zeros((2, 2), np.float32)}, path, metadata)
    got = metadata["format"] if metadata else None
    with pytest.raises(ValueError, match=rf"foreign\.safetensors must be .* fastfnn.* got format {got!r}"):
        fnn.load(path)


@pytest.fixture
def rewrite(tmp_path):
    """Save a 4-3-2 network after a change to its tensors, description or metadata."""

    def write(tensors=lambda d: None, description=lambda d: None, metadata=lambda d: None):
        path = tmp_path / "ours.safetensors"
        arrays = {name: param.copy() for name, param in fnn.FNN((4, 3, 2), seed=0).params.items()}
        told = {"layer_sizes": [4, 3, 2], "activation": ["relu"], "loss": "softmax_cross_entropy", "dtype": "float32"}
        tensors(arrays)
        description(told)
        header = {"format": "fastfnn-1", "network": json.dumps(told)}
        metadata(header)
        save_file(arrays, path, header)
        return path

    return write


def test_an_unchanged_file_of_the_fixture_loads(rewrite):
    assert repr(fnn.load(rewrite())) == "FNN(4-3-2, relu; softmax_cross_entropy; float32)"


BROKEN = {
    "missing tensor": {"tensors": lambda d: d.pop("b2")},
    "tensor too many": {"tensors": lambda d: d.update(W3=np.zeros((2, 2), np.float32))},
    "wrong shape": {"tensors": lambda d: d.update(W1=np.zeros((3, 4), np.float32))},
    "other sizes": {"description": lambda d: d.update(layer_sizes=[4, 2, 2])},
    "bad activation": {"description": lambda d: d.update(activation=["swish"])},
    "bad sizes": {"description": lambda d: d.update(layer_sizes=[4, -3, 2])},
    "no sizes": {"description": lambda d: d.pop("layer_sizes")},
    "no description": {"metadata": lambda d: d.pop("network")},
    "description is not JSON": {"metadata": lambda d: d.update(network="{")},
    "description is a list": {"metadata": lambda d: d.update(network="[]")},
    "unknown entry": {"description": lambda d: d.update(flavour="vanilla")},
}


@pytest.mark.parametrize("case", BROKEN)
def test_load_of_a_damaged_file_names_it(rewrite, case):
    path = rewrite(**BROKEN[case])
    with pytest.raises(ValueError, match=r"ours\.safetensors") as caught:
        fnn.load(path)
    assert caught.type is ValueError


def test_load_names_the_missing_tensor(rewrite):
    path = rewrite(tensors=lambda d: d.pop("b2"))
    with pytest.raises(ValueError, match=r"must hold b2 of shape \(2,\); got W1, W2, b1$"):
        fnn.load(path)


@pytest.mark.parametrize("place", ["folder", "missing folder"])
def test_save_to_an_impossible_path_raises_oserror(tmp_path, place):
    path = tmp_path if place == "folder" else tmp_path / "nowhere" / "net.safetensors"
    with pytest.raises(OSError, match=path.name):
        fnn.FNN((2, 2)).save(path)


def test_a_diverged_network_can_be_saved_and_loaded(tmp_path):
    net = fnn.FNN((3, 2), seed=0)
    net.params["W1"][1, 1] = np.nan
    net.save(tmp_path / "diverged.safetensors")
    np.testing.assert_array_equal(fnn.load(tmp_path / "diverged.safetensors").params["W1"], net.params["W1"])


def test_a_file_of_the_first_version_loads(rewrite):
    """It has neither the options that came later nor their arrays; the fixture writes such a file."""
    net = fnn.load(rewrite())
    assert (net.weight_decay, net.dropout, net.batch_norm, net.book) == (0.0, 0.0, False, False)
    assert bits(net) == bits(fnn.FNN((4, 3, 2), seed=0))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_option_and_the_running_statistics_are_loaded(tmp_path, batch_norm):
    options = {"weight_decay": 0.25, "dropout": 0.5, "batch_norm": batch_norm, "book": True, "activation": "tanh"}
    net = network((4, 5, 6, 3), **options)
    x, t = samples()
    net.fit(x, t, epochs=2)
    net.save(tmp_path / "net")
    twin = fnn.load(tmp_path / "net")
    assert twin._options() == net._options()
    assert bits(twin) == bits(net) and bits(twin._running()) == bits(net._running())
    assert twin.predict(x).tobytes() == net.predict(x).tobytes()
    twin.fit(x, t, epochs=1)  # it can be trained further


def test_load_draws_no_weights_and_needs_memory_for_the_network_and_one_array(tmp_path, monkeypatch):
    net = fnn.FNN((500, 1000, 10), seed=0)
    net.save(tmp_path / "net")

    def drawn(*arguments):
        raise AssertionError("weights are drawn")

    monkeypatch.setattr("fastfnn.base.draw_weights", drawn)
    tracemalloc.start()
    try:
        twin = fnn.load(tmp_path / "net")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert bits(twin) == bits(net)
    assert most < 2.5 * net.params.flat.nbytes


def test_a_network_with_too_long_a_description_is_not_saved(tmp_path, monkeypatch):
    path = tmp_path / "net"
    fnn.FNN((2, 2), seed=0).save(path)
    before = path.read_bytes()
    monkeypatch.setattr("fastfnn.files.HEADER_LIMIT", 1000)
    deep = fnn.FNN((1,) * 20)
    with pytest.raises(
        ValueError, match=r"^a saved network must be described by at most 1000 bytes, got \d+ for 19 layers"
    ):
        deep.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        (["cube"], r"^activations\[0\] must be an Activation, got str$"),
        ("cube", "^activations must be a sequence of Activation, got str$"),
        (fnn.Activation(lambda x: x, lambda x: 1.0), "^activations must be a sequence of Activation, got Activation$"),
        (None, "^activations must be a sequence of Activation, got NoneType$"),
    ],
)
def test_activations_of_another_type_are_a_typeerror(rewrite, activations, message):
    with pytest.raises(TypeError, match=message):
        fnn.load(rewrite(), activations=activations)
