"""Estimators that are killed and resumed end with the bits of those that were not."""

import json

import numpy as np
import pytest
import scipy.sparse
from estimator_twins import BOTH
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastfnn as fnn
from fastfnn import atomic, checkpoint
from fastfnn.fitting import Pace
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = [pytest.mark.jit, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

RNG = np.random.default_rng(0)
X, LABELS, TARGETS = RNG.standard_normal((83, 4)), RNG.integers(0, 3, 83), RNG.standard_normal((83, 2))
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 6, "batch_size": 16, "random_state": 3}


class Killed(BaseException):
    """In place of SIGKILL."""


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Compiled calls of as few steps as possible."""
    monkeypatch.setattr(Pace, "SECONDS", 0)
    monkeypatch.setattr(Pace, "FIRST_WORK", 1)


def classifier(**options):
    return lambda: MLPClassifier(**(SMALL | options))


def regressor(**options):
    return lambda: MLPRegressor(**(SMALL | options))


# For each: a new estimator, samples, targets, other arguments of fit.
CASES = {
    "early stopping": (classifier(early_stopping=True, n_iter_no_change=2, max_iter=40), X, LABELS, {}),
    "score of its own": (regressor(early_stopping=True, eval_metric="neg_mean_absolute_error"), X, TARGETS, {}),
    "eval_set": (regressor(dropout=0.3, batch_norm=True), X, TARGETS, {"eval_set": (X[:20], TARGETS[:20])}),
    "adaptive": (
        classifier(solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=1.0, max_iter=9), X, LABELS, {}
    ),
    "invscaling": (regressor(solver="sgd", learning_rate="invscaling"), X, TARGETS, {}),
    "in order": (regressor(optimizer="rmsprop", shuffle=False), X, TARGETS, {"sample_weight": np.linspace(0, 1, 83)}),
    "callbacks": (regressor(early_stopping=True, callbacks=[fnn.EarlyStopping(2)]), X, TARGETS, {}),
    "sparse": (classifier(class_weight="balanced"), scipy.sparse.csr_array(X), LABELS, {}),
    "float32": (regressor(dtype="float32", schedule=fnn.schedules.Cosine(0.1, steps=20)), X, TARGETS, {}),
    "batch 1": (regressor(batch_size=1, max_iter=2), X, TARGETS, {}),
    "random": (classifier(random_state=None, early_stopping=True), X, LABELS, {}),
}  # fmt: skip


def trained(model):
    """All that a training leaves."""
    net, optimizer = model.network_, model._optimizer
    arrays = (net._flat, net._statistics, *optimizer.flat_state(net.params), model._random_state.get_state()[1])
    return [array.tobytes() for array in arrays], [
        model.loss_curve_, model.loss_, model.best_loss_, model.n_iter_, model.t_, model.validation_scores_,
        model.best_validation_score_, model._no_improvement_count, optimizer.steps, optimizer.learning_rate,
    ]  # fmt: skip


def start(case, **more):
    make, x, y, options = CASES[case]
    np.random.seed(7)
    return make().fit(x, y, **options, **more)


def killed(monkeypatch, case, folder, calls):
    """Start again and again, each time killed at a number of writes; return the result and the number of kills."""
    replace, kept = atomic.replace, fnn.Checkpoint(folder, every=1, unit="steps")
    for kills in range(1000):
        count = iter(range(1, 1 << 30))

        def dying(path, content, count=count):
            replace(path, content)
            if next(count) == calls:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(atomic, "replace", dying)
            if kills:
                np.random.seed(kills)
            try:
                make, x, y, options = CASES[case]
                return make().fit(x, y, **options, checkpoint=kept, resume=True), kills
            except Killed:
                pass
    raise AssertionError("the training never ends")


@pytest.mark.parametrize("calls", [1, 4, 7])
@pytest.mark.parametrize("case", CASES)
def test_a_killed_estimator_ends_with_the_same_bits(monkeypatch, tmp_path, case, calls):
    want = trained(start(case))
    np.random.seed(7)
    model, kills = killed(monkeypatch, case, tmp_path, calls)
    assert kills > 0
    assert trained(model) == want
    assert trained(start(case, checkpoint=tmp_path, resume=True)) == want  # and it has ended


@pytest.mark.parametrize("case", ["early stopping", "adaptive", "callbacks"])
def test_a_finished_estimator_goes_on_with_more_epochs(tmp_path, case):
    make, x, y, options = CASES[case]
    for epochs in (1, 2, 5, 30):
        model = make().set_params(max_iter=epochs)
        got = trained(model.fit(x, y, **options, checkpoint=str(tmp_path), resume=True))
        assert got == trained(make().set_params(max_iter=epochs).fit(x, y, **options))


def test_a_warm_start_goes_on_with_its_curve(monkeypatch, tmp_path):
    make = classifier(warm_start=True, early_stopping=True)
    twin = make().fit(X, LABELS)
    want = trained(twin.fit(X, LABELS))
    model = make().fit(X, LABELS)
    replace = atomic.replace

    def dying(path, content):
        replace(path, content)
        if len(model.loss_curve_) == 9:
            raise Killed

    monkeypatch.setattr(atomic, "replace", dying)
    with pytest.raises(Killed):
        model.fit(X, LABELS, checkpoint=fnn.Checkpoint(tmp_path, every=1))
    monkeypatch.undo()
    fresh = make()
    assert trained(fresh.fit(X, LABELS, checkpoint=tmp_path, resume=True)) == want
    assert len(fresh.loss_curve_) == 12


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_ensemble_ends_with_the_same_bits(monkeypatch, tmp_path, jobs):
    make = classifier(n_estimators=3, n_jobs=jobs, early_stopping=True)
    want, kills = make().fit(X, LABELS), 0
    for calls in (1, 5, 9):
        replace, count = atomic.replace, iter(range(1, 1000))

        def dying(path, content, replace=replace, count=count, calls=calls):
            replace(path, content)
            if next(count) == calls:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(atomic, "replace", dying)
            try:
                make().fit(X, LABELS, checkpoint=fnn.Checkpoint(tmp_path, every=1), resume=True)
            except Killed:
                kills += 1
    assert kills > 0
    got = make().fit(X, LABELS, checkpoint=tmp_path, resume=True)
    assert list(map(trained, got.estimators_)) == list(map(trained, want.estimators_))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network-0", "network-1", "network-2"]


def test_ctrl_c_writes_a_checkpoint_and_is_no_end(monkeypatch, tmp_path):
    want = trained(start("adaptive"))
    slices, count = Pace.slices, iter(range(1000))

    def interrupted(self, steps, first=0):
        for pair in slices(self, steps, first):
            yield pair
            if next(count) == 8:
                raise KeyboardInterrupt

    monkeypatch.setattr(Pace, "slices", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        start("adaptive", checkpoint=tmp_path)
    monkeypatch.undo()
    assert fnn.load(tmp_path / checkpoint.FILE).optimizer.steps == 9
    assert trained(start("adaptive", checkpoint=tmp_path, resume=True)) == want


# Disagreement


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.5}, "alpha 0.0001, got 0.5"),
        ({"batch_size": 8}, "batch_size 16, got 8"),
        ({"learning_rate_init": 0.5}, "learning_rate 0.001, got 0.5"),
        ({"early_stopping": True}, "early_stopping False, got True"),
        ({"hidden_layer_sizes": (6,)}, "layer_sizes [4, 5, 3], got [4, 6, 3]"),
        ({"class_weight": {0: 2.0}}, "class_weight None, got '{0: 2.0}'"),
        ({"n_iter_no_change": np.inf}, "n_iter_no_change 10, got inf"),
    ],
)
def test_another_training_is_refused_and_nothing_is_changed(tmp_path, options, message):
    MLPClassifier(**SMALL).fit(X, LABELS, checkpoint=tmp_path)
    model = MLPClassifier(**(SMALL | options))
    before = vars(model).copy()
    with pytest.raises(ValueError, match="resume=True must go on with the training") as caught:
        model.fit(X, LABELS, checkpoint=tmp_path, resume=True)
    assert message in str(caught.value)
    assert vars(model) == before


def test_a_checkpoint_of_a_network_is_refused(tmp_path):
    net = MLPClassifier(**SMALL).fit(X, LABELS, checkpoint=tmp_path).network_
    fnn.FNN((4, 5, 3), dtype="float64").fit(X, LABELS, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"it has trained_by 'FNN', got 'MLPClassifier'$"):
        MLPClassifier(**SMALL).fit(X, LABELS, checkpoint=tmp_path, resume=True)
    MLPClassifier(**SMALL).fit(X, LABELS, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="resume=True must go on"):
        net.fit(X, LABELS, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("estimator", BOTH)
def test_trainings_without_checkpoints_say_so(tmp_path, estimator):
    with pytest.raises(ValueError, match="checkpoint needs a stochastic solver, got solver='lbfgs'"):
        estimator(**SMALL, solver="lbfgs").fit(X, LABELS, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="resume=True needs the checkpoint"):
        estimator(**SMALL).fit(X, LABELS, resume=True)


def test_a_random_state_that_a_file_cannot_hold_is_refused(tmp_path):
    state = np.random.RandomState(np.random.PCG64(3))
    with pytest.raises(ValueError, match="random_state must draw from MT19937 for a checkpoint, got PCG64"):
        MLPClassifier(**(SMALL | {"random_state": state})).fit(X, LABELS, checkpoint=tmp_path)


@pytest.mark.parametrize("estimator", BOTH)
def test_a_pipeline_hands_a_checkpoint_over_and_routes_none(tmp_path, estimator):
    name = estimator.__name__.lower()
    pipeline = make_pipeline(StandardScaler(), estimator(**SMALL))
    pipeline.fit(X, LABELS, **{f"{name}__checkpoint": tmp_path, f"{name}__resume": True})
    assert (tmp_path / checkpoint.FILE).exists()
    assert not {"checkpoint", "resume"} & estimator().get_metadata_routing().fit.requests.keys()


# Damaged files

CHANGES = {
    "no estimator": ("estimator", None),
    **{f"estimator.{name} {value!r}": (f"estimator.{name}", value) for name, values in {
        "t": (-1, None, 1.5), "loss_curve": (None, 3), "no_improvement_count": (-1, "x"), "best_loss": (3.0, "x"),
        "validation_scores": (None, []), "best": (None, {}), "best_validation_score": (None, "x", {"$float": "nan"}),
        "before_split": (None, {}), "before_split.name": ("PCG64", None), "before_split.position": (-1, 625, None),
        "before_split.has_gauss": (2, None), "before_split.gauss": ({"$float": "inf"}, None, 1),
        "before_split.key": (None, 3), "drawn": (None, {}), "drawn.order": (None, 3), "drawn.random": (None, {}),
        "drawn.random.key": (None,), "x": (1,),
    }.items() for value in values},
}  # fmt: skip
ARRAYS = {
    "loss_curve": np.zeros(1), "validation_scores": np.zeros((2, 3)), "best.params": np.zeros(3),
    "best.statistics": np.zeros(3), "drawn.order": np.full(74, 10**6, np.uint32), "drawn.random.key": np.zeros(624),
    "before_split.key": np.zeros(3, np.uint32),
}  # fmt: skip


@pytest.mark.parametrize("case", [*CHANGES, *ARRAYS])
def test_a_damaged_checkpoint_is_a_valueerror_that_names_it(tmp_path, case):
    make, x, y, _ = CASES["early stopping"]
    make().set_params(max_iter=2).fit(x, y, checkpoint=tmp_path)
    path = tmp_path / checkpoint.FILE
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    arrays, section = load_file(path), json.loads(metadata["training"])
    if case in ARRAYS:
        arrays[f"training.fit.estimator.{case}"] = ARRAYS[case]
    else:
        name, value = CHANGES[case]
        *names, last = name.split(".")
        holder = section["fit"]
        for key in names:
            holder = holder[key]
        holder[last] = value
    kept = {name for name in arrays if not name.startswith("training.") or f'"{name}"' in json.dumps(section)}
    save_file({name: arrays[name] for name in kept}, path, metadata | {"training": json.dumps(section)})
    model = make()
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is damaged"):
        model.fit(x, y, checkpoint=tmp_path, resume=True)
    assert not hasattr(model, "coefs_")
