"""The cost model fitted to a recording of tools/scaling.py, and its predictions for other machines.

The assumptions about machines that nobody has measured stand here, and are on the page as tables.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scaling_model import (
    GRADIENT,
    ITEMSIZE,
    STEP,
    Link,
    Machine,
    Network,
    Work,
    allreduce_seconds,
    break_even_batch,
    data_parallel_seconds,
    fastest_seconds,
    fitted_costs,
    fitted_link,
    fitted_work,
    seconds_on,
    serial_share,
    steps_between,
)

# Networks between machines: what they are called, the latency of a message of MPI, the line rate.
TCP, RDMA = "10 Gbit/s", "100 Gbit/s"
LINKS = {TCP: Link(20e-6, 8 / 10e9), RDMA: Link(2e-6, 8 / 100e9)}
LINK_TITLES = {TCP: "10 Gbit/s, Ethernet with TCP", RDMA: "100 Gbit/s, InfiniBand or RoCE"}

# Machines of MORE_CORES cores: how many of these read memory as fast as they can before its bandwidth is used up, and
# megabytes of cache.
MORE_CORES = 16
MEMORIES = {"server": (10, 64 << 20), "desktop": (2, 64 << 20)}

NO_LINK = Link(0.0, 0.0)  # one rank sends nothing

MACHINES = (8, 32, 128, 1024)
MOST_MACHINES = 1024
BATCHES = (100, 1000, 8192)  # of a step, over all machines
WEAK_BATCH = 100  # of a step, for each machine
PAYS = 0.5  # the least efficiency of machines that pay
REDUCTION_SHARE = 0.1  # of the steps' own time, that averages may take
DEFAULT_CACHE = 32 << 20  # where the system does not tell


class Fitted(NamedTuple):
    """The model of a machine.

    networks   by name, from small to large
    work       what a core takes for a step of the training loop, and for a gradient alone
    update     seconds for a parameter, and once
    links      by the number of ranks, between those of this machine
    own        of a data-parallel step, besides these: seconds once, and for each byte of samples
    """

    result: dict[str, Any]
    networks: dict[str, Network]
    machine: Machine
    work: Work
    update: tuple[float, float]
    links: dict[int, Link]
    per_sum: float
    own: tuple[float, float] = (0.0, 0.0)

    def own_seconds(self, network: Network, batch: float) -> float:
        return self.own[0] + self.own[1] * ITEMSIZE * batch * network.layers[0]

    def update_seconds(self, network: Network) -> float:
        return self.update[0] * network.parameters + self.update[1]

    def local(self, network: Network, machine: Machine) -> Callable[[float], float]:
        """Seconds of a machine's part of a data-parallel step on so many samples. The update counts as on one core."""
        update = self.update_seconds(network)
        return lambda batch: (
            fastest_seconds(self.work, network, batch, machine, GRADIENT) + update + self.own_seconds(network, batch)
        )

    def link(self, name: str) -> Link:
        """A network between machines like this one."""
        return LINKS[name]._replace(per_sum=self.per_sum)

    def larger(self, memory: str) -> Machine:
        """A machine with MORE_CORES cores like those that were measured."""
        streams, cache = MEMORIES[memory]
        return self.machine._replace(cores=MORE_CORES, streams=streams, cache=cache)


def fitted(result: dict[str, Any]) -> Fitted:
    """Fit the model to what one thread and one rank took, and the links to the sums of messages of several.

    What a data-parallel step takes besides its parts is fitted to the steps of the first ranks that have any.
    """
    networks = {case["name"]: Network(tuple(case["layers"])) for case in result["cases"]}
    cache = result["machine"]["cache_bytes"] or DEFAULT_CACHE
    alone = result["ranks"][0]["cases"]
    one, most = result["threads"][0], result["threads"][-1]
    two = result["threads"][min(1, len(result["threads"]) - 1)]
    updates = np.array([[networks[case["name"]].parameters, 1.0] for case in alone])
    per_parameter, once = fitted_costs(updates, [seconds_of(case["update"]) for case in alone])
    steps = [(*batch_of(case, networks), STEP, seconds_of(case["steps"][0])) for case in result["cases"]]
    gradients = [(*batch_of(case, networks), GRADIENT, seconds_of(case["gradient"])) for case in alone]
    model = Fitted(
        result,
        networks,
        Machine(most["threads"], cache, most["bandwidth_gbs"] / one["bandwidth_gbs"], two["barrier_us"] / 1e6),
        fitted_work(steps + gradients, cache),
        (float(per_parameter), float(once)),
        {
            entry["ranks"]: fitted_link(
                entry["ranks"], [(sums["bytes"], seconds_of(sums)) for sums in entry["allreduce"]]
            )
            for entry in result["ranks"][1:]
        },
        3 / (1e9 * one["bandwidth_gbs"]),  # a sum reads two numbers and writes one
    )
    ranks, several = result["ranks"][1]["ranks"], result["ranks"][1]["cases"]
    features = [
        [on_ranks(model, ranks, case)[1], 1.0, ITEMSIZE * case["batch_size"] / ranks * case["layers"][0]]
        for case in several
    ]
    _, start, per_byte = fitted_costs(np.array(features), [seconds_of(case["step"]) for case in several])
    return model._replace(own=(float(start), float(per_byte)))


