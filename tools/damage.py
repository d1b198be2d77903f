"""Damages good files in many ways, loads each, and counts what came of it:

    python tools/damage.py                            every kind of file and of damage, in some minutes
    python tools/damage.py --random 20000 --seed 2    more damages of the random kinds
    python tools/damage.py --file network --damage bit --keep FOLDER

A damaged file must be refused by a ValueError that names it, or loaded. It is "equal" if the model that was loaded is
saved as the same description and arrays, else "other": a bit of a weight, or a value that a user may give too. All
else is a failure: another exception, a long message, too much memory; a crash ends the program in the row before it is
printed. Failures are written to the folder `--keep`. The exit status is 1 if there is one, else 0.

`FILES` has a line for each kind of file, `DAMAGES` one for each kind of damage. `make fuzz` damages files of random
networks with the same random kinds (fuzz_files.py).
"""

import argparse
import contextlib
import faulthandler
import io
import itertools
import json
import pathlib
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from fuzz_files import INSTEAD, damaged
from safetensors.numpy import load as arrays_of

import fastfnn as fnn
from fastfnn import files

MEMORY_LIMIT = 150 << 20  # bytes that Python may allocate for a file; its header has up to 4 MB
ADDRESS_SPACE = 1 << 30  # bytes that the process may get besides what it has
LONGEST_MESSAGE = 1000
HERE = "\0here"  # stands for a value that is replaced by a text that may not be JSON

HUGE = ("9" * 400, "-" + "9" * 400, "9" * 5000, "1e400", "-1e400", "1e-400", str(2**63), str(2**64), "1" + "0" * 30)
NESTED = tuple(
    text for depth in (50, 900, 100_000) for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth)
)


class File(NamedTuple):
    """A kind of file."""

    make: Callable[[], Any]  # a model
    save: Callable[[Any, pathlib.Path], None]
    load: Callable[[pathlib.Path], Any]
    use: Callable[[Any], Any]  # what must work with any model that was loaded, or raise ValueError


def _network() -> fnn.FNN:
    net = fnn.FNN((4, 6, 5, 3), activation=["tanh", "gelu"], batch_norm=True, dropout=0.25, seed=0)
    optimizer = fnn.Adam(fnn.schedules.Cosine(0.1, steps=9))
    net.fit(np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) % 3, epochs=2, optimizer=optimizer)
    return net


def _estimator() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from fastfnn.sklearn import MLPClassifier

    optimizer = fnn.AdamW(fnn.schedules.Cosine(0.1, steps=9))
    net = MLPClassifier((6, 5), optimizer=optimizer, class_weight={"a": 1, "b": 2, "c": 1}, max_iter=3, random_state=0)
    x, labels = np.random.default_rng(0).standard_normal((20, 4)), np.array(["a", "b", "c"])[np.arange(20) % 3]
    return make_pipeline(StandardScaler(), net).fit(x, labels)


def _tabular() -> Any:
    import pandas

    from fastfnn.tabular import Recipe, TabularClassifier

    places = [f"place {i % 9}" for i in range(40)]
    frame = pandas.DataFrame({"age": [None, 1.0, 2.0, 4.0] * 10, "side": ["north", None] * 20, "place": places})
    frame["day"] = pandas.date_range("2020-01-31", periods=40)
    recipe = Recipe(hidden_layer_sizes=(6, 5), members=2, embedding_size=3, bags=2)
    model = TabularClassifier(recipe, max_epochs=2, random_state=0)
    return model.fit(frame, ["a", "b", "c", "b"] * 10)


def _load_tabular(path: pathlib.Path) -> Any:
    import fastfnn.tabular

    return fastfnn.tabular.load(path)


def _predict_tabular(model: Any) -> Any:
    import pandas

    columns: dict[str, Any] = {column.name: ["1", None] for column in model.columns_}
    for column in model.columns_:
        if column.kind == "date":
            columns[column.name] = pandas.to_datetime(["2020-01-31", None], utc=column.dates == "aware")
    return model.predict(pandas.DataFrame(columns))


