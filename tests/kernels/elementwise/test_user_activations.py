"""Activations that a user writes: their values and derivatives, the code that comes of them, the cache, the errors."""

import gc
import importlib
import json
import linecache
import math
import platform
import re
import types
import weakref
from math import exp

import llvmlite.binding
import numba
import numpy as np
import pytest
from helpers import (
    DTYPES,
    LAYOUTS,
    TOLERANCES,
    arrange,
    assert_close,
    central_difference,
    dtypes,
    framed,
    normal,
    poisoned,
    run_python,
    seeds,
    sizes,
    unchanged,
    up,
)
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from fastfnn import kernels, reference
from fastfnn.kernels.elementwise.code_fingerprint import fingerprint

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# The numbers of a function's own, as users write them: bound to names outside it.
SLOPE = 0.3
SHARP = np.float64(1.7)
CUBE = 3
POWER = np.int64(3)
TERMS = 4
COEFFICIENTS = (0.5, 0.25, -0.125)


def one(x):
    return 1.0


# Activations: (f, f'), f' of x or of x and y = f(x)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def softplus_slope(x):
    return 1 / (1 + math.exp(-x))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def silu_slope(x, y):
    return y + sigmoid(x) * (1 - y)


def leaky(x):
    return x if x > 0 else SLOPE * x


def leaky_slope(x):
    if x > 0:
        return 1
    return SLOPE


def softsign(x):
    return x / (1 + abs(x))


def softsign_slope(x):
    return 1 / (1 + abs(x)) ** 2


def gelu_by_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_by_tanh_slope(x):
    root = math.sqrt(2 / math.pi)
    t = math.tanh(root * (x + 0.044715 * x**CUBE))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * root * (1 + 3 * 0.044715 * x**2)


def bell(x):
    return exp(-(x**2) * SHARP)


def bell_slope(x, y):
    return -2 * x * y * SHARP


def series(x):
    """e^x - 1 up to x^4 / 4!, by Horner's rule."""
    y = 0.0
    for i in range(TERMS, 0, -1):
        y = (y + 1) * x / i
    return y


def series_slope(x, y):
    return 1 + y - x**4 / 24


def halved(x):
    """As often as it takes to make |x| small, which the number decides."""
    count = 0
    while abs(x) > 0.5 and count < 10:
        x *= 0.5
        count += 1
    return x


def halved_slope(x):
    slope = 1.0
    while abs(x) > 0.5:
        x, slope = x / 2, slope / 2
    return slope


def wave(x):
    return np.sin(x) + math.cos(2 * x) / 2


def wave_slope(x):
    return math.cos(x) - np.sin(2 * x)


def roots(x):
    return abs(x) ** 0.5 + (1 + x * x) ** -1 + math.sqrt(1.5) * 2**x


def roots_slope(x):
    return math.copysign(0.5, x) * abs(x) ** -0.5 - 2 * x / (1 + x * x) ** 2 + math.sqrt(1.5) * 2**x * math.log(2)


def polynomial(x):
    y = 0.0
    for coefficient in COEFFICIENTS:
        y = y * x + coefficient
    return y


def polynomial_slope(x):
    return 2 * COEFFICIENTS[0] * x + COEFFICIENTS[1]


def cubed(x):
    return x**POWER / POWER


def cubed_slope(x):
    return x**2


def bent(sharpness):
    """A closure over a number, which holds a function that is a closure over another."""
    half = sharpness / 2

    def scaled(x):
        return half * x

    return lambda x: np.tanh(scaled(x)) * sharpness, lambda x, y: half * (sharpness - y * y / sharpness)


def nested(x):
    def part(u):
        return 0.3 * u * u

    return part(x) + 0.1 * x


def nested_slope(x):
    return 0.6 * x + 0.1


