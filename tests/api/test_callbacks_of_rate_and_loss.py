"""ReduceLROnPlateau, LearningRateLogger and TerminateOnNaN."""

import copy
import json
import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn.callbacks import LearningRateLogger, ReduceLROnPlateau, TerminateOnNaN


def network(**options):
    return fnn.FNN((4, 5, 3), **({"activation": "tanh", "seed": 1} | options))


def fit(net, callbacks, **options):
    options = {"epochs": 4, "batch_size": 8, "validation_data": samples(count=9, seed=1)} | options
    return net.fit(*samples(count=23), callbacks=callbacks, **options)


class Optimized:
    """What callbacks need of a network."""

    def __init__(self, rate):
        self.optimizer = fnn.SGD(rate)


def play(callback, values, net, state=None, before=()):
    """Call a callback after epochs with these validation losses; return the learning rate after each."""
    history, rates = fnn.History(), []
    callback.begin(net, history)
    if state is not None:
        callback.restore(state)
    history.loss, history.val_loss = [0.0] * len(before), list(before)
    for value in values:
        history.loss.append(0.0)
        history.val_loss.append(value)
        callback.epoch(net, history)
        rates.append(net.optimizer.learning_rate)
    return rates


# ReduceLROnPlateau


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 2}, [3, 4, 4, 4, 4, 1, 1, 1], [8, 8, 4, 4, 2, 2, 2, 1]),
        ({"patience": 1}, [3, 3, 2, 2.5], [8, 4, 4, 2]),
        ({"patience": 1, "min_delta": 1}, [3, 2, 2, 0.5], [8, 4, 2, 2]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [8, 4, 4, 4, 2, 2]),
        ({"patience": 1, "min_lr": 3}, [3, 3, 3, 3], [8, 4, 3, 3]),
        ({"patience": 1, "mode": "max"}, [3, 4, 5, 5], [8, 8, 8, 4]),
        ({"patience": 2}, [math.nan, math.nan, 3, math.nan, math.nan], [8, 4, 4, 4, 2]),
    ],
)
def test_the_rate_falls_where_nothing_improves(options, values, rates):
    callback = ReduceLROnPlateau(factor=0.5, **({"min_delta": 0} | options))
    assert play(callback, values, Optimized(8.0)) == rates
    falls = [epoch for epoch, (a, b) in enumerate(zip([8, *rates], rates, strict=False), 1) if b < a]
    assert callback.reductions == falls


VALUES = st.lists(st.integers(0, 5), min_size=1, max_size=14)
OPTIONS = (st.integers(1, 3), st.integers(0, 3), st.sampled_from([0, 1, 1.5]))


@given(VALUES, *OPTIONS)
def test_it_agrees_with_its_definition(values, patience, cooldown, min_delta):
    best, wait, rest, rate, want = math.inf, 0, 0, 1.0, []
    for value in values:
        resting = rest > 0
        rest, wait = (rest - 1, 0) if resting else (rest, wait)
        if value < best - min_delta:
            best, wait = value, 0
        elif not resting:
            wait += 1
            if wait >= patience:
                rate, rest, wait = rate / 2, cooldown, 0
        want.append(rate)
    callback = ReduceLROnPlateau("val_loss", 0.5, patience, min_delta, cooldown)
    assert play(callback, values, Optimized(1.0)) == want


@given(VALUES, *OPTIONS, st.integers(0, 14))
def test_a_resumed_training_reduces_as_if_it_had_not_been_interrupted(values, patience, cooldown, min_delta, cut):
    callbacks = [ReduceLROnPlateau("val_loss", 0.5, patience, min_delta, cooldown) for _ in range(3)]
    want = play(callbacks[0], values, Optimized(1.0))
    net = Optimized(1.0)
    got = play(callbacks[1], values[:cut], net)
    state = json.loads(json.dumps(callbacks[1].state()))
    got += play(callbacks[2], values[cut:], net, state, values[:cut])
    assert got == want
    assert callbacks[2].reductions == callbacks[0].reductions


@pytest.mark.parametrize("name", ["best", "waited", "cooldown_left", "reductions"])
def test_a_damaged_state_changes_nothing(name):
    callback = ReduceLROnPlateau()
    before = dict(vars(callback))
    with pytest.raises(ValueError, match=f"^{name} must be"):
        callback.restore(callback.state() | {name: "wrong"})
    assert vars(callback) == before


def test_it_changes_the_rate_of_a_training():
    optimizer = fnn.Adam(0.5)
    callback = ReduceLROnPlateau("loss", patience=1, min_delta=1e9, factor=0.5)
    logger = LearningRateLogger()
    net, twin = network(), network()
    history = fit(net, [callback, logger], optimizer=optimizer)
    assert history.learning_rate == [0.5, 0.5, 0.25, 0.125]
    assert optimizer.learning_rate == 0.0625 == net.optimizer.learning_rate
    again = fnn.Adam(0.5)
    fit(twin, None, optimizer=again, epochs=2)
    again.learning_rate = 0.25
    fit(twin, None, optimizer=again, epochs=1)
    again.learning_rate = 0.125
    fit(twin, None, optimizer=again, epochs=1)
    assert bits(net) == bits(twin)


