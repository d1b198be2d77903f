"""Sums of squares in float64: of a gradient whose norm is limited, and of all weights, for the loss with its penalty.

They are summed in pieces of NORM_PIECE elements, so that they have the same bits for any number of threads: each member
sums its share of the pieces, and after a meeting one adds up all of them.
"""

import numpy as np

from ..compiler.decorators import Function, inner
from ..compiler.memory import array_at
from ..elementwise.losses.contract import total
from ..elementwise.primitives import mul_add
from ..network.layers import layer_of
from ..tuning import NORM_PIECE
from ..workers.crew import share
from .job import network_of


def _pieces_of_weight(inputs, outputs):
    """How many pieces the W of a layer has."""
    return (inputs * outputs + NORM_PIECE - 1) // NORM_PIECE


pieces_of_weight: Function = inner(_pieces_of_weight)


@inner
def sum_weight_squares(job, crew, one):
    """Sum the squares of this thread's share of each W, if they are wanted: before the first meeting of a step."""
    if job.half_squares == 0:
        return
    network, before = network_of(job), 0
    for number in range(1, network.layers + 1):
        layer = layer_of(network, number)
        pieces, count = pieces_of_weight(layer.inputs, layer.outputs), layer.inputs * layer.outputs
        squares = array_at(job.weight_squares + 8 * before, pieces, 1.0)
        weight = array_at(network.params + layer.weight, count, one)
        begin, end = share(pieces, crew.members, crew.rank)
        for piece in range(begin, end):
            squares[piece] = sum_of_squares(weight[piece * NORM_PIECE : min((piece + 1) * NORM_PIECE, count)])
        before += pieces


@inner
def note_half_squares(job, step):
    """Write half the sum of the squares of all W, if it is wanted: after that meeting, by one thread."""
    if job.half_squares != 0:
        squares = array_at(job.weight_squares, job.weight_pieces, 1.0)
        array_at(job.half_squares, job.steps, 1.0)[step] = 0.5 * total(squares)


@inner
def sum_of_squares(values):
    """The sum of squares in float64, in four accumulators, which hides the latency of the addition."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    whole = values.shape[0] // 4 * 4
    for j in range(0, whole, 4):
        s0 = mul_add(np.float64(values[j]), np.float64(values[j]), s0)
        s1 = mul_add(np.float64(values[j + 1]), np.float64(values[j + 1]), s1)
        s2 = mul_add(np.float64(values[j + 2]), np.float64(values[j + 2]), s2)
        s3 = mul_add(np.float64(values[j + 3]), np.float64(values[j + 3]), s3)
    for j in range(whole, values.shape[0]):
        s0 = mul_add(np.float64(values[j]), np.float64(values[j]), s0)
    return (s0 + s1) + (s2 + s3)
