"""The networks and batches that tools/scaling.py measures, and their samples."""

from fastfnn.bench.cases import Case, make_data

BATCHES = (10, 100, 1000)
NETWORKS = {
    "6k": {"layers": (30, 64, 64, 1), "loss": "squared_error"},
    "40k": {"layers": (784, 50, 10)},
    "270k": {"layers": (784, 256, 256, 10)},
    "1.8M": {"layers": (784, 1000, 1000, 10)},
    "5.8M": {"layers": (784, 2048, 2048, 10)},
}

# Of a pass over the samples: about 30 ms of one core, so that many passes can be timed.
OPERATIONS = 3e9


def cases():
    return [
        Case(name=name, batch_size=batch, learning_rate=0.001, **network)
        for name, network in NETWORKS.items()
        for batch in BATCHES
    ]


def steps_of(case):
    """Return the steps of a pass."""
    return max(2, min(case.steps, int(OPERATIONS / case.operations)))


def samples_of(case):
    """Return the data of a case, cut to the batches of a pass."""
    data = make_data(case)
    count = steps_of(case) * case.batch_size
    return data._replace(x=data.x[:count], targets=data.targets[:count])
