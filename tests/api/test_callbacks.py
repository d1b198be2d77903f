"""Callbacks: when and with what they are called, how they stop a training, what early stopping restores."""

import copy
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn.callbacks import Callback, EarlyStopping

MONITORS = ("loss", "val_loss", "accuracy", "val_accuracy")


def network(**options):
    return fnn.FNN((4, 5, 3), **({"activation": "tanh", "seed": 1} | options))


def fit(net, callbacks=None, **options):
    return net.fit(*samples(count=23), **({"epochs": 4, "batch_size": 4, "callbacks": callbacks} | options))


class Diary(Callback):
    """Records every call and stops the training after epoch `last`."""

    def __init__(self, last=math.inf):
        self.calls, self.weights, self.last = [], [], last

    def note(self, name, net, history):
        self.calls.append((name, history.epochs, len(history.step_loss)))
        self.weights.append(bits(net))

    def begin(self, net, history):
        self.note("begin", net, history)

    def epoch(self, net, history):
        self.note("epoch", net, history)
        return history.epochs >= self.last

    def end(self, net, history):
        self.note("end", net, history)


# When they are called


def test_a_callback_is_called_before_after_each_epoch_and_at_the_end():
    net, twin, diary = network(), network(), Diary()
    history = fit(net, [diary], epochs=3)
    assert diary.calls == [("begin", 0, 0), ("epoch", 1, 6), ("epoch", 2, 12), ("epoch", 3, 18), ("end", 3, 18)]
    want = [bits(twin)]
    for _ in range(3):
        fit(twin, epochs=1)
        want.append(bits(twin))
    assert diary.weights == [*want, want[-1]]
    assert history.step_loss.shape == (18,)


def test_a_callback_sees_all_measurements_of_the_epoch():
    seen = []
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds", "samples_per_second")
    history = fit(
        network(),
        [lambda net, history: seen.append([list(getattr(history, name)) for name in names] + [history.step_loss[-1]])],
        validation_data=samples(count=23, seed=1),
    )
    want = [
        [getattr(history, name)[:epoch] for name in names] + [history.step_loss[6 * epoch - 1]] for epoch in range(1, 5)
    ]
    assert seen == want


def test_all_callbacks_are_called_in_their_order():
    calls = []
    history = fit(network(), [lambda net, history, name=name: calls.append(name) or name == "b" for name in "abc"])
    assert calls == ["a", "b", "c"]
    assert history.epochs == 1


def test_observing_callbacks_do_not_change_the_training():
    net, twin = network(), network()
    fit(net, [Diary(), Callback(), lambda net, history: None])
    fit(twin)
    assert bits(net) == bits(twin)


def test_a_callback_may_change_the_learning_rate():
    net, twin, optimizer, other = network(), network(), fnn.Momentum(0.5), fnn.Momentum(0.5)

    def halve(net, history):
        optimizer.learning_rate /= 2

    fit(net, [halve], epochs=2, optimizer=optimizer)
    fit(twin, epochs=1, optimizer=other)
    other.learning_rate = 0.25
    fit(twin, epochs=1, optimizer=other)
    assert bits(net) == bits(twin)


def test_a_callback_may_change_the_parameters():
    def forget(net, history):
        net.params["W1"][...] = 0

    net = network()
    fit(net, [forget])
    assert not net.params["W1"].any()


# How they stop a training


@pytest.mark.parametrize("true", [True, 1, "yes", np.True_])
@pytest.mark.parametrize("false", [False, None, 0, ""])
def test_a_true_result_ends_the_training(true, false):
    net, twin = network(), network()
    history = fit(
        net, [lambda net, history: true if history.epochs == 2 else false], validation_data=samples(count=23, seed=1)
    )
    want = fit(twin, epochs=2, validation_data=samples(count=23, seed=1))
    assert bits(net) == bits(twin)
    np.testing.assert_array_equal(history.step_loss, want.step_loss)
    assert (history.loss, history.val_loss, history.accuracy) == (want.loss, want.val_loss, want.accuracy)
    assert history.epochs == len(history.seconds) == 2
    assert history.step_loss.base is None  # the memory reserved for the remaining epochs is released


def test_the_end_is_announced_to_all_callbacks_after_a_stop():
    diaries = Diary(2), Diary()
    fit(network(), diaries)
    assert [diary.calls[-1] for diary in diaries] == [("end", 2, 12)] * 2


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_leaves_the_network_as_it_is_at_that_moment(error):
    def fail(net, history):
        if history.epochs == 2:
            raise error

    net, twin, diary = network(), network(), Diary()
    with pytest.raises(error):
        fit(net, [diary, fail])
    fit(twin, epochs=2)
    assert bits(net) == bits(twin)
    assert diary.calls[-1][0] == "epoch"
    fit(net, epochs=1)  # training can continue
    fit(twin, epochs=1)
    assert bits(net) == bits(twin)


