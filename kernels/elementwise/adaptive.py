"""The rules whose step is divided by a root: AdaGrad, RMSprop and Adam, as vector code.

    h' = h + g^2, or beta h + (1 - beta) g^2        w' = shrink w - eta m / (sqrt h' + eps)

with m the gradient or, in Adam, its mean: see optimizers.py. Compilers take the processor's square root and division,
which for a vector of AVX-512 take as long as 40 multiply-adds. It also has instructions for 1 / sqrt(x) and 1 / x with
14 right bits, at the cost of a multiply-add or two. Newton's method doubles the bits: from y near 1 / sqrt(x),

    s = x y,  h = y / 2;    e = 1/2 - s h,  s <- s + s e,  h <- h + h e        s to sqrt x, h to 1 / (2 sqrt x)

(Goldschmidt's form, whose steps wait less for each other), and r <- r + r (1 - d r) for 1 / d. One step serves float32,
two float64. The quotient is right to 3 ulp. Elements where an intermediate result could leave the normal numbers, NaN
and infinity among them, take the square root and the division after all, chosen element by element so that none
depends on its neighbours. Other processors take them always.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compiler.processor import instruction_set, vector_lanes
from ..compiler.vectors import INT, Writer, bits_of, matrix_at

# What is summed of the gradient: nothing but its square; its weighted square; and the mean of the gradient itself, too.
ALL, RECENT, MEAN_TOO = range(3)

# The arguments: addresses of vectors of `count` elements, and of the factors of `optimizers.factors`. `first` has the
# squares, or in Adam the mean, with the squares in `second`.
ARGUMENTS = ("param", "first", "second", "grad", "count", "factor")
ETA, MEMORY1, REST1, MEMORY2, REST2, ADDED, SHRINK = range(7)

# Denominators from here to there allow for the estimates: below, the root of a number that is not normal could count.
_SAFE = {32: (2.0**-36, 2.0**100), 64: (2.0**-450, 2.0**900)}
_STEPS = {32: 1, 64: 2}


class _Update(Writer):
    """One of the three kinds of update."""

    def __init__(self, module: ir.Module, real: ir.Type, kind: int) -> None:
        self.kind = kind
        super().__init__(module, real, vector_lanes(bits_of(real)), f"adaptive_{kind}", [INT] * len(ARGUMENTS))

    def body(self) -> None:
        builder = self.builder
        *vectors, count, factors = self.function.args
        size = self.bits // 8
        self.factors = [
            self.splat(self.element(builder.add(factors, INT(size * which)))) for which in range(SHRINK + 1)
        ]
        self.minus_eta = builder.fneg(self.factors[ETA])

        def step(addresses: list[Any]) -> list[Any]:
            self.update(*addresses)
            return [builder.add(address, INT(size * self.lanes)) for address in addresses]

        whole = builder.sdiv(count, INT(self.lanes))
        rest = builder.sub(count, builder.mul(whole, INT(self.lanes)))
        vectors = self.loop(whole, list(vectors), step)
        self.masks = [self.mask(rest, 0)]
        self.loop(builder.zext(builder.icmp_signed(">", rest, INT(0)), INT), vectors, step)

    def update(self, param: Any, first: Any, second: Any, grad: Any) -> None:
        """Update one vector."""
        builder, factor = self.builder, self.factors
        gradient, weight = self.load(grad, 0), self.load(param, 0)
        numerator, memory, rest, where = gradient, factor[MEMORY1], factor[REST1], first
        if self.kind == MEAN_TOO:
            numerator = self.multiply_add(memory, self.load(first, 0), builder.fmul(rest, gradient))
            self.store(numerator, first, 0)
            memory, rest, where = factor[MEMORY2], factor[REST2], second
        squares = self.load(where, 0)
        if self.kind == ALL:
            squares = self.multiply_add(gradient, gradient, squares)
        else:
            squares = self.multiply_add(memory, squares, builder.fmul(rest, builder.fmul(gradient, gradient)))
        self.store(squares, where, 0)
        change = self.over_root(builder.fmul(self.minus_eta, numerator), squares)
        self.store(self.multiply_add(factor[SHRINK], weight, change), param, 0)

    def over_root(self, numerator: Any, square: Any) -> Any:
        """numerator / (sqrt(square) + eps)"""
        if not instruction_set().startswith("avx512"):
            return self.divided(numerator, square)
        builder = self.builder
        root = self.estimated_root(square)
        denominator = builder.fadd(root, self.factors[ADDED])
        quotient = builder.fmul(numerator, self.estimated_inverse(denominator))
        # as integers without a sign: negative numbers and NaN are large
        least, most = (self.as_integers(self.constant(number)) for number in _SAFE[self.bits])
        above = builder.sub(self.as_integers(denominator), least)
        unsafe = builder.icmp_unsigned(">=", above, builder.sub(most, least))
        estimated = builder.block
        lanes = ir.IntType(self.lanes)
        divide, after = (self.function.append_basic_block(name) for name in ("divide", "divided"))
        builder.cbranch(builder.icmp_unsigned("!=", builder.bitcast(unsafe, lanes), lanes(0)), divide, after)
        builder.position_at_end(divide)
        chosen = builder.select(unsafe, self.divided(numerator, square), quotient)
        builder.branch(after)
        builder.position_at_end(after)
        return self.either((quotient, estimated), (chosen, divide))

    def constant(self, number: float) -> Any:
        """A vector whose elements are all this number."""
        return ir.Constant(self.vector, [number] * self.lanes)

    def as_integers(self, x: Any) -> Any:
        """The bits of a vector's elements."""
        return self.builder.bitcast(x, ir.VectorType(ir.IntType(self.bits), self.lanes))

    def divided(self, numerator: Any, square: Any) -> Any:
        """The same by the processor's square root and division."""
        function = self._intrinsic(f"llvm.sqrt.{self._suffix()}", self.vector, [self.vector])
        denominator = self.builder.fadd(self.builder.call(function, [square]), self.factors[ADDED])
        return self.builder.fdiv(numerator, denominator)

    def estimated_root(self, x: Any) -> Any:
        """sqrt x, or NaN; that of the smallest normal number for what is less and not negative.

        0 is so, which is common: the squares of a weight whose input is always 0.
        """
        builder = self.builder
        bits, tiny = (self.as_integers(y) for y in (x, self.constant(float(np.finfo(f"float{self.bits}").tiny))))
        x = builder.bitcast(builder.select(builder.icmp_unsigned("<", bits, tiny), tiny, bits), self.vector)
        y, half = self.estimate("rsqrt14", x), self.constant(0.5)
        root, inverse = builder.fmul(x, y), builder.fmul(half, y)
        for step in range(_STEPS[self.bits]):
            error = self.multiply_add(builder.fneg(root), inverse, half)
            root = self.multiply_add(root, error, root)
            if step + 1 < _STEPS[self.bits]:
                inverse = self.multiply_add(inverse, error, inverse)
        return root

    def estimated_inverse(self, x: Any) -> Any:
        """1 / x"""
        inverse = self.estimate("rcp14", x)
        for _ in range(_STEPS[self.bits]):
            error = self.multiply_add(self.builder.fneg(x), inverse, self.constant(1.0))
            inverse = self.multiply_add(inverse, error, inverse)
        return inverse

    def estimate(self, name: str, x: Any) -> Any:
        """1 / sqrt x or 1 / x with a relative error of 2^-14."""
        mask = ir.IntType(self.lanes)
        name = f"llvm.x86.avx512.{name}.{'ps' if self.bits == 32 else 'pd'}.512"
        function = self._intrinsic(name, self.vector, [self.vector, self.vector, mask])
        return self.builder.call(function, [x, self.zero, ir.Constant(mask, -1)])


