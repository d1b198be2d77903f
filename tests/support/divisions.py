"""How threads divide the layers of a network: the tests that need a certain division assert it with this."""

import functools
import itertools
from typing import NamedTuple

from helpers import from_python

from fastfnn.kernels.network import division
from fastfnn.kernels.workers.crew import Crew

TWO_MEMBERS = Crew(0, 2, 0)

_in_halves, _widens, _by_columns = map(from_python, (division.in_halves, division.widens, division.by_columns))


class LayerSizes(NamedTuple):
    """What a division depends on, with the names that a layer's record has."""

    inputs: int
    outputs: int


@functools.cache
def division_of_layer(layer, batch, dtype, is_first):
    """How two threads divide a layer: in "halves", "widening", by "columns" or by "samples"."""
    one = dtype.type(1)
    if is_first and _in_halves(layer, batch, one):
        return "halves"
    if _widens(layer, batch, one):
        return "widening"
    return "columns" if _by_columns(layer, batch, TWO_MEMBERS, one) else "samples"


def divisions_of(shape, batch, dtype):
    """How two threads divide each layer of a network for a batch that is not tall."""
    layers = itertools.starmap(LayerSizes, itertools.pairwise(shape))
    return [division_of_layer(layer, batch, dtype, number == 0) for number, layer in enumerate(layers)]