def test_an_exception_before_the_first_epoch_changes_nothing():
    class Failing(Callback):
        def begin(self, net, history):
            raise ZeroDivisionError

    net, twin = network(), network()
    optimizer, other = fnn.Adam(), fnn.Adam()
    fit(net, optimizer=optimizer)
    fit(twin, optimizer=other)
    with pytest.raises(ZeroDivisionError):
        fit(net, [Failing()], optimizer=optimizer)
    fit(net, optimizer=optimizer)
    fit(twin, optimizer=other)
    assert bits(net) == bits(twin)


BAD_CALLBACKS = [
    (EarlyStopping(), "callbacks must be a list, got EarlyStopping"),
    (print, "callbacks must be a list, got builtin_function_or_method"),
    (iter([print]), "callbacks must be a list, got list_iterator"),
    ("ab", "callbacks must be a list, got str"),
    ([print, 3], "callbacks[1] must be a Callback or a function of (net, history), got int"),
    ([None], "callbacks[0] must be a Callback or a function of (net, history), got NoneType"),
    ([EarlyStopping], "callbacks[0] must be a Callback or a function of (net, history), got class EarlyStopping"),
]


@pytest.mark.parametrize(("callbacks", "message"), BAD_CALLBACKS)
def test_invalid_callbacks_are_rejected_before_training_starts(callbacks, message):
    net = network()
    before = copy.deepcopy(net)
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        fit(net, callbacks)
    fit(before)
    fit(net)
    assert bits(net) == bits(before)


# Early stopping


class Tape(Callback):
    """Replaces the measurements in the history by given values, and keeps the weights of each epoch."""

    def __init__(self, name, values):
        self.name, self.values, self.weights = name, values, []

    def epoch(self, net, history):
        getattr(history, self.name)[-1] = self.values[history.epochs - 1]
        self.weights.append(bits(net))


def stop(values, monitor="val_loss", epochs=None, **options):
    """Train while the monitored quantity takes these values; return callback, history, weights, those of each epoch."""
    net, tape, stopping = network(), Tape(monitor, values), EarlyStopping(monitor=monitor, **options)
    history = fit(net, [tape, stopping], epochs=epochs or len(values), validation_data=samples(count=23, seed=1))
    return stopping, history, bits(net), tape.weights


@pytest.mark.parametrize(
    ("patience", "values", "best_epoch", "stopped_epoch"),
    [
        (1, [3, 2, 2, 1], 2, 3),  # an equal value is no improvement
        (1, [3, 4, 1, 1], 1, 2),
        (2, [3, 4, 2, 3, 3, 1], 3, 5),
        (2, [3, 4, 5, 1], 1, 3),
        (3, [3, 4, 5, 1, 2, 0], 6, None),  # the epochs end before the patience
        (2, [3, 2, 1, 4], 3, None),
        (2, [math.nan, 3, math.nan, 2, math.nan, math.nan, 1], 4, 6),
        (2, [math.inf, 3, 4, 4], 2, 4),
        (2, [3, math.nan, -math.inf, 0, 0], 1, 3),
    ],
)
@pytest.mark.parametrize("monitor", MONITORS)
def test_training_stops_when_patience_ends_and_the_best_weights_are_restored(
    monitor, patience, values, best_epoch, stopped_epoch
):
    played = [-value for value in values] if "accuracy" in monitor else values
    stopping, history, got, of_epochs = stop(played, monitor, patience=patience)
    assert (stopping.best_epoch, stopping.stopped_epoch) == (best_epoch, stopped_epoch)
    assert stopping.best == played[best_epoch - 1]
    assert history.epochs == (stopped_epoch or len(values))
    assert len(history.step_loss) == 6 * history.epochs
    assert got == of_epochs[best_epoch - 1]
    assert len(set(map(str, of_epochs))) == history.epochs  # the weights differ from epoch to epoch


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=9),
    st.integers(1, 4),
    st.sampled_from([0, 1, 2.5]),
    st.sampled_from(MONITORS),
)
def test_early_stopping_agrees_with_its_definition(values, patience, min_delta, monitor):
    best, best_epoch, stopped = None, None, None
    for epoch, value in enumerate(values, 1):
        cost = -value if "accuracy" in monitor else value
        if best is None or cost < best - min_delta:
            best, best_epoch = cost, epoch
        if epoch - best_epoch >= patience:
            stopped = epoch
            break
    stopping = EarlyStopping(patience, min_delta, monitor)
    net, history = network(), fnn.History()
    stopping.begin(net, history)
    for epoch, value in enumerate(values, 1):
        history.loss.append(0.0)
        getattr(history, monitor)[epoch - 1 :] = [value]
        if stopping.epoch(net, history):
            break
    assert (stopping.best_epoch, stopping.stopped_epoch) == (best_epoch, stopped)


def test_a_gain_of_min_delta_is_no_improvement():
    stopping, *_ = stop([4, 3, 2, 1], patience=2, min_delta=1.0)
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (2, 3, None)


def test_weights_are_not_restored_if_every_value_was_nan():
    with pytest.warns(RuntimeWarning, match="val_loss was not finite after any epoch"):
        stopping, history, got, of_epochs = stop([math.nan] * 5, patience=3)
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (None, None, 3)
    assert got == of_epochs[-1]
    assert history.epochs == 3


