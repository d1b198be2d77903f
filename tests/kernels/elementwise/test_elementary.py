"""Elementary functions: accuracy, special values, the same bits everywhere, vector code."""

import functools
import math
import platform
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
import mpmath
import numba
import numpy as np
import pytest
from helpers import DTYPES, NOJIT, assert_within_ulps, ulp_distance

from fastfnn.kernels.compiler.decorators import CONTRACT, OPTIONS
from fastfnn.kernels.elementwise import constants, elementary


def wide_sigmoid(x):
    power = np.exp(-np.abs(x))
    return np.where(x < 0, power, 1) / (1 + power)


def wide_softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def wide_silu(x):
    gate = wide_sigmoid(x)
    return np.where(gate == 0, 0, x) * gate


def wide_silu_slope(x):
    gate, rest = wide_sigmoid(x), wide_sigmoid(-x)
    return gate + np.where((gate == 0) | (rest == 0), 0, x) * gate * rest


# NumPy has no error function: Python's is one of float64.
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def wide_gelu(x):
    share = erfc(-x / math.sqrt(2)) / 2
    return np.where(share == 0, 0, x) * share


def wide_gelu_slope(x):
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return erfc(-x / math.sqrt(2)) / 2 + np.where(density == 0, 0, x) * density


def exact_silu_slope(x):
    gate = 1 / (1 + mpmath.exp(-x))
    return gate + x * gate / (1 + mpmath.exp(x))


class Function(NamedTuple):
    exact: Callable[[Any], Any]  # of an mpmath number
    wide: Callable[[Any], Any]  # of an array of a wider type
    ulps: int  # the error that its docstring states; of a slope, in eps
    specials: list[float]  # at SPECIALS


SPECIALS = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, -2.0]
NAN, INF = np.nan, np.inf
FUNCTIONS = {
    "exp": Function(mpmath.exp, np.exp, 2, [1, 1, INF, 0, NAN, np.exp(-1), np.exp(-2)]),
    "sigmoid": Function(
        lambda x: 1 / (1 + mpmath.exp(-x)), wide_sigmoid, 3, [0.5, 0.5, 1, 0, NAN, 1 / (1 + np.e), 1 / (1 + np.exp(2))]
    ),
    "tanh": Function(mpmath.tanh, np.tanh, 3, [0.0, -0.0, 1, -1, NAN, np.tanh(-1), np.tanh(-2)]),
    "log": Function(mpmath.log, np.log, 2, [-INF, -INF, INF, NAN, NAN, NAN, NAN]),
    "log1p": Function(mpmath.log1p, np.log1p, 2, [0.0, -0.0, INF, NAN, NAN, -INF, NAN]),
    "expm1": Function(mpmath.expm1, np.expm1, 3, [0.0, -0.0, INF, -1, NAN, np.expm1(-1), np.expm1(-2)]),
    "softplus": Function(
        lambda x: mpmath.log1p(mpmath.exp(x)),
        wide_softplus,
        4,
        [np.log(2), np.log(2), INF, 0, NAN, np.log1p(np.exp(-1)), np.log1p(np.exp(-2))],
    ),
    "softplus_slope": Function(
        lambda x: 1 / (1 + mpmath.exp(-x)), wide_sigmoid, 4, [0.5, 0.5, 1, 0, NAN, 1 / (1 + np.e), 1 / (1 + np.exp(2))]
    ),
    "silu": Function(
        lambda x: x / (1 + mpmath.exp(-x)), wide_silu, 4, [0, -0.0, INF, 0, NAN, -1 / (1 + np.e), -2 / (1 + np.exp(2))]
    ),
    "silu_slope": Function(
        exact_silu_slope, wide_silu_slope, 4, [0.5, 0.5, 1, 0, NAN, *map(wide_silu_slope, (-1.0, -2.0))]
    ),
    "gelu": Function(
        lambda x: x * mpmath.ncdf(x), wide_gelu, 4, [0, -0.0, INF, 0, NAN, -0.15865525393145705, -0.04550026389635841]
    ),
    "gelu_slope": Function(
        lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x),
        wide_gelu_slope,
        4,
        [0.5, 0.5, 1, 0, NAN, -0.0833154705876863, -0.0852318010781969],
    ),
}
# Near its zeros a slope is right to eps, not to its own last place.
SLOPES = ("silu_slope", "gelu_slope")
every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

