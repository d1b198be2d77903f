"""Short calls beside a process that computes without end, for whose core one of two threads has to wait.

`fastfnn bench --neighbours` measures more calls, other neighbours and other libraries.
"""

import contextlib
import subprocess
import sys
import time

import numpy as np

import fastfnn as fnn
from fastfnn import kernels

from .arguments import arguments_of, call_of
from .cases import CASES, LEARNING_RATE, Case
from .common import SMALL, Compiled

# Seconds of measurement. It begins when the busy process has started.
SECONDS = 0.05 if SMALL else 1.0
FEWEST_CALLS = 3

# Says when it begins. It ends with this process, whatever happens to it: its standard input is then closed.
BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("busy", flush=True)
while True: pass
"""

SHORT = Case((100, 200, 10), 100, 4)


@contextlib.contextmanager
def busy_process():
    """A process that uses a core during the block."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def microseconds(call):
    """Microseconds of each call beside a busy process."""
    took = []
    with busy_process():
        end = time.perf_counter() + SECONDS
        while len(took) < FEWEST_CALLS or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            took.append(1e6 * (time.perf_counter() - start))
    return took


def calls():
    """Functions that make the calls, by name. Each returns a function without arguments that makes the call."""

    def of_network(case, method, rows):
        x, t = case.data("float32", rows)
        net = case.network("float32")
        arguments = (x,) if method == "predict" else (x, t)
        return lambda: getattr(net, method)(*arguments)

    def step(case):
        x, t = case.data("float32", case.batch_size)
        net, optimizer = case.network("float32"), getattr(fnn, case.optimizer)(LEARNING_RATE)
        return lambda: net.partial_fit(x, t, optimizer=optimizer)

    return {
        "fit": lambda: SHORT.fitter("float32"),
        "partial_fit": lambda: step(SHORT),
        "gradient": lambda: of_network(SHORT, "gradient", 100),
        "loss": lambda: of_network(CASES["notes"], "loss", 100),
        "predict": lambda: of_network(SHORT, "predict", 1000),
        "affine_forward": lambda: call_of(
            kernels, "affine_forward", arguments_of("affine_forward", (100, 784, 100), "float32")
        ),
    }


class BesideBusyProcess(Compiled):
    """Mean and 99th percentile of a call while another process computes."""

    params = [list(calls())]
    param_names = ["call"]
    timeout = 120

    def setup(self, call):
        self.call = calls()[call]()
        self.call()

    def track_mean(self, call):
        return float(np.mean(microseconds(self.call)))

    def track_p99(self, call):
        return float(np.percentile(microseconds(self.call), 99))

    track_mean.unit = track_p99.unit = "us"
