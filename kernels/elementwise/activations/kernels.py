"""The kernels that apply an activation by its code: those of the activation, or the function at a user's address."""

import numpy as np

from ...compiler.decorators import address_in_code, entry
from ...compiler.memory import contiguous_rows
from ...compiler.signature import Matrix2D, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ...workers.threads import threads_for
from .run import backward, forward
from .slopes import multiply_by_slopes
from .table import BUILT_IN, BY_CODE


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, activate: int, threads: int) -> None:
    forward(out, x, activate, 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, x: Matrix2D, activate: int, threads: int) -> int:
    return backward(grad_x, grad_out, x, activate, address_in_code(multiply_by_slopes, grad_x.dtype.type(1)), threads)


def activation_forward(out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Any activation by its code: out = f(x).

    out   (B, O)  written; may be x
    x     (B, O)  read
    code  an index into ACTIVATIONS, or what `compile_activation` returned for the dtype
    """
    if code < BUILT_IN:
        BY_CODE[code].forward(out, x)
        return
    result = contiguous_rows(out)
    _forward(result, x, code, threads_for(x.size * TRANSCENDENTAL_COST))
    if result is not out:
        out[...] = result


def activation_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Gradient of any activation but softmax and exp: grad_x = grad_out * f'(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    x         (B, O)  read: the input, where the kernels of one activation take the output if it is enough
    code      as in activation_forward
    """
    if code < BUILT_IN:
        activation = BY_CODE[code]
        given = x
        if not activation.by_slope:
            given = np.empty_like(x)
            activation.forward(given, x)
        activation.backward(grad_x, grad_out, given)
        return
    result = contiguous_rows(grad_x)
    _backward(result, grad_out, x, code, threads_for(x.size * TRANSCENDENTAL_COST))
    if result is not grad_x:
        grad_x[...] = result
