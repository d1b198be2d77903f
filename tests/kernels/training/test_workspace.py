"""The workspace of a call: room for every step, no overlaps, and nothing that shows in the next call."""

import functools
import itertools
from typing import NamedTuple

import numpy as np
import pytest
from helpers import DTYPES, assert_same_bits, in_a_thread
from memory_regions import assert_apart, records_at, regions_of_network
from networks import DROPOUT, count_parameters, gradient, loss_of, problem_of
from step_forms import FORMS, TALL, TALL_NETWORK, form_of_step, shape_of

from fastfnn import kernels
from fastfnn.kernels import LOSSES, OPTIMIZERS
from fastfnn.kernels.elementwise.conversion import IN_PLACE
from fastfnn.kernels.network import kept
from fastfnn.kernels.network.arena import allocate
from fastfnn.kernels.network.layout import Form
from fastfnn.kernels.products.packing import bytes_of_room
from fastfnn.kernels.training import workspace
from fastfnn.kernels.training.batch_step import batch_step
from fastfnn.kernels.training.job import JOB
from fastfnn.kernels.training.sample_steps import sample_steps
from fastfnn.kernels.training.tall_step import _blocks_of, tall_step
from fastfnn.kernels.training.update import FACTORS_BYTES
from fastfnn.kernels.training.workspace import GRADIENT
from fastfnn.kernels.tuning import (
    BYTES_PER_CACHE_LINE,
    DEEP_BATCH,
    DEEP_BATCH_ROWS,
    DEEP_BATCH_SUM,
    KEEP_MOST_WORKSPACES,
    NORM_PIECE,
    SAMPLES_PER_GROUP,
    UPDATE_ROWS,
)
from fastfnn.kernels.workers.pace import PACE
from fastfnn.kernels.workers.state import TEAM_BYTES


