"""The module that reaches the kernels: backends, threads, configuration, the listener for compilation."""

import contextlib
import platform

import llvmlite
import numba
import numpy as np
import pytest
from helpers import run_python

import fastfnn as fnn
from fastfnn import backend, kernels, reference
from fastfnn.kernels.compiler import jit
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
def test_a_new_process_may_use_all_the_threads_of_numba(cores):
    code = "import fastfnn; from fastfnn.kernels.workers import threads; print(threads._limit, threads.max_threads())"
    assert run_python(code, NUMBA_NUM_THREADS=cores).split() == [str(cores)] * 2


def test_get_num_threads_returns_the_number_that_was_set():
    serial = threads.threading_layer() == "workqueue"
    for count in range(1, threads.max_threads() + 1):
        fnn.set_num_threads(np.int64(count))
        assert fnn.get_num_threads() == (1 if serial else count)
        assert type(fnn.get_num_threads()) is int


def test_numbas_own_number_of_threads_is_not_changed():
    before = numba.get_num_threads()
    fnn.set_num_threads(1)
    assert numba.get_num_threads() == before


def test_kernels_use_one_thread_where_threads_are_not_safe(monkeypatch):
    monkeypatch.setattr(threads, "_layer", "workqueue")
    fnn.set_num_threads(threads.max_threads())
    assert fnn.get_num_threads() == 1
    assert threads.threads_for(10**12) == 1


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
    assert config["threading layer"] == threads.threading_layer()
    assert config["threads"] == f"{fnn.get_num_threads()} of {threads.max_threads()}"


def test_show_config_prints_the_threads_in_use(capsys):
    fnn.set_num_threads(1)
    assert printed_config(capsys)["threads"] == f"1 of {threads.max_threads()}"


def test_show_config_explains_a_single_thread(capsys, monkeypatch):
    monkeypatch.setattr(threads, "_layer", "tbb")
    assert "note" not in printed_config(capsys)
    monkeypatch.setattr(threads, "_layer", "workqueue")
    fnn.set_num_threads(threads.max_threads())
    config = printed_config(capsys)
    assert config["threading layer"] == "workqueue"
    assert config["threads"] == f"1 of {threads.max_threads()}"
    assert config["note"].startswith("serial: ")


# Compilation


def test_the_action_is_called_once_at_the_first_compilation():
    calls = []
    with backend.on_first_compilation(lambda: calls.append("compiling")):
        assert calls == []
        jit._announce("some_kernel")
        assert calls == ["compiling"]
        jit._announce("another_kernel")
    assert calls == ["compiling"]


def test_without_a_compilation_the_action_is_not_called():
    calls = []
    with backend.on_first_compilation(lambda: calls.append("compiling")):
        pass
    jit._announce("some_kernel")  # after the context has ended
    assert calls == []
    assert jit.compile_listeners == []


def test_contexts_can_be_nested():
    calls = []
    with backend.on_first_compilation(lambda: calls.append("outer")):
        with backend.on_first_compilation(lambda: calls.append("inner")):
            jit._announce("some_kernel")
        jit._announce("another_kernel")
    assert sorted(calls) == ["inner", "outer"]
    assert jit.compile_listeners == []


def test_an_exception_inside_removes_the_listener():
    calls = []
    with contextlib.suppress(ZeroDivisionError), backend.on_first_compilation(lambda: calls.append("compiling")):
        raise ZeroDivisionError
    assert jit.compile_listeners == []
    jit._announce("some_kernel")
    assert calls == []


def test_a_failed_run_of_fit_leaves_no_listener(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(kernels, "train_steps", broken)
    with pytest.raises(ZeroDivisionError):
        fnn.FNN((2, 2)).fit([[1, 2]], [0], progress=True)
    assert jit.compile_listeners == []
