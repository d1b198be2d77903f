"""threadpoolctl sees the threads of the kernels, and limits them."""

import threadpoolctl

import fastfnn as fnn
from fastfnn import backend
from fastfnn.kernels.workers import threads


def kernels():
    (found,) = [pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "fastfnn"]
    return found


def test_it_reports_the_threads():
    fnn.set_num_threads(1)
    assert kernels()["num_threads"] == 1
    assert kernels()["version"] == fnn.__version__


def test_its_limits_hold_inside_the_context_only():
    most = threads.max_threads()
    fnn.set_num_threads(most)
    with threadpoolctl.threadpool_limits(limits=1):
        assert fnn.get_num_threads() == 1
    assert fnn.get_num_threads() == most
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        assert fnn.get_num_threads() == most
    with threadpoolctl.threadpool_limits(limits={"fastfnn": 1}):
        assert fnn.get_num_threads() == 1


def test_a_limit_of_a_python_thread_does_not_become_that_of_the_process():
    most = threads.max_threads()
    fnn.set_num_threads(most)
    with backend.thread_limit(1):
        assert kernels()["num_threads"] == most
        with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
            pass
    assert fnn.get_num_threads() == most


def test_a_limit_above_the_most_threads_is_the_most():
    fnn.set_num_threads(1)
    with threadpoolctl.threadpool_limits(limits=10_000):
        assert fnn.get_num_threads() == threads.max_threads()
    assert fnn.get_num_threads() == 1
