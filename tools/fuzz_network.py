"""Cases of whole networks for fuzz.py: predictions, losses, gradients and training, against the reference in float64.

All is computed on several numbers of threads and must have the same bits; then it is compared with the reference, which
gets the same initial parameters and the inputs as the network converts them.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from fuzz_arrays import digest, laid_out, random_numbers, unchanged
from fuzz_cases import OPTIMIZERS, Case
from fuzz_rounding import Comparison, Results

import fastfnn as fnn

# Activations that a user defines. They are compiled once for a folder of the cache.
OWN = {
    "own sine": fnn.Activation(np.sin, np.cos, name="own sine"),
    "own softsign": fnn.Activation(
        lambda x: x / (1 + abs(x)), lambda x, y: (1 - abs(y)) * (1 - abs(y)), name="own softsign"
    ),
}
# And a loss.
OWN_LOSSES = {
    "own log cosh": fnn.Loss(
        lambda y, t: abs(y - t) + math.log1p(math.exp(-2 * abs(y - t))), lambda y, t: math.tanh(y - t), "own log cosh"
    )
}


class Data(NamedTuple):
    """Inputs as they are given, and as the reference gets them."""

    given: dict[str, Any]
    exact: dict[str, Any]


def layer_sizes(case: Case) -> tuple[int, ...]:
    return (case["inputs"], *(size for size, _ in case["hidden"]), case["outputs"])


def network(case: Case, backend: str = "kernels", dtype: str | None = None) -> fnn.FNN:
    """The network of a case, at its initial parameters."""
    if "textbook" in case:
        return _textbook_network(case, backend, dtype)
    return fnn.FNN(
        layer_sizes(case),
        activation=[OWN.get(name, name) for _, name in case["hidden"]],
        loss=OWN_LOSSES.get(case["loss"], case["loss"]),
        dtype=dtype or case.get("dtype", "float32"),
        seed=case["seed"],
        backend=backend,
        init=case.get("init", "xavier"),
        weight_decay=case.get("weight_decay", 0.0),
        dropout=case.get("dropout", 0.0),
        batch_norm=case.get("batch_norm", False),
        book=case.get("book", False),
    )


def _textbook_network(case: Case, backend: str, dtype: str | None) -> fnn.FNN:
    """The same as a network of the book, with one activation."""
    inputs, *hidden, outputs = layer_sizes(case)
    options = {"seed": case["seed"], "backend": backend, "dtype": dtype or case.get("dtype", "float32")}
    options |= {"activation": case["hidden"][0][1] if hidden else "relu", "book": case.get("book", False)}
    if case["textbook"] == "TwoLayerNet":
        return fnn.TwoLayerNet(inputs, hidden[0], outputs, 0.1, **options)
    return fnn.MultiLayerNet(
        inputs,
        hidden,
        outputs,
        weight_decay_lambda=case.get("weight_decay", 0.0),
        use_dropout="dropout" in case,
        dropout_ratio=case.get("dropout", 0.5),
        use_batchnorm=case.get("batch_norm", False),
        **options,
    )


def optimizer_of(fit: Case) -> Any:
    name = fit["optimizer"]
    rate: Any = OPTIMIZERS[name]
    schedules = {
        "Constant": (),
        "Step": (2,),
        "Exponential": (0.9,),
        "Cosine": (7,),
        "InverseScaling": (),
    }
    if "schedule" in fit:
        rate = getattr(fnn.schedules, fit["schedule"])(rate, *schedules[fit["schedule"]])
    options = {key: fit[key] for key in ("clip_norm", "book", "epsilon") if key in fit}
    return getattr(fnn, name)(rate, **options)


def data_of(case: Case) -> Data:
    """The samples, targets and weights of a case."""
    rng = np.random.default_rng(case["seed"])
    dtype = np.dtype(case.get("dtype", "float32"))
    count = case["samples"]
    given: dict[str, Any] = {}
    x_options, t_options = case.get("x", {}), case.get("t", {})
    given["x"] = laid_out(random_numbers(rng, (count, case["inputs"]), x_options), x_options.get("layout"))
    given["t"] = laid_out(targets_of(rng, case, count), t_options.get("layout"))
    fit = case.get("fit", {})
    if fit.get("sample_weight"):
        given["sample_weight"] = rng.integers(0, 9, count) / 4
    if "validation" in fit:
        given["held out x"] = random_numbers(rng, (fit["validation"], case["inputs"]), {})
        given["held out t"] = targets_of(rng, case, fit["validation"])
    exact = {}
    for name, value in given.items():
        array = np.ascontiguousarray(value)
        with np.errstate(over="ignore"):
            labels = name.endswith("t") and array.ndim == 1 and case["loss"] == "softmax_cross_entropy"
            exact[name] = array if labels else array.astype(dtype).astype(np.float64)
    return Data(given, exact)


def targets_of(rng: np.random.Generator, case: Case, count: int) -> np.ndarray:
    """Targets that the loss of the case takes."""
    outputs, kind = case["outputs"], case.get("targets", "labels")
    if case["loss"] == "softmax_cross_entropy":
        if kind == "labels":
            dtype = np.dtype(case.get("t", {}).get("dtype", "int64"))
            return rng.integers(0, min(outputs, np.iinfo(dtype).max), count).astype(dtype)
        if kind == "one-hot":
            return np.eye(outputs)[rng.integers(0, outputs, count)]
        return rng.dirichlet(np.ones(outputs), count)
    rows = rng.integers(0, 5, (count, outputs)) / 4
    return rows[:, 0] if outputs == 1 and kind == "labels" else rows


def results(net: fnn.FNN, case: Case, data: dict[str, Any]) -> Results:
    """Everything that a network computes in a case, by name, in order."""
    x, t = data["x"], data["t"]
    found: Results = {"predict": net.predict(x), "predict of one": net.predict(x[0])}
    found["loss"] = net.loss(x, t)
    grads = net.gradient(x, t)
    if case.get("batch_norm"):
        found["statistics after gradient"] = net._statistics.copy()  # first: where they overflow, gradients are wrong
    found |= {f"gradient of {name}": grad for name, grad in grads.items()}
    if "sample_weight" in data:
        found["weighted loss"] = net.loss(x, t, data["sample_weight"])
    if "fit" in case:
        _train(net, case, data, found)
    return found


def _train(net: fnn.FNN, case: Case, data: dict[str, Any], found: Results) -> None:
    fit, x, t = case["fit"], data["x"], data["t"]
    arguments: dict[str, Any] = {"optimizer": optimizer_of(fit), "batch_size": fit.get("batch_size")}
    arguments |= {"epochs": fit.get("epochs", 1), "sampling": fit.get("sampling", "shuffle")}
    if "sample_weight" in data:
        arguments["sample_weight"] = data["sample_weight"]
    if "class_weight" in fit and case["loss"] == "softmax_cross_entropy" and case.get("targets") != "soft":
        arguments["class_weight"] = "balanced" if fit["class_weight"] == "balanced" else {0: 0.5}
    if "held out x" in data:
        arguments["validation_data"] = (data["held out x"], data["held out t"])
    arguments["on_divergence"] = "warn"  # float32 overflows before the float64 of the reference
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not finite", RuntimeWarning)
        history = net.fit(x, t, **arguments)
        parts: dict[str, Any] = {"step losses": history.step_loss, "losses": history.loss}
        parts["validation losses"] = history.val_loss
        if case.get("by hand"):
            optimizer = optimizer_of(fit)
            for _ in range(2):
                grads = net.gradient(x, t)
                if all(np.isfinite(grad).all() for grad in grads.values()):  # `update` refuses others
                    optimizer.update(net.params, grads)
        if case.get("partial"):
            parts["step losses of partial_fit"] = net.partial_fit(
                x, t, batch_size=fit.get("batch_size"), on_divergence="warn"
            ).step_loss
    found |= {name: np.array(part) for name, part in parts.items()}
    found |= {f"{name} after training": param.copy() for name, param in net.params.items()}
    found["statistics after training"] = net._statistics.copy()
    found["predict after training"] = net.predict(x)
    found["evaluated loss"] = net.evaluate(x, t)["loss"]


def run(case: Case, threads: int, comparison: Comparison) -> list[str]:
    """What is wrong in a case, as sentences."""
    data = data_of(case)
    dtype = np.dtype(case.get("dtype", "float32"))
    net = network(case)
    initial = {name: param.astype(np.float64) for name, param in net.params.items()}

    def compute(count: int) -> Results:
        fnn.set_num_threads(count)
        twin = network(case)
        with unchanged(data.given):
            return results(twin, case, data.given)

    def compute_exact() -> Results:
        twin = network(case, "reference", "float64")
        for name, param in twin.params.items():
            param[...] = initial[name]
        return results(twin, case, data.exact)

    got = compute(threads)
    for count in sorted({1, threads, 1 + case["seed"] % threads}):
        if found := different_bits(got, compute(count), f"{count} threads", f"{threads}"):
            return found
    return comparison.differences(got, finite(compute_exact), dtype)


def different_bits(got: Results, again: Results, one: str, other: str) -> list[str]:
    """Which results differ in bits between two computations."""
    names = [name for name in got if digest(_one_nan(got[name])) != digest(_one_nan(again[name]))]
    return [f"{', '.join(names)}: other bits on {one} than on {other}"] if names else []


def _one_nan(value: Any) -> np.ndarray:
    """The value with one kind of NaN: the sign of a NaN depends on the order of operands, which means nothing."""
    array = np.asarray(value)
    return np.where(np.isnan(array), np.nan, array) if array.dtype.kind == "f" else array


def finite(compute: Callable[[], Results]) -> Callable[[], Results]:
    """The function without NumPy's warnings of overflow."""

    def quiet() -> Results:
        with np.errstate(all="ignore"):
            return compute()

    return quiet
