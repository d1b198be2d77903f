"""`FNN.fit(validation_split=...)`: which samples are held out, and that nothing else differs from data of one's own."""

import copy
import re

import numpy as np
import pytest
from small_networks import BACKENDS, LOSSES, bits, network, samples

import fastfnn as fnn
from fastfnn.held_out import split


@pytest.mark.parametrize(("count", "fraction", "held_out"), [(10, 0.1, 1), (7, 0.5, 4), (1000, 0.25, 250), (2, 0.5, 1)])
def test_a_fraction_of_the_samples_is_held_out(count, fraction, held_out):
    chosen, others = split("validation_split", fraction, count)
    assert len(others) == held_out
    assert sorted([*chosen, *others]) == list(range(count))
    assert (np.diff(chosen) > 0).all() and (np.diff(others) > 0).all()


def test_the_samples_are_drawn_at_random_and_always_the_same():
    _, others = split("validation_split", 0.2, 1000)
    assert abs(others.mean() - 500) < 60
    np.testing.assert_array_equal(split("validation_split", 0.2, 1000)[1], others)


# Measured like validation data of one's own


@BACKENDS
@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_training_and_measurements_are_those_on_two_arrays(sampling, batch_size, backend):
    x, t = samples(count=23)
    chosen, others = split("validation_split", 0.3, 23)
    options = {"epochs": 4, "batch_size": batch_size, "sampling": sampling, "metrics": ["recall"]}
    net, twin = network(backend=backend, dropout=0.1), network(backend=backend, dropout=0.1)
    got = net.fit(x, t, validation_split=0.3, **options)
    want = twin.fit(x[chosen], t[chosen], validation_data=(x[others], t[others]), **options)
    assert bits(net) == bits(twin)
    np.testing.assert_array_equal(got.step_loss, want.step_loss)
    assert (got.loss, got.val_loss, got.accuracy, got.val_accuracy, got.metrics) == (
        want.loss, want.val_loss, want.accuracy, want.val_accuracy, want.metrics
    )  # fmt: skip
    assert net._rng.random() == twin._rng.random()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_measured_on_a_split(loss):
    x, t = samples(loss, 23)
    chosen, others = split("validation_split", 0.3, 23)
    net, twin = network(loss=loss), network(loss=loss)
    got = net.fit(x, t, epochs=2, validation_split=0.3)
    want = twin.fit(x[chosen], t[chosen], epochs=2, validation_data=(x[others], t[others]))
    assert got.val_loss == want.val_loss
    assert bits(net) == bits(twin)


def test_weights_of_samples_go_along():
    (x, t), w = samples(count=23), np.random.default_rng(0).uniform(0, 2, 23)
    chosen, others = split("validation_split", 0.3, 23)
    net, twin = network(), network()
    history = net.fit(x, t, epochs=2, batch_size=4, validation_split=0.3, sample_weight=w)
    twin.fit(x[chosen], t[chosen], epochs=2, batch_size=4, sample_weight=w[chosen])
    assert bits(net) == bits(twin)
    assert history.val_loss[-1] == pytest.approx(net.loss(x[others], t[others], w[others]), rel=1e-12)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0}])
@pytest.mark.parametrize("weighted", [True, False])
def test_weights_of_classes_are_those_of_the_samples_to_train_on(class_weight, weighted):
    (x, t), w = samples(count=23), np.random.default_rng(0).uniform(0, 2, 23)
    chosen, others = split("validation_split", 0.3, 23)
    w, w_chosen = (w, w[chosen]) if weighted else (None, None)
    net, twin = network(), network()
    history = net.fit(x, t, epochs=2, validation_split=0.3, sample_weight=w, class_weight=class_weight)
    twin.fit(x[chosen], t[chosen], epochs=2, sample_weight=w_chosen, class_weight=class_weight)
    assert bits(net) == bits(twin)
    want = net.loss(x[others], t[others], None if w is None else w[others])
    assert history.val_loss[-1] == pytest.approx(want, rel=1e-12)


def test_early_stopping_goes_by_the_samples_held_out():
    x, t = samples(count=23)
    stopping = fnn.EarlyStopping(patience=2)
    history = network().fit(x, t, epochs=50, batch_size=4, validation_split=0.3, callbacks=[stopping])
    assert stopping.best == min(history.val_loss)


def test_a_second_fit_holds_out_the_samples_of_the_first():
    def columns(net, history):
        seen.append(net.evaluate(x[others], t[others])["loss"])

    x, t = samples(count=23)
    _, others = split("validation_split", 0.3, 23)
    net, seen = network(seed=None), []
    first = net.fit(x, t, epochs=1, validation_split=0.3, callbacks=[columns])
    second = net.fit(x, t, epochs=1, validation_split=0.3, callbacks=[columns])
    assert first.val_loss + second.val_loss == seen


def test_a_memory_map_is_read_where_it_lies(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((200, 4)).astype(np.float32), rng.integers(3, size=200)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    copied = []
    take = fnn.held_out.Part.outputs

    def outputs(part, net):
        copied.append(part.rows)
        return take(part, net)

    monkeypatch.setattr("fastfnn.held_out.Part.outputs", outputs)
    monkeypatch.setattr("fastfnn.held_out.CONVERT_ONCE_BYTES", 7 * 16)  # 7 rows at a time
    monkeypatch.setattr("fastfnn.validation.CONVERT_ONCE_BYTES", 0)
    net, twin = (fnn.FNN((4, 5, 3), seed=0) for _ in range(2))
    got = net.fit(mapped, t, epochs=2, batch_size=16, validation_split=0.2)
    assert all(np.may_share_memory(rows, mapped) for rows in copied)
    monkeypatch.undo()
    want = twin.fit(x, t, epochs=2, batch_size=16, validation_split=0.2)
    assert bits(net) == bits(twin)
    np.testing.assert_allclose(got.val_loss, want.val_loss, rtol=1e-6)
    assert (got.accuracy, got.val_accuracy) == (want.accuracy, want.val_accuracy)


def test_frames_can_be_split():
    import pandas

    x, t = samples(count=23)
    net, twin = network(), network()
    net.fit(pandas.DataFrame(x), pandas.Series(t), epochs=2, validation_split=0.3)
    twin.fit(x, t, epochs=2, validation_split=0.3)
    assert bits(net) == bits(twin)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, "validation_split must hold out some samples of 23 and leave some to train on, got 0"),
        (0.01, ValueError, "validation_split must hold out some samples of 23 and leave some to train on, got 0.01"),
        (0.999, ValueError, "validation_split must hold out some samples of 23 and leave some to train on, got 0.999"),
        (1, ValueError, "validation_split must be less than 1, got 1"),
        (-0.1, ValueError, "validation_split must be finite and not negative, got -0.1"),
        ("0.1", TypeError, "validation_split must be a number, got str"),
        (True, TypeError, "validation_split must be a number, got bool"),
    ],
)
def test_a_wrong_split_changes_nothing(value, error, message):
    net, (x, t) = network(), samples(count=23)
    before = copy.deepcopy(net)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        net.fit(x, t, validation_split=value)
    net.fit(x, t)
    before.fit(x, t)
    assert bits(net) == bits(before)


def test_a_split_beside_validation_data_is_refused():
    net, (x, t) = network(), samples()
    with pytest.raises(ValueError, match=r"^validation_split must be None beside validation_data, got both$"):
        net.fit(x, t, validation_data=(x, t), validation_split=0.1)
