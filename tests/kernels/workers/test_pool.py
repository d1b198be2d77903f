"""The workers: when they start, park, wake and end, and what a forked child has of them."""

import os

import pytest
from helpers import run_python
from test_region import COUNT, run_parts


@pytest.mark.jit
def test_workers_start_when_they_are_needed():
    run_python(
        """
import threading, time
import numpy as np, fastfnn as fnn
from fastfnn.kernels.workers import pool, state
x = np.ones((2000, 100), "float32")
net = fnn.FNN((100, 200, 10))

def predict_with(threads):
    # On a busy machine a call may do with fewer threads.
    fnn.set_num_threads(threads)
    end = time.monotonic() + 60
    while threading.active_count() < threads and time.monotonic() < end:
        net.predict(x)

assert threading.active_count() == 1
net.predict(x[:1])
assert threading.active_count() == 1, "a small call started workers"
predict_with(2)
assert threading.active_count() == 2
predict_with(4)
assert threading.active_count() == 4 and state.numbers[state.STARTED // 8] == 3
""",
        NUMBA_NUM_THREADS=COUNT,
    )


@pytest.mark.jit
def test_workers_park_when_there_is_nothing_to_do_and_wake_again():
    run_parts("""
pool.call(4)
for _ in range(5):
    until(lambda: len(pool._parked) == 3)
    assert len(pool._parked) == 3 and pool.present == 1
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1, "parked workers take time"
    with pool._changing:
        pool.call(3)
        assert number(state.AWAKE) == 2 and pool.present == 3 and list(pool._parked) == [3]
    pool.call(4)
    counted(4, 100_000)
""")


@pytest.mark.jit
def test_the_first_workers_are_woken_and_counted():
    """A region for two asks for the first worker, whoever else is awake."""
    run_parts("""
pool.call(4)
until(lambda: len(pool._parked) == 3)
lock = pool._parked.pop(3)  # as if it had found work while the others parked
pool._count()
assert pool.present == 1
with pool._changing:
    pool.call(2)
    assert sorted(pool._parked) == [2] and pool.present == 2 == number(state.AWAKE) + 1
lock.release()
""")


@pytest.mark.jit
def test_a_system_that_gives_no_more_threads_is_not_asked_again():
    run_parts("""
asked = []
class Refused(threading.Thread):
    def start(self):
        asked.append(self)
        if len(asked) > 1:
            raise RuntimeError("can't start new thread")
        super().start()
pool.threading.Thread = Refused
pool.call(4)
pool.call(4)
assert len(asked) == 2 and number(state.STARTED) == 1
for _ in range(50):
    counted(4, 3000)
""")


@pytest.mark.jit
@pytest.mark.parametrize("parked", [False, True])
def test_workers_end_before_the_interpreter(parked):
    """What is registered first is called last: after the workers have been told to end."""
    run_parts(f"""
import atexit, os
def check():
    ended = not any(worker.is_alive() for worker in pool._workers)
    os._exit(0 if ended and len(pool._workers) == 3 else 1)
atexit.register(check)
pool.call(4)
if {parked}:
    until(lambda: len(pool._parked) == 3)
""")


FORKS = """
import os
def in_child(work):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
def child_work():
    assert number(state.STARTED) == 0 and pool.present == 1 and number(state.OWNED) == 0
    counted(4)
    pool.call(4)
    assert number(state.STARTED) == 3
    for _ in range(50):
        counted(4, 3000)
"""


@pytest.mark.jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_starts_workers_of_its_own():
    run_parts(
        FORKS
        + """
pool.call(4)
counted(4)
in_child(child_work)
in_child(lambda: in_child(child_work))
until(lambda: len(pool._parked) == 3)
in_child(child_work)
counted(4)
"""
    )


@pytest.mark.jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_is_free_of_what_other_threads_were_doing():
    """One has the workers, another changes them, while a third forks."""
    run_parts(
        FORKS
        + """
pool.call(4)
stop = False
def keep_busy():
    while not stop:
        counted(4, 30_000)
def change():
    while not stop:
        with pool._changing:
            time.sleep(0.002)
others = [threading.Thread(target=keep_busy), threading.Thread(target=change)]
for other in others:
    other.start()
try:
    for _ in range(20):
        in_child(child_work)
finally:
    stop = True
for other in others:
    other.join()
"""
    )
