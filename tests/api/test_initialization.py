"""Initial weights, and the forms of the arguments that they depend on."""

import itertools
import math

import numpy as np
import pytest
from small_networks import DTYPES, bits

import fastfnn as fnn
from fastfnn.initialization import INITS, draw_weights

SIZES = (200, 300, 100)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (0.01, (0.01, 0.01)),
        (2, (2, 2)),
        ("he", (0.1, math.sqrt(2 / 300))),
        ("xavier", (200**-0.5, 300**-0.5)),
    ],
)
def test_initial_weights_are_normal_with_the_documented_deviation(init, std):
    net = fnn.FNN(SIZES, init=init, seed=0)
    for layer, sigma in enumerate(std, 1):
        z = net.params[f"W{layer}"].ravel().astype(np.float64) / sigma
        assert z.std() == pytest.approx(1, abs=5 / math.sqrt(2 * z.size))  # five standard errors
        assert z.mean() == pytest.approx(0, abs=5 / math.sqrt(z.size))
        assert np.mean(np.abs(z) < 1) == pytest.approx(0.6827, abs=2.5 / math.sqrt(z.size))  # not uniform


@pytest.mark.parametrize(
    ("init", "activation", "bounds"),
    [
        ("torch", "relu", (200**-0.5, 300**-0.5)),
        ("torch", "sigmoid", (200**-0.5, 300**-0.5)),
        ("glorot", "relu", (math.sqrt(6 / 500), math.sqrt(6 / 400))),
        ("glorot", "tanh", (math.sqrt(6 / 500), math.sqrt(6 / 400))),
        ("glorot", "sigmoid", (math.sqrt(2 / 500), math.sqrt(2 / 400))),
    ],
)
def test_initial_weights_and_biases_are_uniform_within_the_documented_bounds(init, activation, bounds):
    net = fnn.FNN(SIZES, activation=activation, init=init, seed=0)
    for layer, bound in enumerate(bounds, 1):
        for name in (f"W{layer}", f"b{layer}"):
            assert_uniform(net.params[name], bound)


def assert_uniform(values, bound):
    """Assert that no number is outside of +-bound, and the test of Kolmogorov and Smirnov at a level of 1e-5."""
    ordered = np.sort(values.ravel().astype(np.float64) / bound)
    assert abs(ordered).max() <= 1 + 1e-6
    steps = np.arange(ordered.size + 1) / ordered.size
    expected = (ordered + 1) / 2
    distance = max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))
    assert distance < math.sqrt(-math.log(1e-5 / 2) / 2 / ordered.size)


def test_glorot_looks_at_the_activation_of_each_layer_and_for_the_output_at_the_last_hidden_one():
    sizes = (200, 300, 250, 100)
    factors = {("sigmoid", "relu"): (2, 6, 6), ("relu", "sigmoid"): (6, 2, 2)}
    for activation, of_layers in factors.items():
        net = fnn.FNN(sizes, activation=activation, init="glorot", seed=0)
        for layer, (factor, pair) in enumerate(zip(of_layers, itertools.pairwise(sizes), strict=True), 1):
            assert_uniform(net.params[f"W{layer}"], math.sqrt(factor / sum(pair)))


def test_glorot_takes_other_activations_and_none_for_what_is_not_the_sigmoid():
    softplus = fnn.Activation(lambda x: math.log1p(math.exp(x)), lambda x, y: 1 - math.exp(-y))
    assert bits(fnn.FNN(SIZES, activation=softplus, init="glorot", seed=0)) == bits(
        fnn.FNN(SIZES, init="glorot", seed=0)
    )
    assert_uniform(fnn.FNN((200, 100), init="glorot", seed=0).params["W1"], math.sqrt(6 / 300))


@pytest.mark.parametrize("source", [np.random.default_rng, np.random.RandomState])
def test_weights_and_biases_are_drawn_in_the_order_of_the_layers(source):
    net, random = fnn.FNN((4, 3, 2), dtype="float64"), source(7)
    draw_weights(net.params, "glorot", ("sigmoid",), source(7))
    for layer, (inputs, outputs) in enumerate([(4, 3), (3, 2)], 1):
        bound = np.sqrt(2 / (inputs + outputs))
        np.testing.assert_array_equal(net.params[f"W{layer}"], random.uniform(-bound, bound, (inputs, outputs)))
        np.testing.assert_array_equal(net.params[f"b{layer}"], random.uniform(-bound, bound, outputs))


def test_activations_may_be_given_for_all_layers_where_none_is_hidden():
    net = fnn.FNN((200, 100))
    draw_weights(net.params, "glorot", ("sigmoid",), np.random.RandomState(0))  # scikit-learn without hidden layers
    assert_uniform(net.params["W1"], math.sqrt(2 / 300))


