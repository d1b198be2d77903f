"""Arenas: what is laid out on counted memory is aligned, does not overlap and stays inside."""

import numpy as np
import pytest
from helpers import DTYPES
from hypothesis import given
from hypothesis import strategies as st
from memory_regions import assert_apart

from fastfnn.kernels.compiler.decorators import address_of
from fastfnn.kernels.elementwise.activations.slopes import multiply_by_slopes
from fastfnn.kernels.network.arena import Arena, allocate
from fastfnn.kernels.network.layers import LAYER
from fastfnn.kernels.tuning import BYTES_PER_CACHE_LINE, PAGE_BYTES

pieces = st.lists(
    st.tuples(st.sampled_from(["take", "buffer", "records", "numbers"]), st.sampled_from([1, 8, 63, 64, 65, 700])),
    max_size=20,
)


def address_in(memory):
    return memory.__array_interface__["data"][0]


def take_all(arena, wanted):
    """Take all pieces; returns name -> address and bytes."""
    regions = {}
    for number, (kind, count) in enumerate(wanted):
        if kind == "records":
            (address, records), size = arena.records(LAYER, count), LAYER.itemsize * count
            assert records.shape == (count,) and records.dtype == LAYER
        elif kind == "numbers":
            address, size = arena.numbers(5, 3, count, more=2), 8 * (count + 2)
        else:
            size = 10 * count
            address = getattr(arena, kind)(size)
        regions[f"{kind} {number}"] = address, size
    return regions


@given(pieces, st.integers(0, PAGE_BYTES - 1))
def test_pieces_are_aligned_apart_and_inside_wherever_the_memory_begins(wanted, shift):
    counted = Arena()
    before = take_all(counted, wanted)
    memory = np.zeros(counted.size + PAGE_BYTES + shift, np.uint8)[shift:]
    arena = Arena(memory)
    regions = take_all(arena, wanted)
    assert_apart(regions, memory)
    assert arena.size == counted.size
    for name, (address, size) in regions.items():
        assert (address - arena.base, size) == before[name]
        assert address % BYTES_PER_CACHE_LINE == 0
        if name.startswith("buffer") and size >= PAGE_BYTES:
            assert address % PAGE_BYTES == 0


def test_records_and_numbers_are_written_where_their_addresses_say():
    memory = np.zeros(3 * PAGE_BYTES, np.uint8)[13:]
    arena = Arena(memory)
    arena.take(1)
    address, records = arena.records(LAYER, 3)
    assert records.__array_interface__["data"][0] == address
    records["outputs"] = 1, 2, 3
    start = address - address_in(memory)
    np.testing.assert_array_equal(memory[start : start + records.nbytes].view(LAYER)["outputs"], [1, 2, 3])
    start = arena.numbers(100, -7, 4, more=2) - address_in(memory)
    np.testing.assert_array_equal(memory[start : start + 48].view(np.int64), [100, 93, 86, 79, 0, 0])


def test_a_piece_may_have_another_alignment():
    arena = Arena(np.zeros(3 * PAGE_BYTES, np.uint8))
    arena.take(1)
    assert arena.take(640, 128) % 128 == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_layout_gets_memory_of_zeros_and_the_addresses_of_functions(dtype):
    runs = []

    def lay_out(arena):
        runs.append(arena.memory is not None)
        function = address_of(multiply_by_slopes, dtype)
        address, (layer,) = arena.records(LAYER)
        layer["differentiate"] = function
        return address, function, arena.buffer(3 * PAGE_BYTES)

    memory, (address, function, buffer) = allocate(lay_out)
    assert runs == [False, True]
    assert function == address_of(multiply_by_slopes, dtype) != 0
    assert_apart({"layer": (address, LAYER.itemsize), "buffer": (buffer, 3 * PAGE_BYTES)}, memory)
    start = address - address_in(memory)
    assert memory[start : start + LAYER.itemsize].view(LAYER)["differentiate"] == function
    memory[start : start + LAYER.itemsize] = 0
    assert not np.any(memory)
