"""How the estimators for tables train: validation, schedules, budgets, weights, interruptions, determinism."""

import contextlib
import copy
import itertools
import pickle
import sys
import time
import weakref

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import fastfnn as fnn
from fastfnn.progress import Progress
from fastfnn.tabular import Recipe, TabularClassifier, TabularRegressor, base, fitting, training
from fastfnn.tabular.network import TabularNetwork
from fastfnn.tabular.recipe import PRESETS, chosen
from fastfnn.tabular.training import split

pytestmark = pytest.mark.jit

OWN_CODE = [module.__file__ for module in (base, fitting, training)]


def bits(model, frame):
    return model._outputs(frame).tobytes()


def test_random_state_alone_decides_about_the_result(table, quick):
    first, second = (TabularRegressor(**quick | {"max_epochs": 3}).fit(*table) for _ in range(2))
    other = TabularRegressor(**quick | {"max_epochs": 3, "random_state": 1}).fit(*table)
    assert bits(first, table[0]) == bits(second, table[0]) != bits(other, table[0])


def test_the_number_of_threads_does_not_change_a_bit(table, quick):
    one, two = (TabularRegressor(**quick | {"max_epochs": 3, "n_threads": count}).fit(*table) for count in (1, 2))
    assert bits(one, table[0]) == bits(two, table[0])


def test_the_reference_trains_to_the_same_result_up_to_rounding(table, quick, monkeypatch):
    settings = quick | {"max_epochs": 2}
    want = TabularRegressor(**settings).fit(*table).predict(table[0])
    monkeypatch.setattr(TabularRegressor, "_backend", "reference")
    got = TabularRegressor(**settings).fit(*table).predict(table[0])
    np.testing.assert_allclose(got, want, rtol=1e-3)  # of float32, over some steps


def test_training_ends_without_progress_and_keeps_the_best_epoch(table, others, quick):
    X, y = table
    noise = np.random.default_rng(0).normal(size=len(y))
    settings = quick | {"patience": 3, "max_epochs": 200, "learning_rate": 0.05}
    model = TabularRegressor(**settings).fit(X, noise, eval_set=(others[0], np.zeros(len(others[1]))))
    scores = model.validation_scores_
    assert model.n_epochs_ == len(scores) == len(model.loss_curve_) < 200
    assert model.best_epoch_ == 1 + int(np.argmin(scores)) == model.n_epochs_ - 3
    best = np.sqrt(np.mean(model.predict(others[0]) ** 2))
    assert best == pytest.approx(min(scores), rel=1e-5)


def test_without_validation_the_last_parameters_are_kept(table, quick):
    for fraction in (0, 0.0, None):
        model = TabularRegressor(**quick | {"max_epochs": 4, "validation_fraction": fraction}).fit(*table)
        assert (model.n_epochs_, model.best_epoch_, model.validation_scores_) == (4, 4, [])


def test_the_split_has_each_class_by_its_share_and_leaves_the_last_row_of_one():
    labels = np.repeat([0, 1, 2], [702, 1, 297])
    chosen, held_out = split(np.random.default_rng(0), labels, 0.2)
    assert np.bincount(labels[held_out]).tolist() == [140, 0, 59]
    assert sorted([*chosen, *held_out]) == list(range(1000))
    assert 1 in labels[chosen]
    chosen, held_out = split(np.random.default_rng(0), np.zeros((40, 1)), 0.2)
    assert (len(chosen), len(held_out)) == (40, 0)


@pytest.mark.parametrize("fraction", [0.75, 0.8, 0.999])
def test_each_class_keeps_a_row_for_training(fraction):
    for labels in (np.repeat(np.arange(100), 2), np.repeat([0, 1, 2], [97, 2, 1]), np.zeros(100, int)):
        chosen, held_out = split(np.random.default_rng(0), labels, fraction)
        assert set(labels[chosen]) == set(labels)
        assert sorted([*chosen, *held_out]) == list(range(len(labels)))
        assert len(held_out) > 70
    chosen, held_out = split(np.random.default_rng(0), np.zeros((100, 1)), 0.999)
    assert (len(chosen), len(held_out)) == (1, 99)


