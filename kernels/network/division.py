"""Who computes what: how the threads of a team divide a layer.

Samples do not depend on each other in the forward pass and in back-propagation: as a rule each thread carries a share
of the batch from layer to layer. Some layers are divided in other ways, for the whole batch, and the team meets there:

by columns  A W that is large for the batch: each thread computes a share of the columns, and so reads, packs or
            transposes only its share of W.
halves      A first layer of moderate size: each thread sums over the share of the inputs that it has in the update,
            too. Neither W nor the samples then travel between cores, only sums: two for each output, however many
            threads there are.
widening    A layer with many more outputs than inputs: each thread computes a share of the outputs in everything.
            Outputs, deltas and W then stay where they are, and the inputs travel.

A prediction of few rows is divided by columns, too: each large layer is a region, see prediction.py.

Only `in_halves` changes the order of a sum; it depends on the shapes alone.
"""

from ..compiler.decorators import inner
from ..compiler.memory import itemsize
from ..tuning import (
    BY_COLUMNS_BYTES_PER_SAMPLE,
    BY_COLUMNS_LEAST_BYTES,
    DEEP_BATCH,
    FEW_ROWS,
    HALVES_LEAST_BYTES,
    HALVES_MOST_BYTES,
    OPERATIONS_PER_THREAD,
    WIDENING_FACTOR,
)
from .layers import layer_of


@inner
def weight_bytes(layer, one):
    """The size of a layer's W."""
    return layer.inputs * layer.outputs * itemsize(one)


@inner
def in_halves(layer, batch, one):
    """Whether the first layer's sum is made of two, each over half of the inputs."""
    size = weight_bytes(layer, one)
    return batch <= min(layer.inputs, DEEP_BATCH) and HALVES_LEAST_BYTES <= size < HALVES_MOST_BYTES


@inner
def widens(layer, batch, one):
    """Whether threads divide the layer's outputs in all that they do."""
    wide = layer.outputs >= WIDENING_FACTOR * layer.inputs and batch > layer.inputs
    return wide and weight_bytes(layer, one) >= HALVES_LEAST_BYTES


@inner
def by_columns(layer, batch, crew, one):
    """Whether threads divide the columns of the layer's output, not the samples."""
    large = weight_bytes(layer, one) >= max(BY_COLUMNS_LEAST_BYTES, batch * BY_COLUMNS_BYTES_PER_SAMPLE)
    return crew.members > 1 and (large or widens(layer, batch, one))


@inner
def threads_for_columns(layer, rows):
    """The number of threads that make use of the columns of a layer in a prediction."""
    return max(rows * layer.inputs * layer.outputs // OPERATIONS_PER_THREAD, 1)


@inner
def divides_columns(network, rows, threads):
    """Whether threads of a prediction divide columns, not rows: if there are few, and most weights are in large layers.

    Each thread would read every W for its few rows, or, with fewer rows than threads, some would have nothing to do.
    """
    if rows > threads * FEW_ROWS:
        return False
    large, weights = 0, 0
    for number in range(1, network.layers + 1):
        layer = layer_of(network, number)
        weights += layer.inputs * layer.outputs
        if threads_for_columns(layer, rows) > 1:
            large += layer.inputs * layer.outputs
    return 2 * large > weights
