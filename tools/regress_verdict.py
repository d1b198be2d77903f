"""The verdict of regress.py on each benchmark: slower, faster, the same or unclear. It knows numbers, no processes.

Three processes take turns, and two of them are idle while the third works: the base twice (A1, A2) and the new version
(B). The difference between A1 and A2 is noise, and B has as much of it: if both versions are equally fast, each of the
three processes could be any of them.

- A sample is the fastest of many loops of a quarter of a millisecond, with new arrays for each sample, since addresses
  matter. A disturbance only ever makes a loop longer, and short loops fit between the disturbances of a busy machine.
- Kernels run on one thread, unless --threads says otherwise. Two threads need two free cores at the same moment,
  which a busy machine rarely has. What concerns several threads must be timed on an idle machine.
- Samples are compared within a round, in which each process gives one sample: slow changes of the clock rate cancel. A
  generation is six rounds, one for each order of the processes. Everything is computed from logarithms, with medians.
- Two processes of the same version differ, and more rounds in the same processes do not show it. So stage 1, one
  generation of three processes, can only acquit: a benchmark is "same" if B is within SUSPICIOUS of the base, and A2
  within SUSPICIOUS of A1, without which the first would say little. Stage 2 times the others in generations of new
  processes.
- A generation gives two pairs, B/A1 and B/A2. The estimate is the median of all pairs of stage 2, so that one
  disturbed process has little influence: as B it changes two pairs of many, as A1 or A2 one. Stage 1 does not count,
  because its noise may be what brought a benchmark into stage 2.
- The noise of the estimate is SIGMAS standard errors, from the median size of A2/A1 and of the distances of the pairs
  from the estimate: if all is noise, both spread alike.
- From ACQUIT generations on, a benchmark is "same" as soon as the estimate is within SUSPICIOUS and the estimate plus
  the noise is below twice the threshold.
- From CONVICT generations on, it is a regression if the estimate is above the threshold and above the noise, and at
  least the share MOST of the pairs exceeds the threshold. An equally fast version would need bad luck in most
  generations for that, however bad luck is distributed; the standard error of a few numbers alone is not enough.
- Everything else goes on: up to CONVICT generations if only the size of the noise is in doubt, else up to GENERATIONS.
  What is then undecided is "unclear", which is no alarm.

Faster versions are found in the same way. tests/tools/test_regress.py counts how often the verdict errs under noise of
several kinds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

# A slowdown above this is a regression. Two processes of the same version differ by 1 %, and by 3 to 6 % where arrays
# do not fit into a core's cache: half the threshold would need four times as many generations.
THRESHOLD = 0.05

# A difference that is as good as none. Noise of 1 %, which is usual, stays mostly below it, and a slowdown of twice the
# threshold far above.
SUSPICIOUS = 0.03

ACQUIT, CONVICT, GENERATIONS = 3, 5, 9
SIGMAS = 3.0
MOST = 0.75

# The columns of an array of samples.
ROLES = A1, B, A2 = range(3)

SLOWER, FASTER, UNCLEAR, SAME = "REGRESSION", "faster", "unclear", "same"
ERROR, NEW, REMOVED = "ERROR", "new", "removed"
RANKS = {word: rank for rank, word in enumerate((SLOWER, ERROR, UNCLEAR, FASTER, NEW, REMOVED, SAME))}


@dataclass
class Row:
    """What the table says about a benchmark.

    slower       log B/A
    generations  the samples that the verdict is based on
    """

    name: str
    verdict: str
    why: str = ""
    slower: float = 0.0
    noise: float = math.nan
    generations: list[np.ndarray] = field(default_factory=list)

    @property
    def seconds(self) -> tuple[float, float]:
        """Median seconds per call, of the base and of the new version."""
        if not self.generations:
            return math.nan, math.nan
        samples = np.concatenate(self.generations)
        return float(np.median(samples[:, [A1, A2]])), float(np.median(samples[:, B]))

    @property
    def rank(self) -> tuple[int, float]:
        """The key that sorts the table."""
        return RANKS[self.verdict], -self.slower


Measure = Callable[[Sequence[str], str], dict[str, np.ndarray]]


def judge(names: Sequence[str], measure: Measure, threshold: float) -> list[Row]:
    """The verdicts on all benchmarks that could be measured.

    measure  called with names and a title; returns samples (rounds, 3) by name, from new processes each time
    """
    first = measure(names, "stage 1")
    rows = []
    for name, samples in first.items():
        pairs, apart = pairs_of(samples)
        rows.append(Row(name, SAME, "", float(np.median(pairs)), abs(apart), [samples]))
    undecided = {row.name: row for row in rows if suspicious(first[row.name])}
    for row in undecided.values():
        row.generations = []
    for number in range(1, GENERATIONS + 1):
        if not undecided:
            break
        measured = measure(list(undecided), f"stage 2, generation {number}")
        undecided = {name: row for name, row in undecided.items() if name in measured}
        for name, row in list(undecided.items()):
            row.generations.append(measured[name])
            decided = verdict(row, threshold)
            if decided:
                row.verdict = decided
                del undecided[name]
    return rows


def verdict(row: Row, threshold: float) -> str | None:
    """The verdict on the generations so far, None if more are needed; writes the estimate into the row."""
    found, count = estimate(row.generations, threshold), len(row.generations)
    row.slower, row.noise = found.slower, found.noise
    size = abs(found.slower)
    if count < ACQUIT:
        return None
    hidden = size + found.noise > math.log1p(2 * threshold)
    if size <= SUSPICIOUS and (count >= CONVICT or not hidden):
        return UNCLEAR if hidden else SAME
    if count >= CONVICT and proven(found, threshold):
        return SLOWER if found.slower > 0 else FASTER
    if count < GENERATIONS:
        return None
    return UNCLEAR if hidden or size > math.log1p(threshold) else SAME


@dataclass(frozen=True)
class Estimate:
    """How much slower B is, as a logarithm; the noise of that; the share of pairs beyond the threshold."""

    slower: float
    noise: float
    share: float


def estimate(generations: Sequence[np.ndarray], threshold: float) -> Estimate:
    """Combine the generations of stage 2."""
    both = [pairs_of(samples) for samples in generations]
    pairs = np.concatenate([pair for pair, _ in both])
    slower = float(np.median(pairs))
    # A2/A1 and a pair are both differences of two processes. Their median size times 1.48 is a standard deviation, of
    # which one process has sqrt(1/2). B minus the mean of A1 and A2 has sqrt(3/2) of the deviation of one process. The
    # error of a median is 1.25 times that of a mean.
    sizes = [*(abs(apart) for _, apart in both), *abs(pairs - slower)]
    error = 1.48 * float(np.median(sizes)) * math.sqrt(1 / 2) * math.sqrt(3 / 2) * 1.25 / math.sqrt(len(both))
    # In logarithms a slowdown of 10 % and its reverse, a gain of 1 - 1/1.1, have the same size.
    beyond = pairs * math.copysign(1, slower) > math.log1p(threshold)
    return Estimate(slower, SIGMAS * error, float(np.mean(beyond)))


def proven(found: Estimate, threshold: float) -> bool:
    """Whether there is a difference above the threshold."""
    return abs(found.slower) > max(math.log1p(threshold), found.noise) and found.share >= MOST


def suspicious(samples: np.ndarray) -> bool:
    """Whether a generation leaves a doubt that both versions are equally fast."""
    pairs, apart = pairs_of(samples)
    return bool(max(abs(np.median(pairs)), abs(apart)) > SUSPICIOUS)


def pairs_of(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """[log B/A1, log B/A2] and log A2/A1 from the samples (rounds, 3) of a generation."""
    logs = np.log(samples)
    difference = np.median(logs - logs[:, [A1]], axis=0)
    return np.array([difference[B], np.median(logs[:, B] - logs[:, A2])]), float(difference[A2])
