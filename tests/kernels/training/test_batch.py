"""Samples: which a step reads, in which order and memory layout, and how a gradient checks and converts them."""

import itertools
import json
import math

import numpy as np
import pytest
from divisions import divisions_of
from helpers import DTYPES, LAYOUTS, OTHER, arrange, assert_same_bits, run_python, unchanged
from networks import (
    EVERY,
    RULE,
    assert_gradient_close,
    assert_losses_close,
    described,
    falling_rates,
    gradient,
    lift,
    loss_of,
    problem_of,
    sums_of_weights,
    train,
)
from step_forms import SGD, arranged, every_dtype, every_form, form_of_step, problem_in, shape_of

from fastfnn import kernels, reference
from fastfnn.kernels.training.tall_step import tall_step
from fastfnn.kernels.training.workspace import GRADIENT
from fastfnn.kernels.tuning import DEEP_BATCH


@every_dtype
def test_training_reads_only_the_samples_in_order(dtype):
    rng = np.random.default_rng(4)
    problem = problem_of(rng, (3, 5, 2), ("tanh", "identity"), "squared_error", 9, dtype, weighted=True)
    problem.x[[2, 5]], problem.targets[[2, 5]], problem.weights[[2, 5]] = np.nan, np.nan, np.nan
    for batch_size in (1, 2):
        got = train(kernels, problem, batch_size, np.array([8, 0, 0, 3, 1]))
        assert np.all(np.isfinite(got.losses)) and np.all(np.isfinite(got.params))


@pytest.mark.parametrize("layout", LAYOUTS)
@every_form
def test_no_order_is_the_order_of_the_samples(form, layout):
    # By labels or rows, weighted or not, by the rule of the form for one sample and another. All that a layout shares
    # with the dtype is the size of an item: one layout shows that.
    for labels, optimizer, weighted, dtype in itertools.product(
        [True, False], ["sgd", "adam"], [True, False], DTYPES if layout == "strided" else DTYPES[:1]
    ):
        rng = np.random.default_rng(11)
        problem, batch_size = problem_in(
            form, rng, (5, 9, 3), ("tanh", "identity"), "softmax_cross_entropy", dtype, labels=labels, weighted=weighted
        )
        order = np.arange(len(problem.x))
        want = train(kernels, problem, batch_size, order, optimizer, l2=0.5)
        for samples in (EVERY, order):
            got = train(kernels, arranged(problem, layout), batch_size, samples, optimizer, l2=0.5)
            assert got.bits == want.bits


@pytest.mark.parametrize("layout", ["strided", "reversed"])
@every_form
def test_vectors_may_have_any_stride(form, layout):
    rng = np.random.default_rng(16)
    problem, batch_size = problem_in(
        form, rng, (5, 9, 3), ("tanh", "identity"), "squared_error", DTYPES[0], weighted=True
    )
    order, rates = rng.permutation(len(problem.x)), falling_rates(problem, batch_size)
    sums = sums_of_weights(problem, batch_size, order)
    options = {"batch_weights": sums, "squared": form != "one sample"}  # which would not be steps in groups
    want = train(kernels, problem, batch_size, order, rates=rates, **options)
    losses, squares = (arrange(np.full(vector.shape, np.nan), layout) for vector in (want.losses, want.half_squares))
    params, none = problem.params.copy(), np.empty(0, problem.dtype)
    vectors = [arrange(vector, layout) for vector in (problem.weights, sums, order, rates)]
    with unchanged(*vectors):
        kernels.train_steps(
            params, none, none, none, losses, squares, problem.x, problem.targets, *vectors,
            *described(kernels, problem, RULE), SGD, batch_size, 3,
        )  # fmt: skip
    assert [array.tobytes() for array in (losses, squares, params)] == want.bits[:3]
    got = gradient(kernels, problem._replace(weights=vectors[0]))
    assert_same_bits(got, gradient(kernels, problem))


