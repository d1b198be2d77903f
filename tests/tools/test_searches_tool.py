"""tools/searches.py: what it measures and reports."""

import json

import pytest
from programs import TOOLS, tool

pytest.importorskip("sklearn")
pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests"),
]

searches = tool("searches")
OPTIONS = ["--samples=200", "--features=5", "--hidden=3", "--max-iter=2", "--backends", "threading"]


def test_searches_on_each_back_end_are_timed_and_compared(tmp_path, capsys):
    file = tmp_path / "searches.json"
    assert searches.main([f"--json={file}", *OPTIONS]) == 0
    result = json.loads(file.read_text())
    assert [(found["library"], found["jobs"]) for found in result["searches"]] == [
        ("scikit-learn", 1), ("scikit-learn", 2), ("fastfnn", 1), ("fastfnn", 2)
    ]  # fmt: skip
    assert min(found["seconds"] for found in result["searches"]) > 0
    out = capsys.readouterr().out
    assert "| fastfnn, 2 threads |" in out
    assert "the same scores" in out


def test_scores_that_differ_are_an_error(capsys, monkeypatch):
    calls = iter(range(1000))
    measure = searches.measure
    monkeypatch.setattr(searches, "measure", lambda *given: measure(*given) | {"score": next(calls)})
    assert searches.main(OPTIONS) == 1
    assert "DIFFERENT scores" in capsys.readouterr().out
