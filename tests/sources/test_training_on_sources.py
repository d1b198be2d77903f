"""A training on a source takes the steps that a training on arrays would take."""

import importlib.util

import numpy as np
import pytest
from source_samples import CLASSES, COUNT, ArraySource, BatchSource, Chunks, T, W, X, line, network, parts, trained

import fastfnn as fnn

IN_ORDER = {"shuffle": False}


def same(first, second):
    return first[0].tobytes() == second[0].tobytes() and first[1].loss == second[1].loss


@pytest.mark.parametrize("batch_size", [1, 8, COUNT, 500])
def test_one_window_gives_the_bits_of_arrays(batch_size):
    assert same(trained(ArraySource(X, T), batch_size=batch_size), trained(X, T, batch_size=batch_size))


def test_weights_of_samples_and_of_classes_give_the_bits_of_arrays():
    classes = {0: 2.0, 2: 0.5}
    expected = trained(X, T, sample_weight=W, class_weight=classes)
    assert same(trained(ArraySource(X, T, W), class_weight=classes), expected)
    assert not same(trained(ArraySource(X, T), class_weight=classes), expected)


@pytest.mark.parametrize("window", [1, 8, 20, 64, COUNT, 1000])
@pytest.mark.parametrize("size", [1, 7, 8, 64, COUNT])
def test_windows_and_chunks_of_any_size_take_the_same_steps_in_order(window, size):
    expected = trained(ArraySource(X, T, **IN_ORDER))
    assert same(trained(Chunks(parts(size, X, T), window=window, **IN_ORDER)), expected)
    assert same(trained(ArraySource(X, T, window=window, **IN_ORDER)), expected)


def test_steps_in_order_are_those_of_a_loop():
    net, optimizer = network(), fnn.SGD(0.1)
    for x, t in parts(8, X, T) * 3:
        optimizer.update(net.params, net.gradient(x, t))
    assert np.allclose(trained(ArraySource(X, T, **IN_ORDER))[0], net._flat, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [8, 24, 30])
def test_each_epoch_visits_every_row_once_in_another_order(window):
    x = np.arange(COUNT, dtype=np.float32)[:, np.newaxis] / COUNT
    seen = []
    net = fnn.FNN((1, 1), loss="squared_error", init=0.0, seed=0)
    source = ArraySource(x, x[:, 0], window=window)
    # The network predicts 0 and never learns: a step's loss is half the square of its only row.
    history = net.fit(source, epochs=2, batch_size=1, optimizer=fnn.SGD(0.0))
    rows = np.sqrt(2 * history.step_loss) * COUNT
    seen = rows.round().astype(int).reshape(2, COUNT)
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in seen)
    assert (seen[0] != seen[1]).mean() > 0.8
    first = seen[0][:window]
    assert first.max() - first.min() < window  # rows of a window are neighbours
    assert (np.diff(first) != 1).any()


def test_the_rows_that_fill_no_window_are_others_in_other_epochs():
    x = np.arange(COUNT, dtype=np.float32)[:, np.newaxis]
    source, rng = ArraySource(x, T, window=20), np.random.default_rng(0)
    last = {float(list(source._epoch(rng.permutation, 20))[-1].x[0, 0]) for _ in range(50)}
    assert last == {0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0}


def test_a_seed_makes_a_training_in_windows_reproducible():
    runs = [trained(ArraySource(X, T, window=16), seed=seed) for seed in (1, 1, 2)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64", ">f4", ">f8", ">i4", "bool"])
@pytest.mark.parametrize("window", [16, 1000])
def test_samples_of_any_dtype_train_as_in_the_dtype_of_the_network(dtype, window):
    x = (abs(X) * 3).astype(dtype)
    expected = trained(ArraySource(x.astype(np.float32), T, window=window))
    assert same(trained(ArraySource(x, T, window=window)), expected)


def test_samples_in_another_layout_train_as_rows():
    for x in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.reshape(COUNT, 2, 2)):
        assert same(trained(ArraySource(x, T, window=16)), trained(ArraySource(X, T, window=16)))


