"""The affine map of a layer, and its gradients.

B samples in a batch, I in_features, O out_features.
"""

import numpy as np


def affine_forward(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """Apply an affine map to each row: out = x W + b.

    out     (B, O)  written
    x       (B, I)  read
    weight  (I, O)  read
    bias    (O,)    read
    """
    out[...] = x @ weight + bias


def affine_backward(
    grad_x: np.ndarray,
    grad_weight: np.ndarray,
    grad_bias: np.ndarray,
    grad_out: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Gradients of an affine map: grad_x = G W^T, grad_weight = x^T G, grad_bias = sum_b G_b, with G = grad_out.

    grad_x       (B, I)  written; with 0 rows instead of B it is left out
    grad_weight  (I, O)  written; with 0 rows instead of I it is left out
    grad_bias    (O,)    written; with 0 elements it is left out
    grad_out     (B, O)  read
    x            (B, I)  read
    weight       (I, O)  read
    """
    if len(grad_x):
        grad_x[...] = grad_out @ weight.T
    if len(grad_weight):
        grad_weight[...] = x.T @ grad_out
    if len(grad_bias):
        grad_bias[...] = grad_out.sum(axis=0)
