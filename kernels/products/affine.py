"""The affine map of a layer, and its gradients.

Forward:  out = x W + b.  With G = grad_out = dE/dout, the chain rule gives
    dE/dx_bi = sum_o G_bo W_io     grad_x      = G W^T
    dE/dW_io = sum_b x_bi G_bo     grad_weight = x^T G
    dE/db_o  = sum_b G_bo          grad_bias   = sum over the batch of G
"""

import numpy as np
from numba import prange

from ..compiler.jit import entry, inner
from ..compiler.vectors import contiguous_rows
from ..workers.threads import share, threads_for
from .products import affine_rows, multiply, product
from .sums import column_sums


@entry("void(real[:, :], real[:, :], real[:, :], real[:], intp)", calls=[multiply])
def _affine_forward(out, x, weight, bias, threads):
    if threads == 1:
        affine_rows(out, x, weight, bias, 0, out.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(out.shape[0], threads, part)
            affine_rows(out, x, weight, bias, start, stop)


def affine_forward(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """Apply an affine map to each row: out = x W + b.

    out     (B, O)  written
    x       (B, I)  read
    weight  (I, O)  read
    bias    (O,)    read

    Error: |got - exact| <= (I + 8) eps (|x| |W| + |b|), elementwise.
    Source: section 1 of the notes, in the orientation of their code.
    """
    result = contiguous_rows(out)
    threads = threads_for(x.size * weight.shape[1])
    _affine_forward(result, x, contiguous_rows(weight), np.ascontiguousarray(bias), threads)
    if result is not out:
        out[...] = result


@inner
def affine_backward_part(grad_x, grad_weight, grad_bias, grad_out, x, weight, parts, part):
    # The three results share inputs only: each is split along its own first axis.
    start, stop = share(grad_x.shape[0], parts, part)
    product(grad_x, grad_out, weight.T, start, stop)
    start, stop = share(grad_weight.shape[0], parts, part)
    product(grad_weight, x.T, grad_out, start, stop)
    start, stop = share(grad_bias.shape[0], parts, part)
    shift = start * grad_out.itemsize
    column_sums(
        grad_bias.ctypes.data + shift, grad_out.ctypes.data + shift, grad_out.strides[0], grad_out.shape[0],
        stop - start, 0, grad_out.dtype.type(1),
    )  # fmt: skip


@entry("void(real[:, :], real[:, :], real[:], real[:, :], real[:, :], real[:, :], intp)", calls=[multiply])
def _affine_backward(grad_x, grad_weight, grad_bias, grad_out, x, weight, threads):
    if threads == 1:
        affine_backward_part(grad_x, grad_weight, grad_bias, grad_out, x, weight, 1, 0)
    else:
        for part in prange(threads):
            affine_backward_part(grad_x, grad_weight, grad_bias, grad_out, x, weight, threads, part)


def affine_backward(
    grad_x: np.ndarray,
    grad_weight: np.ndarray,
    grad_bias: np.ndarray,
    grad_out: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Gradients of an affine map: grad_x = G W^T, grad_weight = x^T G, grad_bias = sum_b G_b, with G = grad_out.

    grad_x       (B, I)  written
    grad_weight  (I, O)  written
    grad_bias    (O,)    written
    grad_out     (B, O)  read
    x            (B, I)  read
    weight       (I, O)  read

    Error: (K + 8) eps times the same product of absolute values, K the length of the sum (O, B and B).
    Source: section 5 of the notes, steps (5) and (6).
    """
    result_x, result_weight = contiguous_rows(grad_x), contiguous_rows(grad_weight)
    result_bias = np.ascontiguousarray(grad_bias)
    threads = threads_for(2 * x.size * weight.shape[1])
    _affine_backward(
        result_x, result_weight, result_bias, contiguous_rows(grad_out), x, contiguous_rows(weight), threads
    )
    if result_x is not grad_x:
        grad_x[...] = result_x
    if result_weight is not grad_weight:
        grad_weight[...] = result_weight
    if result_bias is not grad_bias:
        grad_bias[...] = result_bias
