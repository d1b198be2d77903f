"""Training that diverges: the error, what it says, and the last good epoch, to which everything goes back."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from helpers import NOJIT
from small_networks import BACKENDS, bits, network, samples

import fastfnn as fnn
from fastfnn.fitting import Pace

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")

STEPS = 4  # an epoch of 7 samples in batches of 2
PACES = pytest.mark.parametrize("seconds", [0, 1e9])  # a compiled call for each step; several epochs in a call


def explode_at(step, rate=0.01):
    """A schedule with a learning rate for one step that makes the parameters infinite."""
    return lambda number: 1e300 if number == step else rate


def moments(optimizer):
    return [array.tobytes() for arrays in optimizer._state.values() for array in arrays]


def state(net, optimizer):
    return bits(net), net._statistics.tobytes(), moments(optimizer), optimizer.steps


def diverging_network(backend="kernels", **options):
    return network(**({"loss": "squared_error", "dtype": "float32", "backend": backend} | options))


def fit(net, optimizer, **options):
    x, t = samples(net.loss_name)
    return net.fit(x, t, **({"epochs": 20, "batch_size": 2, "optimizer": optimizer} | options))


# What the network is after it


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("rule", [fnn.SGD, fnn.Momentum, fnn.Adam])
@pytest.mark.parametrize("bad", [0, 5, 6, 7, 30])  # 7 is the last of an epoch
@PACES
@pytest.mark.parametrize("backend", [pytest.param("kernels", marks=pytest.mark.jit), "reference"])  # slow without it
def test_the_last_good_epoch_is_kept(monkeypatch, backend, seconds, bad, rule, batch_norm):
    monkeypatch.setattr(Pace, "SECONDS", seconds)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    net, twin = (diverging_network(backend, batch_norm=batch_norm) for _ in range(2))
    optimizer, other = rule(explode_at(bad)), rule(0.01)
    with pytest.raises(fnn.DivergenceError) as caught:
        fit(net, optimizer)
    good = bad // STEPS
    want = fit(twin, other, epochs=good) if good else fnn.History()
    if good:
        assert state(net, optimizer) == state(twin, other)
    else:
        assert bits(net) == bits(twin)
        assert optimizer.steps == 0
        assert not any(array.any() for arrays in optimizer._state.values() for array in arrays)
    assert caught.value.epoch == good + 1
    assert net.history.loss == want.loss
    assert len(net.history.seconds) == len(net.history.samples_per_second) == good
    np.testing.assert_array_equal(net.history.step_loss[: len(want.step_loss)], want.step_loss)


@PACES
@BACKENDS
def test_the_error_names_the_step_whose_loss_is_not_finite(monkeypatch, backend, seconds):
    monkeypatch.setattr(Pace, "SECONDS", seconds)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    net = diverging_network(backend)
    # a large step, after which the loss of the next is infinite, but no parameter
    rates = fnn.SGD(lambda step: 1e37 if step == 25 else 0.125)
    with pytest.raises(fnn.DivergenceError) as caught:
        fit(net, rates)
    error = caught.value
    assert (error.epoch, error.step, error.learning_rate) == (7, 27, 0.125)
    assert len(net.history.step_loss) == 27
    assert np.isfinite(net.history.step_loss[:-1]).all()
    assert not math.isfinite(net.history.step_loss[-1])
    message = str(error)
    assert (
        f"the loss became {net.history.step_loss[-1]:g} in step 27 (epoch 7), at learning rate 0.125 of SGD(" in message
    )
    for advice in ("smaller learning rate", "clip_norm", "standard deviation 1", "squared error", "on_divergence"):
        assert advice in message


@pytest.mark.parametrize("bad", [2, 3, 9, 11])
@PACES
@BACKENDS
def test_the_error_names_the_step_whose_update_is_not_finite(monkeypatch, backend, seconds, bad):
    # An infinite weight of a hidden unit that no sample activates: all losses are finite.
    monkeypatch.setattr(Pace, "SECONDS", seconds)
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)
    net = fnn.FNN((1, 1, 1), loss="squared_error", init=0.0, weight_decay=1.0, backend=backend)
    net.params["W1"], net.params["b1"] = [[1e10]], [-1e20]
    x, t = np.full((7, 1), 0.5), np.zeros((7, 1))
    optimizer = fnn.SGD(lambda step: 1e37 if step == bad else 0.01)
    with pytest.raises(fnn.DivergenceError, match="parameters or running statistics became infinite in") as caught:
        net.fit(x, t, epochs=20, batch_size=2, optimizer=optimizer)
    assert (caught.value.epoch, caught.value.step) == (bad // STEPS + 1, bad + 1)
    assert caught.value.learning_rate == 1e37
    assert len(net.history.step_loss) == bad + 1
    assert np.isfinite(net.history.step_loss).all()
    assert optimizer.steps == bad // STEPS * STEPS
    assert np.isfinite(net.params.flat).all()


@BACKENDS
def test_the_last_update_counts(backend):
    net, twin = network(dtype="float32", backend=backend), network(dtype="float32", backend=backend)
    with pytest.raises(fnn.DivergenceError):
        net.fit(*samples(), epochs=1, batch_size=None, optimizer=fnn.SGD(1e300))
    assert bits(net) == bits(twin)
    assert len(net.history.step_loss) == 1


def test_steps_on_single_samples_diverge_too():  # they are computed in groups
    net = diverging_network()
    x, t = samples("squared_error", count=50)
    optimizer = fnn.SGD(lambda step: 1e300 if step == 117 else 0.01)
    twin, other = diverging_network(), fnn.SGD(0.01)
    with pytest.raises(fnn.DivergenceError) as caught:
        net.fit(x, t, epochs=20, batch_size=1, optimizer=optimizer)
    twin.fit(x, t, epochs=2, batch_size=1, optimizer=other)
    assert state(net, optimizer) == state(twin, other)
    assert (caught.value.epoch, caught.value.step) in ((3, 118), (3, 119))


def test_running_statistics_count():
    net = network(dtype="float32", batch_norm=True)
    x, t = samples()
    before = net._statistics.tobytes()
    with pytest.raises(fnn.DivergenceError):
        net.fit(1e30 * x, t, epochs=1, optimizer=fnn.SGD(0))
    assert net._statistics.tobytes() == before


@BACKENDS
def test_training_can_go_on_after_it(backend):
    net, twin = diverging_network(backend), diverging_network(backend)
    optimizer, other = fnn.Adam(explode_at(9)), fnn.Adam(0.01)
    with pytest.raises(fnn.DivergenceError):
        fit(net, optimizer)
    fit(twin, other, epochs=2)
    optimizer.learning_rate = 0.01
    net._rng = copy.deepcopy(twin._rng)  # epochs that share a call have drawn their orders
    fit(net, optimizer, epochs=2)
    fit(twin, other, epochs=2)
    assert state(net, optimizer) == state(twin, other)


@BACKENDS
@pytest.mark.parametrize("bad", [4, 5, 7])
def test_a_partial_fit_stays_as_the_step_left_it(backend, bad):
    net, twin = diverging_network(backend), diverging_network(backend)
    optimizer, other = fnn.Adam(explode_at(bad)), fnn.Adam(explode_at(bad))
    x, t = samples("squared_error")
    for each, rule in ((net, optimizer), (twin, other)):
        each.partial_fit(x, t, batch_size=2, optimizer=rule)
    with pytest.raises(fnn.DivergenceError, match="as this step left it") as caught:
        net.partial_fit(x, t, batch_size=2)
    with pytest.warns(RuntimeWarning):
        twin.partial_fit(x, t, batch_size=2, on_divergence="warn")
    assert state(net, optimizer) == state(twin, other)
    assert caught.value.epoch == 1 and caught.value.step in (bad - STEPS + 1, bad - STEPS + 2)


def test_what_a_callback_changes_is_not_undone():
    """Steps cannot be taken again across it: there is a copy after each epoch."""

    def halve(net, history):
        net.params["W1"][...] *= 0.5

    net, twin = diverging_network(), diverging_network()
    optimizer, other = fnn.Adam(explode_at(13)), fnn.Adam(0.01)
    with pytest.raises(fnn.DivergenceError):
        fit(net, optimizer, callbacks=[halve])
    fit(twin, other, epochs=3, callbacks=[halve])
    assert state(net, optimizer) == state(twin, other)


def test_measurements_and_callbacks_end_with_the_last_good_epoch():
    net, seen = diverging_network(), []
    data = samples("squared_error", seed=1)
    callbacks = [lambda net, history: seen.append((history.epochs, len(history.step_loss)))]
    with pytest.raises(fnn.DivergenceError):
        fit(net, fnn.SGD(explode_at(9)), validation_data=data, callbacks=callbacks)
    assert seen == [(1, 4), (2, 8)]
    assert net.history.epochs == len(net.history.val_loss) == 2
    assert net.history.val_loss[-1] == net.evaluate(*data)["loss"]


def test_parameters_that_are_not_finite_from_the_start_are_named():
    net = network()
    net.params["W1"][0, 0] = np.nan
    with pytest.raises(fnn.DivergenceError, match="were not finite before this epoch"):
        net.fit(*samples(), epochs=2)
    assert np.isnan(net.params["W1"][0, 0])


def test_samples_that_are_not_finite_are_another_error():
    x, t = samples()
    x[0, 0] = np.nan
    net = network()
    with pytest.raises(ValueError, match="finite"):
        net.fit(x, t)


def test_the_error_is_a_floating_point_error_and_can_be_pickled():
    error = fnn.DivergenceError("what", 3, 20, 0.5)
    assert isinstance(error, FloatingPointError)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.epoch, again.step, again.learning_rate) == ("what", 3, 20, 0.5)


# A warning in its place


@BACKENDS
def test_a_loss_that_is_not_finite_warns(backend):
    net = diverging_network(backend)
    with pytest.warns(RuntimeWarning, match="training loss is not finite: try a smaller learning rate") as caught:
        history = fit(net, fnn.SGD(1e30), epochs=3, batch_size=1, on_divergence="warn")
    assert history.epochs == 3
    assert not math.isfinite(history.loss[-1])
    ours = [warning for warning in caught if "training loss" in str(warning.message)]
    assert [warning.filename for warning in ours] == [__file__]  # it points to the caller, see `fit` above


@BACKENDS
def test_a_last_update_that_is_not_finite_warns(backend):
    net = network(dtype="float32", backend=backend)
    with pytest.warns(RuntimeWarning, match="parameters are not finite: try a smaller learning rate"):
        history = net.fit(*samples(), epochs=1, optimizer=fnn.SGD(1e300), on_divergence="warn")
    assert math.isfinite(history.loss[-1])
    assert not np.isfinite(net.params.flat).all()


def test_the_warning_of_a_partial_fit_points_to_the_caller():
    net = diverging_network("reference")
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="not finite") as caught:
        for _ in range(3):
            net.partial_fit(
                *samples("squared_error"), batch_size=1, optimizer=fnn.SGD(1e30), on_divergence="warn"
            )  # fmt: skip
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("on_divergence", ["raise", "warn"])
def test_training_that_converges_does_not_warn(on_divergence):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().fit(*samples(), epochs=2, on_divergence=on_divergence)


@pytest.mark.parametrize("batch_size", [1, 3, None])
@BACKENDS
def test_on_divergence_does_not_change_a_training_that_converges(backend, batch_size):
    nets = [network(backend=backend) for _ in range(2)]
    epochs = 3 if NOJIT else 30
    losses = [
        net.fit(*samples(), epochs=epochs, batch_size=batch_size, on_divergence=mode).step_loss.tobytes()
        for net, mode in zip(nets, ("raise", "warn"), strict=True)
    ]
    assert bits(nets[0]) == bits(nets[1])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_unknown_on_divergence_is_rejected(method):
    net, twin = network(), network()
    with pytest.raises(ValueError, match=r"^on_divergence must be one of raise, warn; got 'ignore'$"):
        getattr(net, method)(*samples(), on_divergence="ignore")
    for each in (net, twin):
        each.fit(*samples(), epochs=1)
    assert bits(net) == bits(twin)
