"""Initial weights, and the forms of the arguments that they depend on."""

import math

import numpy as np
import pytest
from small_networks import DTYPES, bits

import fastfnn as fnn


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
    net = fnn.FNN((200, 300, 100), init=init, seed=0)
    for layer, sigma in enumerate(std, 1):
        z = net.params[f"W{layer}"].ravel().astype(np.float64) / sigma
        assert z.std() == pytest.approx(1, abs=5 / math.sqrt(2 * z.size))  # five standard errors
        assert z.mean() == pytest.approx(0, abs=5 / math.sqrt(z.size))
        assert np.mean(np.abs(z) < 1) == pytest.approx(0.6827, abs=2.5 / math.sqrt(z.size))  # not uniform


def test_initial_biases_are_zero():
    net = fnn.FNN((4, 3, 2), init=1.0)
    assert not net.params["b1"].any()
    assert not net.params["b2"].any()


def test_init_zero_gives_zero_weights():
    assert not any(param.any() for param in fnn.FNN((4, 3, 2), init=0).params.values())


def test_he_is_the_default_initialization():
    assert bits(fnn.FNN((4, 3, 2), seed=0)) == bits(fnn.FNN((4, 3, 2), init="he", seed=0))


def test_a_seed_draws_the_same_weights_in_both_dtypes():
    single, double = (fnn.FNN((4, 3, 2), dtype=dtype, seed=5) for dtype in DTYPES)
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
