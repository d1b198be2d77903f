"""The forward pass of whole networks, and the loss of what it gives, against the reference in float64."""

import itertools
import math

import numpy as np
import pytest
from helpers import DTYPES, LAYOUTS, OTHER, assert_chain_close, dtypes, framed, seeds, unchanged, up
from hypothesis import given
from hypothesis import strategies as st
from memory_regions import assert_apart, layers_of, records_at, regions_of_network
from networks import (
    EVERY_LOSS,
    HIDDEN,
    assert_losses_close,
    batches,
    codes,
    count_parameters,
    few_bits,
    forward,
    lift,
    loss_of,
    loss_of_problem,
    networks,
    parameters,
    problem_of,
    random_parameters,
)

from fastfnn import kernels, reference
from fastfnn.kernels import LOSSES
from fastfnn.kernels.elementwise.conversion import IN_PLACE
from fastfnn.kernels.network import prediction_calls
from fastfnn.kernels.network.arena import allocate
from fastfnn.kernels.network.layout import Form
from fastfnn.kernels.products.packing import bytes_of_room
from fastfnn.kernels.tuning import FEW_ROWS, PACKED_LEAST_ROWS, PREDICTION_ROWS


@given(networks(), batches, dtypes, st.sampled_from(LAYOUTS), st.booleans(), seeds)
def test_forward_matches_the_reference(network, batch, dtype, layout, probabilities, seed):
    shape, names, _ = network
    names = (*names[:-1], "softmax") if probabilities else names
    rng = np.random.default_rng(seed)
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, shape[0]), dtype)
    with unchanged(params, x):
        got = forward(kernels, params, x, shape, names, layout)
    assert_chain_close(got, forward(reference, *up(params, x), shape, names))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [127, 128, 129, 300])
def test_forward_of_more_rows_than_a_block(batch, dtype):
    rng = np.random.default_rng(0)
    shape, names = (3, 4, 2), ("tanh", "softmax")
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, 3), dtype)
    assert_chain_close(forward(kernels, params, x, shape, names), forward(reference, *up(params, x), shape, names))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", HIDDEN)
def test_forward_through_every_activation(name, dtype):
    # 19 columns are some vectors and a few over, 17 rows some of a tile and one over
    rng = np.random.default_rng(2)
    shape, names = (3, 19, 19, 2), (name, name, "identity")
    params, x = random_parameters(rng, shape, dtype), few_bits(rng, (17, 3), dtype)
    got = forward(kernels, params, x, shape, names)
    assert_chain_close(got, forward(reference, *up(params, x), shape, names))


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_network_of_the_notes(dtype):
    rng = np.random.default_rng(1)
    shape, names = (784, 50, 10), ("sigmoid", "softmax")
    params, x = parameters(rng, shape, dtype) / 16, few_bits(rng, (230, 784), dtype)
    assert_chain_close(forward(kernels, params, x, shape, names), forward(reference, *up(params, x), shape, names))


