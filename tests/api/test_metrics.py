"""Metrics of `FNN.fit` and `FNN.evaluate`: their definitions, names and functions, and where they land."""

import copy
import json
import math
import re

import numpy as np
import pytest
import sklearn.metrics as theirs
from hypothesis import given
from hypothesis import strategies as st
from small_networks import BACKENDS, LOSSES, bits, network, samples

import fastfnn as fnn
from fastfnn.metrics import classification, regression

CLASSES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc")
NUMBERS = ("mse", "rmse", "mae", "r2")
SOFTMAX, SIGMOID = "softmax_cross_entropy", "sigmoid_cross_entropy"


def of_classes(name, loss, out, targets):
    return getattr(classification, name)(loss, np.asarray(out, np.float64), np.asarray(targets))


# Definitions


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 3, 60])  # with 3 samples some of 5 classes do not occur
def test_scores_of_labels_are_those_of_scikit_learn(name, classes, count):
    rng = np.random.default_rng(count)
    out, t = rng.standard_normal((count, classes)), rng.integers(classes, size=count)
    average = "binary" if classes == 2 else "macro"
    want = getattr(theirs, f"{name}_score")(t, out.argmax(axis=1), average=average, zero_division=0)
    assert of_classes(name, SOFTMAX, out, t) == pytest.approx(want, abs=1e-14)
    assert of_classes(name, SOFTMAX, out, np.eye(classes)[t]) == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_scores_of_several_answers_are_those_of_scikit_learn(name, outputs):
    rng = np.random.default_rng(0)
    out, t = rng.standard_normal((20, outputs)), (rng.random((20, outputs)) > 0.7).astype(float)
    score = getattr(theirs, f"{name}_score")
    want = np.mean([score(t[:, k], out[:, k] > 0, zero_division=0) for k in range(outputs)])
    assert of_classes(name, SIGMOID, out, t) == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize("classes", [2, 4])
def test_balanced_accuracy_is_that_of_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    out, t = rng.standard_normal((40, classes)), rng.integers(classes, size=40)
    want = theirs.balanced_accuracy_score(t, out.argmax(axis=1))
    assert of_classes("balanced_accuracy", SOFTMAX, out, t) == pytest.approx(want, abs=1e-14)
    yes = t[:, np.newaxis] == np.arange(classes)
    want = np.mean([theirs.balanced_accuracy_score(yes[:, k], out[:, k] > 0) for k in range(classes)])
    assert of_classes("balanced_accuracy", SIGMOID, out, yes) == pytest.approx(want, abs=1e-14)


def test_balanced_accuracy_of_answers_that_are_all_yes_is_their_recall():
    assert of_classes("balanced_accuracy", SIGMOID, [[1.0], [-1.0]], [[1.0], [1.0]]) == 0.5


@pytest.mark.parametrize("classes", [2, 3])
def test_auc_is_that_of_scikit_learn_also_for_equal_scores(classes):
    rng = np.random.default_rng(classes)
    out, t = rng.standard_normal((20, classes))[rng.integers(20, size=50)], rng.integers(classes, size=50)
    y = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
    want = theirs.roc_auc_score(t, y[:, 1] if classes == 2 else y, multi_class="ovr")
    assert of_classes("auc", SOFTMAX, out, t) == pytest.approx(want, abs=1e-14)
    yes = (t[:, np.newaxis] == np.arange(classes)).astype(float)
    assert of_classes("auc", SIGMOID, out, yes) == pytest.approx(theirs.roc_auc_score(yes, out), abs=1e-14)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12))
def test_auc_is_how_often_a_positive_sample_has_the_higher_score(pairs):
    t, scores = np.array([pair[0] for pair in pairs], float), np.array([pair[1] for pair in pairs], float)
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[t == 1] for b in scores[t == 0]]
    got = of_classes("auc", SIGMOID, scores[:, np.newaxis], t[:, np.newaxis])
    assert math.isnan(got) if not wins else got == pytest.approx(np.mean(wins), abs=1e-14)


def test_auc_is_not_saturated_by_sure_predictions():
    out = [[0.0, 800.0], [0.0, 900.0], [0.0, 950.0]]  # all probabilities of class 1 are 1
    assert of_classes("auc", SOFTMAX, out, [0, 1, 1]) == 1


