"""Batches whose layers are divided by columns, in halves or as layers that widen; and deep batches."""

import numpy as np
import pytest
from divisions import divisions_of
from networks import assert_gradient_close, assert_training_close, problem_of
from step_forms import arranged, every_dtype, every_extra, form_of_step, shape_of

from fastfnn.kernels.training.batch_step import batch_step
from fastfnn.kernels.tuning import BY_COLUMNS_LEAST_BYTES, DEEP_BATCH, TALL_GROUPS_BYTES, TALL_LEAST_BLOCKS


@pytest.mark.jit
@every_dtype
@every_extra
def test_layers_divided_by_columns_match_the_reference(extra, dtype):
    # 41 samples are shared unevenly
    rng = np.random.default_rng(36)
    shape = (300, 2 * BY_COLUMNS_LEAST_BYTES // 300 // dtype.itemsize + 1, 200, 5)
    assert divisions_of(shape, 41, dtype) == ["halves", "columns", "samples"]
    problem = problem_of(
        rng, shape, ("silu", "tanh", "identity"), "softmax_cross_entropy", 82, dtype, weighted=True,
        normalized=extra.normalized,
    )  # fmt: skip
    assert_training_close(problem, 41, optimizer="momentum", **extra.settings)
    assert_training_close(problem, 41, optimizer="momentum", clip_norm=0.25, **extra.settings)


@pytest.mark.jit
@every_dtype
@every_extra
def test_layers_that_widen_match_the_reference(extra, dtype):
    # two of them, whose outputs are no multiple of what a thread takes; the second batch is smaller
    rng = np.random.default_rng(39)
    shape = (21, 403, 20, 450, 3)
    assert divisions_of(shape, 41, dtype) == ["widening", "samples", "widening", "samples"]
    problem = problem_of(
        rng, shape, ("silu", "tanh", "silu", "identity"), "softmax_cross_entropy", 67, dtype, weighted=True,
        normalized=extra.normalized,
    )  # fmt: skip
    assert_gradient_close(problem, **extra.settings)
    for optimizer in ("sgd", "adam"):
        assert_training_close(problem, 41, rng.permutation(67), optimizer=optimizer, l2=0.25, **extra.settings)


@every_dtype
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@every_extra
def test_a_first_layer_made_of_halves_matches_the_reference(extra, layout, dtype):
    rng = np.random.default_rng(38)
    shape = (301, 37, 5)  # the halves are not equal
    assert divisions_of(shape, 9, dtype) == ["halves", "samples"]
    problem = problem_of(
        rng, shape, ("silu", "identity"), "softmax_cross_entropy", 14, dtype, weighted=True,
        normalized=extra.normalized,
    )  # fmt: skip
    problem = arranged(problem, layout)
    assert_gradient_close(problem, **extra.settings)
    for optimizer in ("sgd", "adam"):
        assert_training_close(problem, 9, rng.permutation(14), optimizer=optimizer, **extra.settings)


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("limits", [False, True])
@every_extra
def test_deep_batches_match_the_reference(extra, limits, dtype):
    # too many parameters for a tall batch; the last batch is not deep
    rng = np.random.default_rng(37)
    width = TALL_GROUPS_BYTES // TALL_LEAST_BLOCKS // 600 // dtype.itemsize + 1
    shape, batch = (600, width, 20, 5), DEEP_BATCH + 1
    problem = problem_of(
        rng, shape, ("silu", "tanh", "identity"), "softmax_cross_entropy", batch + 70, dtype, weighted=True,
        normalized=extra.normalized,
    )  # fmt: skip
    assert form_of_step(shape_of(shape, batch, dtype)) == (batch_step, batch, 0)
    if not limits:
        assert_gradient_close(problem, **extra.settings)
    for optimizer in ("sgd", "adamw"):
        assert_training_close(
            problem, batch, optimizer=optimizer, l2=0.5, clip_norm=0.25 if limits else 0.0, **extra.settings
        )