def test_targets_of_other_losses_train():
    t = np.eye(CLASSES, dtype=np.float32)[T]
    expected = trained(ArraySource(X, T, window=16))[1].loss
    assert np.allclose(trained(ArraySource(X, t, window=16))[1].loss, expected)


# Lengths


def test_the_number_of_rows_is_learned_in_the_first_epoch():
    known, unknown = (BatchSource(parts(10, X, T), samples=samples) for samples in (COUNT, None))
    assert same(trained(unknown), trained(known))
    assert trained(unknown)[1].step_loss.size == 3 * -(-COUNT // 8)


def test_a_batch_of_each_item_without_a_batch_size():
    items = [(X[:10], T[:10]), (X[10:11], T[10:11]), (X[11:60], T[11:60])]
    _, history = trained(lambda: iter(items), batch_size=None, epochs=2)
    net, optimizer, losses = network(), fnn.SGD(0.1), []
    for x, t in items * 2:
        losses.append(net.loss(x, t))
        optimizer.update(net.params, net.gradient(x, t))
    assert np.allclose(history.step_loss, losses, rtol=1e-5)
    assert np.allclose(history.loss, np.average(np.reshape(losses, (2, 3)), axis=1, weights=[10, 1, 49]), rtol=1e-5)


def test_an_iterator_trains_for_one_epoch():
    assert same(trained(iter(parts(10, X, T)), epochs=1), trained(BatchSource(parts(10, X, T)), epochs=1))


def test_a_generator_function_trains_for_many():
    def batches():
        yield from parts(10, X, T)

    assert same(trained(batches), trained(BatchSource(parts(10, X, T))))


class Loader:
    """What a DataLoader of PyTorch looks like: lists of tensors, which NumPy converts."""

    class Tensor:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array if dtype is None else self.array.astype(dtype)

    def __iter__(self):
        return ([self.Tensor(array) for array in part] for part in parts(10, X, T))

    def __len__(self):
        return 14


def test_a_loader_is_a_source():
    assert same(trained(Loader()), trained(BatchSource(parts(10, X, T))))


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_a_loader_of_pytorch_is_a_source():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(T)), batch_size=10)
    assert same(trained(loader), trained(BatchSource(parts(10, X, T))))
    assert network().fit(loader, epochs=1, batch_size=None).step_loss.size == len(loader)


@pytest.mark.parametrize("size", [COUNT - 1, COUNT + 1])
def test_another_number_of_rows_than_promised_is_an_error(size):
    with pytest.raises(ValueError, match=f"a source must have {size} rows in each epoch, got {COUNT} rows"):
        trained(BatchSource(parts(10, X, T), samples=size))


def test_another_number_of_rows_in_the_second_epoch_is_an_error():
    chunks = parts(10, X, T)
    net = network()

    def shrink(_net, _history):
        chunks.pop()

    with pytest.raises(ValueError, match="137 rows in each epoch, got 130 rows"):
        net.fit(Chunks(chunks), epochs=3, batch_size=8, callbacks=[shrink])
    assert net.history.epochs == 1


def test_another_number_of_items_in_the_second_epoch_is_an_error():
    chunks = parts(10, X, T)

    def join(_net, _history):
        chunks[:2] = [(X[:20], T[:20])]

    with pytest.raises(ValueError, match="137 rows in each epoch in 14 parts, got 137 rows in 13"):
        network().fit(Chunks(chunks), epochs=3, batch_size=None, callbacks=[join])


# What else fit does


