"""The vector of settings that the compiled training loop takes, and the constants of batch normalization."""

import functools

import numpy as np

from fastfnn.backend import SETTINGS

# Batch normalization divides by sqrt(variance + epsilon); the book has a smaller epsilon.
NORM_EPSILON, BOOK_NORM_EPSILON = 1e-5, 1e-6

# The share of the running statistics that a training step keeps.
NORM_MOMENTUM = 0.9


def norm_epsilon(book: bool) -> float:
    """Return the epsilon that batch normalization adds to the variance."""
    return BOOK_NORM_EPSILON if book else NORM_EPSILON


@functools.lru_cache
def training_settings(
    weight_decay: float, dropout: float, book: bool, seed: int, optimizer_settings: tuple[tuple[str, float], ...]
) -> np.ndarray:
    """Return the settings of a network and of an optimizer in the order of `backend.SETTINGS`.

    Cached because every call of `gradient` needs the vector.
    """
    named = {
        **dict(optimizer_settings),
        "l2": weight_decay,
        "dropout": dropout,
        "dropout_scale": 1.0 if book else 1 / (1 - dropout),
        "norm_epsilon": norm_epsilon(book),
        "norm_momentum": NORM_MOMENTUM,
        "seed": seed,
    }
    return np.array([named.get(name, 0.0) for name in SETTINGS])
