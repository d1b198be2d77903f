"""The tests of one kernel: what `pytest --kernel NAME` selects, and so `make test-kernel KERNEL=NAME`.

A test belongs to a kernel if its file, its name or its parameters name the kernel's operation: softsign for
softsign_forward and softsign_backward. So do the tests of the kernel's own file or folder that name no other operation
of that folder.
"""

import difflib
import functools
import pathlib
import re

from fastfnn import kernels

PUBLIC = tuple(name for name in kernels.__all__ if callable(getattr(kernels, name)))
TESTS = pathlib.Path(__file__).parents[1]


@functools.cache
def operation_of(kernel):
    """The name that the kernels of an operation share."""
    return kernel if kernel.startswith(("network", "tabular")) else re.sub("_(forward|backward|update)$", "", kernel)


@functools.cache
def kernels_of(name):
    """The public kernels of a name: of a kernel or of an operation; a ValueError if there are none."""
    found = tuple(kernel for kernel in PUBLIC if operation_of(kernel) == operation_of(name))
    if not found:
        near = difflib.get_close_matches(name, {*PUBLIC, *map(operation_of, PUBLIC)})
        hint = f"; there is {', '.join(sorted(near))}" if near else ""
        raise ValueError(f"no kernel is called {name!r}{hint}: add it to __all__ in kernels/__init__.py")
    return found


def selects(name, test):
    """Whether a test, given by its id, is one of those of a kernel or an operation."""
    path, _, item = test.partition("::")
    operation, home = operation_of(name), _home_of(kernels_of(name)[0])
    if operation in _named(f"{pathlib.PurePath(path).stem} {item}"):
        return True
    is_home = path == home or path.startswith(f"{home}/")
    return is_home and not _named(f"{pathlib.PurePath(path).stem} {item}") & _beside(operation)


@functools.cache
def _pattern():
    operations = sorted({*map(operation_of, PUBLIC)}, key=len, reverse=True)  # leaky_relu before relu
    return re.compile(rf"(?<![a-z0-9])({'|'.join(operations)})(?![a-z0-9])")


@functools.cache
def _named(text):
    """The operations that are named in a text; parts of words are none."""
    return frozenset(_pattern().findall(text))


def _module_of(kernel):
    """The path of the module that defines a kernel, relative to kernels/."""
    function = getattr(kernels, kernel)
    module = getattr(function, "py_func", function).__module__
    return pathlib.PurePosixPath(*module.removeprefix("fastfnn.kernels.").split("."))


@functools.cache
def _beside(operation):
    """The other operations that are defined in the folder of this one."""
    folder = _module_of(kernels_of(operation)[0]).parent
    return {operation_of(kernel) for kernel in PUBLIC if _module_of(kernel).parent == folder} - {operation}


@functools.cache
def _home_of(kernel):
    """The file of tests that mirrors a kernel's module, or else the folder."""
    module = _module_of(kernel)
    file = pathlib.PurePosixPath("tests/kernels") / module.parent / f"test_{module.name}.py"
    return str(file if (TESTS.parent / file).exists() else file.parent)
