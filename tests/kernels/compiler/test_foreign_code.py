"""Kernels can be compiled on processors that these tests do not run on: nothing in them needs an assembler."""

import json

import pytest
from foreign_code import UNKNOWN, inline_assembly
from helpers import run_python

# Inline assembly that kernels may hold, with the reason why nothing else will do: none.
ALLOWED = {}

# Modules in which kernels use instructions by name: what other architectures lack.
BY_NAME = "kernels.workers"


def compiled(*arguments, **environment):
    """The number of kernels that a process compiles, and the inline assembly in them, see foreign_code.py."""
    code = "import sys, foreign_code; foreign_code.main(*sys.argv[1:])"
    printed = json.loads(run_python(code, *arguments, **environment).splitlines()[-1])
    if printed == UNKNOWN:
        pytest.skip(f"this LLVM does not compile for {arguments[0]}")
    count, found = printed
    not_allowed = {name: texts for name, texts in found.items() if not ALLOWED.keys() >= set(texts)}
    return count, not_allowed


def test_inline_assembly_is_found_in_a_function_and_in_a_module():
    code = """
    module asm ".globl f"
    define i64 @f() {
      %1 = call i64 asm sideeffect "mrs $0, cntvct_el0", "=r"()
      %2 = tail call i64 asm "nop \\\\22", ""()
      %asm = add i64 %1, 1
      ret i64 %1
    }
    """
    assert inline_assembly(code) == [".globl f", "mrs $0, cntvct_el0", "nop \\\\22"]


@pytest.mark.jit
def test_kernels_of_this_processor_hold_no_inline_assembly():
    count, found = compiled()
    assert count > 200 and not found


@pytest.mark.jit
def test_all_kernels_can_be_compiled_for_64_bit_arm_without_an_assembler(tmp_path):
    """Where one needs an assembler LLVM ends the process."""
    count, found = compiled("aarch64-unknown-linux-gnu", "neoverse-n1", "", NUMBA_CACHE_DIR=tmp_path)
    assert count > 100 and not found


@pytest.mark.jit
@pytest.mark.parametrize(
    ("triple", "cpu", "features"),
    [
        ("riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c"),
        ("powerpc64le-unknown-linux-gnu", "pwr8", ""),
    ],
)
def test_kernels_use_no_instruction_by_name_that_another_architecture_lacks(triple, cpu, features, tmp_path):
    count, found = compiled(triple, cpu, features, BY_NAME, NUMBA_CACHE_DIR=tmp_path)
    assert count > 0 and not found
