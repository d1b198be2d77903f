"""Activations that a user brings: two functions of one number in Python, compiled into a kernel of their own.

They become a shared function with the arguments of `activate`, which the others call at its address: the address is the
activation's code. To run as fast as the built-in ones they are compiled with two changes, made in Numba's intermediate
representation:

- A number that is written in the code, or bound to a name outside, takes the type of the argument. To Numba 1.0 is a
  float64, and in `1.0 + x` it would make one of a float32. Exponents stay what they are, as x ** 2 is x * x.
- exp, expm1, log, log1p and tanh of math and NumPy are those of elementary.py, which become vector code.

A function that they call is compiled in the same way.
"""

import functools
import hashlib
import inspect
import linecache
import math
import operator
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from numba.core import errors, ir
from numba.core import types as numba_types
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.imputils import impl_ret_borrowed
from numba.core.untyped_passes import InlineClosureLikes
from numba.extending import intrinsic

from ..compiler.jit import address_of, compiler_with, shared
from ..compiler.vectors import array_at, widest_vectors
from . import elementary

Function = Callable[..., float]

NUMBERS = (numba_types.Float, numba_types.Integer, numba_types.Boolean)

NAMES = ("exp", "expm1", "log", "log1p", "tanh")


def _with_ours(module: Any) -> types.ModuleType:
    copy = types.ModuleType(module.__name__)
    copy.__dict__.update(vars(module))
    copy.__dict__.update({name: getattr(elementary, name) for name in NAMES})
    return copy


_ours: dict[int, Any] = {id(module): _with_ours(module) for module in (math, np)}
_ours |= {id(getattr(module, name)): getattr(elementary, name) for module in (math, np) for name in NAMES}


@register_pass(mutates_CFG=False, analysis_only=False)
class _TypeOfTheArgument(FunctionPass):
    """The two changes; and no exception may leave the function."""

    _name = "fastfnn_type_of_the_argument"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        real = getattr(np, str(state.args[0]))
        blocks = state.func_ir.blocks.values()
        exact = {name for block in blocks for name in _exact_integers(block)}
        modules: dict[str, Any] = {}  # bound to a name
        for statement in (statement for block in blocks for statement in block.body):
            if isinstance(statement, (ir.Raise, ir.StaticRaise, ir.DynamicRaise)):
                raise errors.UnsupportedError("an activation must not raise an exception", statement.loc)
            if isinstance(statement, ir.Assign):
                value, name = statement.value, statement.target.name
                if isinstance(value, (ir.Const, ir.Global, ir.FreeVar)):
                    if isinstance(value.value, types.ModuleType):
                        modules[name] = value.value
                    self._change(statement, value.value, real, name in exact)
                elif isinstance(value, ir.Expr) and value.op == "getattr" and value.value.name in modules:
                    found = getattr(modules[value.value.name], value.attr, None)
                    if isinstance(found, types.ModuleType):
                        modules[name] = found
                    self._change(statement, found, real, name in exact)
        return True

    def _change(self, statement: Any, value: Any, real: Any, exact: bool) -> None:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if isinstance(value, (float, np.floating)) or (whole and not exact):
            statement.value = ir.Const(real(value), statement.loc)
        elif id(value) in _ours:
            statement.value = ir.Global("ours", _ours[id(value)], statement.loc)
        elif isinstance(value, types.FunctionType) and not (value.__module__ or "").startswith("numpy"):
            statement.value = ir.Global(value.__name__, _jitted(value), statement.loc)
        elif isinstance(value, Dispatcher):
            statement.value = ir.Global(value.py_func.__name__, _jitted(value.py_func), statement.loc)


def _exact_integers(block: Any) -> Iterator[str]:
    """The names of variables that must stay integers: exponents, and arguments of range."""
    ranges = set()
    for statement in block.body:
        value = getattr(statement, "value", None)
        if isinstance(value, (ir.Global, ir.FreeVar)) and value.value is range:
            ranges.add(statement.target.name)
        if isinstance(value, ir.Expr) and value.op in ("binop", "inplace_binop"):
            if value.fn in (operator.pow, operator.ipow):
                yield value.rhs.name
        elif isinstance(value, ir.Expr) and value.op == "call" and value.func.name in ranges:
            yield from (argument.name for argument in value.args)


