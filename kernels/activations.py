"""Activation functions: forward, and backward in terms of the output.

An activation is data to a compiled kernel: its code, the index of its name in ACTIVATIONS. The choice is made once for
a row, outside the loop over its elements.

Derivatives take the output y = f(x), which the forward pass has stored, so that x need not be kept:
    sigmoid'(x) = y (1 - y)        tanh'(x) = 1 - y^2        ReLU'(x) = 1 if y > 0 else 0
"""

import numpy as np
from numba import prange

from .elementary import exp, sigmoid, tanh, where
from .jit import entry, inner
from .threads import share, threads_for
from .vectors import array_at

ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "softmax")  # softmax for the output layer only, forward only
IDENTITY, SIGMOID, TANH, RELU, SOFTMAX = range(len(ACTIVATIONS))

# What one exponential costs, in multiply-adds: used to judge how many threads pay.
TRANSCENDENTAL = 10


@inner
def activation_forward_row(out, x, code):
    # out (O,), x (O,); out may be x
    zero = x.dtype.type(0)  # a literal would be an int64, and int64 with float32 makes float64
    if code == SIGMOID:
        for o in range(out.shape[0]):
            out[o] = sigmoid(x[o])
    elif code == TANH:
        for o in range(out.shape[0]):
            out[o] = tanh(x[o])
    elif code == RELU:
        for o in range(out.shape[0]):
            out[o] = zero if x[o] < 0 else x[o]  # the comparison is false for NaN, which so passes through
    elif code == SOFTMAX:
        softmax_row(out, x)


@inner
def activation_backward_row(grad_x, grad_out, out, code):
    # all (O,); grad_x may be grad_out
    zero, one = out.dtype.type(0), out.dtype.type(1)
    if code == SIGMOID:
        for o in range(out.shape[0]):
            grad_x[o] = grad_out[o] * (out[o] * (one - out[o]))
    elif code == TANH:
        for o in range(out.shape[0]):
            grad_x[o] = grad_out[o] * ((one - out[o]) * (one + out[o]))
    elif code == RELU:
        for o in range(out.shape[0]):
            grad_x[o] = zero if out[o] <= 0 else grad_out[o]


# Rows in buffers are padded to a multiple of so many elements. Blocks are worked on up to there: the last few columns
# would else fall into the scalar rest of the compiler's vector loop.
CHUNK = 16


@inner
def with_padding(columns):
    """The columns of a matrix in a buffer of padded rows, with the padding."""
    return (columns + CHUNK - 1) // CHUNK * CHUNK


@inner
def activation_forward_block(address, row, rows, columns, code, one):
    """Apply an activation in place to a block: its address, bytes from row to row, its size."""
    zero = one - one
    if code == SIGMOID:
        for i in range(rows):
            x = array_at(address + i * row, columns, one)
            for o in range(columns):
                x[o] = sigmoid(x[o])
    elif code == TANH:
        for i in range(rows):
            x = array_at(address + i * row, columns, one)
            for o in range(columns):
                x[o] = tanh(x[o])
    elif code == RELU:
        for i in range(rows):
            x = array_at(address + i * row, columns, one)
            for o in range(columns):
                x[o] = where(x[o] < zero, zero, x[o])


@inner
def activation_backward_block(address, row, y_address, y_row, rows, columns, code, one):
    """Multiply a block by the derivative at the activation's output, a block as large."""
    zero = one - one
    if code == SIGMOID:
        for i in range(rows):
            grad, y = array_at(address + i * row, columns, one), array_at(y_address + i * y_row, columns, one)
            for o in range(columns):
                grad[o] *= y[o] * (one - y[o])
    elif code == TANH:
        for i in range(rows):
            grad, y = array_at(address + i * row, columns, one), array_at(y_address + i * y_row, columns, one)
            for o in range(columns):
                grad[o] *= (one - y[o]) * (one + y[o])
    elif code == RELU:
        for i in range(rows):
            grad, y = array_at(address + i * row, columns, one), array_at(y_address + i * y_row, columns, one)
            for o in range(columns):
                grad[o] = where(y[o] <= zero, zero, grad[o])


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
def row_at(x, i, count, like):
    return array_at(x.ctypes.data + i * x.strides[0], count, like)


