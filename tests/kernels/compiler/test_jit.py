"""Compilation: when it happens, what the cache on disk serves, and what happens without one."""

import json
import pathlib
import shutil

import numba
import pytest
from helpers import LAYOUTS, ROOT, run_python

from fastfnn import kernels
from fastfnn.kernels.compiler import jit

pytestmark = pytest.mark.jit

# Runs one kernel for each dtype given, and reports what Numba compiled and what was announced.
SCRIPT = """
import json, logging, sys
import numba.core.event
compiled = numba.core.event.RecordingListener()
numba.core.event.register("numba:compile", compiled)
logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.getMessage())
logging.getLogger("fastfnn").addHandler(handler)
logging.getLogger("fastfnn").setLevel(logging.INFO)

import numpy as np
from fastfnn import kernels
from fastfnn.kernels.compiler import jit
at_import = len(compiled.buffer) + len(logged)
announced = []
jit.compile_listeners.append(announced.append)
for dtype in sys.argv[1:]:
    param, grad = np.ones((2, 3), dtype), np.ones((2, 3), dtype)
    kernels.sgd_update(param, grad, 0.25)
    kernels.sgd_update(param, grad, 0.25)
    assert np.all(param == 0.5)
result = {"file": kernels.__file__, "at_import": at_import, "announced": announced, "logged": len(logged)}
print(json.dumps(result | {"compiled": len(compiled.buffer)}))
"""


def run(*dtypes, root=ROOT, **environment):
    return json.loads(run_python(SCRIPT, *dtypes, root=root, **environment))


