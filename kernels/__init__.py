"""The compiled kernels of fastfnn, and nothing else: NumPy arrays in, NumPy arrays out.

How to read this folder
-----------------------
    compiler/     from Python to machine code: decorators, disk cache, the writer of LLVM, views of memory
    workers/      how many threads a piece of work gets, the team and its barriers, its pace
    elementwise/  exp, log, tanh; activations, losses, and a user's; dropout; batch normalization; update rules
    products/     the register tile, panels and packing, drivers, narrow columns, one row, column sums, affine
    network/      records of layers and the layout of their memory, who computes what, forward, backward, prediction
    training/     the job, its workspace, batches, the update, the forms of a step, the public calls
    tabular/      networks for tables: embeddings of features, members that share their weights

Each sub-package imports only those above it in this list.

Dimension letters, used in every file:
    B  samples in a batch      I  in_features       N  samples in a data set
    L  layers with weights     O  out_features      K  outputs of the last layer
    F  features of a table     D  their embeddings  M  members, networks that share their weights (in tabular/)

The contract of every public kernel
-----------------------------------
- Outputs come first, then inputs, then scalars.
- Outputs are allocated by the caller and overwritten, never accumulated into. They do not overlap the inputs unless
  the docstring allows it.
- Arrays are float32 or float64, all of one dtype in one call unless the docstring allows both. Outputs are writable.
- Arrays have any strides unless the docstring says contiguous. Sizes may be 0 or 1.
- NaN and infinity propagate.
- Nothing is validated: that is the caller's work, done once, at the edge of `fastfnn`.
- Each output element is summed by one thread, in an order that depends on the shapes alone, so a result has the same
  bits for every number of threads.
- Every name in `__all__` has a twin of the same signature in `fastfnn.reference`.
"""

if __name__ != "fastfnn.kernels":
    raise ImportError(
        f"this folder is the package fastfnn.kernels and was imported as {__name__!r}: use 'import fastfnn.kernels'"
    )

from .elementwise.activations.elu import elu_backward, elu_forward
from .elementwise.activations.exp import exp_forward
from .elementwise.activations.gelu import gelu_backward, gelu_forward
from .elementwise.activations.identity import identity_backward, identity_forward
from .elementwise.activations.kernels import activation_backward, activation_forward
from .elementwise.activations.leaky_relu import leaky_relu_backward, leaky_relu_forward
from .elementwise.activations.relu import relu_backward, relu_forward
from .elementwise.activations.sigmoid import sigmoid_backward, sigmoid_forward
from .elementwise.activations.silu import silu_backward, silu_forward
from .elementwise.activations.softmax import softmax
from .elementwise.activations.softplus import softplus_backward, softplus_forward
from .elementwise.activations.table import ACTIVATIONS
from .elementwise.activations.tanh import tanh_backward, tanh_forward
from .elementwise.dropout import dropout_mask
from .elementwise.losses.absolute_error import absolute_error
from .elementwise.losses.huber import huber
from .elementwise.losses.kernels import sample_losses
from .elementwise.losses.poisson import poisson
from .elementwise.losses.quantile import quantile
from .elementwise.losses.sigmoid_cross_entropy import sigmoid_cross_entropy
from .elementwise.losses.softmax_cross_entropy import softmax_cross_entropy
from .elementwise.losses.squared_error import squared_error
from .elementwise.losses.table import LOSSES
from .elementwise.normalization import batch_norm_backward, batch_norm_forward
from .elementwise.settings import SETTINGS
from .elementwise.update_rules.adagrad import adagrad_update
from .elementwise.update_rules.adam import adam_update, adamw_update
from .elementwise.update_rules.momentum import momentum_update, nesterov_update
from .elementwise.update_rules.rmsprop import rmsprop_update
from .elementwise.update_rules.sgd import sgd_update
from .elementwise.update_rules.table import OPTIMIZERS
from .elementwise.user_activations import compile_activation
from .elementwise.user_losses import compile_loss
from .network.prediction_calls import network_forward, network_loss
from .products.affine import affine_backward, affine_forward
from .tabular.calls import tabular_forward, tabular_gradient, tabular_steps
from .training.calls import network_gradient, network_update, train_steps

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "SETTINGS",
    "absolute_error",
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
    "compile_loss",
    "dropout_mask",
    "elu_backward",
    "elu_forward",
    "exp_forward",
    "gelu_backward",
    "gelu_forward",
    "huber",
    "identity_backward",
    "identity_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "momentum_update",
    "nesterov_update",
    "network_forward",
    "network_gradient",
    "network_loss",
    "network_update",
    "poisson",
    "quantile",
    "relu_backward",
    "relu_forward",
    "rmsprop_update",
    "sample_losses",
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
    "tabular_forward",
    "tabular_gradient",
    "tabular_steps",
    "tanh_backward",
    "tanh_forward",
    "train_steps",
]
