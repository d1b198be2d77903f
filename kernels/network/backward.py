"""Back-propagation: every layer's delta, and the gradients that follow from it.

    delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T),   dE/dW_l = x_{l-1}^T delta_l,   dE/db_l = sum_b delta_l

from dE/dy in the last layer's delta down to the first layer's. All threads of a crew call `backward`, each for its own
rows of the batch, as `forward`.
"""

from typing import NamedTuple

from ..compiler.decorators import inner, shared
from ..compiler.memory import NO_ROWS, Matrix, Rows, itemsize
from ..compiler.signature import Real
from ..elementwise.activations.contract import call_on_block
from ..products.column_sums import column_sums
from ..products.multiply import accumulate_samples, multiply, multiply_samples
from ..products.operands import ALONG_ROWS, ALONG_SUM, Epilogue, Factor, Size
from ..workers.crew import WHOLE, Crew, Share
from ..workers.team import meet
from .division import by_columns, widens
from .forward import BatchRows
from .layers import deltas_from, derivative_from, layer_of, network_at
from .normalized import call_normalize


@shared
def backward(network_address: int, rows: BatchRows, crew: Crew, room: int, one: Real) -> None:
    """Compute the deltas of all layers for this thread's rows."""
    network = network_at(network_address)
    last_delta(layer_of(network, network.layers), rows.start, rows.stop, one)
    met = False  # since the last delta was written
    for number in range(network.layers, 1, -1):
        layer, below = layer_of(network, number), layer_of(network, number - 1)
        columns = by_columns(layer, rows.batch, crew, one)
        columns |= crew.members > 1 and widens(below, rows.batch, one)
        if columns and not met:
            meet(crew)
        delta_below(network, layer, below, rows, crew, columns, room, one)
        met = columns or below.normalize != 0
        if met:
            meet(crew)
        if below.normalize != 0:
            call_normalize(below.normalize_back, network_address, number - 1, rows.batch, crew, one)
            meet(crew)


@inner
def last_delta(layer, start, stop, one):
    """delta = f'(u) * dE/dy in place, for rows of the last layer."""
    if layer.differentiate != 0:
        delta, source = deltas_from(layer, start), derivative_from(layer, start)
        call_on_block(layer.differentiate, delta, source, stop - start, layer.outputs, one)


@inner
def delta_below(network, layer, below, rows, crew, columns, room, one):
    """f'(u) * (delta W^T) for this thread's rows or, by columns, for its share of the columns of all rows."""
    item = itemsize(one)
    first = 0 if columns else rows.start
    count = rows.batch if columns else rows.stop - rows.start
    part = Share(crew.members, crew.rank) if columns else WHOLE
    deltas = Factor(layer.delta_rows + 8 * first, layer.columns, ALONG_SUM)
    transposed = Matrix(network.params + layer.weight, item, layer.outputs * item)
    epilogue = Epilogue(below.differentiate, derivative_from(below, first))
    size = Size(count, layer.inputs, layer.outputs)
    multiply(deltas_from(below, first), NO_ROWS, deltas, transposed, size, epilogue, part, room, one)


class Part(NamedTuple):
    """A part of a layer's W (I, O): rows `top` to `bottom`, columns `left` to `right`."""

    top: int
    bottom: int
    left: int
    right: int


@inner
def _operands(layer, below, part, first, one):
    """x^T and delta, from row `first` of the buffers on, for a part of W."""
    transposed = Factor(below.columns + 8 * part.top, below.out_rows + 8 * first, ALONG_ROWS)
    delta = Rows(layer.delta + first * layer.stride + part.left * itemsize(one), layer.stride)
    return transposed, delta


@inner
def part_of_weight(layer, weight, part, one):
    """Where a part lies in a matrix like W at an address."""
    stride = layer.outputs * itemsize(one)
    return Rows(weight + part.top * stride + part.left * itemsize(one), stride)


@inner
def weight_gradient(layer, below, target, part, first, count, room, one):
    """target = x^T delta for a part of W: the sum over `count` samples from row `first` of the buffers on."""
    transposed, delta = _operands(layer, below, part, first, one)
    size = Size(part.bottom - part.top, part.right - part.left, count)
    multiply_samples(target, transposed, delta, size, room, one)


@inner
def add_weight_gradient(layer, below, target, part, first, count, room, shrink, alpha):
    """target = shrink target + alpha x^T delta, as `weight_gradient`."""
    transposed, delta = _operands(layer, below, part, first, alpha)
    size = Size(part.bottom - part.top, part.right - part.left, count)
    accumulate_samples(target, shrink, transposed, delta, size, room, alpha)


@inner
def bias_gradient(layer, target, start, stop, first, count, add, one):
    """target = sum of delta over the same samples, or target += that, for elements `start` to `stop` of an (O,) vector.

    target  the address of element `start`
    """
    delta = Rows(layer.delta + first * layer.stride + start * itemsize(one), layer.stride)
    column_sums(target, delta, count, stop - start, add, one)
