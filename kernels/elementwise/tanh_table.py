"""tanh in float32 on AVX-512: a polynomial for each of 32 intervals, whose coefficients stay in registers.

`elementary.tanh` takes 20 operations and a division. AVX-512 has an instruction that looks up each element of a vector
in a table of 32 numbers, two registers, at the cost of a multiply-add. With a = |x|, t = a - center and the
coefficients of the interval that holds a,

    tanh a = c0 + t (c1 + t (c2 + t (c3 + t c4)))

which is 16 operations, six of them look-ups. Intervals are wide where tanh is flat and narrow where it is not: each
power of two of a + SHIFT is cut into equal parts, and the number of a part is in the first bits of a float.

The center of an interval is a number near its middle whose tanh is almost a float32, so that rounding c0 adds little
error (Gal, "Computing elementary functions: a new approach for achieving high accuracy and good performance", 1986).
The first interval has center 0, c0 = 0 and c1 = 1: near 0 tanh a rounds to a. Beyond the last interval tanh is 1.

Error: 2 ulp; x itself for small x, -0.0 and subnormal numbers included; odd; 1 from 10 on.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir

from ..compiler.emit import emitted_by
from ..compiler.memory import Rows
from ..compiler.processor import instruction_set
from ..compiler.signature import Real
from ..compiler.writer import INT, INT32, Writer, bits_of

# 32 intervals, 8 to each power of two, beginning with the part of [1/2, 1) that holds SHIFT: they end at 16 SHIFT.
LANES, INTERVALS = 16, 32
SHIFT = 0.6875
MOST = 10.0
PART_BITS = 20  # bits of a float32 after the number of its part

DEGREE = 4
CANDIDATES = 8001  # numbers that are tried as the center of an interval


def intervals() -> np.ndarray:
    """The bounds of the intervals of a: (INTERVALS + 1,) float64."""
    first = np.float32(SHIFT).view(np.int32)
    parts = first + (np.arange(INTERVALS + 1, dtype=np.int32) << PART_BITS)
    return parts.view(np.float32).astype(np.float64) - SHIFT


def coefficients() -> np.ndarray:
    """center, c0, c1, ... of each interval: (INTERVALS, DEGREE + 2) float32.

    The polynomials interpolate at Chebyshev points, which is almost the minimax polynomial.
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
            points -= center  # tanh(c + t) - tanh c = tanh t / (cosh^2 c (1 + tanh c tanh t)), without cancellation
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
    """Writes a function that replaces the numbers of a block by their tanh.

    Its arguments are the address of the block, the bytes from row to row, rows and columns.
    """

    def __init__(self, module: ir.Module, real: ir.Type) -> None:
        super().__init__(module, real, LANES, "tanh", [INT] * 4)

    def body(self) -> None:
        builder = self.builder
        address, row, rows, columns = self.function.args
        whole = builder.sdiv(columns, INT(LANES))
        rest = builder.sub(columns, builder.mul(whole, INT(LANES)))
        rests, cut = builder.zext(builder.icmp_signed(">", rest, INT(0)), INT), [self.mask(rest, 0)]

        # The look-up takes the last five bits of an interval's number: the table is rotated accordingly.
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
        """The tanh of a vector."""
        builder, integers = self.builder, ir.VectorType(INT32, LANES)
        bits = builder.bitcast(x, integers)
        magnitude, most = builder.and_(bits, self.integers(0x7FFFFFFF)), self.numbers([MOST] * LANES)
        a = builder.bitcast(magnitude, self.vector)
        a = builder.select(builder.fcmp_ordered(">", a, most), most, a)  # NaN stays
        part = builder.bitcast(builder.fadd(a, self.numbers([SHIFT] * LANES)), integers)
        number = builder.lshr(part, self.integers(PART_BITS))
        center, *coefficient = (self.look_up(low, high, number) for low, high in self.table)
        t, y = builder.fsub(a, center), coefficient[-1]
        for c in reversed(coefficient[:-1]):
            y = self.multiply_add(t, y, c)
        sign = builder.and_(bits, self.integers(0x80000000))
        return builder.bitcast(builder.or_(builder.bitcast(y, integers), sign), self.vector)

    def look_up(self, low: Any, high: Any, number: Any) -> Any:
        """The elements of a table of 32, in two registers, that the last five bits of each number choose."""
        kinds = [self.vector, number.type, self.vector]
        function = self.intrinsic("llvm.x86.avx512.vpermi2var.ps.512", self.vector, kinds)
        return self.builder.call(function, [low, number, high])

    def numbers(self, values: list[float] | np.ndarray) -> ir.Constant:
        return ir.Constant(self.vector, [float(value) for value in values])

    def integers(self, value: int) -> ir.Constant:
        return ir.Constant(ir.VectorType(INT32, LANES), [value] * LANES)


# Whether this process has the table; float64 never uses it.
HAS_TABLE = not numba.config.DISABLE_JIT and instruction_set().startswith("avx512")


def _emit_tanh_by_table(builder, target, rows, columns, one):
    if bits_of(one.type) == 32:
        place = builder.extract_value(target, 0), builder.extract_value(target, 1)
        builder.call(_Tanh(builder.module, one.type).write(), [*place, rows, columns])


@emitted_by(_emit_tanh_by_table)
def tanh_by_table(target: Rows, rows: int, columns: int, one: Real) -> None:
    """Replace a block of float32 by its tanh. Only with HAS_TABLE; for float64 it compiles to nothing."""
