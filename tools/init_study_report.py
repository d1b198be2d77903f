"""The tables of tools/init_study.py, from its runs."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Run(NamedTuple):
    """A trained network. `score` is its test RMSE divided by `scale`, or the share of wrong classes; lower is better.

    `scale` is the standard deviation of the training targets, 1 for classes. A run that diverged has the score infinity
    and the best epoch 0.
    """

    data: str
    network: str
    optimizer: str
    init: str
    seed: int
    test_rows: int
    scale: float
    best_epoch: int
    score: float
    loss: float

    @property
    def task(self) -> tuple[str, str, str]:
        return self.data, self.network, self.optimizer


class Scores(NamedTuple):
    """The scores of a task's inits, (inits, seeds), and what is added to their means before they are compared."""

    raw: np.ndarray
    half_mistake: float

    @property
    def values(self) -> np.ndarray:
        """Scores to compare: a run that diverged counts as the prediction of the mean, or as all classes wrong."""
        return np.where(np.isfinite(self.raw), self.raw, 1.0)

    def log_means(self) -> np.ndarray:
        """Return the logarithm of each init's mean score, (inits,). Half a mistake keeps a mean of 0 comparable."""
        return np.log(self.values.mean(axis=1) + self.half_mistake)


def collect(runs: Iterable[Run], inits: Sequence[str]) -> dict[tuple[str, str, str], Scores]:
    """Return the scores of each task, in the order of the runs; a task has the same seeds for every init."""
    found: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        found.setdefault(run.task, []).append(run)
    result = {}
    for task, group in found.items():
        values = np.array([[run.score for run in group if run.init == init] for init in inits])
        classes = all(run.scale == 1 for run in group)
        result[task] = Scores(values, 0.5 / sum(run.test_rows for run in group if run.init == inits[0]) * classes)
    return result


def report(runs: Sequence[Run], inits: Sequence[str], baseline: str = "he") -> str:
    """Return all tables as Markdown."""
    scores = collect(runs, inits)
    kinds = list(dict.fromkeys(task[1:] for task in scores))
    parts = ["Test RMSE of 8-208-208-1 on California housing, in 100,000 dollars", california(runs, inits)]
    for kind in kinds:
        chosen = {task: value for task, value in scores.items() if task[1:] == kind}
        parts += [f"{kind[0]}, {kind[1]}: mean score x 100 and its standard error", by_data(chosen, inits)]
    parts += ["All tasks: score above that of the task's best init in %, and rank", overall(scores, kinds, inits)]
    parts += [
        f"Score against {baseline} in %, mean over data sets and its standard error (negative: better); clear tasks",
        against(scores, kinds, inits, baseline),
    ]
    return "\n\n".join(parts)


def california(runs: Sequence[Run], inits: Sequence[str]) -> str:
    """Return the RMSE in units of the target."""
    rows = []
    for optimizer in dict.fromkeys(run.optimizer for run in runs):
        chosen = [run for run in runs if run.task == ("california", "relu", optimizer)]
        if chosen:
            values = [[run.score * run.scale for run in chosen if run.init == init] for init in inits]
            rows.append([optimizer, *(with_error(value, 1, 4) for value in values)])
    return table(["optimizer", *inits], rows)


def by_data(scores: dict[tuple[str, str, str], Scores], inits: Sequence[str]) -> str:
    """Return a row for each data set."""
    rows = [[task[0], *(with_error(value, 100, 2) for value in found.raw)] for task, found in scores.items()]
    return table(["data", *inits], rows)


def overall(scores: dict[tuple[str, str, str], Scores], kinds: Sequence[tuple[str, str]], inits: Sequence[str]) -> str:
    """Return the mean excess over the best init of a task, the largest excess, and the mean rank."""
    excess = {task: 100 * np.expm1(logs - logs.min()) for task, logs in logs_of(scores)}
    ranks = {task: mean_ranks(found) for task, found in scores.items()}
    rows = []
    for kind in [*kinds, None]:
        chosen = [task for task in scores if kind is None or task[1:] == kind]
        columns = np.array([excess[task] for task in chosen]), np.array([ranks[task] for task in chosen])
        cells = [
            f"{above.mean():.1f} (at most {above.max():.0f}), {rank.mean():.2f}"
            for above, rank in zip(*(column.T for column in columns), strict=True)
        ]
        rows.append(["all" if kind is None else ", ".join(kind), str(len(chosen)), *cells])
    return table(["networks", "tasks", *inits], rows)


def against(
    scores: dict[tuple[str, str, str], Scores],
    kinds: Sequence[tuple[str, str]],
    inits: Sequence[str],
    baseline: str,
) -> str:
    """Return the geometric mean of the changes against the baseline, with data sets as the units.

    The standard error is that of the logarithms, carried over to the mean. A task is clearly better or worse if the
    mean of its differences, seed by seed, is more than three standard errors from 0.
    """
    base, logs = inits.index(baseline), dict(logs_of(scores))
    groups = {", ".join(kind): [task for task in scores if task[1:] == kind] for kind in kinds}
    groups["all regressions"] = [task for task in scores if not scores[task].half_mistake]
    groups["all classifications"] = [task for task in scores if scores[task].half_mistake]
    groups["all"] = list(scores)
    rows = []
    for name, chosen in groups.items():
        if not chosen:
            continue
        row = [name, str(len(chosen))]
        for init in (init for init in inits if init != baseline):
            other = inits.index(init)
            by_data: dict[str, list[float]] = {}
            for task in chosen:
                by_data.setdefault(task[0], []).append(logs[task][other] - logs[task][base])
            change = np.array([np.mean(group) for group in by_data.values()])
            differences = [scores[task].values[other] - scores[task].values[base] for task in chosen]
            row.append(f"{percent(change)}; {clear(differences, -1)} better, {clear(differences, 1)} worse")
        rows.append(row)
    return table(["networks", "tasks", *(init for init in inits if init != baseline)], rows)


def percent(logs: np.ndarray) -> str:
    """Return the mean of logarithms and its standard error, as a change in percent."""
    factor = math.exp(logs.mean())
    return f"{100 * (factor - 1):+.1f} ± {100 * factor * standard_error(logs):.1f}"


def clear(differences: Sequence[np.ndarray], sign: int) -> int:
    """Return how many of the tasks differ clearly in one direction."""
    return sum(bool(sign * values.mean() > 3 * standard_error(values)) for values in differences if len(values) > 1)


def logs_of(scores: dict[tuple[str, str, str], Scores]) -> list[tuple[tuple[str, str, str], np.ndarray]]:
    return [(task, found.log_means()) for task, found in scores.items()]


def mean_ranks(found: Scores) -> np.ndarray:
    """Return the mean over seeds of each init's rank, from 1; equal scores share their ranks."""
    values = found.values
    below = (values[:, np.newaxis] > values).sum(axis=1)
    equal = (values[:, np.newaxis] == values).sum(axis=1)
    return (below + (equal + 1) / 2).mean(axis=1)


def with_error(values: Sequence[float] | np.ndarray, factor: float, digits: int) -> str:
    """Return the mean and its standard error, of finite values; the number of the others is added."""
    array = factor * np.asarray(values)
    finite = array[np.isfinite(array)]
    diverged = f" ({len(array) - len(finite)} diverged)" if len(finite) < len(array) else ""
    if not len(finite):
        return diverged.strip()
    return f"{finite.mean():.{digits}f} ± {standard_error(finite):.{digits}f}{diverged}"


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
