"""What the same training of an `FNN` is: all arguments of the network and of `fit`, but for those that are named here.

`training.Training` compares them with those of a checkpoint. A new argument is compared, unless it is listed here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from fastfnn.digests import compared, described

# Arguments of `fit` that may differ where a training goes on.
MAY_DIFFER = {
    "epochs": "a training may go on for longer",
    "progress": "it only shows",
    "checkpoint": "its path is known, and how often it is written may change",
    "resume": "it asks for the comparison",
    "comm": "a training goes on with any number of ranks",
}
# Those of `fit`, and of the network, that are compared by what they mean.
COMPARED_OTHERWISE = {
    "self": "by the arguments of the network",
    "x": "by the digest of all rows",
    "t": "by the digest of all targets",
    "sample_weight": "by the digest of all weights",
    "validation_data": "by the digests of its arrays",
    "batch_size": "as a number, which is at most that of the samples",
    "optimizer": "by its class and its settings",
    "metrics": "by their names",
    "callbacks": "by their kinds: their states come from the checkpoint",
    "layer_sizes": "by the description of the network in its file",
    "activation": "by the description of the network in its file",
    "loss": "by the description of the network in its file",
    "dtype": "by the description of the network in its file",
}


def described_arguments(net: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network and of its `fit` as they are compared."""
    options = {name: getattr(net, name, None) for name in _options(type(net))}
    return compared({**options, **given}, MAY_DIFFER | COMPARED_OTHERWISE)


def described_defaults(kind: type) -> dict[str, Any]:
    """Return the defaults of these arguments: those of a checkpoint from before there was the argument."""
    parameters = {**_options(kind), **inspect.signature(kind.fit).parameters}  # type: ignore[attr-defined]
    defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    return compared(defaults, MAY_DIFFER | COMPARED_OTHERWISE, described)


def _options(kind: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of the constructors of a class of networks."""
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base) and base is not object:
            found |= inspect.signature(base.__init__).parameters  # type: ignore[misc]
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: each for name, each in found.items() if name != "self" and each.kind not in variable}
