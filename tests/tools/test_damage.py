"""tools/damage.py: that damaged files are counted rightly, and that it sees what must not come of them."""

import json
import re

import numpy as np
import pytest
from programs import TOOLS, tool

import fastfnn as fnn

pytestmark = [pytest.mark.jit, pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")]

damage = tool("damage")


def table(*arguments):
    """Exit status, the numbers of each row, and the other lines."""
    said = []
    status = damage.main(["--random", "4", *arguments], said.append)
    rows = {}
    for line in said:
        if found := re.match(r"(network|estimator|training|tabular|table|odd) +(.+?) +((?:\d+ +){5})[\d.]+$", line):
            rows[found[1], found[2]] = tuple(map(int, found[3].split()))
    return status, rows, [line for line in said[1:] if "failure" in line or line.startswith("FAILED")]


def odd(monkeypatch, load):
    """A kind of file whose load is another function."""
    monkeypatch.setattr(damage, "FILES", {"odd": damage.FILES["network"]._replace(load=load)})


def test_damaged_files_are_refused_or_load():
    quick = ("cut at a length", "bit", "bytes inserted", "parts exchanged", "header length", "JSON key twice")
    status, rows, others = table(*(argument for name in quick for argument in ("--damage", name)))
    assert (status, others) == (0, ["0 failures"])
    assert {file for file, _ in rows} == set(damage.FILES)
    for tried, *outcomes in rows.values():
        assert tried == sum(outcomes) > 0
    assert all(rows[file, "cut at a length"][1] == 4 for file in damage.FILES)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda path: {}["W1"], "KeyError: 'W1'"),
        (lambda path: bytearray(200 << 20), "200 MB of memory"),
        (lambda path: bytearray(8 << 30), "MemoryError: "),
        (lambda path: int("x"), "ValueError: invalid literal"),
        (lambda path: json.loads("{"), "JSONDecodeError: "),
    ],
    ids=["exception", "memory", "much memory", "no name", "kind of ValueError"],
)
def test_all_else_is_a_failure(monkeypatch, tmp_path, act, reason):
    def load(path):
        try:
            return fnn.load(path)
        except ValueError:
            pass
        return act(path)

    odd(monkeypatch, load)
    status, rows, others = table("--damage", "cut at a length", "--keep", str(tmp_path))
    assert status == 1
    assert rows["odd", "cut at a length"] == (4, 0, 0, 0, 4)
    assert len(others) == 5 and others[0].startswith(f"FAILED odd, cut at a length 0: {reason}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"odd-cut-at-a-length-{i}.safetensors" for i in range(4)
    ]


def test_a_model_that_does_not_work_is_a_failure(monkeypatch):
    good = damage.FILES["network"]
    calls = []

    def use(model):
        calls.append(model)
        if len(calls) > 1:
            raise TypeError("no")

    monkeypatch.setattr(damage, "FILES", {"odd": good._replace(use=use)})
    status, rows, _ = table("--damage", "JSON entry more")
    tried, refused, equal, other, failed = rows["odd", "JSON entry more"]
    assert status == 1 and equal == other == 0 < failed == tried - refused


def test_every_value_of_a_file_is_damaged():
    assert list(damage.places({"a": [1, 2, 3], "b": {"c": "x"}})) == [("a",), ("a", 0), ("a", 2), ("b",), ("b", "c")]


@pytest.mark.parametrize("kind", ["JSON of other types", "JSON key twice", "JSON nested deeply", "arrays swapped"])
def test_damages_are_headers_of_the_length_that_they_announce(tmp_path, kind):
    path = tmp_path / "net"
    net = fnn.FNN((2, 3, 2), seed=0)
    net.save(path)
    content = path.read_bytes()
    arrays = sum(array.nbytes for array in net.params.values())
    others = list(damage.DAMAGES[kind](content, np.random.default_rng(0), 3))
    assert len(others) > 20
    for other in others:
        assert len(other) == 8 + int.from_bytes(other[:8], "little") + arrays


def test_a_key_twice_is_a_key_twice(tmp_path):
    path = tmp_path / "net"
    fnn.FNN((2, 3, 2), seed=0).save(path)
    for other in damage.DAMAGES["JSON key twice"](path.read_bytes(), np.random.default_rng(0), 3):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=r"(must occur once, got it 2 times|duplicate)"):
            fnn.load(path)
