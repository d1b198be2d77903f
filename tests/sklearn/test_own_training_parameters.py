"""Parameters that scikit-learn does not have, about training: optimizers, schedules, callbacks, threads."""

import joblib
import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, SMALL, X, assert_close, assert_same_weights, quiet, report, samples, weights

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y
RATE = SMALL["learning_rate_init"]
PLAIN = {"solver": "sgd", "momentum": 0}
WHOLE = PLAIN | {"batch_size": len(X), "max_iter": 1, "alpha": 0}  # a single step


def fit(estimator, **params):
    return quiet(estimator(**(SMALL | params)).fit, X, Y)


# Optimizers

EQUALS = {
    "SGD": (fnn.SGD(RATE), PLAIN),
    "Momentum": (fnn.Momentum(RATE, 0.8), {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False}),
    "Nesterov": (fnn.Nesterov(RATE, 0.7), {"solver": "sgd", "momentum": 0.7}),
    "Adam": (fnn.Adam(RATE, 0.8, 0.99, epsilon=1e-6, book=True), {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6}),
}


@both
@pytest.mark.parametrize(("optimizer", "params"), list(EQUALS.values()), ids=EQUALS)
def test_an_optimizer_takes_the_place_of_the_solver(estimator, optimizer, params):
    own = fit(estimator, optimizer=optimizer, solver="lbfgs", learning_rate_init=77.0)
    assert_close(weights(own), weights(fit(estimator, **params)), 1e-12, "weights")
    assert hasattr(own, "partial_fit")


@both
@pytest.mark.parametrize(
    "optimizer", [fnn.AdaGrad(0.05), fnn.RMSprop(0.01), fnn.AdamW(0.02, weight_decay=0.3)], ids=repr
)
def test_optimizers_that_scikit_learn_does_not_have_train(estimator, optimizer):
    mlp = fit(estimator, optimizer=optimizer, max_iter=30)
    assert mlp.loss_ < mlp.loss_curve_[0]
    assert np.any(weights(mlp) != weights(fit(estimator, max_iter=30)))


@both
def test_training_does_not_change_the_optimizer(estimator):
    optimizer = fnn.Adam(0.02)
    mlp = estimator(**SMALL, optimizer=optimizer)
    first = weights(quiet(mlp.fit, X, Y))
    assert (mlp.optimizer is optimizer, optimizer.steps, optimizer.learning_rate) == (True, 0, 0.02)
    assert weights(quiet(mlp.fit, X, Y)).tobytes() == first.tobytes()


@both
def test_an_optimizer_that_was_used_elsewhere_starts_anew(estimator):
    optimizer = fnn.Adam(0.02)
    net = fnn.FNN((6, 3), seed=0)
    net.fit(X, Y, epochs=2, optimizer=optimizer)
    assert_same_weights(fit(estimator, optimizer=optimizer), fit(estimator, optimizer=fnn.Adam(0.02)))
    assert optimizer.steps == 2


@both
def test_partial_fit_keeps_the_state_of_the_optimizer(estimator):
    first = {"classes": range(3)} if estimator is MLPClassifier else {}
    own, theirs = (estimator(**SMALL, **params) for params in ({"optimizer": EQUALS["Adam"][0]}, EQUALS["Adam"][1]))
    for mlp in (own, theirs):
        mlp.partial_fit(X, Y, **first).partial_fit(X[:20], Y[:20]).partial_fit(X, Y)
    assert_close(weights(own), weights(theirs), 1e-12, "weights")


# Schedules and clipping


@both
@pytest.mark.parametrize("solver", [PLAIN, {"solver": "sgd"}, {"solver": "adam"}], ids=["plain", "nesterov", "adam"])
def test_a_constant_schedule_is_the_learning_rate(estimator, solver):
    scheduled = fit(estimator, schedule=fnn.schedules.Constant(RATE), **(SMALL | solver | {"learning_rate_init": 9.0}))
    assert_same_weights(scheduled, fit(estimator, **solver))


@both
def test_a_schedule_counts_steps(estimator):
    """An epoch of 53 samples has 4 steps of 16."""
    ending = fit(estimator, schedule=lambda step: RATE if step < 4 else 0.0, **PLAIN)
    assert_same_weights(ending, fit(estimator, **PLAIN, max_iter=1))
    assert ending.n_iter_ == SMALL["max_iter"]


@both
def test_a_schedule_of_fastfnn_changes_the_rate(estimator):
    schedule = fnn.schedules.Exponential(RATE, 0.9)
    by_hand = fit(estimator, schedule=lambda step: RATE * 0.9**step, **PLAIN)
    assert_close(weights(fit(estimator, schedule=schedule, **PLAIN)), weights(by_hand), 1e-9, "weights")


@both
@pytest.mark.parametrize("solver", [PLAIN, {"solver": "adam"}], ids=["sgd", "adam"])
def test_a_limit_that_no_gradient_reaches_changes_nothing(estimator, solver):
    assert_close(weights(fit(estimator, clip_norm=1e6, **solver)), weights(fit(estimator, **solver)), 1e-12, "weights")


