"""Callbacks, metrics and validation_split in a training that was interrupted and goes on from its checkpoint."""

import os

import numpy as np
import pytest
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn.callbacks import CSVLogger, LearningRateLogger, ModelCheckpoint, ReduceLROnPlateau


def spread(t, y):
    return y.std()


def train(interrupted_after=None):
    """Train in the current folder; return network and callbacks."""

    def interrupt(net, history):
        if history.epochs == interrupted_after:
            raise KeyboardInterrupt

    net = fnn.FNN((4, 5, 3), activation="tanh", seed=1)
    callbacks = [
        ModelCheckpoint("net/{epoch}-{val_loss:.6f}", monitor="val_f1", save_best_only=True),
        ReduceLROnPlateau(patience=1, min_delta=1e-3, factor=0.5),
        CSVLogger("log.csv"),
        LearningRateLogger(),
        fnn.EarlyStopping(patience=6, monitor="val_spread", mode="max"),
        interrupt,
    ]
    net.fit(
        *samples(count=40), epochs=14, batch_size=8, optimizer=fnn.Adam(0.05), validation_split=0.3,
        metrics=["f1", "accuracy", spread], callbacks=callbacks,
        checkpoint=fnn.Checkpoint("kept", every=3, unit="epochs"), resume=True,
    )  # fmt: skip
    return net, callbacks[:-1]


def rows():
    """The rows of the log without the times."""
    with open("log.csv") as file:
        return [line.split(",")[:-2] for line in file]


@pytest.mark.parametrize("interrupted_after", [1, 4, 8])
def test_nothing_differs_from_a_training_in_one_piece(tmp_path, monkeypatch, interrupted_after):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    want, of_whole = train()
    want_rows, want_files = rows(), sorted(os.listdir("net"))
    monkeypatch.chdir(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(interrupted_after)
    got, of_parts = train()
    assert bits(got) == bits(want)
    assert rows() == want_rows
    assert set(want_files) <= set(os.listdir("net"))
    for name, values in want.history._columns().items():
        if name not in ("seconds", "samples_per_second"):
            assert got.history._columns()[name] == values, name
    np.testing.assert_array_equal(got.history.step_loss, want.history.step_loss)
    for ours, theirs in zip(of_parts, of_whole, strict=True):
        assert repr(ours.state()) == repr(theirs.state()) or isinstance(ours, CSVLogger)
    assert got.optimizer.learning_rate == want.optimizer.learning_rate < 0.05


def test_a_training_with_other_metrics_is_another_one(tmp_path):
    x, t = samples(count=40)
    checkpoint = {"checkpoint": tmp_path, "resume": True, "epochs": 2, "validation_split": 0.3}
    fnn.FNN((4, 5, 3), seed=0).fit(x, t, metrics=["f1"], **checkpoint)
    with pytest.raises(ValueError, match=r"it has metrics \['f1'\], got \['recall'\]"):
        fnn.FNN((4, 5, 3), seed=0).fit(x, t, metrics=["recall"], **checkpoint)
    with pytest.raises(ValueError, match="samples"):
        fnn.FNN((4, 5, 3), seed=0).fit(x, t, metrics=["f1"], **checkpoint | {"validation_split": 0.2})
