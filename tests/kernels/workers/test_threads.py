"""Threads: the same bits for every number of them, forks, several Python threads, how many threads work gets."""

import itertools
import json
import os

import numpy as np
import pytest
from bit_cases import CASES, CLIP, COUNTS, MOST, NETWORK, WIDE, WIDENING_NETWORK, digest, training
from divisions import divisions_of
from helpers import DTYPES, in_a_thread, run_python
from kernel_selection import operation_of

from fastfnn.kernels.training.tall_step import _blocks_of
from fastfnn.kernels.tuning import DEEP_BATCH, OPERATIONS_PER_THREAD
from fastfnn.kernels.workers import threads

COUNT = 4  # threads of the child processes, whatever the machine has


@pytest.fixture(scope="module")
def digests(request):
    name = request.config.getoption("kernel")
    code = f"import bit_cases; bit_cases.print_digests({operation_of(name) if name else ''!r})"
    return json.loads(run_python(code, NUMBA_NUM_THREADS=MOST))


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_every_number_of_threads_gives_the_same_bits(digests, name, dtype):
    results = digests["results"][f"{name} {dtype}"]
    assert list(results) == [str(count) for count in COUNTS[dtype]]
    assert len(set(results.values())) == 1, results


@pytest.mark.jit
@pytest.mark.parametrize("name", CASES)
def test_this_process_gives_the_same_bits_as_another(digests, name):
    assert digest(CASES[name](np.dtype("float32"))) == digests["results"][f"{name} float32"]["1"]


@pytest.mark.jit
def test_members_who_sit_out_some_steps_change_no_bits(digests):
    code = "import bit_cases; bit_cases.print_digests('train_steps', varied=True)"
    varied = json.loads(run_python(code, NUMBA_NUM_THREADS=MOST))["results"]
    assert varied
    for name, results in varied.items():
        assert set(results.values()) == {digests["results"][name]["1"]}, name


@pytest.mark.jit
def test_the_cases_are_large_enough_for_every_thread():
    """Else the comparison of bits would compare the serial kernel with itself."""
    code = """
import sys, numpy as np, bit_cases
from fastfnn.kernels.workers import threads
answers = []
original = threads.threads_for
def recorded(operations):
    answers.append(original(operations))
    return answers[-1]
for name, module in list(sys.modules.items()):
    if name.startswith("fastfnn.kernels") and hasattr(module, "threads_for"):
        module.threads_for = recorded
for name, case in bit_cases.CASES.items():
    answers.clear()
    case(np.dtype("float32"))
    assert answers and answers[-1] == threads.max_threads() == 4, (name, answers)
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


def size_of(sizes, dtype):
    """The bytes of the parameters of a network."""
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes)) * dtype.itemsize


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_cases_take_every_form(dtype):
    def blocks(sizes, batch):
        rows, _, groups = _blocks_of(batch, size_of(sizes, dtype))
        return -(-batch // rows) if groups else 0, groups

    tall, groups = blocks((4, 32, 16, 4), 2000)
    assert tall == 2 * groups == 8 and blocks((4, 32, 16, 4), 101) == (0, 0)
    assert [blocks(NETWORK, batch) for batch in (201, 270, 1025)] == [(0, 0), (4, 2), (5, 3)]
    assert blocks(WIDE, 1100)[1] == blocks(WIDE, 400)[1] == 0 and 400 <= DEEP_BATCH < 1100
    for batch in (64, 90):
        assert divisions_of(WIDE, batch, dtype) == ["halves", "columns", "samples"]
        assert divisions_of(WIDENING_NETWORK, batch, dtype) == ["widening", "samples", "widening", "samples"]
        assert divisions_of((301, 50, 10), batch, dtype)[0] == "halves"


@pytest.mark.jit
def test_the_cases_use_what_they_are_named_for():
    """Else two of them would be one: a mask that drops nothing, a gradient that is not too long."""
    float32 = np.dtype("float32")
    names = [name for name in CASES if name.startswith("train_steps")]
    results = {digest(CASES[name](float32)) for name in names}
    assert len(results) == len(names)
    plain, clipped = (training("sgd", NETWORK, 301, 67, **setting)(float32) for setting in ({}, CLIP))
    assert not np.array_equal(plain[0], clipped[0])


FORK = """
import os, numpy as np, bit_cases
from fastfnn.kernels.workers import threads
float32 = np.dtype("float32")
cases = dict(list(bit_cases.CASES.items())[::4])  # some of each kind
want = {name: bit_cases.digest(case(float32)) for name, case in cases.items()}
assert threads.get_num_threads() == 4

def works():
    for name, case in cases.items():
        if bit_cases.digest(case(float32)) != want[name]:
            return False
    return True

def fork(work):
    child = os.fork()
    if child == 0:
        status = 3
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0

assert fork(works), "the child died or got other results"
assert fork(lambda: fork(works)), "the grandchild died or got other results"
assert works(), "the parent does not work any more"
assert threads.get_num_threads() == 4
"""


@pytest.mark.jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_can_run_kernels():
    run_python(FORK, NUMBA_NUM_THREADS=COUNT)


@pytest.mark.jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_of_a_parent_that_ran_nothing_can_run_kernels():
    code = """
