"""What a call of fastfnn may take beside other processes, and which calls take more."""

from typing import Any, NamedTuple

from fastfnn.bench.neighbours.calls import ONE_THREAD, OURS
from fastfnn.bench.neighbours.states import QUIET

# The promise, made for two cores: beside one busy process, beside a second training process and with the time of one
# CPU, a call's mean is at most so many times its quiet mean, its 99th percentile at most so many us more than that.
MOST_TIMES_QUIET = 2.5
MOST_P99_OVER_QUIET_US = 10_000.0

# In every state a call takes at most so many times what it takes on one thread in that state.
MOST_TIMES_ONE_THREAD = 1.3

# After a pause a call takes no longer than in an earlier version, up to what two runs differ by.
MOST_TIMES_BEFORE = 1.15

PAUSE = "pause"


class Broken(NamedTuple):
    """A figure beyond what is promised; promise "error", without a value, for a call that has failed."""

    call: str
    state: str
    promise: str  # the key of the figure
    value: float | None
    limit: float | None


def broken(calls: list[dict[str, Any]], before: list[dict[str, Any]] | None = None) -> list[Broken]:
    """The figures beyond their limits. `before` are the calls of an earlier version's result."""
    earlier = {call["name"]: call for call in before or ()}
    found = []
    for call in calls:
        for state, libraries in call["states"].items():
            ours = libraries.get(OURS, {})
            if "error" in ours:
                found.append(Broken(call["name"], state, "error", None, None))
            figures = [("times_one_thread", ours.get("times_one_thread"), MOST_TIMES_ONE_THREAD)]
            if state == PAUSE:
                was = earlier.get(call["name"], {}).get("states", {}).get(PAUSE, {}).get(OURS, {}).get("mean_us")
                now = ours.get("mean_us")
                figures.append(("times_before", now / was if now and was else None, MOST_TIMES_BEFORE))
            elif state != QUIET:
                figures.append(("times_quiet", ours.get("times_quiet"), MOST_TIMES_QUIET))
                figures.append(("p99_over_quiet_us", ours.get("p99_over_quiet_us"), MOST_P99_OVER_QUIET_US))
            found += [
                Broken(call["name"], state, name, value, limit)
                for name, value, limit in figures
                if value is not None and value > limit
            ]
    return found


def compare(libraries_by_state: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Add to the figures of a call the ratios to the quiet mean and to the mean on one thread in the same state."""
    for libraries in libraries_by_state.values():
        alone = libraries.get(ONE_THREAD, {}).get("mean_us")
        for name, figures in libraries.items():
            if "mean_us" not in figures:
                continue
            quiet = libraries_by_state[QUIET].get(name, {}).get("mean_us")
            figures["times_quiet"] = figures["mean_us"] / quiet if quiet else None
            figures["p99_over_quiet_us"] = figures["p99_us"] - quiet if quiet else None
            figures["times_one_thread"] = figures["mean_us"] / alone if alone and name == OURS else None
