"""The NumPy twin of every kernel: same names, same signatures, same results, in the plainest NumPy that is correct.

The kernels are tested against these functions, and `FNN(..., backend="reference")` runs on them. Read top to bottom,
the file is back-propagation in NumPy: the layers, the losses, the update rules, then `network_gradient` and
`train_steps`, which put them together. Functions compute in the dtype of their arguments; losses are float64.
Imports: NumPy and the standard library only.

Dimension letters, as in the kernels:
    B  samples in a batch      I  in_features       N  samples in a data set
    L  layers with weights     O  out_features      K  outputs of the last layer
    P  parameters              Q  running statistics of batch normalization

Outputs come first and are overwritten, then come inputs, then scalars.
"""

import inspect
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "softmax", "exp"
)  # fmt: skip
LEAK = 0.01  # slope of leaky ReLU for x < 0
FIRST_GIVEN = 1000  # the first code that `compile_activation` returns
LOSSES = (
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "poisson", "huber", "absolute_error", "quantile"
)  # fmt: skip
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
SETTINGS = (
    "beta1", "beta2", "epsilon", "decay", "book", "l2", "batch_l2", "clip_norm",
    "dropout", "dropout_scale", "norm_epsilon", "norm_momentum", "seed",
)  # fmt: skip


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


# Activations. All arrays are (B, O). A forward function reads x and writes out = f(x). A backward function reads
# grad_out and writes grad_x = grad_out * f'(x); it computes f' from out = f(x), for softplus, SiLU and GELU from x.


def identity_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x."""
    out[...] = x


def identity_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out."""
    grad_x[...] = grad_out


def sigmoid_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = 1 / (1 + e^-x), computed from e^-|x|, which cannot overflow."""
    e = np.exp(-np.abs(x))
    out[...] = np.where(x < 0, e, 1) / (1 + e)


def sigmoid_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out * out * (1 - out)."""
    grad_x[...] = grad_out * (out * (1 - out))


def tanh_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = tanh(x)."""
    out[...] = np.tanh(x)


def tanh_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out * (1 - out) * (1 + out)."""
    grad_x[...] = grad_out * ((1 - out) * (1 + out))


def relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = max(x, 0); NaN stays NaN."""
    out[...] = np.maximum(x, 0)


def relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out, or 0 where out <= 0."""
    grad_x[...] = np.where(out <= 0, 0, grad_out)


def leaky_relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x, or x / 100 where x < 0."""
    out[...] = np.where(x < 0, LEAK * x, x)


def leaky_relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out, or grad_out / 100 where out <= 0."""
    grad_x[...] = np.where(out <= 0, LEAK * grad_out, grad_out)


def elu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x, or e^x - 1 where x < 0."""
    out[...] = np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def elu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x = grad_out, or grad_out * (out + 1) where out < 0."""
    grad_x[...] = np.where(out < 0, grad_out * (out + 1), grad_out)


def softplus_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = log(1 + e^x)."""
    out[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x = grad_out * sigmoid(x)."""
    slope = np.empty_like(x)
    sigmoid_forward(slope, x)
    grad_x[...] = grad_out * slope


def silu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x sigmoid(x)."""
    gate = np.empty_like(x)
    sigmoid_forward(gate, x)
    out[...] = np.where(gate == 0, 0, x) * gate  # the limit at -infinity is 0, not the NaN of -inf * 0


def silu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x = grad_out * s (1 + x (1 - s)), with s = sigmoid(x)."""
    gate, rest = np.empty_like(x), np.empty_like(x)
    sigmoid_forward(gate, x)
    sigmoid_forward(rest, -x)
    grad_x[...] = grad_out * (gate + np.where((gate == 0) | (rest == 0), 0, x) * gate * rest)


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def gelu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = x Phi(x), with the distribution function Phi of the standard normal distribution."""
    probability = 0.5 * _erfc(-x / math.sqrt(2))  # Phi(x)
    out[...] = np.where(probability == 0, 0, x) * probability


def gelu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x = grad_out * (Phi(x) + x phi(x)), with the density phi = Phi'."""
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        density = np.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    grad_x[...] = grad_out * (0.5 * _erfc(-wide / math.sqrt(2)) + np.where(density == 0, 0, wide) * density)


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """out_k = e^(x_k) / sum_j e^(x_j) for each row; subtracting the row's maximum avoids overflow."""
    power = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    out[...] = power / power.sum(axis=1, keepdims=True)


