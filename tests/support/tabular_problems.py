"""Random networks for tables with their data, for the tests of the kernels and of their bits."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from helpers import normal
from user_codes import code_of, loss_code_of

from fastfnn import kernels
from fastfnn.kernels.elementwise.losses.table import parameters_of

PLAIN, BINS, CATEGORIES = range(3)

# One feature of each kind, of widths around those of vectors.
MIXED = ((BINS, 4, 3), (PLAIN, 0, 1), (CATEGORIES, 5, 2), (BINS, 1, 16), (CATEGORIES, 1, 1), (BINS, 7, 9))
NUMBERS = ((PLAIN, 0, 1),) * 5


class Tabular(NamedTuple):
    """The arguments of the kernels that describe a network and its data."""

    params: np.ndarray
    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    features: np.ndarray
    sizes: np.ndarray
    codes: np.ndarray
    settings: np.ndarray
    parameters: np.ndarray
    loss: int
    members: int
    scaled: int


def parameter_count(features, sizes, members, scaled):
    """How many parameters a network has, counted as the documentation of `tabular_forward` says."""
    rows = {PLAIN: 0, BINS: 1, CATEGORIES: 0}
    count = sum((number + rows[kind]) * width if kind != PLAIN else 0 for kind, number, width in features)
    for layer, (inputs, units) in enumerate(itertools.pairwise(sizes[:-1])):
        count += inputs * units
        if members > 1 and (scaled or layer == 0):
            count += members * inputs
        count += units * (2 * members if members > 1 and scaled else 1)
    return count + members * (sizes[-2] + 1) * sizes[-1]


def values_of(rng, features, samples, dtype):
    """Rows of features: some positions lie beyond the bins, some codes beyond the categories."""
    columns = [
        normal(rng, samples, dtype)
        if kind == PLAIN
        else rng.uniform(-0.5, count + 0.5, samples)
        if kind == BINS
        else rng.integers(-1, count + 1, samples)
        for kind, count, _ in features
    ]
    return np.ascontiguousarray(np.stack(columns, axis=1).astype(dtype))


def random_tabular(
    rng, dtype, samples, hidden, outputs, members, scaled, *, features=MIXED, names=("tanh",), loss="squared_error",
    labels=False, weighted=False, **settings,
):  # fmt: skip
    """A network whose hidden layers have these activations in turn, and the identity behind the heads."""
    sizes = (sum(width for _, _, width in features), *hidden, outputs)
    params = normal(rng, parameter_count(features, sizes, members, scaled), dtype) / 4
    targets = rng.integers(0, outputs, samples) if labels else abs(normal(rng, (samples, outputs), dtype))
    values = {"beta1": 0.75, "beta2": 0.875, "epsilon": 0.25, "decay": 0.5} | settings
    code = loss_code_of("softmax_cross_entropy" if labels else loss, dtype)
    activations = [names[number % len(names)] for number in range(len(hidden))]
    return Tabular(
        params,
        values_of(rng, features, samples, dtype),
        targets,
        rng.uniform(0.5, 2, samples if weighted else 0).astype(dtype),
        np.array(features, np.int64),
        np.array(sizes, np.int64),
        np.array([code_of(name, dtype) for name in (*activations, "identity")], np.int64),
        np.array([values.get(name, 0.0) for name in kernels.SETTINGS]),
        np.full(parameters_of(code, outputs), 0.25),
        code,
        members,
        int(scaled),
    )


def gradient_of(module, problem, step=3, **changed):
    """The loss and the gradient by the kernels or the reference."""
    p = problem._replace(**changed)
    grad = np.full_like(p.params, math.nan)
    value = module.tabular_gradient(
        grad, p.params, p.x, p.targets, p.weights, p.features, p.sizes, p.codes, p.settings, p.parameters, p.loss, step,
        p.members, p.scaled,
    )  # fmt: skip
    return value, grad


def forward_of(module, problem, codes=None):
    """The predictions by the kernels or the reference."""
    p = problem
    out = np.full((len(p.x), p.sizes[-1]), math.nan, p.params.dtype)
    module.tabular_forward(
        out, p.params, p.x, p.features, p.sizes, p.codes if codes is None else codes, p.members, p.scaled
    )
    return out


def steps_of(module, problem, optimizer, batch_size, epochs=1, steps_before=3):
    """What steps write: parameters, state, losses."""
    p, rng = problem, np.random.default_rng(1)
    order = np.stack([rng.permutation(len(p.x)) for _ in range(epochs)])
    states = {"sgd": 0, "adam": 2, "adamw": 2}.get(optimizer, 1)
    params, first, second = (
        p.params.copy(),
        *(np.zeros(p.params.size if states > number else 0, p.params.dtype) for number in range(2)),
    )
    losses = np.full(epochs * -(-len(p.x) // batch_size), math.nan)
    module.tabular_steps(
        params, first, second, losses, p.x, p.targets, p.weights, order, 0.125 * 0.75 ** np.arange(len(losses)),
        p.features, p.sizes, p.codes, p.settings, p.parameters, p.loss, kernels.OPTIMIZERS.index(optimizer), batch_size,
        steps_before, p.members, p.scaled,
    )  # fmt: skip
    return [params, first, second, losses]
