"""Elementary functions of one number, which compile to vector code.

    exp, expm1, log, log1p
    sigmoid, tanh, softplus, silu, gelu     activations
    softplus_and_slope and so on            with the derivative, which shares most of the work

Numba's own versions call the C library, one number at a time. These are arithmetic without branches, so that loops over
contiguous arrays become vector instructions. Compiled code calls them with a float32 or a float64; they compute in that
type and return it. (Without the JIT they are Python on NumPy scalars.)

The stated errors are against the correctly rounded value, in units in the last place (ulp), on processors with and
without fused multiply-add. Results below the smallest normal number may be 0; arguments below it are not rounded to 0.
NaN gives NaN. A number gives the same bits wherever it stands in an array: `mul_add` alone decides what is fused, and
no fastmath flag lets the compiler choose, whatever flags the caller has.

How it is done
--------------
x = k ln 2 + r with an integer k and |r| <= ln 2 / 2 gives e^x = 2^k e^r with

    e^r = 1 + r + r^2 P(r)                                                     P: `exp_polynomial`

x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) gives log x = k ln 2 + log(1 + f) with, for s = f / (2 + f), z = s^2,

    log(1 + f) = 2 artanh s = 2 s + s z Q(z) = f - s (f - z Q(z))              Q: `log_polynomial`

since 2 s = f - s f. The last form takes most of the result from f, which is exact, and rounds at most a sixth of it.

Where 0 <= t <= 1 is known beforehand, a polynomial needs no division:

    log(1 + t) = t + t^2 L(t)                                                  L: `log1p_polynomial`

The distribution function of the standard normal, Phi(-a) for a >= 0, falls like e^(-a^2 / 2) / a. The factor beside the
power is smooth in w = a / (K + a), which maps all a to 0 <= w < 1:

    Phi(-a) = e^(-a^2 / 2) R(a),  (K + a) R(a) = S(w - 1/2)                    S: `gelu_polynomial`, K: `gelu_scale`

The coefficients stand in constants.py.
"""

from .constants import constants
from .operations import copysign, exponent, mul_add, polynomial, times_power, where
from .tracing import Function, elementary


def _reduce(x, c):
    # (r, n) with x = k ln 2 + r and n = shifter + k
    n = mul_add(x, c.log2_e, c.shifter)
    k = n - c.shifter
    return mul_add(-k, c.ln2_low, mul_add(-k, c.ln2_high, x)), n


def _exp_reduced(r, c):
    # e^r = 1 + r (1 + r P(r))
    return mul_add(r, mul_add(r, polynomial(c.exp_polynomial, r), c.one), c.one)


def _expm1_reduced(r, c):
    # e^r - 1 = r + r^2 P(r)
    return mul_add(r * r, polynomial(c.exp_polynomial, r), r)


@elementary()
def exp(x):
    """e^x: 0 where that is below the smallest normal number, infinity where it is above the largest.

    Error: 2 ulp.
    """
    c = constants(x)
    r, n = _reduce(x, c)
    power = times_power(_exp_reduced(r, c), n)
    power = where(x <= c.exp_most, power, x + c.infinity)  # NaN + infinity is NaN
    return where(x < c.exp_least, c.zero, power)