@given(networks(), batches, dtypes, seeds)
def test_nothing_outside_the_output_is_written(network, batch, dtype, seed):
    shape, names, _ = network
    rng = np.random.default_rng(seed)
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, shape[0]), dtype)
    with framed((batch, shape[-1]), dtype=dtype) as (out,):
        kernels.network_forward(out, params, x, np.array(shape, np.int64), codes(kernels, names, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", HIDDEN)
def test_a_nan_in_one_sample_stays_in_its_row(name, dtype):
    rng = np.random.default_rng(3)
    shape = (3, 5, 2)
    params, x = parameters(rng, shape, dtype) + dtype.type(0.03), few_bits(rng, (150, 3), dtype)
    x[140, 1] = np.nan
    got = forward(kernels, params, x, shape, (name, "softmax"))
    assert np.all(np.isnan(got[140])) and np.sum(np.isnan(got)) == 2


@given(networks(), batches, dtypes, st.booleans(), seeds)
def test_loss_matches_the_reference(network, batch, dtype, labels, seed):
    problem = problem_of(np.random.default_rng(seed), *network, batch, dtype, labels, exact=True)
    with unchanged(*problem.inputs):
        got = loss_of(kernels, problem)
    assert_losses_close(got, loss_of(reference, lift(problem)), problem.dtype)


# One sample; a block that is not full; blocks and a few rows more, for one thread and for two; with packed weights.
ROWS = (1, 40, PREDICTION_ROWS + 12, 2 * PREDICTION_ROWS + 44, 4 * PACKED_LEAST_ROWS + 64)
LARGE = (130, 66, 3)  # not too small to be packed
every_number_of_rows = pytest.mark.parametrize(
    "rows", [pytest.param(rows, marks=pytest.mark.jit) if rows > 200 else rows for rows in ROWS]
)


@pytest.mark.jit
@pytest.mark.parametrize("rows", range(1, FEW_ROWS + 2))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_few_rows_of_a_large_network_match_the_reference_and_many_rows(dtype, rows):
    rng = np.random.default_rng(rows)
    shape, names = (301, 530, 299, 3), ("tanh", "relu", "softmax")
    params, x = random_parameters(rng, shape, dtype) / 16, few_bits(rng, (40, 301), dtype)
    got = forward(kernels, params, x[:rows], shape, names)
    assert_chain_close(got, forward(reference, *up(params, x[:rows]), shape, names))
    assert got.tobytes() == forward(kernels, params, x, shape, names)[:rows].tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_only_the_largest_number_of_rows_is_predicted_with_packed_weights(dtype, threads):
    params, network = np.empty(count_parameters(LARGE), dtype), (np.array(LARGE), codes(kernels, ("tanh",) * 2, dtype))
    for rows in ROWS:
        x = np.empty((rows, LARGE[0]), dtype)
        workspace = prediction_calls._workspace_for(params, x, IN_PLACE, *network, prediction_calls.NO_LOSS, threads)
        assert (workspace.record["pack"] != 0) == (rows == ROWS[-1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("loss", [prediction_calls.NO_LOSS, *range(len(LOSSES))])
@pytest.mark.parametrize("source", [IN_PLACE, "u1"], ids=["in place", "converted"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_buffers_of_a_prediction_do_not_overlap_and_stay_inside(packed, source, loss, dtype):
    sizes, names, rows, threads = (5, 300, 17, 3), ("tanh", "gelu", "identity"), 64, 3
    activations = codes(kernels, names, dtype)
    shape = prediction_calls._Shape(
        np.array(sizes, np.int64).tobytes(), activations.tobytes(), dtype.itemsize, rows, threads, source, loss, packed
    )
    memory, (address, _) = allocate(lambda arena: prediction_calls._lay_out(arena, shape))
    (job,) = records_at(address, prediction_calls.PREDICTION)
    converted = 0 if source == IN_PLACE else rows * threads
    form = Form(sizes, (), dtype, rows * threads, converted, training=False, drops=False, normalized=False)
    regions = regions_of_network(int(job["network"]), form)
    regions["job"] = address, prediction_calls.PREDICTION.itemsize
    regions["scratch"] = int(job["scratch"]), threads * int(job["scratch_bytes"])
    assert job["scratch_bytes"] >= bytes_of_room(max(sizes)) and job["block"] == rows
    assert (job["convert"] != 0) == (source != IN_PLACE)
    assert (job["pack"] != 0) == packed
    for number, layer in enumerate(layers_of(int(job["network"]), form)[1:] if packed else (), 1):
        size = int(layer["inputs"]) * int(layer["outputs"]) * dtype.itemsize
        regions[f"packed {number}"] = int(layer["packed"]), size
    assert (job["loss"] != 0) == (job["loss_gradients"] != 0) == (loss != prediction_calls.NO_LOSS)
    if loss != prediction_calls.NO_LOSS:
        stride = int(layers_of(int(job["network"]), form)["stride"][-1])
        regions["gradients of the loss"] = int(job["loss_gradients"]), rows * threads * stride
    assert_apart(regions, memory)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("loss", EVERY_LOSS)
@every_number_of_rows
def test_loss_is_that_of_the_forward_pass(rows, loss, dtype):
    shape, names = LARGE, ("tanh", "identity")
    problem = problem_of(np.random.default_rng(0), shape, names, loss, rows, dtype)
    out = forward(kernels, problem.params, problem.x, shape, names)
    losses, grad = np.empty(rows), np.empty_like(out)
    want = kernels.sample_losses(losses, grad, out, problem.targets, *loss_of_problem(kernels, problem))
    got = loss_of(kernels, problem)
    assert isinstance(got, float) and got == want
    x, targets = np.asfortranarray(problem.x), np.repeat(problem.targets, 2, axis=0)[::2]
    assert loss_of(kernels, problem._replace(x=x, targets=targets)) == got


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [pytest.param(LARGE, marks=pytest.mark.jit), (9, 5, 7, 2)], ids=str)
@every_number_of_rows
def test_loss_of_samples_that_are_not_finite_is_nan(rows, shape, dtype):
    # By sigmoid infinity becomes 0 or 1, so that it would not show in the loss.
    names = *("sigmoid" for _ in shape[2:]), "identity"
    problem = problem_of(np.random.default_rng(0), shape, names, "squared_error", rows, dtype)
    good, inputs = loss_of(kernels, problem), shape[0]
    assert math.isfinite(good)
    for row, column in itertools.product((0, rows // 2, rows - 1), (0, inputs // 2, inputs - 1)):
        for bad, given_dtype in itertools.product((np.nan, np.inf, -np.inf), DTYPES):
            x = problem.x.astype(given_dtype)
            x[row, column] = bad
            assert math.isnan(loss_of(kernels, problem._replace(x=x)))
    assert math.isnan(loss_of(reference, problem._replace(x=x)))
    assert loss_of(kernels, problem) == good


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [LARGE, (9, 5, 7, 2)], ids=str)
@every_number_of_rows
def test_loss_of_samples_in_the_other_dtype(rows, shape, dtype):
    names = *("tanh" for _ in shape[2:]), "identity"
    problem = problem_of(np.random.default_rng(0), shape, names, "squared_error", rows, dtype)
    want = loss_of(kernels, problem)
    x = problem.x.astype(OTHER[dtype])
    for same in (x, np.asfortranarray(x), x[::-1].copy()[::-1]):
        with unchanged(same):
            assert loss_of(kernels, problem._replace(x=same)) == want
