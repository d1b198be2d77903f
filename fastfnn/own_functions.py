"""OwnFunctions: two functions that a user writes in Python, the base of `Activation` and `Loss`.

It checks them, names them, keeps what the kernels make of them alive, and sees to copies and pickles.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from fastfnn.backend import BACKENDS

Function = Callable[..., float]


class Code(Protocol):
    """What a backend returns: an integer that is valid as long as the object lives."""

    @property
    def fixed(self) -> bool:
        """Whether it stands for what the functions compute later, too; if not, compiling them again finds out."""

    def __int__(self) -> int: ...


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
        # The latest code for each backend and dtype, and all codes: networks may still compute with earlier ones.
        self._codes: dict[tuple[str, np.dtype[Any]], Code] = {}
        self._alive: dict[Code, Code] = {}

    @property
    def name(self) -> str:
        """What `FNN.summary` prints and a saved network remembers."""
        return self._name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def code(self, backend: str, dtype: npt.DTypeLike) -> Any:
        """Return the code of the functions as they are now, for a backend and a dtype; it is valid as long as self is.

        The first call compiles them, and a later one if something that they refer to has changed.

        :meta private:
        """
        key = backend, np.dtype(dtype)
        if key not in self._codes or not self._codes[key].fixed:
            functions = map(_python_function, self._functions.values())
            try:
                code = getattr(BACKENDS[backend], self._compile)(*functions, key[1])
            except ValueError as error:
                for argument, function in self._functions.items():
                    if isinstance(function, np.ufunc) and str(error).startswith(argument):
                        wanted = "must be a Python function, or a ufunc that Numba can compile"
                        raise ValueError(f"{argument} {wanted}, got {function!r}") from None
                raise
            self._codes[key] = self._alive.setdefault(code, code)
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
