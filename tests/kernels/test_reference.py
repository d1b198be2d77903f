"""The reference itself: that it is the kernels' twin, and right on numbers worked out by hand."""

import inspect
import math

import numpy as np
import pytest
from networks import EVERY, Problem, gradient, loss_of, train
from user_codes import BUILT_IN, by_input

from fastfnn import kernels, reference
from fastfnn.reference import activations, back_propagation, losses, parameters, regularized

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


# The tables in the order of the codes, so that a code chooses the function of its name.
def test_the_tables_are_in_the_order_of_the_codes():
    for name, activation in activations.TABLE.items():
        assert activation.forward is getattr(reference, "softmax" if name == "softmax" else f"{name}_forward")
        assert activation.backward is getattr(reference, f"{name}_backward", None)
        assert activation.by_input == (name in BUILT_IN and by_input(name)), name
    assert [name for name, activation in activations.TABLE.items() if not activation.backward] == ["softmax", "exp"]
    assert tuple(function.__name__ for function in losses.LOSS) == reference.LOSSES


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


def test_leaky_relu_and_elu():
    np.testing.assert_array_equal(result(reference.leaky_relu_forward, (1, 3), [[0.0, 2.5, -2.5]]), [[0, 2.5, -0.025]])
    got = result(reference.leaky_relu_backward, (1, 3), [[2.0, 2, -2]], [[0, 2.5, -0.025]])
    np.testing.assert_array_equal(got, [[0.02, 2, -0.02]])
    # e^-ln2 - 1 = -1/2, where the slope is 1/2
    got = result(reference.elu_forward, (1, 4), [[0.0, 2.5, -LN2, -1e300]])
    np.testing.assert_allclose(got, [[0, 2.5, -0.5, -1]], rtol=E)
    got = result(reference.elu_backward, (1, 3), [[2.0, 2, -2]], [[0, 2.5, -0.5]])
    np.testing.assert_array_equal(got, [[2, 2, -1]])


def test_activations_whose_derivative_takes_the_input():
    # sigmoid(ln 3) = 3/4; log(1 + 3) = 2 ln 2
    x, grad_out = [[0.0, LN3]], [[2.0, -2.0]]
    np.testing.assert_allclose(result(reference.softplus_forward, (1, 2), x), [[LN2, 2 * LN2]], rtol=E)
    np.testing.assert_allclose(result(reference.softplus_backward, (1, 2), grad_out, x), [[1, -1.5]], rtol=E)
    np.testing.assert_allclose(result(reference.silu_forward, (1, 2), x), [[0, 0.75 * LN3]], rtol=E)
    slope = 0.75 * (1 + LN3 / 4)
    np.testing.assert_allclose(result(reference.silu_backward, (1, 2), grad_out, x), [[1, -2 * slope]], rtol=E)
    # of the standard normal at 1: distribution function 0.841344746068543, density 0.241970724519143
    x = [[0.0, 1, -1]]
    got = result(reference.gelu_forward, (1, 3), x)
    np.testing.assert_allclose(got, [[0, 0.841344746068543, -0.158655253931457]], rtol=1e-14)
    got = result(reference.gelu_backward, (1, 3), [[2.0, 2, 2]], x)
    want = [[1, 2 * (0.841344746068543 + 0.241970724519143), 2 * (0.158655253931457 - 0.241970724519143)]]
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_activations_by_their_codes():
    x, grad_out = np.array([[-1.5, 0.25]]), np.array([[2.0, -3]])
    for name in BUILT_IN:
        code = reference.ACTIVATIONS.index(name)
        out = result(getattr(reference, f"{name}_forward"), (1, 2), x)
        np.testing.assert_array_equal(result(reference.activation_forward, (1, 2), x, code), out)
        given = x if by_input(name) else out
        want = result(getattr(reference, f"{name}_backward"), (1, 2), grad_out, given)
        np.testing.assert_array_equal(result(reference.activation_backward, (1, 2), grad_out, x, code), want)


