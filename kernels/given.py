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
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.untyped_passes import IRProcessing

from . import elementary
from .jit import address_of, shared
from .vectors import array_at

Function = Callable[..., float]

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
        exact = {name for block in state.func_ir.blocks.values() for name in _exact_integers(block)}
        for block in state.func_ir.blocks.values():
            for statement in block.body:
                if isinstance(statement, (ir.Raise, ir.StaticRaise, ir.DynamicRaise)):
                    raise errors.UnsupportedError("an activation must not raise an exception", statement.loc)
                if isinstance(statement, ir.Assign) and isinstance(statement.value, (ir.Const, ir.Global, ir.FreeVar)):
                    self._change(statement, real, statement.target.name in exact)
        return True

    def _change(self, statement: Any, real: Any, exact: bool) -> None:
        value = statement.value.value
        if isinstance(value, (float, np.floating)) or (type(value) is int and not exact):
            statement.value = ir.Const(real(value), statement.loc)
        elif id(value) in _ours:
            statement.value.value = _ours[id(value)]
        elif isinstance(value, types.FunctionType):
            statement.value.value = _jitted(value)


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


class _Compiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_TypeOfTheArgument, IRProcessing)
        passes.finalize()
        return [passes]


@functools.cache
def _jitted(function: Any) -> Any:
    return numba.njit(pipeline_class=_Compiler, error_model="numpy")(function)


# What a function compiled for a pair is made from: `value` and `slope_of` are put in its globals.


def _of_input(address, row, slope, slope_row, rows, columns, one):
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        if slope == 0:
            for o in range(columns):
                x[o] = value(x[o])  # type: ignore[name-defined] # noqa: F821
        else:
            d = array_at(slope + i * slope_row, columns, one)
            for o in range(columns):
                u = x[o]
                x[o] = value(u)  # type: ignore[name-defined] # noqa: F821
                d[o] = slope_of(u)  # type: ignore[name-defined] # noqa: F821


def _of_input_and_output(address, row, slope, slope_row, rows, columns, one):
    for i in range(rows):
        x = array_at(address + i * row, columns, one)
        if slope == 0:
            for o in range(columns):
                x[o] = value(x[o])  # type: ignore[name-defined] # noqa: F821
        else:
            d = array_at(slope + i * slope_row, columns, one)
            for o in range(columns):
                u = x[o]
                y = value(u)  # type: ignore[name-defined] # noqa: F821
                x[o] = y
                d[o] = slope_of(u, x[o])  # type: ignore[name-defined] # noqa: F821


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
    key = _fingerprint(forward, derivative)
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
        for name, function in (("forward", forward), ("derivative", derivative)):
            _check(name, function, np.dtype(dtype))
        raise


def takes(function: Function) -> int:
    """The number of a function's arguments."""
    return len(inspect.signature(function).parameters)


def _check(name: str, function: Function, dtype: np.dtype) -> None:
    """Say what is wrong with a function, and where."""
    arguments = (numba.from_dtype(dtype),) * takes(function)
    try:
        _jitted(function).compile(arguments)
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if line and not line.startswith("Failed in")), type(error).__name__)
        raise ValueError(
            f"{name} must be a function that Numba can compile: {reason}\n{_place(function, error)}"
        ) from error
    returned = _jitted(function).overloads[arguments].signature.return_type
    if not isinstance(returned, (numba_types.Float, numba_types.Integer, numba_types.Boolean)):
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
    digest = hashlib.sha256()
    seen: set[Any] = set()

    def add(item: Any) -> None:
        if isinstance(item, types.CodeType):
            digest.update(item.co_code + repr(item.co_names).encode())
            for constant in item.co_consts:
                add(constant)
        elif inspect.isfunction(item) or hasattr(item, "py_func"):
            function = getattr(item, "py_func", item)
            if function in seen:
                return
            seen.add(function)
            add(function.__code__)
            found = inspect.getclosurevars(function)
            for name, value in sorted({**found.nonlocals, **found.globals}.items()):
                digest.update(name.encode())
                add(value)
        elif isinstance(item, types.ModuleType):
            digest.update(item.__name__.encode())
        else:
            digest.update(repr(item).encode())

    for function in functions:
        add(function)
    return digest.hexdigest()[:16]