@inner
def activation_forward_rows(out, x, code, start, stop):
    # rows start to stop; a row of contiguous elements is taken as such, so that the loop over it vectorises
    count, like = out.shape[1], out.dtype.type(0)
    if out.strides[1] == out.itemsize and x.strides[1] == x.itemsize:
        for i in range(start, stop):
            activation_forward_row(row_at(out, i, count, like), row_at(x, i, count, like), code)
    else:
        for i in range(start, stop):
            activation_forward_row(out[i], x[i], code)


@inner
def activation_backward_rows(grad_x, grad_out, out, code, start, stop):
    count, like, item = out.shape[1], out.dtype.type(0), out.itemsize
    if grad_x.strides[1] == item and grad_out.strides[1] == item and out.strides[1] == item:
        for i in range(start, stop):
            activation_backward_row(
                row_at(grad_x, i, count, like), row_at(grad_out, i, count, like), row_at(out, i, count, like), code
            )
    else:
        for i in range(start, stop):
            activation_backward_row(grad_x[i], grad_out[i], out[i], code)


@entry("void(real[:, :], real[:, :], intp, intp)")
def _activation_forward(out, x, code, threads):
    if threads == 1:
        activation_forward_rows(out, x, code, 0, out.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(out.shape[0], threads, part)
            activation_forward_rows(out, x, code, start, stop)


@entry("void(real[:, :], real[:, :], real[:, :], intp, intp)")
def _activation_backward(grad_x, grad_out, out, code, threads):
    if threads == 1:
        activation_backward_rows(grad_x, grad_out, out, code, 0, out.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(out.shape[0], threads, part)
            activation_backward_rows(grad_x, grad_out, out, code, start, stop)


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
    _activation_forward(out, x, SIGMOID, threads_for(x.size * TRANSCENDENTAL))


def sigmoid_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of the sigmoid: grad_x = grad_out * out * (1 - out), with out = sigmoid(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    _activation_backward(grad_x, grad_out, out, SIGMOID, threads_for(out.size))


def tanh_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Hyperbolic tangent: out = tanh(x).

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value.
    Source: section 2 of the notes, definition (2).
    """
    _activation_forward(out, x, TANH, threads_for(x.size * TRANSCENDENTAL))


def tanh_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of tanh: grad_x = grad_out * (1 - out) * (1 + out), with out = tanh(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    _activation_backward(grad_x, grad_out, out, TANH, threads_for(out.size))


def relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Rectified linear unit: out = max(x, 0).

    out  (B, O)  written; may be x
    x    (B, O)  read; NaN stays NaN

    Source: section 2 of the notes, definition (3).
    """
    _activation_forward(out, x, RELU, threads_for(x.size))


def relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of ReLU: grad_x = grad_out where out > 0, else 0; the derivative at 0 is taken as 0.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read; passed on where out is NaN
    out       (B, O)  read

    Source: section 5 of the notes, whose code overwrites the caller's grad_out: here that is the caller's choice.
    """
    _activation_backward(grad_x, grad_out, out, RELU, threads_for(out.size))


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """Softmax of each row: out_k = e^(x_k) / sum_j e^(x_j), shifted by the row's maximum so that no x overflows.

    out  (B, K)  written; may be x; rows sum to 1
    x    (B, K)  read

    Error: (K + 8) eps relative to each element, and the rounding of x_k - max(x), which is relative to |x_k - max(x)|.
    Source: section 3 of the notes, output layer (2).
    """
    _activation_forward(out, x, SOFTMAX, threads_for(x.size * TRANSCENDENTAL))
