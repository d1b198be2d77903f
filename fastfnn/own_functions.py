"""OwnFunctions: two functions that a user writes in Python, the base of `Activation` and `Loss`.

It checks them, names them, keeps the codes of what the kernels make of them, and sees to copies and pickles.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fastfnn.backend import BACKENDS

Function = Callable[..., float]


class OwnFunctions:
    """A function and its derivative, compiled when they are first needed; immutable, compared by value.

    Subclasses say how many numbers each may take (`_takes`, by the name of the argument) and which function of the
    kernels compiles them (`_compile`).
    """

    _takes: ClassVar[dict[str, tuple[int, ...]]]
    _compile: ClassVar[str]

    def __init__(self, function: Function, derivative: Function, name: str | None) -> None:
        self._functions = dict(zip(self._takes, (function, derivative), strict=True))
        for argument, counts in self._takes.items():
            _check_function(argument, self._functions[argument], counts)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        self._name = function.__name__ if name is None else name
        self._codes: dict[tuple[str, np.dtype[Any]], int] = {}

    @property
    def name(self) -> str:
        """What `FNN.summary` prints and a saved network remembers."""
        return self._name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def code(self, backend: str, dtype: npt.DTypeLike) -> int:
        """Return the code of the functions for a backend and a dtype; the first call compiles them.

        :meta private:
        """
        key = backend, np.dtype(dtype)
        if key not in self._codes:
            functions = map(_python_function, self._functions.values())
            try:
                self._codes[key] = getattr(BACKENDS[backend], self._compile)(*functions, key[1])
            except ValueError as error:
                for argument, function in self._functions.items():
                    if isinstance(function, np.ufunc) and str(error).startswith(argument):
                        wanted = "must be a Python function, or a ufunc that Numba can compile"
                        raise ValueError(f"{argument} {wanted}, got {function!r}") from None
                raise
        return self._codes[key]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.name == other.name and self._functions == other._functions

    def __hash__(self) -> int:
        return hash((self.name, *self._functions.values()))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs: the functions, without their codes, which are addresses in this process."""
        return type(self), (*self._functions.values(), self.name)


def _check_function(name: str, value: Any, counts: tuple[int, ...]) -> None:
    """Raise an error if `value` is no function with one of `counts` positional arguments."""
    wanted = " or ".join(map(str, counts)) + (" number" if counts == (1,) else " numbers")
    if isinstance(value, np.ufunc):
        if value.nin not in counts or value.nout != 1:
            raise ValueError(
                f"{name} must take {wanted} and return one, got the ufunc {value.__name__} "
                f"of {value.nin} inputs and {value.nout} outputs"
            )
        return
    if not isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        raise TypeError(f"{name} must be a Python function or a NumPy ufunc of {wanted}, got {type(value).__name__}")
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        signature = inspect.signature(value)
    except ValueError:  # of some built-in functions Python knows no signature
        raise ValueError(f"{name} must take {wanted}, got {value.__name__}, whose arguments are not known") from None
    parameters = signature.parameters.values()
    if len(parameters) not in counts or any(p.kind not in plain or p.default is not p.empty for p in parameters):
        raise ValueError(f"{name} must take {wanted}, got a function of {signature}")


def _python_function(function: Any) -> Function:
    """Return a function that the kernels can compile: one of Python that calls the ufunc or built-in function."""
    if isinstance(function, types.FunctionType):
        return function
    takes = function.nin if isinstance(function, np.ufunc) else len(inspect.signature(function).parameters)
    return (lambda x: function(x)) if takes == 1 else (lambda x, y: function(x, y))