CASES = {
    "softplus": (softplus, softplus_slope),
    "silu": (silu, silu_slope),  # a helper function
    "leaky": (leaky, leaky_slope),  # a condition, a global number, an integer returned
    "softsign": (softsign, softsign_slope),
    "gelu_by_tanh": (gelu_by_tanh, gelu_by_tanh_slope),
    "bell": (bell, bell_slope),
    "series": (series, series_slope),
    "halved": (halved, halved_slope),
    "wave": (wave, wave_slope),
    "roots": (roots, roots_slope),
    "polynomial": (polynomial, polynomial_slope),
    "cubed": (cubed, cubed_slope),
    "bent": bent(1.7),
    "nested": (nested, nested_slope),
    "lambdas": (lambda x: 0.7 * x if x < 1 else 0.7, lambda x: 0.7 * (x < 1)),  # a boolean takes part
    "chosen": (lambda x: np.where(x > 0, x, 0.1 * x), lambda x: np.where(x > 0, 1.0, 0.1)),  # arrays without axes
    "step": (lambda x: x > 0, lambda x: 0),  # a boolean, and an integer
}
every_case = pytest.mark.parametrize("name", CASES)


def forward(module, functions, x, layout="C"):
    out = poisoned(x.shape, x.dtype, layout)
    module.activation_forward(out, x, module.compile_activation(*functions, x.dtype))
    return out


def backward(module, functions, grad_out, x, layout="C"):
    grad_x = poisoned(x.shape, x.dtype, layout)
    module.activation_backward(grad_x, grad_out, x, module.compile_activation(*functions, x.dtype))
    return grad_x


def value(function, x):
    """f of one number, in float64."""
    return forward(kernels, (function, one), np.array([[x]], np.float64))[0, 0]


def points(dtype):
    """From -3 to 3, none of them 0 or where a case has a step; in vectors and in the rest."""
    return np.linspace(-2.97, 2.96, 9 * 33).reshape(9, 33).astype(dtype)


# Values


@every_case
@every_dtype
def test_values_are_those_of_the_reference(name, dtype):
    x = points(dtype)
    with unchanged(x):
        got = forward(kernels, CASES[name], x)
    want = forward(reference, CASES[name], *up(x))
    assert_close(got, want, 16 * TOLERANCES[dtype].eps * (1 + np.abs(want)))  # a dozen operations or so


@every_case
@every_dtype
def test_derivatives_are_those_of_the_reference(name, dtype):
    x, grad_out = points(dtype), normal(np.random.default_rng(0), (9, 33), dtype)
    with unchanged(x, grad_out):
        got = backward(kernels, CASES[name], grad_out, x)
    grad_out, x = up(grad_out, x)
    want = backward(reference, CASES[name], grad_out, x)
    steepest = 1 + np.max(np.abs(want / grad_out))  # of which terms may cancel
    assert_close(got, want, 32 * TOLERANCES[dtype].eps * steepest * np.abs(grad_out))


@every_case
def test_derivatives_are_central_differences(name):
    """Of the functions in this file, so that the tests above compare what is meant."""
    if name in ("halved", "step"):
        pytest.skip("it is not continuous")
    x = points(np.float64)[:, ::7]
    want = central_difference(lambda x: np.sum(forward(kernels, CASES[name], x)), x)
    got = backward(kernels, CASES[name], np.ones_like(x), x)
    np.testing.assert_allclose(got, want, atol=1e-6)


@hypothesis_given(sizes, sizes, dtypes, st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS), seeds)
def test_every_shape_and_layout(batch, features, dtype, before, after, seed):
    rng = np.random.default_rng(seed)
    x, grad_out = (arrange(normal(rng, (batch, features), dtype), before) for _ in range(2))
    functions = CASES["leaky"]
    with unchanged(x, grad_out):
        got, got_back = forward(kernels, functions, x, after), backward(kernels, functions, grad_out, x, after)
    want, want_back = forward(reference, functions, *up(x)), backward(reference, functions, *up(grad_out, x))
    assert_close(got, want, 2 * TOLERANCES[dtype].eps * np.abs(want))
    assert_close(got_back, want_back, 2 * TOLERANCES[dtype].eps * np.abs(want_back))


