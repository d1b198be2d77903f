"""The memory that the records of a network name: where it is, and how many bytes of it kernels use."""

import numpy as np

from fastfnn.kernels.compiler.memory import Memory
from fastfnn.kernels.network.layers import LAYER, NETWORK
from fastfnn.kernels.tuning import PREFETCH_DISTANCE


def records_at(address, dtype, count=1):
    """The records at an address."""
    return np.asarray(Memory(address, (count,), None, dtype))


def list_at(address, count):
    """The list of `count` int64 at an address."""
    return np.asarray(Memory(int(address), (count,), None, np.dtype(np.int64)))


def layers_of(network_address, form):
    """The records of the layers of a network."""
    (network,) = records_at(network_address, NETWORK)
    assert network["layers"] == len(form.sizes) - 1
    return records_at(int(network["table"]), LAYER, len(form.sizes))


def regions_of_network(network_address, form):
    """Name -> address and bytes of the records, buffers and lists of a network that was laid out for a `Form`."""
    layers = layers_of(network_address, form)
    rows, distances = 8 * (form.capacity + PREFETCH_DISTANCE), 8 * PREFETCH_DISTANCE
    regions = {
        "network": (network_address, NETWORK.itemsize),
        "layers": (layers.__array_interface__["data"][0], layers.nbytes),
        "distances": (int(layers["columns"][-1]), 8 * max(form.sizes) + distances),
        "samples": (int(layers["out_rows"][0]), rows),
    }
    if form.converted:
        regions["converted samples"] = int(layers["out"][0]), form.converted * int(layers["stride"][0])
    for number, layer in enumerate(layers[1:], 1):
        stride = int(layer["stride"])
        sizes = {"out_rows": rows, "delta_rows": rows}
        sizes |= dict.fromkeys(("out", "delta", "slope", "normalized"), form.capacity * stride)
        sizes |= dict.fromkeys(("batch_mean", "batch_variance", "inverse", "grad_gamma", "grad_beta"), stride)
        regions |= {f"{name} {number}": (int(layer[name]), size) for name, size in sizes.items() if layer[name] != 0}
    return regions


def assert_apart(regions, memory):
    """Assert that regions, name -> address and bytes, lie inside an array and do not overlap."""
    begin, end = memory.__array_interface__["data"][0], memory.__array_interface__["data"][0] + memory.nbytes
    before, reached = "the beginning of the memory", begin
    for name, (address, size) in sorted(regions.items(), key=lambda item: item[1]):
        assert size > 0 and address >= reached, f"{name} overlaps {before}"
        before, reached = name, address + size
    assert reached <= end, f"{before} goes beyond the end"
