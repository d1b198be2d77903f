"""The cost model of docs/performance/scaling.md: what a training step takes on more cores and on more machines.

Pure functions of sizes and seconds. tools/scaling.py measures what they are fitted to, tools/scaling_fit.py fits them
to a recording.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

ITEMSIZE = 4  # float32
ROWS_AT_ONCE = 1024  # of larger batches, so many samples go through the network together

# Passes over all weights: forward, backward, and the write of a gradient or the read and the write of an update.
GRADIENT, STEP = 3, 4
TINY = 1e-300


class Network(NamedTuple):
    """A network by the numbers of its units, from input to output."""

    layers: tuple[int, ...]

    @property
    def parameters(self) -> int:
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(self.layers))

    @property
    def barriers(self) -> int:
        """How often threads meet in a step, at most: twice for each layer, and before the update."""
        return 2 * (len(self.layers) - 1) + 1

    def operations(self, batch: float) -> float:
        """Floating-point operations in the products of a step: three for each layer, two for the first."""
        weights = [inputs * outputs for inputs, outputs in itertools.pairwise(self.layers)]
        return 2 * batch * (3 * sum(weights) - weights[0])

    def elements(self, batch: float) -> float:
        """Outputs of all layers."""
        return batch * sum(self.layers[1:])

    def traffic(self, batch: float, passes: int) -> float:
        """Bytes read and written: weights in some passes, samples twice, outputs and deltas four times."""
        return ITEMSIZE * (passes * self.parameters + 2 * batch * self.layers[0] + 4 * self.elements(batch))

    def working_set(self, batch: float) -> float:
        """Bytes that are used again and again: weights and their gradient, samples, outputs and deltas."""
        rows = min(batch, ROWS_AT_ONCE)
        return ITEMSIZE * (2 * self.parameters + rows * self.layers[0] + 2 * self.elements(rows))


class Work(NamedTuple):
    """Seconds of one core: for an operation, a byte of traffic, an output of a layer, and once for each step.

    A byte costs more, by `per_memory_byte`, where the caches cannot hold what a step works on.
    """

    per_operation: float
    per_byte: float
    per_memory_byte: float
    per_element: float
    per_step: float


class Machine(NamedTuple):
    """What the cores of a machine cost and share.

    cores      how many there are
    cache      bytes of the largest cache, which they share
    streams    the memory's bandwidth relative to what one core gets
    barrier    seconds of a barrier of two threads
    """

    cores: int
    cache: float
    streams: float
    barrier: float


class Link(NamedTuple):
    """What connects machines: seconds until a message's first byte comes, and for each byte; for a byte's addition."""

    latency: float
    per_byte: float
    per_sum: float = 0.0


# Cores


def fastest_seconds(work: Work, network: Network, batch: float, machine: Machine, passes: int = STEP) -> float:
    """A step, or a gradient, on as many cores of a machine as are fastest."""
    counts = range(1, machine.cores + 1)
    return min(seconds_on(work, network, batch, machine, count, passes) for count in counts)


def seconds_on(
    work: Work, network: Network, batch: float, machine: Machine, threads: int, passes: int = STEP, processes: int = 1
) -> float:
    """A step, or a gradient, on some threads with a core each, in each of some processes at the same time.

    Threads divide everything evenly but the start of a step; memory's bandwidth is shared by all threads of all
    processes. Members of a barrier add to its counter one after the other, so its time grows with their number.
    """
    even = work.per_operation * network.operations(batch) + work.per_element * network.elements(batch)
    traffic = network.traffic(batch, passes)
    even += work.per_byte * traffic
    waits = network.barriers * machine.barrier * threads / 2 if threads > 1 else 0.0
    memory = 0.0
    if processes * network.working_set(batch) > machine.cache:
        readers = min(threads * processes, max(machine.streams, 1))
        memory = work.per_memory_byte * traffic * processes / readers
    return even / threads + memory + work.per_step + waits


def amdahl(serial_share: float, cores: int) -> float:
    """The speed-up on several cores where a share of the time on one does not become shorter."""
    return 1 / (serial_share + (1 - serial_share) / cores)


def serial_share(one: float, several: float, cores: int) -> float:
    """The share that Amdahl's law makes of times on one and on several cores; below 0 where caches help."""
    return (several / one - 1 / cores) / (1 - 1 / cores)


