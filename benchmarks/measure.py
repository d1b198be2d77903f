"""Rates and ratios: what means the same on every machine, because both parts are measured in one process, in turn."""

import concurrent.futures
import math
import statistics
import time

import numpy as np

from fastfnn import backend

from .common import SMALL

SECONDS = 0.0 if SMALL else 0.1  # for each thing that is measured
FEWEST_SAMPLES = 1 if SMALL else 3
SHORTEST_SAMPLE = 5e-5  # a thousand times what it takes to read the clock

# Arrays that no cache holds, for the bandwidth of memory: 3 of 32 MB.
STREAM_ELEMENTS = 8 << 20


def seconds_of(call, number):
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def medians(*calls):
    """The median seconds of each, measured in turn, so that what else the machine does slows all of them."""
    numbers = [max(1, round(SHORTEST_SAMPLE / seconds_of(call, 1))) for call in calls]
    samples = []
    end = time.perf_counter() + SECONDS * len(calls)
    while len(samples) < FEWEST_SAMPLES or time.perf_counter() < end:
        samples.append([seconds_of(call, number) for call, number in zip(calls, numbers, strict=True)])
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def ratio(reference, kernel):
    """How many times as long the reference takes."""
    slow, fast = medians(reference, kernel)
    return slow / fast


def rate(call, amount):
    """So much a call, as so much a second."""
    return amount / medians(call)[0]


def share_of_peak(call, operations, dtype):
    """The rate of floating-point operations, relative to that of the register tile before and after."""
    before = peak(dtype)
    achieved = rate(call, operations)
    return achieved / max(before, peak(dtype))


def warm_peak(dtype):
    """Compile what `peak` runs."""
    if hasattr(backend, "peak_flops"):
        backend.peak_flops(dtype, 0)


def peak(dtype):
    """Operations a second of the register tile on all threads; NaN, which asv shows as n/a, in versions without it."""
    return backend.peak_flops(dtype, max(SECONDS, 0.02)) if hasattr(backend, "peak_flops") else math.nan


def bandwidth():
    """Bytes a second of c = a + b on all threads, over arrays that no cache holds; the best of several passes.

    Counted as in STREAM: each element read or written once.
    """
    threads = backend.get_num_threads()
    a, b, c = (np.ones(STREAM_ELEMENTS, np.float32) for _ in range(3))
    parts = [list(part) for part in zip(*(np.array_split(array, threads) for array in (a, b, c)), strict=True)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def add():
            return list(pool.map(lambda part: np.add(*part), parts))  # a list: waits for all

        add()  # starts the threads
        best = min(seconds_of(add, 1) for _ in range(1 if SMALL else 10))
    return (a.nbytes + b.nbytes + c.nbytes) / best


def share_of_bandwidth(call, moved):
    """The rate of bytes that have to be moved, relative to the bandwidth of memory before and after."""
    before = bandwidth()
    achieved = rate(call, moved)
    return achieved / max(before, bandwidth())
