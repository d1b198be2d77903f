"""How functions of numbers that a user writes in Python become shared functions like those of this package.

user_activations.py and user_losses.py have the templates: a loop over a block that calls the user's functions. What
`compile_block` makes of one is called by its address, and freed with the `Code` that holds it. To run as fast as
built-in functions, the user's are compiled with two changes, made in Numba's intermediate representation:

- A number that is written in the code, or bound to a name outside, takes the type of the argument. To Numba 1.0 is a
  float64, and `1.0 + x` would turn a float32 into a float64. Exponents stay integers, so that x ** 2 becomes x * x.
- exp, expm1, log, log1p and tanh of math and NumPy are replaced by those of elementary.py, which become vector code.

The functions that they call are compiled in the same way.
"""

import functools
import linecache
import math
import operator
import re
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import errors, ir
from numba.core import types as numba_types
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.imputils import impl_ret_borrowed
from numba.core.typed_passes import IRLegalization
from numba.core.untyped_passes import InlineClosureLikes
from numba.extending import intrinsic

from ..compiler.cache import CodeFile, NoFile, logger
from ..compiler.decorators import MachineCode
from ..compiler.exclusion import one_thread
from ..compiler.pipeline import LinkOnly, compiler_with
from . import elementary
from .code_fingerprint import UnknownObject, fingerprint, skeleton
from .registrations import overloads_of

Function = Callable[..., float]

NUMBERS: tuple[type[Any], ...] = (numba_types.Float, numba_types.Integer, numba_types.Boolean)

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
    """Make the two changes, and refuse functions that raise."""

    _name = "fastfnn_type_of_the_argument"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        real = getattr(np, str(state.args[0]))
        blocks = state.func_ir.blocks.values()
        exact = {name for block in blocks for name in _exact_integers(block)}
        modules: dict[str, Any] = {}  # by the variable that holds them
        for statement in (statement for block in blocks for statement in block.body):
            if isinstance(statement, (ir.Raise, ir.StaticRaise, ir.DynamicRaise)):
                raise errors.UnsupportedError("it must not raise an exception", statement.loc)
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
            if not overloads_of(value):  # else Numba knows what to put in its place
                statement.value = ir.Global(value.__name__, _jitted(value), statement.loc)
        elif isinstance(value, Dispatcher):
            statement.value = ir.Global(value.py_func.__name__, _jitted(value.py_func), statement.loc)


def _exact_integers(block: Any) -> Iterator[str]:
    """The names of the variables in a block that must stay integers: exponents, and arguments of range."""
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


_Compiler = compiler_with((_TypeOfTheArgument, InlineClosureLikes), (LinkOnly, IRLegalization))

# The user's functions that the block which is being compiled calls: one may call itself, or be called twice. They are
# forgotten with the block, since later a name may be bound to something else.
_in_this_block: dict[Any, Any] = {}


def _jitted(function: Any) -> Any:
    if function not in _in_this_block:
        _in_this_block[function] = numba.njit(pipeline_class=_Compiler, error_model="numpy")(function)
    return _in_this_block[function]


@intrinsic
def _number(_context, x):
    """x, if it can never be None. Numba would also assign an optional number to an array, and raise if it is None."""
    if isinstance(x, (numba_types.Optional, numba_types.NoneType)):
        raise errors.TypingError(f"a user's function must return a number, not {x}")

    def code(context, builder, signature, values):
        return impl_ret_borrowed(context, builder, signature.return_type, values[0])  # may be an array without axes

    return x(x), code


number: Any = (lambda x: x) if numba.config.DISABLE_JIT else _number


class Given(NamedTuple):
    """A function that a user gives: what messages call it, itself, and the dtype of its arguments."""

    name: str
    function: Function
    dtype: np.dtype


class Code(int):
    """What a kernel calls a user's functions by: an address, which is valid as long as this object lives.

    fixed  whether the functions refer to something that cannot be told from what it is later: then only another
           object stands for what they compute later. Otherwise compiling them again gives the same code if nothing
           has changed.
    """

    fixed: bool
    _machine_code: MachineCode

    def __new__(cls, machine_code: MachineCode, fixed: bool) -> "Code":
        self = super().__new__(cls, machine_code.address)
        self._machine_code, self.fixed = machine_code, fixed
        return self


# By what is made of the user's functions, their fingerprint, and the dtype.
_made: weakref.WeakValueDictionary[tuple[str, np.dtype], MachineCode] = weakref.WeakValueDictionary()


def compile_block(kind: str, template: Callable[..., Any], given: dict[str, Given], dtype: np.dtype) -> Code:
    """The code of a function for a dtype: a template that calls a user's functions.

    kind      what the functions make together, for names and messages
    template  a function of a block, which finds the user's functions in its globals
    given     these functions, by their names there

    The compiled code is cached on disk under a fingerprint of their code and of what it refers to. If that has none,
    they are compiled by each call. Raises ValueError, with the line of the user's code, if Numba cannot compile one of
    them.
    """
    functions = [each.function for each in given.values()]
    family = f"{kind}_{skeleton(*functions)}_"
    file: Any = functools.partial(CodeFile, family=family)
    try:
        name, fixed = family + fingerprint(*functions), False
    except UnknownObject as error:
        name, fixed, file = f"{family}unkept", True, NoFile
        logger.info("the %s %s is compiled in every process: it refers to %s", kind, functions[0].__qualname__, error)
    with one_thread():
        code = None if fixed else _made.get((name, dtype))
        if code is None:
            code = _compiled(name, template, given, dtype, file)
        if not fixed:
            _made[name, dtype] = code
    return Code(code, fixed)


def _compiled(
    name: str, template: Callable[..., Any], given: dict[str, Given], dtype: np.dtype, file: Any
) -> MachineCode:
    names = dict(template.__globals__)
    block = types.FunctionType(template.__code__, names, name)
    block.__qualname__, block.__module__ = block.__name__, template.__module__
    block.__annotations__ = template.__annotations__
    plain = {name: each.function for name, each in given.items()}
    try:
        names.update(plain if numba.config.DISABLE_JIT else {name: _jitted(each) for name, each in plain.items()})
        return MachineCode(block, dtype, file)
    except Exception:
        _check_all(given)
        raise
    finally:
        _in_this_block.clear()
        names.update(plain)  # the block's globals live as long as its code; what Numba knows of the functions need not


def takes(function: Function) -> int:
    """How many numbers a function takes."""
    return function.__code__.co_argcount


def _check_all(given: dict[str, Given]) -> None:
    for each in given.values():
        _check(each.name, each.function, each.dtype)


def _check(name: str, function: Function, dtype: np.dtype) -> None:
    """Raise ValueError if a function cannot be compiled, with the reason and the line."""
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
    """The line of a function that an error names, else the function's first line."""
    code = function.__code__
    lines = {line for _, _, line in code.co_lines() if line}
    named = [int(line) for line in re.findall(r"line (\d+)", str(error)) if int(line) in lines]
    named.append(getattr(getattr(error, "loc", None), "line", 0))
    line = max(named) if max(named) in lines else code.co_firstlineno
    return f"  File {code.co_filename!r}, line {line}\n    {linecache.getline(code.co_filename, line).strip()}"
