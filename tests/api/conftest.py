"""Fixtures of the API tests that leave global state as it was."""

import numpy as np
import pytest

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
