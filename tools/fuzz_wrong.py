"""Cases of wrong input for fuzz.py: odd values for one argument of a call.

The call succeeds, or it raises TypeError or ValueError with a message that names the argument; then the network and the
optimizer are as they were before.
"""

import contextlib
import inspect
import re
import tempfile
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from fuzz_arrays import digest
from fuzz_cases import Case
from fuzz_network import network
from fuzz_rounding import Comparison

import fastfnn as fnn
from fastfnn import functions, layers

ROWS = 4

# Values for any argument. Numbers are small, since some of them are sizes and numbers of steps.
ODD: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 1, lambda: 7, lambda: 0.5, lambda: -2.5, lambda: 1e-320,
    lambda: float("nan"), lambda: float("inf"), lambda: -0.0, lambda: 1j, lambda: "", lambda: "relu", lambda: "x" * 99,
    lambda: b"x", lambda: [], lambda: [1], lambda: [[1, 2], [3]], lambda: [[], []], lambda: [None], lambda: ["a", 2],
    lambda: (), lambda: (1, 2, 3), lambda: {}, lambda: {0: 1.0}, lambda: {"a": 1}, lambda: {9: -1}, lambda: set(),
    lambda: object(), lambda: int, lambda: np, lambda: (i for i in range(3)), lambda: lambda: 1, lambda: lambda x: x,
    lambda: Fraction(1, 3), lambda: np.int8(3), lambda: np.float16(0.25), lambda: np.bool_(True), lambda: np.str_("a"),
    lambda: range(4), lambda: memoryview(b"abcd"), lambda: bytearray(4), lambda: fnn.SGD, lambda: fnn.SGD(0.1),
)  # fmt: skip
HUGE: tuple[Callable[[], Any], ...] = (lambda: 10**400, lambda: 2**63, lambda: 1e308, lambda: -(2**70))
SIZES = (
    "layer_sizes",
    "input_size",
    "hidden_size",
    "hidden_size_list",
    "output_size",
    "epochs",
    "batch_size",
    "every",
    "steps",
    "patience",
    "count",
)  # not with huge numbers


def odd_array(rng: np.random.Generator, rows: int, columns: int) -> Any:
    """An array that is wrong in shape, dtype or values, or odd and right."""
    shape = [(rows, columns), (rows,), (rows, columns + 1), (rows + 1, columns), (0, columns), (rows, 0), (),
             (rows, columns, 1), (1, rows, columns), (rows, 1), (0,), (rows, 1, 1)][int(rng.integers(12))]  # fmt: skip
    array: Any = rng.integers(-1, 3, shape) * 1.0
    kind = int(rng.integers(14))
    if kind < 4 and array.size:
        array.reshape(-1)[int(rng.integers(array.size))] = (np.nan, np.inf, -np.inf, 1e300)[kind]
        return array
    if kind < 12:
        return array.astype(("i1", "u8", "f2", "c16", "O", "U3", "M8[s]", "?")[kind - 4])
    return np.ma.masked_array(array) if kind == 12 else array.tolist()


def constructors() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """What is called with arguments alone: the function, and values for those it needs."""
    found: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {"FNN": (fnn.FNN, {"layer_sizes": (3, 4, 2)})}
    for name in ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW", "EarlyStopping"):
        found[name] = (getattr(fnn, name), {})
    schedules = {"Constant": {}, "Step": {"every": 2}, "Exponential": {"decay": 0.5}, "Cosine": {"steps": 3}}
    for name, arguments in {**schedules, "InverseScaling": {}}.items():
        found[name] = (getattr(fnn.schedules, name), {"rate": 0.1, **arguments})
    found["TwoLayerNet"] = (fnn.TwoLayerNet, {"input_size": 3, "hidden_size": 4, "output_size": 2})
    found["MultiLayerNet"] = (fnn.MultiLayerNet, {"input_size": 3, "hidden_size_list": [4], "output_size": 2})
    found["Dropout"] = (layers.Dropout, {})
    found["set_num_threads"] = (fnn.set_num_threads, {"count": 1})
    matrix, vector = np.ones((3, 2)), np.ones(2)
    found["Affine"] = (layers.Affine, {"W": matrix, "b": vector})
    found["BatchNormalization"] = (layers.BatchNormalization, {"gamma": vector, "beta": vector})
    found["Affine.forward"] = (layers.Affine(matrix, vector).forward, {"x": np.ones((4, 3))})
    found["SoftmaxWithLoss.forward"] = (layers.SoftmaxWithLoss().forward, {"x": np.ones((4, 3)), "t": [0, 1, 2, 0]})
    for name in ("sigmoid", "relu", "softmax", "sigmoid_grad"):
        found[name] = (getattr(functions, name), {"x": np.ones((4, 3))})
    found["cross_entropy_error"] = (functions.cross_entropy_error, {"y": np.full((4, 3), 0.3), "t": [0, 1, 2, 0]})
    found["softmax_loss"] = (functions.softmax_loss, {"X": np.ones((4, 3)), "t": [0, 1, 2, 0]})
    found["sum_squared_error"] = (functions.sum_squared_error, {"y": np.ones((4, 3)), "t": np.ones((4, 3))})
    return found


