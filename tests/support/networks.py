"""What the tests of networks share: random networks, their parameters and data, and calls of the kernels."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from helpers import NOJIT, TOLERANCES, assert_chain_close, normal, poisoned, sizes, unchanged
from hypothesis import strategies as st
from user_codes import BUILT_IN, has_kink, log_cosh, slope_of_log_cosh

from fastfnn import kernels, reference
from fastfnn.kernels import ACTIVATIONS, LOSSES, OPTIMIZERS, SETTINGS
from fastfnn.kernels.elementwise.losses.table import parameters_of

# Activations that a user defines, with the derivative as a function of x, or of x and y.
GIVEN = {
    "own sine": (lambda x: math.sin(x), lambda x: math.cos(x)),
    "own ratio": (lambda x: x / (1 + abs(x)), lambda x, y: (1 - abs(y)) ** 2),
}
HIDDEN = (*BUILT_IN, *GIVEN)
# Losses that a user defines.
GIVEN_LOSSES = {"log_cosh": (log_cosh, slope_of_log_cosh)}
EVERY_LOSS = (*LOSSES, *GIVEN_LOSSES)
NEAR = ("squared_error", "huber", *GIVEN_LOSSES)  # whose gradient is small where outputs are near their targets

# Activations of the last layer that each loss allows. The cross-entropies and Poisson's loss contain their output
# activation; the gradients of the absolute error and of quantiles jump, so that outputs must not meet their targets.
LAST = {name: HIDDEN if name in NEAR else ["identity"] for name in EVERY_LOSS}
# Rounding can turn a ReLU on or off, and with it a whole path of the gradient. So ReLU is combined with layers that are
# exact on numbers of few bits only, never with smooth functions. In float64 this is too rare to happen.
SMOOTH, EXACT = [name for name in HIDDEN if name in GIVEN or not has_kink(name)], ["identity", "relu"]

# Layers stay exact under dropout if the scale is a power of two.
DROPOUT = {"dropout": 0.5, "dropout_scale": 2.0, "seed": 2**32 - 5}
# A larger epsilon than usual, since dividing by the root of a small variance magnifies rounding errors.
NORM = {"norm_epsilon": 0.125, "norm_momentum": 0.75}
# With an epsilon of 1/4 a step does not depend on the sign of a gradient that is all rounding error.
RULE = {"beta1": 0.75, "beta2": 0.875, "epsilon": 0.25, "decay": 0.5}
STATES = {"sgd": 0, "adam": 2, "adamw": 2}  # number of state vectors; the others have one

EVERY = np.empty(0, np.int64)  # no order: all samples as they are stored
NONE = np.empty(0)

widths = st.lists(st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17] if NOJIT else [1, 2, 7, 8, 9, 17, 33, 50]), max_size=2)
small = st.sampled_from([1, 3, 8, 17])
layer_sizes = st.tuples(small, widths, small).map(lambda s: (s[0], *s[1], s[2]))
batches = sizes if not NOJIT else st.sampled_from([0, 1, 3, 8])


@st.composite
def networks(draw, families=(SMOOTH, EXACT)):
    """A strategy for networks: sizes, names of activations, name of the loss."""
    shape, loss = draw(layer_sizes), draw(st.sampled_from(EVERY_LOSS))
    family = draw(st.sampled_from(families))
    hidden = [draw(st.sampled_from(family)) for _ in shape[2:]]
    last = draw(st.sampled_from([name for name in LAST[loss] if name in family]))
    return shape, (*hidden, last), loss


@functools.cache
def code_of(module, name, dtype):
    return module.compile_activation(*GIVEN[name], dtype) if name in GIVEN else ACTIVATIONS.index(name)


@functools.cache
def loss_code_of(module, name, dtype):
    return module.compile_loss(*GIVEN_LOSSES[name], dtype) if name in GIVEN_LOSSES else LOSSES.index(name)


def codes(module, names, dtype):
    return np.array([code_of(module, name, dtype) for name in names], np.int64)


def settings_of(**given):
    """The vector of settings. What is not given is 0, which means off."""
    vector = np.zeros(len(SETTINGS))
    for name, value in given.items():
        vector[SETTINGS.index(name)] = value
    return vector


def few_bits(rng, shape, dtype):
    """Multiples of 1/8 in [-1, 1]: layers of identity and ReLU are exact on them in float32."""
    return (rng.integers(-8, 9, shape) / 8).astype(dtype)


def places(shape, normalized=False):
    """For each layer the slices of W and b, and of gamma and beta if it is normalized, in the vector of parameters."""
    layers, start = [], 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(shape)):
        counts = [inputs * outputs, *[outputs] * (3 if normalized and layer < len(shape) - 2 else 1)]
        stops = list(itertools.accumulate(counts, initial=start))
        layers.append([slice(*pair) for pair in itertools.pairwise(stops)])
        start = stops[-1]
    return layers


def count_parameters(shape, normalized=False):
    return places(shape, normalized)[-1][-1].stop


def parameters(rng, shape, dtype):
    return few_bits(rng, count_parameters(shape), dtype)


def random_parameters(rng, shape, dtype, normalized=False):
    """Random parameters with weights that keep the magnitude of activations, so that several steps do not diverge."""
    params = normal(rng, count_parameters(shape, normalized), dtype, 0.5)
    for inputs, (weight, _, *norm) in zip(shape, places(shape, normalized), strict=False):
        params[weight] *= params.dtype.type(2 * inputs**-0.5)
        for gamma in norm[:1]:
            params[gamma] += 1
    return params


def targets_for(rng, loss, batch, outputs, dtype, labels=True):
    if loss == "softmax_cross_entropy" and labels:
        return rng.integers(0, outputs, batch)
    return (rng.integers(0, 5, (batch, outputs)) / 4).astype(dtype)


def loss_parameters(loss, outputs):
    """Parameters of a loss that are not those by default; for some numbers of outputs the targets are not smoothed."""
    count = 0 if loss in GIVEN_LOSSES else parameters_of(LOSSES.index(loss), outputs)
    if loss == "quantile":
        return np.linspace(0.25, 0.75, count)
    return np.full(count, 0.0 if loss.endswith("cross_entropy") and outputs % 2 == 0 else 0.25)


def loss_arguments(loss, outputs):
    """These parameters as what the kernel of the loss takes after its targets."""
    parameters = loss_parameters(loss, outputs)
    return (parameters,) if loss == "quantile" else tuple(parameters)


class Problem(NamedTuple):
    """A network, its parameters and its training data."""

    shape: tuple
    names: tuple
    loss: str
    params: np.ndarray
    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray  # of the samples; (0,) for none
    statistics: np.ndarray  # (0,) without batch normalization

    @property
    def dtype(self):
        return self.params.dtype

    @property
    def inputs(self):
        return self.params, self.x, self.targets, self.weights, self.statistics

    @property
    def places(self):
        return places(self.shape, self.statistics.size > 0)


def problem_of(rng, shape, names, loss, samples, dtype, labels=True, weighted=False, normalized=False, exact=False):
    """A problem with random numbers, which have few bits if `exact`."""
    params = parameters(rng, shape, dtype) if exact else random_parameters(rng, shape, dtype, normalized)
    if loss == "poisson":  # powers of large outputs would overflow
        for part in places(shape, normalized)[-1]:
            params[part] *= params.dtype.type(2**-5)
    x = few_bits(rng, (samples, shape[0]), dtype)
    targets = targets_for(rng, loss, samples, shape[-1], dtype, labels)
    weights = rng.integers(0, 9, samples).astype(dtype) / 4 if weighted else np.empty(0, dtype)
    statistics = np.abs(normal(rng, 2 * sum(shape[1:-1]) if normalized else 0, dtype))
    return Problem(shape, names, loss, params, x, targets, weights, statistics)


def lift(problem):
    """The problem in float64, for the reference."""
    arrays = [array if array.dtype.kind == "i" else array.astype(np.float64) for array in problem.inputs]
    return problem._replace(**dict(zip(("params", "x", "targets", "weights", "statistics"), arrays, strict=True)))


def forward(module, params, x, shape, names, layout="C"):
    out = poisoned((len(x), shape[-1]), x.dtype, layout)
    module.network_forward(out, params, x, np.array(shape, np.int64), codes(module, names, params.dtype))
    return out


def loss_of_problem(module, problem):
    """The parameters and the code of a problem's loss."""
    return loss_parameters(problem.loss, problem.shape[-1]), loss_code_of(module, problem.loss, problem.dtype)


