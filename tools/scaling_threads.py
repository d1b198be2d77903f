"""What the cores of this machine cost and share: for tools/scaling.py.

Barriers and regions are those of kernels/workers, called as a training step calls them. Each figure is that of the best
round: other processes only make it worse.
"""

import pathlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import fastfnn as fnn
from fastfnn.kernels.compiler.decorators import address_of, entry, shared
from fastfnn.kernels.compiler.signature import Integers, Real, Vector
from fastfnn.kernels.workers import pool, state
from fastfnn.kernels.workers.atomic import add, load, pause, store
from fastfnn.kernels.workers.crew import Crew
from fastfnn.kernels.workers.region import in_parts
from fastfnn.kernels.workers.team import meet

FLOAT32 = np.dtype("float32")
ONE = np.ones(1, FLOAT32)
ROUNDS = 300
MOST_SECONDS = 1.0
CALLS = 200  # in a round: barriers or regions
MOST_SPINS = 1 << 16
STREAM_BYTES = 64 << 20  # each of three arrays: far more than caches hold


@entry
def meet_often(first: Vector, team: Integers, members: int, rank: int, count: int) -> None:
    for _ in range(count):
        meet(Crew(team.ctypes.data, members, rank))


@shared
def gathering_part(counter: int, parts: int, part: int, one: Real) -> None:
    """A part of a region that waits, not for ever, until all others have begun."""
    add(counter, 1)
    spins = 0
    while load(counter) < parts and spins < MOST_SPINS:
        pause()
        spins += 1


@entry
def open_regions(first: Vector, counter: Integers, function: int, parts: int, count: int) -> None:
    for _ in range(count):
        store(counter.ctypes.data, 0)
        in_parts(function, counter.ctypes.data, parts, first.dtype.type(1))


def measure(counts):
    """Return bandwidth, peak, and the costs of a barrier and a region, for each number of threads."""
    return [
        {
            "threads": count,
            "peak_gflops": peak(count) / 1e9,
            "bandwidth_gbs": bandwidth(count) / 1e9,
            "barrier_us": 1e6 * barrier_seconds(count),
            "region_us": region_us(count),
        }
        for count in counts
    ]


def rounds():
    """Count rounds, until the last or for some seconds."""
    end = time.perf_counter() + MOST_SECONDS
    for number in range(ROUNDS):
        if number and time.perf_counter() > end:
            return
        yield number


def barrier_seconds(members):
    """A barrier of so many threads, which Python starts."""
    if members == 1:
        return 0.0
    team = np.zeros(state.TEAM_BYTES // 8 + 16, np.int64)
    times = []

    def member(rank):
        meet_often(ONE, team, members, rank, 1)  # all have started
        start = time.perf_counter()
        meet_often(ONE, team, members, rank, CALLS)
        if rank == 0:
            times.append(time.perf_counter() - start)

    meet_often(ONE, team, 1, 0, 1)  # compiles
    for _ in rounds():
        threads = [threading.Thread(target=member, args=(rank,)) for rank in range(members)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return min(times) / CALLS


def region_us(parts):
    """A parallel region whose parts do nothing but wait for each other.

    None if other processes kept the workers from every round.
    """
    counter, function = np.zeros(1, np.int64), address_of(gathering_part, FLOAT32)
    open_regions(ONE, counter, function, 1, 1)  # compiles
    pool.call(parts)
    best = float("inf")
    for _ in rounds():
        before, start = regions(), time.perf_counter()
        open_regions(ONE, counter, function, parts, CALLS)
        seconds = time.perf_counter() - start
        if parts == 1 or regions() == before + CALLS:
            best = min(best, seconds)
    return 1e6 * best / CALLS if best < float("inf") else None


def regions():
    """The number of the last region that was opened."""
    return int(state.numbers[state.CLAIM // 8]) >> 32


def bandwidth(threads):
    """Bytes a second that so many threads read and write when they add two large arrays into a third."""
    a, b, out = (np.ones(STREAM_BYTES // 4, FLOAT32) for _ in range(3))
    parts = [slice(len(a) * part // threads, len(a) * (part + 1) // threads) for part in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as executor:
        for _ in rounds():
            start = time.perf_counter()
            list(executor.map(lambda part: np.add(a[part], b[part], out=out[part]), parts))
            best = min(best, time.perf_counter() - start)
    return 3 * STREAM_BYTES / best


def peak(threads):
    with fnn.backend.thread_limit(threads):
        return fnn.backend.peak_flops("float32", 0.3)


def cache_bytes():
    """The size of the largest cache of the first core, where Linux tells it."""
    sizes = pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((int(path.read_text().strip().rstrip("K")) << 10 for path in sizes), default=None)
