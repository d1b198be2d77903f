"""Checkpoints: a training that is killed anywhere and resumed ends with the bits of one that was not."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import ROOT
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn import atomic, checkpoint, keeper
from fastfnn.fitting import Pace
from fastfnn.history import PER_EPOCH

X, T = samples(count=23)
HELD_OUT = samples(count=9, seed=5)


class Killed(BaseException):
    """In place of SIGKILL."""


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Compiled calls of as few steps as possible."""
    monkeypatch.setattr(Pace, "SECONDS", 0)
    monkeypatch.setattr(Pace, "FIRST_WORK", 1)


@dataclass
class Case:
    """A training: the arguments of the network, a new optimizer, and the arguments of fit."""

    net: dict
    optimizer: object
    fit: dict
    callbacks: object = lambda: None

    def start(self, **more):
        """Train a new network; return it, its optimizer and the history."""
        net = fnn.FNN((4, 5, 3), **({"activation": "tanh", "seed": 1, "dtype": "float64"} | self.net))
        optimizer = self.optimizer()
        options = {"epochs": 4, "batch_size": 4, "optimizer": optimizer, "callbacks": self.callbacks()}
        return net, optimizer, net.fit(X, T, **(options | self.fit | more))


OWN = fnn.Activation(lambda u: u / (1 + abs(u)), lambda u: 1 / (1 + abs(u)) ** 2, name="softsign")

CASES = {
    "dropout": Case({"dropout": 0.4}, lambda: fnn.SGD(0.1), {}),
    "batch norm": Case({"batch_norm": True, "dtype": "float32"}, lambda: fnn.Momentum(0.05), {}),
    "Adam": Case({"weight_decay": 0.1}, lambda: fnn.Adam(0.01), {"sampling": "replacement"}),
    "AdamW": Case({}, lambda: fnn.AdamW(0.01, clip_norm=1.0), {"on_divergence": "warn"}),
    "schedule": Case({}, lambda: fnn.Nesterov(fnn.schedules.Cosine(0.1, steps=20)), {"class_weight": "balanced"}),
    "own functions": Case(
        {"activation": fnn.Activation(np.sin, np.cos)}, lambda: fnn.RMSprop(lambda step: 0.01 / (step + 1)),
        {"sample_weight": np.linspace(0, 1, 23)},
    ),
    "reference": Case({"backend": "reference", "dropout": 0.3}, lambda: fnn.Adam(), {"epochs": 2}),
    "batch 1": Case({"dropout": 0.2}, lambda: fnn.AdaGrad(0.05), {"batch_size": 1, "epochs": 3}),
    "full batch": Case({"batch_norm": True}, lambda: fnn.Momentum(0.1), {"batch_size": None, "epochs": 9}),
    "early stopping": Case(
        {"dropout": 0.5, "batch_norm": True}, lambda: fnn.Adam(0.1),
        {"epochs": 30, "validation_data": HELD_OUT}, lambda: [fnn.EarlyStopping(2)],
    ),
    "metrics": Case(
        {}, lambda: fnn.SGD(0.5),
        {"epochs": 12, "validation_split": 0.3, "metrics": ["f1", "accuracy"]},
        lambda: [
            fnn.callbacks.ReduceLROnPlateau("val_f1", patience=1), fnn.callbacks.LearningRateLogger(),
            fnn.EarlyStopping(5, monitor="val_f1"),
        ],
    ),
}  # fmt: skip


def trained(net, optimizer, history):
    """All that a training leaves, but the times."""
    lists = {name: getattr(history, name) for name in PER_EPOCH if "second" not in name} | history.metrics
    arrays = {"statistics": net._statistics, "steps": history.step_loss, **net._running()}
    arrays |= dict(enumerate(optimizer.flat_state(net.params)))
    random = net._rng.bit_generator.state
    arrays = {key: array.tobytes() for key, array in arrays.items()}
    rate = repr(optimizer.learning_rate).partition(" at ")[0]  # a function of a test is a new one each time
    return bits(net), arrays, optimizer.steps, rate, lists, random


def every_step(folder):
    return fnn.Checkpoint(folder, every=1, unit="steps")