# Machines


def allreduce_seconds(size: float, machines: int, link: Link) -> float:
    """A sum of messages of `size` bytes, one from each machine, that all of them get."""
    latencies, sent, added = allreduce_costs(size, machines, link)
    return latencies * link.latency + sent * link.per_byte + added * link.per_sum


def allreduce_costs(size: float, machines: int, link: Link) -> tuple[float, float, float]:
    """Latencies, bytes sent and bytes added, one after the other, of the faster of two algorithms.

    Recursive doubling is for short messages, recursive halving and doubling for long ones, as in MPICH: Thakur,
    Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH", 2005.
    """
    rounds, others = math.ceil(math.log2(machines)), (machines - 1) / machines
    doubling = rounds, rounds * size, rounds * size
    halving = 2 * rounds, 2 * others * size, others * size
    return min(doubling, halving, key=lambda costs: sum(map(float.__mul__, map(float, costs), link)))


def data_parallel_seconds(
    local: Callable[[float], float], size: float, batch: float, machines: int, link: Link, every: int = 1
) -> float:
    """A step in which each machine takes its share of the batch, and messages of `size` bytes are summed.

    local  seconds of gradient and update of so many samples on one machine
    every  steps from one sum to the next
    """
    return local(batch / machines) + allreduce_seconds(size, machines, link) / every


def break_even_batch(local: Callable[[float], float], reduction: float) -> float:
    """Samples for each machine whose step takes as long as the reduction: with more, the efficiency is above 50 %."""
    low, high = 0.0, 1.0
    if local(low) >= reduction:
        return 0.0
    while local(high) < reduction:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if local(middle) < reduction else (low, middle)
    return high


def steps_between(local: float, reduction: float, share: float) -> int:
    """Steps from one average to the next so that reductions take at most this share of the steps' own time."""
    return max(1, math.ceil(reduction / (share * local)))


# Fits


def fitted_costs(features: np.ndarray, seconds: Sequence[float]) -> np.ndarray:
    """Costs >= 0 whose sums of features come closest to the seconds: least squares of the relative errors.

    features  (N, K), of which few have to be 0: all choices of them are tried
    """
    relative = features / np.asarray(seconds)[:, None]
    best, least = np.zeros(features.shape[1]), float(len(relative))
    for count in range(1, features.shape[1] + 1):
        for chosen in map(list, itertools.combinations(range(features.shape[1]), count)):
            costs = np.zeros(features.shape[1])
            scale = relative[:, chosen].max(axis=0) + TINY  # features differ by orders of magnitude
            costs[chosen] = np.linalg.lstsq(relative[:, chosen] / scale, np.ones(len(relative)))[0] / scale
            error = float(((relative @ costs - 1) ** 2).sum())
            if (costs >= 0).all() and error < least:
                best, least = costs, error
    return best


def fitted_work(measured: Iterable[tuple[Network, float, int, float]], cache: float) -> Work:
    """The costs of one core, from networks, batch sizes, passes over the weights and seconds on one thread."""
    rows, seconds = [], []
    for network, batch, passes, took in measured:
        traffic = network.traffic(batch, passes)
        beyond = traffic if network.working_set(batch) > cache else 0.0
        rows.append([network.operations(batch), traffic, beyond, network.elements(batch), 1.0])
        seconds.append(took)
    return Work(*map(float, fitted_costs(np.array(rows), seconds)))


def fitted_link(machines: int, measured: Iterable[tuple[float, float]]) -> Link:
    """Latency and time per byte, from sizes of messages and seconds of their sums; additions belong to the latter."""
    sizes, seconds = zip(*measured, strict=True)
    link = Link(min(seconds), max(seconds) / max(sizes))
    for _ in range(10):  # the faster algorithm depends on what is fitted
        features = [allreduce_costs(size, machines, link)[:2] for size in sizes]
        link = Link(*map(float, fitted_costs(np.array(features, float), seconds)))
    return link
