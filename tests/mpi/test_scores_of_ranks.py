"""Scores that are not finite, and what the same training is, on several ranks."""

import json

import pytest
from mpi import needs_mpi, run

pytestmark = [pytest.mark.jit, needs_mpi]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return json.loads(run("scores.py", 2, tmp_path_factory.mktemp("kept")).splitlines()[-1])


@pytest.mark.parametrize(("pattern", "best"), [("first", 3), ("always", 3), ("after", 2)])
@pytest.mark.parametrize("door", ["network", "estimator"])
def test_a_score_that_is_not_finite_is_never_the_best(told, door, pattern, best):
    assert told[f"{door} {pattern}"] == [best]


@pytest.mark.parametrize("door", ["network", "estimator"])
def test_held_out_samples_that_have_no_weight_on_any_rank_are_refused(told, door):
    assert "must not be 0 for all samples that validation_" in told[f"{door} without weight"]


def test_another_random_state_or_row_of_any_rank_is_another_training(told):
    assert told["seed 0"] == ""
    assert "random_state 0, got 1" in told["seed 1"]
    for row in (0, 29, 30, 59):
        assert "it has X 'digest" in told[f"row {row}"]
