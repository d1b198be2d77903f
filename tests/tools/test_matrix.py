"""`make test-matrix`: its environments are those that pyproject.toml promises, and each has a row in the table."""

import sys

import programs
import pytest

matrix = programs.tool("matrix")
if matrix is None:
    pytest.skip("the tools are not beside the tests", allow_module_level=True)


def test_each_classifier_has_an_environment_with_the_newest_of_everything():
    newest = [each.python for each in matrix.environments() if not each.pins]
    assert newest == matrix.supported_pythons()
    assert newest[0] == "3.11"


def test_the_oldest_environment_pins_every_dependency_to_its_lower_bound():
    (oldest,) = [each for each in matrix.environments() if each.name == "oldest"]
    pinned = dict(pin.split("==") for pin in oldest.pins)
    assert oldest.python == matrix.supported_pythons()[0]
    required = {"numpy", "numba", "safetensors", "tqdm"}
    assert set(pinned) == required | {"matplotlib", "narwhals", "onnx", "pandas", "pyarrow", "scikit-learn"}
    for line in matrix.project()["dependencies"]:
        name = line.split(">=")[0]
        assert line.startswith(f"{name}>={pinned[name]}")


def test_the_chosen_tests_exist():
    for path, _, name in (chosen.partition("::") for chosen in matrix.TESTS):
        assert f"def {name}" in (programs.ROOT / "tests" / path).read_text()


def test_an_interpreter_is_found_by_its_version(tmp_path, monkeypatch):
    version = "{}.{}".format(*sys.version_info)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert matrix.find_python(version, [sys.executable]) == sys.executable
    assert matrix.find_python(version, []) is None
    assert matrix.find_python("3.99", [sys.executable]) is None


def test_an_environment_without_interpreter_is_a_row_and_no_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "build_wheel", lambda folder: folder / "fastfnn.whl")
    monkeypatch.setattr(matrix, "find_python", lambda version, given: None)
    assert matrix.main(["--only", "3.12", "oldest", "--folder", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [["| 3.12", "3.12"], ["| oldest", "3.11"]]
    assert all("not tested: no interpreter" in row for row in rows)


def test_a_failure_is_shown_and_is_the_exit_status(tmp_path, monkeypatch, capsys):
    def refuse(*arguments):
        raise matrix.MatrixError("no wheel of numba for this Python")

    monkeypatch.setattr(matrix, "build_wheel", lambda folder: folder / "fastfnn.whl")
    monkeypatch.setattr(matrix, "find_python", lambda version, given: sys.executable)
    monkeypatch.setattr(matrix, "install", refuse)
    assert matrix.main(["--only", "3.12", "--folder", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "no wheel of numba for this Python" in output
    assert "| failed |" in output


def test_tests_that_failed_and_errors_are_counted_as_failed(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="9" failures="2" errors="1" skipped="4"/></testsuites>')
    assert matrix.read_counts(report) == {"passed": 2, "failed": 3, "skipped": 4}


def test_an_unknown_environment_or_interpreter_is_an_error(capsys):
    assert matrix.main(["--only", "2.7"]) == 2
    assert "there is no environment 2.7" in capsys.readouterr().err
    assert matrix.main(["--python", "/nowhere/python3.12"]) == 2
    assert "there is no interpreter /nowhere/python3.12" in capsys.readouterr().err