def test_auc_of_outputs_that_are_not_numbers_is_nan():
    assert math.isnan(of_classes("auc", SIGMOID, [[math.nan], [1.0]], [[0.0], [1.0]]))


@pytest.mark.parametrize("outputs", [1, 3])
def test_metrics_of_numbers_are_those_of_scikit_learn(outputs):
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((9, outputs)), rng.standard_normal((9, outputs))
    t[:, -1] = 2.5  # a constant target
    assert regression.mse(y, t) == pytest.approx(theirs.mean_squared_error(t, y), rel=1e-14)
    assert regression.rmse(y, t) == pytest.approx(math.sqrt(theirs.mean_squared_error(t, y)), rel=1e-14)
    assert regression.mae(y, t) == pytest.approx(theirs.mean_absolute_error(t, y), rel=1e-14)
    assert regression.r2(y, t) == pytest.approx(theirs.r2_score(t, y), rel=1e-14)
    assert regression.r2(t, t) == 1


def test_metrics_of_float32_are_computed_in_float64():
    y, t = np.float32([[1e30], [0]]), np.float32([[-1e30], [0]])
    assert regression.mse(y, t) == pytest.approx(2e60, rel=1e-6)


# evaluate


@BACKENDS
@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate_computes_all_metrics_of_a_loss(loss, backend):
    net, (x, t) = network(loss=loss, backend=backend), samples(loss, 30)
    names = CLASSES if net.loss_function.has_accuracy else NUMBERS
    got = net.evaluate(x, t, metrics=list(names))
    assert list(got) == ["loss", *names]
    assert {name: got[name] for name in net.evaluate(x, t)} == net.evaluate(x, t)
    if loss == SOFTMAX:
        assert got["recall"] == of_classes("recall", loss, net.predict(x), t)
    if not net.loss_function.has_accuracy:
        assert got["mae"] == pytest.approx(np.abs(net.predict(x) - t).mean(), rel=1e-12)


@BACKENDS
@pytest.mark.parametrize("loss", LOSSES)
def test_a_function_gets_targets_and_predictions(loss, backend):
    seen = []

    def look(t, y):
        seen.append((t, y))
        return np.float32(0.5)

    net, (x, t) = network(loss=loss, backend=backend), samples(loss, 6)
    assert net.evaluate(x, t, [look])["look"] == 0.5
    ((targets, y),) = seen
    np.testing.assert_array_equal(targets, t)
    np.testing.assert_allclose(y, net.predict(x), rtol=1e-12)


def test_a_function_gets_columns_for_one_output():
    net = fnn.FNN((4, 1), loss="mse", seed=0)
    x, _ = samples()
    got = net.evaluate(x, x[:, 0], [theirs.mean_absolute_error, "mae"])
    assert got["mean_absolute_error"] == pytest.approx(got["mae"], rel=1e-6)


def test_functions_share_one_prediction():
    seen = []
    net, (x, t) = network(), samples()

    def first(t, y):
        seen.append(y)
        return 0

    def second(t, y):
        seen.append(y)
        return 0

    net.evaluate(x, t, [first, second])
    assert seen[0] is seen[1]


# Names and errors


@pytest.mark.parametrize(
    ("given_name", "name"),
    [("acc", "accuracy"), ("F1", "f1"), ("f1_score", "f1"), ("ROC_AUC", "auc"), ("precision_score", "precision")],
)
def test_names_of_other_libraries_are_known(given_name, name):
    net, (x, t) = network(), samples()
    assert name in net.evaluate(x, t, [given_name])


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ("accuracy", TypeError, "metrics must be a list of names and functions, got str"),
        ([3], TypeError, "metrics[0] must be a name or a function of (t, y), got int"),
        ([fnn.History], TypeError, "metrics[0] must be a name or a function of (t, y), got class History"),
        (["f1", "F1"], ValueError, "metrics must have different names, got two with the name 'f1'"),
        (
            ["acuracy"],
            ValueError,
            f"metrics[0] must be one of {', '.join(CLASSES)}; got 'acuracy'; did you mean 'accuracy'?",
        ),
        (
            ["recall", "mse"],
            ValueError,
            f"metrics[1] must suit the loss softmax_cross_entropy: one of {', '.join(CLASSES)}; got 'mse'",
        ),
        (
            [lambda t, y: 0],
            ValueError,
            "metrics[0] must be a function with a name, for the history, got a lambda: write it with def",
        ),
    ],
)
def test_metrics_are_checked_before_training_starts(metrics, error, message):
    net, (x, t) = network(), samples()
    before = copy.deepcopy(net)
    for method in (net.fit, net.evaluate):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            method(x, t, metrics=metrics)
    assert net.history is None
    net.fit(x, t)
    before.fit(x, t)
    assert bits(net) == bits(before)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "quantile"])
