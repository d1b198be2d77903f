"""The optimizers: `update` for loops written by hand, and their state from call to call and in `fit`."""

import copy
import inspect
import math
import pickle
import types

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn import backend, reference

DTYPES = ("float32", "float64")
RTOL = {"float32": 2.0**-15, "float64": 2.0**-44}  # rounding errors of a few steps on numbers near 1

CLASSES = {
    "SGD": fnn.SGD,
    "Momentum": fnn.Momentum,
    "Nesterov": fnn.Nesterov,
    "AdaGrad": fnn.AdaGrad,
    "RMSprop": fnn.RMSprop,
    "Adam": fnn.Adam,
    "AdamW": fnn.AdamW,
}
SETTINGS = {  # no defaults. Epsilons are large, so that rounding errors of tiny gradients do not determine a step
    "SGD": {"learning_rate": 0.125},
    "Momentum": {"learning_rate": 0.125, "momentum": 0.75},
    "Nesterov": {"learning_rate": 0.125, "momentum": 0.75},
    "AdaGrad": {"learning_rate": 0.125, "epsilon": 0.03125},
    "RMSprop": {"learning_rate": 0.125, "decay_rate": 0.75, "epsilon": 0.03125},
    "Adam": {"learning_rate": 0.125, "beta1": 0.75, "beta2": 0.9375, "epsilon": 0.03125},
    "AdamW": {"learning_rate": 0.125, "beta1": 0.75, "beta2": 0.9375, "epsilon": 0.03125, "weight_decay": 0.5},
}
STATES = {"SGD": 0, "Adam": 2, "AdamW": 2}  # number of state arrays if it is not 1
WITH_STATE = [name for name in CLASSES if name != "SGD"]

every_class = pytest.mark.parametrize("name", CLASSES)
every_class_with_state = pytest.mark.parametrize("name", WITH_STATE)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def new(name):
    return CLASSES[name](**SETTINGS[name])


def two_entries(dtype="float64"):
    params = {"W": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.ones(3, dtype)}
    grads = {"W": np.full((2, 3), 2, dtype), "b": np.array([1, 2, 4], dtype)}
    return params, grads


def assert_unchanged(params):
    np.testing.assert_array_equal(params["W"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(params["b"], np.ones(3))


def network(layer_sizes=(4, 5, 3), **options):
    return fnn.FNN(layer_sizes, **({"activation": "tanh", "dtype": "float64", "seed": 1} | options))


def loop_by_hand(net, x, t, optimizer, epochs, batch_size):
    """Train like `fit`, with `gradient` and `update`, on the samples in the order of the network's next fit."""
    for _ in range(epochs):
        order = net._rng.permutation(len(x))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            optimizer.update(net.params, net.gradient(x[chosen], t[chosen]))


def fitted(net, optimizer, epochs=1, data=None):
    """Return the bits of the parameters after a fit."""
    x, t = samples(count=23, inputs=net.layer_sizes[0], outputs=net.layer_sizes[-1]) if data is None else data
    net.fit(x, t, epochs=epochs, batch_size=4, optimizer=optimizer)
    return bits(net.params)


# One update


@every_dtype
def test_one_update_agrees_with_numbers_by_hand(dtype):
    params, grads = two_entries(dtype)
    weight, bias = params["W"], params["b"]
    fnn.SGD(0.5).update(params, grads)
    assert params["W"] is weight  # in place
    assert params["b"] is bias
    np.testing.assert_array_equal(weight, [[-1, 0, 1], [2, 3, 4]])
    np.testing.assert_array_equal(bias, [0.5, 0, -1])
    np.testing.assert_array_equal(grads["W"], np.full((2, 3), 2))


finite = st.floats(-1e6, 1e6)


@given(st.data(), array_shapes(min_dims=1, max_dims=2, max_side=5), st.sampled_from(DTYPES), st.floats(0, 10))
def test_update_is_param_minus_rate_times_grad(data, shape, dtype, rate):
    param, grad = (data.draw(arrays(np.float64, shape, elements=finite)).astype(dtype) for _ in range(2))
    want = param.astype(np.float64) - rate * grad.astype(np.float64)
    size = np.abs(param.astype(np.float64)) + rate * np.abs(grad.astype(np.float64))
    fnn.SGD(rate).update({"p": param}, {"p": grad})
    tiny = float(np.finfo(dtype).tiny)
    assert np.all(np.abs(param - want) <= 2 * np.finfo(dtype).eps * size + 2 * tiny)


@every_class
@every_dtype
def test_several_updates_agree_with_the_reference(dtype, name):
    rng = np.random.default_rng(0)
    shapes = {"W1": (3, 17), "b1": (17,), "W2": (17, 1), "b2": (1,), "nothing": (0,)}
    params = {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}
    want = {key: param.astype(np.float64) for key, param in params.items()}
    state = {key: [np.zeros_like(param) for _ in range(STATES.get(name, 1))] for key, param in want.items()}
    optimizer, twin = new(name), getattr(reference, f"{name.lower()}_update")
    for step in range(1, 6):
        grads = {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}
        before = bits(grads)
        optimizer.update(params, grads)
        assert bits(grads) == before
        for key, param in want.items():
            number = (step,) if len(state[key]) == 2 else ()
            twin(param, *state[key], grads[key].astype(np.float64), *SETTINGS[name].values(), *number)
            np.testing.assert_allclose(params[key], param, rtol=RTOL[dtype], atol=RTOL[dtype], err_msg=f"{key} {step}")


@every_class
def test_update_uses_a_changed_rate(name):
    params, grads = two_entries()
    optimizer = CLASSES[name](0)
    optimizer.update(params, grads)
    assert_unchanged(params)
    optimizer.learning_rate = 1.0
    optimizer.update(params, grads)
    assert np.all(params["b"] < 0.5)


def test_fit_uses_a_changed_rate():
    net = network()
    before = bits(net.params)
    optimizer = fnn.Adam(0)
    assert fitted(net, optimizer) == before
    optimizer.learning_rate = 0.1
    assert fitted(net, optimizer) != before


def test_gradients_of_another_dtype_are_converted():
    params, grads = two_entries("float32")
    fnn.SGD(0.5).update(params, {"W": grads["W"].astype(np.float64), "b": [1, 2, 4]})
    np.testing.assert_array_equal(params["b"], np.array([0.5, 0, -1], np.float32))
    assert params["W"].dtype == np.float32


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::2, ::-1], lambda a: a[:, 1], lambda a: a[:0]])
@every_class
def test_views_are_updated_in_place(name, view):
    larger = np.arange(24.0).reshape(4, 6)
    want, outside = larger.copy(), larger.copy()
    part = np.ascontiguousarray(view(want))
    optimizer, by_copy = new(name), new(name)
    for step in range(3):
        grad = np.full(part.shape, 2.0 - step)
        optimizer.update({"p": view(larger)}, {"p": grad})
        by_copy.update({"p": part}, {"p": grad})
    view(want)[...] = part
    np.testing.assert_array_equal(larger, want)
    assert part.size == 0 or not np.array_equal(larger, outside)


