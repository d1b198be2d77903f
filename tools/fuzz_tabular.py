"""Cases of networks for tables for fuzz.py: predictions, gradients and steps, against the reference in float64.

The samples hold positions beyond the bins and codes beyond the categories. In some cases one value is not finite: then
the predictions of its sample alone are not, too.
"""

from typing import Any

import numpy as np
from fuzz_arrays import digest, laid_out, unchanged
from fuzz_cases import Case
from fuzz_network import OWN, different_bits, finite, optimizer_of, targets_of
from fuzz_rounding import Comparison, Results

import fastfnn as fnn
from fastfnn.settings import training_settings
from fastfnn.tabular.network import Feature, TabularNetwork

MARK = 12345.0  # in outputs before a call


def network(case: Case, backend: str = "kernels", dtype: str | None = None) -> TabularNetwork:
    """The network of a case, at its initial parameters."""
    return TabularNetwork(
        [Feature(kind, count, width) for kind, count, width in case["features"]],
        [size for size, _ in case["hidden"]],
        case["outputs"],
        activation=[OWN.get(name, name) for _, name in case["hidden"]],
        loss=case["loss"],
        members=case["members"],
        scaled=case["scaled"],
        dropout=case.get("dropout", 0.0),
        dtype=dtype or case.get("dtype", "float32"),
        seed=case["seed"],
        backend=backend,
    )


def data_of(case: Case) -> dict[str, Any]:
    """Samples, targets, weights, and the samples of each epoch."""
    rng = np.random.default_rng(case["seed"])
    dtype, count = np.dtype(case.get("dtype", "float32")), case["samples"]
    columns = [_column(rng, kind, number, count) for kind, number, _ in case["features"]]
    found = {"x": laid_out(np.stack(columns, axis=1).astype(dtype), case.get("x", {}).get("layout"))}
    t = targets_of(rng, case, count)
    found["t"] = t.astype(np.int64) if case["loss"] == "softmax_cross_entropy" else t.reshape(count, -1).astype(dtype)
    found["weights"] = (rng.integers(0, 9, count if case.get("sample_weight") else 0) / 4).astype(dtype)
    found["order"] = np.stack([rng.permutation(count) for _ in range(case["fit"].get("epochs", 1))])
    return found


def _column(rng: np.random.Generator, kind: str, number: int, count: int) -> np.ndarray:
    if kind == "plain":
        return rng.standard_normal(count)
    if kind == "categories":
        return rng.integers(-1, number + 2, count).astype(np.float64)
    positions = rng.uniform(-0.5, number + 0.5, count)
    return np.where(rng.random(count) < 0.3, np.round(positions), positions)  # at the edges of bins, too


def results(net: TabularNetwork, case: Case, data: dict[str, Any]) -> Results:
    """Everything that a network computes in a case, by name, in order."""
    x, t, weights = data["x"], data["t"], data["weights"]
    found: Results = {"predict": net.predict(x), "predict of one": net.predict(x[:1])}
    grad = np.full_like(net.params, MARK)
    settings = training_settings(0.0, net.dropout, False, net._seed, ())
    with unchanged({"params": net.params}):
        found["loss"] = net._kernels.tabular_gradient(
            grad, net.params, x, t, weights, net._features, net._sizes, net._codes.layers("identity"), settings,
            net._loss_parameters, net._codes.loss, 3, net.members, int(net.scaled),
        )  # fmt: skip
    parts = np.split(grad, np.cumsum([array.size for array in net.arrays.values()])[:-1])
    for (name, array), part in zip(net.arrays.items(), parts, strict=True):
        found[f"gradient of {name}"] = part.reshape(array.shape)
    fit = case["fit"]
    steps = len(data["order"]) * -(-len(x) // fit["batch_size"])
    optimizer = optimizer_of(fit)
    rates = optimizer.learning_rate * 0.9 ** np.arange(steps)
    found["step losses"] = net.train(
        x, t, data["order"], rates, optimizer=optimizer, batch_size=fit["batch_size"],
        sample_weight=weights if len(weights) else None,
    )  # fmt: skip
    found |= {f"{name} after training": part.copy() for name, part in net.arrays.items()}
    found["predict after training"] = net.predict(x)
    return found


def run(case: Case, threads: int, comparison: Comparison) -> list[str]:
    """What is wrong in a case, as sentences."""
    data, net = data_of(case), network(case)
    dtype, initial = net.dtype, net.params.astype(np.float64)
    exact = {
        name: array if array.dtype.kind == "i" else np.ascontiguousarray(array, np.float64)
        for name, array in data.items()
    }

    def compute(count: int) -> Results:
        fnn.set_num_threads(count)
        with unchanged(data):
            return results(network(case), case, data)

    def compute_exact() -> Results:
        twin = network(case, "reference", "float64")
        twin.params[...] = initial
        return results(twin, case, exact)

    got = compute(threads)
    for count in range(1, threads + 1):
        if found := different_bits(got, compute(count), f"{count} threads", f"{threads}"):
            return found
    if found := comparison.differences(got, finite(compute_exact), dtype):
        return found
    return _spread_of_not_finite(case, net, data, got["predict"])


def _spread_of_not_finite(case: Case, net: TabularNetwork, data: dict[str, Any], want: np.ndarray) -> list[str]:
    """Whether a value that is not finite reaches the predictions of its sample, and no others."""
    if "not finite" not in case:
        return []
    rng = np.random.default_rng(case["seed"])
    row, column = int(rng.integers(case["samples"])), int(rng.integers(len(case["features"])))
    x = np.array(data["x"])
    x[row, column] = float(case["not finite"])
    got = net.predict(x)
    if digest(np.delete(got, row, axis=0)) != digest(np.delete(want, row, axis=0)):
        return [f"{case['not finite']} in row {row} changes predictions of other rows"]
    if case["not finite"] == "nan" and not np.isnan(got[row]).all():
        return [f"nan in feature {column} does not reach the prediction, which is {got[row].tolist()}"]
    return []
