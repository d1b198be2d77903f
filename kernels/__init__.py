"""The compiled kernels of fastfnn, and nothing else: NumPy arrays in, NumPy arrays out.

How to read this folder
-----------------------
    jit.py           how a kernel is compiled, cached on disk and called
    threads.py       how many threads a piece of work gets
    team.py          threads that go through the steps of a call together
    pace.py          how many of them take part in a step
    vectors.py       what of LLVM the kernels need: vectors, arrays at addresses
    blocks.py        the sizes of tiles for each kind of processor
    tile.py          the register tile of a matrix product
    tail.py          the last columns of a product, where they are few
    products.py      the three matrix products of a layer, from both
    matvec.py        the same for one sample
    sums.py          sums over the rows of a matrix
    elementary.py    exp, log, sigmoid, tanh as arithmetic that vectorises
    affine.py        out = x W + b, and its gradients
    tanh.py          tanh in float32 by a table in registers
    activations.py   identity, sigmoid, tanh, ReLU and its kin, softmax
    given.py         activations that a user writes in Python
    dropout.py       outputs set to 0 at random
    normalization.py batch normalization
    losses.py        softmax cross-entropy, sigmoid cross-entropy, squared error
    optimizers.py    the update rules
    adaptive.py      those of them that divide by a root, as vector code
    network.py       whole networks: forward pass and back-propagation
    training.py      gradients, losses and training steps, in one compiled call
    checks.py        whether arguments are what kernels expect

Dimension letters, used in every file:
    B  samples in a batch      I  in_features       N  samples in a data set
    L  layers with weights     O  out_features      K  outputs of the last layer

The contract of every public kernel
-----------------------------------
Outputs come first, then inputs, then scalars. Outputs are allocated by the caller and overwritten, never accumulated
into; they do not overlap the inputs unless the docstring allows it. Arrays are float32 or float64, all of one dtype in
one call unless the docstring allows both, writable, with any strides unless it says contiguous; sizes may be 0 or 1.
NaN and infinity propagate. Nothing is validated: that is the caller's work, done once, at the edge of `fastfnn`.
Each output element is summed by one thread, in an order that depends on the shapes alone, so a result has the same bits
for every number of threads. Every name in `__all__` has a twin of the same signature in `fastfnn.reference`.
"""

if __name__ != "fastfnn.kernels":
    raise ImportError(
        f"this folder is the package fastfnn.kernels and was imported as {__name__!r}: use 'import fastfnn.kernels'"
    )

from .activations import (
    ACTIVATIONS,
    activation_backward,
    activation_forward,
    elu_backward,
    elu_forward,
    gelu_backward,
    gelu_forward,
    identity_backward,
    identity_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    silu_backward,
    silu_forward,
    softmax,
    softplus_backward,
    softplus_forward,
    tanh_backward,
    tanh_forward,
)
from .affine import affine_backward, affine_forward
from .dropout import dropout_mask
from .given import compile_activation
from .losses import LOSSES, sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from .network import network_forward
from .normalization import batch_norm_backward, batch_norm_forward
from .optimizers import (
    OPTIMIZERS,
    SETTINGS,
    adagrad_update,
    adam_update,
    adamw_update,
    momentum_update,
    nesterov_update,
    rmsprop_update,
    sgd_update,
)
from .training import network_gradient, network_loss, train_steps

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "SETTINGS",
    "activation_backward",
    "activation_forward",
    "adagrad_update",
    "adam_update",
    "adamw_update",
    "affine_backward",
    "affine_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "compile_activation",
    "dropout_mask",
    "elu_backward",
    "elu_forward",
    "gelu_backward",
    "gelu_forward",
    "identity_backward",
    "identity_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "momentum_update",
    "nesterov_update",
    "network_forward",
    "network_gradient",
    "network_loss",
    "relu_backward",
    "relu_forward",
    "rmsprop_update",
    "sgd_update",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax",
    "softmax_cross_entropy",
    "softplus_backward",
    "softplus_forward",
    "squared_error",
    "tanh_backward",
    "tanh_forward",
    "train_steps",
]