def test_eval_set_may_lack_classes_but_not_have_others(table, others, quick):
    X, rent = table
    y = np.digitize(rent, [150, 300])
    model = TabularClassifier(**quick | {"max_epochs": 2}).fit(X, y, eval_set=(others[0], np.ones(100, int)))
    assert len(model.validation_scores_) == 2
    with pytest.raises(ValueError, match=r"eval_set must be rows and targets like those of fit: .*; got 7"):
        TabularClassifier(**quick).fit(X, y, eval_set=(others[0], np.full(100, 7)))
    with pytest.raises(ValueError, match="pair"):
        TabularClassifier(**quick).fit(X, y, eval_set=others[0])


def test_the_progress_counts_the_epochs_that_the_time_budget_permits(table, quick, monkeypatch):
    planned, reported = [], []

    def shown(*arguments):
        return contextlib.nullcontext(
            Progress(lambda count: None, lambda history: reported.append(planned[-1]), planned.append)
        )

    monkeypatch.setattr("fastfnn.tabular.training.progress_bar", shown)
    model = TabularRegressor(**quick | {"max_epochs": 2000, "patience": 2000, "time_budget": 0.3}).fit(*table)
    assert reported == planned
    assert len(planned) == planned[-1] == model.n_epochs_ < 2000


class Clock:
    """Seconds that pass in training alone: 0.1 in a step, and some in the first call, which takes none."""

    def __init__(self, monkeypatch, loading=5):
        self.now, self.rates = 0.0, []
        train = TabularNetwork.train

        def slow(network, x, targets, order, rates, **options):
            self.now += 0.1 * len(rates) if self.now else loading
            self.rates.extend(rates)
            return train(network, x, targets, order, rates, **options)

        monkeypatch.setattr(TabularNetwork, "train", slow)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.mark.parametrize("seconds", [8.1, 8.7])
def test_the_schedule_ends_with_the_last_epoch_that_fits_whatever_the_kernels_took_to_load(
    table, quick, monkeypatch, seconds
):  # fmt: skip
    clock = Clock(monkeypatch)
    settings = quick | {"max_epochs": 2000, "patience": 2000, "learning_rate": 1e-3, "time_budget": 5 + seconds}
    model = TabularRegressor(**settings).fit(*table)
    assert (model.n_epochs_, len(clock.rates)) == (10, 80)  # of 0.8 s each
    want = Recipe(learning_rate=1e-3).rates(np.arange(80) / 80)
    np.testing.assert_allclose(clock.rates, want, atol=1e-4)
    assert 0 < min(clock.rates) == clock.rates[-1] < 1e-6


@pytest.mark.parametrize(("loading", "budget"), [(0.2, 0.65), (5, 0.9)])  # half of a budget is for the training
def test_an_epoch_that_takes_longer_than_the_budget_ends_with_it_and_so_does_the_schedule(
    table, quick, monkeypatch, loading, budget
):  # fmt: skip
    clock = Clock(monkeypatch, loading)
    monkeypatch.setattr("fastfnn.fitting.Pace.FIRST_WORK", 1)
    monkeypatch.setattr("fastfnn.fitting.Pace.SECONDS", 0.01)  # a step a call
    model = TabularRegressor(**quick | {"learning_rate": 1e-3, "time_budget": budget}).fit(*table)
    assert (model.n_epochs_, len(clock.rates)) == (1, 5)  # of 8 steps
    np.testing.assert_allclose(clock.rates, Recipe(learning_rate=1e-3).rates(np.arange(5) * 0.1 / 0.45))
    assert model.loss_curve_ == [pytest.approx(model._history.step_loss.mean())]
    assert model._history.samples_per_second == [pytest.approx(5 * 32 / 0.5)]


