"""`pytest --kernel`, and so `make test-kernel`: what it selects for each kernel."""

import subprocess
import sys

import pytest
from kernel_selection import PUBLIC, kernels_of, operation_of, selects
from programs import ROOT

BENCHMARKS = "tests/tools/test_benchmarks.py"


def collected(*arguments):
    """The result of collecting tests, and their ids."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return result, [line for line in result.stdout.splitlines() if "::" in line]


@pytest.fixture(scope="module")
def ids():
    return collected("tests/kernels", BENCHMARKS)[1]


@pytest.mark.parametrize("kernel", PUBLIC)
def test_every_kernel_has_tests_of_its_own(ids, kernel):
    chosen = [test for test in ids if selects(kernel, test)]
    assert f"tests/kernels/test_reference.py::test_every_kernel_has_a_twin_of_the_same_signature[{kernel}]" in chosen
    assert f"{BENCHMARKS}::test_the_benchmarks_of_a_kernel_run[{kernel}]" in chosen
    others = [test for test in chosen if not test.startswith((BENCHMARKS, "tests/kernels/test_"))]
    assert len(others) >= 20, f"name {operation_of(kernel)} in the parameters of its tests, or put them beside it"
    assert len(chosen) < len(ids) / 4, "a quick check is not the whole suite"


def test_parts_of_words_and_other_operations_are_not_meant():
    folder = "tests/kernels/elementwise/activations/test_activations.py"
    assert selects("relu_forward", f"{folder}::test_one[relu-float32]")
    assert not selects("relu_forward", f"{folder}::test_one[leaky_relu-float32]")
    assert not selects("adam", "tests/kernels/training/test_update.py::test_one[adamw]")
    assert selects("softmax", f"{folder}::test_softmax_of_extreme_values[float32]")
    assert not selects("softmax", "tests/kernels/training/test_steps.py::test_one[softmax_cross_entropy]")
    assert selects("elu", f"{folder}::test_of_all[float32]")  # in its folder, and of no activation alone
    assert not selects("elu", "tests/kernels/products/test_tile.py::test_of_all[float32]")
    assert selects("affine_forward", "tests/kernels/products/test_affine.py::test_of_all")


def test_a_name_is_of_a_kernel_or_of_an_operation():
    assert kernels_of("elu") == kernels_of("elu_backward") == ("elu_backward", "elu_forward")
    assert kernels_of("adam_update") == kernels_of("adam") == ("adam_update",)
    with pytest.raises(ValueError, match="no kernel is called 'softplu'; there is softplus"):
        kernels_of("softplu")


def test_the_option_runs_the_guard_pages_of_this_kernel_alone():
    _, found = collected("--kernel", "elu", "tests/kernels/test_guard_pages.py")
    assert {test.partition("[")[2] for test in found} == {"elu-float32]", "elu-float64]"}


def test_an_unknown_kernel_is_an_error():
    result, _ = collected("--kernel", "nothing", "tests/kernels/test_reference.py")
    assert result.returncode == 4
    assert "no kernel is called 'nothing': add it to __all__ in kernels/__init__.py" in result.stderr