def test_a_network_without_classes_has_no_accuracy(loss):
    net, (x, t) = network(loss=loss), samples(loss)
    message = f"metrics[0] must suit the loss {loss}: one of mse, rmse, mae, r2; got 'accuracy'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        net.evaluate(x, t, ["accuracy"])


@pytest.mark.parametrize("name", ["loss", "epoch", "val_mine", "seconds"])
def test_a_function_must_not_have_a_name_of_the_history(name):
    def function(t, y):
        return 0

    function.__name__ = name
    net, (x, t) = network(), samples()
    with pytest.raises(ValueError, match=rf"^metrics\[0\] must have another name .*, got '{name}'$"):
        net.evaluate(x, t, [function])


@pytest.mark.parametrize(("value", "got"), [("no", "str"), (np.ones(2), "an array of shape (2,)"), (None, "NoneType")])
def test_a_function_must_return_a_number(value, got):
    def wrong(t, y):
        return value

    net, (x, t) = network(), samples()
    message = f"metrics[0], wrong, must return a number, got {got}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        net.evaluate(x, t, [wrong])


# In a training


def spread_of(t, y):
    return y.std()


def test_metrics_of_both_data_are_in_the_history():
    net, (x, t), held_out = network(), samples(count=9), samples(count=5, seed=3)
    seen = []
    history = net.fit(
        x, t, epochs=3, batch_size=4, validation_data=held_out, metrics=["recall", spread_of],
        callbacks=[lambda net, history: seen.append((net.evaluate(x, t, ["recall", spread_of]),
                                                     net.evaluate(*held_out, ["recall", spread_of])))],
    )  # fmt: skip
    assert list(history.metrics) == ["recall", "val_recall", "spread_of", "val_spread_of"]
    for name in ("recall", "spread_of"):
        assert history.metrics[name] == [of_training[name] for of_training, _ in seen]
        assert history.metrics[f"val_{name}"] == [of_validation[name] for _, of_validation in seen]
    assert history.accuracy == [of_training["accuracy"] for of_training, _ in seen]
    assert history.val_loss == [of_validation["loss"] for _, of_validation in seen]


def test_without_validation_data_the_training_data_are_measured():
    net, (x, t) = network(), samples(count=9)
    history = net.fit(x, t, epochs=3, metrics=["accuracy", "f1"])
    assert list(history.metrics) == ["f1"]
    assert len(history.metrics["f1"]) == len(history.accuracy) == 3
    assert history.val_loss == history.val_accuracy == []
    assert history.accuracy[-1] == net.accuracy(x, t)


def test_metrics_do_not_change_the_training():
    (x, t), net, twin = samples(count=9), network(), network()
    net.fit(x, t, epochs=3, batch_size=4, metrics=["accuracy", "auc", spread_of])
    twin.fit(x, t, epochs=3, batch_size=4)
    assert bits(net) == bits(twin)


def test_metrics_are_in_tables_in_json_in_the_plot_and_in_the_text():
    net, (x, t) = network(loss="squared_error"), samples("squared_error", 9)
    history = net.fit(x, t, epochs=3, validation_data=(x, t), metrics=["mae", spread_of])
    frame = history.to_frame()
    assert frame.columns.tolist() == [
        "loss", "val_loss", "mae", "val_mae", "spread_of", "val_spread_of", "seconds", "samples_per_second"
    ]  # fmt: skip
    assert frame["val_mae"].tolist() == history.metrics["val_mae"]
    assert json.loads(history.to_json())["spread_of"] == history.metrics["spread_of"]
    text = repr(history)
    assert f"val_mae {history.metrics['val_mae'][-1]:.4g}" in text
    assert "best" not in text.split("spread_of")[1]  # which of its values is best is not known
    loss, mae, spread = history.plot().axes
    assert (loss.get_title(), mae.get_title(), spread.get_ylabel()) == ("Loss", "mae", "spread_of")
    assert list(mae.get_lines()[1].get_ydata()) == history.metrics["val_mae"]
    again = copy.deepcopy(history)
    assert again.metrics == history.metrics


