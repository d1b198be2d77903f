"""Dropout: the numbers of its twin bit for bit, how many are 0, and that no part of a mask repeats another."""

import itertools

import numba
import numpy as np
import pytest
from helpers import (
    DTYPES,
    LAYOUTS,
    NOJIT,
    dtypes,
    framed,
    from_python,
    normal,
    poisoned,
    run_python,
    seeds,
    sizes,
    unchanged,
)
from hypothesis import given
from hypothesis import strategies as st

from fastfnn import kernels, reference
from fastfnn.kernels.compiler.decorators import address_of
from fastfnn.kernels.compiler.memory import Rows
from fastfnn.kernels.elementwise import dropout
from fastfnn.kernels.workers import crew

SIGMAS = 6.5  # exceeded once in 10^10 draws of a normal number; a test draws a few million at most
LARGEST = 2**32 - 1

ratios = st.sampled_from([0.0, 2.0**-40, 0.1, 0.25, 0.5, 0.9, 1 - 2.0**-53])  # from nothing to all but nothing
layers = st.integers(1, 40)
steps = st.integers(1, 2**40)  # more than 32 bits


def mask(module, shape, ratio, dtype="float64", layer=1, step=1, seed=0, scale=2.0, layout="C"):
    out = poisoned(shape, dtype, layout)
    module.dropout_mask(out, layer, step, ratio, scale, seed)
    return out


def signs(shape, **keys):
    """A mask of ratio 1/2 as -1 and 1."""
    return mask(kernels, shape, 0.5, **keys) - 1


