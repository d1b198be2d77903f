"""Steps on one sample each, in plain gradient descent: groups of steps share a pass over the first W.

The first W is read once and changed once for the whole group. With W_0 as it is before and D_j the first layer's delta
at step j, it is before step i

    W_i     = W_0     - sum over j < i of eta_j x_j^T D_j
    x_i W_i = x_i W_0 - sum over j < i of eta_j (x_i . x_j) D_j

so that all x_i W_0 are one product, as for a batch, and all changes another one, which is added to W at the end. What
is left for each step are sums of a few rows. With a penalty W shrinks in every step, and so does what was added to it
before. The samples are known beforehand; what later layers get, and what they send back, is not.

Each later W is read and changed once a step: what a step changes is left to the next one, in an epoch. See
products/one_row.py.

Row i of the buffers belongs to step i of the group. Row i of a later layer's deltas becomes, at the end of step i - 1,
the change that it leaves, -eta delta. The first layer's delta is x_i W_0 until it is known.

Values that are not finite stay so, but where x_i W_i is infinite it may be NaN here: infinity minus infinity.
"""

from ..compiler.decorators import inner, shared
from ..compiler.memory import NO_ROWS, Matrix, Rows, array_at, as_type_of, copy_elements, fill_list, itemsize
from ..compiler.signature import Real
from ..elementwise.activations.contract import CHUNK, call_on_block, with_padding
from ..elementwise.primitives import mul_add
from ..network.backward import last_delta
from ..network.layers import layer_of, outputs_from, slopes_from
from ..products.multiply import accumulate, multiply
from ..products.one_row import row_products, update_and_multiply
from ..products.operands import ALONG_ROWS, ALONG_SUM, NO_EPILOGUE, Epilogue, Factor, Samples, Size, Weights
from ..tuning import ROWS_PER_DOT, SAMPLES_PER_GROUP
from ..workers.crew import WHOLE, Crew, Share, share
from ..workers.team import meet
from .batch import choose_samples, convert_samples
from .job import job_at, l2_of, network_of, place_of, rate_of, weight_of_batch
from .passes import loss_of_rows, note_loss


@shared
def sample_steps(job_address: int, number: int, scratch: int, crew: Crew, one: Real) -> None:
    """Take the steps of group `number`, up to SAMPLES_PER_GROUP of them, see `call_step` in run.py."""
    job = job_at(job_address)
    network, room = network_of(job), scratch + job.packing
    groups = (job.samples + SAMPLES_PER_GROUP - 1) // SAMPLES_PER_GROUP  # of an epoch, whose last may be smaller
    epoch, first = number // groups, number % groups * SAMPLES_PER_GROUP
    begin, count = epoch * job.samples + first, min(SAMPLES_PER_GROUP, job.samples - first)
    place = place_of(job, epoch, first)
    if crew.rank == 0:
        if first == 0:
            no_change_before(network, one)
        gather_samples(job, network, place, count, one)
    meet(crew)
    multiply_ahead(job, network, count, crew, room, one)
    for i in range(count):
        step = begin + i
        shrink = shrink_of(job, step - 1, one) if first + i > 0 else one
        forward_step(job, network, begin, i, crew, shrink, one)
        if crew.rank == 0:
            terms = loss_of_rows(job, place + i, i, i + 1, weight_of_batch(job, step, 1), one)
            note_loss(job, step, terms, 1)
            last_delta(layer_of(network, network.layers), i, i + 1, one)
        backward_step(job, network, step, i, crew, one)
    change_first_weights(job, network, begin, count, crew, room, one)
    shrink, layers = shrink_of(job, begin + count - 1, one), network.layers if first + count == job.samples else 1
    meet(crew)  # after the last meeting of a step a member reads nothing, not even the job: see team.py
    for layer in range(2, layers + 1):  # for the change; the product is not used
        change_and_multiply(network, layer, count % SAMPLES_PER_GROUP, crew, shrink)
        meet(crew)


@inner
def forward_step(job, network, begin, i, crew, shrink, one):
    """The outputs of step i of a group, layer by layer; later layers take the change of the step before on the way."""
    first_output(job, network, begin, i, crew, one)
    meet(crew)
    for number in range(2, network.layers + 1):
        change_and_multiply(network, number, i, crew, shrink)
        meet(crew)


