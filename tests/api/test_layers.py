"""The layers of the book: results against plain NumPy, attributes, and arrays that stay unchanged."""

import numpy as np
import pytest
from helpers import (
    ACTIVATION_ULPS,
    DTYPES,
    ELEMENTWISE_EPS,
    FLOAT64_RTOL,
    LAYOUTS,
    TOLERANCES,
    arrange,
    assert_chain_close,
    assert_close,
    assert_sums_close,
    unchanged,
)

import fastfnn as fnn
from fastfnn import layers
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

F32, F64 = DTYPES
ELEMENTWISE = (Relu, Sigmoid, Tanh)
SHAPES = [(3, 5), (1, 1), (0, 4), (7,), (2, 3, 2, 2), ()]

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


pytestmark = pytest.mark.usefixtures("numpy_seed")


def drawn(shape, dtype=F64, seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def test_import_star_imports_the_layers_and_nothing_else():
    namespace = {}
    exec("from fastfnn.layers import *", namespace)
    del namespace["__builtins__"]
    assert set(namespace) == set(layers.__all__)
    assert all(isinstance(value, type) for value in namespace.values())
    assert fnn.layers is layers


NEW_LAYERS = {
    "Affine": lambda: Affine(np.ones((2, 2)), np.ones(2)),
    "Relu": Relu,
    "Sigmoid": Sigmoid,
    "Tanh": Tanh,
    "SoftmaxWithLoss": SoftmaxWithLoss,
    "IdentityWithLoss": IdentityWithLoss,
    "Dropout": Dropout,
    "BatchNormalization": lambda: BatchNormalization(np.ones(2), np.zeros(2)),
}


@pytest.mark.parametrize("name", NEW_LAYERS)
def test_backward_before_forward_is_rejected(name):
    with pytest.raises(RuntimeError, match=r"^backward must follow a call of forward"):
        NEW_LAYERS[name]().backward(np.ones((2, 2)))


# Affine


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (0, 4), (3, 2, 2), (3, 1, 2, 2), (5, 4, 1)])
def test_affine_agrees_with_numpy(shape, layout, dtype):
    W, b = arrange(drawn((4, 6), dtype), layout), drawn(6, dtype, seed=1)
    x, dout = arrange(drawn(shape, dtype, seed=2), layout), arrange(drawn((shape[0], 6), dtype, seed=3), layout)
    flat, weight, grad = (array.astype(F64) for array in (x.reshape(shape[0], 4), W, dout))
    layer = Affine(W, b)
    with unchanged(W, b, x, dout):
        out = layer.forward(x)
        dx = layer.backward(dout)
    assert out.dtype == dx.dtype == layer.dW.dtype == layer.db.dtype == dtype
    assert dx.shape == layer.original_x_shape == shape
    np.testing.assert_array_equal(layer.x, flat)
    assert_sums_close(out, flat @ weight + b, np.abs(flat) @ np.abs(weight) + np.abs(b), 4)
    assert_sums_close(dx.reshape(flat.shape), grad @ weight.T, np.abs(grad) @ np.abs(weight.T), 6)
    assert_sums_close(layer.dW, flat.T @ grad, np.abs(flat.T) @ np.abs(grad), len(flat))
    assert_sums_close(layer.db, grad.sum(axis=0), np.abs(grad).sum(axis=0), len(flat))


def test_affine_takes_a_vector_as_samples_of_one_feature():
    layer = Affine(np.array([[2.0, 3.0]]), np.zeros(2))
    np.testing.assert_array_equal(layer.forward([1, 10]), [[2, 3], [20, 30]])
    np.testing.assert_array_equal(layer.backward([[1, 0], [0, 1]]), [2, 3])


def test_affine_reads_its_parameters_at_every_call():
    params = {"W": np.ones((2, 3)), "b": np.zeros(3)}
    layer = Affine(params["W"], params["b"])
    assert layer.W is params["W"] and layer.b is params["b"]
    params["W"] -= 3
    params["b"] += 1
    np.testing.assert_array_equal(layer.forward([[1, 1]]), [[-3, -3, -3]])
    np.testing.assert_array_equal(layer.backward([[1, 1, 1]]), [[-6, -6]])
    layer.W, layer.b = np.ones((2, 1)), np.zeros(1)  # like a program that loads parameters
    np.testing.assert_array_equal(layer.forward([[1, 1]]), [[2]])


