"""The training loop, gradient descent on minibatches; and the update in it, for a gradient that is given."""

import math

import numpy as np

from .network import SETTINGS, loss_and_gradient
from .parameters import converted, layers_of
from .update_rules import update


def network_update(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    grad_params: np.ndarray,
    sizes: np.ndarray,
    settings: np.ndarray,
    optimizer: int,
    learning_rate: float,
    batch_weight: float,
    step: int,
) -> None:
    """One step of an optimizer with the gradient of a batch: penalty, limit of the norm, update rule.

    params          (P,)          read and written
    first, second   (P,) or (0,)  read and written: the state of the update rule; empty if it has none
    grad_params     (P,)          read and written: the penalty is added to it, and it is scaled down to clip_norm
    sizes           (L + 1,)      int64, read
    settings        (13,)         float64, read, see train_steps
    optimizer                     an index into OPTIMIZERS
    learning_rate                 of this step
    batch_weight                  what batch_l2 is divided by
    step                          number of the step, from 1
    """
    l2, batch_l2, clip_norm = (settings[SETTINGS.index(name)] for name in ("l2", "batch_l2", "clip_norm"))
    normalized = params.size > sum(layer.weight.size + layer.bias.size for layer in layers_of(params, sizes))
    for grad, layer in zip(*(layers_of(flat, sizes, normalized) for flat in (grad_params, params)), strict=True):
        grad.weight[...] += (l2 + batch_l2 / batch_weight) * layer.weight
    norm = math.sqrt(float((grad_params.astype(np.float64) ** 2).sum()))
    if clip_norm and norm > clip_norm:
        grad_params *= params.dtype.type(clip_norm / norm)
    update(params, first, second, grad_params, learning_rate, settings, optimizer, step)


def train_steps(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    statistics: np.ndarray,
    step_losses: np.ndarray,
    half_squares: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    batch_weights: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    optimizer: int,
    batch_size: int,
    steps_before: int,
) -> None:
    """Steps of minibatch gradient descent: the update rule on the gradient of the mean loss, once per batch.

    Batch s of an epoch is its samples order[s * batch_size : (s + 1) * batch_size]; the last one may be smaller. Its
    loss is the sum of the losses of its samples over the weight of the batch: with an infinite one it is 0, and so is
    the gradient.

    params          (P,)          read and written
    first, second   (P,) or (0,)  read and written: the state of the update rule; empty if it has none
    statistics      (Q,)          read and written: running mean (O,) and variance (O,) of each hidden layer; (0,)
                                  without batch normalization
    step_losses     (S,)          float64, written: the mean loss of each batch before its update
    half_squares    (S,) or (0,)  float64, written: 1/2 sum_l ||W_l||^2 before each update; not computed if empty
    x               (N, I)        read; of any real dtype, converted to that of params batch by batch
    targets         (N,) int64 labels or (N, K) rows, read
    sample_weights  (N,) or (0,)  read: factors of the losses of the samples; empty if all are 1
    batch_weights   (S,) or (0,)  float64, read: the weight of each batch; empty if it is the number of its samples
    order           (E, M)        int64, read: the samples of each epoch; (E, 0) is all N in their order
    learning_rates  (S,)          float64, read
    sizes           (L + 1,)      int64, read
    activations     (L,)          int64, read; the last is the identity if the loss includes the output activation
    settings        (13,)         float64, read, by the names in SETTINGS:
        beta1, beta2, epsilon, decay  of the update rule; book: not 0 for the book's epsilon in Adam
        l2                            l2 W is added to the gradient of each W, the gradient of l2 / 2 ||W||^2
        batch_l2                      the same divided by the weight of the batch
        clip_norm                     longest Euclidean norm of the whole gradient; 0 for no limit
        dropout, dropout_scale        probability of 0 for an output of a hidden layer; factor of the others
        norm_epsilon, norm_momentum   of batch normalization: added to the variance; share of running statistics kept
        seed                          of dropout, in [0, 2^32)
    loss_parameters (H,)          float64, read, see network_loss
    loss, optimizer               indices into LOSSES, or what `compile_loss` returned, and into OPTIMIZERS
    steps_before                  number of steps that were taken with this state before
    """
    grad_params = np.empty_like(params)
    order = np.atleast_2d(order)
    order = order if order.shape[1] else np.tile(np.arange(len(x)), (len(order), 1))
    batches = [row[i : i + batch_size] for row in order for i in range(0, len(row), batch_size)]
    for step, samples in enumerate(batches[: len(step_losses)]):
        number = steps_before + step + 1
        divisor = batch_weights[step] if len(batch_weights) else len(samples)
        layers = layers_of(params, sizes, statistics.size > 0)
        if len(half_squares):
            half_squares[step] = 0.5 * sum(float((layer.weight.astype(np.float64) ** 2).sum()) for layer in layers)
        step_losses[step] = loss_and_gradient(
            grad_params, statistics, params, converted(x[samples], params.dtype), targets[samples],
            sample_weights[samples] if len(sample_weights) else sample_weights, divisor, sizes, activations, settings,
            loss_parameters, loss, number,
        )  # fmt: skip
        rate = float(learning_rates[step])
        network_update(params, first, second, grad_params, sizes, settings, optimizer, rate, divisor, number)
