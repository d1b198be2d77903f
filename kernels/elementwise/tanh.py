"""tanh in float32 on AVX-512: a polynomial for each of 32 intervals, whose coefficients stay in registers.

`elementary.tanh` takes 20 operations and a division. AVX-512 has an instruction that looks up each element of a vector
in a table of 32 numbers, two registers, at the cost of a multiply-add. With a = |x|, t = a - center and the
coefficients of the interval that a lies in,

    tanh a = c0 + t (c1 + t (c2 + t (c3 + t c4)))

which is 16 operations, six of them look-ups. Intervals are wide where tanh is flat and narrow where it is not:
a + SHIFT is cut into equal parts of each power of two, and the number of a part is in the first bits of a float.

A center is one of the numbers near the middle of its interval whose tanh is almost a float32, so that rounding c0 adds
little error (Gal, "Computing elementary functions: a new approach for achieving high accuracy and good performance",
1986). The first interval has center 0, c0 = 0 and c1 = 1: there tanh a is a, where that is what it rounds to. Beyond
the last one tanh is 1.

Error: 2 ulp; x itself for small x, -0.0 and subnormal numbers included; odd; 1 from 10 on.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compiler.jit import inner
from ..compiler.processor import instruction_set
from ..compiler.vectors import INT, INT32, Writer, array_at, bits_of, itemsize
from .elementary import tanh

# 32 intervals from the part of [1/2, 1) on in which SHIFT lies, and 8 to each power of two: up to 16 SHIFT.
LANES, INTERVALS = 16, 32
SHIFT = 0.6875
MOST = 10.0
PART_BITS = 20  # of a float32, behind the number of its part

DEGREE = 4
CANDIDATES = 8001  # for a center


def intervals() -> np.ndarray:
    """The bounds of the intervals of a: (INTERVALS + 1,) float64."""
    first = np.float32(SHIFT).view(np.int32)
    parts = first + (np.arange(INTERVALS + 1, dtype=np.int32) << PART_BITS)
    return parts.view(np.float32).astype(np.float64) - SHIFT


def coefficients() -> np.ndarray:
    """center, c0, c1, ... of each interval: (INTERVALS, DEGREE + 2) float32.

    Polynomials through the values at Chebyshev's points, which are almost the best there are.
    """
    rows = np.empty((INTERVALS, DEGREE + 2), np.float32)
    bounds = intervals()
    for row, low, high in zip(rows, bounds[:-1], bounds[1:], strict=True):
        middle, half = (low + high) / 2, (high - low) / 2
        known = 2 if low == 0 else 1
        count = DEGREE + 1 - known
        points = middle + half * np.cos(np.pi * (np.arange(count) + 0.5) / count)
        if low == 0:
            row[:3] = 0, 0, 1
            values = (np.tanh(points) - points) / points**2
        else:
            row[0] = center = _center(middle, half / 4)
            row[1] = np.tanh(center)
            points -= center  # tanh(c + t) - tanh c = tanh t / (cosh^2 c (1 + tanh c tanh t)), where nothing cancels
            slope, bend = 1 / np.cosh(center) ** 2, np.tanh(center)
            values = np.tanh(points) * slope / (1 + bend * np.tanh(points)) / points
        row[1 + known :] = np.linalg.solve(np.vander(points, increasing=True), values)
    return rows


def _center(middle: float, away: float) -> float:
    """The number near the middle of an interval whose tanh is nearest to a float32."""
    numbers = np.linspace(middle - away, middle + away, CANDIDATES).astype(np.float32).astype(np.float64)
    values = np.tanh(numbers)
    return float(numbers[np.argmin(np.abs(values - values.astype(np.float32)))])


class _Tanh(Writer):
    """Replaces the numbers of a block by their tanh: its address, bytes from row to row, its size."""

    def __init__(self, module: ir.Module, real: ir.Type) -> None:
        super().__init__(module, real, LANES, "tanh", [INT] * 4)

    def body(self) -> None:
        builder = self.builder
        address, row, rows, columns = self.function.args
        whole = builder.sdiv(columns, INT(LANES))
        rest = builder.sub(columns, builder.mul(whole, INT(LANES)))
        rests, cut = builder.zext(builder.icmp_signed(">", rest, INT(0)), INT), [self.mask(rest, 0)]

        # An interval's place in the table is what the look-up takes for its number: the last bits of that.
        first = np.float32(SHIFT).view(np.int32) >> PART_BITS
        table = np.roll(coefficients(), first % INTERVALS, axis=0)
        self.table = [[self.numbers(column[:LANES]), self.numbers(column[LANES:])] for column in table.T]

        def vector(values: list[Any]) -> list[Any]:
            (place,) = values
            self.store(self.tanh(self.load(place, 0)), place, 0)
            return [builder.add(place, INT(4 * LANES))]

        def whole_row(values: list[Any]) -> list[Any]:
            (start,) = values
            self.masks = []
            end = self.loop(whole, [start], vector)
            self.masks = cut
            self.loop(rests, end, vector)
            return [builder.add(start, row)]

        self.loop(rows, [address], whole_row)

    def tanh(self, x: Any) -> Any:
        """That of a vector."""
        builder, integers = self.builder, ir.VectorType(INT32, LANES)
        bits = builder.bitcast(x, integers)
        magnitude, most = builder.and_(bits, self.integers(0x7FFFFFFF)), self.numbers([MOST] * LANES)
        a = builder.bitcast(magnitude, self.vector)
        a = builder.select(builder.fcmp_ordered(">", a, most), most, a)  # NaN remains
        part = builder.bitcast(builder.fadd(a, self.numbers([SHIFT] * LANES)), integers)
        number = builder.lshr(part, self.integers(PART_BITS))
        center, *coefficient = (self.look_up(low, high, number) for low, high in self.table)
        t, y = builder.fsub(a, center), coefficient[-1]
        for c in reversed(coefficient[:-1]):
            y = self.multiply_add(t, y, c)
        sign = builder.and_(bits, self.integers(0x80000000))
        return builder.bitcast(builder.or_(builder.bitcast(y, integers), sign), self.vector)

    def look_up(self, low: Any, high: Any, number: Any) -> Any:
        """Of each element's number the last five bits say which of 32 elements it becomes."""
        kinds = [self.vector, number.type, self.vector]
        function = self._intrinsic("llvm.x86.avx512.vpermi2var.ps.512", self.vector, kinds)
        return self.builder.call(function, [low, number, high])

    def numbers(self, values: list[float] | np.ndarray) -> ir.Constant:
        return ir.Constant(self.vector, [float(value) for value in values])

    def integers(self, value: int) -> ir.Constant:
        return ir.Constant(ir.VectorType(INT32, LANES), [value] * LANES)


@intrinsic
def _by_table(_context, address, row, rows, columns, one):
    def code(context, builder, _signature, values):
        real = context.get_value_type(one)
        if bits_of(real) == 32:  # for float64 this is compiled, too, but not called
            builder.call(_Tanh(builder.module, real).write(), values[:-1])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4, one), code


HAS_TABLE = not numba.config.DISABLE_JIT and instruction_set().startswith("avx512")


def _plain_by_table(address, row, rows, columns, one):
    """Not called: there is no table without the compiler."""


by_table = _by_table if HAS_TABLE else inner(_plain_by_table)


@inner
def tanh_rows(address, row, rows, columns, one):
    """tanh in place of a block: its address, bytes from row to row, its size."""
    if HAS_TABLE and itemsize(one) == 4:
        by_table(address, row, rows, columns, one)
    else:
        for i in range(rows):
            x = array_at(address + i * row, columns, one)
            for o in range(columns):
                x[o] = tanh(x[o])
