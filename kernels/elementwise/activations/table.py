"""The activations and their codes. To add one, write its file and add its line here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...compiler.decorators import address_of
from .contract import ActivationFunctions
from .elu import elu_backward, elu_block, elu_derivative, elu_forward
from .exp import exp_block, exp_forward
from .gelu import gelu_backward, gelu_block, gelu_forward
from .identity import identity_backward, identity_forward
from .leaky_relu import leaky_relu_backward, leaky_relu_block, leaky_relu_derivative, leaky_relu_forward
from .relu import relu_backward, relu_block, relu_derivative, relu_forward
from .sigmoid import sigmoid_backward, sigmoid_block, sigmoid_derivative, sigmoid_forward
from .silu import silu_backward, silu_block, silu_forward
from .slopes import multiply_by_slopes
from .softmax import softmax, softmax_block
from .softplus import softplus_backward, softplus_block, softplus_forward
from .tanh import tanh_backward, tanh_block, tanh_derivative, tanh_forward

Function = Callable[..., Any]


class Activation(NamedTuple):
    """The functions of one activation; None where there is nothing to do.

    forward, backward        its public kernels
    activate, differentiate  its shared functions, for `call_on_block`
    """

    forward: Function
    backward: Function | Any
    activate: Function | None
    differentiate: Function | None
    by_slope: bool = False  # the derivative cannot be computed from the output, and the slopes are stored


_TABLE = {
    "identity": Activation(identity_forward, identity_backward, None, None),
    "sigmoid": Activation(sigmoid_forward, sigmoid_backward, sigmoid_block, sigmoid_derivative),
    "tanh": Activation(tanh_forward, tanh_backward, tanh_block, tanh_derivative),
    "relu": Activation(relu_forward, relu_backward, relu_block, relu_derivative),
    "leaky_relu": Activation(leaky_relu_forward, leaky_relu_backward, leaky_relu_block, leaky_relu_derivative),
    "elu": Activation(elu_forward, elu_backward, elu_block, elu_derivative),
    "softplus": Activation(softplus_forward, softplus_backward, softplus_block, multiply_by_slopes, True),
    "silu": Activation(silu_forward, silu_backward, silu_block, multiply_by_slopes, True),
    "gelu": Activation(gelu_forward, gelu_backward, gelu_block, multiply_by_slopes, True),
    # For the output layer, forward only.
    "softmax": Activation(softmax, None, softmax_block, None),
    "exp": Activation(exp_forward, None, exp_block, None),
}

ACTIVATIONS = tuple(_TABLE)
IDENTITY, SOFTMAX = ACTIVATIONS.index("identity"), ACTIVATIONS.index("softmax")

BY_CODE = tuple(_TABLE.values())
BUILT_IN = len(BY_CODE)  # larger codes are addresses of users' activations


def functions_of(code: int, dtype: np.dtype[Any]) -> ActivationFunctions:
    """The functions of an activation for a dtype; they are compiled, or loaded from disk, when first asked for.

    code  an index into ACTIVATIONS, or what `compile_activation` returned for the dtype: the address of its function
    """
    if code >= BUILT_IN:
        return ActivationFunctions(int(code), address_of(multiply_by_slopes, dtype), True)
    activation = BY_CODE[code]
    activate, differentiate = (
        0 if function is None else address_of(function, dtype)
        for function in (activation.activate, activation.differentiate)
    )
    return ActivationFunctions(activate, differentiate, activation.by_slope)
