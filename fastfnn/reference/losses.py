"""Losses: the mean over the batch, and its gradient with respect to the outputs of the network, by name and by code.

B samples in a batch, K outputs.
"""

import numpy as np

from . import given

LOSSES = (
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "poisson", "huber", "absolute_error", "quantile"
)  # fmt: skip


def softmax_cross_entropy(
    grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> float:
    """Mean over the batch of E_i = -sum_k t_ik log softmax(z_i)_k, and its gradient.

    grad_logits  (B, K)  written: (softmax(z) sum_k t_k - t) / B, which is (softmax(z) - t) / B for rows that sum to 1
    logits       (B, K)  read: z
    targets      (B,) int64 labels or (B, K) rows, read: t
    smoothing    s: t becomes (1 - s) t + s / K

    Returns the mean loss; NaN for an empty batch.
    """
    batch, classes = logits.shape
    if targets.ndim == 1:
        targets = np.eye(classes)[targets]
    if smoothing:
        targets = (1 - smoothing) * targets.astype(np.float64) + smoothing / classes
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    power = np.exp(z)
    total = power.sum(axis=1, keepdims=True)
    grad_logits[...] = (power / total * targets.sum(axis=1, keepdims=True, dtype=np.float64) - targets) / max(batch, 1)
    with np.errstate(invalid="ignore"):  # 0 log 0 is 0, even if a logit is -inf
        losses = np.where(targets != 0, targets * (np.log(total) - z), 0).sum(axis=1)
    losses += 0 * total[:, 0]  # NaN if the row contains NaN
    return float(losses.sum() / batch) if batch else np.nan


def sigmoid_cross_entropy(
    grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> float:
    """Mean over the batch of E_i = -sum_k (t log y + (1 - t) log(1 - y)) with y = sigmoid(z), and its gradient.

    grad_logits  (B, K)  written: (sigmoid(z) - t) / B
    logits       (B, K)  read: z
    targets      (B, K)  read: t, each in [0, 1]
    smoothing    s: t becomes (1 - s) t + s / 2

    Each term is computed as max(z, 0) - z t + log(1 + e^-|z|), which cannot overflow.
    Returns the mean loss; NaN for an empty batch.
    """
    batch = len(logits)
    z = logits.astype(np.float64)
    e = np.exp(-np.abs(z))
    if smoothing:
        targets = (1 - smoothing) * targets.astype(np.float64) + smoothing / 2
    grad_logits[...] = (np.where(z < 0, e, 1) / (1 + e) - targets) / max(batch, 1)
    losses = (np.maximum(z, 0) - z * targets + np.log1p(e)).sum(axis=1)
    return float(losses.sum() / batch) if batch else np.nan


def squared_error(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = 1/2 ||y_i - t_i||^2, and its gradient.

    grad_out  (B, K)  written: (y - t) / B
    out       (B, K)  read: y
    targets   (B, K)  read: t

    Returns the mean loss; NaN for an empty batch.
    """
    batch = len(out)
    difference = out.astype(np.float64) - targets
    grad_out[...] = difference / max(batch, 1)
    return float(0.5 * (difference * difference).sum() / batch) if batch else np.nan


def poisson(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = sum_k (e^z - t z + t log t - t) with 0 log 0 = 0, and its gradient.

    grad_logits  (B, K)  written: (e^z - t) / B
    logits       (B, K)  read: z
    targets      (B, K)  read: t, not negative

    Returns the mean loss, half the Poisson deviance; NaN for an empty batch.
    """
    batch, zero = len(logits), targets == 0
    z, t = logits.astype(np.float64), targets.astype(np.float64)
    with np.errstate(over="ignore"):
        power = np.exp(z)
        grad_logits[...] = (power - t) / max(batch, 1)
    losses = power - t * np.where(zero, 0, z) + (t * np.log(np.where(zero, 1, t)) - t)
    return float(losses.sum() / batch) if batch else np.nan


def huber(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray, delta: float) -> float:
    """Mean over the batch of E_i = sum_o h(y - t) with h(r) = r^2 / 2 if |r| <= delta, else delta (|r| - delta / 2).

    grad_out  (B, K)  written: h'(y - t) / B, which is y - t between -delta and delta
    out       (B, K)  read: y
    targets   (B, K)  read: t
    delta             > 0

    Returns the mean loss; NaN for an empty batch.
    """
    batch = len(out)
    r = out.astype(np.float64) - targets
    grad_out[...] = np.clip(r, -delta, delta) / max(batch, 1)
    losses = np.where(np.abs(r) <= delta, 0.5 * r * r, delta * (np.abs(r) - 0.5 * delta))
    return float(losses.sum() / batch) if batch else np.nan


def absolute_error(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = sum_o |y - t|, and its gradient.

    grad_out  (B, K)  written: sign(y - t) / B, 0 where y = t
    out       (B, K)  read: y
    targets   (B, K)  read: t

    Returns the mean loss; NaN for an empty batch.
    """
    batch = len(out)
    r = out.astype(np.float64) - targets
    grad_out[...] = np.sign(r) / max(batch, 1)
    return float(np.abs(r).sum() / batch) if batch else np.nan


def quantile(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray, levels: np.ndarray) -> float:
    """Mean over the batch of E_i = sum_o max(q (t - y), (q - 1) (t - y)), and its gradient.

    grad_out  (B, K)  written: (1 - q) / B where y > t, -q / B where y < t, 0 where y = t
    out       (B, K)  read: y
    targets   (B, K)  read: t
    levels    (K,)    float64, read: q, in (0, 1)

    Returns the mean loss; NaN for an empty batch.
    """
    batch = len(out)
    r = out.astype(np.float64) - targets
    slope = np.select([r > 0, r < 0], [1 - levels, -levels], r)  # 0 at 0; NaN stays
    grad_out[...] = slope / max(batch, 1)
    return float((slope * r).sum() / batch) if batch else np.nan


def compile_loss(value: given.Function, derivative: given.Function, dtype: np.dtype) -> int:
    """Return a code for a loss E_i = sum_k e(y_ik, t_ik) that is given by two scalar functions.

    value       e(y, t)
    derivative  de/dy, as a function of y and t
    dtype       float32 or float64, of the outputs; the functions get float64
    """
    return given.Code(value, derivative, np.float64)


def _given_loss(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray, code: int) -> float:
    """Mean over the batch of E_i = sum_k e(y, t) of a loss of `compile_loss`, and its gradient de/dy / B."""
    if not out.size:
        return np.nan if len(out) == 0 else 0.0
    functions = given.functions_of(code)
    y, t = out.astype(np.float64), targets.astype(np.float64)
    grad_out[...] = functions.derivative(y, t) / len(out)
    return float(functions.function(y, t).sum() / len(out))


# The functions by their codes, the indices into LOSSES.
LOSS = (softmax_cross_entropy, sigmoid_cross_entropy, squared_error, poisson, huber, absolute_error, quantile)


def loss_by_code(grad: np.ndarray, out: np.ndarray, targets: np.ndarray, parameters: np.ndarray, loss: int) -> float:
    """Write the gradient of the loss with this code and return its value."""
    if loss >= given.FIRST:
        return _given_loss(grad, out, targets, loss)
    arguments = [parameters] if LOSSES[loss] == "quantile" else parameters.tolist()
    return LOSS[loss](grad, out, targets, *arguments)


def sample_losses(
    losses: np.ndarray,
    grad_out: np.ndarray,
    out: np.ndarray,
    targets: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
) -> float:
    """Write the loss E_i of each sample and its gradient, and return the mean of the losses.

    losses           (B,)    float64, written: E_i
    grad_out         (B, K)  written: dE_i / dy_ik, not divided by B
    out              (B, K)  read: y
    targets          (B,) int64 labels or (B, K) rows, as the loss takes them; read: t
    loss_parameters  (H,)    float64, read: what the function of the loss takes after its targets, or (0,)
    loss             an index into LOSSES, or what `compile_loss` returned
    """
    for i in range(len(out)):
        one = slice(i, i + 1)
        losses[i] = loss_by_code(grad_out[one], out[one], targets[one], loss_parameters, loss)
    return loss_by_code(np.empty_like(out), out, targets, loss_parameters, loss)


def weighted_loss(
    out: np.ndarray, targets: np.ndarray, weights: np.ndarray, loss_parameters: np.ndarray, loss: int
) -> float:
    """Return sum_i w_i E_i / B."""
    each = np.empty(len(out))
    sample_losses(each, np.empty_like(out), out, targets, loss_parameters, loss)
    return float(weights.astype(np.float64) @ each) / len(out)
