"""A source that is larger than memory trains in the memory of two windows."""

import sys

import pytest
from helpers import run_python

pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the resident memory of a process"),
]

# Files of 64 MiB without blocks on the disk, in windows of 4 MiB. What is loaded and kept comes before: a training on
# the beginning of the file.
PROGRAM = """
import os, resource, tempfile
import numpy as np
import fastfnn as fnn

columns, file_bytes, window_bytes = 1024, 64 << 20, 4 << 20
net = fnn.FNN((columns, 8, 2), loss="squared_error", seed=0)
most = []

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def use(source):
    net.fit(source, epochs=2, batch_size=512)
    net.evaluate(source)

take = fnn.sources.windows.Window.release
fnn.sources.windows.Window.release = lambda window: most.append(resident()) or take(window)
for kind in ("float32", "uint8", "float16", ">f8", "batches"):
    dtype = np.dtype("f4" if kind == "batches" else kind)
    rows, window = (size // columns // dtype.itemsize for size in (file_bytes, window_bytes))
    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.name, file_bytes)
        x = np.memmap(file.name, dtype, "r", shape=(rows, columns))
        t = np.zeros((rows, 2), np.float32)
        batches = lambda count: ((np.zeros((64, columns), np.float32), t[:64]) for _ in range(count // 64))
        for count in (3 * window, rows):
            if kind == "batches":
                source = fnn.sources.BatchSource(lambda: batches(count), window=window)
            else:
                source = fnn.sources.ArraySource(x[:count], t[:count], window=window)
            before, most[:] = resident(), []
            use(source)
        assert len(most) == 48, len(most)
        print(kind, (max(most) - before) >> 20)
"""


def test_a_training_holds_two_windows():
    lines = run_python(PROGRAM, timeout=120, NUMBA_NUM_THREADS=2).splitlines()
    used = {kind: int(size) for kind, size in map(str.split, lines)}
    assert len(used) == 5
    # Two windows of 4 MiB, and as much again for allocations that come and go: a quarter of the file.
    assert max(used.values()) <= 16, used
