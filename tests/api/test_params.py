"""The parameters of a network: views of one buffer, assignment, update, copies."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import (
    DTYPES,
    bits,
    network,
    samples,
)

import fastfnn as fnn

layer_sizes = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@given(layer_sizes, st.sampled_from(DTYPES))
def test_parameters_are_consecutive_views_of_one_buffer(sizes, dtype):
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
def test_predictions_follow_a_change_of_params(change, dtype):
    net = fnn.FNN((2, 3), loss="squared_error", dtype=dtype)
    change(net.params)
    np.testing.assert_array_equal(net.predict([[0, 0]]), [[1, 2, 3]])


def test_assignment_to_params_copies_the_array():
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
def test_invalid_values_for_params_are_rejected_and_change_nothing(name, value, error, message):
    net = fnn.FNN((2, 3, 2), seed=0)
    before = bits(net)
    with pytest.raises(error, match=message):
        net.params[name] = value
    assert bits(net) == before


@pytest.mark.parametrize("bad", [{"b2": [0, math.nan]}, {"b2": [1, 2, 3]}, {"b3": [1, 2]}, {"b2": None}])
def test_update_of_params_with_an_invalid_entry_changes_nothing(bad):
    net = fnn.FNN((2, 3, 2), seed=0)
    before = bits(net)
    with pytest.raises((KeyError, TypeError, ValueError), match=next(iter(bad))):
        net.params.update({"b1": [1, 2, 3], "W2": np.ones((3, 2))} | bad)
    assert bits(net) == before


def test_update_of_params_takes_the_arguments_of_dict_update():
    net, other = fnn.FNN((2, 3, 2), seed=0), fnn.FNN((2, 3, 2), seed=1)
    net.params.update(other.params)
    assert bits(net) == bits(other)
    net.params.update([("b1", [1, 2, 3])], b2=[4, 5])
    assert (net.params["b1"].tolist(), net.params["b2"].tolist()) == ([1, 2, 3], [4, 5])
    net.params.update()
    assert net.params["b1"].tolist() == [1, 2, 3]


def test_update_of_params_can_swap_two_parameters():
    net = fnn.FNN((3, 3, 3), seed=0)
    first, second = net.params["W1"].copy(), net.params["W2"].copy()
    net.params.update({"W1": net.params["W2"], "W2": net.params["W1"]})
    np.testing.assert_array_equal(net.params["W1"], second)
    np.testing.assert_array_equal(net.params["W2"], first)


def test_params_cannot_lose_or_gain_names():
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
def test_a_copy_of_a_network_is_independent_and_its_params_take_effect(duplicate):
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
    assert bits(twin) != before  # params shows the parameters that fit changes
    net.fit(x, t, epochs=2, batch_size=3)
    assert bits(twin) == bits(net)  # the orders of the samples are equal too


def test_repr_of_params_shows_names_and_shapes():
    assert repr(fnn.FNN((2, 3, 1)).params) == "Params(W1 (2, 3), b1 (3,), W2 (3, 1), b2 (1,))"