@given(sizes, sizes, dtypes, st.sampled_from(LAYOUTS), ratios, layers, steps, seeds)
def test_the_mask_is_that_of_the_reference(rows, columns, dtype, layout, ratio, layer, step, seed):
    keys = {"dtype": dtype, "layer": layer, "step": step, "seed": seed, "scale": 1 / (1 - ratio), "layout": layout}
    want = mask(reference, (rows, columns), ratio, **keys)
    got = mask(kernels, (rows, columns), ratio, **keys)
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, LARGEST])
@pytest.mark.parametrize("step", [1, LARGEST, LARGEST + 1, 2**62])
def test_keys_at_the_edges_of_32_bits(seed, step):
    want = mask(reference, (3, 17), 0.5, step=step, seed=seed)
    got = mask(kernels, (3, 17), 0.5, step=step, seed=seed)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ratio_0_drops_nothing(dtype):
    got = mask(kernels, (9, 33), 0.0, dtype, scale=1.0)
    np.testing.assert_array_equal(got, np.ones((9, 33)))


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.5, 0.9])
def test_the_share_of_zeros_is_the_ratio(ratio):
    shape = (40, 60) if NOJIT else (400, 700)
    got = mask(kernels, shape, ratio, scale=1 / (1 - ratio))
    assert set(np.unique(got)) == {0, 1 / (1 - ratio)}
    for axis in (None, 0, 1):  # of all, of every column, of every row
        dropped = (got == 0).mean(axis=axis)
        deviation = np.sqrt(ratio * (1 - ratio) / (got.size // np.size(dropped)))
        # each a binomial number, whose tail is longer than a normal one's where few of a row are dropped
        assert np.max(np.abs(dropped - ratio)) < (1.2 * SIGMAS if axis is not None else SIGMAS) * deviation


def test_no_row_or_column_of_a_mask_repeats():
    side = 90 if NOJIT else 600  # two of so many would be equal by chance once in 2^70 masks, and less
    got = mask(kernels, (side, side), 0.5)
    assert len(np.unique(got, axis=0)) == len(np.unique(got, axis=1)) == side


def test_no_shift_of_a_mask_resembles_it():
    """The autocorrelation, at all shifts of rows and columns together: normal numbers of deviation 1."""
    shape = (32, 48) if NOJIT else (512, 768)
    spectrum = np.fft.rfft2(signs(shape))
    correlation = np.fft.irfft2(spectrum * spectrum.conj(), shape) / np.sqrt(shape[0] * shape[1])
    assert correlation[0, 0] == pytest.approx(np.sqrt(shape[0] * shape[1]))
    correlation[0, 0] = 0
    assert np.max(np.abs(correlation)) < SIGMAS


def test_masks_of_other_layers_steps_and_seeds_have_nothing_in_common():
    count, shape = (3, (8, 40)) if NOJIT else (7, (30, 100))
    keys = list(itertools.product(range(1, count), range(1, count), [0, 1, 2, LARGEST]))
    rows = np.array([signs(shape, layer=layer, step=step, seed=seed).ravel() for layer, step, seed in keys])
    correlation = rows @ rows.T / np.sqrt(rows.shape[1])
    np.fill_diagonal(correlation, 0)
    assert np.max(np.abs(correlation)) < SIGMAS


def chi_square(*binary):
    """Of the patterns that arrays of 0 and 1 form together, against all being equally frequent."""
    patterns = sum(array.ravel().astype(int) << place for place, array in enumerate(binary))
    found = np.bincount(patterns, minlength=2 ** len(binary))
    expected = patterns.size / 2 ** len(binary)
    return np.sum((found - expected) ** 2) / expected


def test_neighbours_form_every_pattern_alike():
    shape = (41, 61) if NOJIT else (301, 401)
    one, *others = (
        mask(kernels, shape, 0.5, scale=1.0, layer=layer, step=step, seed=seed)
        for layer, step, seed in [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1)]
    )
    bound = 60  # for 15 degrees of freedom: exceeded once in 4 million masks
    assert chi_square(one[:-1, :-1], one[1:, :-1], one[:-1, 1:], one[1:, 1:]) < bound
    assert chi_square(one[:, :-3], one[:, 1:-2], one[:, 2:-1], one[:, 3:]) < bound
    assert chi_square(one[:-3], one[1:-2], one[2:-1], one[3:]) < bound
    assert chi_square(one, *others) < bound


def test_a_mask_depends_on_no_other_row_or_column():
    whole = mask(kernels, (33, 50), 0.5, layer=2, step=3, seed=4)
    for rows, columns in [(1, 50), (32, 1), (7, 17), (33, 0)]:
        part = mask(kernels, (rows, columns), 0.5, layer=2, step=3, seed=4)
        np.testing.assert_array_equal(part, whole[:rows, :columns])


@given(sizes, sizes, dtypes, seeds)
def test_nothing_outside_the_mask_is_written(rows, columns, dtype, seed):
    with framed((rows, columns), dtype=dtype) as (out,):
        kernels.dropout_mask(out, 1, 1, 0.5, 2.0, seed)


@pytest.mark.jit
def test_few_columns_of_a_wide_array_and_no_warning_from_the_compiler(tmp_path):
    """In a process of its own: memory a hundred megabytes beyond an array is nobody's."""
    code = """
import warnings
warnings.simplefilter("error")
import numpy as np
from fastfnn import kernels, reference
wide = np.zeros((1001, 1 << 14))
for part in (wide[:, :2], wide[:, 5:6], wide[::-1, :2], wide[::8, 3:0:-1]):
    want = np.zeros(part.shape)
    reference.dropout_mask(want, 1, 1, 0.5, 2.0, 3)
    kernels.dropout_mask(part, 1, 1, 0.5, 2.0, 3)
    assert np.array_equal(part, want)
    part[...] = 0
    assert not wide.any()
"""
    run_python(code, NUMBA_CACHE_DIR=tmp_path)


# `drop`, as training calls it: on a part of a batch, of outputs and slopes together


@numba.njit
def compiled_drop(function, y, slope, numbers, ratio, scale, one):
    rows, columns, first, layer, seed, step = numbers
    key = dropout.key_of_step(seed, step)
    dropout.call_drop(function, y, slope, rows, columns, first, layer, key, ratio, scale, one)


def drop(outputs, slopes, first, ratio, layer=2, step=3, seed=4):
    """Drop from the rows of two arrays, the first of which is number `first` of the batch."""
    function = address_of(dropout.drop, outputs.dtype)
    y, slope = (Rows(array.ctypes.data, array.strides[0]) for array in (outputs, slopes))
    numbers = (*outputs.shape, first, layer, seed, step)
    compiled_drop(function, y, slope, numbers, ratio, 1 / (1 - ratio), outputs.dtype.type(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 20])
def test_any_split_of_a_batch_gives_the_same(parts, dtype):
    rng = np.random.default_rng(0)
    padded = [normal(rng, (20, columns), dtype) for columns in (40, 48)]  # rows of different distances
    outputs, slopes = (array[:, :33].copy() for array in padded)
    keep = mask(reference, (20, 33), 0.25, dtype, layer=2, step=3, seed=4, scale=4 / 3)
    for part in range(parts):
        start, stop = from_python(crew.share)(20, parts, part)
        drop(*(array[start:stop, :33] for array in padded), start, 0.25)
    np.testing.assert_array_equal(padded[0][:, :33], outputs * keep)
    np.testing.assert_array_equal(padded[1][:, :33], slopes * keep)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_drop_touches_nothing_but_its_block(dtype):
    outputs, slopes = np.ones((9, 40), dtype), np.ones((9, 40), dtype)
    inside = (slice(2, 7), slice(3, 20))
    drop(outputs[inside], slopes[inside], 2, 0.75)
    for array in (outputs, slopes):
        assert np.any(array[inside] == 0)
        array[inside] = 1
        assert np.all(array == 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nan_and_infinity_are_multiplied(dtype):
    outputs = np.tile(np.array([np.nan, np.inf, -np.inf], dtype), (5, 11))
    slopes = np.ones_like(outputs)
    keep = mask(reference, outputs.shape, 0.5, dtype, layer=2, step=3, seed=4)
    with np.errstate(invalid="ignore"):  # 0 times infinity
        want = outputs * keep
        drop(outputs, slopes, 0, 0.5)
    np.testing.assert_array_equal(outputs, want)
    with unchanged(outputs):
        drop(outputs[:0], slopes[:0], 0, 0.5)


def test_the_mixer_takes_every_number_to_another():
    """Each of its steps has an inverse, so that no two numbers have the same result."""
    inverse = [pow(factor, -1, 2**32) for factor in (0x846CA68B, 0x7FEB352D)]
    for number in [0, 1, LARGEST, *np.random.default_rng(0).integers(0, 2**32, 200).tolist()]:
        x = int(from_python(dropout.mixed)(np.uint32(number)))
        x = (x ^ x >> 16) * inverse[0] & LARGEST
        x = (x ^ x >> 15 ^ x >> 30) * inverse[1] & LARGEST
        assert x ^ x >> 16 == number