def exp_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out = e^x."""
    with np.errstate(over="ignore"):
        out[...] = np.exp(x)


def compile_activation(forward: Callable[..., float], derivative: Callable[..., float], dtype: np.dtype) -> int:
    """Return a code for an activation f that is given by two scalar functions.

    forward     f(x)
    derivative  f'(x), or f' as a function of x and y = f(x)
    dtype       float32 or float64, of the arrays that f is applied to
    """
    by_input = len(inspect.signature(derivative).parameters) == 1
    slope = np.vectorize((lambda x, y: derivative(x)) if by_input else derivative, otypes=[dtype])
    _compiled.append((np.vectorize(forward, otypes=[dtype]), slope))
    return FIRST_GIVEN + len(_compiled) - 1


# The activations of `compile_activation`: f and f' of arrays, by code - FIRST_GIVEN.
_compiled: list[tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = []


def activation_forward(out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Apply the activation with the given code: out = f(x).

    out   (B, O)  written
    x     (B, O)  read
    code          an index into ACTIVATIONS, or a result of `compile_activation`
    """
    if code >= FIRST_GIVEN:
        out[...] = _compiled[code - FIRST_GIVEN][0](x) if x.size else x
    else:
        FORWARD[code](out, x)


def activation_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, code: int) -> None:
    """Gradient of the activation with the given code: grad_x = grad_out * f'(x).

    grad_x    (B, O)  written
    grad_out  (B, O)  read
    x         (B, O)  read
    code              an index into ACTIVATIONS but for softmax and exp, or a result of `compile_activation`
    """
    out = np.empty_like(x)
    activation_forward(out, x, code)
    _activation_backward(grad_x, grad_out, x, out, code)


def _activation_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, out: np.ndarray, code: int) -> None:
    """Write grad_x = grad_out * f'(x) where out = f(x) is known."""
    if code >= FIRST_GIVEN:
        grad_x[...] = grad_out * _compiled[code - FIRST_GIVEN][1](x, out) if x.size else grad_out
    else:
        BACKWARD[code](grad_x, grad_out, x if ACTIVATIONS[code] in ("softplus", "silu", "gelu") else out)


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


# Update rules. Parameters w, their gradient g and the state of a rule have one shape; parameters and state are read and
# written, the gradient is read. eta is the learning rate.


def sgd_update(param: np.ndarray, grad: np.ndarray, learning_rate: float) -> None:
    """w <- w - eta g."""
    param -= param.dtype.type(learning_rate) * grad


def momentum_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """v <- momentum v - eta g, w <- w + v."""
    velocity[...] = momentum * velocity - learning_rate * grad
    param += velocity


def nesterov_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """v <- momentum v - eta g, w <- w + momentum v - eta g."""
    velocity[...] = momentum * velocity - learning_rate * grad
    param += momentum * velocity - learning_rate * grad


def adagrad_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, epsilon: float
) -> None:
    """h <- h + g^2, w <- w - eta g / (sqrt(h) + epsilon)."""
    squares += grad * grad
    param -= learning_rate * grad / (np.sqrt(squares) + epsilon)


def rmsprop_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, decay_rate: float, epsilon: float
) -> None:
    """h <- decay_rate h + (1 - decay_rate) g^2, w <- w - eta g / (sqrt(h) + epsilon)."""
    squares[...] = decay_rate * squares + (1 - decay_rate) * (grad * grad)
    param -= learning_rate * grad / (np.sqrt(squares) + epsilon)


