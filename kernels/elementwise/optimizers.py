"""The update rules of the optimizers: parameters and their state change in place, in one pass.

With g the gradient, eta the learning rate, t the number of the step from 1, everything elementwise:

    SGD       w -= eta g
    momentum  v  = beta v - eta g          w += v
    Nesterov  v  = beta v - eta g          w += beta v - eta g            the gradient as if taken ahead, at w + beta v
    AdaGrad   h += g^2                     w -= eta g / (sqrt h + eps)
    RMSprop   h  = beta h + (1 - beta) g^2 w -= eta g / (sqrt h + eps)
    Adam      m  = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
              w -= eta (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    AdamW     w -= eta decay w, then as Adam

A common variant of Adam, the book's, has eps under the correction of v: ... / ((sqrt v + eps) / sqrt(1 - beta2^t)).

Sources: for SGD section 4 of the notes; Polyak 1964, Nesterov 1983 (in the form of Bengio et al. 2013), Duchi et al.
2011, Tieleman and Hinton 2012, Kingma and Ba 2015 (algorithm 1), Loshchilov and Hutter 2019.

A rule is data to compiled code, as an activation is: its code, its settings, and up to two vectors of state.
"""

import numpy as np
from numba import prange

from ..compiler.jit import entry, inner, shared
from ..compiler.vectors import array_at, keep
from ..workers.threads import share, threads_for
from .adaptive import (
    ADDED,
    ALL,
    ETA,
    MEAN_TOO,
    MEMORY1,
    MEMORY2,
    RECENT,
    REST1,
    REST2,
    SHRINK,
    adaptive_update,
)
from .elementary import mul_add

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW = range(len(OPTIMIZERS))

# The settings of a training step, float64: those of its rule, not all of which a rule reads; then the gradient's; then
# those of the network.
SETTINGS = (
    "beta1", "beta2", "epsilon", "decay", "book", "l2", "clip_norm",
    "dropout", "dropout_scale", "norm_epsilon", "norm_momentum", "seed",
)  # fmt: skip
(
    BETA1, BETA2, EPSILON, DECAY, BOOK, PENALTY, CLIP_NORM,
    DROPOUT, DROPOUT_SCALE, NORM_EPSILON, NORM_MOMENTUM, SEED,
) = range(len(SETTINGS))  # fmt: skip

# What `factors` writes: so many numbers. The first of them, up to SHRINK, are those of adaptive.py.
FACTORS = 8
L2 = 7


@inner
def factors(out, settings, learning_rate, optimizer, step):
    """The factors of step `step`, counted from 1, rounded once from float64 to the dtype of `out` (FACTORS,):

    ETA, beta1, 1 - beta1, beta2, 1 - beta2, what is ADDED to the root; SHRINK, which multiplies w: 1 - eta decay in
    AdamW, 1 - eta l2 in gradient descent; and L2, which times w adds to the gradient of the other rules

    In Adam ETA and ADDED have the corrections: eta (m / c1) / (sqrt(v / c2) + eps) is

        (eta sqrt c2 / c1) m / (sqrt v + eps sqrt c2)
    """
    eta, beta1, beta2 = learning_rate, settings[BETA1], settings[BETA2]
    out[ETA], out[ADDED] = eta, settings[EPSILON]
    if optimizer in (ADAM, ADAMW):
        correction = np.sqrt(1.0 - beta2**step)
        out[ETA] = eta / (1.0 - beta1**step) * correction
        if settings[BOOK] == 0:
            out[ADDED] = settings[EPSILON] * correction
            if out[ADDED] == 0:  # rounded to it
                out[ADDED] = settings[EPSILON]
    out[MEMORY1], out[REST1] = beta1, 1.0 - beta1
    out[MEMORY2], out[REST2] = beta2, 1.0 - beta2
    decay = settings[DECAY] if optimizer == ADAMW else settings[PENALTY] if optimizer == SGD else 0.0
    out[SHRINK] = 1.0 - eta * decay
    out[L2] = settings[PENALTY]


