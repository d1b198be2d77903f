"""Batch normalization of a hidden layer, and its gradients.

B samples in a batch, O out_features.
"""

import numpy as np


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
    """Batch normalization: out = gamma n + beta with n = (x - mean) / sqrt(variance + epsilon).

    out         (B, O)  written
    normalized  (B, O)  written: n
    mean        (O,)    written: mean of each column of x
    variance    (O,)    written: biased variance of each column of x
    x           (B, O)  read
    gamma       (O,)    read
    beta        (O,)    read
    """
    with np.errstate(invalid="ignore"):  # mean and variance of an empty batch are NaN
        mean[...] = x.sum(axis=0, dtype=np.longdouble) / len(x)
        variance[...] = ((x - mean) ** 2).sum(axis=0) / x.dtype.type(len(x))
    normalized[...] = (x - mean) / np.sqrt(variance + epsilon)
    out[...] = gamma * normalized + beta


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
    """Gradients of batch normalization, with g = grad_out and n = normalized.

    grad_x      (B, O)  written: gamma / sqrt(variance + epsilon) * (g - mean(g) - n mean(g n)), means over the batch
    grad_gamma  (O,)    written: sum_b g n
    grad_beta   (O,)    written: sum_b g
    grad_out    (B, O)  read
    normalized  (B, O)  read, from batch_norm_forward
    variance    (O,)    read, from batch_norm_forward
    gamma       (O,)    read

    The subtracted terms are the parts of g that would shift or scale a whole column of n, which normalization undoes.
    """
    batch = max(len(grad_out), 1)
    sum_gn, sum_g = (grad_out * normalized).sum(axis=0), grad_out.sum(axis=0)
    grad_x[...] = gamma / np.sqrt(variance + epsilon) * (grad_out - sum_g / batch - normalized * (sum_gn / batch))
    grad_gamma[...], grad_beta[...] = sum_gn, sum_g
