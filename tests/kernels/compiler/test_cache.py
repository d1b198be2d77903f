"""When kernels are compiled, what the cache on disk serves, and what happens if it is damaged or missing."""

import errno
import importlib
import json
import logging
import os
import pathlib
import pickle
import shutil
import stat
import subprocess
import sys
import types
from typing import NamedTuple

import numba
import numpy as np
import pytest
from helpers import LAYOUTS, NOJIT, ROOT, TEST_FOLDERS, run_python

from fastfnn import kernels
from fastfnn.kernels.compiler import cache, decorators, trust
from fastfnn.kernels.compiler import signature as signature_module
from fastfnn.kernels.compiler.signature import StridedVector, Vector

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
UPDATE = ["sgd_factors", "sgd_block", "run_parts", "update_part", "update"]


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
        "fastfnn compiles the kernel all_finite for this processor, not in its cache yet, and what else this process "
        "needs: later runs load them from disk ('fastfnn compile' compiles all kernels ahead)"
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
    assert result.stderr.startswith("fastfnn compiles the kernel one for this processor")


@pytest.mark.jit
def test_the_warning_says_how_many_kernels_are_not_on_disk(tmp_path):
    run("silent", "float32", NUMBA_CACHE_DIR=tmp_path)
    (warning,) = run("silent update", "float32", NUMBA_CACHE_DIR=tmp_path)["warnings"]
    assert warning.startswith(f"fastfnn compiles {len(UPDATE)} kernels (") and ", not in its cache yet" in warning
    held = next(path for path in tmp_path.rglob("*.nbc") if ".update_part." in path.name)
    held.unlink()
    (warning,) = run("silent update", "float32", NUMBA_CACHE_DIR=tmp_path)["warnings"]
    assert warning.startswith("fastfnn compiles the kernel update_part for this processor, not in its cache yet")


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
            code = decorators._compile(tripled, np.dtype(dtype))
        finally:
            cache.compile_listeners.remove(announced.append)
        x = np.array([1.5], dtype)
        assert code(x) == 4.5
        assert [arguments[0].dtype.name for arguments in code.overloads] == [dtype]
        return announced == [("tripled", 1, 1)]

    def files(self):
        return sorted(self.folder.rglob("*.nbc"))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return Cached(tmp_path)


@pytest.mark.jit
def test_code_of_an_earlier_version_is_not_taken_for_that_of_this_one(cached, monkeypatch):
    assert cached.compiled("float32") and not cached.compiled("float32")
    (path,) = cached.files()
    earlier = path.read_bytes()
    monkeypatch.setattr(cache, "FINGERPRINT", "later")
    assert cached.compiled("float32") and not cached.compiled("float32")
    assert cached.files() == [path], "the same name"
    path.write_bytes(earlier)
    assert cached.compiled("float32") and not cached.compiled("float32")


@pytest.mark.jit
def test_code_for_one_dtype_is_not_taken_for_that_of_the_other(cached):
    for dtype in ("float32", "float64"):
        assert cached.compiled(dtype) and not cached.compiled(dtype)
    first, second = cached.files()
    first.write_bytes(second.read_bytes())
    assert sorted([cached.compiled("float32"), cached.compiled("float64")]) == [False, True]
    assert not cached.compiled("float32") and not cached.compiled("float64")


@pytest.mark.jit
def test_each_dtype_and_processor_has_a_file_of_its_own(cached, monkeypatch):
    """In a folder that different machines share, none replaces the files of another."""
    for dtype in ("float32", "float64"):
        assert cached.compiled(dtype)
    first, second = (path.name for path in cached.files())
    assert first.startswith("test_cache.tripled.float32-") and second.startswith("test_cache.tripled.float64-")
    code = type(numba.core.registry.cpu_target.target_context.codegen())
    monkeypatch.setattr(code, "magic_tuple", lambda self: ("another", "processor", ""))
    assert cached.compiled("float32") and not cached.compiled("float32")
    assert len(cached.files()) == 3