def killed_at(monkeypatch, calls, before):
    """Kill the process at a number of writes from now on, before or after the file is replaced."""
    replace, count = atomic.replace, iter(range(1, 1 << 30))

    def dying(path, content):
        last = next(count) == calls
        if last and before:
            raise Killed
        replace(path, content)
        if last:
            raise Killed

    monkeypatch.setattr(atomic, "replace", dying)
    return lambda: monkeypatch.setattr(atomic, "replace", replace)


def until_done(start, kill):
    """Start a training again and again until it is not killed; return its result and how often it was."""
    for kills in range(1000):
        undo = kill()
        try:
            return start(), kills
        except Killed:
            pass
        finally:
            undo()
    raise AssertionError("the training never ends")


@pytest.mark.parametrize(("calls", "before"), [(1, False), (2, True), (5, False)])
@pytest.mark.parametrize("case", CASES)
def test_a_killed_training_ends_with_the_same_bits(monkeypatch, tmp_path, case, calls, before):
    want = trained(*CASES[case].start())
    result, kills = until_done(
        lambda: CASES[case].start(checkpoint=every_step(tmp_path), resume=True),
        lambda: killed_at(monkeypatch, calls, before),
    )
    assert kills > 0
    assert trained(*result) == want
    assert os.listdir(tmp_path) == [checkpoint.FILE]


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_writes_checkpoints_has_the_same_bits(tmp_path, case):
    assert trained(*CASES[case].start(checkpoint=every_step(tmp_path))) == trained(*CASES[case].start())


class Bomb(fnn.Callback):
    """Kills the process after an epoch, and remembers how many epochs it has seen."""

    def __init__(self, last):
        self.last = last

    def begin(self, net, history):
        self.seen = np.zeros(3)

    def epoch(self, net, history):
        self.seen[1] += history.epochs
        if history.epochs == self.last:
            raise Killed

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]


def test_a_training_killed_in_a_callback_ends_with_the_same_bits_and_the_callback_too(tmp_path):
    case = CASES["early stopping"]
    calm = Bomb(None)
    want = trained(*case.start(epochs=5, callbacks=[calm]))
    for last in (1, 3, 5):
        with pytest.raises(Killed):
            case.start(epochs=5, callbacks=[Bomb(last)], checkpoint=every_step(tmp_path), resume=True)
    bomb = Bomb(None)
    assert trained(*case.start(epochs=5, callbacks=[bomb], checkpoint=every_step(tmp_path), resume=True)) == want
    assert bomb.seen[1] == calm.seen[1] == 15


@pytest.mark.parametrize("call", [1, 2, 5, 6, 7, 12])
@pytest.mark.parametrize("case", ["Adam", "dropout", "batch norm"])
def test_ctrl_c_writes_a_checkpoint_at_the_last_step(monkeypatch, tmp_path, case, call):
    want = trained(*CASES[case].start())
    seldom = fnn.Checkpoint(tmp_path, every=1000)
    slices, count = Pace.slices, iter(range(1, 1000))

    def interrupted(self, steps, first=0):
        for pair in slices(self, steps, first):
            yield pair
            if next(count) == call:
                raise KeyboardInterrupt

    monkeypatch.setattr(Pace, "slices", interrupted)
    with pytest.raises(KeyboardInterrupt):
        CASES[case].start(checkpoint=seldom)
    monkeypatch.setattr(Pace, "slices", slices)
    assert fnn.load(seldom.file).optimizer.steps == call
    assert trained(*CASES[case].start(checkpoint=seldom, resume=True)) == want


def test_a_finished_training_is_not_changed_by_resuming_and_goes_on_with_more_epochs(tmp_path):
    case = CASES["early stopping"]
    for epochs in (2, 2, 3, 7, 30, 30, 40):
        got = trained(*case.start(epochs=epochs, checkpoint=str(tmp_path), resume=True))
        assert got == trained(*case.start(epochs=epochs))


