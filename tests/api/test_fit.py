"""Training: `fit` is a loop over gradient and update, repeats with a seed, and continues in parts."""

import copy

import numpy as np
import pytest
from small_networks import (
    DTYPES,
    LOSSES,
    assert_same_params,
    bits,
    loop_by_hand,
    network,
    orders,
    samples,
)

import fastfnn as fnn
from fastfnn.kernels.workers import threads


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [None, 7, 100, 10**15])  # a huge batch size must not allocate memory
def test_one_epoch_of_full_batch_is_one_gradient_step(batch_size, loss):
    net = network(loss=loss)
    x, t = samples(loss)
    grad = net.gradient(x, t)
    want = {name: param - 0.3 * grad[name] for name, param in net.params.items()}
    loss_before = net.loss(x, t)
    history = net.fit(x, t, epochs=1, batch_size=batch_size, optimizer=fnn.SGD(0.3))
    assert_same_params(net.params, want)
    np.testing.assert_allclose(history.step_loss, [loss_before], rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [1, 3, 6])
def test_fit_is_a_loop_over_gradient(batch_size, loss):
    # 7 samples: single samples, batches of 3, 3 and 1, batches of 6 and 1
    net = network(activation="tanh", loss=loss)
    by_hand = copy.deepcopy(net)
    x, t = samples(loss)
    losses = []
    for order in orders(net, 7, epochs=3):
        losses += loop_by_hand(by_hand, x, t, order, batch_size, 0.2)
    history = net.fit(x, t, epochs=3, batch_size=batch_size, optimizer=fnn.SGD(0.2))
    np.testing.assert_allclose(history.step_loss, losses, rtol=1e-11)
    assert_same_params(net.params, by_hand.params, rtol=1e-11)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["sigmoid", "relu", ("relu", "tanh")])
def test_both_backends_give_the_same_curve(activation, loss, sampling, dtype, rtol):
    sizes = (4, 5, 6, 3) if isinstance(activation, tuple) else (4, 6, 3)
    x, t = samples(loss, count=23)
    nets, curves = [], []
    for backend in ("kernels", "reference"):
        net = network(sizes, activation=activation, loss=loss, dtype=dtype, backend=backend)
        curves.append(net.fit(x, t, epochs=2, batch_size=4, sampling=sampling).step_loss)
        nets.append(net)
    assert len(curves[0]) == 12
    np.testing.assert_allclose(curves[0], curves[1], rtol=rtol)
    assert_same_params(nets[0].params, nets[1].params, rtol=rtol)


@pytest.mark.jit
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
def test_both_backends_give_the_same_curve_on_digits(dtype, rtol):
    (x, t), _ = fnn.datasets.load_mnist()
    curves = []
    for backend in ("kernels", "reference"):
        net = fnn.FNN((784, 50, 10), activation="sigmoid", init=0.01, dtype=dtype, seed=0, backend=backend)
        curves.append(net.fit(x, t, epochs=1, batch_size=100, optimizer=fnn.SGD(0.1)).step_loss)
    np.testing.assert_allclose(curves[0], curves[1], rtol=rtol)


def test_fit_has_the_documented_defaults():
    x, t = samples(count=120)
    net, plain = network(), network()
    history = plain.fit(x, t)
    net.fit(x, t, epochs=10, batch_size=100, optimizer=fnn.SGD(0.1), sampling="shuffle", validation_data=None)
    assert bits(net) == bits(plain)
    assert len(history.loss) == 10
    assert history.step_loss.shape == (20,)


def test_runs_with_a_seed_repeat_bit_for_bit():
    x, t = samples(count=20)
    runs = []
    for _ in range(2):
        net = network(dtype="float32", seed=3)
        runs.append((net.fit(x, t, epochs=3, batch_size=6).step_loss.tobytes(), bits(net)))
    assert runs[0] == runs[1]


