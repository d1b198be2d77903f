"""One compilation at a time: threads, forks, Ctrl-C, processes."""

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import ROOT, run_python

from fastfnn.kernels.compiler import cache, exclusion
from fastfnn.kernels.elementwise.checks import all_finite

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# Forks

# A child that does not come to its end is ended by the alarm. `fork` returns what the child's function returned.
FORKING = """
import gc, os, signal, threading, time, traceback
import numpy as np
from fastfnn.kernels.compiler import cache, exclusion
from fastfnn.kernels.elementwise.checks import all_finite

def fork(child):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            os._exit(0 if child() else 1)
        finally:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def compiles():
    with exclusion.one_thread(), exclusion.undivided():
        return True
"""


@forks
def test_a_fork_waits_for_the_function_that_another_thread_compiles():
    code = """
inside, left = threading.Event(), []
def work():
    with exclusion.one_thread(), exclusion.undivided():
        inside.set()
        time.sleep(0.5)
        left.append("the function")
thread = threading.Thread(target=work, daemon=True)
thread.start()
inside.wait()
assert fork(lambda: left and compiles() and gc.isenabled())
assert compiles()
"""
    run_python(FORKING + code, timeout=200)


@forks
def test_a_fork_does_not_wait_for_the_functions_that_follow():
    """The next function begins after the fork."""
    code = """
done, stop = [], threading.Event()
def work():
    while not stop.is_set():
        with exclusion.one_thread(), exclusion.undivided():
            time.sleep(0.1)
            done.append(1)
thread = threading.Thread(target=work, daemon=True)
thread.start()
while not done:
    time.sleep(0.01)
count = len(done)
assert fork(lambda: len(done) <= count + 2 and compiles())
stop.set()
"""
    run_python(FORKING + code, timeout=200)


@forks
def test_a_child_does_not_wait_for_a_thread_that_waits_for_another_process():
    code = """
inside, stop = threading.Event(), threading.Event()
def work():
    with exclusion.one_thread():
        inside.set()
        stop.wait()
thread = threading.Thread(target=work, daemon=True)
thread.start()
inside.wait()
assert fork(compiles)
stop.set()
thread.join()
assert compiles()
"""
    run_python(FORKING + code, timeout=200)


@forks
def test_a_fork_gives_up_a_thread_that_is_stuck_and_the_child_goes_on_without_it():
    code = """
exclusion.FORK_SECONDS = 0.2
inside, stop = threading.Event(), threading.Event()
def work():
    with exclusion.one_thread(), exclusion.undivided(), exclusion._OTHERS[1]:
        inside.set()
        stop.wait()
thread = threading.Thread(target=work, daemon=True)
thread.start()
inside.wait()
assert not gc.isenabled()
assert fork(lambda: gc.isenabled() and compiles() and all_finite(np.ones(1)))
assert not gc.isenabled(), "the thread goes on here"
stop.set()
thread.join()
assert gc.isenabled() and compiles()
"""
    run_python(FORKING + code, timeout=200)


@forks
@pytest.mark.jit
def test_a_fork_by_the_thread_that_compiles_leaves_both_processes_usable():
    code = """
results = []
def listener(progress):
    if not results:
        results.append(None)
        results.append(fork(lambda: all_finite(np.ones(1, np.float32)) and compiles()))
cache.compile_listeners.append(listener)
cache._folders = lambda named: cache.Folders((), None)  # so that something is compiled
assert all_finite(np.ones(1))
assert results == [None, True]
thread = threading.Thread(target=lambda: results.append(all_finite(np.ones(1, np.float32))), daemon=True)
thread.start()
thread.join()
assert results[2] is True
"""
    run_python(FORKING + code, timeout=200)


@forks
@pytest.mark.jit
def test_a_child_of_a_process_whose_thread_compiles_kernels_runs_kernels(tmp_path):
    code = """
from fastfnn import kernels
begun = threading.Event()
cache.compile_listeners.append(lambda progress: begun.set())
update = lambda: kernels.sgd_update(np.ones(3), np.ones(3), 0.5)
thread = threading.Thread(target=update, daemon=True)
thread.start()
begun.wait()
def child():
    update()
    return all_finite(np.ones(1, np.float32))
assert fork(child)
thread.join()
"""
    run_python(FORKING + code, timeout=200, NUMBA_CACHE_DIR=tmp_path)


@pytest.mark.jit
def test_a_call_of_a_prepared_function_imports_nothing(tmp_path):
    """A child would wait for ever for a module that another thread was importing."""
    code = """
import sys
import numpy as np
from fastfnn.kernels.compiler.decorators import entry_for
from fastfnn.kernels.elementwise.checks import all_finite
kernel = entry_for(all_finite, np.dtype("float64"))
before = set(sys.modules)
assert kernel(np.ones(1))
assert set(sys.modules) == before, set(sys.modules) - before
"""
    for _ in range(2):  # compiled, and loaded
        run_python(code, NUMBA_CACHE_DIR=tmp_path)


# Ctrl-C


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background; a function that sends it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_for_the_end_of_the_function(ctrl_c):
    reached = []
    with pytest.raises(KeyboardInterrupt), exclusion.one_thread(), exclusion.undivided():
        ctrl_c()
        reached.append("the end")
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and gc.isenabled()
    assert_others_can_compile()


def test_a_second_ctrl_c_does_not_wait(ctrl_c):
    reached = []
    with pytest.raises(KeyboardInterrupt), exclusion.one_thread(), exclusion.undivided():
        ctrl_c()
        ctrl_c()
        reached.append("the end")
    assert reached == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and gc.isenabled()
    assert_others_can_compile()


