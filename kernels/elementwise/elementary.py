"""Elementary functions of one number that the compiler can turn into vector code.

    exp, expm1, log, log1p
    sigmoid, tanh, softplus, silu, gelu     activations
    softplus_and_slope and so on            with the derivative, which shares most of the work

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

Where 0 <= t <= 1 is known beforehand, a polynomial does without the division:

    log(1 + t) = t + t^2 L(t)                                                  L: `log1p_polynomial`

The distribution function of the standard normal, Phi(-a) for a >= 0, falls like e^(-a^2 / 2) / a. What is left beside
the power is smooth in w = a / (K + a), which takes all a to 0 <= w < 1:

    Phi(-a) = e^(-a^2 / 2) R(a),  (K + a) R(a) = S(w - 1/2)                    S: `gelu_polynomial`, K: `gelu_scale`

P, Q, L and S are minimax polynomials: Remez's algorithm in 220 bits for the error named at the coefficients. Those for
float32 were rounded one by one from the lowest order up, and the others fitted anew after each; so were those of L for
float64. Of the K that are short in binary each type has one that makes S, with its coefficients rounded, good.
"""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core.extending import intrinsic

from ..compiler.jit import compiled_with, with_context


class Constants(NamedTuple):
    """What the functions need to know about a type. A literal would not do: to Numba, 1.0 is a float64."""

    zero: Any
    half: Any
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
    splitter: Any  # adding and subtracting it leaves, of a number up to gelu_most, few enough bits for an exact square
    silu_least: Any  # the least x with a normal silu(x)
    gelu_most: Any  # the greatest a with a normal gelu(-a)
    gelu_scale: Any
    density_0: Any  # 1 / sqrt(2 pi), the density of the standard normal at 0
    exp_polynomial: Any  # from the lowest order
    log_polynomial: Any
    tanh_polynomial: Any
    log1p_polynomial: Any
    gelu_polynomial: Any


def _constants(real: Any, precision: int, **more: Any) -> Constants:
    numbers: dict[str, Any] = {
        "zero": 0,
        "half": 0.5,
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
        "density_0": 0.3989422804014327,
    }
    typed = {
        name: tuple(map(real, number)) if isinstance(number, tuple) else real(number)
        for name, number in (numbers | more).items()
    }
    return Constants(**typed)