def test_an_update_without_parameters_only_counts_the_step():
    optimizer = fnn.Momentum(0.1)
    assert optimizer.update({}, {}) is None
    assert optimizer.steps == 1
    params, grads = two_entries()
    optimizer.update(params, grads)  # the state starts anew with these parameters
    assert optimizer.steps == 1
    np.testing.assert_allclose(params["b"], [0.9, 0.8, 0.6])


# In fit


# The loop computes a weight's gradient in blocks of 56 rows. Without the JIT they are NumPy's products, whose bits may
# depend on the number of rows.
BLOCKS = (60, 17, 3)
BLOCKS_JIT = pytest.param(BLOCKS, marks=pytest.mark.jit)


@every_class
@every_dtype
@pytest.mark.parametrize("layer_sizes", [(4, 5, 3), BLOCKS_JIT, (4, 3), (1, 1, 2)])
def test_fit_is_a_loop_of_updates_bit_for_bit(layer_sizes, dtype, name):
    x, t = samples(count=23, inputs=layer_sizes[0], outputs=layer_sizes[-1])
    net = network(layer_sizes, dtype=dtype)
    by_hand = copy.deepcopy(net)
    net.fit(x, t, epochs=2, batch_size=4, optimizer=new(name))  # the last batch has 3 samples
    loop_by_hand(by_hand, x, t, new(name), 2, 4)
    assert bits(net.params) == bits(by_hand.params)


@pytest.mark.jit
@every_class
@every_dtype
def test_fit_is_a_loop_of_updates_on_several_threads(dtype, name):
    x, t = samples(count=130, inputs=300, outputs=10)
    net = network((300, 129, 65, 10), dtype=dtype)
    by_hand = copy.deepcopy(net)
    net.fit(x, t, epochs=1, batch_size=64, optimizer=new(name))
    loop_by_hand(by_hand, x, t, new(name), 1, 64)
    assert bits(net.params) == bits(by_hand.params)


@every_class
@every_dtype
@pytest.mark.parametrize(
    ("layer_sizes", "sampling"), [((4, 5, 3), "shuffle"), ((4, 5, 3), "replacement"), (BLOCKS, "shuffle")]
)
def test_both_backends_agree(layer_sizes, sampling, dtype, name):
    nets = [network(layer_sizes, dtype=dtype, backend=backend) for backend in ("kernels", "reference")]
    x, t = samples(count=23, inputs=layer_sizes[0])
    options = {"epochs": 2, "batch_size": 4, "sampling": sampling}
    curves = [net.fit(x, t, optimizer=new(name), **options).step_loss for net in nets]
    rtol = 16 * RTOL[dtype]  # rounding errors accumulate over twelve steps
    np.testing.assert_allclose(curves[0], curves[1], rtol=rtol)
    for key, param in nets[0].params.items():
        np.testing.assert_allclose(param, nets[1].params[key], rtol=rtol, atol=rtol, err_msg=key)


@every_class
def test_a_zero_gradient_with_the_default_epsilon_is_no_division_by_zero(name):
    params = {"p": np.ones(3, np.float32)}
    optimizer = CLASSES[name]()
    optimizer.update(params, {"p": np.zeros(3)})
    assert np.isfinite(params["p"]).all()


