"""The thread that reads ahead: how far, and that it ends whatever happens."""

import signal
import threading
import time

import numpy as np
import pytest
from source_samples import ArraySource, BatchSource, Chunks, T, W, X, line, network, parts, trained

import fastfnn as fnn


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "fastfnn-source"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    end = time.monotonic() + 5
    while readers() and time.monotonic() < end:
        time.sleep(0.01)
    assert not readers()


def test_the_thread_reads_while_the_network_trains_and_ends_with_the_epoch():
    inside = []

    def chunks():
        inside.append(threading.current_thread().name)
        yield from parts(10, X, T)

    seen = []
    trained(BatchSource(chunks), callbacks=[lambda _net, _history: seen.append(len(readers()))])
    assert inside == ["fastfnn-source"] * 3
    assert seen == [0, 0, 0]


def test_at_most_two_windows_are_in_memory(monkeypatch):
    read, trained_on = [], []

    def chunks():
        for part in parts(8, X, T):
            read.append(len(trained_on))
            yield part

    take = fnn.sources.windows.Window.release

    def release(window):
        time.sleep(0.005)  # gives the thread time to go too far
        trained_on.append(window.rows)
        return take(window)

    monkeypatch.setattr(fnn.sources.windows.Window, "release", release)
    trained(BatchSource(chunks, window=8), epochs=1)
    assert len(trained_on) == 18
    # Chunk i is window i: when it is read, at most the window before has not been trained on.
    assert all(done >= i - 1 for i, done in enumerate(read))


def test_memory_of_windows_is_used_again():
    source = fnn.sources.windows.Windows(
        iter(parts(5, X, T)), lambda _name, x, t, _w: (x, t, np.empty(0)), 20, 4, np.dtype("f4")
    )
    first, second = source.fill(None), source.fill(None)
    assert first.rows == second.rows == 20
    assert not np.shares_memory(first.memory, second.memory)
    assert source.fill(first.release()).memory is first.memory
    suitable = fnn.sources.windows._suitable
    for other in (suitable(first.memory, 21, 4, X.dtype), suitable(first.memory, 20, 3, X.dtype)):
        assert not np.shares_memory(other, first.memory)


def test_what_a_program_has_written_to_its_copy_of_a_file_stays(tmp_path):
    np.save(tmp_path / "x.npy", X)
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private += 1
    first = trained(ArraySource(private, T, window=16))[0]
    assert (private == X + 1).all()
    assert first.tobytes() == trained(ArraySource(X + 1, T, window=16))[0].tobytes()


def test_an_exception_of_the_source_is_raised_by_fit():
    def chunks():
        yield X[:80], T[:80]
        raise OSError("the disk is on fire")

    net = network()
    with pytest.raises(OSError, match="the disk is on fire"):
        net.fit(BatchSource(chunks, window=8), epochs=2, batch_size=8)
    assert net.history.step_loss.size == net.optimizer.steps == 10
    assert net.history.epochs == 0


def test_an_exception_when_the_source_is_closed_is_raised_by_fit():
    class Failing(list):
        def __iter__(self):
            try:
                yield from super().__iter__()
            finally:
                raise OSError("cannot be closed")

    with pytest.raises(OSError, match="cannot be closed"):
        trained(Chunks(Failing(parts(10, X, T))))


def test_the_source_is_closed_when_training_ends_early():
    closed = []

    def chunks():
        try:
            while True:
                yield X, W
        finally:
            closed.append(threading.current_thread().name)

    with pytest.raises(ValueError, match="a source must have 20 rows in each epoch"):
        line().fit(BatchSource(chunks, samples=20, window=8), epochs=1)
    with pytest.raises(fnn.DivergenceError):
        line().fit(BatchSource(chunks, window=8), epochs=1, optimizer=fnn.SGD(1e30))
    assert closed == ["fastfnn-source"] * 2


def test_ctrl_c_ends_a_training_whose_source_waits():
    release = threading.Event()

    def chunks():
        yield X, T
        release.wait(10)
        yield X, T

    def interrupt():
        time.sleep(0.3)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    net = network()
    net.fit(X, T, epochs=1)  # loads the kernels
    other = threading.Thread(target=interrupt)
    other.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        net.fit(BatchSource(chunks, window=8), epochs=3, batch_size=8)
    assert time.monotonic() - start < 8  # not the ten seconds that the source would wait
    release.set()
    other.join()
    assert net.history.step_loss.size == net.optimizer.steps > 0


def test_several_trainings_at_once_have_a_thread_each():
    expected = trained(ArraySource(X, T, window=16))[0]
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(trained(ArraySource(X, T, window=16))[0])) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.tobytes() for result in results] == [expected.tobytes()] * 3
