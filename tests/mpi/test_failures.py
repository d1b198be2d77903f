"""A failure of one rank ends the training of all, and says why; rank 0 alone prints."""

import json

import pytest
from mpi import needs_mpi, start

pytestmark = [pytest.mark.jit, needs_mpi]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What the two ranks raised in each training, and the finished process."""
    folder = tmp_path_factory.mktemp("errors")
    process = start("errors.py", 2, folder)
    assert process.returncode == 0, process.stderr
    return json.loads((folder / "errors.json").read_text()), process


def same(texts, kind, text):
    return all(told[0] == kind and text in told[1] for told in texts)


def test_wrong_samples_of_one_rank_are_an_error_of_all(done):
    first, second = done[0]["nan"]
    assert second[:2] == ["ValueError", "x must be finite in float32, got nan at [3, 2]"]
    assert first[:2] == ["ValueError", f"rank 1 raised ValueError: {second[1]}"]
    assert first[2] and second[2], "a network was changed"


def test_different_arguments_are_an_error_that_names_them_and_the_ranks(done):
    told = done[0]
    text = "epochs must be the same on all ranks, got 2 on rank 0, 3 on rank 1; batch_size must be the same on all"
    assert same(told["batch_size"], "ValueError", text)
    assert same(told["optimizer"], "ValueError", "optimizer must be the same on all ranks, got ('Adam', 0.1,")
    assert same(told["parallel"], "ValueError", "average_every must be the same on all ranks, got 1 on rank 0, 2 on")
    assert same(told["sizes"], "ValueError", "layer_sizes must be the same on all ranks, got (6, 5, 3) on rank 0, (6,")
    assert same(told["everywhere"], "ValueError", "epochs must be at least 1, got 0")
    assert same(told["fixed"], "ValueError", "parts must be a power of two with fixed_order, got 6")
    assert same(told["comm"], "TypeError", "comm must be a communicator of mpi4py, got str")
    assert same(told["validation"], "ValueError", "validation_data must be given on rank 0 if they are on others")
    assert all(rank[2] for name in ("batch_size", "optimizer", "parallel", "validation") for rank in told[name])


def test_errors_of_callbacks_metrics_and_checkpoints_are_errors_of_all(done):
    told = done[0]
    assert same(told["callback"], "LookupError", "no such thing")
    assert told["callback"][1][1] == "rank 0 raised LookupError: no such thing"
    assert same(told["full"], "OSError", "No space left on device")
    assert same(told["metric"], "RuntimeError", "the metric fails")
    assert same(told["checkpoint"], "NotADirectoryError", "checkpoint must be a folder")
    assert [rank[:2] for rank in told["callback_of_1"]] == [["", 2], ["", 2]], "only callbacks of rank 0 are called"


def test_divergence_is_found_on_all_ranks(done):
    told = done[0]
    assert same(told["diverges"], "DivergenceError", "training diverged")
    first, second = (rank[1].split(" Try ")[0] for rank in told["diverges"])
    assert first == second
    assert told["diverges"][0][2], "the network must be that before the first epoch"
    warned, silent = (rank[3] for rank in told["warns"])
    assert "RuntimeWarning" in warned and not silent


def test_ranks_go_on_after_an_error_of_all(done):
    assert [rank[:2] for rank in done[0]["good"]] == [["", 1], ["", 1]]


def test_rank_0_alone_prints(done):
    # The hint depends on the clock.
    lines = [line for line in done[1].stdout.splitlines() if line and "average_every" not in line]
    assert [line.split("  loss")[0] for line in lines[:2]] == ["epoch 1/5", "epoch 2/5"]
    assert "a message takes" in lines[-2] and lines[-1].startswith("epoch 1/1")
    assert sum("epoch" in line for line in lines) == 3


@pytest.mark.parametrize(
    ("how", "text"), [("kill", ""), ("interrupt", "KeyboardInterrupt"), ("memory", "no memory for a gradient")]
)
def test_a_rank_that_ends_alone_ends_the_job(how, text):
    process = start("ends.py", 2, how, timeout=60)
    assert process.returncode != 0
    assert text in process.stderr and "came to the end" not in process.stdout