def test_a_slow_epoch_neither_ends_the_training_nor_the_schedule(table, quick, monkeypatch):
    clock, rates = Clock(monkeypatch), []

    class Watcher(fnn.Callback):
        def epoch(self, net, history):
            rates.append(history._last_rate)
            clock.now += 6 if history.epochs == 1 else 0

    model = TabularRegressor(**quick | {"max_epochs": 2000, "patience": 2000, "time_budget": 15.1})
    model._watchers = [Watcher()]
    model.fit(*table)
    assert model.n_epochs_ == 5  # 0.8 s, 6 s, and 4 times 0.8 s
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 2 * rates[1] > 2 * rates[-1] > 0


def test_a_budget_of_nothing_is_one_epoch(table, quick):
    model = TabularRegressor(**quick | {"time_budget": 1e-6}).fit(*table)
    assert model.n_epochs_ == 1


class Interrupting(fnn.Callback):
    """Raises in an epoch."""

    def __init__(self, epoch, error):
        self.at, self.error = epoch, error

    def epoch(self, net, history):
        net.params[:] = 7  # must not be kept
        if history.epochs == self.at:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FloatingPointError("x"), OSError("disk full")])
def test_an_exception_leaves_the_best_model_and_goes_on_to_the_caller(table, quick, error):
    want = TabularRegressor(**quick | {"max_epochs": 30, "time_budget": 1e-6}).fit(*table)
    model = TabularRegressor(**quick | {"max_epochs": 30})
    model._watchers = [Interrupting(1, error)]
    with pytest.raises(type(error)):
        model.fit(*table)
    assert (model.n_epochs_, model.best_epoch_) == (1, 1)
    assert bits(model, table[0]) == bits(want, table[0])


def test_an_exception_before_the_first_epoch_leaves_the_estimator_as_it_was(table, quick, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    fitted = TabularRegressor(**quick | {"max_epochs": 1}).fit(*table)
    before = bits(fitted, table[0])
    monkeypatch.setattr("fastfnn.tabular.network.TabularNetwork.train", interrupt)
    new = TabularRegressor(**quick)
    for model in (new, fitted):
        with pytest.raises(KeyboardInterrupt):
            model.fit(*table)
    assert not hasattr(new, "n_features_in_")
    with pytest.raises(NotFittedError):
        new.predict(table[0])
    assert bits(fitted, table[0]) == before


@contextlib.contextmanager
def interrupted_at(number):
    """Raise KeyboardInterrupt before a line of the estimators' own code, and count these lines."""
    seen = itertools.count(1)

    def line(frame, event, argument):
        if event == "line" and next(seen) == number:
            raise KeyboardInterrupt
        return line

    def call(frame, event, argument):
        return line if frame.f_code.co_filename in OWN_CODE else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield seen
    finally:
        sys.settrace(before)


def test_an_interrupt_at_any_moment_leaves_the_estimator_as_it_was_or_fitted_as_a_whole(table, quick):
    frame, rent = table[0][:120], table[1][:120]
    fitted = TabularRegressor(**quick | {"max_epochs": 1}).fit(table[0][["area"]], table[1])
    old = vars(fitted)
    model = copy.deepcopy(fitted)
    with interrupted_at(0) as seen:
        model.fit(frame, rent)
    new, lines = bits(model, frame), next(seen)
    outcomes = []
    for number in [*range(1, lines - 60, 9), *range(lines - 60, lines)]:
        model = copy.deepcopy(fitted)
        with pytest.raises(KeyboardInterrupt), interrupted_at(number):
            model.fit(frame, rent)
        is_new = model.n_features_in_ > 1
        outcomes.append(is_new)
        assert vars(model).keys() == old.keys()
        assert len(model.loss_curve_) == len(model.validation_scores_) == model.n_epochs_ == model.best_epoch_ == 1
        assert bits(model, frame if is_new else frame[["area"]]) == (new if is_new else bits(fitted, frame[["area"]]))
    assert 10 < sum(outcomes) < len(outcomes) - 10


@pytest.mark.parametrize("rows", [300, 50])  # of 50 the only step of an epoch has a loss, but no parameters after it
def test_a_training_that_diverges_says_so(table, quick, rows):
    model = TabularRegressor(**quick | {"learning_rate": 1e30, "weight_decay": 1e300})
    with pytest.raises(fnn.DivergenceError, match=r"epoch 1, step \d+: try a smaller learning_rate"):
        model.fit(table[0][:rows], table[1][:rows])
    assert not hasattr(model, "networks_")


def test_watchers_see_every_epoch_and_are_neither_cloned_nor_pickled(table, quick, tmp_path):
    model = TabularClassifier(**quick | {"max_epochs": 3})
    model._watchers = [fnn.callbacks.CSVLogger(tmp_path / "log.csv")]
    model.fit(table[0], table[1] > 300)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0] == "epoch,loss,val_loss,val_accuracy,learning_rate,seconds,samples_per_second"
    assert model._history.val_loss == model.validation_scores_
    assert clone(model)._watchers == pickle.loads(pickle.dumps(model))._watchers == ()
    assert model._watchers


