"""Kill trainings at random moments, resume them, and compare what they end with, bit for bit, with undisturbed ones.

    python tools/kills.py --kills 100 --seed 1

Each configuration is trained once undisturbed, on one thread, in a child process. Then it is started again with
checkpoints, killed by SIGKILL and resumed, on one thread or on two at random, until it ends; some kills come at a
random moment, some while a checkpoint is being written. Parameters, running statistics, the optimizer's state, the
random state and all losses must be the same. The exit status is 1 if any differ. Needs POSIX.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastfnn as fnn
from fastfnn.checkpoint import FILE
from fastfnn.history import PER_EPOCH
from fastfnn.sklearn import MLPClassifier, MLPRegressor

KILLS_PER_TRAINING = 5
EVERY = 0.03  # seconds between two checkpoints
LONGEST = 300.0  # seconds for a child

INPUTS, CLASSES = 20, 5

NETWORK: dict[str, Any] = {"seed": 1, "activation": "tanh"}

Digests = dict[str, str]


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples and labels that can be learned in part."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, INPUTS))
    return x, (x[:, :CLASSES] + rng.standard_normal((samples, CLASSES))).argmax(axis=1)


def network(
    epochs: int, optimizer: Callable[[], fnn.optimizers.Optimizer], samples: int = 3000,
    fit: dict[str, Any] | None = None, stops: bool = False, **options: Any,
) -> Callable[[dict[str, Any], float], Digests]:  # fmt: skip
    """A training of an FNN: a function of the arguments for checkpoints and the share of the epochs to train."""

    def train(kept: dict[str, Any], scale: float) -> Digests:
        x, t = data(samples)
        net = fnn.FNN((INPUTS, 64, 32, CLASSES), **(NETWORK | options))
        rule = optimizer()
        more: dict[str, Any] = {"batch_size": 50, "epochs": max(round(epochs * scale), 1)} | (fit or {})
        if stops:
            more |= {"validation_data": data(samples + 500), "callbacks": [fnn.EarlyStopping(epochs // 4)]}
        history = net.fit(x, t, optimizer=rule, **more, **kept)
        state = [*rule.flat_state(net.params), np.array([rule.steps])]
        lists = [np.array(getattr(history, name)) for name in PER_EPOCH if "second" not in name]
        return digests(net, state, [*lists, history.step_loss], net._rng.bit_generator.state)

    return train


def estimator(make: Callable[[], Any], samples: int = 3000) -> Callable[[dict[str, Any], float], Digests]:
    """A training of an estimator, see `network`."""

    def train(kept: dict[str, Any], scale: float) -> Digests:
        x, t = data(samples)
        model = make()
        model.set_params(max_iter=max(round(model.max_iter * scale), 1)).fit(x, t, **kept)
        rule = model._optimizer
        state = [*rule.flat_state(model.network_.params), np.array([rule.steps, rule.learning_rate])]
        numbers = [model.loss_, model.best_loss_, model.n_iter_, model.t_, model.best_validation_score_]
        lists = [np.array(model.loss_curve_), np.array(model.validation_scores_, float), np.array(numbers, float)]
        return digests(model.network_, state, lists, [item.tolist() for item in map(np.asarray, random_state(model))])

    return train


def random_state(model: Any) -> tuple[Any, ...]:
    return model._random_state.get_state()  # type: ignore[no-any-return]


def digests(net: fnn.FNN, state: list[np.ndarray], losses: list[np.ndarray], drawn: Any) -> Digests:
    """What is compared, by name."""
    return {
        "parameters": digest([net.params.flat]),
        "statistics": digest([net._statistics]),
        "optimizer": digest(state),
        "losses": digest(losses),
        "random state": repr(drawn),
    }


def digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


SMALL: dict[str, Any] = {"hidden_layer_sizes": (64, 32), "random_state": 3, "max_iter": 120}

CONFIGURATIONS = {
    "SGD, dropout": network(150, lambda: fnn.SGD(0.1), dropout=0.3),
    "Momentum, batch norm": network(120, lambda: fnn.Momentum(0.01), batch_norm=True),
    "Adam, dropout, batch norm": network(100, fnn.Adam, dropout=0.2, batch_norm=True, dtype="float64"),
    "Nesterov, schedule": network(150, lambda: fnn.Nesterov(fnn.schedules.Cosine(0.1, steps=9000))),
    "AdamW, clipped": network(120, lambda: fnn.AdamW(0.01, clip_norm=1.0), weight_decay=1e-4),
    "AdaGrad, own schedule": network(150, lambda: fnn.AdaGrad(lambda step: 0.1 / (1 + step / 1000))),
    "RMSprop, replacement": network(150, fnn.RMSprop, fit={"sampling": "replacement"}),
    "SGD, batch 1": network(12, lambda: fnn.SGD(0.01), fit={"batch_size": 1}, dropout=0.2),
    "Momentum, full batch": network(400, lambda: fnn.Momentum(0.05), fit={"batch_size": None}, batch_norm=True),
    "Adam, one long epoch": network(1, fnn.Adam, samples=400_000, dropout=0.1),
    "Adam, warns": network(120, fnn.Adam, fit={"on_divergence": "warn"}, activation="relu"),
    "Adam, early stopping": network(60, fnn.Adam, stops=True, dropout=0.1, batch_norm=True),
    "SGD, own activation": network(100, lambda: fnn.SGD(0.1), activation=fnn.Activation(np.sin, np.cos)),
    "classifier, early stopping": estimator(lambda: MLPClassifier(**SMALL, early_stopping=True, n_iter_no_change=90)),
    "classifier, adaptive": estimator(lambda: MLPClassifier(
        **SMALL, solver="sgd", learning_rate="adaptive", learning_rate_init=0.1, n_iter_no_change=2, dropout=0.2)),
    "regressor, early stopping": estimator(lambda: MLPRegressor(**SMALL, early_stopping=True, n_iter_no_change=90)),
    "regressor, batch norm": estimator(lambda: MLPRegressor(**SMALL, batch_norm=True, optimizer="rmsprop")),
}  # fmt: skip


class Training:
    """A configuration that is trained in child processes."""

    def __init__(self, name: str, scale: float, folder: pathlib.Path) -> None:
        self.train, self.scale, self.folder, self.result = CONFIGURATIONS[name], scale, folder, folder / "result.json"

    def child(self, threads: int, kept: dict[str, Any]) -> int:
        """Start a child that trains and writes what it ends with; return its id."""
        self.result.unlink(missing_ok=True)
        pid = os.fork()  # no kernel has run in this process, so it has no threads of its own
        if pid:
            return pid
        status = 1
        try:
            fnn.set_num_threads(threads)
            result = self.train(kept, self.scale)
            partial = self.result.with_suffix(".partial")
            partial.write_text(json.dumps(result))
            partial.rename(self.result)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def undisturbed(self) -> tuple[Digests, float]:
        """What the training ends with, and its seconds."""
        start = time.monotonic()
        wait(self.child(1, {}), start + LONGEST, lambda: False)
        return json.loads(self.result.read_text()), time.monotonic() - start

    def disturbed(self, rng: random.Random, kills: int, seconds: float) -> tuple[Digests, int, int]:
        """What the training ends with after at most so many kills, how many there were, and how many in a write."""
        done = writing = 0
        while True:
            kept = {"checkpoint": fnn.Checkpoint(self.folder / "kept", every=EVERY, unit="seconds"), "resume": True}
            pid = self.child(rng.randint(1, 2), kept)
            deadline = time.monotonic() + LONGEST
            if done == kills:
                wait(pid, deadline, lambda: False)
            elif wait(pid, deadline, self.moment(rng, seconds)):
                done += 1
                writing += bool(self.temporaries())
            if self.result.exists():
                return json.loads(self.result.read_text()), done, writing

    def moment(self, rng: random.Random, seconds: float) -> Callable[[], bool]:
        """A function that says when to kill: after a random time, in half of the cases then in the next write."""
        start, delay, in_write = time.monotonic(), rng.uniform(0, seconds / 2), rng.random() < 0.5
        before = self.temporaries()
        return lambda: time.monotonic() - start > delay and (not in_write or self.temporaries() != before)

    def temporaries(self) -> set[str]:
        """The unfinished files of the folder; an earlier kill may have left some."""
        with contextlib.suppress(FileNotFoundError):
            return {name for name in os.listdir(self.folder / "kept") if name != FILE}
        return set()


def wait(pid: int, deadline: float, kill: Callable[[], bool]) -> bool:
    """Wait for a child; return whether it was killed, once `kill` says so."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if kill() or time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            break
        time.sleep(0.0005)
    if time.monotonic() > deadline:
        raise RuntimeError(f"a training has not ended within {LONGEST:g} seconds")
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a training has failed: see above")
    return os.WIFSIGNALED(status)


