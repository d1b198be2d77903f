"""FN(W, b, f): the examples of the notes, shapes, dtypes, composition, conversion to FNN and back."""

import copy
import functools
import pickle

import numpy as np
import pytest
from exact_activations import EXACT, exact
from helpers import DTYPES, TOLERANCES, assert_chain_close, assert_sums_close, unchanged

import fastfnn as fnn
from fastfnn import FN
from fastfnn.backend import ACTIVATIONS
from fastfnn.fn import MultilayerFN

F32, F64 = DTYPES

IN_NUMPY = {
    **{name: lambda z, name=name: np.vectorize(functools.partial(exact, name), otypes=[z.dtype])(z) for name in EXACT},
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
    "exp": np.exp,
}
LOSSES = {
    "identity": "squared_error", "sigmoid": "sigmoid_cross_entropy", "softmax": "softmax_cross_entropy",
    "exp": "poisson",
}  # fmt: skip


def slip(z):
    """The function in example 2.1, which is meant to be the sigmoid but is 1 + e^-z."""
    return 1 / 1 + np.exp(-z)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def drawn(shape, dtype=F64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def chain(sizes, names, dtype=F64):
    """Return a chain of FN with random weights, and the layers."""
    layers = [
        FN(drawn((outputs, inputs), dtype, seed=i), drawn(outputs, dtype, seed=10 + i), name)
        for i, (inputs, outputs, name) in enumerate(zip(sizes[:-1], sizes[1:], names, strict=True))
    ]
    network = layers[0]
    for layer in layers[1:]:
        network = layer @ network
    return network, layers


# The examples of the notes


def test_example_1_1_gives_42_80():
    W = np.array([[1, 2, 3], [4, 5, 6]])
    b = np.array([7, 8])
    x = np.array([1, 2, 3])
    got = FN(W, b, lambda z: 2 * z)(x)
    assert repr(got) == "array([42, 80])"  # integers


EXAMPLE_2_1 = (
    np.array([[-0.3275861, 0.35679815, -0.93635564], [-0.3966737, 2.45340843, 0.80369067]]),
    np.array([[0.73728049, -0.99336306]]),
)
EXAMPLE_3_1 = (
    np.array([[-0.85226586, -0.74838968, -0.47477658], [0.9893178, -0.17452691, 0.08049864]]),
    np.array([[-0.1930833, -1.26376165]]),
)
OUTPUT_OF_3_1 = np.array([[-0.79262461, -1.11520968]]), 1.4734070700523327
X = np.array([0.1, 0.2, 0.3])
PRINTED = 2e-8  # the notes print inputs and outputs with 8 decimals


def test_example_2_1():
    got = FN(*EXAMPLE_2_1, slip)(X)
    assert got.shape == (1, 2)
    np.testing.assert_allclose(got, [[1.60958626, 2.35153575]], atol=PRINTED)


@pytest.mark.parametrize("f", [sigmoid, "sigmoid"])
def test_example_2_1_with_the_sigmoid(f):
    got = FN(*EXAMPLE_2_1, f)(X)
    np.testing.assert_allclose(got, [[0.62127767, 0.42525401]], atol=PRINTED)


def test_example_3_1():
    # The notes show the correct sigmoid here but print the result of the other function: with the sigmoid the output
    # would be above 1.47 - 0.79 - 1.12.
    hidden = FN(*EXAMPLE_3_1, slip)(X)
    assert hidden.shape == (1, 2)
    got = FN(*OUTPUT_OF_3_1, lambda z: z)(hidden)
    assert got.shape == (1, 1)
    np.testing.assert_allclose(got, [[-5.44991305]], atol=5 * PRINTED)  # error of a sum of products of printed numbers


@pytest.mark.parametrize(("f_1", "f_2"), [(sigmoid, lambda z: z), ("sigmoid", "identity")])
def test_example_3_1_as_typed(f_1, f_2):
    network = FN(*OUTPUT_OF_3_1, f_2) @ FN(*EXAMPLE_3_1, f_1)
    got = network(X)
    assert got.shape == (1, 1)
    np.testing.assert_allclose(got, [[0.92414016]], atol=PRINTED)


# One layer


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4,), (1, 4), (5, 4), (0, 4)])
def test_a_layer_is_f_of_the_affine_map(shape, name, dtype):
    W, b, x = drawn((3, 4), dtype), drawn(3, dtype, seed=1), drawn(shape, dtype, seed=2)
    want = IN_NUMPY[name](x.astype(F64) @ W.T.astype(F64) + b)
    for function in (name, IN_NUMPY[name]):
        with unchanged(W, b, x):
            got = FN(W, b, function)(x)
        assert got.shape == (*shape[:-1], 3) and got.dtype == dtype
        assert_chain_close(got, want)


