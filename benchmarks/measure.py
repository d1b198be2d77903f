"""Rates and ratios that can be compared between machines: both parts are measured in one process, in turn."""

import concurrent.futures
import math
import statistics
import time

import numpy as np

from fastfnn import backend

from .common import SMALL

SECONDS = 0.0 if SMALL else 0.1  # of measurement for each call
FEWEST_SAMPLES = 1 if SMALL else 3
SHORTEST_SAMPLE = 5e-5  # a thousand times as long as reading the clock

# The bandwidth of memory is measured with three arrays of 32 MB, larger than any cache.
STREAM_ELEMENTS = 8 << 20


def seconds_of(call, number):
    """Seconds per call, averaged over `number` calls."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def medians(*calls):
    """The median seconds of each call, measured in turn, so that a disturbance of the machine affects all of them."""
    numbers = [max(1, round(SHORTEST_SAMPLE / seconds_of(call, 1))) for call in calls]
    samples = []
    end = time.perf_counter() + SECONDS * len(calls)
    while len(samples) < FEWEST_SAMPLES or time.perf_counter() < end:
        samples.append([seconds_of(call, number) for call, number in zip(calls, numbers, strict=True)])
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def ratio(reference, kernel):
    """The time of the reference divided by that of the kernel."""
    slow, fast = medians(reference, kernel)
    return slow / fast


def rate(call, amount):
    """An amount per call as a rate per second."""
    return amount / medians(call)[0]


def share_of_peak(call, operations, dtype):
    """The rate of floating-point operations, relative to that of the register tile measured before and after."""
    before = peak(dtype)
    achieved = rate(call, operations)
    return achieved / max(before, peak(dtype))


def warm_peak(dtype):
    """Compile the code that `peak` runs."""
    if hasattr(backend, "peak_flops"):
        backend.peak_flops(dtype, 0)


def peak(dtype):
    """Operations per second of the register tile on all threads; NaN (in asv: n/a) if this version cannot tell."""
    return backend.peak_flops(dtype, max(SECONDS, 0.02)) if hasattr(backend, "peak_flops") else math.nan


def bandwidth():
    """Bytes per second of c = a + b on all threads, with arrays larger than any cache; the best of several passes.

    As in STREAM, each element counts once as read or written.
    """
    threads = backend.get_num_threads()
    a, b, c = (np.ones(STREAM_ELEMENTS, np.float32) for _ in range(3))
    parts = [list(part) for part in zip(*(np.array_split(array, threads) for array in (a, b, c)), strict=True)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def add():
            return list(pool.map(lambda part: np.add(*part), parts))  # list: wait for all

        add()  # starts the threads
        best = min(seconds_of(add, 1) for _ in range(1 if SMALL else 10))
    return (a.nbytes + b.nbytes + c.nbytes) / best


def share_of_bandwidth(call, moved):
    """The rate of bytes that must be moved, relative to the bandwidth of memory measured before and after."""
    before = bandwidth()
    achieved = rate(call, moved)
    return achieved / max(before, bandwidth())