def test_a_second_training_begins_anew_at_the_rate_that_was_left():
    optimizer, callback = fnn.SGD(0.5), ReduceLROnPlateau("loss", patience=3, min_delta=1e9, factor=0.5)
    fit(network(), [callback], optimizer=optimizer)
    assert callback.reductions == [4]
    fit(network(), [callback], optimizer=optimizer, epochs=3)
    assert (callback.reductions, optimizer.learning_rate) == ([], 0.25)


def test_a_schedule_is_refused_beside_it():
    net = network()
    before = copy.deepcopy(net)
    message = (
        "callbacks[0] changes the learning rate, which must be a number then and no schedule, got "
        "SGD(Cosine(rate=0.1, steps=10, final=0.0))"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        fit(net, [ReduceLROnPlateau()], optimizer=fnn.SGD(fnn.schedules.Cosine(0.1, steps=10)))
    assert net.history is None
    fit(net, None)
    fit(before, None)
    assert bits(net) == bits(before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"factor": 1.0}, ValueError, "factor must be less than 1, got 1.0"),
        ({"factor": 0}, ValueError, "factor must be at least 1e-30, got 0"),
        ({"patience": 0}, ValueError, "patience must be at least 1, got 0"),
        ({"min_delta": -1}, ValueError, "min_delta must be finite and not negative, got -1"),
        ({"cooldown": 0.5}, TypeError, "cooldown must be an int, got float"),
        ({"min_lr": math.inf}, ValueError, "min_lr must be finite and not negative, got inf"),
        ({"monitor": None}, TypeError, "monitor must be a str, the name of what to monitor, got NoneType"),
        ({"mode": "up"}, ValueError, "mode must be one of auto, min, max; got 'up'"),
    ],
)
def test_wrong_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        ReduceLROnPlateau(**options)


@pytest.mark.parametrize(
    "callback",
    [
        ReduceLROnPlateau(),
        ReduceLROnPlateau("mine", 0.3, 4, 0.5, 6, 0.7, "max"),
        LearningRateLogger(),
        TerminateOnNaN(),
    ],
)
def test_repr_recreates_the_callback(callback):
    again = eval(repr(callback))
    assert (repr(again), vars(again)) == (repr(callback), vars(callback))


# LearningRateLogger


def test_the_rate_of_the_last_step_of_each_epoch_is_recorded():
    def rate(step):
        return 0.1 / (step + 1)

    history = fit(network(), [LearningRateLogger()], optimizer=fnn.SGD(rate), batch_size=8)  # 3 steps per epoch
    assert history.learning_rate == [rate(2), rate(5), rate(8), rate(11)]
    assert history.to_frame()["learning_rate"].tolist() == history.learning_rate
    assert json.loads(history.to_json())["learning_rate"] == history.learning_rate


@pytest.mark.parametrize("first", [True, False])
def test_the_rate_is_that_of_the_epoch_wherever_the_callback_stands(first):
    def change(net, history):
        net.optimizer.learning_rate = 1.0 / history.epochs

    callbacks = [LearningRateLogger(), change] if first else [change, LearningRateLogger()]
    history = fit(network(), callbacks, optimizer=fnn.SGD(0.3))
    np.testing.assert_array_equal(history.learning_rate, [0.3, 1.0, 1 / 2, 1 / 3])


def test_two_loggers_record_each_rate_once():
    assert fit(network(), [LearningRateLogger(), LearningRateLogger()]).learning_rate == [0.1] * 4


def test_without_the_callback_nothing_is_recorded():
    history = fit(network(), None)
    assert history.learning_rate == []
    assert "learning_rate" not in history.to_frame()


# TerminateOnNaN


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_training_stops_after_a_loss_that_is_not_finite(loss):
    def spoil(net, history):
        if history.epochs == 2:
            history.loss[-1] = loss

    stop = TerminateOnNaN()
    history = fit(network(), [spoil, stop])
    assert (history.epochs, stop.stopped_epoch) == (2, 2)


def test_a_training_that_diverges_ends_with_a_warning():
    stop = TerminateOnNaN()
    net = network(loss="squared_error", activation="identity")
    x, _ = samples(count=23)
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = net.fit(x, x[:, :3], epochs=50, optimizer=fnn.SGD(1e6), on_divergence="warn", callbacks=[stop])
    assert history.epochs == stop.stopped_epoch < 50


def test_by_default_the_error_comes_first():
    stop = TerminateOnNaN()
    net = network(loss="squared_error", activation="identity")
    x, _ = samples(count=23)
    with pytest.raises(fnn.DivergenceError):
        net.fit(x, x[:, :3], epochs=50, optimizer=fnn.SGD(1e6), callbacks=[stop])
    assert stop.stopped_epoch is None


def test_a_good_training_goes_on():
    stop = TerminateOnNaN()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(network(), [stop], on_divergence="warn").epochs == 4
    assert stop.stopped_epoch is None
