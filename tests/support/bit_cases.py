"""Calls of kernels that many threads divide unevenly, and the bits of their results: for child processes, too."""

import concurrent.futures
import hashlib
import itertools
import json
import threading
from typing import NamedTuple

import numpy as np
from helpers import OTHER, normal, poisoned
from tabular_problems import forward_of, gradient_of, random_tabular, steps_of
from user_codes import ELEMENTWISE, GIVEN, code_of, loss_code_of
from whole_team import use_whole_teams

from fastfnn import kernels
from fastfnn.kernels.elementwise.losses.table import parameters_of
from fastfnn.kernels.workers import threads

# The identity is NumPy's copy, on one thread; an activation that is given has no functions of its own.
ACTIVATION_NAMES = tuple(name for name in ELEMENTWISE if name not in ("identity", GIVEN))
NETWORK = (40, 50, 10)
WIDENING_NETWORK = (21, 403, 20, 450, 3)
WIDE = (300, 400, 400, 10)  # whose W are large enough to be divided by columns


def inputs(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [normal(rng, shape, dtype) for shape in shapes]


# Each case: dtype -> everything that a kernel writes, at a size that is worth many threads, which divide it unevenly.


def affine_forward(dtype):
    x, weight, bias = inputs(dtype, (301, 70), (70, 53), 53)
    out = poisoned((301, 53), dtype)
    kernels.affine_forward(out, x, weight, bias)
    return [out]


def affine_backward(dtype):
    grad_out, x, weight = inputs(dtype, (301, 53), (301, 70), (70, 53))
    outputs = [poisoned(shape, dtype) for shape in ((301, 70), (70, 53), 53)]
    kernels.affine_backward(*outputs, grad_out, x, weight)
    return outputs


def activation_forward(name):
    def case(dtype):
        (x,) = inputs(dtype, (601, 503))
        out = poisoned(x.shape, dtype)
        getattr(kernels, name)(out, x)
        return [out]

    return case


def activation_backward(name):
    def case(dtype):
        grad_out, out = inputs(dtype, (601, 503), (601, 503))
        grad_x = poisoned(out.shape, dtype)
        getattr(kernels, name)(grad_x, grad_out, out)
        return [grad_x]

    return case


def loss(name, *arguments, labels=False):
    def case(dtype):
        logits, targets = inputs(dtype, (40_011, 10), (40_011, 10))
        grad, targets = poisoned(logits.shape, dtype), targets.argmax(axis=1) if labels else abs(targets)
        return [getattr(kernels, name)(grad, logits, targets, *arguments), grad]

    return case


def activation_by_code(dtype):
    grad_out, x = inputs(dtype, (601, 503), (601, 503))
    out, grad_x = poisoned(x.shape, dtype), poisoned(x.shape, dtype)
    kernels.activation_forward(out, x, code_of(GIVEN, dtype))
    kernels.activation_backward(grad_x, grad_out, x, code_of(GIVEN, dtype))
    return [out, grad_x]


def loss_by_code(dtype):
    out, targets = inputs(dtype, (40_011, 10), (40_011, 10))
    losses, grad = np.full(len(out), np.nan), poisoned(out.shape, dtype)
    mean = kernels.sample_losses(losses, grad, out, targets, np.empty(0), loss_code_of(GIVEN, dtype))
    return [mean, losses, grad]


def sgd_update(dtype):
    param, grad = inputs(dtype, (601, 503), (601, 503))
    kernels.sgd_update(param, grad, 0.1)
    return [param]


def adamw_update(dtype):
    param, mean, square, grad = inputs(dtype, *[(601, 503)] * 4)
    np.abs(square, out=square)
    kernels.adamw_update(param, mean, square, grad, 0.1, 0.9, 0.999, 1e-8, 0.01, 3)
    return [param, mean, square]


def batch_norm_forward(dtype):
    x, gamma, beta = inputs(dtype, (601, 503), 503, 503)
    outputs = [poisoned(shape, dtype) for shape in (x.shape, x.shape, 503, 503)]
    kernels.batch_norm_forward(*outputs, x, gamma, beta, 1e-5)
    return outputs


def batch_norm_backward(dtype):
    grad_out, normalized, variance, gamma = inputs(dtype, (601, 503), (601, 503), 503, 503)
    outputs = [poisoned(shape, dtype) for shape in ((601, 503), 503, 503)]
    kernels.batch_norm_backward(*outputs, grad_out, normalized, abs(variance), gamma, 1e-5)
    return outputs


class Network(NamedTuple):
    loss: str
    params: np.ndarray
    statistics: np.ndarray
    x: np.ndarray
    targets: np.ndarray
    sizes: np.ndarray
    codes: np.ndarray
    settings: np.ndarray


def random_network(
    dtype, sizes, samples, names=("tanh",), normalized=False, labels=False, given=None, loss="squared_error", **settings
):
    """A network whose hidden layers have these activations in turn, and its last one the identity.

    given  makes its samples from those that it would have
    loss   of rows; labels have the softmax cross-entropy
    """
    hidden = sizes[1:-1] if normalized else ()
    count = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes)) + 2 * sum(hidden)
    params, x, targets = inputs(dtype, count, (samples, sizes[0]), (samples, sizes[-1]))
    params *= dtype.type(0.125)
    activations = [*itertools.islice(itertools.cycle(names), len(sizes) - 2), "identity"]
    values = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "l2": 0.01, "norm_epsilon": 1e-5, "norm_momentum": 0.9}
    values |= settings
    return Network(
        "softmax_cross_entropy" if labels else loss,
        params,
        np.ones(2 * sum(hidden), dtype),
        x if given is None else given(x),
        targets.argmax(axis=1) if labels else targets if loss == "squared_error" else abs(targets),
        np.array(sizes),
        np.array([code_of(name, dtype) for name in activations]),
        np.array([values.get(name, 0.0) for name in kernels.SETTINGS]),
    )


