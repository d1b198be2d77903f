"""When kernels are compiled, what the cache on disk serves, and what happens if it is damaged or missing."""

import json
import logging
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
from typing import NamedTuple

import numba
import numpy as np
import pytest
from helpers import LAYOUTS, NOJIT, ROOT, TEST_FOLDERS, run_python

from fastfnn import kernels
from fastfnn.kernels.compiler import cache, decorators
from fastfnn.kernels.compiler.signature import Vector

KERNELS = pathlib.Path(kernels.__file__).parent
SOURCES = sorted(path.relative_to(KERNELS).as_posix() for path in KERNELS.rglob("*.py"))

# Runs kernels for each dtype given, and reports what Numba compiled and what was announced.
SCRIPT = """
import json, logging, sys
import numba.core.event
compiled = numba.core.event.RecordingListener()
numba.core.event.register("numba:compile", compiled)
logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append((record.levelname, record.getMessage()))
logging.getLogger("fastfnn").addHandler(handler)
logging.getLogger("fastfnn").setLevel(logging.INFO)

import numpy as np
from fastfnn import kernels
from fastfnn.kernels.compiler import cache
from fastfnn.kernels.elementwise.checks import all_finite
at_import = len(compiled.buffer) + len(logged)
announced = []
option, *dtypes = sys.argv[1:]
if "listener" in option:
    cache.compile_listeners.append(announced.append)
for dtype in dtypes:
    if "update" in option:
        param, grad = np.ones((2, 3), dtype), np.ones((2, 3), dtype)
        kernels.sgd_update(param, grad, 0.25)
        kernels.sgd_update(param, grad, 0.25)
        assert np.all(param == 0.5)
    else:
        assert all_finite(np.ones(3, dtype)) and not all_finite(np.array([np.nan], dtype))
result = {"file": kernels.__file__, "at_import": at_import, "announced": announced}
result["warnings"] = [message for level, message in logged if level == "WARNING"]
result["told"] = [message for level, message in logged if level == "INFO"]
print(json.dumps(result | {"compiled": len(compiled.buffer)}))
"""
# What an update of parameters calls; callees come first.
UPDATE = ["sgd_factors", "sgd_block", "in_parallel", "update_part", "update"]


def run(option, *dtypes, root=ROOT, **environment):
    return json.loads(run_python(SCRIPT, option, *dtypes, root=root, **environment))


def compiled_by(option, *dtypes, **environment):
    """The names of the functions that a new process compiles."""
    return [name for name, _, _ in run(f"listener {option}", *dtypes, **environment)["announced"]]


@pytest.fixture
def package(tmp_path):
    """A folder with a copy of the package, which a test may change."""
    ignored = shutil.ignore_patterns("__pycache__", "data", "kernels")
    shutil.copytree(ROOT / "fastfnn", tmp_path / "package" / "fastfnn", ignore=ignored)
    shutil.copytree(KERNELS, tmp_path / "package" / "fastfnn" / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "package"


@pytest.mark.jit
def test_the_first_call_compiles_and_the_next_process_loads(tmp_path):
    folder = tmp_path / "cache"
    imported = run("listener", NUMBA_CACHE_DIR=folder)
    assert imported["at_import"] == imported["compiled"] == 0
    assert not list(tmp_path.rglob("*.nb?")), "something was compiled at import"

    first = run("listener update", "float32", NUMBA_CACHE_DIR=folder)
    assert first["at_import"] == 0 and first["compiled"] > 0
    names, numbers, totals = zip(*first["announced"], strict=True)
    assert sorted(names) == sorted(UPDATE) and names[-1] == "update"
    assert list(numbers) == [1, 2, 3, 4, 5] and set(totals) == {5}
    assert first["told"] == [f"compiling {number} of 5: {name}" for number, name in enumerate(names, 1)]
    assert list(folder.rglob("*.nbc"))

    second = run("listener update", "float32", NUMBA_CACHE_DIR=folder)
    assert second["announced"] == second["told"] == second["warnings"] == []
    assert second["compiled"] == 0

    assert sorted(compiled_by("update", "float64", "float32", NUMBA_CACHE_DIR=folder)) == sorted(UPDATE)


# The log


@pytest.mark.jit
def test_a_process_that_compiles_warns_once_of_the_wait_unless_a_listener_is_told(tmp_path):
    first = run("silent", "float32", "float64", NUMBA_CACHE_DIR=tmp_path)
    assert first["warnings"] == [
        "fastfnn compiles its kernels for this processor, once: later runs load them from disk "
        "('fastfnn compile' does it ahead)"
    ]
    assert first["told"] == ["compiling 1 of 1: all_finite"] * 2
    loaded = run("silent", "float32", "float64", NUMBA_CACHE_DIR=tmp_path)
    assert loaded["warnings"] == loaded["told"] == []
    assert run("listener", "float32", NUMBA_CACHE_DIR=tmp_path / "another")["warnings"] == []


def test_without_a_handler_the_warning_goes_to_standard_error():
    code = "from fastfnn.kernels.compiler import cache; cache.announce('one'); cache.announce('two')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=300
    )
    assert result.stdout == "" and result.stderr.count("\n") == 1
    assert result.stderr.startswith("fastfnn compiles its kernels")


