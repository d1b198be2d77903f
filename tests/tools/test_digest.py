"""tools/digest.py: that it names each network whose bits differ. The versions are small packages written here."""

import numpy as np
import pytest
from programs import TOOLS, checkout, tool

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

digest, worker = tool("digest"), tool("digest_worker")

# What digest_worker.py needs of fastfnn: a network that computes little, at once.
PACKAGE = """
import types
import numpy as np

LOSS = 0.5
ACTIVATIONS = ["tanh", "relu"]
threads = 1

def set_num_threads(count):
    global threads
    threads = count

class FNN:
    def __init__(self, layer_sizes, activation="relu", dtype="float32", **options):
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ValueError(f"no activation {activation}")
        self.layer_sizes, self.dtype = layer_sizes, np.dtype(dtype)
        self.params = {"W1": np.ones((layer_sizes[0], layer_sizes[-1]), dtype)}

    def fit(self, x, t, optimizer, **options):
        self.params["W1"] *= 2
        return types.SimpleNamespace(step_loss=[LOSS])

    def partial_fit(self, x, t, batch_size):
        self.params["W1"] *= 2

    def gradient(self, x, t):
        return {"W1": x.sum(axis=0)}

    def loss(self, x, t):
        return LOSS

    def predict(self, x):
        return x @ self.params["W1"]

def __getattr__(name):  # optimizers and the like
    return lambda *arguments, **options: None
"""
ONE = ["--only", "tanh, float32"]


@pytest.fixture
def compared(tmp_path, monkeypatch, capsys):
    """A function that compares two packages; returns the exit status, the lines said and standard error."""
    monkeypatch.setattr(digest, "HOME", tmp_path / "home")

    def run(old, new, *options):
        folders = [str(checkout(tmp_path / name, text)) for name, text in (("old", old), ("new", new))]
        said = []
        status = digest.main([folders[0], "--new", folders[1], *options], said.append)
        return status, said, capsys.readouterr().err

    return run


def changed(old, new):
    assert old in PACKAGE
    return PACKAGE.replace(old, new)


def test_equal_bits(compared):
    assert compared(PACKAGE, f"{PACKAGE}\n", *ONE) == (0, ["1 networks, 1 with the same bits, 0 with others"], "")


def test_one_bit_of_one_result_is_found_and_named(compared):
    status, said, _ = compared(PACKAGE, changed("LOSS = 0.5", f"LOSS = {np.nextafter(0.5, 1)!r}"), *ONE)
    assert status == 1
    assert said == [
        "tanh, float32: step losses on 1, loss on 1, step losses on 2, loss on 2",
        "1 networks, 0 with the same bits, 1 with others",
    ]


def test_threads_that_change_the_bits_are_reported(compared):
    threaded = changed('return x @ self.params["W1"]', 'return x @ self.params["W1"] + (threads - 1)')
    status, said, _ = compared(PACKAGE, threaded, *ONE)
    assert status == 1
    assert said[0] == "tanh, float32: predictions on 2, predictions by threads"
    status, said, _ = compared(threaded, f"{threaded}\n", *ONE)  # also where the base does the same
    assert (status, said[0]) == (1, "tanh, float32: predictions by threads")


@pytest.mark.parametrize("which", ["the base", "the new version"])
def test_a_network_that_one_version_lacks_is_named(compared, which):
    less = changed('["tanh", "relu"]', '["relu"]')
    packages = (less, PACKAGE) if which == "the base" else (PACKAGE, less)
    status, said, _ = compared(*packages, *ONE)
    assert status == 1
    assert said[0] == f"tanh, float32: {which} has no result: ValueError: no activation tanh"


def test_the_other_networks_are_compared_all_the_same(compared):
    status, said, _ = compared(PACKAGE, changed('["tanh", "relu"]', '["relu"]'), "--only", "float64")
    assert status == 1
    names = {line.partition(":")[0] for line in said[:-1]}
    assert "tanh, float64" in names and "relu, float64" not in names
    assert said[-1].startswith(f"{len(worker.networks()) // 2} networks, ")


def test_no_network_is_not_a_success(compared):
    assert compared(PACKAGE, f"{PACKAGE}\n", "--only", "nothing")[0] == 1


def test_a_process_that_ends_and_an_unknown_version(compared):
    status, said, error = compared(PACKAGE, "import nothing_of_that_name", *ONE)
    assert (status, said) == (2, [])
    assert "the process with" in error and "No module named 'nothing_of_that_name'" in error
    assert digest.main(["no-such-commit"]) == 2


def test_there_are_many_networks_of_both_dtypes():
    names = list(worker.networks())
    assert len(names) >= 120
    assert {name.removesuffix(", float64") for name in names if name.endswith("64")} == {
        name.removesuffix(", float32") for name in names if name.endswith("32")
    }


def test_a_digest_shows_every_bit():
    zero, negative = worker.digests_of({"a": [np.zeros(3)]}), worker.digests_of({"a": [-np.zeros(3)]})
    assert zero != negative
    assert zero == worker.digests_of({"a": [np.zeros(3)]})


def test_results_hold_all_that_a_network_computes():
    case = worker.networks()["dropout, float64"]
    results = worker.results_of(case | {"net": case["net"] | {"backend": "reference"}})
    assert len(results) == 10
    assert all(np.isfinite(array).all() for arrays in results.values() for array in arrays)
    before, after = (worker.digests_of(results)[name] for name in ("initial parameters", "parameters"))
    assert before != after