@pytest.mark.parametrize("most", [KEEP_MOST_WORKSPACES, 1000])
def test_what_calls_keep_for_the_next_does_not_show(most, monkeypatch):
    monkeypatch.setattr(kept, "KEEP_MOST_WORKSPACES", most)
    rng, calls = np.random.default_rng(5), []
    for index, shape in enumerate([(5, 4, 3), (5, 4, 3), (6, 30, 3), (3, 9, 9, 3), (40, 33, 3)]):  # buffers grow
        names = *(("tanh", "relu")[index // 2 % 2] for _ in shape[2:]), "identity"
        for dtype, loss, batch in itertools.product(DTYPES, ("softmax_cross_entropy", "squared_error"), (3, 7)):
            problem = problem_of(rng, shape, names, loss, batch, dtype, labels=index % 3 == 0)
            calls.append(functools.partial(gradient, kernels, problem))
            calls.append(functools.partial(gradient, kernels, problem, **DROPOUT))
            calls.append(lambda problem=problem: [loss_of(kernels, problem)])
            problem = problem_of(rng, shape, names, loss, batch, dtype, normalized=True)
            calls.append(functools.partial(gradient, kernels, problem))
    want = [in_a_thread(call) for call in calls]
    for number in [*rng.permutation(len(calls)), *rng.permutation(len(calls))]:
        for _ in range(2):
            assert_same_bits(calls[number](), want[number])
        assert 0 < len(kept.this_thread.workspaces) <= most


# The forms of a step


@pytest.mark.parametrize(("form", "step"), [*zip(FORMS, (batch_step, tall_step, sample_steps), strict=True)])
def test_each_form_has_its_function(form, step):
    _, batch = FORMS[form]
    assert form_of_step(shape_of(TALL_NETWORK, batch, DTYPES[0]))[0] is step


@pytest.mark.parametrize("optimizer", [GRADIENT, *range(len(OPTIMIZERS))])
@pytest.mark.parametrize("option", ["nothing", "drops", "clips", "normalized", "squared"])
def test_only_gradient_descent_alone_takes_steps_on_one_sample_in_groups(option, optimizer):
    options = {} if option == "nothing" else {option: True}
    step, *_ = form_of_step(shape_of(TALL_NETWORK, 1, DTYPES[0], optimizer=optimizer, **options))
    alone = option == "nothing" and optimizer == OPTIMIZERS.index("sgd")
    assert step is (sample_steps if alone else batch_step)


def test_a_normalized_batch_is_not_tall():
    assert form_of_step(shape_of(TALL_NETWORK, 1025, DTYPES[0], normalized=True)) == (batch_step, 1025, 0)


# With a handful of parameters a last batch of thousands of samples is too little work to be tall.
@pytest.mark.parametrize("network", [TALL_NETWORK, (1, 1), (2, 1), (4, 2), (100, 90, 10), (160, 99, 99, 5)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 64])
def test_buffers_have_room_for_every_thread_and_for_any_last_batch(count, network, monkeypatch):
    monkeypatch.setattr(workspace, "max_threads", lambda: count)
    dtype = DTYPES[0]
    size = count_parameters(network) * dtype.itemsize
    most = most_groups = 0
    batches = sorted({*range(1, 5001), *range(5001, 60_000, 37)})
    for number, batch in enumerate(batches):
        rows, together, groups = _blocks_of(batch, size)
        most = max(most, count * together * rows if groups > 0 else batch)
        most_groups = max(most_groups, groups)
        if number % 97 == 0 or batch in TALL or 0 < groups < most_groups:
            step, capacity, groups_of_step = form_of_step(shape_of(network, batch, dtype))
            assert capacity >= most
            assert groups_of_step >= (most_groups if groups > 0 else 0) and (step is tall_step) == (groups > 0)


# The layout


def regions_of_job(job, shape, capacity, groups):
    """The memory that a job names: how many bytes are used at each address, if it is not 0."""
    sizes = np.frombuffer(shape.sizes, np.int64).tolist()
    item, outputs = shape.itemsize, sizes[-1]
    size = shape.parameters * item
    whole_lines = -(-size // BYTES_PER_CACHE_LINE) * BYTES_PER_CACHE_LINE
    regions = {
        "batch_labels": 8 * capacity,
        "batch_targets": capacity * outputs * item,
        "batch_weights": capacity * item,
        "terms": 8 * capacity * int(job["terms_per_sample"]),
        "gradient": size,
        "squares": 8 * -(-shape.parameters // NORM_PIECE),
        "weight_squares": 8 * int(job["weight_pieces"]),
        "group_losses": 8 * groups,
        "group_gradients": groups * whole_lines,
        "group_samples": SAMPLES_PER_GROUP * int(job["group_samples_stride"]),
        "group_dots": SAMPLES_PER_GROUP**2 * item,
        "team": TEAM_BYTES,
        "pace": PACE.itemsize,
        "scratch": shape.threads * int(job["scratch_bytes"]),
    }
    return {name: (int(job[name]), count) for name, count in regions.items() if job[name] != 0}


# The sizes of a network, the samples of a batch, and what else the call has, see `Shape`.
CALLS = {
    "a batch": (TALL_NETWORK, 8, {}),
    "a gradient": (TALL_NETWORK, 9, {"optimizer": GRADIENT, "labelled": False}),
    "a tall gradient": (TALL_NETWORK, 1025, {"optimizer": GRADIENT}),
    "one sample": ((5, 17, 9, 3), 1, {"ordered": True, "weighted": True}),
    "one sample to be converted": ((5, 17, 9, 3), 1, {"source": "u1", "labelled": False, "ordered": True}),
    "a gradient of samples to be converted": (TALL_NETWORK, 9, {"optimizer": GRADIENT, "source": "f2"}),
    "a tall batch to be converted": (TALL_NETWORK, 1200, {"source": "u1", "threads": 3}),
    "a deep batch to be converted": ((520, 520, 5), 20 * DEEP_BATCH, {"source": "u1", "threads": 2}),
    "a deep batch to be converted, on many threads": ((520, 520, 5), DEEP_BATCH + 1, {"source": "u1", "threads": 9}),
    "a deep and normalized batch to be converted": (TALL_NETWORK, DEEP_BATCH + 1, {"source": "u1", "normalized": True}),
    "a tall batch": (TALL_NETWORK, 1200, {"weighted": True, "drops": True, "clips": True, "threads": 3}),
    "a tall batch whose weights are squared": (TALL_NETWORK, 1200, {"divided": True, "squared": True}),
    "a tall batch of a tiny network": ((2, 1), 60_000, {"labelled": False, "ordered": True}),
    "a deep batch": ((520, 520, 5), DEEP_BATCH + 1, {"optimizer": OPTIMIZERS.index("adam"), "threads": 2}),
    "all but a tall batch": (
        (9, 33, 16, 20), 130,
        {
            "optimizer": OPTIMIZERS.index("adamw"), "labelled": False, "ordered": True, "weighted": True, "drops": True,
            "divided": True, "squared": True, "clips": True, "normalized": True, "threads": 4, "source": "i8",
            "loss": LOSSES.index("sigmoid_cross_entropy"),
        },
    ),
}  # fmt: skip


class LaidOut(NamedTuple):
    """A workspace that was laid out: its shape, its memory, and its job."""

    shape: workspace.Shape
    memory: np.ndarray
    address: int
    job: np.void


@pytest.fixture(params=itertools.product(CALLS, DTYPES), ids=lambda param: f"{param[0]}, {param[1]}")
def laid_out(request):
    call, dtype = request.param
    sizes, batch, options = CALLS[call]
    shape = shape_of(sizes, batch, dtype, **options)
    memory, (address, _, _) = allocate(lambda arena: workspace._lay_out(arena, shape))
    return LaidOut(shape, memory, address, records_at(address, JOB)[0])


def test_the_buffers_of_a_workspace_do_not_overlap_and_stay_inside(laid_out):
    shape, job = laid_out.shape, laid_out.job
    _, capacity, groups = form_of_step(shape)
    sizes, dtype = tuple(np.frombuffer(shape.sizes, np.int64).tolist()), np.dtype(f"f{shape.itemsize}")
    converted = workspace._rows_to_convert(shape, capacity, groups)
    form = Form(sizes, (), dtype, capacity, converted, True, shape.drops, shape.normalized)
    regions = regions_of_job(job, shape, capacity, groups) | regions_of_network(int(job["network"]), form)
    assert_apart(regions | {"job": (laid_out.address, JOB.itemsize)}, laid_out.memory)


def test_a_workspace_has_what_its_call_needs(laid_out):
    shape, job = laid_out.shape, laid_out.job
    _, _, groups = form_of_step(shape)
    updates = shape.optimizer != GRADIENT
    wanted = {
        "batch_labels": shape.labelled,
        "batch_targets": shape.ordered and not shape.labelled,
        "batch_weights": shape.weighted,
        "squares": shape.clips,
        "weight_squares": shape.squared,
        "gradient": updates and (shape.clips or shape.batch > DEEP_BATCH),
        "apply_gradient": updates and (shape.clips or shape.batch > DEEP_BATCH),
        "check": not updates and shape.source == IN_PLACE,
        "convert": shape.source != IN_PLACE,
        "group_gradients": groups > 0,
        "group_losses": groups > 0,
    }
    assert {name: job[name] != 0 for name in wanted} == wanted


def test_converted_samples_have_room_for_what_is_multiplied_at_once_and_no_more(laid_out):
    shape = laid_out.shape
    step, capacity, groups = form_of_step(shape)
    rows = workspace._rows_to_convert(shape, capacity, groups)
    if shape.source == IN_PLACE or step is sample_steps:
        assert rows == 0
    elif step is tall_step or shape.batch <= DEEP_BATCH or shape.normalized:
        assert rows == capacity
    else:  # a block of each thread, the samples of a sum, or a last batch that is not deep: not the whole batch
        assert rows == max(DEEP_BATCH, shape.threads * DEEP_BATCH_ROWS) and rows >= DEEP_BATCH_SUM


def test_a_scratch_has_room_for_a_piece_of_a_gradient_and_for_the_longest_product(laid_out):
    shape, job = laid_out.shape, laid_out.job
    _, capacity, _ = form_of_step(shape)
    widest = int(np.frombuffer(shape.sizes, np.int64).max())
    rows = UPDATE_ROWS if shape.optimizer > OPTIMIZERS.index("sgd") else 1
    assert job["packing"] >= FACTORS_BYTES + rows * widest * shape.itemsize
    longest = max(widest, min(shape.batch, capacity, DEEP_BATCH))
    assert job["scratch_bytes"] >= job["packing"] + bytes_of_room(longest)
