"""PyTorch: an nn.Sequential becomes a network, and a network an nn.Sequential."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfnn.interop import chain
from fastfnn.interop.missing import imported
from fastfnn.loss import LossBase
from fastfnn.settings import NORM_MOMENTUM, norm_epsilon

if TYPE_CHECKING:
    from fastfnn.network import FNN

# Modules of functions: our names, and the settings that ours have.
FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "ReLU": ("relu", {}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": 0.01}),
    "ELU": ("elu", {"alpha": 1.0}),
    "Softplus": ("softplus", {"beta": 1.0}),
    "SiLU": ("silu", {}),
    "GELU": ("gelu", {"approximate": "none"}),
    "Softmax": ("softmax", {}),
    "LogSoftmax": ("log_softmax", {}),
}
KNOWN = ("Linear", "BatchNorm1d", "Dropout", "Flatten", "Identity", "Sequential", *FUNCTIONS)

# nn.Softplus is x above its threshold, by default 20, where the difference is 2e-9; at 40 there is none in float64.
LEAST_THRESHOLD, SOFTPLUS_THRESHOLD = 20.0, 40.0


def from_torch(
    model: Any,
    *,
    loss: str | LossBase | None = None,
    dropout: float | None = None,
    fold_batch_norm: bool = False,
    seed: int | None = None,
) -> FNN:
    """Make a network of an ``nn.Sequential`` of PyTorch, with equal predictions.

    Parameters
    ----------
    model : torch.nn.Sequential
        Of Linear, BatchNorm1d, Dropout, Identity, Flatten at the beginning, the activations of `FNN`, and Softmax or
        Sigmoid at the end, also nested; float32 or float64. It is not changed.
    loss : str, object of `fastfnn.losses`, or Loss, optional
        By default softmax cross-entropy after a final Softmax, sigmoid cross-entropy after a final Sigmoid, and squared
        error else. A model that ends without a function gets the output activation of the loss.
    dropout : float, optional
        Probability of dropout in further training. By default that of the model, which must be one for all hidden
        layers.
    fold_batch_norm : bool, default False
        Make batch normalization part of the weights, wherever it stands: predictions are equal, further training is
        without it. By default the network has batch normalization, which must then be between the sums and the
        activation of all hidden layers.
    seed : int, optional
        Of further training.

    Returns
    -------
    FNN
        Its `predict` is what the model computes in evaluation mode, up to rounding.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If the model is no nn.Sequential, or a layer does not map, which the message names.

    See Also
    --------
    FNN.to_torch : The other direction.

    Notes
    -----
    A Linear without bias gets one that is 0, and BatchNorm1d without ``affine`` gamma 1 and beta 0; training goes on
    with them. Another epsilon than 1e-5 becomes part of the running variance. Running statistics keep 0.9 at each
    step of further training, whatever the momentum of the model was.

    With a final LogSoftmax give ``loss="softmax_cross_entropy"``: the network predicts probabilities, not their
    logarithms.

    Examples
    --------
    >>> import torch
    >>> import fastfnn as fnn
    >>> layers = [torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.Softmax(dim=1)]
    >>> fnn.from_torch(torch.nn.Sequential(*layers))
    FNN(4-8-3, relu; softmax_cross_entropy; float32)
    """
    torch = imported("torch", "fastfnn.from_torch needs PyTorch", "torch")
    if not isinstance(model, torch.nn.Sequential):
        raise TypeError(f"model must be an nn.Sequential, got {type(model).__name__}: put its layers into one")
    layers = _layers(torch, model, "model")
    return chain.network(layers, loss=loss, dropout=dropout, fold_batch_norm=fold_batch_norm, seed=seed)


def _layers(torch: Any, model: Any, prefix: str) -> Iterator[chain.Layer]:
    """Yield the layers of an nn.Sequential."""
    if type(model).forward is not torch.nn.Sequential.forward:
        raise TypeError(f"{prefix} must be a plain nn.Sequential, got {type(model).__name__} with a forward of its own")
    for number, module in enumerate(model):
        kind, where = type(module), f"{prefix}[{number}]"
        place = f"{where} ({kind.__name__})"
        known = getattr(torch.nn, kind.__name__, None) is kind  # not a subclass, which may compute anything
        if isinstance(module, torch.nn.Sequential):
            yield from _layers(torch, module, where)
        elif known and kind.__name__ == "Linear":
            weight = _array(torch, place, module.weight).T
            bias = np.zeros(weight.shape[1], weight.dtype) if module.bias is None else _array(torch, place, module.bias)
            yield chain.Affine(place, weight, bias)
        elif known and kind.__name__ == "BatchNorm1d":
            yield _norm(torch, place, module)
        elif known and kind.__name__ == "Dropout":
            yield chain.Drop(place, float(module.p))
        elif known and kind.__name__ == "Flatten":
            if where != "model[0]" or (module.start_dim, module.end_dim) != (1, -1):
                raise ValueError(f"{place} must be the first layer, and flatten all dimensions but the first")
        elif known and kind.__name__ in FUNCTIONS:
            yield _function(place, kind.__name__, module)
        elif kind.__module__ == "fastfnn.interop.torch_modules":
            yield chain.Function(place, "exp")
        elif not (known and kind.__name__ == "Identity"):
            raise ValueError(f"{place} has no counterpart in fastfnn, which takes {', '.join(KNOWN)}")


def _function(place: str, kind: str, module: Any) -> chain.Function:
    """Return an activation, checked to have the settings of ours."""
    name, settings = FUNCTIONS[kind]
    for setting, ours in settings.items():
        if (value := getattr(module, setting)) != ours:
            raise ValueError(f"{place} must have {setting}={ours!r}, as fastfnn's {name}, got {value!r}")
    if kind == "Softplus" and module.threshold < LEAST_THRESHOLD:
        raise ValueError(f"{place} must have a threshold of {LEAST_THRESHOLD:g} or more, got {module.threshold}")
    if kind in ("Softmax", "LogSoftmax") and module.dim not in (None, 1, -1):
        raise ValueError(f"{place} must have dim=1, got {module.dim}")
    return chain.Function(place, name)


def _norm(torch: Any, place: str, module: Any) -> chain.Norm:
    if module.running_mean is None:
        raise ValueError(f"{place} must have running statistics, got track_running_stats=False")
    mean, variance = (_array(torch, place, tensor) for tensor in (module.running_mean, module.running_var))
    if module.affine:
        gamma, beta = _array(torch, place, module.weight), _array(torch, place, module.bias)
    else:
        gamma, beta = np.ones_like(mean), np.zeros_like(mean)
    return chain.Norm(place, gamma, beta, mean, variance, float(module.eps))


def _array(torch: Any, place: str, tensor: Any) -> np.ndarray:
    """Return a parameter as an array."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{place} must have parameters of float32 or float64, got {tensor.dtype}: see model.float()")
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array