@every_dtype
def test_nothing_outside_the_outputs_is_written(dtype):
    x = points(dtype)
    code = kernels.compile_activation(*CASES["silu"], dtype)
    with framed(x.shape, dtype=dtype) as (out,):
        kernels.activation_forward(out, x, code)
    with framed(x.shape, dtype=dtype) as (grad_x,):
        kernels.activation_backward(grad_x, x, x, code)


@every_dtype
def test_arrays_may_be_overwritten(dtype):
    x, grad = points(dtype), normal(np.random.default_rng(1), (9, 33), dtype)
    want, want_back = forward(kernels, CASES["silu"], x), backward(kernels, CASES["silu"], grad, x)
    code = kernels.compile_activation(*CASES["silu"], dtype)
    kernels.activation_backward(grad, grad, x, code)
    kernels.activation_forward(x, x, code)
    np.testing.assert_array_equal(grad, want_back)
    np.testing.assert_array_equal(x, want)


@every_dtype
def test_one_nan_makes_one_nan(dtype):
    x = points(dtype)
    x[7, 32] = np.nan
    only_there = np.isnan(x)
    np.testing.assert_array_equal(np.isnan(forward(kernels, CASES["silu"], x)), only_there)
    np.testing.assert_array_equal(np.isnan(backward(kernels, CASES["silu"], np.ones_like(x), x)), only_there)


@pytest.mark.jit
@every_dtype
def test_division_by_zero_is_infinity(dtype):
    got = forward(kernels, (lambda x: 1 / x, lambda x: math.log(x)), np.zeros((3, 17), dtype))
    np.testing.assert_array_equal(got, np.full((3, 17), np.inf))


@every_dtype
def test_the_derivative_takes_the_rounded_output(dtype):
    """The y that it sees is the one that the forward pass writes, also where f computes in float64."""
    functions = (lambda x: np.float64(x) / 3, lambda x, y: y * 3 - x)
    x = points(dtype)
    y = forward(kernels, functions, x)
    got = backward(kernels, functions, np.ones_like(x), x)
    fused = (y.astype(np.longdouble) * 3 - x).astype(dtype)  # y * 3 may be rounded before x is taken away, or not
    assert np.all((got == y * dtype.type(3) - x) | (got == fused))


def test_one_code_for_one_pair_of_functions_and_dtype():
    first = kernels.compile_activation(*CASES["silu"], np.dtype("float64"))
    assert kernels.compile_activation(*CASES["silu"], np.dtype("float64")) == first
    assert first >= len(kernels.ACTIVATIONS)
    assert kernels.compile_activation(*CASES["softsign"], np.dtype("float64")) != first


# What is alike is told apart: each of these functions is compiled after another, and has its own values


def linear(number, plus):
    """A function of its own code for each pair: the numbers are written in it."""
    return eval(f"lambda x: {number} * x + {plus}")


def closure(name, number):
    return eval(f"(lambda {name}: lambda x: {name} * x)({number!r})")


def triple(x):
    return 3 * x


def plus_one(x):
    return x + 1


def composed(first, second, third):
    return lambda x: first(second(third(x)))


def with_default(number):
    def helper(x, factor=number):
        return factor * x

    return lambda x: helper(x)


def of_globals(**names):
    """A function of the same code each time, in other globals."""
    return types.FunctionType(compile("lambda x: f(x) * a", "nowhere", "eval").co_consts[0], names)


def of_nested(number):
    names = {"a": number}
    exec("def outer(x):\n    def inner(y):\n        return a * y\n    return inner(x)", names)
    return names["outer"]


def from_table(table):
    return lambda x: table[int(1000 * x)] * x


def of_module(**names):
    module = types.ModuleType("settings")
    vars(module).update(names)
    return lambda x: module.factor * x


LONG = np.linspace(1, 2, 2000)
IN_THE_MIDDLE = np.where(np.arange(2000) == 1000, 7, LONG)  # of which NumPy prints no more than the ends