def test_bags_are_networks_with_splits_of_their_own_whose_outputs_are_averaged(table, quick):
    model = TabularRegressor(**quick | {"preset": Recipe(bags=3, small_bags=1), "max_epochs": 2}).fit(*table)
    x = model._prepared(table[0])
    outputs = [network.predict(x).astype(float) for network in model.networks_]
    assert len(outputs) == 3
    assert not np.array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(model._outputs(table[0]), np.mean(outputs, axis=0))


def test_an_interrupted_bag_is_not_kept(table, quick):
    class Watcher(fnn.Callback):
        bags = 0

        def begin(self, net, history):
            self.bags += 1

        def epoch(self, net, history):
            if self.bags == 2 and history.epochs == 3:
                raise KeyboardInterrupt

    model = TabularRegressor(**quick | {"preset": Recipe(bags=3, small_bags=1), "max_epochs": 5})
    model._watchers = [Watcher()]
    with pytest.raises(KeyboardInterrupt):
        model.fit(*table)
    assert len(model.networks_) == 1
    assert model.n_epochs_ == 5


def test_bags_share_the_time_budget(table, quick, monkeypatch):
    clock = Clock(monkeypatch)
    model = TabularRegressor(
        **quick | {"preset": Recipe(bags=3, patience=500, small_bags=1), "max_epochs": 500, "time_budget": 5 + 3 * 8.1}
    ).fit(*table)
    assert (model.n_epochs_, len(clock.rates)) == (10, 3 * 80)


def test_the_rows_of_a_network_that_is_trained_are_free(table, quick, monkeypatch):
    held = []

    class Watched(fitting.Training):
        def __init__(self, *arguments):
            assert all(reference() is None for reference in held)
            super().__init__(*arguments)
            held.extend(map(weakref.ref, (*self.rows, *self.held_out, self._best, self._optimizer)))

    monkeypatch.setattr(fitting, "Training", Watched)
    model = TabularRegressor(**quick | {"preset": Recipe(bags=3, small_bags=1), "max_epochs": 1}).fit(*table)
    assert len(model.networks_) == 3 and len(held) == 3 * 8
    assert all(reference() is None for reference in held)


def test_categories_that_the_training_has_not_seen_are_measured_as_they_are_predicted(quick):
    towns = np.repeat([f"town {number}" for number in range(12)], 20)
    rent = np.repeat(np.arange(12.0), 20)
    others = np.repeat(["a village", "town 3"], 20)
    model = TabularRegressor(**quick).fit(towns[:, np.newaxis], rent, eval_set=(others[:, np.newaxis], rent[:40]))
    error = np.sqrt(np.mean((model.predict(others[:, np.newaxis]) - rent[:40]) ** 2))
    assert min(model.validation_scores_) == pytest.approx(error, rel=1e-6)
    embedding = model.network_.arrays["embedding0"]
    np.testing.assert_allclose(embedding[-1], embedding[:-1].mean(axis=0), atol=1e-5)  # each has 20 rows


