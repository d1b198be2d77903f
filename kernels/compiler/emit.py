"""Functions that are LLVM instructions in compiled code, and Python or NumPy without the compiler.

    @emitted_by(emit)
    def f(...): what it does, in Python or NumPy

`emit(builder, *values)` writes the instructions and returns the result's value, or None. The types come from the
annotations as in signature.py; without annotations all values and the result are of the dtype.

What a processor has of its own is an intrinsic function or a register of LLVM's, never inline assembly: llvmlite
initializes no assembler, and LLVM ends a process that has none.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import intrinsic

from .signature import has_signature, signature_of, with_context


def emitted_by(emit: Callable[..., Any]) -> Any:
    """Decorate a Python function with what compiled code does in its place."""

    def decorate(plain: Any) -> Any:
        if numba.config.DISABLE_JIT:
            return plain

        def typed(_context: Any, *arguments: Any) -> Any:
            real = next((kind for kind in reversed(arguments) if isinstance(kind, types.Float)), types.float64)
            if has_signature(plain):
                signature = signature_of(plain, real)
            elif isinstance(arguments[-1], (types.Float, types.Boolean)):
                signature = arguments[-1](*arguments)
            else:
                raise errors.TypingError(f"{plain.__name__} takes numbers of one floating-point type")

            def code(context: Any, builder: Any, _signature: Any, values: list[Any]) -> Any:
                result = emit(builder, *values)
                return context.get_dummy_value() if result is None else result

            return signature, code

        typed.__name__, typed.__doc__ = plain.__name__, plain.__doc__
        typed.__signature__ = with_context(plain)  # type: ignore[attr-defined]
        return intrinsic(typed)

    return decorate


def call_function(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call a function of LLVM's or of the C library, by its name; the types are those of the arguments."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def read_register(builder: Any, name: str) -> Any:
    """Read a register of 64 bits of the processor that code is compiled for; LLVM ends the process if it has none."""
    register = builder.module.add_metadata([ir.MetaDataString(builder.module, name)])
    kind = ir.FunctionType(ir.IntType(64), [ir.MetaDataType()])
    read = cgutils.get_or_insert_function(builder.module, kind, "llvm.read_volatile_register.i64")
    return builder.call(read, [register])