# The state from call to call


@every_class
@every_dtype
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_a_second_fit_continues_the_state(backend, dtype, name):
    at_once, in_two = (network(dtype=dtype, backend=backend) for _ in range(2))
    optimizer = new(name)
    fitted(in_two, optimizer)
    assert fitted(in_two, optimizer) == fitted(at_once, new(name), epochs=2)


@every_class_with_state
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_new_and_reset_optimizers_start_without_state(backend, name):
    goes_on, fresh, reset = (network(backend=backend) for _ in range(3))
    optimizers = [new(name) for _ in range(3)]
    for net, optimizer in zip((goes_on, fresh, reset), optimizers, strict=True):
        fitted(net, optimizer)
    optimizers[2].reset()
    want = fitted(fresh, new(name))
    assert fitted(reset, optimizers[2]) == want
    assert fitted(goes_on, optimizers[0]) != want


@every_class_with_state
def test_after_reset_the_next_update_is_the_first(name):
    start, grads = two_entries()
    params, optimizer, results = copy.deepcopy(start), new(name), []
    for reset in (False, True, False):
        if reset:
            optimizer.reset()
        for key, param in params.items():
            param[...] = start[key]  # in place, so that the state still belongs to the arrays
        optimizer.update(params, grads)
        optimizer.update(params, {"W": -3 * grads["W"], "b": grads["b"]})
        results.append(bits(params))
    assert results[1] == results[0]
    assert results[2] != results[0]


@every_class
def test_a_copy_of_an_optimizer_continues_independently(name):
    optimizer, net = new(name), network()
    fitted(net, optimizer)
    results = []
    for duplicate in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        results.append(fitted(*duplicate((net, optimizer))))
    assert fitted(net, optimizer) == results[0] == results[1]


@every_class
@pytest.mark.parametrize("other", [{"layer_sizes": (4, 6, 3)}, {"layer_sizes": (5, 5, 3)}, {"dtype": "float32"}])
def test_fit_of_another_size_or_dtype_starts_without_state(other, name):
    optimizer = new(name)
    fitted(network(), optimizer)
    assert fitted(network(**other), optimizer) == fitted(network(**other), new(name))


@every_class
@pytest.mark.parametrize("other", [{"layer_sizes": (4, 6, 3)}, {"layer_sizes": (5, 5, 3)}, {"dtype": "float32"}])
def test_update_of_another_size_or_dtype_starts_without_state(other, name):
    # (5, 5, 3) has all shapes but one in common with (4, 5, 3)
    optimizer, fresh = new(name), new(name)
    x, t = samples(count=23)
    loop_by_hand(network(), x, t, optimizer, 1, 4)
    nets = [network(**other) for _ in range(2)]
    x, t = samples(count=23, inputs=nets[0].layer_sizes[0])
    for net, one in zip(nets, (optimizer, fresh), strict=True):
        loop_by_hand(net, x, t, one, 1, 4)
    assert bits(nets[0].params) == bits(nets[1].params)


# (2, 2) has as many parameters as (1, 3)
@every_class
@pytest.mark.parametrize("layer_sizes", [((4, 5, 3), (4, 5, 3)), ((1, 3), (2, 2))])
def test_fit_of_another_network_with_as_many_parameters_starts_without_state(layer_sizes, name):
    optimizer = new(name)
    first = network(layer_sizes[0])
    fitted(first, optimizer)
    got, want = (network(layer_sizes[1], seed=5) for _ in range(2))
    assert fitted(got, optimizer) == fitted(want, new(name))


@every_class
def test_update_of_another_network_of_the_same_shape_starts_without_state(name):
    optimizer, (x, t) = new(name), samples(count=23)
    first = network()
    loop_by_hand(first, x, t, optimizer, 1, 4)
    got, want = (network(seed=5) for _ in range(2))
    loop_by_hand(got, x, t, optimizer, 1, 4)
    loop_by_hand(want, x, t, new(name), 1, 4)
    assert bits(got.params) == bits(want.params)


@every_class
@pytest.mark.parametrize("turns", ["fit update", "update fit", "fit update fit", "update fit update"])
def test_alternating_fit_and_update_share_one_state(turns, name):
    optimizer, (x, t) = new(name), samples(count=23)
    net, want = network(), network()
    for turn in turns.split():
        if turn == "fit":
            fitted(net, optimizer)
        else:
            loop_by_hand(net, x, t, optimizer, 1, 4)
    loop_by_hand(want, x, t, new(name), len(turns.split()), 4)
    assert bits(net.params) == bits(want.params)


# Parameters of other forms


def descended(name, params, grads, steps=4, **options):
    """Return the parameters after steps along gradients that change from step to step."""
    optimizer = CLASSES[name](**SETTINGS[name], **options)
    for step in range(steps):
        optimizer.update(params, {key: (-1) ** step * (step + 1) * grad for key, grad in grads.items()})
    return params


NUMBERS = {"float": float, "float64": np.float64, "float32": np.float32, "int": int, "0-d": np.array}


