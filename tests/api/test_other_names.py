"""Names that people bring from Keras, PyTorch and scikit-learn."""

import numpy as np
import pytest
from small_networks import bits, network, samples

import fastfnn as fnn
from fastfnn import names, optimizers
from fastfnn.losses import BY_NAME
from fastfnn.options import HIDDEN_ACTIVATIONS

# The names of a library, or of its classes, by ours.
ACTIVATIONS = {
    "identity": ("linear", "Identity"),
    "sigmoid": ("logistic", "Sigmoid", "SIGMOID"),
    "tanh": ("Tanh",),
    "relu": ("ReLU", "RELU", " relu "),
    "leaky_relu": ("LeakyReLU", "leaky-relu", "leaky relu"),
    "elu": ("ELU",),
    "softplus": ("Softplus",),
    "silu": ("swish", "SiLU"),
    "gelu": ("GELU",),
}
LOSSES = {
    "softmax_cross_entropy": (
        "categorical_crossentropy", "sparse_categorical_crossentropy", "CategoricalCrossentropy", "cross_entropy",
        "CrossEntropyLoss", "log_loss", "nll_loss", "NLLLoss", "Softmax Cross-Entropy",
    ),
    "sigmoid_cross_entropy": (
        "binary_crossentropy", "binary_cross_entropy", "BinaryCrossentropy", "bce", "BCELoss", "BCEWithLogitsLoss",
        "binary_cross_entropy_with_logits",
    ),
    "squared_error": ("mse", "MSE", "mean_squared_error", "MeanSquaredError", "MSELoss", "mse_loss", "l2"),
    "absolute_error": ("mae", "mean_absolute_error", "l1", "L1Loss", "l1_loss"),
    "huber": ("Huber", "HuberLoss", "smooth_l1", "SmoothL1Loss"),
    "quantile": ("pinball", "pinball_loss"),
    "poisson": ("Poisson", "PoissonNLLLoss", "poisson_nll_loss"),
}  # fmt: skip
OPTIMIZERS = {
    fnn.SGD: ("sgd", "SGD"),
    fnn.Momentum: ("momentum",),
    fnn.Nesterov: ("nesterov", "nag"),
    fnn.AdaGrad: ("adagrad", "Adagrad"),
    fnn.RMSprop: ("rmsprop", "RMSProp", "rms_prop"),
    fnn.Adam: ("adam", "Adam"),
    fnn.AdamW: ("adamw", "AdamW"),
}


def pairs(table):
    return [(other, name) for name, others in table.items() for other in others]


@pytest.mark.parametrize(("other", "name"), pairs(ACTIVATIONS))
def test_activations_are_understood_and_stored_under_our_names(other, name, tmp_path):
    net = fnn.FNN((3, 4, 2), activation=other)
    assert net.activation == fnn.FNN((3, 4, 4, 2), activation=[other, "tanh"]).activation[:1] == (name,)
    net.save(tmp_path / "net")
    assert fnn.load(tmp_path / "net").activation == (name,)


@pytest.mark.parametrize(("other", "name"), pairs(LOSSES))
def test_losses_are_understood_and_stored_under_our_names(other, name, tmp_path):
    net = fnn.FNN((3, 4, 2), loss=other)
    assert net.loss_function == BY_NAME[name]()
    net.save(tmp_path / "net")
    assert fnn.load(tmp_path / "net").loss_name == name


@pytest.mark.parametrize(("other", "kind"), pairs(OPTIMIZERS))
def test_names_of_optimizers_stand_for_new_ones_with_default_settings(other, kind):
    x, t = samples()
    results = []
    for optimizer in (kind(), other):
        net = network()
        history = net.fit(x, t, epochs=2, batch_size=4, optimizer=optimizer)
        results.append((bits(net), history.loss))
    assert results[0] == results[1]


def test_all_names_of_ours_are_understood_and_lead_to_themselves():
    for ours, others in (
        (HIDDEN_ACTIVATIONS, names.ACTIVATIONS), (BY_NAME, names.LOSSES), (optimizers.BY_NAME, names.OPTIMIZERS)
    ):  # fmt: skip
        assert [names.canonical(name, ours, others) for name in ours] == list(ours)
        assert set(others.values()) <= set(ours)


def test_fit_with_the_same_name_begins_anew_and_partial_fit_continues():
    x, t = samples()
    states = {}
    for name, optimizer in (("object", fnn.Adam()), ("name", "adam")):
        net = network()
        for _ in range(3):
            net.partial_fit(x, t, optimizer=optimizer)
        states[name] = bits(net), net._optimizer.steps
    assert states["object"] == states["name"]
    before = net._optimizer
    net.fit(x, t, epochs=1, optimizer="adam")
    assert net._optimizer is not before
    assert net._optimizer.steps == 1
    net.partial_fit(x, t)
    assert net._optimizer.steps == 2
    net.partial_fit(x, t, optimizer="sgd")
    assert (type(net._optimizer), net._optimizer.steps) == (fnn.SGD, 1)


def test_partial_fit_with_a_name_does_not_continue_an_object():
    x, t = samples()
    net = network()
    net.fit(x, t, epochs=1, optimizer=fnn.Adam(0.5))
    net.partial_fit(x, t, optimizer="adam")
    assert net._optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "rellu"}, r"activation must be one of identity, .*; got 'rellu'; did you mean 'relu'\?$"),
        ({"activation": ["tahn"]}, r"activation\[0\] must be one of .*; got 'tahn'; did you mean 'tanh'\?$"),
        ({"activation": "xyz"}, r"activation must be one of .*; got 'xyz'$"),
        ({"loss": "mean_square_error"}, r"loss must be .*; got 'mean_square_error'; did you mean 'squared_error'\?$"),
        ({"loss": "loss"}, r"loss must be .*; got 'loss'$"),
        ({"init": "xaver"}, r"init must be .*; got 'xaver'; did you mean 'xavier'\?$"),
    ],
)
def test_unknown_names_are_refused_with_the_most_similar_one(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        fnn.FNN((3, 4, 2), **options)


def test_an_unknown_optimizer_is_refused_before_anything_changes():
    x, t = samples()
    net = network()
    before = bits(net)
    with pytest.raises(ValueError, match=r"^optimizer must be one of SGD, .*; got 'adma'; did you mean 'Adam'\?$"):
        net.fit(x, t, optimizer="adma")
    with pytest.raises(TypeError, match=r"^optimizer must be an optimizer such as SGD\(0.1\), .*; got float$"):
        net.partial_fit(x, t, optimizer=0.1)
    assert (bits(net), net.history) == (before, None)


def test_the_squared_error_is_half_the_mean_squared_error_of_one_output():
    net = fnn.FNN((2, 1), loss="mse", init=0.0)
    assert net.loss(np.ones((3, 2)), [1.0, 2.0, 3.0]) == pytest.approx(np.mean([1.0, 4.0, 9.0]) / 2)
