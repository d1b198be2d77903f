"""The module that reaches the kernels: backends, threads, configuration, compilation."""

import contextlib
import pathlib
import platform
import threading

import llvmlite
import numba
import numpy as np
import pytest
from helpers import in_a_thread, run_python

import fastfnn as fnn
from fastfnn import backend, kernels, reference
from fastfnn.kernels.compiler import cache
from fastfnn.kernels.workers import threads

pytestmark = pytest.mark.usefixtures("thread_count")


def test_the_backends_are_the_kernels_and_their_numpy_twins():
    assert {"kernels": kernels, "reference": reference} == backend.BACKENDS
    for name in kernels.__all__:
        for module in backend.BACKENDS.values():
            assert hasattr(module, name)
    assert reference.ACTIVATIONS == kernels.ACTIVATIONS == backend.ACTIVATIONS
    assert reference.LOSSES == kernels.LOSSES == backend.LOSSES


def test_a_network_runs_on_the_backend_it_names(monkeypatch):
    called = []
    for name, module in backend.BACKENDS.items():
        forward = module.network_forward

        def spy(*arguments, forward=forward, name=name):
            called.append(name)
            forward(*arguments)

        monkeypatch.setattr(module, "network_forward", spy)
    fnn.FNN((2, 2)).predict([[1, 2]])
    fnn.FNN((2, 2), backend="reference").predict([[1, 2]])
    fnn.FNN((2, 2), backend="kernels").predict([[1, 2]])
    assert called == ["kernels", "reference", "kernels"]


# Threads


@pytest.mark.parametrize("cores", [1, 2])
def test_a_new_process_may_use_all_threads(cores):
    code = "import fastfnn; from fastfnn import backend; print(fastfnn.get_num_threads(), backend.max_threads())"
    assert run_python(code, NUMBA_NUM_THREADS=cores).split() == [str(cores)] * 2


def test_get_num_threads_returns_the_number_that_was_set():
    for count in range(1, threads.max_threads() + 1):
        fnn.set_num_threads(np.int64(count))
        assert fnn.get_num_threads() == count
        assert type(fnn.get_num_threads()) is int


def test_a_thread_limit_holds_for_the_present_python_thread(monkeypatch):
    monkeypatch.setattr(threads, "_limit", 4)
    with backend.thread_limit(np.int64(2)):
        assert fnn.get_num_threads() == 2
        assert in_a_thread(fnn.get_num_threads) == 4
        assert backend.process_threads() == 4
    assert fnn.get_num_threads() == 4


