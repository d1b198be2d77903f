"""A user's losses: two functions of an output and its target in Python, compiled into a function like those of losses/.

It is called through `call_loss`; its address is the code of the loss. Like the built-in losses it computes in float64.
"""

import numpy as np

from ..compiler.memory import Rows, array_at, row_at
from ..compiler.signature import Real
from ..compiler.writer import widest_vectors
from .losses.contract import Targets, long_runs
from .user_functions import Function, Given, compile_block, number


# A template: `compile_block` puts the user's functions into its globals, as `value` and `slope_of`.
def _of_elements(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    widest_vectors()
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        outputs, wanted = row_at(out, i, length, one), row_at(targets.rows, i, length, one)
        for j in range(length):
            y, t = np.float64(outputs[j]), np.float64(wanted[j])
            losses[j] = number(value(y, t))  # type: ignore[name-defined] # noqa: F821
            g[j] = scale * np.float64(number(slope_of(y, t)))  # type: ignore[name-defined] # noqa: F821


def compile_loss(value: Function, derivative: Function, dtype: np.dtype) -> int:
    """The code of a loss E_i = sum_o e(y_o, t_o), for arrays of a dtype, from scalar functions in Python.

    value       e(y, t)
    derivative  de/dy, as a function of y and t
    dtype       float32 or float64

    Both functions take float64 whatever the dtype of the arrays is, and have no optional arguments; the loss has no
    parameters. What else they may do stands in `compile_activation`.

    Raises ValueError, with the line of the user's code, if Numba cannot compile one of them.
    """
    double = np.dtype(np.float64)
    given = {"value": Given("value", value, double), "slope_of": Given("derivative", derivative, double)}
    return compile_block("loss", _of_elements, given, np.dtype(dtype))