def test_validation_on_a_source_is_that_on_arrays():
    measured = [
        trained(ArraySource(X, T), validation_data=data, metrics=["f1"])[1]
        for data in ((X, T), ArraySource(X, T, window=20), lambda: parts(7, X, T))
    ]
    for history in measured[1:]:
        assert np.allclose(history.val_loss, measured[0].val_loss, rtol=1e-6)
        assert np.allclose(history.val_accuracy, measured[0].val_accuracy)
        assert np.allclose(history.metrics["val_f1"], measured[0].metrics["val_f1"])
        assert not history.accuracy
        assert list(history.metrics) == ["val_f1"]


def test_arrays_train_with_validation_on_a_source():
    histories = [trained(X, T, validation_data=data)[1] for data in ((X, T), ArraySource(X, T, window=20))]
    assert np.allclose(histories[0].val_loss, histories[1].val_loss, rtol=1e-6)


def test_evaluate_takes_a_source():
    net = network()
    measured, expected = net.evaluate(ArraySource(X, T, window=20), metrics=["f1"]), net.evaluate(X, T, ["f1"])
    assert list(measured) == list(expected)
    assert np.allclose(list(measured.values()), list(expected.values()), rtol=1e-6)
    weighted = net.evaluate(ArraySource(X, T, W, window=20))["loss"]
    assert np.isclose(weighted, net.loss(X, T, sample_weight=W), rtol=1e-5)


def test_callbacks_schedules_and_progress_work(capsys):
    logger = fnn.callbacks.LearningRateLogger()
    _, history = trained(
        Chunks(parts(10, X, T)), progress=True, epochs=20, validation_data=(X, T),
        optimizer=fnn.SGD(fnn.schedules.Cosine(0.1, steps=40)), callbacks=[logger, fnn.EarlyStopping(2)],
    )  # fmt: skip
    assert len(history.learning_rate) == history.epochs
    assert history.learning_rate[0] > history.learning_rate[-1]
    assert "test loss" in capsys.readouterr().out
    with_line = {"progress": "line", "epochs": 2}
    assert trained(Chunks(parts(10, X, T)), **with_line)[1].epochs == 2


def test_the_reference_backend_trains_on_sources():
    net = fnn.FNN((4, 5, 3), activation="tanh", seed=1, backend="reference")
    net.fit(ArraySource(X, T, window=20), epochs=2, batch_size=8)
    twin = network()
    twin.fit(ArraySource(X, T, window=20), epochs=2, batch_size=8)
    assert np.allclose(net._flat, twin._flat, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [16, 1000])
@pytest.mark.parametrize(
    "make", [lambda window: ArraySource(X, W, window=window), lambda window: Chunks(parts(10, X, W), window=window)]
)
def test_a_training_that_diverges_goes_back_to_the_last_good_epoch(make, window):
    net, twin, steps = line(), line(), -(-COUNT // 8)
    rates = fnn.SGD(lambda step: 0.1 if step < steps + 3 else 1e30)
    with pytest.raises(fnn.DivergenceError, match=r"in step 2[3456] \(epoch 2\).*as before this epoch") as caught:
        net.fit(make(window), epochs=3, batch_size=8, optimizer=rates)
    twin.fit(make(window), epochs=1, batch_size=8)
    assert caught.value.epoch == 2
    assert net.history.loss == twin.history.loss
    assert net._flat.tobytes() == twin._flat.tobytes()
    assert len(net.history.step_loss) == caught.value.step
    assert net.optimizer.steps == steps


def test_a_training_that_diverges_goes_on_with_a_warning():
    net = line()
    with pytest.warns(RuntimeWarning, match="not finite"):
        net.fit(ArraySource(X, W, window=16), optimizer=fnn.SGD(1e30), on_divergence="warn", epochs=3)
    assert net.history.epochs == 3


def test_data_that_are_not_scaled_are_found_in_a_source():
    x = X * [1, 5000, 1, 1]
    with pytest.warns(fnn.UnscaledDataWarning, match="column 1"):
        trained(ArraySource(x, T, window=16), optimizer=fnn.SGD(1e-9))
