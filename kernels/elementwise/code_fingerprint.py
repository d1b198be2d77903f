"""Fingerprints of Python functions: a digest of their code and of everything that it refers to.

What a user's functions are compiled into is found again by it, in this process and on disk, so it must be the same in
every process, and another one whenever a function could compute something else. What can be described wholly is listed
here, kind by kind; for anything else there is no fingerprint, and user_functions.py compiles anew.
"""

import builtins
import enum
import functools
import hashlib
import importlib
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba.core import types as numba_types
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher
from numba.np.ufunc.dufunc import DUFunc

from ..compiler.pipeline import Inner
from .registrations import Registered, overloads_of, read_registrations, registered_for


class UnknownObject(Exception):
    """An object that a function refers to cannot be told from others."""


def fingerprint(*functions: Any) -> str:
    """A digest of functions' code, of all that it refers to, and of what others have taught Numba about that.

    Raises UnknownObject if they refer to something that cannot be described wholly.
    """
    read_registrations()
    description = _Description()
    try:
        parts = [description.of(function) for function in functions]
        parts.append([description.of_registered(each) for each in registered_for(description.names)])
    except RecursionError:
        raise UnknownObject("an object that contains itself") from None
    return _digest(np.__version__, parts)


def skeleton(*functions: Any) -> str:
    """A digest of functions' code without its numbers: the same for all numbers that one piece of code is run with."""
    return _digest([(f.__module__, f.__qualname__, f.__code__.co_code, f.__code__.co_names) for f in functions])


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


# Types whose repr says everything, of exactly this type: a subclass may behave in another way.
PLAIN = (int, float, complex, bool, str, bytes, range, type(None), type(...))

MISSING = object()


