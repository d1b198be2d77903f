"""The affine map of a layer, and its gradients.

Forward:  out = x W + b.  With G = grad_out = dE/dout, the chain rule gives
    dE/dx_bi = sum_o G_bo W_io     grad_x      = G W^T
    dE/dW_io = sum_b x_bi G_bo     grad_weight = x^T G
    dE/db_o  = sum_b G_bo          grad_bias   = sum over the batch of G
"""

import numpy as np
from numba import prange

from .jit import entry, inner
from .products import column_sums, product, product_by_transpose, product_of_transpose
from .threads import share, threads_for


@inner
def affine_forward_rows(out, x, weight, bias, start, stop):
    # out (B, O), x (B, I), weight (I, O), bias (O,)
    product(out, x, weight, start, stop)
    for i in range(start, stop):
        for o in range(out.shape[1]):
            out[i, o] += bias[o]


@entry("void(real[:, :], real[:, :], real[:, :], real[:], intp)")
def _affine_forward(out, x, weight, bias, threads):
    if threads == 1:
        affine_forward_rows(out, x, weight, bias, 0, out.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(out.shape[0], threads, part)
            affine_forward_rows(out, x, weight, bias, start, stop)


def affine_forward(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """Apply an affine map to each row: out = x W + b.

    out     (B, O)  written
    x       (B, I)  read
    weight  (I, O)  read
    bias    (O,)    read

    Error: |got - exact| <= (I + 8) eps (|x| |W| + |b|), elementwise.
    Source: section 1 of the notes, in the orientation of their code.
    """
    _affine_forward(out, x, weight, bias, threads_for(x.size * weight.shape[1]))


@inner
def affine_backward_part(grad_x, grad_weight, grad_bias, grad_out, x, weight, parts, part):
    # The three results share inputs only: each is split along its own first axis.
    start, stop = share(grad_x.shape[0], parts, part)
    product_by_transpose(grad_x, grad_out, weight, start, stop)
    start, stop = share(grad_weight.shape[0], parts, part)
    product_of_transpose(grad_weight, x, grad_out, start, stop)
    start, stop = share(grad_bias.shape[0], parts, part)
    column_sums(grad_bias, grad_out, start, stop)


@entry("void(real[:, :], real[:, :], real[:], real[:, :], real[:, :], real[:, :], intp)")
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
    _affine_backward(grad_x, grad_weight, grad_bias, grad_out, x, weight, threads_for(2 * x.size * weight.shape[1]))