def test_two_fits_of_an_epoch_are_one_fit_of_two():
    x, t = samples(count=20)
    once, twice = network(), network()
    once.fit(x, t, epochs=2, batch_size=6)
    twice.fit(x, t, epochs=1, batch_size=6)
    twice.fit(x, t, epochs=1, batch_size=6)
    assert bits(once) == bits(twice)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_runs_have_the_same_bits_with_one_and_with_two_threads(thread_count, loss, dtype):
    if threads.max_threads() < 2:
        pytest.skip("one core")
    x, t = samples(loss, count=133, inputs=41, outputs=9)
    runs = []
    for count in (1, 2, 1, 2):
        fnn.set_num_threads(count)
        if fnn.get_num_threads() < count:
            pytest.skip("kernels are serial here")
        net = network((41, 33, 9), loss=loss, dtype=dtype)
        # batches of 50, 50 and 33: two threads share even the last batch
        parameters = sum(param.size for param in net.params.values())
        assert threads.threads_for(3 * 33 * parameters) == count
        history = net.fit(x, t, epochs=3, batch_size=50, optimizer=fnn.SGD(0.01), validation_data=(x, t))
        grads = {name: grad.tobytes() for name, grad in net.gradient(x, t).items()}
        measured = (history.step_loss.tobytes(), history.val_loss, history.val_accuracy)
        runs.append((bits(net), grads, net.predict(x).tobytes(), measured))
    assert runs.count(runs[0]) == 4


def test_fit_does_not_change_its_data():
    x, t = (array.astype(np.float32) for array in samples("sigmoid_cross_entropy"))
    kept = x.tobytes(), t.tobytes()
    network(dtype="float32", loss="sigmoid_cross_entropy").fit(x, t, epochs=2, batch_size=3, validation_data=(x, t))
    assert (x.tobytes(), t.tobytes()) == kept


def test_training_lowers_the_loss():
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    t = (x[:, 0] * x[:, 1] > 0).astype(int)
    net = fnn.FNN((2, 8, 2), seed=0)
    history = net.fit(x, t, epochs=60, batch_size=10, optimizer=fnn.SGD(0.5))
    assert history.loss[-1] < history.loss[0] / 4
    assert net.accuracy(x, t) > 0.9


@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_partial_fits_are_the_epochs_of_a_fit(backend, batch_size):
    x, t = samples()
    at_once, in_parts = network(backend=backend), network(backend=backend)
    want = at_once.fit(x, t, epochs=3, batch_size=batch_size, optimizer=fnn.Adam(0.1))
    optimizer = fnn.Adam(0.1)
    got = [in_parts.partial_fit(x, t, batch_size=batch_size, optimizer=optimizer) for _ in range(3)]
    assert bits(in_parts) == bits(at_once)
    assert [history.epochs for history in got] == [1, 1, 1]
    np.testing.assert_array_equal(np.concatenate([history.step_loss for history in got]), want.step_loss)


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
def test_a_partial_fit_continues_with_the_last_optimizer(first):
    x, t = samples()
    named, unnamed = network(), network()
    optimizers = fnn.Adam(0.1), fnn.Adam(0.1)
    for net, optimizer in zip((named, unnamed), optimizers, strict=True):
        net.fit(x, t, epochs=1, optimizer=fnn.SGD(0.5))  # not continued
        getattr(net, first)(x, t, batch_size=3, optimizer=optimizer)
    named.partial_fit(x, t, batch_size=3, optimizer=optimizers[0])
    unnamed.partial_fit(x, t, batch_size=3)
    assert bits(unnamed) == bits(named)
    assert optimizers[1].steps == optimizers[0].steps > 3


def test_the_first_partial_fit_is_a_fit_of_one_epoch():
    x, t = samples(count=120)
    first, want = network(), network()
    first.partial_fit(x, t)
    want.fit(x, t, epochs=1)
    assert bits(first) == bits(want)
    first.partial_fit(x, t)
    want.fit(x, t, epochs=1, batch_size=100, optimizer=fnn.SGD(0.1))
    assert bits(first) == bits(want)


def test_a_partial_fit_takes_parts_of_any_size():
    x, t = samples(count=20)
    net, optimizer = network(), fnn.Momentum(0.1)
    for start, stop in ((0, 1), (1, 8), (8, 20)):
        net.partial_fit(x[start:stop], t[start:stop], batch_size=4, optimizer=optimizer)
    assert optimizer.steps == 1 + 2 + 3


def test_a_rejected_fit_does_not_change_the_optimizer_of_a_partial_fit():
    x, t = samples()
    net, want = network(), network()
    for each in (net, want):
        each.fit(x, t, epochs=1, optimizer=fnn.Adam(0.1))
    with pytest.raises(ValueError, match="epochs"):
        net.fit(x, t, epochs=0, optimizer=fnn.SGD(0.5))
    for each in (net, want):
        each.partial_fit(x, t)
    assert bits(net) == bits(want)
