"""The update rules of gradient descent.

Parameters w, their gradient g and the state of a rule have one shape; parameters and state are read and written, the
gradient is read. eta is the learning rate.
"""

import numpy as np

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")


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


def update(
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
