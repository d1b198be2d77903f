"""What the tests of networks share: networks at random, their parameters, data, and the calls of the kernels."""

import itertools

import numpy as np
from helpers import NOJIT, TOLERANCES, poisoned, sizes
from hypothesis import strategies as st

from fastfnn.kernels import ACTIVATIONS, LOSSES

# What the last layer may be under each loss; the cross-entropies contain their output activation.
LAST = {
    "softmax_cross_entropy": ["identity"],
    "sigmoid_cross_entropy": ["identity"],
    "squared_error": ["identity", "sigmoid", "tanh", "relu"],
}
# Rounding can turn a ReLU on or off, and with it a whole path of the gradient. So ReLU comes with layers that are exact
# on numbers of few bits, and the smooth functions come without ReLU.
SMOOTH, EXACT = ["identity", "sigmoid", "tanh"], ["identity", "relu"]

widths = st.lists(st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17] if NOJIT else [1, 2, 7, 8, 9, 17, 33, 50]), max_size=2)
small = st.sampled_from([1, 3, 8, 17])
layer_sizes = st.tuples(small, widths, small).map(lambda s: (s[0], *s[1], s[2]))
batches = sizes if not NOJIT else st.sampled_from([0, 1, 3, 8])


@st.composite
def networks(draw):
    """Sizes, activation names and the name of the loss."""
    shape, loss = draw(layer_sizes), draw(st.sampled_from(LOSSES))
    family = draw(st.sampled_from([SMOOTH, EXACT]))
    hidden = [draw(st.sampled_from(family)) for _ in shape[2:]]
    last = draw(st.sampled_from([name for name in LAST[loss] if name in family]))
    return shape, (*hidden, last), loss


def codes(names):
    return np.array([ACTIVATIONS.index(name) for name in names], np.int64)


def few_bits(rng, shape, dtype):
    """Multiples of 1/8 in [-1, 1]: layers of identity and ReLU are exact on them in float32."""
    return (rng.integers(-8, 9, shape) / 8).astype(dtype)


def count_parameters(shape):
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(shape))


def parameters(rng, shape, dtype):
    return few_bits(rng, count_parameters(shape), dtype)


def targets_for(rng, loss, batch, outputs, dtype, labels=True):
    if loss == "softmax_cross_entropy" and labels:
        return rng.integers(0, outputs, batch)
    return (rng.integers(0, 5, (batch, outputs)) / 4).astype(dtype)


def lift(targets):
    return targets if targets.ndim == 1 else targets.astype(np.float64)


def forward(module, params, x, shape, names, layout="C"):
    out = poisoned((len(x), shape[-1]), x.dtype, layout)
    module.network_forward(out, params, x, np.array(shape, np.int64), codes(names))
    return out


def gradient(module, params, x, targets, shape, names, loss):
    grad_params = poisoned(params.shape, params.dtype)
    description = np.array(shape, np.int64), codes(names), LOSSES.index(loss)
    return module.network_gradient(grad_params, params, x, targets, *description), grad_params


def assert_losses_close(got, want, dtype):
    np.testing.assert_allclose(got, want, rtol=TOLERANCES[dtype].chain, atol=TOLERANCES[dtype].chain)