def test_without_a_checkpoint_to_resume_from_training_starts_anew(tmp_path):
    case, folder = CASES["Adam"], tmp_path / "a" / "b"
    want = trained(*case.start())
    assert trained(*case.start(checkpoint=folder, resume=True)) == want
    case.start(checkpoint=folder, epochs=9)
    assert fnn.load(folder / "checkpoint.safetensors").optimizer.steps == 9 * 6
    assert trained(*case.start(checkpoint=folder)) == want  # resume=False replaces it
    assert fnn.load(folder / "checkpoint.safetensors").optimizer.steps == 4 * 6


def test_the_file_is_a_network_after_the_last_step_that_partial_fit_trains_on(tmp_path):
    net, optimizer, _ = CASES["Adam"].start(checkpoint=tmp_path)
    loaded = fnn.load(tmp_path / "checkpoint.safetensors")
    assert bits(loaded) == bits(net)
    assert (loaded.optimizer is not optimizer, repr(loaded.optimizer)) == (True, repr(optimizer))
    for twin in (net, loaded):
        twin.partial_fit(X, T, batch_size=4)
    assert bits(loaded) == bits(net)


def test_the_learning_rate_that_a_callback_sets_comes_back(monkeypatch, tmp_path):
    def halve(net, history):
        net.optimizer.learning_rate = 0.1 / 2**history.epochs

    case = Case({}, lambda: fnn.SGD(0.1), {}, lambda: [halve])
    want = trained(*case.start())
    result, _ = until_done(
        lambda: case.start(checkpoint=every_step(tmp_path), resume=True), lambda: killed_at(monkeypatch, 8, False)
    )
    assert trained(*result) == want
    assert result[1].learning_rate == 0.1 / 16


def test_a_function_that_a_callback_sets_as_learning_rate_is_refused_since_no_file_can_hold_it(tmp_path):
    def change(net, history):
        net.optimizer.learning_rate = lambda step: 0.1

    with pytest.raises(ValueError, match=r"^learning_rate of the optimizer must stay a number or a schedule"):
        Case({}, lambda: fnn.SGD(0.1), {}, lambda: [change]).start(checkpoint=tmp_path)


def test_a_resumed_training_shows_its_progress_from_where_it_goes_on(tmp_path, capsys):
    CASES["Adam"].start(epochs=3, checkpoint=tmp_path)
    CASES["Adam"].start(epochs=4, checkpoint=tmp_path, resume=True, progress=True)
    shown = capsys.readouterr()
    assert "epoch 4/4" in shown.out + shown.err and "epoch 3/4" not in shown.out + shown.err
    assert "24/24" in shown.err


def test_times_and_history_of_a_resumed_training_are_those_of_all_epochs(monkeypatch, tmp_path):
    (net, _, history), _ = until_done(
        lambda: CASES["Adam"].start(checkpoint=every_step(tmp_path), resume=True),
        lambda: killed_at(monkeypatch, 4, False),
    )
    assert net.history is history
    assert (history.epochs, len(history.seconds), len(history.samples_per_second), len(history.step_loss)) == (
        4,
        4,
        4,
        24,
    )
    assert all(seconds > 0 for seconds in history.seconds)


# Divergence


def growing(step):
    return 0.1 if step < 16 else 1e9


@pytest.mark.filterwarnings("ignore:the training loss is not finite")
@pytest.mark.parametrize("calls", [13, 14, 16])
@pytest.mark.parametrize("on_divergence", ["raise", "warn"])
def test_a_resumed_training_that_diverges_goes_back_to_the_last_good_epoch(monkeypatch, tmp_path, calls, on_divergence):
    options = {"on_divergence": on_divergence, "optimizer": None}

    def start(**more):
        optimizer = fnn.Momentum(growing)
        net = fnn.FNN((4, 5, 3), activation="relu", loss="squared_error", seed=1, dtype="float64")
        try:
            net.fit(X, X[:, :3], epochs=4, batch_size=4, **(options | {"optimizer": optimizer} | more))
        except fnn.DivergenceError as error:
            return net, optimizer, net.history, (error.epoch, error.step, error.learning_rate)
        return net, optimizer, net.history, None

    *want, error = start()
    kept = every_step(tmp_path)
    undo = killed_at(monkeypatch, calls, False)
    with pytest.raises(Killed):
        start(checkpoint=kept)
    undo()
    *got, again = start(checkpoint=kept, resume=True)
    assert (again, again is None) == (error, on_divergence == "warn")
    assert repr(trained(*got)[:4]) == repr(trained(*want)[:4])