@pytest.mark.parametrize("derivative", [lambda x: 2 * x + 1, lambda x, y: 2 * y / x - 1])
def test_an_activation_that_is_given(derivative):
    # x^2 + x, whose slope is 2 x + 1 = 2 (x^2 + x) / x - 1
    code = reference.compile_activation(lambda x: x * x + x, derivative, np.float64)
    x = [[1.0, -3], [0.5, 2]]
    np.testing.assert_array_equal(result(reference.activation_forward, (2, 2), x, code), [[2, 6], [0.75, 6]])
    got = result(reference.activation_backward, (2, 2), [[1.0, 2], [3, 4]], x, code)
    np.testing.assert_array_equal(got, [[3, -10], [6, 20]])
    other = reference.compile_activation(lambda x: -x, lambda x: -1, np.float64)
    np.testing.assert_array_equal(result(reference.activation_forward, (2, 2), x, other), [[-1, 3], [-0.5, -2]])


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


def test_batch_norm_forward():
    # [1 3]: mean 2, variance 1; with epsilon 3 the root is 2. [5 5]: variance 0
    out, normalized, mean, variance = np.full((2, 2), np.nan), np.full((2, 2), np.nan), np.full(2, np.nan), np.ones(2)
    x, gamma, beta = np.array([[1.0, 5], [3, 5]]), np.array([4.0, 6]), np.array([1.0, -1])
    reference.batch_norm_forward(out, normalized, mean, variance, x, gamma, beta, 3.0)
    np.testing.assert_array_equal(mean, [2, 5])
    np.testing.assert_array_equal(variance, [1, 0])
    np.testing.assert_array_equal(normalized, [[-0.5, 0], [0.5, 0]])
    np.testing.assert_array_equal(out, [[-1, -1], [3, -1]])


def test_batch_norm_backward():
    # the first column above: gamma / s = 2, mean of g 1/2, mean of g n -1/4; 2 (1 - 1/2 - 1/8), 2 (0 - 1/2 + 1/8)
    grad_x, grad_gamma, grad_beta = np.full((2, 1), np.nan), np.full(1, np.nan), np.full(1, np.nan)
    grad_out, normalized = np.array([[1.0], [0]]), np.array([[-0.5], [0.5]])
    reference.batch_norm_backward(
        grad_x, grad_gamma, grad_beta, grad_out, normalized, np.array([1.0]), np.array([4.0]), 3.0
    )
    np.testing.assert_array_equal(grad_x, [[0.75], [-0.75]])
    np.testing.assert_array_equal([*grad_gamma, *grad_beta], [-0.5, 1])


