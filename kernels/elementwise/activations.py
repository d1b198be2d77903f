"""Activation functions: forward, and backward.

An activation is data to a compiled kernel: its code. That is the index of its name in ACTIVATIONS or, for one that a
user has written, the address of its compiled function, see given.py. The choice is made once for a block of rows.

Derivatives come in two ways. Of the first activations they take the output y = f(x), which the forward pass has stored,
so that x need not be kept:
    sigmoid'(x) = y (1 - y)        tanh'(x) = 1 - y^2        ReLU'(x) = 1 if y > 0 else 0
    leaky ReLU'(x) = 1 if y > 0 else 1/100                   ELU'(x) = 1 if y >= 0 else y + 1
Of the others the forward pass of training stores the slope f'(x) beside the output, with which it shares most of the
arithmetic; back-propagation multiplies by that.
    softplus'(x) = s(x)        SiLU'(x) = s(x) (1 + x (1 - s(x)))        GELU'(x) = Phi(x) + x phi(x)
with s the sigmoid and Phi, phi the distribution function and density of the standard normal.
"""

import numba
import numpy as np
from numba import prange

from ..compiler.jit import call_at, entry, inner, shared
from ..compiler.vectors import array_at, contiguous_rows, keep, widest_vectors
from ..workers.threads import share, threads_for
from .elementary import (
    exp,
    expm1,
    gelu,
    gelu_and_slope,
    sigmoid,
    silu,
    silu_and_slope,
    softplus,
    softplus_and_slope,
    where,
)
from .tanh import tanh_rows

ACTIVATIONS = (
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "softplus",
    "silu",
    "gelu",
    "softmax",
)  # fmt: skip; softmax for the output layer only, forward only
IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU, SOFTMAX = range(len(ACTIVATIONS))

# In place of the code of an activation in the backward pass: there are slopes in place of its output.
SLOPES = -1

# Leaky ReLU's slope below 0.
LEAK = 0.01

# What one exponential costs, in multiply-adds: used to judge how many threads pay.
TRANSCENDENTAL = 10


# Rows in buffers are padded to a multiple of so many elements. Blocks are worked on up to there: the last few columns
# would else fall into the scalar rest of the compiler's vector loop.
CHUNK = 16

# Python has no vector loop, but warns of what lies in the padding: numbers that nobody has written.
PADDED_TO = 1 if numba.config.DISABLE_JIT else CHUNK


@inner
def with_padding(columns):
    """The columns of a matrix in a buffer of padded rows, with the padding."""
    return (columns + PADDED_TO - 1) // PADDED_TO * PADDED_TO


def _by_slope(code):
    """Whether the derivative of an activation is not a function of its output."""
    return code >= SOFTPLUS and code != SOFTMAX


by_slope = inner(_by_slope)


@shared("void(intp, intp, intp, intp, intp, intp, intp, real)")
def activate(address, row, slope, slope_row, rows, columns, code, one):
    """Apply an activation in place to a block: its address, bytes from row to row, its size.

    slope  0, or the address of a block as large for the derivative
    """
    if code > SOFTMAX:
        call_at(code, (address, row, slope, slope_row, rows, columns), one)
    elif by_slope(code) and slope != 0:
        values_and_slopes(address, row, slope, slope_row, rows, columns, code, one)
    else:
        if code == TANH:
            tanh_rows(address, row, rows, columns, one)
        elif code in (RELU, LEAKY_RELU):
            rectify(address, row, rows, columns, code, one)
        elif code != IDENTITY:
            values(address, row, rows, columns, code, one)
        if slope != 0:
            for i in range(rows):
                d = array_at(slope + i * slope_row, columns, one)
                for o in range(columns):
                    d[o] = one
            multiply_by_slope(slope, slope_row, address, row, rows, columns, code, one)


@inner
def rectify(address, row, rows, columns, code, one):
    zero, leak = one - one, one * array_at(0, 0, one).dtype.type(LEAK)
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        if code == RELU:
            for o in range(columns):
                x[o] = where(x[o] < zero, zero, x[o])
        else:
            for o in range(columns):
                x[o] = where(x[o] < zero, leak * x[o], x[o])


