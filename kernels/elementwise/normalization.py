"""Batch normalization: each feature is shifted and scaled to mean 0 and variance 1, then scaled and shifted as learnt.

With n = (x - mean) / s, s = sqrt(variance + eps), mean and variance those of a column over the B rows of the batch:

    out = gamma n + beta

Backward, with g = dE/dout: dE/dbeta = sum_b g, dE/dgamma = sum_b g n. As n depends on every row through mean and s,

    dE/dx = gamma / s (g - mean_b g - n mean_b (g n))

The gradient with respect to n is gamma g. Its mean would shift all of n and its component along n would scale n; the
batch undoes both, so both are subtracted.

Columns are independent, and threads divide them. `mul_add` decides what is fused, so that an element has the same bits
in the vector loop and in its scalar remainder.

Source: Ioffe and Szegedy 2015.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.decorators import address_in_code, entry, inner, shared
from ..compiler.memory import (
    RecordAt,
    Rows,
    accessor,
    address_of_record,
    array_at,
    as_type_of,
    contiguous_rows,
    itemsize,
    keep,
    new_record,
    record_of,
    row_at,
)
from ..compiler.signature import Matrix2D, Real, Vector, WrittenMatrix, WrittenVector
from ..tuning import NORMALIZATION_COST
from ..workers.crew import share
from ..workers.region import in_parts
from ..workers.threads import threads_for
from .primitives import mul_add, where

# Columns. Shares of columns begin at multiples of this: whole cache lines of float32.
SHARE_STEP = 16


class Statistics(NamedTuple):
    """Addresses of vectors that the forward pass writes: mean, variance, and 1 / s."""

    mean: int
    variance: int
    inverse: int


class ScaleShift(NamedTuple):
    """Addresses of the vectors gamma and beta, or of their gradients."""

    gamma: int
    beta: int


@inner
def column_share(columns, parts, part):
    """The half-open range of columns that a part gets: whole cache lines."""
    first, last = share((columns + SHARE_STEP - 1) // SHARE_STEP, parts, part)
    return first * SHARE_STEP, min(last * SHARE_STEP, columns)


@shared
def normalize(
    out: Rows, normalized: Rows, x: Rows, statistics: Statistics, learnt: ScaleShift,
    rows: int, columns: int, epsilon: float, one: Real,
) -> None:  # fmt: skip
    """The forward pass for some columns, from the addresses of their first elements.

    out, normalized  written; out may be x
    x, learnt        read
    """
    mean, variance = array_at(statistics.mean, columns, one), array_at(statistics.variance, columns, one)
    inverse = array_at(statistics.inverse, columns, one)
    gamma, beta = array_at(learnt.gamma, columns, one), array_at(learnt.beta, columns, one)
    per_row, eps = one / as_type_of(rows, one), as_type_of(epsilon, one)
    for j in range(columns):
        mean[j] = 0
        variance[j] = 0
    for i in range(rows):
        row = row_at(x, i, columns, one)
        for j in range(columns):
            mean[j] += row[j]
    for j in range(columns):
        mean[j] *= per_row
        inverse[j] = 0
    # The mean has the rounding error of a sum of B numbers. The distances from it are small, and so is the rounding
    # error of their mean, which corrects both mean and variance. Without it, n of 1,000 equal numbers would not be 0.
    for i in range(rows):
        row = row_at(x, i, columns, one)
        for j in range(columns):
            distance = row[j] - mean[j]
            inverse[j] += distance
            variance[j] = mul_add(distance, distance, variance[j])
    for j in range(columns):
        error = inverse[j] * per_row
        mean[j] = where(error == error, mean[j] + error, mean[j])  # infinity - infinity is NaN, but the mean is not
        square = mul_add(-error, error, variance[j] * per_row)
        variance[j] = where(square < 0, one - one, square)
        inverse[j] = one / np.sqrt(variance[j] + eps)
    for i in range(rows):
        row, result, n = row_at(x, i, columns, one), row_at(out, i, columns, one), row_at(normalized, i, columns, one)
        for j in range(columns):
            n[j] = (row[j] - mean[j]) * inverse[j]
            result[j] = mul_add(gamma[j], n[j], beta[j])


@shared
def normalize_back(
    grad_x: Rows,
    grad_out: Rows,
    normalized: Rows,
    gradients: ScaleShift,
    scale: int,
    rows: int,
    columns: int,
    one: Real,
) -> None:
    """The backward pass for some columns, from the addresses of their first elements.

    grad_x, gradients     written; grad_x may be grad_out
    grad_out, normalized  read
    scale                 read: the vector gamma / s
    """
    by_gamma, by_beta = array_at(gradients.gamma, columns, one), array_at(gradients.beta, columns, one)
    factor = array_at(scale, columns, one)
    per_row = one / as_type_of(max(rows, 1), one)
    for j in range(columns):
        by_gamma[j] = 0
        by_beta[j] = 0
    for i in range(rows):
        g, n = row_at(grad_out, i, columns, one), row_at(normalized, i, columns, one)
        for j in range(columns):
            by_gamma[j] = mul_add(g[j], n[j], by_gamma[j])
            by_beta[j] += g[j]
    for i in range(rows):
        g, n = row_at(grad_out, i, columns, one), row_at(normalized, i, columns, one)
        result = row_at(grad_x, i, columns, one)
        for j in range(columns):
            rest = mul_add(-per_row, by_beta[j], g[j])
            result[j] = factor[j] * mul_add(-n[j], by_gamma[j] * per_row, rest)


class ForwardWork:
    """The work of the forward kernel: addresses of arrays, distances of their rows in bytes."""

    rows: int
    columns: int
    out: int
    out_row: int
    normalized: int
    normalized_row: int
    x: int
    x_row: int
    means: int
    variances: int
    inverses: int
    gamma: int
    beta: int
    epsilon: float


class BackwardWork:
    """The work of the backward kernel: addresses of arrays, distances of their rows in bytes."""

    rows: int
    columns: int
    grad_x: int
    grad_x_row: int
    grad_out: int
    grad_out_row: int
    normalized: int
    normalized_row: int
    grad_gamma: int
    grad_beta: int
    scale: int


FORWARD_WORK, BACKWARD_WORK = record_of(ForwardWork), record_of(BackwardWork)
forward_work_at: RecordAt = accessor(FORWARD_WORK)
backward_work_at: RecordAt = accessor(BACKWARD_WORK)


@shared
def normalize_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Part number `part` of the work that the record at `arguments` describes."""
    work = forward_work_at(arguments)
    start, stop = column_share(work.columns, parts, part)
    shift = start * itemsize(one)
    out, normalized = Rows(work.out + shift, work.out_row), Rows(work.normalized + shift, work.normalized_row)
    statistics = Statistics(work.means + shift, work.variances + shift, work.inverses + shift)
    learnt = ScaleShift(work.gamma + shift, work.beta + shift)
    x = Rows(work.x + shift, work.x_row)
    normalize(out, normalized, x, statistics, learnt, work.rows, stop - start, work.epsilon, one)


