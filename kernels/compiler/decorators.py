"""How a kernel is compiled and called.

    @inner           a serial function that only compiled code calls; it becomes part of its callers' code
    @shared          compiled once per dtype, by itself, and called through its name or its address: for what is large,
                     called from several places, or chosen at run time
    @entry           called by Python with arrays
    @called_through  the type of the functions that are chosen at run time, and the one way to call them: by address

Shared functions and entry points are compiled for a dtype at the first call with that dtype, never at import, and kept
on disk. Their signatures come from their annotations, see signature.py. Which shared functions they call is found by
following the names in their code, so that these can be compiled, or loaded from disk, before them.

With NUMBA_DISABLE_JIT=1 all of them are plain Python.
"""

import contextlib
import functools
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite
import numba
import numpy as np
from numba.core import cgutils, errors
from numba.core import types as numba_types
from numba.extending import intrinsic, overload

from .cache import CodeFile, NoFile, counting
from .exclusion import one_thread, undivided
from .pipeline import CodeOfItsOwn, Inner, SharedCompiler, compile_into
from .signature import signature_of, with_context

Function = Callable[..., Any]
P = ParamSpec("P")
R = TypeVar("R")

# What the optimizer may do to floating-point code: fuse a multiplication with an addition. It may not assume that NaN,
# infinity or signed zeros do not occur, nor change the order of a sum.
CONTRACT = {"contract"}

# Division by zero gives inf or NaN, as in NumPy; Python's lock is released during a call.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# Numba would also compile a wrapper for callers in Python and one for callers in C: a fifth of the compile time.
NOT_FROM_PYTHON, NOT_FROM_C = {"no_cpython_wrapper": True}, {"no_cfunc_wrapper": True}


def compiled_with(function: Function, **options: Any) -> Function:
    """Decorate a function that is called from compiled code only, with options of `numba.njit`."""
    return function if numba.config.DISABLE_JIT else Inner(function, **options)


def inner(function: Function) -> Function:
    """Decorate a serial function that is called from compiled code only."""
    return compiled_with(function, fastmath=CONTRACT, **OPTIONS, **NOT_FROM_PYTHON, **NOT_FROM_C)


def _compile(
    function: Function,
    dtype: np.dtype[Any],
    file: Callable[..., CodeFile | NoFile] = CodeFile,
    codegen: CodeOfItsOwn | None = None,
    /,
    **options: Any,
) -> Any:
    with undivided():
        numba.typeof(np.empty(0))  # so that no fork finds numpy.ma half imported: the first call would import it
        dispatcher = numba.njit(pipeline_class=SharedCompiler, fastmath=CONTRACT, **OPTIONS, **options)(function)
        if codegen is not None:
            compile_into(dispatcher, codegen)
        signature, processor = signature_of(function, dtype), dispatcher.targetctx.codegen().magic_tuple()
    dispatcher._cache = file(function, dtype, signature, processor)
    with dispatcher._cache.ready(), undivided():
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


class _Shared:
    """A shared function: its compiled code and address for each dtype."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.compiled: dict[np.dtype[Any], tuple[Any, int]] = {}  # the code, which must stay alive; its address

    def symbol(self, dtype: Any) -> str:
        """The name by which other compiled code calls it; it holds the module's, since names of functions repeat."""
        return f"fastfnn.{self.function.__module__}.{self.function.__qualname__}.{dtype}"

    def symbol_for_caller(self, real: Any) -> str:
        """The symbol, for code that is being compiled. LLVM ends the process where a symbol is not known."""
        if np.dtype(str(real)) not in self.compiled:
            raise errors.TypingError(
                f"{self.function.__name__} is not compiled for {real}: `shared_callees` does not find it in the caller"
            )
        return self.symbol(real)

    def compile(self, dtype: np.dtype[Any]) -> None:
        """Compile it for a dtype, or load it from disk; what it calls must be ready."""
        code = _compile(self.function, dtype, **NOT_FROM_PYTHON, **NOT_FROM_C)
        (version,) = code.overloads.values()
        with undivided():
            address = version.library.get_pointer_to_function(version.fndesc.llvm_func_name)
            llvmlite.binding.add_symbol(self.symbol(dtype), address)
            self.compiled[dtype] = code, address