# Disagreement


DIFFERENCES = {
    "batch_size 4, got 5": {"batch_size": 5},
    "sampling 'shuffle', got 'replacement'": {"sampling": "replacement"},
    "on_divergence 'raise', got 'warn'": {"on_divergence": "warn"},
    "optimizer 'Adam', got 'SGD'": {"optimizer": fnn.SGD(0.1)},
    "optimizer.beta1 0.9, got 0.8": {"optimizer": fnn.Adam(0.1, 0.8)},
    "learning_rate 0.1, got 0.2": {"optimizer": fnn.Adam(0.2)},
    "learning_rate 0.1, got {'schedule': 'Constant', 'rate': 0.1}": {
        "optimizer": fnn.Adam(fnn.schedules.Constant(0.1))
    },
    "optimizer.clip_norm None, got 1.0": {"optimizer": fnn.Adam(0.1, clip_norm=1)},
    "callbacks ['EarlyStopping'], got []": {"callbacks": None},
    "callbacks ['EarlyStopping'], got ['function']": {"callbacks": [lambda net, history: None]},
    "validation_data ['digest": {"validation_data": samples(count=8)},
    "sample_weight None, got 'digest": {"sample_weight": np.linspace(0, 1, 23)},
}


@pytest.mark.parametrize("message", DIFFERENCES)
def test_another_training_is_refused_and_nothing_is_changed(tmp_path, message):
    case = CASES["early stopping"]
    case.start(epochs=2, checkpoint=tmp_path)
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    net = fnn.FNN((4, 5, 3), activation="tanh", seed=1, dtype="float64", dropout=0.5, batch_norm=True)
    before = bits(net), net._rng.bit_generator.state
    options = {"epochs": 3, "batch_size": 4, "optimizer": fnn.Adam(0.1), "validation_data": HELD_OUT,
               "callbacks": [fnn.EarlyStopping(2)]} | DIFFERENCES[message]  # fmt: skip
    with pytest.raises(
        ValueError, match=r"resume=True must go on with the training of .*checkpoint\.safetensors"
    ) as caught:
        net.fit(X, T, checkpoint=tmp_path, resume=True, **options)
    assert message in str(caught.value)
    assert (bits(net), net._rng.bit_generator.state) == before
    assert (net.optimizer, net.history) == (None, None)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_sizes": (4, 6, 3)}, "layer_sizes [4, 5, 3], got [4, 6, 3]"),
        ({"activation": "relu"}, "activation ['tanh'], got ['relu']"),
        ({"dropout": 0.25}, "dropout 0.0, got 0.25"),
        ({"dtype": "float32"}, "dtype 'float64', got 'float32'"),
        (
            {"loss": fnn.losses.SoftmaxCrossEntropy(label_smoothing=0.5)},
            "loss_options {}, got {'label_smoothing': 0.5}",
        ),
    ],
)
def test_another_network_is_refused(tmp_path, options, message):
    CASES["Adam"].start(checkpoint=tmp_path)
    given = {"layer_sizes": (4, 5, 3), "activation": "tanh", "dtype": "float64", "weight_decay": 0.1} | options
    with pytest.raises(ValueError, match="resume=True") as caught:
        fnn.FNN(**given).fit(X, T, epochs=4, batch_size=4, optimizer=fnn.Adam(0.01), sampling="replacement",
                             checkpoint=tmp_path, resume=True)  # fmt: skip
    assert message in str(caught.value)


@pytest.mark.parametrize("change", ["x", "t", "fewer"])
def test_other_samples_are_refused(tmp_path, change):
    net, x, t = fnn.FNN((4, 3), seed=0), X.copy(), T.copy()
    net.fit(x, t, epochs=1, checkpoint=tmp_path)
    if change == "x":
        x[11] += 1
    elif change == "t":
        t[0] = (t[0] + 1) % 3
    else:
        x, t = x[:-1], t[:-1]
    with pytest.raises(ValueError, match=r"samples 23, got 22" if change == "fewer" else rf"{change} 'digest"):
        net.fit(x, t, epochs=1, checkpoint=tmp_path, resume=True)