def _save_training(net: fnn.FNN, path: pathlib.Path) -> None:
    try:
        net.save(path, training=True)
    except ValueError:  # the file says that the learning rate is a function, which no file can hold
        net.save(path)


def _table() -> Any:
    import fastfnn.tables
    from fastfnn import cli

    with tempfile.TemporaryDirectory() as folder:
        table, out = pathlib.Path(folder, "flats.csv"), str(pathlib.Path(folder, "flats"))
        rows = [f"{i % 7},{'north' if i % 3 else ''},{i % 5 / 7},{'big' if i % 2 else 'small'}" for i in range(40)]
        table.write_text("\n".join(["rooms,side,age,kind", *rows]))
        with contextlib.redirect_stdout(io.StringIO()):
            options = ["--target", "kind", "--missing", "mean", "--layers", "6,5", "--epochs", "2", "--out", out]
            assert cli.main(["train", str(table), *options, "--quiet"]) == 0
        return fastfnn.tables.load(out)


def _load_table(path: pathlib.Path) -> Any:
    import fastfnn.tables

    return fastfnn.tables.load(path)


def _predict_table(model: Any) -> Any:
    import pandas

    columns = {name: ["1", "2"] for name in {column.name for column in model.preparation.columns}}
    return model.predict(pandas.DataFrame(columns))


def _save_estimator(model: Any, path: pathlib.Path) -> None:
    import fastfnn.sklearn

    fastfnn.sklearn.save(model, path)


def _load_estimator(path: pathlib.Path) -> Any:
    import fastfnn.sklearn

    return fastfnn.sklearn.load(path)


FOUR = np.linspace(-1, 1, 8).reshape(2, 4)

FILES = {
    "network": File(_network, lambda net, path: net.save(path), fnn.load, lambda net: net.predict(FOUR)),
    "estimator": File(_estimator, _save_estimator, _load_estimator, lambda model: model.predict(FOUR)),
    "training": File(_network, _save_training, fnn.load, lambda net: net.predict(FOUR)),
    "tabular": File(_tabular, lambda model, path: model.save(path), _load_tabular, _predict_tabular),
    "table": File(_table, lambda model, path: model.save(path), _load_table, _predict_table),
}


# The parts of a file


