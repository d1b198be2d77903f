"""Functions that are written in LLVM's instructions, and their Python equivalents."""

import re

import numba
import numpy as np
import pytest
from helpers import DTYPES, framed, poisoned
from llvmlite import ir

from fastfnn.kernels.compiler.decorators import inner
from fastfnn.kernels.compiler.emit import emitted_by
from fastfnn.kernels.compiler.memory import Rows, array_at
from fastfnn.kernels.compiler.pipeline import SharedCompiler
from fastfnn.kernels.compiler.signature import Real
from fastfnn.kernels.compiler.writer import INT, Writer, bits_of, widest_vectors

pytestmark = pytest.mark.jit
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

LANES = 4

compiled = numba.njit(pipeline_class=SharedCompiler)  # which links what a Writer wrote


def runs(writer):
    """A function of four integers that compiled code runs as the writer of a class writes it."""

    def emit(builder, a, b, c, d, one):
        builder.call(writer(builder.module, one.type, LANES, writer.__name__, [INT] * 4).write(), [a, b, c, d])

    @emitted_by(emit)
    def function(a: int, b: int, c: int, d: int, one: Real) -> None:
        """Has no Python equivalent."""

    return compiled(lambda a, b, c, d, one: function(a, b, c, d, one))


class AddRows(Writer):
    """out += x y, of `count` vectors that follow one another."""

    def body(self):
        out, x, y, count = self.function.args
        size = self.lanes * self.bits // 8

        def step(values):
            out, x, y = values
            self.store(self.multiply_add(self.load(x, 0), self.load(y, 0), self.load(out, 0)), out, 0)
            return [self.builder.add(address, INT(size)) for address in (out, x, y)]

        self.loop(count, [out, x, y], step)


class CopyMasked(Writer):
    """Copy `width` elements, at most two vectors."""

    def body(self):
        out, x, width, _ = self.function.args
        self.masks = [self.mask(width, j) for j in range(2)]
        for j in range(2):
            self.store(self.load(x, j), out, j)


class CopyRows(Writer):
    """Copy vector 1 of each of two rows."""

    def body(self):
        out, x, stride, _ = self.function.args
        for i in range(2):
            self.store(self.load(self.row(x, stride, i), 1), self.row(out, stride, i), 1)


class Total(Writer):
    """The sum of a vector's elements and the element at an address, in all lanes of out."""

    def body(self):
        out, x, y, _ = self.function.args
        total = self.builder.fadd(self.lanes_added(self.load(x, 0)), self.element(y))
        self.prefetch(INT(8))  # an invalid address does not matter
        self.store(self.splat(total), out, 0)


class Chosen(Writer):
    """Add a vector of x to out, or subtract it in step 1, as often as the integer at an address says."""

    def body(self):
        out, x, which, count = self.function.args

        def add(values):
            return [self.builder.fadd(values[0], self.load(x, 0))]

        def subtract(values):
            return [self.builder.fsub(values[0], self.load(x, 0))]

        (total,) = self.one_loop(which, [add, subtract], self.integer(count), [self.load(out, 0)])
        self.store(total, out, 0)


@every_dtype
@pytest.mark.parametrize("count", [-1, 0, 1, 3])
def test_a_loop_runs_as_often_as_it_is_told(count, dtype):
    x, y = (scale * np.arange(1, 1 + 4 * LANES).astype(dtype) for scale in (1, 0.5))
    out = np.ones(4 * LANES, dtype)
    runs(AddRows)(out.ctypes.data, x.ctypes.data, y.ctypes.data, count, dtype.type(1))
    done = max(count, 0) * LANES
    np.testing.assert_array_equal(out[:done], (1 + x * y)[:done])
    assert (out[done:] == 1).all()


@every_dtype
@pytest.mark.parametrize("width", range(2 * LANES + 1))
def test_masks_leave_the_other_lanes_alone(width, dtype):
    x = np.arange(2 * LANES).astype(dtype)
    with framed((width,), dtype=dtype) as (out,):
        runs(CopyMasked)(out.ctypes.data, x.ctypes.data, width, 0, dtype.type(1))
        np.testing.assert_array_equal(out, x[:width])