@pytest.mark.parametrize("inputs", [1, 3])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", ["vector", "row", "number"])
def test_results_have_the_shapes_of_the_code_of_the_notes(inputs, outputs, bias):
    W = drawn((outputs, inputs))
    b = {"vector": drawn(outputs), "row": drawn((1, outputs)), "number": 0.5}[bias]
    if bias == "number" and outputs > 1:
        with pytest.raises(ValueError, match=r"^b must have shape \(2,\) or \(1, 2\), got shape \(\)"):
            FN(W, b, "identity")
        return
    x = drawn(inputs)
    want = np.dot(W, x.T) + b
    got = FN(W, b, "identity")(x)
    assert got.shape == want.shape
    assert_sums_close(got, want, np.abs(W) @ np.abs(x) + np.abs(b), inputs)
    rows = drawn((1, inputs))
    if outputs == 1:
        assert FN(W, b, "identity")(rows).shape == (np.dot(W, rows.T) + b).shape == (1, 1)
    assert FN(W, b, "identity")(drawn((4, inputs))).shape == (4, outputs)


@pytest.mark.parametrize(
    ("W", "b", "x", "want"),
    [
        ("float32", "float32", "float32", "float32"),
        ("float32", "float32", "float64", "float64"),
        ("float64", "float32", "float32", "float64"),
        ("float32", "int64", "float32", "float64"),  # NumPy's result type
        ("int64", "int64", "float64", "float64"),
        ("int64", "int64", "int64", "int64"),
        ("uint8", "int32", "int8", "int32"),
        ("uint64", "uint64", "uint64", "uint64"),
    ],
)
def test_results_have_the_dtype_of_numpy(W, b, x, want):
    rng = np.random.default_rng(0)
    W, b, x = (rng.integers(0, 5, shape).astype(dtype) for shape, dtype in (((2, 3), W), (2, b), ((4, 3), x)))
    got = FN(W, b, lambda z: z)(x)
    assert got.dtype == np.dtype(want)
    np.testing.assert_array_equal(
        got, x.astype(int) @ W.T.astype(int) + b
    )  # exact, because the numbers are small integers


@pytest.mark.parametrize(("W", "want"), [("float32", "float32"), ("float64", "float64"), ("int64", "float64")])
def test_a_plain_number_as_bias_has_the_dtype_of_W(W, want):
    got = FN(np.ones((1, 2), W), 0.5, "identity")(np.ones(2, W))
    assert got.dtype == np.dtype(want)
    np.testing.assert_array_equal(got, [2.5])


def test_integers_are_exact_where_float64_would_round():
    large = 2**53
    got = FN([[1, 1]], 1, lambda z: z)([large, 0])
    assert got.dtype == np.int64 and got[0] == large + 1


def test_a_change_of_the_weights_in_place_takes_effect():
    W, b = np.ones((2, 3)), np.zeros(2)
    layer = FN(W, b, "identity")
    assert layer.W is W and layer.b is b
    W[0], b[1] = 2, 5
    np.testing.assert_array_equal(layer([1, 1, 1]), [6, 8])


def test_f_may_return_anything():
    assert FN([[1, 2]], 3, lambda z: f"{z[0]}")([1, 1]) == "6"


