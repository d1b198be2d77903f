"""The fitted network of an estimator, and its weights as scikit-learn's attributes `coefs_` and `intercepts_`.

The attributes are views of the network's parameters. A user may change them in place, or put other arrays in their
place: what they hold counts, see `network_of`.
"""

from typing import Any

import numpy as np

from fastfnn import FNN
from fastfnn.optimizers import Optimizer
from fastfnn.sklearn.parameters import new_optimizer

# What belongs to the process. The rest of an estimator can be pickled.
UNPICKLED = ("_net", "_optimizer")


def bind(estimator: Any, net: FNN) -> None:
    """Make the parameters of a network those of the estimator."""
    estimator._net = net
    estimator.coefs_ = _arrays(net, "W")
    estimator.intercepts_ = _arrays(net, "b")


def network_of(estimator: Any) -> FNN:
    """Return the network of an estimator, with what `coefs_` and `intercepts_` hold now."""
    restored = "_net" not in vars(estimator)
    if restored:
        _restore(estimator)
    net: FNN = estimator._net
    for attribute, letter in (("coefs_", "W"), ("intercepts_", "b")):
        views, values = _arrays(net, letter), list(getattr(estimator, attribute))
        setattr(estimator, attribute, values)
        if len(values) != len(views):
            raise ValueError(f"{attribute} must hold {len(views)} arrays, one for each layer, got {len(values)}")
        for i, (view, value) in enumerate(zip(views, values, strict=True)):
            if value is view:
                continue
            array = np.asarray(value)
            if array.shape != view.shape:
                raise ValueError(f"{attribute}[{i}] must have shape {view.shape}, got {array.shape}")
            # A view of the network's memory, such as one that is reversed, would change with the network.
            if np.may_share_memory(array, net._flat):
                array = values[i] = array.copy()
            view[...] = array
    if restored:
        bind(estimator, net)
    return net


def current_network(estimator: Any) -> FNN:
    """Return the network to train on, by the parameters as they are now; `coefs_` and `intercepts_` are its views."""
    net, now = network_of(estimator), estimator._undrawn_network()
    if now._options() != net._options():  # a parameter was changed since the last training
        old, new = {**net.params, **net._running()}, {**now.params, **now._running()}
        for name in old.keys() & new.keys():
            new[name][...] = old[name]
        now._seed, net = net._seed, now
        vars(estimator).pop("_optimizer", None)
    bind(estimator, net)
    return net


def state_of(estimator: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return what is pickled of an estimator: without its network, with what `_restore` needs to build it again."""
    state = {name: value for name, value in state.items() if name not in UNPICKLED}
    if "_net" in vars(estimator):
        net: FNN = estimator._net
        kept = {name: array for name, array in net.params.items() if name.startswith(("gamma", "beta"))}
        state["_saved"] = {"arrays": {**kept, **net._running()}, "seed": net._seed}
        optimizer: Optimizer | None = vars(estimator).get("_optimizer")
        if optimizer is not None:
            moments, steps = optimizer.flat_state(net.params), optimizer.steps
            state["_saved"]["optimizer"] = moments, steps, optimizer.learning_rate
    return state


def _restore(estimator: Any) -> None:
    """Build the network of an estimator that was copied or unpickled, and its optimizer; `network_of` adds weights."""
    net = estimator._undrawn_network()
    saved = vars(estimator).pop("_saved")
    named = {**net.params, **net._running()}
    for name, array in saved["arrays"].items():
        named[name][...] = array
    net._seed = saved["seed"]
    estimator._net = net
    if "optimizer" in saved:
        moments, steps, rate = saved["optimizer"]
        optimizer = estimator._optimizer = new_optimizer(estimator)
        for own, array in zip(optimizer.flat_state(net.params), moments, strict=True):
            own[...] = array
        optimizer.steps, optimizer.learning_rate = steps, rate


def _arrays(net: FNN, letter: str) -> list[np.ndarray]:
    return [net.params[f"{letter}{layer}"] for layer in range(1, len(net.layer_sizes))]
