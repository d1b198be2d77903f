"""Fingerprints of Python functions: a digest of their code and of everything that it refers to.

What a user's functions are compiled into is cached on disk under it, so it must be the same in every process, and
another one whenever a function could compute something else.
"""

import hashlib
import types
from typing import Any

import numpy as np


class UnknownObject(Exception):
    """An object that a function refers to cannot be told from others."""


def fingerprint(*functions: Any) -> str:
    """A digest of functions' code and of all that it refers to.

    Raises UnknownObject if they refer to something other than numbers, text, arrays, functions and modules.
    """
    seen: dict[Any, int] = {}
    return hashlib.sha256(repr([_described(function, seen) for function in functions]).encode()).hexdigest()[:16]


PLAIN = (int, float, complex, bool, str, bytes, range, type(None), type(...))


def _described(item: Any, seen: dict[Any, int]) -> Any:
    """An object as tuples of numbers and strings, whose repr says everything about it.

    seen  the functions that have been described, with their numbers: a function may refer to itself
    """
    item = getattr(getattr(item, "_dispatcher", item), "py_func", item)  # the function that Numba has compiled
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
    raise UnknownObject(f"{type(item).__name__} {item!r}")


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
    for module in modules:  # the list grows: a module may hold others
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