@pytest.mark.jit
@pytest.mark.parametrize("what", ["numba", "signature", "code"])
def test_code_for_another_numba_signature_or_source_is_compiled_again(cached, monkeypatch, what):
    """The source of a function outside the kernels, which the fingerprint does not contain."""
    assert cached.compiled("float32") and not cached.compiled("float32")
    if what == "numba":
        monkeypatch.setattr(cache.numba, "__version__", "another")
    elif what == "signature":
        monkeypatch.setitem(tripled.__annotations__, "x", StridedVector)
        signature_module._known.pop(tripled, None)
    else:
        monkeypatch.setattr(tripled, "__code__", (lambda x: x[0] + 2 * x[0]).__code__)
    try:
        assert cached.compiled("float32") and not cached.compiled("float32")
        assert len(cached.files()) == 1
    finally:
        signature_module._known.pop(tripled, None)


@pytest.mark.jit
def test_no_two_kernels_have_one_file():
    records = [*decorators._shared.values(), *decorators._entries.values()]
    names = [cache.CodeFile(record.function, np.dtype("float32"), "", "").name for record in records]
    assert len(set(names)) == len(names) > 60


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


def one_byte_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def something_else(path):
    path.write_bytes(pickle.dumps({"not": "ours"}))


def one_bit(place):
    """Flip a bit at a place, a fraction of the size of the file."""

    def flip(path):
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 16
        path.write_bytes(content)

    flip.__name__ = f"bit_at_{place}"
    return flip


def folder(path):
    path.unlink()
    path.mkdir()


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path)


DAMAGE = [half, empty, one_byte_short, garbage, something_else, folder, link_to_itself]
DAMAGE += [one_bit(place) for place in (0.0, 0.1, 0.5, 0.999)]


@pytest.mark.jit
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_found_told_and_made_again(cached, fresh_log, monkeypatch, damage):
    assert cached.compiled("float32") and not cached.compiled("float32")
    (path,) = cached.files()
    damage(path)
    fresh_log.clear()
    with monkeypatch.context() as context:  # nothing of it may be unpickled: that alone could end the process
        context.setattr(cache.pickle, "loads", lambda content: pytest.fail("unpickled"))
        assert cached.compiled("float32")
    (warning,) = [record.getMessage() for record in fresh_log.records if record.levelname == "WARNING"]
    assert warning.startswith("fastfnn compiles a kernel again") and str(path) in warning
    assert path.is_file() and not path.is_symlink()
    assert not cached.compiled("float32")


@pytest.mark.jit
def test_a_file_that_is_gone_is_made_again(cached):
    assert cached.compiled("float32")
    (path,) = cached.files()
    path.unlink()
    assert cached.compiled("float32") and not cached.compiled("float32")


@pytest.mark.jit
def test_a_folder_with_something_in_it_stays_where_a_file_should_be(cached, fresh_log):
    assert cached.compiled("float32")
    (path,) = cached.files()
    folder(path)
    (path / "kept").write_text("")
    assert cached.compiled("float32") and cached.compiled("float32")
    warnings = [record.getMessage() for record in fresh_log.records if record.levelname == "WARNING"]
    assert len(warnings) == 2 and warnings[1].startswith("fastfnn cannot keep its compiled kernels")
    assert (path / "kept").is_file() and not list(cached.folder.rglob("*.tmp"))


@pytest.mark.jit
def test_code_that_cannot_be_loaded_is_compiled(cached, monkeypatch):
    """As that of an activation whose module is not here any more."""
    assert cached.compiled("float32")
    with monkeypatch.context() as context:
        context.setattr(cache.pickle, "loads", lambda content: importlib.import_module("no_such_module"))
        assert cached.compiled("float32")
    assert not cached.compiled("float32")


