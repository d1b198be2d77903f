"""What a loss is to other compiled code: a function of a block of rows, called by address.

Every loss is a mean over the batch of E_i, the loss of sample i; the gradient is that of the mean. E_i is computed and
summed in float64, whatever the dtype of the arrays. A block has at least one column.

The parameters of a loss, such as the delta of Huber's, are a vector of float64 that compiled code passes on by its
address: `loss_parameters` of the public kernels. table.py says how many there are; of a loss without any, the vector is
empty and nobody reads it.
"""

from typing import Any, NamedTuple

import numpy as np

from ...compiler.decorators import called_through, inner
from ...compiler.memory import Rows, itemsize
from ...compiler.signature import Real


class Targets(NamedTuple):
    """The targets of a block: the address of one int64 label a row; or rows of targets, if `rows.address` is not 0."""

    labels: int
    rows: Rows


@called_through
def call_loss(
    function: int, grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int,
    scale: float, one: Real,
) -> None:  # fmt: skip
    """Call a loss function: write the gradient of a block's loss, times `scale`, and the terms of the loss.

    grad        written
    out         read: the outputs of the network, or logits
    parameters  the address of float64, read: as many as `parameters_of` says
    terms       the address of float64, written: as many a row as `terms_per_sample` says. Their sum is the block's loss
    """


NO_LABELS = np.empty(0, np.int64)
NO_PARAMETERS = np.empty(0)
NO_SMOOTHING = np.zeros(1)  # the parameters of a cross-entropy whose targets stay as they are


def split_targets(targets: np.ndarray, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Integer labels and rows of targets, one of them empty: compiled code takes both, so that one version serves."""
    if targets.ndim == 1:
        return targets, np.empty((0, 0), dtype)
    return NO_LABELS, targets


@inner
def long_runs(grad, out, targets, rows, columns, one):
    """How many runs of contiguous elements a block of three matrices consists of, and how long they are.

    Rows without gaps are one long run for the vector loop: a row of ten outputs alone would be mostly remainder.
    """
    row = columns * itemsize(one)
    if grad.stride == row and out.stride == row and targets.stride == row:
        return 1, rows * columns
    return rows, columns


LANES = 8


@inner
def total(terms):
    """The sum of a float64 array.

    Accumulator p sums elements p, p + 8, p + 16, ..., so that the compiler keeps the accumulators in vectors.
    """
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = terms.shape[0] // LANES * LANES
    for j in range(0, whole, LANES):
        s0 += terms[j]
        s1 += terms[j + 1]
        s2 += terms[j + 2]
        s3 += terms[j + 3]
        s4 += terms[j + 4]
        s5 += terms[j + 5]
        s6 += terms[j + 6]
        s7 += terms[j + 7]
    rest = 0.0
    for j in range(whole, terms.shape[0]):
        rest += terms[j]
    return (((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))) + rest