@shared
def normalize_back_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Part number `part` of the work that the record at `arguments` describes."""
    work = backward_work_at(arguments)
    start, stop = column_share(work.columns, parts, part)
    shift = start * itemsize(one)
    grad_x, grad_out = Rows(work.grad_x + shift, work.grad_x_row), Rows(work.grad_out + shift, work.grad_out_row)
    normalized = Rows(work.normalized + shift, work.normalized_row)
    gradients = ScaleShift(work.grad_gamma + shift, work.grad_beta + shift)
    normalize_back(grad_x, grad_out, normalized, gradients, work.scale + shift, work.rows, stop - start, one)


@entry
def _forward(
    out: WrittenMatrix, normalized: WrittenMatrix, mean: WrittenVector, variance: WrittenVector,
    x: Matrix2D, gamma: Vector, beta: Vector, epsilon: float, threads: int,
) -> int:  # fmt: skip
    one, work = gamma.dtype.type(1), new_record(FORWARD_WORK)
    inverse = np.empty(gamma.shape[0], gamma.dtype)
    work.rows, work.columns = x.shape
    work.out, work.out_row = out.ctypes.data, out.strides[0]
    work.normalized, work.normalized_row = normalized.ctypes.data, normalized.strides[0]
    work.x, work.x_row = x.ctypes.data, x.strides[0]
    work.means, work.variances, work.inverses = mean.ctypes.data, variance.ctypes.data, inverse.ctypes.data
    work.gamma, work.beta, work.epsilon = gamma.ctypes.data, beta.ctypes.data, epsilon
    in_parts(address_in_code(normalize_part, one), address_of_record(work), threads, one)
    return keep(inverse)


@entry
def _backward(
    grad_x: WrittenMatrix, grad_gamma: WrittenVector, grad_beta: WrittenVector,
    grad_out: Matrix2D, normalized: Matrix2D, variance: Vector, gamma: Vector, epsilon: float, threads: int,
) -> int:  # fmt: skip
    one, work = gamma.dtype.type(1), new_record(BACKWARD_WORK)
    scale, eps = np.empty(gamma.shape[0], gamma.dtype), gamma.dtype.type(epsilon)
    for j in range(gamma.shape[0]):
        scale[j] = gamma[j] / np.sqrt(variance[j] + eps)
    work.rows, work.columns = grad_x.shape
    work.grad_x, work.grad_x_row = grad_x.ctypes.data, grad_x.strides[0]
    work.grad_out, work.grad_out_row = grad_out.ctypes.data, grad_out.strides[0]
    work.normalized, work.normalized_row = normalized.ctypes.data, normalized.strides[0]
    work.grad_gamma, work.grad_beta, work.scale = grad_gamma.ctypes.data, grad_beta.ctypes.data, scale.ctypes.data
    in_parts(address_in_code(normalize_back_part, one), address_of_record(work), threads, one)
    return keep(scale)


def batch_norm_forward(
    out: np.ndarray,
    normalized: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    epsilon: float,
) -> None:
    """Batch normalization: out = gamma n + beta, n = (x - mean) / sqrt(variance + epsilon).

    out             (B, O)  written; may be x
    normalized      (B, O)  written: n
    mean, variance  (O,)    written: those of the batch, the variance with the divisor B; NaN for an empty batch
    x               (B, O)  read
    gamma, beta     (O,)    read
    epsilon         float

    Source: Ioffe and Szegedy 2015, algorithm 1.
    """
    batch = np.ascontiguousarray(mean), np.ascontiguousarray(variance)
    learnt = np.ascontiguousarray(gamma), np.ascontiguousarray(beta)
    arrays = contiguous_rows(out), contiguous_rows(normalized), *batch
    _forward(*arrays, contiguous_rows(x), *learnt, epsilon, threads_for(x.size * NORMALIZATION_COST))
    for result, wanted in zip(arrays, (out, normalized, mean, variance), strict=True):
        if result is not wanted:
            wanted[...] = result


def batch_norm_backward(
    grad_x: np.ndarray,
    grad_gamma: np.ndarray,
    grad_beta: np.ndarray,
    grad_out: np.ndarray,
    normalized: np.ndarray,
    variance: np.ndarray,
    gamma: np.ndarray,
    epsilon: float,
) -> None:
    """Gradients of batch normalization; the equations stand at the top of this file.

    grad_x                 (B, O)  written; may be grad_out
    grad_gamma, grad_beta  (O,)    written
    grad_out               (B, O)  read
    normalized             (B, O)  read: from batch_norm_forward, as is variance
    variance, gamma        (O,)    read
    epsilon                float
    """
    arrays = contiguous_rows(grad_x), np.ascontiguousarray(grad_gamma), np.ascontiguousarray(grad_beta)
    vectors = np.ascontiguousarray(variance), np.ascontiguousarray(gamma)
    threads = threads_for(grad_x.size * NORMALIZATION_COST)
    _backward(*arrays, contiguous_rows(grad_out), contiguous_rows(normalized), *vectors, epsilon, threads)
    for result, wanted in zip(arrays, (grad_x, grad_gamma, grad_beta), strict=True):
        if result is not wanted:
            wanted[...] = result
