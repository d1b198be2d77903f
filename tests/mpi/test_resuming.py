"""A training that was killed goes on from its checkpoint, on any number of ranks."""

import numpy as np
import pytest
from mpi import needs_mpi, run, start

pytestmark = [pytest.mark.jit, needs_mpi]


def test_a_training_in_fixed_order_goes_on_with_the_same_bits_on_other_numbers_of_ranks(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("resume.py", 1, whole, 5, "fixed")
    assert start("resume.py", 4, killed, 5, "fixed", "kill").returncode != 0  # in epoch 2
    assert not (killed / "result.npz").exists()
    run("resume.py", 2, killed, 3, "fixed")
    run("resume.py", 1, killed, 5, "fixed")
    want, got = np.load(whole / "result.npz"), np.load(killed / "result.npz")
    for key in ("params", "statistics", "step_loss", "first"):
        assert np.array_equal(got[key], want[key]), key
    np.testing.assert_allclose(got["val_loss"], want["val_loss"], rtol=1e-12)


@pytest.mark.parametrize("mode", ["fast", "averaged"])
def test_other_modes_go_on_in_the_middle_of_an_epoch(tmp_path, mode):
    assert start("resume.py", 2, tmp_path, 4, mode, "kill").returncode != 0
    run("resume.py", 1, tmp_path, 4, mode)
    loss = np.load(tmp_path / "result.npz")["step_loss"]
    assert len(loss) == 24 and loss[-6:].mean() < loss[:6].mean()