METHODS = ("predict", "loss", "accuracy", "evaluate", "gradient", "fit", "partial_fit")


def run(case: Case, threads: int, comparison: Comparison) -> list[str]:
    """What is wrong in a case, as sentences."""
    # Some values are names of files that can be written.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for number in range(case.get("first call", 0), case["calls"]):
            rng = np.random.default_rng([case["seed"], number])
            fnn.set_num_threads(threads)
            if wrong := _method(rng, case) if rng.random() < 0.6 else _constructor(rng):
                return wrong
    return []


def _constructor(rng: np.random.Generator) -> list[str]:
    table = constructors()
    name = str(rng.choice(list(table)))
    function, arguments = table[name]
    argument = str(rng.choice([name for name in inspect.signature(function).parameters if name != "options"]))
    value = _value(rng, argument, 4, 3)
    return _called(name, argument, value, lambda: function(**arguments | {argument: value}), arguments)


def _method(rng: np.random.Generator, case: Case) -> list[str]:
    net = network(case)
    name = str(rng.choice(METHODS))
    outputs = case["outputs"]
    labels = case["loss"] == "softmax_cross_entropy"
    targets = rng.integers(0, outputs, ROWS) if labels else rng.integers(0, 2, (ROWS, outputs)) * 1.0
    arguments: dict[str, Any] = {"x": rng.standard_normal((ROWS, case["inputs"])), "t": targets}
    if name == "predict":
        del arguments["t"]
    optimizer = fnn.Momentum(0.1)
    if name in ("fit", "partial_fit"):
        arguments["optimizer"] = optimizer
    function = getattr(net, name)
    argument = str(rng.choice(list(inspect.signature(function).parameters)))
    columns = case["inputs"] if argument == "x" else outputs
    value = _value(rng, argument, ROWS, columns)
    if argument == "validation_data" and rng.random() < 0.7:
        value = (odd_array(rng, ROWS, case["inputs"]), odd_array(rng, ROWS, outputs))

    def state() -> tuple[Any, ...]:
        kept = (net._steps, net._seed, str(net._rng.bit_generator.state), optimizer.steps)
        return digest(dict(net.params)), digest(net._statistics), *kept

    before = state()
    if name == "accuracy" and not case["loss"].endswith("cross_entropy"):
        return []
    # What a function returns is known when it is called, after an epoch.
    late = argument == "validation_data" and callable(value)
    return _called(
        name, argument, value, lambda: function(**arguments | {argument: value}), arguments,
        lambda: late or state() == before,
    )  # fmt: skip


def _value(rng: np.random.Generator, argument: str, rows: int, columns: int) -> Any:
    if argument in ("x", "t", "y", "X", "W", "b", "gamma", "beta", "sample_weight") and rng.random() < 0.7:
        return odd_array(rng, rows, columns)
    pool = ODD if argument in SIZES else ODD + HUGE
    return pool[int(rng.integers(len(pool)))]()


def _called(
    name: str, argument: str, value: Any, call: Callable[[], Any], others: Iterable[str],
    kept: Callable[[], bool] = lambda: True,
) -> list[str]:  # fmt: skip
    """Call and judge. Where two arguments do not fit together, the message may name one of the `others`."""
    shown = f"{name} with {argument} = {value!r:.200}"
    if isinstance(value, np.ndarray):
        shown += f" of {value.dtype}, shape {value.shape}"
    try:
        with np.errstate(all="ignore"):
            call()
    except FloatingPointError:
        return []
    except (TypeError, ValueError) as error:
        names = "|".join((argument, *others))
        if type(error) not in (TypeError, ValueError) or not re.search(rf"(?<![\w'])({names})(?!\w)", str(error)):
            return [f"{shown}: the message does not name the argument: {error!r}"]
        return [] if kept() else [f"{shown}: the network or the optimizer has changed"]
    except Exception as error:
        return [f"{shown}: {error!r}"]
    return []