X86 = platform.machine().lower() in ("x86_64", "amd64")
HOST_FEATURES = llvmlite.binding.get_host_cpu_features()


def compiled(name):
    return getattr(elementary, name.replace("_slope", "_and_slope"))


as_kernels_are = numba.njit(fastmath=CONTRACT, **OPTIONS)


@functools.cache
def loop(name, decorate=as_kernels_are):
    function = compiled(name)

    def run(out, x):
        for i in range(x.shape[0]):
            out[i] = function(x[i])

    def run_second(out, x):
        for i in range(x.shape[0]):
            out[i] = function(x[i])[1]

    return decorate(run_second if name.endswith("_slope") else run)


def apply(name, x):
    out = np.full_like(x, 12345)
    loop(name)(out, x)
    return out


def bits(x):
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def rounded(value, dtype):
    """An mpmath number, correctly rounded to the dtype (twice if it is subnormal there)."""
    with mpmath.workprec(np.finfo(dtype).nmant + 1):
        return dtype.type(float(+value))


def exactly(name, x):
    """The function of every element, correctly rounded."""
    bound = 2000  # beyond it the functions are 0, -1, 1, x or infinite, and mpmath takes its time to say so
    clipped = x if name.startswith("log") else np.clip(x, -bound, bound)
    with mpmath.workprec(160), np.errstate(over="ignore"):
        want = np.array([rounded(FUNCTIONS[name].exact(mpmath.mpf(value)), x.dtype) for value in clipped.tolist()])
    assert want.dtype == x.dtype
    return np.where(x > bound, x, want) if name in ("softplus", "silu", "gelu") else want


def assert_accurate(name, got, want, x):
    """Within the error that the docstring of the function states."""
    if name not in SLOPES:
        assert_within_ulps(got, want, x, FUNCTIONS[name].ulps)
        return
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    error = np.nan_to_num(np.abs(got - want)) / np.finfo(got.dtype).eps
    worst = np.argmax(error)
    assert error[worst] <= FUNCTIONS[name].ulps, f"{error[worst]} eps at {x[worst]!r}: {got[worst]!r}, {want[worst]!r}"


@functools.cache
def points(dtype):
    """Every power of two, the seams of both argument reductions, the ends of all ranges; with neighbours and signs."""
    info = np.finfo(dtype)
    step = 1 if not NOJIT else 7 if dtype == np.float32 else 61
    powers = np.ldexp(1.0, np.arange(info.minexp - info.nmant, info.maxexp, step))
    halves = np.log(2) * (np.arange(0, info.maxexp + 60, step) + 0.5)  # k ln 2 + ln 2 / 2: k is about to change
    seams = np.sqrt(0.5) * powers  # log: the significand is about to wrap around
    ends = np.log(2) * np.array(
        [info.maxexp, info.minexp, info.minexp - info.nmant, 12.5, 13, 26.5, 27, 37.5, 57.5, 58]
    )
    others = [1 / 3, 0.1, 0.29289, 0.41421, 0.5493, 40, 20, 87, 88, 89, 104, 709, 710, 745, 1e4]
    x = np.concatenate([powers, halves, seams, ends, others]).astype(dtype)
    x = np.abs(
        np.concatenate([x, [info.max, info.tiny, info.smallest_subnormal, np.nextafter(info.tiny, dtype.type(0))]])
    )
    with np.errstate(over="ignore"):
        x = np.concatenate([x, np.nextafter(x, dtype.type(0)), np.nextafter(x, dtype.type(np.inf))])
    x = np.concatenate([x, -x, np.nextafter(dtype.type(-1), np.array([0, -2], dtype))])
    return np.unique(x[np.isfinite(x) & (x != 0)])


