"""`from_keras`: make test-peers installs Keras, with JAX as its backend."""

import os
import re

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn.reference.activations import TABLE

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")
pytest.importorskip(os.environ["KERAS_BACKEND"], reason="needs the backend of Keras: make test-peers")
keras = pytest.importorskip("keras", reason="needs Keras: make test-peers")
layers = keras.layers

# Largest difference, relative to the largest output. Only with TensorFlow does Keras compute all of a float64 model in
# float64: in these tests, an equal computation in NumPy takes the place of Keras's.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
ACTIVATIONS = ["linear", "sigmoid", "tanh", "relu", "elu", "softplus", "silu", "gelu"]

dtypes = pytest.mark.parametrize("dtype", TOLERANCE)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
    yield
    set_dtype("float32")


def set_dtype(dtype):
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


def sequential(*stack, inputs=(6,)):
    return changed(keras.Sequential([keras.Input(inputs), *stack]))


def changed(model):
    """The model with biases and batch normalization that are not those of the beginning."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.name in ("gamma", "beta", "bias", "moving_mean"):
            variable.assign(rng.uniform(-1, 1, variable.shape))
        elif variable.name == "moving_variance":
            variable.assign(rng.uniform(0.001, 2, variable.shape))
    return model


def applied(name, x):
    out = np.empty_like(x)
    TABLE[name].forward(out, x)
    return out


OURS = {"linear": "identity", "exponential": "exp"}


def predictions(model, x):
    """What the model predicts; in float64, what its layers compute by their definitions."""
    if x.dtype == np.float32:
        return model.predict(x, verbose=0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            mean, variance = map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))
            x = (x - mean) / np.sqrt(variance + layer.epsilon)
            x = x * keras.ops.convert_to_numpy(layer.gamma) if layer.scale else x
            x = x + keras.ops.convert_to_numpy(layer.beta) if layer.center else x
        elif isinstance(layer, layers.Dense):
            weight = keras.ops.convert_to_numpy(layer.kernel)
            x = x @ weight + (keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else 0)
        if isinstance(layer, layers.LeakyReLU):
            x = np.where(x < 0, layer.negative_slope * x, x)
        elif hasattr(layer, "activation"):
            name = keras.activations.serialize(layer.activation)
            x = applied(OURS.get(name, name), x)
    return x


def difference(net, model, inputs=(6,)):
    x = np.random.default_rng(1).normal(size=(50, *inputs)).astype(net.dtype)
    want, got = predictions(model, x), net.predict(x.reshape(50, -1))
    assert got.dtype == want.dtype and got.shape == want.shape
    if net.dtype == np.float64:
        np.testing.assert_allclose(got, model.predict(x, verbose=0), rtol=1e-3, atol=1e-5)
    return np.abs(got - want).max() / np.abs(want).max()


@dtypes
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "leaky_relu"])
def test_predictions_are_those_of_the_model(activation, dtype):
    set_dtype(dtype)

    def function():
        return layers.LeakyReLU(negative_slope=0.01) if activation == "leaky_relu" else layers.Activation(activation)

    ours = OURS.get(activation, activation)
    for loss, output in (("softmax_cross_entropy", "softmax"), ("squared_error", None), ("poisson", "exponential")):
        model = sequential(
            *(layers.Dense(16), layers.BatchNormalization(), function(), layers.Dropout(0.2)),
            *(layers.Dense(8, use_bias=False), layers.BatchNormalization(epsilon=1e-6, scale=False, center=False)),
            *(function(), layers.Dropout(0.2), layers.Dense(3, activation=output)),
        )
        net = fnn.from_keras(model)
        assert (net.loss_name, net.activation, net.dtype) == (loss, (ours, ours), dtype)
        assert net.batch_norm and net.dropout == 0.2
        assert difference(net, model) < TOLERANCE[dtype]
        hidden = (
            [layers.Dense(16, activation=activation)] if activation in ACTIVATIONS else [layers.Dense(16), function()]
        )
        plain = sequential(*hidden, layers.Dense(3, activation=output))
        assert difference(fnn.from_keras(plain), plain) < TOLERANCE[dtype]


@dtypes
def test_batch_normalization_after_activations_is_folded_if_asked_for(dtype):
    set_dtype(dtype)
    model = sequential(
        layers.BatchNormalization(), layers.Dense(16, activation="relu"), layers.BatchNormalization(),
        layers.Dropout(0.1), layers.Dense(1, activation="sigmoid"),
    )  # fmt: skip
    net = fnn.from_keras(model, fold_batch_norm=True)
    assert (net.loss_name, net.batch_norm, net.dropout) == ("sigmoid_cross_entropy", False, 0.1)
    assert difference(net, model) < TOLERANCE[dtype]
    with pytest.raises(ValueError, match=r"model\.layers\[0\] \(BatchNormalization '.*'\) must stand.*fold_batch_norm"):
        fnn.from_keras(model)


def test_a_step_of_training_is_that_of_keras():
    for hidden in ([layers.Dense(16), layers.Activation("tanh")], [layers.Dense(8, activation="relu")]):
        model = sequential(*hidden, layers.Dense(3, activation="softmax"))
        net, labels = fnn.from_keras(model), np.arange(50) % 3
        x = np.random.default_rng(1).normal(size=(50, 6)).astype("float32")
        net.fit(x, labels, epochs=1, batch_size=None, optimizer=fnn.SGD(0.1))
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(x, labels, batch_size=50, verbose=0)
        for name, value in fnn.from_keras(model).params.items():
            np.testing.assert_allclose(net.params[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_functional_chains_nested_sequentials_flatten_and_layers_of_functions():
    inputs = keras.Input((3, 4))
    x = layers.ReLU()(layers.Dense(8)(layers.Flatten()(inputs)))
    outputs = layers.Softmax()(layers.Dense(5)(layers.ELU()(layers.Dense(6)(x))))
    model = changed(keras.Model(inputs, outputs))
    net = fnn.from_keras(model)
    assert net.activation == ("relu", "elu") and difference(net, model, (3, 4)) < 1e-5
    block = keras.Sequential([layers.Dense(8), layers.BatchNormalization(), layers.ReLU(negative_slope=0.01)])
    model = sequential(layers.Flatten(), layers.Identity(), block, layers.Dense(2), inputs=(2, 3))
    net = fnn.from_keras(model)
    assert net.activation == ("leaky_relu",) and difference(net, model, (2, 3)) < 1e-5


def branched():
    inputs = keras.Input((6,))
    hidden = layers.Dense(6)(inputs)
    return keras.Model(inputs, layers.Add()([inputs, hidden]))


def two_outputs():
    inputs = keras.Input((6,))
    hidden = layers.Dense(6, name="hidden")(inputs)
    return keras.Model(inputs, [hidden, layers.Dense(6)(hidden)])


def repeated():
    inputs = keras.Input((6,))
    shared = layers.Dense(6, name="shared")
    return keras.Model(inputs, shared(shared(inputs)))


def nested():
    inputs = keras.Input((6,))
    inner = keras.Input((6,))
    return keras.Model(inputs, keras.Model(inner, layers.Dense(2)(inner), name="inner")(inputs))


def stack(*items, inputs=(6,)):
    return lambda: keras.Sequential([keras.Input(inputs), *items])


class Twice(layers.Dense):
    pass


@pytest.mark.parametrize(
    "build, message",
    [
        (stack(layers.Rescaling(1 / 255), layers.Dense(2)), r"layers\[0\] \(Rescaling .*samples x \* scale \+ offset"),
        (stack(layers.Normalization(mean=0, variance=1), layers.Dense(2)), r"\(Normalization .*sqrt\(variance\)"),
        (
            stack(layers.Dense(4, activation="leaky_relu"), layers.Dense(2)),
            r"layers\[0\] .*got leaky_relu; LeakyReLU\(",
        ),
        (stack(layers.Dense(4, activation="selu"), layers.Dense(2)), r"\(Dense .*must have one of .*got selu"),
        (stack(layers.Dense(4), layers.LeakyReLU(), layers.Dense(2)), r"\(LeakyReLU .*negative_slope=0.01.*got 0.3"),
        (stack(layers.Dense(4), layers.ReLU(max_value=6), layers.Dense(2)), r"\(ReLU .*max_value=None.*got 6"),
        (stack(layers.Dense(4), layers.PReLU(), layers.Dense(2)), r"\(PReLU .*has no counterpart.*takes Input, Dense"),
        (stack(Twice(4), layers.Dense(2)), r"\(Twice .*has no counterpart"),
        (stack(layers.Conv1D(4, 1), layers.Flatten(), inputs=(6, 1)), r"layers\[0\] \(Conv1D .*has no counterpart"),
        (stack(layers.Dense(4), layers.Flatten(), inputs=(6, 1)), r"layers\[0\] \(Dense .*begin with Flatten"),
        (stack(layers.Dense(4), layers.GaussianDropout(0.1), layers.Dense(2)), r"\(GaussianDropout .*no counterpart"),
        (
            stack(layers.Dense(4, dtype="mixed_float16")),
            r"must compute in the dtype of its weights, float32, got float16",
        ),
        (branched, r"model\.layers\[2\] \(Add .*must take what the layer before it gives"),
        (two_outputs, "one input and one output"),
        (repeated, "must be a chain that calls each layer once"),
        (nested, r"\(Functional 'inner'\) must not be a model inside a functional model"),
        (lambda: keras.Sequential([layers.Dense(2)]), "model must have weights: give it an Input"),
    ],
)
def test_what_does_not_map_is_named_with_its_place(build, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        fnn.from_keras(build())


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"keras\.Model, got Dense"):
        fnn.from_keras(layers.Dense(2))
