"""How the public kernels of losses run: a part of the rows on each thread, then the sum of all terms on one."""

from collections.abc import Callable

import numpy as np

from ...compiler.decorators import address_in_code, inner, shared
from ...compiler.memory import RecordAt, Rows, accessor, address_of_record, contiguous_rows, new_record, record_of
from ...compiler.signature import Real
from ...workers.crew import share
from ...workers.region import in_parts
from ...workers.threads import threads_for
from .contract import NO_PARAMETERS, Targets, call_loss, split_targets, total


class LossWork:
    """The work of a loss: addresses of arrays, distances of their rows in bytes."""

    function: int
    rows: int
    columns: int
    grad: int
    grad_row: int
    out: int
    out_row: int
    labels: int
    targets: int  # 0 if there are labels
    targets_row: int
    parameters: int
    terms: int
    bytes_per_sample: int  # of terms
    scale: float


LOSS_WORK = record_of(LossWork)
loss_work_at: RecordAt = accessor(LOSS_WORK)


@shared
def loss_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Part number `part` of the work that the record at `arguments` describes."""
    work = loss_work_at(arguments)
    start, stop = share(work.rows, parts, part)
    grad = Rows(work.grad + start * work.grad_row, work.grad_row)
    out = Rows(work.out + start * work.out_row, work.out_row)
    rows = Rows(work.targets + start * work.targets_row if work.targets != 0 else 0, work.targets_row)
    targets, terms = Targets(work.labels + 8 * start, rows), work.terms + start * work.bytes_per_sample
    call_loss(
        work.function, grad, out, stop - start, work.columns, targets, work.parameters, terms, work.scale, one
    )  # fmt: skip


@inner
def mean_loss(grad, out, labels, targets, parameters, function, per_sample, threads):
    """The mean loss of a batch, whose gradient is written to `grad`.

    labels, targets  one of them empty, see `split_targets`
    parameters       of the loss, float64
    function         the address of a loss function, for `call_loss`
    per_sample       terms of the loss for each sample
    """
    batch = out.shape[0]
    terms = np.empty(batch * per_sample, np.float64)
    write_terms(terms, grad, out, labels, targets, parameters, function, per_sample, 1.0 / max(batch, 1), threads)
    return total(terms) / np.float64(batch)


@inner
def write_terms(terms, grad, out, labels, targets, parameters, function, per_sample, scale, threads):
    """The terms of the losses of a batch, and the gradient of their sum times `scale`; see `mean_loss`."""
    one, work = out.dtype.type(1), new_record(LOSS_WORK)
    work.function = function
    work.rows, work.columns = out.shape
    work.grad, work.grad_row = grad.ctypes.data, grad.strides[0]
    work.out, work.out_row = out.ctypes.data, out.strides[0]
    work.labels = labels.ctypes.data
    work.targets = targets.ctypes.data if targets.shape[0] > 0 else 0
    work.targets_row = targets.strides[0]
    work.parameters = parameters.ctypes.data
    work.terms, work.bytes_per_sample = terms.ctypes.data, 8 * per_sample
    work.scale = scale
    in_parts(address_in_code(loss_part, one), address_of_record(work), threads, one)


def run_loss(
    kernel: Callable[..., float],
    grad: np.ndarray,
    out: np.ndarray,
    targets: np.ndarray,
    cost: int,
    parameters: np.ndarray = NO_PARAMETERS,
) -> float:
    """Call the entry point of a loss; `cost` is that of an element, in multiply-adds."""
    labels, rows = split_targets(targets, out.dtype)
    result = contiguous_rows(grad)
    labels, rows = np.ascontiguousarray(labels), contiguous_rows(rows)
    loss = kernel(result, contiguous_rows(out), labels, rows, parameters, threads_for(out.size * cost))
    if result is not grad:
        grad[...] = result
    return loss
