"""Activations and losses by name, including one of each that a user defines: shared by the tests of several kernels.

All that can be found out about an activation is found out here, so that a new one needs no line in the tests.
"""

import ctypes
import functools
import inspect
import math

import numpy as np

from fastfnn import kernels, reference
from fastfnn.kernels import ACTIVATIONS, LOSSES

GIVEN = "given"
# The activations that layers of any place may have: not softmax and exp, which are for outputs only.
BUILT_IN = tuple(name for name in ACTIVATIONS if name not in ("softmax", "exp"))
ELEMENTWISE = (*BUILT_IN, GIVEN)


def by_input(name):
    """Whether the backward kernel of a built-in activation takes x, where that of the others takes out."""
    return "x" in inspect.signature(getattr(kernels, f"{name}_backward")).parameters


@functools.cache
def has_kink(name):
    """Whether the derivative of a built-in activation jumps: rounding may take a number to the other side."""
    x, distance = np.arange(-64, 65)[np.newaxis] / 8, 1e-9
    slopes = np.empty((2, *x.shape))
    for slope, side in zip(slopes, (-distance, distance), strict=True):
        reference.activation_backward(slope, np.ones_like(x), x + side, ACTIVATIONS.index(name))
    return bool(np.any(np.abs(slopes[1] - slopes[0]) > 1e-6))


def bent(x):
    return x / (1 + abs(x))


def slope_of_bent(x):
    return 1 / (1 + abs(x)) ** 2


def log_cosh(y, t):
    return abs(y - t) + math.log1p(math.exp(-2 * abs(y - t))) - math.log(2)


def slope_of_log_cosh(y, t):
    return math.tanh(y - t)


@functools.cache
def _given(dtype):
    """The codes of the activation and of the loss: pairs of one for the kernels and one for the reference."""
    pairs = (kernels, np.dtype(dtype)), (reference, np.dtype(np.float64))
    activations = [module.compile_activation(bent, slope_of_bent, kind) for module, kind in pairs]
    return activations, [module.compile_loss(log_cosh, slope_of_log_cosh, kind) for module, kind in pairs]


def code_of(name, dtype):
    """The code of an activation for the kernels; the name `GIVEN` stands for an activation that a user defines."""
    return _given(dtype)[0][0] if name == GIVEN else ACTIVATIONS.index(name)


def loss_code_of(name, dtype):
    """The code of a loss for the kernels; the name `GIVEN` stands for a loss that a user defines."""
    return _given(dtype)[1][0] if name == GIVEN else LOSSES.index(name)


def twin_of(code, dtype):
    """Convert codes for the kernels to codes for the reference in float64. Other integers stay as they are."""
    code = np.asarray(code)
    if code.dtype.itemsize < 8:  # samples or labels: no code of a user's function fits
        return code
    for given, twin in _given(dtype):
        code = np.where(np.equal(code, given), twin, code)
    return code


def apply_at(code, x):
    """Apply a user's activation to a vector. The code of such an activation is the address of its compiled function.

    The call follows Numba's convention: the first two arguments are the addresses of the result and of an exception,
    and the return value is a status.
    """
    real, result = np.ctypeslib.as_ctypes_type(x.dtype), (ctypes.c_void_p * 2)()
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_ssize_t] * 6, real)
    at = ctypes.addressof(result)
    assert kind(code)(at, at + ctypes.sizeof(ctypes.c_void_p), x.ctypes.data, 0, 0, 0, 1, len(x), 1.0) == 0
