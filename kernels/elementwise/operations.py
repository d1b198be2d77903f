"""Operations on floating-point numbers from which the elementary functions are made.

Each states in Python what it does to NumPy scalars; for traced numbers `emit_...` writes the LLVM instructions. All are
free of branches, so that loops over them become vector code.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from .tracing import call_llvm, primitive

UNSIGNED: dict[Any, Any] = {np.float32: np.uint32, np.float64: np.uint64}


def _bits(x: Any) -> int:
    return int(x.view(UNSIGNED[type(x)]))


def _number(bits: int, real: Any) -> Any:
    unsigned = UNSIGNED[real]
    return unsigned(bits & np.iinfo(unsigned).max).view(real)


def _layout(x: Any) -> tuple[Any, int, Any]:
    """The NumPy type of an LLVM value, the number of bits below its exponent, and the integer type of its width."""
    return (np.float64, 52, ir.IntType(64)) if isinstance(x.type, ir.DoubleType) else (np.float32, 23, ir.IntType(32))


def emit_mul_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call_llvm(builder, "llvm.fmuladd", a, b, c)


@primitive(emit_mul_add)
def mul_add(a, b, c):
    """a b + c, rounded once if the processor can, else twice; scalars and vectors give the same bits."""
    return a * b + c


def polynomial(coefficients: Sequence[Any], x: Any) -> Any:
    """The sum of c_j x^j by Horner's rule."""
    return functools.reduce(lambda value, coefficient: mul_add(value, x, coefficient), reversed(coefficients))


def _emit_times_power(builder, x, n):
    _, low, integer = _layout(x)
    exponent = builder.shl(builder.bitcast(n, integer), integer(low))
    return builder.bitcast(builder.add(builder.bitcast(x, integer), exponent), x.type)


@primitive(_emit_times_power)
def times_power(x, n):
    """x 2^k for n = `shifter` + k. x and the result must be normal; for x = 1 the result may also be 0 or infinite.

    The low bits of n are k; its high bits are shifted out.
    """
    return _number(_bits(x) + (_bits(n) << np.finfo(type(x)).nmant), type(x))


def _emit_exponent(builder, x):
    real, low, integer = _layout(x)
    root, one = _bits(np.sqrt(real(0.5))), _bits(real(1))
    biased = builder.lshr(builder.sub(builder.bitcast(x, integer), integer(root - one)), integer(low))
    # These are the bits of 2^low + biased. A conversion costs more, and AVX2 has none for 64 bits.
    shifted = builder.bitcast(builder.or_(biased, integer(_bits(real(2.0**low)))), x.type)
    return builder.fsub(shifted, x.type(2.0**low + (one >> low)))


@primitive(_emit_exponent)
def exponent(x):
    """The integer k with x = 2^k m, sqrt(1/2) <= m < sqrt(2), for a normal x > 0; any number for other x."""
    real = type(x)
    root, one, low = _bits(np.sqrt(real(0.5))), _bits(real(1)), np.finfo(real).nmant
    return real(((_bits(x) - (root - one)) >> low) - (one >> low))


def emit_where(builder: Any, condition: Any, x: Any, y: Any) -> Any:
    return builder.select(condition, x, y)


@primitive(emit_where)
def where(condition, x, y):
    """x if the condition holds, else y.

    Numba compiles Python's conditional expression to a branch. LLVM moves what only one side needs into it, sometimes
    too much to turn the branch back into a selection.
    """
    return x if condition else y


def _emit_copysign(builder, magnitude, sign):
    return call_llvm(builder, "llvm.copysign", magnitude, sign)


@primitive(_emit_copysign)
def copysign(magnitude, sign):
    """|magnitude| with the sign of `sign`."""
    return np.copysign(magnitude, sign)