@every_class
@pytest.mark.parametrize("clip_norm", [None, 2.5])
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_and_arrays_without_an_axis_step_like_arrays_of_one_element(kind, clip_norm, name):
    options = {"clip_norm": clip_norm}
    dtype = "float32" if kind == "float32" else "float64"
    numbers = {"x": NUMBERS[kind](-7), "y": NUMBERS[kind](2), "z": np.ones(2, dtype)}
    if kind == "0-d":
        numbers = {key: np.asarray(value, float) for key, value in numbers.items()}
    kept = dict(numbers)
    grads = {"x": -0.75, "y": np.float64(4), "z": np.array([1.0, -1.0])}
    got = descended(name, numbers, grads, **options)
    arrays = {"x": np.array([-7], dtype), "y": np.array([2], dtype), "z": np.ones(2, dtype)}
    want = descended(name, arrays, {key: np.atleast_1d(grad) for key, grad in grads.items()}, **options)
    for key in want:
        np.testing.assert_array_equal(np.atleast_1d(got[key]), want[key])
    assert got["z"] is kept["z"]
    if kind == "0-d":
        assert got["x"] is kept["x"] and got["y"] is kept["y"]
    else:
        types = {"float": float, "float64": np.float64, "float32": np.float32, "int": float}
        assert type(got["x"]) is type(got["y"]) is types[kind]


@every_class_with_state
def test_the_state_of_numbers_belongs_to_their_dict(name):
    optimizer, params = new(name), {"x": 1.0}
    optimizer.update(params, {"x": 1.0})
    params["x"] = 5.0  # the state stays, as it does where an array is changed in place
    optimizer.update(params, {"x": 1.0})
    assert optimizer.steps == 2
    optimizer.update({"x": 5.0}, {"x": 1.0})
    assert optimizer.steps == 1


@every_class
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 1, 3, 2), (3, 0, 2), (1, 2, 1)])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_arrays_with_more_axes_step_like_vectors(layout, shape, name):
    values, grad = np.random.default_rng(0).standard_normal((2, *shape))
    param = {
        "contiguous": values.copy(),
        "transposed": values.T.copy().T,
        "strided": np.repeat(values, 2, axis=-1)[..., ::2],
    }[layout]
    got = descended(name, {"W": param}, {"W": grad})["W"]
    want = descended(name, {"W": values.ravel()}, {"W": grad.ravel()})["W"]
    assert got is param
    np.testing.assert_array_equal(got.ravel(), want)


@every_class
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_are_not_finite_go_on_as_in_numpy(value, name):
    params = {"W": np.ones((2, 2)), "b": np.ones(2), "x": 1.0}
    grads = {"W": np.ones((2, 2)), "b": np.array([value, 1]), "x": value}
    optimizer = new(name)
    for _ in range(3):
        optimizer.update(params, grads)
    assert not math.isfinite(params["b"][0]) and not math.isfinite(params["x"])
    assert np.isfinite(params["W"]).all() and np.isfinite(params["b"][1])
    with np.errstate(all="raise"):  # nor is there a warning
        optimizer.update(params, grads)


def test_a_norm_that_is_not_finite_spreads_to_all_gradients():
    params, grads = two_entries()
    grads["b"][1] = math.nan
    fnn.SGD(0.1, clip_norm=1.0).update(params, grads)
    assert np.isnan(params["W"]).all() and np.isnan(params["b"]).all()


def test_a_loop_by_hand_that_diverges_goes_on():
    net, (x, t) = network(activation="relu"), samples(count=8)
    optimizer = fnn.SGD(1e300)
    with np.errstate(all="ignore"):
        for _ in range(5):
            optimizer.update(net.params, net.gradient(x, t))
    assert not all(np.isfinite(param).all() for param in net.params.values())
    assert math.isnan(net.loss(x, t))
    assert net.predict(x).shape == (8, 3)


def test_numbers_of_a_mapping_that_is_fixed_are_rejected():
    params = types.MappingProxyType({"x": 1.0})
    with pytest.raises(TypeError, match=r"^params must be a dict, .* params\['x'\] of a mappingproxy"):
        fnn.SGD(0.1).update(params, {"x": 1.0})
    array = np.ones(2)
    fnn.SGD(0.5).update(types.MappingProxyType({"x": array}), {"x": [1, 1]})
    np.testing.assert_array_equal(array, [0.5, 0.5])


# What is rejected


BAD_GRADS = {
    "missing": ({"W": np.ones((2, 3))}, ValueError, "an entry for each of params, got none for 'b'"),
    "shape": ({"W": np.ones((2, 3)), "b": np.ones(4)}, ValueError, r"grads\['b'\] must have shape \(3,\), got \(4,\)"),
    "rank": ({"W": np.ones((2, 3)), "b": np.ones((1, 3))}, ValueError, r"must have shape \(3,\), got \(1, 3\)"),
    "scalar": ({"W": np.ones((2, 3)), "b": 1.0}, ValueError, r"must have shape \(3,\), got \(\)"),
    "first": (
        {"W": np.ones((3, 2)), "b": np.ones(3)},
        ValueError,
        r"grads\['W'\] must have shape \(2, 3\), got \(3, 2\)",
    ),
    "text": (
        {"W": np.ones((2, 3)), "b": list("abc")},
        TypeError,
        r"grads\['b'\] must hold real numbers, got dtype <U1",
    ),
    "complex": ({"W": np.ones((2, 3)), "b": np.ones(3) + 0j}, TypeError, r"grads\['b'\] .* got dtype complex128"),
    "None": ({"W": np.ones((2, 3)), "b": None}, TypeError, r"grads\['b'\] must hold real numbers, got dtype object"),
}


