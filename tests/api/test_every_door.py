"""Every bad value through every door that takes it: an error that names the argument, and nothing is changed.

A door is a method that is given data. Where scikit-learn checks an argument of an estimator, the text is its own, which
 `tests/sklearn/test_same_messages.py` compares.
"""

import copy
import math
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.metrics import get_scorer, make_scorer, matthews_corrcoef
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor
from fastfnn.sources import ArraySource, ParquetSource
from fastfnn.tabular import TabularClassifier, TabularRegressor

pytestmark = [
    pytest.mark.jit,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of trainings of two epochs
]

ROWS = 24
X = np.random.default_rng(0).normal(size=(ROWS, 3))
LABELS = (X[:, 0] > 0).astype(np.int64)
NUMBERS = X @ [1.0, 2.0, 3.0]
WEIGHTS = np.ones(ROWS)

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "batch_size": 8, "random_state": 0}
TABULAR = {"preset": "fast", "max_epochs": 2, "random_state": 0, "n_threads": 1}
STEPS = {"epochs": 2, "batch_size": 8}


def classifying(**options):
    return fnn.FNN((3, 4, 2), seed=0, **options)


def regressing(**options):
    return fnn.FNN((3, 4, 1), loss="squared_error", seed=0, **options)


def without(given, *names):
    """Arguments without those that are None."""
    return {name: value for name, value in given.items() if name not in names and value is not None}


class Door(NamedTuple):
    """new: makes the object; call(object, x, t, sample_weight, class_weight); takes: which of the arguments it has."""

    new: Callable[[], Any]
    call: Callable[..., Any]
    takes: str  # of "x t sample_weight class_weight"

    @property
    def targets(self):
        made = self.new()
        kind = getattr(made, "_estimator_type", None) or type(made).__name__
        return NUMBERS if "Regress" in kind or getattr(made, "loss_name", "") == "squared_error" else LABELS


def fit_network(net, x, t, w, c):
    net.fit(x, t, **STEPS, **without({"sample_weight": w, "class_weight": c}))


def fit_source(net, x, t, w, c):
    net.fit(ArraySource(x, t, w), **STEPS, **without({"class_weight": c}))


def fit_estimator(model, x, t, w, c):
    (model if c is None else model.set_params(class_weight=c)).fit(x, t, sample_weight=w)


def fit_estimator_by_source(model, x, t, w, c):
    (model if c is None else model.set_params(class_weight=c)).fit(ArraySource(x, t, w))


def train_on(model, x, t, w, c):
    classes = {"classes": [0, 1]} if isinstance(model, MLPClassifier) else {}
    (model if c is None else model.set_params(class_weight=c)).partial_fit(x, t, sample_weight=w, **classes)


def score(model, x, t, w, c):
    model.score(x, t, sample_weight=w)


def fit_beside(model, x, t, w, c):
    good = LABELS if isinstance(model, MLPClassifier | TabularClassifier) else NUMBERS
    model.fit(X, good, eval_set=(x, t))


def fit_beside_network(net, x, t, w, c):
    net.fit(X, LABELS if net.loss_function.has_accuracy else NUMBERS, **STEPS, validation_data=(x, t))


