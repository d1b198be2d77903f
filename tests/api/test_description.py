"""What a network says about itself, and the public names."""

import types

import pytest

import fastfnn as fnn


def test_summary_describes_every_layer(capsys):
    assert fnn.FNN((784, 50, 20, 10), activation=("tanh", "relu")).summary() is None
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["layer", "weights", "activation", "parameters"],
        ["1", "784", "x", "50", "tanh", "39,250"],
        ["2", "50", "x", "20", "relu", "1,020"],
        ["3", "20", "x", "10", "softmax", "210"],
        ["total", "40,480", "parameters", "of", "float32,", "loss", "softmax_cross_entropy"],
    ]


@pytest.mark.parametrize(
    ("loss", "output"), [("sigmoid_cross_entropy", "sigmoid"), ("squared_error", "identity"), ("poisson", "exp")]
)
def test_summary_names_the_output_activation(capsys, loss, output):
    fnn.FNN((3, 2), loss=loss, dtype="float64").summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["1", "3", "x", "2", output, "8"]
    assert lines[2] == f"total 8 parameters of float64, loss {loss}"


def test_summary_counts_the_parameters_of_layer_1_without_those_of_layer_11(capsys):
    fnn.FNN([2] * 12, batch_norm=True).summary()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert [int(row[-1]) for row in rows] == [10] * 10 + [6]  # W, b, gamma, beta; the last layer has no gamma and beta


def test_repr_shows_sizes_activations_loss_and_dtype():
    net = fnn.FNN((4, 3, 2, 1), activation=("relu", "tanh"), loss="squared_error", dtype="float64")
    assert repr(net) == "FNN(4-3-2-1, relu, tanh; squared_error; float64)"
    assert repr(fnn.FNN((4, 2))) == "FNN(4-2, no hidden layer; softmax_cross_entropy; float32)"


def test_every_public_name_exists():
    assert isinstance(fnn.datasets, types.ModuleType)
    for name in fnn.__all__:
        assert hasattr(fnn, name)
