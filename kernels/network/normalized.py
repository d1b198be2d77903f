"""Batch normalization inside a network: of a thread's columns of the whole batch, between barriers."""

from ..compiler.decorators import called_through, inner, shared
from ..compiler.memory import Rows, array_at, as_type_of, itemsize
from ..compiler.signature import Real
from ..elementwise.activations.contract import call_on_block, with_padding
from ..elementwise.normalization import ScaleShift, Statistics, column_share, normalize, normalize_back
from ..elementwise.primitives import mul_add
from ..elementwise.settings import settings_at
from ..workers.crew import Crew
from .layers import layer_of, network_at


@called_through
def call_normalize(function: int, network_address: int, number: int, batch: int, crew: Crew, one: Real) -> None:
    """Call `normalize_columns` or `normalize_columns_back`, by its address, for layer `number`."""


@inner
def columns_from(address, layer, shift):
    """The columns of one of the layer's buffers, `shift` bytes from its first on."""
    return Rows(address + shift, layer.stride)


@shared
def normalize_columns(network_address: int, number: int, batch: int, crew: Crew, one: Real) -> None:
    """Normalize the layer's sums and apply its activation; move the running statistics."""
    network = network_at(network_address)
    layer, settings = layer_of(network, number), settings_at(network.settings)
    start, stop = column_share(layer.outputs, crew.members, crew.rank)
    count, shift = stop - start, start * itemsize(one)
    out, statistics = columns_from(layer.out, layer, shift), statistics_of(layer, shift)
    learnt = ScaleShift(network.params + layer.gamma + shift, network.params + layer.beta + shift)
    normalized = columns_from(layer.normalized, layer, shift)
    normalize(out, normalized, out, statistics, learnt, batch, count, settings.norm_epsilon, one)
    if layer.activate != 0:
        slopes = Rows(layer.slope + shift if layer.slope != 0 else 0, layer.stride)
        call_on_block(layer.activate, out, slopes, batch, with_padding(count), one)
    keeps, running = as_type_of(settings.norm_momentum, one), network.statistics + layer.running + shift
    move_running(running, statistics.mean, count, keeps, one)
    move_running(running + layer.outputs * itemsize(one), statistics.variance, count, keeps, one)


@inner
def statistics_of(layer, shift):
    """The addresses of the batch's statistics, from a column on."""
    return Statistics(layer.batch_mean + shift, layer.batch_variance + shift, layer.inverse + shift)


@inner
def move_running(running, of_batch, count, keeps, one):
    """running = keeps running + (1 - keeps) of_batch, for vectors at addresses."""
    old, new = array_at(running, count, one), array_at(of_batch, count, one)
    for j in range(count):
        old[j] = mul_add(keeps, old[j], (one - keeps) * new[j])


@shared
def normalize_columns_back(network_address: int, number: int, batch: int, crew: Crew, one: Real) -> None:
    """Go back through batch normalization, in place of the layer's delta; the gradients of gamma and beta."""
    network = network_at(network_address)
    layer = layer_of(network, number)
    start, stop = column_share(layer.outputs, crew.members, crew.rank)
    count, shift = stop - start, start * itemsize(one)
    gamma = array_at(network.params + layer.gamma + shift, count, one)
    scale = array_at(layer.inverse + shift, count, one)
    for j in range(count):
        scale[j] *= gamma[j]
    delta, gradients = (
        columns_from(layer.delta, layer, shift),
        ScaleShift(layer.grad_gamma + shift, layer.grad_beta + shift),
    )
    normalized = columns_from(layer.normalized, layer, shift)
    normalize_back(delta, delta, normalized, gradients, layer.inverse + shift, batch, count, one)
