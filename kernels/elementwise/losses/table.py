"""The losses and their codes. To add one, write its file and add its line here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...compiler.decorators import address_of
from .absolute_error import absolute_error_block
from .huber import huber_block
from .poisson import poisson_block
from .quantile import quantile_block
from .sigmoid_cross_entropy import sigmoid_cross_entropy_block
from .softmax_cross_entropy import softmax_cross_entropy_block
from .squared_error import squared_error_block


class _Loss(NamedTuple):
    function: Callable[..., Any]  # for `call_loss`
    one_term: bool  # of a sample; else one of each output
    parameters: int  # how many, or FOR_EACH_OUTPUT


FOR_EACH_OUTPUT = -1

_TABLE = {
    "softmax_cross_entropy": _Loss(softmax_cross_entropy_block, one_term=True, parameters=1),
    "sigmoid_cross_entropy": _Loss(sigmoid_cross_entropy_block, one_term=False, parameters=1),
    "squared_error": _Loss(squared_error_block, one_term=False, parameters=0),
    "poisson": _Loss(poisson_block, one_term=False, parameters=0),
    "huber": _Loss(huber_block, one_term=False, parameters=1),
    "absolute_error": _Loss(absolute_error_block, one_term=False, parameters=0),
    "quantile": _Loss(quantile_block, one_term=False, parameters=FOR_EACH_OUTPUT),
}

LOSSES = tuple(_TABLE)

_BY_CODE = tuple(_TABLE.values())
BUILT_IN = len(_BY_CODE)  # larger codes are addresses of users' losses


def loss_function(code: int, dtype: np.dtype[Any]) -> int:
    """The address of the function of a loss for a dtype, for `call_loss`; compiled when first asked for.

    code  an index into LOSSES, or what `compile_loss` returned for the dtype: the address itself
    """
    if code >= BUILT_IN:
        return int(code)
    return address_of(_BY_CODE[code].function, dtype)


def terms_per_sample(code: int, columns: int) -> int:
    """How many numbers the loss of one sample is the sum of."""
    return 1 if code < BUILT_IN and _BY_CODE[code].one_term else columns


def parameters_of(code: int, columns: int) -> int:
    """How many parameters a loss has, see contract.py."""
    count = _BY_CODE[code].parameters if code < BUILT_IN else 0
    return columns if count == FOR_EACH_OUTPUT else count
