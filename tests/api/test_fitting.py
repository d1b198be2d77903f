"""The parts of the training loop: orders of samples, compiled calls and their length, history, progress."""

import io
import math
import sys
import time

import numpy as np
import pytest
from helpers import NOJIT
from hypothesis import given
from hypothesis import strategies as st
from small_networks import CROSS_ENTROPIES, LOSSES, bits, network, samples

import fastfnn as fnn
from fastfnn import kernels, reference
from fastfnn.fitting import Pace
from fastfnn.progress import progress_bar


@pytest.fixture
def recorded_orders(monkeypatch):
    """The order of the 20 samples in each epoch that `fit` of a reference network passes to the training loop."""
    seen = [np.empty(0, np.int64)]
    train_steps = reference.train_steps

    def spy(*arguments):
        step_losses, order = arguments[4], arguments[10]
        for row in order if len(step_losses) else ():  # a call may take several epochs, and an epoch several calls
            if len(seen[-1]) == 20:
                seen.append(row.copy())
            else:
                seen[-1] = np.concatenate((seen[-1], row))
        train_steps(*arguments)

    monkeypatch.setattr(reference, "train_steps", spy)
    return seen


def test_shuffled_epochs_visit_every_sample_once_in_changing_order(recorded_orders):
    x, t = samples(count=20)
    network(backend="reference").fit(x, t, epochs=3, batch_size=6, sampling="shuffle")
    assert [sorted(order) for order in recorded_orders] == [list(range(20))] * 3
    assert len({tuple(order) for order in recorded_orders}) == 3


def test_sampling_with_replacement_draws_each_batch_from_all_samples(recorded_orders):
    x, t = samples(count=20)
    network(backend="reference").fit(x, t, epochs=50, batch_size=6, sampling="replacement")
    drawn = np.concatenate(recorded_orders)
    assert drawn.shape == (1000,)
    assert all(
        len(set(order)) < 20 for order in recorded_orders
    )  # with repetitions: an epoch has all 20 samples with probability 2e-8
    assert set(drawn) == set(range(20))
    assert np.bincount(drawn).max() < 90  # 50 each, with a standard deviation of 7
    assert len({tuple(order) for order in recorded_orders}) == 50


@pytest.mark.parametrize("rule", [fnn.Adam, fnn.SGD])  # SGD takes steps on single samples in groups
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_an_epoch_divided_into_calls_gives_the_same_bits(monkeypatch, batch_size, rule):
    x, t = samples(count=50)
    whole, divided = network(), network()
    monkeypatch.setattr(Pace, "SECONDS", 1e9)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    want = whole.fit(x, t, epochs=3, batch_size=batch_size, optimizer=rule(0.1))
    monkeypatch.setattr(Pace, "SECONDS", 0)  # a call for each step or group of steps
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    got = divided.fit(x, t, epochs=3, batch_size=batch_size, optimizer=rule(0.1))
    np.testing.assert_array_equal(got.step_loss, want.step_loss)
    assert bits(divided) == bits(whole)


@pytest.mark.parametrize(("rule", "sampling"), [(fnn.Adam, "shuffle"), (fnn.SGD, "shuffle"), (fnn.SGD, "replacement")])
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_epochs_that_share_a_call_give_the_same_bits(monkeypatch, batch_size, rule, sampling):
    x, t = samples(count=50)
    observed, free, steps, train_steps = network(), network(), [], kernels.train_steps

    def spy(*arguments):
        steps.append(len(arguments[4]))
        train_steps(*arguments)

    monkeypatch.setattr(kernels, "train_steps", spy)
    monkeypatch.setattr(Pace, "SECONDS", 1e9)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    epochs = 5 if NOJIT else 30
    options = {"epochs": epochs, "batch_size": batch_size, "sampling": sampling}
    want = observed.fit(x, t, optimizer=rule(0.1), callbacks=[lambda _net, _history: None], **options)
    most = math.ceil(50 / (batch_size or 50))
    assert max(steps) == most
    got = free.fit(x, t, optimizer=rule(0.1), **options)
    assert max(steps) > 2 * most
    np.testing.assert_array_equal(got.step_loss, want.step_loss)
    assert got.loss == want.loss
    assert len(got.seconds) == len(got.samples_per_second) == epochs
    assert min(got.seconds) > 0
    assert bits(free) == bits(observed)
    assert free.fit(x, t, epochs=1).loss == observed.fit(x, t, epochs=1).loss  # the orders of the samples are equal


@pytest.mark.parametrize("rule", [fnn.SGD, fnn.Adam])
def test_a_last_batch_of_one_sample_has_the_same_bits_in_a_call_of_its_own(monkeypatch, rule):
    x, t = samples(count=7)
    found = set()
    for seconds in (0, 1e9):
        monkeypatch.setattr(Pace, "SECONDS", seconds)
        monkeypatch.setattr(Pace, "FIRST_WORK", int(seconds))
        net = network(dtype="float32")
        net.fit(x, t, epochs=3, batch_size=2, optimizer=rule(0.1))
        found.add(net.params.flat.tobytes())
    assert len(found) == 1


def test_the_orders_of_epochs_that_share_a_call_are_limited_in_memory():
    pace = Pace(1, 1)
    pace.count = 10**9
    assert pace.epochs(10, 1000) * 1000 <= pace.MOST_SAMPLES < 1000 * (pace.epochs(10, 1000) + 1)
    assert pace.epochs(10, pace.MOST_SAMPLES + 1) == 1
    pace.count = 25
    assert [pace.epochs(steps, 100) for steps in (10, 25, 26)] == [2, 1, 1]