@every_function
@every_dtype
def test_chosen_points(name, dtype):
    x = points(dtype)
    x = x[x > {"log": 0, "log1p": -1}.get(name, -np.inf)]
    assert_accurate(name, apply(name, x), exactly(name, x), x)


@every_function
def test_bit_patterns_of_float32_in_even_steps(name):
    patterns = np.arange(0, 2**32, 200_003 if NOJIT else 2039, dtype=np.uint64)  # primes
    x = patterns.astype(np.uint32).view(np.float32)
    assert x.size >= (20_000 if NOJIT else 2_000_000)
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name].wide(x.astype(np.float64)).astype(np.float32)
    assert_accurate(name, apply(name, x), want, x)


@every_function
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no type wider than float64")
def test_random_float64(name):
    rng = np.random.default_rng(0)
    of_python = name.startswith("gelu")  # whose error function is no better than float64
    count = 3_000 if NOJIT or of_python else 200_000
    anywhere = rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
    magnitudes = np.exp2(rng.uniform(-60, 10, count))
    x = np.concatenate([anywhere, magnitudes, -magnitudes, rng.uniform(0.4, 2.5, count), rng.uniform(-0.99, 9, count)])
    with np.errstate(all="ignore"):
        want = exactly(name, x) if of_python else FUNCTIONS[name].wide(x.astype(np.longdouble)).astype(np.float64)
    assert_accurate(name, apply(name, x), want, x)


@every_function
@every_dtype
def test_special_values(name, dtype):
    x = np.tile(np.array(SPECIALS, dtype), 5)  # in vectors and in remainders
    want = np.tile(np.array(FUNCTIONS[name].specials, dtype), 5)
    got = apply(name, x)
    assert_accurate(name, got, want, x)
    exact = np.isin(np.abs(want), [0, 0.5, 1, np.inf])
    assert exact.any()
    np.testing.assert_array_equal(got[exact], want[exact])
    np.testing.assert_array_equal(np.signbit(got[exact]), np.signbit(want[exact]))


@every_function
@every_dtype
def test_every_nan_stays_nan(name, dtype):
    info = np.finfo(dtype)
    infinity = int(bits(np.array([np.inf], dtype))[0])
    payloads = np.array([1, 2, 3, 255, (1 << info.nmant) - 1, 1 << (info.nmant - 1)], bits(np.zeros(1, dtype)).dtype)
    x = np.tile(payloads + payloads.dtype.type(infinity), 7).view(dtype)
    assert np.all(np.isnan(x))
    assert np.all(np.isnan(apply(name, np.concatenate([x, -x]))))


@every_dtype
def test_tanh_is_odd(dtype):
    x = points(dtype)
    np.testing.assert_array_equal(bits(apply("tanh", -x)), bits(-apply("tanh", x)))


@pytest.mark.parametrize("name", ["tanh", "log1p"])
@every_dtype
def test_small_arguments_are_their_own_result(name, dtype):
    x = points(dtype)
    x = x[np.abs(x) < np.finfo(dtype).eps / 4]
    assert np.any(np.abs(x) < np.finfo(dtype).tiny)  # subnormal ones are among them
    assert np.max(ulp_distance(apply(name, x), x)) <= (1 if name == "tanh" else 0)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if not name.endswith("_slope")])
@every_dtype
def test_the_result_has_the_type_of_the_argument(name, dtype):
    function = getattr(elementary, name)
    if NOJIT:
        assert type(function(dtype.type(0.75))) is dtype.type
        assert type(function(0.75)) is np.float64
    else:
        real, calls = numba.from_dtype(dtype), numba.njit(lambda x: function(x))
        calls.compile((real,))
        assert [signature.return_type for signature in calls.nopython_signatures] == [real]


@pytest.mark.jit
@pytest.mark.parametrize("name", ["exp", "gelu_and_slope"])
def test_other_numbers_than_float32_and_float64_are_refused(name):
    function = getattr(elementary, name)
    for number in (1, 1j, np.float16(1)):
        with pytest.raises(numba.TypingError, match="takes a float32 or a float64"):
            numba.njit(lambda x: function(x))(number)