@inner
def values(address, row, rows, columns, code, one):
    widest_vectors()
    zero = one - one
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        if code == SIGMOID:
            for o in range(columns):
                x[o] = sigmoid(x[o])
        elif code == ELU:
            for o in range(columns):
                x[o] = where(x[o] < zero, expm1(where(x[o] < zero, x[o], zero)), x[o])
        elif code == SOFTPLUS:
            for o in range(columns):
                x[o] = softplus(x[o])
        elif code == SILU:
            for o in range(columns):
                x[o] = silu(x[o])
        else:
            for o in range(columns):
                x[o] = gelu(x[o])


@inner
def values_and_slopes(address, row, slope, slope_row, rows, columns, code, one):
    widest_vectors()
    for i in range(rows):
        x, d = array_at(address + i * row, columns, one), array_at(slope + i * slope_row, columns, one)
        if code == SOFTPLUS:
            for o in range(columns):
                x[o], d[o] = softplus_and_slope(x[o])
        elif code == SILU:
            for o in range(columns):
                x[o], d[o] = silu_and_slope(x[o])
        else:
            for o in range(columns):
                x[o], d[o] = gelu_and_slope(x[o])


@inner
def multiply_by_slope(address, row, y_address, y_row, rows, columns, code, one):
    """Multiply a block by the derivative, given a block of the activation's outputs or, under SLOPES, of slopes."""
    zero, leak = one - one, one * array_at(0, 0, one).dtype.type(LEAK)
    for i in range(rows):
        grad, y = array_at(address + i * row, columns, one), array_at(y_address + i * y_row, columns, one)
        if code == SLOPES:
            for o in range(columns):
                grad[o] *= y[o]
        elif code == SIGMOID:
            for o in range(columns):
                grad[o] *= y[o] * (one - y[o])
        elif code == TANH:
            for o in range(columns):
                grad[o] *= (one - y[o]) * (one + y[o])
        elif code == RELU:
            for o in range(columns):
                grad[o] = where(y[o] <= zero, zero, grad[o])
        elif code == LEAKY_RELU:
            for o in range(columns):
                grad[o] = where(y[o] <= zero, leak * grad[o], grad[o])
        elif code == ELU:
            for o in range(columns):
                grad[o] = where(y[o] < zero, grad[o] * (y[o] + one), grad[o])


@shared("void(intp, intp, intp, intp, intp, intp, intp, real)")
def differentiate(address, row, y_address, y_row, rows, columns, code, one):
    """As `multiply_by_slope`, by name."""
    multiply_by_slope(address, row, y_address, y_row, rows, columns, code, one)


@inner
def softmax_row(out, x):
    # y_k = e^(x_k - m) / sum_j e^(x_j - m): subtracting m = max x changes nothing but keeps every power in (0, 1]
    if x.shape[0] == 0:
        return
    largest = x[0]
    for k in range(x.shape[0]):
        largest = max(largest, x[k])
    for k in range(x.shape[0]):
        out[k] = exp(x[k] - largest)
    total = np.float64(0)
    for k in range(x.shape[0]):
        total += out[k]
    scale = x.dtype.type(1.0 / total)
    for k in range(x.shape[0]):
        out[k] *= scale


@inner
def softmax_rows(address, row, rows, columns, one):
    """Softmax in place of rows at an address."""
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        softmax_row(x, x)


# Elements that the entry points below work on at a time, so that what one pass has written is in the first-level cache
# for the next.
AT_ONCE = 4096


