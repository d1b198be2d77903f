"""What an update rule is to other compiled code: two functions, called by address.

Once a step, `call_factors` computes the factors of the rule from the settings, the learning rate, the penalty and the
number of the step. Then `call_update` updates parameters, some at a time, with these factors.
"""

from typing import NamedTuple

from ...compiler.decorators import called_through, inner
from ...compiler.memory import array_at
from ...compiler.signature import Real
from ..primitives import mul_add

# The factors of a step: numbers of the dtype, each rounded once from float64.
FACTORS = 8
(
    LEARNING_RATE,  # in Adam with the corrections of both means
    BETA1,
    ONE_MINUS_BETA1,
    BETA2,
    ONE_MINUS_BETA2,
    EPSILON,  # what is added to the root; in Adam with the correction of the squares
    SHRINK,  # what w is multiplied by: 1 - eta decay in AdamW, 1 - eta l2 in gradient descent, else 1
    L2,  # what w is multiplied by and then added to the gradient, see `add_penalty`
) = range(FACTORS)


class Rule(NamedTuple):
    """The addresses of the two functions of one rule and dtype."""

    factors: int
    update: int


@called_through
def call_factors(function: int, factors: int, settings: int, rate: float, l2: float, step: int, one: Real) -> None:
    """Compute the factors of a step.

    factors   the address of FACTORS numbers of the dtype, written
    settings  the address of a record of settings, see settings.py
    rate      the learning rate
    l2        the factor of the L2 penalty in this step: that of the settings and what `batch_l2` adds to it
    step      the number of the step, from 1
    """


@called_through
def call_update(
    function: int, param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real
) -> None:
    """Update `count` contiguous parameters at an address, without the L2 penalty: see `add_penalty`.

    first, second  addresses of the state, read and written; not used by rules without it
    grad           the address of the gradient, read
    factors        the address of the factors of the step
    """


@inner
def write_factors(factors, setting, rate, l2, shrink, one):
    """Write the factors that are the same for all rules, and what a rule multiplies w by; returns them as an array."""
    factor = array_at(factors, FACTORS, one)
    factor[LEARNING_RATE] = rate
    factor[BETA1], factor[ONE_MINUS_BETA1] = setting.beta1, 1.0 - setting.beta1
    factor[BETA2], factor[ONE_MINUS_BETA2] = setting.beta2, 1.0 - setting.beta2
    factor[EPSILON], factor[SHRINK], factor[L2] = setting.epsilon, shrink, l2
    return factor


@inner
def add_penalty(grad, param, count, factors, one):
    """Add the gradient of the L2 penalty to that of `count` contiguous weights: all but the factors are addresses.

    A rule's SHRINK does the same in gradient descent, where the gradient is not written to memory.
    """
    factor = array_at(factors, FACTORS, one)[L2]
    if factor != 0:
        params, gradient = array_at(param, count, one), array_at(grad, count, one)
        for j in range(count):
            gradient[j] = mul_add(factor, params[j], gradient[j])