def test_rows_of_eval_set_take_the_place_of_rows_of_X_and_each_epoch_shuffles(table, others, quick, monkeypatch):
    orders = []
    train = TabularNetwork.train

    def watched(network, x, targets, order, rates, **options):
        orders.extend(order)
        return train(network, x, targets, order, rates, **options)

    monkeypatch.setattr(TabularNetwork, "train", watched)
    TabularRegressor(**quick | {"max_epochs": 2, "batch_size": 300}).fit(*table, eval_set=others)
    assert len(orders) == 2
    for order in orders:
        assert sorted(order) == list(range(300))
        assert not np.array_equal(order, np.arange(300))
    assert not np.array_equal(*orders)


def test_the_rate_comes_to_its_end(table, quick):
    model = TabularRegressor(**quick | {"max_epochs": 5}).fit(*table)
    assert 0 < model._history._last_rate < 0.01 * quick["learning_rate"]


def test_an_estimator_in_a_worker_of_joblib_uses_one_thread_and_n_threads_is_checked_in_predict(
    table, quick, monkeypatch
):  # fmt: skip
    counts = []

    class Watcher(fnn.Callback):
        def epoch(self, net, history):
            counts.append(fnn.get_num_threads())

    monkeypatch.setattr("fastfnn.tabular.base.in_worker", lambda: True)
    model = TabularRegressor(**quick | {"max_epochs": 1})
    model._watchers = [Watcher()]
    model.fit(*table)
    assert counts == [1]
    model.n_threads = 0
    with pytest.raises(ValueError, match="n_threads must be at least 1, got 0"):
        model.predict(table[0])


def test_weights_of_rows_and_classes_count(quick):
    X, y = np.zeros((400, 1)), np.repeat([0, 1], 200)
    weights = np.where(y == 1, 3.0, 1.0)
    by_row = TabularClassifier(**quick).fit(X, y, weights).predict_proba(X[:1])[0, 1]
    by_class = TabularClassifier(**quick, class_weight={0: 1, 1: 3}).fit(X, y).predict_proba(X[:1])[0, 1]
    assert 0.7 < by_row < 0.8
    assert 0.7 < by_class < 0.8
    balanced = TabularClassifier(**quick, class_weight="balanced").fit(X[150:], y[150:]).predict_proba(X[:1])[0, 1]
    assert 0.45 < balanced < 0.55


@pytest.mark.parametrize(
    ("class_weight", "weights"), [({"a": 7, "c": 2}, [7, 1, 2]), ("balanced", [5, 5 / 9, 1]), (None, [1, 1, 1])]
)
def test_rows_of_eval_set_have_the_weights_of_their_classes(quick, class_weight, weights):
    X, y = np.zeros((300, 1)), np.repeat([*"abc"], [20, 180, 100])
    model = TabularClassifier(**quick | {"max_epochs": 3}, class_weight=class_weight)
    model.fit(X, y, eval_set=(X[::7], y[::7]))
    labels = np.searchsorted(model.classes_, y[::7])
    losses = -np.log(model.predict_proba(X[::7])[range(len(labels)), labels])
    want = np.average(losses, weights=np.array(weights)[labels])
    assert min(model.validation_scores_) == pytest.approx(want, rel=1e-5)


def test_rows_of_weight_0_are_left_out_whoever_gives_it(table, quick):
    X, y = table[0], np.arange(300) % 3
    settings = quick | {"max_epochs": 2}
    want = TabularClassifier(**settings).fit(X[y > 0], y[y > 0])
    for weights in ({"class_weight": {0: 0, 1: 1, 2: 1}}, {}):
        got = TabularClassifier(**settings, **weights).fit(X, y, None if weights else (y > 0).astype(float))
        assert got.classes_.tolist() == [1, 2]
        assert bits(got, X) == bits(want, X)


