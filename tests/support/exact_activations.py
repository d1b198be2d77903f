"""The activations of the table as functions of an mpmath number: what kernels and their twins are both compared with.

A twin that shares a mistake with its kernel is found here. Values and derivatives at infinity are limits, and
derivatives are difference quotients, so that one line for f is all that an activation needs.
"""

import functools

import mpmath
import numpy as np

# f of an mpf of any size. Powers of large numbers take long and are cut where they no longer matter to a float64.
EXACT = {
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-max(x, -2000))),
    "tanh": mpmath.tanh,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "leaky_relu": lambda x: x if x >= 0 else x / 100,
    "elu": lambda x: x if x >= 0 else mpmath.expm1(max(x, -2000)),
    "softplus": lambda x: x if x > 2000 else mpmath.log1p(mpmath.exp(max(x, -2000))),
    "silu": lambda x: x / (1 + mpmath.exp(-max(x, -2000))),
    "gelu": lambda x: x if x > 2000 else x * mpmath.ncdf(max(x, -2000)),
}

# Digits in which the difference of f at neighbours of the smallest or the largest float64 is not lost.
DIGITS = 700
STEP = mpmath.mpf(2) ** -70  # of difference quotients, relative to x: its square does not matter to a float64


def exact(name, x):
    """f(x) of a float, rounded once to float64; the limit where x is infinite."""
    if np.isnan(x):
        return np.nan
    if np.isinf(x):
        return _limit(EXACT[name], 1 if x > 0 else -1)
    with mpmath.workdps(40):
        return float(EXACT[name](mpmath.mpf(float(x))))


@functools.cache
def exact_slopes(name, x):
    """The derivatives of f from the left and from the right of a float, which differ at a kink; limits at infinity."""
    if np.isnan(x):
        return np.nan, np.nan
    with mpmath.workdps(DIGITS):
        if np.isinf(x):
            return (_limit(lambda x: _slope(EXACT[name], x, 1), 1 if x > 0 else -1),) * 2
        return tuple(float(_slope(EXACT[name], mpmath.mpf(x), side)) for side in (-1, 1))


def _slope(f, x, side):
    step = side * (abs(x) * STEP or mpmath.mpf(2) ** -1140)
    return (f(x + step) - f(x)) / step


def _limit(f, sign):
    """The limit of f at infinity: NaN if it neither converges nor grows without end."""
    values = [f(sign * mpmath.mpf(2) ** power) for power in (700, 800, 900, 1000)]
    if max(values) - min(values) <= mpmath.mpf(2) ** -60 * max(1, *map(abs, values)):
        return float(values[-1])
    if values == sorted(values):
        return np.inf
    return -np.inf if values[::-1] == sorted(values) else np.nan


def keeps_the_sign_of_zero(name):
    """Whether f(-0.0) is -0.0: f passes through 0, and does so from both sides."""
    return exact(name, 0.0) == 0 and all(slope > 0 for slope in exact_slopes(name, 0.0))