def test_early_stopping_restores_the_best_epoch_of_a_training_that_overfits():
    (x, t), held_out = samples(count=12), samples(count=12, seed=1)
    net, stopping = network(), EarlyStopping(patience=5)
    history = net.fit(
        x, t, epochs=500, batch_size=4, optimizer=fnn.SGD(0.5), validation_data=held_out, callbacks=[stopping]
    )
    assert history.epochs == stopping.stopped_epoch < 500
    assert stopping.best == min(history.val_loss) == history.val_loss[stopping.best_epoch - 1]
    assert net.loss(*held_out) == stopping.best


def test_early_stopping_starts_anew_in_a_second_fit():
    stopping = EarlyStopping(patience=2, monitor="loss")
    fit(network(), [Tape("loss", [1, 2, 3, 4]), stopping])
    assert (stopping.best, stopping.stopped_epoch) == (1, 3)
    net, tape = network(), Tape("loss", [9, 8, 7, 6])
    fit(net, [tape, stopping])
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (6, 4, None)
    assert bits(net) == tape.weights[-1]


def test_an_exception_does_not_restore_the_best_weights():
    def fail(net, history):
        if history.epochs == 3:
            raise KeyboardInterrupt

    net, tape = network(), Tape("loss", [1, 2, 3, 4])
    with pytest.raises(KeyboardInterrupt):
        fit(net, [tape, EarlyStopping(monitor="loss"), fail])
    assert bits(net) == tape.weights[-1]


def test_running_statistics_are_restored_with_the_weights():
    net, seen = network(batch_norm=True), []
    statistics = net._statistics

    def look(net, history):
        seen.append((bits(net), statistics.tobytes()))

    fit(net, [look, Tape("loss", [3, 1, 2, 2]), EarlyStopping(monitor="loss")])
    assert (bits(net), statistics.tobytes()) == seen[1]
    assert net._statistics is statistics
    assert len({of_epoch for _, of_epoch in seen}) == 4


@pytest.mark.parametrize("monitor", [name for name in MONITORS if name != "loss"])
def test_validation_data_is_needed_to_monitor_it(monitor):
    net = network()
    before = copy.deepcopy(net)
    message = f"validation_data must be given for callbacks[1] to monitor {monitor!r}, got None"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(net, [print, EarlyStopping(monitor=monitor)])
    fit(before)
    fit(net)
    assert bits(net) == bits(before)


@pytest.mark.parametrize("monitor", ["accuracy", "val_accuracy"])
def test_accuracy_of_a_squared_error_cannot_be_monitored(monitor):
    x, _ = samples(count=23)
    net = network(loss="squared_error")
    message = f"callbacks[0].monitor must be one of loss, val_loss; got {monitor!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        net.fit(x, x[:, :3], validation_data=(x, x[:, :3]), callbacks=[EarlyStopping(monitor=monitor)])
    stopping = EarlyStopping(monitor="val_loss")
    net.fit(x, x[:, :3], epochs=2, validation_data=(x, x[:, :3]), callbacks=[stopping])
    assert stopping.best_epoch is not None


def test_a_quantity_that_nobody_knows_cannot_be_monitored():
    message = (
        "callbacks[0].monitor must be one of loss, val_loss, accuracy, val_accuracy; got 'test_loss'; did you mean "
        "'loss'?"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(network(), [EarlyStopping(monitor="test_loss")], validation_data=samples(count=23, seed=1))


def test_a_users_callback_may_name_what_it_monitors():
    class Watching(Callback):
        monitor = "val_loss"

    with pytest.raises(ValueError, match=r"^validation_data must be given"):
        fit(network(), [Watching()])
    fit(network(), [Watching()], epochs=1, validation_data=samples(count=23, seed=1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience must be at least 1, got 0"),
        ({"patience": 1.5}, TypeError, "patience must be an int, got float"),
        ({"min_delta": -1}, ValueError, "min_delta must be finite and not negative, got -1"),
        ({"min_delta": math.nan}, ValueError, "min_delta must be finite and not negative, got nan"),
        ({"monitor": None}, TypeError, "monitor must be a str, the name of what to monitor, got NoneType"),
        ({"mode": "up"}, ValueError, "mode must be one of auto, min, max; got 'up'"),
    ],
)
def test_invalid_options_of_early_stopping_are_rejected(options, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        EarlyStopping(**options)


def test_repr_of_early_stopping_recreates_it():
    for stopping in (EarlyStopping(), EarlyStopping(3, 0.5, "accuracy"), EarlyStopping(monitor="val_mine", mode="max")):
        again = eval(repr(stopping))
        assert repr(again) == repr(stopping)
    assert repr(EarlyStopping()) == "EarlyStopping(patience=10, min_delta=0.0, monitor='val_loss')"


def test_callbacks_are_also_top_level_names():
    assert fnn.EarlyStopping is EarlyStopping
    assert fnn.Callback is Callback
