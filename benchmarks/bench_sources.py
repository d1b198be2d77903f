"""Training on sources: the rate from a memory map, and the memory that a file of 256 MB takes."""

import numpy as np

import fastfnn as fnn

from .common import Compiled

ROWS, COLUMNS = {"float32": 1 << 16, "uint8": 1 << 18}, 1 << 10
WINDOW_BYTES = 16 << 20


class FitOnSource(Compiled):
    """One epoch on a file in windows, whose pages are in the cache of the system."""

    params = [["float32", "uint8"]]
    param_names = ["samples"]
    rounds = 1

    def setup_cache(self):
        """Write the files, and compile in another process, since the compiler needs more memory than a fit."""
        for dtype in self.params[0]:
            block = np.random.default_rng(0).random((4096, COLUMNS), np.float32)
            x = np.lib.format.open_memmap(f"{dtype}.npy", "w+", dtype, (ROWS[dtype], COLUMNS))
            for first in range(0, len(x), 4096):
                x[first : first + 4096] = 20 * block if dtype == "uint8" else block
            x.flush()
            if hasattr(fnn, "sources"):
                self.prepare(dtype, 4096)
                self.fit()

    def setup(self, dtype):
        if not hasattr(fnn, "sources"):
            raise NotImplementedError
        self.prepare(dtype, 4096)
        self.fit()  # loads what `setup_cache` has compiled
        self.prepare(dtype, ROWS[dtype])

    def prepare(self, dtype, count):
        x = np.load(f"{dtype}.npy", mmap_mode="r")[:count]
        window = WINDOW_BYTES // COLUMNS // x.itemsize
        self.source = fnn.sources.ArraySource(x, np.arange(count) % 10, window=window)
        self.net = fnn.FNN((COLUMNS, 50, 10), init=1e-3, seed=0)

    def fit(self):
        self.net.fit(self.source, epochs=1, batch_size=128, optimizer=fnn.SGD(1e-9))

    def time_fit(self, dtype):
        self.fit()

    def peakmem_fit(self, dtype):
        self.fit()
