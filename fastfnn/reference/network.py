"""Whole networks: predictions, their loss, and the gradient of the loss of a batch.

Dimension letters as in the kernels: N samples, B samples in a batch, I in_features, L layers, K outputs, P parameters,
Q running statistics of batch normalization.
"""

import numpy as np

from . import back_propagation, regularized
from .losses import loss_by_code, weighted_loss
from .parameters import converted, layers_of

SETTINGS = (
    "beta1", "beta2", "epsilon", "decay", "book", "l2", "batch_l2", "clip_norm",
    "dropout", "dropout_scale", "norm_epsilon", "norm_momentum", "seed",
)  # fmt: skip


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> bool:
    """Compute the outputs of a network: x_l = f_l(x_{l-1} W_l + b_l) for l = 1 to L.

    out          (N, K)    written
    params       (P,)      read: W1 row by row, b1, W2, b2, ...
    x            (N, I)    read; of any real dtype, converted to that of params
    sizes        (L + 1,)  int64, read: units of the input and of each layer
    activations  (L,)      int64, read: the codes of f_1, ..., f_L

    Returns False if an element of x is not finite in the dtype of params and x is of another one.
    """
    given, x = x, converted(x, params.dtype)
    outputs, _ = back_propagation.forward(x, layers_of(params, sizes), activations)
    out[...] = outputs[-1]
    return x is given or bool(np.isfinite(x).all())


def network_loss(
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
) -> float:
    """Mean loss of the predictions of a network.

    params       (P,)      read, as in network_forward
    x            (N, I)    read; of any real dtype, converted to that of params
    targets      (N,) int64 labels or (N, K) rows, read
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read; the last is the identity if the loss includes the output activation
    loss_parameters  (H,)  float64, read: what the function of the loss takes after its targets; (0,) for none
    loss                   an index into LOSSES, or what `compile_loss` returned

    Returns the mean loss; NaN if there are no samples or an element of x is not finite.
    """
    x = converted(x, params.dtype)
    if not np.isfinite(x).all():
        return float("nan")
    out = np.empty((len(x), sizes[-1]), params.dtype)
    network_forward(out, params, x, sizes, activations)
    return loss_by_code(np.empty_like(out), out, targets, loss_parameters, loss)


def network_gradient(
    grad_params: np.ndarray,
    statistics: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    step: int,
) -> float:
    """Back-propagation: the gradient of the mean loss E = sum_i w_i E_i / B with respect to every parameter.

    With u_l = x_{l-1} W_l + b_l, x_l = f_l(u_l) and delta_l = dE/du_l:
        delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T),   dE/dW_l = x_{l-1}^T delta_l,   dE/db_l = sum_b delta_l

    grad_params      (P,)          written, laid out like params
    statistics       (Q,)          read and written, see train_steps; (0,) without batch normalization
    params           (P,)          read
    x                (B, I)        read; of any real dtype, converted to that of params
    targets          (B,) int64 labels or (B, K) rows, read
    sample_weights   (B,) or (0,)  read: w; empty if all are 1
    sizes            (L + 1,)      int64, read
    activations      (L,)          int64, read; the last is the identity if the loss includes the output activation
    settings         (13,)         float64, read, see train_steps
    loss_parameters  (H,)          float64, read, see network_loss
    loss                           an index into LOSSES, or what `compile_loss` returned
    step                           number of the step, from 1, which chooses the masks of dropout

    Returns the mean loss; NaN for an empty batch or if an element of x is not finite.
    """
    x = converted(x, params.dtype)
    finite = bool(np.isfinite(x).all())
    with np.errstate(invalid=None if finite else "ignore"):
        value = loss_and_gradient(
            grad_params, statistics, params, x, targets, sample_weights, len(x), sizes, activations, settings,
            loss_parameters, loss, step,
        )  # fmt: skip
    return value if finite else float("nan")


def loss_and_gradient(
    grad_params: np.ndarray,
    statistics: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    divisor: float,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    step: int,
) -> float:
    """Write the gradient of the loss of a batch of samples in the dtype of params, and return the loss.

    It is the sum of the losses of the samples, multiplied by `weights` (B,) unless they are empty, over `divisor`.
    """
    setting = dict(zip(SETTINGS, settings.tolist(), strict=True))
    layers, grads = (layers_of(flat, sizes, statistics.size > 0) for flat in (params, grad_params))
    plain = statistics.size == 0 and not setting["dropout"]
    if plain:
        outputs, sums = back_propagation.forward(x, layers, activations)
        out = outputs[-1]
    else:
        out, passes = regularized.forward(x, statistics, layers, activations, setting, step)
    grad_out = np.empty_like(out)
    value = loss_by_code(grad_out, out, targets, loss_parameters, loss)
    if len(weights):
        value = weighted_loss(out, targets, weights, loss_parameters, loss)
        grad_out *= weights[:, np.newaxis]
    if divisor != len(x):
        value *= len(x) / divisor
        grad_out *= grad_out.dtype.type(len(x) / divisor)
    if plain:
        back_propagation.backward(grads, grad_out, outputs, sums, layers, activations)
    else:
        regularized.backward(grads, grad_out, passes, layers, activations, setting)
    return value