# On |r| <= 0.347, P has the least error of r + r^2 P(r) relative to e^r - 1; on 0 <= z <= 0.0295, Q has that of
# 2 s + s z Q(z) relative to 2 artanh s. These intervals leave room for a k that was rounded to the farther side. On
# 0 <= t <= 1, L has the least error of t + t^2 L(t) relative to log(1 + t); S has the least relative error for a up to
# 13.2 or 37.7, a little beyond gelu_most. Beside each polynomial stands its error, with the coefficients as they are.
FLOAT32 = _constants(
    np.float32,
    24,
    ln2_high=0.69314575,  # 16 bits
    ln2_low=1.4286068e-06,
    exp_least=-87.33654,
    exp_most=88.72283,
    infinite=89,
    splitter=1.5 * 2.0**15,  # leaves multiples of 2^-8
    silu_least=-91.85677,
    gelu_most=13.146246,
    gelu_scale=3.375,
    exp_polynomial=(0.49999997, 0.16666539, 0.04166774, 0.008367048, 0.001383999),  # 2^-26.0
    log_polynomial=(0.66666776, 0.39977556, 0.29872027),  # 2^-30.1
    tanh_polynomial=(-0.33333322, 0.13331142, -0.052715294),  # 2^-32.4
    log1p_polynomial=(  # 2^-27.5
        -0.49999934,
        0.3333055,
        -0.2495894,
        0.19697012,
        -0.15359621,
        0.10687165,
        -0.057725452,
        0.02023524,
        -0.0033249387,
    ),
    gelu_polynomial=(  # 2^-27.7
        0.7410803,
        -1.1059844,
        1.1815028,
        -0.78707373,
        0.1395439,
        0.2503802,
        -0.14462435,
        -0.109017126,
        0.081963025,
        0.072529756,
    ),
)
FLOAT64 = _constants(
    np.float64,
    53,
    ln2_high=0.6931471805598903,  # 42 bits
    ln2_low=5.497923018708371e-14,
    exp_least=-708.3964185322641,
    exp_most=709.782712893384,
    infinite=710,
    splitter=1.5 * 2.0**32,  # leaves multiples of 2^-20
    silu_least=-714.9686572379665,
    gelu_most=37.615868313955986,
    gelu_scale=5.5,
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
    tanh_polynomial=(  # 2^-57.4
        -0.3333333333333247,
        0.13333333332777586,
        -0.0539682527713702,
        0.021869369923402413,
        -0.008857282354365465,
        0.003444512580542151,
    ),
    log1p_polynomial=(  # 2^-56.4
        -0.4999999999999946,
        0.3333333333323525,
        -0.24999999993685548,
        0.19999999791536763,
        -0.1666666250169876,
        0.1428565892966568,
        -0.12499479848563826,
        0.11107507267491022,
        -0.09981020138461533,
        0.09013170214451827,
        -0.08081252666169715,
        0.07035622646309578,
        -0.057503251655111186,
        0.042301591478531776,
        -0.026745312598689095,
        0.013839516412940586,
        -0.005543572101464709,
        0.0015959003281915574,
        -0.0002917948865706996,
        2.533324100433796e-05,
    ),
    gelu_polynomial=(  # 2^-56.5
        0.7737696342764068,
        -1.3703668411486762,
        2.1423859562499787,
        -2.936392522348958,
        3.485958925727335,
        -3.5104988786790186,
        2.8862451721545064,
        -1.782209352404515,
        0.625403564624541,
        0.1380372483591196,
        -0.3323111943030129,
        0.14625761675280355,
        0.06684663509732937,
        -0.09927804651021503,
        0.0073130295866156315,
        0.04862347014964656,
        -0.017548725321996056,
        -0.023278339532228097,
        0.013171841459466208,
        0.012027488758926811,
        -0.005924954102987918,
        -0.005409118287251977,
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

        functools.update_wrapper(typed, plain, updated=())
        typed.__signature__ = with_context(plain)  # type: ignore[attr-defined]
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
_compiled = functools.partial(compiled_with, fastmath=False, error_model="numpy", forceinline=True)


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


@_compiled
def _expm1_reduced(r, c):
    # e^r - 1 = r + r^2 P(r)
    return mul_add(r * r, polynomial(c.exp_polynomial, r), r)


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
def expm1(x):
    """e^x - 1: infinity where that is above the largest number.

    With x = k ln 2 + r and q = e^r - 1 it is 2^k q + (2^k - 1). Half of that is computed, as 2^k alone may be infinite.

    Error: 3 ulp; x itself for small x, -0.0 and subnormal numbers included.
    """
    c = constants(x)
    y = where(x < c.saturated, c.saturated, x)
    r, n = _reduce(y, c)
    q = _expm1_reduced(r, c)
    s = times_power(c.half, n)
    value = where(n == c.shifter, q, c.two * mul_add(s, q, s - c.half))  # half of a subnormal q would lose its last bit
    value = where(x <= c.exp_most, value, x + c.infinity)  # NaN + infinity is NaN
    return copysign(value, x)


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

    With -|x| = (k / 2) ln 2 + r, s = 2^k and u = tanh r the power is s (1 + u) / (1 - u). Multiplied by 1 - u,

        the numerator is (1 - s) - u (1 + s),  the denominator is (1 + s) - u (1 - s)

    where nothing cancels; for k = 0 their quotient is -u.

    Error: 3 ulp; x itself for small x, -0.0 and subnormal numbers included; odd.
    """
    c = constants(x)
    y = -abs(x)
    y = where(y < c.half * c.saturated, c.half * c.saturated, y)
    n = mul_add(y, c.two * c.log2_e, c.shifter)
    k = n - c.shifter
    r = mul_add(-k, c.half * c.ln2_low, mul_add(-k, c.half * c.ln2_high, y))
    z = r * r
    u = mul_add(r * z, polynomial(c.tanh_polynomial, z), r)
    s = times_power(c.one, n)
    return copysign(mul_add(-u, c.one + s, c.one - s) / mul_add(-u, c.one - s, c.one + s), x)


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
def softplus_and_slope(x):
    """(log(1 + e^x), sigmoid(x)): see `softplus`; the slope is computed from the same power.

    With t = e^-|x| <= 1 they are max(x, 0) + log(1 + t), and t or 1 divided by 1 + t.

    Error: 4 ulp of either.
    """
    c = constants(x)
    y = -abs(x)
    r, n = _reduce(y, c)
    t = where(y < c.exp_least, c.zero, _exp_reduced(r, c) * times_power(c.one, n))
    value = where(x < c.zero, c.zero, x) + mul_add(t * t, polynomial(c.log1p_polynomial, t), t)
    return value, where(x < c.zero, t, c.one) / (c.one + t)


@_elementary
def softplus(x):
    """log(1 + e^x): 0 where that is below the smallest normal number.

    Error: 4 ulp.
    """
    return softplus_and_slope(x)[0]


@_elementary
def silu_and_slope(x):
    """(x sigmoid(x), its derivative sigmoid(x) (1 + x (1 - sigmoid(x)))): see `silu`.

    With x = k ln 2 + r and d = 1 / (2^k + e^-r) the sigmoid is 2^k d, what it lacks of 1 is e^-r d, and the value is
    2^k (x d). This can be normal where 2^k is not: then 2^k counts for nothing in d, and the value's exponent is set.

    The derivative goes from 0 at -infinity through -0.1 and 1.1 to 1. Its error: 4 eps.
    """
    c = constants(x)
    r, n = _reduce(x, c)
    power = where(x < c.exp_least, c.zero, times_power(c.one, n))
    rest = _exp_reduced(-r, c)
    d = c.one / (power + rest)
    value = where(x < c.silu_least, c.zero, times_power(x * d, n))  # k is 0 for a subnormal x d
    slope = where(x < c.silu_least, c.zero, mul_add(value, rest * d, power * d))
    large = -c.saturated
    return where(x <= large, value, x), where(x > large, c.one, slope)  # NaN stays


@_elementary
def silu(x):
    """x sigmoid(x): 0 where that is below the smallest normal number, at -infinity too.

    Error: 4 ulp.
    """
    return silu_and_slope(x)[0]


@_elementary
def gelu_and_slope(x):
    """(x Phi(x), its derivative Phi(x) + x phi(x)): see `gelu`.

    Phi and phi are the distribution function and the density of the standard normal. With a = |x| and the power
    E = e^(-a^2 / 2), Phi(-a) is E R(a) and phi(a) is E / sqrt(2 pi), so that

        x Phi(x) = max(x, 0) - E a R(a),  the derivative is h for x < 0 else 1 - h,  h = E (R(a) - a / sqrt(2 pi))

    Rounding a^2 / 2 would cost up to 32 ulp of E in float32, 256 in float64. It is b^2 / 2 + (a - b) (a + b) / 2, where
    b is a with so few bits that the large part is exact, and so is what is left of it when k ln2_high is taken away.

    The derivative goes from 0 at -infinity through -0.13 and 1.13 to 1. Its error: 4 eps.
    """
    c = constants(x)
    a = abs(x)
    b = (a + c.splitter) - c.splitter
    high = -c.half * b * b
    low = -c.half * (a - b) * (a + b)
    n = mul_add(high + low, c.log2_e, c.shifter)
    k = n - c.shifter
    r = mul_add(-k, c.ln2_high, high) + mul_add(-k, c.ln2_low, low)
    q = _expm1_reduced(r, c)
    power = times_power(c.one, n)
    w = a / (c.gelu_scale + a)
    s = polynomial(c.gelu_polynomial, w - c.half)
    g = w * s  # a R(a)
    h = mul_add(s - g, c.one / c.gelu_scale, -(c.density_0 * a))  # R(a) - a / sqrt(2 pi)
    g = where(a > c.gelu_most, c.zero, power * mul_add(q, g, g))  # NaN stays
    h = where(a > c.gelu_most, c.zero, power * mul_add(q, h, h))
    return where(x < c.zero, c.zero, x) - g, where(x < c.zero, h, c.one - h)


@_elementary
def gelu(x):
    """x Phi(x): 0 where that is below the smallest normal number, at -infinity too.

    Error: 4 ulp.
    """
    return gelu_and_slope(x)[0]
