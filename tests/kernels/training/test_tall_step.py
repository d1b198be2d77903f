"""Steps on tall batches: how they are divided into blocks and groups, and against the reference."""

import numpy as np
import pytest
from helpers import DIFFERENCE_TOL, DTYPES
from networks import (
    DROPOUT,
    EVERY,
    assert_gradient_close,
    assert_training_close,
    count_parameters,
    gradient,
    problem_of,
)
from step_forms import TALL, TALL_NETWORK, arranged, every_dtype

from fastfnn import kernels
from fastfnn.kernels.training.tall_step import _blocks_of, least_tall_batch
from fastfnn.kernels.tuning import (
    OPERATIONS_PER_THREAD,
    TALL_GROUPS_BYTES,
    TALL_LEAST_BLOCKS,
    TALL_LEAST_WORK,
    TALL_MOST_GROUPS,
    TALL_MOST_ROWS,
    TALL_ROWS,
    TALL_SMALL_BYTES,
    TALL_SMALL_ROWS,
    TALL_TINY_BYTES,
)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_the_tall_batches_have_blocks_and_groups_of_all_kinds(itemsize):
    size = itemsize * count_parameters(TALL_NETWORK)
    every = {batch: _blocks_of(batch, size) for batch in TALL}
    tall = {batch: blocks for batch, blocks in every.items() if blocks.groups > 0}
    assert list(tall) == TALL[1:] and TALL[1] == TALL[0] + 1 == least_tall_batch(size)
    counts = {batch: -(-batch // blocks.rows) for batch, blocks in tall.items()}
    rows = {blocks.rows for blocks in tall.values()}
    assert min(rows) == TALL_SMALL_ROWS < TALL_ROWS < max(rows) < TALL_MOST_ROWS  # the last ones grow with the batch
    assert any(TALL_SMALL_ROWS < number < TALL_ROWS for number in rows)
    assert {blocks.together for blocks in tall.values()} == {1, 2}
    # the last block: as large as the others, smaller, or of one sample
    last = [batch - (counts[batch] - 1) * blocks.rows for batch, blocks in tall.items()]
    full = [number == blocks.rows for number, blocks in zip(last, tall.values(), strict=True)]
    assert any(full) and not all(full) and 1 in last
    # groups of two blocks; a group of one, in the smallest number of groups and in more
    pairs = {batch: counts[batch] == 2 * blocks.groups for batch, blocks in tall.items()}
    assert any(pairs.values())
    assert any(counts[batch] == 2 * blocks.groups - 1 for batch, blocks in tall.items())
    # groups that two threads can divide equally, and that they cannot
    assert {blocks.groups % 2 for blocks in tall.values()} == {0, 1}


@pytest.mark.parametrize("size", [4, 8, 48, 1000, TALL_TINY_BYTES, TALL_SMALL_BYTES, TALL_SMALL_BYTES + 1])
def test_a_batch_is_tall_from_its_least_size_on(size):
    least = least_tall_batch(size)
    assert [_blocks_of(batch, size).groups > 0 for batch in (least - 1, least)] == [False, True]


@pytest.mark.parametrize("size", [TALL_GROUPS_BYTES // TALL_LEAST_BLOCKS, TALL_GROUPS_BYTES // TALL_LEAST_BLOCKS + 1])
def test_parameters_too_large_for_the_least_groups_make_no_batch_tall(size):
    tall = [_blocks_of(batch, size).groups > 0 for batch in (1025, 10_000, 1_000_000)]
    assert set(tall) == {TALL_LEAST_BLOCKS * size <= TALL_GROUPS_BYTES}


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        (TALL_TINY_BYTES, TALL_SMALL_ROWS, TALL_MOST_ROWS),
        (TALL_SMALL_BYTES, TALL_SMALL_ROWS, TALL_ROWS),
        (TALL_SMALL_BYTES + 1, TALL_ROWS, TALL_ROWS),
    ],
)
def test_blocks_of_tall_batches_suit_the_network(size, least, most):
    rows, together, groups = zip(*(_blocks_of(batch, size) for batch in range(70_000)), strict=True)
    first = TALL_LEAST_BLOCKS * least
    assert not any(groups[:first]) and min(groups[first:]) == 2
    assert max(groups) == min(TALL_MOST_GROUPS, TALL_GROUPS_BYTES // size)
    assert (rows[first], rows[-1], together[-1]) == (least, most, 1)
    # the last batch of an epoch, which may be smaller, fits into the buffers of the others: what is not tall, too
    at_once = np.multiply(rows, together)
    assert np.all(np.maximum.accumulate(at_once) <= np.maximum(at_once, TALL_ROWS))
    assert first <= TALL_LEAST_BLOCKS * TALL_ROWS


def test_a_tall_batch_is_work_for_two_threads():
    size = 500
    least = TALL_LEAST_WORK // size
    assert [_blocks_of(batch, size)[-1] > 0 for batch in (least - 1, least)] == [False, True]
    assert 3 * least * size // 4 == 2 * OPERATIONS_PER_THREAD


# Outputs of less than a cache line and of more, by labels and by rows; the layout says how either is read.
@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize(
    ("loss", "labels", "outputs", "layout"),
    [
        ("softmax_cross_entropy", True, 3, "C"),
        ("softmax_cross_entropy", True, 17, "strided"),
        ("softmax_cross_entropy", False, 3, "strided"),
        ("softmax_cross_entropy", False, 17, "F"),
        ("sigmoid_cross_entropy", False, 3, "F"),
        ("sigmoid_cross_entropy", False, 17, "C"),
        ("squared_error", False, 3, "C"),
        ("squared_error", False, 17, "F"),
    ],
)
def test_tall_batches_match_the_reference(loss, labels, outputs, layout, dtype):
    for batch in TALL:
        rng = np.random.default_rng(batch)
        problem = problem_of(rng, (20, 40, outputs), ("sigmoid", "identity"), loss, batch, dtype, labels)
        problem = arranged(problem, layout)
        assert_gradient_close(problem)
        assert_training_close(problem, batch)
        assert_training_close(problem, batch, rng.integers(0, batch, batch))


@pytest.mark.jit
@pytest.mark.parametrize("settings", [{}, DROPOUT], ids=["nothing", "dropout"])
@pytest.mark.parametrize("batch", TALL)
def test_the_gradient_of_tall_batches_matches_a_central_difference(batch, settings):
    rng = np.random.default_rng(35)
    problem = problem_of(rng, TALL_NETWORK, ("gelu", "identity"), "softmax_cross_entropy", batch, np.float64)
    _, grad, _ = gradient(kernels, problem, **settings)
    direction = rng.standard_normal(grad.shape)  # one, not one for each parameter
    direction *= 1e-5 / np.linalg.norm(direction)
    ahead, behind = (
        gradient(kernels, problem._replace(params=problem.params + change), **settings)[0]
        for change in (direction, -direction)
    )
    assert grad @ direction / 1e-5 == pytest.approx((ahead - behind) / 2e-5, abs=DIFFERENCE_TOL)


@pytest.mark.jit
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("last", [1, 255, 256, 257, 768, 1024])
def test_the_last_of_tall_batches_may_be_smaller(last, labels):
    for dtype in DTYPES:
        rng = np.random.default_rng(last)
        samples = 1025 + last
        problem = problem_of(
            rng, TALL_NETWORK, ("tanh", "identity"), "softmax_cross_entropy", samples, dtype, labels, weighted=labels
        )
        for order in (EVERY, rng.permutation(samples)):
            assert_training_close(problem, 1025, order, optimizer="adam", l2=0.5, **DROPOUT)


@pytest.mark.jit
@every_dtype
def test_a_last_batch_of_thousands_that_is_not_tall_matches_the_reference(dtype):
    # the fewer the parameters, the more samples a tall batch has
    rng = np.random.default_rng(14)
    shape = (2, 1)
    least = least_tall_batch(dtype.itemsize * count_parameters(shape))
    problem = problem_of(rng, shape, ("identity",), "squared_error", 2 * least - 1, dtype)
    assert_training_close(problem, least, optimizer="momentum")


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("wide", "batch"),
    [
        (False, 2 * TALL_MOST_GROUPS * TALL_MOST_ROWS + 1),  # the last group has three, one of them of one sample
        (False, 130 * TALL_MOST_ROWS - 1),
        (True, 13 * TALL_ROWS + 5),  # as many groups as fit into the cache
    ],
)
def test_groups_of_several_blocks_match_the_reference(wide, batch, optimizer, dtype):
    rng = np.random.default_rng(13)
    shape = (400, 1600 // dtype.itemsize + 3, 3) if wide else (4, 7, 3)
    problem = problem_of(rng, shape, ("tanh", "identity"), "softmax_cross_entropy", batch, dtype)
    rows, _, groups = _blocks_of(batch, problem.params.nbytes)
    assert 2 <= groups < batch / rows / 2
    if optimizer == "sgd":  # once is enough
        assert_gradient_close(problem)
    assert_training_close(problem, batch, optimizer=optimizer, l2=0.5)
