"""Loss and accuracy of given outputs: what `FNN.loss`, `FNN.accuracy` and `FNN.evaluate` compute after prediction."""

import numpy as np


def loss_of_each(loss: str, out: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the loss E_i of each sample, in float64.

    Parameters
    ----------
    loss : str
        Name of the loss.
    out : (N, K) array
        Logits of the last layer, before the output activation.
    targets : (N,) int64 array of labels, or (N, K) array

    Returns
    -------
    (N,) float64 array
    """
    z = out.astype(np.float64)
    if loss == "squared_error":
        terms = 0.5 * np.square(z - targets)
    elif loss == "sigmoid_cross_entropy":
        terms = np.logaddexp(0, z) - z * targets
    else:
        rows = np.eye(z.shape[1])[targets] if targets.ndim == 1 else targets
        minus_log = np.logaddexp.reduce(z, axis=1, keepdims=True) - z  # -log softmax(z)
        terms = np.multiply(rows, minus_log, out=np.zeros_like(z), where=rows != 0)  # 0 log 0 is 0
    return terms.sum(axis=1)  # type: ignore[no-any-return]


def accuracy(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the fraction of samples whose logits `out` (N, K) predict `targets`; `loss` is a cross-entropy."""
    if loss == "sigmoid_cross_entropy":
        return float(np.mean(np.all((out > 0) == (targets > 0.5), axis=1)))
    labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return float(np.mean(out.argmax(axis=1) == labels))
