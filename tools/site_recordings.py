"""What the figures of the site have in common: recordings that commands write as JSON, and Markdown made from them."""

import json
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks"


def read_recordings(folder: pathlib.Path, command: str, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the results of a command in a folder, by file name, the newest first. Each must have the keys."""
    recordings = {}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text("utf-8"))
            missing = set(keys) - set(result)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} must be a result of {command} --json: {error}") from error
        if missing:
            raise ValueError(f"{path} must be a result of {command} --json: it lacks {', '.join(sorted(missing))}")
        recordings[path.stem] = result
    return dict(sorted(recordings.items(), key=lambda item: item[1]["date"], reverse=True))


def escaped(text: object) -> str:
    """Return text that Markdown takes for nothing else, as a single line."""
    return re.sub(r"([\\`*_{}\[\]<>|$~&#])", r"\\\1", " ".join(str(text).split()))


def heading(name: str, result: dict[str, Any], level: int = 2) -> str:
    """Return the heading of a recording: its processor, and the name of its file, which tells more."""
    return f"{'#' * level} {escaped(result['machine']['cpu'])}, {result['machine']['cores']} cores ({escaped(name)})"


def versions(result: dict[str, Any]) -> str:
    return ", ".join(f"{escaped(name)} {escaped(version)}" for name, version in result["versions"].items())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose columns are numbers, except for the first."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def blocks(*parts: str) -> str:
    """Return Markdown of several blocks; empty ones are left out."""
    return "\n\n".join(filter(None, parts)) + "\n"


def file_name(*parts: str) -> str:
    """Return a name for a chart that can stand in a link."""
    return re.sub(r"[^\w.]+", "-", "-".join(parts))