@pytest.fixture
def fresh_log(monkeypatch, caplog):
    """The log of a process that has not warned yet."""
    monkeypatch.setattr(cache, "_warned", set())
    caplog.set_level(logging.INFO, "fastfnn")
    return caplog


def test_functions_are_counted_for_log_and_listeners(monkeypatch, fresh_log):
    heard = []
    monkeypatch.setattr(cache, "compile_listeners", [heard.append])
    cache.announce("alone")
    with cache.counting(3) as count:
        count()  # loaded from disk
        count()
        cache.announce("second")
        with cache.counting(7) as inside:
            inside()
            cache.announce("inside")
        count()
        cache.announce("third")
    cache.announce("afterwards")
    want = [("alone", 1, 1), ("second", 2, 3), ("inside", 2, 3), ("third", 3, 3), ("afterwards", 1, 1)]
    assert heard == [cache.Progress(*progress) for progress in want]
    assert fresh_log.messages == [f"compiling {number} of {total}: {name}" for name, number, total in want]


def test_an_exception_ends_the_count(monkeypatch):
    heard = []
    monkeypatch.setattr(cache, "compile_listeners", [heard.append])
    with pytest.raises(ZeroDivisionError), cache.counting(3) as count:
        count()
        raise ZeroDivisionError
    cache.announce("afterwards")
    assert heard == [("afterwards", 1, 1)]


def test_each_warning_is_logged_once(fresh_log):
    for _ in range(2):
        cache._warn_once("one", "one message")
        cache._warn_once("two", "another message")
    assert fresh_log.messages == ["one message", "another message"]


# What the cache is keyed on


def test_the_fingerprint_changes_with_a_file_in_any_folder(monkeypatch, tmp_path):
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "KERNELS", copy)
    assert cache._fingerprint() == cache.FINGERPRINT, "it does not depend on where the folder is"
    seen = {cache.FINGERPRINT}
    folders = {path.rpartition("/")[0] for path in SOURCES}
    assert {"", "compiler", "workers", "elementwise/activations", "products", "network", "training"} <= folders
    for source in SOURCES:
        with (copy / source).open("a") as file:
            file.write("#")
        assert cache._fingerprint() not in seen, source
        seen.add(cache._fingerprint())
    (copy / "products" / "new.py").write_text("")
    assert cache._fingerprint() not in seen
    seen.add(cache._fingerprint())
    (copy / "products" / "new.py").rename(copy / "network" / "new.py")
    assert cache._fingerprint() not in seen


@pytest.mark.jit
def test_a_change_in_another_file_of_the_kernels_empties_the_cache(package, tmp_path):
    options = {"root": package, "NUMBA_CACHE_DIR": tmp_path / "cache"}
    first = run("listener", "float32", **options)
    assert first["file"].startswith(str(package))
    assert len(first["announced"]) == 1
    assert compiled_by("", "float32", **options) == []
    with (package / "fastfnn" / "kernels" / "training" / "job.py").open("a") as file:  # checks.py does not import it
        file.write("\n# changed\n")
    assert compiled_by("", "float32", **options) == ["all_finite"]
    assert compiled_by("", "float32", **options) == []


