"""Activation functions and their derivatives, by name and by code.

All arrays are (B, O). A forward function reads x and writes out = f(x). A backward function reads grad_out and writes
grad_x = grad_out * f'(x); it computes f' from out = f(x), for softplus, SiLU and GELU from x.
"""

import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import given

LEAK = 0.01  # slope of leaky ReLU for x < 0


def identity_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x."""
    out[...] = x


def identity_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out."""
    grad_x[...] = grad_out


def sigmoid_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = 1 / (1 + e^-x), computed from e^-|x|, which cannot overflow."""
    e = np.exp(-np.abs(x))
    out[...] = np.where(x < 0, e, 1) / (1 + e)


def sigmoid_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out * out * (1 - out)."""
    grad_x[...] = grad_out * (out * (1 - out))


def tanh_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = tanh(x)."""
    out[...] = np.tanh(x)


def tanh_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out * (1 - out) * (1 + out)."""
    grad_x[...] = grad_out * ((1 - out) * (1 + out))


def relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = max(x, 0); NaN stays NaN."""
    out[...] = np.maximum(x, 0)


def relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out, or 0 where out <= 0."""
    grad_x[...] = np.where(out <= 0, 0, grad_out)


def leaky_relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x, or x / 100 where x < 0."""
    out[...] = np.where(x < 0, LEAK * x, x)


def leaky_relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out, or grad_out / 100 where out <= 0."""
    grad_x[...] = np.where(out <= 0, LEAK * grad_out, grad_out)


def elu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x, or e^x - 1 where x < 0."""
    out[...] = np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def elu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out, or grad_out * (out + 1) where out < 0."""
    grad_x[...] = np.where(out < 0, grad_out * (out + 1), grad_out)


def softplus_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = log(1 + e^x)."""
    out[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x = grad_out * sigmoid(x)."""
    slope = np.empty_like(x)
    sigmoid_forward(slope, x)
    grad_x[...] = grad_out * slope


def silu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x sigmoid(x)."""
    gate = np.empty_like(x)
    sigmoid_forward(gate, x)
    out[...] = np.where(gate == 0, 0, x) * gate  # the limit at -infinity is 0, not the NaN of -inf * 0


def silu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x = grad_out * s (1 + x (1 - s)), with s = sigmoid(x)."""
    gate, rest = np.empty_like(x), np.empty_like(x)
    sigmoid_forward(gate, x)
    sigmoid_forward(rest, -x)
    grad_x[...] = grad_out * (gate + np.where((gate == 0) | (rest == 0), 0, x) * gate * rest)


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def gelu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x Phi(x), with the distribution function Phi of the standard normal distribution."""
    probability = 0.5 * _erfc(-x / math.sqrt(2))  # Phi(x)
    out[...] = np.where(probability == 0, 0, x) * probability


def gelu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x = grad_out * (Phi(x) + x phi(x)), with the density phi = Phi'."""
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        density = np.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    grad_x[...] = grad_out * (0.5 * _erfc(-wide / math.sqrt(2)) + np.where(density == 0, 0, wide) * density)


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """out_k = e^(x_k) / sum_j e^(x_j) for each row; subtracting the row's maximum avoids overflow."""
    power = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    out[...] = power / power.sum(axis=1, keepdims=True)


def exp_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = e^x."""
    with np.errstate(over="ignore"):
        out[...] = np.exp(x)


def compile_activation(forward: given.Function, derivative: given.Function, dtype: np.dtype) -> int:
    """Return a code for an activation f that is given by two scalar functions.

    forward     f(x)
    derivative  f'(x), or f' as a function of x and y = f(x)
    dtype       float32 or float64, of the arrays that f is applied to
    """
    by_input = len(inspect.signature(derivative).parameters) == 1
    return given.Code(forward, (lambda x, y: derivative(x)) if by_input else derivative, dtype)


class Activation(NamedTuple):
    """The functions of an activation. One for the output layer only has no `backward`: the loss has its derivative."""

    forward: Callable[[np.ndarray, np.ndarray], None]
    backward: Callable[[np.ndarray, np.ndarray, np.ndarray], None] | None = None
    by_input: bool = False  # `backward` takes x, not out = f(x)


# In the order of the codes, which are those of the kernels.
TABLE = {
    "identity": Activation(identity_forward, identity_backward),
    "sigmoid": Activation(sigmoid_forward, sigmoid_backward),
    "tanh": Activation(tanh_forward, tanh_backward),
    "relu": Activation(relu_forward, relu_backward),
    "leaky_relu": Activation(leaky_relu_forward, leaky_relu_backward),
    "elu": Activation(elu_forward, elu_backward),
    "softplus": Activation(softplus_forward, softplus_backward, by_input=True),
    "silu": Activation(silu_forward, silu_backward, by_input=True),
    "gelu": Activation(gelu_forward, gelu_backward, by_input=True),
    "softmax": Activation(softmax),
    "exp": Activation(exp_forward),
}
ACTIVATIONS = tuple(TABLE)
BY_CODE = tuple(TABLE.values())


def activation_forward(out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Apply the activation with the given code: out = f(x).

    out   (B, O)  written
    x     (B, O)  read
    code          an index into ACTIVATIONS, or a result of `compile_activation`
    """
    if code >= given.FIRST:
        out[...] = given.functions_of(code).function(x) if x.size else x
    else:
        BY_CODE[code].forward(out, x)


def activation_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Gradient of the activation with the given code: grad_x = grad_out * f'(x).

    grad_x    (B, O)  written
    grad_out  (B, O)  read
    x         (B, O)  read
    code              an index into ACTIVATIONS but for softmax and exp, or a result of `compile_activation`
    """
    out = np.empty_like(x)
    activation_forward(out, x, code)
    if code >= given.FIRST:
        grad_x[...] = grad_out * given.functions_of(code).derivative(x, out) if x.size else grad_out
        return
    activation = BY_CODE[code]
    assert activation.backward, f"{ACTIVATIONS[code]} has no derivative of its own"
    activation.backward(grad_x, grad_out, x if activation.by_input else out)