@inner
def update_run(param, first, second, grad, count, factor_at, optimizer, one):
    # addresses of `count` contiguous elements; first and second are not touched by rules without that state. mul_add
    # says which product is fused with which sum: left to the compiler, the vector loop and its scalar rest could
    # differ, and the bits with the threads
    factor = array_at(factor_at, FACTORS, one)
    eta, beta = factor[ETA], factor[MEMORY1]
    w, v, g = array_at(param, count, one), array_at(first, count, one), array_at(grad, count, one)
    if optimizer == SGD:
        for o in range(count):
            w[o] = mul_add(-eta, g[o], w[o])
    elif optimizer == MOMENTUM:
        for o in range(count):
            v[o] = mul_add(beta, v[o], -eta * g[o])
            w[o] += v[o]
    elif optimizer == NESTEROV:
        for o in range(count):
            v[o] = mul_add(beta, v[o], -eta * g[o])
            w[o] += mul_add(beta, v[o], -eta * g[o])
    else:  # AdamW is Adam whose shrink is not 1
        kind = ALL if optimizer == ADAGRAD else RECENT if optimizer == RMSPROP else MEAN_TOO
        adaptive_update(kind, param, first, second, grad, count, factor_at, one)


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, real)")
def update(param, first, second, grad, count, decayed, factor_at, optimizer, one):
    """The update of `count` contiguous parameters at an address; the gradient may be overwritten.

    The first `decayed` of them are weights, to whose gradient the L2 penalty adds.
    """
    factor = array_at(factor_at, FACTORS, one)
    if factor[L2] != 0:
        params, gradient = array_at(param, count, one), array_at(grad, count, one)
        for j in range(decayed):
            gradient[j] = mul_add(factor[L2], params[j], gradient[j])
    update_run(param, first, second, grad, count, factor_at, optimizer, one)


@inner
def update_rows(param, first, second, grad, factor, optimizer, start, stop):
    # all (I, O); rows that follow one another without a gap are taken as one
    count, item, rows, one = param.shape[1], param.itemsize, stop - start, param.dtype.type(1)
    if not (contiguous(param) and contiguous(first) and contiguous(second) and contiguous(grad)):
        return update_strided_rows(param, first, second, grad, factor, optimizer, start, stop)
    row = param.strides[0]
    if row == first.strides[0] and row == second.strides[0] and row == grad.strides[0] and row == count * item:
        count, rows = count * rows, 1
    for i in range(start, start + rows):
        update_run(
            param.ctypes.data + i * row, first.ctypes.data + i * first.strides[0],
            second.ctypes.data + i * second.strides[0], grad.ctypes.data + i * grad.strides[0], count,
            factor.ctypes.data, optimizer, one,
        )  # fmt: skip
    return 0


@inner
def contiguous(x):
    """Whether the rows of a matrix have contiguous elements."""
    return x.strides[1] == x.itemsize


@inner
def update_strided_rows(param, first, second, grad, factor, optimizer, start, stop):
    """The same by way of contiguous rows."""
    count, row = param.shape[1], param.shape[1] * param.itemsize
    run = np.empty((4, count), param.dtype)
    at = run.ctypes.data
    for i in range(start, stop):
        for o in range(count):
            run[0, o], run[1, o], run[2, o], run[3, o] = param[i, o], first[i, o], second[i, o], grad[i, o]
        update_run(
            at, at + row, at + 2 * row, at + 3 * row, count, factor.ctypes.data, optimizer, param.dtype.type(1)
        )  # fmt: skip
        for o in range(count):  # the parameters last, which may stand for the state
            second[i, o] = run[2, o]
            first[i, o] = run[1, o]
            param[i, o] = run[0, o]
    return keep(run)