ALL, OF_NUMBERS, DATA = "x t sample_weight class_weight", "x t sample_weight", "x t"
DOORS = {
    "FNN.fit": Door(classifying, fit_network, ALL),
    "FNN.fit, numbers": Door(regressing, fit_network, OF_NUMBERS),
    "FNN.fit, reference": Door(lambda: classifying(backend="reference"), fit_network, ALL),
    "FNN.fit, source": Door(classifying, fit_source, ALL),
    "FNN.partial_fit": Door(classifying, lambda net, x, t, w, c: net.partial_fit(x, t, batch_size=8), DATA),
    "FNN.loss": Door(classifying, lambda net, x, t, w, c: net.loss(x, t, sample_weight=w), OF_NUMBERS),
    "FNN.gradient": Door(classifying, lambda net, x, t, w, c: net.gradient(x, t), DATA),
    "FNN.evaluate": Door(classifying, lambda net, x, t, w, c: net.evaluate(x, t), DATA),
    "FNN.predict": Door(classifying, lambda net, x, t, w, c: net.predict(x), "x"),
    "FNN.fit, validation_data": Door(classifying, fit_beside_network, DATA),
    "TwoLayerNet.fit": Door(lambda: fnn.TwoLayerNet(3, 4, 2, seed=0), fit_network, ALL),
    "MLPClassifier.fit": Door(lambda: MLPClassifier(**SMALL), fit_estimator, ALL),
    "MLPClassifier.fit, lbfgs": Door(lambda: MLPClassifier(**SMALL, solver="lbfgs"), fit_estimator, ALL),
    "MLPClassifier.fit, ensemble": Door(lambda: MLPClassifier(**SMALL, n_estimators=2), fit_estimator, ALL),
    "MLPClassifier.fit, source": Door(lambda: MLPClassifier(**SMALL), fit_estimator_by_source, ALL),
    "MLPClassifier.fit, eval_set": Door(lambda: MLPClassifier(**SMALL), fit_beside, DATA),
    "MLPClassifier.partial_fit": Door(lambda: MLPClassifier(**SMALL), train_on, ALL),
    "MLPClassifier.score": Door(lambda: MLPClassifier(**SMALL).fit(X, LABELS), score, OF_NUMBERS),
    "MLPRegressor.fit": Door(lambda: MLPRegressor(**SMALL), fit_estimator, OF_NUMBERS),
    "MLPRegressor.fit, source": Door(lambda: MLPRegressor(**SMALL), fit_estimator_by_source, OF_NUMBERS),
    "MLPRegressor.fit, eval_set": Door(lambda: MLPRegressor(**SMALL), fit_beside, DATA),
    "MLPRegressor.partial_fit": Door(lambda: MLPRegressor(**SMALL), train_on, OF_NUMBERS),
    "MLPRegressor.score": Door(lambda: MLPRegressor(**SMALL).fit(X, NUMBERS), score, OF_NUMBERS),
    "TabularClassifier.fit": Door(lambda: TabularClassifier(**TABULAR), fit_estimator, ALL),
    "TabularClassifier.fit, eval_set": Door(lambda: TabularClassifier(**TABULAR), fit_beside, DATA),
    "TabularClassifier.score": Door(lambda: TabularClassifier(**TABULAR).fit(X, LABELS), score, OF_NUMBERS),
    "TabularRegressor.fit": Door(lambda: TabularRegressor(**TABULAR), fit_estimator, OF_NUMBERS),
    "TabularRegressor.fit, eval_set": Door(lambda: TabularRegressor(**TABULAR), fit_beside, DATA),
    "TabularRegressor.score": Door(lambda: TabularRegressor(**TABULAR).fit(X, NUMBERS), score, OF_NUMBERS),
}

# Where a value is no bad one, by door: a regular expression.
PASSES_THROUGH = {
    ("x", "NaN"): "Tabular",  # missing
    ("x", "sparse"): r"MLP\w+\.(fit|partial_fit|score)(?!, source)",
    ("x", "texts"): "Tabular",
    ("x", "one axis"): r"FNN.predict|FNN.fit, source|MLP\w+.fit, source",  # a sample; images, which are flattened
    ("x", "three axes"): "source",
    ("x", "short"): "FNN.predict",
    ("t", "texts"): r"(MLP|Tabular)Classifier.(fit$|fit, (lbfgs|ensemble|source))",  # they are labels
    ("sample_weight", "zeros"): r"FNN.loss|source",  # of a source nobody knows all weights before the end
    ("sample_weight", "a number"): r"^(MLP|Tabular)",  # of each sample
    ("class_weight", "zeros"): r"source|partial_fit",
}


def put(array, value):
    """A copy with a bad number in the second place."""
    array = np.array(array, np.float64)
    array.flat[1] = value
    return array


