"""The public calls of training: the gradient of a network, an update with a gradient, and any number of steps."""

import numpy as np

from ..compiler.memory import contiguous_rows
from ..elementwise.conversion import IN_PLACE, enter_samples, source_of
from ..elementwise.losses.contract import split_targets
from ..elementwise.settings import SETTINGS
from ..network.kept import this_thread
from ..tuning import SAMPLES_PER_GROUP, UPDATE_COST
from ..workers.threads import threads_for
from .update_step import UpdateShape, new_update_workspace
from .workspace import GRADIENT, Shape, in_groups, new_workspace

_DROPOUT, _CLIP_NORM = SETTINGS.index("dropout"), SETTINGS.index("clip_norm")


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
    """Back-propagation: the gradient of the mean loss over the rows of x with respect to every parameter.

    The mean is sum_i w_i E_i / B, with w_i 1 where no weights are given.

    With u_l = x_{l-1} W_l + b_l, x_l = f_l(u_l) and delta_l = dE/du_l:
        delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T),   dE/dW_l = x_{l-1}^T delta_l,   dE/db_l = sum_b delta_l

    grad_params      (P,)          written; contiguous, laid out like params
    statistics       (Q,)          read and written, contiguous: see train_steps; (0,) without batch normalization
    params           (P,)          read; contiguous
    x                (B, I)        read; of a dtype that `is_convertible` accepts, with any strides
    targets          (B,) int64 labels or (B, K) rows, as the loss takes them; read
    sample_weights   (B,) or (0,)  read
    sizes            (L + 1,)      int64, read; contiguous
    activations      (L,)          int64, read; contiguous; the last is the identity where the loss contains the output
                                   activation
    settings         (13,)         float64, read; contiguous: those of dropout and batch normalization, see train_steps
    loss_parameters  (H,)          float64, read; contiguous: what the kernel of the loss takes after its targets, or
                                   (0,)
    loss             an index into LOSSES, or what `compile_loss` returned
    step             the number of the step, from 1, which dropout depends on

    Returns the mean loss, accumulated in float64; NaN for an empty batch, or if an element of x is not finite.
    Source: section 5 of the notes, whose recursion has n + 1 where it must have l + 1.
    """
    threads = threads_for(3 * len(x) * params.size)
    source = IN_PLACE if x.dtype == params.dtype and x.flags.carray else source_of(x, params.dtype)
    shape = (
        sizes.tobytes(), activations.tobytes(), params.itemsize, params.size, len(x), source, loss, GRADIENT,
        targets.ndim == 1, False, sample_weights.size > 0, False, False, settings[_DROPOUT] > 0, False,
        statistics.size > 0, threads,
    )  # fmt: skip
    workspace = this_thread.workspaces.get(shape) or new_workspace(Shape(*shape))
    if statistics.size:
        workspace.network["statistics"] = statistics.ctypes.data
    if sample_weights.size:
        sample_weights = np.ascontiguousarray(sample_weights, params.dtype)
        workspace.record["weights"] = sample_weights.ctypes.data
    labels, rows = split_targets(targets, params.dtype)
    if source != IN_PLACE:
        x = enter_samples(workspace.record, x, params.dtype)
    workspace.run(
        params, grad_params, x, np.ascontiguousarray(labels), contiguous_rows(rows), settings, loss_parameters,
        workspace.step_losses, workspace.job, step - 1, threads,
    )  # fmt: skip
    return float(workspace.step_losses[0])


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
    """One step of an optimizer with a gradient that is given: what follows `network_gradient` in a step.

    The gradient is used as `train_steps` uses that of a batch: (l2 + batch_l2 / batch_weight) W is added to that of
    each W, then the whole is scaled down to clip_norm, if it is longer, then the optimizer's rule takes it.

    params         (P,)          read and written; contiguous
    first, second  (P,) or (0,)  read and written; contiguous: the optimizer's state, laid out like params; empty where
                                 the rule has none
    grad_params    (P,)          read and written; contiguous, laid out like params: left with the penalty added and
                                 scaled down, or as it was where neither is asked for
    sizes          (L + 1,)      int64, read; contiguous. The layers have batch normalization if P counts its parameters
    settings       (13,)         float64, read; contiguous: those of the rule, l2, batch_l2, clip_norm, see train_steps
    optimizer      an index into OPTIMIZERS
    learning_rate  of this step
    batch_weight   the weight of the batch, by which batch_l2 is divided: not 0, may be infinite
    step           the number of the step, from 1

    `network_gradient` and this make a step of `train_steps`, with the same bits but in two cases of gradient descent
    without clip_norm, where `train_steps` does not write the gradient to memory and rounds otherwise: batches of one
    sample; and steps with a penalty, unless the batch has more than 1024 samples or is tall, see tall_step.py.

    Gradients of parts of a batch add up to that of the batch if each part is multiplied by its share of the samples.
    Sample weights of this share, for all samples of a part, do so in `network_gradient`.
    """
    threads = threads_for(UPDATE_COST * params.size)
    shape = (sizes.tobytes(), params.itemsize, params.size, optimizer, threads)
    workspace = this_thread.workspaces.get(shape) or new_update_workspace(UpdateShape(*shape))
    workspace.run(
        params, first, second, grad_params, settings, workspace.job, learning_rate, batch_weight, step, threads
    )


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
    """Steps of minibatch gradient descent: the optimizer's rule on the gradient of the mean loss, once per batch.

    Batch s of an epoch is its samples order[s * batch_size : (s + 1) * batch_size]; the last may be smaller. Its loss
    is the sum of w_i E_i over its samples, divided by the weight of the batch. Where no weights of samples are given,
    w_i is 1; where no weights of batches are given, they are the numbers of their samples. A batch of infinite weight
    has loss and gradient 0.

    params          (P,)          read and written; contiguous
    first, second   (P,) or (0,)  read and written; contiguous: the optimizer's state, laid out like params; empty where
                                  the rule has none
    statistics      (Q,)          read and written; contiguous: of each hidden layer the running mean (O,) and variance
                                  (O,), which batch normalization moves towards those of the batch; (0,) without it
    step_losses     (S,)          float64, written: the mean loss of each batch before its update; S is
                                  E ceil(M / batch_size)
    half_squares    (S,) or (0,)  float64, written: 1/2 sum_l ||W_l||^2 before each update, accumulated in float64:
                                  times a factor of the penalty, what this adds to the loss; not computed if empty
    x               (N, I)        read; as in network_gradient
    targets         (N,) int64 labels or (N, K) rows, as the loss takes them; read
    sample_weights  (N,) or (0,)  read
    batch_weights   (S,) or (0,)  float64, read: not 0, may be infinite
    order           (E, M)        int64, read: a row for each epoch, of indices of samples; or (E, 0): all N, as they
                                  come. One epoch may be (M,)
    learning_rates  (S,)          float64, read
    sizes           (L + 1,)      int64, read; contiguous
    activations     (L,)          int64, read; contiguous; as in network_gradient
    settings        (13,)         float64, read; contiguous, see SETTINGS:
        beta1, beta2, epsilon, decay    of the rule, see optimizers.py; book: not 0 for the book's epsilon in Adam
        l2                              l2 W is added to the gradient of each W, as by a penalty l2 / 2 ||W||^2
        batch_l2                        the same divided by the weight of the batch, as by a penalty on the batch's sum
        clip_norm                       a gradient that is longer is scaled down to this Euclidean norm; 0 for none
        dropout, dropout_scale          of the outputs of hidden layers so many, on average, become 0, and the others
                                        are multiplied by the scale
        norm_epsilon, norm_momentum     of batch normalization: added to the variance; what running statistics keep
        seed                            of dropout: an integer in [0, 2^32)
    loss_parameters (H,)          float64, read; contiguous; as in network_gradient
    loss, optimizer               indices into LOSSES, or what `compile_loss` returned, and into OPTIMIZERS
    steps_before                  the number of steps already made with this state

    Steps may be taken in several calls. Those of gradient descent on one sample each have the same bits then if every
    call begins a multiple of 16 of them after the beginning of its epoch: so many are computed together.

    Source: section 4 of the notes: batch_size N is gradient descent, 1 is the stochastic form, else the minibatch form.
    """
    order = np.ascontiguousarray(np.atleast_2d(order))
    weights, losses = np.ascontiguousarray(sample_weights), np.ascontiguousarray(step_losses)
    samples = order.shape[1] or len(x)
    # The last batch of an epoch, in a call of its own, is no step on one sample: results do not depend on the calls.
    batch = max(1, min(batch_size, max(samples, 2)))
    drops, clips = settings[_DROPOUT] > 0, settings[_CLIP_NORM] > 0
    divided, squared = batch_weights.size > 0, half_squares.size > 0
    grouped = in_groups(batch, optimizer, drops or clips or statistics.size > 0 or squared)
    threads = threads_for(params.size // 2 if grouped else 3 * batch * params.size)
    source = IN_PLACE if x.dtype == params.dtype and x.flags.carray else source_of(x, params.dtype)
    shape = (
        sizes.tobytes(), activations.tobytes(), params.itemsize, params.size, batch, source, loss, optimizer,
        targets.ndim == 1, order.shape[1] > 0, weights.size > 0, divided, squared, drops, clips, statistics.size > 0,
        threads,
    )  # fmt: skip
    workspace = this_thread.workspaces.get(shape) or new_workspace(Shape(*shape))
    calls = len(losses)
    if grouped and calls:
        calls = len(order) * -(-samples // SAMPLES_PER_GROUP)
    rates = np.ascontiguousarray(learning_rates)
    workspace.bind(first, second, statistics, weights, order, rates, workspace.job, samples, calls)
    if divided:
        batch_weights = np.ascontiguousarray(batch_weights, np.float64)
        workspace.record["divisors"] = batch_weights.ctypes.data
    if squared:
        squares = np.ascontiguousarray(half_squares, np.float64)
        workspace.record["half_squares"] = squares.ctypes.data
    labels, rows = split_targets(targets, params.dtype)
    if source != IN_PLACE:
        x = enter_samples(workspace.record, x, params.dtype)
    workspace.run(
        params, params, x, np.ascontiguousarray(labels), contiguous_rows(rows), settings, loss_parameters, losses,
        workspace.job, steps_before, threads,
    )  # fmt: skip
    if losses is not step_losses:
        step_losses[...] = losses
    if squared and squares is not half_squares:
        half_squares[...] = squares
