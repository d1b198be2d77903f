"""Special numbers in every activation of the table: NaN, infinities, zeros, subnormals, largest numbers, thresholds.

Kernels and twins are compared with exact_activations.py, which knows neither; then networks, where activations are
epilogues of products, with the twins. A new activation needs no line here.
"""

import numpy as np
import pytest
from exact_activations import EXACT, exact, exact_slopes, keeps_the_sign_of_zero
from helpers import ACTIVATION_ULPS, DTYPES, ELEMENTWISE_EPS, TOLERANCES, arrange, assert_within_ulps, poisoned, up
from networks import Problem, codes, gradient, places, train
from user_codes import BUILT_IN, by_input, code_of, has_kink

from fastfnn import kernels, reference

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_built_in = pytest.mark.parametrize("name", BUILT_IN)


def special(dtype):
    """Special numbers of both signs, each once; NaN at the end."""
    info, real = np.finfo(dtype), dtype.type
    edges = [0, info.smallest_subnormal, np.nextafter(info.tiny, real(0)), info.tiny, np.nextafter(info.tiny, real(1))]
    edges += [info.eps, np.sqrt(info.tiny), np.sqrt(info.max), np.cbrt(info.max), np.log(info.max), -np.log(info.tiny)]
    edges += [info.max / 4, np.nextafter(info.max, real(0)), info.max, np.inf]
    thresholds = np.array([0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 9, 10, 16, 20, 30, 32, 100], dtype)  # of usual branches
    beside = [np.nextafter(thresholds, real(side)) for side in (0, np.inf)]
    positive = np.concatenate([np.array(edges, dtype), thresholds, *beside])
    return np.concatenate([positive, -positive, [real(np.nan)]])


def special_with_slopes(name, dtype):
    """Special numbers at which the slope is certain: kernels may take subnormal numbers for 0, where a kink is."""
    x = special(dtype)
    return x[(x == 0) | ~(np.abs(x) < TOLERANCES[dtype].tiny)] if name in BUILT_IN and has_kink(name) else x


def forward(module, name, x, layout="C"):
    out = poisoned(x.shape, x.dtype, layout)
    with np.errstate(all="ignore"):
        module.activation_forward(out, x, code_of(name, x.dtype))
    return out


def given_to_backward(name, x):
    """What the backward kernel of an activation takes beside the gradient."""
    return x if by_input(name) else forward(kernels, name, x)


def backward(module, name, grad_out, given, layout="C"):
    grad_x = poisoned(given.shape, given.dtype, layout)
    with np.errstate(all="ignore"):
        getattr(module, f"{name}_backward")(grad_x, grad_out, given)
    return grad_x


def assert_agree(got, want, bound, x):
    """Assert that NaN and infinities are the same, and |got - want| <= bound + twice the smallest normal number."""
    with np.errstate(all="ignore"):
        want = want.astype(got.dtype)
        wrong = ~((got == want) | (np.isnan(got) & np.isnan(want)))
        wrong &= ~(np.isfinite(want) & (np.abs(got - want) <= bound + 2 * TOLERANCES[got.dtype].tiny))
    assert not wrong.any(), f"at x = {x[wrong][:5]}: {got[wrong][:5]}, expected {want[wrong][:5]}"


def assert_slopes(got, name, x, bound):
    """Assert that slopes are within a bound of the exact ones; at a kink and where x may count as 0, of either side."""
    near_zero = np.where(np.abs(x) < TOLERANCES[x.dtype].tiny, 0, x)
    slopes = [[exact_slopes(name, value) for value in points.tolist()] for points in (x, near_zero)]
    sides = np.concatenate(np.moveaxis(np.array(slopes), -1, 1))
    with np.errstate(invalid="ignore"):
        errors = np.min(np.abs(got - sides), axis=0)
    wrong = ~np.isnan(x) & ~(errors <= bound)  # the slope at NaN may be anything, since the output is NaN
    assert not wrong.any(), f"at x = {x[wrong][:5]}: {got[wrong][:5]}, expected {sides[0][wrong][:5]}"


def test_every_activation_is_known_exactly():
    assert set(EXACT) == set(BUILT_IN), "tests/support/exact_activations.py needs a line for each activation"


# Values and slopes


@every_built_in
def test_the_values_of_the_twin_are_those_of_mathematics(name):
    x = special(np.dtype("float64"))
    got, want = forward(reference, name, x[np.newaxis])[0], np.array([exact(name, value) for value in x.tolist()])
    slopes = np.array([exact_slopes(name, value)[1] for value in x.tolist()])
    with np.errstate(all="ignore"):
        # the twin may round its argument, as that of GELU does, and where f bends the error grows
        bound = ELEMENTWISE_EPS * np.finfo(float).eps * np.where(np.isfinite(x), np.abs(want) + np.abs(x * slopes), 0)
    assert_agree(got, want, np.nan_to_num(bound), x)


@every_built_in
def test_the_slopes_of_the_twin_are_those_of_mathematics(name):
    x = special(np.dtype("float64"))
    given = x if by_input(name) else forward(reference, name, x[np.newaxis])[0]
    got = backward(reference, name, np.ones_like(x)[np.newaxis], given[np.newaxis])[0]
    assert_slopes(got, name, x, 2 * ELEMENTWISE_EPS * np.finfo(float).eps)


@every_dtype
@every_built_in
def test_the_values_of_the_kernel_are_those_of_mathematics(name, dtype):
    x = special(dtype)
    want = np.array([exact(name, value) for value in x.tolist()]).astype(dtype)
    for layout in ("C", "strided"):
        rows = arrange(np.tile(x, (3, 1)), layout)  # so that each number stands in vectors and in remainders
        for got in forward(kernels, name, rows, layout):
            assert_within_ulps(got, want, x)