BAD = {
    "x": {
        "NaN": put(X, math.nan), "infinity": put(X, math.inf), "short": X[:-1], "no rows": X[:0],
        "no columns": X[:, :0], "one axis": X[:, 0], "three axes": X[:, :, None],
        "texts": np.array([["a", "b", "c"]] * ROWS),
        "objects": np.array([[object()] * 3] * ROWS), "None": None, "complex": X + 0j, "a number": 1.0,
        "rows of two lengths": [[1, 2], [3]], "sparse": scipy.sparse.csr_matrix(X),
    },
    "t": {
        "NaN": lambda t: put(t, math.nan), "infinity": lambda t: put(t, math.inf), "short": lambda t: t[:-1],
        "no rows": lambda t: t[:0], "three axes": lambda t: t[:, None, None], "None": lambda t: None,
        "complex": lambda t: t + 0j, "a number": lambda t: 1, "texts": lambda t: np.array(["a", "b"] * (ROWS // 2)),
        "objects": lambda t: np.array([None] * ROWS),
    },
    "sample_weight": {
        "negative": put(WEIGHTS, -1), "NaN": put(WEIGHTS, math.nan), "infinity": put(WEIGHTS, math.inf),
        "short": WEIGHTS[:-1], "two axes": WEIGHTS[:, None], "zeros": 0 * WEIGHTS, "texts": np.array(["a"] * ROWS),
        "numbers as texts": np.array(["1"] * ROWS), "objects": np.array([None] * ROWS), "complex": WEIGHTS + 0j,
        "dates": WEIGHTS.astype("M8[s]"), "a number": 2.0, "NaN for all": math.nan, "negative for all": -1.0,
    },
    "class_weight": {
        "negative": {0: -1, 1: 1}, "NaN": {0: math.nan, 1: 1}, "infinity": {0: math.inf, 1: 1}, "zeros": {0: 0, 1: 0},
        "None": {0: None, 1: 1}, "texts": {0: "1", 1: 1}, "True": {0: True, 1: 1}, "complex": {0: 1j, 1: 1},
        "another word": "heavy", "a number": 2.0, "list": [1, 2], "array": np.ones(2), "unknown": {7: 1.0, 8: 2.0},
        "unknown and negative": {0: 1, 1: 1, 7: -1},
    },
}  # fmt: skip

# What messages call an argument; those of scikit-learn some by what they are.
NAMES = {
    "x": r"\bx\b|\bX\b|2D array|inconsistent numbers of samples|Found array with|Complex data|\bt must have one entry|"
    "validation_data|setting an array element|columns? ",
    "t": r"\bt\b|\by\b|y_true|inconsistent numbers of samples|Found array with|Complex data|validation_data|targets|"
    "at least 1 dimension|array-like|label|Input contains|dtype=numeric|ufunc",
    "sample_weight": "sample_weight|Sample weights|inconsistent numbers",
    "class_weight": "class_weight",
}
CASES = [
    pytest.param(name, argument, case, id=f"{name}-{argument}-{case}")
    for name, door in DOORS.items()
    for argument in door.takes.split()
    for case in BAD[argument]
    if not re.search(PASSES_THROUGH.get((argument, case), "^$"), name)
    and not (".score" in name and argument == "t")  # scikit-learn's metrics check them
]


def state(made):
    """What an object predicts, bit for bit, or nothing if it is not trained; and its attributes."""
    attributes = {name for name in vars(made) if not name.startswith("_")}
    if isinstance(made, fnn.FNN):
        return attributes, made.predict(X).tobytes()
    trained = hasattr(made, "coefs_") or hasattr(made, "estimators_") or hasattr(made, "networks_")
    return attributes, made.predict(X).tobytes() if trained else None


def arguments_of(door, argument, case):
    good = {"x": X, "t": door.targets, "w": None, "c": None}
    bad = BAD[argument][case]
    key = {"sample_weight": "w", "class_weight": "c"}.get(argument, argument)
    return good | {key: bad(good["t"]) if callable(bad) else bad}


@pytest.mark.parametrize(("name", "argument", "case"), CASES)
def test_every_bad_value_through_every_door(name, argument, case):
    door = DOORS[name]
    made = door.new()
    before = state(made)
    with pytest.raises((ValueError, TypeError)) as caught:
        door.call(made, **arguments_of(door, argument, case))
    message = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert re.search(NAMES[argument], message), message
    assert "non-finite parameter" not in message, "the argument is blamed on the data"
    if "source" not in name:  # what is wrong in a later window is found while the network trains
        assert state(made) == before


@pytest.mark.parametrize(
    ("name", "argument", "case"),
    [case for case in CASES if case.values[1] in ("sample_weight", "class_weight") and "fit" in case.values[0]
     and not re.search("FNN|TwoLayer|source", case.values[0])],
)  # fmt: skip
def test_a_fitted_estimator_predicts_as_before(name, argument, case):
    door = DOORS[name]
    made = door.new()
    door.call(made, X, door.targets, None, None)
    before = made.predict(X).tobytes()
    with pytest.raises((ValueError, TypeError)):
        door.call(made, **arguments_of(door, argument, case))
    assert made.predict(X).tobytes() == before


@pytest.mark.parametrize("case", ["negative", "NaN", "infinity", "None", "texts", "complex"])
def test_weights_of_classes_are_refused_by_one_text(case):
    texts = set()
    for door in DOORS.values():
        if "class_weight" in door.takes:
            with pytest.raises((ValueError, TypeError)) as caught:
                door.call(door.new(), X, LABELS, None, BAD["class_weight"][case])
            texts.add(str(caught.value))
    assert len(texts) == 1, texts


def test_good_values_pass_through_every_door():
    for name, door in DOORS.items():
        weights = WEIGHTS if "sample_weight" in door.takes else None
        by_class = {0: 1.0, 1: 2.0} if "class_weight" in door.takes else None
        try:
            door.call(door.new(), X, door.targets, weights, by_class)
        except Exception as error:
            raise AssertionError(name) from error


# What functions of the user return

TRAININGS = {
    "FNN.fit": lambda call: classifying().fit(X, LABELS, **STEPS, callbacks=[call]),
    "FNN.fit, source": lambda call: regressing().fit(ArraySource(X, NUMBERS), **STEPS, callbacks=[call]),
    "MLPClassifier": lambda call: MLPClassifier(**SMALL, callbacks=[call]).fit(X, LABELS),
    "MLPRegressor": lambda call: MLPRegressor(**SMALL, callbacks=[call]).fit(ArraySource(X, NUMBERS)),
}


@pytest.mark.parametrize("value", [np.ones(2), np.zeros((2, 3)), np.ones(1), pd.Series([1, 2])], ids=str)
@pytest.mark.parametrize("training", TRAININGS)
def test_a_callback_that_returns_an_array_is_named(training, value):
    with pytest.raises(
        TypeError, match=r"^callbacks\[0\] must return True to end the training, else False or None; got"
    ):
        TRAININGS[training](lambda net, history: value)


@pytest.mark.parametrize("training", TRAININGS)
def test_a_callback_may_return_what_is_true_or_not(training):
    for value in (None, False, 0, "", np.bool_(False), np.array(False), [], True, np.bool_(True), np.array(True), 1):
        TRAININGS[training](lambda net, history, value=value: value)


@pytest.mark.parametrize("value", [None, "good", np.ones(2), np.ones(1), True, 1j], ids=str)
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_an_evaluation_metric_that_returns_no_number_is_named(estimator, value):
    model = estimator(**SMALL, early_stopping=True, eval_metric=lambda estimator, X, y: value)
    with pytest.raises(TypeError, match=r"^eval_metric must return a number, got"):
        model.fit(X, LABELS)


def matthews(estimator, X, y):
    return matthews_corrcoef(y, estimator.predict(X))


def weighted(estimator, X, y, sample_weight=None):
    assert sample_weight is not None
    return estimator.score(X, y, sample_weight)


def largest_error(y, predicted):
    return -float(np.max(np.abs(y - predicted)))


METRICS = {
    "function": matthews, "function with weights": weighted, "name": "accuracy",
    "name without weights": "neg_max_error",
    "scorer": get_scorer("neg_log_loss"), "scorer without weights": make_scorer(largest_error),
}  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("given", ["sample_weight", "class_weight", "eval_set"])
def test_an_evaluation_metric_gets_weights_only_if_it_takes_them(metric, given):
    options = SMALL | {"eval_metric": METRICS[metric], "early_stopping": given != "eval_set"}
    if given == "class_weight":
        options["class_weight"] = "balanced"
    if given == "eval_set" and metric == "function with weights":
        return  # which has no weights
    more = {"sample_weight": WEIGHTS} if given == "sample_weight" else {}
    more |= {"eval_set": (X, LABELS)} if given == "eval_set" else {}
    model = MLPClassifier(**options).fit(X, LABELS, **more)
    assert len(model.validation_scores_) == 2


# Targets that are missing

TAKES_MISSING = fnn.Loss(
    lambda y, t: 0.5 * (y - t) ** 2 if t == t else 0.0, lambda y, t: y - t if t == t else 0.0, name="masked"
)
NEEDS_ALL = fnn.Loss(lambda y, t: 0.5 * (y - t) ** 2, lambda y, t: y - t, name="plain")
SOME = np.where(np.random.default_rng(1).random((ROWS, 2)) < 0.4, np.nan, np.stack([NUMBERS, -NUMBERS], axis=1))


def masked_network(loss=TAKES_MISSING, **options):
    return fnn.FNN((3, 4, 2), loss=loss, seed=0, **options)


MISSING_DOORS = {
    "fit": lambda t, loss: masked_network(loss).fit(X, t, **STEPS, validation_data=(X, t), metrics=["r2", "mae"]),
    "fit, reference": lambda t, loss: masked_network(loss, backend="reference").fit(X, t, **STEPS),
    "fit, source": lambda t, loss: masked_network(loss).fit(ArraySource(X, t), **STEPS),
    "partial_fit": lambda t, loss: masked_network(loss).partial_fit(X, t),
    "loss": lambda t, loss: masked_network(loss).loss(X, t),
    "gradient": lambda t, loss: masked_network(loss).gradient(X, t),
    "evaluate": lambda t, loss: masked_network(loss).evaluate(X, t),
    "MLPRegressor.fit": lambda t, loss: MLPRegressor(**SMALL, loss=loss).fit(X, t),
    "MLPRegressor.fit, lbfgs": lambda t, loss: MLPRegressor(**SMALL, loss=loss, solver="lbfgs").fit(X, t),
    "MLPRegressor.fit, ensemble": lambda t, loss: MLPRegressor(**SMALL, loss=loss, n_estimators=2).fit(X, t),
    "MLPRegressor.fit, source": lambda t, loss: MLPRegressor(**SMALL, loss=loss).fit(ArraySource(X, t)),
    "MLPRegressor.partial_fit": lambda t, loss: MLPRegressor(**SMALL, loss=loss).partial_fit(X, t),
    "MLPRegressor.fit, early_stopping": lambda t, loss: MLPRegressor(**SMALL, loss=loss, early_stopping=True).fit(X, t),
    "MLPRegressor.fit, eval_set": lambda t, loss: MLPRegressor(**SMALL, loss=loss).fit(
        X, np.nan_to_num(t), eval_set=(X, t)
    ),
}


@pytest.mark.parametrize("door", MISSING_DOORS)
def test_targets_may_be_missing_where_the_loss_takes_that(door):
    assert TAKES_MISSING.takes_missing and not NEEDS_ALL.takes_missing
    MISSING_DOORS[door](SOME, TAKES_MISSING)


@pytest.mark.parametrize("loss", [NEEDS_ALL, "squared_error"], ids=str)
@pytest.mark.parametrize("door", MISSING_DOORS)
def test_targets_that_are_missing_are_refused_by_all_other_losses(door, loss):
    with pytest.raises(ValueError, match=r"NaN|nan"):
        MISSING_DOORS[door](SOME, loss)


@pytest.mark.parametrize("door", MISSING_DOORS)
def test_an_infinite_target_is_refused_by_each_loss(door):
    if door == "MLPRegressor.fit, eval_set":
        return  # np.nan_to_num makes a number of it
    with pytest.raises(ValueError, match="inf"):
        MISSING_DOORS[door](put(SOME, math.inf), TAKES_MISSING)


def test_what_is_missing_does_not_count():
    net = masked_network(dtype="float64")
    net.fit(X, SOME, **STEPS)
    predicted, there = net.predict(X), ~np.isnan(SOME)
    squares = np.where(there, np.square(predicted - np.nan_to_num(SOME)), 0)
    assert net.loss(X, SOME) == pytest.approx(0.5 * squares.sum() / ROWS)
    found = net.evaluate(X, SOME, metrics=["mse", "rmse", "mae", "r2"])
    assert found["mse"] == pytest.approx(squares.sum() / there.sum())
    assert found["rmse"] == pytest.approx(math.sqrt(found["mse"]))
    assert all(map(math.isfinite, found.values()))
    slopes = net.numerical_gradient(X, SOME)
    for name, gradient in net.gradient(X, SOME).items():
        np.testing.assert_allclose(gradient, slopes[name], atol=1e-6)


@pytest.mark.parametrize("form", [pd.DataFrame, lambda t: pd.DataFrame(t).astype("Float64"), np.ndarray.tolist])
def test_frames_and_lists_may_have_missing_targets(form):
    want, got = masked_network(), masked_network()
    want.fit(X, SOME, **STEPS)
    got.fit(X, form(SOME), **STEPS)
    assert got.predict(X).tobytes() == want.predict(X).tobytes()
    with pytest.raises(ValueError, match=r"missing|nan"):
        masked_network("squared_error").fit(X, form(SOME), **STEPS)


def test_files_of_parquet_may_have_missing_targets(tmp_path):
    frame = pd.DataFrame(np.concatenate([X, SOME], axis=1), columns=["a", "b", "c", "s", "t"])
    frame.to_parquet(tmp_path / "some.parquet")  # where NaN becomes null
    source = ParquetSource(tmp_path / "some.parquet", target=["s", "t"], shuffle=False)
    want, got = masked_network(), masked_network()
    want.fit(ArraySource(X, SOME, shuffle=False), **STEPS)
    got.fit(source, **STEPS)
    assert got.predict(X).tobytes() == want.predict(X).tobytes()
    with pytest.raises(ValueError, match=r"^t .*must be finite in float32, got nan"):
        masked_network("squared_error").fit(source, **STEPS)


# Attributes and shapes of scikit-learn


def kinds(value):
    return [type(value), *(kinds(value[-1]) if isinstance(value, list) and value else [])]


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd"}], ids=str)
@pytest.mark.parametrize(
    ("ours", "theirs"), [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)], ids=["classes", "numbers"]
)
def test_fitted_attributes_have_the_types_of_scikit_learn(ours, theirs, options, tmp_path):
    t = LABELS if ours is MLPClassifier else NUMBERS
    their = theirs(**SMALL, **options).fit(X, t)
    own = ours(**SMALL, **options).fit(X, t)
    own.save(tmp_path / "own.safetensors")
    for model in (own, copy.deepcopy(own), fnn.sklearn.load(tmp_path / "own.safetensors")):
        for name, value in vars(their).items():
            if name.endswith("_") and not name.startswith("_"):
                assert kinds(getattr(model, name)) == kinds(value), name


def test_the_loss_of_a_resumed_training_and_of_an_ensemble_is_a_number_of_numpy(tmp_path):
    MLPClassifier(**SMALL).fit(X, LABELS, checkpoint=tmp_path / "point")
    resumed = MLPClassifier(**(SMALL | {"max_iter": 4})).fit(X, LABELS, checkpoint=tmp_path / "point", resume=True)
    assert kinds(resumed.loss_curve_) == [list, np.float64]
    assert type(resumed.loss_) is type(resumed.best_loss_) is np.float64
    assert type(MLPClassifier(**SMALL, n_estimators=2).fit(X, LABELS).loss_) is np.float64


@pytest.mark.parametrize(
    "form", [lambda t: pd.DataFrame({"t": t}), lambda t: t[:, None], lambda t: t[:, None].tolist()]
)
@pytest.mark.parametrize(
    "new",
    [lambda: MLPRegressor(**SMALL), lambda: TabularRegressor(**TABULAR)],
    ids=["MLPRegressor", "TabularRegressor"],
)
def test_a_column_of_targets_is_a_target(new, form):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = new().fit(X, form(NUMBERS))
    assert model.predict(X).shape == (ROWS,)
    assert model.predict(X).tobytes() == new().fit(X, NUMBERS).predict(X).tobytes()


@pytest.mark.parametrize(
    "new",
    [lambda: MLPClassifier(**SMALL), lambda: MLPRegressor(**SMALL), lambda: TabularClassifier(**TABULAR)],
    ids=["MLPClassifier", "MLPRegressor", "TabularClassifier"],
)
def test_an_estimator_without_names_of_features_has_no_such_attribute_and_bears_none(new, tmp_path):
    frame = pd.DataFrame(X, columns=list("abc"))
    model = new().fit(X, LABELS)
    assert not hasattr(model, "feature_names_in_")
    named = new().fit(frame, LABELS)
    assert named.feature_names_in_.tolist() == ["a", "b", "c"]
    twin = copy.deepcopy(named)
    twin.feature_names_in_ = None  # as SHAP does
    assert twin.predict(X).tobytes() == named.predict(frame).tobytes()
    twin.save(tmp_path / "twin.safetensors")
    assert not hasattr(named.fit(X, LABELS), "feature_names_in_")
