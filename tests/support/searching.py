"""What searches in other processes call: here, so that a worker need not import the tests."""

import os
import signal

import numpy as np

import fastfnn as fnn


class NoteThreads(fnn.Callback):
    """Notes how many threads a training may use, and comes back with the estimator."""

    threads = None

    def epoch(self, net, history):
        self.threads = fnn.get_num_threads()


class KillOnce:
    """A scorer whose first call in another process kills that process; the file says that it has happened."""

    def __init__(self, path):
        self.path, self.creator = path, os.getpid()

    def __call__(self, estimator, X, y):
        if os.getpid() != self.creator:
            try:
                open(self.path, "x").close()
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return estimator.score(X, y)


def rows(numbers, path):
    """Rows of a file of samples by their numbers (N, 1); those that follow each other are not copied."""
    x = np.load(path, mmap_mode="r")
    first, last = numbers[0, 0], numbers[-1, 0]
    if np.array_equal(numbers[:, 0], np.arange(first, last + 1)):
        return x[first : last + 1]
    return x[numbers[:, 0]]