_Compiler = compiler_with(_TypeOfTheArgument, InlineClosureLikes)


def _jitted(function: Any) -> Any:
    """A function compiled with what it refers to now: a name outside may be bound to something else later."""
    return _jitted_as(function, _fingerprint(function))


@functools.cache
def _jitted_as(function: Any, _key: str) -> Any:
    return numba.njit(pipeline_class=_Compiler, error_model="numpy")(function)


@intrinsic
def _number(_context, x):
    """x, if it is never None: to an array, Numba would also assign what may be None, and raise where it is."""
    if isinstance(x, (numba_types.Optional, numba_types.NoneType)):
        raise errors.TypingError(f"an activation must return a number, not {x}")

    def code(context, builder, signature, values):
        return impl_ret_borrowed(context, builder, signature.return_type, values[0])  # it may be an array without axes

    return x(x), code


number = (lambda x: x) if numba.config.DISABLE_JIT else _number


# What a function compiled for a pair is made from: `value` and `slope_of` are put in its globals.


def _of_input(address, row, slope, slope_row, rows, columns, one):
    widest_vectors()
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        if slope == 0:
            for o in range(columns):
                x[o] = number(value(x[o]))  # type: ignore[name-defined] # noqa: F821
        else:
            d = array_at(slope + i * slope_row, columns, one)
            for o in range(columns):
                u = x[o]
                x[o] = number(value(u))  # type: ignore[name-defined] # noqa: F821
                d[o] = number(slope_of(u))  # type: ignore[name-defined] # noqa: F821


def _of_input_and_output(address, row, slope, slope_row, rows, columns, one):
    widest_vectors()
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        if slope == 0:
            for o in range(columns):
                x[o] = number(value(x[o]))  # type: ignore[name-defined] # noqa: F821
        else:
            d = array_at(slope + i * slope_row, columns, one)
            for o in range(columns):
                u = x[o]
                y = number(value(u))  # type: ignore[name-defined] # noqa: F821
                x[o] = y
                d[o] = number(slope_of(u, x[o]))  # type: ignore[name-defined] # noqa: F821


_made: dict[str, Any] = {}


def compile_activation(forward: Function, derivative: Function, dtype: np.dtype) -> int:
    """The code of the activation f, for arrays of a dtype, given by scalar functions in Python.

    forward     f(x)
    derivative  f'(x), or f' as a function of x and y = f(x)
    dtype       float32 or float64

    Neither has optional arguments. Both see numbers of the dtype. They may call functions of math and NumPy and others
    like themselves, and may not raise. The compiled code is cached on disk under a fingerprint of their code and of
    what it refers to.

    Raises ValueError, with the line of the user's code, if Numba cannot compile one of them.
    """
    try:
        key = _fingerprint(forward, derivative)
    except _Unknown as error:
        _check_both(forward, derivative, np.dtype(dtype))
        raise ValueError(f"an activation must refer to numbers, arrays and functions alone, got {error}") from None
    if key not in _made:
        plain = _of_input if takes(derivative) == 1 else _of_input_and_output
        compiled = (lambda function: function) if numba.config.DISABLE_JIT else _jitted
        names = {**globals(), "value": compiled(forward), "slope_of": compiled(derivative)}
        block = types.FunctionType(plain.__code__, names, f"activation_{key}")
        block.__qualname__, block.__module__ = block.__name__, __name__
        _made[key] = shared("void(intp, intp, intp, intp, intp, intp, real)")(block)
    try:
        return address_of(_made[key], np.dtype(dtype))
    except Exception:
        _check_both(forward, derivative, np.dtype(dtype))
        raise


def takes(function: Function) -> int:
    """The number of a function's arguments."""
    return len(inspect.signature(function).parameters)


def _check_both(forward: Function, derivative: Function, dtype: np.dtype) -> None:
    for name, function in (("forward", forward), ("derivative", derivative)):
        _check(name, function, dtype)


