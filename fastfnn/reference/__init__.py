"""The NumPy twin of every kernel: same names, same signatures, same results, in the plainest NumPy that is correct.

The kernels are tested against these functions, and `FNN(..., backend="reference")` runs on them. To understand how a
network learns, read

    affine.py, activations.py   the two halves of a layer, forward and backward
    losses.py                   the loss and its gradient, with which the backward pass begins
    back_propagation.py         both passes through all layers
    update_rules.py             what gradient descent does with the gradient
    network.py, training.py     the public functions that put these together: predictions, gradient, training loop

and for regularization batch_normalization.py and dropout.py, with the passes in regularized.py;
and for tables tabular.py, networks of several members.

Functions compute in the dtype of their arguments; losses are float64. Outputs come first and are overwritten, then come
inputs, then scalars. Imports: NumPy and the standard library only.
"""

from .activations import (
    ACTIVATIONS,
    activation_backward,
    activation_forward,
    compile_activation,
    elu_backward,
    elu_forward,
    exp_forward,
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
from .batch_normalization import batch_norm_backward, batch_norm_forward
from .dropout import dropout_mask
from .losses import (
    LOSSES,
    absolute_error,
    compile_loss,
    huber,
    poisson,
    quantile,
    sample_losses,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from .network import SETTINGS, network_forward, network_gradient, network_loss
from .tabular import tabular_forward, tabular_gradient, tabular_steps
from .training import network_update, train_steps
from .update_rules import (
    OPTIMIZERS,
    adagrad_update,
    adam_update,
    adamw_update,
    momentum_update,
    nesterov_update,
    rmsprop_update,
    sgd_update,
)

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
