"""Cases of single kernels for fuzz.py: functions of fastfnn.kernels, with arrays in any layout, against their twins.

Outputs hold NaN before a call and lie in larger arrays, whose other elements must stay as they are.
"""

import itertools
from typing import Any

import numpy as np
from fuzz_arrays import laid_out, unchanged
from fuzz_cases import Case
from fuzz_network import OWN, different_bits, finite
from fuzz_rounding import Comparison, Results

import fastfnn as fnn
from fastfnn import kernels, reference
from fastfnn.reference import update_rules

MARK = 12345.0
MARGIN = 17
UPDATE_SETTINGS = {
    "sgd": (0.1,),
    "momentum": (0.1, 0.9),
    "nesterov": (0.1, 0.9),
    "adagrad": (0.1, 1e-3),
    "rmsprop": (0.1, 0.9, 1e-3),
    "adam": (0.1, 0.9, 0.999, 1e-3, 3),
    "adamw": (0.1, 0.9, 0.999, 1e-3, 0.01, 3),
}
STATES = {"sgd": 0, "adam": 2, "adamw": 2}  # the others have one


class Outputs:
    """Output arrays inside larger ones, in the layouts of a case."""

    def __init__(self, dtype: np.dtype, layouts: list[str]) -> None:
        self.dtype, self.layouts = dtype, layouts
        self.frames: list[tuple[np.ndarray, np.ndarray]] = []

    def new(self, *shape: int) -> np.ndarray:
        layout = self.layouts[len(self.frames) % len(self.layouts)]
        step = 2 if layout == "strided" else 1
        frame = np.full([step * size + 2 * MARGIN for size in shape], MARK, self.dtype)
        inside = frame[tuple(slice(MARGIN, MARGIN + step * size, step) for size in shape)]
        if layout == "reversed":
            inside = inside[(slice(None, None, -1),) * len(shape)]
        elif layout == "F":
            frame = np.full([size + 2 * MARGIN for size in reversed(shape)], MARK, self.dtype)
            inside = frame[tuple(slice(MARGIN, MARGIN + size) for size in reversed(shape))].T
        inside[...] = np.nan
        self.frames.append((frame, inside))
        return inside

    def written_outside(self) -> bool:
        """Whether something around the outputs was written; ends their use."""
        for frame, inside in self.frames:
            inside[...] = MARK
            if not (frame == MARK).all():
                return True
        return False


def code_of(name: str, backend: str, dtype: np.dtype) -> int:
    return OWN[name].code(backend, dtype) if name in OWN else kernels.ACTIVATIONS.index(name)


def inputs_of(case: Case) -> dict[str, Any]:
    """The inputs of a kernel by name, in C order."""
    rng = np.random.default_rng(case["seed"])
    dtype = np.dtype(case.get("dtype", "float32"))
    rows, inputs, outputs = case["rows"], case["inputs"], case["outputs"]

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    x = (case.get("scale", 1.0) * normal(rows, inputs)).astype(dtype)
    match case["name"]:
        case "affine" | "network_forward":
            found = {"x": x, "weight": normal(inputs, outputs), "bias": normal(outputs)}
            return found | ({"grad_out": normal(rows, outputs)} if case["name"] == "affine" else {})
        case "loss":
            if case["loss"] == "softmax_cross_entropy" and case["targets"] == "labels":
                return {"logits": x, "targets": rng.integers(0, inputs, rows)}
            return {"logits": x, "targets": (rng.integers(0, 5, x.shape) / 4).astype(dtype)}
        case "update":
            states = {f"state {i}": abs(normal(rows, inputs)) for i in range(STATES.get(case["rule"], 1))}
            return {"param": normal(rows, inputs), **states, "grad": x}
        case "batch_norm":
            extra = {"gamma": normal(inputs), "beta": normal(inputs), "grad_out": normal(rows or 1, inputs)}
            return {"x": x if rows else normal(1, inputs), **extra}
        case _:
            return {"x": x, "grad_out": normal(rows, inputs)}