def adam_update(
    param: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    step: int,
) -> None:
    """Step number `step`, from 1, of Adam:

    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) g^2
    w <- w - eta m' / (sqrt(v') + epsilon), with m' = m / (1 - beta1^step) and v' = v / (1 - beta2^step)

    The divisions correct the bias of m and v, which start at 0.
    """
    mean[...] = beta1 * mean + (1 - beta1) * grad
    square[...] = beta2 * square + (1 - beta2) * (grad * grad)
    corrected_mean, corrected_square = mean / (1 - beta1**step), square / (1 - beta2**step)
    param -= learning_rate * corrected_mean / (np.sqrt(corrected_square) + epsilon)


def adamw_update(
    param: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    decay: float,
    step: int,
) -> None:
    """w <- (1 - eta decay) w, then a step of Adam."""
    param *= 1 - learning_rate * decay
    adam_update(param, mean, square, grad, learning_rate, beta1, beta2, epsilon, step)


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


def _hash(x: np.ndarray) -> np.ndarray:
    """Hash uint32 numbers one to one, so that every bit of the result depends on every bit of x."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    hashed: np.ndarray = x ^ (x >> np.uint32(16))
    return hashed


def dropout_mask(mask: np.ndarray, layer: int, step: int, dropout: float, scale: float, seed: int) -> None:
    """Factors of dropout: 0 with probability `dropout`, else `scale`.

    mask         (B, O)  written
    layer, step          from 1
    seed                 in [0, 2^32)

    A counter-based generator: each element is a function of seed, step, layer, row and column.
    """
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    key = _hash(_hash(_hash(np.array([seed], np.uint32)) + np.uint32(step & 0xFFFFFFFF)) + np.uint32(layer))
    drawn = _hash(_hash(key + rows.astype(np.uint32) * np.uint32(0x9E3779B9)) ^ columns.astype(np.uint32))
    mask[...] = np.where(drawn < np.uint32(int(dropout * 2.0**32)), 0, scale)


# The functions by their codes, the indices into ACTIVATIONS and LOSSES.
FORWARD = (
    identity_forward, sigmoid_forward, tanh_forward, relu_forward, leaky_relu_forward, elu_forward,
    softplus_forward, silu_forward, gelu_forward, softmax, exp_forward,
)  # fmt: skip
BACKWARD = (
    identity_backward, sigmoid_backward, tanh_backward, relu_backward, leaky_relu_backward, elu_backward,
    softplus_backward, silu_backward, gelu_backward,
)  # fmt: skip
LOSS = (softmax_cross_entropy, sigmoid_cross_entropy, squared_error, poisson, huber, absolute_error, quantile)


def _loss(grad: np.ndarray, out: np.ndarray, targets: np.ndarray, parameters: np.ndarray, loss: int) -> float:
    """Write the gradient of the loss with this index into LOSSES and return its value."""
    arguments = [parameters] if LOSSES[loss] == "quantile" else parameters.tolist()
    return LOSS[loss](grad, out, targets, *arguments)


class _Layer(NamedTuple):
    """Views of the parameters of a layer, or of their gradients, in a flat vector."""

    weight: np.ndarray  # (I, O)
    bias: np.ndarray  # (O,)
    gamma: np.ndarray | None = None  # (O,), with batch normalization in hidden layers
    beta: np.ndarray | None = None  # (O,)


def _layers(flat: np.ndarray, sizes: np.ndarray, normalized: bool = False) -> list[_Layer]:
    """Return the layers of a flat vector (P,): W1 row by row, b1, then gamma1, beta1 if `normalized`, then W2, ..."""
    layers = []
    start = 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        views = []
        for size in (inputs * outputs, *[outputs] * (3 if normalized and layer < len(sizes) - 2 else 1)):
            views.append(flat[start : start + size])
            start += size
        layers.append(_Layer(views[0].reshape(inputs, outputs), *views[1:]))
    return layers


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> bool:
    """Compute the outputs of a network: x_l = f_l(x_{l-1} W_l + b_l) for l = 1 to L.

    out          (N, K)    written
    params       (P,)      read: W1 row by row, b1, W2, b2, ...
    x            (N, I)    read; of any real dtype, converted to that of params
    sizes        (L + 1,)  int64, read: units of the input and of each layer
    activations  (L,)      int64, read: the codes of f_1, ..., f_L

    Returns False if an element of x is not finite in the dtype of params and x is of another one.
    """
    given, x = x, _converted(x, params.dtype)
    right = x is given or bool(np.isfinite(x).all())
    for layer, code in zip(_layers(params, sizes), activations, strict=True):
        u = np.empty((len(x), len(layer.bias)), params.dtype)
        affine_forward(u, x, layer.weight, layer.bias)
        x = np.empty_like(u)
        activation_forward(x, u, code)
    out[...] = x
    return right


def network_loss(
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
) -> float:
    """Mean loss of the predictions of a network.

    params       (P,)      read, as in network_forward
    x            (N, I)    read; of any real dtype, converted to that of params
    targets      (N,) int64 labels or (N, K) rows, read
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read; the last is the identity if the loss includes the output activation
    loss_parameters  (H,)  float64, read: what the function of the loss takes after its targets; (0,) for none
    loss                   an index into LOSSES

    Returns the mean loss; NaN if there are no samples or an element of x is not finite.
    """
    x = _converted(x, params.dtype)
    if not np.isfinite(x).all():
        return float("nan")
    out = np.empty((len(x), sizes[-1]), params.dtype)
    network_forward(out, params, x, sizes, activations)
    return _loss(np.empty_like(out), out, targets, loss_parameters, loss)


def network_gradient(
    grad_params: np.ndarray,
    statistics: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    step: int,
) -> float:
    """Back-propagation: the gradient of the mean loss E = sum_i w_i E_i / B with respect to every parameter.

    With u_l = x_{l-1} W_l + b_l, x_l = f_l(u_l) and delta_l = dE/du_l:
        delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T),   dE/dW_l = x_{l-1}^T delta_l,   dE/db_l = sum_b delta_l

    grad_params      (P,)          written, laid out like params
    statistics       (Q,)          read and written, see train_steps; (0,) without batch normalization
    params           (P,)          read
    x                (B, I)        read; of any real dtype, converted to that of params
    targets          (B,) int64 labels or (B, K) rows, read
    sample_weights   (B,) or (0,)  read: w; empty if all are 1
    sizes            (L + 1,)      int64, read
    activations      (L,)          int64, read; the last is the identity if the loss includes the output activation
    settings         (13,)         float64, read, see train_steps
    loss_parameters  (H,)          float64, read, see network_loss
    loss                           an index into LOSSES
    step                           number of the step, from 1, which chooses the masks of dropout

    Returns the mean loss; NaN for an empty batch or if an element of x is not finite.
    """
    x = _converted(x, params.dtype)
    finite = bool(np.isfinite(x).all())
    with np.errstate(invalid=None if finite else "ignore"):
        value = _gradient(
            grad_params, statistics, params, x, targets, sample_weights, len(x), sizes, activations, settings,
            loss_parameters, loss, step,
        )  # fmt: skip
    return value if finite else float("nan")


def _converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):  # numbers beyond the range of the dtype become infinite
        return x.astype(dtype, copy=False)


class _Pass(NamedTuple):
    """What the forward pass of a layer keeps for its backward pass."""

    x: np.ndarray  # (B, I), input of the layer
    u: np.ndarray  # (B, O), input of the activation
    activated: np.ndarray  # (B, O), f(u)
    mask: np.ndarray  # (B, O), factors of dropout; 1 without it
    normalized: np.ndarray  # (B, O), with batch normalization
    variance: np.ndarray  # (O,), with batch normalization


def _gradient(
    grad_params: np.ndarray,
    statistics: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    divisor: float,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    step: int,
) -> float:
    """Forward pass, loss, backward pass.

    The loss is the sum of the samples' losses, multiplied by `weights` (B,) unless they are empty, over `divisor`.
    """
    setting = dict(zip(SETTINGS, settings.tolist(), strict=True))
    layers, grads = (_layers(flat, sizes, statistics.size > 0) for flat in (params, grad_params))
    passes = []
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        start, width = 2 * int(sizes[1 : number + 1].sum()), len(layer.bias)
        running = statistics[start:][:width], statistics[start + width :][:width]
        kept = _forward_pass(layer, running, x, activations[number], setting)
        if setting["dropout"] and not last:
            scale, seed = setting["dropout_scale"], int(setting["seed"])
            dropout_mask(kept.mask, number + 1, step, setting["dropout"], scale, seed)
        passes.append(kept)
        x = kept.activated * kept.mask
    grad = np.empty_like(x)
    value = _loss(grad, x, targets, loss_parameters, loss)
    if len(weights):
        value = _weighted_loss(x, targets, weights, loss_parameters, loss)
        grad *= weights[:, np.newaxis]
    if divisor != len(x):
        value *= len(x) / divisor
        grad *= grad.dtype.type(len(x) / divisor)
    for number in reversed(range(len(layers))):
        grad = _backward_pass(grads[number], grad, layers[number], passes[number], activations[number], setting)
    return value


def _forward_pass(
    layer: _Layer, running: tuple[np.ndarray, np.ndarray], x: np.ndarray, code: int, setting: dict[str, float]
) -> _Pass:
    """Forward pass of a layer in training: affine map, batch normalization, activation."""
    u = np.empty((len(x), len(layer.bias)), layer.weight.dtype)
    affine_forward(u, x, layer.weight, layer.bias)
    normalized, mean, variance = np.empty_like(u), np.empty_like(layer.bias), np.empty_like(layer.bias)
    if layer.gamma is not None and layer.beta is not None:
        batch_norm_forward(u, normalized, mean, variance, u.copy(), layer.gamma, layer.beta, setting["norm_epsilon"])
        momentum = setting["norm_momentum"]
        for kept, new in zip(running, (mean, variance), strict=True):
            kept[...] = momentum * kept + (1 - momentum) * new
    activated = np.empty_like(u)
    activation_forward(activated, u, code)
    return _Pass(x, u, activated, np.ones_like(u), normalized, variance)


def _backward_pass(
    grads: _Layer, grad: np.ndarray, layer: _Layer, kept: _Pass, code: int, setting: dict[str, float]
) -> np.ndarray:
    """Backward pass of a layer: writes its gradients, turns the gradient of its output into that of its input."""
    grad = grad * kept.mask
    _activation_backward(grad, grad, kept.u, kept.activated, code)
    if layer.gamma is not None and grads.gamma is not None and grads.beta is not None:
        batch_norm_backward(
            grad, grads.gamma, grads.beta, grad.copy(), kept.normalized, kept.variance, layer.gamma,
            setting["norm_epsilon"],
        )  # fmt: skip
    grad_x = np.empty_like(kept.x)
    affine_backward(grad_x, grads.weight, grads.bias, grad, kept.x, layer.weight)
    return grad_x


def _weighted_loss(
    out: np.ndarray, targets: np.ndarray, weights: np.ndarray, loss_parameters: np.ndarray, loss: int
) -> float:
    """Return sum_i w_i E_i / B."""
    samples = [(out[i : i + 1], targets[i : i + 1]) for i in range(len(out))]
    each = [_loss(np.empty_like(y), y, t, loss_parameters, loss) for y, t in samples]
    return float(weights.astype(np.float64) @ each) / len(out)


def _update(
    param: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    settings: np.ndarray,
    optimizer: int,
    step: int,
) -> None:
    """Apply the rule `optimizer`, an index into OPTIMIZERS, to all parameters."""
    beta1, beta2, epsilon, decay, book = settings[:5].tolist()
    if book and OPTIMIZERS[optimizer] in ("adam", "adamw"):
        # The book adds epsilon before the bias correction: w <- w - eta m' / ((sqrt(v) + epsilon) / sqrt(1 - beta2^t)).
        epsilon /= (1 - beta2**step) ** 0.5
    match OPTIMIZERS[optimizer]:
        case "sgd":
            sgd_update(param, grad, learning_rate)
        case "momentum":
            momentum_update(param, first, grad, learning_rate, beta1)
        case "nesterov":
            nesterov_update(param, first, grad, learning_rate, beta1)
        case "adagrad":
            adagrad_update(param, first, grad, learning_rate, epsilon)
        case "rmsprop":
            rmsprop_update(param, first, grad, learning_rate, beta1, epsilon)
        case "adam":
            adam_update(param, first, second, grad, learning_rate, beta1, beta2, epsilon, step)
        case "adamw":
            adamw_update(param, first, second, grad, learning_rate, beta1, beta2, epsilon, decay, step)


def train_steps(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    statistics: np.ndarray,
    step_losses: np.ndarray,
    half_squares: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    batch_weights: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
    optimizer: int,
    batch_size: int,
    steps_before: int,
) -> None:
    """Steps of minibatch gradient descent: the update rule on the gradient of the mean loss, once per batch.

    Batch s of an epoch is its samples order[s * batch_size : (s + 1) * batch_size]; the last one may be smaller. Its
    loss is the sum of the losses of its samples over the weight of the batch: with an infinite one it is 0, and so is
    the gradient.

    params          (P,)          read and written
    first, second   (P,) or (0,)  read and written: the state of the update rule; empty if it has none
    statistics      (Q,)          read and written: running mean (O,) and variance (O,) of each hidden layer; (0,)
                                  without batch normalization
    step_losses     (S,)          float64, written: the mean loss of each batch before its update
    half_squares    (S,) or (0,)  float64, written: 1/2 sum_l ||W_l||^2 before each update; not computed if empty
    x               (N, I)        read; of any real dtype, converted to that of params batch by batch
    targets         (N,) int64 labels or (N, K) rows, read
    sample_weights  (N,) or (0,)  read: factors of the losses of the samples; empty if all are 1
    batch_weights   (S,) or (0,)  float64, read: the weight of each batch; empty if it is the number of its samples
    order           (E, M)        int64, read: the samples of each epoch; (E, 0) is all N in their order
    learning_rates  (S,)          float64, read
    sizes           (L + 1,)      int64, read
    activations     (L,)          int64, read; the last is the identity if the loss includes the output activation
    settings        (13,)         float64, read, by the names in SETTINGS:
        beta1, beta2, epsilon, decay  of the update rule; book: not 0 for the book's epsilon in Adam
        l2                            l2 W is added to the gradient of each W, the gradient of l2 / 2 ||W||^2
        batch_l2                      the same divided by the weight of the batch
        clip_norm                     longest Euclidean norm of the whole gradient; 0 for no limit
        dropout, dropout_scale        probability of 0 for an output of a hidden layer; factor of the others
        norm_epsilon, norm_momentum   of batch normalization: added to the variance; share of running statistics kept
        seed                          of dropout, in [0, 2^32)
    loss_parameters (H,)          float64, read, see network_loss
    loss, optimizer               indices into LOSSES and OPTIMIZERS
    steps_before                  number of steps that were taken with this state before
    """
    grad_params = np.empty_like(params)
    order = np.atleast_2d(order)
    order = order if order.shape[1] else np.tile(np.arange(len(x)), (len(order), 1))
    batches = [row[i : i + batch_size] for row in order for i in range(0, len(row), batch_size)]
    l2, batch_l2, clip_norm = (settings[SETTINGS.index(name)] for name in ("l2", "batch_l2", "clip_norm"))
    for step, samples in enumerate(batches[: len(step_losses)]):
        number = steps_before + step + 1
        divisor = batch_weights[step] if len(batch_weights) else len(samples)
        layers = _layers(params, sizes, statistics.size > 0)
        if len(half_squares):
            half_squares[step] = 0.5 * sum(float((layer.weight.astype(np.float64) ** 2).sum()) for layer in layers)
        step_losses[step] = _gradient(
            grad_params, statistics, params, _converted(x[samples], params.dtype), targets[samples],
            sample_weights[samples] if len(sample_weights) else sample_weights, divisor, sizes, activations, settings,
            loss_parameters,
            loss, number,
        )  # fmt: skip
        for grad, layer in zip(_layers(grad_params, sizes, statistics.size > 0), layers, strict=True):
            grad.weight[...] += (l2 + batch_l2 / divisor) * layer.weight
        norm = math.sqrt(float((grad_params.astype(np.float64) ** 2).sum()))
        if clip_norm and norm > clip_norm:
            grad_params *= params.dtype.type(clip_norm / norm)
        _update(params, first, second, grad_params, float(learning_rates[step]), settings, optimizer, number)
