"""The NumPy twin of every kernel: the same names, signatures and results, in the plainest NumPy that is right.

This is what the kernels are tested against, and what `FNN(..., backend="reference")` runs. It computes in the dtype of
its arguments; only losses are float64. Of what is not Python's own it imports NumPy only. The contracts stand in the
docstrings of the kernels.
"""

import inspect
import itertools
import math
from collections.abc import Callable

import numpy as np

ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "softmax"
)  # fmt: skip
LEAK = 0.01
FIRST_GIVEN = 1000  # codes from here on are those of `compile_activation`
LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
SETTINGS = (
    "beta1", "beta2", "epsilon", "decay", "book", "l2", "clip_norm",
    "dropout", "dropout_scale", "norm_epsilon", "norm_momentum", "seed",
)  # fmt: skip


def affine_forward(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """out (B, O) = x (B, I) @ weight (I, O) + bias (O,)"""
    out[...] = x @ weight + bias


def affine_backward(
    grad_x: np.ndarray,
    grad_weight: np.ndarray,
    grad_bias: np.ndarray,
    grad_out: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
) -> None:
    """grad_x (B, I) = G @ weight.T, grad_weight (I, O) = x.T @ G, grad_bias (O,) = G.sum(0); G = grad_out (B, O)"""
    grad_x[...] = grad_out @ weight.T
    grad_weight[...] = x.T @ grad_out
    grad_bias[...] = grad_out.sum(axis=0)


def identity_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = x (B, O)"""
    out[...] = x


def identity_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x (B, O) = grad_out (B, O)"""
    grad_x[...] = grad_out


def sigmoid_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = 1 / (1 + e^-x), from e^-|x|, which cannot overflow"""
    e = np.exp(-np.abs(x))
    out[...] = np.where(x < 0, e, 1) / (1 + e)


def sigmoid_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x (B, O) = grad_out * out * (1 - out)"""
    grad_x[...] = grad_out * (out * (1 - out))


def tanh_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = tanh(x)"""
    out[...] = np.tanh(x)


def tanh_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x (B, O) = grad_out * (1 - out) * (1 + out)"""
    grad_x[...] = grad_out * ((1 - out) * (1 + out))


def relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = max(x, 0); NaN stays NaN"""
    out[...] = np.maximum(x, 0)


def relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x (B, O) = grad_out, or 0 where out <= 0"""
    grad_x[...] = np.where(out <= 0, 0, grad_out)


def leaky_relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = x, or x / 100 where x < 0"""
    out[...] = np.where(x < 0, LEAK * x, x)


def leaky_relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x (B, O) = grad_out, or grad_out / 100 where out <= 0"""
    grad_x[...] = np.where(out <= 0, LEAK * grad_out, grad_out)


def elu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = x, or e^x - 1 where x < 0"""
    out[...] = np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def elu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """grad_x (B, O) = grad_out, or grad_out * (out + 1) where out < 0"""
    grad_x[...] = np.where(out < 0, grad_out * (out + 1), grad_out)


def softplus_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = log(1 + e^x)"""
    out[...] = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x (B, O) = grad_out * sigmoid(x)"""
    slope = np.empty_like(x)
    sigmoid_forward(slope, x)
    grad_x[...] = grad_out * slope


def silu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = x sigmoid(x)"""
    gate = np.empty_like(x)
    sigmoid_forward(gate, x)
    out[...] = np.where(gate == 0, 0, x) * gate  # -infinity times 0 is 0 here


def silu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x (B, O) = grad_out * s (1 + x (1 - s)), s = sigmoid(x)"""
    gate, rest = np.empty_like(x), np.empty_like(x)
    sigmoid_forward(gate, x)
    sigmoid_forward(rest, -x)
    grad_x[...] = grad_out * (gate + np.where((gate == 0) | (rest == 0), 0, x) * gate * rest)


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def gelu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, O) = x Phi(x), Phi the distribution function of the standard normal"""
    share = 0.5 * _erfc(-x / math.sqrt(2))
    out[...] = np.where(share == 0, 0, x) * share


def gelu_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """grad_x (B, O) = grad_out * (Phi(x) + x phi(x)), phi = Phi'"""
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        density = np.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    grad_x[...] = grad_out * (0.5 * _erfc(-wide / math.sqrt(2)) + np.where(density == 0, 0, wide) * density)


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, K) = e^x / sum of e^x over the row"""
    power = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    out[...] = power / power.sum(axis=1, keepdims=True)


def compile_activation(forward: Callable[..., float], derivative: Callable[..., float], dtype: np.dtype) -> int:
    """The code of an activation given by scalar functions: forward(x), and derivative(x) or derivative(x, y)"""
    by_input = len(inspect.signature(derivative).parameters) == 1
    slope = np.vectorize((lambda x, y: derivative(x)) if by_input else derivative, otypes=[dtype])
    _given.append((np.vectorize(forward, otypes=[dtype]), slope))
    return FIRST_GIVEN + len(_given) - 1


_given: list[tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = []


def activation_forward(out: np.ndarray, x: np.ndarray, code: int) -> None:
    """out (B, O) = f(x), f the activation of the code"""
    if code >= FIRST_GIVEN:
        out[...] = _given[code - FIRST_GIVEN][0](x) if x.size else x
    else:
        FORWARD[code](out, x)


def activation_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, code: int) -> None:
    """grad_x (B, O) = grad_out * f'(x)"""
    out = np.empty_like(x)
    activation_forward(out, x, code)
    _backward(grad_x, grad_out, x, out, code)


