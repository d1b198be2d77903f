"""Activations as operators of ONNX, equal to the kernels' up to rounding.

ONNX Runtime has no float64 kernels of Elu, Softplus and Erf, and of LeakyRelu only in newer releases: in float64 these
are made of operators that it has. In float32 they stand as they are, and runtimes know how to fuse them.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from fastfnn.backend import GELU_POLYNOMIAL, GELU_SCALE, LEAK
from fastfnn.interop.onnx_graph import Graph


def sigmoid(graph: Graph, x: str) -> str:
    """1 / (1 + e^-x)."""
    return graph.apply("Sigmoid", x)


def exact_sigmoid(graph: Graph, x: str) -> str:
    """1 / (1 + e^-x), exact for small results too: they are probabilities, of which users take the logarithm.

    Of ONNX Runtime's Sigmoid only the absolute error is small.
    """
    return graph.apply("Reciprocal", graph.apply("Add", graph.number(1), graph.apply("Exp", graph.apply("Neg", x))))


def tanh(graph: Graph, x: str) -> str:
    """tanh(x)."""
    return graph.apply("Tanh", x)


def relu(graph: Graph, x: str) -> str:
    """max(x, 0)."""
    return graph.apply("Relu", x)


def leaky_relu(graph: Graph, x: str) -> str:
    """x, or x / 100 where x < 0."""
    if graph.dtype == np.float32:
        return graph.apply("LeakyRelu", x, alpha=LEAK)
    return graph.apply("Max", x, graph.apply("Mul", x, graph.number(LEAK)))


def elu(graph: Graph, x: str) -> str:
    """x, or e^x - 1 where x < 0; e^x - 1 is tanh(x / 2) (e^x + 1), which does not cancel."""
    if graph.dtype == np.float32:
        return graph.apply("Elu", x)
    least = graph.apply("Min", x, graph.number(0))
    half = graph.apply("Tanh", graph.apply("Mul", least, graph.number(0.5)))
    power = graph.apply("Add", graph.apply("Exp", least), graph.number(1))
    return graph.apply("Add", graph.apply("Relu", x), graph.apply("Mul", half, power))


def softplus(graph: Graph, x: str) -> str:
    """log(1 + e^x) = max(x, 0) + log(1 + e), with e = e^-|x|.

    log(1 + e) is log(u) e / (u - 1) with u = 1 + e as it is rounded (D. Goldberg, ACM Computing Surveys 23, 1991), and
    e where u is 1.
    """
    if graph.dtype == np.float32:
        return graph.apply("Softplus", x)
    one = graph.number(1)
    e = graph.apply("Exp", graph.apply("Neg", graph.apply("Abs", x)))
    u = graph.apply("Add", e, one)
    ratio = graph.apply("Div", e, graph.apply("Sub", u, one))
    log = graph.apply("Where", graph.apply("Equal", u, one), e, graph.apply("Mul", graph.apply("Log", u), ratio))
    return graph.apply("Add", graph.apply("Relu", x), log)


def silu(graph: Graph, x: str) -> str:
    """x sigmoid(x), in float64 x / (1 + e^-x).

    ONNX Runtime 1.20 replaces x sigmoid(x) by a node of its own, for which it has no float64 kernel.
    """
    if graph.dtype == np.float64:
        return graph.apply("Div", x, graph.apply("Add", graph.number(1), graph.apply("Exp", graph.apply("Neg", x))))
    return graph.apply("Mul", x, graph.apply("Sigmoid", x))


def gelu(graph: Graph, x: str) -> str:
    """x Phi(x), exact: Phi is the distribution function of the standard normal, (1 + erf(x / sqrt(2))) / 2.

    In float64 it is max(x, 0) - e^(-a^2 / 2) w S(w - 1/2), with a = |x|, w = a / (a + K), and the polynomial S and the
    number K of the kernels.
    """
    if graph.dtype == np.float32:
        error = graph.apply("Erf", graph.apply("Div", x, graph.number(math.sqrt(2))))
        doubled = graph.apply("Mul", x, graph.apply("Add", error, graph.number(1)))
        return graph.apply("Mul", doubled, graph.number(0.5))
    a = graph.apply("Abs", x)
    w = graph.apply("Div", a, graph.apply("Add", a, graph.number(GELU_SCALE)))
    v = graph.apply("Sub", w, graph.number(0.5))
    *rest, highest = map(graph.number, GELU_POLYNOMIAL)
    s = functools.reduce(
        lambda value, coefficient: graph.apply("Add", graph.apply("Mul", value, v), coefficient),
        reversed(rest),
        highest,
    )
    power = graph.apply("Exp", graph.apply("Mul", graph.apply("Mul", a, a), graph.number(-0.5)))
    return graph.apply("Sub", graph.apply("Relu", x), graph.apply("Mul", power, graph.apply("Mul", w, s)))


def identity(graph: Graph, x: str) -> str:
    """x."""
    return x


def softmax(graph: Graph, x: str) -> str:
    """e^(x_k) / sum_j e^(x_j) for each row."""
    return graph.apply("Softmax", x, axis=1)


def exp(graph: Graph, x: str) -> str:
    """e^x."""
    return graph.apply("Exp", x)


Function = Callable[[Graph, str], str]

HIDDEN: dict[str, Function] = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
}
OUTPUT: dict[str, Function] = {"identity": identity, "sigmoid": exact_sigmoid, "softmax": softmax, "exp": exp}
