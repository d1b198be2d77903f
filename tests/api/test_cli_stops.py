"""`fastfnn train` that cannot write its files, or is cut short: what it has trained is kept, and one line says so."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from commands import PNG, ROOT, by_api, installed_command, train
from small_networks import bits

import fastfnn as fnn
from fastfnn import cli, interruption
from fastfnn.cli import compile as cli_compile

pytestmark = pytest.mark.usefixtures("thread_count")


# Its files


@pytest.mark.parametrize("option", ["--plot", "--out"])
@pytest.mark.parametrize("name", ["no-such-folder/file.png", ".", "file.txt/below.png", "/proc/file.png"])
def test_an_output_file_that_cannot_be_written_is_rejected_before_training(
    data, monkeypatch, tmp_path, capsys, option, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    monkeypatch.setattr(fnn.FNN, "fit", None)
    before = sorted(tmp_path.iterdir())
    assert train(data, option, name) == 2
    assert re.fullmatch(f"fastfnn train: {option} must name a file\\b.*\n", capsys.readouterr().err)
    assert sorted(tmp_path.iterdir()) == before


def test_a_plot_that_cannot_be_drawn_is_rejected_before_training(data, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(fnn.FNN, "fit", None)
    assert train(data, "--plot", str(tmp_path / "loss.xyz"), "--out", str(tmp_path / "net")) == 2
    assert "--plot must name a file of type" in capsys.readouterr().err
    for name in ("matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))):
        monkeypatch.setitem(sys.modules, name, None)
    assert train(data, "--plot", str(tmp_path / "loss.png")) == 2
    assert capsys.readouterr().err == "fastfnn train: --plot needs matplotlib: pip install 'fastfnn[plot]'\n"


@pytest.mark.parametrize(
    ("name", "start"), [("loss.png", PNG), ("loss", PNG), ("loss.PDF", b"%PDF"), ("loss.svg", b"<?xml")]
)
def test_the_suffix_chooses_the_format_of_the_plot(data, tmp_path, name, start):
    assert train(data, "--quiet", "--plot", str(tmp_path / name)) == 0
    assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["idx", name]


@pytest.mark.parametrize("error", [RuntimeError("no LaTeX"), OSError(28, "No space left on device"), MemoryError()])
def test_a_plot_that_fails_costs_neither_the_network_nor_the_result(data, monkeypatch, tmp_path, capsys, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(fnn.History, "plot", fail)
    saved = tmp_path / "net"
    assert train(data, "--quiet", "--plot", str(tmp_path / "loss.png"), "--out", str(saved)) == 2
    output = capsys.readouterr()
    assert re.fullmatch(rf"test accuracy .*\nnetwork: {re.escape(str(saved))}\n", output.out)
    assert output.err == f"fastfnn train: the curves are not saved: {error}\n"
    assert bits(fnn.load(saved)) == bits(by_api(data))


# Training that is cut short


def stopped_by(monkeypatch, error, epochs=1):
    """Let `fit` train for some epochs and then raise an error."""
    fit = fnn.FNN.fit

    def cut_short(net, *arguments, **options):
        if epochs:
            fit(net, *arguments, **options | {"epochs": epochs})
        raise error

    monkeypatch.setattr(fnn.FNN, "fit", cut_short)


STOPS = {
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted"),
    "divergence": (FloatingPointError("the loss is not finite"), 1, "the loss is not finite"),
    "SIGTERM": (interruption.Terminated(), 143, "terminated"),
    "closed output": (BrokenPipeError(32, "Broken pipe"), 141, "nobody reads the output"),
    "full disk": (OSError(28, "No space left on device"), 2, r"\[Errno 28\] No space left on device"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_training_that_is_cut_short_saves_the_network_as_it_is(data, monkeypatch, tmp_path, capsys, stop):
    saved = tmp_path / "net"
    want = by_api(data, epochs=1)
    error, status, message = STOPS[stop]
    stopped_by(monkeypatch, error)
    assert train(data, "--quiet", "--out", str(saved), "--plot", str(tmp_path / "loss.png")) == status
    output = capsys.readouterr()
    told = f"; the network as it is now is saved: {re.escape(str(saved))}"
    assert re.fullmatch(f"fastfnn train: {message}{told}\n", output.err)
    assert output.out == ""
    assert bits(fnn.load(saved)) == bits(want)
    assert not (tmp_path / "loss.png").exists()


@pytest.mark.parametrize("stop", STOPS)
def test_without_save_a_training_that_is_cut_short_says_why(data, monkeypatch, capsys, stop):
    error, status, message = STOPS[stop]
    stopped_by(monkeypatch, error)
    assert train(data, "--quiet") == status
    told = "" if stop == "closed output" else f"fastfnn train: {message}\n"
    assert re.fullmatch(told, capsys.readouterr().err)


@pytest.mark.parametrize("stop", STOPS)
def test_an_untrained_network_does_not_replace_one_that_was_saved(data, monkeypatch, tmp_path, capsys, stop):
    saved = tmp_path / "net"
    saved.write_bytes(b"trained for days")
    error, status, message = STOPS[stop]
    stopped_by(monkeypatch, error, epochs=0)
    assert train(data, "--quiet", "--out", str(saved)) == status
    told = "; nothing is saved, for the network is still untrained"
    assert re.fullmatch(f"fastfnn train: {message}{told}\n", capsys.readouterr().err)
    assert saved.read_bytes() == b"trained for days"


def test_a_network_that_cannot_be_saved_after_ctrl_c_is_reported_on_the_same_line(data, monkeypatch, tmp_path, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device", "net")

    stopped_by(monkeypatch, KeyboardInterrupt())
    monkeypatch.setattr(fnn.FNN, "save", full)
    assert train(data, "--quiet", "--out", str(tmp_path / "net")) == 130
    assert capsys.readouterr().err == (
        "fastfnn train: interrupted; the network is not saved: [Errno 28] No space left on device: 'net'\n"
    )


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("train", "fastfnn.datasets.load_mnist"),
        ("train", "fastfnn.network.FNN.__init__"),
        ("compile", "fastfnn.backend.compile_kernels"),
        ("bench", "fastfnn.bench.runner.run"),
        ("info", "fastfnn.backend.show_config"),
    ],
)
def test_ctrl_c_at_other_times_ends_with_one_line(monkeypatch, capsys, command, place):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_compile.numba.config, "DISABLE_JIT", 0)
    monkeypatch.setattr("fastfnn.backend.cache_folder", lambda: "/cache")
    monkeypatch.setattr(place, interrupted)
    assert cli.main([command]) == 130
    assert capsys.readouterr().err == f"fastfnn {command}: interrupted\n"


class Interrupted:
    """Its destructor ends with the exception of a Ctrl-C that comes while it runs."""

    def __del__(self):
        raise KeyboardInterrupt


def test_ctrl_c_during_a_destructor_is_not_lost(monkeypatch, capsys):
    def busy():
        Interrupted()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr(cli_compile.backend, "show_config", busy)
    before = sys.unraisablehook
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "fastfnn info: interrupted\n"
    assert sys.unraisablehook is before


@pytest.mark.skipif(os.name == "nt", reason="Windows has another Ctrl-C")
def test_ctrl_c_in_a_terminal_saves_the_network(data, tmp_path):
    options = [str(data), "--layers", "5", "--epochs", "10000000", "--out", "net"]
    process = subprocess.Popen(
        [*installed_command(), "train", *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert any(line.startswith("epoch ") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "fastfnn train: interrupted; the network as it is now is saved: net"
    assert "Traceback" not in errors
    assert repr(fnn.load(tmp_path / "net")) == "FNN(12-5-3, sigmoid; softmax_cross_entropy; float32)"
