"""The gradient of each layer against central differences."""

import numpy as np
import pytest
from helpers import DIFFERENCE_TOL, assert_close

from fastfnn.functions import numerical_gradient
from fastfnn.layers import (
    Affine,
    BatchNormalization,
    Dropout,
    IdentityWithLoss,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
)

pytestmark = pytest.mark.usefixtures("numpy_seed")

AWAY_FROM_0 = 0.05  # distance from the kinks of functions


def drawn(shape, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    return x + np.copysign(AWAY_FROM_0, x)


def assert_gradients_agree(forward, backward, arrays):
    """Check that `backward(r)`, which returns one gradient per array, returns the gradients of sum(r out)."""
    r = drawn(np.shape(forward()), seed=9)

    def weighted_sum(_):
        return float(np.sum(r * forward()))

    forward()
    for array, got in zip(arrays, backward(r), strict=True):
        want = numerical_gradient(weighted_sum, array)
        assert_close(got, want, 10 * DIFFERENCE_TOL)  # sums of a dozen terms


@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), (4, 1, 2, 3)])
def test_the_gradients_of_affine_agree_with_central_differences(shape):
    x, W, b = drawn(shape), drawn((6, 3), 1), drawn(3, 2)
    layer = Affine(W, b)
    assert_gradients_agree(lambda: layer.forward(x), lambda dout: (layer.backward(dout), layer.dW, layer.db), (x, W, b))


@pytest.mark.parametrize("shape", [(4, 6), (4, 1, 2, 3)])
@pytest.mark.parametrize("layer_type", [Relu, Sigmoid, Tanh])
def test_the_gradients_of_activations_agree_with_central_differences(layer_type, shape):
    x, layer = drawn(shape), layer_type()
    assert_gradients_agree(lambda: layer.forward(x), lambda dout: (layer.backward(dout),), (x,))


@pytest.mark.parametrize(
    ("layer_type", "t"),
    [
        (SoftmaxWithLoss, np.array([0, 2, 1, 1])),
        (SoftmaxWithLoss, np.eye(3)[[0, 2, 1, 1]]),
        (SoftmaxWithLoss, np.array([[0.5, 0.5, 0], [0, 1, 0], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])),
        (IdentityWithLoss, drawn((4, 3), seed=1)),
    ],
)
def test_the_gradients_of_losses_agree_with_central_differences(layer_type, t):
    x, layer = drawn((4, 3)), layer_type()
    assert_gradients_agree(lambda: layer.forward(x, t), lambda dout: (layer.backward(dout),), (x,))


@pytest.mark.parametrize("train_flg", [True, False])
@pytest.mark.parametrize("book", [False, True])
def test_the_gradient_of_dropout_agrees_with_central_differences(book, train_flg):
    x, layer = drawn((4, 6)), Dropout(0.4, book=book)

    def forward():
        np.random.seed(5)  # equal masks in all calls
        return layer.forward(x, train_flg)

    assert_gradients_agree(forward, lambda dout: (layer.backward(dout),), (x,))


@pytest.mark.parametrize("epsilon", [1e-5, 10e-7])
@pytest.mark.parametrize("shape", [(5, 6), (5, 1, 2, 3)])
def test_the_gradients_of_batch_normalization_agree_with_central_differences(shape, epsilon):
    # A wide spread, because the error of the central difference grows with 1 / deviation^3.
    x, gamma, beta = 3 * drawn(shape), drawn(6, 1), drawn(6, 2)
    layer = BatchNormalization(gamma, beta, epsilon=epsilon)
    assert_gradients_agree(
        lambda: layer.forward(x), lambda dout: (layer.backward(dout), layer.dgamma, layer.dbeta), (x, gamma, beta)
    )