@pytest.mark.parametrize(
    ("sample_weight", "class_weight", "message"),
    [
        (None, {0: 0, 1: 0}, r"sample_weight times class_weight must have a finite sum above 0, got 0"),
        (None, {0: -1, 1: 1}, r"class_weight\[0\] must be finite and not negative, got -1"),
        (None, {0: 1, 1: np.nan}, r"class_weight\[1\] must be finite and not negative, got nan"),
        (None, "even", "class_weight must be a dict .* or 'balanced', got 'even'"),
        (np.full(20, 1e308), None, "sample_weight must have a finite sum above 0, got inf"),
        (
            np.full(20, 1e200),
            {0: 1e200, 1: 1},
            r"sample_weight times class_weight must have a finite sum",
        ),
        (["a"] * 20, None, "sample_weight must hold real numbers, got dtype <U1"),
        (np.ma.masked_equal(np.arange(20), 1), None, "sample_weight must have no masked elements"),
    ],
)
def test_wrong_weights_are_named(quick, sample_weight, class_weight, message):
    model = TabularClassifier(**quick, class_weight=class_weight)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(np.zeros((20, 1)), np.arange(20) % 2, sample_weight)
    assert not hasattr(model, "networks_")


def test_smoothed_labels_make_modest_probabilities(quick):
    X = np.repeat([[0.0], [1.0]], 100, axis=0)
    model = TabularClassifier(**quick | {"max_epochs": 100, "validation_fraction": 0}, label_smoothing=0.2).fit(
        X, X[:, 0]
    )
    np.testing.assert_allclose(model.predict_proba([[0.0], [1.0]]), [[0.9, 0.1], [0.1, 0.9]], atol=0.03)


@pytest.mark.parametrize("schedule", ["cosine", "flat-cosine", "constant"])
def test_schedules_rise_during_the_warm_up_and_fall(schedule):
    recipe = Recipe(schedule=schedule, learning_rate=2.0, warm_up=0.1)
    rates = recipe.rates(np.arange(1000) / 1000)
    assert rates[0] == 0
    assert rates[50] == pytest.approx({"cosine": 0.5 * (1 + np.cos(np.pi * 0.05))}.get(schedule, 1.0))
    assert rates.max() <= 2
    middle, last = {"cosine": (1, 0), "flat-cosine": (2, 0), "constant": (2, 2)}[schedule]
    assert rates[500] == pytest.approx(middle)
    assert rates[-1] == pytest.approx(last, abs=1e-4)


def test_batches_are_smaller_on_small_tables_unless_they_are_given():
    assert [Recipe().batch(rows) for rows in (7, 100, 101, 850, 4000, 10**6)] == [7, 100, 32, 32, 128, 256]
    given = TabularRegressor(batch_size=64, max_epochs=3)
    assert [chosen(given).batch(rows) for rows in (7, 100, 850)] == [7, 64, 64]
    assert chosen(given).epochs(1) == 3
    assert chosen(TabularRegressor()).epochs(1) == Recipe().least_steps


def test_small_tables_have_several_networks_and_more_steps():
    recipes = {rows: PRESETS["default"].for_rows(rows) for rows in (100, 101, 2048, 2049, 4096, 4097, 10**6)}
    assert [recipe.bags for recipe in recipes.values()] == [4, 4, 4, 3, 2, 1, 1]
    assert [recipe.least_steps for recipe in recipes.values()] == [500, 2000, 2000, 500, 500, 500, 500]
    assert recipes[101].for_rows(101) == recipes[101], "of a file"
    assert (PRESETS["best"].for_rows(101).bags, PRESETS["fast"].for_rows(101).bags) == (8, 1)