PAIRS = {
    "numbers that read alike": (linear("1.5", "12.0"), linear("1.51", "2.0")),
    "integers that read alike": (linear("2", "13"), linear("21", "3")),
    "names and numbers that read alike": (closure("a", 12), closure("a1", 2)),
    "numbers in a closure": (closure("a", 2.0), closure("a", 3.0)),
    "the last digit of a number": (closure("a", 0.5), closure("a", math.nextafter(0.5, 1))),
    "the sign of zero": (eval("lambda x: 1 / (x * 0.0)"), eval("lambda x: 1 / (x * -0.0)")),
    "one helper twice": (composed(triple, plus_one, triple), composed(triple, plus_one, plus_one)),
    "the order of helpers": (composed(triple, plus_one, plus_one), composed(plus_one, plus_one, triple)),
    "a default": (with_default(2.0), with_default(3.0)),
    "other globals": (of_globals(f=triple, a=1.0), of_globals(f=triple, a=2.0)),
    "other functions in globals": (of_globals(f=triple, a=1.0), of_globals(f=plus_one, a=1.0)),
    "a function of a module": (of_globals(f=math.sin, a=1.0), of_globals(f=math.cos, a=1.0)),
    "a name inside a nested function": (of_nested(2.0), of_nested(3.0)),
    "a name in a module": (of_module(factor=2.0), of_module(factor=3.0)),
    "a long array": (from_table(LONG), from_table(IN_THE_MIDDLE)),
    "the last digits of an array": (from_table(LONG), from_table(LONG * (1 + 1e-12))),
    "the operation": (eval("lambda x: x + 3"), eval("lambda x: x * 3")),
    "the exponent": (eval("lambda x: (x + 1) ** 2"), eval("lambda x: (x + 1) ** 3")),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_functions_that_differ_in(pair):
    with np.errstate(divide="ignore"):
        want = [float(function(np.float64(1))) for function in pair]
        got = [value(function, 1) for function in pair]
    assert want[0] != want[1]
    assert got == want


def test_derivatives_that_differ():
    """One is the function itself, and one the helper that it calls: both have been seen before."""

    def function(x):
        return triple(x) + 0.5

    x = np.array([[0.75]])
    for derivative in (triple, function):
        got = backward(kernels, (function, derivative), np.ones_like(x), x)
        np.testing.assert_array_equal(got, derivative(x))


def test_a_global_changed_between_two_compilations(monkeypatch):
    monkeypatch.setitem(globals(), "CHANGING", 2.0)

    def calls(x):
        return CHANGING * x  # noqa: F821

    assert value(calls, 0.75) == 1.5
    monkeypatch.setitem(globals(), "CHANGING", 3.0)
    assert value(calls, 0.75) == 2.25


def test_a_helper_changed_between_two_compilations(monkeypatch):
    monkeypatch.setitem(globals(), "changing", triple)

    def calls(x):
        return changing(x)  # noqa: F821

    assert value(calls, 0.75) == 2.25
    monkeypatch.setitem(globals(), "changing", plus_one)
    assert value(calls, 0.75) == 1.75


def test_recursion():
    def product(x):
        if x < 1:
            return 1.0
        return x * product(x - 1)

    assert value(product, 5.5) == product(5.5)


@pytest.mark.jit
def test_helpers_that_numba_has_compiled():
    two, three = (numba.njit(eval(f"lambda x: {number} * x")) for number in (2.0, 3.0))
    for helper in (two, three):
        assert value(composed(helper, helper, triple), 0.75) == float(helper(helper(2.25)))


@pytest.mark.jit
def test_universal_functions_that_numba_has_compiled():
    """Two of one name."""
    two, three = (numba.vectorize(eval(f"lambda x: {number} * x")) for number in (2.0, 3.0))
    for helper, want in ((two, 4.5), (three, 6.75)):
        assert value(composed(helper, triple, lambda x: x), 0.75) == want


# The machine code: the type of the argument, and vectors


def doubled_by_hand(x):
    return (np.float64(x) * x + 0.3) * 0.7


def numpy_integer(x):
    return x * POWER / 7


def nested_number(x):
    def part(u):
        return 0.3 * u

    return part(x)


NARROW = {
    "softplus": softplus,  # integers in it
    "silu": silu,  # a helper
    "leaky": leaky,  # a global
    "bent": CASES["bent"][0],  # closures
    "softsign_slope": softsign_slope,  # a power
    "bell": bell,  # a global of NumPy's float64
    "gelu_by_tanh": gelu_by_tanh,  # numbers of a module
    "numpy_integer": numpy_integer,
    "nested_number": nested_number,
    "doubled_by_hand": doubled_by_hand,  # shows that float64 is found
}

ASSEMBLY = """
import json
import numpy as np
import test_user_activations
from fastfnn.kernels import compile_activation
from fastfnn.kernels.compiler import decorators
result, compiled = {}, []
compile_ = decorators._compile

def compile_and_note(*arguments, **options):
    compiled.append(compile_(*arguments, **options))
    return compiled[-1]

decorators._compile = compile_and_note
for name, function in test_user_activations.NARROW.items():
    compile_activation(function, test_user_activations.one, np.dtype("float32"))
    (assembly,) = compiled[-1].inspect_asm().values()
    result[name] = assembly[:assembly.index(".size")]  # without the wrappers that Python and C call
print(json.dumps(result))
"""
X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.fixture(scope="module")
def assembly(tmp_path_factory):
    """Of functions compiled in a process without a cache: of what is loaded there is none."""
    if not X86:
        pytest.skip("no knowledge of this processor's instructions")
    return json.loads(run_python(ASSEMBLY, NUMBA_CACHE_DIR=tmp_path_factory.mktemp("cache")))


def arithmetic_of(assembly, letter):
    """The registers of vector and scalar arithmetic in float32 (s) or float64 (d)."""
    operation = rf"\bv?(?:mul|add|sub|div|fn?m(?:add|sub)\d+)[ps]{letter}\s.*%([xyz]mm)\d+$"
    return set(re.findall(operation, assembly, re.MULTILINE))


@pytest.mark.jit
@pytest.mark.parametrize("name", NARROW)
def test_float32_stays_float32(name, assembly):
    assert arithmetic_of(assembly[name], "s") or name == "doubled_by_hand"
    assert bool(arithmetic_of(assembly[name], "d")) == (name == "doubled_by_hand")


@pytest.mark.jit
@pytest.mark.parametrize("name", ["softplus", "silu", "leaky", "bent", "softsign_slope"])
def test_loops_are_vector_code(name, assembly):
    chosen = numba.config.CPU_FEATURES
    features = llvmlite.binding.get_host_cpu_features().flatten() if chosen is None else chosen
    expected = {"zmm", "ymm"} if "+avx512f" in features else {"ymm"} if "+avx2" in features else {"xmm"}
    assert arithmetic_of(assembly[name], "s") & expected


# The cache on disk


CACHED = """
import json, sys
import numpy as np
from user_codes import apply_at
from fastfnn.kernels import compile_activation
from fastfnn.kernels.compiler import cache
sys.path.insert(0, sys.argv[1])
import helper
from helper import scaled
announced = []
cache.compile_listeners.append(announced.append)
number = float(sys.argv[2])

def closure(a):
    return lambda x: a * x

def run(function, derivative=lambda x: 1.0, dtype=np.dtype("float32")):
    code = compile_activation(function, derivative, dtype)
    x = np.full(3, 0.75, dtype)
    apply_at(code, x)
    compiled = len(announced)
    announced.clear()
    return float(x[0]), compiled

print(json.dumps({
    "closure": run(closure(number)),
    "helper": run(lambda x: scaled(x)),
    "module": run(lambda x: helper.factor * x),
}))
"""


@pytest.mark.jit
def test_the_next_process_compiles_what_has_changed_and_nothing_else(tmp_path):
    """Values at 3/4, and how many functions were compiled for them."""
    cache = tmp_path / "cache"

    def run(number, factor):
        (tmp_path / "helper.py").write_text(f"factor = {factor}\ndef scaled(x):\n    return {factor} * x\n")
        return json.loads(run_python(CACHED, tmp_path, number, NUMBA_CACHE_DIR=cache, PYTHONDONTWRITEBYTECODE=1))

    assert run(2, 4) == {"closure": [1.5, 1], "helper": [3.0, 1], "module": [3.0, 1]}
    assert run(8, 4) == {"closure": [6.0, 1], "helper": [3.0, 0], "module": [3.0, 0]}
    assert run(8, 12) == {"closure": [6.0, 0], "helper": [9.0, 1], "module": [9.0, 1]}


EDITED = """
import collections, enum, json, sys
import numba
import numpy as np
from numba.extending import intrinsic, overload, overload_attribute, overload_method, register_jitable
from user_codes import apply_at
from fastfnn.kernels import compile_activation

{definitions}

def scaled(x):
    return {expression}

code = compile_activation(scaled, lambda x: 1.0, np.dtype("float64"))
x = np.full(1, 0.75)
apply_at(code, x)
print(json.dumps([float(x[0]), code.fixed]))
"""
# What a user's function refers to, whose factor is edited between two processes: definitions, expression.
REFERRED = {
    "a member of an Enum": ("class Slope(enum.Enum):\n    STEEP = FACTOR", "Slope.STEEP.value * x"),
    "a member of an IntEnum": ("class Slope(enum.IntEnum):\n    STEEP = int(FACTOR)", "Slope.STEEP.value * x"),
    "a named tuple": ("slope = collections.namedtuple('Slope', 'a b')(FACTOR, 1.0)", "slope.a * x"),
    "the order of fields": (
        "fields = ['a', 'b'] if FACTOR == 2 else ['b', 'a']\n"
        "slope = np.array([(2.0, 3.0)], [(name, float) for name in fields])[0]", "slope['a'] * x",
    ),
    "a scalar of NumPy": ("slope = np.float32(FACTOR)", "slope * x"),
    "a tuple in a tuple": ("slopes = ((1.0, FACTOR),)", "slopes[0][1] * x"),
    "a default of a helper": ("def helper(x, factor=FACTOR):\n    return factor * x", "helper(x)"),
    "a helper of a compiled helper": (
        "@numba.njit\ndef inner(x):\n    return FACTOR * x\n@numba.njit\ndef outer(x):\n    return inner(x)",
        "outer(x)",
    ),
    "the body of an overload": (
        "def helper(x):\n    return x\n@overload(helper)\ndef of_helper(x):\n    return lambda x: FACTOR * x",
        "helper(x)",
    ),
    "an overload of a method": (
        "@overload_method(numba.types.Float, 'steep')\ndef steep(x):\n    return lambda x: FACTOR * x", "x.steep()",
    ),
    "an overload of an attribute": (
        "@overload_attribute(numba.types.Float, 'steep')\ndef steep(x):\n    return lambda x: FACTOR * x", "x.steep",
    ),
    "a vectorized function": ("@numba.vectorize\ndef helper(x):\n    return FACTOR * x", "helper(x)"),
}  # fmt: skip


@pytest.mark.jit
@pytest.mark.parametrize("referred", REFERRED)
def test_the_next_process_sees_what_was_edited_in(referred, tmp_path):
    definitions, expression = REFERRED[referred]
    for factor in ("2.0", "3.0", "2.0"):
        program = EDITED.format(definitions=definitions.replace("FACTOR", factor), expression=expression)
        value, _ = json.loads(run_python(program, NUMBA_CACHE_DIR=tmp_path).splitlines()[-1])
        assert value == 0.75 * float(factor)


ORDINARY = {
    "numbers": ("slope, offset = 2.0, 1", "slope * x + offset"),
    "math": ("import math", "math.tanh(x) * math.pi"),
    "functions of NumPy": ("", "np.maximum(np.exp(x), np.float64(1))"),
    "a helper": ("def helper(x):\n    return x * x", "helper(x)"),
    "a compiled helper": ("@numba.njit\ndef helper(x):\n    return x * x", "helper(x)"),
    "an array": ("table = np.arange(4.0)", "table[int(x)] * x"),
    "an Enum": ("class Slope(enum.Enum):\n    STEEP = 2.0", "Slope.STEEP.value * x"),
}


@pytest.mark.jit
@pytest.mark.parametrize("kind", ORDINARY)
def test_what_is_described_wholly_is_kept_on_disk(kind, tmp_path):
    definitions, expression = ORDINARY[kind]
    program = EDITED.format(definitions=definitions, expression=expression)
    for _ in range(2):
        _, fixed = json.loads(run_python(program, NUMBA_CACHE_DIR=tmp_path).splitlines()[-1])
        assert not fixed
        assert len(list(tmp_path.rglob("own.*.nbc"))) == 1


@pytest.mark.jit
def test_what_cannot_be_described_is_compiled_in_each_process_and_leaves_no_file(tmp_path):
    definitions = "Of = type('Of', (), {'__module__': 'nowhere'})\n@overload(len)\ndef length(x):\n    return Of"
    program = EDITED.format(definitions=definitions, expression="len((x, x)) * x")
    value, fixed = json.loads(run_python(program, NUMBA_CACHE_DIR=tmp_path).splitlines()[-1])
    assert (value, fixed) == (1.5, True)
    assert list(tmp_path.rglob("own.*.nbc")) == []


@pytest.mark.jit
def test_code_that_nobody_holds_is_freed():
    codes = [kernels.compile_activation(closure("a", 0.5 + i / 64), one, np.dtype("float64")) for i in range(3)]
    made = [weakref.ref(code._machine_code) for code in codes]
    assert all(each() is not None for each in made)
    del codes
    gc.collect()
    assert all(each() is None for each in made)


@pytest.mark.jit
def test_of_one_piece_of_code_with_many_numbers_few_files_are_kept(tmp_path):
    program = EDITED.format(definitions="slope = float(sys.argv[1])", expression="slope * x").replace(
        "code = compile", "for slope in np.arange(1, 14) / 8:\n    code = compile"
    )
    value, _ = json.loads(run_python(program, 1, NUMBA_CACHE_DIR=tmp_path).splitlines()[-1])
    assert value == 0.75 * 13 / 8
    assert len(list(tmp_path.rglob("own.*.nbc"))) == 8


@pytest.mark.jit
def test_the_module_of_an_activation_may_be_gone(tmp_path):
    """The same code in another module: what is on disk for the first names it."""
    (tmp_path / "first.py").write_text("def doubled(x):\n    return 2 * x\n")
    (tmp_path / "second.py").write_text("def doubled(x):\n    return 2 * x\n")
    for name in ("first", "second"):
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom {name} import doubled as scaled\n"
        code += STALE.partition("number = 2.0")[0] + "def run" + STALE.partition("def run")[2] + "print(run())"
        assert run_python(code, NUMBA_CACHE_DIR=tmp_path / "cache").split() == ["1.5"]
        (tmp_path / f"{name}.py").unlink()


STALE = """
import numpy as np
from user_codes import apply_at
from fastfnn.kernels import compile_activation
number = 2.0

def scaled(x):
    return number * x

def run():
    code = compile_activation(scaled, lambda x: 1.0, np.dtype("float32"))
    x = np.full(3, 0.75, np.float32)
    apply_at(code, x)
    return x[0]
"""


@pytest.mark.jit
def test_a_changed_global_leaves_nothing_wrong_on_disk(tmp_path):
    changed = run_python(STALE + "print(run())\nnumber = 4.0\nprint(run())", NUMBA_CACHE_DIR=tmp_path)
    fresh = run_python(STALE + "number = 4.0\nprint(run())", NUMBA_CACHE_DIR=tmp_path)
    assert changed.split() == ["1.5", "3.0"]
    assert fresh.split() == ["3.0"]


@pytest.mark.jit
def test_a_function_has_the_same_name_in_every_process():
    """Whatever the addresses and the hashes of strings are: else the cache would fill up."""
    code = "import json, test_user_activations as tests; print(json.dumps(tests.names_on_disk()))"
    assert json.loads(run_python(code, PYTHONHASHSEED=1)) == names_on_disk()
    assert len(set(names_on_disk())) == len(CASES) + 1


def names_on_disk():
    jitted = composed(*[numba.njit(triple)] * 3)
    return [fingerprint(*functions) for functions in (*CASES.values(), (jitted, one))]


# Errors: functions that cannot be compiled, with the number of the line, from `def`, that the message should name


def catches(x):
    try:
        return 1 / x
    except ZeroDivisionError:
        return 0.0


def raises(x):
    if x > 0:
        return x
    raise ValueError("negative")


def opens(x):
    y = x + 1
    return len(open("file").read()) + y


def unknown(x):
    y = x + 1
    return y * not_defined  # noqa: F821


def text(x):
    return "text"


def pair(x):
    return x, x


def nothing(x):
    y = x + 1  # noqa: F841


def sometimes_nothing(x):
    if x > 0:
        return x


def imaginary(x):
    return x * 1j


def attribute(x):
    return x.real_part + 1


def calls_what_raises(x):
    return 2 * raises(x)


def calls_object(x):
    return x * LAYOUTS_BY_NAME["a"]


LAYOUTS_BY_NAME = {"a": object()}

bad_lambda = lambda x: x.missing  # noqa: E731

START = r"^forward must (be a function that Numba can compile: .|return a number, got)"
WRONG = {
    "catches": (catches, None, "must not raise"),
    "raises": (raises, 3, "must not raise"),
    "opens": (opens, 2, ""),
    "unknown": (unknown, 2, "not_defined"),
    "text": (text, None, "return a number"),
    "pair": (pair, None, r"return a number, got .*UniTuple\(float64 x 2\)"),
    "nothing": (nothing, None, "return a number, got .*none"),
    "sometimes_nothing": (sometimes_nothing, None, r"return a number, got .*float64"),
    "imaginary": (imaginary, None, "return a number, got .*complex128"),
    "attribute": (attribute, 1, "real_part"),
    "calls_what_raises": (calls_what_raises, None, "must not raise"),
    "calls_object": (calls_object, None, ""),
    "lambda": (bad_lambda, 0, "missing"),
}


@pytest.mark.jit
@pytest.mark.parametrize(("function", "line", "reason"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_compiled(function, line, reason):
    with pytest.raises(ValueError, match=START) as caught:
        kernels.compile_activation(function, one, np.dtype("float64"))
    message = str(caught.value)
    assert re.search(reason, message)
    file, number, source = re.search(r"\n  File '(.*)', line (\d+)\n    (.*)$", message).groups()
    assert file == __file__
    assert source == linecache.getline(__file__, int(number)).strip() != ""
    if line is not None:
        assert int(number) == function.__code__.co_firstlineno + line


@pytest.mark.jit
def test_a_function_of_another_file(tmp_path, monkeypatch):
    """An assertion, which pytest would rewrite in this file."""
    file = tmp_path / "written_by_a_user.py"
    file.write_text("\n\ndef asserts(x):\n    y = 2 * x\n    assert y > 0\n    return y\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("written_by_a_user").asserts
    place = rf"\n  File {str(file)!r}, line 5\n    assert y > 0$"
    with pytest.raises(ValueError, match=f"must not raise an exception{place}"):
        kernels.compile_activation(function, one, np.dtype("float64"))


@pytest.mark.jit
def test_the_second_attempt_fails_like_the_first():
    for _ in range(2):
        with pytest.raises(ValueError, match="must not raise"):
            kernels.compile_activation(raises, one, np.dtype("float32"))


@pytest.mark.jit
def test_a_derivative_of_x_and_y_that_cannot_be_compiled():
    def slope(x, y):
        return y.missing + x

    with pytest.raises(ValueError, match=r"^derivative must be .*(?s:.)*return y\.missing \+ x$"):
        kernels.compile_activation(one, slope, np.dtype("float64"))


@pytest.mark.jit
def test_a_helper_that_numba_has_compiled_may_not_raise_either():
    @numba.njit
    def checked(x):
        if x < 0:
            raise ValueError("negative")
        return x

    def calls(x):
        return checked(x)

    with pytest.raises(ValueError, match="must not raise"):
        kernels.compile_activation(calls, one, np.dtype("float64"))
