"""Files of estimators: what is loaded predicts and goes on as what was saved, and other tools can read it."""

import json
import os
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from estimator_twins import BOTH, PROBLEMS, SMALL, Problem, X, assert_same_weights, quiet
from safetensors import safe_open
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import fastfnn as fnn
import fastfnn.sklearn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

Y = PROBLEMS["multiclass"].y
WORDS = np.array(["blue", "green", "red"])
both = pytest.mark.parametrize("estimator", BOTH)


def fitted(problem, **params):
    estimator = problem.estimator(**(SMALL | dict(problem.params) | params))
    return quiet(estimator.fit, X, problem.y)


def saved(model, tmp_path, **own):
    """What comes back from the file of a model; warnings are errors."""
    path = tmp_path / "model.safetensors"
    fastfnn.sklearn.save(model, path)
    return fastfnn.sklearn.load(path, **own)


def section(path):
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["estimator"])


def plain(value):
    """A value in which sequences are tuples, to compare attributes and parameters."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(map(plain, value))
    return repr(value)


# Attributes that are compared by themselves, or belong to the training that has ended.
APART = {"coefs_", "intercepts_", "_net", "_optimizer", "_random_state", "_label_binarizer", "_best", "_saved"}


def assert_same(got, want, x=X):
    """Assert that two estimators have the same attributes, weights and predictions, bit for bit."""
    assert type(got) is type(want)
    assert vars(got).keys() | APART == vars(want).keys() | APART
    for name in vars(want).keys() - APART:
        assert plain(getattr(got, name)) == plain(getattr(want, name)), name
    assert_same_weights(got, want)
    assert got.predict(x).dtype == want.predict(x).dtype
    assert got.predict(x).tobytes() == want.predict(x).tobytes()
    if isinstance(want, MLPClassifier):
        assert got.predict_proba(x).tobytes() == want.predict_proba(x).tobytes()
        assert got.classes_.dtype == want.classes_.dtype
        binarizer, twin = vars(want._label_binarizer), vars(got._label_binarizer)
        assert {name: plain(value) for name, value in twin.items()} == {
            name: plain(value) for name, value in binarizer.items()
        }


TRAININGS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive", "nesterovs_momentum": False},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True},
    "float32": {"dtype": np.float32},
    "batch normalization": {"batch_norm": True, "dropout": 0.25},
    "activations": {"activation": ["tanh", "logistic"], "init": "he", "n_iter_no_change": np.inf},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "numbers of numpy": {"alpha": np.float32(0.1), "max_iter": np.int64(4), "hidden_layer_sizes": np.array([3, 2])},
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("params", TRAININGS.values(), ids=TRAININGS)
def test_what_is_loaded_is_what_was_saved(tmp_path, problem, params):
    model = fitted(problem, **params)
    twin = saved(model, tmp_path)
    if "alpha" in params or "dtype" in params:  # numbers of NumPy come back as Python's, a dtype as its name
        assert twin.alpha == model.alpha and twin.predict(X).tobytes() == model.predict(X).tobytes()
        assert twin.dtype in (None, "float32")
    else:
        assert_same(twin, model)
    assert twin.score(X, problem.y) == model.score(X, problem.y)


@pytest.mark.parametrize(
    "y",
    [
        WORDS[Y], WORDS.astype(object)[Y], WORDS[Y % 2], WORDS.astype("<U12")[Y], Y.astype(float), Y * 0.5 // 0.5,
        Y.astype(np.int8), Y.astype(np.uint64) + np.uint64(2**63), Y == 1, np.zeros(len(Y), int), -7 * Y,
        np.array(["é", "日本", "\U0001f600"])[Y], Y.astype(np.float32),
    ],
    ids=lambda y: f"{y.dtype} {y[0]}",
)  # fmt: skip
def test_labels_of_every_kind_come_back(tmp_path, y):
    model = fitted(Problem(MLPClassifier, y))
    assert_same(saved(model, tmp_path), model) if y.dtype != "<U12" else None
    assert saved(model, tmp_path).predict(X).tolist() == model.predict(X).tolist()


@pytest.mark.parametrize("kind", ["str", "category", "object"])
def test_labels_of_frames_come_back(tmp_path, kind):
    model = fitted(Problem(MLPClassifier, pd.Series(WORDS[Y], dtype=kind)))
    assert_same(saved(model, tmp_path), model)


def test_sparse_sets_of_labels_come_back(tmp_path):
    model = fitted(Problem(MLPClassifier, scipy.sparse.csr_array(PROBLEMS["multilabel"].y)))
    got = saved(model, tmp_path).predict(X)
    assert scipy.sparse.issparse(got)
    assert (got != model.predict(X)).nnz == 0


def test_labels_that_a_file_cannot_hold_are_a_valueerror(tmp_path):
    model = fitted(PROBLEMS["multiclass"])
    model.classes_ = model.classes_.astype(np.longdouble)
    with pytest.raises(ValueError, match=r"^classes must have one of the dtypes bool, .* in a file, got "):
        model.save(tmp_path / "model")


@both
def test_feature_names_come_back(tmp_path, estimator):
    frame = pd.DataFrame(X, columns=[f"x{i} é" for i in range(X.shape[1])])
    model = quiet(estimator(**SMALL).fit, frame, Y)
    twin = saved(model, tmp_path)
    assert_same(twin, model, frame)
    assert twin.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="feature names should match"):
        twin.predict(frame[frame.columns[::-1]])


PARAMETERS = {
    "optimizer": fnn.AdamW(0.02, weight_decay=0.5, clip_norm=2.0),
    "book": fnn.Adam(0.02, book=True),
    "schedule of an optimizer": fnn.Momentum(fnn.schedules.Cosine(0.1, steps=7), 0.5),
    "name": "adamw",
}


@pytest.mark.parametrize("optimizer", PARAMETERS.values(), ids=PARAMETERS)
@both
def test_optimizers_come_back(tmp_path, estimator, optimizer):
    model = fitted(Problem(estimator, Y), optimizer=optimizer)
    twin = saved(model, tmp_path)
    assert repr(twin.optimizer) == repr(optimizer)
    again = fitted(Problem(estimator, Y), **twin.get_params())
    assert_same_weights(again, model)


@pytest.mark.parametrize("name", ["Constant", "Step", "Exponential", "Cosine", "InverseScaling"])
def test_schedules_come_back(tmp_path, name):
    more = {"Step": {"every": 3}, "Exponential": {"decay": 0.9}, "Cosine": {"steps": 9}}.get(name, {})
    schedule = getattr(fnn.schedules, name)(0.1, **more)
    assert saved(fitted(PROBLEMS["outputs"], schedule=schedule), tmp_path).schedule == schedule


@pytest.mark.parametrize(
    ("problem", "weights"),
    [
        ("multiclass", {0: 1.0, 1: 2, np.int64(2): 0.5}),
        ("multiclass", "balanced"),
        ("multilabel", [{0: 1.0, 1: 2.0}, {0: 1.0, 1: 3.0}, {0: 0.5, 1: 1.0}]),
    ],
)
def test_class_weights_come_back(tmp_path, problem, weights):
    model = fitted(PROBLEMS[problem], class_weight=weights)
    twin = saved(model, tmp_path)
    assert twin.class_weight == weights
    assert type(twin.class_weight) is type(weights)
    assert_same_weights(quiet(twin.fit, X, PROBLEMS[problem].y), model)


@pytest.mark.parametrize("loss", ["huber", "absolute_error", "quantile"])
def test_losses_of_regressors_come_back(tmp_path, loss):
    model = fitted(PROBLEMS["one output"], loss=loss, delta=0.5, quantile=(0.1, 0.5, 0.9))
    twin = saved(model, tmp_path)
    assert_same(twin, model)
    assert twin.score(X, PROBLEMS["one output"].y) == model.score(X, PROBLEMS["one output"].y)


def double(x):
    return 2 * x


def slope_of_double(x, y):
    return 2.0


def square(y, t):
    return (y - t) ** 2


def slope_of_square(y, t):
    return 2 * (y - t)


def test_functions_of_the_user_are_given_to_load(tmp_path):
    twice, loss = fnn.Activation(double, slope_of_double), fnn.Loss(square, slope_of_square)
    model = fitted(PROBLEMS["outputs"], activation=["relu", twice], loss=loss)
    twin = saved(model, tmp_path, activations=[twice], losses=[loss])
    assert_same(twin, model)
    assert_same_weights(quiet(twin.fit, X, PROBLEMS["outputs"].y), model)
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match=r"^activations must hold the network's own activation 'double' of "):
        fastfnn.sklearn.load(path, losses=[loss])
    with pytest.raises(ValueError, match=r"^losses must hold the network's own loss 'square' of "):
        fastfnn.sklearn.load(path, activations=[twice])


@both
def test_parameters_that_a_file_cannot_hold_are_named(tmp_path, estimator):
    params = {
        "random_state": np.random.RandomState(0), "callbacks": [fnn.EarlyStopping(3, monitor="loss")],
        "optimizer": fnn.SGD(lambda step: 0.1),
    }  # fmt: skip
    model = fitted(Problem(estimator, Y), **params)
    message = f"^the file does not hold callbacks, optimizer, random_state of {estimator.__name__}: after "
    for act in (model.save, lambda path: fastfnn.sklearn.save(model, path)):
        with pytest.warns(UserWarning, match=message) as caught:
            act(tmp_path / "model")
        assert caught[0].filename == __file__
    twin = fastfnn.sklearn.load(tmp_path / "model")
    defaults = estimator().get_params()
    assert [twin.get_params()[name] for name in params] == [defaults[name] for name in params]
    assert twin.predict(X).tobytes() == model.predict(X).tobytes()


# Training goes on


@both
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_with_a_new_state_of_the_optimizer(tmp_path, estimator, solver):
    model = fitted(Problem(estimator, Y), solver=solver)
    twin = saved(model, tmp_path)
    del model._optimizer
    for each in (model, twin):
        each.partial_fit(X, Y).partial_fit(X, Y)
    assert_same(twin, model)


@both
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=["adam", "early", "lbfgs"])
def test_a_warm_start_goes_on(tmp_path, estimator, params):
    model = fitted(Problem(estimator, Y), warm_start=True, **params)
    twin = saved(model, tmp_path)
    for each in (model, twin):
        quiet(each.fit, X, Y)
    assert_same(twin, model)


def test_a_network_of_partial_fit_comes_back(tmp_path):
    model = MLPClassifier(batch_size=5, random_state=0).partial_fit(X[:5], np.zeros(5, int), classes=[0, 1, 2])
    assert_same(saved(model, tmp_path), model)


@both
def test_what_is_loaded_is_copied_cloned_and_saved_again(tmp_path, estimator):
    model = fitted(Problem(estimator, Y), batch_norm=True)
    twin = saved(model, tmp_path)
    assert_same(pickle.loads(pickle.dumps(twin)), model)
    assert plain(list(clone(twin).get_params().values())) == plain(list(model.get_params().values()))
    twin.save(tmp_path / "again")
    assert section(tmp_path / "again") == section(tmp_path / "model.safetensors")


def test_a_loss_that_is_not_finite_comes_back(tmp_path):
    model = fitted(PROBLEMS["binary"])
    curve = list(np.array([np.inf, 0.1 + 0.2, -np.inf]))
    model.loss_, model.loss_curve_, model.best_loss_ = np.float64(np.nan), curve, np.float64(np.inf)
    assert_same(saved(model, tmp_path), model)


def test_weights_that_the_user_has_set_are_saved(tmp_path):
    model = fitted(PROBLEMS["outputs"])
    model.coefs_[0] = np.ones_like(model.coefs_[0])
    assert_same(saved(model, tmp_path), model)


# Pipelines

SCALERS = {
    "usual": StandardScaler(),
    "without mean": StandardScaler(with_mean=False),
    "without scale": StandardScaler(with_std=False, copy=False),
    "nothing": StandardScaler(with_mean=False, with_std=False),
    "frames": StandardScaler().set_output(transform="pandas"),
}


@both
@pytest.mark.parametrize("scaler", SCALERS.values(), ids=SCALERS)
def test_a_pipeline_that_standardizes_comes_back(tmp_path, estimator, scaler):
    frame = pd.DataFrame(100 + 10 * X, columns=list("abcdef"))
    model = quiet(Pipeline([("scale", clone(scaler)), ("net", estimator(**SMALL))]).fit, frame.copy(), Y)
    twin = saved(model, tmp_path)
    assert list(twin.named_steps) == ["scale", "net"]
    assert vars(twin[0]).keys() == vars(model[0]).keys()
    for name, value in vars(model[0]).items():
        assert plain(getattr(twin[0], name)) == plain(value), name
    assert twin.predict(frame.copy()).tobytes() == model.predict(frame.copy()).tobytes()
    assert_same(twin[1], model[1], model[0].transform(frame.copy()))
    assert twin[0].partial_fit(frame).n_samples_seen_ == 2 * len(X)
    assert_same_weights(quiet(twin.fit, frame.copy(), Y)[1], model[1])


def test_a_scaler_with_weights_comes_back(tmp_path):
    model = make_pipeline(StandardScaler(), MLPRegressor(**SMALL))
    weights = np.linspace(0.1, 1, len(X))
    quiet(model.fit, X, Y, standardscaler__sample_weight=weights)
    twin = saved(model, tmp_path)
    assert repr(twin[0].n_samples_seen_) == repr(model[0].n_samples_seen_)


def test_parameters_of_a_pipeline_that_a_file_cannot_hold_are_named(tmp_path):
    model = quiet(make_pipeline(StandardScaler(), MLPRegressor(**SMALL), verbose=True).fit, X, Y)
    with pytest.warns(UserWarning, match="^the file does not hold verbose of Pipeline: "):
        fastfnn.sklearn.save(model, tmp_path / "model")


class Child(MLPRegressor):
    pass


OTHERS = {
    "MinMaxScaler": Pipeline([("a", MinMaxScaler()), ("b", MLPRegressor())]),
    "Pipeline of MLPRegressor": Pipeline([("b", MLPRegressor())]),
    "StandardScaler, StandardScaler, MLPRegressor": make_pipeline(StandardScaler(), StandardScaler(), MLPRegressor()),
    "StandardScaler, str": Pipeline([("a", StandardScaler()), ("b", "passthrough")]),
    "Pipeline of": Pipeline([]),
    "StandardScaler": StandardScaler(),
    "FNN": fnn.FNN((2, 2)),
    "Child": Child(),
    "type": MLPRegressor,
    "NoneType": None,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_models_are_a_typeerror_that_says_what_saves_them(tmp_path, kind):
    match = f"^model must be an MLPClassifier or MLPRegressor of fastfnn, or a Pipeline .* got .*{kind}.* skops.io.dump"
    with pytest.raises(TypeError, match=match):
        fastfnn.sklearn.save(OTHERS[kind], tmp_path / "model")
    assert not os.listdir(tmp_path)


# Errors


def test_an_untrained_model_is_not_saved(tmp_path):
    for model in (MLPClassifier(), make_pipeline(StandardScaler(), MLPClassifier())):
        with pytest.raises(NotFittedError):
            fastfnn.sklearn.save(model, tmp_path / "model")


def test_an_ensemble_is_a_valueerror_and_its_members_are_saved(tmp_path):
    model = fitted(PROBLEMS["multiclass"], n_estimators=2)
    with pytest.raises(ValueError, match=r"^a file holds one network, got an ensemble of 2: save each of estimators_"):
        model.save(tmp_path / "model")
    twins = [saved(member, tmp_path) for member in model.estimators_]
    got = np.mean([twin.predict_proba(X) for twin in twins], axis=0)
    assert got.tobytes() == model.predict_proba(X).tobytes()


@pytest.mark.parametrize(
    "change", [{"dropout": 0.5}, {"batch_norm": True}, {"hidden_layer_sizes": (3,)}, {"activation": "tanh"},
               {"hidden_layer_sizes": 7}, {"loss": "huber"}], ids=str,
)  # fmt: skip
def test_parameters_that_are_not_those_of_the_network_are_not_saved(tmp_path, change):
    model = fitted(PROBLEMS["outputs"]).set_params(**change)
    with pytest.raises(ValueError, match=f"^{next(iter(change))} must be that of the trained network, "):
        model.save(tmp_path / "model")


@both
def test_invalid_parameters_are_not_saved(tmp_path, estimator):
    model = fitted(Problem(estimator, Y)).set_params(alpha=-1.0)
    with pytest.raises(ValueError, match="alpha"):
        model.save(tmp_path / "model")
    assert not os.listdir(tmp_path)


def test_a_path_of_another_type_is_a_typeerror():
    for act in (fitted(PROBLEMS["outputs"]).save, fastfnn.sklearn.load):
        with pytest.raises(TypeError, match=r"^path must be a str or a path-like object, got int$"):
            act(3)


def test_a_missing_file_is_a_filenotfounderror(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastfnn.sklearn.load(tmp_path / "model")


def test_a_curve_that_is_too_long_for_a_file_is_a_valueerror(tmp_path):
    model = fitted(PROBLEMS["outputs"])
    model.loss_curve_ = [0.1 + 0.2] * 300_000
    with pytest.raises(ValueError, match=r"must be described by at most .* for 3 layers, estimator$"):
        model.save(tmp_path / "model")


# The file, for others


def test_the_network_is_read_from_the_file_of_an_estimator(tmp_path):
    for name, outputs in (("multiclass", "predict_proba"), ("one output", "predict")):
        model = fitted(PROBLEMS[name])
        model.save(tmp_path / "model")
        net = fnn.load(tmp_path / "model")
        assert net.predict(X).ravel().tobytes() == getattr(model, outputs)(X).tobytes()


def test_a_file_of_a_network_says_what_reads_it(tmp_path):
    fnn.FNN((2, 2)).save(tmp_path / "net")
    with pytest.raises(ValueError, match=r"net holds a network, but no estimator: read it with fastfnn.load$"):
        fastfnn.sklearn.load(tmp_path / "net")


def test_the_section_of_a_file_is_json_that_other_tools_read(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = quiet(make_pipeline(StandardScaler(), MLPClassifier(**SMALL)).fit, frame, WORDS[Y])
    fastfnn.sklearn.save(model, tmp_path / "model")
    told = section(tmp_path / "model")
    assert told["kind"] == "MLPClassifier"
    assert told["classes"] == ["blue", "green", "red"]
    assert told["pipeline"]["scaler"]["feature_names"] == list("abcdef")
    scaler = told["pipeline"]["scaler"]
    out = (X - scaler["mean_"]) / scaler["scale_"]
    with safe_open(tmp_path / "model", "numpy") as file:
        for layer in (1, 2, 3):
            out = out @ file.get_tensor(f"W{layer}") + file.get_tensor(f"b{layer}")
            out = np.maximum(out, 0) if layer < 3 else out
    assert np.array(told["classes"])[out.argmax(axis=1)].tolist() == model.predict(frame).tolist()


def test_nothing_is_warned_of(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in PROBLEMS.values():
            saved(fitted(problem), tmp_path)