def in_other_dtype(x):
    return x.astype(OTHER[x.dtype])


def loss_of(network):
    """The parameters and the code of a network's loss; labels are not smoothed."""
    code = loss_code_of(network.loss, network.params.dtype)
    value = 0.0 if network.targets.ndim == 1 else 0.25
    return np.full(parameters_of(code, int(network.sizes[-1])), value), code


def forward(sizes, samples, **options):
    def case(dtype):
        network = random_network(dtype, sizes, samples, **options)
        out = poisoned((samples, sizes[-1]), dtype)
        kernels.network_forward(out, network.params, network.x, network.sizes, network.codes)
        return [out]

    return case


def prediction_loss(sizes, samples, **options):
    def case(dtype):
        network = random_network(dtype, sizes, samples, **options)
        return [
            kernels.network_loss(
                network.params, network.x, network.targets, network.sizes, network.codes, *loss_of(network)
            )
        ]

    return case


def gradient(sizes, samples, weighted=False, **options):
    def case(dtype):
        network = random_network(dtype, sizes, samples, **options)
        grad_params = poisoned(network.params.shape, dtype)
        (weights,) = inputs(dtype, samples if weighted else 0)
        value = kernels.network_gradient(
            grad_params, network.statistics, network.params, network.x, network.targets, abs(weights), network.sizes,
            network.codes, network.settings, *loss_of(network), 3,
        )  # fmt: skip
        return [value, grad_params, network.statistics]

    return case


def given_update(optimizer, sizes, **options):
    """Three updates of a network with gradients that are given, and an L2 penalty."""

    def case(dtype):
        network = random_network(dtype, sizes, 1, **options)
        first, second = np.zeros_like(network.params), np.zeros_like(network.params)
        grads = [grad * dtype.type(0.01) for grad in inputs(dtype, *[network.params.shape] * 3)]
        for step, grad in enumerate(grads, 1):
            kernels.network_update(
                network.params, first, second, grad, network.sizes, network.settings,
                kernels.OPTIMIZERS.index(optimizer), 0.001, 10.0, step,
            )  # fmt: skip
        return [network.params, first, second, *grads]

    return case


