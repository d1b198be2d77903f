"""Does a version of fastfnn compute the same bits as another one?

    python tools/digest.py 1a1abb0                    the commit against the working tree
    python tools/digest.py 1a1abb0 --new HEAD --only tanh

Both versions train the networks below on this machine, each in a process of its own, on one thread and on two: what
they give (parameters, losses of the steps, gradients, losses and predictions) is hashed and compared. It names every
network whose bits differ and ends with 1 if there is one. Versions are compared on one machine only: processors differ
in their vectors, and so in the last bits.

A change that moves or renames code changes no bits. One that changes them on purpose says so in its commit.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
HOME = ROOT / ".asv/regress"
THREADS = (1, 2)


# The networks. Each is named by what it is there for; sizes are odd so that vectors and tiles have remainders.


def networks() -> dict[str, dict[str, Any]]:
    """The networks by name: arguments of `FNN` under "net", of `fit` under "fit", and the number of samples."""
    import fastfnn as fnn

    found: dict[str, dict[str, Any]] = {}

    def add(
        name: str, sizes: Sequence[int], samples: int = 90, *, net: Any = None, fit: Any = None, **more: Any
    ) -> None:
        for dtype in ("float32", "float64"):
            arguments = {"layer_sizes": sizes, "dtype": dtype, "seed": 1, **(net or {})}
            training = {"epochs": 2, "batch_size": 32, **(fit or {})}
            found[f"{name}, {dtype}"] = {"net": arguments, "fit": training, "samples": samples, **more}

    small = (7, 13, 9, 5)
    own = fnn.Activation(lambda x: math.log1p(math.exp(x)), lambda x, y: 1 - math.exp(-y), name="own")
    for activation in (
        "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", own,
        ["tanh", "gelu"],
    ):  # fmt: skip
        title = activation if isinstance(activation, str) else getattr(activation, "name", "two activations")
        add(title, small, net={"activation": activation})
    for loss in ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"):
        add(f"{loss} of rows", small, net={"loss": loss}, rows=True)
        add(f"{loss}, one output", (7, 13, 1), net={"loss": loss}, rows=True)
    for name in ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW"):
        optimizer = getattr(fnn, name)
        add(name, small, fit={"optimizer": lambda make=optimizer: make(0.01)})
        add(f"{name} with clipping and decay", small, net={"weight_decay": 0.01},
            fit={"optimizer": lambda make=optimizer: make(0.01, clip_norm=0.5)})  # fmt: skip
    add("Adam of the book", small, fit={"optimizer": lambda: fnn.Adam(0.01, book=True)})
    add("a schedule", small, fit={"optimizer": lambda: fnn.SGD(fnn.schedules.Cosine(0.1, steps=6))})
    add("dropout", small, net={"dropout": 0.3})
    add("dropout of the book", small, net={"dropout": 0.3, "book": True})
    add("batch normalization", small, net={"batch_norm": True})
    add(
        "batch normalization with dropout",
        (7, 40, 33, 5),
        net={"batch_norm": True, "dropout": 0.2, "activation": "elu"},
    )
    add("weights of samples", small, weights=True)
    add("weights of classes", small, fit={"class_weight": "balanced"})
    add("drawn with replacement", small, fit={"sampling": "replacement"})
    add("full batch", small, fit={"batch_size": None})
    add("no hidden layer", (7, 5))
    add("one unit in each layer", (1, 1, 1), net={"loss": "squared_error"}, rows=True)
    add("one sample a step", small, fit={"batch_size": 1})
    add("one sample a step, three layers", (70, 50, 20, 10), fit={"batch_size": 1}, net={"weight_decay": 0.01})
    add(
        "one sample a step, slopes and weights",
        (33, 50, 10),
        net={"activation": "gelu"},
        fit={"batch_size": 1},
        weights=True,
    )
    add("one sample a step with state", small, fit={"batch_size": 1, "optimizer": lambda: fnn.Momentum(0.01)})
    add("one sample a step, wide", (784, 400, 10), 40, fit={"batch_size": 1})
    for batch in (1, 3, 15, 16, 29, 100):
        add(
            f"the notes on {batch}",
            (784, 50, 10),
            230,
            net={"activation": "sigmoid"},
            fit={"batch_size": batch, "epochs": 1},
        )
    add("the notes in Adam", (784, 50, 10), 230, fit={"optimizer": lambda: fnn.Adam(0.01)})
    add("weights split by columns", (300, 300, 300, 10), 70)
    add("weights split by columns in Adam", (300, 300, 300, 10), 70, fit={"optimizer": lambda: fnn.Adam(0.01)})
    add("layers that widen", (50, 500, 1), 260, fit={"batch_size": 128}, net={"loss": "squared_error"}, rows=True)
    add("layers that widen in Adam", (20, 600, 3), 260, fit={"batch_size": 128, "optimizer": lambda: fnn.Adam(0.01)})
    add("tall batches", (30, 64, 64, 3), 1300, fit={"batch_size": 600})
    add(
        "tall batches, an odd rest", (4, 32, 16, 4), 5001, fit={"batch_size": None, "optimizer": lambda: fnn.Adam(0.01)}
    )
    add(
        "tall batches with clipping",
        (20, 50, 50, 3),
        700,
        fit={"batch_size": 320, "optimizer": lambda: fnn.Adam(0.01, clip_norm=0.1)},
    )
    add(
        "tall batches with dropout and weights",
        (20, 50, 50, 3),
        700,
        net={"dropout": 0.2},
        fit={"batch_size": 320},
        weights=True,
    )
    add("five blocks", (30, 64, 64, 3), 1300, fit={"batch_size": None})
    add("deep batches", (200, 300, 200, 10), 1300, fit={"batch_size": 1100, "epochs": 1})
    add(
        "deep batches in Adam",
        (200, 300, 200, 10),
        1300,
        fit={"batch_size": 1100, "epochs": 1, "optimizer": lambda: fnn.Adam(0.01)},
    )
    add("columns of 48, 20 and 10", (64, 48, 20, 10), 200)
    add("columns of 100, 33 and 3", (65, 100, 33, 3), 200)
    add("columns of 131 and 17", (31, 131, 17, 2), 200)
    add("wide rows", (784, 1100, 10), 120, fit={"batch_size": 60, "epochs": 1})
    add("packed predictions", (200, 200, 10), 1700, fit={"batch_size": 500, "epochs": 1})
    return found


def hashed(case: dict[str, Any]) -> dict[str, str]:
    """What a network computes, as digests by name."""
    import numpy as np

    import fastfnn as fnn

    rng = np.random.default_rng(5)
    net = fnn.FNN(**case["net"])
    count, inputs, outputs = case["samples"], net.layer_sizes[0], net.layer_sizes[-1]
    x = rng.standard_normal((count, inputs)).astype(net.dtype)
    labels = rng.integers(outputs, size=count)
    t: np.ndarray = labels
    if case.get("rows"):
        t = np.eye(outputs, dtype=net.dtype)[labels]  # with one output: ones
    fit = dict(case["fit"])
    fit["optimizer"] = fit.get("optimizer", lambda: fnn.SGD(0.05))()
    if case.get("weights"):
        fit["sample_weight"] = rng.random(count).astype(net.dtype)
    other = np.float64 if net.dtype == np.float32 else np.float32
    batch = slice(0, min(count, 61))
    results = {"initial parameters": [net._flat.copy()]}
    results["gradient before"] = list(net.gradient(x[batch], t[batch]).values())
    history = net.fit(x, t, **fit)
    results["parameters"] = [net._flat]
    results["step losses"] = [history.step_loss]
    results["loss"] = [np.float64(net.loss(x, t)), np.float64(net.loss(x[batch], t[batch]))]
    results["predictions"] = [net.predict(x), net.predict(x[0]), net.predict(x[::-1, ::-1])]
    results["gradient"] = list(net.gradient(x[batch], t[batch]).values())
    results["gradient of all samples"] = list(net.gradient(x, t).values())
    results["gradient of the other dtype"] = list(net.gradient(x[batch].astype(other), t[batch]).values())
    net.partial_fit(np.asfortranarray(x), t, batch_size=case["fit"]["batch_size"])
    results["parameters after partial_fit"] = [net._flat]
    return {name: hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()[:16]
            for name, arrays in results.items()}  # fmt: skip


def worker(only: str) -> None:
    """Print a line of JSON for each network: its name and its digests, for each number of threads."""
    import warnings

    import fastfnn as fnn

    warnings.simplefilter("ignore", RuntimeWarning)
    for name, case in networks().items():
        if only not in name:
            continue
        result = {}
        for threads in THREADS:
            fnn.set_num_threads(threads)
            result[str(threads)] = hashed(case)
        print(json.dumps([name, result]), flush=True)


def run(site: pathlib.Path, cache: pathlib.Path, only: str) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """The worker's lines for the version that lies in a folder."""
    variables = {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(max(THREADS))}
    command = [sys.executable, "-P", __file__, "--worker", "--only", only, "-"]
    with subprocess.Popen(command, env=os.environ | variables, cwd=site, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            name, result = json.loads(line)
            yield name, result
    if process.returncode:
        raise SystemExit(f"the process with {site} ended with {process.returncode}")


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two versions, or between numbers of threads of the new one."""
    found = []
    for threads in map(str, THREADS):
        found += [f"{what} on {threads}" for what, bits in old[threads].items() if new[threads].get(what) != bits]
    first, second = map(str, THREADS)
    found += [f"{what} by threads" for what, bits in new[first].items() if new[second][what] != bits]
    return found


def main(arguments: Sequence[str] | None = None, say: Callable[[str], object] = print) -> int:
    """Compare two versions; 1 if any bits differ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", help="a commit, or a folder with fastfnn/ and kernels/ in it")
    parser.add_argument("--new", default=str(ROOT), help="the version to compare with it (default: the working tree)")
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.worker:
        worker(chosen.only)
        return 0
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from regress import build

    old, new = (build(version, HOME) for version in (chosen.base, chosen.new))
    before = dict(run(old.site, old.cache, chosen.only))
    count = wrong = 0
    for name, result in run(new.site, new.cache, chosen.only):
        count += 1
        if found := differences(before[name], result):
            wrong += 1
            say(f"{name}: {', '.join(found)}")
    say(f"{count} networks, {count - wrong} with the same bits, {wrong} with others")
    return 1 if wrong or count != len(before) else 0


if __name__ == "__main__":
    sys.exit(main())
