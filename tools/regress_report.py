"""What regress.py shows: the table and its last line, the exit status, the JSON file."""

import math
import os
import platform
from collections.abc import Sequence
from typing import Any

from regress_verdict import ERROR, FASTER, NEW, REMOVED, SLOWER, UNCLEAR, Row


def table(rows: Sequence[Row]) -> str:
    """A line for each benchmark.

    A ratio is the estimate, not the quotient of the two times beside it, which are medians of all samples. For what
    stage 1 acquits, the noise is the difference between A1 and A2.
    """
    lines = [("benchmark", "base", "new", "ratio", "noise", "", "")]
    for row in rows:
        numbers = ("", "", "", "")
        if row.generations:
            ratio, noise = f"{math.exp(row.slower):.3f}", f"{100 * math.expm1(row.noise):.1f} %"
            numbers = (*map(duration, row.seconds), ratio, noise)
        lines.append((row.name, *numbers, row.verdict, row.why))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        " ".join([line[0].ljust(widths[0]), *(f"{line[i]:>{widths[i]}}" for i in range(1, 5)), *line[5:]]).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:  # below that, three digits are at most 999 of the next unit
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def summary(rows: Sequence[Row], threshold: float) -> str:
    """The last line: which benchmarks are slower, and how many have another verdict."""

    def named(verdict: str) -> list[str]:
        return [row.name for row in rows if row.verdict == verdict]

    timed = sum(bool(row.generations) for row in rows)
    slower = named(SLOWER)
    text = f"slower by more than {100 * threshold:g} %: {'; '.join(slower) or 'none'}, of {timed} benchmarks"
    others = [f"{len(named(word))} {word}" for word in (FASTER, UNCLEAR, NEW, REMOVED) if named(word)]
    text = ", ".join([text, *others])
    return f"{text}; could not be measured: {'; '.join(named(ERROR))}" if named(ERROR) else text


def status(rows: Sequence[Row]) -> int:
    """The exit status of the program."""
    verdicts = {row.verdict for row in rows}
    return 2 if ERROR in verdicts else 1 if SLOWER in verdicts else 0


def report(rows: Sequence[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """All that was measured, ready for JSON."""
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "settings": settings,
        "status": status(rows),
        "benchmarks": [
            {
                "name": row.name,
                "verdict": row.verdict,
                "why": row.why,
                "ratio": math.exp(row.slower) if row.generations else None,
                "noise": math.expm1(row.noise) if row.generations else None,
                "seconds": row.seconds if row.generations else None,
                "generations": [samples.tolist() for samples in row.generations],
            }
            for row in rows
        ],
    }