@pytest.mark.parametrize("case", BAD_GRADS)
def test_invalid_gradients_change_no_parameter(case):
    grads, error, message = BAD_GRADS[case]
    params, _ = two_entries()
    with pytest.raises(error, match=message):
        fnn.SGD(0.1).update(params, grads)
    assert_unchanged(params)


def read_only(array):
    array.flags.writeable = False
    return array


BAD_PARAMS = {
    "read-only": (read_only(np.ones(3)), ValueError),
    "integers": (np.ones(3, int), TypeError),
    "float16": (np.ones(3, np.float16), TypeError),
    "complex": (np.ones(3, complex), TypeError),
    "list": ([1.0, 1.0, 1.0], TypeError),
    "bool": (True, TypeError),
    "complex number": (1j, TypeError),
    "text": ("1", TypeError),
    "None": (None, TypeError),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_invalid_parameters_are_rejected_before_any_other_changes(case):
    param, error = BAD_PARAMS[case]
    params, grads = two_entries()
    params["b"] = param
    if isinstance(param, np.ndarray):
        grads["b"] = np.ones(param.shape)
    with pytest.raises(error, match=r"params\['b'\]"):
        fnn.SGD(0.1).update(params, grads)
    np.testing.assert_array_equal(params["W"], np.arange(6).reshape(2, 3))


REJECTED = {case: grads for case, (grads, _, _) in BAD_GRADS.items()} | {"not a mapping": None}


@every_class
@pytest.mark.parametrize("case", REJECTED)
@pytest.mark.parametrize("steps", [0, 2])
def test_a_rejected_update_leaves_the_state_as_it_was(steps, case, name):
    results = []
    for rejected in (False, True):
        params, grads = two_entries()
        optimizer = new(name)
        for _ in range(steps):
            optimizer.update(params, grads)
        before, count = bits(params), optimizer.steps
        if rejected:
            with pytest.raises((TypeError, ValueError)):
                optimizer.update(params, REJECTED[case])
        assert (bits(params), optimizer.steps) == (before, count)
        optimizer.update(params, {"W": -grads["W"], "b": 2 * grads["b"]})
        results.append(bits(params))
    assert results[0] == results[1]


@every_class
@pytest.mark.parametrize("case", BAD_PARAMS)
def test_a_rejected_parameter_leaves_the_state_as_it_was(case, name):
    results = []
    for rejected in (False, True):
        params, grads = two_entries()
        optimizer = new(name)
        optimizer.update(params, grads)
        if rejected:
            shape = np.shape(BAD_PARAMS[case][0])
            with pytest.raises((TypeError, ValueError)):
                optimizer.update(params | {"b": BAD_PARAMS[case][0]}, grads | {"b": np.ones(shape)})
        optimizer.update(params, grads)
        results.append(bits(params))
    assert results[0] == results[1]


@every_class_with_state
def test_a_rejected_fit_leaves_the_state_as_it_was(name):
    results = []
    for rejected in (False, True):
        net, optimizer = network(), new(name)
        fitted(net, optimizer)
        if rejected:
            x, t = samples(count=23)
            for bad in ({"t": t + 1}, {"x": x[:, :3]}, {"epochs": 0}, {"batch_size": 0}, {"validation_data": (x, x)}):
                with pytest.raises((TypeError, ValueError)):
                    net.fit(**({"x": x, "t": t, "optimizer": optimizer} | bad))
        results.append(fitted(net, optimizer))
    assert results[0] == results[1]


def test_fit_rejects_the_class_of_an_optimizer():
    with pytest.raises(TypeError, match=r"^optimizer must be an optimizer such as .*; got the class Adam"):
        fitted(network(), fnn.Adam)


NOT_NUMBERS = ["0.1", None, True, 1j, [0.1], np.ones(2)]
NOT_NONNEGATIVE = [-1e-9, -1, math.nan, math.inf, -math.inf, 10**400]
FRACTIONS = ("decay_rate", "beta1", "beta2")
every_setting = pytest.mark.parametrize(
    ("name", "setting"), [(name, setting) for name, settings in SETTINGS.items() for setting in settings]
)


@every_setting
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_settings_of_a_wrong_type_are_rejected_by_name(value, name, setting):
    expected = "a number or a schedule" if setting == "learning_rate" else "a number"
    with pytest.raises(TypeError, match=f"^{setting} must be {expected}, got {type(value).__name__}$"):
        CLASSES[name](**(SETTINGS[name] | {setting: value}))


@every_setting
@pytest.mark.parametrize("value", NOT_NONNEGATIVE, ids=lambda value: f"{value:g}" if value < 1e300 else "large")
def test_negative_and_infinite_settings_are_rejected_by_name(value, name, setting):
    with pytest.raises(ValueError, match=f"^{setting} must be finite and not negative, got {value}$"):
        CLASSES[name](**(SETTINGS[name] | {setting: value}))


@every_setting
def test_only_fractions_must_be_less_than_one(name, setting):
    for value in (1, 1.0, 1.5):
        if setting in FRACTIONS:
            with pytest.raises(ValueError, match=f"^{setting} must be less than 1, got {value}$"):
                CLASSES[name](**(SETTINGS[name] | {setting: value}))
        elif setting != "momentum" or value == 1:
            CLASSES[name](**(SETTINGS[name] | {setting: value}))


@pytest.mark.parametrize("kind", [fnn.Momentum, fnn.Nesterov])
def test_a_momentum_is_at_most_one(kind):
    kind(0.1, momentum=1)
    with pytest.raises(ValueError, match=r"^momentum must be at most 1, got 1\.5$"):
        kind(0.1, momentum=1.5)


@every_setting
@pytest.mark.parametrize("value", [0, 0.0, np.float32(0.5), np.int64(0)], ids=repr)
def test_settings_may_have_any_real_type(value, name, setting):
    value += setting == "epsilon"  # epsilon must not be 0, see below
    optimizer = CLASSES[name](**(SETTINGS[name] | {setting: value}))
    as_float = CLASSES[name](**(SETTINGS[name] | {setting: float(value)}))
    assert optimizer.learning_rate == as_float.learning_rate
    assert optimizer.flat_settings() == as_float.flat_settings()
    params, grads = two_entries()
    optimizer.update(params, grads)


@pytest.mark.parametrize("name", ["AdaGrad", "RMSprop", "Adam", "AdamW"])
@pytest.mark.parametrize("value", [0, 0.0, -0.0, 1e-46, 5e-324])  # the last two are 0 to kernels
def test_an_epsilon_that_is_zero_in_float32_is_rejected(value, name):
    with pytest.raises(ValueError, match=f"^epsilon must be at least 1e-30, got {value}$"):
        CLASSES[name](0.1, epsilon=value)


@pytest.mark.parametrize("name", ["AdaGrad", "RMSprop", "Adam", "AdamW"])
@every_dtype
def test_the_smallest_epsilon_avoids_the_division_by_zero(dtype, name):
    params = {"p": np.ones(17, dtype)}
    CLASSES[name](0.1, epsilon=1e-30).update(params, {"p": np.zeros(17)})
    assert np.isfinite(params["p"]).all()


# Learning rate and clipping, which all optimizers have


@every_class
def test_lr_is_the_learning_rate(name):
    assert CLASSES[name](lr=0.5).learning_rate == CLASSES[name](0.5).lr == 0.5
    assert repr(CLASSES[name](lr=0.5)) == repr(CLASSES[name](0.5))
    optimizer = CLASSES[name]()
    optimizer.lr = 0.25
    assert optimizer.learning_rate == 0.25


@every_class
@pytest.mark.parametrize("given", [((0.1,), {}), ((), {"learning_rate": 0.1})])
def test_learning_rate_and_lr_together_are_rejected(given, name):
    with pytest.raises(TypeError, match=r"^lr is another name of learning_rate: expected one of them, got both$"):
        CLASSES[name](*given[0], **given[1], lr=0.1)


@every_class
def test_an_invalid_rate_is_reported_under_the_name_that_was_used(name):
    optimizer = CLASSES[name](0.5)
    for bad, error in ((-1, ValueError), ("1", TypeError)):
        with pytest.raises(error, match=r"^lr must be "):
            CLASSES[name](lr=bad)
        with pytest.raises(error, match=r"^lr must be "):
            optimizer.lr = bad
        with pytest.raises(error, match=r"^learning_rate must be "):
            optimizer.learning_rate = bad
    assert optimizer.learning_rate == 0.5


@every_class
def test_signatures_show_the_default_rate(name):
    text = str(inspect.signature(CLASSES[name]))
    assert "= 0.001," in text if name.startswith("Adam") else "= 0.01," in text


@every_class
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", True])
def test_an_invalid_clip_norm_is_rejected_by_name(value, name):
    with pytest.raises((TypeError, ValueError), match=r"^clip_norm must be "):
        CLASSES[name](clip_norm=value)


GRADS = {"W": np.array([[3.0, 0.0, 0.0], [0.0, -4.0, 0.0]]), "b": np.array([0.0, 12.0, 0.0])}  # norm 13


@every_class
@every_dtype
@pytest.mark.parametrize("longest", [1.0, 6.5, 13.0, 1e6])
def test_a_long_gradient_is_scaled_down_as_a_whole(longest, dtype, name):
    clipped, plain = CLASSES[name](**SETTINGS[name], clip_norm=longest), new(name)
    (got, _), (want, _) = two_entries(dtype), two_entries(dtype)
    for _ in range(2):
        grads = {key: grad.astype(dtype) for key, grad in GRADS.items()}
        clipped.update(got, grads)
        assert bits(grads) == {key: grad.astype(dtype).tobytes() for key, grad in GRADS.items()}
        plain.update(want, {key: grad * min(1.0, longest / 13) for key, grad in GRADS.items()})
    for key in want:
        np.testing.assert_allclose(got[key], want[key], rtol=RTOL[dtype], atol=RTOL[dtype])


def test_a_gradient_of_the_limiting_norm_keeps_its_bits():
    params, want = ({"W": np.ones((2, 3)), "b": np.ones(3)} for _ in range(2))
    fnn.SGD(0.1, clip_norm=13).update(params, GRADS)
    fnn.SGD(0.1).update(want, GRADS)
    assert bits(params) == bits(want)


def test_the_norm_is_computed_in_float64():
    params, grad = (
        {"p": np.zeros(4, np.float32)},
        np.full(4, 1e30, np.float32),
    )  # the square exceeds the range of float32
    fnn.SGD(1.0, clip_norm=2).update(params, {"p": grad})
    np.testing.assert_allclose(params["p"], -1, rtol=1e-6)


def test_a_gradient_of_zero_is_not_clipped():
    params = {"p": np.ones(3)}
    fnn.SGD(0.1, clip_norm=1e-30).update(params, {"p": np.zeros(3)})
    np.testing.assert_array_equal(params["p"], 1)


@every_class
@every_dtype
@pytest.mark.parametrize("longest", [0.05, 0.5, 1e6])  # the gradient is always, sometimes, never too long
def test_fit_clips_like_update(longest, dtype, name):
    x, t = samples(count=23)
    net, by_hand, free = (network(dtype=dtype) for _ in range(3))
    net.fit(x, t, epochs=2, batch_size=4, optimizer=CLASSES[name](**SETTINGS[name], clip_norm=longest))
    loop_by_hand(by_hand, x, t, CLASSES[name](**SETTINGS[name], clip_norm=longest), 2, 4)
    free.fit(x, t, epochs=2, batch_size=4, optimizer=new(name))
    for key, param in net.params.items():  # the norm is summed in another order
        np.testing.assert_allclose(param, by_hand.params[key], rtol=16 * RTOL[dtype], atol=16 * RTOL[dtype])
    assert (bits(net.params) == bits(free.params)) == (longest == 1e6)


# The book's equations


def book_momentum(w, g, s, lr, momentum):
    s["v"] = momentum * s["v"] - lr * g
    return w + s["v"]


def book_nesterov(w, g, s, lr, momentum):
    s["v"] = momentum * s["v"] - lr * g
    return w + momentum * s["v"] - lr * g


def book_adagrad(w, g, s, lr):
    s["h"] = s["h"] + g**2
    return w - lr * g / (np.sqrt(s["h"]) + 1e-7)


def book_rmsprop(w, g, s, lr, decay_rate):
    s["h"] = decay_rate * s["h"] + (1 - decay_rate) * g**2
    return w - lr * g / (np.sqrt(s["h"]) + 1e-7)


def book_adam(w, g, s, lr, beta1, beta2):
    s["t"] += 1
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g**2
    rate = lr * math.sqrt(1 - beta2 ** s["t"]) / (1 - beta1 ** s["t"])
    return w - rate * s["m"] / (np.sqrt(s["v"]) + 1e-7)


BOOK = {
    "SGD": (lambda w, g, s, lr: w - lr * g, {"lr": 0.125}),
    "Momentum": (book_momentum, {"lr": 0.125, "momentum": 0.75}),
    "Nesterov": (book_nesterov, {"lr": 0.125, "momentum": 0.75}),
    "AdaGrad": (book_adagrad, {"lr": 0.125}),
    "RMSprop": (book_rmsprop, {"lr": 0.125, "decay_rate": 0.75}),
    "Adam": (book_adam, {"lr": 0.125, "beta1": 0.75, "beta2": 0.9375}),
}


@pytest.mark.parametrize("name", BOOK)
def test_updates_agree_with_the_equations_of_the_book(name):
    rng = np.random.default_rng(0)
    equation, settings = BOOK[name]
    optimizer = CLASSES[name](**settings, **({"book": True} if name == "Adam" else {}))
    params = {"W": rng.standard_normal((3, 17)), "b": rng.standard_normal(17)}
    want = copy.deepcopy(params)
    state = {key: dict.fromkeys("vhmt", 0) for key in params}
    for _ in range(6):
        # down to 1e-8, so that an epsilon in another place would change the result by tens of percent
        grads = {
            key: 10.0 ** -rng.integers(0, 9, param.shape) * rng.choice([-1, 1], param.shape)
            for key, param in params.items()
        }
        optimizer.update(params, grads)
        for key in want:
            want[key] = equation(want[key], grads[key], state[key], **settings)
            np.testing.assert_allclose(params[key], want[key], rtol=RTOL["float64"], atol=RTOL["float64"])


@every_dtype
@pytest.mark.parametrize("backend_name", ["kernels", "reference"])
def test_fit_with_the_books_adam_is_a_loop_of_updates(backend_name, dtype):
    x, t = samples(count=23)
    settings = {"beta1": 0.75, "beta2": 0.9375, "epsilon": 0.03125}
    net, by_hand, other = (network(dtype=dtype, backend=backend_name) for _ in range(3))
    net.fit(x, t, epochs=2, batch_size=4, optimizer=fnn.Adam(0.125, **settings, book=True))
    loop_by_hand(by_hand, x, t, fnn.Adam(0.125, **settings, book=True), 2, 4)
    other.fit(x, t, epochs=2, batch_size=4, optimizer=fnn.Adam(0.125, **settings))
    for key, param in net.params.items():
        np.testing.assert_allclose(param, by_hand.params[key], rtol=16 * RTOL[dtype], atol=16 * RTOL[dtype])
    assert np.abs(net.params["W1"] - other.params["W1"]).max() > 1e-3


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_the_option_book_must_be_a_bool(value):
    with pytest.raises(TypeError, match=f"^book must be True or False, got {type(value).__name__}$"):
        fnn.Adam(book=value)


# Settings, defaults, repr


FLAT = {  # the settings that are not 0 in the compiled loop
    "SGD": {},
    "Momentum": {"beta1": 0.75},
    "Nesterov": {"beta1": 0.75},
    "AdaGrad": {"epsilon": 0.03125},
    "RMSprop": {"beta1": 0.75, "epsilon": 0.03125},
    "Adam": {"beta1": 0.75, "beta2": 0.9375, "epsilon": 0.03125},
    "AdamW": {"beta1": 0.75, "beta2": 0.9375, "epsilon": 0.03125, "decay": 0.5},
}


@every_class
def test_flat_settings_have_their_names_in_the_compiled_loop(name):
    assert new(name).flat_settings() == FLAT[name]
    assert CLASSES[name](**SETTINGS[name], clip_norm=2).flat_settings() == FLAT[name] | {"clip_norm": 2}
    assert set(FLAT[name]) | {"clip_norm", "book"} <= set(backend.SETTINGS)
    # positional arguments are in the order of SETTINGS
    assert CLASSES[name](*SETTINGS[name].values()).flat_settings() == FLAT[name]


def test_flat_settings_of_the_books_adam_contain_book():
    want = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "book": 1}
    assert fnn.Adam(book=True).flat_settings() == want
    assert fnn.Adam(book=True, epsilon=1e-8).flat_settings() == want | {"epsilon": 1e-8}
    assert fnn.Adam(book=False).flat_settings() == fnn.Adam().flat_settings()