@entry(
    "void(real[:, :], real[:, :], real[:, :], real[:, :], float64, float64, float64, float64, float64, intp, intp,"
    " intp)"
)
def _update(
    param, first, second, grad, learning_rate, beta1, beta2, epsilon, decay, optimizer, step, threads
):  # fmt: skip
    settings, factor = np.zeros(len(SETTINGS), np.float64), np.empty(FACTORS, param.dtype)
    settings[BETA1], settings[BETA2], settings[EPSILON], settings[DECAY] = beta1, beta2, epsilon, decay
    factors(factor, settings, learning_rate, optimizer, step)
    if threads == 1:
        update_rows(param, first, second, grad, factor, optimizer, 0, param.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(param.shape[0], threads, part)
            update_rows(param, first, second, grad, factor, optimizer, start, stop)


def _as_rows(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x[np.newaxis]  # a vector becomes one row, which is a view for any stride


def _run(
    optimizer: int,
    param: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float = 0.0,
    beta2: float = 0.0,
    epsilon: float = 0.0,
    decay: float = 0.0,
    step: int = 1,
) -> None:
    """A rule without some state gets the parameters for it, and leaves them alone."""
    _update(
        _as_rows(param), _as_rows(first), _as_rows(second), _as_rows(grad), learning_rate, beta1, beta2, epsilon, decay,
        optimizer, step, threads_for(4 * param.size),
    )  # fmt: skip


def sgd_update(param: np.ndarray, grad: np.ndarray, learning_rate: float) -> None:
    """One step of gradient descent: w <- w - eta g.

    param  (I, O) or (O,)  read and written
    grad   as param        read

    Error: 1 ulp of the exact result, or 1 ulp of learning_rate * grad where the two cancel.
    Source: section 4 of the notes, step (4) of gradient descent.
    """
    _run(SGD, param, param, param, grad, learning_rate)


def momentum_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """One step with momentum: v <- beta v - eta g, w <- w + v.

    param, velocity  (I, O) or (O,)  read and written
    grad             as param        read

    Source: Polyak 1964.
    """
    _run(MOMENTUM, param, velocity, param, grad, learning_rate, momentum)


def nesterov_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """One step with Nesterov's momentum: v <- beta v - eta g, w <- w + beta v - eta g.

    param, velocity  (I, O) or (O,)  read and written
    grad             as param        read

    Source: Nesterov 1983, in the form of Bengio et al. 2013.
    """
    _run(NESTEROV, param, velocity, param, grad, learning_rate, momentum)


def adagrad_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, epsilon: float
) -> None:
    """One step of AdaGrad: h <- h + g^2, w <- w - eta g / (sqrt h + eps).

    param, squares  (I, O) or (O,)  read and written
    grad            as param        read

    Source: Duchi et al. 2011.
    """
    _run(ADAGRAD, param, squares, param, grad, learning_rate, epsilon=epsilon)


def rmsprop_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, decay_rate: float, epsilon: float
) -> None:
    """One step of RMSprop: h <- beta h + (1 - beta) g^2, w <- w - eta g / (sqrt h + eps).

    param, squares  (I, O) or (O,)  read and written
    grad            as param        read

    Source: Tieleman and Hinton 2012.
    """
    _run(RMSPROP, param, squares, param, grad, learning_rate, decay_rate, epsilon=epsilon)


def adam_update(
    param: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    step: int,
) -> None:
    """Step number `step`, from 1, of Adam; the equations stand at the top of this file.

    param, mean, square  (I, O) or (O,)  read and written
    grad                 as param        read

    Source: Kingma and Ba 2015, algorithm 1, epsilon outside the root of the corrected square.
    """
    _run(ADAM, param, mean, square, grad, learning_rate, beta1, beta2, epsilon, step=step)


def adamw_update(
    param: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    decay: float,
    step: int,
) -> None:
    """Adam with decoupled weight decay: w <- (1 - eta decay) w, then as `adam_update`.

    param, mean, square  (I, O) or (O,)  read and written
    grad                 as param        read

    Source: Loshchilov and Hutter 2019.
    """
    _run(ADAMW, param, mean, square, grad, learning_rate, beta1, beta2, epsilon, decay, step)