@pytest.mark.parametrize(
    ("count", "error", "message"),
    [
        (0, ValueError, "count must be 1 or more, got 0"),
        (-1, ValueError, "count must be 1 or more, got -1"),
        (True, TypeError, "count must be an int, got bool"),
        (1.0, TypeError, "count must be an int, got float"),
        (None, TypeError, "count must be an int, got NoneType"),
    ],
)
def test_a_thread_limit_is_checked_at_once(count, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        backend.thread_limit(count)


# Configuration


def printed_config(capsys):
    assert fnn.show_config() is None
    lines = capsys.readouterr().out.splitlines()
    return {line[:16].strip(): line[17:] for line in lines}


def test_show_config_prints_versions_processor_and_threads(capsys):
    config = printed_config(capsys)
    assert config["python"] == platform.python_version()
    assert config["numpy"] == np.__version__
    assert config["numba"] == numba.__version__
    assert config["llvmlite"] == llvmlite.__version__
    assert config["cpu"]
    assert config["jit"] == ("off" if numba.config.DISABLE_JIT else "on")
    assert config["threads"] == f"{fnn.get_num_threads()} of {threads.max_threads()}"


def test_show_config_prints_the_threads_in_use(capsys):
    fnn.set_num_threads(1)
    assert printed_config(capsys)["threads"] == f"1 of {threads.max_threads()}"


# Compilation


def test_the_listener_is_called_for_each_kernel_that_is_compiled():
    heard = []
    with backend.on_compilation(heard.append):
        assert heard == []
        cache.announce("some_kernel")
        with cache.counting(5) as count:
            count()
            count()
            cache.announce("another_kernel")
    assert heard == [("some_kernel", 1, 1), ("another_kernel", 2, 5)]
    assert heard[1] == backend.CompileProgress(name="another_kernel", number=2, total=5)


def test_outside_the_context_the_listener_is_not_called():
    heard = []
    with backend.on_compilation(heard.append):
        pass
    cache.announce("some_kernel")  # too late
    assert heard == []
    assert cache.compile_listeners == []


def test_contexts_nest():
    outer, inner = [], []
    with backend.on_compilation(outer.append):
        with backend.on_compilation(inner.append):
            cache.announce("some_kernel")
        cache.announce("another_kernel")
    assert [kernel.name for kernel in outer] == ["some_kernel", "another_kernel"]
    assert [kernel.name for kernel in inner] == ["some_kernel"]
    assert cache.compile_listeners == []


def test_a_listener_may_listen_twice():
    heard = []
    with backend.on_compilation(heard.append), backend.on_compilation(heard.append):
        cache.announce("some_kernel")
    assert len(heard) == 2
    assert cache.compile_listeners == []


def test_what_another_thread_compiles_is_not_heard():
    heard = []
    with backend.on_compilation(heard.append):
        thread = threading.Thread(target=cache.announce, args=("some_kernel",))
        thread.start()
        thread.join()
    assert heard == []


def test_compile_kernels_raises_if_the_cache_cannot_be_written(monkeypatch):
    def full(_wanted):
        cache.not_kept.append(OSError(28, "No space left on device"))

    monkeypatch.setattr(cache, "not_kept", [OSError("earlier")])
    monkeypatch.setattr(backend.decorators, "prepare", lambda _wanted: None)
    backend.compile_kernels("float32")
    monkeypatch.setattr(backend.decorators, "prepare", full)
    with pytest.raises(OSError, match=r"the compiled kernels cannot be kept in .*No space left on device"):
        backend.compile_kernels("float32")


def test_an_exception_inside_removes_the_listener():
    heard = []
    with contextlib.suppress(ZeroDivisionError), backend.on_compilation(heard.append):
        raise ZeroDivisionError
    assert cache.compile_listeners == []
    cache.announce("some_kernel")
    assert heard == []


def test_a_failed_run_of_fit_leaves_no_listener(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(kernels, "train_steps", broken)
    with pytest.raises(ZeroDivisionError):
        fnn.FNN((2, 2)).fit([[1, 2]], [0], progress=True)
    assert cache.compile_listeners == []


def compile_in_first_step(monkeypatch):
    """Let the first call of the kernel announce that the second of three kernels is being compiled."""
    train_steps = kernels.train_steps
    calls = []

    def announcing(*arguments):
        if not calls:
            with cache.counting(3) as count:
                count()
                count()
                cache.announce("some_kernel")
        calls.append(arguments)
        train_steps(*arguments)

    monkeypatch.setattr(kernels, "train_steps", announcing)


@pytest.mark.parametrize(
    ("folder", "how_often"),
    [("/some/folder", "once for this machine"), (None, "in every process: set NUMBA_CACHE_DIR")],
)
def test_the_progress_bar_says_which_kernel_is_being_compiled(monkeypatch, capsys, folder, how_often):
    compile_in_first_step(monkeypatch)
    monkeypatch.setattr("fastfnn.progress.cache_folder", lambda: folder)
    fnn.FNN((2, 2)).fit([[1, 2]], [0], epochs=2, progress=True)
    output = capsys.readouterr()
    message = f"compiling kernel 2 of 3, {how_often}"
    assert message in output.err
    assert "compiling" not in output.out
    assert "compiling" not in output.err.rpartition("\r")[2], "the bar does not keep it"


def test_a_kernel_that_is_compiled_after_the_last_step_leaves_no_trace_in_the_bar(monkeypatch, capsys):
    network_loss = kernels.network_loss

    def announcing(*arguments):
        cache.announce("predicted_loss")
        return network_loss(*arguments)

    monkeypatch.setattr(kernels, "network_loss", announcing)
    fnn.FNN((2, 2)).fit([[1, 2]], [0], epochs=1, validation_data=([[1, 2]], [0]), progress=True)
    assert "compiling" not in capsys.readouterr().err.rpartition("\r")[2]


def test_the_folder_of_the_cache_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert pathlib.Path(backend.cache_folder()).parent == tmp_path


# Fills the cache, or finds it full, and says how many kernels were compiled.
COMPILE = """
from fastfnn import backend
heard = []
with backend.on_compilation(heard.append):
    backend.compile_kernels("float32")
print(len(heard))
"""


@pytest.mark.skipif(not numba.config.DISABLE_JIT, reason="with the compiler, test_cli.py fills a cache")
def test_without_the_compiler_there_is_nothing_to_compile():
    assert run_python(COMPILE).split() == ["0"]