# How samples are taken in for a gradient: by rows; by inputs where the first layer is made of halves; by rows where a
# layer is divided by columns or widens; block by block in a tall batch and in a deep one.
TAKEN_IN = {
    "rows": ((5, 17, 3), 9),
    "halves": ((784, 50, 10), 40),
    "columns": ((260, 2100, 3), 20),
    "widening": ((20, 450, 3), 90),
    "tall": ((4, 32, 16, 4), 2001),
    "deep": ((520, 520, 5), DEEP_BATCH + 1),
}
every_intake = pytest.mark.parametrize(
    "intake", ["rows", *(pytest.param(name, marks=pytest.mark.jit) for name in TAKEN_IN if name != "rows")]
)


@every_dtype
@every_intake
def test_the_samples_are_taken_in_as_the_name_says(intake, dtype):
    shape, batch = TAKEN_IN[intake]
    step, *_ = form_of_step(shape_of(shape, batch, dtype, optimizer=GRADIENT))
    assert (step is tall_step) == (intake == "tall") and (batch > DEEP_BATCH) == (intake in ("tall", "deep"))
    first = divisions_of(shape, batch, dtype)[0]
    assert first == (intake if intake in ("halves", "columns", "widening") else "samples")


def problem_to_take_in(intake, name, dtype, weighted=False):
    shape, batch = TAKEN_IN[intake]
    names = *(name for _ in shape[2:]), "identity"
    return problem_of(np.random.default_rng(3), shape, names, "squared_error", batch, dtype, weighted=weighted)


@every_dtype
@every_intake
def test_gradient_of_samples_that_are_not_finite_has_loss_nan(intake, dtype):
    problem = problem_to_take_in(intake, "sigmoid", dtype)  # which makes 0 or 1 of infinity: the loss would not show it
    batch, inputs = problem.x.shape
    good = gradient(kernels, problem)
    assert math.isfinite(good[0])
    for row, column in itertools.product((0, batch // 2, batch - 1), (0, inputs // 2, inputs - 1)):
        for bad, given_dtype in itertools.product((np.nan, np.inf, -np.inf), DTYPES):
            x = problem.x.astype(given_dtype)
            x[row, column] = bad
            assert math.isnan(gradient(kernels, problem._replace(x=x))[0])
    assert math.isnan(gradient(reference, problem._replace(x=x))[0])
    assert_same_bits(gradient(kernels, problem), good)  # the others left nothing behind


@pytest.mark.parametrize("shape", [(5, 7, 3), pytest.param((784, 50, 10), marks=pytest.mark.jit)])
def test_samples_that_become_infinite_are_not_finite(shape):
    problem = problem_of(np.random.default_rng(3), shape, ("sigmoid", "identity"), "squared_error", 9, DTYPES[0])
    x = problem.x.astype(np.float64)
    x[4, 2] = 1e300
    for module in (kernels, reference):
        assert math.isnan(gradient(module, problem._replace(x=x))[0])
        assert math.isnan(loss_of(module, problem._replace(x=x)))


@pytest.mark.jit
@every_dtype
def test_sums_that_are_not_finite_are_not_put_down_to_the_samples(dtype):
    # In halves the sums are looked at, not the samples. Here a weight is infinite, and the loss is finite all the same.
    problem = problem_of(np.random.default_rng(3), (784, 50, 10), ("sigmoid", "identity"), "squared_error", 9, dtype)
    problem.params[5], problem.x[:, 0] = np.inf, 1
    assert_losses_close(loss_of(kernels, problem), loss_of(reference, lift(problem)), dtype)
    got, want = gradient(kernels, problem)[0], gradient(reference, lift(problem))[0]
    assert math.isfinite(want)
    assert_losses_close(got, want, dtype)


@every_dtype
@every_intake
def test_samples_in_the_other_dtype_give_the_same_gradient(intake, dtype):
    problem = problem_to_take_in(intake, "tanh", dtype, weighted=True)
    assert_gradient_close(problem)
    want = gradient(kernels, problem)
    x = problem.x.astype(OTHER[dtype])
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        with unchanged(same):
            assert_same_bits(gradient(kernels, problem._replace(x=same)), want)


@pytest.mark.jit
def test_samples_of_any_dtype_and_layout_give_the_bits_of_converted_ones_on_any_number_of_threads():
    code = "import converted_samples; converted_samples.print_differences()"
    result = json.loads(run_python(code, NUMBA_NUM_THREADS=4))
    assert result["count"] > 500 and result["differences"] == []
