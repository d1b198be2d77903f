"""The layout of a network in memory: buffers and lists that do not overlap, and records that describe them."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES
from memory_regions import assert_apart, layers_of, list_at, regions_of_network
from networks import codes, places
from user_codes import BUILT_IN, by_input

from fastfnn import kernels
from fastfnn.kernels import ACTIVATIONS
from fastfnn.kernels.network.arena import Arena, allocate
from fastfnn.kernels.network.layout import Form, lay_out_network, padded
from fastfnn.kernels.tuning import UNPADDED_OUTPUTS

GIVEN = "own ratio"
BY_SLOPE = {GIVEN, *filter(by_input, BUILT_IN)}  # activations whose derivative does not follow from their output

# Sizes, activations, capacity, the rows for converted samples: last rows of less than a cache line and of exactly one,
# wide layers of more than a page, activations with slopes and without, and no hidden layer at all.
NETWORKS = {
    "short last rows": ((5, 17, 3), ("tanh", "identity"), 9, 0),
    "last rows of a line": ((5, 17, 16), ("relu", "identity"), 9, 9),
    "slopes": ((20, 33, 64, 7), ("gelu", "softplus", "sigmoid"), 130, 0),
    "a user's activation": ((20, 33, 3), (GIVEN, "softmax"), 12, 40),
    "one layer": ((3, 2), ("identity",), 1, 1),
    "wide": ((1, 900, 1, 512, 1), ("silu", "identity", "leaky_relu", "identity"), 33, 33),
}
KINDS = {
    "prediction": {"training": False, "drops": False, "normalized": False},
    "training": {"training": True, "drops": False, "normalized": False},
    "dropout": {"training": True, "drops": True, "normalized": False},
    "normalized": {"training": True, "drops": False, "normalized": True},
    "both": {"training": True, "drops": True, "normalized": True},
}


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    return request.param


@pytest.fixture(params=itertools.product(NETWORKS, KINDS), ids=", ".join)
def form(request, dtype):
    network, kind = request.param
    sizes, names, capacity, converted = NETWORKS[network]
    activations = tuple(codes(kernels, names, dtype).tolist())
    return Form(sizes, activations, dtype, capacity, converted, **KINDS[kind])


@pytest.fixture
def memory_and_address(form):
    """The memory of a network of this form, and the network's address in it."""
    memory, (address, _, _) = allocate(lambda arena: lay_out_network(arena, form))
    return memory, address


@pytest.fixture
def layers(form, memory_and_address):
    """The records of a network's layers. The memory lives as long as the other fixture."""
    _, address = memory_and_address
    return layers_of(address, form)


def test_buffers_and_lists_do_not_overlap_and_stay_inside(form, memory_and_address):
    memory, address = memory_and_address
    assert_apart(regions_of_network(address, form), memory)


def test_only_samples_to_be_converted_have_a_buffer(form, layers):
    assert (layers["out"][0] != 0) == (form.converted > 0)
    assert layers["stride"][0] == (padded(form.sizes[0]) * form.dtype.itemsize if form.converted else 0)


def test_two_networks_may_be_laid_out_one_after_the_other(form):
    def both(arena):
        return lay_out_network(arena, form)[0], lay_out_network(arena, form)[0]

    memory, addresses = allocate(both)
    regions = [regions_of_network(address, form).items() for address in addresses]
    assert_apart({(turn, name): region for turn, named in enumerate(regions) for name, region in named}, memory)


def test_lists_hold_the_rows_of_the_buffers_and_the_distances_of_elements(form, layers):
    for number, layer in enumerate(layers):
        want = np.arange(form.sizes[number]) * form.dtype.itemsize
        np.testing.assert_array_equal(list_at(layer["columns"], len(want)), want)
        for buffer in ("out", "delta") if number > 0 and form.training else ("out",) if number > 0 else ():
            rows = list_at(layer[f"{buffer}_rows"], form.capacity)
            np.testing.assert_array_equal(rows, layer[buffer] + np.arange(form.capacity) * layer["stride"])


def test_layers_know_their_sizes_and_where_their_parameters_are(form, layers):
    item = form.dtype.itemsize
    assert layers["outputs"].tolist() == list(form.sizes)
    assert layers["inputs"][1:].tolist() == list(form.sizes[:-1])
    running = 0
    for layer, parts in zip(layers[1:], places(form.sizes, form.normalized), strict=True):
        starts = [part.start * item for part in parts]
        names = ("weight", "bias", "gamma", "beta")[: len(starts)]
        assert [layer[name] for name in names] == starts
        assert layer["end"] == parts[-1].stop * item
        if len(parts) == 4:
            assert layer["running"] == running
            running += 2 * layer["outputs"] * item


def test_layers_have_the_buffers_and_functions_that_they_need(form, layers):
    names = [ACTIVATIONS[code] if code < len(ACTIVATIONS) else GIVEN for code in form.activations]
    for number, (layer, name) in enumerate(zip(layers[1:], names, strict=True), 1):
        hidden = number < len(names)
        drops, normalized = form.drops and hidden, form.normalized and hidden
        slopes = form.training and (drops or name in BY_SLOPE)
        assert (layer["delta"] != 0) == form.training
        assert (layer["slope"] != 0) == slopes
        assert layer["derivative_from"] == layer["slope" if slopes else "out"]
        for field in ("normalized", "batch_mean", "batch_variance", "inverse", "grad_gamma", "grad_beta"):
            assert (layer[field] != 0) == normalized
        assert (layer["normalize"] != 0) == (layer["normalize_back"] != 0) == normalized
        assert (layer["drop"] != 0) == drops
        assert (layer["activate_rows"] != 0) == (name == "softmax")
        assert (layer["activate"] != 0) == (name not in ("softmax", "identity") or drops)
        if name not in ("softmax", "identity"):
            assert (layer["differentiate"] != 0) == form.training


def test_rows_of_a_size_are_whole_cache_lines_and_no_multiple_of_512_bytes():
    for size in range(1, 1000):
        assert padded(size) >= size and padded(size) % 16 == 0 and padded(size) % 128 != 0
        assert padded(size) < size + 64


def test_only_short_rows_of_a_last_layer_without_activation_are_not_padded(form, layers):
    for number, layer in enumerate(layers[1:], 1):
        outputs = form.sizes[number]
        identity = ACTIVATIONS[form.activations[number - 1] % len(ACTIVATIONS)] == "identity"
        short = number == len(form.activations) and identity and outputs < UNPADDED_OUTPUTS
        assert layer["stride"] == (outputs if short else padded(outputs)) * form.dtype.itemsize


def test_a_layout_takes_the_same_memory_each_time(form):
    first, second = Arena(), Arena()
    for arena in (first, second):
        lay_out_network(arena, form)
    assert first.size == second.size