def test_f_may_be_any_callable():
    class Doubled:
        def __call__(self, z):
            return 2 * z

    np.testing.assert_array_equal(FN([[1.0, 2]], 3, Doubled())([1, 1]), [12])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones(3), np.ones(3), "relu"), ValueError, r"^W must have shape \(d_out, d_in\), .* got shape \(3,\)"),
        ((np.ones((0, 3)), [], "relu"), ValueError, r"^W must have shape \(d_out, d_in\), .* got shape \(0, 3\)"),
        ((np.ones((2, 3)), np.ones(3), "relu"), ValueError, r"^b must have shape \(2,\) or \(1, 2\), got shape \(3,\)"),
        (
            (np.ones((2, 3)), np.ones(3), "relu"),
            ValueError,
            r"W has shape \(d_out, d_in\), here \(2, 3\): did you mean W.T\?$",
        ),
        ((np.ones((2, 3)), np.ones((2, 1)), "relu"), ValueError, r"^b must have shape .* got shape \(2, 1\)"),
        (
            (np.ones((1, 3)), np.ones(2), "relu"),
            ValueError,
            r"^b must have shape \(1,\) or \(1, 1\) or be a number, got shape \(2,\)",
        ),
        (([["a"]], [1], "relu"), TypeError, "^W must hold real numbers"),
        (([[1]], ["a"], "relu"), TypeError, "^b must hold real numbers"),
        (([[1]], None, "relu"), TypeError, "^b must hold real numbers"),
        (([[1]], [1], "mish"), ValueError, "^f must be one of identity, .*; got 'mish'"),
        (([[1]], [1], 3), TypeError, "^f must be a function or one of identity, .*; got int"),
        (([[1]], [1], None), TypeError, "^f must be a function or one of identity, .*; got NoneType"),
    ],
)
def test_invalid_weights_and_functions_are_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        FN(*arguments)


@pytest.mark.parametrize("layer", [FN(np.ones((2, 3)), np.ones(2), "relu"), FN([[1, 2, 3]], 4, lambda z: z)])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (1.0, ValueError, r"^x must have shape \(3,\) or \(samples, 3\), got shape \(\)"),
        ([1, 2], ValueError, r"^x must have shape \(3,\) or \(samples, 3\), got shape \(2,\)"),
        (np.ones((3, 2)), ValueError, r"^x must have shape \(3,\) or \(samples, 3\), got shape \(3, 2\)"),
        (np.ones((1, 1, 3)), ValueError, r"^x must have shape \(3,\) or \(samples, 3\), got shape \(1, 1, 3\)"),
        (["a", "b", "c"], TypeError, "^x must hold real numbers"),
    ],
)
def test_an_x_of_the_wrong_shape_is_rejected(layer, x, error, message):
    with pytest.raises(error, match=message):
        layer(x)


def test_weights_replaced_by_others_of_a_wrong_shape_are_rejected():
    layer = FN(np.ones((2, 3)), np.ones(2), "relu")
    layer.b = np.ones(1)
    with pytest.raises(ValueError, match=r"^b must have shape \(2,\) or \(1, 2\), got shape \(1,\)"):
        layer(np.ones(3))


# Composition


def test_the_composition_is_one_map_after_the_other():
    first, second = FN(drawn((2, 3)), drawn(2), "tanh"), FN(drawn((4, 2)), drawn(4), "softmax")
    network = second @ first
    for x in (drawn(3), drawn((5, 3))):
        np.testing.assert_array_equal(network(x), second(first(x)))
    assert network.layers == (first, second)
    assert (network.in_features, network.out_features) == (3, 4)


def test_composition_is_associative():
    a, b, c = chain((3, 2, 4, 1), ("relu", "tanh", "identity"))[1]
    left, right = (c @ b) @ a, c @ (b @ a)
    assert left.layers == right.layers == (a, b, c)
    x = drawn((5, 3))
    np.testing.assert_array_equal(left(x), right(x))
    np.testing.assert_array_equal(left(x), c(b(a(x))))


def test_a_single_layer_is_its_own_only_layer():
    layer = FN(np.ones((2, 3)), np.ones(2), "relu")
    assert layer.layers == (layer,)
    assert (layer.in_features, layer.out_features) == (3, 2)


def test_domains_and_ranges_must_agree():
    first, second = FN(np.ones((2, 3)), np.ones(2), "relu"), FN(np.ones((2, 3)), np.ones(2), "softmax")
    with pytest.raises(
        ValueError,
        match=r"^FN\(3 -> 2, softmax\) must have 2 inputs, the number of outputs of FN\(3 -> 2, relu\), got 3",
    ):
        second @ first


