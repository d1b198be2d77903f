"""Activations by their codes, one that a user gives among them: what the tests of several kernels share."""

import ctypes
import functools

import numpy as np

from fastfnn import kernels, reference
from fastfnn.kernels import ACTIVATIONS

GIVEN = "given"
# Softmax needs whole rows, and is left out where an activation is one of elements.
ELEMENTWISE = (*(name for name in ACTIVATIONS if name != "softmax"), GIVEN)


def bent(x):
    return x / (1 + abs(x))


def slope_of_bent(x):
    return 1 / (1 + abs(x)) ** 2


@functools.cache
def _given(dtype):
    pairs = (kernels, np.dtype(dtype)), (reference, np.dtype(np.float64))
    return tuple(module.compile_activation(bent, slope_of_bent, kind) for module, kind in pairs)


def code_of(name, dtype):
    """The code for the kernels, where `GIVEN` is an activation as a user would write it."""
    return _given(dtype)[0] if name == GIVEN else ACTIVATIONS.index(name)


def twin_of(code, dtype):
    """The code for the reference in float64 from that for the kernels; or an array of them. Other integers stay."""
    given, twin = _given(dtype)
    return np.where(np.equal(code, given), twin, code)


def apply_at(code, x):
    """Apply the function at an address, by which the kernels know an activation that a user gives, to a vector.

    Called as Numba calls it: first come the addresses for a result and for an exception, and it returns a status.
    """
    real, result = np.ctypeslib.as_ctypes_type(x.dtype), (ctypes.c_void_p * 2)()
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_ssize_t] * 6, real)
    at = ctypes.addressof(result)
    assert kind(code)(at, at + ctypes.sizeof(ctypes.c_void_p), x.ctypes.data, 0, 0, 0, 1, len(x), 1.0) == 0
