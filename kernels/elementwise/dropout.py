"""Dropout: outputs that are set to 0 at random, and the random numbers for that.

Whether an element is dropped is a function of five integers: seed, step, layer, row and column. There is no generator
with a state, so any thread can work on any part of a batch, in any order, with the same result. The function applies a
32-bit mixer once for each integer: every bit of the mixer's result depends on every bit of its argument, and no two
arguments have the same result.

Training calls `drop` on the outputs and slopes of a layer. Source: Srivastava et al. 2014; the mixer is Wellons'
"lowbias32" (2018).
"""

from typing import Any

import numba
import numpy as np

from ..compiler.decorators import called_through, entry, inner, shared
from ..compiler.memory import Rows, as_type_of, row_at
from ..compiler.signature import Real, WrittenMatrix

# Added for each row: 2^32 / the golden ratio, so that the keys of successive rows are far apart.
ROW_STEP = 0x9E3779B9
ALL_BITS = 0xFFFFFFFF


@inner
def _mixed(x):
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


def _plain_mixed(x):
    x = int(x)  # NumPy's integers would warn of overflow
    x ^= x >> 16
    x = x * 0x7FEB352D & ALL_BITS
    x ^= x >> 15
    x = x * 0x846CA68B & ALL_BITS
    return np.uint32(x ^ x >> 16)


# The mixer, a one-to-one function from uint32 to uint32: mixed(x).
mixed: Any = _plain_mixed if numba.config.DISABLE_JIT else _mixed


@inner
def sum_of_32_bits(x, y):
    """The sum modulo 2^32."""
    return np.uint32((np.int64(x) + np.int64(y)) & ALL_BITS)


@inner
def key_of_step(seed, step):
    """The key of a training step, from which the masks of its layers are made."""
    return np.int64(mixed(sum_of_32_bits(mixed(sum_of_32_bits(seed, 0)), step)))


@called_through
def call_drop(
    function: int, y: Rows, slope: Rows, rows: int, columns: int,
    first: int, layer: int, step_key: int, ratio: float, scale: float, one: Real,
) -> None:  # fmt: skip
    """Call `drop` by its address."""


@shared
def drop(
    y: Rows, slope: Rows, rows: int, columns: int,
    first: int, layer: int, step_key: int, ratio: float, scale: float, one: Real,
) -> None:  # fmt: skip
    """Multiply a block of outputs and one of slopes by 0, at random, or by `scale`.

    first     the number of the block's first row in the batch
    layer     the number of the layer, from 1
    step_key  the result of `key_of_step`
    ratio     the probability of 0
    """
    factor, zero = as_type_of(scale, one), one - one
    limit = np.uint32(np.int64(ratio * 4294967296.0))
    key = mixed(sum_of_32_bits(step_key, layer))
    for i in range(rows):
        outputs, slopes = row_at(y, i, columns, one), row_at(slope, i, columns, one)
        row_key = mixed(sum_of_32_bits(key, np.int64(first + i) * np.int64(ROW_STEP) & ALL_BITS))
        for j in range(columns):
            keep = zero if mixed(np.uint32(row_key ^ np.uint32(j))) < limit else factor
            outputs[j] *= keep
            slopes[j] *= keep


@inner
def rows_of(x):
    """The rows of a matrix of contiguous rows."""
    return Rows(np.int64(x.ctypes.data), x.strides[0])  # type: ignore[arg-type]


@entry
def _mask(
    mask: WrittenMatrix, spare: WrittenMatrix, layer: int, step: int, ratio: float, scale: float, seed: int
) -> None:
    y, slope = rows_of(mask), rows_of(spare)
    rows, columns = mask.shape
    drop(y, slope, rows, columns, 0, layer, key_of_step(seed, step), ratio, scale, mask.dtype.type(1))


def dropout_mask(mask: np.ndarray, layer: int, step: int, dropout: float, scale: float, seed: int) -> None:
    """What dropout multiplies the outputs of a layer by: 0 with probability `dropout`, else scale.

    mask         (B, O)   written
    layer, step  int      from 1
    dropout      float    in [0, 1)
    scale        float    1 / (1 - dropout) keeps the mean of the outputs
    seed         int      in [0, 2^32)

    Training with the same settings uses the same masks, see train_steps.
    """
    result, spare = np.ones(mask.shape, mask.dtype), np.zeros(mask.shape, mask.dtype)
    _mask(result, spare, layer, step, dropout, scale, seed)
    mask[...] = result