def _backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray, out: np.ndarray, code: int) -> None:
    """The same with out = f(x)"""
    if code >= FIRST_GIVEN:
        grad_x[...] = grad_out * _given[code - FIRST_GIVEN][1](x, out) if x.size else grad_out
    else:
        BACKWARD[code](grad_x, grad_out, x if ACTIVATIONS[code] in ("softplus", "silu", "gelu") else out)


def softmax_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean of -sum_k t_k log softmax(z)_k; grad_logits (B, K) = (softmax(z) sum_k t_k - t) / B"""
    batch, classes = logits.shape
    if targets.ndim == 1:
        targets = np.eye(classes)[targets]
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    power = np.exp(z)
    total = power.sum(axis=1, keepdims=True)
    grad_logits[...] = (power / total * targets.sum(axis=1, keepdims=True, dtype=np.float64) - targets) / max(batch, 1)
    with np.errstate(invalid="ignore"):  # 0 log 0 is 0, also where a logit is -inf
        losses = np.where(targets != 0, targets * (np.log(total) - z), 0).sum(axis=1)
    losses += 0 * total[:, 0]  # NaN if the row holds one
    return float(losses.sum() / batch) if batch else np.nan


def sigmoid_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean of sum_k max(z, 0) - z t + log(1 + e^-|z|); grad_logits (B, K) = (sigmoid(z) - t) / B"""
    batch = len(logits)
    z = logits.astype(np.float64)
    e = np.exp(-np.abs(z))
    grad_logits[...] = (np.where(z < 0, e, 1) / (1 + e) - targets) / max(batch, 1)
    losses = (np.maximum(z, 0) - z * targets + np.log1p(e)).sum(axis=1)
    return float(losses.sum() / batch) if batch else np.nan


def squared_error(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
    """Mean of 1/2 ||y - t||^2; grad_out (B, O) = (y - t) / B"""
    batch = len(out)
    difference = out.astype(np.float64) - targets
    grad_out[...] = difference / max(batch, 1)
    return float(0.5 * (difference * difference).sum() / batch) if batch else np.nan


def sgd_update(param: np.ndarray, grad: np.ndarray, learning_rate: float) -> None:
    """param <- param - learning_rate * grad, in place"""
    param -= param.dtype.type(learning_rate) * grad


def momentum_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """v <- beta v - eta g, w <- w + v"""
    velocity[...] = momentum * velocity - learning_rate * grad
    param += velocity


def nesterov_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """v <- beta v - eta g, w <- w + beta v - eta g"""
    velocity[...] = momentum * velocity - learning_rate * grad
    param += momentum * velocity - learning_rate * grad


def adagrad_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, epsilon: float
) -> None:
    """h <- h + g^2, w <- w - eta g / (sqrt h + eps)"""
    squares += grad * grad
    param -= learning_rate * grad / (np.sqrt(squares) + epsilon)


