"""Losses that a user writes: their values and derivatives, the built-in losses written so, the errors.

How their functions are compiled and cached is that of activations, see test_user_activations.py.
"""

import math
import re
from functools import partial

import numpy as np
import pytest
from helpers import DTYPES, TOLERANCES, assert_close, central_difference, normal, poisoned
from user_codes import log_cosh, slope_of_log_cosh

from fastfnn import kernels, reference

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
NONE = np.empty(0)
DELTA, LEVEL = 0.75, 0.3


def half_square(y, t):
    return 0.5 * (y - t) * (y - t)


def difference(y, t):
    return y - t


def absolute(y, t):
    return abs(y - t)


def sign(y, t):
    return 1 if y > t else -1 if y < t else y - t


def huber(y, t):
    r = abs(y - t)
    if r <= DELTA:
        return r * r / 2
    return DELTA * (r - DELTA / 2)


def clipped(y, t):
    return max(-DELTA, min(DELTA, y - t))


def pinball(level):
    """A closure over a number."""

    def slope(y, t):
        if y > t:
            return 1 - level
        return -level if y < t else y - t

    return lambda y, t: slope(y, t) * (y - t), slope


def poisson(y, t):
    return math.exp(y) - t * y + (t * math.log(t) - t if t > 0 else 0)


def slope_of_poisson(y, t):
    return math.exp(y) - t


CASES = {
    "half_square": (half_square, difference),
    "absolute": (absolute, sign),  # an integer or a number is returned
    "huber": (huber, clipped),
    "pinball": pinball(LEVEL),
    "poisson": (poisson, slope_of_poisson),
    "log_cosh": (log_cosh, slope_of_log_cosh),
    "ufuncs": (lambda y, t: np.square(np.subtract(y, t)), lambda y, t: 2 * (y - t)),
    "nothing": (lambda y, t: False, lambda y, t: 0),
}
every_case = pytest.mark.parametrize("name", CASES)

# Built-in losses, and how a user would write them.
BUILT_IN = {
    "half_square": ("squared_error", NONE),
    "absolute": ("absolute_error", NONE),
    "huber": ("huber", np.array([DELTA])),
    "pinball": ("quantile", np.array([LEVEL])),
    "poisson": ("poisson", NONE),
}


def apply(module, code, out, targets, parameters=NONE):
    losses, grad = np.full(len(out), np.nan), poisoned(out.shape, out.dtype)
    return module.sample_losses(losses, grad, out, targets, parameters, code), losses, grad


def data(dtype, shape=(90, 1)):
    rng = np.random.default_rng(0)
    return normal(rng, shape, dtype), np.abs(normal(rng, shape, dtype))


@every_dtype
@every_case
def test_values_and_derivatives_are_those_of_the_reference(name, dtype):
    out, targets = data(dtype, (33, 7))
    mean, losses, grad = apply(kernels, kernels.compile_loss(*CASES[name], dtype), out, targets)
    lifted = out.astype(np.float64), targets.astype(np.float64)
    want, want_losses, want_grad = apply(reference, reference.compile_loss(*CASES[name], np.float64), *lifted)
    np.testing.assert_allclose(mean, want, rtol=1e-14)
    np.testing.assert_allclose(losses, want_losses, rtol=1e-14)
    assert_close(grad, want_grad, 2 * TOLERANCES[dtype].eps * (1 + np.abs(want_grad)))  # where terms cancel


@every_dtype
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_loss_that_a_user_writes_has_its_bits(name, dtype):
    out, targets = data(dtype)
    out[:3] = targets[:3]  # where derivatives jump
    built_in, parameters = BUILT_IN[name]
    got = apply(kernels, kernels.compile_loss(*CASES[name], dtype), out, targets)
    want = apply(kernels, kernels.LOSSES.index(built_in), out, targets, parameters)
    if name == "poisson":  # whose own products and sums may be fused
        np.testing.assert_allclose(got[1], want[1], rtol=1e-14, atol=1e-14)
    else:
        assert [np.asarray(part).tobytes() for part in got] == [np.asarray(part).tobytes() for part in want]


@every_case
def test_derivatives_are_central_differences(name):
    """Of the functions in this file, so that the tests above compare what is meant."""
    out, targets = data(np.dtype(np.float64), (9, 7))
    code = kernels.compile_loss(*CASES[name], out.dtype)
    want = central_difference(lambda y: np.sum(apply(kernels, code, y, targets)[1]), out)
    np.testing.assert_allclose(apply(kernels, code, out, targets)[2], want, atol=1e-6)


def test_the_loss_of_float32_is_computed_in_float64():
    """1e-5 squared and 1 add up to 1 in float32."""
    out, targets = np.full((40, 3), 1e-5, np.float32), np.zeros((40, 3), np.float32)
    code = kernels.compile_loss(lambda y, t: 1 + y * y, lambda y, t: 2 * y, out.dtype)
    _, losses, grad = apply(kernels, code, out, targets)
    np.testing.assert_allclose(losses - 3, 3e-10, rtol=1e-5)
    np.testing.assert_array_equal(grad, np.float32(2e-5))


def test_one_code_for_one_pair_of_functions_and_dtype():
    code_of = partial(kernels.compile_loss, dtype=np.dtype("float64"))
    first = code_of(*CASES["huber"])
    assert code_of(*CASES["huber"]) == first >= len(kernels.LOSSES)
    assert len({first, code_of(*CASES["pinball"]), code_of(*pinball(0.4))}) == 3
    reversed_pair = kernels.compile_activation(lambda x: x, difference, np.dtype("float64"))
    assert code_of(difference, difference) != reversed_pair


def raises(y, t):
    if y > t:
        return y - t
    raise ValueError("negative")


@pytest.mark.jit
@pytest.mark.parametrize(
    ("value", "derivative", "message", "line"),
    [
        (raises, difference, "^value must be a function that Numba can compile: .*must not raise", "if y > t:|raise"),
        (absolute, lambda y, t: y.missing, "^derivative must be a function that Numba can compile: ", "y.missing"),
        (absolute, lambda y, t: (y, t), "^derivative must return a number, got Numba's type UniTuple", "lambda y, t"),
        (lambda y, t: y * MISSING[0], difference, "^value must be a function .*MISSING", "MISSING"),  # noqa: F821
    ],
)
def test_what_cannot_be_compiled(value, derivative, message, line):
    with pytest.raises(ValueError, match=message) as caught:
        kernels.compile_loss(value, derivative, np.dtype("float32"))
    file, source = re.search(r"\n  File '(.*)', line \d+\n    (.*)$", str(caught.value)).groups()
    assert file == __file__ and re.search(line, source)


@pytest.mark.jit
def test_what_no_fingerprint_can_describe_is_refused():
    thing = {"delta": 2.0}

    def value(y, t):
        return y - t if thing is None else t - y

    with pytest.raises(ValueError, match=r"must be a function that Numba can compile|must refer only to numbers"):
        kernels.compile_loss(value, difference, np.dtype("float64"))