@intrinsic
def _update(_context, kind, param, first, second, grad, count, factor, one):
    def code(context, builder, _signature, values):
        kind, *values, _ = values
        real = context.get_value_type(one)
        after = builder.append_basic_block("updated")
        switch = builder.switch(kind, after)
        for number in (ALL, RECENT, MEAN_TOO):
            block = builder.append_basic_block(f"adaptive_{number}")
            switch.add_case(INT(number), block)
            builder.position_at_end(block)
            builder.call(_Update(builder.module, real, number).write(), values)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(*[types.intp] * (1 + len(ARGUMENTS)), one), code


def _plain_update(kind, param, first, second, grad, count, factor, one):
    """The same in NumPy."""
    dtype = np.dtype(type(one))
    w, state, squares, g = (matrix_at(address, 1, count, 0, dtype)[0] for address in (param, first, second, grad))
    eta, beta1, rest1, beta2, rest2, epsilon, shrink = matrix_at(factor, 1, SHRINK + 1, 0, dtype)[0]
    numerator = g
    if kind == MEAN_TOO:
        state[...] = beta1 * state + rest1 * g
        squares[...] = beta2 * squares + rest2 * (g * g)
        numerator = state
    elif kind == RECENT:
        state[...] = beta1 * state + rest1 * (g * g)
    else:
        state[...] = g * g + state
    h = squares if kind == MEAN_TOO else state
    with np.errstate(all="ignore"):  # compiled code does not warn
        w[...] = shrink * w + -eta * numerator / (np.sqrt(h) + epsilon)


adaptive_update: Any = _plain_update if numba.config.DISABLE_JIT else _update
