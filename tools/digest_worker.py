"""A process with one version of fastfnn, which trains networks for digest.py and answers with hashes of the results:

    python tools/digest_worker.py .asv/regress/0123456789abcdef/site

The argument is the folder that fastfnn must come from. Requests and answers are lines of JSON, see
fastfnn/bench/child.py:

    {"do": "list"}                                      {"networks": ["tanh, float32"]}
    {"do": "hash", "name": "...", "threads": [1, 2]}    {"1": {"parameters": "0123456789abcdef"}, "2": {...}}

or {"error": "why"}. Versions that are years apart run this file, so it uses the public API only.
"""

import hashlib
import math
import pathlib
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from builds import check_origin
from child import serve
from names import ACTIVATIONS


def networks() -> dict[str, dict[str, Any]]:
    """The networks by name. Sizes are odd, so that vectors and tiles have remainders.

    net      arguments of `FNN`
    fit      arguments of `fit`; the optimizer is a function that makes one
    samples  how many there are
    rows     whether targets are rows instead of labels
    weights  whether samples have weights
    """
    import fastfnn as fnn

    found: dict[str, dict[str, Any]] = {}

    def add(
        name: str, sizes: Sequence[int], samples: int = 90, *, net: Any = None, fit: Any = None, **more: Any
    ) -> None:
        for dtype in ("float32", "float64"):
            arguments = {"layer_sizes": sizes, "dtype": dtype, "seed": 1, **(net or {})}
            training = {"epochs": 2, "batch_size": 32, **(fit or {})}
            found[f"{name}, {dtype}"] = {"net": arguments, "fit": training, "samples": samples, **more}

    def optimizer(name: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        return {"optimizer": lambda: getattr(fnn, name)(*(arguments or (0.01,)), **options)}

    # Activations, losses and update rules
    small = (7, 13, 9, 5)
    for name in ACTIVATIONS:
        add(name, small, net={"activation": name})
    own = fnn.Activation(lambda x: math.log1p(math.exp(x)), lambda x, y: 1 - math.exp(-y), name="own")
    add("own", small, net={"activation": own})
    add("two activations", small, net={"activation": ["tanh", "gelu"]})
    for loss in ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"):
        add(f"{loss} of rows", small, net={"loss": loss}, rows=True)
        add(f"{loss}, one output", (7, 13, 1), net={"loss": loss}, rows=True)
    for name in ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW"):
        add(name, small, fit=optimizer(name))
        clipped = optimizer(name, 0.01, clip_norm=0.5)
        add(f"{name} with clipping and decay", small, net={"weight_decay": 0.01}, fit=clipped)
    adam = optimizer("Adam")
    add("Adam of the book", small, fit=optimizer("Adam", 0.01, book=True))
    add("a schedule", small, fit={"optimizer": lambda: fnn.SGD(fnn.schedules.Cosine(0.1, steps=6))})

    # Options of networks and of training
    add("dropout", small, net={"dropout": 0.3})
    add("dropout of the book", small, net={"dropout": 0.3, "book": True})
    add("batch normalization", small, net={"batch_norm": True})
    both = {"batch_norm": True, "dropout": 0.2, "activation": "elu"}
    add("batch normalization with dropout", (7, 40, 33, 5), net=both)
    add("weights of samples", small, weights=True)
    add("weights of classes", small, fit={"class_weight": "balanced"})
    add("drawn with replacement", small, fit={"sampling": "replacement"})
    add("full batch", small, fit={"batch_size": None})
    add("no hidden layer", (7, 5))
    add("one unit in each layer", (1, 1, 1), net={"loss": "squared_error"}, rows=True)

    # One sample a step
    single = {"batch_size": 1}
    add("one sample a step", small, fit=single)
    add("one sample a step, three layers", (70, 50, 20, 10), fit=single, net={"weight_decay": 0.01})
    gelu = {"activation": "gelu"}
    add("one sample a step, slopes and weights", (33, 50, 10), net=gelu, fit=single, weights=True)
    add("one sample a step with state", small, fit=single | optimizer("Momentum"))
    add("one sample a step, wide", (784, 400, 10), 40, fit=single)

    # Shapes that take other paths through the products and through a step
    notes = (784, 50, 10)
    for batch in (1, 3, 15, 16, 29, 100):
        add(f"the notes on {batch}", notes, 230, net={"activation": "sigmoid"}, fit={"batch_size": batch, "epochs": 1})
    add("the notes in Adam", notes, 230, fit=adam)
    add("weights split by columns", (300, 300, 300, 10), 70)
    add("weights split by columns in Adam", (300, 300, 300, 10), 70, fit=adam)
    gentle = {"batch_size": 128, "optimizer": lambda: fnn.SGD(0.001)}  # a larger rate diverges
    add("layers that widen", (50, 500, 1), 260, fit=gentle, net={"loss": "squared_error"}, rows=True)
    add("layers that widen in Adam", (20, 600, 3), 260, fit={"batch_size": 128, **adam})
    add("tall batches", (30, 64, 64, 3), 1300, fit={"batch_size": 600})
    add("tall batches, an odd rest", (4, 32, 16, 4), 5001, fit={"batch_size": None, **adam})
    clipped = {"batch_size": 320, **optimizer("Adam", 0.01, clip_norm=0.1)}
    add("tall batches with clipping", (20, 50, 50, 3), 700, fit=clipped)
    dropped = {"dropout": 0.2}
    add(
        "tall batches with dropout and weights",
        (20, 50, 50, 3),
        700,
        net=dropped,
        fit={"batch_size": 320},
        weights=True,
    )
    add("five blocks", (30, 64, 64, 3), 1300, fit={"batch_size": None})
    deep = {"batch_size": 1100, "epochs": 1}
    add("deep batches", (200, 300, 200, 10), 1300, fit=deep)
    add("deep batches in Adam", (200, 300, 200, 10), 1300, fit=deep | adam)
    add("columns of 48, 20 and 10", (64, 48, 20, 10), 200)
    add("columns of 100, 33 and 3", (65, 100, 33, 3), 200)
    add("columns of 131 and 17", (31, 131, 17, 2), 200)
    add("wide rows", (784, 1100, 10), 120, fit={"batch_size": 60, "epochs": 1})
    add("packed predictions", (200, 200, 10), 1700, fit={"batch_size": 500, "epochs": 1})
    return found


def results_of(case: dict[str, Any]) -> dict[str, list[Any]]:
    """Everything that a network computes, as lists of arrays by name."""
    import fastfnn as fnn

    rng = np.random.default_rng(5)
    net = fnn.FNN(**case["net"])
    count, inputs, outputs = case["samples"], net.layer_sizes[0], net.layer_sizes[-1]
    x = rng.standard_normal((count, inputs)).astype(net.dtype)
    labels = rng.integers(outputs, size=count)
    t: np.ndarray = labels
    if case.get("rows"):
        t = np.eye(outputs, dtype=net.dtype)[labels]  # with one output all targets are 1
    fit = {"optimizer": lambda: fnn.SGD(0.05), **case["fit"]}
    fit["optimizer"] = fit["optimizer"]()
    if case.get("weights"):
        fit["sample_weight"] = rng.random(count).astype(net.dtype)
    other = np.float64 if net.dtype == np.float32 else np.float32
    batch = slice(0, min(count, 61))

    def parameters() -> list[Any]:
        return [value.copy() for value in net.params.values()]

    results = {"initial parameters": parameters()}
    results["gradient before"] = list(net.gradient(x[batch], t[batch]).values())
    history = net.fit(x, t, **fit)
    results["parameters"] = parameters()
    results["step losses"] = [np.asarray(history.step_loss)]
    results["loss"] = [np.float64(net.loss(x, t)), np.float64(net.loss(x[batch], t[batch]))]
    results["predictions"] = [net.predict(x), net.predict(x[0]), net.predict(x[::-1, ::-1])]
    results["gradient"] = list(net.gradient(x[batch], t[batch]).values())
    results["gradient of all samples"] = list(net.gradient(x, t).values())
    results["gradient of the other dtype"] = list(net.gradient(x[batch].astype(other), t[batch]).values())
    net.partial_fit(np.asfortranarray(x), t, batch_size=case["fit"]["batch_size"])
    results["parameters after partial_fit"] = parameters()
    return results


def digests_of(results: dict[str, list[Any]]) -> dict[str, str]:
    """The arrays of each name as a hash of their bytes."""
    joined = {name: b"".join(np.asarray(array).tobytes() for array in arrays) for name, arrays in results.items()}
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in joined.items()}


class Worker:
    """Answers requests about the networks."""

    def __init__(self) -> None:
        self.networks = networks()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; an exception becomes an answer too."""
        import fastfnn as fnn

        try:
            match request:
                case {"do": "list"}:
                    return {"networks": list(self.networks)}
                case {"do": "hash", "name": name, "threads": numbers}:
                    answer = {}
                    for threads in numbers:
                        fnn.set_num_threads(threads)
                        answer[str(threads)] = digests_of(results_of(self.networks[name]))
                    return answer
                case other:
                    raise ValueError(f"the request is {other}, expected list or hash with its arguments")
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def main(site: str) -> None:
    """Answer requests until standard input ends."""

    def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
        check_origin(pathlib.Path(site))
        warnings.simplefilter("ignore", RuntimeWarning)  # some of the networks diverge
        return Worker().answer

    serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
