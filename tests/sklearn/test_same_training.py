"""Trainings of equal parameters and random state have the trajectory of scikit-learn's, to rounding."""

import numpy as np
import pytest
from estimator_twins import (
    PROBLEMS,
    RTOL32,
    SAMPLES,
    THEIRS,
    WEIGHTS,
    X,
    assert_same_training,
    fit_both,
    with_both,
)

from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

SOLVERS = {
    "gradient descent": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.05},
    "nesterov": {"solver": "sgd", "momentum": 0.8, "learning_rate_init": 0.05},
    "nesterov without momentum": {"solver": "sgd", "momentum": 0, "nesterovs_momentum": True},
    "momentum of 1": {"solver": "sgd", "momentum": 1, "nesterovs_momentum": False},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "power_t": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "max_iter": 12},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "adam with other constants": {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2},
    # With ReLU a line search may try outputs of 30 and more, where scikit-learn's log(1 - p) has few correct digits.
    "lbfgs": {"solver": "lbfgs", "max_iter": 10, "activation": "tanh"},
}
STOCHASTIC = ("nesterov", "adam")

problems = pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)
solvers = pytest.mark.parametrize("solver", list(SOLVERS.values()), ids=SOLVERS)
three_solvers = pytest.mark.parametrize(
    "solver", [SOLVERS[name] for name in ("nesterov", "adam", "lbfgs")], ids=["sgd", "adam", "lbfgs"]
)
stochastic = pytest.mark.parametrize("solver", [SOLVERS[name] for name in STOCHASTIC], ids=STOCHASTIC)


@problems
@solvers
def test_every_solver_takes_the_same_steps(problem, solver):
    assert_same_training(*fit_both(problem, **solver))


@problems
@solvers
def test_every_solver_weighs_samples_alike(problem, solver):
    assert_same_training(*fit_both(problem, sample_weight=WEIGHTS, **solver))


@problems
@three_solvers
def test_samples_of_weight_0_count_alike(problem, solver):
    weights = np.where(np.arange(SAMPLES) % 3 == 0, 0, WEIGHTS)
    assert_same_training(*fit_both(problem, sample_weight=weights, **solver))


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", ["multiclass", "outputs"])
def test_every_activation_does_the_same(activation, solver, name):
    assert_same_training(*fit_both(PROBLEMS[name], activation=activation, solver=solver))


@problems
@three_solvers
@pytest.mark.parametrize("alpha", [0, 3.0])
def test_the_penalty_of_the_weights_is_the_same(problem, solver, alpha):
    assert_same_training(*fit_both(problem, alpha=alpha, sample_weight=WEIGHTS, **solver))


@stochastic
@pytest.mark.parametrize("batch_size", ["auto", 1, 10, SAMPLES - 1, SAMPLES, SAMPLES + 1, 1000])
@pytest.mark.parametrize("name", ["binary", "one output"])
def test_batches_are_the_same(solver, batch_size, name):
    """SAMPLES + 1 and more are clipped, with the same warning."""
    assert_same_training(*fit_both(PROBLEMS[name], batch_size=batch_size, **solver))


def test_automatic_batches_have_at_most_200_samples():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((450, 3)), rng.integers(2, size=450)
    assert_same_training(*fit_both(PROBLEMS["binary"], x, y=y, batch_size="auto"), x)


@problems
@stochastic
def test_samples_come_in_order_without_shuffling(problem, solver):
    assert_same_training(*fit_both(problem, shuffle=False, **solver))


@problems
@pytest.mark.parametrize(
    "sizes",
    [(), 4, [3], (1, 1, 1), np.array([4, 3]), (30, 20), np.int64(3)],
    ids=["none", "int", "list", "ones", "array", "large", "NumPy's int"],
)
def test_hidden_layers_are_the_same(problem, sizes):
    assert_same_training(*fit_both(problem, hidden_layer_sizes=sizes))


@problems
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32_samples_give_float32_networks(problem, solver):
    x = X.astype(np.float32)
    ours, theirs = fit_both(problem, x, solver=solver, max_iter=4)
    if solver == "lbfgs":  # whose parameters are float64 in SciPy
        assert_same_training(ours, theirs, x, 1e-2)
    else:
        assert ours.coefs_[0].dtype == np.float32
        assert_same_training(ours, theirs, x, RTOL32)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_a_generator_as_random_state_goes_on_from_fit_to_fit(estimator):
    problem = PROBLEMS["multiclass"]

    def fit(cls):
        generator = np.random.RandomState(5)
        first, second = (
            cls(hidden_layer_sizes=(4,), max_iter=3, random_state=generator).fit(X, problem.y) for _ in range(2)
        )
        return first, second, generator.uniform()

    (first, second, drawn), (their_first, their_second, they_drew) = with_both(estimator, fit)
    assert_same_training(first, their_first)
    assert_same_training(second, their_second)
    assert drawn == they_drew
    assert first.loss_ != second.loss_


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_without_a_random_state_the_global_one_is_used(estimator):
    def fit(cls):
        state = np.random.get_state()
        np.random.seed(8)
        try:
            return cls(hidden_layer_sizes=(4,), max_iter=3).fit(X, PROBLEMS["multiclass"].y)
        finally:
            np.random.set_state(state)

    assert_same_training(*with_both(estimator, fit))


@problems
def test_messages_of_training_are_the_same(problem, capsys):
    printed = []
    for estimator in (problem.estimator, THEIRS[problem.estimator]):
        params = {"hidden_layer_sizes": (4,), "max_iter": 40, "tol": 1.0, "n_iter_no_change": 2, "random_state": 0}
        estimator(**params, **problem.params, verbose=True).fit(X, problem.y)
        estimator(**params, **problem.params, verbose=True, early_stopping=True).fit(X, problem.y)
        estimator(**params, **problem.params, verbose=True, solver="sgd", learning_rate="adaptive").fit(X, problem.y)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Iteration 2, loss = " in printed[0] and "Validation score: " in printed[0]