def mixed(x):
    """The mixer in Python's integers, as its source has it."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def mask_of(shape, layer, step, dropout, seed, scale=1.0):
    mask = np.full(shape, np.nan)
    reference.dropout_mask(mask, layer, step, dropout, scale, seed)
    return mask


@pytest.mark.parametrize(("layer", "step", "seed"), [(1, 1, 0), (2, 2**31, 7), (9, 2**32 + 3, 2**32 - 1)])
def test_dropout_mask(layer, step, seed):
    key = mixed((mixed((mixed(seed) + step) % 2**32) + layer) % 2**32)
    want = np.full((5, 7), 4.0)
    for i, j in np.ndindex(want.shape):
        if mixed(mixed((key + i * 0x9E3779B9) % 2**32) ^ j) < 0.75 * 2**32:
            want[i, j] = 0
    np.testing.assert_array_equal(mask_of(want.shape, layer, step, 0.75, seed, 4.0), want)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_share_of_rows_columns_and_all(dropout):
    kept = mask_of((400, 300), 1, 1, dropout, 42)
    deviation = math.sqrt(dropout * (1 - dropout))  # of one element; the mean of n has one of 1 / sqrt(n) of that
    for means, count in ((kept.mean(axis=0), 400), (kept.mean(axis=1), 300), (kept.mean(), kept.size)):
        # in a normal distribution one row or column in two million is further off than five deviations
        np.testing.assert_allclose(means, 1 - dropout, atol=5 * deviation / math.sqrt(count))
        # and no closer together than by chance: the deviation of 300 or 400 numbers is known to 4 %
        if np.ndim(means):
            assert means.std() == pytest.approx(deviation / math.sqrt(count), rel=5 * 0.042)


def test_masks_of_other_steps_layers_seeds_and_places_have_nothing_in_common():
    mask = mask_of((300, 300), 1, 1, 0.5, 42)
    others = [
        mask_of(mask.shape, 2, 1, 0.5, 42),
        mask_of(mask.shape, 1, 2, 0.5, 42),
        mask_of(mask.shape, 1, 1, 0.5, 43),
    ]
    others += [np.roll(mask, 1, axis=0), np.roll(mask, 1, axis=1), mask.T]
    for other in others:
        # two independent draws agree half the time, within five standard deviations
        assert np.mean(mask == other) == pytest.approx(0.5, abs=5 * 0.5 / 300)
    np.testing.assert_array_equal(mask_of((20, 30), 1, 1, 0.5, 42), mask[:20, :30])  # whatever the size


# 2 inputs, 2 hidden ReLU, 1 output: W1 = [[1 -1] [2 1]], b1 = [0 1], W2 = [[3] [5]], b2 = [-1]
SIZES, CODES = np.array([2, 2, 1]), np.array([3, 0])
PARAMS = np.array([1.0, -1, 2, 1, 0, 1, 3, 5, -1])
NONE = np.empty(0)


def network(params, x, targets, shape=(2, 2, 1), names=("relu", "identity"), weights=NONE, statistics=NONE):
    """A problem under the squared error."""
    arrays = [np.array(values, np.float64) for values in (params, x, targets, weights, statistics)]
    return Problem(shape, names, "squared_error", *arrays)


def line(params, x, targets, **options):
    """y = w x + b, for one number x."""
    return network(params, np.reshape(x, (-1, 1)), np.reshape(targets, (-1, 1)), (1, 1), ("identity",), **options)


def test_network_forward():
    # [3 -1]: u1 = [1 -3], h = [1 0], y = 3 - 1.   [1 2]: u1 = [5 2], h = [5 2], y = 15 + 10 - 1
    got = result(reference.network_forward, (2, 1), PARAMS, [[3.0, -1], [1, 2]], SIZES, CODES)
    np.testing.assert_array_equal(got, [[2], [24]])


def test_network_loss():
    # y = [2] and [24] as above: the mean of (2 - 4)^2 / 2 and (24 - 20)^2 / 2
    problem = network(PARAMS, [[3, -1], [1, 2]], [[4], [20]])
    assert loss_of(reference, problem) == (0.5 * 4 + 0.5 * 16) / 2


def test_network_gradient():
    # targets [4] and [20]: y - t = -2 and 4, over a batch of 2: delta2 = [-1] and [2]
    # delta1 = [-3 0] (the second unit is off) and [6 10]
    value, grad, _ = gradient(reference, network(PARAMS, [[3, -1], [1, 2]], [[4], [20]]))
    assert value == (0.5 * 4 + 0.5 * 16) / 2
    grad_weight1, grad_bias1 = [-9 + 6, 10, 3 + 12, 20], [3, 10]
    grad_weight2, grad_bias2 = [-1 + 10, 4], [1]
    np.testing.assert_array_equal(grad, grad_weight1 + grad_bias1 + grad_weight2 + grad_bias2)


def test_network_gradient_with_dropout():
    # as above with a mask that has both: h becomes [1 0] * m and [5 2] * m, and delta1 is multiplied by m, too
    options = {"dropout": 0.5, "dropout_scale": 2.0, "seed": 3}
    problem = network(PARAMS, [[3, -1], [1, 2]], [[4], [20]])
    (a, _), (c, d) = mask = mask_of((2, 2), 1, 6, 0.5, 3, 2.0)
    assert mask.min() == 0 and mask.max() == 2 and c + d > 0 and a > 0
    y1, y2 = 3 * a - 1, 15 * c + 10 * d - 1
    value, grad, _ = gradient(reference, problem, 6, **options)
    assert value == (0.5 * (y1 - 4) ** 2 + 0.5 * (y2 - 20) ** 2) / 2
    e1, e2 = (y1 - 4) / 2, (y2 - 20) / 2
    grad_weight1 = [3 * 3 * e1 * a + 3 * e2 * c, 5 * e2 * d, -3 * e1 * a + 2 * 3 * e2 * c, 2 * 5 * e2 * d]
    grad_bias1 = [3 * e1 * a + 3 * e2 * c, 5 * e2 * d]
    np.testing.assert_array_equal(grad, [*grad_weight1, *grad_bias1, e1 * a + 5 * e2 * c, 2 * e2 * d, e1 + e2])


def test_network_gradient_with_batch_normalization():
    # 1 - 1 - 1 without activations: u = x = 1, 3; that of the test of batch normalization above, h = -1, 3; y = h.
    # Targets -3, 3: E = 1, delta2 = 1, 0; delta1 = 3/4, -3/4. Running mean 0 and variance 1, of which 3/4 are kept.
    w1, b1, gamma, beta, w2, b2 = 1, 0, 4, 1, 1, 0
    problem = network(
        [w1, b1, gamma, beta, w2, b2], [[1], [3]], [[-3], [3]], (1, 1, 1), ("identity", "identity"), statistics=[0, 1]
    )
    value, grad, statistics = gradient(reference, problem, norm_epsilon=3.0, norm_momentum=0.75)
    assert value == 1
    np.testing.assert_array_equal(grad, [0.75 - 3 * 0.75, 0, -0.5, 1, -1, 1])
    np.testing.assert_array_equal(statistics, [0.5, 1])


def test_train_steps():
    # y = w x + b from w = b = 0, learning rate 1/2. Step 1, x = 1, t = 1: y = 0, E = 1/2, gradient -1, -1: w = b = 1/2.
    # Step 2, x = 3, t = 0: y = 2, E = 2, gradient 6, 2: w = -5/2, b = -1/2. Step 3 is sample 0 again: y = -3, E = 8.
    got = train(reference, line([0, 0], [1, 3], [1, 0]), 1, np.array([0, 1, 0]), rates=0.5)
    np.testing.assert_array_equal(got.losses, [0.5, 2, 8])
    np.testing.assert_array_equal(got.params, [-0.5, 1.5])


def test_every_step_has_its_learning_rate():
    # As above; the second with rate 1/4: w = -1, b = 0. Step 3: y = -1, E = 2, gradient -2, -2, with rate 1.
    rates = np.array([0.5, 0.25, 1])
    got = train(reference, line([0, 0], [1, 3], [1, 0]), 1, np.array([0, 1, 0]), rates=rates)
    np.testing.assert_array_equal(got.losses, [0.5, 2, 2])
    np.testing.assert_array_equal(got.params, [1, 2])


def test_train_steps_with_momentum():
    # As above with momentum 1/2. Step 1: v = 1/2, 1/2 and w = b = 1/2. Step 2: y = 2, E = 2, gradient 6, 2:
    # v = 1/4 - 3, 1/4 - 1, w = -9/4, b = -1/4.
    got = train(
        reference, line([0, 0], [1, 3], [1, 0]), 1, optimizer="momentum", rates=0.5, state=[np.zeros(2)], beta1=0.5
    )
    np.testing.assert_array_equal(got.losses, [0.5, 2])
    np.testing.assert_array_equal(got.state[0], [-2.75, -0.75])
    np.testing.assert_array_equal(got.params, [-2.25, -0.25])


def test_train_steps_with_sample_weights():
    # Both samples from w = b = 0 with weights 4 and 1: E = (4 * 1/2 + 0) / 2, delta = 4 * -1/2, 0.
    # Sample 1 twice, of weight 1, from w = b = 1: y = 4, E = (8 + 8) / 2, delta = 2, 2
    problem = line([0, 0], [1, 3], [1, 0], weights=[4, 1])
    got = train(reference, problem, 2, np.array([0, 1, 1, 1]), rates=0.5)
    np.testing.assert_array_equal(got.losses, [1, 8])
    np.testing.assert_array_equal(got.params, [1 - 6, 1 - 2])


def test_the_gradient_of_weighted_samples_is_divided_by_their_number():
    # as test_network_gradient with weights 3 and 1/2: delta2 = [-3] and [1], delta1 = [-9 0] and [3 5]
    problem = network(PARAMS, [[3, -1], [1, 2]], [[4], [20]])
    value, grad, _ = gradient(reference, problem._replace(weights=np.array([3, 0.5])))
    assert value == (3 * 0.5 * 4 + 0.5 * 0.5 * 16) / 2
    np.testing.assert_array_equal(grad, [-27 + 3, 5, 9 + 6, 10, -9 + 3, 5, -3 + 5, 2, -3 + 1])


def test_train_steps_divide_by_the_weight_of_each_batch():
    # The same by 5 and by 1: E = (4 * 1/2 + 0) / 5, delta = 4 * -1 / 5, 0: w = b = 2/5. Sample 1 twice: y = 8/5,
    # E = (32/25 + 32/25) / 1, delta = 8/5, 8/5: w and b less 1/2 * 48/5 and 1/2 * 16/5
    problem = line([0, 0], [1, 3], [1, 0], weights=[4, 1])
    options = {"rates": 0.5, "batch_weights": np.array([5.0, 1])}
    got = train(reference, problem, 2, np.array([0, 1, 1, 1]), **options)
    np.testing.assert_allclose(got.losses, [0.4, 2.56], rtol=E)
    np.testing.assert_allclose(got.params, [0.4 - 4.8, 0.4 - 1.6], rtol=E)


def test_a_batch_of_infinite_weight_changes_nothing():
    problem, options = line([2, 1], [1, 2], [1, 0]), {"l2": 0.0, "batch_l2": 0.5}
    got = train(reference, problem, 2, rates=0.5, batch_weights=np.array([np.inf]), **options)
    np.testing.assert_array_equal(got.losses, [0])
    np.testing.assert_array_equal(got.params, [2, 1])


def test_the_penalty_of_a_batch_is_divided_by_its_weight():
    # a learning rate of 1 on the gradient itself: what it takes away is 1/2 + 6 / 4 of W1 and of W2, or 1/2 + 6 / 2
    problem = network(PARAMS, [[3, -1], [1, 2]], [[4], [20]])
    for weights, factor in ((np.array([4.0]), 2), (np.empty(0), 3.5)):
        plain, penalized = (
            train(reference, problem, 2, rates=1.0, l2=l2, batch_l2=12 * l2, batch_weights=weights).params
            for l2 in (0.0, 0.5)
        )
        np.testing.assert_array_equal(plain - penalized, factor * np.array([1, -1, 2, 1, 0, 0, 3, 5, 0]))


def test_half_squares_are_those_of_weights_before_each_step():
    # W1 = [1 -1; 2 1], W2 = [3; 5]: 1 + 1 + 4 + 1 + 9 + 25
    problem = network(PARAMS, [[3, -1], [1, 2]], [[4], [20]])
    got = train(reference, problem, 1, rates=0.0, squared=True)
    np.testing.assert_array_equal(got.half_squares, [20.5, 20.5])
    # y = w x + b as above: w = 0, 1/2, then -5/2
    got = train(reference, line([0, 0], [1, 3], [1, 0]), 1, np.array([0, 1, 0]), rates=0.5, squared=True)
    np.testing.assert_array_equal(got.half_squares, [0, 0.125, 3.125])


def test_train_steps_add_the_penalty_to_the_gradient_of_weights():
    # y = w x + b from w = 2, b = 1, learning rate 1/2, l2 = 1/4. Step 1, x = 1, t = 1: y = 3, E = 2, gradient 2, 2;
    # with 1/4 * 2 it is 5/2, 2: w = 3/4, b = 0. Step 2, x = 2, t = 0: y = 3/2, E = 9/8, gradient 3, 3/2;
    # with 1/4 * 3/4 it is 51/16, 3/2: w = -27/32, b = -3/4.
    got = train(reference, line([2, 1], [1, 2], [1, 0]), 1, rates=0.5, l2=0.25)
    np.testing.assert_array_equal(got.losses, [2, 1.125])
    np.testing.assert_array_equal(got.params, [-27 / 32, -0.75])


def test_the_penalty_goes_through_the_rule():
    # Momentum 1/2 on the same: v = -5/4, -1 and w = 3/4, b = 0. Step 2: gradient 51/16, 3/2:
    # v = -5/8 - 51/32, -1/2 - 3/4
    problem = line([2, 1], [1, 2], [1, 0])
    got = train(reference, problem, 1, optimizer="momentum", rates=0.5, state=[np.zeros(2)], beta1=0.5, l2=0.25)
    np.testing.assert_array_equal(got.state[0], [-71 / 32, -1.25])
    np.testing.assert_array_equal(got.params, [0.75 - 71 / 32, -1.25])


def test_the_penalty_is_on_the_weights_of_every_layer():
    # a learning rate of 1 on the gradient itself: what l2 = 1/2 takes away is 1/2 W1 and 1/2 W2
    problem = network(PARAMS, [[3, -1], [1, 2]], [[4], [20]])
    plain, penalized = (train(reference, problem, 2, rates=1.0, l2=l2).params for l2 in (0.0, 0.5))
    np.testing.assert_array_equal(plain - penalized, [0.5, -0.5, 1, 0.5, 0, 0, 1.5, 2.5, 0])


def test_the_penalty_is_on_no_bias_gamma_or_beta():
    params = np.arange(1.0, 7)
    problem = network(params, [[1], [3]], [[-3], [3]], (1, 1, 1), ("tanh", "identity"), statistics=[0, 1])
    plain, penalized = (train(reference, problem, 2, rates=1.0, l2=l2).params for l2 in (0.0, 0.5))
    np.testing.assert_allclose(plain - penalized, [0.5, 0, 0, 0, 2.5, 0], atol=1e-14)


@pytest.mark.parametrize(("clip_norm", "share"), [(1, 0.2), (4, 0.8), (5, 1), (6, 1), (0, 1)])
def test_a_gradient_that_is_too_long_is_scaled_down(clip_norm, share):
    # w = b = 0, x = 3/4, t = -4: gradient 3, 4, of norm 5
    got = train(reference, line([0, 0], [0.75], [-4]), 1, rates=0.5, clip_norm=clip_norm)
    np.testing.assert_allclose(got.params, [-1.5 * share, -2 * share], rtol=E)


def test_the_penalty_belongs_to_the_gradient_that_is_scaled_down():
    # w = -3, b = 1/4, x = 3/4, t = -6: y = -2, gradient 3, 4; with l2 = 1 it is 0, 4
    problem = line([-3, 0.25], [0.75], [-6])
    for clip_norm, change in ((2, 2), (4, 4), (4.5, 4)):
        got = train(reference, problem, 1, rates=0.5, clip_norm=clip_norm, l2=1.0)
        np.testing.assert_array_equal(got.params, [-3, 0.25 - 0.5 * change])


def test_an_empty_order_is_every_sample_as_it_comes():
    # y = w x + b from w = b = 0, learning rate 1/2; the last of two batches has one sample. Step 1, x = 1, 3, t = 1, 0:
    # E = 1/4, gradient -1/2, -1/2: w = b = 1/4. Step 2, x = 2, t = 1: y = 3/4, E = 1/32, gradient -1/2, -1/4.
    got = train(reference, line([0, 0], [1, 3, 2], [1, 0, 1]), 2, EVERY, rates=0.5)
    np.testing.assert_array_equal(got.losses, [0.25, 0.03125])
    np.testing.assert_array_equal(got.params, [0.5, 0.375])


def test_each_row_of_the_order_is_an_epoch_with_batches_of_its_own():
    # The same twice. Step 3, the first batch again, from w = 1/2, b = 3/8: y = 7/8, 15/8, E = 1/4 (1/64 + 225/64),
    # gradient (-1/8 + 45/8) / 2, (-1/8 + 15/8) / 2: w = -7/8, b = -1/16. Step 4, x = 2, t = 1: y = -29/16,
    # E = 45^2 / 512, gradient -45/8, -45/16.
    for orders in ([[0, 1, 2], [0, 1, 2]], np.empty((2, 0))):
        got = train(reference, line([0, 0], [1, 3, 2], [1, 0, 1]), 2, np.array(orders, np.int64), rates=0.5)
        np.testing.assert_array_equal(got.losses, [0.25, 0.03125, 226 / 256, 45**2 / 512])
        np.testing.assert_array_equal(got.params, [-0.875 + 45 / 16, -0.0625 + 45 / 32])


@pytest.mark.parametrize(("name", "shrink"), [("adam", 1), ("adamw", 0.85)])
def test_train_steps_count_on_from_the_steps_before(name, shrink):
    # The first parameter of Adam's second step above, twice: x = 1, so that both gradients are y - t = 2
    got = train(
        reference, line([0.5, 0.5], [1], [-1]), 1, np.array([0]), name, 0.3, [np.ones(2), np.ones(2)], steps_before=1,
        beta1=0.5, beta2=0.75, epsilon=1.0, decay=0.5,
    )  # fmt: skip
    np.testing.assert_array_equal(got.state, [[1.5, 1.5], [1.75, 1.75]])
    np.testing.assert_allclose(got.params, np.full(2, 0.5 * shrink - 0.2), rtol=E)


def test_the_epsilon_of_the_book_is_under_the_correction():
    # The same: sqrt v = sqrt(7)/2, corrected by the root of 7/16; m^ = 2. With epsilon the root of 7 it is
    # 0.3 * 2 sqrt(7)/4 / (sqrt(7)/2 + sqrt(7)) = 0.1
    got = train(
        reference, line([0.5, 0.5], [1], [-1]), 1, np.array([0]), "adam", 0.3, [np.ones(2), np.ones(2)], steps_before=1,
        beta1=0.5, beta2=0.75, epsilon=math.sqrt(7), book=1.0,
    )  # fmt: skip
    np.testing.assert_allclose(got.params, [0.4, 0.4], rtol=E)


def test_train_steps_drop_by_the_number_of_the_step():
    problem, options = (
        network(PARAMS, [[3, -1], [1, 2]], [[4], [20]]),
        {"dropout": 0.5, "seed": 3, "dropout_scale": 2.0},
    )
    got = train(reference, problem, 2, np.array([0, 1, 0, 1, 0, 1]), rates=0.0, steps_before=4, **options)
    want = [gradient(reference, problem, step, **options)[0] for step in (5, 6, 7)]
    np.testing.assert_array_equal(got.losses, want)
    assert len(set(want)) > 1


# Every rule by its code, with state and settings in the order that it takes them.
@pytest.mark.parametrize("name", reference.OPTIMIZERS)
def test_train_steps_dispatch_on_the_code(name):
    rng = np.random.default_rng(0)
    params, first, second = np.abs(rng.standard_normal((3, 9)))
    problem = network(params, rng.standard_normal((4, 2)), rng.standard_normal((4, 1)))
    _, grad, _ = gradient(reference, problem)
    scalars = {
        "sgd": (0.1,),
        "momentum": (0.1, 0.7),
        "nesterov": (0.1, 0.7),
        "adagrad": (0.1, 0.3),
        "rmsprop": (0.1, 0.7, 0.3),
        "adam": (0.1, 0.7, 0.8, 0.3, 6),
        "adamw": (0.1, 0.7, 0.8, 0.3, 0.2, 6),
    }[name]
    want, states = params.copy(), [first.copy(), second.copy()][: {"sgd": 0, "adam": 2, "adamw": 2}.get(name, 1)]
    settings = {"beta1": 0.7, "beta2": 0.8, "epsilon": 0.3, "decay": 0.2}
    got = train(reference, problem, 4, np.arange(4), name, 0.1, states, steps_before=5, **settings)
    getattr(reference, f"{name}_update")(want, *states, grad, *scalars)
    for values, wanted in zip((got.params, *got.state), (want, *states), strict=True):
        np.testing.assert_array_equal(values, wanted)


def test_the_regularized_passes_are_those_of_back_propagation_where_nothing_regularizes():
    rng = np.random.default_rng(0)
    sizes, codes = np.array([3, 4, 2]), np.array([reference.ACTIVATIONS.index("tanh"), 0])
    params, x, grad_out = rng.standard_normal(26), rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    layers = parameters.layers_of(params, sizes)
    plain, by_other = np.full(26, np.nan), np.full(26, np.nan)
    outputs, sums = back_propagation.forward(x, layers, codes)
    back_propagation.backward(parameters.layers_of(plain, sizes), grad_out, outputs, sums, layers, codes)
    setting = {"dropout": 0.0}
    out, kept = regularized.forward(x, np.empty(0), layers, codes, setting, 1)
    regularized.backward(parameters.layers_of(by_other, sizes), grad_out, kept, layers, codes, setting)
    np.testing.assert_array_equal(out, outputs[-1])
    np.testing.assert_array_equal(by_other, plain)
    assert np.isfinite(plain).all()