@every_dtype
def test_the_constants_are_what_their_comments_say(dtype):
    c = constants.FLOAT32 if dtype == np.float32 else constants.FLOAT64
    info = np.finfo(dtype)
    for value in c:
        assert all(type(number) is dtype.type for number in (value if isinstance(value, tuple) else (value,)))
    with mpmath.workprec(200):
        ln2 = mpmath.log(2)
        largest_k = info.maxexp - info.minexp + info.nmant
        assert float(c.ln2_high * dtype.type(largest_k)) == mpmath.mpf(float(c.ln2_high)) * largest_k
        assert abs(mpmath.mpf(float(c.ln2_high)) + float(c.ln2_low) - ln2) < abs(float(c.ln2_low)) * info.eps
        least, most = float(c.exp_least), float(c.exp_most)
        below, above = (float(np.nextafter(*pair)) for pair in ((c.exp_least, -c.infinity), (c.exp_most, c.infinity)))
        overflow = mpmath.mpf(2) ** info.maxexp * (1 - mpmath.mpf(2) ** -(info.nmant + 2))  # rounds to infinity
        assert mpmath.exp(below) < float(info.tiny) <= mpmath.exp(least)
        assert mpmath.exp(most) < overflow <= mpmath.exp(above)
        for last, past, function in (
            (c.silu_least, -c.infinity, FUNCTIONS["silu"].exact),
            (-c.gelu_most, -c.infinity, FUNCTIONS["gelu"].exact),
        ):
            beyond = function(mpmath.mpf(float(np.nextafter(last, past))))
            assert abs(beyond) < float(info.tiny) <= abs(function(mpmath.mpf(float(last))))
        assert abs(float(c.density_0) * mpmath.sqrt(2 * mpmath.pi) - 1) < info.eps
    few_bits = (c.gelu_most + c.splitter) - c.splitter  # and so has any smaller number
    square = c.half * few_bits * few_bits
    assert float(square) == float(few_bits) ** 2 / 2 and abs(few_bits - c.gelu_most) < dtype.type(1e-2)


# The binary logarithms of the relative errors that stand beside the polynomials.
POLYNOMIAL_ERRORS = {
    np.dtype(np.float32): {"exp": -26.0, "log": -30.1, "tanh": -32.4, "log1p": -27.5, "gelu": -27.7},
    np.dtype(np.float64): {"exp": -54.8, "log": -58.8, "tanh": -57.4, "log1p": -56.4, "gelu": -56.5},
}


@every_dtype
def test_the_polynomials_are_as_good_as_stated(dtype):
    c = constants.FLOAT32 if dtype == np.float32 else constants.FLOAT64

    def value(coefficients, x):
        return sum(mpmath.mpf(float(coefficient)) * x**order for order, coefficient in enumerate(coefficients))

    def of_artanh(z):
        s = mpmath.sqrt(z)
        return (2 * s + s * z * value(c.log_polynomial, z)) / (2 * mpmath.atanh(s))

    def of_normal(a):
        w = a / (float(c.gelu_scale) + a)
        return value(c.gelu_polynomial, w - 0.5) / ((float(c.gelu_scale) + a) * mpmath.exp(a * a / 2) * mpmath.ncdf(-a))

    ratios = {  # to 1, up to where
        "exp": (lambda r: (r + r * r * value(c.exp_polynomial, r)) / mpmath.expm1(r), 0.347, True),
        "log": (of_artanh, 0.0295, False),
        "tanh": (lambda u: (u + u**3 * value(c.tanh_polynomial, u * u)) / mpmath.tanh(u), 0.1735, True),
        "log1p": (lambda t: (t + t * t * value(c.log1p_polynomial, t)) / mpmath.log1p(t), 1, False),
        "gelu": (of_normal, float(c.gelu_most), False),
    }
    with mpmath.workprec(200):
        for name, (ratio, end, both_signs) in ratios.items():
            steps = [mpmath.mpf(end) * step / 1000 for step in range(1, 1001)]
            worst = max(abs(ratio(x) - 1) for x in (steps + [-x for x in steps] if both_signs else steps))
            assert mpmath.log(worst, 2) <= POLYNOMIAL_ERRORS[dtype][name] + 0.05, name


