"""The network: parameters, prediction, loss, gradient, training, files."""

import copy
import itertools
import json
import math
import pickle
import types
import warnings

import numpy as np
import pytest
from helpers import NOJIT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file, save_file

import fastfnn as fnn
from fastfnn import kernels, reference, validation
from fastfnn.kernels.workers import threads

ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu")
LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error")
DTYPES = ("float32", "float64")

NUMPY = {
    "identity": lambda u: u,
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "tanh": np.tanh,
    "relu": lambda u: np.maximum(u, 0),
    "softmax": lambda u: np.exp(u) / np.exp(u).sum(axis=1, keepdims=True),
}

layer_sizes = st.lists(st.integers(1, 5), min_size=2, max_size=4)


def samples(loss="softmax_cross_entropy", count=7, inputs=4, outputs=3, seed=0):
    """Random x (count, inputs) and targets of the kind that the loss takes, in float64."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, inputs))
    if loss == "softmax_cross_entropy":
        return x, rng.integers(outputs, size=count)
    return x, rng.random((count, outputs)) if loss == "sigmoid_cross_entropy" else rng.standard_normal((count, outputs))


def network(layer_sizes=(4, 5, 3), **options):
    """A network whose biases are not zero."""
    net = fnn.FNN(layer_sizes, **({"dtype": "float64", "seed": 1} | options))
    rng = np.random.default_rng(2)
    for name in net.params:
        if name.startswith("b"):
            net.params[name] = rng.standard_normal(net.params[name].shape)
    return net


def bits(net):
    return {name: param.tobytes() for name, param in net.params.items()}


def assert_same_params(got, want, rtol=1e-12):
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=rtol, atol=rtol, err_msg=name)


def orders(net, count, epochs):
    """The order of samples in the epochs of the next shuffled fit."""
    rng = copy.deepcopy(net._rng)
    return [rng.permutation(count) for _ in range(epochs)]


def loop_by_hand(net, x, t, order, batch_size, rate):
    """The steps of one epoch, each from `loss` and `gradient`; returns their losses."""
    losses = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        losses.append(net.loss(x[chosen], t[chosen]))
        grad = net.gradient(x[chosen], t[chosen])
        for name in net.params:
            net.params[name] -= rate * grad[name]
    return losses


# Parameters


@given(layer_sizes, st.sampled_from(DTYPES))
def test_params_lie_one_after_another_in_one_buffer(sizes, dtype):
    net = fnn.FNN(sizes, dtype=dtype)
    names = [f"{kind}{layer}" for layer in range(1, len(sizes)) for kind in "Wb"]
    assert list(net.params) == names
    assert len(net.params) == len(names)
    address = net.params["W1"].ctypes.data
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1):
        for name, shape in ((f"W{layer}", (inputs, outputs)), (f"b{layer}", (outputs,))):
            param = net.params[name]
            assert (param.shape, param.dtype, param.ctypes.data) == (shape, np.dtype(dtype), address)
            assert param.flags.c_contiguous
            assert param.flags.writeable
            address += param.nbytes


def change_in_place(params):
    params["b1"][...] = [1, 2, 3]


def change_an_element(params):
    params["b1"][0], params["b1"][1], params["b1"][2] = 1, 2, 3


def subtract(params):
    params["b1"] -= np.array([-1.0, -2.0, -3.0])


def assign(params):
    params["b1"] = [1, 2, 3]


def assign_by_update(params):
    params.update({"b1": np.array([1, 2, 3], np.uint8)})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("change", [change_in_place, change_an_element, subtract, assign, assign_by_update])
def test_a_change_of_params_takes_effect(change, dtype):
    net = fnn.FNN((2, 3), loss="squared_error", dtype=dtype)
    change(net.params)
    np.testing.assert_array_equal(net.predict([[0, 0]]), [[1, 2, 3]])


def test_an_assigned_array_is_copied():
    net = fnn.FNN((2, 3))
    value = np.zeros(3, np.float32)
    net.params["b1"] = value
    value[0] = 7
    np.testing.assert_array_equal(net.params["b1"], 0)


def test_params_can_be_assigned_from_a_view_of_themselves():
    net = fnn.FNN((3, 3), seed=0)
    old = net.params["W1"].copy()
    net.params["W1"] = net.params["W1"].T
    np.testing.assert_array_equal(net.params["W1"], old.T)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("W3", np.zeros((2, 3)), KeyError, "W1, b1, W2, b2; got 'W3'"),
        ("W1", np.zeros((3, 2)), ValueError, r"params\['W1'\] must have shape \(2, 3\), got \(3, 2\)"),
        ("W1", np.zeros((1, 2, 3)), ValueError, r"shape \(2, 3\), got \(1, 2, 3\)"),
        ("b1", 0.0, ValueError, r"params\['b1'\] must have shape \(3,\), got \(\)"),
        ("b1", np.zeros((1, 3)), ValueError, r"shape \(3,\), got \(1, 3\)"),
        ("W1", [[0, 1, 2], [3, math.nan, 5]], ValueError, r"params\['W1'\] must be finite .* got nan at \[1, 1\]"),
        ("b1", [0, math.inf, 0], ValueError, r"got inf at \[1\]"),
        ("b1", [0, 1j, 0], TypeError, r"params\['b1'\] must hold real numbers, got dtype complex128"),
        ("b1", ["a", "b", "c"], TypeError, "must hold real numbers, got dtype <U1"),
    ],
)
def test_wrong_values_for_params_are_rejected_and_change_nothing(name, value, error, message):
    net = fnn.FNN((2, 3, 2), seed=0)
    before = bits(net)
    with pytest.raises(error, match=message):
        net.params[name] = value
    assert bits(net) == before


@pytest.mark.parametrize("bad", [{"b2": [0, math.nan]}, {"b2": [1, 2, 3]}, {"b3": [1, 2]}, {"b2": None}])
def test_an_update_of_params_with_a_bad_entry_changes_nothing(bad):
    net = fnn.FNN((2, 3, 2), seed=0)
    before = bits(net)
    with pytest.raises((KeyError, TypeError, ValueError), match=next(iter(bad))):
        net.params.update({"b1": [1, 2, 3], "W2": np.ones((3, 2))} | bad)
    assert bits(net) == before


def test_an_update_of_params_takes_what_that_of_a_dict_takes():
    net, other = fnn.FNN((2, 3, 2), seed=0), fnn.FNN((2, 3, 2), seed=1)
    net.params.update(other.params)
    assert bits(net) == bits(other)
    net.params.update([("b1", [1, 2, 3])], b2=[4, 5])
    assert (net.params["b1"].tolist(), net.params["b2"].tolist()) == ([1, 2, 3], [4, 5])
    net.params.update()
    assert net.params["b1"].tolist() == [1, 2, 3]


def test_an_update_of_params_may_exchange_two():
    net = fnn.FNN((3, 3, 3), seed=0)
    first, second = net.params["W1"].copy(), net.params["W2"].copy()
    net.params.update({"W1": net.params["W2"], "W2": net.params["W1"]})
    np.testing.assert_array_equal(net.params["W1"], second)
    np.testing.assert_array_equal(net.params["W2"], first)


def test_params_keep_their_names():
    net = fnn.FNN((2, 3), seed=0)
    before = bits(net)
    with pytest.raises(TypeError, match="fixed names"):
        del net.params["W1"]
    with pytest.raises(TypeError, match="fixed names"):
        net.params.clear()
    with pytest.raises(KeyError):
        net.params["W2"]
    assert "W1" in net.params
    assert "W2" not in net.params
    assert bits(net) == before


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_whole_and_its_params_are_live(duplicate):
    x, t = samples()
    net = network()
    twin = duplicate(net)
    before = bits(net)
    assert bits(twin) == before
    twin.params["W1"][...] = 0
    assert twin.predict(x).tobytes() != net.predict(x).tobytes()
    assert bits(net) == before

    twin = duplicate(net)
    twin.fit(x, t, epochs=2, batch_size=3)
    assert bits(net) == before
    assert bits(twin) != before  # what fit changes is what params shows
    net.fit(x, t, epochs=2, batch_size=3)
    assert bits(twin) == bits(net)  # in the same random order too


def test_params_repr_tells_names_and_shapes():
    assert repr(fnn.FNN((2, 3, 1)).params) == "Params(W1 (2, 3), b1 (3,), W2 (3, 1), b2 (1,))"


# Initial weights


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (0.01, (0.01, 0.01)),
        (2, (2, 2)),
        ("he", (0.1, math.sqrt(2 / 300))),
        ("xavier", (200**-0.5, 300**-0.5)),
    ],
)
def test_initial_weights_are_normal_with_the_stated_deviation(init, std):
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


def test_he_is_the_default():
    assert bits(fnn.FNN((4, 3, 2), seed=0)) == bits(fnn.FNN((4, 3, 2), init="he", seed=0))


def test_a_seed_gives_the_same_weights_in_both_dtypes_to_rounding():
    single, double = (fnn.FNN((4, 3, 2), dtype=dtype, seed=5) for dtype in DTYPES)
    for name, param in double.params.items():
        np.testing.assert_array_equal(single.params[name], param.astype(np.float32))


def test_seeds_tell_networks_apart():
    assert bits(fnn.FNN((4, 3), seed=0)) == bits(fnn.FNN((4, 3), seed=np.int64(0)))
    assert bits(fnn.FNN((4, 3), seed=0)) != bits(fnn.FNN((4, 3), seed=1))
    assert bits(fnn.FNN((4, 3))) != bits(fnn.FNN((4, 3)))
    assert len({param.tobytes() for param in fnn.FNN((3, 3, 3), seed=0).params.values()}) == 3  # W1, W2, zero biases


def test_default_dtype_is_float32():
    net = fnn.FNN((2, 2))
    assert net.predict([[1, 2]]).dtype == net.params["W1"].dtype == net.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, "float64", "d", float, np.dtype("float64")])
def test_dtype_in_every_spelling(dtype):
    assert fnn.FNN((2, 2), dtype=dtype).params["b1"].dtype == np.float64


@pytest.mark.parametrize("sizes", [[4, 3, 2], (4, 3, 2), np.array([4, 3, 2]), range(4, 1, -1)])
def test_layer_sizes_as_any_sequence_of_ints(sizes):
    net = fnn.FNN(sizes)
    assert net.layer_sizes == (4, 3, 2)
    assert net.predict(np.zeros((5, 4))).shape == (5, 2)


# Prediction


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predict_is_the_chain_of_layers(activation, loss, backend, dtype):
    net = network((4, 5, 6, 3), activation=activation, loss=loss, dtype=dtype, backend=backend)
    x, _ = samples()
    p = {name: param.astype(np.float64) for name, param in net.params.items()}
    f = NUMPY[activation]
    last = NUMPY[{"softmax_cross_entropy": "softmax", "sigmoid_cross_entropy": "sigmoid"}.get(loss, "identity")]
    want = last(f(f(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]) @ p["W3"] + p["b3"])
    got = net.predict(x)
    assert (got.dtype, got.shape) == (np.dtype(dtype), (7, 3))
    np.testing.assert_allclose(got, want, rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6 * (dtype == "float32"))


@pytest.mark.parametrize("loss", LOSSES)
def test_each_layer_has_its_own_activation(loss):
    net = network((4, 5, 6, 5, 3), activation=("tanh", "relu", "sigmoid"), loss=loss)
    x, _ = samples()
    p = net.params
    z = np.tanh(x @ p["W1"] + p["b1"])
    z = np.maximum(z @ p["W2"] + p["b2"], 0)
    z = NUMPY["sigmoid"](z @ p["W3"] + p["b3"]) @ p["W4"] + p["b4"]
    last = NUMPY[{"softmax_cross_entropy": "softmax", "sigmoid_cross_entropy": "sigmoid"}.get(loss, "identity")]
    np.testing.assert_allclose(net.predict(x), last(z), rtol=1e-12)


def test_without_a_hidden_layer_the_network_is_affine():
    net = network((4, 3), loss="squared_error")
    x, _ = samples()
    np.testing.assert_allclose(net.predict(x), x @ net.params["W1"] + net.params["b1"], rtol=1e-12)
    assert fnn.FNN((4, 3), activation=()).activation == ()


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)), st.sampled_from(ACTIVATIONS))
def test_softmax_rows_are_probabilities_that_sum_to_one(x, activation):
    out = network(dtype="float32", activation=activation).predict(x)
    assert np.all((out >= 0) & (out <= 1))
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-6)


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_sigmoid_outputs_lie_between_zero_and_one(x):
    out = network(dtype="float32", loss="sigmoid_cross_entropy").predict(x)
    assert np.all((out >= 0) & (out <= 1))


@pytest.mark.parametrize("loss", LOSSES)
def test_one_sample_may_come_without_its_axis(loss):
    net = network(loss=loss)
    x, _ = samples()
    out = net.predict(x[2])
    assert out.shape == (3,)
    np.testing.assert_array_equal(out, net.predict(x[2:3])[0])


@given(st.integers(1, 300))
def test_a_row_is_predicted_the_same_in_any_company(count):
    net = network((2, 2, 2))
    x = np.random.default_rng(count).standard_normal((count, 2))
    np.testing.assert_allclose(net.predict(x)[-1], net.predict(x[-1]), rtol=1e-13)


def test_predict_returns_an_array_of_its_own():
    net = network()
    x, _ = samples()
    first = net.predict(x)
    kept = first.copy()
    net.predict(-x)
    np.testing.assert_array_equal(first, kept)


# Loss and accuracy, by hand


def softmax_net(**options):
    """Without inputs that matter: probabilities 1/4 and 3/4 where x is 0, 3/4 and 1/4 where x is log 9."""
    net = fnn.FNN((1, 2), **({"dtype": "float64"} | options))
    net.params["W1"] = [[1, 0]]
    net.params["b1"] = [0, math.log(3)]
    return net


def sigmoid_net(**options):
    """Outputs 1/4 and 3/4 where x is 0, 3/4 and 3/4 where x is log 9."""
    net = fnn.FNN((1, 2), loss="sigmoid_cross_entropy", **({"dtype": "float64"} | options))
    net.params["W1"] = [[1, 0]]
    net.params["b1"] = [-math.log(3), math.log(3)]
    return net


def linear_net(**options):
    """y = (2 x, 1 - x)"""
    net = fnn.FNN((1, 2), loss="squared_error", **({"dtype": "float64"} | options))
    net.params["W1"] = [[2, -1]]
    net.params["b1"] = [0, 1]
    return net


LOG_9 = math.log(9)
RARE, LIKELY = math.log(4), math.log(4 / 3)  # -log of 1/4 and of 3/4

BY_HAND = [
    (softmax_net, [[0]], [0], RARE, 0),
    (softmax_net, [[0]], [1], LIKELY, 1),
    (softmax_net, [[0], [LOG_9]], [1, 1], (LIKELY + RARE) / 2, 0.5),
    (softmax_net, [[0], [LOG_9]], [[0, 1], [1, 0]], LIKELY, 1),
    (softmax_net, [[0], [0]], [[0.25, 0.75], [1, 0]], (0.25 * RARE + 0.75 * LIKELY + RARE) / 2, 0.5),
    (softmax_net, [[0]], [[False, True]], LIKELY, 1),
    (sigmoid_net, [[0]], [[0, 1]], 2 * LIKELY, 1),
    (sigmoid_net, [[0]], [[1, 1]], RARE + LIKELY, 0),  # one output on the wrong side is wrong
    (sigmoid_net, [[0], [LOG_9]], [[0, 0], [1, 1]], (LIKELY + RARE + 2 * LIKELY) / 2, 0.5),
    (sigmoid_net, [[0]], [[0.25, 0.75]], 2 * (0.25 * RARE + 0.75 * LIKELY), 1),
    (linear_net, [[1]], [[2, 0]], 0, None),
    (linear_net, [[1], [3]], [[1, 2], [6, 1]], (0.5 * (1 + 4) + 0.5 * 9) / 2, None),
]


@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "x", "t", "loss", "accuracy"), BY_HAND)
def test_loss_accuracy_and_evaluate_by_hand(make, x, t, loss, accuracy, dtype, backend):
    net = make(dtype=dtype, backend=backend)
    near = {"rel": 1e-14 if dtype == "float64" else 1e-6, "abs": 1e-12}
    assert net.loss(x, t) == pytest.approx(loss, **near)
    if accuracy is None:
        assert net.evaluate(x, t) == {"loss": net.loss(x, t)}
        with pytest.raises(ValueError, match=r"accuracy needs .* cross-entropy loss, got loss 'squared_error'"):
            net.accuracy(x, t)
    else:
        assert net.accuracy(x, t) == accuracy
        assert net.evaluate(x, t) == {"loss": net.loss(x, t), "accuracy": accuracy}
        assert type(net.accuracy(x, t)) is float
    assert type(net.loss(x, t)) is float


def test_softmax_loss_stays_right_where_the_probability_underflows():
    net = fnn.FNN((1, 2))
    net.params["W1"] = [[1e4, -1e4]]
    assert net.loss([[1]], [1]) == pytest.approx(2e4)
    assert net.loss([[1]], [0]) == 0


@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "squared_error"])
def test_one_output_takes_targets_without_their_axis(loss):
    net = network((4, 5, 1), loss=loss)
    x, t = samples(loss, outputs=1)
    assert net.loss(x, t[:, 0]) == net.loss(x, t)
    np.testing.assert_array_equal(net.gradient(x, t[:, 0])["W1"], net.gradient(x, t)["W1"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, "list"])
def test_labels_of_any_integer_dtype(dtype):
    net, (x, t) = network(), samples()
    given_labels = t.tolist() if dtype == "list" else t.astype(dtype)
    assert net.evaluate(x, given_labels) == net.evaluate(x, t)
    np.testing.assert_array_equal(net.gradient(x, given_labels)["W1"], net.gradient(x, t)["W1"])


# Weights of samples


def some_weights(count=7):
    return np.random.default_rng(3).uniform(0, 2, count)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_weighted_loss_is_the_weighted_sum_over_samples_divided_by_their_number(loss, backend, dtype):
    net, (x, t), weight = network(loss=loss, backend=backend, dtype=dtype), samples(loss), some_weights()
    want = sum(w * net.loss(x[i : i + 1], t[i : i + 1]) for i, w in enumerate(weight)) / 7
    got = net.loss(x, t, weight)
    assert type(got) is float
    rtol = 1e-13 if dtype == "float64" else 1e-6  # the kernels take exponentials in the dtype
    np.testing.assert_allclose(got, want, rtol=rtol)
    np.testing.assert_allclose(net.loss(x, t, np.ones(7)), net.loss(x, t), rtol=rtol)
    assert net.loss(x, t, np.zeros(7)) == 0


def test_a_weighted_loss_by_hand():
    assert softmax_net().loss([[0], [LOG_9]], [1, 1], [4, 0.5]) == pytest.approx((4 * LIKELY + 0.5 * RARE) / 2)
    assert softmax_net().loss([[0], [0]], [[0.25, 0.75], [1, 0]], sample_weight=[2, 0]) == pytest.approx(
        0.25 * RARE + 0.75 * LIKELY
    )
    assert linear_net().loss([[1], [3]], [[1, 2], [6, 1]], [1, 2]) == (0.5 * 5 + 2 * 0.5 * 9) / 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("labels", [[1], [0]])
def test_a_weighted_loss_stays_right_where_the_probability_underflows(labels):
    for loss, t in (("softmax_cross_entropy", labels), ("sigmoid_cross_entropy", np.eye(2)[labels])):
        net = fnn.FNN((1, 2), loss=loss)
        net.params["W1"] = [[1e4, -1e4]]
        assert net.loss([[1]], t, [0.5]) == net.loss([[1]], t) / 2


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_weighted_steps_follow_the_weighted_gradient(batch_size, dtype, backend, loss):
    net = network(activation="tanh", loss=loss, dtype=dtype, backend=backend)
    by_hand, (x, t), weight = copy.deepcopy(net), samples(loss), some_weights()
    losses, size = [], batch_size or 7
    order = orders(net, 7, epochs=1)[0]
    for start in range(0, 7, size):
        chosen = order[start : start + size]
        losses.append(by_hand.loss(x[chosen], t[chosen], weight[chosen]))
        grads = [by_hand.gradient(x[i : i + 1], t[i : i + 1]) for i in chosen]
        for name in by_hand.params:
            step = sum(w * grad[name] for w, grad in zip(weight[chosen], grads, strict=True)) / len(chosen)
            by_hand.params[name] -= 0.2 * step
    history = net.fit(x, t, epochs=1, batch_size=batch_size, optimizer=fnn.SGD(0.2), sample_weight=weight)
    rtol = 1e-12 if dtype == "float64" else 1e-5  # a few steps of rounding
    np.testing.assert_allclose(history.step_loss, losses, rtol=rtol)
    assert_same_params(net.params, by_hand.params, rtol=rtol)


@pytest.mark.parametrize("loss", LOSSES)
def test_history_has_weighted_losses_in_training_and_plain_ones_in_validation(loss):
    net, (x, t), weight = network(loss=loss), samples(loss), some_weights()
    history = net.fit(x, t, epochs=2, batch_size=3, optimizer=fnn.SGD(0), sample_weight=weight, validation_data=(x, t))
    np.testing.assert_allclose(history.loss, [net.loss(x, t, weight)] * 2, rtol=1e-13)
    assert history.val_loss == [net.loss(x, t)] * 2


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_samples_of_weight_zero_teach_nothing(sampling):
    (x, t), weight = samples(count=20), np.arange(20) % 3 != 0
    nets = []
    for noise in (0, 1):
        nets.append(network())
        disturbed = x + noise * ~weight[:, np.newaxis]
        nets[-1].fit(disturbed, t, epochs=2, batch_size=6, sampling=sampling, sample_weight=weight)
    assert bits(nets[0]) == bits(nets[1])


def weighted_fit(t, **weights):
    net = network()
    net.fit(samples()[0], t, epochs=2, batch_size=3, optimizer=fnn.SGD(0.2), **weights)
    return bits(net)


LABELS = np.array([0, 2, 2, 0, 2, 2, 2])  # 2 of class 0, none of class 1, 5 of class 2


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(
    ("class_weight", "by_class"),
    [
        ({0: 2, 1: 5, 2: 0.5}, [2, 5, 0.5]),
        ({2: 3}, [1, 1, 3]),
        ({np.int64(0): np.float32(0.5)}, [0.5, 1, 1]),
        ({}, [1, 1, 1]),
        ("balanced", [7 / (2 * 2), 0, 7 / (2 * 5)]),  # two classes occur
    ],
)
def test_class_weights_are_weights_of_samples(class_weight, by_class, rows):
    t, of_samples = np.eye(3)[LABELS] if rows else LABELS, np.array(by_class)[LABELS]
    assert weighted_fit(t, class_weight=class_weight) == weighted_fit(t, sample_weight=of_samples)
    weight = some_weights()
    got = weighted_fit(t, class_weight=class_weight, sample_weight=weight)
    assert got == weighted_fit(t, sample_weight=weight * of_samples)


def test_balanced_classes_have_the_same_weight_together():
    weight = validation.class_weight("class_weight", "balanced", LABELS, 3)[LABELS]
    np.testing.assert_allclose([weight[label == LABELS].sum() for label in (0, 2)], 7 / 2)


@pytest.mark.parametrize(
    "form", [list, tuple, lambda w: w.astype(np.float32), lambda w: np.repeat(w, 2)[::2], lambda w: locked(w)]
)
def test_weights_in_any_form(form):
    weight = np.array([0, 1, 0.5, 2, 3, 1, 0.25])
    assert weighted_fit(LABELS, sample_weight=form(weight.copy())) == weighted_fit(LABELS, sample_weight=weight)
    kept = weight.copy()
    weighted_fit(LABELS, sample_weight=weight, class_weight={0: 2})
    np.testing.assert_array_equal(weight, kept)


# Gradient


@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, ("tanh", "sigmoid"), ("relu", "identity")])
def test_gradient_is_the_numerical_gradient(activation, loss, backend):
    net = network((3, 4, 5, 3), activation=activation, loss=loss, backend=backend)
    x, t = samples(loss, inputs=3)
    want = net.numerical_gradient(x, t)
    got = net.gradient(x, t)
    assert list(got) == list(net.params)
    assert_same_params(got, want, rtol=3e-8)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_gradient_is_the_numerical_gradient(activation, loss):
    net = network((3, 4, 3), activation=activation, loss=loss, dtype="float32")
    x, t = samples(loss, inputs=3)
    got, want = net.gradient(x, t), net.numerical_gradient(x, t)
    assert got["W1"].dtype == np.float32
    assert want["W1"].dtype == np.float64
    assert_same_params(got, want, rtol=2e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_without_a_hidden_layer(loss):
    net = network((4, 3), loss=loss)
    x, t = samples(loss)
    assert_same_params(net.gradient(x, t), net.numerical_gradient(x, t), rtol=1e-8)


def test_gradient_of_soft_rows():
    net = network()
    x, _ = samples()
    t = np.random.default_rng(0).dirichlet(np.ones(3), len(x))
    assert_same_params(net.gradient(x, t), net.numerical_gradient(x, t), rtol=1e-8)


def test_gradient_by_hand():
    grad = linear_net().gradient([[1], [3]], [[1, 2], [6, 1]])
    # y - t is (1, -2) for x = 1 and (0, -3) for x = 3; means over two samples
    np.testing.assert_allclose(grad["b1"], [0.5, -2.5])
    np.testing.assert_allclose(grad["W1"], [[0.5, -5.5]])


def test_gradients_change_neither_the_network_nor_each_other():
    net = network(dtype="float32")
    x, t = samples()
    before, kept = bits(net), (x.copy(), t.copy())
    first = net.gradient(x, t)
    copies = {name: grad.copy() for name, grad in first.items()}
    for grad in net.gradient(-x, t).values():
        grad[...] = 9
    net.numerical_gradient(x, t)
    assert bits(net) == before
    for name in first:
        np.testing.assert_array_equal(first[name], copies[name])
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(t, kept[1])


BACKENDS = pytest.mark.parametrize("backend", ["kernels", "reference"])


@BACKENDS
@pytest.mark.parametrize("given", ["float32", "float64", "int16", "bool"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_and_gradient_convert_samples(dtype, given, backend):
    net = network(dtype=dtype, backend=backend)
    x, t = samples()
    x = np.round(x).astype(given)  # exact in every dtype
    same = np.array(x, dtype)
    assert net.loss(x, t) == net.loss(same, t)
    got, want = net.gradient(x, t), net.gradient(same, t)
    for name in want:
        assert got[name].dtype == np.dtype(dtype) and got[name].tobytes() == want[name].tobytes()


@BACKENDS
@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"batch_norm": True}], ids=str)
def test_a_rejected_gradient_leaves_no_trace(options, backend):
    net, twin = (network(seed=3, backend=backend, **options) for _ in range(2))
    x, t = samples()
    bad = x.copy()
    bad[-1, -1] = np.inf
    with pytest.raises(ValueError, match=r"^x must be finite"):
        net.gradient(bad, t)
    for _ in range(2):
        got, want = net.gradient(x, t), twin.gradient(x, t)
        assert all(got[name].tobytes() == want[name].tobytes() for name in want)
    assert net.loss(x, t) == twin.loss(x, t)


@BACKENDS
def test_loss_and_gradient_of_a_network_that_diverged(backend):
    net = network(backend=backend)
    net.params["W1"][...] = np.nan
    x, t = samples()
    assert math.isnan(net.loss(x, t))
    assert np.all(np.isnan(net.gradient(x, t)["W1"]))


# Training


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [None, 7, 100, 10**15])  # the last must not take memory
def test_one_epoch_of_full_batch_is_one_gradient_step(batch_size, loss):
    net = network(loss=loss)
    x, t = samples(loss)
    grad = net.gradient(x, t)
    want = {name: param - 0.3 * grad[name] for name, param in net.params.items()}
    loss_before = net.loss(x, t)
    history = net.fit(x, t, epochs=1, batch_size=batch_size, optimizer=fnn.SGD(0.3))
    assert_same_params(net.params, want)
    np.testing.assert_allclose(history.step_loss, [loss_before], rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [1, 3, 6])
def test_fit_is_a_loop_over_gradient(batch_size, loss):
    # of 7 samples: one at a time, batches of 3, 3 and 1, batches of 6 and 1
    net = network(activation="tanh", loss=loss)
    by_hand = copy.deepcopy(net)
    x, t = samples(loss)
    losses = []
    for order in orders(net, 7, epochs=3):
        losses += loop_by_hand(by_hand, x, t, order, batch_size, 0.2)
    history = net.fit(x, t, epochs=3, batch_size=batch_size, optimizer=fnn.SGD(0.2))
    np.testing.assert_allclose(history.step_loss, losses, rtol=1e-11)
    assert_same_params(net.params, by_hand.params, rtol=1e-11)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["sigmoid", "relu", ("relu", "tanh")])
def test_both_backends_give_the_same_curve(activation, loss, sampling, dtype, rtol):
    sizes = (4, 5, 6, 3) if isinstance(activation, tuple) else (4, 6, 3)
    x, t = samples(loss, count=23)
    nets, curves = [], []
    for backend in ("kernels", "reference"):
        net = network(sizes, activation=activation, loss=loss, dtype=dtype, backend=backend)
        curves.append(net.fit(x, t, epochs=2, batch_size=4, sampling=sampling).step_loss)
        nets.append(net)
    assert len(curves[0]) == 12
    np.testing.assert_allclose(curves[0], curves[1], rtol=rtol)
    assert_same_params(nets[0].params, nets[1].params, rtol=rtol)


@pytest.mark.jit
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
def test_both_backends_give_the_same_curve_on_digits(dtype, rtol):
    (x, t), _ = fnn.datasets.load_mnist()
    curves = []
    for backend in ("kernels", "reference"):
        net = fnn.FNN((784, 50, 10), activation="sigmoid", init=0.01, dtype=dtype, seed=0, backend=backend)
        curves.append(net.fit(x, t, epochs=1, batch_size=100, optimizer=fnn.SGD(0.1)).step_loss)
    np.testing.assert_allclose(curves[0], curves[1], rtol=rtol)


@pytest.fixture
def recorded_orders(monkeypatch):
    """The order of samples that each epoch, of 20, of a fit of a reference network hands to its training loop."""
    seen = [np.empty(0, np.int64)]
    train_steps = reference.train_steps

    def spy(params, first, second, statistics, step_losses, x, targets, weights, order, *rest):
        for row in order if len(step_losses) else ():  # a call may be several epochs, and an epoch several calls
            if len(seen[-1]) == 20:
                seen.append(row.copy())
            else:
                seen[-1] = np.concatenate((seen[-1], row))
        train_steps(params, first, second, statistics, step_losses, x, targets, weights, order, *rest)

    monkeypatch.setattr(reference, "train_steps", spy)
    return seen


def test_shuffled_epochs_visit_every_sample_once_in_changing_order(recorded_orders):
    x, t = samples(count=20)
    network(backend="reference").fit(x, t, epochs=3, batch_size=6, sampling="shuffle")
    assert [sorted(order) for order in recorded_orders] == [list(range(20))] * 3
    assert len({tuple(order) for order in recorded_orders}) == 3


def test_sampling_with_replacement_draws_anew_from_all_samples(recorded_orders):
    x, t = samples(count=20)
    network(backend="reference").fit(x, t, epochs=50, batch_size=6, sampling="replacement")
    drawn = np.concatenate(recorded_orders)
    assert drawn.shape == (1000,)
    assert all(len(set(order)) < 20 for order in recorded_orders)  # repeats: each has all 20 with odds of 2e-8
    assert set(drawn) == set(range(20))
    assert np.bincount(drawn).max() < 90  # 50 each, give or take 7
    assert len({tuple(order) for order in recorded_orders}) == 50


def test_defaults_of_fit():
    x, t = samples(count=120)
    net, plain = network(), network()
    history = plain.fit(x, t)
    net.fit(x, t, epochs=10, batch_size=100, optimizer=fnn.SGD(0.1), sampling="shuffle", validation_data=None)
    assert bits(net) == bits(plain)
    assert len(history.loss) == 10
    assert history.step_loss.shape == (20,)


@pytest.mark.parametrize("rule", [fnn.Adam, fnn.SGD])  # which takes steps on one sample in groups
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_an_epoch_in_several_calls_is_the_same_epoch(monkeypatch, batch_size, rule):
    x, t = samples(count=50)
    whole, divided = network(), network()
    monkeypatch.setattr(fnn.fitting.Pace, "SECONDS", 1e9)
    want = whole.fit(x, t, epochs=3, batch_size=batch_size, optimizer=rule(0.1))
    monkeypatch.setattr(fnn.fitting.Pace, "SECONDS", 0)  # a call for each step, or each few
    got = divided.fit(x, t, epochs=3, batch_size=batch_size, optimizer=rule(0.1))
    np.testing.assert_array_equal(got.step_loss, want.step_loss)
    assert bits(divided) == bits(whole)


@pytest.mark.parametrize(("rule", "sampling"), [(fnn.Adam, "shuffle"), (fnn.SGD, "shuffle"), (fnn.SGD, "replacement")])
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_epochs_that_share_a_call_are_the_same_epochs(monkeypatch, batch_size, rule, sampling):
    x, t = samples(count=50)
    observed, free, steps, train_steps = network(), network(), [], kernels.train_steps

    def spy(*arguments):
        steps.append(len(arguments[4]))
        train_steps(*arguments)

    monkeypatch.setattr(kernels, "train_steps", spy)
    monkeypatch.setattr(fnn.fitting.Pace, "SECONDS", 1e9)
    epochs = 5 if NOJIT else 30
    options = {"epochs": epochs, "batch_size": batch_size, "sampling": sampling}
    want = observed.fit(x, t, optimizer=rule(0.1), callbacks=[lambda _net, _history: None], **options)
    most = math.ceil(50 / (batch_size or 50))
    assert max(steps) == most
    got = free.fit(x, t, optimizer=rule(0.1), **options)
    assert max(steps) > 2 * most
    np.testing.assert_array_equal(got.step_loss, want.step_loss)
    assert got.loss == want.loss
    assert len(got.seconds) == len(got.samples_per_second) == epochs
    assert min(got.seconds) > 0
    assert bits(free) == bits(observed)
    assert free.fit(x, t, epochs=1).loss == observed.fit(x, t, epochs=1).loss  # in the same order


def test_the_order_of_epochs_that_share_a_call_takes_little_memory():
    pace = fnn.fitting.Pace(1)
    pace.count = 10**9
    assert pace.epochs(10, 1000) * 1000 <= pace.MOST_SAMPLES < 1000 * (pace.epochs(10, 1000) + 1)
    assert pace.epochs(10, pace.MOST_SAMPLES + 1) == 1
    pace.count = 25
    assert [pace.epochs(steps, 100) for steps in (10, 25, 26)] == [2, 1, 1]


@pytest.mark.parametrize("together", [1, 16])
@pytest.mark.parametrize("seconds", [1e-4, 2e-3, 0.05, 3.0])
def test_pace_follows_the_time_of_a_step(monkeypatch, seconds, together):
    clock = [0.0]
    monkeypatch.setattr(fnn.fitting.time, "perf_counter", lambda: clock[0])
    pace, taken = fnn.fitting.Pace(together), []
    for _ in range(2):  # epochs
        for first, last in pace.slices(10_000):
            taken.append((first, last))
            clock[0] += (last - first) * seconds
    steps = [step for first, last in taken for step in range(first, last)]
    assert steps == 2 * list(range(10_000))
    assert all(first % together == 0 for first, _ in taken)
    least = together * seconds
    assert max((last - first) * seconds for first, last in taken) <= max(0.25, least)
    assert len(taken) <= 20 + 20_000 * seconds / (0.2 - least if least < 0.1 else least)


# History


@given(st.integers(1, 12), st.integers(1, 15), st.integers(1, 3))
def test_history_weighs_each_step_by_its_samples(count, batch_size, epochs):
    # at rate 0 the mean over an epoch must be the loss of the network on all samples
    net = network((2, 2), dtype="float64")
    x, t = samples(count=count, inputs=2, outputs=2)
    history = net.fit(x, t, epochs=epochs, batch_size=batch_size, optimizer=fnn.SGD(0))
    steps = math.ceil(count / min(batch_size, count))
    assert history.step_loss.shape == (epochs * steps,)
    assert history.step_loss.dtype == np.float64
    np.testing.assert_allclose(history.loss, [net.loss(x, t)] * epochs, rtol=1e-12)


def test_epoch_loss_is_the_weighted_mean_of_its_own_steps():
    x, t = samples(count=7)
    history = network().fit(x, t, epochs=2, batch_size=3)
    for epoch, steps in enumerate(history.step_loss.reshape(2, 3)):
        assert history.loss[epoch] == pytest.approx((3 * steps[0] + 3 * steps[1] + steps[2]) / 7, rel=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_history_holds_what_was_measured_after_each_epoch(loss):
    (x, t), (x_val, t_val) = samples(loss, count=9), samples(loss, count=5, seed=1)
    net, stepwise = network(loss=loss), network(loss=loss)
    history = net.fit(x, t, epochs=3, batch_size=4, validation_data=(x_val, t_val))
    want = []
    for _ in range(3):
        stepwise.fit(x, t, epochs=1, batch_size=4)
        want.append((stepwise.evaluate(x, t), stepwise.evaluate(x_val, t_val)))
    assert bits(net) == bits(stepwise)  # measuring does not disturb the training
    assert history.epochs == 3
    assert history.val_loss == [val["loss"] for _, val in want]
    if loss == "squared_error":
        assert history.accuracy == history.val_accuracy == []
    else:
        assert history.accuracy == [train["accuracy"] for train, _ in want]
        assert history.val_accuracy == [val["accuracy"] for _, val in want]
    assert len(history.seconds) == len(history.samples_per_second) == 3
    for seconds, speed in zip(history.seconds, history.samples_per_second, strict=True):
        assert seconds > 0
        assert speed == pytest.approx(9 / seconds)


def test_without_validation_data_only_the_loss_is_measured():
    history = network().fit(*samples(), epochs=2)
    assert len(history.loss) == 2
    assert history.accuracy == history.val_loss == history.val_accuracy == []


def test_progress_prints_a_line_per_epoch(capsys):
    x, t = samples()
    history = network().fit(x, t, epochs=2, validation_data=(x, t), progress=True)
    output = capsys.readouterr()
    lines = [line for line in output.out.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    assert lines[1].startswith(
        f"epoch 2/2  loss {history.loss[1]:.4f}  accuracy {history.accuracy[1]:.4f}  "
        f"test loss {history.val_loss[1]:.4f}  test accuracy {history.val_accuracy[1]:.4f}  "
    )
    assert lines[1].endswith(" samples/s")
    assert "2/2" in output.err  # the bar


def test_fit_is_silent_by_default(capsys):
    network().fit(*samples(), epochs=2)
    assert capsys.readouterr() == ("", "")


# Repeatability


def test_seeded_runs_repeat_bit_for_bit():
    x, t = samples(count=20)
    runs = []
    for _ in range(2):
        net = network(dtype="float32", seed=3)
        runs.append((net.fit(x, t, epochs=3, batch_size=6).step_loss.tobytes(), bits(net)))
    assert runs[0] == runs[1]


def test_two_fits_of_an_epoch_are_one_fit_of_two():
    x, t = samples(count=20)
    once, twice = network(), network()
    once.fit(x, t, epochs=2, batch_size=6)
    twice.fit(x, t, epochs=1, batch_size=6)
    twice.fit(x, t, epochs=1, batch_size=6)
    assert bits(once) == bits(twice)


@pytest.fixture
def thread_count():
    before = fnn.get_num_threads()
    yield fnn.set_num_threads
    fnn.set_num_threads(before)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_runs_have_the_same_bits_with_one_thread_and_with_two(thread_count, loss, dtype):
    if threads.max_threads() < 2:
        pytest.skip("one core")
    x, t = samples(loss, count=133, inputs=41, outputs=9)
    runs = []
    for count in (1, 2, 1, 2):
        thread_count(count)
        if fnn.get_num_threads() < count:
            pytest.skip("kernels are serial here")
        net = network((41, 33, 9), loss=loss, dtype=dtype)
        # batches of 50, 50 and 33: two threads share even the last
        parameters = sum(param.size for param in net.params.values())
        assert threads.threads_for(3 * 33 * parameters) == count
        history = net.fit(x, t, epochs=3, batch_size=50, validation_data=(x, t))
        grads = {name: grad.tobytes() for name, grad in net.gradient(x, t).items()}
        measured = (history.step_loss.tobytes(), history.val_loss, history.val_accuracy)
        runs.append((bits(net), grads, net.predict(x).tobytes(), measured))
    assert runs.count(runs[0]) == 4


# What fit takes


def test_fit_does_not_change_its_data():
    x, t = (array.astype(np.float32) for array in samples("sigmoid_cross_entropy"))
    kept = x.tobytes(), t.tobytes()
    network(dtype="float32", loss="sigmoid_cross_entropy").fit(x, t, epochs=2, batch_size=3, validation_data=(x, t))
    assert (x.tobytes(), t.tobytes()) == kept


def spread(x):
    larger = np.full((2 * len(x), 3 * x.shape[1]), np.nan, x.dtype)
    larger[::2, ::3] = x
    return larger[::2, ::3]


def locked(x):
    x = x.copy()
    x.flags.writeable = False
    return x


X_FORMS = {
    "list": np.ndarray.tolist,
    "int": lambda x: x.astype(int),
    "uint8": lambda x: x.astype(np.uint8),
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f4"),
    "Fortran": np.asfortranarray,
    "strided": spread,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "read-only": locked,
    "read-only float64": lambda x: locked(x.astype(np.float64)),
    "broadcast": lambda x: np.broadcast_to(x[np.newaxis], (2, *x.shape))[1],
    "subclass": lambda x: x.view(np.matrix),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("form", X_FORMS)
def test_x_in_any_form_gives_the_same_bits(form):
    x = np.random.default_rng(0).integers(0, 256, (11, 4)).astype(np.float32)
    t = np.arange(11) % 3
    results = []
    for given_x in (x, X_FORMS[form](x)):
        net = network(dtype="float32", activation="sigmoid", init=0.01)
        history = net.fit(given_x, t, epochs=2, batch_size=4, validation_data=(given_x, t))
        grad = net.gradient(given_x, t)["W1"].tobytes()
        results.append((bits(net), history.val_loss, grad, net.predict(given_x).tobytes(), net.loss(given_x, t)))
    assert results[0] == results[1]


T_FORMS = {
    "list": np.ndarray.tolist,
    "int": lambda t: t.astype(int),
    "bool": lambda t: t.astype(bool),
    "float64": lambda t: t.astype(np.float64),
    "Fortran": np.asfortranarray,
    "strided": spread,
    "read-only": locked,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", T_FORMS)
def test_target_rows_in_any_form_give_the_same_bits(form, loss):
    x, _ = samples(count=11)
    t = np.eye(3, dtype=np.float32)[np.arange(11) % 3]
    results = []
    for given_t in (t, T_FORMS[form](t)):
        net = network(dtype="float32", loss=loss)
        net.fit(x, given_t, epochs=2, batch_size=4, validation_data=(x, given_t))
        results.append((bits(net), net.evaluate(x, given_t), net.gradient(x, given_t)["W1"].tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("form", ["strided", "read-only"])
def test_labels_in_any_form_give_the_same_bits(form):
    x, t = samples(count=11)
    given_t = np.repeat(t, 2)[::2] if form == "strided" else locked(t)
    results = []
    for labels in (t, given_t):
        net = network(dtype="float32")
        net.fit(x, labels, epochs=2, batch_size=4)
        results.append((bits(net), net.evaluate(x, labels)))
    assert results[0] == results[1]


def test_training_lowers_the_loss():
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    t = (x[:, 0] * x[:, 1] > 0).astype(int)
    net = fnn.FNN((2, 8, 2), seed=0)
    history = net.fit(x, t, epochs=60, batch_size=10, optimizer=fnn.SGD(0.5))
    assert history.loss[-1] < history.loss[0] / 4
    assert net.accuracy(x, t) > 0.9


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_a_loss_that_is_not_finite_warns(backend):
    net = network(loss="squared_error", dtype="float32", backend=backend)
    with pytest.warns(RuntimeWarning, match="training loss is not finite: try a smaller learning rate") as caught:
        history = net.fit(*samples("squared_error"), epochs=3, batch_size=1, optimizer=fnn.SGD(1e30))
    assert not math.isfinite(history.loss[-1])
    assert any(warning.filename == __file__ for warning in caught)  # it points at the caller


def test_the_warning_of_a_partial_fit_points_at_the_caller_too():
    net = network(loss="squared_error", dtype="float32", backend="reference")
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="training loss is not finite") as caught:
        for _ in range(3):
            net.partial_fit(*samples("squared_error"), batch_size=1, optimizer=fnn.SGD(1e30))
    assert {warning.filename for warning in caught} == {__file__}


def test_a_finite_loss_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().fit(*samples(), epochs=2)


# Training in parts


@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_partial_fits_are_the_epochs_of_a_fit(backend, batch_size):
    x, t = samples()
    at_once, in_parts = network(backend=backend), network(backend=backend)
    want = at_once.fit(x, t, epochs=3, batch_size=batch_size, optimizer=fnn.Adam(0.1))
    optimizer = fnn.Adam(0.1)
    got = [in_parts.partial_fit(x, t, batch_size=batch_size, optimizer=optimizer) for _ in range(3)]
    assert bits(in_parts) == bits(at_once)
    assert [history.epochs for history in got] == [1, 1, 1]
    np.testing.assert_array_equal(np.concatenate([history.step_loss for history in got]), want.step_loss)


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_a_partial_fit_goes_on_with_the_last_optimizer(first):
    x, t = samples()
    named, unnamed = network(), network()
    optimizers = fnn.Adam(0.1), fnn.Adam(0.1)
    for net, optimizer in zip((named, unnamed), optimizers, strict=True):
        net.fit(x, t, epochs=1, optimizer=fnn.SGD(0.5))  # not this one
        getattr(net, first)(x, t, batch_size=3, optimizer=optimizer)
    named.partial_fit(x, t, batch_size=3, optimizer=optimizers[0])
    unnamed.partial_fit(x, t, batch_size=3)
    assert bits(unnamed) == bits(named)
    assert optimizers[1].steps == optimizers[0].steps > 3


def test_a_first_partial_fit_is_a_fit_of_one_epoch():
    x, t = samples(count=120)
    first, want = network(), network()
    first.partial_fit(x, t)
    want.fit(x, t, epochs=1)
    assert bits(first) == bits(want)
    first.partial_fit(x, t)
    want.fit(x, t, epochs=1, batch_size=100, optimizer=fnn.SGD(0.1))
    assert bits(first) == bits(want)


def test_a_partial_fit_takes_parts_of_any_size():
    x, t = samples(count=20)
    net, optimizer = network(), fnn.Momentum(0.1)
    for start, stop in ((0, 1), (1, 8), (8, 20)):
        net.partial_fit(x[start:stop], t[start:stop], batch_size=4, optimizer=optimizer)
    assert optimizer.steps == 1 + 2 + 3


def test_a_rejected_fit_does_not_change_the_optimizer_of_a_partial_fit():
    x, t = samples()
    net, want = network(), network()
    for each in (net, want):
        each.fit(x, t, epochs=1, optimizer=fnn.Adam(0.1))
    with pytest.raises(ValueError, match="epochs"):
        net.fit(x, t, epochs=0, optimizer=fnn.SGD(0.5))
    for each in (net, want):
        each.partial_fit(x, t)
    assert bits(net) == bits(want)


# Description


def test_summary_tells_every_layer(capsys):
    assert fnn.FNN((784, 50, 20, 10), activation=("tanh", "relu")).summary() is None
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["layer", "weights", "activation", "parameters"],
        ["1", "784", "x", "50", "tanh", "39,250"],
        ["2", "50", "x", "20", "relu", "1,020"],
        ["3", "20", "x", "10", "softmax", "210"],
        ["total", "40,480", "parameters", "of", "float32,", "loss", "softmax_cross_entropy"],
    ]


@pytest.mark.parametrize(("loss", "output"), [("sigmoid_cross_entropy", "sigmoid"), ("squared_error", "identity")])
def test_summary_tells_the_output_activation(capsys, loss, output):
    fnn.FNN((3, 2), loss=loss, dtype="float64").summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["1", "3", "x", "2", output, "8"]
    assert lines[2] == f"total 8 parameters of float64, loss {loss}"


def test_summary_counts_the_parameters_of_layer_1_without_those_of_layer_11(capsys):
    fnn.FNN([2] * 12, batch_norm=True).summary()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert [int(row[-1]) for row in rows] == [10] * 10 + [6]  # W, b, gamma, beta; the last layer has no gamma and beta


def test_repr_tells_sizes_activations_loss_and_dtype():
    net = fnn.FNN((4, 3, 2, 1), activation=("relu", "tanh"), loss="squared_error", dtype="float64")
    assert repr(net) == "FNN(4-3-2-1, relu, tanh; squared_error; float64)"
    assert repr(fnn.FNN((4, 2))) == "FNN(4-2, no hidden layer; softmax_cross_entropy; float32)"


# Files


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("sizes", "activation"), [((4, 3), "relu"), ((4, 5, 3), "tanh"), ((4, 5, 6, 2, 3), ("relu", "sigmoid", "identity"))]
)
def test_a_saved_network_loads_bit_for_bit(tmp_path, sizes, activation, loss, dtype):
    net = network(sizes, activation=activation, loss=loss, dtype=dtype)
    x, t = samples(loss)
    net.fit(x, t, epochs=1)
    net.save(tmp_path / "net.safetensors")
    twin = fnn.load(tmp_path / "net.safetensors")
    assert type(twin) is fnn.FNN
    assert bits(twin) == bits(net)
    assert repr(twin) == repr(net)
    assert twin.predict(x).tobytes() == net.predict(x).tobytes()
    assert twin.evaluate(x, t) == net.evaluate(x, t)
    twin.params["b1"][...] = 9  # loaded parameters are live and no longer tied to the file
    assert twin.predict(x).tobytes() != net.predict(x).tobytes()
    assert bits(fnn.load(tmp_path / "net.safetensors")) == bits(net)


def test_a_saved_file_is_plain_safetensors(tmp_path):
    net = fnn.FNN((4, 3, 2), seed=0)
    net.save(str(tmp_path / "net.safetensors"))
    tensors = load_file(tmp_path / "net.safetensors")
    assert {name: tensor.tobytes() for name, tensor in tensors.items()} == bits(net)


def test_save_replaces_a_file(tmp_path):
    path = tmp_path / "net.safetensors"
    fnn.FNN((9, 9, 9), seed=0).save(path)
    net = fnn.FNN((2, 2), seed=1)
    net.save(path)
    assert bits(fnn.load(path)) == bits(net)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_textbook_network_saves_and_loads(tmp_path):
    net = fnn.TwoLayerNet(4, 3, 2, seed=0)
    net.save(tmp_path / "net")
    assert bits(fnn.load(tmp_path / "net")) == bits(net)


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        fnn.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("content", [b"", b"garbage" * 20, b"\x93NUMPY", b"\xff" * 64], ids=repr)
def test_load_of_garbage(tmp_path, content):
    path = tmp_path / "garbage.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"garbage\.bin is not a safetensors file"):
        fnn.load(path)


def test_load_of_a_truncated_file(tmp_path):
    path = tmp_path / "cut.safetensors"
    fnn.FNN((4, 3)).save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cut\.safetensors is not a safetensors file"):
        fnn.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "fastfnn-999"}])
def test_load_of_a_file_of_others(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"W1": np.zeros((2, 2), np.float32)}, path, metadata)
    got = metadata["format"] if metadata else None
    with pytest.raises(ValueError, match=rf"foreign\.safetensors must be .* fastfnn.* got format {got!r}"):
        fnn.load(path)


@pytest.fixture
def rewrite(tmp_path):
    """Save a 4-3-2 network after a change to its tensors, description or metadata."""

    def write(tensors=lambda d: None, description=lambda d: None, metadata=lambda d: None):
        path = tmp_path / "ours.safetensors"
        arrays = {name: param.copy() for name, param in fnn.FNN((4, 3, 2), seed=0).params.items()}
        told = {"layer_sizes": [4, 3, 2], "activation": ["relu"], "loss": "softmax_cross_entropy", "dtype": "float32"}
        tensors(arrays)
        description(told)
        header = {"format": "fastfnn-1", "network": json.dumps(told)}
        metadata(header)
        save_file(arrays, path, header)
        return path

    return write


def test_the_description_of_a_file_is_what_the_tests_below_change(rewrite):
    assert repr(fnn.load(rewrite())) == "FNN(4-3-2, relu; softmax_cross_entropy; float32)"


BROKEN = {
    "missing tensor": {"tensors": lambda d: d.pop("b2")},
    "tensor too many": {"tensors": lambda d: d.update(W3=np.zeros((2, 2), np.float32))},
    "wrong shape": {"tensors": lambda d: d.update(W1=np.zeros((3, 4), np.float32))},
    "other sizes": {"description": lambda d: d.update(layer_sizes=[4, 2, 2])},
    "bad activation": {"description": lambda d: d.update(activation=["swish"])},
    "bad sizes": {"description": lambda d: d.update(layer_sizes=[4, -3, 2])},
    "no sizes": {"description": lambda d: d.pop("layer_sizes")},
    "no description": {"metadata": lambda d: d.pop("network")},
    "description is not JSON": {"metadata": lambda d: d.update(network="{")},
    "description is a list": {"metadata": lambda d: d.update(network="[]")},
    "unknown entry": {"description": lambda d: d.update(flavour="vanilla")},
}


@pytest.mark.parametrize("case", BROKEN)
def test_load_of_a_damaged_file_of_ours_names_it(rewrite, case):
    path = rewrite(**BROKEN[case])
    with pytest.raises(ValueError, match=r"ours\.safetensors") as caught:
        fnn.load(path)
    assert caught.type is ValueError


def test_load_names_the_missing_tensor(rewrite):
    path = rewrite(tensors=lambda d: d.pop("b2"))
    with pytest.raises(ValueError, match=r"must hold W1, b1, W2, b2; got W1, W2, b1"):
        fnn.load(path)


@pytest.mark.parametrize("place", ["folder", "missing folder"])
def test_save_where_no_file_can_be_is_an_oserror(tmp_path, place):
    path = tmp_path if place == "folder" else tmp_path / "nowhere" / "net.safetensors"
    with pytest.raises(OSError, match=path.name):
        fnn.FNN((2, 2)).save(path)


def test_public_names():
    assert isinstance(fnn.datasets, types.ModuleType)
    for name in fnn.__all__:
        assert hasattr(fnn, name)


def test_a_network_that_diverged_loads_as_it_was_saved(tmp_path):
    net = fnn.FNN((3, 2), seed=0)
    net.params["W1"][1, 1] = np.nan
    net.save(tmp_path / "diverged.safetensors")
    np.testing.assert_array_equal(fnn.load(tmp_path / "diverged.safetensors").params["W1"], net.params["W1"])
