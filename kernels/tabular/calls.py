"""The public calls of networks for tables: predictions, the gradient, and any number of steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler.decorators import entry_for
from ..compiler.memory import contiguous_rows
from ..elementwise.losses.contract import split_targets
from ..elementwise.settings import SETTINGS
from ..network.arena import Arena, allocate
from ..network.kept import keep_workspace, this_thread
from ..network.layout import float_of
from ..products.packing import bytes_of_room
from ..training.workspace import GRADIENT, Workspace
from ..tuning import TABULAR_BLOCK_ROWS
from ..workers.threads import threads_for
from .layout import Members, form_of, lay_out_tabular
from .prediction import TABULAR_PREDICTION, predict_tabular
from .workspace import Shape, features_of, new_tabular_workspace

_DROPOUT, _CLIP_NORM = SETTINGS.index("dropout"), SETTINGS.index("clip_norm")
_NONE = np.empty((1, 0), np.int64)


def tabular_forward(
    out: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    members: int,
    scaled: int,
) -> None:
    """Predictions of a network for tables: the mean over its members of their outputs.

    A row of x becomes D numbers e, the embeddings of its features. With the scales r, s of member m and its head V, c:
        x_0 = e,   x_l = f_l(s_l * ((r_l * x_{l-1}) W_l) + b_l) for l = 1 to L - 1,   y_m = f_L(x_{L-1} V + c)

    out          (N, K)    written
    params       (P,)      read; contiguous: the table of each feature that has one, row by row, bins with the bias
                           before the first; then for each hidden layer r (M, I), W (I, O), s (M, O), b (M, O), of which
                           r is that of the first layer only and b (O,), without s, unless `scaled`; r and s do not
                           exist for M = 1; then V (M, H, K), c (M, K)
    x            (N, F)    read; of the dtype of params: plain numbers, positions in bins, codes of categories. Beyond
                           the first or last bin its slope goes on; codes beyond the first or last category are these
    features     (F, 3)    int64, read; contiguous: kind (0 plain, 1 bins, 2 categories), number of bins or categories,
                           width
    sizes        (L + 1,)  int64, read; contiguous: D, the sum of the widths; units of the hidden layers; K; L >= 2
    activations  (L,)      int64, read; contiguous: indices into ACTIVATIONS
    members      M
    scaled       whether all hidden layers have scales and biases of each member, or the first layer scales of inputs

    Source: Gorishniy et al., NeurIPS 2022 (piecewise-linear embeddings) and ICLR 2025 (TabM, TabM-mini).
    """
    threads = threads_for(len(x) * members * _products(sizes))
    most = -(-len(x) // threads)  # samples of a thread
    block = min(max(TABULAR_BLOCK_ROWS // members, 1), 1 << max(most - 1, 0).bit_length())
    shape = (
        features.tobytes(), sizes.tobytes(), activations.tobytes(), params.itemsize, members, bool(scaled), block,
        threads,
    )  # fmt: skip
    workspace = this_thread.workspaces.get(shape) or _new_prediction(_PredictionShape(*shape))
    workspace.predict(params, out, contiguous_rows(x), workspace.job, threads)


def _products(sizes: np.ndarray) -> int:
    """Multiply-adds of a row of one member."""
    return int(sizes[:-1] @ sizes[1:])


class _PredictionShape(NamedTuple):
    """What the workspace of a prediction depends on: the key under which it is kept."""

    features: bytes
    sizes: bytes
    activations: bytes
    itemsize: int
    members: int
    scaled: bool
    block: int
    threads: int


class _Prediction(NamedTuple):
    """The memory of a prediction, the address of its record, and the entry point."""

    memory: np.ndarray
    job: int
    predict: Callable[..., Any]


def _new_prediction(shape: _PredictionShape) -> _Prediction:
    dtype = float_of(shape.itemsize)
    memory, job = allocate(lambda arena: _lay_out(arena, shape), [(predict_tabular, dtype)])
    workspace = _Prediction(memory, job, entry_for(predict_tabular, dtype))
    keep_workspace(tuple(shape), workspace, memory.nbytes)
    return workspace


def _lay_out(arena: Arena, shape: _PredictionShape) -> int:
    """Take all memory of a prediction, and fill in its record; returns the record's address."""
    dtype, samples = float_of(shape.itemsize), shape.block * shape.threads
    sizes = tuple(np.frombuffer(shape.sizes, np.int64).tolist())
    activations = tuple(np.frombuffer(shape.activations, np.int64).tolist())
    address, (job,) = arena.records(TABULAR_PREDICTION)
    form = form_of(sizes, activations, dtype, samples * shape.members, False, False)
    ensemble = Members(features_of(shape.features), shape.members, shape.scaled, samples)
    job["network"], _, job["tabular"], _ = lay_out_tabular(arena, form, ensemble)
    job["block"], job["scratch_bytes"] = shape.block, -(-bytes_of_room(max(sizes)) // 128) * 128 + 128
    job["scratch"] = arena.buffer(shape.threads * int(job["scratch_bytes"]))
    return address


def tabular_gradient(
    grad_params: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    step: int,
    members: int,
    scaled: int,
) -> float:
    """Back-propagation: the gradient of the mean loss over the members and the rows of x.

    The mean is sum_i w_i sum_m E_im / (B M), with w_i 1 where no weights are given.

    grad_params      (P,)          written; contiguous, laid out like params
    params           (P,)          read; contiguous, see tabular_forward
    x                (B, F)        read; as in tabular_forward
    targets          (B,) int64 labels or (B, K) rows, as the loss takes them; read
    sample_weights   (B,) or (0,)  read
    features         (F, 3)        int64, read; contiguous
    sizes            (L + 1,)      int64, read; contiguous
    activations      (L,)          int64, read; contiguous; the last is the identity
    settings         (13,)         float64, read; contiguous: those of dropout, see train_steps. The mask of row i M + m
                                   belongs to member m of sample i
    loss_parameters  (H,)          float64, read; contiguous: see network_gradient
    loss             an index into LOSSES, or what `compile_loss` returned
    step             the number of the step, from 1, which dropout depends on
    members, scaled  see tabular_forward

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    """
    workspace, threads = _workspace(
        params, targets, sample_weights, features, sizes, activations, settings, loss, GRADIENT, len(x), members, scaled
    )
    nothing, rates = np.empty(0, params.dtype), np.empty(1)
    order = np.arange(len(x)).reshape(1, -1) if len(x) else _NONE
    weights = np.ascontiguousarray(sample_weights, params.dtype)
    workspace.bind(nothing, nothing, nothing, weights, order, rates, workspace.job, len(x), 1)
    labels, rows = split_targets(targets, params.dtype)
    workspace.run(
        params, grad_params, contiguous_rows(x), np.ascontiguousarray(labels), contiguous_rows(rows), settings,
        loss_parameters, workspace.step_losses, workspace.job, step - 1, threads,
    )  # fmt: skip
    return float(workspace.step_losses[0])


def tabular_steps(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    step_losses: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    features: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    optimizer: int,
    batch_size: int,
    steps_before: int,
    members: int,
    scaled: int,
) -> None:
    """Steps of minibatch gradient descent: the optimizer's rule on the gradient of each batch, see tabular_gradient.

    Batch s of an epoch is its samples order[s * batch_size : (s + 1) * batch_size]; the last may be smaller.

    params          (P,)          read and written; contiguous, see tabular_forward
    first, second   (P,) or (0,)  read and written; contiguous: the optimizer's state, laid out like params; empty where
                                  the rule has none
    step_losses     (S,)          float64, written: the mean loss of each batch before its update; S is
                                  E ceil(A / batch_size)
    x               (N, F)        read; as in tabular_forward
    targets         (N,) int64 labels or (N, K) rows, as the loss takes them; read
    sample_weights  (N,) or (0,)  read
    order           (E, A)        int64, read: a row for each epoch, of indices of samples
    learning_rates  (S,)          float64, read
    features        (F, 3)        int64, read; contiguous
    sizes           (L + 1,)      int64, read; contiguous
    activations     (L,)          int64, read; contiguous; the last is the identity
    settings        (13,)         float64, read; contiguous: those of the rule, clip_norm and dropout, see train_steps;
                                  l2 and batch_l2 are 0
    loss_parameters (H,)          float64, read; contiguous: see network_gradient
    loss, optimizer               indices into LOSSES, or what `compile_loss` returned, and into OPTIMIZERS
    batch_size                    samples of a step
    steps_before                  the number of steps already made with this state
    members, scaled               see tabular_forward
    """
    order = np.ascontiguousarray(order)
    samples, losses = order.shape[1], np.ascontiguousarray(step_losses)
    batch = max(1, min(batch_size, samples))
    workspace, threads = _workspace(
        params, targets, sample_weights, features, sizes, activations, settings, loss, optimizer, batch, members, scaled
    )
    weights, rates = np.ascontiguousarray(sample_weights, params.dtype), np.ascontiguousarray(learning_rates)
    nothing = np.empty(0, params.dtype)
    workspace.bind(first, second, nothing, weights, order, rates, workspace.job, samples, len(losses))
    labels, rows = split_targets(targets, params.dtype)
    workspace.run(
        params, params, contiguous_rows(x), np.ascontiguousarray(labels), contiguous_rows(rows), settings,
        loss_parameters, losses, workspace.job, steps_before, threads,
    )  # fmt: skip
    if losses is not step_losses:
        step_losses[...] = losses


def _workspace(
    params: np.ndarray, targets: np.ndarray, sample_weights: np.ndarray, features: np.ndarray, sizes: np.ndarray,
    activations: np.ndarray, settings: np.ndarray, loss: int, optimizer: int, batch: int, members: int, scaled: int,
) -> tuple[Workspace, int]:  # fmt: skip
    """The workspace for these arrays, kept from an earlier call if there was one of the same shape; the threads."""
    threads = threads_for(3 * batch * members * _products(sizes))
    clips = optimizer != GRADIENT and settings[_CLIP_NORM] > 0
    shape = (
        features.tobytes(), sizes.tobytes(), activations.tobytes(), params.itemsize, params.size, batch, loss,
        optimizer, targets.ndim == 1, sample_weights.size > 0, settings[_DROPOUT] > 0, clips, members, bool(scaled),
        threads,
    )  # fmt: skip
    found: Workspace | None = this_thread.workspaces.get(shape)
    return found or new_tabular_workspace(Shape(*shape)), threads