@pytest.mark.parametrize("other", [lambda x: x, 3, "relu"])
def test_only_networks_can_be_composed(other):
    layer = FN(np.ones((2, 3)), np.ones(2), "relu")
    with pytest.raises(TypeError, match="unsupported operand"):
        layer @ other
    with pytest.raises(TypeError, match="unsupported operand"):
        other @ layer


def test_repr_and_copies_of_composed_networks_are_correct():
    network, _ = chain((3, 2, 1), ("relu", "identity"))
    assert repr(network) == "FN(2 -> 1, identity) @ FN(3 -> 2, relu)"
    assert repr(FN([[1.0]], 2, slip)) == "FN(1 -> 1, slip)"
    x = drawn((5, 3))
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert isinstance(twin, MultilayerFN)
        np.testing.assert_array_equal(twin(x), network(x))


# To FNN and back


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("last", LOSSES)
@pytest.mark.parametrize("hidden", [(), ("identity",), ("sigmoid",), ("tanh", "relu")])
def test_to_fnn_gives_a_network_with_the_same_outputs(hidden, last, dtype):
    sizes = (*(3, 5, 4)[: len(hidden) + 1], 2)
    network, layers = chain(sizes, (*hidden, last), dtype)
    net = network.to_fnn()
    assert isinstance(net, fnn.FNN)
    assert net.layer_sizes == sizes and net.activation == hidden and net.loss_name == LOSSES[last]
    assert net.dtype == dtype
    for number, layer in enumerate(layers, 1):
        np.testing.assert_array_equal(net.params[f"W{number}"], layer.W.T)
        np.testing.assert_array_equal(net.params[f"b{number}"], layer.b)
    for x in (drawn(3, dtype), drawn((6, 3), dtype)):
        want = network(x)
        got = net.predict(x)
        assert got.shape == want.shape
        assert_chain_close(got, want.astype(F64))


@pytest.mark.parametrize("b", [0.5, [0.5], [[0.5]]])
def test_to_fnn_accepts_every_form_of_bias(b):
    net = (FN([[1.0, 2.0]], b, "identity") @ FN(np.eye(2), np.ones((1, 2)), "relu")).to_fnn()
    np.testing.assert_array_equal(net.predict([1.0, 1.0]), [6.5])


@pytest.mark.parametrize(
    ("own", "asked", "want"),
    [
        ("float32", None, "float32"),
        ("float64", None, "float64"),
        ("int64", None, "float64"),
        ("float64", "float32", "float32"),
        ("float32", np.float64, "float64"),
    ],
)
def test_to_fnn_has_the_requested_or_common_dtype(own, asked, want):
    layer = FN(np.ones((2, 3), own), np.ones(2, own), "softmax")
    assert layer.to_fnn(dtype=asked).dtype == np.dtype(want)


def test_one_float64_weight_makes_the_fnn_float64():
    first, second = (FN(np.ones((2, 2), dtype), np.ones(2, dtype), "identity") for dtype in DTYPES)
    assert (second @ first).to_fnn().dtype == F64


def test_the_fnn_has_copies_of_the_weights_and_can_be_trained():
    network, layers = chain((3, 4, 2), ("tanh", "softmax"))
    net = network.to_fnn()
    before = [layer.W.copy() for layer in layers]
    net.fit(drawn((20, 3)), np.arange(20) % 2, epochs=1, batch_size=5)
    for layer, W in zip(layers, before, strict=True):
        np.testing.assert_array_equal(layer.W, W)
    assert not np.array_equal(net.params["W1"].T, before[0])


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        (
            ("relu", "relu"),
            ValueError,
            "^f of the last layer must be one of softmax, sigmoid, identity, exp in an FNN, got relu",
        ),
        (("relu", slip), ValueError, "^f of the last layer must be one of .* in an FNN, got slip"),
        (
            (slip, "identity"),
            TypeError,
            r"^FN.*FN\(3 -> 3, slip\) cannot be converted to an FNN: activation\[0\] must be ",
        ),
        (
            ("softmax", "identity"),
            ValueError,
            r"^FN.*FN\(3 -> 3, softmax\) cannot be converted to an FNN: activation\[0\] must ",
        ),
    ],
)
def test_functions_that_an_fnn_cannot_have_are_rejected(functions, error, message):
    first, second = (FN(np.eye(3), np.zeros(3), f) for f in functions)
    with pytest.raises(error, match=message):
        (second @ first).to_fnn()


