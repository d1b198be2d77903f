"""Denormal numbers: zero inside kernels, as before for everybody else."""

import numpy as np
import pytest
from helpers import DTYPES, TOLERANCES, run_python

from fastfnn import kernels


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", [1, 100_000])
def test_kernels_take_and_give_zero_for_denormals(dtype, count):
    """Small and large: on this thread, and on the workers' too."""
    tiny = dtype.type(TOLERANCES[dtype].tiny)
    x = np.full((count, 4), tiny / 4, dtype)
    out = np.full((count, 3), np.nan, dtype)
    kernels.affine_forward(out, x, np.full((4, 3), 2.0**60, dtype), np.zeros(3, dtype))
    assert not np.any(out)
    x[:] = tiny
    kernels.affine_forward(out, x, np.full((4, 3), 2.0**-9, dtype), np.zeros(3, dtype))
    assert not np.any(out)
    kernels.affine_forward(out, x, np.ones((4, 3), dtype), np.zeros(3, dtype))
    assert np.all(out == 4 * tiny)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_mode_of_the_calling_thread_is_restored(dtype):
    tiny = np.full(100_000, TOLERANCES[dtype].tiny, dtype)
    for count in (1, len(tiny)):  # one thread, and several
        out = np.empty((count, 3), dtype)
        kernels.affine_forward(out, np.ones((count, 4), dtype), np.ones((4, 3), dtype), np.ones(3, dtype))
        assert np.all(tiny / 2 > 0)


@pytest.mark.jit
def test_state_that_decays_ends_at_zero_and_not_below_normal_numbers():
    """The memory of a gradient that has been zero for long, as of dead ReLU units, with every number of threads."""
    code = """
import numpy as np
import fastfnn as fnn

x = np.zeros((600, 40), "float32")
x[:, 0] = 1
for count in (1, 2):
    fnn.set_num_threads(count)
    for optimizer in (fnn.Momentum(0.01), fnn.Adam(0.01), fnn.RMSprop(0.01), fnn.Nesterov(0.01)):
        net = fnn.FNN((40, 300, 3), seed=0)
        net.fit(x + np.float32(1), np.arange(600) % 3, epochs=1, batch_size=300, optimizer=optimizer)
        net.fit(x, np.arange(600) % 3, epochs=600, batch_size=300, optimizer=optimizer)
        for state in optimizer.flat_state(net.params):
            denormal = (state != 0) & (np.abs(state) < np.finfo(np.float32).tiny)
            assert not np.any(denormal), (count, optimizer)
"""
    run_python(code, NUMBA_NUM_THREADS=2)
