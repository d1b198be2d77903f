"""Estimators that several ranks have trained are those that one process would have trained."""

import itertools
import json
import re

import numpy as np
import pytest
from mpi import needs_mpi, run
from mpi_estimator_cases import CASES, SAMPLES, SIDES, SMALL, WEIGHTS, X, state_of

import fastfnn as fnn
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.shards import divided
from fastfnn.sklearn import MLPClassifier
from fastfnn.sklearn.parallel import ROWS_OF_BLOCK, rows_apart

pytestmark = [
    pytest.mark.jit, needs_mpi, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What two ranks, and then one, left, by the number and the name of the run; what two ranks raised and printed."""
    folder = tmp_path_factory.mktemp("estimators")
    printed = run("estimators.py", 2, folder, timeout=120)
    run("estimators.py", 1, folder, timeout=120)

    def results(ranks, name):
        return dict(np.load(folder / str(ranks) / f"{name}.npz"))

    return results, json.loads((folder / "errors.json").read_text()), printed, folder


def assert_equal(got, want, **tolerance):
    assert got.keys() == want.keys()
    for key in want:
        if tolerance and want[key].dtype.kind == "f":
            np.testing.assert_allclose(got[key], want[key], **tolerance, err_msg=key)
        else:
            assert np.array_equal(got[key], want[key]), key


@pytest.mark.parametrize("name", CASES)
def test_a_fixed_order_gives_the_same_bits_on_1_and_2_ranks(done, name):
    want = done[0](1, f"fixed-{name}")
    assert_equal(done[0](2, f"fixed-{name}"), want)
    assert np.isfinite(want["loss_curve_"]).all()


@pytest.mark.parametrize("name", ["classes", "early", "reals"])
def test_a_training_of_two_ranks_goes_on_with_the_same_bits_on_one(done, name):
    want = done[0](1, f"fixed-{name}")
    assert_equal(done[0](1, f"resumed-{name}"), want)


def test_a_checkpoint_of_several_ranks_needs_comm(done):
    cls, y, parameters, given = CASES["classes"]
    model = cls(**(SMALL | parameters | {"dropout": 0.2, "batch_norm": True}))
    with pytest.raises(ValueError, match=r"it has comm 'given', got nothing$"):
        model.fit(X, y, **given, checkpoint=done[3] / "checkpoint-classes", resume=True)


def order_of_steps(shares, chosen, batch_size=20):
    """The numbers of the rows in the order in which ranks take them without shuffling."""
    first = np.cumsum([0, *shares])
    of_ranks = [chosen[(chosen >= a) & (chosen < b)] for a, b in itertools.pairwise(first)]
    parts = [Parts([*map(len, of_ranks)], rank, 1, batch_size, "in order") for rank in range(len(shares))]
    steps = range(parts[0].steps)
    return np.concatenate([
        rows[part.edges[step] : part.edges[step + 1]]
        for step in steps for rows, part in zip(of_ranks, parts, strict=True)
    ])  # fmt: skip


def one_process(name, shares, batch_size=20, **more):
    """The estimator that one process trains on the same batches, without `comm`."""
    cls, y, parameters, given = CASES[name]
    given, parameters = dict(given), parameters | {"shuffle": False, "batch_size": batch_size} | more
    chosen = np.arange(SAMPLES)
    if parameters.pop("early_stopping", False):
        drawn = cls(**(SMALL | parameters)).fit(X, y)._random_state  # in the state after the weights were drawn
        apart = rows_apart(0, SAMPLES, SAMPLES, int(np.ceil(parameters.get("validation_fraction", 0.1) * SAMPLES)),
                           int(drawn.randint(2**32, dtype=np.uint32)))  # fmt: skip
        chosen, given["eval_set"] = np.flatnonzero(~apart), (X[apart], y[apart])
    order = order_of_steps(shares, chosen, batch_size)
    if "sample_weight" in given:
        given["sample_weight"] = given["sample_weight"][order]
    return cls(**(SMALL | parameters)).fit(X[order], y[order], **given)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_take_the_steps_of_one_process(done, name):
    want = state_of(one_process(name, divided(SAMPLES, 2)))
    assert_equal(done[0](2, f"fast-{name}"), want, rtol=1e-9, atol=1e-12)


def test_sparse_samples_of_one_rank_are_trained_on_beside_dense_ones_of_another(done):
    assert_equal(done[0](2, "uneven"), state_of(one_process("sparse", (80, 21))), rtol=1e-9, atol=1e-12)


def test_averages_have_the_penalty_of_one_process(done):
    """With a small learning rate steps of the ranks by themselves are those of the sum, but for its square."""
    more = {"alpha": 50.0, "batch_size": 26, "optimizer": fnn.SGD(1e-6)}
    begin = state_of(one_process("classes", divided(SAMPLES, 2), **more | {"optimizer": fnn.SGD(1e-300)}))
    want, got = state_of(one_process("classes", divided(SAMPLES, 2), **more)), done[0](2, "averaged")
    np.testing.assert_allclose(got["loss_curve_"], want["loss_curve_"], rtol=1e-4)
    for key in ("coefs0", "coefs1"):
        change = want[key] - begin[key]
        np.testing.assert_allclose(got[key] - begin[key], change, atol=0.02 * np.abs(change).max())


@pytest.mark.parametrize("name", [*(f"averaged-{name}" for name in CASES), "auto", "unseeded"])
def test_other_ways_of_training_leave_the_same_on_all_ranks(done, name):
    found = done[0](2, name)
    assert np.isfinite(found["loss_curve_"]).all() and len(found["loss_curve_"]) == found["n_iter_"]


def test_callbacks_of_rank_0_see_what_was_measured_on_all_ranks(done):
    order, seen = order_of_steps(divided(SAMPLES, 2), np.arange(SAMPLES)), []

    class Watch(fnn.Callback):
        def epoch(self, net, history):
            seen.append([history.val_loss[-1], history.val_accuracy[-1], history.accuracy[-1]])
            net.optimizer.learning_rate /= 2

        def _reads(self):
            return [("monitor", "accuracy")]

    model = MLPClassifier(**SMALL, callbacks=[Watch()], warm_start=True, shuffle=False)
    model.fit(X[order], SIDES[order], eval_set=(X, SIDES))
    got = done[0](2, "watched")
    np.testing.assert_allclose(got.pop("seen"), seen, rtol=1e-9)
    assert_equal(got, state_of(model), rtol=1e-9, atol=1e-12)
    first = divided(SAMPLES, 2)[0]
    model.fit(X[order], SIDES[order], eval_set=(X[:first], SIDES[:first]))
    assert_equal(done[0](2, "warm"), state_of(model), rtol=1e-9, atol=1e-12)


def test_rank_0_alone_prints_and_warns(done):
    lines = re.search("-- verbose\n(.*)-- end", done[2], re.DOTALL)[1].splitlines()
    numbers = [int(line.split()[1][:-1]) for line in lines if line.startswith("Iteration")]
    assert numbers == list(range(1, len(numbers) + 1)) and numbers
    first, second = done[1]["warns"]
    assert first[-1] == ["UserWarning", "ConvergenceWarning"] and second[-1] == []


@pytest.mark.parametrize(("name", "kind", "text"), [
    ("nan", "ValueError", "Input X contains NaN"),
    ("lbfgs", "ValueError", "solver must be stochastic with comm, 'adam' or 'sgd', got 'lbfgs'"),
    ("ensemble", "ValueError", "n_estimators must be 1 with comm, got 3: call fit once for each network"),
    ("parameter", "ValueError", "The 'alpha' parameter of MLPClassifier must be a float in the range [0.0, inf)"),
    ("folder", "TypeError", "checkpoint must be"),
    ("alpha", "ValueError", "alpha must be the same on all ranks, got 0.0 on rank 0, 1.0 on rank 1"),
    ("optimizer", "ValueError", "optimizer must be the same on all ranks, got ('SGD', 1"),
    ("features", "ValueError", "the number of features of X must be the same on all ranks, got 6 on rank 0, 5 on"),
    ("dtype", "ValueError", "the dtype of X must be the same on all ranks, got 'float64' on rank 0, 'float32' on"),
    ("kinds", "ValueError", "texts in y must be the same on all ranks, got True on rank 0, False on rank 1"),
    ("weights", "ValueError", "sample_weight given must be the same on all ranks, got False on rank 0, True on"),
    ("eval_set", "ValueError", "eval_set must be given on rank 0 if it is on others, got one on rank 1"),
    ("eval_metric", "ValueError", "eval_metric must be None with comm, or all validation data on rank 0: give"),
    ("fraction", "ValueError", "The validation set is too small."),
    ("continuous", "ValueError", "Unknown label type"),
    ("label", "ValueError", "eval_set must be samples and targets like those of fit"),
    ("comm", "TypeError", "comm must be a communicator of mpi4py, got str"),
    ("full", "NotADirectoryError", "checkpoint must be a folder"),
])  # fmt: skip
def test_an_error_of_one_rank_is_one_of_all_and_changes_nothing(done, name, kind, text):
    for told in done[1][name]:
        assert told[0] in (kind, "InvalidParameterError") and text in told[1] and told[3]


def test_errors_during_a_training_are_errors_of_all(done):
    assert all(told[0] == "LookupError" and "no such thing" in told[1] for told in done[1]["callback"])
    for told in done[1]["diverges"]:
        assert told[:2] == ["ValueError", told[1]] and told[1].startswith("Solver produced non-finite parameter")
    for told in done[1]["other classes"]:
        assert told[0] == "ValueError" and "same classes as in the previous call" in told[1]
    assert done[1]["the same classes"] == [[""], [""]]


def test_the_rows_apart_do_not_depend_on_the_ranks_that_hold_them():
    total = ROWS_OF_BLOCK + 1000
    whole = rows_apart(0, total, total, 7001, 5)
    parts = [rows_apart(a, b - a, total, 7001, 5) for a, b in ((0, 10), (10, ROWS_OF_BLOCK), (ROWS_OF_BLOCK, total))]
    assert whole.sum() == 7001 and np.array_equal(np.concatenate(parts), whole)
    assert whole[ROWS_OF_BLOCK:].sum() == pytest.approx(1000 / total * 7001, abs=1)
    assert not np.array_equal(rows_apart(0, total, total, 7001, 6), whole)
    assert np.any(WEIGHTS == 0)  # so that the cases have batches of a rank without weight