class MachineCode:
    """A function that is called by its address only. The address is valid as long as this object lives.

    function  like a shared function
    dtype     float32 or float64
    file      makes the file of its code, see cache.py
    """

    address: int

    def __init__(self, function: Function, dtype: np.dtype[Any], file: Callable[..., CodeFile | NoFile]) -> None:
        if numba.config.DISABLE_JIT:
            self.address = address_of(function, dtype)
            return
        prepare((callee, dtype) for callee in _callees_of(function))
        with one_thread(), counting(1) as count:
            count()
            codegen = CodeOfItsOwn()
            code = _compile(function, dtype, file, codegen, **NOT_FROM_PYTHON, **NOT_FROM_C)
            with undivided():
                (version,) = code.overloads.values()
                self.address = version.library.get_pointer_to_function(version.fndesc.llvm_func_name)
                # Only what prints, or reports an error to Python, looks at these.
                environments = version._find_referenced_environments()
                for environment in environments:
                    codegen.set_env(environment.env_name, environment)
                codegen.finish()
            self._alive = codegen, version.environment, environments


_shared: dict[Function, _Shared] = {}


def _names(code: types.CodeType) -> set[str]:
    inside = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inside)


@functools.cache
def shared_callees(function: Function) -> tuple[Function, ...]:
    """The shared functions that a function calls, itself or through inner functions, by names of their modules."""
    return _callees_of(function)


def _callees_of(function: Function) -> tuple[Function, ...]:
    found: dict[Function, None] = {}
    visited = set()

    def visit(caller: Function) -> None:
        visited.add(caller)
        for name in sorted(_names(caller.__code__)):
            called = caller.__globals__.get(name)
            if isinstance(called, Inner):
                if called.function not in visited:
                    visit(called.function)
            elif isinstance(called, types.FunctionType) and called in _shared and called is not function:
                found[called] = None

    visit(function)
    return tuple(found)


class _Entry:
    """An entry point: what Python calls for each dtype."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.compiled: dict[np.dtype[Any], Any] = {}

    def compile(self, dtype: np.dtype[Any]) -> None:
        """Compile it for a dtype, or load it from disk; what it calls must be ready."""
        self.compiled[dtype] = _compile(self.function, dtype, **NOT_FROM_C)


_entries: dict[Function, _Entry] = {}  # by what `entry` returns


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate an entry point; its first argument is an array of the dtype that it is compiled for."""
    if numba.config.DISABLE_JIT:
        return function
    record = _Entry(function)

    @functools.wraps(function)
    def call(first: np.ndarray, *rest: Any) -> Any:
        kernel = record.compiled.get(first.dtype)
        if kernel is None:
            kernel = entry_for(call, first.dtype)
        return kernel(first, *rest)

    _entries[call] = record
    return cast("Callable[P, R]", call)


def entry_for(function: Callable[P, R], dtype: np.dtype[Any]) -> Callable[P, R]:
    """An entry point for arrays of a dtype: for callers who keep it, which saves its look-up in each call."""
    if numba.config.DISABLE_JIT:
        return function
    prepare([(function, dtype)])
    kernel: Callable[P, R] = _entries[function].compiled[dtype]
    return kernel


def prepare(wanted: Iterable[tuple[Function, np.dtype[Any]]]) -> None:
    """Compile functions for their dtypes, or load them from disk: each after all shared functions that it calls."""
    if numba.config.DISABLE_JIT:
        return
    order = _callees_first(wanted)
    left = [(_entries.get(function) or _shared[function], dtype) for function, dtype in order]
    with counting(len(order), lambda: _missing(left)) as count:
        for function, dtype in order:
            count()
            record = _entries.get(function) or _shared[function]
            with one_thread():
                if dtype not in record.compiled:  # another thread may have been first
                    record.compile(dtype)


def _missing(records: Iterable[tuple[_Entry | _Shared, np.dtype[Any]]]) -> int:
    """How many functions are neither compiled in this process nor on disk."""
    processor = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
    return sum(
        CodeFile(record.function, dtype, signature_of(record.function, dtype), processor).is_missing()
        for record, dtype in records
        if dtype not in record.compiled
    )


def _callees_first(wanted: Iterable[tuple[Function, np.dtype[Any]]]) -> list[tuple[Function, np.dtype[Any]]]:
    """The functions that are not compiled yet, each after those that it calls."""
    order: dict[tuple[Function, np.dtype[Any]], None] = {}

    def visit(function: Function, dtype: np.dtype[Any]) -> None:
        record = _entries.get(function) or _shared[function]
        if (function, dtype) not in order and dtype not in record.compiled:
            for callee in shared_callees(record.function):
                visit(callee, dtype)
            order[function, dtype] = None

    for function, dtype in wanted:
        visit(function, dtype)
    return list(order)


def everything(dtype: np.dtype[Any]) -> list[tuple[Function, np.dtype[Any]]]:
    """All shared functions and entry points that have been imported, to be prepared for a dtype."""
    return [(function, dtype) for function in (*_shared, *_entries)]