def _check(name: str, function: Function, dtype: np.dtype) -> None:
    """Say what is wrong with a function, and where."""
    arguments = (numba.from_dtype(dtype),) * takes(function)
    compiled = numba.njit(pipeline_class=_Compiler, error_model="numpy")(function)
    try:
        compiled.compile(arguments)
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if line and not line.startswith("Failed in")), type(error).__name__)
        raise ValueError(
            f"{name} must be a function that Numba can compile: {reason}\n{_place(function, error)}"
        ) from error
    returned = compiled.overloads[arguments].signature.return_type
    if not isinstance(returned, NUMBERS):
        raise ValueError(f"{name} must return a number, got Numba's type {returned}\n{_place(function)}")


def _place(function: Function, error: Exception | None = None) -> str:
    """The line of a function that an error names, else its first."""
    code = function.__code__
    lines = {line for _, _, line in code.co_lines() if line}
    named = [int(line) for line in re.findall(r"line (\d+)", str(error)) if int(line) in lines]
    named.append(getattr(getattr(error, "loc", None), "line", 0))
    line = max(named) if max(named) in lines else code.co_firstlineno
    return f"  File {code.co_filename!r}, line {line}\n    {linecache.getline(code.co_filename, line).strip()}"


def _fingerprint(*functions: Function) -> str:
    """A digest of functions' code and of all that it refers to, the same in every process.

    Raises _Unknown for an object that cannot be told from others.
    """
    seen: dict[Any, int] = {}
    return hashlib.sha256(repr([_described(function, seen) for function in functions]).encode()).hexdigest()[:16]


class _Unknown(Exception):
    pass


PLAIN = (int, float, complex, bool, str, bytes, range, type(None), type(...))


def _described(item: Any, seen: dict[Any, int]) -> Any:
    """An object as tuples of numbers and strings, whose repr says all of it."""
    item = getattr(getattr(item, "_dispatcher", item), "py_func", item)  # what Numba has compiled
    kind = f"{type(item).__module__}.{type(item).__qualname__}"
    if type(item) in PLAIN:
        return kind, repr(item)
    if isinstance(item, (np.ndarray, np.generic)) and not item.dtype.hasobject:
        return kind, item.dtype.str, item.shape, item.tobytes()
    if isinstance(item, (tuple, list)):
        return kind, getattr(item, "_fields", ()), [_described(part, seen) for part in item]
    if isinstance(item, frozenset):
        return kind, sorted(repr(_described(part, seen)) for part in item)
    if isinstance(item, types.CodeType):
        return kind, item.co_code, item.co_names, [_described(constant, seen) for constant in item.co_consts]
    if isinstance(item, types.FunctionType):
        if item not in seen:
            seen[item] = len(seen)
            return kind, item.__module__, _described(item.__code__, seen), _described_names(item, seen)
        return kind, seen[item]
    if isinstance(item, (type, types.BuiltinFunctionType)) or type(item).__module__.split(".")[0] == "numpy":
        return kind, getattr(item, "__module__", ""), getattr(item, "__name__", repr(item))
    raise _Unknown(f"{type(item).__name__} {item!r}")


def _described_names(function: Any, seen: dict[Any, int]) -> Any:
    """What a function takes from outside: its defaults, and what its names are bound to."""
    code = function.__code__
    loaded = sorted(_names(code))
    cells = (
        (name, cell.cell_contents) for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
    )
    bound = [*cells, *((name, function.__globals__[name]) for name in loaded if name in function.__globals__)]
    defaults = [function.__defaults__ or (), *sorted((function.__kwdefaults__ or {}).items())]
    attributes = []
    modules = [value for _, value in bound if isinstance(value, types.ModuleType)]
    for module in modules:  # which grows: a module may hold others
        for name in loaded:
            value = getattr(module, name, None)
            if isinstance(value, types.ModuleType):
                modules += [value] if value not in modules else []
            elif value is not None:
                attributes.append((module.__name__, name, _described(value, seen)))
    plain = [(name, _described(value, seen)) for name, value in bound if not isinstance(value, types.ModuleType)]
    return _described(defaults, seen), plain, [module.__name__ for module in modules], attributes


def _names(code: types.CodeType) -> set[str]:
    """The names that code and the functions inside it load."""
    inside = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inside)
