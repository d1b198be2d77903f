"""Update rules of the optimizers: parameters change in place."""

import numpy as np
from numba import prange

from .jit import entry, inner
from .threads import share, threads_for


@inner
def sgd_update_row(param, grad, learning_rate):
    # param (O,), grad (O,)
    rate = param.dtype.type(learning_rate)
    for o in range(param.shape[0]):
        param[o] -= rate * grad[o]


@entry("void(real[:, :], real[:, :], float64, intp)")
def _sgd_update(param, grad, learning_rate, threads):
    if threads == 1:
        for i in range(param.shape[0]):
            sgd_update_row(param[i], grad[i], learning_rate)
    else:
        for part in prange(threads):
            start, stop = share(param.shape[0], threads, part)
            for i in range(start, stop):
                sgd_update_row(param[i], grad[i], learning_rate)


def sgd_update(param: np.ndarray, grad: np.ndarray, learning_rate: float) -> None:
    """One step of gradient descent: param <- param - learning_rate * grad.

    param  (I, O) or (O,)  read and written
    grad   as param        read

    Error: 1 ulp of the exact result, or 1 ulp of learning_rate * grad where the two cancel.
    Source: section 4 of the notes, step (4) of gradient descent.
    """
    # a vector becomes one row, which is a view for any stride
    rows, grad_rows = (param, grad) if param.ndim == 2 else (param[np.newaxis], grad[np.newaxis])
    _sgd_update(rows, grad_rows, learning_rate, threads_for(param.size))
