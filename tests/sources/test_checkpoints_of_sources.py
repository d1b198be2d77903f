"""Trainings on sources that are killed and go on with the same bits."""

import numpy as np
import pytest
from source_samples import ArraySource, BatchSource, ShardSource, T, W, X, network, parts

import fastfnn as fnn
from fastfnn.fitting import Pace


class Killed(BaseException):
    """In place of SIGKILL."""


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Compiled calls of as few steps as possible."""
    monkeypatch.setattr(Pace, "SECONDS", 0)
    monkeypatch.setattr(Pace, "FIRST_WORK", 1)


def shards(folder):
    for i, (x, t, w) in enumerate(parts(30, X, T, W)):
        np.savez(folder / f"{i}.npz", x=x, t=t, w=w)
    return ShardSource(folder, names=("x", "t", "w"), window=24)


SOURCES = {
    "one window": lambda _folder: ArraySource(X, T),
    "windows": lambda _folder: ArraySource(X, T, W, window=24),
    "in order": lambda _folder: ArraySource(X, T, window=24, shuffle=False),
    "shards": shards,
    "batches": lambda _folder: BatchSource(parts(10, X, T), samples=len(X), window=24),
}
NETWORKS = {"dropout": {"dropout": 0.3}, "batch norm": {"batch_norm": True}}
OPTIONS = {
    "plain": dict,
    "validated": lambda: {
        "validation_data": ArraySource(X, T, window=40), "metrics": ["f1"], "callbacks": [fnn.EarlyStopping(9)],
    },
}  # fmt: skip


def start(source, options, kind="dropout", **more):
    net = network(**NETWORKS[kind])
    optimizer = fnn.Adam(0.01)
    history = net.fit(source, **({"epochs": 3, "batch_size": 8, "optimizer": optimizer} | options() | more))
    return net, history


def bits(net, history):
    return net._flat.tobytes(), net._statistics.tobytes(), history.loss, history.val_loss, history.step_loss.tolist(), (
        history.metrics
    ), net._rng.bit_generator.state, net.optimizer.steps  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("steps", [1, 4, 18, 25])  # in the first and a later window, and at an epoch's end of 18
def test_a_killed_training_goes_on_with_the_same_bits(tmp_path, monkeypatch, kind, options, steps):
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.mkdir()
    expected = bits(*start(SOURCES[kind](data), OPTIONS[options]))
    write = fnn.keeper.Keeper._write

    def write_and_die(keeper, *arguments):
        write(keeper, *arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fnn.keeper.Keeper, "_write", write_and_die)
        with pytest.raises(Killed):
            start(SOURCES[kind](data), OPTIONS[options], checkpoint=fnn.Checkpoint(kept, every=steps, unit="steps"))
    assert bits(*start(SOURCES[kind](data), OPTIONS[options], checkpoint=kept, resume=True)) == expected


def test_windows_that_were_trained_on_are_not_prepared_again(tmp_path, monkeypatch):
    checkpoint = fnn.Checkpoint(tmp_path, every=1, unit="steps")
    net = network()

    def stop(keeper):
        write(keeper, keeper.drawn)
        if keeper.loop.state.taken == 9:
            raise Killed

    write = fnn.keeper.Keeper._write
    with monkeypatch.context() as patch:
        patch.setattr(fnn.keeper.Keeper, "between_calls", stop)
        with pytest.raises(Killed):
            net.fit(ArraySource(X, T, window=24), epochs=1, batch_size=8, checkpoint=checkpoint)
    prepared = []
    monkeypatch.setattr(fnn.FNN, "_targets", lambda *arguments: prepared.append(1) or targets(*arguments))
    targets = fnn.base.NetworkBase._targets
    network().fit(ArraySource(X, T, window=24), epochs=1, batch_size=8, checkpoint=checkpoint, resume=True)
    assert len(prepared) == 3  # of six windows of three steps each


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    checkpoint = {"checkpoint": fnn.Checkpoint(tmp_path, every=100, unit="epochs")}

    class Interrupting(fnn.sources.Source):
        samples = len(X)
        passes = 0

        def chunks(self):
            type(self).passes += 1
            yield X[:60], T[:60]
            if self.passes == 2:
                raise KeyboardInterrupt
            yield X[60:], T[60:]

    with pytest.raises(KeyboardInterrupt):
        start(Interrupting(window=24), dict, **checkpoint)
    assert (tmp_path / "checkpoint.safetensors").exists()
    again = bits(*start(Interrupting(window=24), dict, resume=True, **checkpoint))
    assert Interrupting.passes == 4  # the interrupted one, and those of two epochs
    Interrupting.passes = 5
    assert again == bits(*start(Interrupting(window=24), dict))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ArraySource(X, T, window=32), "window"),
        (lambda: ArraySource(X, T, window=24, shuffle=False), "shuffle"),
        (lambda: ArraySource(X + 1, T, window=24), "digest"),
        (lambda: BatchSource(parts(10, X, T), samples=len(X), window=24), "BatchSource"),
    ],
)
def test_a_checkpoint_of_another_source_is_refused(tmp_path, make, named):
    start(ArraySource(X, T, window=24), dict, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=rf"resume=True must go on with the training of .*: it has source .*{named}"):
        start(make(), dict, checkpoint=tmp_path, resume=True)


def test_a_checkpoint_of_arrays_is_none_of_a_source(tmp_path):
    network().fit(X, T, epochs=3, batch_size=8, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"it has .*source nothing, got"):
        network().fit(ArraySource(X, T), epochs=3, batch_size=8, checkpoint=tmp_path, resume=True)


def test_a_training_that_had_ended_is_not_begun_again(tmp_path):
    first = start(ArraySource(X, T, window=24), dict, checkpoint=tmp_path)
    assert bits(*start(ArraySource(X, T, window=24), dict, checkpoint=tmp_path, resume=True)) == bits(*first)
