"""Saved files: whatever fails at whatever moment, the file is the old or the new one, whole."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from small_networks import bits

import fastfnn as fnn
from fastfnn import atomic

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
root = hasattr(os, "geteuid") and os.geteuid() == 0

OLD, NEW = b"old " * 100, b"new" * 50_000


@pytest.fixture
def path(tmp_path):
    """An existing file in a folder of its own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(OLD)
    return folder / "file"


def names(path):
    return sorted(entry.name for entry in path.parent.iterdir())


# Dies at call number k of a C function, for k = 1, 2, ...; prints what each death leaves. No package is imported, so
# that the process has one thread and may fork.
KILLED = """
import importlib.util, itertools, json, os, sys
path, content = sys.argv[2], b"new" * 50_000
specification = importlib.util.spec_from_file_location("atomic", sys.argv[1])
atomic = importlib.util.module_from_spec(specification)
specification.loader.exec_module(atomic)
found = []
for number in itertools.count(1):
    with open(path, "wb") as file:
        file.write(b"old " * 100)
    child = os.fork()
    if child == 0:
        left = number
        def die(frame, event, function):
            global left
            left -= event == "c_call"
            if left == 0:
                os._exit(9)
        sys.setprofile(die)
        atomic.replace(path, content)
        sys.setprofile(None)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(path, "rb") as file:
        now = file.read()
    found.append((status, "new" if now == content else "old" if now == b"old " * 100 else "damaged"))
    if status == 0:
        break
print(json.dumps(found))
"""


@posix
def test_a_process_that_is_killed_at_any_call_leaves_the_old_or_the_new_file(path):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, atomic.__file__, str(path)], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert [status for status, _ in found] == [9] * (len(found) - 1) + [0]
    kinds = [kind for _, kind in found]
    changes = kinds.index("new")
    assert kinds == ["old"] * changes + ["new"] * (len(kinds) - changes)
    assert 10 < changes < len(kinds) - 1


# Writes more than a file may have: the system cuts the write short and then refuses it, as on a full disk, or kills.
TOO_LARGE = """
import importlib.util, resource, signal, sys
specification = importlib.util.spec_from_file_location("atomic", sys.argv[1])
atomic = importlib.util.module_from_spec(specification)
specification.loader.exec_module(atomic)
signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[3]))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    atomic.replace(sys.argv[2], b"new" * 50_000)
except OSError as error:
    print(error)
"""


