"""tools/aarch64.py, without its emulator, and the program that it runs, on this processor."""

import sys

import numpy as np
import pytest
from programs import TOOLS, tool

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="needs the tools beside the tests")

aarch64, aarch64_smoke = tool("aarch64"), tool("aarch64_smoke")


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """As on a machine that is no 64-bit ARM, with an empty folder."""
    monkeypatch.setattr(aarch64.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("FASTFNN_AARCH64", str(tmp_path))


def test_a_machine_that_may_not_install_the_emulator_says_that_it_skips(elsewhere, monkeypatch, capfd):
    monkeypatch.setattr(aarch64.sys, "platform", "linux")
    monkeypatch.setattr(aarch64.shutil, "which", lambda _name: None)
    monkeypatch.setattr(aarch64.os, "geteuid", lambda: 1000, raising=False)
    assert aarch64.main([]) == 0
    assert capfd.readouterr().err.startswith("SKIPPED: nothing was tested on 64-bit ARM: qemu-user-static is missing")


def test_another_system_than_linux_says_that_it_skips(elsewhere, monkeypatch, capfd):
    monkeypatch.setattr(aarch64.sys, "platform", "darwin")
    assert aarch64.main([]) == 0
    assert "SKIPPED" in capfd.readouterr().err


def test_what_an_installation_that_fails_says_last_is_the_reason(elsewhere, monkeypatch, capfd):
    monkeypatch.setattr(aarch64, "emulator", lambda: sys.executable)
    code = "print('first'); print('no such mirror'); raise SystemExit(4)"
    monkeypatch.setattr(aarch64, "make_root", lambda _folder: aarch64.run(sys.executable, "-c", code))
    assert aarch64.main([]) == 0
    assert "failed with exit status 4: no such mirror" in capfd.readouterr().err


def test_a_folder_is_filled_once_and_not_kept_if_that_fails(tmp_path):
    folder = tmp_path / "site"
    with pytest.raises(aarch64.CannotEmulate), aarch64.filled_once(folder) as new:
        raise aarch64.CannotEmulate("no network")
    assert not list(tmp_path.iterdir())
    with aarch64.filled_once(folder) as new:
        (new / "file").write_text("1")
    with aarch64.filled_once(folder) as new:
        assert new is None
    assert [path.name for path in tmp_path.rglob("*")] == ["site", "file"]


def test_the_exit_status_is_that_of_the_program(elsewhere, monkeypatch):
    monkeypatch.setattr(aarch64, "interpreter", lambda with_tools: sys.executable)
    assert aarch64.main(["-c", "raise SystemExit(3)"]) == 3


@pytest.mark.jit
def test_the_smoke_run_agrees_with_the_reference_and_with_its_first_process(tmp_path, capfd):
    assert aarch64_smoke.main(tmp_path) == 0
    assert aarch64_smoke.main(tmp_path) == 0
    with np.load(tmp_path / "found.npz") as found:
        np.savez(tmp_path / "found.npz", loss=found["loss"], output=found["output"] + 1)
    assert aarch64_smoke.main(tmp_path) == 1
    assert "FAILED: kernels that are loaded from disk give other bits" in capfd.readouterr().err


@pytest.mark.jit
def test_the_smoke_run_fails_where_kernels_are_wrong_or_are_compiled_again(tmp_path, monkeypatch, capfd):
    assert aarch64_smoke.main(tmp_path) == 0
    trained = aarch64_smoke.trained

    def wrong(backend, threads):
        loss, output = trained(backend, threads)
        aarch64_smoke.cache.announce("kernel")
        return loss + (1e-3 if backend == "reference" else 0), output + threads

    monkeypatch.setattr(aarch64_smoke, "trained", wrong)
    assert aarch64_smoke.main(tmp_path) == 1
    said = capfd.readouterr().err
    for problem in (
        "kernels and reference differ",
        "depend on the number of threads",
        "compiles kernels again: kernel",
    ):
        assert problem in said
