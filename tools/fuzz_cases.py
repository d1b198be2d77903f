"""Draws the cases of fuzz.py: a case is a dictionary of values that JSON can hold, a function of its seed and number.

Knows nothing of fastfnn but its names and limits.

What a case lacks has a default, so that fuzz_shrink.py can leave entries out. `describe` shows a case to a reader.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from names import ACTIVATIONS

Case = dict[str, Any]

# Sizes of layers: around the widths of vectors and panels, and the sizes that users have.
EDGES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 50, 63, 64, 65, 96, 100, 127, 128, 129, 255, 256, 257)
WIDE = (300, 403, 512, 784, 1024)

# Numbers of samples: around groups of single samples (16), blocks (64, 256), four blocks, and deep batches (1024).
COUNTS = (1, 2, 3, 5, 15, 16, 17, 33, 63, 64, 65, 100, 128, 255, 256, 257, 269, 512, 769, 1023, 1024, 1025, 1100, 2100)

GIVEN = ("own sine", "own softsign")  # activations that a user defines, see fuzz_network.py
# Losses of networks, and those whose gradient jumps: the rounding of an output may take it to the other side.
LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "poisson", "huber")
JUMPING_LOSSES = ("absolute_error", "quantile")
OWN_LOSS = "own log cosh"  # which a user defines, see fuzz_network.py
DTYPES = ("float32", "float64")
LAYOUTS = ("F", "strided", "reversed", "sliced", "readonly", "repeated", "unaligned", "list")
INPUT_DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int64", "bool")
LABEL_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
SCHEDULES = ("Constant", "Step", "Exponential", "Cosine", "InverseScaling")

# Learning rates that move the weights visibly in a few steps, and do not make most networks diverge.
OPTIMIZERS = {
    "SGD": 0.05,
    "Momentum": 0.02,
    "Nesterov": 0.02,
    "AdaGrad": 0.005,
    "RMSprop": 0.001,
    "Adam": 0.002,
    "AdamW": 0.002,
}

ADAPTIVE = ("AdaGrad", "RMSprop", "Adam", "AdamW")

# Multiply-adds of one pass over the samples. Most cases are small, so that there are many of them.
WORK, LARGE_WORK = 2e6, 5e7
LARGE = 0.025  # share of the cases up to the second number
MOST_STEPS = 20  # rounding errors grow with the steps
MOST_WEIGHTED = 300  # samples: the reference computes weighted losses one by one

KINDS = {  # probabilities
    "network": 0.35, "kernel": 0.2, "layers": 0.08, "file": 0.09, "wrong": 0.13, "tabular": 0.12, "table": 0.03,
}  # fmt: skip


def draw(seed: int, number: int) -> Case:
    """Case `number` of `seed`."""
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    case = {"kind": kind, "seed": int(rng.integers(2**31))}
    drawing = {"network": _network, "kernel": _kernel, "layers": _layers, "file": _file, "wrong": _wrong}
    return case | (drawing | {"tabular": _tabular, "table": _table})[kind](rng)


def describe(case: Case) -> str:
    """A case as a line of JSON, which `fuzz.py --run` takes."""
    return json.dumps(case)


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def width(rng: np.random.Generator) -> int:
    """The size of a layer: most often an edge."""
    drawn = rng.random()
    return int(pick(rng, *EDGES) if drawn < 0.7 else pick(rng, *WIDE) if drawn < 0.78 else rng.integers(1, 301))


def activation(rng: np.random.Generator) -> str:
    return str(pick(rng, *ACTIVATIONS) if chance(rng, 0.95) else pick(rng, *GIVEN))


def _array(rng: np.random.Generator, dtypes: Sequence[str]) -> Case:
    """How an input is given: dtype, layout, scale."""
    given: Case = {}
    if chance(rng, 0.5):
        given["dtype"] = pick(rng, *dtypes)
    if chance(rng, 0.4):
        given["layout"] = pick(rng, *LAYOUTS)
    if chance(rng, 0.08):
        given["scale"] = pick(rng, 1e-30, 1e-10, 1e3, 1e10, 1e30)
    return given


def _shape(rng: np.random.Generator, most_hidden: int = 4) -> Case:
    """The architecture of a network."""
    hidden = [[width(rng), activation(rng)] for _ in range(int(rng.integers(most_hidden + 1)))]
    loss = pick(rng, *LOSSES) if chance(rng, 0.95) else OWN_LOSS
    shape: Case = {"inputs": width(rng), "hidden": hidden, "outputs": pick(rng, 1, 2, 3, 5, 10, 17, width(rng))}
    shape["loss"] = loss
    if chance(rng, 0.4):
        shape["dtype"] = "float64"
    return shape


def _options(rng: np.random.Generator) -> Case:
    options: Case = {}
    if chance(rng, 0.3):
        options["init"] = pick(rng, "he", 0.01, 0.0, 0.1)
    if chance(rng, 0.2):
        options["weight_decay"] = pick(rng, 0.01, 0.1)
    if chance(rng, 0.2):
        options["dropout"] = pick(rng, 0.1, 0.25, 0.5)
    if chance(rng, 0.2):
        options["batch_norm"] = True
    if chance(rng, 0.1):
        options["book"] = True
    return options


def _parameters(shape: Case) -> int:
    sizes = [shape["inputs"], *(size for size, _ in shape["hidden"]), shape["outputs"]]
    return sum((first + 1) * second for first, second in itertools.pairwise(sizes))


def _samples(rng: np.random.Generator, parameters: int) -> int:
    """A number of samples whose pass is within the limit of work."""
    work = LARGE_WORK if chance(rng, LARGE) else WORK
    wanted = pick(rng, *COUNTS) if chance(rng, 0.7) else int(rng.integers(1, 2101))
    return max(1, min(wanted, int(work / parameters)))


def _fit(rng: np.random.Generator, samples: int) -> Case:
    """Arguments of `fit`, of few steps."""
    name = pick(rng, *OPTIMIZERS)
    fit: Case = {"optimizer": name}
    if chance(rng, 0.2):
        fit["schedule"] = pick(rng, *SCHEDULES)
    if chance(rng, 0.2):
        fit["clip_norm"] = pick(rng, 0.01, 0.5, 5.0)
    if name == "Adam" and chance(rng, 0.3):
        fit["book"] = True
    if name in ADAPTIVE and chance(
        rng, 0.8
    ):  # with the default, steps depend on the sign of what is all rounding error
        fit["epsilon"] = 0.01
    fit["batch_size"] = pick(rng, None, 1, 2, 7, 16, 17, 33, 64, 100, 256, 1100, int(rng.integers(1, 301)))
    if chance(rng, 0.3):
        fit["epochs"] = pick(rng, 2, 3)
    if chance(rng, 0.2):
        fit["sampling"] = "replacement"
    if chance(rng, 0.2):
        fit["sample_weight"] = True
    if chance(rng, 0.2):
        fit["class_weight"] = pick(rng, "balanced", "dict")
    if chance(rng, 0.2):
        fit["validation"] = pick(rng, 1, 16, 33)
    return fit


def _network(rng: np.random.Generator) -> Case:
    shape = _shape(rng)
    samples = _samples(rng, _parameters(shape))
    fit = _fit(rng, samples)
    if fit["batch_size"]:
        samples = min(samples, MOST_STEPS * fit["batch_size"])
    if "sample_weight" in fit or "class_weight" in fit:
        samples = min(samples, MOST_WEIGHTED)
    case = {**shape, **_options(rng), "samples": samples, "x": _array(rng, INPUT_DTYPES), "fit": fit}
    if "batch_norm" in case and fit["batch_size"] == 2:
        fit["batch_size"] = 7  # two rows become 1 and -1, whatever they are: errors grow tenfold with each step
    if "batch_norm" in case and case["x"].get("layout") == "repeated":
        case["x"]["layout"] = "strided"  # equal rows have a variance of 0, or of rounding errors
    case["targets"] = pick(rng, "labels", "labels", "one-hot", "soft")
    case["t"] = {"layout": pick(rng, *LAYOUTS)} if chance(rng, 0.4) else {}
    if case["targets"] == "labels" and chance(rng, 0.4):
        case["t"]["dtype"] = pick(rng, *LABEL_DTYPES)
    if chance(rng, 0.2):
        case["partial"] = True
    if chance(rng, 0.2):
        case["by hand"] = True  # a step by `gradient` and `update` of an optimizer
    if chance(rng, 0.1) and shape["hidden"]:
        case["textbook"] = pick(rng, "TwoLayerNet", "MultiLayerNet")
        case["loss"], case["hidden"] = "softmax_cross_entropy", [[size, "sigmoid"] for size, _ in shape["hidden"]]
        if case["textbook"] == "TwoLayerNet":
            case["hidden"] = case["hidden"][:1]
    return case


# Kernels by how their arguments are made, see fuzz_kernels.py.
KERNELS = (
    "affine", "activation", "softmax", "loss", "update", "batch_norm", "dropout_mask", "network_forward",
)  # fmt: skip
KERNEL_LAYOUTS = ("C", "F", "strided", "reversed")


def _kernel(rng: np.random.Generator) -> Case:
    name = pick(rng, *KERNELS)
    rows = pick(rng, 0, *COUNTS) if chance(rng, 0.7) else int(rng.integers(1, 2101))
    inputs, outputs = width(rng), width(rng)
    rows = min(rows, int((LARGE_WORK if chance(rng, LARGE) else WORK) / (inputs * outputs)) + 1)
    case: Case = {"name": name, "rows": rows, "inputs": inputs, "outputs": outputs}
    if chance(rng, 0.4):
        case["dtype"] = "float64"
    if chance(rng, 0.6):
        case["layouts"] = [pick(rng, *KERNEL_LAYOUTS) for _ in range(5)]
    if name in ("activation", "network_forward"):
        case["activation"] = activation(rng)
    if name == "loss":
        case |= {"loss": pick(rng, *LOSSES, *JUMPING_LOSSES), "targets": pick(rng, "labels", "rows")}
        if chance(rng, 0.5):
            case["smoothing"] = pick(rng, 0.1, 0.5)  # of the targets of cross-entropies
    if name == "update":
        case["rule"] = pick(rng, *OPTIMIZERS).lower()
    if chance(rng, 0.1):
        case["scale"] = pick(rng, 1e-30, 1e-3, 1e2, 1e4)
    return case


def _layers(rng: np.random.Generator) -> Case:
    sizes = [width(rng) for _ in range(int(rng.integers(2, 4)))]
    case: Case = {"sizes": sizes, "samples": min(pick(rng, *COUNTS), int(WORK / (sizes[0] * sizes[1])) + 1)}
    case |= {"activation": pick(rng, "Relu", "Sigmoid", "Tanh"), "loss": pick(rng, "Softmax", "Identity")}
    case["x"] = _array(rng, INPUT_DTYPES)
    if chance(rng, 0.3):
        case["dtype"] = "float64"
    if chance(rng, 0.4):
        case["batch_norm"] = True
    return case


def _file(rng: np.random.Generator) -> Case:
    case = {"inputs": pick(rng, 1, 4, 17), "hidden": [[pick(rng, 1, 5, 16), activation(rng)]], "outputs": 3}
    case |= {"loss": pick(rng, *LOSSES), "dtype": pick(rng, *DTYPES), **_options(rng)}
    damages = ("flip", "truncate", "cut", "insert", "splice", "digit", "header")
    case["damage"] = [pick(rng, *damages) for _ in range(int(rng.integers(4)))]
    return case


def _wrong(rng: np.random.Generator) -> Case:
    case = {"inputs": 3, "hidden": [[4, "tanh"]], "outputs": pick(rng, 1, 2, 3), "loss": pick(rng, *LOSSES)}
    options = _options(rng)
    return {**case, **options, "calls": int(rng.integers(10, 30))}


# Bins or categories of a feature, and numbers that it becomes: around the widths of vectors, and primes.
FEATURE_COUNTS = (1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 24, 31, 48)
FEATURE_WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 24, 31)
TABULAR_LAYOUTS = ("F", "strided", "reversed", "sliced", "readonly")


def _tabular(rng: np.random.Generator) -> Case:
    """A network for tables."""
    features = [_feature(rng) for _ in range(pick(rng, 1, 2, 3, 5, 8, 11))]
    hidden = [
        [int(rng.integers(1, 41)) if chance(rng, 0.85) else pick(rng, 64, 127, 128, 129, 256), activation(rng)]
        for _ in range(int(rng.integers(1, 4)))
    ]
    case: Case = {"features": features, "hidden": hidden, "outputs": pick(rng, 1, 2, 3, 5, 10)}
    case |= {"loss": pick(rng, *LOSSES), "members": pick(rng, 1, 2, 3, 4, 5), "scaled": chance(rng, 0.5)}
    if chance(rng, 0.4):
        case["dtype"] = "float64"
    if chance(rng, 0.3):
        case["dropout"] = pick(rng, 0.1, 0.5)
    inputs = sum(width for _, _, width in features)
    work = _parameters(case | {"inputs": inputs}) * case["members"]
    case["samples"] = samples = _samples(rng, work)
    if chance(rng, 0.3):
        case["sample_weight"] = True
        case["samples"] = samples = min(samples, max(MOST_WEIGHTED // case["members"], 1))
    if chance(rng, 0.3):
        case["x"] = {"layout": pick(rng, *TABULAR_LAYOUTS)}
    if chance(rng, 0.2):
        case["not finite"] = pick(rng, "nan", "inf", "-inf")
    case["fit"] = {"optimizer": pick(rng, *OPTIMIZERS), "batch_size": pick(rng, 1, 2, 7, 17, 33, 64, 100, 256, samples)}
    case["fit"] |= {"epsilon": 0.01} if case["fit"]["optimizer"] in ADAPTIVE else {}
    case["fit"] |= {"clip_norm": pick(rng, 0.01, 0.5)} if chance(rng, 0.2) else {}
    case["fit"] |= {"epochs": 2} if chance(rng, 0.3) else {}
    case["samples"] = min(samples, MOST_STEPS * case["fit"]["batch_size"])
    return case


def _feature(rng: np.random.Generator) -> list[Any]:
    kind = pick(rng, "plain", "bins", "bins", "categories")
    return [kind, 0, 1] if kind == "plain" else [kind, pick(rng, *FEATURE_COUNTS), pick(rng, *FEATURE_WIDTHS)]


# Columns of frames, and what holds them, see fuzz_table.py.
COLUMNS = (
    "numbers", "whole numbers", "few numbers", "two numbers", "large numbers", "tiny numbers", "Booleans", "constant",
    "nothing", "few categories", "many categories", "names", "mixed", "dates", "dates with zone", "dates of objects",
    "durations", "nullable numbers", "nullable Booleans",
)  # fmt: skip
TARGETS = ("number", "two numbers", "quantiles", "two classes", "classes", "Boolean", "whole classes", "one number")
CONTAINERS = ("pandas", "polars", "pyarrow", "objects")


def _table(rng: np.random.Generator) -> Case:
    """An estimator of `fastfnn.tabular` on a frame."""
    columns = [[pick(rng, *COLUMNS), pick(rng, 0.0, 0.0, 0.1, 0.9)] for _ in range(int(rng.integers(1, 7)))]
    case: Case = {"columns": columns, "target": pick(rng, *TARGETS), "rows": pick(rng, 1, 2, 7, 60, 101, 130, 300)}
    case["container"] = pick(rng, *CONTAINERS)
    options = {
        "members": pick(rng, 1, 2, 3), "bins": pick(rng, 0, 1, 2, 5, 48), "embedding_size": pick(rng, 1, 3, 8),
        "hidden_layer_sizes": int(rng.integers(1, 41)), "batch_size": pick(rng, 1, 7, 32, 1000),
        "validation_fraction": pick(rng, 0.0, 0.2), "dropout": pick(rng, 0.0, 0.2), "weight_decay": pick(rng, 0.0, 0.1),
    }  # fmt: skip
    case["options"] = {name: value for name, value in options.items() if chance(rng, 0.4)}
    case["options"] |= {"preset": pick(rng, "fast", "fast", "default", "best"), "max_epochs": pick(rng, 1, 2)}
    if chance(rng, 0.2):
        case["sample_weight"] = True
    return case