def batch_of(case: dict[str, Any], networks: dict[str, Network]) -> tuple[Network, int]:
    return networks[case["name"]], case["batch_size"]


def seconds_of(measured: dict[str, Any]) -> float:
    return measured["median_us"] / 1e6


# The model beside what was measured


def on_threads(model: Fitted, case: dict[str, Any]) -> list[tuple[int, float, float]]:
    """Threads, measured and modelled seconds of a step of a case."""
    network, batch = batch_of(case, model.networks)
    return [
        (
            entry["threads"],
            seconds_of(entry),
            fastest_seconds(model.work, network, batch, model.machine._replace(cores=entry["threads"])),
        )
        for entry in case["steps"]
    ]


def on_ranks(model: Fitted, ranks: int, case: dict[str, Any]) -> tuple[float, float]:
    """Measured and modelled seconds of a data-parallel step; ranks that share a core take turns."""
    network, batch = batch_of(case, model.networks)
    running = min(ranks, model.machine.cores)
    gradient = seconds_on(model.work, network, batch / ranks, model.machine, 1, GRADIENT, running)
    own = model.own_seconds(network, batch / ranks) if ranks > 1 else 0.0
    local = (gradient + model.update_seconds(network) + own) * ranks / running
    return seconds_of(case["step"]), local + reduction(network, ranks, model.links.get(ranks, NO_LINK))


def serial(case: dict[str, Any]) -> float:
    """The serial share of a case, by Amdahl's law, from one thread and the most."""
    one, several = case["steps"][0], case["steps"][-1]
    return serial_share(seconds_of(one), seconds_of(several), several["threads"])


# Predictions


def core_speed_up(model: Fitted, network: Network, batch: float, machine: Machine, cores: int) -> float:
    """How many times as fast a step is on some cores of a machine as on one."""
    one, several = (fastest_seconds(model.work, network, batch, machine._replace(cores=count)) for count in (1, cores))
    return one / several


def speed_up(model: Fitted, network: Network, batch: float, machines: int, link: Link) -> float:
    """How many times as fast a step is on some machines like this one as on one, which has no gradient in memory."""
    alone = fastest_seconds(model.work, network, batch, model.machine)
    if machines == 1:
        return 1.0
    local, size = model.local(network, model.machine), ITEMSIZE * network.parameters
    return alone / data_parallel_seconds(local, size, batch, machines, link)


def powers(most: float) -> list[int]:
    """1, 2, 4, ..., up to the most machines, and up to one for each sample."""
    return [1 << power for power in range(11) if 1 << power <= min(most, MOST_MACHINES)]


def paying(model: Fitted, network: Network, batch: int, link: Link) -> tuple[int, float]:
    """The most machines that pay, and the speed-up on them."""
    found = [(count, speed_up(model, network, batch, count, link)) for count in powers(batch)]
    return max((count, ratio) for count, ratio in found if ratio >= PAYS * count)


def fastest(model: Fitted, network: Network, batch: int, link: Link) -> tuple[int, float]:
    """The machines on which a step is fastest, and the speed-up on them."""
    found = [(count, speed_up(model, network, batch, count, link)) for count in powers(batch)]
    return max(found, key=lambda item: item[1])


def reduction(network: Network, machines: int, link: Link) -> float:
    return allreduce_seconds(ITEMSIZE * network.parameters, machines, link)


def even_batch(model: Fitted, network: Network, machine: Machine, machines: int, link: Link) -> float:
    """Samples for each machine whose step takes as long as the reduction."""
    return break_even_batch(model.local(network, machine), reduction(network, machines, link))


def average_every(model: Fitted, network: Network, machines: int, link: Link) -> int:
    """Steps on WEAK_BATCH samples for each machine between two averages, so that these take a small share."""
    local = fastest_seconds(model.work, network, WEAK_BATCH, model.machine)
    return steps_between(local, reduction(network, machines, link), REDUCTION_SHARE)