@inner
def backward_step(job, network, step, i, crew, one):
    """The deltas of step i of a group, and the changes that they leave, from the last layer to the first."""
    for number in range(network.layers, 0, -1):
        meet(crew)
        layer = layer_of(network, number)
        left, right = column_chunks(layer, crew)
        find_delta(network, number, i, left, right, one)
        if number > 1:
            note_change(job, layer, step, i, left, right, one)
        else:
            change_bias(job, network, layer, step, i, left, right, one)
    meet(crew)


@inner
def column_chunks(layer, crew):
    """The columns of a layer that are this thread's, in whole chunks as activations need them."""
    start, stop = share((layer.outputs + CHUNK - 1) // CHUNK, crew.members, crew.rank)
    return min(CHUNK * start, layer.outputs), min(CHUNK * stop, layer.outputs)


@inner
def rate_as(job, step, one):
    """The learning rate of a step, in the dtype."""
    return as_type_of(rate_of(job, step), one)


@inner
def shrink_of(job, step, one):
    """What the penalty multiplies the weights by in a step."""
    return as_type_of(1.0 - rate_of(job, step) * l2_of(job, step, 1), one)


@inner
def gather_samples(job, network, place, count, one):
    """Copy the samples of a group to rows of contiguous elements."""
    layer, samples = layer_of(network, 0), Rows(job.group_samples, job.group_samples_stride)
    choose_samples(job, place, 0, count, one)
    rows = array_at(layer.out_rows, count, 0)
    if job.convert != 0:
        convert_samples(job, samples, place, count, 0, layer.outputs, one)
    else:
        for i in range(count):
            copy_elements(samples.address + i * samples.stride, rows[i], layer.outputs, one)
    fill_list(layer.out_rows, samples.address, samples.stride, count)


@inner
def dots_of(job, i, one):
    """The address of x_i . x_j, for all j < i at least."""
    return job.group_dots + i * SAMPLES_PER_GROUP * itemsize(one)


@inner
def no_change_before(network, one):
    """Outputs and changes for an epoch's first step, to which no step leaves any.

    The change is -0: 0 would turn a weight of -0 into one of +0.
    """
    for number in range(1, network.layers + 1):
        layer = layer_of(network, number)
        out = array_at(layer.out + (SAMPLES_PER_GROUP - 1) * layer.stride, layer.outputs, one)
        change = array_at(layer.delta, layer.outputs, one)
        for j in range(layer.outputs):
            out[j] = 0
            change[j] = -0.0


@inner
def multiply_ahead(job, network, count, crew, room, one):
    """x_i W_0 for the samples of a group: this thread's columns; and on the last thread, x_i . x_j."""
    layer, below, item = layer_of(network, 1), layer_of(network, 0), itemsize(one)
    samples = Rows(job.group_samples, job.group_samples_stride)
    for i in range(1, count if crew.rank == crew.members - 1 else 0):
        stop = min((i + ROWS_PER_DOT - 1) // ROWS_PER_DOT * ROWS_PER_DOT, count)  # as many at once take as long as one
        x = job.group_samples + i * job.group_samples_stride
        row_products(dots_of(job, i, one), samples, x, stop, below.outputs, one)
    left, right = column_chunks(layer, crew)
    target = Rows(layer.delta + left * item, layer.stride)
    weight = Matrix(network.params + layer.weight + left * item, layer.outputs * item, item)
    factor = Factor(below.out_rows, layer.columns, ALONG_SUM)
    size = Size(count, right - left, layer.inputs)
    multiply(target, NO_ROWS, factor, weight, size, NO_EPILOGUE, WHOLE, room, one)
    meet(crew)


@inner
def first_output(job, network, begin, i, crew, one):
    """The first layer's output at step i of a group, from x_i W_0: this thread's columns."""
    layer, item = layer_of(network, 1), itemsize(one)
    left, right = column_chunks(layer, crew)
    shift, count = left * item, right - left
    dots, bias = array_at(dots_of(job, i, one), i, one), array_at(network.params + layer.bias + shift, count, one)
    out = array_at(layer.out + i * layer.stride + shift, count, one)
    ahead = array_at(layer.delta + i * layer.stride + shift, count, one)
    shrinks = one
    for c in range(count):
        out[c] = bias[c]
    for j in range(i - 1, -1, -1):
        factor = -(rate_as(job, begin + j, one) * shrinks * dots[j])
        delta = array_at(layer.delta + j * layer.stride + shift, count, one)
        for c in range(count):
            out[c] = mul_add(factor, delta[c], out[c])
        shrinks *= shrink_of(job, begin + j, one)
    for c in range(count):
        out[c] = mul_add(shrinks, ahead[c], out[c])
    if layer.activate != 0:
        target, slopes = outputs_from(layer, i), slopes_from(layer, i)
        slopes = Rows(slopes.address + shift if slopes.address != 0 else 0, slopes.stride)
        call_on_block(layer.activate, Rows(target.address + shift, 0), slopes, 1, with_padding(count), one)


@inner
def change_and_multiply(network, number, i, crew, shrink):
    """What the step before leaves of a later layer's change, then its output in step i of a group."""
    layer, below, before = layer_of(network, number), layer_of(network, number - 1), (i - 1) % SAMPLES_PER_GROUP
    weights = Weights(network.params + layer.weight, network.params + layer.bias, layer.inputs, layer.outputs)
    samples = Samples(
        below.out + before * below.stride, layer.delta + i * layer.stride, below.out + i * below.stride
    )  # fmt: skip
    epilogue = Epilogue(layer.activate, slopes_from(layer, i))
    update_and_multiply(
        layer.out + i * layer.stride, weights, samples, epilogue, Share(crew.members, crew.rank), shrink
    )  # fmt: skip


@inner
def find_delta(network, number, i, start, stop, one):
    """Elements `start` to `stop` of a layer's delta; the last layer has its delta from the loss."""
    if number == network.layers:
        return
    layer, above, item = layer_of(network, number), layer_of(network, number + 1), itemsize(one)
    stride, shift = above.outputs * item, start * item
    weight = Rows(network.params + above.weight + start * stride, stride)
    delta = layer.delta + i * layer.stride + shift
    row_products(delta, weight, above.delta + i * above.stride, stop - start, above.outputs, one)
    if layer.differentiate != 0:
        source = Rows(layer.derivative_from + i * layer.stride + shift, 0)
        call_on_block(layer.differentiate, Rows(delta, 0), source, 1, with_padding(stop - start), one)


@inner
def note_change(job, layer, step, i, start, stop, one):
    """What the next step adds to a later layer's bias, and with its input to W: elements `start` to `stop`."""
    delta = array_at(layer.delta + i * layer.stride, stop, one)
    change = array_at(layer.delta + (i + 1) % SAMPLES_PER_GROUP * layer.stride, stop, one)
    rate = rate_as(job, step, one)
    for j in range(start, stop):
        change[j] = -rate * delta[j]


@inner
def change_bias(job, network, layer, step, i, start, stop, one):
    """Update the first layer's bias, elements `start` to `stop`."""
    delta, bias = array_at(layer.delta + i * layer.stride, stop, one), array_at(network.params + layer.bias, stop, one)
    rate = rate_as(job, step, one)
    for j in range(start, stop):
        bias[j] -= rate * delta[j]


@inner
def change_first_weights(job, network, begin, count, crew, room, one):
    """The first W after a group, shrinks W_0 - sum of eta_j x_j^T D_j: this thread's columns."""
    layer, below, item = layer_of(network, 1), layer_of(network, 0), itemsize(one)
    left, right = column_chunks(layer, crew)
    shrinks = one
    for j in range(count - 1, -1, -1):
        factor = -(rate_as(job, begin + j, one) * shrinks)
        delta = array_at(layer.delta + j * layer.stride + left * item, right - left, one)
        for c in range(right - left):
            delta[c] *= factor
        shrinks *= shrink_of(job, begin + j, one)
    stride = layer.outputs * item
    target = Rows(network.params + layer.weight + left * item, stride)
    transposed = Factor(layer.columns, below.out_rows, ALONG_ROWS)
    change = Matrix(layer.delta + left * item, layer.stride, item)
    size = Size(layer.inputs, right - left, count)
    accumulate(target, shrinks, transposed, change, size, room, one)
