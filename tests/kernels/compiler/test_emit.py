"""Functions with LLVM instructions for compiled code and an equivalent in Python."""

import numba
import numpy as np
import pytest
from helpers import DTYPES

from fastfnn.kernels.compiler.decorators import OPTIONS
from fastfnn.kernels.compiler.emit import emitted_by
from fastfnn.kernels.compiler.signature import Real

compiled = numba.njit(**OPTIONS)


@emitted_by(lambda builder, x, y: builder.fadd(x, builder.fmul(y, y)))
def plus_square(x, y):
    """x + y^2"""
    return x + y * y


@emitted_by(lambda builder, x, count, one: builder.fmul(x, builder.sitofp(count, one.type)))
def times(x: Real, count: int, one: Real) -> Real:
    """x count"""
    return x * count


@compiled
def call_both(x, y, count):
    return plus_square(x, y), times(x, count, y)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compiled_code_and_python_agree(dtype):
    x, y = dtype.type(0.5), dtype.type(3)
    assert call_both(x, y, 7) == (9.5, 3.5)


@pytest.mark.jit
def test_values_without_annotations_are_of_one_floating_point_type():
    assert compiled(lambda x, y: plus_square(x, y))(np.float32(1), np.float32(1 / 3)) == np.float32(
        1 + np.float32(1 / 3) * np.float32(1 / 3)
    )
    with pytest.raises(numba.TypingError, match="plus_square takes numbers of one floating-point type"):
        compiled(lambda x, y: plus_square(x, y))(1, 2)


def test_name_and_docstring_stay():
    assert plus_square.__name__ == "plus_square" and plus_square.__doc__ == "x + y^2"
