"""What Ctrl-C and errors leave of an estimator."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from fastfnn.callbacks import Callback
from fastfnn.sklearn import MLPClassifier, MLPRegressor, ensemble

pytestmark = [pytest.mark.jit, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(200, 10)), np.arange(200) % 3
ENDLESS = {"max_iter": 10**7, "n_iter_no_change": 10**6, "tol": 0, "random_state": 0}


class Interrupt(Callback):
    """Sends Ctrl-C to the process once so many networks have trained for some epochs."""

    def __init__(self, epochs, networks=1):
        self.epochs = epochs
        self.others = iter(range(networks - 1))

    def __deepcopy__(self, memo):
        return self  # one counts all networks of an ensemble

    def epoch(self, net, history):
        if history.epochs == self.epochs and next(self.others, None) is None:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_network_keeps_what_it_has_learned():
    model = MLPClassifier(**ENDLESS, callbacks=[Interrupt(5)])
    with pytest.warns(UserWarning, match="^Training interrupted by user"):
        model.fit(X, Y)
    assert 5 <= model.n_iter_ == len(model.loss_curve_) < 100
    model.predict(X)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_ensemble_keeps_the_networks_that_have_begun_and_nothing_trains_on(jobs):
    model = MLPClassifier(**ENDLESS, n_estimators=5, n_jobs=jobs, callbacks=[Interrupt(5, networks=jobs)])
    with pytest.warns(UserWarning, match="^Training interrupted by user"):
        model.fit(X, Y)
    assert len(model.estimators_) == jobs
    epochs = [member.n_iter_ for member in model.estimators_]
    assert min(epochs) > 0
    time.sleep(0.3)
    assert [member.n_iter_ for member in model.estimators_] == epochs
    assert model.predict_proba(X).shape == (200, 3)


def test_ctrl_c_while_the_networks_are_handed_out_ends_those_that_have_begun(monkeypatch):
    """The pool has started a thread and not yet taken note of it."""
    begun = threading.Event()

    class Begun(Callback):
        def epoch(self, net, history):
            begun.set()

        def __deepcopy__(self, memo):
            return self

    class Pool(ensemble.ThreadPoolExecutor):
        def submit(self, function, number):
            threading.Thread(target=function, args=(number,), daemon=True).start()
            assert begun.wait(60)
            raise KeyboardInterrupt

    monkeypatch.setattr(ensemble, "ThreadPoolExecutor", Pool)
    model = MLPClassifier(**ENDLESS, n_estimators=5, n_jobs=2, callbacks=[Begun()])
    with pytest.warns(UserWarning, match="^Training interrupted by user"):
        model.fit(X, Y)
    (member,) = model.estimators_
    epochs = member.n_iter_
    time.sleep(0.3)
    assert member.n_iter_ == epochs


def test_a_network_that_fails_ends_those_beside_it():
    model = MLPRegressor(**ENDLESS, n_estimators=4, n_jobs=2, solver="sgd", learning_rate_init=1e6)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, Y)
    running = [thread for thread in threading.enumerate() if thread.name.startswith("fastfnn-network")]
    assert not running


def negative(step):
    return -1.0


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({"n_jobs": 0}, {}, "n_jobs"),
        ({"eval_metric": "nonsense"}, {}, "eval_metric"),
        ({"schedule": negative}, {}, "schedule"),
        ({"early_stopping": True, "validation_fraction": 0.001}, {}, "validation set is too small"),
        ({}, {"eval_set": 3}, "eval_set"),
        ({}, {"eval_set": (X, Y, Y)}, "eval_set"),
        ({}, {"eval_set": (X[:, :2], Y)}, "eval_set"),
        ({}, {"eval_set": (X, Y + 5)}, "eval_set"),
        ({}, {"sample_weight": np.ones(3)}, "sample_weight"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_is_refused_leaves_a_trained_estimator(params, options, message, networks):
    model = MLPClassifier(max_iter=2, random_state=0, n_estimators=networks).fit(X, Y)
    before, names = model.predict_proba(X), set(vars(model))
    defaults = MLPClassifier().get_params()
    model.set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, Y + 1, **options)
    model.set_params(**{name: defaults[name] for name in params})
    assert set(vars(model)) == names
    assert model.predict_proba(X).tobytes() == before.tobytes()
    assert model.classes_.tolist() == [0, 1, 2]