@inner
def pieces(out, start, stop):
    """Rows start to stop of a matrix of contiguous rows as blocks: how many rows each; whether a block is one run."""
    columns = max(out.shape[1], 1)
    return max(AT_ONCE // columns, 1), out.strides[0] == columns * out.itemsize or stop - start == 1


@inner
def copy_rows(target, row, x, start, stop):
    """Rows start to stop of a matrix to an address: rows of contiguous elements, so many bytes apart."""
    count, one = x.shape[1], x.dtype.type(1)
    for i in range(start, stop):
        out = array_at(target + (i - start) * row, count, one)
        if x.strides[1] == x.itemsize:
            source = array_at(x.ctypes.data + i * x.strides[0], count, one)
            for o in range(count):
                out[o] = source[o]
        else:
            for o in range(count):
                out[o] = x[i, o]


@inner
def forward_rows(out, x, code, start, stop):
    one, columns = out.dtype.type(1), out.shape[1]
    rows, run = pieces(out, start, stop)
    for top in range(start, stop, rows):
        count = min(rows, stop - top)
        target, row = out.ctypes.data + top * out.strides[0], out.strides[0]
        copy_rows(target, row, x, top, top + count)
        if code == SOFTMAX:
            softmax_rows(target, row, count, columns, one)
        else:
            activate(target, row, 0, 0, 1 if run else count, count * columns if run else columns, code, one)


@inner
def backward_rows(grad_x, grad_out, given, code, start, stop):
    # `given` is what the derivative takes: f(x), or x
    one, columns = grad_x.dtype.type(1), grad_x.shape[1]
    rows, run = pieces(grad_x, start, stop)
    row = columns * grad_x.itemsize
    spare = np.empty((2, min(rows, stop - start) * columns), grad_x.dtype)
    at, slope = spare.ctypes.data, spare.ctypes.data + spare.strides[0]
    for top in range(start, stop, rows):
        count = min(rows, stop - top)
        target, target_row = grad_x.ctypes.data + top * grad_x.strides[0], grad_x.strides[0]
        copy_rows(at, row, given, top, top + count)
        copy_rows(target, target_row, grad_out, top, top + count)
        high, wide = (1, count * columns) if run else (count, columns)
        if by_slope(code):
            activate(at, row, slope, row, high, wide, code, one)
            differentiate(target, target_row, slope, row, high, wide, SLOPES, one)
        else:
            differentiate(target, target_row, at, row, high, wide, code, one)
    return keep(spare)


@entry("void(real[:, :], real[:, :], intp, intp)", calls=[activate])
def _forward(out, x, code, threads):
    if threads == 1:
        forward_rows(out, x, code, 0, out.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(out.shape[0], threads, part)
            forward_rows(out, x, code, start, stop)


@entry("void(real[:, :], real[:, :], real[:, :], intp, intp)", calls=[activate, differentiate])
def _backward(grad_x, grad_out, given, code, threads):
    if threads == 1:
        backward_rows(grad_x, grad_out, given, code, 0, grad_x.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(grad_x.shape[0], threads, part)
            backward_rows(grad_x, grad_out, given, code, start, stop)


def _run_forward(out: np.ndarray, x: np.ndarray, code: int, cost: int) -> None:
    result = contiguous_rows(out)
    _forward(result, x, code, threads_for(x.size * cost))
    if result is not out:
        out[...] = result


def _run_backward(grad_x: np.ndarray, grad_out: np.ndarray, given: np.ndarray, code: int, cost: int) -> None:
    result = contiguous_rows(grad_x)
    _backward(result, grad_out, given, code, threads_for(given.size * cost))
    if result is not grad_x:
        grad_x[...] = result


def activation_forward(out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Any activation by its code: out = f(x).

    out   (B, O)  written; may be x
    x     (B, O)  read
    code  an index into ACTIVATIONS, or what `compile_activation` returned for the dtype
    """
    _run_forward(out, x, code, TRANSCENDENTAL)


def activation_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Gradient of any activation but softmax: grad_x = grad_out * f'(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    x         (B, O)  read: the input, where the functions of one activation take the output if that is enough
    code      as in activation_forward
    """
    given = x
    if not _by_slope(code):
        given = np.empty_like(x)
        activation_forward(given, x, code)
    _run_backward(grad_x, grad_out, given, code, TRANSCENDENTAL)


def identity_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Copy: out = x.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Source: section 3 of the notes, the output layer for real targets.
    """
    out[...] = x


def identity_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of the identity: grad_x = grad_out.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  not read: every backward has the same arguments
    """
    grad_x[...] = grad_out


def sigmoid_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Logistic sigmoid: out = 1 / (1 + e^-x), computed from e^-|x| so that no x overflows.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value; results below the smallest normal number may be 0.
    Source: section 2 of the notes, definition (1). Their code in example 2.1 reads 1/1+exp(-x), a slip.
    """
    _run_forward(out, x, SIGMOID, TRANSCENDENTAL)


def sigmoid_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of the sigmoid: grad_x = grad_out * out * (1 - out), with out = sigmoid(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    _run_backward(grad_x, grad_out, out, SIGMOID, 1)


def tanh_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Hyperbolic tangent: out = tanh(x).

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value.
    Source: section 2 of the notes, definition (2).
    """
    _run_forward(out, x, TANH, TRANSCENDENTAL)


def tanh_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of tanh: grad_x = grad_out * (1 - out) * (1 + out), with out = tanh(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    _run_backward(grad_x, grad_out, out, TANH, 1)


def relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Rectified linear unit: out = max(x, 0).

    out  (B, O)  written; may be x
    x    (B, O)  read; NaN stays NaN

    Source: section 2 of the notes, definition (3).
    """
    _run_forward(out, x, RELU, 1)


def relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of ReLU: grad_x = grad_out where out > 0, else 0; the derivative at 0 is taken as 0.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read; passed on where out is NaN
    out       (B, O)  read

    Source: section 5 of the notes, whose code overwrites the caller's grad_out: here that is the caller's choice.
    """
    _run_backward(grad_x, grad_out, out, RELU, 1)


def leaky_relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Leaky ReLU: out = x, or x / 100 where x < 0.

    out  (B, O)  written; may be x
    x    (B, O)  read; NaN stays NaN

    Source: Maas et al. 2013.
    """
    _run_forward(out, x, LEAKY_RELU, 1)


def leaky_relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of leaky ReLU: grad_x = grad_out where out > 0, else grad_out / 100; so is the derivative at 0.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read; passed on where out is NaN
    out       (B, O)  read
    """
    _run_backward(grad_x, grad_out, out, LEAKY_RELU, 1)


def elu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Exponential linear unit: out = x, or e^x - 1 where x < 0.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value.
    Source: Clevert et al. 2016, with alpha 1.
    """
    _run_forward(out, x, ELU, TRANSCENDENTAL)


def elu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of ELU: grad_x = grad_out, or grad_out * (out + 1) where out < 0, as e^x = (e^x - 1) + 1.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    _run_backward(grad_x, grad_out, out, ELU, 1)


def softplus_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Softplus: out = log(1 + e^x).

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value; results below the smallest normal number may be 0.
    Source: Dugas et al. 2001.
    """
    _run_forward(out, x, SOFTPLUS, TRANSCENDENTAL)


def softplus_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """Gradient of softplus: grad_x = grad_out * sigmoid(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    x         (B, O)  read: the input
    """
    _run_backward(grad_x, grad_out, x, SOFTPLUS, TRANSCENDENTAL)


def silu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Sigmoid linear unit, also known as swish: out = x sigmoid(x).

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value; results below the smallest normal number may be 0.
    Source: Elfwing et al. 2018.
    """
    _run_forward(out, x, SILU, TRANSCENDENTAL)


def silu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """Gradient of SiLU: grad_x = grad_out * s (1 + x (1 - s)), s = sigmoid(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    x         (B, O)  read: the input
    """
    _run_backward(grad_x, grad_out, x, SILU, TRANSCENDENTAL)


def gelu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Gaussian error linear unit: out = x Phi(x), Phi the distribution function of the standard normal.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value; results below the smallest normal number may be 0.
    Source: Hendrycks and Gimpel 2016; the exact form, not the approximation by tanh.
    """
    _run_forward(out, x, GELU, TRANSCENDENTAL)


def gelu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """Gradient of GELU: grad_x = grad_out * (Phi(x) + x phi(x)), phi = Phi' the density.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    x         (B, O)  read: the input
    """
    _run_backward(grad_x, grad_out, x, GELU, TRANSCENDENTAL)


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """Softmax of each row: out_k = e^(x_k) / sum_j e^(x_j), shifted by the row's maximum so that no x overflows.

    out  (B, K)  written; may be x; rows sum to 1
    x    (B, K)  read

    Error: (K + 8) eps relative to each element, and the rounding of x_k - max(x), which is relative to |x_k - max(x)|.
    Source: section 3 of the notes, output layer (2).
    """
    _run_forward(out, x, SOFTMAX, TRANSCENDENTAL)
