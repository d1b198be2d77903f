"""The NumPy twin of every kernel: the same names, signatures and results, in the plainest NumPy that is right.

This is what the kernels are tested against, and what `FNN(..., backend="reference")` runs. It computes in the dtype of
its arguments; only losses are float64. It imports NumPy only. The contracts stand in the docstrings of the kernels.
"""

import numpy as np

ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "softmax")
LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
SETTINGS = ("learning_rate", "beta1", "beta2", "epsilon", "decay", "l2")


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


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """out (B, K) = e^x / sum of e^x over the row"""
    power = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    out[...] = power / power.sum(axis=1, keepdims=True)


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


FORWARD = (identity_forward, sigmoid_forward, tanh_forward, relu_forward, softmax)
BACKWARD = (identity_backward, sigmoid_backward, tanh_backward, relu_backward)
LOSS = (softmax_cross_entropy, sigmoid_cross_entropy, squared_error)


def _layers(params: np.ndarray, sizes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Views of the flat vector: (weight (I, O), bias (O,)) for each layer"""
    layers = []
    start = 0
    for inputs, outputs in np.stack((sizes[:-1], sizes[1:]), axis=1):
        middle = start + inputs * outputs
        layers.append((params[start:middle].reshape(inputs, outputs), params[middle : middle + outputs]))
        start = middle + outputs
    return layers


def _outputs(params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray) -> list[np.ndarray]:
    """x and the output of every layer"""
    outs = [x]
    for (weight, bias), code in zip(_layers(params, sizes), activations, strict=True):
        out = np.empty((len(x), weight.shape[1]), params.dtype)
        affine_forward(out, outs[-1], weight, bias)
        FORWARD[code](out, out)
        outs.append(out)
    return outs


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> None:
    """out (N, K): x_l = f_l(x_{l-1} W_l + b_l) for each layer"""
    out[...] = _outputs(params, x, sizes, activations)[-1]


def network_gradient(
    grad_params: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss: int,
) -> float:
    """Back-propagation; returns the mean loss"""
    outs = _outputs(params, x, sizes, activations)
    grad = np.empty_like(outs[-1])
    value = LOSS[loss](grad, outs[-1], targets)
    pairs = zip(_layers(params, sizes), _layers(grad_params, sizes), strict=True)
    for layer, ((weight, _), (grad_weight, grad_bias)) in reversed(list(enumerate(pairs))):
        BACKWARD[activations[layer]](grad, grad, outs[layer + 1])
        grad_x = np.empty_like(outs[layer])
        affine_backward(grad_x, grad_weight, grad_bias, grad, outs[layer], weight)
        grad = grad_x
    return value


def _update(
    param: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    grad: np.ndarray,
    settings: np.ndarray,
    optimizer: int,
    step: int,
) -> None:
    rate, beta1, beta2, epsilon, decay, _ = settings.tolist()
    match OPTIMIZERS[optimizer]:
        case "sgd":
            sgd_update(param, grad, rate)
        case "momentum":
            momentum_update(param, first, grad, rate, beta1)
        case "nesterov":
            nesterov_update(param, first, grad, rate, beta1)
        case "adagrad":
            adagrad_update(param, first, grad, rate, epsilon)
        case "rmsprop":
            rmsprop_update(param, first, grad, rate, beta1, epsilon)
        case "adam":
            adam_update(param, first, second, grad, rate, beta1, beta2, epsilon, step)
        case "adamw":
            adamw_update(param, first, second, grad, rate, beta1, beta2, epsilon, decay, step)


def train_steps(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    step_losses: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    order: np.ndarray,
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
    order = order if len(order) else np.arange(len(x))
    for step in range(len(step_losses)):
        samples = order[step * batch_size : (step + 1) * batch_size]
        step_losses[step] = network_gradient(
            grad_params, params, x[samples], targets[samples], sizes, activations, loss
        )
        for (grad_weight, _), (weight, _) in zip(_layers(grad_params, sizes), _layers(params, sizes), strict=True):
            grad_weight += settings[5] * weight
        _update(params, first, second, grad_params, settings, optimizer, steps_before + step + 1)
