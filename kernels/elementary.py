"""Elementary functions of one number that the compiler can turn into vector code: exp, log, log1p, sigmoid, tanh.

Numba's own call the mathematical library of the C compiler, one number at a time. These are arithmetic without
branches, so that a loop over contiguous arrays becomes vector instructions. They are called from compiled code with a
float32 or a float64, and compute in that type and return it. (Without the JIT they are Python on NumPy scalars.)

The errors stated are those against the correctly rounded value, in units in the last place (ulp), on processors with
and without fused multiply-add. Results below the smallest normal number may be 0; arguments there are taken as they
are. NaN gives NaN. A number gives the same bits wherever it stands in an array: `mul_add` alone says what is fused, and
no fastmath flag lets the compiler choose, whatever the caller's are.

How it is done
--------------
x = k ln 2 + r with an integer k and |r| <= ln 2 / 2 gives e^x = 2^k e^r with

    e^r = 1 + r + r^2 P(r)                                                     P: `exp_polynomial`

x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) gives log x = k ln 2 + log(1 + f) with, for s = f / (2 + f), z = s^2,

    log(1 + f) = 2 artanh s = 2 s + s z Q(z) = f - s (f - z Q(z))              Q: `log_polynomial`

as 2 s = f - s f. In this form f, which is exact, carries the result, and what is rounded is at most a sixth of it.

P and Q are minimax polynomials: Remez's algorithm in 220 bits for the error named at the coefficients. Those for
float32 were rounded one by one from the lowest order up, and the others fitted anew after each.
"""

import functools
import inspect
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core.extending import intrinsic


class Constants(NamedTuple):
    """What the functions need to know about a type. A literal would not do: to Numba, 1.0 is a float64."""

    zero: Any
    one: Any
    two: Any
    infinity: Any
    nan: Any
    tiny: Any  # the smallest normal number
    precision: Any  # bits in a significand
    two_to_precision: Any
    shifter: Any  # 1.5 * 2^(precision - 1): adding it rounds to an integer and leaves that in the low bits
    log2_e: Any
    ln2_high: Any  # so few bits that its product with any k is exact
    ln2_low: Any  # ln 2 - ln2_high
    exp_least: Any  # the least x with a normal e^x
    exp_most: Any  # the greatest x with a finite e^x
    infinite: Any  # e^infinite rounds k to the exponent of infinity
    saturated: Any  # 1 + e^saturated is 1
    exp_polynomial: Any  # from the lowest order
    log_polynomial: Any


def _constants(real: Any, precision: int, **more: Any) -> Constants:
    numbers: dict[str, Any] = {
        "zero": 0,
        "one": 1,
        "two": 2,
        "infinity": np.inf,
        "nan": np.nan,
        "tiny": np.finfo(real).tiny,
        "precision": precision,
        "two_to_precision": 2.0**precision,
        "shifter": 1.5 * 2.0 ** (precision - 1),
        "log2_e": 1.4426950408889634,
        "saturated": -40,
    }
    typed = {
        name: tuple(map(real, number)) if isinstance(number, tuple) else real(number)
        for name, number in (numbers | more).items()
    }
    return Constants(**typed)


# On |r| <= 0.347, P has the least error of r + r^2 P(r) relative to e^r - 1; on 0 <= z <= 0.0295, Q has that of
# 2 s + s z Q(z) relative to 2 artanh s. These intervals leave room for a k that was rounded to the farther side. Beside
# each polynomial stands its error, with the coefficients as they are.
FLOAT32 = _constants(
    np.float32,
    24,
    ln2_high=0.69314575,  # 16 bits
    ln2_low=1.4286068e-06,
    exp_least=-87.33654,
    exp_most=88.72283,
    infinite=89,
    exp_polynomial=(0.49999997, 0.16666539, 0.04166774, 0.008367048, 0.001383999),  # 2^-26.0
    log_polynomial=(0.66666776, 0.39977556, 0.29872027),  # 2^-30.1
)
FLOAT64 = _constants(
    np.float64,
    53,
    ln2_high=0.6931471805598903,  # 42 bits
    ln2_low=5.497923018708371e-14,
    exp_least=-708.3964185322641,
    exp_most=709.782712893384,
    infinite=710,
    exp_polynomial=(  # 2^-54.8
        0.5000000000000006,
        0.16666666666666588,
        0.041666666666575945,
        0.00833333333339006,
        0.00138888889318541,
        0.0001984126971817803,
        2.4801504903221732e-05,
        2.755740794227813e-06,
        2.7626193080423155e-07,
        2.5053778407697805e-08,
    ),
    log_polynomial=(  # 2^-58.8
        0.6666666666666696,
        0.3999999999960971,
        0.28571428706161184,
        0.22222201804781241,
        0.18183414608775772,
        0.15317524133287952,
        0.14764041890920626,
    ),
)


# What Numba has no name for. Each function says in Python what it does; compiled code has in its place the LLVM
# instructions that the function above it emits.

UNSIGNED: dict[Any, Any] = {np.float32: np.uint32, np.float64: np.uint64}