@elementary()
def expm1(x):
    """e^x - 1: infinity where that is above the largest number.

    With x = k ln 2 + r and q = e^r - 1 it is 2^k q + (2^k - 1). Half of it is computed, since 2^k may be infinite.

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


@elementary()
def sigmoid(x):
    """1 / (1 + e^-x).

    Error: 3 ulp, also in both tails, down to the smallest normal result.
    """
    c = constants(x)
    y = where(x < -c.infinite, -c.infinite, x)  # in this order, so that NaN stays
    y = where(y > -c.saturated, -c.saturated, y)
    # `_reduce` of -y, with the sign in factors and results of fused multiply-adds, where it costs no instruction.
    n = mul_add(y, -c.log2_e, c.shifter)
    k = n - c.shifter
    r = -mul_add(k, c.ln2_low, mul_add(k, c.ln2_high, y))
    return c.one / mul_add(_exp_reduced(r, c), times_power(c.one, n), c.one)


@elementary()
def tanh(x):
    """(1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x.

    With -|x| = (k / 2) ln 2 + r, s = 2^k and u = tanh r the power is s (1 + u) / (1 - u). Multiplied by 1 - u, the
    numerator is (1 - s) - u (1 + s) and the denominator (1 + s) - u (1 - s). Nothing cancels in them, and for k = 0 the
    quotient is -u.

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


def _log_assembled(k, f, c):
    # k ln 2 + log(1 + f) = k ln2_high + (f - (s (f - z Q(z)) - k ln2_low))
    s = f / (c.two + f)
    z = s * s
    small = mul_add(s, mul_add(-z, polynomial(c.log_polynomial, z), f), -(k * c.ln2_low))
    return mul_add(k, c.ln2_high, f - small)


def _log_limits(value, x, c):
    # the logarithm of x, which is `value` if x is positive and finite
    value = where(x < c.infinity, value, x)
    value = where(x >= c.zero, value, c.nan)
    return where(x == c.zero, -c.infinity, value)


@elementary()
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


@elementary()
def log1p(x):
    """log(1 + x): -infinity at -1, NaN below.

    1 + x = u + rest exactly, where u is the rounded sum. With u = 2^k m, 1 + x is 2^k (m + rest / 2^k).

    Error: 2 ulp; x itself for small x, -0.0 and subnormal numbers included.
    """
    c = constants(x)
    u = c.one + x
    back = u - c.one
    rest = (c.one - (u - back)) + (x - back)
    k = exponent(u)
    n = c.shifter - k
    # For a larger x the rest does not matter, and the power might not be normal.
    power = where(x < c.two_to_precision, times_power(c.one, n), c.zero)
    f = mul_add(rest, power, times_power(u, n) - c.one)
    return _log_limits(where(u == c.one, x, _log_assembled(k, f, c)), u, c)


def _softplus_and_slope(x):
    """(log(1 + e^x), sigmoid(x)): see `softplus`; the slope is computed from the same power.

    With t = e^-|x| <= 1 they are max(x, 0) + log(1 + t), and t or 1 divided by 1 + t.

    Error: 4 ulp each.
    """
    c = constants(x)
    y = -abs(x)
    r, n = _reduce(y, c)
    t = where(y < c.exp_least, c.zero, _exp_reduced(r, c) * times_power(c.one, n))
    value = where(x < c.zero, c.zero, x) + mul_add(t * t, polynomial(c.log1p_polynomial, t), t)
    return value, where(x < c.zero, t, c.one) / (c.one + t)


@elementary()
def softplus(x):
    """log(1 + e^x): 0 where that is below the smallest normal number.

    Error: 4 ulp.
    """
    return _softplus_and_slope(x)[0]


def _silu_and_slope(x):
    """(x sigmoid(x), its derivative sigmoid(x) (1 + x (1 - sigmoid(x)))): see `silu`.

    With x = k ln 2 + r and d = 1 / (2^k + e^-r) the sigmoid is 2^k d, 1 minus the sigmoid is e^-r d, and the value is
    2^k (x d). The value can be normal where 2^k is not: 2^k is then too small to matter in d, and `times_power` sets
    the exponent of the value directly.

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


@elementary()
def silu(x):
    """x sigmoid(x): 0 where that is below the smallest normal number, at -infinity too.

    Error: 4 ulp.
    """
    return _silu_and_slope(x)[0]


def _gelu_and_slope(x):
    """(x Phi(x), its derivative Phi(x) + x phi(x)): see `gelu`.

    Phi and phi are the distribution function and the density of the standard normal. With a = |x| and the power
    E = e^(-a^2 / 2), Phi(-a) is E R(a) and phi(a) is E / sqrt(2 pi), so that

        x Phi(x) = max(x, 0) - E a R(a),  the derivative is h for x < 0 else 1 - h,  h = E (R(a) - a / sqrt(2 pi))

    Rounding a^2 / 2 would cost up to 32 ulp of E in float32, 256 in float64. So it is split into b^2 / 2 and
    (a - b) (a + b) / 2. b is a rounded to so few bits that b^2 / 2 is exact, also after k ln2_high is subtracted.

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


@elementary()
def gelu(x):
    """x Phi(x): 0 where that is below the smallest normal number, at -infinity too.

    Error: 4 ulp.
    """
    return _gelu_and_slope(x)[0]


softplus_and_slope: Function = elementary(results=2)(_softplus_and_slope)
silu_and_slope: Function = elementary(results=2)(_silu_and_slope)
gelu_and_slope: Function = elementary(results=2)(_gelu_and_slope)
