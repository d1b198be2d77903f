"""What an activation is to other compiled code: two functions of a block of rows, called by address.

Layers, and products as their epilogue, call these functions through `call_on_block`; table.py finds their addresses.
"""

from typing import NamedTuple

import numba

from ...compiler.decorators import called_through, inner
from ...compiler.memory import Rows
from ...compiler.signature import Real

# Elements. Rows in buffers are padded to a multiple of this, and blocks are worked on with their padding: otherwise the
# last few columns would fall into the scalar remainder of the vector loops.
CHUNK = 16

# Plain Python has no vector loops, but warns of what lies in the padding, which nobody has written.
_PADDED_TO = 1 if numba.config.DISABLE_JIT else CHUNK


@inner
def with_padding(columns):
    """The columns of a matrix in a buffer of padded rows, padding included."""
    return (columns + _PADDED_TO - 1) // _PADDED_TO * _PADDED_TO


class ActivationFunctions(NamedTuple):
    """The functions of one activation and dtype.

    activate       the address of a function that replaces a block by its activation, 0 for the identity. If
                   `other.address` is not 0 it writes the slopes f'(x) there
    differentiate  the address of a function that multiplies a block of gradients by the derivative, computed from
                   `other`: the outputs of the activation or, with `by_slope`, its slopes. 0 for identity, softmax,
                   exp
    by_slope       whether the derivative cannot be computed from the output
    """

    activate: int
    differentiate: int
    by_slope: bool


@called_through
def call_on_block(function: int, target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Call an elementwise function of a block of rows, which it changes in place.

    other  for an activation: where to write slopes, with the address 0 for nowhere. For a derivative: the outputs or
           the slopes that it is computed from

    Softmax is no elementwise function, but has this prototype, too: it must be called on whole rows.
    """