def test_the_line_of_an_epoch_shows_metrics(capsys):
    net, (x, t) = network(loss="squared_error"), samples("squared_error", 9)
    history = net.fit(x, t, epochs=1, validation_data=(x, t), metrics=["mae"], progress=True)
    mae = f"{history.metrics['mae'][0]:.4g}"
    assert f"  mae {mae}  test mae {mae}  " in "".join(capsys.readouterr())


def test_an_exception_in_a_metric_leaves_no_half_of_an_epoch_in_the_history():
    def fails(t, y):
        if net.history.epochs == 2:
            raise ZeroDivisionError
        return 0

    net, (x, t) = network(), samples()
    with pytest.raises(ZeroDivisionError):
        net.fit(x, t, epochs=3, validation_data=(x, t), metrics=["f1", fails])
    history = net.history
    assert [len(values) for values in history.metrics.values()] == [1, 1, 1, 1]
    assert (history.epochs, len(history.val_loss)) == (2, 1)
    assert history.to_frame().shape[0] == 2


# Monitors


def test_a_metric_can_be_monitored():
    net, (x, t) = network(loss="squared_error"), samples("squared_error", 9)
    stopping = fnn.EarlyStopping(patience=3, monitor="val_r2")
    history = net.fit(x, t, epochs=8, validation_data=(x, t), metrics=["r2"], callbacks=[stopping])
    assert stopping.best == max(history.metrics["val_r2"])
    training = fnn.EarlyStopping(patience=3, monitor="mae")
    history = net.fit(x, t, epochs=8, metrics=["mae"], callbacks=[training])
    assert training.best == min(history.metrics["mae"])
    accuracy = fnn.EarlyStopping(patience=3, monitor="accuracy")
    x, t = samples()
    network().fit(x, t, epochs=2, metrics=["accuracy"], callbacks=[accuracy])
    assert accuracy.best is not None


@pytest.mark.parametrize(("mode", "best"), [("min", min), ("max", max)])
def test_the_direction_of_a_function_is_that_of_the_mode(mode, best):
    net, (x, t) = network(), samples()
    stopping = fnn.EarlyStopping(patience=9, monitor="spread_of", mode=mode)
    history = net.fit(x, t, epochs=6, metrics=[spread_of], callbacks=[stopping])
    assert stopping.best == best(history.metrics["spread_of"])


def mae(t, y):
    return 0.0


@pytest.mark.parametrize(
    ("monitor", "metrics", "message"),
    [
        ("val_f1", ["f1"], "validation_data must be given for callbacks[0] to monitor 'val_f1', got None"),
        ("val_f2", ["f1"], "callbacks[0].monitor must be one of loss, val_loss, accuracy, val_accuracy, f1, val_f1; "
                           "got 'val_f2'; did you mean 'val_f1'?"),
        ("val_f1", None, "callbacks[0].monitor must be one of loss, val_loss, accuracy, val_accuracy; got 'val_f1'; "
                         "metrics=['f1'] measures it"),
        ("spread_of", [spread_of], "callbacks[0].mode must be 'min' or 'max' to monitor 'spread_of', which is a "
                                   "function of your own; got 'auto'"),
        ("mae", [mae], "callbacks[0].mode must be 'min' or 'max' to monitor 'mae', which is a function of your own; "
                       "got 'auto'"),
    ],
)  # fmt: skip
def test_what_is_monitored_must_be_measured(monitor, metrics, message):
    net, (x, t) = network(), samples()
    before = copy.deepcopy(net)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        net.fit(x, t, metrics=metrics, callbacks=[fnn.EarlyStopping(monitor=monitor)])
    assert net.history is None
    assert bits(net) == bits(before)