class _Description:
    """Describes objects as tuples of numbers and strings, whose repr says everything about them.

    names  all names that the functions described so far load
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._functions: dict[Any, int] = {}  # those described, with their numbers: a function may refer to itself

    def of(self, item: Any) -> Any:
        kind = f"{type(item).__module__}.{type(item).__qualname__}"
        if type(item) in PLAIN:
            return kind, repr(item)
        describe = _KINDS.get(type(item)) or next((each for base, each in _BASES if isinstance(item, base)), None)
        if describe is None:
            raise UnknownObject(f"an object of type {type(item).__name__}")
        return kind, describe(self, item)

    def all_of(self, items: Iterable[Any]) -> list[Any]:
        return [self.of(item) for item in items]

    def of_options(self, options: dict[str, Any]) -> Any:
        """Options of a decorator of Numba's: numbers, texts, sets of texts, types, functions."""
        return sorted(
            (name, self.of(sorted(value) if isinstance(value, set) else value)) for name, value in options.items()
        )

    def of_registered(self, registered: Registered) -> Any:
        """What somebody has registered with Numba: its code; for code of an installed package, its file."""
        try:
            return registered.kind, self.of(registered.origin), self.of_options(registered.options)
        except UnknownObject:
            if registered.installed is None:
                raise
            return registered.kind, registered.installed

    # One method for each kind of object

    def _dtype(self, dtype: np.dtype[Any]) -> Any:
        if dtype.hasobject or dtype.kind not in "biufcSUVmM":
            raise UnknownObject(f"an array of {dtype}")
        if dtype.subdtype is not None:
            return self._dtype(dtype.subdtype[0]), dtype.subdtype[1]
        if dtype.fields is None:
            return dtype.str
        fields = [(name, self._dtype(dtype.fields[name][0]), dtype.fields[name][1]) for name in dtype.names or ()]
        return fields, dtype.itemsize, dtype.isalignedstruct

    def _array(self, array: np.ndarray) -> Any:
        dtype = self._dtype(array.dtype)
        flags = (array.flags.c_contiguous, array.flags.f_contiguous, array.flags.aligned, array.flags.writeable)
        return dtype, array.shape, flags, hashlib.sha256(array.tobytes()).hexdigest()

    def _scalar(self, scalar: np.generic) -> Any:
        if type(scalar).__module__ != "numpy":
            raise UnknownObject(f"an object of type {type(scalar).__name__}")
        return self._dtype(scalar.dtype), scalar.tobytes()

    def _tuple(self, items: tuple[Any, ...]) -> Any:
        if type(items) is not tuple and not hasattr(items, "_fields"):
            raise UnknownObject(f"an object of type {type(items).__name__}")
        return getattr(items, "_fields", ()), self.all_of(items)

    def _set(self, items: frozenset[Any]) -> Any:
        return sorted(map(repr, self.all_of(items)))

    def _code(self, code: types.CodeType) -> Any:
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        return counts, names, code.co_code, code.co_exceptiontable, self.all_of(code.co_consts)

    def _function(self, function: types.FunctionType) -> Any:
        if function in self._functions:
            return self._functions[function]
        self._functions[function] = len(self._functions)
        if _is_of_numpy(function):
            return function.__module__, function.__qualname__
        overloads = [self.of_registered(each) for each in overloads_of(function)]
        defaults = self.all_of(function.__defaults__ or ()), self.of_options(function.__kwdefaults__ or {})
        return function.__module__, self.of(function.__code__), defaults, self._bound(function), overloads

    def _bound(self, function: types.FunctionType) -> Any:
        """What the names that a function loads are bound to."""
        loaded = sorted(_names(function.__code__))
        self.names.update(loaded)
        bound = [
            (name, _content(cell))
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        ]
        for name in loaded:
            value = function.__globals__.get(name, getattr(builtins, name, MISSING))
            if value is not MISSING:
                bound.append((name, value))
        modules = [value for _, value in bound if isinstance(value, types.ModuleType)]
        for module in modules:  # the list grows: a module may hold others
            for name in loaded:
                value = getattr(module, name, MISSING)
                if isinstance(value, types.ModuleType):
                    modules += [value] if value not in modules else []
                elif value is not MISSING:
                    bound.append((f"{module.__name__}.{name}", value))
        return [
            (name, value.__name__ if isinstance(value, types.ModuleType) else self.of(value)) for name, value in bound
        ]

    def _dispatcher(self, dispatcher: Any) -> Any:
        if dispatcher._compiler.pipeline_class is not Compiler:
            raise UnknownObject("a function with a compiler of its own")
        options = self.of_options(dispatcher.targetoptions), self.of_options(dispatcher._compiler.locals)
        signatures = [] if dispatcher._can_compile else sorted(map(str, dispatcher.signatures))
        return self.of(dispatcher.py_func), options, signatures

    def _vectorized(self, function: Any) -> Any:
        return self.of(function._dispatcher), function.types if function._frozen else "any"

    def _builtin(self, function: types.BuiltinFunctionType) -> Any:
        owner = function.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return function.__module__, function.__qualname__
        if getattr(np.random, function.__name__, None) is function:  # of NumPy's global generator
            return "numpy.random", function.__name__
        raise UnknownObject(f"a method of an object of type {type(owner).__name__}")

    def _of_numpy(self, item: Any) -> Any:
        """A function of NumPy's in whatever form: what its name says in NumPy, and nothing else."""
        for module in (getattr(item, "__module__", None) or "numpy", "numpy"):
            if module.split(".")[0] == "numpy" and _found(module, item.__name__) is item:
                return module, item.__name__
        raise UnknownObject(f"{item!r}, which is not NumPy's")

    def _member(self, member: enum.Enum) -> Any:
        return self.of(type(member)), member.name, self.of(member.value)

    def _class(self, item: type) -> Any:
        if issubclass(item, enum.Enum):
            values = [(name, self.of(member.value)) for name, member in item.__members__.items()]
            return item.__module__, item.__qualname__, [base.__name__ for base in item.__mro__], values
        if issubclass(item, tuple) and hasattr(item, "_fields"):
            return item.__module__, item.__qualname__, item._fields, self.all_of(item.__new__.__defaults__ or ())
        if _found(item.__module__, item.__qualname__) is item and item.__module__ in ("builtins", "numpy"):
            return item.__module__, item.__qualname__
        raise UnknownObject(f"the class {item.__qualname__}")

    def _number_type(self, item: Any) -> Any:
        return item.name

    def _inner(self, item: Inner) -> Any:
        """A function of these kernels, of which the files have a fingerprint of their own."""
        return item.function.__module__, item.function.__qualname__


_D = _Description
_KINDS: dict[type, Callable[[_Description, Any], Any]] = {
    np.ndarray: _D._array,
    np.recarray: _D._array,
    list: _D.all_of,
    frozenset: _D._set,
    types.CodeType: _D._code,
    types.FunctionType: _D._function,
    types.BuiltinFunctionType: _D._builtin,
    CPUDispatcher: _D._dispatcher,
    DUFunc: _D._vectorized,
    np.ufunc: _D._of_numpy,
    type(np.sum): _D._of_numpy,
    Inner: _D._inner,
    numba_types.Integer: _D._number_type,
    numba_types.Float: _D._number_type,
    numba_types.Boolean: _D._number_type,
}
_BASES: tuple[tuple[type, Callable[[_Description, Any], Any]], ...] = (
    (enum.Enum, _D._member),
    (np.generic, _D._scalar),
    (np.dtype, _D._dtype),
    (tuple, _D._tuple),
    (type, _D._class),
)


def _names(code: types.CodeType) -> set[str]:
    """The names that code and the functions inside it load."""
    inside = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inside)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty: it is bound later, or never
        return "nothing"


def _found(module: str, name: str) -> Any:
    """What a name is bound to in a module."""
    try:
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        return None


def _is_of_numpy(function: types.FunctionType) -> bool:
    module = function.__module__ or ""
    return module.split(".")[0] == "numpy" and _found(module, function.__qualname__) is function