def test_every_backward_of_affine_creates_new_gradients():
    layer = Affine(np.ones((2, 3)), np.zeros(3))
    layer.forward([[1, 2]])
    layer.backward([[1, 1, 1]])
    dW, db = layer.dW, layer.db
    layer.backward([[2, 2, 2]])
    np.testing.assert_array_equal(dW, [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(db, [1, 1, 1])
    np.testing.assert_array_equal(layer.dW, 2 * dW)


@pytest.mark.parametrize(
    ("W", "b", "x", "dout", "want_out", "want_dx"),
    [
        ("float32", "float32", "float32", "float32", "float32", "float32"),
        ("float32", "float32", "float64", "float32", "float64", "float64"),
        ("float32", "float32", "float32", "float64", "float32", "float64"),
        ("float64", "float32", "float32", "float32", "float64", "float64"),
        ("float32", "float32", "uint8", "float32", "float32", "float32"),  # NumPy's result type; images may stay uint8
        ("int64", "int64", "int64", "int64", "float64", "float64"),
    ],
)
def test_affine_has_the_result_dtype_of_numpy(W, b, x, dout, want_out, want_dx):
    layer = Affine(np.ones((2, 3), W), np.ones(3, b))
    out = layer.forward(np.ones((4, 2), x))
    dx = layer.backward(np.ones((4, 3), dout))
    assert out.dtype == np.dtype(want_out)
    assert dx.dtype == layer.dW.dtype == layer.db.dtype == np.dtype(want_dx)
    np.testing.assert_array_equal(out, np.full((4, 3), 3))
    np.testing.assert_array_equal(dx, np.full((4, 2), 3))


@pytest.mark.parametrize(
    ("W", "b", "error", "message"),
    [
        (np.ones(3), np.ones(3), ValueError, r"^W must have shape \(inputs, outputs\), got shape \(3,\)"),
        (np.ones((2, 3)), np.ones(2), ValueError, r"^b must have one number for each column of W, .* got shape \(2,\)"),
        (np.ones((2, 3)), np.ones((1, 3)), ValueError, r"^b must have one number for each .* got shape \(1, 3\)"),
        ([["a"]], [1], TypeError, r"^W must hold real numbers"),
        ([[1]], [1j], TypeError, r"^b must hold real numbers"),
    ],
)
def test_invalid_parameters_of_affine_are_rejected(W, b, error, message):
    with pytest.raises(error, match=message):
        Affine(W, b)


@pytest.mark.parametrize("shape", [(), (2,), (3, 4), (2, 2, 3), (0, 3)])
def test_an_invalid_x_of_affine_is_rejected(shape):
    layer = Affine(np.ones((2, 3)), np.zeros(3))
    layer.forward(np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^x must have 2 numbers for each sample, got shape "):
        layer.forward(np.ones(shape))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 3))), [[3, 3]])  # as if forward had not been called


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2)])
def test_an_invalid_dout_of_affine_is_rejected(shape):
    layer = Affine(np.ones((2, 3)), np.zeros(3))
    layer.forward(np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^dout must have the shape of the output, \(1, 3\), got "):
        layer.backward(np.ones(shape))
    assert layer.dW is None and layer.db is None


def test_replaced_parameters_of_affine_are_checked():
    layer = Affine(np.ones((2, 3)), np.zeros(3))
    layer.forward(np.ones((1, 2)))
    layer.W = np.ones((4, 3))
    with pytest.raises(ValueError, match=r"^x must have 4 numbers for each sample, got shape \(1, 2\)"):
        layer.backward(np.ones((1, 3)))
    layer.W = np.ones((2, 4))
    with pytest.raises(ValueError, match=r"^b must have one number for each column of W"):
        layer.backward(np.ones((1, 3)))


# Activations

IN_NUMPY = {  # the function, and its derivative
    Relu: (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    Sigmoid: (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    Tanh: (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
}


@every_dtype
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer_type", ELEMENTWISE)
def test_activation_layers_work_on_any_rank(layer_type, shape, dtype):
    layer, (function, derivative) = layer_type(), IN_NUMPY[layer_type]
    x, dout = drawn(shape, dtype), drawn(shape, dtype, seed=1)
    want, want_dx = function(x.astype(F64)), dout * derivative(x.astype(F64))
    eps = TOLERANCES[dtype].eps
    with unchanged(x, dout):
        out = layer.forward(x)
        dx = layer.backward(dout)
    assert out.shape == dx.shape == shape
    assert out.dtype == dx.dtype == dtype
    assert_close(out, want, (ACTIVATION_ULPS + 1) * eps * np.abs(want))
    # The derivative is at most 1 and computed from the output, accurate to 4 ulp, with a few operations.
    assert_close(dx, want_dx, (2 * ACTIVATION_ULPS + ELEMENTWISE_EPS) * eps * np.abs(dout))
    assert not np.shares_memory(dx, dout) and not np.shares_memory(out, x)


@pytest.mark.parametrize("dout", ["float32", "float64", "int64"])
@pytest.mark.parametrize("x", ["float32", "float64", "int64"])
@pytest.mark.parametrize("layer_type", ELEMENTWISE)
def test_activation_layers_have_the_result_dtype_of_numpy(layer_type, x, dout):
    layer = layer_type()
    out = layer.forward(np.ones(2, x))
    dx = layer.backward(np.ones(2, dout))
    assert out.dtype == (F32 if x == "float32" else F64)
    # ReLU keeps a mask without a real dtype; the others keep their output
    assert dx.dtype == (F32 if dout == "float32" and (layer_type is Relu or x == "float32") else F64)


@pytest.mark.parametrize("layer_type", ELEMENTWISE)
def test_an_invalid_dout_of_activation_layers_is_rejected(layer_type):
    layer = layer_type()
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^dout must have the shape of the output, \(2, 3\), got \(3,\)"):
        layer.backward(np.ones(3))
    with pytest.raises(TypeError, match=r"^dout must hold real numbers"):
        layer.backward(np.full((2, 3), "a"))
    with pytest.raises(TypeError, match=r"^x must hold real numbers"):
        layer.forward(None)


def test_relu_keeps_a_mask_not_its_output():
    layer = Relu()
    x = np.array([[1.0, -1.0], [0.0, np.nan]])
    out = layer.forward(x)
    np.testing.assert_array_equal(out, [[1, 0], [0, np.nan]])
    np.testing.assert_array_equal(layer.mask, [[False, True], [True, False]])
    out += 5  # like a network with a shortcut connection
    dout = np.array([[1.0, 2.0], [3.0, 4.0]])
    dx = layer.backward(dout)
    np.testing.assert_array_equal(dx, [[1, 0], [0, 4]])
    np.testing.assert_array_equal(dout, [[1, 2], [3, 4]])  # the layer of the notes overwrites dout
    assert dx is not dout
    np.testing.assert_array_equal(layer.backward([[1, np.inf], [np.nan, 1]]), [[1, 0], [0, 1]])


@pytest.mark.parametrize("layer_type", [Sigmoid, Tanh])
def test_sigmoid_and_tanh_keep_their_output(layer_type):
    layer = layer_type()
    out = layer.forward([[0.5, -0.5]])
    assert layer.out is out


# Losses


def softmax(x):
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


@every_dtype
@pytest.mark.parametrize("targets", ["labels", "rows", "soft rows"])
def test_softmax_with_loss_agrees_with_numpy(targets, dtype):
    x, labels = drawn((5, 3), dtype), np.array([0, 2, 1, 1, 0])
    rows = softmax(drawn((5, 3), seed=1)) if targets == "soft rows" else np.eye(3)[labels]
    t = labels if targets == "labels" else rows.astype(dtype)
    y = softmax(x.astype(F64))
    layer = SoftmaxWithLoss()
    with unchanged(x, t):
        loss = layer.forward(x, t)
        dx = layer.backward()
    assert isinstance(loss, float) and layer.loss == loss
    assert layer.t is t
    eps = TOLERANCES[dtype].eps
    np.testing.assert_allclose(
        loss, -np.sum(rows * np.log(y)) / 5, rtol=20 * eps
    )  # exponentials are computed in the dtype
    assert layer.y.dtype == dx.dtype == dtype
    assert_close(layer.y, y, 20 * eps)
    assert_close(dx, (y - rows) / 5, 20 * eps)


@every_dtype
@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (1, 4)])
def test_identity_with_loss_agrees_with_numpy(shape, dtype):
    x, t = drawn(shape, dtype), drawn(shape, dtype, seed=1)
    difference = x.astype(F64) - t
    layer = IdentityWithLoss()
    with unchanged(x, t):
        loss = layer.forward(x, t)
        dx = layer.backward()
    assert isinstance(loss, float) and layer.loss == loss
    assert layer.t is t
    np.testing.assert_allclose(loss, 0.5 * np.sum(difference**2) / shape[0], rtol=FLOAT64_RTOL)
    np.testing.assert_array_equal(layer.y, x)
    assert layer.y.dtype == dx.dtype == dtype
    assert not np.shares_memory(layer.y, x)
    assert_close(dx, difference / shape[0], ELEMENTWISE_EPS * TOLERANCES[dtype].eps * np.abs(difference))


@pytest.mark.parametrize(
    ("layer_type", "t"),
    [(SoftmaxWithLoss, 2), (SoftmaxWithLoss, [2]), (SoftmaxWithLoss, [0, 0, 1]), (IdentityWithLoss, [1.0, 2.0, 3.0])],
)
def test_losses_accept_a_single_sample(layer_type, t):
    one, several = layer_type(), layer_type()
    x = drawn(3)
    loss = one.forward(x, t)
    assert loss == several.forward(x[np.newaxis], [t] if np.shape(t) != (1,) else t)
    assert one.y.shape == one.backward().shape == (3,)
    np.testing.assert_array_equal(one.backward(), several.backward()[0])


def test_targets_of_one_output_may_have_one_axis():
    layer = IdentityWithLoss()
    assert layer.forward([[1], [2]], [3, 5]) == 0.5 * (4 + 9) / 2
    np.testing.assert_array_equal(layer.backward(), [[-1], [-1.5]])


@every_dtype
@pytest.mark.parametrize("layer_type", [SoftmaxWithLoss, IdentityWithLoss])
def test_backward_of_a_loss_multiplies_by_dout(layer_type, dtype):
    layer = layer_type()
    layer.forward(drawn((4, 3), dtype), np.eye(3)[[0, 1, 2, 0]])
    dx = layer.backward()
    for factor in (2, -0.5, np.float64(4), np.array(8.0), True):
        got = layer.backward(factor)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, dx * dtype.type(factor))
    first = layer.backward()
    first[...] = 7  # a caller may change its array
    np.testing.assert_array_equal(layer.backward(1), dx)
    with pytest.raises(ValueError, match=r"^dout must be a number, got shape \(4, 3\)"):
        layer.backward(dx)
    with pytest.raises(TypeError, match=r"^dout must hold real numbers"):
        layer.backward("1")


def test_the_loss_of_large_logits_is_correct():
    layer = SoftmaxWithLoss()
    assert layer.forward([[1e4, 0], [0, -1e4]], [1, 1]) == 1e4
    np.testing.assert_array_equal(layer.backward(), [[0.5, -0.5], [0.5, -0.5]])


@pytest.mark.parametrize(
    ("layer_type", "x", "t", "error", "message"),
    [
        (SoftmaxWithLoss, np.ones((2, 3)), [0, 3], ValueError, r"^t must hold labels from 0 to 2, got 3"),
        (SoftmaxWithLoss, np.ones((2, 3)), [0, 1, 2], ValueError, r"^t must have one entry per row of x, 2, got 3"),
        (SoftmaxWithLoss, np.ones((2, 3)), [[0, 1]], ValueError, r"^t must be .*rows of shape \(samples, 3\)"),
        (SoftmaxWithLoss, np.ones((2, 3)), np.ones((2, 3)), ValueError, r"^t must have rows that sum to 1, got 3"),
        (SoftmaxWithLoss, np.ones((2, 2, 2)), [0, 1], ValueError, r"^x must have shape .* got \(2, 2, 2\)"),
        (SoftmaxWithLoss, np.ones((0, 2)), [], ValueError, r"^x must have shape .* got \(0, 2\)"),
        (IdentityWithLoss, np.ones((2, 3)), [1, 2], ValueError, r"^t must be rows of shape \(samples, 3\)"),
        (IdentityWithLoss, np.ones((2, 3)), np.full((2, 3), np.nan), ValueError, r"^t must be finite"),
        (IdentityWithLoss, "x", [1, 2], TypeError, r"^x must hold real numbers"),
    ],
)
def test_invalid_arguments_of_losses_are_rejected(layer_type, x, t, error, message):
    layer = layer_type()
    with pytest.raises(error, match=message):
        layer.forward(x, t)
    assert layer.loss is layer.y is layer.t is None


# Dropout


@every_dtype
@pytest.mark.parametrize("book", [False, True])
@pytest.mark.parametrize("ratio", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("shape", SHAPES)
def test_dropout_in_training_drops_and_scales(shape, ratio, book, dtype):
    x, dout = drawn(shape, dtype), drawn(shape, dtype, seed=1)
    np.random.seed(3)
    kept = np.random.rand(*shape) > ratio  # drawn as in the book
    scale = kept if book else kept / (1 - ratio)
    np.random.seed(3)
    layer = Dropout(ratio, book=book)
    with unchanged(x, dout):
        out = layer.forward(x)
        dx = layer.backward(dout)
    np.testing.assert_array_equal(layer.mask, kept)
    assert out.dtype == dx.dtype == dtype and out.shape == dx.shape == shape
    eps = TOLERANCES[dtype].eps
    assert_close(out, x * scale, ELEMENTWISE_EPS * eps * np.abs(x * scale))
    assert_close(dx, dout * scale, ELEMENTWISE_EPS * eps * np.abs(dout * scale))


@every_dtype
@pytest.mark.parametrize("book", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_dropout_in_prediction_only_scales(shape, book, dtype):
    x, dout = drawn(shape, dtype), drawn(shape, dtype, seed=1)
    before = np.random.get_state()[1].copy()
    layer = Dropout(0.25, book=book)
    out = layer.forward(x, train_flg=False)
    dx = layer.backward(dout)
    factor = dtype.type(0.75 if book else 1)  # exact
    np.testing.assert_array_equal(out, x * factor)
    np.testing.assert_array_equal(dx, dout * factor)
    assert out.dtype == dx.dtype == dtype and out.shape == dx.shape == shape
    assert np.all(layer.mask) and layer.mask.shape == shape
    assert not np.shares_memory(out, x) and not np.shares_memory(dx, dout)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # no random number is drawn


@pytest.mark.parametrize("book", [False, True])
def test_dropout_keeps_the_mean_in_training_and_prediction(book):
    layer = Dropout(0.3, book=book)
    x = np.ones(40_000)
    # the standard deviation of this mean is at most 0.003
    assert np.mean(layer.forward(x)) == pytest.approx(np.mean(layer.forward(x, False)), abs=0.015)


def test_dropout_drops_half_by_default():
    layer = Dropout()
    assert layer.dropout_ratio == 0.5
    assert set(layer.forward(np.ones(100)).tolist()) == {0.0, 2.0}
    assert set(Dropout(book=True).forward(np.ones(100)).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("ratio", "error", "message"),
    [
        (1, ValueError, r"^dropout_ratio must be less than 1, got 1"),
        (-0.1, ValueError, r"^dropout_ratio must be finite and not negative, got -0.1"),
        ("half", TypeError, r"^dropout_ratio must be a number, got str"),
    ],
)
def test_invalid_arguments_of_dropout_are_rejected(ratio, error, message):
    with pytest.raises(error, match=message):
        Dropout(ratio)


def test_invalid_arrays_of_dropout_are_rejected():
    layer = Dropout()
    with pytest.raises(TypeError, match=r"^x must hold real numbers"):
        layer.forward("x")
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^dout must have the shape of the output, \(2, 3\), got \(3,\)"):
        layer.backward(np.ones(3))


# Batch normalization


def normalized(x, epsilon):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon)


@every_dtype
@pytest.mark.parametrize("options", [{}, {"epsilon": 10e-7}, {"epsilon": 0.5, "momentum": 0.25}])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4), (6, 2, 2), (6, 1, 2, 2)])
def test_batch_normalization_agrees_with_numpy(shape, options, dtype):
    x, dout = 3 + drawn(shape, dtype), drawn(shape, dtype, seed=1)
    gamma, beta = 1 + drawn(4, dtype, seed=2) / 4, drawn(4, dtype, seed=3)
    flat, grad = x.reshape(shape[0], 4).astype(F64), dout.reshape(shape[0], 4).astype(F64)
    epsilon, momentum = options.get("epsilon", 1e-5), options.get("momentum", 0.9)
    n, deviation = normalized(flat, epsilon), np.sqrt(flat.var(axis=0) + epsilon)
    layer = BatchNormalization(gamma, beta, **options)
    with unchanged(x, dout, gamma, beta):
        out = layer.forward(x)
        dx = layer.backward(dout)
    assert out.shape == dx.shape == layer.input_shape == shape
    for array in (out, dx, layer.dgamma, layer.dbeta, layer.running_mean, layer.running_var):
        assert array.dtype == dtype
    factor = gamma / deviation
    want_dx = factor * (grad - grad.mean(axis=0) - n * (grad * n).mean(axis=0))  # nearly cancels for two samples
    assert_close(dx, want_dx.reshape(shape), TOLERANCES[dtype].chain * np.max(np.abs(factor * grad)))
    for got, want in (
        (out, (gamma * n + beta).reshape(shape)),
        (layer.dgamma, (grad * n).sum(axis=0)),
        (layer.dbeta, grad.sum(axis=0)),
        (layer.running_mean, (1 - momentum) * flat.mean(axis=0)),
        (layer.running_var, (1 - momentum) * flat.var(axis=0)),
    ):
        assert_chain_close(got, want)


