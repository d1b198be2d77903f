"""The arguments of every public kernel, by the names in its signature.

An argument has the same name in all kernels, so that the name of a kernel and a shape are enough to call it. This holds
for older versions too, whose signatures may have fewer arguments.
"""

import functools
import inspect

import numpy as np

from fastfnn import kernels

from .cases import CASES, LEARNING_RATE, TABLE_CASES
from .common import normal, scattered

# A small learning rate, as in cases.py: any number of steps leaves ordinary numbers.
SCALARS = {
    "learning_rate": LEARNING_RATE,
    "momentum": 0.9,
    "decay_rate": 0.99,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-7,
    "decay": 0.01,
    "norm_epsilon": 1e-5,
    "norm_momentum": 0.9,
    "batch_weight": 100.0,
    "step": 3,
    "steps_before": 0,
    "layer": 1,
    "dropout": 0.5,
    "scale": 2.0,
    "smoothing": 0.0,
    "delta": 1.0,
    "seed": 1,
}


def call_of(module, name, arguments):
    """A function without arguments that calls the kernel `name` of a module, kernels or reference."""
    return functools.partial(getattr(module, name), *arguments)


def arguments_of(name, shape, dtype, **others):
    """The arguments of a kernel in order; NotImplementedError if this version has no such kernel or other arguments.

    shape   (B, O) for a kernel that works on elements or rows, (B, I, O) for a layer, the name of a case for a network
    others  arguments by name that replace the usual ones
    """
    if not hasattr(kernels, name):
        raise NotImplementedError(f"fastfnn.kernels has no {name}")
    named = {key: lambda value=value: value for key, value in SCALARS.items()}
    named |= {key: lambda make=make: _scattered_array(make()) for key, make in _arrays(name, shape, dtype).items()}
    named |= {key: lambda value=value: value for key, value in others.items()}
    wanted = list(inspect.signature(getattr(kernels, name)).parameters)
    if not set(wanted) <= set(named):
        raise NotImplementedError(f"{name} of this version takes {', '.join(set(wanted) - set(named))}")
    return [named[key]() for key in wanted]


def _scattered_array(value):
    return scattered(value) if isinstance(value, np.ndarray) else value


def _arrays(name, shape, dtype):
    """Functions that make the arrays of a kernel, by name of the array."""
    if name.startswith(("network", "train")):
        return _of_network(shape, dtype)
    if name.startswith("tabular"):
        return _of_table(shape, dtype)
    if name.startswith("affine"):
        return _of_layer(*shape, dtype)
    if name.startswith("batch_norm"):
        return _of_normalization(*shape, dtype)
    if name.endswith("_update"):
        states = ("param", "velocity", "mean", "squares", "square", "grad")
        return {
            key: lambda seed=seed: np.abs(normal(*shape, dtype=dtype, seed=seed)) for seed, key in enumerate(states)
        }
    return _of_rows(name, *shape, dtype)


def _of_rows(name, batch, outputs, dtype):
    def random(seed):
        return lambda: normal(batch, outputs, dtype=dtype, seed=seed)

    def labels():
        return np.arange(batch) % outputs

    filled = ("x", "out", "logits", "grad_out", "grad_x", "grad_logits", "mask", "targets")
    arrays = {key: random(seed) for seed, key in enumerate(filled)}
    return arrays | {
        "targets": labels if name == "softmax_cross_entropy" else lambda: np.abs(random(1)()),
        "levels": lambda: np.linspace(0.1, 0.9, outputs),
        "code": lambda: kernels.ACTIVATIONS.index("sigmoid"),
        "losses": lambda: np.empty(batch),
        "loss_parameters": lambda: np.ones(1),
        "loss": lambda: kernels.LOSSES.index("huber"),
    }


def _of_layer(batch, inputs, outputs, dtype):
    shapes = {
        **{"out": (batch, outputs), "x": (batch, inputs), "weight": (inputs, outputs), "bias": (outputs,)},
        **{"grad_x": (batch, inputs), "grad_weight": (inputs, outputs), "grad_bias": (outputs,)},
        "grad_out": (batch, outputs),
    }
    return {
        key: lambda seed=seed, key=key: normal(*shapes[key], dtype=dtype, seed=seed) for seed, key in enumerate(shapes)
    }


