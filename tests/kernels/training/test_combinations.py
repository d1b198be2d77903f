"""Random combinations of networks, rules and settings against the reference."""

import numpy as np
import pytest
from helpers import LAYOUTS, NOJIT, dtypes, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    EVERY,
    HIDDEN,
    NONE,
    SMOOTH,
    assert_gradient_close,
    assert_training_close,
    networks,
    problem_of,
    sums_of_weights,
)
from step_forms import arranged

from fastfnn.kernels import OPTIMIZERS


@st.composite
def cases(draw, families, samples, batch_sizes, dtypes=dtypes):
    """A problem, its batch_size and order, and the optimizer and settings of a call."""
    network, rng, batch_size = draw(networks(families)), np.random.default_rng(draw(seeds)), draw(batch_sizes)
    flags = {name: draw(st.booleans()) for name in ("labels", "weighted", "normalized")}
    problem = arranged(problem_of(rng, *network, draw(samples), draw(dtypes), **flags), draw(st.sampled_from(LAYOUTS)))
    order = rng.integers(0, len(problem.x), 1 + 5 * batch_size // 2) if draw(st.booleans()) else EVERY
    dropout = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    options = {
        "optimizer": draw(st.sampled_from(OPTIMIZERS)),
        "steps_before": draw(st.sampled_from([0, 1, 100_000])),
        "l2": draw(st.sampled_from([0.0, 0.25])),
        "batch_l2": draw(st.sampled_from([0.0, 0.25])),
        "batch_weights": sums_of_weights(problem, batch_size, order) if draw(st.booleans()) else NONE,
        "squared": draw(st.booleans()),
        "clip_norm": draw(st.sampled_from([0.0, 0.25, 4.0])),
        "book": draw(st.sampled_from([0.0, 1.0])),
        "dropout": dropout,
        "dropout_scale": 1 / (1 - dropout),
        "seed": draw(seeds),
    }
    return problem, batch_size, order, options


def assert_case_is_close(problem, batch_size, order, options):
    gradient_options = {name: options[name] for name in ("dropout", "dropout_scale", "seed")}
    assert_gradient_close(problem, options["steps_before"] + 1, **gradient_options)
    # a small rate: in float32 the errors of a step grow in those that follow
    assert_training_close(problem, batch_size, order, 2.0**-5, **options)


@settings(max_examples=100 if NOJIT else 500)
@given(cases([SMOOTH], st.integers(1, 20), st.sampled_from([1, 2, 8, 20])))
def test_any_combination_matches_the_reference(case):
    assert_case_is_close(*case)


@settings(max_examples=50 if NOJIT else 200)
@given(cases([HIDDEN], st.integers(1, 20), st.sampled_from([1, 8]), st.just(np.dtype("float64"))))
def test_any_combination_with_kinks_matches_the_reference(case):
    assert_case_is_close(*case)


@pytest.mark.jit
@settings(max_examples=30)
@given(cases([SMOOTH], st.sampled_from([1024, 1200]), st.sampled_from([769, 1025])))
def test_any_combination_in_tall_batches_matches_the_reference(case):
    assert_case_is_close(*case)