def test_running_statistics_are_moving_averages_of_the_batches():
    layer = BatchNormalization(np.ones(3), np.zeros(3), 0.75)
    mean, variance = np.zeros(3), np.zeros(3)
    for seed in range(4):
        x = drawn((8, 3), seed=seed)
        layer.forward(x)
        mean, variance = 0.75 * mean + 0.25 * x.mean(axis=0), 0.75 * variance + 0.25 * x.var(axis=0)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=FLOAT64_RTOL)
    np.testing.assert_allclose(layer.running_var, variance, rtol=FLOAT64_RTOL)


@every_dtype
@pytest.mark.parametrize("shape", [(6, 4), (1, 4), (6, 1, 2, 2)])
def test_batch_normalization_predicts_with_the_running_statistics(shape, dtype):
    x, gamma, beta = drawn(shape, dtype), drawn(4, dtype, seed=1), drawn(4, dtype, seed=2)
    mean, variance = drawn(4, dtype, seed=3), drawn(4, dtype, seed=4) ** 2
    layer = BatchNormalization(gamma, beta, running_mean=mean, running_var=variance, epsilon=10e-7)
    with unchanged(x, gamma, beta, mean, variance):
        out = layer.forward(x, train_flg=False)
    assert out.shape == shape and out.dtype == dtype
    assert layer.running_mean is mean and layer.running_var is variance
    want = gamma * (x.reshape(-1, 4).astype(F64) - mean) / np.sqrt(variance.astype(F64) + 10e-7) + beta
    assert_chain_close(out, want.reshape(shape))