def test_an_invalid_dtype_for_the_fnn_is_rejected():
    with pytest.raises(ValueError, match=r"dtype must be float32 or float64, got int64"):
        FN(np.eye(3), np.zeros(3), "identity").to_fnn(dtype=np.int64)


def test_weights_that_are_not_finite_are_rejected_for_an_fnn():
    with pytest.raises(ValueError, match=r"params\['W1'\] must be finite"):
        FN([[np.nan]], 0, "identity").to_fnn()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("activation", ["sigmoid", ("tanh", "relu")])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "poisson"])
def test_conversion_from_an_fnn_and_back_keeps_the_outputs(loss, activation, dtype):
    sizes = (4, 3, 2) if isinstance(activation, str) else (4, 5, 3, 2)
    net = fnn.FNN(sizes, activation=activation, loss=loss, dtype=dtype, seed=0)
    network = FN.from_fnn(net)
    assert isinstance(network, MultilayerFN)
    assert [layer.f for layer in network.layers[:-1]] == list(net.activation)
    x = drawn((6, 4), dtype)
    want = net.predict(x)
    got = network(x)
    assert got.dtype == dtype
    assert_chain_close(got, want.astype(F64))
    twin = network.to_fnn()
    assert repr(twin) == repr(net)
    for name, param in net.params.items():
        np.testing.assert_array_equal(twin.params[name], param)
    assert twin.params["W1"].tobytes() == net.params["W1"].tobytes()
    np.testing.assert_array_equal(twin.predict(x), want)


def doubled(z):
    return 2 * z


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_users_activation_is_kept_in_an_fnn_and_back(dtype):
    activation = fnn.Activation(doubled, lambda z: 2.0)
    first = FN(drawn((2, 3), dtype), drawn(2, dtype), activation)
    second = FN(np.eye(2, dtype=dtype), np.zeros(2, dtype), "softmax")
    x = drawn((5, 3), dtype, seed=1)
    want = FN(first.W, first.b, doubled)(x)
    got = first(x)
    assert got.dtype == dtype
    assert_chain_close(got, want.astype(F64))
    network = second @ first
    net = network.to_fnn()
    assert net.activation == (activation,)
    assert_chain_close(net.predict(x), network(x).astype(F64))
    back = FN.from_fnn(net)
    assert back.layers[0].f is activation
    np.testing.assert_array_equal(back(x), network(x))
    assert repr(back) == "FN(2 -> 2, softmax) @ FN(3 -> 2, Activation(doubled))"


@pytest.mark.parametrize("options", [{"batch_norm": True}, {"batch_norm": True, "dropout": 0.25, "book": True}])
def test_from_fnn_folds_batch_normalization_and_dropout(options):
    net = fnn.FNN((4, 5, 3, 2), dtype="float64", seed=0, **options)
    x = drawn((20, 4))
    net.fit(x, np.arange(20) % 2, epochs=2, batch_size=5)
    network = FN.from_fnn(net)
    for rows in (x, x[0]):
        assert_chain_close(network(rows), net.predict(rows))
    assert_chain_close(network.to_fnn().predict(x), net.predict(x))


def test_from_fnn_of_one_layer_gives_an_fn():
    net = fnn.FNN((3, 2), seed=0)
    layer = FN.from_fnn(net)
    assert isinstance(layer, FN)
    assert layer.f == "softmax" and layer.W.shape == (2, 3)
    x = drawn(3, F32)
    np.testing.assert_allclose(layer(x), net.predict(x), rtol=8 * TOLERANCES[F32].eps)  # a few roundings


def test_from_fnn_copies_the_weights():
    net = fnn.FNN((3, 2), seed=0)
    layer = FN.from_fnn(net)
    before = layer.W.copy()
    net.params["W1"] += 1
    np.testing.assert_array_equal(layer.W, before)
    with pytest.raises(TypeError, match=r"^net must be an FNN, got str"):
        FN.from_fnn("net")