def _bits(x: Any) -> int:
    return int(x.view(UNSIGNED[type(x)]))


def _number(bits: int, real: Any) -> Any:
    unsigned = UNSIGNED[real]
    return unsigned(bits & np.iinfo(unsigned).max).view(real)


def _layout(x: Any) -> tuple[Any, int, Any]:
    """The NumPy type of an LLVM value, the number of bits beneath its exponent, and the integer type as wide."""
    return (np.float64, 52, ir.IntType(64)) if isinstance(x.type, ir.DoubleType) else (np.float32, 23, ir.IntType(32))


def _call(builder: Any, name: str, *values: Any) -> Any:
    real = values[0].type
    kind = ir.FunctionType(real, [real] * len(values))
    return builder.call(builder.module.declare_intrinsic(name, [real], kind), values)


def _emitted_by(emit: Any) -> Any:
    """Decorate a Python function with what compiled code does in its place. The result has the last argument's type."""

    def decorate(plain: Any) -> Any:
        if numba.config.DISABLE_JIT:
            return plain

        def typed(context: Any, *types: Any) -> Any:
            return types[-1](*types), lambda _context, builder, _signature, values: emit(builder, *values)

        signature = inspect.signature(plain)
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        functools.update_wrapper(typed, plain, updated=())
        typed.__signature__ = signature.replace(parameters=[context, *signature.parameters.values()])  # type: ignore[attr-defined]
        return intrinsic(typed)

    return decorate


def _emit_mul_add(builder, a, b, c):
    return _call(builder, "llvm.fmuladd", a, b, c)


@_emitted_by(_emit_mul_add)
def mul_add(a, b, c):
    """a b + c, rounded once where the processor can, else twice: the same for scalars and vectors."""
    return a * b + c


def _emit_polynomial(builder, coefficients, x):
    values = [builder.extract_value(coefficients, order) for order in range(coefficients.type.count)]
    return functools.reduce(lambda value, coefficient: _emit_mul_add(builder, value, x, coefficient), reversed(values))


@_emitted_by(_emit_polynomial)
def polynomial(coefficients, x):
    """The sum of c_j x^j by Horner's rule."""
    return functools.reduce(lambda value, coefficient: value * x + coefficient, reversed(coefficients))


def _emit_times_power(builder, x, n):
    _, low, integer = _layout(x)
    exponent = builder.shl(builder.bitcast(n, integer), integer(low))
    return builder.bitcast(builder.add(builder.bitcast(x, integer), exponent), x.type)


@_emitted_by(_emit_times_power)
def times_power(x, n):
    """x 2^k, where n = `shifter` + k; right if x and the result are normal. 1 times a power may also be 0 or infinite.

    The low bits of n are k, and the high ones are shifted out of the way.
    """
    return _number(_bits(x) + (_bits(n) << np.finfo(type(x)).nmant), type(x))


def _emit_exponent(builder, x):
    real, low, integer = _layout(x)
    root, one = _bits(np.sqrt(real(0.5))), _bits(real(1))
    biased = builder.lshr(builder.sub(builder.bitcast(x, integer), integer(root - one)), integer(low))
    # 2^low + biased has these bits: cheaper than a conversion, which AVX2 lacks for 64 bits
    shifted = builder.bitcast(builder.or_(biased, integer(_bits(real(2.0**low)))), x.type)
    return builder.fsub(shifted, x.type(2.0**low + (one >> low)))


@_emitted_by(_emit_exponent)
def exponent(x):
    """The integer k with x = 2^k m, sqrt(1/2) <= m < sqrt(2), for a normal x > 0; of any other x some number."""
    real = type(x)
    root, one, low = _bits(np.sqrt(real(0.5))), _bits(real(1)), np.finfo(real).nmant
    return real(((_bits(x) - (root - one)) >> low) - (one >> low))


def _emit_where(builder, condition, x, y):
    return builder.select(condition, x, y)


@_emitted_by(_emit_where)
def where(condition, x, y):
    """x if the condition holds, else y.

    Not written like that, because Numba makes a branch of it, into which LLVM moves whatever only one side needs: too
    much, at times, to be turned back into a selection.
    """
    return x if condition else y


def _emit_copysign(builder, magnitude, sign):
    return _call(builder, "llvm.copysign", magnitude, sign)


@_emitted_by(_emit_copysign)
def copysign(magnitude, sign):
    """|magnitude| with the sign of `sign`."""
    return np.copysign(magnitude, sign)


def _constants_typed(context: Any, x: Any) -> Any:
    if x not in (numba.float32, numba.float64):
        return None  # Numba then says that there is no such function for this type
    table = FLOAT32 if x == numba.float32 else FLOAT64
    kind = numba.typeof(table)
    return kind(x), lambda context, builder, _signature, _values: context.get_constant_generic(builder, kind, table)


def _constants_plain(x):
    return FLOAT64 if isinstance(x, np.float64) else FLOAT32


constants = _constants_plain if numba.config.DISABLE_JIT else intrinsic(_constants_typed)


# Compiled into the caller. Fastmath is refused in so many words, because to say nothing means the caller's.
_compiled = numba.njit(fastmath=False, error_model="numpy", forceinline=True)