def assert_others_can_compile():
    done = []

    def work():
        with exclusion.one_thread(), exclusion.undivided(), exclusion._OTHERS[1]:
            done.append(1)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert done


def test_an_error_of_the_function_is_not_lost_by_ctrl_c(ctrl_c):
    with pytest.raises(KeyboardInterrupt) as raised, exclusion.undivided():
        ctrl_c()
        raise ZeroDivisionError
    assert isinstance(raised.value.__context__, ZeroDivisionError)


@pytest.mark.parametrize("handler", ["of the user", signal.SIG_IGN])
def test_handlers_of_the_user_are_called_once_and_restored(handler):
    called = []
    if handler == "of the user":

        def handler(number, frame):
            called.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with exclusion.undivided():
            signal.raise_signal(signal.SIGINT)
            assert called == []
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert called == ([] if handler is signal.SIG_IGN else [signal.SIGINT])


def test_collection_of_garbage_stays_off_for_who_has_switched_it_off():
    gc.disable()
    try:
        with exclusion.undivided():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
    with exclusion.undivided():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.jit
def test_ctrl_c_while_kernels_compile_is_keyboard_interrupt_and_the_next_call_works(tmp_path):
    code = """
import gc, signal
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastfnn import kernels
from fastfnn.kernels.compiler import cache
from fastfnn.kernels.elementwise.checks import all_finite
heard = []
def listener(progress):
    heard.append(progress)
    if len(heard) == 3:
        signal.raise_signal(signal.SIGINT)
cache.compile_listeners.append(listener)
w = np.ones(3)
try:
    kernels.sgd_update(w, np.ones(3), 0.25)
    print("not interrupted")
except KeyboardInterrupt:
    assert len(heard) == 3 and gc.isenabled() and w.tolist() == [1, 1, 1]
all_finite(np.ones(1, np.float32))
kernels.sgd_update(w, np.ones(3), 0.25)
assert w.tolist() == [0.75] * 3
print(*[tuple(progress[1:]) for progress in heard], sep=";")
print(len({progress.name for progress in heard}))
"""
    numbers, names = run_python(code, NUMBA_CACHE_DIR=tmp_path).splitlines()
    assert numbers == "(1, 5);(2, 5);(3, 5);(1, 1);(2, 3);(3, 3)", "what was compiled before Ctrl-C is kept"
    assert names == "6"


# Processes

# Holds the lock at a place of a file, says so, and waits for its end.
HOLDER = """
import pathlib, sys
from fastfnn.kernels.compiler import exclusion
with exclusion.one_process(pathlib.Path(sys.argv[1]), int(sys.argv[2])):
    print("inside", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock at place 3; the path of its file."""
    path = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), "3"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "inside\n"
    yield process, path
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.fixture
def patience(monkeypatch):
    """Set how many seconds this process waits for others."""
    return lambda seconds: monkeypatch.setattr(exclusion, "_patience", seconds)


def waited_for(path, place):
    """Whether the lock was got."""
    with path.open("ab") as file:
        return exclusion._wait_for_lock(file, place)


def test_a_process_waits_for_another_until_it_leaves(holder, patience):
    process, path = holder
    patience(120)
    threading.Timer(0.3, process.stdin.close).start()
    start = time.monotonic()
    assert waited_for(path, 3)
    assert time.monotonic() - start >= 0.2
    assert exclusion._patience == 120


def test_a_process_that_is_killed_leaves_no_lock(holder, patience):
    process, path = holder
    patience(120)
    process.kill()
    assert waited_for(path, 3)


def test_another_place_is_free(holder, patience):
    patience(0)
    assert not waited_for(holder[1], 3)
    assert waited_for(holder[1], 4)


def test_after_a_long_wait_a_process_goes_on_and_does_not_wait_again(holder, patience):
    _, path = holder
    patience(0.2)
    inside = []
    with exclusion.one_process(path, 3):
        inside.append(1)
    assert exclusion._patience == 0
    with exclusion.one_process(path, 3):
        inside.append(2)
    assert inside == [1, 2]


def test_leaving_gives_the_lock_back(tmp_path, patience):
    patience(0)
    path = tmp_path / "lock"
    code = HOLDER.replace("sys.stdin.read()", "")
    with pytest.raises(ZeroDivisionError), exclusion.one_process(path, 3):
        raise ZeroDivisionError
    assert run_python(code, path, 3) == "inside\n"


@pytest.mark.skipif(sys.platform == "win32", reason="patches the locks of other systems")
def test_on_a_file_system_without_locks_a_process_goes_on(tmp_path, monkeypatch):
    def refused(*_arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(exclusion.fcntl, "lockf", refused)
    inside = []
    with exclusion.one_process(tmp_path / "lock", 3):
        inside.append(1)
    with exclusion.one_process(tmp_path / "no folder" / "lock", 3):
        inside.append(2)
    assert inside == [1, 2]


@pytest.mark.jit
def test_a_lock_file_that_cannot_be_opened_stops_nobody(tmp_path, monkeypatch):
    (tmp_path / cache._LOCK_NAME).mkdir()
    monkeypatch.setattr(cache, "folders", lambda: cache.Folders((tmp_path,), tmp_path))
    file = cache.CodeFile(all_finite, np.dtype("float32"), "", "")
    with file.ready():
        assert file._content is None
