"""The processor that kernels are compiled for: which instruction set it is taken to have."""

import llvmlite.binding as llvm
import numba
import pytest

from fastfnn.kernels.compiler import processor

AVX2 = "+avx,+avx2,+fma"
AVX512 = f"{AVX2},+avx512f,+avx512vl"


@pytest.mark.parametrize(
    ("triple", "cpu", "features", "want"),
    [
        ("x86_64-unknown-linux-gnu", "skylake-avx512", AVX512, "avx512"),
        ("x86_64-unknown-linux-gnu", "znver4", AVX512, "avx512_256"),
        ("x86_64-unknown-linux-gnu", "znver5", AVX512, "avx512"),
        ("x86_64-apple-darwin", "haswell", AVX2, "avx2"),
        ("x86_64-unknown-linux-gnu", "znver4", AVX2, "avx2"),  # the features decide
        ("x86_64-unknown-linux-gnu", "knl", f"{AVX2},+avx512f", "avx2"),  # 512 bits or nothing: no masks for less
        ("x86_64-unknown-linux-gnu", "sandybridge", "+avx", "sse2"),
        ("x86_64-unknown-linux-gnu", "haswell", "+avx,+avx2,-fma", "sse2"),  # switched off
        ("x86_64-unknown-linux-gnu", "generic", "", "sse2"),
        ("x86_64-pc-windows-msvc", "generic", "", "sse2"),
        ("aarch64-unknown-linux-gnu", "generic", "", "neon"),
        ("arm64-apple-darwin", "apple-m1", "+neon", "neon"),
    ],
)
def test_the_choice_of_an_instruction_set(triple, cpu, features, want, monkeypatch):
    monkeypatch.setattr(llvm, "get_process_triple", lambda: triple)
    monkeypatch.setattr(numba.config, "CPU_NAME", cpu)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", features)
    assert processor.instruction_set.__wrapped__() == want


@pytest.mark.parametrize(("cpu", "want"), [("znver4", "avx512_256"), ("znver5", "avx512")])
def test_without_a_choice_it_is_the_processor_that_runs(cpu, want, monkeypatch):
    class Features:
        def flatten(self):
            return AVX512

    monkeypatch.setattr(llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: cpu)
    monkeypatch.setattr(llvm, "get_host_cpu_features", Features)
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    assert processor.instruction_set.__wrapped__() == want


def test_vectors_are_as_wide_as_the_instruction_set():
    assert set(processor._FLOAT32_LANES) == {"avx512", "avx512_256", "avx2", "neon", "sse2"}
    assert processor.vector_lanes(32) == 2 * processor.vector_lanes(64)
    assert processor.vector_lanes(32) == processor._FLOAT32_LANES[processor.instruction_set()]