def divided(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The header without the metadata that are JSON, these as values, and the bytes of the arrays."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    sections = {}
    for name, text in list(header["__metadata__"].items()):
        with contextlib.suppress(ValueError):
            if isinstance(value := json.loads(text), dict):
                sections[name] = value
                del header["__metadata__"][name]
    return header, sections, content[end:]


def joined(header: str, data: bytes) -> bytes:
    """A file with a header that may be no JSON."""
    text = header.encode()
    return len(text).to_bytes(8, "little") + text + data


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON value; of a list the first and the last alone."""
    if isinstance(value, dict):
        pairs = list(value.items())
    else:
        pairs = list(enumerate(value)) if isinstance(value, list) else []
        pairs = pairs[:1] + pairs[1:][-1:]
    for key, item in pairs:
        yield (*before, key)
        yield from places(item, (*before, key))


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy of a JSON value, after `change(container, key)` at a path."""
    value = json.loads(json.dumps(value))
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return value


def with_changes(content: bytes, change: Callable[[Any, Any], None], texts: Sequence[str] = ("",)) -> Iterator[bytes]:
    """The file with each value of its header and sections changed in turn; where that is `HERE`, by each of `texts`."""
    header, sections, data = divided(content)
    for section in (None, *sections):
        for path in places(header if section is None else sections[section]):
            for text in texts:
                told = dict(sections)
                whole = changed(header, path, change) if section is None else header
                if section is not None:
                    told[section] = changed(sections[section], path, change)
                metadata = whole.get("__metadata__")
                if isinstance(metadata, dict):
                    inner = {name: json.dumps(value).replace(json.dumps(HERE), text, 1) for name, value in told.items()}
                    whole = whole | {"__metadata__": metadata | inner}
                yield joined(json.dumps(whole).replace(json.dumps(HERE), text, 1), data)


# Damages: each a function of the content, a random generator, and how many are wanted of a random kind


def _random(kind: str) -> Callable[[bytes, np.random.Generator, int], Iterator[bytes]]:
    return lambda content, rng, count: (damaged(content, kind, rng) for _ in range(count))


def _cut(content: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    lengths = range(len(content)) if len(content) <= count else np.linspace(0, len(content) - 1, count).astype(int)
    return (content[:length] for length in lengths)


def _other_length(content: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    length = int.from_bytes(content[:8], "little")
    lengths = {0, 1, 2, 7, 8, 10**6, 10**8, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1}
    lengths |= {length + change for change in (-64, -8, -1, 1, 8, 64)} | {2 * length, len(content) - 8, len(content)}
    return (length.to_bytes(8, "little") + content[8:] for length in sorted(lengths))


def _replace(container: Any, key: Any) -> None:
    container[key] = HERE


def _remove(container: Any, key: Any) -> None:
    del container[key]


def _add(container: Any, key: Any) -> None:
    if isinstance(container, dict):
        container[f"{key}x"] = container[key]
    else:
        container.insert(key, container[key])


def _twice(content: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """An object with a key twice: it is renamed to a placeholder, which becomes the name of its neighbour."""

    def double(container: Any, key: Any) -> None:
        if isinstance(container, dict):
            container[HERE + key] = container[key]

    outer = json.dumps(HERE)[1:-1]
    inner = json.dumps(outer)[1:-1]  # in a section, which is a text
    _, _, data = divided(content)
    for damage in with_changes(content, double):
        header = damage[8 : len(damage) - len(data)].decode()
        if outer in header:  # else the container is a list
            yield joined(header.replace(inner, "").replace(outer, ""), data)


def _filled(content: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """Lists of small values that make the header as long as it may be, at every 10th place since each takes long."""
    room = files.HEADER_LIMIT - int.from_bytes(content[:8], "little") - 100
    texts = [f"[{', '.join([item] * (room // (len(item) + 2)))}]" for item in ("[]", "1")]
    return itertools.islice(with_changes(content, _replace, texts), 0, None, 19)


def _swapped(content: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """Arrays that have the place, the shape or the dtype of another one, or overlap."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    names = [name for name in header if name != "__metadata__"]
    for first in names:
        for second in names:
            if first != second:
                for keys in (
                    ["data_offsets"],
                    ["shape"],
                    ["data_offsets", "shape"],
                    ["data_offsets", "shape", "dtype"],
                ):
                    for both in (True, False):
                        told = header | {first: header[first] | {key: header[second][key] for key in keys}}
                        if both:
                            told |= {second: header[second] | {key: header[first][key] for key in keys}}
                        yield joined(json.dumps(told), content[end:])
        for shape in ([2**62, 2**62], [2**63, 0], [0], [], [-1], [len(content)]):
            yield joined(json.dumps(header | {first: header[first] | {"shape": shape}}), content[end:])


DAMAGES: dict[str, Callable[[bytes, np.random.Generator, int], Iterator[bytes]]] = {
    "cut at a length": _cut,
    "bit": _random("flip"),
    "bytes inserted": _random("insert"),
    "bytes left out": _random("cut"),
    "parts exchanged": _random("splice"),
    "another digit": _random("digit"),
    "header length": _other_length,
    "arrays swapped": _swapped,
    "JSON of other types": lambda content, rng, count: with_changes(content, _replace, INSTEAD),
    "JSON entry missing": lambda content, rng, count: with_changes(content, _remove),
    "JSON entry more": lambda content, rng, count: with_changes(content, _add),
    "JSON key twice": _twice,
    "JSON nested deeply": lambda content, rng, count: with_changes(content, _replace, NESTED),
    "JSON filled up": _filled,
    "JSON huge numbers": lambda content, rng, count: with_changes(content, _replace, HUGE),
}


# Loading


def state(path: pathlib.Path) -> tuple[Any, ...]:
    """What a file holds, in no order."""
    content = path.read_bytes()
    header, sections, _ = divided(content)
    arrays = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays_of(content).items()}
    return header["__metadata__"]["format"], json.dumps(sections, sort_keys=True), arrays


def attempt(file: File, path: pathlib.Path, good: tuple[Any, ...]) -> tuple[str, str]:
    """What comes of a file: refused, equal, other or failed; and the reason of a failure."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        try:
            model = file.load(path)
        finally:
            taken = tracemalloc.get_traced_memory()[1] - before
        if taken <= MEMORY_LIMIT:
            again = path.with_name("again.safetensors")
            try:
                file.save(model, again)
                outcome = "equal" if state(again) == good else "other"
            except ValueError:  # 0.0 takes more room than 0: what was the largest header is too large now
                outcome = "other"
            with contextlib.suppress(ValueError):  # samples that are infinite once they are scaled
                file.use(model)
    except ValueError as error:
        outcome = "refused"
        if type(error) is not ValueError or path.name not in str(error) or len(str(error)) > LONGEST_MESSAGE:
            return "failed", f"{type(error).__name__}: {str(error)[:200]}"
    except Exception as error:  # whatever it is, it is counted
        return "failed", f"{type(error).__name__}: {str(error)[:200]}"
    if taken > MEMORY_LIMIT:
        return "failed", f"{taken >> 20} MB of memory"
    return outcome, ""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let the process have little more memory than it has, where the system can limit that; and watch Python's."""
    faulthandler.enable()
    try:
        import resource

        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESS_SPACE, before[1]))
    except (ImportError, OSError):
        before = None
    tracemalloc.start()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        tracemalloc.stop()
        if before:
            resource.setrlimit(resource.RLIMIT_AS, before)


OUTCOMES = ("refused", "equal", "other", "failed")


def main(arguments: Sequence[str] | None = None, say: Callable[[str], object] = print) -> int:
    """Damage files, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--random", type=int, default=500, help="damages of each random kind (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="of the random kinds (default: 1)")
    parser.add_argument("--file", choices=FILES, action="append", help="only this kind of file; may be repeated")
    parser.add_argument("--damage", choices=DAMAGES, action="append", help="only this kind of damage; may be repeated")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="write the files that fail to this folder")
    chosen = parser.parse_args(arguments)
    failures = []
    say(f"{'file':<10} {'damage':<20} {'tried':>6} " + " ".join(f"{name:>7}" for name in OUTCOMES) + "  seconds")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "damaged.safetensors"
        for kind in chosen.file or FILES:
            file = FILES[kind]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file.save(file.make(), path)
                file.use(file.load(path))  # compiles
            content, good = path.read_bytes(), state(path)
            for damage in chosen.damage or DAMAGES:
                start, counts = time.monotonic(), dict.fromkeys(OUTCOMES, 0)
                with limited():
                    for number, other in enumerate(
                        DAMAGES[damage](content, np.random.default_rng(chosen.seed), chosen.random)
                    ):
                        if other == content:
                            continue
                        path.write_bytes(other)
                        outcome, reason = attempt(file, path, good)
                        counts[outcome] += 1
                        if outcome == "failed":
                            failures.append(f"{kind}, {damage} {number}: {reason}")
                            if chosen.keep:
                                name = f"{kind}-{damage}-{number}.safetensors".replace(" ", "-")
                                (chosen.keep / name).write_bytes(other)
                numbers = " ".join(f"{count:>7}" for count in counts.values())
                seconds = time.monotonic() - start
                say(f"{kind:<10} {damage:<20} {sum(counts.values()):>6} {numbers} {seconds:>8.1f}")
    for failure in failures[:20]:
        say(f"FAILED {failure}")
    say(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