def shared(function: Function) -> Function:
    """Decorate a shared function. Its last parameter is a `Real`, which tells the dtype; it must not raise."""
    if numba.config.DISABLE_JIT:
        return function
    record = _shared[function] = _Shared(function)

    @overload(function)
    def call_by_name(*arguments):  # no annotations: Numba compares it with the lambda
        real = arguments[-1]
        code = _call(function, signature_of(function, real), record.symbol_for_caller(real))
        return lambda *arguments: code(*arguments)

    return function


def _call(function: Function, signature: Any, symbol: str) -> Any:
    """An intrinsic that calls a compiled function by its symbol."""

    def typed(_context: Any, *_types: Any) -> Any:
        def code(context: Any, builder: Any, _signature: Any, values: list[Any]) -> Any:
            kind = context.call_conv.get_function_type(signature.return_type, signature.args)
            target = cgutils.get_or_insert_function(builder.module, kind, symbol)
            return _emit_call(context, builder, target, signature, values)

        return signature, code

    typed.__signature__ = with_context(function)  # type: ignore[attr-defined]
    return intrinsic(typed)


def _emit_call(context: Any, builder: Any, target: Any, signature: Any, values: list[Any]) -> Any:
    """Call by Numba's own convention.

    The wrapper that Numba makes for callers in C copies its arguments as vectors; they have just been written one by
    one, so that the processor waits until all earlier stores have reached the cache. See Experiments: calls-through-c.
    The status that Numba's functions return is ignored: shared functions do not raise.
    """
    kind = context.call_conv.get_function_type(signature.return_type, signature.args)
    result, raised = (cgutils.alloca_once(builder, pointer.pointee) for pointer in kind.args[:2])
    flat = context.get_arg_packer(signature.args).as_arguments(builder, values)
    builder.call(target, [result, raised, *flat])
    return context.get_returned_value(builder, signature.return_type, builder.load(result))


def address_of(function: Function, dtype: np.dtype[Any]) -> int:
    """The address of a shared function, for `called_through`; the function is compiled when it is first asked for."""
    if numba.config.DISABLE_JIT:
        _plain[id(function)] = function
        return id(function)
    wanted = getattr(_listing, "wanted", None)
    if wanted is not None:
        wanted.append((function, dtype))
        return 0
    compiled = _shared[function].compiled
    if dtype not in compiled:
        prepare([(function, dtype)])
    return compiled[dtype][1]


_listing = threading.local()


@contextlib.contextmanager
def functions_listed() -> Iterator[list[tuple[Function, np.dtype[Any]]]]:
    """Inside the context `address_of` compiles nothing: it appends its arguments to this list and returns 0.

    So the caller learns which functions it needs, and can `prepare` them together. Other threads are not affected.
    """
    _listing.wanted = []
    try:
        yield _listing.wanted
    finally:
        _listing.wanted = None


_plain: dict[int, Function] = {}  # without the JIT: functions by what stands for their address


def called_through(prototype: Function) -> Function:
    """Decorate the type of a family of shared functions, as a function of an address and then their parameters.

    Calling the result calls the function at that address. The prototype's body is never run.
    """
    if numba.config.DISABLE_JIT:
        return lambda address, *arguments: _plain[int(address)](*arguments)

    def typed(_context: Any, *arguments: Any) -> Any:
        declared = signature_of(prototype, arguments[-1])
        signature = declared.return_type(*declared.args)

        def code(context: Any, builder: Any, _signature: Any, values: list[Any]) -> Any:
            target, *rest = values
            called = declared.return_type(*declared.args[1:])
            kind = context.call_conv.get_function_type(called.return_type, called.args)
            return _emit_call(context, builder, builder.inttoptr(target, kind.as_pointer()), called, rest)

        return signature, code

    typed.__name__ = prototype.__name__
    typed.__signature__ = with_context(prototype)  # type: ignore[attr-defined]
    return intrinsic(typed)


@intrinsic
def _address_in_code(_context, function, real):
    if not isinstance(function, numba_types.Function) or function.typing_key not in _shared:
        return None
    called = function.typing_key
    symbol = _shared[called].symbol_for_caller(real)

    def code(context, builder, _signature, _values):
        signature = signature_of(called, real)
        kind = context.call_conv.get_function_type(signature.return_type, signature.args)
        target = cgutils.get_or_insert_function(builder.module, kind, symbol)
        return builder.ptrtoint(target, context.get_value_type(numba_types.intp))

    return numba_types.intp(function, real), code


def _plain_address_in_code(function, real):
    return address_of(function, np.dtype(type(real)))


# The address of a shared function in compiled code, for the dtype of a scalar: address_in_code(function, real).
address_in_code: Any = _plain_address_in_code if numba.config.DISABLE_JIT else _address_in_code