@every_dtype
@every_built_in
def test_the_slopes_of_the_kernel_are_those_of_mathematics(name, dtype):
    x = np.tile(special(dtype), (3, 1))
    for got in backward(kernels, name, np.ones_like(x), given_to_backward(name, x)):
        # of a slope that is computed from a rounded output
        assert_slopes(got, name, x[0], 2 * (ACTIVATION_ULPS + ELEMENTWISE_EPS) * TOLERANCES[dtype].eps)


@every_dtype
@every_built_in
@pytest.mark.parametrize("module", [reference, kernels], ids=["twin", "kernel"])
def test_the_sign_of_zero_is_kept_where_f_passes_through_zero(module, name, dtype):
    zeros = np.tile(np.array([0.0, -0.0], dtype), (3, 9))
    got = forward(module, name, zeros)
    if keeps_the_sign_of_zero(name):
        np.testing.assert_array_equal(np.signbit(got), np.signbit(zeros))
    np.testing.assert_array_equal(got[:, ::2], got[:, 1::2])


@every_dtype
@every_built_in
def test_special_gradients_are_those_of_the_twin(name, dtype):
    """Of special inputs and of others: NaN and infinities go on, 0 times infinity is NaN."""
    x = special_with_slopes(name, dtype)
    grads = np.array([0, -0.0, 1, -1, TOLERANCES[dtype].tiny, np.finfo(dtype).max / 4, np.inf, -np.inf, np.nan], dtype)
    grad_out, x = (np.ascontiguousarray(grid) for grid in np.meshgrid(grads, x))
    given = given_to_backward(name, x)
    got, want = backward(kernels, name, grad_out, given), backward(reference, name, *up(grad_out, given))
    (slope,) = up(backward(reference, name, *up(np.ones_like(x), given)))
    # A kernel may take a slope below the smallest normal number for 0.
    sure = (slope == 0) | ~(np.abs(slope) < 2 * TOLERANCES[dtype].tiny)
    with np.errstate(invalid="ignore"):
        bound = 2 * ELEMENTWISE_EPS * TOLERANCES[dtype].eps * np.abs(grad_out) * (1 + np.abs(slope))
    assert_agree(got[sure], want[sure], np.nan_to_num(bound[sure], posinf=0), x[sure])


# Networks. Without inputs their sums are the biases, which are special numbers here.

IN_NETWORKS = (*BUILT_IN, "own ratio")
every_name = pytest.mark.parametrize("name", IN_NETWORKS)


def chain_bound(want, dtype):
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(16 * ELEMENTWISE_EPS * TOLERANCES[dtype].eps * (1 + np.abs(want)), posinf=0)


@every_dtype
@every_name
@pytest.mark.parametrize("samples", [1, 3, 33])
def test_predictions_of_special_sums_are_those_of_the_twin(name, dtype, samples):
    bias = special(dtype)
    params = np.concatenate([np.zeros(len(bias), dtype), bias])
    outs = []
    for module, kind in ((kernels, dtype), (reference, np.dtype("float64"))):
        out, x = poisoned((samples, len(bias)), kind), np.ones((samples, 1), kind)
        with np.errstate(all="ignore"):
            network = np.array([1, len(bias)]), codes(module, (name,), kind)
            module.network_forward(out, params.astype(kind), x, *network)
        outs.append(out)
    got, want = outs
    assert_agree(got, want, chain_bound(want, dtype), np.tile(bias, (samples, 1)))


def problem_of_bias(name, value, dtype, samples):
    """Training data for a network whose hidden layer has the biases `value`; its loss has bounded gradients."""
    shape, rng = (1, 17, 1), np.random.default_rng(0)
    params = np.full(places(shape)[-1][-1].stop, 0.25, dtype)
    weight, bias = places(shape)[0]
    params[weight], params[bias] = 0, value
    x, targets = rng.integers(1, 9, (samples, 1)).astype(dtype), np.full((samples, 1), 0.75, dtype)
    return Problem(
        shape, (name, "identity"), "sigmoid_cross_entropy", params, x, targets, np.empty(0, dtype), np.empty(0, dtype)
    )


def lifted(problem):
    return problem._replace(**{key: value.astype(float) for key, value in problem._asdict().items() if key in ARRAYS})


ARRAYS = ("params", "x", "targets", "weights", "statistics")


@pytest.mark.jit
@every_dtype
@every_name
@pytest.mark.parametrize("samples", [1, 9])
def test_gradients_at_special_sums_are_those_of_the_twin(name, dtype, samples):
    for value in special_with_slopes(name, dtype):
        problem = problem_of_bias(name, value, dtype, samples)
        with np.errstate(all="ignore"):
            _, got, _ = gradient(kernels, problem)
            _, want, _ = gradient(reference, lifted(problem))
        assert_agree(got, want, chain_bound(want, dtype), np.full(got.shape, value))


@pytest.mark.jit
@every_dtype
@every_name
@pytest.mark.parametrize("batch_size", [1, 9])
def test_training_at_special_sums_takes_the_steps_of_the_twin(name, dtype, batch_size):
    for value in special_with_slopes(name, dtype):
        problem = problem_of_bias(name, value, dtype, 9)
        options = {"optimizer": "momentum", "state": [np.zeros_like(problem.params)]}
        with np.errstate(all="ignore"):
            got = train(kernels, problem, batch_size, **options)
            want = train(reference, lifted(problem), batch_size, **options)
        for vector, exact_vector in ((got.params, want.params), (got.state[0], want.state[0])):
            bound = 9 * chain_bound(exact_vector, dtype)
            assert_agree(vector, exact_vector, bound, np.full(vector.shape, value))