@every_class
def test_the_code_is_the_index_of_the_rule(name):
    assert reference.OPTIMIZERS[new(name).code] == name.lower()


DEFAULTS = {
    "SGD": (0.01, {}),
    "Momentum": (0.01, {"beta1": 0.9}),
    "Nesterov": (0.01, {"beta1": 0.9}),
    "AdaGrad": (0.01, {"epsilon": 1e-7}),
    "RMSprop": (0.01, {"beta1": 0.99, "epsilon": 1e-7}),
    "Adam": (0.001, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
    "AdamW": (0.001, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "decay": 0.01}),
}


@every_class
def test_optimizers_have_the_documented_defaults(name):
    assert (CLASSES[name]().learning_rate, CLASSES[name]().flat_settings()) == DEFAULTS[name]
    assert CLASSES[name](0.5).learning_rate == 0.5


def test_repr_shows_the_settings():
    assert repr(fnn.SGD(0.1)) == "SGD(0.1)"
    assert repr(fnn.SGD(1)) == "SGD(1)"
    assert repr(fnn.Momentum(0.1)) == "Momentum(0.1, momentum=0.9)"
    assert repr(fnn.AdamW()) == "AdamW(0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.01)"
    assert repr(fnn.SGD(0.1, clip_norm=1)) == "SGD(0.1, clip_norm=1)"
    assert repr(fnn.Adam(book=True)) == "Adam(0.001, beta1=0.9, beta2=0.999, epsilon=1e-07, book=True)"


@given(st.sampled_from(list(CLASSES)), st.floats(1e-30, 1e300), st.floats(0, 1, exclude_max=True), st.booleans())
@example("Adam", 0.1, 0.9999999, True)  # with six digits it would be 1
@example("SGD", 0.12345678, 0.5, False)
def test_repr_recreates_the_optimizer(name, number, fraction, more):
    settings = {setting: fraction if setting in (*FRACTIONS, "momentum") else number for setting in SETTINGS[name]}
    options = {"clip_norm": number} | ({"book": True} if name == "Adam" else {}) if more else {}
    optimizer = CLASSES[name](**settings, **options)
    again = eval(repr(optimizer), dict(CLASSES))
    assert type(again) is type(optimizer)
    assert again.learning_rate == optimizer.learning_rate == number
    assert again.flat_settings() == optimizer.flat_settings()


@every_class
def test_optimizers_are_also_top_level_names(name):
    assert getattr(fnn, name) is getattr(fnn.optimizers, name) is CLASSES[name]


def test_import_star_imports_the_optimizers():
    names = {}
    exec("from fastfnn.optimizers import *", names)
    assert {name: names[name] for name in names if name != "__builtins__"} == CLASSES
