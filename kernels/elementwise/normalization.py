"""Batch normalization: each feature of a batch shifted and scaled to mean 0 and variance 1, then by what is learnt.

With n = (x - mean) / s, s = sqrt(variance + eps), mean and variance those of a column over the B rows of the batch:

    out = gamma n + beta

Backward, with g = dE/dout: dE/dbeta = sum_b g, dE/dgamma = sum_b g n. As n depends on every row through mean and s,

    dE/dx = gamma / s (g - mean_b g - n mean_b (g n))

for the gradient with respect to n, gamma g, loses what would shift all of n, its mean, and what would scale it, its
component along n: the batch undoes both.

Columns do not meet: threads divide them. What is fused is said by mul_add, so that an element has the same bits in the
compiler's vector loop as in the scalar rest of it.

Source: Ioffe and Szegedy 2015.
"""

import numpy as np
from numba import prange

from ..compiler.jit import entry, inner, shared
from ..compiler.vectors import array_at, contiguous_rows, keep
from ..workers.threads import share, threads_for
from .elementary import mul_add, where

# What an element costs, in multiply-adds.
COST = 4

# A thread's share of columns begins at a multiple of so many.
STEP = 16


@inner
def column_share(columns, parts, part):
    """The columns of one part: whole cache lines."""
    first, last = share((columns + STEP - 1) // STEP, parts, part)
    return first * STEP, min(last * STEP, columns)


@shared(f"void({13 * 'intp, '}float64, real)")
def normalize(
    out, out_row, normalized, normalized_row, mean_at, variance_at, inverse_at, x, x_row, gamma_at, beta_at, rows,
    columns, epsilon, one,
):  # fmt: skip
    """The forward pass for some columns: addresses of their first elements, distances of rows in bytes.

    inverse_at  the address of (columns,), written: 1 / s

    Rows have contiguous elements; out may be x.
    """
    mean, variance = array_at(mean_at, columns, one), array_at(variance_at, columns, one)
    inverse, gamma = array_at(inverse_at, columns, one), array_at(gamma_at, columns, one)
    beta = array_at(beta_at, columns, one)
    per_row, eps = one / mean.dtype.type(rows), mean.dtype.type(epsilon)
    for j in range(columns):
        mean[j] = 0
        variance[j] = 0
    for i in range(rows):
        row = array_at(x + i * x_row, columns, one)
        for j in range(columns):
            mean[j] += row[j]
    for j in range(columns):
        mean[j] *= per_row
        inverse[j] = 0
    # The mean is as wrong as a sum of B numbers. The distances from it are small, and so is what their own mean is
    # wrong by: it corrects both. Of 1,000 times 123.4 in float32, n would else be 0.3 where it must be 0.
    for i in range(rows):
        row = array_at(x + i * x_row, columns, one)
        for j in range(columns):
            distance = row[j] - mean[j]
            inverse[j] += distance
            variance[j] = mul_add(distance, distance, variance[j])
    for j in range(columns):
        error = inverse[j] * per_row
        mean[j] = where(error == error, mean[j] + error, mean[j])  # infinity less infinity is NaN, the mean is not
        square = mul_add(-error, error, variance[j] * per_row)
        variance[j] = where(square < 0, one - one, square)
        inverse[j] = one / np.sqrt(variance[j] + eps)
    for i in range(rows):
        row, result = array_at(x + i * x_row, columns, one), array_at(out + i * out_row, columns, one)
        n = array_at(normalized + i * normalized_row, columns, one)
        for j in range(columns):
            n[j] = (row[j] - mean[j]) * inverse[j]
            result[j] = mul_add(gamma[j], n[j], beta[j])


@shared(f"void({11 * 'intp, '}real)")
def normalize_back(
    grad_x, grad_x_row, grad_gamma_at, grad_beta_at, grad_out, grad_out_row, normalized, normalized_row, scale_at,
    rows, columns, one,
):  # fmt: skip
    """The backward pass for some columns; grad_x may be grad_out.

    scale_at  the address of (columns,), read: gamma / s
    """
    by_gamma, by_beta = array_at(grad_gamma_at, columns, one), array_at(grad_beta_at, columns, one)
    scale = array_at(scale_at, columns, one)
    per_row = one / scale.dtype.type(max(rows, 1))
    for j in range(columns):
        by_gamma[j] = 0
        by_beta[j] = 0
    for i in range(rows):
        g, n = (
            array_at(grad_out + i * grad_out_row, columns, one),
            array_at(normalized + i * normalized_row, columns, one),
        )
        for j in range(columns):
            by_gamma[j] = mul_add(g[j], n[j], by_gamma[j])
            by_beta[j] += g[j]
    for i in range(rows):
        g, n = (
            array_at(grad_out + i * grad_out_row, columns, one),
            array_at(normalized + i * normalized_row, columns, one),
        )
        result = array_at(grad_x + i * grad_x_row, columns, one)
        for j in range(columns):
            rest = mul_add(-per_row, by_beta[j], g[j])
            result[j] = scale[j] * mul_add(-n[j], by_gamma[j] * per_row, rest)


@entry(
    "intp(real[:, :], real[:, :], real[::1], real[::1], real[:, :], real[::1], real[::1], float64, intp)",
    calls=[normalize],
)
def _forward(out, normalized, mean, variance, x, gamma, beta, epsilon, threads):
    inverse = np.empty(gamma.shape[0], gamma.dtype)
    if threads == 1:
        forward_part(out, normalized, mean, variance, inverse, x, gamma, beta, epsilon, 1, 0)
    else:
        for part in prange(threads):
            forward_part(out, normalized, mean, variance, inverse, x, gamma, beta, epsilon, threads, part)
    return keep(inverse)


@inner
def forward_part(out, normalized, mean, variance, inverse, x, gamma, beta, epsilon, parts, part):
    start, stop = column_share(gamma.shape[0], parts, part)
    shift = start * gamma.itemsize
    normalize(
        out.ctypes.data + shift, out.strides[0], normalized.ctypes.data + shift, normalized.strides[0],
        mean.ctypes.data + shift, variance.ctypes.data + shift, inverse.ctypes.data + shift, x.ctypes.data + shift,
        x.strides[0], gamma.ctypes.data + shift, beta.ctypes.data + shift, x.shape[0], stop - start, epsilon,
        gamma.dtype.type(1),
    )  # fmt: skip


@entry(
    "intp(real[:, :], real[::1], real[::1], real[:, :], real[:, :], real[::1], real[::1], float64, intp)",
    calls=[normalize_back],
)
def _backward(grad_x, grad_gamma, grad_beta, grad_out, normalized, variance, gamma, epsilon, threads):
    scale = np.empty(gamma.shape[0], gamma.dtype)
    eps = gamma.dtype.type(epsilon)
    for j in range(gamma.shape[0]):
        scale[j] = gamma[j] / np.sqrt(variance[j] + eps)
    if threads == 1:
        backward_part(grad_x, grad_gamma, grad_beta, grad_out, normalized, scale, 1, 0)
    else:
        for part in prange(threads):
            backward_part(grad_x, grad_gamma, grad_beta, grad_out, normalized, scale, threads, part)
    return keep(scale)


@inner
def backward_part(grad_x, grad_gamma, grad_beta, grad_out, normalized, scale, parts, part):
    start, stop = column_share(scale.shape[0], parts, part)
    shift = start * scale.itemsize
    normalize_back(
        grad_x.ctypes.data + shift, grad_x.strides[0], grad_gamma.ctypes.data + shift, grad_beta.ctypes.data + shift,
        grad_out.ctypes.data + shift, grad_out.strides[0], normalized.ctypes.data + shift, normalized.strides[0],
        scale.ctypes.data + shift, grad_x.shape[0], stop - start, scale.dtype.type(1),
    )  # fmt: skip


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
    arrays = contiguous_rows(out), contiguous_rows(normalized), *map(np.ascontiguousarray, (mean, variance))
    _forward(
        *arrays, contiguous_rows(x), *map(np.ascontiguousarray, (gamma, beta)), epsilon, threads_for(x.size * COST)
    )
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
    arrays = contiguous_rows(grad_x), *map(np.ascontiguousarray, (grad_gamma, grad_beta))
    _backward(
        *arrays, contiguous_rows(grad_out), contiguous_rows(normalized),
        *map(np.ascontiguousarray, (variance, gamma)), epsilon, threads_for(grad_x.size * COST),
    )  # fmt: skip
    for result, wanted in zip(arrays, (grad_x, grad_gamma, grad_beta), strict=True):
        if result is not wanted:
            wanted[...] = result