@pytest.mark.jit
def test_on_a_full_disk_calls_work_and_nothing_is_left(cached, fresh_log, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(cache, "not_kept", [])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert cached.compiled("float32") and cached.compiled("float32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (warning,) = [record.getMessage() for record in fresh_log.records if record.levelname == "WARNING"]
    assert warning.startswith(f"fastfnn cannot keep its compiled kernels in {cached.folder}")
    assert [error.errno for error in cache.not_kept] == [errno.EFBIG] * 2
    assert [path.name for path in cached.folder.rglob("*") if path.is_file()] == ["fastfnn.lock"]
    assert cached.compiled("float32") and not cached.compiled("float32")


@pytest.mark.jit
def test_files_can_be_read_by_those_whom_the_umask_lets(cached):
    """So that one user, while a container is built, compiles for another."""
    before = os.umask(0o022)
    try:
        cached.compiled("float32")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in cached.files()} == {0o644}


@pytest.mark.jit
def test_code_that_holds_addresses_of_the_process_is_not_kept(cached, monkeypatch):
    # Numba compiles the address of an array of that size.
    monkeypatch.setitem(globals(), "large", np.zeros(10**6))
    for _ in range(2):
        code = decorators._compile(reads_large, np.dtype("float32"))
        assert code(np.zeros(1, np.float32)) == 0
    assert cached.files() == []


def reads_large(x: Vector) -> float:
    return large[int(x[0])]  # noqa: F821


@pytest.mark.jit
def test_old_files_of_killed_processes_and_earlier_versions_are_removed(cached, monkeypatch):
    def file(dtype, version, days):
        """A file that the cache has written, as if so many days ago, and a temporary one."""
        with monkeypatch.context() as context:
            context.setattr(cache, "FINGERPRINT", version)
            held = cache.CodeFile(tripled, dtype, "", "")
        held._machine = machine
        held.name = f"{version}-{days}-{machine}.nbc"
        path = cache.folders().writable / held.name
        held._write(path.parent, b"content")
        left = path.with_name(f"{path.name}.0123.tmp")
        left.write_bytes(b"half")
        for each in (path, left):
            os.utime(each, (each.stat().st_atime, each.stat().st_mtime - days * 24 * 3600))

    assert cached.compiled("float32")
    (own,) = cached.files()
    machine = own.stem.rpartition("-")[2]
    for version in ("former", cache.FINGERPRINT):
        for days in (0.01, 1, 40):
            file(np.dtype("float32"), version, days)
    (own.parent / "of_the_user.txt").write_text("")
    os.utime(own.parent / "of_the_user.txt", (0, 0))
    monkeypatch.setattr(cache, "_swept", set())
    assert cached.compiled("float64")
    left = {path.name for path in own.parent.iterdir()}
    kept = {f"{version}-{days}-{machine}.nbc" for version in ("former", cache.FINGERPRINT) for days in (0.01, 1, 40)}
    kept -= {f"former-40-{machine}.nbc"}
    temporary = {f"{version}-0.01-{machine}.nbc.0123.tmp" for version in ("former", cache.FINGERPRINT)}
    assert left == {path.name for path in cached.files()} | kept | temporary | {"of_the_user.txt", "fastfnn.lock"}


@pytest.mark.jit
def test_the_cache_is_bounded_by_what_was_used_the_longest_ago(cached, monkeypatch):
    assert cached.compiled("float32")
    (own,) = cached.files()
    size, day = own.stat().st_size, 24 * 3600
    for days in (1, 2, 3, 4):
        path = own.with_name(f"{days}-{own.name}")
        path.write_bytes(own.read_bytes())
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - days * day))
    monkeypatch.setattr(cache, "_CACHE_BYTES", 4 * size + size // 2)
    monkeypatch.setattr(cache, "_swept", set())
    assert cached.compiled("float64")
    ages = {path.name.partition("-")[0] for path in own.parent.glob("[1-4]-*.nbc")}
    assert ages == {"1", "2"} and own.exists()


@pytest.mark.jit
def test_a_file_that_is_loaded_counts_as_used(cached):
    assert cached.compiled("float32")
    (own,) = cached.files()
    os.utime(own, (0, 0))
    assert not cached.compiled("float32")
    assert own.stat().st_mtime > 10**9


@pytest.mark.jit
def test_old_files_of_other_installations_are_removed_and_their_recent_ones_kept(cached, monkeypatch):
    monkeypatch.setattr(cache, "_swept", set())
    assert cached.compiled("float32")
    own = cached.files()[0].parent
    if not cache._INSTALLATION.fullmatch(own.name):
        own = own / "fastfnn_0123456789abcdef"
        own.mkdir()
    other, foreign = own.with_name("fastfnn_00000000000000ff"), own.with_name("somebody_elses")
    for folder in (other, foreign):
        folder.mkdir()
        for name, days in (("old.nbc", 40), ("new.nbc", 1)):
            (folder / name).write_bytes(b"content")
            before = (folder / name).stat().st_mtime - days * 24 * 3600
            os.utime(folder / name, (before, before))
    cache._swept.clear()
    cache.sweep(own)
    assert [path.name for path in other.iterdir()] == ["new.nbc"]
    assert len(list(foreign.iterdir())) == 2


# Folders and files of others


def belongs_to_another(path, monkeypatch):
    """Make a file or folder look like another user's."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        another = os.geteuid() + 1
        monkeypatch.setattr(trust.os, "geteuid", lambda: another)


CHANGED = {
    "a folder that all may write to": lambda file, _: file.parent.chmod(0o777),
    "a folder that its group may write to": lambda file, _: file.parent.chmod(0o770),
    "a folder of another user": lambda file, patch: belongs_to_another(file.parent, patch),
    "a file that all may write to": lambda file, _: file.chmod(0o666),
    "a file of another user": lambda file, patch: belongs_to_another(file, patch),
    "a folder above that all may write to": lambda file, _: file.parents[1].chmod(0o777),
}


@pytest.mark.jit
@pytest.mark.skipif(not trust.CHECKED, reason="Windows has no such bits")
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_code_that_somebody_else_could_have_written_is_not_loaded(cached, fresh_log, monkeypatch, change):
    monkeypatch.setattr(trust, "_is_private", lambda status: False)
    assert cached.compiled("float32") and not cached.compiled("float32")
    (own,) = cached.files()
    change(own, monkeypatch)
    fresh_log.clear()
    assert cached.compiled("float32")
    told = [record.getMessage() for record in fresh_log.records if "loads no compiled code from" in record.getMessage()]
    assert len(told) == 1 and str(own.parent) in told[0]


@pytest.mark.skipif(not trust.CHECKED, reason="Windows has no such bits")
@pytest.mark.parametrize(
    ("mode", "above", "is_trusted"),
    [(0o700, 0o700, True), (0o755, 0o755, True), (0o700, 0o1777, True), (0o1777, 0o755, False), (0o700, 0o777, False)],
)
def test_a_folder_is_trusted_if_nobody_else_can_change_what_lies_in_it(tmp_path, mode, above, is_trusted):
    folder = tmp_path / "above" / "cache"
    trust.make_folder(folder)
    folder.chmod(mode)
    folder.parent.chmod(above)
    assert (trust.why_folder_is_not_trusted(folder) is None) is is_trusted


@pytest.mark.skipif(not trust.CHECKED, reason="Windows has no such bits")
def test_a_link_to_a_folder_of_others_is_not_trusted(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (tmp_path / "link").symlink_to(open_to_all)
    assert "others may write" in trust.why_folder_is_not_trusted(tmp_path / "link")


@pytest.mark.skipif(not trust.CHECKED, reason="Windows has no such bits")
@pytest.mark.parametrize(
    ("name", "members", "is_private"),
    [("ada", [], True), ("ada", ["ada"], True), ("ada", ["eve"], False), ("staff", [], False)],
)
def test_a_group_that_may_write_must_be_that_of_the_owner_alone(tmp_path, monkeypatch, name, members, is_private):
    import grp
    import pwd

    monkeypatch.setattr(pwd, "getpwuid", lambda uid: types.SimpleNamespace(pw_name="ada"))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: types.SimpleNamespace(gr_name=name, gr_mem=members))
    tmp_path.chmod(0o770)
    assert (trust.why_folder_is_not_trusted(tmp_path) is None) is is_private


@pytest.mark.skipif(not trust.CHECKED, reason="Windows has no such bits")
@pytest.mark.parametrize(("user", "mode"), [(0, 0o755), (1000, 0o700)])
def test_a_new_folder_is_closed_to_others_unless_root_fills_it_for_them(tmp_path, monkeypatch, user, mode):
    monkeypatch.setattr(trust.os, "geteuid", lambda: user)
    trust.make_folder(tmp_path / "above" / "cache")
    for folder in (tmp_path / "above", tmp_path / "above" / "cache"):
        assert stat.S_IMODE(folder.stat().st_mode) == mode


# Folders that cannot be written to


@pytest.fixture
def read_only(monkeypatch):
    """The folders in this list cannot be written to: chmod does not stop a superuser."""
    listed, make = [], cache.tempfile.TemporaryFile

    def temporary(dir):
        if dir in listed:
            raise OSError(30, "Read-only file system")
        return make(dir=dir)

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", temporary)
    cache._folders.cache_clear()
    yield listed
    cache._folders.cache_clear()


@pytest.mark.jit
def test_a_cache_that_cannot_be_written_to_is_used_and_what_it_lacks_kept_elsewhere(cached, monkeypatch):
    assert cached.compiled("float32")
    (path,) = cached.files()
    elsewhere = cached.folder / "elsewhere"
    monkeypatch.setattr(cache, "folders", lambda: cache.Folders((path.parent, elsewhere), elsewhere))
    assert not cached.compiled("float32")
    path.unlink()
    assert cached.compiled("float32") and not cached.compiled("float32")
    assert [path.parent for path in cached.files()] == [elsewhere]
    monkeypatch.setattr(cache, "folders", lambda: cache.Folders((elsewhere,), None))
    assert not cached.compiled("float32")


def test_folders_are_read_up_to_the_first_that_can_be_written_to(tmp_path, monkeypatch, read_only):
    monkeypatch.setattr(cache, "KERNELS", tmp_path / "kernels")
    monkeypatch.setattr(cache, "AppDirs", lambda *_: types.SimpleNamespace(user_cache_dir=tmp_path / "user"))
    own, named = tmp_path / "kernels" / "__pycache__", str(tmp_path / "named")
    readable, writable = cache._folders("")
    assert readable == (own,) and writable == own
    (of_the_name,), writable = cache._folders(named)
    assert of_the_name.parent == tmp_path / "named" and writable == of_the_name

    read_only += [own, of_the_name]
    cache._folders.cache_clear()
    readable, writable = cache._folders("")
    assert readable == (own, writable) and writable.parent == tmp_path / "user"
    assert cache._folders(named) == ((of_the_name, own, writable), writable)
    read_only.append(writable)
    cache._folders.cache_clear()
    assert cache._folders(named) == ((of_the_name, own, writable), None)


def test_without_a_home_there_is_no_folder_of_the_user(tmp_path, monkeypatch, read_only):
    monkeypatch.setattr(cache, "AppDirs", lambda *_: types.SimpleNamespace(user_cache_dir="~/.cache/numba"))
    monkeypatch.chdir(tmp_path)
    read_only.append(cache.KERNELS / "__pycache__")
    assert cache._folders("") == ((cache.KERNELS / "__pycache__",), None)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def nowhere(package, tmp_path):
    """An environment without any folder for a cache: files in their places, as chmod does not stop a superuser."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    (package / "fastfnn" / "kernels" / "__pycache__").write_text("")
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
    assert told_folder(NUMBA_CACHE_DIR=tmp_path / "cache").startswith(str(tmp_path / "cache" / "fastfnn_"))
    assert told_folder(root=package, **nowhere) == "None"
    place = package / "fastfnn" / "kernels" / "__pycache__"
    place.unlink()
    assert told_folder(root=package, NUMBA_CACHE_DIR="") == str(place)
    assert told_folder(root=package, NUMBA_CACHE_DIR=nowhere["HOME"]) == str(place), "a file stands in the way"


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
def test_of_processes_that_start_at_once_one_compiles_and_the_others_wait(tmp_path):
    dtypes = ("float32", "float32", "float64")
    processes = [start("listener update", dtype, NUMBA_CACHE_DIR=tmp_path) for dtype in dtypes]
    compiled = []
    for process in processes:
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        compiled += [name for name, _, _ in json.loads(output)["announced"]]
    assert sorted(compiled) == sorted(UPDATE * 2), "each function once for each dtype"
    assert compiled_by("update", "float32", "float64", NUMBA_CACHE_DIR=tmp_path) == []
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.jit
def test_after_a_process_is_killed_the_next_goes_on_where_it_was(tmp_path):
    code = """
import os, sys
import numpy as np
from fastfnn import kernels
from fastfnn.kernels.compiler import cache
cache.compile_listeners.append(lambda progress: progress.number == 3 and os.kill(os.getpid(), 9))
kernels.sgd_update(np.ones(3), np.ones(3), 0.5)
"""
    with pytest.raises(AssertionError, match="exit status -9"):
        run_python(code, NUMBA_CACHE_DIR=tmp_path)
    assert len(list(tmp_path.rglob("*.nbc"))) == 2
    assert len(compiled_by("update", "float64", NUMBA_CACHE_DIR=tmp_path)) == len(UPDATE) - 2


@pytest.mark.skipif(not NOJIT, reason="what happens without the compiler")
def test_without_the_compiler_nothing_is_announced(fresh_log):
    kernels.sgd_update(np.ones(3), np.ones(3), 0.5)
    assert fresh_log.messages == []