def _elementary(function: Any) -> Any:
    """Decorate a function of one number: compiled, or Python that no more warns of overflow than compiled code."""
    if not numba.config.DISABLE_JIT:
        return _compiled(function)

    @functools.wraps(function)
    def call(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(x if isinstance(x, np.float32) else np.float64(x))

    return call


@_compiled
def _reduce(x, c):
    # (r, n) with x = k ln 2 + r and n = shifter + k
    n = mul_add(x, c.log2_e, c.shifter)
    k = n - c.shifter
    return mul_add(-k, c.ln2_low, mul_add(-k, c.ln2_high, x)), n


@_compiled
def _exp_reduced(r, c):
    # e^r = 1 + r (1 + r P(r))
    return mul_add(r, mul_add(r, polynomial(c.exp_polynomial, r), c.one), c.one)


@_elementary
def exp(x):
    """e^x: 0 where that is below the smallest normal number, infinity where it is above the largest.

    Error: 2 ulp.
    """
    c = constants(x)
    r, n = _reduce(x, c)
    power = times_power(_exp_reduced(r, c), n)
    power = where(x <= c.exp_most, power, x + c.infinity)  # NaN + infinity is NaN
    return where(x < c.exp_least, c.zero, power)


@_elementary
def sigmoid(x):
    """1 / (1 + e^-x).

    Error: 3 ulp, in both tails too, down to the smallest normal result.
    """
    c = constants(x)
    y = where(-x > c.infinite, c.infinite, -x)  # in this order, so that NaN stays
    y = where(y < c.saturated, c.saturated, y)
    r, n = _reduce(y, c)
    return c.one / mul_add(_exp_reduced(r, c), times_power(c.one, n), c.one)


@_elementary
def tanh(x):
    """(1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x.

    With -2|x| = k ln 2 + r and q = e^r - 1 the numerator is (1 - 2^k) - 2^k q: nothing cancels, and for k = 0 it is -q.

    Error: 3 ulp; x itself for small x, -0.0 and subnormal numbers included; odd.
    """
    c = constants(x)
    y = -c.two * abs(x)
    y = where(y < c.saturated, c.saturated, y)
    r, n = _reduce(y, c)
    q = mul_add(r * r, polynomial(c.exp_polynomial, r), r)
    s = times_power(c.one, n)
    return copysign(mul_add(-s, q, c.one - s) / mul_add(s, q, c.one + s), x)


@_compiled
def _log_assembled(k, f, c):
    # k ln 2 + log(1 + f) = k ln2_high + (f - (s (f - z Q(z)) - k ln2_low))
    s = f / (c.two + f)
    z = s * s
    small = mul_add(s, mul_add(-z, polynomial(c.log_polynomial, z), f), -(k * c.ln2_low))
    return mul_add(k, c.ln2_high, f - small)


@_compiled
def _log_limits(value, x, c):
    # the logarithm of x, which is `value` if x is positive and finite
    value = where(x < c.infinity, value, x)
    value = where(x >= c.zero, value, c.nan)
    return where(x == c.zero, -c.infinity, value)


@_elementary
def log(x):
    """The natural logarithm: -infinity at 0, NaN below.

    Error: 2 ulp, subnormal x included.
    """
    c = constants(x)
    subnormal = x < c.tiny
    normal = x * where(subnormal, c.two_to_precision, c.one)
    k = exponent(normal)
    f = times_power(normal, c.shifter - k) - c.one
    k = k - where(subnormal, c.precision, c.zero)
    return _log_limits(_log_assembled(k, f, c), x, c)


@_elementary
def log1p(x):
    """log(1 + x): -infinity at -1, NaN below.

    1 + x = u + rest exactly, u being the rounded sum. With u = 2^k m the logarithm is that of 2^k (m + rest / 2^k).

    Error: 2 ulp; x itself for small x, -0.0 and subnormal numbers included.
    """
    c = constants(x)
    u = c.one + x
    back = u - c.one
    rest = (c.one - (u - back)) + (x - back)
    k = exponent(u)
    n = c.shifter - k
    # a greater x has nothing to gain from the rest, and the power might not be normal
    power = where(x < c.two_to_precision, times_power(c.one, n), c.zero)
    f = mul_add(rest, power, times_power(u, n) - c.one)
    return _log_limits(where(u == c.one, x, _log_assembled(k, f, c)), u, c)


@_elementary
def expm1(x):
    return exp(x) - constants(x).one


@_elementary
def softplus(x):
    c = constants(x)
    return where(x > c.zero, x, c.zero) + log1p(exp(-abs(x)))


@_elementary
def softplus_and_slope(x):
    return softplus(x), sigmoid(x)


@_elementary
def silu(x):
    return x * sigmoid(x)


@_elementary
def silu_and_slope(x):
    c = constants(x)
    s = sigmoid(x)
    return x * s, s * (c.one + x * (c.one - s))


@_elementary
def gelu(x):
    return x * sigmoid(x)


@_elementary
def gelu_and_slope(x):
    return silu_and_slope(x)