def training(optimizer, sizes, samples, batch_size, weighted=False, divided=False, squared=False, epochs=1, **options):
    """Steps with an L2 penalty, on samples in an order, the last of which may be a small batch.

    divided  whether batches have weights
    squared  whether the squares of all weights are wanted
    """

    def case(dtype):
        network = random_network(dtype, sizes, samples, **options)
        rng = np.random.default_rng(1)
        order = np.stack([rng.permutation(samples) for _ in range(epochs)])
        step_losses = np.full(epochs * -(-samples // batch_size), np.nan)
        rates = 0.001 * 0.5 ** np.arange(len(step_losses))  # larger ones make the widest networks diverge
        first, second = np.zeros_like(network.params), np.zeros_like(network.params)
        (weights,) = inputs(dtype, samples if weighted else 0)
        half_squares = np.full(len(step_losses) if squared else 0, np.nan)
        batch_weights = np.linspace(0.5, 1.5, len(step_losses) if divided else 0) * batch_size
        kernels.train_steps(
            network.params, first, second, network.statistics, step_losses, half_squares, network.x, network.targets,
            abs(weights), batch_weights, order, rates, network.sizes, network.codes, network.settings,
            *loss_of(network),
            kernels.OPTIMIZERS.index(optimizer), batch_size, 3,
        )  # fmt: skip
        return [network.params, first, second, network.statistics, step_losses, half_squares]

    return case


def tabular(kind, samples, hidden, members, scaled, batch_size=None, **options):
    """What one of the kernels of networks for tables writes."""

    def case(dtype):
        problem = random_tabular(
            np.random.default_rng(0), dtype, samples, hidden, 3, members, scaled, names=SLOPES, **options
        )
        if kind == "forward":
            return [forward_of(kernels, problem)]
        if kind == "gradient":
            return list(gradient_of(kernels, problem))
        return steps_of(kernels, problem, "adamw", batch_size)

    return case


DROPOUT = {"dropout": 0.25, "dropout_scale": 4 / 3, "seed": 7}
SLOPES = ("gelu", "silu", "softplus", GIVEN)  # activations whose derivative is stored beside the output
CLIP = {"clip_norm": 0.1}  # shorter than most gradients
SUMS = {"weighted": True, "divided": True, "squared": True, "batch_l2": 1.0}  # of weights, of samples and of layers
ALL = {"names": SLOPES, "normalized": True, **SUMS, **DROPOUT, **CLIP}

CASES = {
    "affine_forward": affine_forward,
    "affine_backward": affine_backward,
    **{f"{name}_forward": activation_forward(f"{name}_forward") for name in ACTIVATION_NAMES},
    **{f"{name}_backward": activation_backward(f"{name}_backward") for name in ACTIVATION_NAMES},
    "an activation that is given": activation_by_code,
    "softmax": activation_forward("softmax"),
    "exp_forward": activation_forward("exp_forward"),
    "batch_norm_forward": batch_norm_forward,
    "batch_norm_backward": batch_norm_backward,
    "softmax_cross_entropy": loss("softmax_cross_entropy"),
    "softmax_cross_entropy of labels": loss("softmax_cross_entropy", labels=True),
    "sigmoid_cross_entropy": loss("sigmoid_cross_entropy"),
    "softmax_cross_entropy, smoothed": loss("softmax_cross_entropy", 0.1),
    "softmax_cross_entropy of labels, smoothed": loss("softmax_cross_entropy", 0.1, labels=True),
    "sigmoid_cross_entropy, smoothed": loss("sigmoid_cross_entropy", 0.1),
    "squared_error": loss("squared_error"),
    "poisson": loss("poisson"),
    "huber": loss("huber", 0.5),
    "absolute_error": loss("absolute_error"),
    "quantile": loss("quantile", np.linspace(0.1, 0.9, 10)),
    "a loss that is given": loss_by_code,
    "sgd_update": sgd_update,
    "adamw_update": adamw_update,
    "network_forward": forward(NETWORK, 301, names=("relu",)),
    "network_forward, wide": forward(WIDE, 300, names=SLOPES),
    "network_forward, by layers": forward((530, 301, 299, 3), 5, names=SLOPES),  # see `divides_columns`
    "network_forward, one row, by layers": forward((784, 509, 299, 3), 1),
    "network_forward, in panels on few threads": forward((120, 100, 1), 1000, names=SLOPES),  # see PACKED_LEAST_ROWS
    "network_loss": prediction_loss(NETWORK, 301, names=("relu",), labels=True),
    "network_loss of few samples": prediction_loss((784, 50, 10), 90, names=SLOPES),
    "network_loss of few samples, wide": prediction_loss(WIDE, 90, names=SLOPES),
    "network_loss of few samples, in the other dtype": prediction_loss(
        (784, 50, 10), 90, names=SLOPES, given=in_other_dtype
    ),
    "network_loss, in panels on few threads": prediction_loss((120, 100, 1), 1000, names=SLOPES),
    "network_loss, quantile": prediction_loss(NETWORK, 301, loss="quantile"),
    "network_loss, a loss that is given": prediction_loss(NETWORK, 301, loss=GIVEN),
    "network_gradient": gradient(NETWORK, 201, names=("relu",), labels=True),
    "network_gradient, wide": gradient(WIDE, 90, normalized=True, names=SLOPES, **DROPOUT),
    "network_gradient of a tall batch": gradient((4, 32, 16, 4), 2001, names=SLOPES, **DROPOUT),
    "network_update": given_update("adam", WIDE),
    "network_update, clipping": given_update("sgd", WIDE, batch_l2=1.0, **CLIP),
    "network_update, normalized and clipping": given_update("nesterov", WIDE, normalized=True, **CLIP),
    "train_steps": training("adam", NETWORK, 301, 67, names=("relu",), labels=True),
    **{
        f"train_steps, {name}": training("adam", NETWORK, 301, 67, names=("relu",), loss=name)
        for name in (*(name for name in kernels.LOSSES if name != "squared_error"), GIVEN)
    },
    "train_steps on one sample, quantile": training("sgd", (810, 830, 10), 19, 1, loss="quantile"),
    "train_steps on one sample, a loss that is given": training("sgd", (810, 830, 10), 19, 1, loss=GIVEN),
    "train_steps, two epochs": training("adam", NETWORK, 201, 67, names=("relu",), labels=True, epochs=2),
    "train_steps, dropout": training("sgd", NETWORK, 301, 67, labels=True, **DROPOUT),
    "train_steps, batch normalization": training("sgd", NETWORK, 301, 67, normalized=True),
    "train_steps, sample weights": training("sgd", NETWORK, 301, 67, weighted=True, labels=True),
    "train_steps, sums": training("sgd", NETWORK, 301, 67, labels=True, **SUMS),
    "train_steps, sums, with state": training("adam", NETWORK, 301, 67, labels=True, epochs=2, **SUMS),
    "train_steps, sums, a first layer in halves": training("sgd", (301, 50, 10), 150, 67, **SUMS),
    "network_gradient, sample weights": gradient(NETWORK, 201, labels=True, weighted=True),
    "train_steps, clipping": training("sgd", NETWORK, 301, 67, **CLIP),
    "train_steps, slopes": training("sgd", (40, 50, 50, 50, 50, 10), 301, 67, names=SLOPES),
    "train_steps, all of these": training("adamw", (40, 50, 50, 50, 50, 10), 301, 67, **ALL),
    "network_gradient, a first layer in halves": gradient((301, 50, 10), 90, names=SLOPES, **DROPOUT),
    "network_gradient, in the other dtype": gradient(NETWORK, 201, names=("relu",), given=in_other_dtype),
    "network_gradient, a first layer in halves, in the other dtype": gradient((301, 50, 10), 90, given=in_other_dtype),
    "train_steps, a first layer in halves": training("sgd", (301, 50, 10), 150, 67),
    "train_steps, a first layer in halves, all of these": training("adam", (301, 50, 50, 10), 150, 67, **ALL),
    "train_steps on tall batches": training("adam", (4, 32, 16, 4), 4101, 2000),  # the last is not tall
    "train_steps on tall batches, a loss that is given": training("adam", (4, 32, 16, 4), 4101, 2000, loss=GIVEN),
    "train_steps on tall batches, sums": training("sgd", (4, 32, 16, 4), 4101, 2000, **SUMS),
    "network_gradient of a tall batch, sample weights": gradient((4, 32, 16, 4), 2001, weighted=True),
    "train_steps on tall batches, all but normalized": training(
        "adam", (4, 32, 16, 4), 4101, 2000, **ALL | {"normalized": False}
    ),
    # four blocks, in two groups; five, the last of them alone in the third group
    "train_steps on tall batches of few blocks": training("adam", NETWORK, 600, 270, labels=True),
    "network_gradient of a tall batch of five blocks": gradient(NETWORK, 1025, names=("relu",)),
    "train_steps, weights divided by columns": training("sgd", WIDE, 150, 64),
    "train_steps, weights divided by columns, with state": training("adam", WIDE, 70, 64),
    "train_steps, weights divided by columns, all of these": training("sgd", WIDE, 70, 64, **ALL),
    "network_gradient, widening": gradient(WIDENING_NETWORK, 90, normalized=True, names=SLOPES, **DROPOUT),
    "train_steps, layers that widen": training("sgd", WIDENING_NETWORK, 150, 64),
    "train_steps, layers that widen, with state": training("adam", WIDENING_NETWORK, 150, 64),
    "train_steps, layers that widen, all of these": training("sgd", WIDENING_NETWORK, 150, 64, **ALL),
    "network_gradient of a deep batch": gradient(WIDE, 1100, names=SLOPES, **DROPOUT),
    "train_steps on deep batches": training("adam", WIDE, 1500, 1100, names=SLOPES, **DROPOUT),  # the last is not deep
    "train_steps on deep batches, sums": training("adam", WIDE, 1500, 1100, **SUMS),
    "train_steps on deep batches, all of these": training("sgd", WIDE, 1500, 1100, **ALL),
    "tabular_forward": tabular("forward", 301, (50, 40), 5, False),
    "tabular_forward, scaled": tabular("forward", 301, (50, 40), 5, True),
    "tabular_gradient": tabular("gradient", 201, (50, 40), 5, False, labels=True),
    "tabular_gradient in several parts": tabular("gradient", 501, (50, 40), 17, True, weighted=True, **DROPOUT),
    "tabular_steps, one member": tabular("steps", 301, (50, 40), 1, False, 67),
    "tabular_steps": tabular("steps", 301, (50, 40), 5, False, 67, **DROPOUT),
    "tabular_steps, scaled": tabular(
        "steps", 301, (50, 40), 5, True, 67, labels=True, weighted=True, **DROPOUT, **CLIP
    ),
    "train_steps on one sample": training("sgd", (810, 830, 10), 19, 1),
    "train_steps on one sample, three layers": training("sgd", (610, 640, 640, 10), 19, 1),
    "train_steps on one sample, two epochs": training("sgd", (810, 830, 10), 19, 1, epochs=2),
    "train_steps on one sample, weights and slopes": training(
        "sgd", (610, 640, 640, 10), 5, 1, weighted=True, names=SLOPES
    ),
    "train_steps on one sample, weights of batches": training(
        "sgd", (610, 640, 640, 10), 19, 1, **SUMS | {"squared": False}
    ),
    "train_steps on one sample, sums": training("sgd", (610, 640, 640, 10), 5, 1, **SUMS),
    "train_steps on one sample, with state": training("momentum", (600, 700, 10), 3, 1),
    "train_steps on one sample, all of these": training("sgd", (600, 700, 10), 3, 1, **ALL),
}


# Numbers of threads that have the same bits. More than the cores of most machines: workers need not run at once. Both
# dtypes divide work by the same code, so that float64 takes fewer of them.
COUNTS = {"float32": (1, 2, 3, 5, 16), "float64": (1, 2, 5)}
MOST = 16


def digest(arrays):
    assert all(np.all(np.isfinite(array)) for array in arrays), "NaN would equal NaN, whatever led to it"
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


def print_digests(part="", varied=False):
    """Run in a child: the digests of the results for every number of threads, in float32 and float64.

    part    only of cases with this in their names
    varied  other numbers of members take part from step to step, in teams of two and of five
    """
    use_whole_teams(varied)
    results = {}
    for name, case in [(name, case) for name, case in CASES.items() if part in name]:
        for dtype, counts in COUNTS.items():
            results[f"{name} {dtype}"] = digests = {}
            for count in (2, 5) if varied else counts:
                threads.set_num_threads(count)
                digests[count] = digest(case(np.dtype(dtype)))
    print(json.dumps({"results": results}))


def call_from_python_threads(count=4, repetitions=10, limit=16):
    """Raise if kernels that several Python threads call at once give other results than alone.

    limit  of threads of each
    """
    dtype = np.dtype("float32")
    names = ["affine_backward", "an activation that is given", "network_gradient", "train_steps, all of these"]
    cases = [CASES[name] for name in names]
    with threads.limited(limit):
        want = [digest(case(dtype)) for case in cases]
    together = threading.Barrier(count)

    def work(offset):
        together.wait()
        with threads.limited(limit):
            for number in range(repetitions):
                index = (number + offset) % len(cases)
                assert digest(cases[index](dtype)) == want[index], names[index]

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, offset) for offset in range(count)]:
            future.result()