@pytest.mark.parametrize("together", [1, 16])
@pytest.mark.parametrize("seconds", [1e-4, 2e-3, 0.05, 3.0])
def test_calls_take_about_a_fifth_of_a_second(monkeypatch, seconds, together):
    clock = [0.0]
    monkeypatch.setattr(fnn.fitting.time, "perf_counter", lambda: clock[0])
    pace, taken = Pace(together, 10**9), []
    for _ in range(2):  # epochs
        for first, last in pace.slices(10_000):
            taken.append((first, last))
            clock[0] += (last - first) * seconds
    steps = [step for first, last in taken for step in range(first, last)]
    assert steps == 2 * list(range(10_000))
    assert all(first % together == 0 for first, _ in taken)
    least = together * seconds
    assert max((last - first) * seconds for first, last in taken) <= max(0.25, least)
    assert len(taken) <= 20 + 20_000 * seconds / (0.2 - least if least < 0.1 else least)


@given(st.integers(1, 12), st.integers(1, 15), st.integers(1, 3))
def test_history_weighs_each_step_by_its_samples(count, batch_size, epochs):
    # at rate 0 the mean over an epoch is the loss of the network on all samples
    net = network((2, 2), dtype="float64")
    x, t = samples(count=count, inputs=2, outputs=2)
    history = net.fit(x, t, epochs=epochs, batch_size=batch_size, optimizer=fnn.SGD(0))
    steps = math.ceil(count / min(batch_size, count))
    assert history.step_loss.shape == (epochs * steps,)
    assert history.step_loss.dtype == np.float64
    np.testing.assert_allclose(history.loss, [net.loss(x, t)] * epochs, rtol=1e-12)


def test_the_loss_of_an_epoch_is_the_weighted_mean_of_its_steps():
    x, t = samples(count=7)
    history = network().fit(x, t, epochs=2, batch_size=3)
    for epoch, steps in enumerate(history.step_loss.reshape(2, 3)):
        assert history.loss[epoch] == pytest.approx((3 * steps[0] + 3 * steps[1] + steps[2]) / 7, rel=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_history_holds_the_measurements_after_each_epoch(loss):
    (x, t), (x_val, t_val) = samples(loss, count=9), samples(loss, count=5, seed=1)
    net, stepwise = network(loss=loss), network(loss=loss)
    history = net.fit(x, t, epochs=3, batch_size=4, validation_data=(x_val, t_val))
    want = []
    for _ in range(3):
        stepwise.fit(x, t, epochs=1, batch_size=4)
        want.append((stepwise.evaluate(x, t), stepwise.evaluate(x_val, t_val)))
    assert bits(net) == bits(stepwise)  # the measurements do not change the training
    assert history.epochs == 3
    assert history.val_loss == [val["loss"] for _, val in want]
    if loss not in CROSS_ENTROPIES:
        assert history.accuracy == history.val_accuracy == []
    else:
        assert history.accuracy == [train["accuracy"] for train, _ in want]
        assert history.val_accuracy == [val["accuracy"] for _, val in want]
    assert len(history.seconds) == len(history.samples_per_second) == 3
    for seconds, speed in zip(history.seconds, history.samples_per_second, strict=True):
        assert seconds > 0
        assert speed == pytest.approx(9 / seconds)


def test_without_validation_data_only_the_loss_is_measured():
    history = network().fit(*samples(), epochs=2)
    assert len(history.loss) == 2
    assert history.accuracy == history.val_loss == history.val_accuracy == []


def test_progress_prints_a_line_per_epoch(capsys):
    x, t = samples()
    history = network().fit(x, t, epochs=2, validation_data=(x, t), progress=True)
    output = capsys.readouterr()
    lines = [line for line in output.out.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    assert lines[1].startswith(
        f"epoch 2/2  loss {history.loss[1]:.4f}  accuracy {history.accuracy[1]:.4f}  "
        f"test loss {history.val_loss[1]:.4f}  test accuracy {history.val_accuracy[1]:.4f}  "
    )
    assert lines[1].endswith(" samples/s")
    assert "2/2" in output.err  # the bar


def test_progress_in_a_line_is_for_terminals(monkeypatch, capsys):
    x, t = samples()
    network().fit(x, t, epochs=2, progress="line")
    assert capsys.readouterr() == ("", "")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    network().fit(x, t, epochs=2, validation_data=(x, t), progress="line")
    assert " left  epoch 1/2" in terminal.getvalue()
    with pytest.raises(ValueError, match="progress must be one of line"):
        network().fit(x, t, progress="lines")


def test_the_bar_and_the_line_follow_another_number_of_epochs(monkeypatch, capsys):
    history = network().fit(*samples(), epochs=1)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    for show, shown in ((True, " 3/6 "), ("line", " 50%")):
        with progress_bar(show, 3, 9, 10) as progress:
            progress.plan(2)
            progress.report(history)
            time.sleep(0.2)  # more often the bar is not drawn
            progress.advance(3)
        assert shown in terminal.getvalue()
    assert " left  epoch 1/2" in terminal.getvalue()
    assert capsys.readouterr().out.startswith("epoch 1/2  loss ")


def test_fit_is_silent_by_default(capsys):
    network().fit(*samples(), epochs=2)
    assert capsys.readouterr() == ("", "")