def loss_of(module, problem):
    """The mean loss of the predictions for a problem."""
    sizes, names = np.array(problem.shape, np.int64), codes(module, problem.names, problem.dtype)
    with np.errstate(invalid="ignore"):  # no samples have no mean
        loss = loss_of_problem(module, problem)
        return module.network_loss(problem.params, problem.x, problem.targets, sizes, names, *loss)


def described(module, problem, settings):
    """The arguments of `network_gradient` and `train_steps` that describe the network of a problem."""
    network = np.array(problem.shape, np.int64), codes(module, problem.names, problem.dtype)
    return *network, settings_of(**NORM | settings), *loss_of_problem(module, problem)


def gradient(module, problem, step=1, **settings):
    """The mean loss, the gradient and the new running statistics."""
    grad_params, statistics = poisoned(problem.params.shape, problem.dtype), problem.statistics.copy()
    data = problem.params, problem.x, problem.targets, problem.weights
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty batch has no mean and no variance
        value = module.network_gradient(
            grad_params, statistics, *data, *described(module, problem, settings), step
        )  # fmt: skip
    return value, grad_params, statistics


class Trained(NamedTuple):
    losses: np.ndarray
    half_squares: np.ndarray  # (0,) if they were not asked for
    params: np.ndarray
    state: list
    statistics: np.ndarray

    @property
    def vectors(self):
        return [self.params, *self.state, self.statistics]

    @property
    def bits(self):
        return [array.tobytes() for array in (self.losses, self.half_squares, *self.vectors)]


