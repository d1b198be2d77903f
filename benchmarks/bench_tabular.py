"""Networks for tables: an epoch of training and a prediction of TabularNetwork, and the kernels alone."""

import numpy as np

import fastfnn as fnn

from .bench_kernels import _Kernel
from .cases import LEARNING_RATE, TABLE_CASES
from .common import DTYPES, Compiled
from .measure import rate, ratio, share_of_peak, warm_peak

KERNELS = ["tabular_forward", "tabular_gradient", "tabular_steps"]


class TabularKernel(_Kernel):
    """All batches of a case in one call, beside the twin."""

    params = [KERNELS, ["small"], DTYPES]
    param_names = ["kernel", "case", "dtype"]
    regress = [(kernel, "small", "float32") for kernel in KERNELS]


class TabularEpoch(Compiled):
    """An epoch with AdamW in one compiled call."""

    params = [list(TABLE_CASES), ["float32"]]
    param_names = ["case", "dtype"]
    regress = [("TabM-mini", "float32"), ("TabM", "float32"), ("one member", "float32")]

    def setup(self, name, dtype):
        self.train, self.in_numpy = self.epoch(name, dtype, "kernels"), self.epoch(name, dtype, "reference")
        self.operations = TABLE_CASES[name].operations
        self.train()
        warm_peak(dtype)

    def epoch(self, name, dtype, backend):
        case = TABLE_CASES[name]
        net, optimizer = case.network(dtype, backend), fnn.AdamW(LEARNING_RATE)
        x, targets = case.samples(dtype), case.targets(dtype)
        order, rates = np.arange(case.count)[np.newaxis], np.full(case.batches, LEARNING_RATE)
        return lambda: net.train(x, targets, order, rates, optimizer=optimizer, batch_size=case.batch_size)

    def time_epoch(self, name, dtype):
        self.train()

    def track_gflops(self, name, dtype):
        return rate(self.train, self.operations) / 1e9

    def track_share_of_peak(self, name, dtype):
        return share_of_peak(self.train, self.operations, dtype)

    def track_ratio_to_numpy(self, name, dtype):
        return ratio(self.in_numpy, self.train)

    track_gflops.unit = "GFLOP/s"
    track_share_of_peak.unit = "of the FMA peak"
    track_ratio_to_numpy.unit = "times NumPy's speed"


class TabularPredict(Compiled):
    """The mean of the members' outputs, for one row and for an epoch's."""

    params = [list(TABLE_CASES), ["one row", "all rows"]]
    param_names = ["case", "rows"]
    regress = [("TabM-mini", "all rows"), ("TabM-mini", "one row")]

    def setup(self, name, rows):
        self.net, samples = TABLE_CASES[name].network("float32"), TABLE_CASES[name].samples("float32")
        self.x = samples[:1].copy() if rows == "one row" else samples
        self.net.predict(self.x)

    def time_predict(self, name, rows):
        self.net.predict(self.x)
