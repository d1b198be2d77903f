"""Interruptions at every moment of a training: network, optimizer and history agree, and training can go on."""

import contextlib
import copy
import os
import pathlib
import signal
import sys
import threading
import time

import numpy as np
import pytest
from small_networks import BACKENDS, assert_same_params, bits, network, orders, samples

import fastfnn as fnn
from fastfnn import kernels
from fastfnn.fitting import Pace

# Trainings that are repeated for every line take minutes without the JIT.
COMPILED_BACKENDS = pytest.mark.parametrize("backend", [pytest.param("kernels", marks=pytest.mark.jit), "reference"])

STEPS = 4  # an epoch of 7 samples in batches of 2

PACKAGE = pathlib.Path(fnn.__file__).parent
MODULES = ("network", "fitting", "snapshot", "history", "optimizers", "divergence", "reference")
FILES = {kernels.training.calls.__file__, *(str(PACKAGE / f"{name}.py") for name in MODULES)}


class Interruption:
    """Raises KeyboardInterrupt at one of the lines, or of the bytecodes, of some files that are executed in `with`."""

    def __init__(self, at, every="line", files=FILES):
        self.at, self.every, self.files, self.count, self.where = at, every, files, 0, None

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *_error):
        sys.settrace(self.before)

    def enter(self, frame, _event, _argument):
        if frame.f_code.co_filename not in self.files:
            return None
        frame.f_trace_opcodes = self.every == "opcode"
        return self.look

    def look(self, frame, event, _argument):
        if event == self.every:
            self.count += 1
            if self.count == self.at:
                self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}"
                raise KeyboardInterrupt
        return self.look


def state(net, optimizer):
    moments = [array.tobytes() for arrays in optimizer._state.values() for array in arrays if any(array)]
    return bits(net), net._statistics.tobytes(), moments


def states_by_step(train, monkeypatch):
    """The state of a training after each number of steps, and its history."""
    net, optimizer = train.network()
    found = {0: state(net, optimizer)}

    class Spy:
        def __init__(self, module):
            self.train_steps = module.train_steps

        def __call__(self, *arguments):
            self.train_steps(*arguments)
            found[optimizer.steps + len(arguments[4])] = state(net, optimizer)

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "SECONDS", 0)  # a compiled call for each step
        patch.setattr(Pace, "FIRST_WORK", 0)
        module = sys.modules[f"fastfnn.{net.backend}"]
        patch.setattr(module, "train_steps", Spy(module))
        with contextlib.suppress(fnn.DivergenceError):
            train.fit(net, optimizer)
    return found, net.history


class Training:
    """A short training with momentum and batch normalization, that may diverge."""

    def __init__(self, backend, epochs, rate=0.01, **options):
        self.backend, self.epochs, self.rate, self.options = backend, epochs, rate, options

    def network(self):
        return network(dtype="float32", backend=self.backend, batch_norm=True), fnn.Momentum(self.rate)

    def fit(self, net, optimizer):
        net.fit(*samples(), epochs=self.epochs, batch_size=2, optimizer=optimizer, **self.options)