def run(name: str, kills: int, scale: float, seed: int) -> bool:
    """Kill a configuration so many times, in several trainings; print a line and return whether all were equal."""
    rng, done, writing, trainings, different = random.Random(f"{seed} {name}"), 0, 0, 0, set()
    with tempfile.TemporaryDirectory() as folder:
        want, seconds = Training(name, scale, pathlib.Path(folder)).undisturbed()
    while done < kills:
        with tempfile.TemporaryDirectory() as folder:
            training = Training(name, scale, pathlib.Path(folder))
            got, more, written = training.disturbed(rng, min(KILLS_PER_TRAINING, kills - done), seconds)
        done, writing, trainings = done + more, writing + written, trainings + 1
        different |= {part for part in want if got[part] != want[part]}
    verdict = f"NOT EQUAL: {', '.join(sorted(different))}" if different else "equal"
    print(f"{name:28} {seconds:8.1f} {trainings:9} {done:6} {writing:10} {verdict}", flush=True)
    return not different


def main() -> int:
    warnings.simplefilter("ignore")  # of trainings that have not converged
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="configurations whose name contains this")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the epochs to train")
    arguments = parser.parse_args()
    names = [name for name in CONFIGURATIONS if arguments.only in name]
    print(f"{'configuration':28} {'seconds':>8} {'trainings':>9} {'kills':>6} {'in a write':>10}")
    equal = True
    for i, name in enumerate(names):
        kills = arguments.kills * (i + 1) // len(names) - arguments.kills * i // len(names)
        equal &= run(name, kills, arguments.scale, arguments.seed)
    print(f"{arguments.kills} kills: {'all trainings ended with the same bits' if equal else 'NOT ALL EQUAL'}")
    return not equal


if __name__ == "__main__":
    sys.exit(main())
