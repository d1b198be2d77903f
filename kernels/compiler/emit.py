"""Functions that are LLVM instructions in compiled code, and Python or NumPy without the compiler.

    @emitted_by(emit)
    def f(...): what it does, in Python or NumPy

`emit(builder, *values)` writes the instructions and returns the result's value, or None. The types come from the
annotations as in signature.py; without annotations all values and the result are of the dtype.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.core import errors
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