@both
def test_a_step_is_not_longer_than_the_clipped_gradient(estimator):
    start = weights(fit(estimator, **(WHOLE | {"learning_rate_init": 1e-300})))
    clipped = weights(fit(estimator, clip_norm=0.01, learning_rate_init=0.5, **WHOLE))
    np.testing.assert_allclose(np.linalg.norm(clipped - start), 0.5 * 0.01, rtol=1e-6)


# Callbacks


class Recorder(fnn.callbacks.Callback):
    """Notes what it is called with."""

    def __init__(self):
        self.calls = []

    def begin(self, net, history):
        self.calls.append("begin")

    def epoch(self, net, history):
        self.calls.append(history.epochs)

    def end(self, net, history):
        self.calls.append("end")


@both
def test_callbacks_are_called(estimator):
    recorder = Recorder()
    mlp = fit(estimator, callbacks=[recorder], max_iter=3)
    assert recorder.calls == ["begin", 1, 2, 3, "end"]
    assert_same_weights(mlp, fit(estimator, max_iter=3))


@both
def test_a_callback_sees_the_network_and_the_loss(estimator):
    seen = []
    mlp = fit(estimator, callbacks=[lambda net, history: seen.append((net.params["W1"].copy(), history.loss[-1]))])
    assert len(seen) == mlp.n_iter_
    np.testing.assert_array_equal(seen[-1][0], mlp.coefs_[0])
    assert [loss for _, loss in seen] == mlp.loss_curve_


@both
def test_a_callback_ends_training_without_a_warning(estimator):
    mlp = estimator(**SMALL, callbacks=[lambda net, history: history.epochs == 2])
    _, error, said = report(lambda: mlp.fit(X, Y))
    assert (mlp.n_iter_, error, said) == (2, None, [])


@both
def test_an_interruption_keeps_the_network(estimator):
    def interrupt(net, history):
        if history.epochs == 2:
            raise KeyboardInterrupt

    mlp = estimator(**SMALL, callbacks=[interrupt])
    _, error, said = report(lambda: mlp.fit(X, Y))
    assert error is None and [text for _, text in said] == ["Training interrupted by user."]
    assert_same_weights(mlp, fit(estimator, max_iter=2))


@both
def test_early_stopping_of_fastfnn_watches_the_loss(estimator):
    mlp = fit(estimator, callbacks=[fnn.EarlyStopping(2, min_delta=100.0, monitor="loss")], max_iter=50)
    assert mlp.n_iter_ == 3


@both
def test_early_stopping_of_fastfnn_watches_an_evaluation_set(estimator):
    stopping = fnn.EarlyStopping(2, min_delta=100.0, monitor="val_loss")
    mlp = estimator(**(SMALL | {"max_iter": 50}), callbacks=[stopping])
    quiet(mlp.fit, X, Y, eval_set=(samples(5), Y))
    assert mlp.n_iter_ == 3


@both
def test_a_callback_that_watches_what_is_not_measured_is_refused(estimator):
    with pytest.raises(ValueError, match="val_loss"):
        fit(estimator, callbacks=[fnn.EarlyStopping(monitor="val_loss")])


@both
def test_progress_is_shown(estimator, capsys):
    fit(estimator)
    assert capsys.readouterr() == ("", "")
    mlp = fit(estimator, progress=True)
    lines, bar = capsys.readouterr()
    assert f"epoch 6/6  loss {mlp.loss_:.4f}" in lines
    assert "24/24" in bar


# Threads


def seen_threads(estimator, **params):
    """How many threads the kernels may use while a network is trained."""
    seen = []
    fit(estimator, callbacks=[lambda net, history: seen.append(fnn.get_num_threads())], max_iter=1, **params)
    return seen[0]


@both
def test_the_threads_of_a_network_may_be_limited(estimator):
    before = fnn.get_num_threads()
    assert seen_threads(estimator) == before
    assert seen_threads(estimator, n_threads=1) == 1
    assert seen_threads(estimator, n_threads=10_000) == before
    assert fnn.get_num_threads() == before


@both
def test_networks_do_not_depend_on_the_number_of_threads(estimator):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((600, 100)), rng.integers(3, size=600)
    params = {"hidden_layer_sizes": (200,), "batch_size": 300, "max_iter": 2, "random_state": 0}
    one, all_of_them = (quiet(estimator(n_threads=count, **params).fit, x, y) for count in (1, None))
    assert_same_weights(one, all_of_them)
    assert one.predict(x).tobytes() == all_of_them.predict(x).tobytes()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_network_in_a_worker_of_joblib_has_one_thread(backend):
    """Others train beside it."""
    with joblib.parallel_config(backend=backend):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(seen_threads)(MLPRegressor) for _ in range(3)) == [1, 1, 1]
