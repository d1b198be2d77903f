"""`fastfnn.book`: the modules `common` of the book have its names, its arguments and its numbers.

The numbers are compared with plain NumPy, in float64; tests/api/test_book_networks.py does so for networks, and
tests/api/test_book_runner.py runs programs.
"""

import importlib
import inspect

import numpy as np
import pytest
from plain_layers import PLAIN_BOOK

import fastfnn.book

# isort: split
from common import functions, gradient, layers, optimizer, util

pytestmark = pytest.mark.usefixtures("numpy_seed")

RTOL = 1e-12  # a few operations in float64

FUNCTIONS = {
    "np", "identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad", "softmax",
    "sum_squared_error", "mean_squared_error", "cross_entropy_error", "softmax_loss",
}  # fmt: skip
LAYERS = FUNCTIONS | {
    "im2col", "col2im", "Relu", "Sigmoid", "Affine", "SoftmaxWithLoss", "Dropout", "BatchNormalization", "Convolution",
    "Pooling",
}  # fmt: skip
OPTIMIZERS = {"np", "SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"}
NAMES = {  # what `from common.MODULE import *` imports
    "functions": FUNCTIONS,
    "gradient": {"np", "numerical_gradient", "numerical_gradient_2d"},
    "layers": LAYERS,
    "multi_layer_net": LAYERS | {"sys", "os", "OrderedDict", "numerical_gradient", "MultiLayerNet"},
    "multi_layer_net_extend": LAYERS | {"sys", "os", "OrderedDict", "numerical_gradient", "MultiLayerNetExtend"},
    "optimizer": OPTIMIZERS,
    "trainer": OPTIMIZERS | {"sys", "os", "Trainer"},
    "util": {"np", "smooth_curve", "shuffle_dataset", "conv_output_size", "im2col", "col2im"},
}

SIZES = "input_size hidden_size_list output_size activation=relu weight_init_std=relu weight_decay_lambda=0"
SIGNATURES = {  # arguments with their defaults; of classes those of the constructor
    "functions.identity_function": "x",
    "functions.step_function": "x",
    "functions.sigmoid": "x",
    "functions.sigmoid_grad": "x",
    "functions.relu": "x",
    "functions.relu_grad": "x",
    "functions.softmax": "x",
    "functions.sum_squared_error": "y t",
    "functions.mean_squared_error": "y t",
    "functions.cross_entropy_error": "y t",
    "functions.softmax_loss": "X t",
    "gradient.numerical_gradient": "f x",
    "gradient.numerical_gradient_2d": "f X",
    "layers.Affine": "W b",
    "layers.Affine.forward": "x",
    "layers.Affine.backward": "dout",
    "layers.Relu": "",
    "layers.Relu.forward": "x",
    "layers.Relu.backward": "dout",
    "layers.Sigmoid": "",
    "layers.Sigmoid.forward": "x",
    "layers.Sigmoid.backward": "dout",
    "layers.SoftmaxWithLoss": "",
    "layers.SoftmaxWithLoss.forward": "x t",
    "layers.SoftmaxWithLoss.backward": "dout=1",
    "layers.Dropout": "dropout_ratio=0.5",
    "layers.Dropout.forward": "x train_flg=True",
    "layers.Dropout.backward": "dout",
    "layers.BatchNormalization": "gamma beta momentum=0.9 running_mean=None running_var=None",
    "layers.BatchNormalization.forward": "x train_flg=True",
    "layers.BatchNormalization.backward": "dout",
    "multi_layer_net.MultiLayerNet": SIZES,
    "multi_layer_net.MultiLayerNet.loss": "x t train_flg=False",
    "multi_layer_net.MultiLayerNet.accuracy": "x t",
    "multi_layer_net.MultiLayerNet.gradient": "x t",
    "multi_layer_net.MultiLayerNet.numerical_gradient": "x t",
    "multi_layer_net_extend.MultiLayerNetExtend": f"{SIZES} use_dropout=False dropout_ration=0.5 use_batchnorm=False",
    "multi_layer_net_extend.MultiLayerNetExtend.predict": "x train_flg=False",
    "multi_layer_net_extend.MultiLayerNetExtend.loss": "x t train_flg=False",
    "optimizer.SGD": "lr=0.01",
    "optimizer.Momentum": "lr=0.01 momentum=0.9",
    "optimizer.Nesterov": "lr=0.01 momentum=0.9",
    "optimizer.AdaGrad": "lr=0.01",
    "optimizer.RMSprop": "lr=0.01 decay_rate=0.99",
    "optimizer.Adam": "lr=0.001 beta1=0.9 beta2=0.999",
    "optimizer.SGD.update": "params grads",
    "trainer.Trainer": (
        "network x_train t_train x_test t_test epochs=20 mini_batch_size=100 optimizer=SGD "
        "optimizer_param={'lr': 0.01} evaluate_sample_num_per_epoch=None verbose=True"
    ),
    "util.smooth_curve": "x",
    "util.shuffle_dataset": "x t",
    "util.conv_output_size": "input_size filter_size stride=1 pad=0",
    "util.im2col": "input_data filter_h filter_w stride=1 pad=0",
    "util.col2im": "col input_shape filter_h filter_w stride=1 pad=0",
}


