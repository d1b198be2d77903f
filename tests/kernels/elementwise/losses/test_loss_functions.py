"""The functions of losses that training calls by address, on blocks of rows; the sum of their terms."""

import inspect
import math

import numba
import numpy as np
import pytest
from helpers import DTYPES, FLOAT64_RTOL, from_python, normal, unchanged
from networks import loss_arguments, loss_parameters

from fastfnn import kernels
from fastfnn.kernels.compiler.memory import NO_ROWS, Rows
from fastfnn.kernels.elementwise.losses.contract import LANES, Targets, call_loss, split_targets, total
from fastfnn.kernels.elementwise.losses.table import LOSSES, loss_function, parameters_of, terms_per_sample

OUTSIDE = 12345.0
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@numba.njit
def call(function, grad, out, rows, columns, targets, parameters, terms, scale, one):
    call_loss(function, grad, out, rows, columns, targets, parameters, terms, scale, one)


def rows_of(x):
    return Rows(x.ctypes.data, x.strides[0])


@every_dtype
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("columns", [1, 6, 7])  # targets are not smoothed for 6
@pytest.mark.parametrize(("name", "labels"), [*((name, False) for name in LOSSES), ("softmax_cross_entropy", True)])
def test_a_block_of_a_batch_has_its_part_of_the_loss_and_of_the_gradient(name, labels, columns, gap, dtype):
    rng = np.random.default_rng(0)
    rows, first, last = 9, 2, 8
    out = normal(rng, (rows, columns + gap), dtype, 2)[:, :columns]
    targets = rng.integers(0, columns, rows) if labels else rng.random((rows, columns + gap)).astype(dtype)[:, :columns]
    code, want = LOSSES.index(name), np.empty((rows, columns), dtype)
    arguments, parameters = loss_arguments(name, columns), loss_parameters(name, columns)
    getattr(kernels, name)(want, out, targets, *arguments)
    value = getattr(kernels, name)(
        np.empty((last - first, columns), dtype), out[first:last], targets[first:last], *arguments
    )

    count, (of_block, of_targets) = last - first, (out[first:last], targets[first:last])
    grad = np.full((rows, columns + gap), OUTSIDE, dtype)
    terms = np.full(rows * columns + 1, OUTSIDE)
    block = Targets(of_targets.ctypes.data, NO_ROWS) if labels else Targets(0, rows_of(of_targets))
    with unchanged(out, targets):
        call(
            loss_function(code, dtype), rows_of(grad[first:last]), rows_of(of_block), count, columns, block,
            parameters.ctypes.data, terms.ctypes.data, np.float64(1 / rows), dtype.type(1),
        )  # fmt: skip
    inside = grad[first:last, :columns]
    np.testing.assert_array_equal(inside, want[first:last])
    inside[...] = OUTSIDE
    assert np.all(grad == OUTSIDE)
    used = count * terms_per_sample(code, columns)
    assert terms[:used].sum() / count == pytest.approx(value, rel=FLOAT64_RTOL, abs=FLOAT64_RTOL)
    assert np.all(terms[used:] == OUTSIDE)


def test_the_softmax_loss_of_a_sample_is_one_term():
    assert [terms_per_sample(LOSSES.index(name), 10) for name in LOSSES] == [1, 10, 10, 10, 10, 10, 10]


def test_every_loss_has_the_parameters_of_its_kernel():
    for code, name in enumerate(LOSSES):
        given = list(inspect.signature(getattr(kernels, name)).parameters)[3:]
        assert parameters_of(code, 10) == (10 if given == ["levels"] else len(given))


def test_targets_are_labels_or_rows():
    labels, rows = np.arange(3), np.ones((3, 2), np.float32)
    got = split_targets(labels, rows.dtype)
    assert got[0] is labels and got[1].shape == (0, 0) and got[1].dtype == rows.dtype
    got = split_targets(rows, rows.dtype)
    assert got[0].shape == (0,) and got[0].dtype == np.int64 and got[1] is rows


@pytest.mark.parametrize("count", [0, 1, LANES - 1, LANES, LANES + 1, 5 * LANES + 3])
def test_the_total_is_the_sum_of_all_terms(count):
    terms = np.random.default_rng(count).standard_normal(count)
    assert from_python(total)(terms) == pytest.approx(math.fsum(terms), rel=FLOAT64_RTOL, abs=1e-14)
    assert from_python(total)(np.arange(count, dtype=np.float64)) == count * (count - 1) // 2