def tripled(x: Vector) -> float:
    return 3 * x[0]


class Cached(NamedTuple):
    """The cache of one function in a folder of its own."""

    folder: pathlib.Path

    def compiled(self, dtype):
        """Whether the function had to be compiled; it must run, whatever the cache holds."""
        announced = []
        cache.compile_listeners.append(announced.append)
        try:
            code = decorators._compile(tripled, np.dtype(dtype), parallel=False)
        finally:
            cache.compile_listeners.remove(announced.append)
        x = np.array([1.5], dtype)
        assert code(x) == 4.5
        assert [arguments[0].dtype.name for arguments in code.overloads] == [dtype]
        return announced == [("tripled", 1, 1)]

    def files(self, suffix):
        return sorted(self.folder.rglob(f"*.{suffix}"))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return Cached(tmp_path)


@pytest.mark.jit
def test_code_of_an_earlier_version_is_not_taken_for_that_of_this_one(cached, monkeypatch):
    """As it may happen while another process has written the index, and not yet the code."""
    assert cached.compiled("float32") and not cached.compiled("float32")
    (path,) = cached.files("nbc")
    earlier = path.read_bytes()
    monkeypatch.setattr(cache, "FINGERPRINT", "later")
    assert cached.compiled("float32") and not cached.compiled("float32")
    assert cached.files("nbc") == [path], "the same name"
    path.write_bytes(earlier)
    assert cached.compiled("float32") and not cached.compiled("float32")


@pytest.mark.jit
def test_code_for_one_dtype_is_not_taken_for_that_of_the_other(cached):
    for dtype in ("float32", "float64"):
        assert cached.compiled(dtype) and not cached.compiled(dtype)
    first, second = cached.files("nbc")
    first.write_bytes(second.read_bytes())
    assert sorted([cached.compiled("float32"), cached.compiled("float64")]) == [False, True]
    assert not cached.compiled("float32") and not cached.compiled("float64")


@pytest.mark.jit
def test_each_dtype_has_files_of_its_own(cached):
    """Of two processes that write an index for two dtypes at once, the last would drop the other's entry."""
    for dtype in ("float32", "float64"):
        cached.compiled(dtype)
    for suffix in ("nbi", "nbc"):
        first, second = cached.files(suffix)
        assert ".float32." in first.name and ".float64." in second.name


@pytest.mark.jit
def test_two_files_with_functions_of_one_name_have_files_of_their_own_in_the_cache(tmp_path):
    """Of functions of one name in one folder, such as `_update` of each rule."""
    code = """
import numpy as np
from fastfnn import kernels
for update in (lambda w, g: kernels.sgd_update(w, g, 0.5), lambda w, g: kernels.adagrad_update(w, g * 0, g, 0.5, 1e-8)):
    w = np.ones(3)
    update(w, np.ones(3))
    print(*w)
"""
    outputs = [run_python(code, NUMBA_CACHE_DIR=tmp_path) for _ in range(2)]
    assert outputs[0] == outputs[1] and len(set(outputs[0].splitlines())) == 2


# Damaged files and missing folders


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


class FormerClass:
    """Takes the place of a class that an earlier version of the kernels had."""


def names_a_former_class(path):
    """An index of Numba's format: its version, then the stamp and the files by their keys."""
    with path.open("rb") as file:
        version = pickle.load(file)
    content = pickle.dumps(("stamp", {FormerClass: "file"}))
    path.write_bytes(pickle.dumps(version) + content.replace(b"FormerClass", b"FormerKlass"))


@pytest.mark.jit
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [(suffix, damage) for suffix in ("nbc", "nbi") for damage in (half, empty, pathlib.Path.unlink)]
    + [("nbi", names_a_former_class)],
)
def test_a_damaged_file_of_the_cache_is_made_again(cached, suffix, damage):
    assert cached.compiled("float32") and not cached.compiled("float32")
    (path,) = cached.files(suffix)
    damage(path)
    assert cached.compiled("float32") and not cached.compiled("float32")


