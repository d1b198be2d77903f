"""The rules that divide a step by a root, AdaGrad, RMSprop and Adam, as vector code.

    h' = h + g^2, or beta h + (1 - beta) g^2        w' = shrink w - eta m / (sqrt h' + eps)

with m the gradient or, in Adam, its mean. Compilers use the processor's square root and division, which for a vector of
AVX-512 take as long as 40 multiply-adds. AVX-512 also has instructions for 1 / sqrt(x) and 1 / x with 14 correct bits,
at the cost of a multiply-add or two. Each step of Newton's method doubles the bits: from y near 1 / sqrt(x),

    s = x y,  h = y / 2;    e = 1/2 - s h,  s <- s + s e,  h <- h + h e        s to sqrt x, h to 1 / (2 sqrt x)

(Goldschmidt's form, whose operations wait less for each other), and r <- r + r (1 - d r) for 1 / d. One step is enough
for float32, two for float64. The quotient is right to 3 ulp. Elements where an intermediate result could leave the
normal numbers, NaN and infinity among them, use the square root and the division; the choice is made element by
element, so that no result depends on its neighbours. Other processors always use them.

See Experiments: estimated-roots.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from ...compiler.emit import emitted_by
from ...compiler.memory import matrix_at
from ...compiler.processor import instruction_set, vector_lanes
from ...compiler.signature import Real
from ...compiler.writer import INT, Writer, bits_of
from .contract import BETA1, BETA2, EPSILON, FACTORS, LEARNING_RATE, ONE_MINUS_BETA1, ONE_MINUS_BETA2, SHRINK

# What a rule keeps of earlier gradients: the sum of their squares; the mean of their squares; both means.
SUM, MEAN, BOTH_MEANS = range(3)

# Denominators in this range allow for the estimates: below it, the root of a number that is not normal could matter.
_SAFE = {32: (2.0**-36, 2.0**100), 64: (2.0**-450, 2.0**900)}
_STEPS = {32: 1, 64: 2}


class _Update(Writer):
    """Writes one of the three kinds of update.

    Its arguments are those of `call_update`. `first` holds the squares or, in Adam, the mean, with the squares in
    `second`.
    """

    def __init__(self, module: ir.Module, real: ir.Type, kind: int) -> None:
        self.kind = kind
        super().__init__(module, real, vector_lanes(bits_of(real)), f"adaptive_{kind}", [INT] * 6)

    def body(self) -> None:
        builder = self.builder
        *vectors, count, factors = self.function.args
        size = self.bits // 8
        self.factors = [self.splat(self.element(builder.add(factors, INT(size * j)))) for j in range(SHRINK + 1)]
        self.minus_eta = builder.fneg(self.factors[LEARNING_RATE])

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
        numerator, beta, rest, where = gradient, factor[BETA1], factor[ONE_MINUS_BETA1], first
        if self.kind == BOTH_MEANS:
            numerator = self.multiply_add(beta, self.load(first, 0), builder.fmul(rest, gradient))
            self.store(numerator, first, 0)
            beta, rest, where = factor[BETA2], factor[ONE_MINUS_BETA2], second
        squares = self.load(where, 0)
        if self.kind == SUM:
            squares = self.multiply_add(gradient, gradient, squares)
        else:
            squares = self.multiply_add(beta, squares, builder.fmul(rest, builder.fmul(gradient, gradient)))
        self.store(squares, where, 0)
        change = self.over_root(builder.fmul(self.minus_eta, numerator), squares)
        self.store(self.multiply_add(factor[SHRINK], weight, change), param, 0)

    def over_root(self, numerator: Any, square: Any) -> Any:
        """numerator / (sqrt(square) + eps)"""
        if not instruction_set().startswith("avx512"):
            return self.divided(numerator, square)
        builder = self.builder
        root = self.estimated_root(square)
        denominator = builder.fadd(root, self.factors[EPSILON])
        quotient = builder.fmul(numerator, self.estimated_inverse(denominator))
        # Compared as unsigned integers: negative numbers and NaN are large.
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
        """numerator / (sqrt(square) + eps), by the processor's square root and division."""
        function = self.intrinsic(f"llvm.sqrt.{self.suffix()}", self.vector, [self.vector])
        denominator = self.builder.fadd(self.builder.call(function, [square]), self.factors[EPSILON])
        return self.builder.fdiv(numerator, denominator)

    def estimated_root(self, x: Any) -> Any:
        """sqrt x, NaN for a negative x; x from 0 to the smallest normal number count as that number.

        x = 0 is common: the squares of a weight whose input is always 0.
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
        function = self.intrinsic(name, self.vector, [self.vector, self.vector, mask])
        return self.builder.call(function, [x, self.zero, ir.Constant(mask, -1)])


def _emitting(kind: int) -> Any:
    def emit(builder, param, first, second, grad, count, factors, one):
        builder.call(_Update(builder.module, one.type, kind).write(), [param, first, second, grad, count, factors])

    return emit


def _vectors(addresses, count, one):
    return (matrix_at(address, 1, count, 0, np.dtype(type(one)))[0] for address in addresses)


def _divide(w, numerator, squares, factor):
    with np.errstate(all="ignore"):  # compiled code does not warn
        root = np.sqrt(squares) + factor[EPSILON]
        w[...] = factor[SHRINK] * w + -factor[LEARNING_RATE] * numerator / root


@emitted_by(_emitting(SUM))
def update_by_sum(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """Add the squares of the gradient to `first`, and divide the step by their root."""
    w, squares, g = _vectors((param, first, grad), count, one)
    (factor,) = _vectors((factors,), FACTORS, one)
    squares[...] = g * g + squares
    _divide(w, g, squares, factor)


@emitted_by(_emitting(MEAN))
def update_by_mean(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """Keep the mean of the squares of the gradient in `first`, and divide the step by its root."""
    w, squares, g = _vectors((param, first, grad), count, one)
    (factor,) = _vectors((factors,), FACTORS, one)
    squares[...] = factor[BETA1] * squares + factor[ONE_MINUS_BETA1] * (g * g)
    _divide(w, g, squares, factor)


@emitted_by(_emitting(BOTH_MEANS))
def update_by_both_means(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """Keep the mean of the gradient in `first` and of its squares in `second`; divide the step by the root of these."""
    w, mean, squares, g = _vectors((param, first, second, grad), count, one)
    (factor,) = _vectors((factors,), FACTORS, one)
    mean[...] = factor[BETA1] * mean + factor[ONE_MINUS_BETA1] * g
    squares[...] = factor[BETA2] * squares + factor[ONE_MINUS_BETA2] * (g * g)
    _divide(w, mean, squares, factor)
