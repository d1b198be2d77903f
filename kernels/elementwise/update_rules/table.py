"""The update rules and their codes. To add one, write its file and add its line here.

In the equations of the rules g is the gradient, eta the learning rate, and everything is elementwise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...compiler.decorators import address_of
from .adagrad import adagrad_block, adagrad_factors
from .adam import adam_block, adam_factors, adamw_factors
from .contract import Rule
from .momentum import momentum_block, momentum_factors, nesterov_block
from .rmsprop import rmsprop_block, rmsprop_factors
from .sgd import sgd_block, sgd_factors


class _Rule(NamedTuple):
    """The shared functions of a rule, for `call_factors` and `call_update`."""

    factors: Callable[..., Any]
    update: Callable[..., Any]


_TABLE = {
    "sgd": _Rule(sgd_factors, sgd_block),
    "momentum": _Rule(momentum_factors, momentum_block),
    "nesterov": _Rule(momentum_factors, nesterov_block),
    "adagrad": _Rule(adagrad_factors, adagrad_block),
    "rmsprop": _Rule(rmsprop_factors, rmsprop_block),
    "adam": _Rule(adam_factors, adam_block),
    "adamw": _Rule(adamw_factors, adam_block),
}

OPTIMIZERS = tuple(_TABLE)
SGD = OPTIMIZERS.index("sgd")

_BY_CODE = tuple(_TABLE.values())


def rule_of(code: int, dtype: np.dtype[Any]) -> Rule:
    """The functions of a rule for a dtype; they are compiled, or loaded from disk, when first asked for."""
    factors, update = _BY_CODE[code]
    return Rule(address_of(factors, dtype), address_of(update, dtype))
