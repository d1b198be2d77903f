"""Steps on one sample each, in groups that share a pass over the first weights."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, LAYOUTS, NOJIT, arrange, normal
from networks import EVERY, EVERY_LOSS, HIDDEN, LAST, assert_training_close, problem_of, train
from step_forms import WIDTHS, every_dtype

from fastfnn import kernels
from fastfnn.kernels.tuning import SAMPLES_PER_GROUP


def one_sample_problem(rng, number, shape, dtype):
    """Activations, loss, layout and weights, each in turn."""
    loss = EVERY_LOSS[number % len(EVERY_LOSS)]
    hidden = HIDDEN[number // 3 % len(HIDDEN)]
    last = LAST[loss][number // 12 % len(LAST[loss])]
    names = (*[hidden] * (len(shape) - 2), last)
    problem = problem_of(
        rng, shape, names, loss, 2 * SAMPLES_PER_GROUP + 3, dtype, number % 2 == 0, weighted=number % 5 == 0
    )
    x = normal(rng, problem.x.shape, dtype)
    return problem._replace(x=arrange(x, LAYOUTS[number % len(LAYOUTS)]))


@every_dtype
@pytest.mark.parametrize("inputs", WIDTHS)
def test_steps_on_one_sample_match_the_reference(inputs, dtype):
    for number, hidden in enumerate(WIDTHS):
        rng = np.random.default_rng(inputs + number)
        outputs = WIDTHS[(inputs + number) % len(WIDTHS)]
        for turn, shape in enumerate([(inputs, hidden, outputs), (inputs, hidden), (inputs, hidden, outputs, hidden)]):
            problem = one_sample_problem(rng, 5 * number + turn + inputs, shape, dtype)
            order, l2 = (EVERY, np.array([3, 3, 0, 6]))[number % 2], (0.0, 0.25)[number // 2 % 2]
            assert_training_close(problem, 1, order, 2.0**-7, l2=l2)
            assert_training_close(problem, 1, order, 2.0**-7, optimizer="adam", l2=l2)


@pytest.mark.parametrize("width", WIDTHS)
def test_steps_on_one_sample_may_be_taken_in_several_calls(width):
    order = np.random.default_rng(0).integers(0, 7, 2 * SAMPLES_PER_GROUP + 5)
    rates = 2.0**-7 / (1 + np.arange(len(order)) / 4)
    hidden = range(0, len(HIDDEN), 3 if NOJIT else 1)
    for number, l2, dtype in itertools.product(hidden, [0.0, 0.25], DTYPES):
        rng = np.random.default_rng(number)
        problem = one_sample_problem(rng, 3 * number, (width, 9, width), dtype)
        problem.params[rng.random(problem.params.shape) < 0.2] = -0.0
        problem.x[2:4] = 0  # which leaves the first weights as they are, but for the sign of 0
        want = train(kernels, problem, 1, order, rates=rates, l2=l2)
        for cut in (SAMPLES_PER_GROUP, 2 * SAMPLES_PER_GROUP):
            first = train(kernels, problem, 1, order[:cut], rates=rates[:cut], l2=l2)
            between = problem._replace(params=first.params)
            last = train(kernels, between, 1, order[cut:], rates=rates[cut:], l2=l2)
            assert np.concatenate([first.losses, last.losses]).tobytes() == want.losses.tobytes()
            assert last.params.tobytes() == want.params.tobytes()
