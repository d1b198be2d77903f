"""A network as compiled code sees it: a record for the network and one for each layer.

The records hold sizes, addresses of buffers, and addresses of the functions that a layer uses, so that one compiled
function serves all networks and only what a network uses is compiled. layout.py fills them; the other files of this
folder, and training/, read them.

In training a hidden layer is x_l = drop(f_l(norm(x_{l-1} W_l + b_l))). A prediction has neither dropout nor batch
normalization, which the caller folds into W and b.
"""

from ..compiler.decorators import inner
from ..compiler.memory import RecordAt, Rows, accessor, record_of


class Network:
    """What all layers have in common."""

    layers: int  # L, with weights
    table: int  # the address of L + 1 layer records; number 0 is the input
    params: int  # the address of W1 (I, O) row by row, b1 (O,), W2, b2, ...; gamma (O,), beta (O,) after a normalized b
    statistics: int  # the address of the running mean (O,) and variance (O,) of each normalized layer
    settings: int  # the address of a training step's settings, see elementwise/settings.py


class Layer:
    """One layer: `weight` to `beta` are bytes from the beginning of params, or of what is laid out like it."""

    inputs: int
    outputs: int
    weight: int
    bias: int
    gamma: int
    beta: int
    end: int  # where the next layer begins
    # Buffers: addresses. All rows of a layer are `stride` bytes apart, so that they begin with a cache line.
    stride: int
    out: int  # the output x_l (B, O)
    delta: int  # dE/du_l (B, O), u_l the input sum
    slope: int  # f'(u_l) (B, O), or 0 if the output gives it
    normalized: int  # the normalized input sums (B, O), or 0
    batch_mean: int  # with batch normalization, vectors (O,) of the batch: mean, variance, 1 / sqrt(variance + eps)
    batch_variance: int
    inverse: int
    grad_gamma: int
    grad_beta: int
    running: int  # bytes from the beginning of statistics to the running mean (O,); the variance (O,) follows
    packed: int  # in a prediction: W in panels, see products/packing.py, or 0
    # Lists for products, see products/operands.py: addresses of rows, and distances of the elements in a row.
    out_rows: int
    delta_rows: int
    columns: int
    # Functions: addresses, or 0 where there is nothing to do.
    activate: int  # f_l, as an epilogue of the product
    activate_rows: int  # f_l, if it needs whole rows: softmax
    differentiate: int  # multiplies by f_l'(u_l), computed from what lies at `derivative_from`: outputs or slopes
    derivative_from: int
    drop: int
    normalize: int  # with batch normalization: followed by the activation
    normalize_back: int


NETWORK, LAYER = record_of(Network), record_of(Layer)
network_at: RecordAt = accessor(NETWORK)
layer_at: RecordAt = accessor(LAYER)
_LAYER_BYTES = LAYER.itemsize


@inner
def layer_of(network, number):
    """The record of layer `number`, from 1; 0 is the input."""
    return layer_at(network.table + number * _LAYER_BYTES)


@inner
def outputs_from(layer, row):
    """The layer's outputs from a row on."""
    return Rows(layer.out + row * layer.stride, layer.stride)


@inner
def deltas_from(layer, row):
    """The layer's deltas from a row on."""
    return Rows(layer.delta + row * layer.stride, layer.stride)


@inner
def slopes_from(layer, row):
    """The layer's slopes from a row on; address 0 if it has none."""
    return Rows(layer.slope + row * layer.stride if layer.slope != 0 else 0, layer.stride)


@inner
def derivative_from(layer, row):
    """What the layer's derivative is computed from, outputs or slopes, from a row on."""
    return Rows(layer.derivative_from + row * layer.stride, layer.stride)
