"""Samples need no memory of their own: not in another dtype, not in another layout, not on disk."""

import json
import sys

import pytest
from helpers import run_python

pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space and reads its size"),
]

# Trains on and predicts from a file of zeros without blocks on the disk. What is compiled, kept and started by threads
# comes before the limit, which leaves room for a third of the samples in float32.
PROGRAM = """
import json, os, resource, sys, tempfile
import numpy as np
import fastfnn as fnn

dtype, order, loss, options = sys.argv[1], sys.argv[2], "squared_error", json.loads(sys.argv[3])
count, inputs, headroom = 32_768, 1024, 48 << 20
net = fnn.FNN((inputs, 16, 2), loss=loss, seed=0)

def use(x, t):
    net.fit(x, t, epochs=1, **options)
    assert net.predict(x).shape == (len(x), 2)
    assert np.isfinite(net.loss(x, t)) and all(np.isfinite(grad).all() for grad in net.gradient(x, t).values())

with tempfile.NamedTemporaryFile() as file:
    os.truncate(file.name, count * inputs * np.dtype(dtype).itemsize)
    x = np.memmap(file.name, dtype, "r", shape=(count, inputs), order=order)
    t = np.zeros((count, 2), np.float32)
    use(x[:8192], t[:8192])
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + headroom, resource.RLIM_INFINITY))
    try:
        np.ones((count, inputs), np.float32)
        print("the limit has no effect")
    except MemoryError:
        use(x, t)
        print("done")
"""
SHUFFLED, ALL = {"batch_size": 512}, {"batch_size": None}


@pytest.mark.parametrize(
    ("dtype", "order", "options"),
    [
        ("float32", "C", SHUFFLED),
        ("float32", "F", SHUFFLED),
        ("float64", "C", SHUFFLED),
        ("float16", "C", SHUFFLED),
        ("uint8", "C", SHUFFLED),
        ("uint8", "C", ALL),
        ("uint8", "C", {"batch_size": 512, "sampling": "replacement"}),
    ],
)
def test_a_memory_map_that_is_larger_than_memory_trains_and_predicts(dtype, order, options):
    threads = {"NUMBA_NUM_THREADS": 2, "MALLOC_ARENA_MAX": 1}  # an arena of a thread reserves 64 MB
    assert run_python(PROGRAM, dtype, order, json.dumps(options), timeout=300, **threads).splitlines()[-1] == "done"