def train(
    module, problem, batch_size, order=EVERY, optimizer="sgd", rates=0.125, state=None, steps_before=3,
    batch_weights=NONE, squared=False, **settings,
):  # fmt: skip
    """The losses of the steps, the new parameters, state and running statistics; and half_squares if `squared`."""
    params, statistics = problem.params.copy(), problem.statistics.copy()
    if state is None:  # a state that earlier steps may have left
        rng = np.random.default_rng(9)
        state = [few_bits(rng, params.shape, problem.dtype) ** 2 for _ in range(STATES.get(optimizer, 1))]
    state = [vector.copy() for vector in state]
    first, second = (*state, *[np.empty(0, problem.dtype)] * 2)[:2]
    losses = np.full(steps_of(problem, batch_size, order), np.nan)
    half_squares = np.full(losses.shape if squared else 0, np.nan)
    rates = rates if isinstance(rates, np.ndarray) else np.full(losses.shape, rates)
    module.train_steps(
        params, first, second, statistics, losses, half_squares, problem.x, problem.targets, problem.weights,
        batch_weights, order, rates, *described(module, problem, RULE | settings), OPTIMIZERS.index(optimizer),
        batch_size, steps_before,
    )  # fmt: skip
    return Trained(losses, half_squares, params, state, statistics)


def steps_of(problem, batch_size, order):
    """The number of steps in all epochs."""
    orders = np.atleast_2d(order)
    return len(orders) * -(-(orders.shape[1] or len(problem.x)) // batch_size)


def sums_of_weights(problem, batch_size, order=EVERY):
    """The sum of the weights of each batch's samples, or their number without weights; infinite instead of 0."""
    orders = np.atleast_2d(order)
    orders = orders if orders.shape[1] else np.tile(np.arange(len(problem.x)), (len(orders), 1))
    weights = problem.weights.astype(np.float64) if problem.weights.size else np.ones(len(problem.x))
    sums = [weights[row[i : i + batch_size]].sum() for row in orders for i in range(0, orders.shape[1], batch_size)]
    return np.array([value or np.inf for value in sums])


def falling_rates(problem, batch_size, order=EVERY, largest=0.125):
    """A learning rate for each step, all different."""
    return largest / (1 + np.arange(steps_of(problem, batch_size, order)) / 4)


def assert_losses_close(got, want, dtype):
    np.testing.assert_allclose(got, want, rtol=TOLERANCES[dtype].chain, atol=TOLERANCES[dtype].chain)


def assert_gradient_close(problem, step=1, **settings):
    """Assert that loss, gradient and running statistics agree with those of the reference."""
    with unchanged(*problem.inputs):
        value, got, statistics = gradient(kernels, problem, step, **settings)
    exact = lift(problem)
    want_value, want, want_statistics = gradient(reference, exact, step, **settings)
    scale = want
    if problem.loss in NEAR:  # if y is near t, y - t is small but has the rounding error of y
        _, scale, _ = gradient(reference, exact._replace(targets=exact.targets + 1), step, **settings)
    assert_losses_close(value, want_value, problem.dtype)
    assert_chain_close(got, want, scale)
    assert_chain_close(statistics, want_statistics)


def assert_training_close(problem, batch_size, order=EVERY, largest_rate=0.125, **options):
    """Assert that training with falling rates gives the losses, parameters, state and statistics of the reference."""
    options = {"rates": falling_rates(problem, batch_size, order, largest_rate), **options}
    with unchanged(*problem.inputs, order, options["rates"]):
        got = train(kernels, problem, batch_size, order, **options)
    want = train(reference, lift(problem), batch_size, order, **options)
    assert_losses_close(got.losses, want.losses, problem.dtype)
    assert_losses_close(got.half_squares, want.half_squares, problem.dtype)
    for vector, want_vector in zip(got.vectors, want.vectors, strict=True):
        assert_chain_close(vector, want_vector)