def test_backward_of_batch_normalization_needs_a_forward_in_training():
    layer = BatchNormalization(np.ones(2), np.zeros(2))
    x = drawn((4, 2))
    layer.forward(x)
    layer.forward(x, train_flg=False)
    with pytest.raises(RuntimeError, match=r"^backward must follow a call of forward in training"):
        layer.backward(x)
    layer.forward(x)
    assert layer.backward(x).shape == (4, 2)


def test_given_running_statistics_are_continued_and_not_overwritten():
    mean, variance = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    layer = BatchNormalization(np.ones(2), np.zeros(2), 0.5, mean, variance)
    x = np.array([[1.0, 0.0], [3.0, 2.0]])
    with unchanged(mean, variance):
        layer.forward(x)
    np.testing.assert_allclose(layer.running_mean, [1.5, 1.5], rtol=1e-15)
    np.testing.assert_allclose(layer.running_var, [2, 2.5], rtol=1e-15)


def test_prediction_before_training_uses_mean_0_and_variance_0():
    layer = BatchNormalization(np.ones(2), np.zeros(2), epsilon=0.25)
    np.testing.assert_array_equal(layer.forward([[1, -2]], train_flg=False), [[2, -4]])
    assert layer.running_mean is None


def test_batch_normalization_reads_its_parameters_at_every_call():
    gamma, beta = np.ones(2), np.zeros(2)
    layer = BatchNormalization(gamma, beta, epsilon=0)
    assert layer.gamma is gamma and layer.beta is beta
    gamma *= 3
    beta += 1
    np.testing.assert_allclose(layer.forward([[1, 2], [3, 6]]), [[-2, -2], [4, 4]], rtol=1e-15)


