"""What others have taught Numba by its decorators: overloads of functions, methods, attributes and operators.

A user's function may mean something else when they change, though no code of its own does. code_fingerprint.py asks
here what concerns a function.
"""

import functools
import hashlib
import pathlib
import sysconfig
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from numba.core import entrypoints, imputils
from numba.core.registry import cpu_target
from numba.core.typing import templates


class Registered(NamedTuple):
    """Something that has been registered with Numba.

    kind     what it is about
    origin   the function or class that was registered
    options  of the decorator
    """

    kind: str
    origin: Any
    options: dict[str, Any]

    @property
    def installed(self) -> str | None:
        """A digest of the file, if that belongs to an installed package, else None."""
        origin = getattr(self.origin, "__wrapped__", self.origin)
        codes = [origin, *vars(origin).values()] if isinstance(origin, type) else [origin]  # a class: its methods
        code = next((each.__code__ for each in codes if hasattr(each, "__code__")), None)
        return None if code is None else _digest_of_installed(code.co_filename)


@functools.cache
def _digest_of_installed(filename: str) -> str | None:
    path = pathlib.Path(filename)
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    if not any(place and path.is_relative_to(place) for place in places):
        return None
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


# By the name of an attribute or method, by a function or operator: what was registered for it.
_for_attributes: list[tuple[str, Registered]] = []
_for_callables: list[tuple[Any, Registered]] = []
_for_users_functions: dict[int, list[Registered]] = {}  # by their id: Numba keeps them

ANY = "*"  # attribute


def _add(kind: str, about: Any, attribute: str | None, origin: Any, options: dict[str, Any]) -> None:
    if attribute is not None:
        if _package(origin) not in OURS:
            _for_attributes.append((attribute, Registered(f"{kind} {attribute}", origin, options)))
        return
    registered = Registered(f"{kind} {getattr(about, '__qualname__', about)}", origin, options)
    if isinstance(about, types.FunctionType) and _package(about) not in (*OURS, "numpy"):
        _for_users_functions.setdefault(id(about), []).append(registered)
    elif _package(origin) not in OURS:
        _for_callables.append((about, registered))


OURS = ("numba", "fastfnn")


def _package(item: Any) -> str:
    """The package that something comes from. Classes that Numba makes say that they come from `abc`."""
    if isinstance(item, types.FunctionType):
        return str(item.__globals__.get("__name__", "")).split(".")[0]
    places = [getattr(each, "__module__", None) or "" for each in (item.__mro__ if isinstance(item, type) else [item])]
    return next((place.split(".")[0] for place in places if place != "abc"), "")


# What each list of a registry holds


def _add_global(item: Any) -> None:
    about, kind = item
    for template in getattr(kind, "templates", ()):
        _add("function", about, None, *_of_template(template))


def _add_function(template: Any) -> None:
    _add("function", getattr(template, "key", None), None, *_of_template(template))


def _add_attribute(template: Any) -> None:
    for attribute in _attributes_of(template):
        _add("attribute", None, attribute, *_of_template(template))


def _add_lowering(item: Any) -> None:
    origin, about, _ = item
    _add("lowering", about, None, origin, {})


def _add_lowering_of_attribute(item: Any) -> None:
    origin, attribute, _ = item
    _add("lowering", None, attribute or ANY, origin, {})


def _add_lowering_of_any(item: Any) -> None:
    _add("lowering", None, ANY, item[0], {})


_TYPING: dict[str, Callable[[Any], None]] = {
    "globals": _add_global,
    "functions": _add_function,
    "attributes": _add_attribute,
}
_LOWERING: dict[str, Callable[[Any], None]] = {
    "functions": _add_lowering,
    "getattrs": _add_lowering_of_attribute,
    "setattrs": _add_lowering_of_attribute,
    "casts": _add_lowering_of_any,
    "constants": _add_lowering_of_any,
}


class _List:
    """A list of a registry, which only grows, so that each of its items is read once."""

    def __init__(self, items: list[Any], add: Callable[[Any], None]) -> None:
        self.items, self.add, self.read = items, add, 0

    def update(self) -> None:
        while self.read < len(self.items):
            self.read += 1
            self.add(self.items[self.read - 1])


_lists: dict[int, _List] = {}


def read_registrations() -> None:
    """Take note of what has been registered since the last time."""
    entrypoints.init_all()  # installed packages register here what they would register at the first compilation
    typing, target = cpu_target.typing_context, cpu_target.target_context
    for registries, kinds in (
        ((templates.builtin_registry, *typing._registries), _TYPING),
        ((imputils.builtin_registry, *target._registries), _LOWERING),
    ):
        for registry in registries:
            for name, add in kinds.items():
                items = getattr(registry, name)
                known = _lists.get(id(items))
                if known is None:
                    known = _lists[id(items)] = _List(items, add)
                if known.read < len(items):
                    known.update()


def overloads_of(function: types.FunctionType) -> list[Registered]:
    """What has been registered for a Python function, the latest last."""
    return _for_users_functions.get(id(function), [])


def registered_for(names: set[str]) -> Iterator[Registered]:
    """What others have registered that may concern functions which load these names, but for functions of users."""
    for attribute, registered in _for_attributes:
        if attribute == ANY or attribute in names:
            yield registered
    for about, registered in _for_callables:
        # Operators have no names, and they and conversions are called by others.
        if _package(about) in ("builtins", "operator", "_operator") or getattr(about, "__name__", about) in names:
            yield registered


def _of_template(template: Any) -> tuple[Any, dict[str, Any]]:
    """The function or class that a template of Numba's comes from, and the options of the decorator."""
    origin = getattr(template, "_overload_func", None) or getattr(template, "_definition_func", None) or template
    inline = getattr(template, "_inline", None)
    options = dict(getattr(template, "_jit_options", None) or {}, inline=getattr(inline, "_inline", inline))
    return origin, options | {name: getattr(template, name, None) for name in ("_strict", "prefer_literal")}


def _attributes_of(template: Any) -> list[str]:
    """The attributes that a template types."""
    if hasattr(template, "_attr"):
        return [template._attr]
    if getattr(template, "generic_resolve", NotImplemented) is not NotImplemented:
        return [ANY]
    return [name.removeprefix("resolve_") for name in dir(template) if name.startswith("resolve_")] or [ANY]
