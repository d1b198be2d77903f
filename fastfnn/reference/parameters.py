"""The parameters of a network in one flat vector, as weights and biases of its layers; conversion of samples."""

import itertools
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """Views of the parameters of a layer, or of their gradients, in a flat vector."""

    weight: np.ndarray  # (I, O)
    bias: np.ndarray  # (O,)
    gamma: np.ndarray | None = None  # (O,), with batch normalization in hidden layers
    beta: np.ndarray | None = None  # (O,)


def layers_of(flat: np.ndarray, sizes: np.ndarray, normalized: bool = False) -> list[Layer]:
    """Return the layers of a flat vector (P,): W1 row by row, b1, then gamma1, beta1 if `normalized`, then W2, ..."""
    layers = []
    start = 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        views = []
        for size in (inputs * outputs, *[outputs] * (3 if normalized and layer < len(sizes) - 2 else 1)):
            views.append(flat[start : start + size])
            start += size
        layers.append(Layer(views[0].reshape(inputs, outputs), *views[1:]))
    return layers


def converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return samples in the dtype of the parameters; numbers beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return x.astype(dtype, copy=False)
