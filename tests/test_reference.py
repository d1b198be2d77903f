"""The reference itself: that it is the kernels' twin, and right on numbers worked out by hand."""

import ast
import inspect
import math

import numpy as np
import pytest

from fastfnn import kernels, reference

FUNCTIONS = [name for name in kernels.__all__ if callable(getattr(kernels, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_kernel_has_a_twin_of_the_same_signature(name):
    assert inspect.signature(getattr(reference, name)) == inspect.signature(getattr(kernels, name))


def test_the_codes_are_the_same():
    assert reference.ACTIVATIONS == kernels.ACTIVATIONS
    assert reference.LOSSES == kernels.LOSSES
    assert reference.OPTIMIZERS == kernels.OPTIMIZERS
    assert reference.SETTINGS == kernels.SETTINGS


def test_every_public_name_is_a_kernel_or_a_table_of_codes():
    assert set(kernels.__all__) - set(FUNCTIONS) == {"ACTIVATIONS", "LOSSES", "OPTIMIZERS", "SETTINGS"}
    assert all(getattr(kernels, name).__doc__ and getattr(reference, name).__doc__ for name in FUNCTIONS)


def test_the_reference_imports_numpy_only():
    tree = ast.parse(inspect.getsource(reference))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    assert imported == {"numpy"}


# The tables in the order of the codes, so that a code chooses the function of its name.
def test_the_tables_are_in_the_order_of_the_codes():
    forward = [function.__name__.removesuffix("_forward") for function in reference.FORWARD]
    backward = [function.__name__.removesuffix("_backward") for function in reference.BACKWARD]
    assert tuple(forward) == reference.ACTIVATIONS
    assert tuple(backward) == reference.ACTIVATIONS[:4]
    assert tuple(function.__name__ for function in reference.LOSS) == reference.LOSSES


# Everything below compares with literal numbers. Logits are logarithms of integers, so that powers are integers.
LN2, LN3, LN5 = 0.6931471805599453, 1.0986122886681098, 1.6094379124341003
E = 1e-15


def result(function, shape, *arguments):
    out = np.full(shape, np.nan)
    function(out, *[np.array(argument) for argument in arguments])
    return out


def test_affine_forward():
    # [1 2] [[1 3 5] [2 4 6]] = [5 11 17]
    got = result(reference.affine_forward, (2, 3), [[1, 2], [0, -1]], [[1, 3, 5], [2, 4, 6]], [0.5, -1, 10])
    np.testing.assert_array_equal(got, [[5.5, 10, 27], [-1.5, -5, 4]])


def test_affine_backward():
    grad_x, grad_weight, grad_bias = np.full((2, 2), np.nan), np.full((2, 3), np.nan), np.full(3, np.nan)
    grad_out, x = np.array([[1.0, 0, -1], [2, 1, 0]]), np.array([[1.0, 2], [3, -4]])
    reference.affine_backward(grad_x, grad_weight, grad_bias, grad_out, x, np.array([[1.0, 3, 5], [2, 4, 6]]))
    np.testing.assert_array_equal(grad_x, [[1 - 5, 2 - 6], [2 + 3, 4 + 4]])
    np.testing.assert_array_equal(grad_weight, [[1 + 6, 3, -1], [2 - 8, -4, -2]])
    np.testing.assert_array_equal(grad_bias, [3, 1, -1])


def test_activations_forward():
    # e^-ln3 = 1/3, so sigmoid(ln 3) = 1 / (4/3); tanh(ln 2) = (2 - 1/2) / (2 + 1/2)
    x = [[0.0, LN3, -LN3]]
    np.testing.assert_allclose(result(reference.sigmoid_forward, (1, 3), x), [[0.5, 0.75, 0.25]], rtol=E)
    np.testing.assert_allclose(result(reference.tanh_forward, (1, 3), [[0.0, LN2, -LN2]]), [[0, 0.6, -0.6]], rtol=E)
    np.testing.assert_array_equal(result(reference.relu_forward, (1, 3), [[0.0, 2.5, -2.5]]), [[0, 2.5, 0]])
    np.testing.assert_array_equal(result(reference.identity_forward, (1, 3), [[0.0, 2.5, -2.5]]), [[0, 2.5, -2.5]])


def test_activations_backward():
    grad_out = [[2.0, 2.0, -2.0]]
    sigmoid = result(reference.sigmoid_backward, (1, 3), grad_out, [[0.5, 0.75, 0.25]])
    np.testing.assert_array_equal(sigmoid, [[0.5, 0.375, -0.375]])
    tanh = result(reference.tanh_backward, (1, 3), grad_out, [[0, 0.5, -0.5]])
    np.testing.assert_array_equal(tanh, [[2, 1.5, -1.5]])
    relu = result(reference.relu_backward, (1, 3), grad_out, [[0, 2.5, 0.1]])
    np.testing.assert_array_equal(relu, [[0, 2, -2]])
    identity = result(reference.identity_backward, (1, 3), grad_out, [[0, 2.5, 0.1]])
    np.testing.assert_array_equal(identity, grad_out)


def test_relu_lets_nan_pass():
    assert np.isnan(result(reference.relu_forward, (1, 1), [[np.nan]]))
    assert result(reference.relu_backward, (1, 1), [[3.0]], [[np.nan]]) == 3


def test_softmax():
    got = result(reference.softmax, (2, 3), [[0, LN2, LN5], [1000, 1000 + LN3, -1000]])
    np.testing.assert_allclose(got, [[0.125, 0.25, 0.625], [0.25, 0.75, 0]], rtol=1e-12)


@pytest.mark.parametrize("targets", [[2, 0], [[0, 0, 1], [1, 0, 0]]])
def test_softmax_cross_entropy(targets):
    grad, logits = np.full((2, 3), np.nan), np.array([[0, LN2, LN5], [LN3, 0, 0]])
    value = reference.softmax_cross_entropy(grad, logits, np.array(targets))
    # probabilities 5/8 and 3/5: -ln(5/8) = 0.4700036292457356, -ln(3/5) = 0.5108256237659907
    assert value == pytest.approx((0.4700036292457356 + 0.5108256237659907) / 2, rel=E)
    np.testing.assert_allclose(grad, [[0.0625, 0.125, -0.1875], [-0.2, 0.1, 0.1]], rtol=1e-14)


def test_softmax_cross_entropy_of_targets_that_do_not_sum_to_one():
    grad = np.full((1, 2), np.nan)
    value = reference.softmax_cross_entropy(grad, np.array([[0, LN3]]), np.array([[1.0, 2.0]]))
    # probabilities 1/4, 3/4: ln 4 + 2 ln(4/3); gradient 3/4 - 1, 9/4 - 2
    assert value == pytest.approx(1.3862943611198906 + 2 * 0.28768207245178096, rel=E)
    np.testing.assert_allclose(grad, [[-0.25, 0.25]], rtol=1e-14)


def test_softmax_cross_entropy_of_extreme_logits():
    grad = np.full((1, 2), np.nan)
    assert reference.softmax_cross_entropy(grad, np.array([[1e4, -1e4]]), np.array([1])) == 20000
    np.testing.assert_array_equal(grad, [[1, -1]])


def test_sigmoid_cross_entropy():
    grad, logits = np.full((2, 2), np.nan), np.array([[LN3, 0], [-LN3, 1000]])
    value = reference.sigmoid_cross_entropy(grad, logits, np.array([[1.0, 0.5], [1.0, 0.0]]))
    # -ln(3/4) + ln 2, and -ln(1/4) + 1000
    want = (0.28768207245178096 + LN2 + 1.3862943611198906 + 1000) / 2
    assert value == pytest.approx(want, rel=E)
    np.testing.assert_allclose(grad, [[-0.125, 0], [-0.375, 0.5]], rtol=1e-14)


def test_squared_error():
    grad = np.full((2, 2), np.nan)
    value = reference.squared_error(grad, np.array([[1.0, 2], [3, 4]]), np.array([[0.0, 4], [3, 1]]))
    assert value == (0.5 * (1 + 4) + 0.5 * 9) / 2
    np.testing.assert_array_equal(grad, [[0.5, -1], [0, 1.5]])


def test_losses_of_an_empty_batch_are_nan():
    empty, labels = np.empty((0, 3)), np.empty(0, np.int64)
    assert math.isnan(reference.softmax_cross_entropy(empty, empty, labels))
    assert math.isnan(reference.sigmoid_cross_entropy(empty, empty, empty))
    assert math.isnan(reference.squared_error(empty, empty, empty))


def test_sgd_update():
    param = np.array([1.0, -2])
    reference.sgd_update(param, np.array([4.0, -8]), 0.25)
    np.testing.assert_array_equal(param, [0, 0])


def test_sgd_update_keeps_float32():
    param = np.array([1.0], np.float32)
    reference.sgd_update(param, np.array([1.0], np.float32), 0.1)
    assert param.dtype == np.float32 and param[0] == np.float32(0.9)


def test_momentum_update():
    # v = 1/2 [1/2 1] - 1/4 [4 -8] = [-3/4 5/2]
    param, velocity = np.array([1.0, -2]), np.array([0.5, 1])
    reference.momentum_update(param, velocity, np.array([4.0, -8]), 0.25, 0.5)
    np.testing.assert_array_equal(velocity, [-0.75, 2.5])
    np.testing.assert_array_equal(param, [0.25, 0.5])


def test_nesterov_update():
    # the same v; w changes by 1/2 v - 1/4 g = [-3/8 - 1, 5/4 + 2]
    param, velocity = np.array([1.0, -2]), np.array([0.5, 1])
    reference.nesterov_update(param, velocity, np.array([4.0, -8]), 0.25, 0.5)
    np.testing.assert_array_equal(velocity, [-0.75, 2.5])
    np.testing.assert_array_equal(param, [-0.375, 1.25])


def test_adagrad_update():
    # h = [0 16] + [4 9], roots 2 and 5; steps 1/2 * 2 / (2 + 1) and 1/2 * -3 / (5 + 1)
    param, squares = np.array([1.0, -2]), np.array([0.0, 16])
    reference.adagrad_update(param, squares, np.array([2.0, -3]), 0.5, 1.0)
    np.testing.assert_array_equal(squares, [4, 25])
    np.testing.assert_allclose(param, [2 / 3, -1.75], rtol=E)


def test_rmsprop_update():
    # h = 3/4 [4 16] + 1/4 [4 16], roots 2 and 4; steps 1/2 * 2 / (2 + 1) and 1/2 * -4 / (4 + 1)
    param, squares = np.array([1.0, -2]), np.array([4.0, 16])
    reference.rmsprop_update(param, squares, np.array([2.0, -4]), 0.5, 0.75, 1.0)
    np.testing.assert_array_equal(squares, [4, 16])
    np.testing.assert_allclose(param, [2 / 3, -1.6], rtol=E)
    reference.rmsprop_update(param, squares, np.array([0.0, 8]), 0.5, 0.75, 1.0)
    np.testing.assert_array_equal(squares, [3, 28])


def test_adam_update():
    # beta1 = 1/2, beta2 = 3/4, epsilon = 1. Step 1: m = 1/2 g, v = 1/4 g^2; corrected g and g^2, roots 2 and 4;
    # steps 0.3 * 2 / 3 and 0.3 * -4 / 5
    param, mean, square = np.array([1.0, -2]), np.zeros(2), np.zeros(2)
    reference.adam_update(param, mean, square, np.array([2.0, -4]), 0.3, 0.5, 0.75, 1.0, 1)
    np.testing.assert_array_equal(mean, [1, -2])
    np.testing.assert_array_equal(square, [1, 4])
    np.testing.assert_allclose(param, [0.8, -1.76], rtol=E)
    # Step 2: m = [1/2 + 1, -1 + 2], v = [3/4 + 1, 3 + 4]; corrected by 3/4 and 7/16 [2 4/3] and [4 16];
    # steps 0.3 * 2 / 3 and 0.3 * 4/3 / 5
    reference.adam_update(param, mean, square, np.array([2.0, 4]), 0.3, 0.5, 0.75, 1.0, 2)
    np.testing.assert_array_equal(mean, [1.5, 1])
    np.testing.assert_array_equal(square, [1.75, 7])
    np.testing.assert_allclose(param, [0.6, -1.84], rtol=E)


def test_adamw_update():
    # the first step of Adam above, from (1 - 0.3 * 1/2) [1 -2]
    param, mean, square = np.array([1.0, -2]), np.zeros(2), np.zeros(2)
    reference.adamw_update(param, mean, square, np.array([2.0, -4]), 0.3, 0.5, 0.75, 1.0, 0.5, 1)
    np.testing.assert_array_equal(mean, [1, -2])
    np.testing.assert_array_equal(square, [1, 4])
    np.testing.assert_allclose(param, [0.85 - 0.2, -1.7 + 0.24], rtol=E)


# Python floats as settings: no result may become float64 on the way, where it would be rounded twice.
@pytest.mark.parametrize("name", reference.OPTIMIZERS)
def test_updates_compute_in_float32(name):
    update = getattr(reference, f"{name}_update")
    settings = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "decay": 0.01, "momentum": 0.9, "decay_rate": 0.99}
    scalars = {"learning_rate": 0.1, "step": 3} | settings
    arguments = {key: scalars.get(key) for key in inspect.signature(update).parameters}
    arrays = [key for key, value in arguments.items() if value is None]
    for key in arrays:
        arguments[key] = np.ones(3, np.float32)
    update(**arguments)
    assert all(arguments[key].dtype == np.float32 and np.isfinite(arguments[key]).all() for key in arrays)
    assert arguments["param"][0] not in (0, 1)


# 2 inputs, 2 hidden ReLU, 1 output: W1 = [[1 -1] [2 1]], b1 = [0 1], W2 = [[3] [5]], b2 = [-1]
SIZES, CODES = np.array([2, 2, 1]), np.array([3, 0])
PARAMS = np.array([1.0, -1, 2, 1, 0, 1, 3, 5, -1])


def test_network_forward():
    # [3 -1]: u1 = [1 -3], h = [1 0], y = 3 - 1.   [1 2]: u1 = [5 2], h = [5 2], y = 15 + 10 - 1
    got = result(reference.network_forward, (2, 1), PARAMS, [[3.0, -1], [1, 2]], SIZES, CODES)
    np.testing.assert_array_equal(got, [[2], [24]])


def test_network_gradient():
    # targets [4] and [20]: y - t = -2 and 4, over a batch of 2: delta2 = [-1] and [2]
    # delta1 = [-3 0] (the second unit is off) and [6 10]
    grad = np.full(9, np.nan)
    x, targets = np.array([[3.0, -1], [1, 2]]), np.array([[4.0], [20]])
    value = reference.network_gradient(grad, PARAMS, x, targets, SIZES, CODES, 2)
    assert value == (0.5 * 4 + 0.5 * 16) / 2
    grad_weight1, grad_bias1 = [-9 + 6, 10, 3 + 12, 20], [3, 10]
    grad_weight2, grad_bias2 = [-1 + 10, 4], [1]
    np.testing.assert_array_equal(grad, grad_weight1 + grad_bias1 + grad_weight2 + grad_bias2)


def test_train_steps():
    # y = w x + b from w = b = 0, learning rate 1/2. Step 1, x = 1, t = 1: y = 0, E = 1/2, gradient -1, -1: w = b = 1/2.
    # Step 2, x = 3, t = 0: y = 2, E = 2, gradient 6, 2: w = -5/2, b = -1/2. Step 3 is sample 0 again: y = -3, E = 8.
    params, losses = np.zeros(2), np.full(3, np.nan)
    x, targets = np.array([[1.0], [3]]), np.array([[1.0], [0]])
    order, sizes, codes = np.array([0, 1, 0]), np.array([1, 1]), np.array([0])
    none, settings = np.empty(0), np.array([0.5, 0, 0, 0, 0, 0])
    reference.train_steps(params, none, none, losses, x, targets, order, sizes, codes, settings, 2, 0, 1, 0)
    np.testing.assert_array_equal(losses, [0.5, 2, 8])
    np.testing.assert_array_equal(params, [-0.5, 1.5])


def test_train_steps_with_momentum():
    # As above with momentum 1/2. Step 1: v = 1/2, 1/2 and w = b = 1/2. Step 2: y = 2, E = 2, gradient 6, 2:
    # v = 1/4 - 3, 1/4 - 1, w = -9/4, b = -1/4.
    params, velocity, losses = np.zeros(2), np.zeros(2), np.full(2, np.nan)
    x, targets = np.array([[1.0], [3]]), np.array([[1.0], [0]])
    order, sizes, codes, settings = np.array([0, 1]), np.array([1, 1]), np.array([0]), np.array([0.5, 0.5, 0, 0, 0, 0])
    momentum = reference.OPTIMIZERS.index("momentum")
    reference.train_steps(
        params, velocity, np.empty(0), losses, x, targets, order, sizes, codes, settings, 2, momentum, 1, 0
    )
    np.testing.assert_array_equal(losses, [0.5, 2])
    np.testing.assert_array_equal(velocity, [-2.75, -0.75])
    np.testing.assert_array_equal(params, [-2.25, -0.25])


def test_train_steps_add_the_penalty_to_the_gradient_of_weights():
    # y = w x + b from w = 2, b = 1, learning rate 1/2, l2 = 1/4. Step 1, x = 1, t = 1: y = 3, E = 2, gradient 2, 2;
    # with 1/4 * 2 it is 5/2, 2: w = 3/4, b = 0. Step 2, x = 2, t = 0: y = 3/2, E = 9/8, gradient 3, 3/2;
    # with 1/4 * 3/4 it is 51/16, 3/2: w = -27/32, b = -3/4.
    params, losses, none = np.array([2.0, 1]), np.full(2, np.nan), np.empty(0)
    x, targets = np.array([[1.0], [2]]), np.array([[1.0], [0]])
    order, sizes, codes = np.array([0, 1]), np.array([1, 1]), np.array([0])
    settings = np.array([0.5, 0, 0, 0, 0, 0.25])
    reference.train_steps(params, none, none, losses, x, targets, order, sizes, codes, settings, 2, 0, 1, 0)
    np.testing.assert_array_equal(losses, [2, 1.125])
    np.testing.assert_array_equal(params, [-27 / 32, -0.75])


def test_the_penalty_goes_through_the_rule():
    # Momentum 1/2 on the same: v = -5/4, -1 and w = 3/4, b = 0. Step 2: gradient 51/16, 3/2:
    # v = -5/8 - 51/32, -1/2 - 3/4
    params, velocity, losses = np.array([2.0, 1]), np.zeros(2), np.full(2, np.nan)
    x, targets = np.array([[1.0], [2]]), np.array([[1.0], [0]])
    order, sizes, codes = np.array([0, 1]), np.array([1, 1]), np.array([0])
    momentum, settings = reference.OPTIMIZERS.index("momentum"), np.array([0.5, 0.5, 0, 0, 0, 0.25])
    reference.train_steps(
        params, velocity, np.empty(0), losses, x, targets, order, sizes, codes, settings, 2, momentum, 1, 0
    )
    np.testing.assert_array_equal(velocity, [-71 / 32, -1.25])
    np.testing.assert_array_equal(params, [0.75 - 71 / 32, -1.25])


def test_the_penalty_is_on_the_weights_of_every_layer():
    # a learning rate of 1 on the gradient itself: what l2 = 1/2 takes away is 1/2 W1 and 1/2 W2
    x, targets, none = np.array([[3.0, -1], [1, 2]]), np.array([[4.0], [20]]), np.empty(0)
    plain, penalized = PARAMS.copy(), PARAMS.copy()
    for params, l2 in ((plain, 0), (penalized, 0.5)):
        settings = np.array([1.0, 0, 0, 0, 0, l2])
        reference.train_steps(
            params, none, none, np.empty(1), x, targets, np.arange(2), SIZES, CODES, settings, 2, 0, 2, 0
        )
    np.testing.assert_array_equal(plain - penalized, [0.5, -0.5, 1, 0.5, 0, 0, 1.5, 2.5, 0])


def test_an_empty_order_is_every_sample_as_it_comes():
    # y = w x + b from w = b = 0, learning rate 1/2; the last of two batches has one sample. Step 1, x = 1, 3, t = 1, 0:
    # E = 1/4, gradient -1/2, -1/2: w = b = 1/4. Step 2, x = 2, t = 1: y = 3/4, E = 1/32, gradient -1/2, -1/4.
    params, losses, none = np.zeros(2), np.full(2, np.nan), np.empty(0)
    x, targets = np.array([[1.0], [3], [2]]), np.array([[1.0], [0], [1]])
    order, sizes, codes = np.empty(0, np.int64), np.array([1, 1]), np.array([0])
    settings = np.array([0.5, 0, 0, 0, 0, 0])
    reference.train_steps(params, none, none, losses, x, targets, order, sizes, codes, settings, 2, 0, 2, 0)
    np.testing.assert_array_equal(losses, [0.25, 0.03125])
    np.testing.assert_array_equal(params, [0.5, 0.375])


@pytest.mark.parametrize(("name", "shrink"), [("adam", 1), ("adamw", 0.85)])
def test_train_steps_count_on_from_the_steps_before(name, shrink):
    # The first parameter of Adam's second step above, twice: x = 1, so that both gradients are y - t = 2
    params, mean, square, losses = np.full(2, 0.5), np.ones(2), np.ones(2), np.full(1, np.nan)
    x, targets, settings = np.array([[1.0]]), np.array([[-1.0]]), np.array([0.3, 0.5, 0.75, 1, 0.5, 0])
    order, sizes, codes, code = np.array([0]), np.array([1, 1]), np.array([0]), reference.OPTIMIZERS.index(name)
    reference.train_steps(params, mean, square, losses, x, targets, order, sizes, codes, settings, 2, code, 1, 1)
    np.testing.assert_array_equal(mean, [1.5, 1.5])
    np.testing.assert_array_equal(square, [1.75, 1.75])
    np.testing.assert_allclose(params, np.full(2, 0.5 * shrink - 0.2), rtol=E)


# Every rule by its code, with state and settings in the order that it takes them.
@pytest.mark.parametrize("name", reference.OPTIMIZERS)
def test_train_steps_dispatch_on_the_code(name):
    rng = np.random.default_rng(0)
    params, first, second = np.abs(rng.standard_normal((3, 9)))
    x, targets, losses = rng.standard_normal((4, 2)), rng.standard_normal((4, 1)), np.empty(1)
    settings = np.array([0.1, 0.7, 0.8, 0.3, 0.2, 0])
    want, grad = params.copy(), np.empty(9)
    reference.network_gradient(grad, params, x, targets, SIZES, CODES, 2)
    state = {"sgd": 0, "adam": 2, "adamw": 2}.get(name, 1)
    scalars = {
        "sgd": (0.1,),
        "momentum": (0.1, 0.7),
        "nesterov": (0.1, 0.7),
        "adagrad": (0.1, 0.3),
        "rmsprop": (0.1, 0.7, 0.3),
        "adam": (0.1, 0.7, 0.8, 0.3, 6),
        "adamw": (0.1, 0.7, 0.8, 0.3, 0.2, 6),
    }[name]
    states = [first.copy(), second.copy()]
    getattr(reference, f"{name}_update")(want, *states[:state], grad, *scalars)
    code = reference.OPTIMIZERS.index(name)
    reference.train_steps(
        params, first, second, losses, x, targets, np.arange(4), SIZES, CODES, settings, 2, code, 4, 5
    )
    for got, wanted in zip((params, first, second), (want, *states), strict=True):
        np.testing.assert_array_equal(got, wanted)