def to_torch(net: FNN) -> Any:
    """Return a network as an nn.Sequential: see `FNN.to_torch`."""
    torch = imported("torch", "FNN.to_torch needs PyTorch", "torch")
    nn = torch.nn
    for layer, activation in enumerate(net.activation):
        if not isinstance(activation, str):
            raise ValueError(
                f"activation of a network in PyTorch must be a built-in one: activation[{layer}] is your own "
                f"{activation.name!r}. Give the parameters to a network that has 'identity' there, and replace its "
                "nn.Identity by a module of your own"
            )
    dtype = getattr(torch, net.dtype.name)
    running = net._running()
    kept = 1 - net.dropout if net.book else 1.0  # the book scales in predictions; nn.Dropout does in training
    modules: list[Any] = []
    for layer, (inputs, outputs) in enumerate(zip(net.layer_sizes, net.layer_sizes[1:], strict=False), 1):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=dtype)  # draws no random numbers
        factor = net.dtype.type(kept if layer > 1 else 1.0)
        _set(torch, linear, weight=net.params[f"W{layer}"].T * factor, bias=net.params[f"b{layer}"])
        modules.append(linear)
        if layer == len(net.layer_sizes) - 1:
            break
        if net.batch_norm:
            norm = nn.BatchNorm1d(outputs, norm_epsilon(net.book), round(1 - NORM_MOMENTUM, 9), dtype=dtype)
            _set(
                torch, norm, weight=net.params[f"gamma{layer}"], bias=net.params[f"beta{layer}"],
                running_mean=running[f"mean{layer}"], running_var=running[f"variance{layer}"],
            )  # fmt: skip
            modules.append(norm)
        modules.append(_module(nn, str(net.activation[layer - 1])))
        if net.dropout:
            modules.append(nn.Dropout(net.dropout))
    output = net.loss_function.output_activation
    if output == "softmax":
        modules.append(nn.Softmax(dim=1))
    elif output == "exp":
        from fastfnn.interop.torch_modules import Exp

        modules.append(Exp())
    elif output != "identity":
        modules.append(_module(nn, output))
    return nn.Sequential(*modules).eval()


def _module(nn: Any, name: str) -> Any:
    """Return the module of an activation."""
    if name == "identity":
        return nn.Identity()
    if name == "softplus":
        return nn.Softplus(threshold=SOFTPLUS_THRESHOLD)
    return next(getattr(nn, kind)() for kind, (ours, _) in FUNCTIONS.items() if ours == name)


def _set(torch: Any, module: Any, **arrays: np.ndarray) -> None:
    """Copy arrays into the parameters and buffers of a module."""
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(module, name).copy_(torch.from_numpy(np.array(array, order="C")))