def computed(module: Any, backend: str, case: Case, given: dict[str, Any], out: Outputs) -> Results:
    """What the kernels of a case write, by name, in C order."""
    found: Results = {}
    x = given.get("x", given.get("logits", given.get("param")))
    rows, inputs = x.shape
    dtype = x.dtype
    match case["name"]:
        case "affine":
            outputs = len(given["bias"])
            found["out"] = out.new(rows, outputs)
            module.affine_forward(found["out"], x, given["weight"], given["bias"])
            grads = {"grad_x": out.new(rows, inputs), "grad_weight": out.new(inputs, outputs)}
            found |= grads | {"grad_bias": out.new(outputs)}
            module.affine_backward(*list(found.values())[1:], given["grad_out"], x, given["weight"])
        case "activation":
            code = code_of(case["activation"], backend, dtype)
            found = {"out": out.new(rows, inputs), "grad_x": out.new(rows, inputs)}
            module.activation_forward(found["out"], x, code)
            module.activation_backward(found["grad_x"], given["grad_out"], x, code)
        case "softmax":
            found = {"out": out.new(rows, inputs)}
            module.activation_forward(found["out"], x, kernels.ACTIVATIONS.index("softmax"))
        case "loss":
            grad = out.new(rows, inputs)
            arguments = _loss_arguments(case, inputs)
            loss = getattr(module, case["loss"])(grad, x, given["targets"], *arguments)
            found = {"loss": np.array(loss), "grad": grad}
        case "update":
            found = _updated(module, backend, case, given)
        case "batch_norm":
            found = {name: out.new(rows, inputs) for name in ("out", "normalized")}
            found |= {name: out.new(inputs) for name in ("mean", "variance")}
            module.batch_norm_forward(*found.values(), x, given["gamma"], given["beta"], 1e-5)
            grads = {"grad_x": out.new(rows, inputs), "grad_gamma": out.new(inputs), "grad_beta": out.new(inputs)}
            normalized, variance = found["normalized"], found["variance"]
            module.batch_norm_backward(*grads.values(), given["grad_out"], normalized, variance, given["gamma"], 1e-5)
            found |= grads
        case "dropout_mask":
            found = {"mask": out.new(rows, inputs)}
            module.dropout_mask(found["mask"], 1 + case["seed"] % 5, 1 + case["seed"], 0.25, 4.0, case["seed"])
        case "network_forward":
            sizes = np.array([*given["weight"].shape])
            params = np.concatenate([given["weight"].ravel(), given["bias"]])
            found = {"out": out.new(rows, int(sizes[-1]))}
            codes = np.array([code_of(case["activation"], backend, dtype)])
            module.network_forward(found["out"], params, x, sizes, codes)
    return found


def _loss_arguments(case: Case, outputs: int) -> tuple[Any, ...]:
    """What the function of a loss takes after the targets."""
    if case["loss"].endswith("cross_entropy"):
        return (case.get("smoothing", 0.0),)
    return {"huber": (0.5,), "quantile": (np.linspace(0.1, 0.9, outputs),)}.get(case["loss"], ())


def _updated(module: Any, backend: str, case: Case, given: dict[str, Any]) -> Results:
    arrays = {name: np.array(value) for name, value in given.items() if name != "grad"}
    scalars = UPDATE_SETTINGS[case["rule"]]
    if backend == "kernels":
        getattr(module, f"{case['rule']}_update")(*arrays.values(), given["grad"], *scalars)
        return arrays
    # What `rounding` changes is the update of the training loop.
    named = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-3, "decay": 0.01}
    settings = np.array([named.get(name, 0.0) for name in reference.SETTINGS])
    state = [*list(arrays.values())[1:], np.zeros(0), np.zeros(0)][:2]
    optimizer = reference.OPTIMIZERS.index(case["rule"])
    update_rules.update(arrays["param"], *state, given["grad"].copy(), scalars[0], settings, optimizer, 3)
    return arrays


def run(case: Case, threads: int, comparison: Comparison) -> list[str]:
    """What is wrong in a case, as sentences."""
    plain = inputs_of(case)
    dtype = np.dtype(case.get("dtype", "float32"))
    layouts = case.get("layouts", ["C"])
    names = itertools.cycle(layouts)
    given = {name: laid_out(array, next(names)) for name, array in plain.items()}
    exact = {name: array if array.dtype.kind == "i" else array.astype(np.float64) for name, array in plain.items()}
    answers = []
    for count in (threads, 1, 1 + case["seed"] % threads):
        fnn.set_num_threads(count)
        out = Outputs(dtype, layouts[::-1])
        with unchanged(given):
            found = computed(kernels, "kernels", case, given, out)
        answers.append({name: np.array(value, order="C") for name, value in found.items()})
        if out.written_outside():
            return [f"{case['name']} on {count} threads: an element outside the outputs was written"]
    for again in answers[1:]:
        if wrong := different_bits(answers[0], again, "fewer threads", f"{threads}"):
            return wrong

    def compute_exact() -> Results:
        return computed(reference, "reference", case, exact, Outputs(np.dtype(np.float64), ["C"]))

    return comparison.differences(answers[0], finite(compute_exact), dtype)