def test_a_constant_feature_becomes_beta():
    layer = BatchNormalization(np.ones(2), np.array([5.0, 7.0]))
    np.testing.assert_array_equal(layer.forward([[1, 1], [1, 1]]), [[5, 7], [5, 7]])
    np.testing.assert_array_equal(layer.forward([[1, 2]]), [[5, 7]])  # a single sample does not vary either


def test_batch_normalization_has_the_result_dtype_of_x_and_its_parameters():
    layer = BatchNormalization(np.ones(2, F32), np.zeros(2, F32), running_mean=np.zeros(2), running_var=np.ones(2))
    x = drawn((4, 2), F32)
    assert layer.forward(x, train_flg=False).dtype == F32  # in spite of float64 statistics
    assert layer.forward(x).dtype == F32
    assert layer.backward(x).dtype == F32
    assert layer.backward(x.astype(F64)).dtype == F64
    assert layer.forward(x.astype(F64)).dtype == F64
    assert layer.forward(np.arange(8).reshape(4, 2)).dtype == F64


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones((1, 2)), np.ones(2)), {}, ValueError, r"^gamma must have shape \(features,\), got shape \(1, 2\)"),
        ((1.0, 0.0), {}, ValueError, r"^gamma must have shape \(features,\), got shape \(\)"),
        ((np.ones(2), np.ones(3)), {}, ValueError, r"^beta must have the shape of gamma, \(2,\), got \(3,\)"),
        ((np.ones(2), "b"), {}, TypeError, r"^beta must hold real numbers"),
        ((np.ones(2), np.ones(2), 1), {}, ValueError, r"^momentum must be less than 1, got 1"),
        ((np.ones(2), np.ones(2)), {"epsilon": -1}, ValueError, r"^epsilon must be finite and not negative"),
        (
            (np.ones(2), np.ones(2)),
            {"running_mean": np.ones(3)},
            ValueError,
            r"^running_mean must have the shape of gamma, \(2,\), got \(3,\)",
        ),
        ((np.ones(2), np.ones(2)), {"running_var": "v"}, TypeError, r"^running_var must hold real numbers"),
    ],
)
def test_invalid_parameters_of_batch_normalization_are_rejected(arguments, options, error, message):
    with pytest.raises(error, match=message):
        BatchNormalization(*arguments, **options)


@pytest.mark.parametrize("train_flg", [True, False])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"^x must have 2 numbers for each sample, got shape \(\)"),
        ((4, 3), r"^x must have 2 numbers for each sample, got shape \(4, 3\)"),
        ((2, 4), r"^x must have 2 numbers for each sample, got shape \(2, 4\)"),
        ((0, 2), r"^x must have at least one sample, got shape \(0, 2\)"),
    ],
)
def test_an_invalid_x_of_batch_normalization_is_rejected(shape, message, train_flg):
    layer = BatchNormalization(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match=message):
        layer.forward(np.ones(shape), train_flg)
    assert layer.running_mean is layer.running_var is layer.input_shape is None


def test_an_invalid_dout_of_batch_normalization_is_rejected():
    layer = BatchNormalization(np.ones(4), np.zeros(4))
    layer.forward(np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match=r"^dout must have the shape of the output, \(3, 2, 2\), got \(3, 4\)"):
        layer.backward(np.ones((3, 4)))
    layer.gamma, layer.beta = np.ones(2), np.zeros(2)
    with pytest.raises(ValueError, match=r"^running_mean must have the shape of gamma, \(2,\), got \(4,\)"):
        layer.backward(np.ones((3, 2, 2)))
    assert layer.dgamma is None