@every_dtype
def test_vectors_of_rows(dtype):
    x = np.arange(6 * LANES).reshape(2, 3 * LANES).astype(dtype)
    out = poisoned(x.shape, dtype)
    runs(CopyRows)(out.ctypes.data, x.ctypes.data, x.strides[0], 0, dtype.type(1))
    np.testing.assert_array_equal(out[:, LANES : 2 * LANES], x[:, LANES : 2 * LANES])
    assert np.isfinite(out).sum() == 2 * LANES


@every_dtype
def test_sums_of_lanes_and_elements(dtype):
    x, y, out = np.array([1, 2, 4, 8], dtype), np.array([16, 99], dtype), poisoned(LANES, dtype)
    runs(Total)(out.ctypes.data, x.ctypes.data, y.ctypes.data, 0, dtype.type(1))
    assert out.tolist() == [31] * LANES


@every_dtype
@pytest.mark.parametrize(("which", "want"), [(0, 1 + 3 * 2), (1, 1 - 3 * 2), (7, 1 + 3 * 2)])
def test_one_of_several_loops_runs(which, want, dtype):
    x, out, count = np.full(LANES, 2, dtype), np.ones(LANES, dtype), np.array([3])
    runs(Chosen)(out.ctypes.data, x.ctypes.data, which, count.ctypes.data, dtype.type(1))
    assert out.tolist() == [want] * LANES


def test_a_function_is_written_once_and_linked_into_all_code_that_calls_it():
    written = []

    class Twice(Writer):
        def body(self):
            written.append(self.name)

    def emit(builder, address, one):
        for _ in range(2):
            builder.call(Twice(builder.module, one.type, LANES, "twice", [INT]).write(), [address])

    @emitted_by(emit)
    def function(address: int, one: Real) -> None:
        """Has no Python equivalent."""

    @inner
    def inside(address, one):
        function(address, one)

    for _ in range(2):

        @numba.njit(["void(int64, float32)"], pipeline_class=SharedCompiler)
        def call(address, one):
            function(address, one)
            inside(address, one)

        (code,) = call.inspect_llvm().values()
        assert len(re.findall(r"define .*fastfnn_twice_f32", code)) == 1
        assert len(re.findall(r"call .*fastfnn_twice_f32", code)) == 4, "it is not inlined"
    assert written == ["fastfnn_twice_f32"]


@every_dtype
def test_bits(dtype):
    real = {"float32": ir.FloatType(), "float64": ir.DoubleType()}[dtype.name]
    assert bits_of(real) == 8 * dtype.itemsize


@inner
def doubled(x):
    widest_vectors()
    for i in range(x.shape[0]):
        x[i] *= 2


def test_a_function_that_asks_for_the_widest_vectors_is_not_inlined_and_has_its_setting():
    @numba.njit(["void(float32[::1])"])
    def call(x):
        doubled(x)

    (code,) = call.inspect_llvm().values()
    (group,) = re.findall(r"define .*doubled.* #(\d+) ", code)
    (attributes,) = re.findall(rf"attributes #{group} = {{(.*)}}", code)
    assert "noinline" in attributes and '"prefer-vector-width"="512"' in attributes
    x = np.arange(100, dtype=np.float32)
    call(x)
    assert x.tolist() == list(range(0, 200, 2))


def test_rows_reach_the_writer_as_their_fields():
    def emit(builder, rows, one):
        return builder.extract_value(rows, 1)

    @emitted_by(emit)
    def stride_of(rows: Rows, one: Real) -> int:
        """Has no Python equivalent."""

    assert numba.njit(lambda: stride_of(Rows(3, 4), 1.0))() == 4


def test_an_array_written_through_its_address_is_seen():
    @numba.njit
    def first(x):
        array_at(x.ctypes.data, 1, x.dtype.type(1))[0] = 5
        return x[0]

    assert first(np.zeros(3)) == 5