@pytest.mark.parametrize("name", NAMES)
def test_import_star_brings_the_names_of_the_book(name):
    namespace = {}
    exec(f"from common.{name} import *", namespace)
    del namespace["__builtins__"]
    assert set(namespace) == NAMES[name]
    assert namespace.get("np", np) is np


@pytest.mark.parametrize("path", SIGNATURES)
def test_arguments_are_those_of_the_book(path):
    module, *names = path.split(".")
    thing = importlib.import_module(f"common.{module}")
    for name in names:
        thing = getattr(thing, name)
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.name != "self"]
    assert " ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters) == SIGNATURES[path]


def test_the_modules_are_those_of_the_package():
    assert layers is fastfnn.book.common.layers
    with pytest.raises(ModuleNotFoundError, match=r"common\.convolution"):
        importlib.import_module("common.convolution")


# Functions


def drawn(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_single_numbers(dtype, shape):
    x = drawn(*shape).astype(dtype)
    tolerance = {"rtol": 1e-6 if dtype == "float32" else RTOL}
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_array_equal(functions.identity_function(x), x)
    np.testing.assert_array_equal(functions.step_function(x), (x > 0).astype(int))
    np.testing.assert_array_equal(functions.relu(x), np.maximum(x, 0))
    np.testing.assert_array_equal(functions.relu_grad(x), x >= 0)
    np.testing.assert_allclose(functions.sigmoid(x), sigmoid, **tolerance)
    np.testing.assert_allclose(functions.sigmoid_grad(x), sigmoid * (1 - sigmoid), **tolerance)
    assert functions.relu_grad(x).dtype == functions.sigmoid(x).dtype == dtype


def test_the_derivative_of_relu_is_1_at_0():
    np.testing.assert_array_equal(functions.relu_grad(np.array([-1.0, 0.0, 2.0])), [0, 1, 1])


def test_softmax_and_squares():
    x = drawn(3, 4)
    power = np.exp(x)
    np.testing.assert_allclose(functions.softmax(x), power / power.sum(axis=1, keepdims=True), rtol=RTOL)
    np.testing.assert_allclose(functions.softmax(x[0]), power[0] / power[0].sum(), rtol=RTOL)
    for squares in (functions.sum_squared_error, functions.mean_squared_error):  # the latter is the older name
        np.testing.assert_allclose(squares(x, 2 * x), np.sum(x**2) / 2, rtol=RTOL)


LABELS = np.array([2, 0, 3])
SOFT = np.array([[0.1, 0.2, 0.7, 0], [0.6, 0.4, 0, 0], [0, 0.5, 0, 0.5]])  # the largest, the first of them, counts
TARGETS = {
    "labels": (LABELS, LABELS),
    "bytes": (LABELS.astype(np.uint8), LABELS),
    "one-hot": (np.eye(4)[LABELS], LABELS),
    "integer one-hot": (np.eye(4, dtype=int)[LABELS], LABELS),
    "soft": (SOFT, [2, 0, 1]),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_the_cross_entropy_adds_1e_7_and_takes_rows_for_labels(kind):
    t, labels = TARGETS[kind]
    y = functions.softmax(drawn(3, 4))
    want = -np.mean(np.log(y[np.arange(3), labels] + 1e-7))
    np.testing.assert_allclose(functions.cross_entropy_error(y, t), want, rtol=RTOL)
    np.testing.assert_allclose(functions.softmax_loss(drawn(3, 4), t), want, rtol=RTOL)
    single = functions.cross_entropy_error(y[0], t[0])
    np.testing.assert_allclose(single, -np.log(y[0, labels[0]] + 1e-7), rtol=RTOL)


def test_the_cross_entropy_of_impossible_labels_is_finite():
    assert functions.cross_entropy_error(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-7))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_numerical_gradient_has_the_step_1e_4_everywhere(dtype):
    x = np.array([[-300.0, 0.0], [0.5, 40.0]], dtype)
    kept, points = x.copy(), []

    def f(values):
        points.append(values.astype(np.float64))
        return float(np.sum((values.astype(np.float64) - kept) ** 2 + 2.0 * values))

    got = gradient.numerical_gradient(f, x)
    np.testing.assert_array_equal(x, kept)
    distances = np.abs(np.array(points) - kept).max(axis=(1, 2))
    np.testing.assert_allclose(distances, 1e-4, rtol=1e-8 if dtype == "float64" else 0.3)  # 300 + 1e-4 is rounded
    np.testing.assert_allclose(got, 2, rtol=1e-9 if dtype == "float64" else 1e-5)


def test_the_numerical_gradient_of_a_batch_treats_each_row_by_itself():
    x = drawn(3, 4)
    np.testing.assert_allclose(gradient.numerical_gradient_2d(lambda row: np.sum(row**2), x), 2 * x, atol=1e-9)
    np.testing.assert_allclose(gradient.numerical_gradient_2d(lambda row: np.sum(row**2), x[0]), 2 * x[0], atol=1e-9)


# Layers


@pytest.mark.parametrize("shape", [(4, 6), (4, 1, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_affine_takes_images_and_samples_of_float32(dtype, shape):
    x, dout, weight, bias = drawn(*shape).astype(dtype), drawn(4, 3), drawn(6, 3), drawn(3)
    ours, plain = layers.Affine(weight, bias), PLAIN_BOOK.Affine(weight, bias)
    flat = x.reshape(4, 6).astype(np.float64)
    np.testing.assert_allclose(ours.forward(x), plain.forward(flat), rtol=RTOL)
    np.testing.assert_allclose(ours.backward(dout), plain.backward(dout).reshape(shape), rtol=RTOL)
    np.testing.assert_allclose(ours.dW, plain.dW, rtol=RTOL, atol=RTOL)
    np.testing.assert_allclose(ours.db, plain.db, rtol=RTOL, atol=RTOL)


@pytest.mark.parametrize("name", ["Relu", "Sigmoid"])
def test_activations(name):
    x, dout = drawn(4, 6), drawn(4, 6)[::-1]
    ours, plain = getattr(layers, name)(), getattr(PLAIN_BOOK, name)()
    np.testing.assert_allclose(ours.forward(x), plain.forward(x), rtol=RTOL)
    np.testing.assert_allclose(ours.backward(dout), plain.backward(dout), rtol=RTOL)


@pytest.mark.parametrize("kind", TARGETS)
def test_softmax_with_loss_ignores_dout(kind):
    t, labels = TARGETS[kind]
    x, layer = drawn(3, 4), layers.SoftmaxWithLoss()
    y = functions.softmax(x)
    rows = t if np.ndim(t) == 2 else np.eye(4)[labels]
    assert layer.forward(x, t) == layer.loss == functions.cross_entropy_error(y, t)
    np.testing.assert_array_equal(layer.y, y)
    assert layer.t is t
    for dx in (layer.backward(), layer.backward(5)):
        np.testing.assert_allclose(dx, (y - rows) / 3, rtol=RTOL, atol=1e-17)


def test_softmax_with_loss_of_a_single_sample():
    x, layer = drawn(4), layers.SoftmaxWithLoss()
    loss = layer.forward(x, 2)
    assert loss == functions.cross_entropy_error(functions.softmax(x), 2)
    np.testing.assert_allclose(layer.backward(), functions.softmax(x) - np.eye(4)[2], rtol=RTOL)
    with pytest.raises(RuntimeError, match="backward must follow a call of forward"):
        layers.SoftmaxWithLoss().backward()


@pytest.mark.parametrize("train_flg", [True, False])
def test_dropout_draws_its_mask_from_the_global_generator(train_flg):
    x, dout, results = drawn(40, 5), drawn(40, 5), []
    for layer in (layers.Dropout(0.3), PLAIN_BOOK.Dropout(0.3)):
        np.random.seed(3)
        results.append(layer.forward(x, train_flg))
        if train_flg:
            results.append(layer.backward(dout))
        results.append(np.random.rand())
    half = len(results) // 2
    for got, want in zip(results[:half], results[half:], strict=True):
        np.testing.assert_allclose(got, want, rtol=RTOL)


@pytest.mark.parametrize("count", [1, 7])
def test_batch_normalization_of_narrow_features_shows_the_epsilon(count):
    x, dout, gamma, beta = 1e-3 * drawn(count, 4), drawn(count, 4)[::-1], drawn(4), drawn(4)
    ours, plain = layers.BatchNormalization(gamma, beta), PLAIN_BOOK.BatchNormalization(gamma, beta)
    for _ in range(2):
        np.testing.assert_allclose(ours.forward(x), plain.forward(x), rtol=1e-9)
        np.testing.assert_allclose(ours.backward(dout), plain.backward(dout), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours.dgamma, plain.dgamma, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours.dbeta, plain.dbeta, rtol=1e-9)
    np.testing.assert_allclose(ours.forward(x, train_flg=False), plain.forward(x, train_flg=False), rtol=1e-9)
    np.testing.assert_allclose(ours.running_mean, plain.running_mean, rtol=1e-9)
    np.testing.assert_allclose(ours.running_var, plain.running_var, rtol=1e-9)


@pytest.mark.parametrize(
    "make", [lambda: layers.Convolution(1, 2, stride=1, pad=0), lambda: layers.Pooling(2, 2, stride=2)]
)
def test_the_layers_of_chapter_7_say_that_they_are_missing(make):
    with pytest.raises(NotImplementedError, match=r"^fastfnn has no (Convolution|Pooling): .* chapters 3 to 6"):
        make()


# Optimizers


def velocity(momentum=0.9, lr=0.1):
    state = {"v": 0.0}

    def step(w, g):
        state["v"] = momentum * state["v"] - lr * g
        return w + state["v"]

    return step


def lookahead(momentum=0.9, lr=0.1):
    state = {"v": 0.0}

    def step(w, g):
        state["v"] = momentum * state["v"] - lr * g
        return w + momentum * state["v"] - lr * g

    return step


def divided(lr=0.1, decay=None):
    state = {"h": 0.0}

    def step(w, g):
        state["h"] = state["h"] + g * g if decay is None else decay * state["h"] + (1 - decay) * g * g
        return w - lr * g / (np.sqrt(state["h"]) + 1e-7)

    return step


def moments(lr=0.1, beta1=0.9, beta2=0.999):
    state = {"m": 0.0, "v": 0.0, "t": 0}

    def step(w, g):
        state["t"] += 1
        state["m"] = beta1 * state["m"] + (1 - beta1) * g
        state["v"] = beta2 * state["v"] + (1 - beta2) * g * g
        rate = lr * np.sqrt(1 - beta2 ** state["t"]) / (1 - beta1 ** state["t"])
        return w - rate * state["m"] / (np.sqrt(state["v"]) + 1e-7)

    return step


RULES = {
    "SGD": lambda: lambda w, g: w - 0.1 * g,
    "Momentum": velocity,
    "Nesterov": lookahead,
    "AdaGrad": divided,
    "RMSprop": lambda: divided(decay=0.99),
    "Adam": moments,
}


@pytest.mark.parametrize("name", RULES)
def test_an_optimizer_takes_the_steps_of_the_book(name):
    w, params = drawn(3, 4), {"W": drawn(3, 4)}
    rule, ours = RULES[name](), getattr(optimizer, name)(lr=0.1)
    for scale in (1.0, -0.5, 1e-6, 2.0):  # small gradients show the epsilons
        grad = scale * drawn(4, 3).T
        w = rule(w, grad)
        ours.update(params, {"W": grad})
        np.testing.assert_allclose(params["W"], w, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", RULES)
def test_an_optimizer_descends_a_function_of_plain_numbers(name):
    """The program that draws the paths of optimizers over x^2 / 20 + y^2."""
    params, ours = {"x": -7.0, "y": 2.0}, getattr(optimizer, name)(lr=0.1)
    x, y, rule_x, rule_y = -7.0, 2.0, RULES[name](), RULES[name]()
    for _ in range(30):
        ours.update(params, {"x": params["x"] / 10.0, "y": 2.0 * params["y"]})
        x, y = rule_x(x, x / 10), rule_y(y, 2 * y)
        np.testing.assert_allclose((params["x"], params["y"]), (x, y), rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in RULES if name != "SGD"])
def test_the_state_of_an_optimizer_belongs_to_names(name):
    w, rule, ours = drawn(3), RULES[name](), getattr(optimizer, name)(lr=0.1)
    for scale in (1.0, -2.0, 3.0):
        params = {"W": w.copy(), "other": np.ones(2)} if scale == 1 else {"W": w.copy()}  # other arrays each time
        ours.update(params, {"W": scale * w, "other": np.ones(2)})
        w = rule(w, scale * w)
        np.testing.assert_allclose(params["W"], w, rtol=1e-11)


# Utilities


def test_a_smoothed_curve_is_a_weighted_mean_of_mirrored_points():
    x = drawn(30)
    mirrored = [*x[5:0:-1], *x, *x[:-6:-1]]
    weights = np.kaiser(11, 2) / np.kaiser(11, 2).sum()
    want = [np.dot(weights, mirrored[i : i + 11]) for i in range(30)]
    np.testing.assert_allclose(util.smooth_curve(list(x)), want, rtol=RTOL)
    np.testing.assert_allclose(util.smooth_curve(np.ones(11)), np.ones(11), rtol=RTOL)


@pytest.mark.parametrize("shape", [(8, 3), (8, 1, 2, 2)])
def test_a_shuffled_data_set_keeps_its_pairs(shape):
    x, t = np.arange(np.prod(shape)).reshape(shape), np.arange(8)
    np.random.seed(5)
    order = np.random.permutation(8)
    np.random.seed(5)
    shuffled, labels = util.shuffle_dataset(x, t)
    np.testing.assert_array_equal(shuffled, x[order])
    np.testing.assert_array_equal(labels, order)


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1), (3, 2)])
def test_columns_hold_what_a_filter_sees(stride, pad):
    images = drawn(2, 3, 6, 5)
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    high, wide = ((size + 2 * pad - filter_size) // stride + 1 for size, filter_size in ((6, 3), (5, 2)))
    want = [
        padded[n, :, i * stride : i * stride + 3, j * stride : j * stride + 2].ravel()
        for n in range(2) for i in range(high) for j in range(wide)
    ]  # fmt: skip
    columns = util.im2col(images, 3, 2, stride, pad)
    np.testing.assert_array_equal(columns, want)
    other = drawn(*columns.shape)
    back = util.col2im(other, images.shape, 3, 2, stride, pad)
    np.testing.assert_allclose(np.sum(back * images), np.sum(other * columns), rtol=RTOL)  # the adjoint
    assert util.conv_output_size(7, 3, stride=2, pad=1) == 4.0
