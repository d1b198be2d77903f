"""tools/kills.py kills trainings and says whether they end with the same bits."""

import os
import sys

import pytest
from programs import ROOT, TOOLS, run, tool

pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(not TOOLS.is_dir() or os.name == "nt", reason="needs the tools beside the tests, and POSIX"),
]

kills = tool("kills")


def test_a_training_is_killed_and_ends_with_the_same_bits():
    command = (sys.executable, TOOLS / "kills.py", "--kills", "1", "--only", "warns", "--scale", "0.5")
    out = run(*command, cwd=ROOT, environment=os.environ | {"PYTHONPATH": str(ROOT)})
    assert out.splitlines()[1].split()[-4:-3] == ["1"] and out.splitlines()[1].endswith(" equal")
    assert out.splitlines()[-1] == "1 kills: all trainings ended with the same bits"


def test_another_result_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(kills.Training, "undisturbed", lambda self: ({"parameters": "a", "losses": "b"}, 1.0))
    monkeypatch.setattr(kills.Training, "disturbed", lambda self, *more: ({"parameters": "a", "losses": "c"}, 3, 1))
    assert not kills.run("Adam, warns", 3, 1.0, 0)
    assert capsys.readouterr().out.split()[-3:] == ["NOT", "EQUAL:", "losses"]
