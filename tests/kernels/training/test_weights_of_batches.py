"""Weights of batches in training steps, the penalty that they divide, and the squares of the weights of layers."""

import numpy as np
import pytest
from helpers import DTYPES, FLOAT64_RTOL, TOLERANCES
from networks import (
    DROPOUT,
    EVERY,
    assert_losses_close,
    assert_training_close,
    falling_rates,
    problem_of,
    sums_of_weights,
    train,
)
from step_forms import FORMS, every_dtype, every_extra, every_form, orders_of, problem_in

from fastfnn import kernels, reference
from fastfnn.kernels import OPTIMIZERS
from fastfnn.kernels.tuning import DEEP_BATCH, NORM_PIECE, SAMPLES_PER_GROUP, UPDATE_ROWS

NAMES = ("tanh", "tanh", "identity")
SHAPE = (11, 19, 7, 3)


def sums(problem, batch_size, order=EVERY):
    """What training with the penalty of a batch needs."""
    return {"batch_weights": sums_of_weights(problem, batch_size, order), "batch_l2": 0.5, "squared": True}


# Without the compiler a tall batch takes seconds: two rules, with and without state.
@pytest.mark.parametrize(
    ("form", "optimizer"),
    [
        pytest.param(form, rule, marks=pytest.mark.jit if form == "tall batch" and rule not in ("sgd", "adam") else ())
        for form in FORMS
        for rule in OPTIMIZERS
    ],
)
def test_every_rule_in_every_form_matches_the_reference(form, optimizer):
    # with and without weights of samples and a limit of the gradient, in turn
    shape = (UPDATE_ROWS + 1, 9, 3)
    for number, dtype in enumerate((*DTYPES, *DTYPES)):
        rng = np.random.default_rng(40 + number)
        problem, batch_size = problem_in(
            form, rng, shape, NAMES[1:], "softmax_cross_entropy", dtype, weighted=number in (0, 3)
        )
        order = rng.permutation(len(problem.x))
        options = sums(problem, batch_size, order) | {"l2": 0.25 * (number // 2), "clip_norm": 0.5 * (number // 2)}
        assert_training_close(problem, batch_size, order, optimizer=optimizer, **options)
        if number < 2:  # steps of gradient descent on one sample each are in groups
            assert_training_close(problem, batch_size, order, optimizer=optimizer, **options | {"squared": False})


@every_extra
@every_form
def test_several_epochs_match_the_reference(form, extra):
    for optimizer, dtype in zip(("sgd", "adam"), DTYPES, strict=True):
        rng = np.random.default_rng(41)
        problem, batch_size = problem_in(
            form, rng, (5, 9, 7, 3), NAMES, "softmax_cross_entropy", dtype, weighted=True, normalized=extra.normalized
        )
        orders = orders_of(rng, len(problem.x), 3, ordered=True)
        options = sums(problem, batch_size, orders) | extra.settings
        assert_training_close(problem, batch_size, orders, 2.0**-5, optimizer=optimizer, **options)


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("clip_norm", [0.0, 0.25])
def test_deep_batches_match_the_reference(clip_norm, dtype):
    rng = np.random.default_rng(42)
    problem = problem_of(
        rng, (600, 400, 5), NAMES[1:], "softmax_cross_entropy", DEEP_BATCH + 71, dtype, weighted=True
    )  # fmt: skip
    options = sums(problem, DEEP_BATCH + 1) | {"clip_norm": clip_norm}
    for optimizer in ("sgd", "adam"):
        assert_training_close(problem, DEEP_BATCH + 1, optimizer=optimizer, **options)


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_form
def test_the_numbers_of_samples_as_weights_are_none(form, optimizer, dtype):
    # bit for bit; with the penalty, which is l2 in every batch but the last, of another number of samples
    rng = np.random.default_rng(43)
    problem, batch_size = problem_in(form, rng, SHAPE, NAMES, "softmax_cross_entropy", dtype)
    counts = sums_of_weights(problem, batch_size)
    assert counts[0] == batch_size
    want = train(kernels, problem, batch_size, optimizer=optimizer, l2=0.5)
    assert train(kernels, problem, batch_size, optimizer=optimizer, l2=0.5, batch_weights=counts).bits == want.bits
    options = {"order": np.arange(batch_size), "optimizer": optimizer}
    want = train(kernels, problem, batch_size, l2=0.5, **options)
    for weights in (counts[:1], np.empty(0)):
        got = train(kernels, problem, batch_size, batch_l2=0.5 * batch_size, batch_weights=weights, **options)
        assert got.bits == want.bits


@every_dtype
@every_form
def test_a_weight_twice_as_large_is_half_a_rate(form, dtype):
    # bit for bit: products with powers of two are exact
    rng = np.random.default_rng(44)
    problem, batch_size = problem_in(form, rng, SHAPE, NAMES, "softmax_cross_entropy", dtype, weighted=True)
    counts, rates = sums_of_weights(problem, batch_size), falling_rates(problem, batch_size)
    factors = 2.0 ** (np.arange(len(counts)) % 3)
    want = train(kernels, problem, batch_size, rates=rates, batch_weights=counts, batch_l2=0.5)
    got = train(kernels, problem, batch_size, rates=rates * factors, batch_weights=counts * factors, batch_l2=0.5)
    assert (got.losses * factors).tobytes() == want.losses.tobytes()
    assert got.params.tobytes() == want.params.tobytes()


@every_dtype
@pytest.mark.parametrize("clip_norm", [0.0, 0.25])
@every_form
def test_a_batch_of_infinite_weight_has_loss_and_gradient_0(form, clip_norm, dtype):
    rng = np.random.default_rng(45)
    problem, batch_size = problem_in(form, rng, SHAPE, NAMES, "squared_error", dtype, weighted=True)
    weights = sums_of_weights(problem, batch_size)
    options = {"batch_l2": 0.5, "clip_norm": clip_norm, "rates": 0.125}
    got = train(kernels, problem, batch_size, batch_weights=np.full_like(weights, np.inf), **options)
    np.testing.assert_array_equal(got.losses, 0)
    np.testing.assert_array_equal(got.params, problem.params)
    order, weights = np.concatenate([np.arange(batch_size)] * 2), np.array([np.inf, 3.0])
    got = train(kernels, problem, batch_size, order, batch_weights=weights, squared=form != "one sample", **options)
    want = train(kernels, problem, batch_size, order[:batch_size], batch_weights=weights[1:], **options)
    np.testing.assert_array_equal(got.losses, [0, want.losses[0]])
    np.testing.assert_array_equal(got.half_squares[:1], got.half_squares[1:])
    np.testing.assert_array_equal(got.params, want.params)


@every_dtype
@every_form
def test_half_squares_are_those_of_the_weights_of_layers_before_each_step(form, dtype):
    rng, shape = np.random.default_rng(46), (57, 75, 7, 3)
    problem, batch_size = problem_in(
        form, rng, shape, NAMES, "squared_error", dtype, weighted=True, normalized=form == "batch"
    )
    # several pieces and a part of one, in two layers; a W of less than a piece
    assert min(57 * 75, 75 * 7) > 2 * NORM_PIECE and 57 * 75 % NORM_PIECE and 75 * 7 % NORM_PIECE and NORM_PIECE > 7 * 3
    order, rates = np.arange(3 * batch_size) % batch_size, np.array([0.125, 0.25, 0.5])
    got = train(kernels, problem, batch_size, order, rates=rates, squared=True)
    for step in range(3):
        before = problem.params
        if step > 0:
            before = train(kernels, problem, batch_size, order[: step * batch_size], rates=rates[:step], squared=True)
            before = before.params
        want = sum(float((before[weight].astype(np.float64) ** 2).sum()) for weight, *_ in problem.places) / 2
        assert got.half_squares[step] == pytest.approx(want, rel=FLOAT64_RTOL)
    assert len(set(got.half_squares)) == 3
    # asking for them changes nothing, but that one sample is a batch then
    without = train(kernels, problem, batch_size, order, rates=rates)
    if form == "one sample":
        assert_losses_close(got.losses, without.losses, dtype)
        np.testing.assert_allclose(got.params, without.params, atol=TOLERANCES[dtype].chain)
    else:
        assert [got.losses.tobytes(), *got.bits[2:]] == [without.losses.tobytes(), *without.bits[2:]]


@every_dtype
def test_half_squares_are_accumulated_in_float64(dtype):
    # 4096 and many 1/4: in float32 a sum of 2^24 would stay what it is
    problem = problem_of(np.random.default_rng(0), (70, 60), ("identity",), "squared_error", 3, dtype)
    problem.params[...] = 0.25
    problem.params[0] = 4096
    got = train(kernels, problem, 3, squared=True)
    np.testing.assert_array_equal(got.half_squares, [(4096**2 + (70 * 60 - 1) / 16) / 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_half_squares_do_not_hide_nan_and_infinity(bad):
    for dtype, place in zip(DTYPES, (0, 150), strict=True):
        problem = problem_of(np.random.default_rng(0), SHAPE, NAMES, "squared_error", 3, dtype)
        problem.params[place] = bad
        with np.errstate(invalid="ignore"):
            got, want = (train(module, problem, 3, squared=True).half_squares for module in (kernels, reference))
        np.testing.assert_array_equal(got, want)
        assert not np.isfinite(want[0])


@every_form
def test_steps_may_be_taken_in_several_calls(form):
    for optimizer, dtype in zip(("sgd", "adam"), DTYPES, strict=True):
        rng = np.random.default_rng(47)
        problem, batch_size = problem_in(form, rng, SHAPE, NAMES, "softmax_cross_entropy", dtype, weighted=True)
        order, rates = rng.permutation(len(problem.x)), falling_rates(problem, batch_size)
        weights = sums_of_weights(problem, batch_size, order)
        cut = SAMPLES_PER_GROUP if form == "one sample" else 1
        for squared in (False, True):
            options = {"optimizer": optimizer, "batch_l2": 0.5, "squared": squared}
            want = train(kernels, problem, batch_size, order, rates=rates, batch_weights=weights, **options)
            done, left = np.split(order, [cut * batch_size])
            first = train(
                kernels, problem, batch_size, done, rates=rates[:cut], batch_weights=weights[:cut], **options
            )  # fmt: skip
            last = train(
                kernels, problem._replace(params=first.params), batch_size, left, rates=rates[cut:], state=first.state,
                batch_weights=weights[cut:], steps_before=3 + cut, **options,
            )  # fmt: skip
            assert np.concatenate([first.losses, last.losses]).tobytes() == want.losses.tobytes()
            assert np.concatenate([first.half_squares, last.half_squares]).tobytes() == want.half_squares.tobytes()
            assert last.bits[2:] == want.bits[2:]


def test_calls_with_and_without_weights_of_batches_leave_nothing_behind():
    rng = np.random.default_rng(48)
    problem = problem_of(rng, SHAPE, NAMES, "softmax_cross_entropy", 20, DTYPES[0], weighted=True)
    calls = [{}, sums(problem, 8), {"squared": True}, {"batch_weights": np.full(3, 5.0)}, {"batch_l2": 0.5}]
    want = [train(kernels, problem, 8, **options).bits for options in calls]
    assert len({tuple(bits) for bits in want}) == len(calls)
    for number in rng.permutation(3 * len(calls)) % len(calls):
        assert train(kernels, problem, 8, **calls[number]).bits == want[number]


@pytest.mark.jit
@every_dtype
def test_dropout_and_normalization_match_the_reference_with_every_rule(dtype):
    for optimizer in OPTIMIZERS:
        rng = np.random.default_rng(49)
        problem = problem_of(rng, SHAPE, NAMES, "squared_error", 20, dtype, weighted=True, normalized=True)
        assert_training_close(problem, 8, optimizer=optimizer, clip_norm=0.5, **sums(problem, 8), **DROPOUT)
