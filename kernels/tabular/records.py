"""What a network for tables has besides its layers, as records that compiled code reads.

The records of network/layers.py describe the layers: layer 0 holds the inputs of the members, and the last layer their
heads. layout.py fills all of them.
"""

from ..compiler.decorators import inner
from ..compiler.memory import RecordAt, Rows, accessor, itemsize, record_of

# What a feature is.
PLAIN, BINS, CATEGORIES = range(3)


class Tabular:
    """Addresses, offsets in bytes, sizes."""

    members: int  # M
    features: int  # F
    table: int  # the address of F feature records
    scales: int  # the address of L + 1 records of scales, for layers 0 to L
    tables: int  # bytes of the tables of all features, with which the parameters begin
    knots: int  # values of the embeddings at the edges of bins, laid out like the tables
    head: int  # bytes from the beginning of the parameters to the heads (M, H, K); their biases (M, K) follow
    head_bias: int
    samples: int  # a list of the addresses of samples
    embedded: int  # the embeddings (samples, D)
    grad_embedded: int  # their gradient, or 0 if nothing needs it
    embedded_stride: int
    at_once: int  # samples that the buffers have room for
    block: int  # samples whose sums for the gradients of scales are added up together
    blocks_at_once: int  # blocks that go through the network together
    last_rows: int  # for each member a list of its rows of the last hidden outputs; and of the deltas of the heads
    head_delta_rows: int
    list_bytes: int  # from a member's list to the next one's


class Feature:
    """An input."""

    kind: int
    count: int  # bins or categories
    width: int
    column: int  # bytes from the beginning of a row of embeddings
    input: int  # bytes from the beginning of a sample
    table: int  # bytes from the beginning of the parameters, and of the knots


class Scales:
    """The scales of a layer: bytes from the beginning of the parameters, -1 where there are none; addresses of sums.

    Sums are (blocks, M, width), one block of samples after another.
    """

    scale_in: int  # (M, I)
    scale_out: int  # (M, O)
    own_bias: int  # 1 if each member has a bias, (M, O)
    product: int  # the products (rows, O) before the scales of the outputs
    product_stride: int
    scaled: int  # the outputs (rows, O) times the scales of the next layer's inputs
    scaled_stride: int
    sums_in: int
    sums_out: int
    sums_bias: int


TABULAR, FEATURE, SCALES = record_of(Tabular), record_of(Feature), record_of(Scales)
tabular_at: RecordAt = accessor(TABULAR)
feature_at: RecordAt = accessor(FEATURE)
scales_at: RecordAt = accessor(SCALES)
_FEATURE_BYTES, _SCALES_BYTES = FEATURE.itemsize, SCALES.itemsize


@inner
def feature_of(tabular, number):
    """The record of a feature, from 0."""
    return feature_at(tabular.table + number * _FEATURE_BYTES)


@inner
def scales_of(tabular, number):
    """The record of the scales of layer `number`."""
    return scales_at(tabular.scales + number * _SCALES_BYTES)


@inner
def block_sums(sums, block, members, width, one):
    """The address of the sums of a block."""
    return sums + block * members * width * itemsize(one)


@inner
def embedded_from(tabular, sample):
    """The embeddings from a sample on."""
    return Rows(tabular.embedded + sample * tabular.embedded_stride, tabular.embedded_stride)


@inner
def grad_embedded_from(tabular, sample):
    """The gradient of the embeddings from a sample on."""
    return Rows(tabular.grad_embedded + sample * tabular.embedded_stride, tabular.embedded_stride)


@inner
def member_rows(layer_address, layer_stride, members, sample, member):
    """Rows of one member from a sample on, of a buffer at an address."""
    first = layer_address + (sample * members + member) * layer_stride
    return Rows(first, members * layer_stride)