def test_small_tables_have_small_networks_unless_their_size_is_given():
    sizes = {rows: chosen(TabularRegressor(), rows).hidden_layer_sizes for rows in (2, 1024, 1025, 10**6)}
    assert list(sizes.values()) == [(128, 128), (128, 128), (256, 256), (256, 256)]
    given = chosen(TabularRegressor(hidden_layer_sizes=(300,), members=5, embedding_size=20), 400)
    assert (given.hidden_layer_sizes, given.members, given.embedding_size) == ((300,), 5, 20)
    for preset in ("fast", "best", Recipe(learning_rate=0.01)):
        assert chosen(TabularRegressor(preset=preset), 400) == chosen(TabularRegressor(preset=preset))


def test_the_patience_grows_with_the_epochs_of_small_tables_unless_it_is_given(quick):
    X, noise = np.random.default_rng(0).normal(size=(2, 60, 1))
    few = quick | {"max_epochs": None, "learning_rate": 0.05}
    given = TabularRegressor(**few | {"preset": Recipe(patience=30, small_bags=1)}, patience=3).fit(
        X, noise[:, 0], eval_set=(X, -noise[:, 0])
    )
    assert given.n_epochs_ == given.best_epoch_ + 3
    longer = TabularRegressor(**few | {"preset": Recipe(patience=1, small_bags=1)}).fit(
        X, noise[:, 0], eval_set=(X, -noise[:, 0])
    )
    assert longer.n_epochs_ == longer.best_epoch_ + 500 // 40


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("preset", "slow", ValueError), ("members", 0, ValueError), ("members", 1.5, TypeError),
        ("hidden_layer_sizes", (), TypeError), ("hidden_layer_sizes", (8, 0), ValueError), ("bins", -1, ValueError),
        ("embedding_size", 0, ValueError), ("learning_rate", 0, ValueError), ("weight_decay", -1, ValueError),
        ("dropout", 1, ValueError), ("batch_size", 0, ValueError), ("max_epochs", 0, ValueError),
        ("patience", "x", TypeError), ("validation_fraction", 1, ValueError), ("time_budget", 0, ValueError),
        ("progress", "bar", TypeError), ("n_threads", 0, ValueError),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(table, quick, name, value, kind):
    with pytest.raises(kind, match=name):
        TabularRegressor(**quick | {name: value}).fit(*table)


def test_a_recipe_of_ones_own_is_a_preset(table, quick):
    recipe = Recipe(hidden_layer_sizes=(8,), members=1, scaling="robust", warm_up=0.5, max_epochs=2, least_steps=1)
    model = TabularRegressor(recipe, embedding_size=3, random_state=0)
    assert repr(clone(model)) == repr(pickle.loads(pickle.dumps(model))) == repr(model)
    assert repr(recipe) in " ".join(repr(model).split())
    model.fit(*table)
    assert (model.recipe_.scaling, model.recipe_.embedding_size, model.n_epochs_) == ("robust", 3, 2)
    search = GridSearchCV(model, {"preset": ["fast", recipe], "max_epochs": [1]}, cv=2).fit(*table)
    assert search.best_params_["preset"] in ("fast", recipe)
    with pytest.raises(ValueError, match=r"preset\.scaling must be one of quantile, robust; got 'none'"):
        TabularRegressor(Recipe(scaling="none")).fit(*table)
    with pytest.raises(TypeError, match="preset must be a Recipe, or one of default, fast, best; got dict"):
        TabularRegressor({"bins": 3}).fit(*table)


def test_progress_is_shown(table, quick, capsys):
    TabularRegressor(**quick | {"max_epochs": 2, "progress": True}).fit(*table)
    printed = capsys.readouterr()
    assert "epoch 2/2" in printed.out
    assert "test rmse" in printed.out


@pytest.mark.parametrize(("rows", "given", "bins"), [(120, None, 4), (2000, None, 7), (120, 20, 20)])
def test_small_tables_have_fewer_bins_unless_they_are_given(rows, given, bins):
    x = np.random.default_rng(0).normal(size=(rows, 1))
    model = TabularRegressor(preset="fast", bins=given, max_epochs=1, random_state=0).fit(x, x[:, 0])
    assert [column.bins for column in model.columns_] == [bins]
