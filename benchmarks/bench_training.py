"""The calls of users: `fit` for the networks of the speed table, `gradient`, loops, `predict`; threads and memory."""

import tempfile

import numba
import numpy as np

import fastfnn as fnn

from .cases import CASES, LEARNING_RATE
from .common import DTYPES, Compiled
from .measure import rate, ratio, share_of_peak, warm_peak

THREADS = [count for count in (1 << power for power in range(16)) if count < numba.config.NUMBA_NUM_THREADS]
THREADS.append(numba.config.NUMBA_NUM_THREADS)


class Fit(Compiled):
    """All steps of a case in one call of `fit`."""

    params = [list(CASES), DTYPES]
    param_names = ["case", "dtype"]
    skip_params = [("large", "float64"), ("all samples", "float64")]  # as long as all others together
    regress = [(case, "float32") for case in CASES if case not in ("large", "all samples")]

    def setup(self, case, dtype):
        self.fit, self.in_numpy = CASES[case].fitter(dtype), CASES[case].fitter(dtype, "reference")
        self.operations = CASES[case].operations * CASES[case].batches * CASES[case].epochs
        self.fit()
        warm_peak(dtype)

    def time_fit(self, case, dtype):
        self.fit()

    def track_gflops(self, case, dtype):
        return rate(self.fit, self.operations) / 1e9

    def track_share_of_peak(self, case, dtype):
        return share_of_peak(self.fit, self.operations, dtype)

    def track_ratio_to_numpy(self, case, dtype):
        return ratio(self.in_numpy, self.fit)

    track_gflops.unit = "GFLOP/s"
    track_share_of_peak.unit = "of the FMA peak"
    track_ratio_to_numpy.unit = "times NumPy's speed"


class Gradient(Compiled):
    """`gradient` of one batch of a case."""

    params = [["notes", "medium", "tabular", "tiny"], DTYPES]
    param_names = ["case", "dtype"]
    regress = [("notes", "float32"), ("medium", "float32")]

    def setup(self, case, dtype):
        self.x, self.t = CASES[case].data(dtype, CASES[case].batch_size)
        self.net, self.in_numpy = CASES[case].network(dtype), CASES[case].network(dtype, "reference")
        self.net.gradient(self.x, self.t)

    def time_gradient(self, case, dtype):
        self.net.gradient(self.x, self.t)

    def track_ratio_to_numpy(self, case, dtype):
        return ratio(lambda: self.in_numpy.gradient(self.x, self.t), lambda: self.net.gradient(self.x, self.t))

    track_ratio_to_numpy.unit = "times NumPy's speed"


class Loop(Compiled):
    """Gradient descent in a loop that the user writes, as in the notes: draw a batch, gradient, update, loss.

    Between the calls NumPy writes samples and parameters, which the other cores must then fetch. There is no ratio to
    NumPy, whose threads would compete with ours for the cores: see examples/notes_loop_against_numpy.py.
    """

    params = [["notes", "medium", "tabular"], DTYPES]
    param_names = ["case", "dtype"]
    regress = [("notes", "float32")]

    def setup(self, case, dtype):
        count, size = 4000, CASES[case].batch_size
        self.x, self.t = CASES[case].data(dtype, count)
        self.batches = np.random.default_rng(0).integers(0, count, (16, size))
        self.net = CASES[case].network(dtype)
        self.time_loop(case, dtype)

    def time_loop(self, case, dtype):
        learning_rate = self.x.dtype.type(LEARNING_RATE)
        for batch in self.batches:
            x, t = self.x[batch], self.t[batch]
            for name, grad in self.net.gradient(x, t).items():
                self.net.params[name] -= learning_rate * grad
            self.net.loss(x, t)


class Predict(Compiled):
    """`predict` of the medium network. The speed table has the time for 10,000 rows."""

    params = [[1, 16, 100, 1000, 10_000], DTYPES]
    param_names = ["rows", "dtype"]
    regress = [(1, "float32"), (100, "float32"), (1000, "float32")]

    def setup(self, rows, dtype):
        case = CASES["medium"]
        self.x = case.samples(dtype, rows)
        self.net, self.in_numpy = case.network(dtype), case.network(dtype, "reference")
        self.operations = case.operations_of_prediction * rows
        self.net.predict(self.x)
        warm_peak(dtype)

    def time_predict(self, rows, dtype):
        self.net.predict(self.x)

    def track_gflops(self, rows, dtype):
        return rate(lambda: self.net.predict(self.x), self.operations) / 1e9

    def track_share_of_peak(self, rows, dtype):
        return share_of_peak(lambda: self.net.predict(self.x), self.operations, dtype)

    def track_ratio_to_numpy(self, rows, dtype):
        return ratio(lambda: self.in_numpy.predict(self.x), lambda: self.net.predict(self.x))

    track_gflops.unit = "GFLOP/s"
    track_share_of_peak.unit = "of the FMA peak"
    track_ratio_to_numpy.unit = "times NumPy's speed"


class Threads(Compiled):
    """`fit` on 1, 2, 4, ... threads, up to all of the machine."""

    params = [["notes", "medium", "tiny"], THREADS]
    param_names = ["case", "threads"]

    def setup(self, case, threads):
        self.before = fnn.get_num_threads()
        fnn.set_num_threads(threads)
        self.fit = CASES[case].fitter("float32")
        self.fit()

    def teardown(self, case, threads):
        fnn.set_num_threads(self.before)
        self.prepared = None  # the next setup must set the number again
        super().teardown(case, threads)

    def time_fit(self, case, threads):
        self.fit()


class Memory(Compiled):
    """The peak memory of a process that fits a case, including its data."""

    params = [["medium", "large", "tiny"]]
    param_names = ["case"]

    def setup_cache(self):
        """Compile in another process, since the compiler needs more memory than a fit."""
        for case in self.params[0]:
            CASES[case].fitter("float32")()

    def setup(self, case):
        self.fit = CASES[case].fitter("float32")
        self.fit()

    def peakmem_fit(self, case):
        self.fit()


class MemoryOfSamples(Compiled):
    """The peak memory of a process that uses samples which take 256 MB in float32: a copy of them would show.

    "memory map" is a file of float32, opened for reading, of which the kernel counts the pages that it holds.
    """

    params = [["float32", "float64", "uint8", "float16", "Fortran", "memory map"]]
    param_names = ["samples"]

    SHAPE = 1 << 16, 1 << 10

    def setup_cache(self):
        """Compile in another process, since the compiler needs more memory than the samples."""
        for samples in self.params[0]:
            self.prepare(samples, 4096)
            self.use(1)

    def setup(self, samples):
        self.prepare(samples, 4096)
        self.use(1)  # loads what `setup_cache` has compiled
        self.prepare(samples, self.SHAPE[0])

    def prepare(self, samples, count):
        shape = count, self.SHAPE[1]
        if samples == "memory map":
            with tempfile.TemporaryFile() as file:
                file.truncate(count * self.SHAPE[1] * 4)
                self.x = np.memmap(file, np.float32, "r", shape=shape)
        else:
            order, dtype = ("F", "float32") if samples == "Fortran" else ("C", samples)
            self.x = np.ones(shape, dtype, order)
        self.t = np.arange(count) % 4
        self.net = fnn.FNN((self.SHAPE[1], 16, 4), seed=0)

    def use(self, epochs):
        self.net.fit(self.x, self.t, epochs=epochs, batch_size=512)
        self.net.predict(self.x)
        self.net.loss(self.x, self.t)
        self.net.gradient(self.x, self.t)

    def peakmem_use(self, samples):
        self.use(2)