def _of_normalization(batch, outputs, dtype):
    rows = ("out", "normalized", "x", "grad_x", "grad_out")
    columns = ("mean", "variance", "gamma", "beta", "grad_gamma", "grad_beta")
    arrays = {key: lambda seed=seed: normal(batch, outputs, dtype=dtype, seed=seed) for seed, key in enumerate(rows)}
    return arrays | {
        key: lambda seed=seed: np.abs(normal(outputs, dtype=dtype, seed=seed)) for seed, key in enumerate(columns)
    }


def _of_network(case_name, dtype):
    """One pass of gradient descent over the batches of a case. All kernels but train_steps take all samples at once."""
    case = CASES[case_name]
    count = case.batch_size * case.batches
    params = np.concatenate([param.ravel() for param in case.network(dtype).params.values()])
    codes = [kernels.ACTIVATIONS.index(key) for key in (*[case.activation] * (len(case.layers) - 2), "identity")]
    return {
        "out": lambda: np.empty((count, case.layers[-1]), dtype),
        "params": lambda: params,
        "grad_params": lambda: params / 2,
        **dict.fromkeys(("first", "second", "statistics", "sample_weights"), lambda: np.empty(0, dtype)),
        **dict.fromkeys(("half_squares", "batch_weights"), lambda: np.empty(0)),
        "step_losses": lambda: np.empty(case.batches),
        "x": lambda: case.samples(dtype, count),
        "targets": lambda: case.targets(dtype, count),
        "order": lambda: np.random.default_rng(0).permutation(count),
        "learning_rates": lambda: np.full(case.batches, LEARNING_RATE),
        "sizes": lambda: np.array(case.layers, np.int64),
        "activations": lambda: np.array(codes, np.int64),
        "settings": _settings,
        "loss_parameters": lambda: np.zeros(1 if case.loss.endswith("cross_entropy") else 0),
        "loss": lambda: kernels.LOSSES.index(case.loss),
        "optimizer": lambda: kernels.OPTIMIZERS.index("sgd"),
        "batch_size": lambda: case.batch_size,
    }


def _of_table(case_name, dtype):
    """A pass over the batches of a network for tables. tabular_gradient takes all samples at once."""
    case = TABLE_CASES[case_name]
    params = case.network(dtype).params
    codes = [*[kernels.ACTIVATIONS.index("relu")] * len(case.hidden), kernels.ACTIVATIONS.index("identity")]
    return {
        "out": lambda: np.empty((case.count, 1), dtype),
        "params": params.copy,
        "grad_params": lambda: params / 2,
        **dict.fromkeys(("first", "second", "sample_weights"), lambda: np.empty(0, dtype)),
        "step_losses": lambda: np.empty(case.batches),
        "x": lambda: case.samples(dtype),
        "targets": lambda: case.targets(dtype),
        "order": lambda: np.random.default_rng(0).permutation(case.count)[np.newaxis],
        "learning_rates": lambda: np.full(case.batches, LEARNING_RATE),
        "features": lambda: np.array([[1, case.bins, case.width]] * case.features),
        "sizes": lambda: np.array(case.sizes),
        "activations": lambda: np.array(codes),
        "settings": _settings,
        "loss_parameters": lambda: np.empty(0),
        "loss": lambda: kernels.LOSSES.index("squared_error"),
        "optimizer": lambda: kernels.OPTIMIZERS.index("sgd"),
        "batch_size": lambda: case.batch_size,
        "members": lambda: case.members,
        "scaled": lambda: int(case.scaled),
    }


def _settings():
    """The vector of settings for plain gradient descent, for the settings that this version has."""
    return np.array([SCALARS[key] if key in ("learning_rate", "norm_epsilon") else 0.0 for key in kernels.SETTINGS])


def bytes_moved(name, arguments):
    """Bytes that are read and written if each array is touched once, and twice where it is updated in place."""
    sizes = [argument.nbytes for argument in arguments if isinstance(argument, np.ndarray)]
    if name.endswith("_update"):
        return 2 * sum(sizes) - sizes[-1]  # the last array, the gradient, is only read
    return sum(sizes)
