"""The calls of predictions: `network_forward` and `network_loss`.

A call finds or makes a workspace for its shapes and hands its arrays to prediction.py, which does the work.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler.decorators import address_of, entry_for
from ..compiler.memory import contiguous_rows
from ..elementwise.conversion import IN_PLACE, converter, enter_samples, source_of
from ..elementwise.losses.contract import split_targets
from ..elementwise.losses.table import loss_function, terms_per_sample
from ..products.packing import bytes_of_room
from ..tuning import (
    PACKED_LEAST_BYTES,
    PACKED_LEAST_ROWS,
    PACKED_MOST_BYTES,
    PREDICTION_ROWS,
    PREDICTION_ROWS_LARGE,
)
from ..workers.threads import threads_for
from .arena import Arena, allocate
from .kept import keep_workspace, this_thread
from .layout import Form, float_of, lay_out_network
from .prediction import PREDICTION, pack_part, predict_rows, predicted_loss

NO_LOSS = -1


class _Shape(NamedTuple):
    """What the workspace of a prediction depends on: the key under which it is kept."""

    sizes: bytes
    activations: bytes
    itemsize: int  # of the dtype
    rows: int  # of a block
    threads: int
    source: str  # how x is read, see `source_of`
    loss: int  # or NO_LOSS
    packed: bool  # whether there is room for a copy of every W


class _Workspace(NamedTuple):
    """The memory of a prediction, its record and the address of that, the entry point: of predictions or of losses."""

    memory: np.ndarray
    job: int
    record: np.void
    predict: Callable[..., Any]


def _workspace_for(
    params: np.ndarray, x: np.ndarray, source: str, sizes: np.ndarray, activations: np.ndarray, loss: int, threads: int
) -> _Workspace:
    """The workspace for these arrays, kept from an earlier call if there was one of the same shape."""
    most = -(-len(x) // threads)  # of a thread
    if most < PREDICTION_ROWS:
        rows = 1 << (most - 1).bit_length()  # a power of two: many lengths share a workspace
    else:
        rows = PREDICTION_ROWS if params.nbytes <= PACKED_MOST_BYTES else PREDICTION_ROWS_LARGE
    packed = len(x) >= threads * PACKED_LEAST_ROWS and PACKED_LEAST_BYTES <= params.nbytes <= PACKED_MOST_BYTES
    shape = sizes.tobytes(), activations.tobytes(), params.itemsize, rows, threads, source, loss, packed
    found: _Workspace | None = this_thread.workspaces.get(shape)
    return found or _new_workspace(_Shape(*shape))


def _new_workspace(shape: _Shape) -> _Workspace:
    function, dtype = predict_rows if shape.loss == NO_LOSS else predicted_loss, float_of(shape.itemsize)
    memory, (job, record) = allocate(lambda arena: _lay_out(arena, shape), [(function, dtype)])
    workspace = _Workspace(memory, job, record, entry_for(function, dtype))
    keep_workspace(tuple(shape), workspace, memory.nbytes)
    return workspace


def _lay_out(arena: Arena, shape: _Shape) -> tuple[int, np.void]:
    """Take all memory of a prediction, and fill in its record; returns the record's address, and the record."""
    dtype = float_of(shape.itemsize)
    sizes = tuple(np.frombuffer(shape.sizes, np.int64).tolist())
    activations = tuple(np.frombuffer(shape.activations, np.int64).tolist())
    capacity = shape.rows * shape.threads
    address, (job,) = arena.records(PREDICTION)
    converted = 0
    if shape.source != IN_PLACE:
        job["convert"], converted = converter(shape.source, dtype), capacity
    form = Form(sizes, activations, dtype, capacity, converted, training=False, drops=False, normalized=False)
    job["network"], _, layers = lay_out_network(arena, form)
    job["block"], job["scratch_bytes"] = shape.rows, -(-bytes_of_room(max(sizes)) // 128) * 128 + 128
    job["scratch"] = arena.buffer(shape.threads * int(job["scratch_bytes"]))
    if shape.packed:
        job["pack"] = address_of(pack_part, dtype)
        for layer in layers[1:]:
            layer["packed"] = arena.buffer(int(layer["inputs"]) * int(layer["outputs"]) * dtype.itemsize)
    if shape.loss != NO_LOSS:
        job["loss"] = loss_function(shape.loss, dtype)
        job["terms_per_sample"] = terms_per_sample(shape.loss, sizes[-1])
        job["loss_gradients"] = arena.buffer(capacity * int(layers[-1]["stride"]))
    return address, job


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> bool:
    """Carry every row of x through the network: x_l = f_l(x_{l-1} W_l + b_l) for l = 1 to L.

    out          (N, K)    written: the last layer's output
    params       (P,)      read; contiguous: W1 (I, O) row by row, b1, W2, b2, ...
    x            (N, I)    read; of a dtype that `is_convertible` accepts, with any strides
    sizes        (L + 1,)  int64, read; contiguous
    activations  (L,)      int64, read; contiguous: indices into ACTIVATIONS

    Returns False if an element of x is not finite in the dtype of params and x had to be converted to it: what is read
    where it lies is not checked.
    Source: section 1 of the notes, the multilayer network.
    """
    threads = threads_for(x.shape[0] * params.size)
    source = IN_PLACE if x.dtype == params.dtype and x.flags.carray else source_of(x, params.dtype)
    workspace = _workspace_for(params, x, source, sizes, activations, NO_LOSS, threads)
    if source != IN_PLACE:
        x = enter_samples(workspace.record, x, params.dtype)
    not_finite = workspace.predict(params, out, x, workspace.job, threads)
    return not_finite == 0


def network_loss(
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
) -> float:
    """The mean loss of the network's outputs for the rows of x, as the loss of that name gives it for them.

    params       (P,)      read; contiguous, as in network_forward
    x            (N, I)    read; as in network_forward
    targets      (N,) int64 labels or (N, K) rows, as the loss takes them; read
    sizes        (L + 1,)  int64, read; contiguous
    activations  (L,)      int64, read; contiguous; the last is the identity where the loss contains the output
                           activation
    loss_parameters  (H,)  float64, read; contiguous: what the kernel of the loss takes after its targets, or (0,)
    loss         an index into LOSSES, or what `compile_loss` returned

    Returns the mean, accumulated in float64; NaN if there are no rows, or if an element of x is not finite.
    Source: section 3 of the notes, the error functions.
    """
    labels, rows = split_targets(targets, params.dtype)
    labels, rows = np.ascontiguousarray(labels), contiguous_rows(rows)
    threads = threads_for(x.shape[0] * params.size)
    source = IN_PLACE if x.dtype == params.dtype and x.flags.carray else source_of(x, params.dtype)
    workspace = _workspace_for(params, x, source, sizes, activations, loss, threads)
    if source != IN_PLACE:
        x = enter_samples(workspace.record, x, params.dtype)
    loss_of_all = workspace.predict(params, x, labels, rows, loss_parameters, workspace.job, threads)
    return float(loss_of_all)