import os, numpy as np, bit_cases
child = os.fork()
if child == 0:
    status = 3
    try:
        bit_cases.affine_forward(np.dtype("float32"))
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
bit_cases.affine_forward(np.dtype("float32"))
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


@pytest.mark.jit
def test_several_python_threads_may_call_kernels_at_once():
    run_python("import bit_cases; bit_cases.call_from_python_threads()", NUMBA_NUM_THREADS=COUNT)


@pytest.mark.jit
def test_python_threads_that_are_limited_to_one_touch_no_worker():
    code = """
import bit_cases
from fastfnn.kernels.workers import pool
from fastfnn.kernels.workers.state import CLAIM, OWNED, STARTED, numbers

def touched():
    return len(pool._workers), *(int(numbers[place // 8]) for place in (CLAIM, OWNED, STARTED))

bit_cases.call_from_python_threads(count=2, limit=1)
assert touched() == (0, 0, 0, 0), touched()
bit_cases.call_from_python_threads(count=2, limit=2)
assert len(pool._workers) == 1, touched()
before = touched()
bit_cases.call_from_python_threads(count=2, limit=1)
assert touched() == before, touched()
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


@pytest.fixture
def restored():
    """Give the number of threads back."""
    count = threads.get_num_threads()
    yield
    threads.set_num_threads(count)


def test_small_work_gets_one_thread():
    assert threads.threads_for(0) == threads.threads_for(1) == threads.threads_for(2 * OPERATIONS_PER_THREAD - 1) == 1


def test_large_work_gets_all_threads_that_are_allowed(restored):
    assert threads.threads_for(10**12) == threads.get_num_threads() <= threads.max_threads()
    threads.set_num_threads(1)
    assert threads.threads_for(10**12) == threads.get_num_threads() == 1


@pytest.mark.jit
def test_threads_grow_with_the_work_up_to_the_limit():
    code = """
from fastfnn.kernels.tuning import OPERATIONS_PER_THREAD
from fastfnn.kernels.workers import threads
counts = [threads.threads_for(operations) for operations in range(0, 10 * OPERATIONS_PER_THREAD, 1000)]
assert counts == sorted(counts) and set(counts) == {1, 2, 3, 4}, counts
assert all(count == 1 or count * OPERATIONS_PER_THREAD <= 1000 * number for number, count in enumerate(counts))
threads.set_num_threads(3)
assert threads.get_num_threads() == threads.threads_for(10**12) == 3
assert threads.max_threads() == 4
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


@pytest.fixture
def four(restored, monkeypatch):
    """Four threads, without workers: only numbers are asked for."""
    monkeypatch.setattr(threads.pool, "call", lambda count: None)
    threads.set_num_threads(4)


def numbers_now():
    return threads.threads_for(10**12), threads.get_num_threads(), threads.process_threads()


def test_a_limit_holds_inside_its_context(four):
    assert numbers_now() == (4, 4, 4)
    with threads.limited(2):
        assert numbers_now() == (2, 2, 4)
        with threads.limited(1):
            assert numbers_now() == (1, 1, 4)
        assert numbers_now() == (2, 2, 4)
        with threads.limited(3):  # the smaller limit holds
            assert numbers_now() == (2, 2, 4)
        threads.set_num_threads(1)
        assert numbers_now() == (1, 1, 1)
        threads.set_num_threads(3)
    assert numbers_now() == (3, 3, 3)
    with threads.limited(10_000):
        assert numbers_now() == (3, 3, 3)


def test_a_limit_ends_with_an_exception(four):
    with pytest.raises(KeyError), threads.limited(1):
        raise KeyError
    assert numbers_now() == (4, 4, 4)


def test_a_limit_is_that_of_one_python_thread(four):
    with threads.limited(1):
        assert in_a_thread(numbers_now) == (4, 4, 4)
        assert numbers_now() == (1, 1, 4)

    def limited_there():
        with threads.limited(2):
            return numbers_now(), in_a_thread(numbers_now)

    with threads.limited(3):
        assert in_a_thread(limited_there) == ((2, 2, 4), (4, 4, 4))
        assert numbers_now() == (3, 3, 4)


def test_small_work_gets_one_thread_whatever_the_limit(four):
    with threads.limited(2):
        assert threads.threads_for(2 * OPERATIONS_PER_THREAD - 1) == 1


LIMITS = [
    ({"NUMBA_NUM_THREADS": "5", "OMP_NUM_THREADS": "1"}, 8, 5),
    ({"OMP_NUM_THREADS": "3"}, 8, 3),
    ({"OMP_NUM_THREADS": "4,2"}, 8, 4),  # of nested regions: the first number counts
    ({"OMP_NUM_THREADS": "16"}, 8, 8),
    ({"OMP_NUM_THREADS": "0"}, 8, 1),
    ({"OMP_NUM_THREADS": "many"}, 8, 8),
    ({}, 8, 8),
]


@pytest.mark.parametrize(("environment", "cpus", "expected"), LIMITS)
def test_the_number_of_threads_follows_limits_and_variables(environment, cpus, expected, monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(threads, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(threads.numba.config, "NUMBA_NUM_THREADS", int(environment.get("NUMBA_NUM_THREADS", 2)))
    assert threads.max_threads.__wrapped__() == expected
