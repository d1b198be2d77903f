"""Dropout: outputs that are set to 0 at random, and the random numbers for that.

Whether an element is dropped is a function of five integers: a seed, the step, the layer, the row and the column. There
is no generator with a state, so that any thread can work on any part of a batch, in any order, to the same result. The
function is a mixer of 32 bits applied once for each of the five: every bit of its result depends on every bit of its
argument, and no two arguments have the same result.

Source: Srivastava et al. 2014; the mixer is Wellons' "lowbias32" (2018).
"""

import numba
import numpy as np

from ..compiler.jit import entry, inner, shared
from ..compiler.vectors import array_at

# Added for each row: 2^32 / the golden ratio, so that rows that follow one another get keys that are far apart.
ROW = 0x9E3779B9
ALL = 0xFFFFFFFF


@inner
def _mixed(x):
    # uint32 to uint32, one to one
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


def _plain_mixed(x):
    """The same in Python's integers: NumPy's would warn of overflow."""
    x = int(x)
    x ^= x >> 16
    x = x * 0x7FEB352D & ALL
    x ^= x >> 15
    x = x * 0x846CA68B & ALL
    return np.uint32(x ^ x >> 16)


mixed = _plain_mixed if numba.config.DISABLE_JIT else _mixed


@inner
def plus(x, y):
    """The sum modulo 2^32."""
    return np.uint32((np.int64(x) + np.int64(y)) & ALL)


@shared(f"void({8 * 'intp, '}float64, float64, real)")
def drop(y, slope, row, rows, columns, first, layer, step_key, dropout, scale, one):
    """Multiply a block of outputs, and one of slopes, by 0 at random and else by scale.

    y, slope  addresses; rows are `row` bytes apart, with contiguous elements
    first     the number of the first row in the batch
    step_key  what `key_of_step` gives
    """
    factor, zero = array_at(0, 0, one).dtype.type(scale), one - one
    limit = np.uint32(np.int64(dropout * 4294967296.0))
    key = mixed(plus(step_key, layer))
    for i in range(rows):
        outputs, slopes = array_at(y + i * row, columns, one), array_at(slope + i * row, columns, one)
        row_key = mixed(plus(key, np.int64(first + i) * np.int64(ROW) & ALL))
        for j in range(columns):
            keep = zero if mixed(np.uint32(row_key ^ np.uint32(j))) < limit else factor
            outputs[j] *= keep
            slopes[j] *= keep


@inner
def key_of_step(seed, step):
    return np.int64(mixed(plus(mixed(plus(seed, 0)), step)))


@entry("void(real[:, :], real[:, :], intp, intp, float64, float64, intp)", calls=[drop], parallel=False)
def _mask(mask, spare, layer, step, dropout, scale, seed):
    drop(
        mask.ctypes.data, spare.ctypes.data, mask.strides[0], mask.shape[0], mask.shape[1], 0, layer,
        key_of_step(seed, step), dropout, scale, mask.dtype.type(1),
    )  # fmt: skip


def dropout_mask(mask: np.ndarray, layer: int, step: int, dropout: float, scale: float, seed: int) -> None:
    """What dropout multiplies the outputs of a layer by: 0 with probability `dropout`, else scale.

    mask         (B, O)   written
    layer, step  int      from 1
    dropout      float    in [0, 1)
    scale        float    1 / (1 - dropout) keeps the mean of the outputs
    seed         int      in [0, 2^32)

    The same numbers as in training with the same settings, see train_steps.
    """
    result, spare = np.ones(mask.shape, mask.dtype), np.zeros(mask.shape, mask.dtype)  # whose rows are as far apart
    _mask(result, spare, layer, step, dropout, scale, seed)
    mask[...] = result
