"""Makes a case of fuzz.py that fails smaller, as long as it still fails in the same way. Runs nothing itself."""

import copy
from collections.abc import Callable, Iterator

from fuzz_cases import Case

# Entries that a case cannot do without.
NEEDED = ("kind", "seed", "inputs", "outputs", "hidden", "loss", "samples", "x", "t", "name", "rows", "targets", "rule",
          "activation", "optimizer", "sizes", "damage", "calls", "features", "members", "scaled", "columns", "target",
          "container", "options", "preset", "max_epochs")  # fmt: skip
LISTS = ("hidden", "damage", "features", "columns")
SIZES = ("samples", "members", "inputs", "outputs", "rows", "batch_size", "validation")


def smaller(case: Case) -> Iterator[Case]:
    """Cases that lack one thing, or have half of it: the largest cuts first."""
    calls = range(case.get("first call", 0), case.get("calls", 0))
    for number in calls if len(calls) > 1 else ():  # one call alone
        yield case | {"first call": number, "calls": number + 1}
    for path in _paths(case):
        value = _get(case, path)
        name = path[-1]
        if isinstance(name, str) and name not in NEEDED:
            yield _changed(case, path, None, remove=True)
        if isinstance(value, list) and name in LISTS:
            for index in range(len(value)):
                yield _changed(case, path, value[:index] + value[index + 1 :])
        is_size = name in SIZES or (isinstance(name, int) and isinstance(value, int))
        if is_size and isinstance(value, int) and value > 1:
            for less in dict.fromkeys((1, value // 2, value - 1)):
                yield _changed(case, path, less)


def kind_of(sentence: str) -> str:
    """What stays the same while a failure shrinks: the result that is wrong, or the kind of exception."""
    return sentence.split(" at [")[0].split(":")[0].split(" with ")[0]


def shrink(case: Case, failing: Callable[[Case], bool]) -> Case:
    """The smallest case that is found; `failing` says whether one still fails, or False when time is up."""
    again = True
    while again:
        again = False
        for candidate in smaller(case):
            if failing(candidate):
                case, again = candidate, True
                break
    return case


Path = tuple[str | int, ...]


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in entries:
        yield from _paths(part, (*path, name))


def _get(case: Case, path: Path) -> object:
    value: object = case
    for name in path:
        value = value[name]  # type: ignore[index]
    return value


def _changed(case: Case, path: Path, value: object, remove: bool = False) -> Case:
    changed = copy.deepcopy(case)
    holder = _get(changed, path[:-1])
    if remove:
        del holder[path[-1]]  # type: ignore[attr-defined]
    else:
        holder[path[-1]] = value  # type: ignore[index]
    return changed
