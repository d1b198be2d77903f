"""What annotations mean to compiled code."""

import inspect
from typing import NamedTuple

import numba
import numpy as np
import pytest
from helpers import DTYPES
from numba import types

from fastfnn.kernels.compiler.memory import Matrix, Rows
from fastfnn.kernels.compiler.signature import (
    Bytes,
    Doubles,
    IntegerRows,
    Integers,
    Matrix2D,
    Real,
    StridedVector,
    Vector,
    WrittenDoubles,
    WrittenMatrix,
    WrittenVector,
    has_signature,
    numba_type,
    signature_of,
    with_context,
)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


class Mixed(NamedTuple):
    address: int
    scale: float
    value: Real


class Nested(NamedTuple):
    rows: Rows
    mixed: Mixed


def annotated(x: Vector, rows: Rows, count: int, one: Real) -> float:
    """Takes what kernels take."""


def without_result(count: int, one: Real) -> None:
    """Returns nothing, and says so."""


def without_annotation_of_the_result(count: int, one: Real):
    """Returns nothing."""


def bare(x, y):
    """Has no annotations."""


@every_dtype
def test_types_of_annotations(dtype):
    real = numba.from_dtype(dtype)
    assert numba_type(int, dtype) == types.int64
    assert numba_type(float, dtype) == types.float64
    assert numba_type(bool, dtype) == types.boolean
    assert numba_type(Real, dtype) == real
    assert numba_type(None, dtype) == types.void
    assert numba_type(Vector, dtype) == types.Array(real, 1, "C", readonly=True)
    assert numba_type(StridedVector, dtype) == types.Array(real, 1, "A", readonly=True)
    assert numba_type(Matrix2D, dtype) == types.Array(real, 2, "A", readonly=True)
    assert numba_type(Integers, dtype) == types.Array(types.int64, 1, "C", readonly=True)
    assert numba_type(IntegerRows, dtype) == types.Array(types.int64, 2, "C", readonly=True)
    assert numba_type(Doubles, dtype) == types.Array(types.float64, 1, "C", readonly=True)
    assert numba_type(Bytes, dtype) == types.Array(types.uint8, 1, "C", readonly=True)
    assert numba_type(WrittenVector, dtype) == types.Array(real, 1, "C")
    assert numba_type(WrittenMatrix, dtype) == types.Array(real, 2, "A")
    assert numba_type(WrittenDoubles, dtype) == types.Array(types.float64, 1, "C")


@every_dtype
def test_types_of_named_tuples(dtype):
    real = numba.from_dtype(dtype)
    rows, mixed = numba_type(Rows, dtype), numba_type(Mixed, dtype)
    assert rows == types.NamedUniTuple(types.int64, 2, Rows)
    assert mixed == types.NamedTuple((types.int64, types.float64, real), Mixed)
    assert numba_type(Nested, dtype) == types.NamedTuple((rows, mixed), Nested)
    assert numba_type(Matrix, dtype) != types.UniTuple(types.int64, 3), "a plain tuple has no names"


@every_dtype
@pytest.mark.parametrize("as_numba", [False, True])
def test_signatures(dtype, as_numba):
    real = numba.from_dtype(dtype)
    given = real if as_numba else dtype
    signature = signature_of(annotated, given)
    assert signature.args == (types.Array(real, 1, "C", readonly=True), numba_type(Rows, dtype), types.int64, real)
    assert signature.return_type == types.float64
    assert signature_of(without_result, given).return_type == types.void
    assert signature_of(without_annotation_of_the_result, given) == signature_of(without_result, given)


def test_a_name_of_a_dtype_will_do():
    assert signature_of(without_result, "float32") == signature_of(without_result, np.dtype("float32"))


def test_an_annotation_without_meaning_is_refused():
    with pytest.raises(KeyError):
        numba_type(str, "float32")


def test_whether_a_function_is_annotated():
    assert has_signature(annotated)
    assert not has_signature(bare)


def test_an_intrinsic_takes_the_context_first():
    assert str(with_context(bare)) == "(context, x, y)"
    assert list(inspect.signature(annotated).parameters) == list(with_context(annotated).parameters)[1:]


@pytest.mark.jit
@every_dtype
def test_numba_infers_the_types_that_annotations_give(dtype):
    """Of a named tuple of one type Numba makes another type than of one of several types."""
    kind = numba.typeof
    assert kind(Rows(1, 2)) == numba_type(Rows, dtype)
    assert kind(Mixed(1, 2.0, dtype.type(3))) == numba_type(Mixed, dtype)
    assert kind(Nested(Rows(1, 2), Mixed(1, 2.0, dtype.type(3)))) == numba_type(Nested, dtype)
