"""The processor that kernels are compiled for: its instruction set and the width of its vectors.

It is the processor of this machine, unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name another.
"""

import functools

import llvmlite.binding as llvm
import numba

# Elements of the widest float32 vector, by instruction set.
_FLOAT32_LANES = {"avx512": 16, "avx512_256": 16, "avx2": 8, "neon": 4, "sse2": 4}

# Processors with AVX-512 that execute a vector of 512 bits as two halves.
_HALF_WIDTH = ("znver4",)


def architecture() -> str:
    """The architecture: "x86", "arm" (64 bits), or "other", for which kernels use no instructions by name."""
    triple = llvm.get_process_triple()
    if triple.startswith(("x86_64", "i686")):
        return "x86"
    return "arm" if triple.startswith(("aarch64", "arm64")) else "other"


@functools.cache
def instruction_set() -> str:
    """The instruction set: "avx512", "avx512_256" (AVX-512 on units of 256 bits), "avx2", "neon" or "sse2"."""
    if architecture() == "arm":
        return "neon"
    chosen = numba.config.CPU_FEATURES
    features = llvm.get_host_cpu_features().flatten() if chosen is None else chosen
    has = set(features.split(",")).issuperset
    if has(("+avx512f", "+avx512vl")):
        return "avx512_256" if (numba.config.CPU_NAME or llvm.get_host_cpu_name()) in _HALF_WIDTH else "avx512"
    return "avx2" if has(("+avx2", "+fma")) else "sse2"


def vector_lanes(bits: int) -> int:
    """Elements of the widest vector of the floating-point type of `bits` bits."""
    return _FLOAT32_LANES[instruction_set()] * 32 // bits