@pytest.mark.jit
@every_function
@every_dtype
def test_a_number_has_the_same_bits_at_every_position_of_every_loop(name, dtype):
    rng = np.random.default_rng(1)
    values = (4 * rng.standard_normal(150)).astype(dtype)
    values[::7] = np.exp2(rng.uniform(-30, 6, values[::7].size))
    if name.startswith("log"):
        values = np.abs(values)
    want = bits(np.concatenate([apply(name, values[i : i + 1]) for i in range(values.size)]))
    for length in [*range(2, 70), 127, 128, 129]:
        for start in (0, 1, 2, 3, 5, 8, 13):
            part = slice(start, start + length)
            np.testing.assert_array_equal(bits(apply(name, values[part])), want[part])
    strided = np.full((150, 3), np.nan, dtype)
    loop(name)(strided[:, 1], values[::-1])
    np.testing.assert_array_equal(bits(strided[::-1, 1]), want)
    in_place = values.copy()
    loop(name)(in_place, in_place)
    np.testing.assert_array_equal(bits(in_place), want)
    other_fastmath = np.empty_like(values)
    loop(name, numba.njit(fastmath={"contract", "reassoc"}, **OPTIONS))(other_fastmath, values)
    np.testing.assert_array_equal(bits(other_fastmath), want)


@pytest.mark.jit
@every_function
@every_dtype
def test_the_fastmath_of_the_caller_is_refused(name, dtype):
    apply(name, np.ones(3, dtype))  # a loop that has some, and no arithmetic of its own
    code = loop(name).inspect_llvm((numba.types.Array(numba.from_dtype(dtype), 1, "C"),) * 2)
    operations = re.findall(r"= (?:fadd|fsub|fmul|fdiv|fneg) +(\w+) ", code)
    assert operations
    assert not {"contract", "fast", "reassoc"} & set(operations)  # a flag would stand before the type
    assert not re.search(r"call [a-z ]*contract [^@]*@llvm", code)


def machine_code(name, dtype):
    """The instructions of a loop over contiguous arrays, without the wrapper that Python calls."""
    run = loop(name)
    run(np.ones(3, dtype), np.ones(3, dtype))
    code = run.inspect_asm((numba.types.Array(numba.from_dtype(dtype), 1, "C"),) * 2)
    return code[: code.index(".size")]


@pytest.mark.jit
@every_function
@every_dtype
def test_a_loop_over_contiguous_arrays_is_vector_code(name, dtype):
    code = machine_code(name, dtype)
    if X86:
        chosen = numba.config.CPU_FEATURES  # "" for NUMBA_CPU_NAME=generic
        features = HOST_FEATURES.flatten() if chosen is None else chosen
        # for some processors with AVX-512, LLVM chooses the narrower vectors
        expected = {"zmm", "ymm"} if "+avx512f" in features else {"ymm"} if "+avx2" in features else {"xmm"}
        letter = "s" if dtype == np.float32 else "d"
        arithmetic = rf"\bv?(?:mul|fn?m(?:add|sub)\d+)p{letter}\s.*%([xyz]mm)\d+$"
    elif platform.machine().lower() in ("aarch64", "arm64"):
        lanes = "4s" if dtype == np.float32 else "2d"
        expected = {lanes}
        arithmetic = rf"\b(?:fmul|fmla|fmls)\s+v\d+\.({lanes})"
    else:
        pytest.skip("no knowledge of this processor's instructions")
    c = constants.FLOAT32 if dtype == np.float32 else constants.FLOAT64
    degree = len(c.log_polynomial if name.startswith("log") else c.exp_polynomial) - 1
    used = [register for register in re.findall(arithmetic, code, re.MULTILINE) if register in expected]
    assert len(used) > degree, f"vector arithmetic: {used}"
    assert not re.search(r"^\s+(?:call\w*|bl)\s", code, re.MULTILINE), "calls a function"
    assert not re.search(r"\bv?cvt[sp][sd]2[sp][sd]|\bfcvt\s", code), "converts between float32 and float64"
