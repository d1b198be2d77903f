"""Searches by Optuna: trials in threads, folds in workers, trials that end early."""

import pytest
from estimator_twins import SMALL, assert_same_weights, samples
from sklearn.model_selection import cross_val_score

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier

pytestmark = [
    pytest.mark.jit,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of distributed
]

X = samples(count=300)
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)


def optuna_study(**options):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", **options)
    for alpha in (1e-4, 1e-2, 1.0, 100.0):  # what a sampler suggests depends on the trials that have ended before
        study.enqueue_trial({"alpha": alpha})
    return study


def values(study):
    return [(trial.params["alpha"], trial.value) for trial in study.trials]


def test_trials_of_optuna_in_threads_are_the_same():
    def objective(trial):
        model = MLPClassifier(alpha=trial.suggest_float("alpha", 1e-5, 100, log=True), **SMALL)
        return cross_val_score(model, X, Y, cv=2).mean()

    one, two = optuna_study(), optuna_study()
    one.optimize(objective, n_trials=4)
    two.optimize(objective, n_trials=4, n_jobs=2)
    assert values(two) == values(one)


def test_a_trial_of_optuna_cross_validates_in_workers(backend):
    def objective(trial, **options):
        model = MLPClassifier(alpha=trial.suggest_float("alpha", 1e-5, 100, log=True), **SMALL)
        return cross_val_score(model, X, Y, cv=2, **options).mean()

    one, two = optuna_study(), optuna_study()
    one.optimize(lambda trial: objective(trial, n_jobs=1), n_trials=4)
    two.optimize(objective, n_trials=4)
    assert values(two) == values(one)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_callback_prunes_trials_of_optuna(n_jobs):
    optuna = pytest.importorskip("optuna")

    class Prune(fnn.Callback):
        monitor = "val_loss"

        def __init__(self, trial):
            self.trial = trial

        def epoch(self, net, history):
            self.trial.report(history.val_loss[-1], history.epochs)
            if self.trial.should_prune():
                raise optuna.TrialPruned

    def objective(trial):
        alpha = trial.suggest_float("alpha", 1e-5, 100, log=True)
        model = MLPClassifier(alpha=alpha, callbacks=[Prune(trial)], **SMALL)
        return model.fit(X[:200], Y[:200], eval_set=(X[200:], Y[200:])).best_validation_score_

    study = optuna_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=3))
    study.optimize(objective, n_trials=4, n_jobs=n_jobs)
    for trial in study.trials:
        assert trial.state == optuna.trial.TrialState.PRUNED
        assert list(trial.intermediate_values) == [1, 2, 3]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:OptunaSearchCV is experimental")
@pytest.mark.parametrize("enable_pruning", [False, True])
def test_the_search_of_optuna_takes_our_estimators(enable_pruning):
    optuna, integration = (pytest.importorskip(name) for name in ("optuna", "optuna_integration"))
    search = integration.OptunaSearchCV(
        MLPClassifier(**SMALL), {"alpha": optuna.distributions.FloatDistribution(1e-5, 1, log=True)}, cv=2, n_trials=3,
        random_state=0, enable_pruning=enable_pruning, max_iter=4,
    ).fit(X, Y)  # fmt: skip
    assert search.best_estimator_.alpha == search.best_params_["alpha"]
    assert_same_weights(search.best_estimator_, MLPClassifier(**SMALL).set_params(**search.best_params_).fit(X, Y))
