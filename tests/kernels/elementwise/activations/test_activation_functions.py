"""The functions of activations that other kernels call by address, on blocks of padded rows."""

import numba
import numpy as np
import pytest
from helpers import DTYPES, normal, unchanged
from user_codes import BUILT_IN, ELEMENTWISE, GIVEN, by_input, code_of

from fastfnn import kernels
from fastfnn.kernels.compiler.memory import NO_ROWS, Rows
from fastfnn.kernels.elementwise.activations.contract import CHUNK, call_on_block, with_padding
from fastfnn.kernels.elementwise.activations.table import ACTIVATIONS, IDENTITY, SOFTMAX, functions_of

FUNCTIONS = tuple(name for name in ELEMENTWISE if name != "identity")
EXP = ACTIVATIONS.index("exp")
OUTSIDE = 12345.0
every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@numba.njit
def call(function, target, other, rows, columns, one):
    call_on_block(function, target, other, rows, columns, one)


def apply(function, block, other=None):
    """Call a function on a block, a view of a larger array."""
    target, second = (NO_ROWS if x is None else Rows(x.ctypes.data, x.strides[0]) for x in (block, other))
    call(function, target, second, *block.shape, block.dtype.type(1))


def blocks(count, rows, columns, dtype):
    """Blocks inside arrays, which are marked outside of them and have rows of different lengths."""
    arrays = [np.full((rows + 2, columns + 3 + number), OUTSIDE, dtype) for number in range(count)]
    return arrays, [array[1:-1, 1 : columns + 1] for array in arrays]


def assert_marked_outside(arrays, views):
    for array, view in zip(arrays, views, strict=True):
        view[...] = OUTSIDE
        assert np.all(array == OUTSIDE)


def problem(dtype, rows=5, columns=33):
    rng = np.random.default_rng(rows + columns)
    return normal(rng, (rows, columns), dtype, scale=2), normal(rng, (rows, columns), dtype)


def of_public_kernels(name, dtype, x, grad):
    """f(x) and grad * f'(x)."""
    out, grad_x, code = np.empty_like(x), np.empty_like(x), code_of(name, dtype)
    kernels.activation_forward(out, x, code)
    kernels.activation_backward(grad_x, grad, x, code)
    return out, grad_x


@every_function
@every_dtype
def test_a_block_is_activated_in_place(dtype, name):
    x, grad = problem(dtype)
    want, _ = of_public_kernels(name, dtype, x, grad)
    arrays, (block,) = blocks(1, *x.shape, dtype)
    block[...] = x
    apply(functions_of(code_of(name, dtype), dtype).activate, block)
    np.testing.assert_array_equal(block, want)
    assert_marked_outside(arrays, [block])


@every_function
@every_dtype
def test_slopes_are_written_beside_the_outputs(dtype, name):
    x, _ = problem(dtype)
    want, want_slope = of_public_kernels(name, dtype, x, np.ones_like(x))
    arrays, (block, slope) = blocks(2, *x.shape, dtype)
    block[...], slope[...] = x, np.nan
    apply(functions_of(code_of(name, dtype), dtype).activate, block, slope)
    np.testing.assert_array_equal(block, want)
    np.testing.assert_array_equal(slope, want_slope)
    assert_marked_outside(arrays, [block, slope])


@every_function
@every_dtype
def test_the_derivative_is_computed_from_outputs_or_slopes(dtype, name):
    x, grad = problem(dtype)
    out, want = of_public_kernels(name, dtype, x, grad)
    functions = functions_of(code_of(name, dtype), dtype)
    arrays, (target, other) = blocks(2, *x.shape, dtype)
    target[...], other[...] = grad, out
    if functions.by_slope:
        values = x.copy()
        apply(functions.activate, values, other)
    with unchanged(other):
        apply(functions.differentiate, target, other)
    np.testing.assert_array_equal(target, want)
    assert_marked_outside(arrays, [target, other])


@pytest.mark.parametrize("code", [SOFTMAX, EXP])
@every_dtype
def test_what_is_for_outputs_has_the_same_prototype(dtype, code):
    x, _ = problem(dtype)
    want = np.empty_like(x)
    kernels.activation_forward(want, x, code)
    arrays, (block,) = blocks(1, *x.shape, dtype)
    block[...] = x
    apply(functions_of(code, dtype).activate, block)
    np.testing.assert_array_equal(block, want)
    assert_marked_outside(arrays, [block])
    apply(functions_of(code, dtype).activate, block[:, :0])


@every_dtype
def test_what_has_nothing_to_do_has_the_address_0(dtype):
    assert functions_of(IDENTITY, dtype) == (0, 0, False)
    assert functions_of(SOFTMAX, dtype).differentiate == functions_of(EXP, dtype).differentiate == 0


@every_dtype
def test_only_derivatives_that_need_the_input_are_by_slope(dtype):
    by_slope = {name for name in ELEMENTWISE if functions_of(code_of(name, dtype), dtype).by_slope}
    assert by_slope == {GIVEN, *filter(by_input, BUILT_IN)}


@pytest.mark.jit
def test_rows_are_padded_to_whole_chunks():
    pad = numba.njit(lambda columns: with_padding(columns))
    for columns in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK):
        assert pad(columns) == -(-columns // CHUNK) * CHUNK