@pytest.mark.jit
def test_a_cache_that_cannot_be_written_does_not_stop_the_call(cached, monkeypatch, fresh_log):
    def full(_file, _name, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache._CheckedFile, "_save_data", full)
    assert cached.compiled("float32") and cached.compiled("float32")
    (warning,) = [record.getMessage() for record in fresh_log.records if record.levelname == "WARNING"]
    assert warning.startswith(f"fastfnn cannot keep its compiled kernels in {cached.folder}")
    assert warning.endswith("No space left on device")


@pytest.fixture
def nowhere(package, tmp_path):
    """An environment without any folder for a cache: files in their places, as chmod does not stop a superuser."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    for source in {*(package / "fastfnn" / "kernels").rglob("*.py")}:
        source.with_name("__pycache__").write_text("")
    names = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")
    return {name: blocker / "cache" for name in names} | {"PYTHONDONTWRITEBYTECODE": 1}


@pytest.mark.jit
def test_without_a_cache_folder_kernels_compile_in_every_process(package, nowhere, tmp_path):
    for _ in range(2):
        result = run("silent", "float32", root=package, **nowhere)
        assert result["at_import"] == 0
        assert result["told"] == ["compiling 1 of 1: all_finite"]
        (warning,) = result["warnings"]
        assert warning.startswith("fastfnn compiles its kernels in every process") and "NUMBA_CACHE_DIR" in warning
    assert not list(tmp_path.rglob("*.nb?"))


def told_folder(**environment):
    code = "from fastfnn.kernels.compiler import cache; print(cache.folder())"
    return run_python(code, **environment).strip()


def test_the_folder_of_the_cache_is_told(package, nowhere, tmp_path):
    assert told_folder(NUMBA_CACHE_DIR=tmp_path / "cache") == str(tmp_path / "cache")
    assert told_folder(root=package, **nowhere) == "None"
    for place in (package / "fastfnn" / "kernels").rglob("__pycache__"):
        place.unlink()
    assert told_folder(root=package, NUMBA_CACHE_DIR="") == str(package / "fastfnn" / "kernels")


# Versions


@pytest.mark.jit
def test_every_memory_layout_runs_the_same_compiled_version(package, nowhere):
    """Without a cache, where a second version would have to be compiled."""
    code = """
import itertools, sys
import numpy as np
from fastfnn import kernels
from fastfnn.kernels.compiler import cache
from helpers import arrange
announced = []
cache.compile_listeners.append(announced.append)
for dtype in ("float32", "float64"):
    for layouts in itertools.product(sys.argv[1:], repeat=2):
        param, grad = (arrange(np.ones((4, 5), dtype), layout) for layout in layouts)
        kernels.sgd_update(param, grad, 0.5)
        kernels.sgd_update(param[0], grad[0], 0.5)
        kernels.sgd_update(param[:1, :1], grad[:1, :1], 0.5)
    print(len(announced))
"""
    assert run_python(code, *LAYOUTS, root=package, **nowhere).split() == ["5", "10"]


# Side by side


def start(option, *dtypes, **environment):
    """Start a process as `run` does, without waiting for it."""
    path = os.pathsep.join(map(str, [ROOT, *TEST_FOLDERS]))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, option, *dtypes],
        env=os.environ | {"PYTHONPATH": path} | {name: str(value) for name, value in environment.items()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.jit
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "float64")])
def test_processes_that_compile_side_by_side_leave_a_good_cache(tmp_path, dtypes):
    processes = [start("listener update", dtype, NUMBA_CACHE_DIR=tmp_path) for dtype in dtypes]
    for process in processes:
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        assert len(json.loads(output)["announced"]) > 0
    assert compiled_by("update", *dtypes, NUMBA_CACHE_DIR=tmp_path) == []
    assert not list(tmp_path.rglob("*.tmp.*"))


@pytest.mark.skipif(not NOJIT, reason="what happens without the compiler")
def test_without_the_compiler_nothing_is_announced(fresh_log):
    kernels.sgd_update(np.ones(3), np.ones(3), 0.5)
    assert fresh_log.messages == []
