"""Fixtures of the API tests that leave global state as it was."""

import numpy as np
import pytest
from commands import write_part

from fastfnn.kernels.workers import threads


@pytest.fixture
def numpy_seed():
    """NumPy's global generator starts at seed 0; its state is restored afterwards."""
    state = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(state)


@pytest.fixture
def thread_count():
    """The number of threads is restored afterwards."""
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.fixture
def data(tmp_path):
    """30 images of 3 x 4 for training, 10 for test, in 3 classes."""
    folder = tmp_path / "idx"
    folder.mkdir()
    write_part(folder, "train", 30, seed=0)
    write_part(folder, "t10k", 10, seed=1)
    return folder