def test_samples_of_other_dtypes_with_the_same_numbers_are_the_same(tmp_path):
    net, x = fnn.FNN((4, 3), seed=0), np.round(X, 2)
    net.fit(x, T, epochs=1, checkpoint=tmp_path)
    net.fit(np.asfortranarray(x.astype("float32")), T, epochs=2, checkpoint=tmp_path, resume=True)
    assert net.history.epochs == 2


# Arguments


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "path must be a str or a path-like object, got int", {"path": 3}),
        (ValueError, "path must be a folder, .* got the file a.safetensors", {"path": "a.safetensors"}),
        (ValueError, "path must be the name of a folder for the checkpoint, got an empty one", {"path": ""}),
        (ValueError, "unit must be one of epochs, steps, seconds; got 'hours'", {"unit": "hours"}),
        (TypeError, "every must be an int, got float", {"every": 0.5}),
        (ValueError, "every must be at least 1, got 0", {"every": 0, "unit": "steps"}),
        (ValueError, "every must be", {"every": -1.0, "unit": "seconds"}),
    ],
)
def test_wrong_arguments_of_a_checkpoint_are_refused(error, message, arguments):
    with pytest.raises(error, match=f"^{message}"):
        fnn.Checkpoint(**({"path": "runs"} | arguments))


def test_a_folder_may_be_named_by_a_text_of_numpy_and_be_there(tmp_path):
    for _ in range(2):
        fnn.FNN((4, 3), seed=0).fit(X, T, epochs=1, checkpoint=np.str_(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "resume=True needs the checkpoint to resume from, got checkpoint=None", {"resume": True}),
        (TypeError, "resume must be True or False, got str", {"checkpoint": "a", "resume": "yes"}),
        (TypeError, "checkpoint must be a Checkpoint or the path of a folder, got int", {"checkpoint": 3}),
        (NotADirectoryError, "checkpoint must be a folder, .* got the file", {"checkpoint": __file__}),
    ],
)
def test_wrong_arguments_of_fit_are_refused(error, message, arguments):
    net = fnn.FNN((4, 3), seed=0)
    with pytest.raises(error, match=message):
        net.fit(X, T, **arguments)
    assert net.history is None


def test_a_saved_network_is_no_checkpoint(tmp_path):
    net = fnn.FNN((4, 3), seed=0)
    net.fit(X, T, epochs=1)
    for training in (False, True):
        net.save(tmp_path / checkpoint.FILE, training=training)
        with pytest.raises(ValueError, match=r"checkpoint\.safetensors must be a checkpoint to resume from"):
            net.fit(X, T, checkpoint=tmp_path, resume=True)


class OwnRule(fnn.SGD):
    pass


class Rich(fnn.Callback):
    def state(self):
        return {"a": {1, 2}}


def test_what_no_file_can_hold_is_refused_at_the_beginning(tmp_path):
    net = fnn.FNN((4, 3), seed=0)
    with pytest.raises(ValueError, match=r"class of fastfnn\.optimizers to be saved, got OwnRule"):
        net.fit(X, T, optimizer=OwnRule(0.1), checkpoint=tmp_path)
    with pytest.raises(
        TypeError, match=r"^callbacks\[0\]\.state\(\)\.a must be what JSON can hold, or an array; got set"
    ):
        net.fit(X, T, callbacks=[Rich()], checkpoint=tmp_path)
    assert os.listdir(tmp_path) == []


# When it is written


def writes(monkeypatch, tmp_path, times=None, **arguments):
    """The number of steps at each write of a training of 4 epochs of 6 steps, with the clock at these times."""
    written = []
    write = keeper.Keeper._write

    def noting(self, *more):
        written.append(self.loop.state.taken)
        write(self, *more)

    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "_write", noting)
        if times is not None:
            patch.setattr(keeper.time, "monotonic", times)
        CASES["dropout"].start(checkpoint=fnn.Checkpoint(tmp_path, **arguments))
    return written


