"""`FNN.to_onnx`: ONNX Runtime predicts what the network predicts."""

import json
import sys

import numpy as np
import onnx
import pytest

import fastfnn as fnn
from fastfnn.interop import onnx_functions, onnx_graph
from fastfnn.interop.onnx import network_model
from fastfnn.losses import BY_NAME
from fastfnn.options import HIDDEN_ACTIVATIONS
from fastfnn.reference.activations import TABLE

onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, which has no wheel for each Python")
onnxruntime.set_default_logger_severity(3)

# Largest difference, relative to the largest output of a network. Sums are taken in another order.
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}

SMALL = (5, 8, 6, 3)


def twice(x):
    return 2 * x


def two(x):
    return 2.0


def run(model, **inputs):
    """The outputs of a model, or of the file of one, by name."""
    content = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return dict(zip((item.name for item in session.get_outputs()), session.run(None, inputs), strict=True))


def network(layers=SMALL, *, seed=0, **options):
    """A network with biases and running statistics that are not those of the beginning."""
    net = fnn.FNN(layers, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for name, value in net.params.items():
        if not name.startswith("W"):
            value[...] = rng.uniform(0.5, 1.5, value.shape) * rng.choice([-1, 1], value.shape)
    for value in net._running().values():
        value[...] = rng.uniform(0.5, 2, value.shape)
    return net


def samples(net, rows=40, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, net.layer_sizes[0])).astype(net.dtype)


def difference(net):
    """How far the outputs of the model are off, relative to the largest one."""
    x = samples(net)
    want, got = net.predict(x), run(network_model(net), x=x)["out"]
    assert got.dtype == want.dtype and got.shape == want.shape
    return np.abs(got - want).max() / np.abs(want).max()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_a_model_predicts_what_the_network_predicts(activation, dtype):
    for loss in BY_NAME:
        loss = fnn.losses.Quantile((0.1, 0.5, 0.9)) if loss == "quantile" else loss
        assert difference(network(activation=activation, loss=loss, dtype=dtype)) < TOLERANCE[dtype], loss


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "options",
    [
        {"batch_norm": True},
        {"batch_norm": True, "book": True, "dropout": 0.25},
        {"dropout": 0.5},
        {"dropout": 0.5, "book": True},
        {"loss": fnn.losses.SoftmaxCrossEntropy(label_smoothing=0.1)},
        {"activation": ["gelu", "tanh"]},
    ],
    ids=str,
)
def test_batch_normalization_and_dropout_of_the_book_are_in_the_weights(options, dtype):
    assert difference(network(dtype=dtype, **options)) < TOLERANCE[dtype]


def test_networks_without_hidden_layers_and_with_one_output():
    assert difference(network((4, 3))) < TOLERANCE["float32"]
    assert difference(network((4, 1), loss="sigmoid_cross_entropy")) < TOLERANCE["float32"]
    assert difference(network((1, 1, 1), loss="squared_error")) < TOLERANCE["float32"]


def test_the_network_of_the_book_is_exported_too():
    assert difference(fnn.TwoLayerNet(4, 5, 3)) < TOLERANCE["float32"]


@pytest.mark.parametrize("name", onnx_functions.HIDDEN)
def test_activations_in_float64_are_exact_for_small_results_too(name):
    graph = onnx_graph.Graph(np.dtype("float64"), ("x", "y"))
    value = onnx_functions.HIDDEN[name](graph, graph.input("x", 1))
    graph.output("y", graph.apply("Mul", value, graph.number(1)), ("N", 1))
    x = np.concatenate([sign * np.geomspace(1e-12, 30, 400) for sign in (-1, 1)])[:, np.newaxis]
    want = np.empty_like(x)
    TABLE[name].forward(want, x)
    got = run(graph.model("f", name), x=x)["y"]
    if name == "sigmoid":  # ONNX Runtime computes sigmoid(x) as 1 - sigmoid(-x) for x < 0
        np.testing.assert_allclose(got, want, rtol=4e-15, atol=1e-15)
    else:  # the rounding error of x^2 / 2 is in e^(-x^2 / 2), and so in GELU
        np.testing.assert_allclose(got, want, rtol=2e-13 if name == "gelu" else 4e-15)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "poisson"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_probabilities_are_exact(loss, dtype):
    net = fnn.FNN((1, 2), loss=loss, dtype=dtype, init=0.0)
    net.params["W1"] = [[1.0, 0.0]]
    x = np.linspace(-60, 0, 100, dtype=dtype)[:, np.newaxis]
    got = run(network_model(net), x=x)["out"]
    np.testing.assert_allclose(got, net.predict(x), rtol=1e-6 if dtype == "float32" else 1e-15)


def test_a_model_takes_any_number_of_rows(tmp_path):
    net = network()
    net.to_onnx(tmp_path / "net.onnx")
    for rows in (1, 7, 0):
        assert run(str(tmp_path / "net.onnx"), x=samples(net, rows))["out"].shape == (rows, 3)


def test_a_loss_of_a_user_has_the_identity_as_output():
    net = network(loss=fnn.Loss(lambda y, t: (y - t) ** 2, lambda y, t: 2 * (y - t), name="square"))
    assert difference(net) < TOLERANCE["float32"]


def test_an_activation_of_a_user_is_named_and_no_file_is_written(tmp_path):
    net = fnn.FNN((2, 3, 2, 1), activation=["relu", fnn.Activation(twice, two)], loss="squared_error")
    with pytest.raises(ValueError, match=r"activation\[1\] is your own 'twice'.*FNN\.save"):
        net.to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_file_passes_the_checker_and_says_where_it_comes_from(tmp_path):
    net = network(activation="gelu", dtype="float64")
    net.to_onnx(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("fastfnn", fnn.__version__)
    assert model.doc_string == repr(net)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert [item.name for item in (*model.graph.input, *model.graph.output)] == ["x", "out"]
    assert onnx.helper.printable_type(model.graph.input[0].type) == "DOUBLE, Nx5"


def test_a_plain_network_is_a_chain_of_gemm_and_its_activations():
    model = network_model(network(activation="relu", batch_norm=True, dropout=0.5))
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Relu", "Gemm", "Relu", "Gemm", "Softmax"]
    assert [item.name for item in model.graph.initializer] == ["W1", "b1", "W2", "b2", "W3", "b3"]


def test_a_model_does_not_follow_later_training():
    net = network()
    x = samples(net)
    before, model = net.predict(x), network_model(net)
    net.fit(x, np.zeros(len(x), int), epochs=1)
    np.testing.assert_allclose(run(model, x=x)["out"], before, rtol=1e-5)


def test_an_existing_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"at most 2 GiB.*float32"):
        network().to_onnx(path)
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    network().to_onnx(str(path))
    assert onnx.load(path).producer_name == "fastfnn"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="missing"):
        network().to_onnx(tmp_path / "missing" / "net.onnx")
    with pytest.raises(TypeError, match="path must be"):
        network().to_onnx(1)


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'fastfnn\[onnx\]'"):
        network().to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_names_of_values_are_unique_in_large_networks():
    model = network_model(network((3, *[4] * 20, 2), activation="silu"))
    names = [name for node in model.graph.node for name in node.output]
    assert len(names) == len(set(names))
    assert json.dumps(names)
