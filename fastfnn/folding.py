"""Folding: batch normalization and the book's dropout become part of the weights and biases of predictions.

Predictions then need the kernels of a plain network only.
"""

from collections.abc import Mapping

import numpy as np

from fastfnn.params import Params
from fastfnn.settings import norm_epsilon


def folded_parameters(params: Params, running: Mapping[str, np.ndarray], kept: float, book: bool) -> np.ndarray:
    """Return the flat parameters of a plain network with the predictions of a normalized or dropped-out one.

    Parameters
    ----------
    params : Params
        Parameters of the trained network.
    running : mapping of str to (O,) array
        Running statistics mean1, variance1, mean2, ...; empty without batch normalization.
    kept : float
        Factor on the outputs of hidden layers in predictions: ``1 - dropout`` in the book, else 1.
    book : bool
        Whether batch normalization uses the book's epsilon.

    Returns
    -------
    (P,) array
        W1, b1, W2, ... one after another, in the dtype of `params`.

    Notes
    -----
    With the running mean m, the running variance v and ``s = gamma / sqrt(v + epsilon)``, a normalized layer is
    affine: ``gamma (x W + b - m) / sqrt(v + epsilon) + beta = x (W s) + ((b - m) s + beta)``. The factor on the outputs
    of a hidden layer goes into the weights of the next layer.
    """
    real = params.flat.dtype.type
    flat = np.empty(Params.count(params.layer_sizes), params.flat.dtype)
    folded = Params(flat, params.layer_sizes)
    for layer in range(1, len(params.layer_sizes)):
        weight, bias = params[f"W{layer}"] * real(kept if layer > 1 else 1.0), params[f"b{layer}"]
        if f"gamma{layer}" in params:
            gamma, beta = params[f"gamma{layer}"], params[f"beta{layer}"]
            scale = gamma / np.sqrt(running[f"variance{layer}"] + real(norm_epsilon(book)))
            weight, bias = weight * scale, (bias - running[f"mean{layer}"]) * scale + beta
        folded[f"W{layer}"][...], folded[f"b{layer}"][...] = weight, bias
    return flat