@posix
@pytest.mark.parametrize("action", ["SIG_IGN", "SIG_DFL"], ids=["refused", "killed"])
def test_a_write_that_ends_half_way_leaves_the_old_file(path, action):
    run = subprocess.run(
        [sys.executable, "-c", TOO_LARGE, atomic.__file__, str(path), action],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert path.read_bytes() == OLD
    if action == "SIG_IGN":
        assert str(path) in run.stdout, run.stderr
        assert names(path) == ["file"]
    else:
        assert run.returncode == -signal.SIGXFSZ


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device", "temporary"), KeyboardInterrupt()])
@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
def test_an_error_while_saving_leaves_the_old_file_alone(path, monkeypatch, function, error):
    net = fnn.FNN((3, 2), seed=0)
    net.save(path)
    old = path.read_bytes()

    def fail(*arguments):
        raise error

    monkeypatch.setattr(atomic.os, function, fail)
    with pytest.raises(type(error)) as caught:
        fnn.FNN((30, 20), seed=1).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert names(path) == ["file"]
    if isinstance(error, OSError):
        assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC


def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_its_folder_is(path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace

    def recorded_fsync(descriptor):
        now = os.fstat(descriptor)
        events.append("folder" if stat.S_ISDIR(now.st_mode) else now.st_size)
        fsync(descriptor)

    def recorded_replace(*arguments):
        events.append("replace")
        replace(*arguments)

    monkeypatch.setattr(atomic.os, "fsync", recorded_fsync)
    monkeypatch.setattr(atomic.os, "replace", recorded_replace)
    atomic.replace(path, NEW)
    assert path.read_bytes() == NEW
    assert events == [len(NEW), "replace", *(["folder"] if os.name != "nt" else [])]


def test_a_folder_that_cannot_be_flushed_is_no_error(path, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", files_only)
    atomic.replace(path, NEW)
    assert path.read_bytes() == NEW


# Permissions


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_permissions_of_a_file_are_kept(path, mode):
    path.chmod(mode)
    atomic.replace(path, NEW)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        atomic.replace(tmp_path / "new", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode


@pytest.mark.skipif(not root, reason="only root may give files away")
def test_the_owner_of_a_file_is_kept(path):
    os.chown(path, 12345, 54321)
    atomic.replace(path, NEW)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


@posix
@pytest.mark.skipif(root, reason="root may write to everything")
@pytest.mark.parametrize("function", [lambda path: atomic.replace(path, NEW), atomic.check])
def test_a_file_or_folder_that_is_write_protected_is_not_replaced(path, function):
    path.chmod(0o400)
    with pytest.raises(PermissionError, match="file"):
        function(path)
    path.chmod(0o600)
    path.parent.chmod(0o500)
    with pytest.raises(PermissionError, match="file"):
        function(path)
    path.parent.chmod(0o700)
    assert path.read_bytes() == OLD


# Where a path leads


@posix
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_followed(path, tmp_path, exists):
    if not exists:
        path.unlink()
    link = tmp_path / "link"
    link.symlink_to("folder/file")
    atomic.replace(link, NEW)
    assert link.is_symlink() and path.read_bytes() == NEW
    assert names(path) == ["file"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "link"]


def test_a_path_may_be_relative_bytes_or_have_the_longest_name(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    for name in ("file", b"file", "f" * 255):
        atomic.replace(name, NEW)
        with open(name, "rb") as file:
            assert file.read() == NEW
        os.remove(name)
    assert names(path) == []


@pytest.mark.parametrize("function", [lambda path: atomic.replace(path, NEW), atomic.check])
@pytest.mark.parametrize("name", ["", ".", "..", "nowhere/file", "nowhere/", "nowhere/.", "file/below"])
def test_a_path_that_cannot_be_a_file_is_an_oserror_that_names_it(path, monkeypatch, function, name):
    monkeypatch.chdir(path.parent)
    with pytest.raises(OSError) as caught:
        function(name)
    assert caught.value.filename == name
    assert names(path) == ["file"] and path.read_bytes() == OLD


def test_check_writes_nothing(path):
    atomic.check(path)
    atomic.check(path.parent / "new")
    assert names(path) == ["file"] and path.read_bytes() == OLD


@posix
def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    atomic.replace(pipe, NEW)
    reader.join(60)
    assert received == [NEW]
    assert stat.S_ISFIFO(pipe.stat().st_mode) and [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


SAVE_TO_STDOUT = "import sys, fastfnn; fastfnn.FNN((3, 2), seed=0).save(sys.argv[1])"


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs /dev/stdout")
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_a_network_can_be_saved_to_standard_output(tmp_path, kind):
    received = tmp_path / "received"
    command = [sys.executable, "-c", SAVE_TO_STDOUT, "/dev/stdout"]
    with open(received, "wb") as file:
        before = os.fstat(file.fileno()).st_ino
        run = subprocess.run(
            command, stdout=file if kind == "file" else subprocess.PIPE, stderr=subprocess.PIPE, timeout=120
        )
        assert run.returncode == 0, run.stderr
        if kind == "pipe":
            file.write(run.stdout)
    assert received.stat().st_ino == before, "the file that the shell has opened, not another of its name"
    assert bits(fnn.load(received)) == bits(fnn.FNN((3, 2), seed=0))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_an_oserror():
    atomic.check("/dev/full")
    with pytest.raises(OSError, match="No space"):
        atomic.replace("/dev/full", NEW)