@pytest.mark.parametrize(("init", "std"), [("he", (2 / 4, 2 / 3)), ("xavier", (1 / 4, 1 / 3)), (0.5, (0.25, 0.25))])
def test_normal_weights_are_the_first_numbers_of_the_seed(init, std):
    net, random = fnn.FNN((4, 3, 2), init=init, dtype="float64", seed=3), np.random.default_rng(3)
    for layer, (shape, variance) in enumerate(zip([(4, 3), (3, 2)], std, strict=True), 1):
        want = math.sqrt(variance) * random.standard_normal(shape)
        np.testing.assert_array_equal(net.params[f"W{layer}"], want)


@pytest.mark.parametrize("init", ["he", "xavier", 1.0])
def test_biases_of_normal_weights_are_zero(init):
    net = fnn.FNN((4, 3, 2), init=init)
    net.params["b1"] = [1, 2, 3]
    draw_weights(net.params, init, (), np.random)
    assert not net.params["b1"].any()
    assert not net.params["b2"].any()


@pytest.mark.parametrize("init", [*INITS, 0.1])
def test_batch_normalization_starts_with_gamma_one_and_beta_zero(init):
    net = fnn.FNN((4, 3, 3, 2), init=init, batch_norm=True)
    for layer in (1, 2):
        assert np.all(net.params[f"gamma{layer}"] == 1)
        assert not net.params[f"beta{layer}"].any()


def test_a_wrong_init_is_refused_before_anything_is_drawn():
    net, random = fnn.FNN((4, 3, 2)), np.random.RandomState(0)
    before, state = bits(net), random.get_state()[2]
    for init, error in (("lecun", ValueError), (-1.0, ValueError), (None, TypeError)):
        with pytest.raises(error, match=r"^init must be"):
            draw_weights(net.params, init, (), random)
    assert bits(net) == before
    assert random.get_state()[2] == state


def test_init_zero_gives_zero_weights():
    assert not any(param.any() for param in fnn.FNN((4, 3, 2), init=0).params.values())


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_xavier_is_the_default_initialization(activation):
    net = fnn.FNN((4, 3, 2), activation=activation, seed=0)
    assert bits(net) == bits(fnn.FNN((4, 3, 2), activation=activation, init="xavier", seed=0))


def test_networks_of_the_book_keep_the_weights_of_the_book():
    assert bits(fnn.TwoLayerNet(4, 3, 2, seed=0)) == bits(fnn.FNN((4, 3, 2), init=0.01, seed=0))
    for name, init in {"relu": "he", "he": "he", "sigmoid": "xavier", "xavier": "xavier"}.items():
        net = fnn.MultiLayerNet(4, [3], 2, weight_init_std=name, seed=0)
        assert bits(net) == bits(fnn.FNN((4, 3, 2), init=init, seed=0))
    assert bits(fnn.MultiLayerNet(4, [3], 2, seed=0)) == bits(fnn.FNN((4, 3, 2), init="he", seed=0))


@pytest.mark.parametrize("init", INITS)
def test_a_seed_draws_the_same_weights_in_both_dtypes(init):
    single, double = (fnn.FNN((4, 3, 2), init=init, dtype=dtype, seed=5) for dtype in DTYPES)
    for name, param in double.params.items():
        np.testing.assert_array_equal(single.params[name], param.astype(np.float32))


def test_equal_seeds_give_equal_networks_and_other_seeds_others():
    assert bits(fnn.FNN((4, 3), seed=0)) == bits(fnn.FNN((4, 3), seed=np.int64(0)))
    assert bits(fnn.FNN((4, 3), seed=0)) != bits(fnn.FNN((4, 3), seed=1))
    assert bits(fnn.FNN((4, 3))) != bits(fnn.FNN((4, 3)))
    assert len({param.tobytes() for param in fnn.FNN((3, 3, 3), seed=0).params.values()}) == 3  # W1, W2, zero biases


def test_the_default_dtype_is_float32():
    net = fnn.FNN((2, 2))
    assert net.predict([[1, 2]]).dtype == net.params["W1"].dtype == net.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, "float64", "d", float, np.dtype("float64")])
def test_dtype_is_accepted_in_every_spelling(dtype):
    assert fnn.FNN((2, 2), dtype=dtype).params["b1"].dtype == np.float64


@pytest.mark.parametrize("sizes", [[4, 3, 2], (4, 3, 2), np.array([4, 3, 2]), range(4, 1, -1)])
def test_layer_sizes_may_be_any_sequence_of_ints(sizes):
    net = fnn.FNN(sizes)
    assert net.layer_sizes == (4, 3, 2)
    assert net.predict(np.zeros((5, 4))).shape == (5, 2)