def check(net, optimizer, states, history, where):
    """Assert that an interrupted training is one of whole steps, and all of it the same number of them."""
    got, done = net.history or fnn.History(), optimizer.steps
    assert state(net, optimizer) == states[done], where
    assert np.isfinite(net.params.flat).all(), where
    # All losses are there if the interruption came just before the DivergenceError.
    assert len(got.step_loss) in (done, len(history.step_loss)), where
    np.testing.assert_array_equal(got.step_loss, history.step_loss[: len(got.step_loss)], err_msg=where)
    assert got.loss == history.loss[: done // STEPS], where
    assert len(got.seconds) == len(got.samples_per_second) == got.epochs, where
    assert len(got.accuracy) == len(got.val_accuracy) == len(got.val_loss), where
    if history.val_loss:
        assert len(got.val_loss) in (got.epochs - 1, got.epochs), where
    assert got.val_loss == history.val_loss[: len(got.val_loss)], where


def interrupt_everywhere(train, monkeypatch, every="line", sparse=1):
    """Interrupt one training after the other, at each moment of it, and check each; return the number of steps done."""
    states, history = states_by_step(train, monkeypatch)
    at, done = 1, set()
    while True:
        net, optimizer = train.network()
        with Interruption(at, every) as interruption:
            try:
                train.fit(net, optimizer)
            except KeyboardInterrupt:
                pass
            except fnn.DivergenceError:
                break
        if interruption.where is None:
            break
        check(net, optimizer, states, history, f"{every} {at}: {interruption.where}")
        done.add(optimizer.steps)
        at += sparse
    return done


@pytest.mark.parametrize("seconds", [0, 1e9])  # a compiled call for each step; several epochs in a call
@COMPILED_BACKENDS
def test_an_interruption_at_any_line_leaves_whole_steps(monkeypatch, backend, seconds):
    monkeypatch.setattr(Pace, "SECONDS", seconds)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    done = interrupt_everywhere(Training(backend, 4), monkeypatch, sparse=1 if backend == "kernels" else 7)
    assert {0, 16} <= done
    assert len(done) >= 4


@pytest.mark.jit
def test_an_interruption_at_any_bytecode_leaves_whole_steps(monkeypatch):
    monkeypatch.setattr(Pace, "SECONDS", 0)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    done = interrupt_everywhere(Training("kernels", 2), monkeypatch, "opcode", sparse=3)
    assert done == set(range(9))


@pytest.mark.jit
@pytest.mark.parametrize("on_divergence", ["raise", "warn"])
def test_an_interruption_of_an_observed_training_leaves_whole_steps(monkeypatch, on_divergence):
    monkeypatch.setattr(Pace, "SECONDS", 0)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    observers = {"validation_data": samples(seed=1), "callbacks": [fnn.Callback()]}
    train = Training("kernels", 2, on_divergence=on_divergence, **observers)
    assert interrupt_everywhere(train, monkeypatch) == set(range(9))


@pytest.mark.parametrize("seconds", [0, 1e9])
@COMPILED_BACKENDS
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_an_interruption_while_a_training_diverges_leaves_whole_finite_steps(monkeypatch, backend, seconds):
    monkeypatch.setattr(Pace, "SECONDS", seconds)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    train = Training(backend, 5, rate=lambda step: 1e300 if step == 10 else 0.01)
    done = interrupt_everywhere(train, monkeypatch, sparse=1 if backend == "kernels" else 17)
    assert {0, 4} <= done
    assert max(done) <= 10


def test_an_interruption_while_early_stopping_restores_weights_restores_all_of_them():
    at, restored = 1, 0
    while True:
        net, stopping = network(batch_norm=True), fnn.EarlyStopping(monitor="loss")
        history = fnn.History(loss=[1.0])
        stopping.begin(net, history)
        stopping.epoch(net, history)
        best = state(net, fnn.SGD())
        net.params.flat[...] = net._statistics[...] = 7
        with (
            Interruption(at, files={fnn.callbacks.early_stopping.__file__}) as interruption,
            contextlib.suppress(KeyboardInterrupt),
        ):
            stopping.end(net, history)
        if interruption.where is None:
            break
        whole = state(net, fnn.SGD()) == best
        assert whole or ((net.params.flat == 7).all() and (net._statistics == 7).all()), interruption.where
        at, restored = at + 1, restored + whole
    assert restored > 3


@pytest.mark.parametrize("interrupted", [1, 3, 6])
@BACKENDS
def test_another_fit_continues_after_an_interruption(monkeypatch, backend, interrupted):
    monkeypatch.setattr(Pace, "SECONDS", 0)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    net, by_hand = network(backend=backend), network(backend=backend)
    optimizer, other = fnn.Adam(0.01), fnn.Adam(0.01)
    x, t = samples()
    batches = [order[i : i + 2] for order in orders(net, 7, epochs=2) for i in range(0, 7, 2)]

    def interrupt(step):
        if step == interrupted:
            raise KeyboardInterrupt
        return 0.01

    optimizer.learning_rate = interrupt
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, t, epochs=3, batch_size=2, optimizer=optimizer)
    assert (optimizer.steps, net.history.epochs) == (interrupted, interrupted // STEPS)
    assert net.history.step_loss.shape == (interrupted,)
    for batch in batches[:interrupted]:
        other.update(by_hand.params, by_hand.gradient(x[batch], t[batch]))
    assert_same_params(net.params, by_hand.params, rtol=1e-11)

    optimizer.learning_rate, by_hand._rng = 0.01, copy.deepcopy(net._rng)
    for each, rule in ((net, optimizer), (by_hand, other)):
        each.fit(x, t, epochs=2, batch_size=2, optimizer=rule)
    assert_same_params(net.params, by_hand.params, rtol=1e-11)
    assert optimizer.steps == other.steps == interrupted + 2 * STEPS


def test_the_history_is_that_of_the_last_training_and_grows_with_it():
    net, seen = network(), []
    assert net.history is None

    def look(net, history):
        assert net.history is history
        seen.append(history.step_loss.copy())

    history = net.fit(*samples(), epochs=30, batch_size=2, callbacks=[look])
    assert net.history is history
    for epoch, losses in enumerate(seen, 1):
        np.testing.assert_array_equal(losses, history.step_loss[: epoch * STEPS])
    assert net.partial_fit(*samples()) is net.history is not history


@pytest.mark.jit
def test_the_losses_of_steps_take_memory_for_the_epochs_that_were_trained():
    # Three thousand million steps are asked for: 22 GiB.
    x, t = samples(count=3000)
    net, sizes = network(), []

    def stop(net, history):
        losses = history.step_loss
        sizes.append(losses.nbytes if losses.base is None else losses.base.nbytes)
        return history.epochs == 5

    history = net.fit(x, t, epochs=10**6, batch_size=1, callbacks=[stop])
    assert history.step_loss.shape == (15_000,)
    assert max(sizes) <= 2 * history.step_loss.nbytes
    assert history.step_loss.base is None


@pytest.mark.jit
def test_ctrl_c_ends_a_training_within_seconds():
    net = network((4, 200, 200, 3))
    x, t = samples(count=2000)
    net.fit(x, t, epochs=1, batch_size=20)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, t, epochs=10**9, batch_size=20)
    assert time.perf_counter() - start < 30  # half a second on a quiet machine
    assert len(net.history.step_loss) // 100 == net.history.epochs
    assert np.isfinite(net.history.step_loss).all()
