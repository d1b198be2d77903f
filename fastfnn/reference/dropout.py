"""The masks of dropout."""

import numpy as np


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
