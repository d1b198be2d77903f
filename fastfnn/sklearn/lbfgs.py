"""solver="lbfgs": SciPy's L-BFGS-B on the loss and the gradient of all samples."""

import threading
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result

from fastfnn import FNN
from fastfnn.penalty import add_l2_gradient, l2_penalty
from fastfnn.sklearn.data import Data, dense_parts


def minimize(
    net: FNN, data: Data, *, alpha: float, tol: float, max_iter: int, max_fun: int, divisor: int, stop: threading.Event
) -> Any:
    """Train a network; return SciPy's result.

    Parameters
    ----------
    net : FNN
    data : Data
    alpha : float
        The penalty ``alpha / 2 ||W||^2`` is divided by the weight of all samples, like the loss.
    tol, max_iter, max_fun
        See `MLPClassifier`.
    stop : threading.Event
        Raises KeyboardInterrupt before the next evaluation of the loss; set after Ctrl-C in another thread.
    divisor : int
        The loss that is minimized is that of the network divided by this; the gradient is not, see `training.py`.

    Warns
    -----
    ConvergenceWarning
        If the solver did not converge.
    """
    total = float(data.samples) if data.weights is None else float(data.weights.sum())
    weights = np.empty(0, net.dtype) if data.weights is None else data.weights.astype(net.dtype)
    part_grad, grad = np.empty_like(net._flat), np.empty_like(net._flat)

    def loss_and_gradient(params: np.ndarray) -> tuple[float, np.ndarray]:
        if stop.is_set():
            raise KeyboardInterrupt
        net._flat[...] = params
        grad[...], loss = 0, 0.0
        for part, rows in dense_parts(data.x, net.dtype):
            mean = net._training_gradient(part_grad, net._statistics, rows, data.targets[part], 1, weights[part])
            loss += mean * len(rows) / total
            np.add(grad, np.multiply(part_grad, len(rows) / total), out=grad)
        add_l2_gradient(net.params.views_of(grad), net.params, alpha / total)
        return loss / divisor + l2_penalty(net.params, alpha / total), grad.astype(np.float64)

    options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
    start = net._flat.astype(np.float64)
    result = scipy.optimize.minimize(loss_and_gradient, start, method="L-BFGS-B", jac=True, options=options)
    net._flat[...] = result.x
    result.nit = _check_optimize_result("lbfgs", result, max_iter)
    return result
