"""Arithmetic on numbers that stand for LLVM values: it writes instructions instead of computing.

The elementary functions are straight-line arithmetic. Called with a `Traced` number, such a function writes its own
LLVM code, which takes far less time than Numba's type inference and lowering. Called with NumPy scalars, as without the
JIT, it computes.
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import intrinsic

from ..compiler.pipeline import code_to_link
from ..compiler.signature import with_context

Function = Callable[..., Any]


def _operator(instruction: str) -> Function:
    return lambda x, y: Traced(x.builder, getattr(x.builder, instruction)(x.value, y.value))


def _comparison(operator: str) -> Function:
    return lambda x, y: Traced(x.builder, x.builder.fcmp_ordered(operator, x.value, y.value))


class Traced:
    """An LLVM value, and the builder that writes what is done with it."""

    builder: Any
    value: Any

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __neg__(self) -> "Traced":
        return Traced(self.builder, self.builder.fneg(self.value))

    def __abs__(self) -> "Traced":
        return Traced(self.builder, call_llvm(self.builder, "llvm.fabs", self.value))

    __add__: Function = _operator("fadd")
    __sub__: Function = _operator("fsub")
    __mul__: Function = _operator("fmul")
    __truediv__: Function = _operator("fdiv")
    __lt__: Function = _comparison("<")
    __le__: Function = _comparison("<=")
    __gt__: Function = _comparison(">")
    __ge__: Function = _comparison(">=")
    __eq__: Function = _comparison("==")
    __hash__: ClassVar[None] = None  # type: ignore[assignment]


def call_llvm(builder: Any, name: str, *values: Any) -> Any:
    """Call an LLVM intrinsic whose arguments and result are of one floating-point type."""
    real = values[0].type
    kind = ir.FunctionType(real, [real] * len(values))
    return builder.call(builder.module.declare_intrinsic(name, [real], kind), values)


def primitive(emit: Function) -> Function:
    """Decorate a function of numbers; `emit(builder, *values)` writes its instructions for traced numbers."""

    def decorate(plain: Function) -> Function:
        @functools.wraps(plain)
        def call(*numbers: Any) -> Any:
            builder = getattr(numbers[-1], "builder", None)
            if builder is None:
                return plain(*numbers)
            return Traced(builder, emit(builder, *(number.value for number in numbers)))

        return call

    return decorate


def elementary(results: int = 1) -> Function:
    """Decorate a traceable function of one number. Without the JIT it is Python, which does not warn either."""

    def decorate(function: Function) -> Any:
        if not numba.config.DISABLE_JIT:
            return _compiled(function, results)

        @functools.wraps(function)
        def call(x: Any) -> Any:
            with np.errstate(all="ignore"):
                return function(x if isinstance(x, np.float32) else np.float64(x))

        return call

    return decorate


def _compiled(function: Function, results: int) -> Any:
    """What compiled code calls for a traceable function of one number: its code, of the type of the argument.

    The code is a function in a module of its own, which is inlined. In the module of its caller, Numba would add the
    fastmath flags of the caller to it.
    """
    libraries: dict[Any, Any] = {}

    def library_of(context: Any, real: Any, result: Any) -> Any:
        if real not in libraries:
            name = f"fastfnn.{function.__name__}.{real}"
            library = code_to_link(context.codegen(), name)
            module = library.create_ir_module(name)
            argument = context.get_value_type(real)
            body = ir.Function(module, ir.FunctionType(context.get_value_type(result), [argument]), name)
            body.attributes.add("alwaysinline")
            builder = ir.IRBuilder(body.append_basic_block("entry"))
            numbers = function(Traced(builder, body.args[0]))
            values = [number.value for number in (numbers if results > 1 else (numbers,))]
            builder.ret(values[0] if results == 1 else cgutils.pack_array(builder, values))
            library.add_ir_module(module)
            library.finalize()
            libraries[real] = library, body.ftype, name
        return libraries[real]

    def typed(_context: Any, x: Any) -> Any:
        if not isinstance(x, types.Float) or x.bitwidth not in (32, 64):
            raise errors.TypingError(f"{function.__name__} takes a float32 or a float64")
        result = x if results == 1 else types.UniTuple(x, results)

        def code(context: Any, builder: Any, _signature: Any, values: list[Any]) -> Any:
            library, kind, name = library_of(context, x, result)
            context.add_linking_libs([library])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)

        return result(x), code

    typed.__name__, typed.__doc__ = function.__name__, function.__doc__
    typed.__signature__ = with_context(function)  # type: ignore[attr-defined]
    return intrinsic(typed)