def rmsprop_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, decay_rate: float, epsilon: float
) -> None:
    """h <- beta h + (1 - beta) g^2, w <- w - eta g / (sqrt h + eps)"""
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
    """m and v follow g and g^2; w <- w - eta m^ / (sqrt v^ + eps), ^ for the correction of the start at 0"""
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
    """w <- (1 - eta decay) w, then Adam"""
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
    """out (B, O) = gamma n + beta, n = (x - mean) / sqrt(variance + epsilon), mean and variance those of the batch"""
    with np.errstate(invalid="ignore"):  # an empty batch has neither
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
    """grad_x (B, O) = gamma / sqrt(variance + epsilon) * (g - mean g - n mean(g n)), g = grad_out, n = normalized"""
    batch = max(len(grad_out), 1)
    by_gamma, by_beta = (grad_out * normalized).sum(axis=0), grad_out.sum(axis=0)
    grad_x[...] = gamma / np.sqrt(variance + epsilon) * (grad_out - by_beta / batch - normalized * (by_gamma / batch))
    grad_gamma[...], grad_beta[...] = by_gamma, by_beta


def _mixed(x: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit of x: of uint32, one to one"""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    mixed: np.ndarray = x ^ (x >> np.uint32(16))
    return mixed


def dropout_mask(mask: np.ndarray, layer: int, step: int, dropout: float, scale: float, seed: int) -> None:
    """mask (B, O) = scale, or 0 with probability `dropout`: a function of seed, step, layer, row and column"""
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    key = _mixed(_mixed(_mixed(np.array([seed], np.uint32)) + np.uint32(step & 0xFFFFFFFF)) + np.uint32(layer))
    drawn = _mixed(_mixed(key + rows.astype(np.uint32) * np.uint32(0x9E3779B9)) ^ columns.astype(np.uint32))
    mask[...] = np.where(drawn < np.uint32(int(dropout * 2.0**32)), 0, scale)


FORWARD = (
    identity_forward, sigmoid_forward, tanh_forward, relu_forward, leaky_relu_forward, elu_forward,
    softplus_forward, silu_forward, gelu_forward, softmax,
)  # fmt: skip
BACKWARD = (
    identity_backward, sigmoid_backward, tanh_backward, relu_backward, leaky_relu_backward, elu_backward,
    softplus_backward, silu_backward, gelu_backward,
)  # fmt: skip
LOSS = (softmax_cross_entropy, sigmoid_cross_entropy, squared_error)


def _layers(params: np.ndarray, sizes: np.ndarray, normalized: bool = False) -> list[list[np.ndarray]]:
    """Views of the flat vector for each layer: weight (I, O), bias (O,), and if normalized, of all but the last layer
    gamma (O,), beta (O,)"""
    layers = []
    start = 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        views = []
        for size in (inputs * outputs, *[outputs] * (3 if normalized and layer < len(sizes) - 2 else 1)):
            views.append(params[start : start + size])
            start += size
        views[0] = views[0].reshape(inputs, outputs)
        layers.append(views)
    return layers


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> None:
    """out (N, K): x_l = f_l(x_{l-1} W_l + b_l) for each layer"""
    for (weight, bias), code in zip(_layers(params, sizes), activations, strict=True):
        u = np.empty((len(x), len(bias)), params.dtype)
        affine_forward(u, x, weight, bias)
        x = np.empty_like(u)
        activation_forward(x, u, code)
    out[...] = x


def network_loss(
    params: np.ndarray, x: np.ndarray, targets: np.ndarray, sizes: np.ndarray, activations: np.ndarray, loss: int
) -> float:
    """The mean loss of the network's outputs; NaN if an element of x is not finite"""
    x = _converted(x, params.dtype)
    if not np.isfinite(x).all():
        return float("nan")
    out = np.empty((len(x), sizes[-1]), params.dtype)
    network_forward(out, params, x, sizes, activations)
    return LOSS[loss](np.empty_like(out), out, targets)


def network_gradient(
    grad_params: np.ndarray,
    statistics: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss: int,
    step: int,
) -> float:
    """Back-propagation; returns the mean loss, or NaN if an element of x is not finite"""
    x = _converted(x, params.dtype)
    finite = bool(np.isfinite(x).all())
    with np.errstate(invalid=None if finite else "ignore"):
        value = _gradient(grad_params, statistics, params, x, targets, None, sizes, activations, settings, loss, step)
    return value if finite else float("nan")


def _converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite
        return x.astype(dtype)


def _gradient(
    grad_params: np.ndarray,
    statistics: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss: int,
    step: int,
) -> float:
    setting = dict(zip(SETTINGS, settings.tolist(), strict=True))
    layers, grads = (_layers(vector, sizes, statistics.size > 0) for vector in (params, grad_params))
    outs, before, norms = [x], [], []  # before: the input and output of f_l, and the mask of dropout
    for layer, ((weight, bias, *norm), code) in enumerate(zip(layers, activations, strict=True)):
        u = np.empty((len(x), len(bias)), params.dtype)
        affine_forward(u, outs[-1], weight, bias)
        if norm:
            normalized, mean, variance = np.empty_like(u), np.empty_like(bias), np.empty_like(bias)
            gamma, beta = norm
            batch_norm_forward(u, normalized, mean, variance, u.copy(), gamma, beta, setting["norm_epsilon"])
            norms.append((normalized, variance, gamma))
            start, width, keep = 2 * int(sizes[1 : layer + 1].sum()), len(bias), setting["norm_momentum"]
            for running, new in ((statistics[start:][:width], mean), (statistics[start + width :][:width], variance)):
                running[...] = keep * running + (1 - keep) * new
        out, mask = np.empty_like(u), np.ones_like(u)
        activation_forward(out, u, code)
        if setting["dropout"] and layer < len(layers) - 1:
            dropout_mask(mask, layer + 1, step, setting["dropout"], setting["dropout_scale"], int(setting["seed"]))
        outs.append(out * mask)
        before.append((u, out, mask))
    grad = np.empty_like(outs[-1])
    value = LOSS[loss](grad, outs[-1], targets)
    if weights is not None:
        value = _weighted_loss(outs[-1], targets, weights, loss)
        grad *= weights[:, np.newaxis]
    for layer in reversed(range(len(layers))):
        u, out, mask = before[layer]
        grad = grad * mask
        _backward(grad, grad, u, out, activations[layer])
        grad_weight, grad_bias, *grad_norm = grads[layer]
        if grad_norm:
            (grad_gamma, grad_beta), (normalized, variance, gamma) = grad_norm, norms[layer]
            batch_norm_backward(
                grad, grad_gamma, grad_beta, grad.copy(), normalized, variance, gamma, setting["norm_epsilon"]
            )
        grad_x = np.empty_like(outs[layer])
        affine_backward(grad_x, grad_weight, grad_bias, grad, outs[layer], layers[layer][0])
        grad = grad_x
    return value


def _weighted_loss(out: np.ndarray, targets: np.ndarray, weights: np.ndarray, loss: int) -> float:
    """The mean of w_i E_i"""
    each = [LOSS[loss](np.empty_like(out[i : i + 1]), out[i : i + 1], targets[i : i + 1]) for i in range(len(out))]
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
    beta1, beta2, epsilon, decay, book = settings[:5].tolist()
    if book and OPTIMIZERS[optimizer] in ("adam", "adamw"):  # w -= eta m^ / ((sqrt v + eps) / sqrt(1 - beta2^t))
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
    x: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss: int,
    optimizer: int,
    batch_size: int,
    steps_before: int,
) -> None:
    """For each batch of `order`: its loss into step_losses, then the optimizer's rule on the gradient + l2 W"""
    grad_params = np.empty_like(params)
    order = np.atleast_2d(order)
    order = order if order.shape[1] else np.tile(np.arange(len(x)), (len(order), 1))
    batches = [row[i : i + batch_size] for row in order for i in range(0, len(row), batch_size)]
    l2, clip_norm = settings[SETTINGS.index("l2")], settings[SETTINGS.index("clip_norm")]
    for step, samples in enumerate(batches[: len(step_losses)]):
        number = steps_before + step + 1
        step_losses[step] = _gradient(
            grad_params, statistics, params, x[samples], targets[samples],
            sample_weights[samples] if len(sample_weights) else None, sizes, activations, settings, loss, number,
        )  # fmt: skip
        normalized = statistics.size > 0
        for (grad_weight, *_), (weight, *_) in zip(
            _layers(grad_params, sizes, normalized), _layers(params, sizes, normalized), strict=True
        ):
            grad_weight += l2 * weight
        norm = math.sqrt(float((grad_params.astype(np.float64) ** 2).sum()))
        if clip_norm and norm > clip_norm:
            grad_params *= params.dtype.type(clip_norm / norm)
        _update(params, first, second, grad_params, float(learning_rates[step]), settings, optimizer, number)