def test_a_checkpoint_is_written_as_often_as_asked(monkeypatch, tmp_path):
    assert writes(monkeypatch, tmp_path, every=2) == [12, 24]
    assert writes(monkeypatch, tmp_path, every=5, unit="steps") == [5, 10, 15, 20, 24]
    assert writes(monkeypatch, tmp_path) == [24]
    clock = iter(range(10**6))
    assert len(writes(monkeypatch, tmp_path, lambda: next(clock), every=3, unit="seconds")) > 4
    clock = iter(range(0, 10**8, 6))  # writing takes 6 seconds: 2 % of 300
    assert writes(monkeypatch, tmp_path, lambda: next(clock)) == [2, 24]


def test_a_checkpoint_that_cannot_be_written_ends_training_after_a_whole_step(monkeypatch, tmp_path):
    case = CASES["Adam"]
    replace, count = atomic.replace, iter(range(100))

    def full(path, content):
        if next(count) == 8:
            raise OSError(28, "No space left on device", path)
        replace(path, content)

    monkeypatch.setattr(atomic, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        case.start(checkpoint=every_step(tmp_path))
    monkeypatch.undo()
    assert fnn.load(tmp_path / checkpoint.FILE).optimizer.steps == 8
    assert trained(*case.start(checkpoint=tmp_path, resume=True)) == trained(*case.start())


def test_what_killed_processes_have_left_is_removed(tmp_path):
    old, young, other = tmp_path / ".fastfnn-1.tmp", tmp_path / ".fastfnn-2.tmp", tmp_path / "other.tmp"
    for path in (old, young, other):
        path.write_text("x")
    os.utime(old, (0, 0))
    CASES["Adam"].start(checkpoint=tmp_path)
    assert sorted(os.listdir(tmp_path)) == [young.name, checkpoint.FILE, other.name]


# A process that is killed


PROGRAM = """
import sys
import numpy as np
import fastfnn as fnn

rng = np.random.default_rng(0)
x, t = rng.standard_normal((4000, 16)), rng.integers(0, 10, 4000)
net = fnn.FNN((16, 50, 10), activation="tanh", seed=1, dropout=0.3, dtype="float64")
often = fnn.Checkpoint(sys.argv[1], every=0.01, unit="seconds")
net.fit(x, t, epochs=30, optimizer=fnn.Adam(), checkpoint=often, resume=True)
print(net.params.flat.sum(dtype="float64"), net.history.step_loss.sum())
"""


@pytest.mark.jit
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
def test_a_process_that_is_killed_and_resumed_prints_the_same_numbers(tmp_path):
    def process(name):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / name)], stdout=subprocess.PIPE, env=environment
        )

    want, _ = process("calm").communicate(timeout=300)
    file, kills = pathlib.Path(tmp_path, "killed", checkpoint.FILE), 0
    for delay in (0.0, 0.1):
        child, before = process("killed"), file.stat().st_mtime_ns if file.exists() else 0
        while child.poll() is None and (not file.exists() or file.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
    got, _ = process("killed").communicate(timeout=300)
    assert kills > 0
    assert got == want != b""


# Files that hold what training goes on with


def test_metadata_of_a_checkpoint_are_json_for_other_tools(tmp_path):
    from safetensors import safe_open

    CASES["schedule"].start(checkpoint=tmp_path)
    with safe_open(tmp_path / checkpoint.FILE, framework="numpy") as file:
        told = json.loads(file.metadata()["training"])
        assert file.get_tensor("training.optimizer.first").shape == (43,)
        assert file.get_tensor("training.fit.history.loss").shape == (4,)
    assert told["optimizer"]["learning_rate"] == {"schedule": "Cosine", "rate": 0.1, "steps": 20, "final": 0.0}
    assert told["random_state"]["name"] == "PCG64"
    assert (told["fit"]["epochs"], told["fit"]["steps"], told["fit"]["asked"]["batch_size"]) == (4, 24, 4)
