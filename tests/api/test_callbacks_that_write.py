"""ModelCheckpoint, CSVLogger and TensorBoard: what is in their files, when, and after a resumption."""

import copy
import csv
import json
import math
import os
import pathlib
import pickle
import re
import sys

import numpy as np
import pytest
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn.callbacks import CSVLogger, ModelCheckpoint, TensorBoard


def network(**options):
    return fnn.FNN((4, 5, 3), **({"activation": "tanh", "seed": 1} | options))


def fit(net, callbacks, **options):
    held_out = samples(count=9, seed=1)
    options = {"epochs": 4, "batch_size": 8, "validation_data": held_out, "callbacks": callbacks} | options
    return net.fit(*samples(count=23), **options)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def a_history(epochs=1, first=1, **values):
    """A history of so many epochs, with plain numbers."""
    numbers = [float(number) for number in range(first, first + epochs)]
    history = fnn.History(loss=numbers, seconds=numbers, samples_per_second=numbers)
    history._last_rate = 0.5
    for name, measured in values.items():
        setattr(history, name, measured)
    return history


class Tape(fnn.Callback):
    """Replaces the measurements of a quantity by given values."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name = values, name

    def epoch(self, net, history):
        getattr(history, self.name)[-1] = self.values[history.epochs - 1]


# ModelCheckpoint


def test_the_network_is_saved_after_each_epoch(tmp_path):
    kept = []
    checkpoint = ModelCheckpoint(tmp_path / "epoch{epoch:02d}.safetensors")
    fit(network(), [checkpoint, lambda net, history: kept.append(bits(net))], validation_data=None)
    assert names_in(tmp_path) == [f"epoch{epoch:02d}.safetensors" for epoch in range(1, 5)]
    for name, want in zip(names_in(tmp_path), kept, strict=True):
        assert bits(fnn.load(tmp_path / name)) == want
    assert checkpoint.last_path == str(tmp_path / "epoch04.safetensors")


def test_a_path_without_names_is_written_again(tmp_path):
    net = network()
    fit(net, [ModelCheckpoint(str(tmp_path / "net"))])
    assert names_in(tmp_path) == ["net"]
    assert bits(fnn.load(tmp_path / "net")) == bits(net)


def test_only_the_best_epochs_are_saved(tmp_path):
    values = [math.nan, 3.0, 4.0, 2.0, 2.0, math.nan, 1.0, 5.0]
    best = ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.1f}", save_best_only=True)
    fit(network(), [Tape(values), best], epochs=8)
    assert names_in(tmp_path) == ["2-3.0", "4-2.0", "7-1.0"]
    assert (best.best, best.best_epoch, best.last_path) == (1.0, 7, str(tmp_path / "7-1.0"))


def test_an_accuracy_is_best_where_it_is_highest(tmp_path):
    best = ModelCheckpoint(tmp_path / "{epoch}", "val_accuracy", True)
    fit(network(), [Tape([0.1, 0.3, 0.2, 0.4], "val_accuracy"), best])
    assert names_in(tmp_path) == ["1", "2", "4"]


def test_metrics_of_a_user_decide_by_the_mode(tmp_path):
    def count(t, y):
        count.calls += 1
        return count.calls // 2  # it is called for both data

    count.calls = 0
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{val_count:.0f}", "val_count", True, mode="max")
    fit(network(), [checkpoint], metrics=[count])
    assert [name[0] for name in names_in(tmp_path)] == ["1", "2", "3", "4"]


def test_missing_folders_are_created(tmp_path):
    fit(network(), [ModelCheckpoint(tmp_path / "a" / "{epoch}" / "net")], epochs=2)
    assert (tmp_path / "a" / "2" / "net").exists()


def test_a_second_training_begins_anew(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True)
    fit(network(), [Tape([1.0]), checkpoint], epochs=1)
    fit(network(), [Tape([3.0, 2.0]), checkpoint], epochs=2)
    assert (checkpoint.best, checkpoint.best_epoch) == (2.0, 2)


def test_a_resumed_training_knows_what_was_best(tmp_path):
    first, second = (ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True) for _ in range(2))
    net = network()
    first.begin(net, fnn.History())
    first.epoch(net, a_history(1, val_loss=[2.0]))
    state = json.loads(json.dumps(first.state()))
    second.begin(net, fnn.History())
    second.restore(state)
    second.epoch(net, a_history(2, val_loss=[2.0, 3.0]))
    assert names_in(tmp_path) == ["1"]
    second.epoch(net, a_history(3, val_loss=[2.0, 3.0, 1.0]))
    assert names_in(tmp_path) == ["1", "3"]
    assert (second.best, second.best_epoch) == (1.0, 3)


def test_a_file_that_cannot_be_written_ends_the_training_with_its_name(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        fit(network(), [ModelCheckpoint(tmp_path / "folder")])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"path": 3}, TypeError, "path must be a path, got int"),
        ({"path": ""}, TypeError, "path must be a path, got ''"),
        ({"path": "a{}"}, ValueError, "path must have names of the history in its braces, such as {epoch}: expected a "
                                      "name in braces, got {}"),
        ({"path": "{epoch.real}"}, ValueError, "path must have names of the history in its braces, such as {epoch}: "
                                               "expected a name in braces, got {epoch.real}"),
        ({"path": "{loss:d}"}, ValueError, "path must have names .*: Unknown format code 'd' for object of type"),
        ({"path": "{epoch"}, ValueError, "path must have names .*: expected '}' before end of string"),
        ({"path": "a", "save_best_only": 1}, TypeError, "save_best_only must be True or False, got int"),
        ({"path": "a", "monitor": 1}, TypeError, "monitor must be a str, the name of what to monitor, got int"),
        ({"path": "a", "mode": "low"}, ValueError, "mode must be one of auto, min, max; got 'low'"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_a_checkpoint_are_refused(options, error, message):
    pattern = message if ".*" in message else f"{re.escape(message)}$"
    with pytest.raises(error, match=f"^{pattern}"):
        ModelCheckpoint(**options)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (ModelCheckpoint("a", save_best_only=True), "validation_data must be given for callbacks[0] to monitor "
                                                    "'val_loss', got None"),
        (ModelCheckpoint("{val_loss}"), "validation_data must be given for callbacks[0] with 'val_loss' in its path, "
                                        "got None"),
        (ModelCheckpoint("{mae}"), "callbacks[0].path must be one of epoch, loss, val_loss, accuracy, val_accuracy; "
                                   "got 'mae'; metrics=['mae'] measures it"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_what_is_not_measured_is_refused(checkpoint, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = network()
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(net, [checkpoint], validation_data=None)
    assert (net.history, names_in(tmp_path)) == (None, [])


# CSVLogger


def rows_of(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_the_file_is_the_table_of_the_history(tmp_path):
    import pandas

    path = tmp_path / "log.csv"
    history = fit(network(), [CSVLogger(path), fnn.callbacks.LearningRateLogger()], metrics=["f1"])
    # The default of pandas 2 may be off by one bit.
    read = pandas.read_csv(path, index_col="epoch", float_precision="round_trip")
    pandas.testing.assert_frame_equal(read, history.to_frame(), check_exact=True)


def test_the_learning_rate_is_there_without_another_callback(tmp_path):
    optimizer = fnn.SGD(fnn.schedules.Step(0.5, every=3, factor=0.5))
    fit(network(), [CSVLogger(tmp_path / "log.csv")], optimizer=optimizer, epochs=3)
    header, *rows = rows_of(tmp_path / "log.csv")
    assert [float(row[header.index("learning_rate")]) for row in rows] == [0.5, 0.25, 0.125]


def test_a_row_is_written_as_soon_as_its_epoch_has_ended(tmp_path):
    counts = []
    path = tmp_path / "new" / "log.csv"
    fit(network(), [CSVLogger(path), lambda net, history: counts.append(len(rows_of(path)))], epochs=3)
    assert counts == [2, 3, 4]


def test_the_separator_can_be_chosen(tmp_path):
    fit(network(), [CSVLogger(tmp_path / "log.tsv", separator="\t")], epochs=1)
    assert [row[0] for row in rows_of(tmp_path / "log.tsv", "\t")] == ["epoch", "1"]


def test_numbers_that_are_not_finite_can_be_read_again(tmp_path):
    fit(network(), [Tape([math.nan, math.inf, -math.inf]), CSVLogger(tmp_path / "log.csv")], epochs=3)
    header, *rows = rows_of(tmp_path / "log.csv")
    assert [row[header.index("val_loss")] for row in rows] == ["nan", "inf", "-inf"]


def test_a_new_training_replaces_the_file_or_appends_to_it(tmp_path):
    path = tmp_path / "log.csv"
    fit(network(), [CSVLogger(path)], epochs=3)
    fit(network(), [CSVLogger(path)], epochs=2)
    assert [row[0] for row in rows_of(path)] == ["epoch", "1", "2"]
    fit(network(), [CSVLogger(path, append=True)], epochs=2)
    assert [row[0] for row in rows_of(path)] == ["epoch", "1", "2", "1", "2"]
    assert {len(row) for row in rows_of(path)} == {len(rows_of(path)[0])}


def test_columns_of_another_order_are_kept_where_a_training_appends(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("loss,seconds,epoch,samples_per_second,learning_rate\n9,9,9,9,9")  # without an end of the line
    fit(network(), [CSVLogger(path, append=True)], epochs=1, validation_data=None)
    header, before, after = rows_of(path)
    assert before == ["9"] * 5
    assert (header[2], after[2], float(after[4])) == ("epoch", "1", 0.1)


def test_a_file_with_other_columns_is_not_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,error\n1,2\n")
    message = (
        "path must lead to a file with the columns epoch,loss,learning_rate,seconds,samples_per_second to append to, "
        "got 'epoch,error'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(network(), [CSVLogger(path, append=True)], validation_data=None)
    assert path.read_text() == "epoch,error\n1,2\n"


@pytest.mark.parametrize("append", [False, True])
def test_a_resumed_training_writes_no_epoch_twice(tmp_path, append):
    path = tmp_path / "log.csv"
    if append:
        fit(network(), [CSVLogger(path)], epochs=1, validation_data=None)
    before = rows_of(path) if append else []
    first, second = CSVLogger(path, append=append), CSVLogger(path, append=append)
    first.begin(None, fnn.History())
    for epoch in (1, 2):
        first.epoch(None, a_history(epoch))
    state = json.loads(json.dumps(first.state()))
    for epoch in (3, 4):  # after the last checkpoint
        first.epoch(None, a_history(epoch))
    with open(path, "a") as file:
        file.write("5,0.")  # the training ended here
    second.begin(None, fnn.History())
    second.restore(state)
    for epoch in (3, 4, 5):
        second.epoch(None, a_history(epoch))
    assert [row[0] for row in rows_of(path)[max(len(before), 1) :]] == ["1", "2", "3", "4", "5"]
    assert rows_of(path)[: len(before)] == before
    assert {len(row) for row in rows_of(path)} == {5}


def test_a_resumption_leaves_the_file_until_there_is_a_row(tmp_path):
    path = tmp_path / "log.csv"
    first, second = CSVLogger(path), CSVLogger(path)
    first.begin(None, fnn.History())
    first.epoch(None, a_history(1))
    state = first.state()
    first.epoch(None, a_history(2))
    second.begin(None, fnn.History())
    second.restore(state)
    assert [row[0] for row in rows_of(path)] == ["epoch", "1", "2"]
    assert second.state() == state


@pytest.mark.parametrize(
    ("callback", "state"),
    [
        (CSVLogger("a"), {"columns": ["epoch"], "size": 0}),
        (CSVLogger("a"), {"columns": "epoch", "size": 9}),
        (CSVLogger("a"), {"columns": [3], "size": 9}),
        (CSVLogger("a"), {"columns": ["epoch"], "size": 9.0}),
        (ModelCheckpoint("a"), {"best": "low", "best_epoch": 1, "last_path": "a"}),
        (ModelCheckpoint("a"), {"best": math.nan, "best_epoch": 1, "last_path": "a"}),
        (ModelCheckpoint("a"), {"best": 1.0, "best_epoch": 0, "last_path": "a"}),
        (ModelCheckpoint("a"), {"best": 1.0, "best_epoch": 1, "last_path": 3}),
    ],
)
def test_a_damaged_state_changes_nothing(callback, state):
    before = dict(vars(callback))
    with pytest.raises(ValueError, match="must be"):
        callback.restore(state)
    assert vars(callback) == before


def test_a_training_that_was_interrupted_in_its_first_epoch_begins_the_file(tmp_path):
    first, second = CSVLogger(tmp_path / "log.csv"), CSVLogger(tmp_path / "log.csv")
    first.begin(None, fnn.History())
    second.begin(None, fnn.History())
    second.restore(first.state())
    second.epoch(None, a_history(1))
    assert [row[0] for row in rows_of(tmp_path / "log.csv")] == ["epoch", "1"]


def test_a_resumed_training_begins_a_file_that_was_removed(tmp_path):
    first, second = CSVLogger(tmp_path / "log.csv"), CSVLogger(tmp_path / "log.csv")
    first.begin(None, fnn.History())
    first.epoch(None, a_history(1))
    os.remove(tmp_path / "log.csv")
    second.begin(None, fnn.History())
    second.restore(first.state())
    second.epoch(None, a_history(2))
    assert [row[0] for row in rows_of(tmp_path / "log.csv")] == ["epoch", "2"]


def test_a_file_that_cannot_be_written_is_found_before_the_training(tmp_path):
    net = network()
    before = bits(net)
    with pytest.raises(OSError):
        fit(net, [CSVLogger(tmp_path)])
    assert bits(net) == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"path": None}, TypeError, "path must be a path, got NoneType"),
        ({"path": "a", "separator": 3}, TypeError, "separator must be a str, got int"),
        *(
            ({"path": "a", "separator": text}, ValueError,
             f"separator must be one character that numbers and names do not have, got {text!r}")
            for text in ("", ", ", "a", "_", ".", "-", "\n")
        ),
        ({"path": "a", "append": "yes"}, TypeError, "append must be True or False, got str"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_a_logger_are_refused(options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        CSVLogger(**options)


# TensorBoard


class Writer:
    """A writer that keeps what it is given, in place of that of a library."""

    made: list["Writer"]

    def __init__(self, folder, **options):
        self.folder, self.options, self.scalars, self.histograms = folder, options, {}, {}
        self.flushed, self.closed = 0, False
        self.made.append(self)

    def add_scalar(self, name, value, step):
        self.scalars.setdefault(name, []).append((step, value))

    def add_histogram(self, name, values, step):
        self.histograms.setdefault(name, []).append((step, values.copy()))

    def flush(self):
        self.flushed += 1

    def close(self):
        self.closed = True


@pytest.fixture
def writers(monkeypatch):
    Writer.made = []
    monkeypatch.setattr("fastfnn.callbacks.tensorboard._summary_writer", lambda: Writer)
    return Writer.made


def test_scalars_of_both_data_have_one_name_in_two_folders(tmp_path, writers):
    history = fit(network(), [TensorBoard(tmp_path / "logs")], metrics=["f1"])
    train, validation = writers
    assert (train.folder, validation.folder) == (str(tmp_path / "logs/train"), str(tmp_path / "logs/validation"))
    assert train.scalars["epoch_loss"] == list(enumerate(history.loss, 1))
    assert validation.scalars["epoch_loss"] == list(enumerate(history.val_loss, 1))
    assert validation.scalars["epoch_f1"] == list(enumerate(history.metrics["val_f1"], 1))
    assert train.scalars["epoch_learning_rate"] == [(epoch, 0.1) for epoch in range(1, 5)]
    assert not train.histograms
    assert train.flushed == 4 and train.closed and validation.closed


def test_histograms_are_written_on_request(tmp_path, writers):
    net = network()
    fit(net, [TensorBoard(tmp_path, histogram_freq=2)])
    train, _ = writers
    assert list(train.histograms) == list(net.params)
    assert [step for step, _ in train.histograms["W1"]] == [2, 4]
    np.testing.assert_array_equal(train.histograms["W1"][-1][1], net.params["W1"])


def test_a_resumed_training_voids_later_events(tmp_path, writers):
    board = TensorBoard(tmp_path)
    board.begin(None, fnn.History())
    board.restore(board.state())
    board.epoch(None, a_history(3))
    assert writers[0].options["purge_step"] == 3
    board.begin(None, fnn.History())
    board.epoch(None, a_history(1))
    assert writers[0].closed
    assert "purge_step" not in writers[1].options


def test_a_training_in_the_same_second_writes_files_of_its_own(tmp_path):
    pytest.importorskip("tensorboardX")
    for _ in range(3):
        fit(network(), [TensorBoard(tmp_path)], epochs=1)
    assert len(names_in(tmp_path / "train")) == len(names_in(tmp_path / "validation")) == 3


def test_a_callback_can_be_copied_while_its_files_are_open(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path)
    copies = []
    fit(network(), [board, lambda net, history: copies.append(copy.deepcopy(board))], epochs=2)
    assert repr(copies[0]) == repr(pickle.loads(pickle.dumps(board))) == repr(board)


def test_the_files_are_those_of_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    history = fit(network(), [TensorBoard(tmp_path, histogram_freq=4)])
    (path,) = (tmp_path / "train").iterdir()
    data, found, histograms = path.read_bytes(), {}, set()
    while data:  # records: length, checksum, event, checksum
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            if value.HasField("histo"):
                histograms.add(value.tag)
            else:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    assert histograms == {"W1", "b1", "W2", "b2"}
    assert found["epoch_loss"] == pytest.approx(dict(enumerate(history.loss, 1)), rel=1e-6)
    assert {"epoch_accuracy", "epoch_seconds", "epoch_learning_rate"} <= set(found)


def test_without_a_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in ("tensorboardX", "torch", "torch.utils", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    net = network()
    before = bits(net)
    message = "TensorBoard needs tensorboardX, or PyTorch with tensorboard: pip install tensorboardX"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        fit(net, [TensorBoard(tmp_path / "logs")])
    assert bits(net) == before
    assert names_in(tmp_path) == []


def test_the_writer_of_pytorch_is_taken_where_there_is_no_other(tmp_path, monkeypatch):
    import types

    Writer.made = []
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    for name in ("torch", "torch.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    fit(network(), [TensorBoard(tmp_path)], epochs=1)
    assert len(Writer.made) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"log_dir": 3}, TypeError, "log_dir must be a path, got int"),
        ({"histogram_freq": -1}, ValueError, "histogram_freq must be at least 0, got -1"),
    ],
)
def test_wrong_arguments_of_tensorboard_are_refused(options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        TensorBoard(**options)


@pytest.mark.parametrize(
    "callback",
    [
        ModelCheckpoint("a{epoch}"),
        ModelCheckpoint(pathlib.Path("a"), "mine", True, "max"),
        CSVLogger("a", ";", True),
        TensorBoard("a", 3),
    ],
)
def test_repr_recreates_the_callback(callback):
    again = eval(repr(callback))
    assert repr(again) == repr(callback)
    assert {**vars(again)} == {**vars(callback)}