@pytest.fixture
def package(tmp_path):
    """A folder with a copy of the package, which a test may change."""
    ignored = shutil.ignore_patterns("__pycache__", "data", "kernels")
    shutil.copytree(ROOT / "fastfnn", tmp_path / "package" / "fastfnn", ignore=ignored)
    sources = pathlib.Path(kernels.__file__).parent
    shutil.copytree(sources, tmp_path / "package" / "fastfnn" / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "package"


def test_the_first_call_compiles_and_the_next_process_loads(tmp_path):
    cache = tmp_path / "cache"
    imported = run(NUMBA_CACHE_DIR=cache)
    assert imported["at_import"] == imported["compiled"] == 0
    assert not list(tmp_path.rglob("*.nb?")), "something was compiled at import"

    first = run("float32", NUMBA_CACHE_DIR=cache)
    assert first["at_import"] == 0 and first["compiled"] > 0
    assert len(first["announced"]) == first["logged"] == 1 and first["announced"] == ["update"]
    assert list(cache.rglob("*.nbc"))

    second = run("float32", NUMBA_CACHE_DIR=cache)
    assert second["announced"] == [] and second["logged"] == 0
    assert second["compiled"] == 0

    another_dtype = run("float64", "float32", NUMBA_CACHE_DIR=cache)
    assert len(another_dtype["announced"]) == 1


def test_a_damaged_file_of_the_cache_is_made_again(tmp_path):
    run("float32", NUMBA_CACHE_DIR=tmp_path)
    for path in tmp_path.rglob("*.nbc"):
        path.write_bytes(path.read_bytes()[:100])
    assert len(run("float32", NUMBA_CACHE_DIR=tmp_path)["announced"]) == 1
    assert run("float32", NUMBA_CACHE_DIR=tmp_path)["announced"] == []


def test_a_change_in_another_file_of_the_kernels_empties_the_cache(package, tmp_path):
    cache = tmp_path / "cache"
    first = run("float32", NUMBA_CACHE_DIR=cache, root=package)
    assert first["file"].startswith(str(package))
    assert len(first["announced"]) == 1
    assert run("float32", NUMBA_CACHE_DIR=cache, root=package)["announced"] == []

    with (package / "fastfnn" / "kernels" / "products" / "affine.py").open(
        "a"
    ) as file:  # optimizers.py does not even import it
        file.write("\n# changed\n")
    assert len(run("float32", NUMBA_CACHE_DIR=cache, root=package)["announced"]) == 1
    assert run("float32", NUMBA_CACHE_DIR=cache, root=package)["announced"] == []


def test_code_of_an_earlier_version_is_not_taken_for_that_of_this_one(package, tmp_path):
    # As it may happen while another process has written the index, and not yet the code.
    cache = tmp_path / "cache"
    run("float32", NUMBA_CACHE_DIR=cache, root=package)
    earlier = {path: path.read_bytes() for path in cache.rglob("*.nbc")}
    with (package / "fastfnn" / "kernels" / "products" / "affine.py").open("a") as file:
        file.write("\n# changed\n")
    run("float32", NUMBA_CACHE_DIR=cache, root=package)
    assert {*cache.rglob("*.nbc")} == {*earlier}, "the same names"
    for path, content in earlier.items():
        path.write_bytes(content)
    assert len(run("float32", NUMBA_CACHE_DIR=cache, root=package)["announced"]) == 1
    assert run("float32", NUMBA_CACHE_DIR=cache, root=package)["announced"] == []


def test_code_for_one_dtype_is_not_taken_for_that_of_the_other(tmp_path):
    # As it may happen where two processes compile at once.
    run("float32", "float64", NUMBA_CACHE_DIR=tmp_path)
    first, second = sorted(path for path in tmp_path.rglob("*.nbc") if "._update-" in path.name)
    first.write_bytes(second.read_bytes())
    assert len(run("float32", "float64", NUMBA_CACHE_DIR=tmp_path)["announced"]) == 1
    assert run("float32", "float64", NUMBA_CACHE_DIR=tmp_path)["announced"] == []


@pytest.fixture
def nowhere(package, tmp_path):
    """An environment without any folder for a cache: files in their places, as chmod does not stop a superuser."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    for source in (package / "fastfnn" / "kernels").rglob("__init__.py"):
        source.with_name("__pycache__").write_text("")
    names = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")
    return {name: blocker / "cache" for name in names} | {"PYTHONDONTWRITEBYTECODE": 1}


def test_without_a_cache_folder_kernels_compile_in_every_process(package, nowhere, tmp_path):
    for _ in range(2):
        result = run("float32", root=package, **nowhere)
        assert result["at_import"] == 0
        assert len(result["announced"]) == result["logged"] == 1
    assert not list(tmp_path.rglob("*.nb?"))


def test_every_memory_layout_runs_the_same_compiled_version(package, nowhere):
    """Without a cache, where a second version would have to be compiled."""
    code = """
import itertools, sys
import numpy as np
from fastfnn import kernels
from fastfnn.kernels.compiler import jit
from helpers import arrange
announced = []
jit.compile_listeners.append(announced.append)
for dtype in ("float32", "float64"):
    for layouts in itertools.product(sys.argv[1:], repeat=2):
        param, grad = (arrange(np.ones((4, 5), dtype), layout) for layout in layouts)
        kernels.sgd_update(param, grad, 0.5)
        kernels.sgd_update(param[0], grad[0], 0.5)
        kernels.sgd_update(param[:1, :1], grad[:1, :1], 0.5)
    print(len(announced))
"""
    assert run_python(code, *LAYOUTS, root=package, **nowhere).split() == ["1", "2"]


def test_a_folder_of_another_name_cannot_be_imported(package):
    """Another distribution owns the name `kernels`: importing the folder by it must say what to do."""
    shutil.copytree(package / "fastfnn" / "kernels", package / "kernels")
    code = "try:\n    import kernels\nexcept ImportError as error:\n    print(error)"
    assert "import fastfnn.kernels" in run_python(code, root=package)


def test_an_inner_function_tells_python_that_it_cannot_be_called():
    @jit.inner
    def double(x):
        return 2 * x

    with pytest.raises(TypeError, match=r"^double can only be called from compiled code$"):
        double(3)
    assert numba.njit(lambda x: double(x))(3) == 6


def test_an_import_tells_numba_of_no_function():
    code = """
import sys, fastfnn
from fastfnn.kernels.compiler.jit import _Inner
modules = [module for name, module in sys.modules.items() if name.startswith("fastfnn.kernels")]
functions = [value for module in modules for value in vars(module).values() if isinstance(value, _Inner)]
assert len(functions) > 50
assert not any("dispatcher" in vars(function) for function in functions)
"""
    run_python(code)
