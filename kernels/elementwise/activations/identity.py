"""The identity, the output layer for real targets. It has no function of blocks: there is nothing to do."""

import numpy as np


def identity_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Copy: out = x.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Source: section 3 of the notes, the output layer for real targets.
    """
    out[...] = x


def identity_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of the identity: grad_x = grad_out.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  not read: every backward has the same arguments
    """
    grad_x[...] = grad_out
