"""Cases of the textbook API for fuzz.py: networks built by hand from fastfnn.layers, and fastfnn.functions, against the
same computation with the functions of the reference.
"""

from typing import Any

import numpy as np
from fuzz_arrays import laid_out, random_numbers, unchanged
from fuzz_cases import Case
from fuzz_network import different_bits, finite
from fuzz_rounding import Comparison, Results

import fastfnn as fnn
from fastfnn import functions, layers, reference

EPSILON = 1e-5  # of batch normalization
FUNCTIONS = ("sigmoid", "tanh", "relu", "softmax")


def arguments_of(case: Case) -> dict[str, Any]:
    """Samples, targets and parameters."""
    rng = np.random.default_rng(case["seed"])
    dtype = np.dtype(case.get("dtype", "float32"))
    sizes, count = case["sizes"], case["samples"]
    x = random_numbers(rng, (count, sizes[0]), case["x"])
    found = {"x": laid_out(x, case["x"].get("layout"))}
    last = sizes[-1]
    found["t"] = rng.integers(0, last, count) if case["loss"] == "Softmax" else rng.integers(0, 5, (count, last)) / 4
    for layer in range(1, len(sizes)):
        inputs, outputs = sizes[layer - 1 : layer + 1]
        found[f"W{layer}"] = (rng.standard_normal((inputs, outputs)) / inputs**0.5).astype(dtype)
        found[f"b{layer}"] = rng.standard_normal(outputs).astype(dtype)
        found[f"gamma{layer}"] = (1 + 0.1 * rng.standard_normal(outputs)).astype(dtype)
        found[f"beta{layer}"] = rng.standard_normal(outputs).astype(dtype)
    return found


def by_layers(case: Case, given: dict[str, Any]) -> Results:
    """Forward and backward pass with the classes of fastfnn.layers."""
    chain: dict[str, Any] = {}
    last = len(case["sizes"]) - 1
    for layer in range(1, last + 1):
        chain[f"affine {layer}"] = layers.Affine(given[f"W{layer}"], given[f"b{layer}"])
        if layer < last:
            if case.get("batch_norm"):
                chain[f"norm {layer}"] = layers.BatchNormalization(given[f"gamma{layer}"], given[f"beta{layer}"])
            chain[f"activation {layer}"] = getattr(layers, case["activation"])()
    found: Results = {}
    out = given["x"]
    for name, part in chain.items():
        out = part.forward(out)
        if isinstance(part, layers.BatchNormalization):
            found[f"{name} variance"] = part.running_var  # first: where it overflows, the output is wrong
        found[f"{name} forward"] = out
    top = getattr(layers, f"{case['loss']}WithLoss")()
    found["loss"] = top.forward(out, given["t"])
    found["softmax or identity"] = top.y
    grad = found["gradient of the loss"] = top.backward()
    for name, part in reversed(chain.items()):
        grad = found[f"{name} backward"] = part.backward(grad)
        for attribute in ("dW", "db", "dgamma", "dbeta"):
            if hasattr(part, attribute):
                found[f"{attribute} of {name}"] = getattr(part, attribute)
    return found


def by_reference(case: Case, given: dict[str, Any]) -> Results:
    """The same with the functions of the reference, in float64."""
    last = len(case["sizes"]) - 1
    code = reference.ACTIVATIONS.index(case["activation"].lower())
    found: Results = {}
    backward: list[Any] = []
    out = given["x"]
    for layer in range(1, last + 1):
        parameters = [given[f"{name}{layer}"] for name in ("W", "b", "gamma", "beta")]
        backward.append(_affine(found, f"affine {layer}", out, *parameters[:2]))
        out = found[f"affine {layer} forward"]
        if layer < last:
            if case.get("batch_norm"):
                backward.append(_norm(found, f"norm {layer}", out, *parameters[2:]))
                out = found[f"norm {layer} forward"]
            backward.append(_activation(found, f"activation {layer}", out, code))
            out = found[f"activation {layer} forward"]
    grad = np.empty_like(out)
    loss = {"Softmax": "softmax_cross_entropy", "Identity": "squared_error"}[case["loss"]]
    found["loss"] = getattr(reference, loss)(grad, out, given["t"])
    found["softmax or identity"] = _activated(out, {"Softmax": "softmax", "Identity": "identity"}[case["loss"]])
    found["gradient of the loss"] = grad
    for step in reversed(backward):
        grad = step(grad)
    return found


def _activated(x: np.ndarray, name: str) -> np.ndarray:
    out = np.empty_like(x)
    reference.activation_forward(out, x, reference.ACTIVATIONS.index(name))
    return out


def _affine(found: Results, name: str, x: Any, weight: Any, bias: Any) -> Any:
    out = found[f"{name} forward"] = np.empty((len(x), len(bias)))
    reference.affine_forward(out, x, weight, bias)

    def backward(grad: np.ndarray) -> np.ndarray:
        dx, dW, db = np.empty_like(x), np.empty_like(weight), np.empty_like(bias)
        reference.affine_backward(dx, dW, db, grad, x, weight)
        found.update({f"{name} backward": dx, f"dW of {name}": dW, f"db of {name}": db})
        return dx

    return backward


def _norm(found: Results, name: str, x: Any, gamma: Any, beta: Any) -> Any:
    out, normalized = np.empty_like(x), np.empty_like(x)
    mean, variance = np.empty_like(gamma), np.empty_like(gamma)
    reference.batch_norm_forward(out, normalized, mean, variance, x, gamma, beta, EPSILON)
    found |= {f"{name} variance": 0.1 * variance, f"{name} forward": out}

    def backward(grad: np.ndarray) -> np.ndarray:
        dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(beta)
        reference.batch_norm_backward(dx, dgamma, dbeta, grad, normalized, variance, gamma, EPSILON)
        found.update({f"{name} backward": dx, f"dgamma of {name}": dgamma, f"dbeta of {name}": dbeta})
        return dx

    return backward


def _activation(found: Results, name: str, x: Any, code: int) -> Any:
    out = found[f"{name} forward"] = np.empty_like(x)
    reference.activation_forward(out, x, code)

    def backward(grad: np.ndarray) -> np.ndarray:
        dx = np.empty_like(x)
        reference.activation_backward(dx, grad, x, code)
        found[f"{name} backward"] = dx
        return dx

    return backward


def run(case: Case, threads: int, comparison: Comparison) -> list[str]:
    """What is wrong in a case, as sentences."""
    given = arguments_of(case)
    exact = {name: np.asarray(value) for name, value in given.items()}
    exact = {
        name: value if name == "t" and value.ndim == 1 else value.astype(np.float64) for name, value in exact.items()
    }
    answers = []
    for count in (threads, 1):
        fnn.set_num_threads(count)
        with unchanged(given):
            answers.append(by_layers(case, given))
    if wrong := different_bits(*answers, "1 thread", f"{threads}"):
        return wrong
    dtype = _result_dtype(given["x"], given["W1"])
    if wrong := comparison.differences(answers[0], finite(lambda: by_reference(case, exact)), dtype):
        return wrong
    applied = {name: getattr(functions, name)(given["x"]) for name in FUNCTIONS}
    want = finite(lambda: {name: _activated(exact["x"], name) for name in FUNCTIONS})
    return comparison.differences(applied, want, _result_dtype(given["x"]))


def _result_dtype(*arrays: Any) -> np.dtype:
    single = np.result_type(*map(np.asarray, arrays)) == np.float32
    return np.dtype(np.float32 if single else np.float64)
