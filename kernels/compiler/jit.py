"""How a kernel is compiled, cached on disk and called.

`entry` makes an entry point: a parallel function that Python calls. `inner` makes a serial function that only other
compiled functions call; it becomes part of their code. `shared` makes a serial function that is compiled once, by
itself, and called by the others through its name: what is large and called everywhere is so compiled only once.

An entry point is compiled for a dtype at the first call with that dtype, never at import. It is compiled once per dtype
and not once per memory layout: its signature asks for arrays of any strides, and Numba converts to that for free.

The compiled code is cached on disk. Numba keys its cache on the one file that holds the function and so misses a change
in a file that the function calls; here the key is a fingerprint of every file of kernels/ and its sub-folders. On a
read-only installation with no writable cache folder anywhere, kernels are compiled in each process anew.
"""

import functools
import hashlib
import inspect
import logging
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.sigutils import normalize_signature
from numba.core.typed_passes import IRLegalization
from numba.extending import intrinsic, overload

Kernel = Callable[..., Any]

logger = logging.getLogger("fastfnn")

# What the optimizer may do to floating-point code: fuse a multiplication with an addition. It may not assume that NaN,
# infinity or signed zeros do not occur, nor change the order of a sum.
CONTRACT = {"contract"}

# The Numba settings that both kinds of function share. Division by zero gives inf or NaN, as in NumPy.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# Only a prange is a parallel region. Numba would make one of np.ones and of sums, too, also in the serial branch of a
# kernel; and it would fuse regions that share no array, while here they share memory through addresses.
_REGIONS = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")
PRANGE_ONLY = {"prange": True} | dict.fromkeys(_REGIONS, False)

# Numba writes two more functions for each, which Python and C would call it by. They take a fifth of all compile time.
NOT_FROM_PYTHON, NOT_FROM_C = {"no_cpython_wrapper": True}, {"no_cfunc_wrapper": True}

# Called with the name of each entry point that is about to be compiled (not loaded from disk).
compile_listeners: list[Callable[[str], None]] = []


def _fingerprint() -> str:
    digest = hashlib.sha256(llvmlite.__version__.encode())
    folder = pathlib.Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = _fingerprint()


class _CacheFile(IndexDataCacheFile):
    """The files of a function, of which each says what it holds.

    Numba numbers them and writes an index first. A process that reads the index before the file is written finds under
    that number what was there before, and of two processes that compile different versions at once one may write over
    what the other has in its index: code of an earlier version, or for the other dtype, would run.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        held = super().load(key)
        return held[2] if held is not None and held[:2] == (self._source_stamp, key) else None


class _KernelCache(FunctionCache):
    """Numba's cache on disk, keyed on the source of all kernels, that tells when it has to be filled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _CacheFile(self._cache_path, self._impl.filename_base, FINGERPRINT)
        self._function_name = function.__name__.lstrip("_")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            overload = super().load_overload(sig, target_context)
        except Exception:  # a file that was cut off, or made from an activation of a module that is not here
            overload = None
        if overload is None:
            _announce(self._function_name)
        return overload


def _announce(name: str) -> None:
    logger.info("compiling %s", name)
    for listener in compile_listeners:
        listener(name)


def _compile(function: Kernel, signature: str, dtype: np.dtype[Any], parallel: bool, **wrappers: bool) -> Any:
    regions = dict(PRANGE_ONLY) if parallel else False  # a copy: Numba empties it
    dispatcher = numba.njit(parallel=regions, fastmath=CONTRACT, **OPTIONS, **wrappers)(function)
    try:
        dispatcher._cache = _KernelCache(function)
    except RuntimeError:  # Numba found no folder that it may write to
        _announce(function.__name__.lstrip("_"))
    dispatcher.compile(signature.replace("real", dtype.name))
    dispatcher.disable_compile()
    return dispatcher


def entry(signature: str, calls: Sequence[Kernel] = (), parallel: bool = True) -> Callable[[Kernel], Kernel]:
    """Decorate an entry point.

    signature  Numba's, with `real` for the dtype of the first argument, an array
    calls      the shared functions that it calls
    parallel   whether it has a prange: Numba warns where there is none
    """

    def decorate(function: Kernel) -> Kernel:
        if numba.config.DISABLE_JIT:
            return function
        compiled: dict[np.dtype[Any], Any] = {}

        @functools.wraps(function)
        def call(first: np.ndarray, *rest: Any) -> Any:
            kernel = compiled.get(first.dtype)
            if kernel is None:
                with _compiling:
                    _link(calls, first.dtype)
                    kernel = compiled[first.dtype] = _compile(function, signature, first.dtype, parallel, **NOT_FROM_C)
            return kernel(first, *rest)

        return call

    return decorate


_compiling = threading.RLock()
_define: dict[Kernel, Callable[[np.dtype[Any]], None]] = {}  # of each shared function
_defined: dict[tuple[Kernel, np.dtype[Any]], tuple[Any, int]] = {}  # keeps their code alive; its address


def _link(functions: Sequence[Kernel], dtype: np.dtype[Any]) -> None:
    """Compile shared functions for a dtype, or load them, and make their names known to the linker."""
    for function in functions:
        if (function, dtype) not in _defined:
            _define[function](dtype)


def shared(signature: str, calls: Sequence[Kernel] = ()) -> Callable[[Kernel], Kernel]:
    """Decorate a function of sizes, strides, addresses and other numbers whose last argument is a scalar of the dtype.

    signature  Numba's, with `real` for the dtype
    calls      the shared functions that it calls

    The function must not raise.
    """

    def decorate(function: Kernel) -> Kernel:
        if numba.config.DISABLE_JIT:
            return function

        def symbol(dtype: Any) -> str:
            return f"fastfnn_{function.__name__}_{dtype}"

        def define(dtype: np.dtype[Any]) -> None:
            _link(calls, dtype)
            dispatcher = _compile(function, signature, dtype, parallel=False, **NOT_FROM_PYTHON, **NOT_FROM_C)
            (code,) = dispatcher.overloads.values()
            address = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
            llvmlite.binding.add_symbol(symbol(dtype), address)
            _defined[function, dtype] = dispatcher, address

        _define[function] = define

        @overload(function)
        def call_by_name(*arguments):  # no annotations: Numba compares it with the lambda
            dtype = arguments[-1]
            types, result = normalize_signature(signature.replace("real", str(dtype)))
            code = _call_by_name(symbol(dtype), result(*types), function)
            return lambda *arguments: code(*arguments)

        return function

    return decorate


def _emit_call(context: Any, builder: Any, target: Any, kind: Any, values: list[Any]) -> Any:
    """Call what Numba made of a function, and not what it makes for callers in C.

    That one copies its arguments, and the compiler copies them two and more at a time. They have just been written one
    at a time, so the processor waits until all that was written before them is in the cache: 0.1 us a call of `update`.
    """
    result, raised = (cgutils.alloca_once(builder, pointer.pointee) for pointer in kind.args[:2])
    builder.call(target, [result, raised, *values])
    return builder.load(result)


def _call_by_name(name: str, signature: Any, function: Kernel) -> Any:
    """What calls a shared function of that name, as Numba needs it in compiled code."""

    def typed(_context: Any, *_types: Any) -> Any:
        def code(context: Any, builder: Any, _signature: Any, values: list[Any]) -> Any:
            kind = context.call_conv.get_function_type(signature.return_type, signature.args)
            target = cgutils.get_or_insert_function(builder.module, kind, name)
            result = _emit_call(context, builder, target, kind, values)
            return context.get_returned_value(builder, signature.return_type, result)

        return signature, code

    typed.__signature__ = with_context(function)  # type: ignore[attr-defined]
    return intrinsic(typed)


def with_context(function: Kernel) -> inspect.Signature:
    """The signature of a function, after an argument for Numba's context: that of an intrinsic in its place."""
    signature = inspect.signature(function)
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(parameters=[context, *signature.parameters.values()])


def address_of(function: Kernel, dtype: np.dtype[Any]) -> int:
    """The address of a shared function, for `call_at`. So it can be chosen at run time, and compiled only if it is."""
    if numba.config.DISABLE_JIT:
        _plain[id(function)] = function
        return id(function)
    if (function, dtype) not in _defined:
        with _compiling:
            _link([function], dtype)
    return _defined[function, dtype][1]


_plain: dict[int, Kernel] = {}


@intrinsic
def _call_at(_context, address, integers, one):
    """Call the shared function at an address: of so many integers and a scalar of the dtype, returning nothing."""

    def code(context, builder, _signature, values):
        target, numbers, scalar = values
        arguments = [builder.extract_value(numbers, i) for i in range(numbers.type.count)] + [scalar]
        kind = context.call_conv.get_function_type(types.void, (*[types.intp] * len(integers), one))
        _emit_call(context, builder, builder.inttoptr(target, kind.as_pointer()), kind, arguments)
        return context.get_dummy_value()

    return types.void(types.intp, types.UniTuple(types.intp, len(integers)), one), code


def _plain_call_at(address, integers, one):
    _plain[address](*integers, one)


call_at = _plain_call_at if numba.config.DISABLE_JIT else _call_at


class _CodeToLink(JITCodeLibrary):
    """The code of an inner function, which goes into that of its callers and is optimized there.

    Numba would optimize it for itself, too, and make machine code of it that nothing runs: a seventh of all compile
    time.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        return 0  # as for what is not defined

    @property
    def codegen(self) -> Any:
        """What has `set_env`, which Numba calls with what Python would need to call the function."""
        return self

    def set_env(self, _name: str, _environment: Any) -> None:
        pass


@register_pass(mutates_CFG=False, analysis_only=True)
class _LinkOnly(AnalysisPass):
    """Before code is made: that it goes into a `_CodeToLink`."""

    _name = "fastfnn_link_only"

    def __init__(self) -> None:
        AnalysisPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _CodeToLink(state.targetctx.codegen(), state.func_id.func_qualname)
        return True


def compiler_with(added: type, after: type) -> type[CompilerBase]:
    """Numba's compiler with one more pass, after another."""

    class Compiler(CompilerBase):
        def define_pipelines(self) -> list[Any]:
            passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
            passes.add_pass_after(added, after)
            passes.finalize()
            return [passes]

    return Compiler


_InnerCompiler = compiler_with(_LinkOnly, IRLegalization)


class _Inner:
    """A function that Numba learns of when it first compiles a caller, with the options given.

    Most processes find all callers compiled, in the cache, and to tell Numba of a hundred functions takes 10 ms. Python
    cannot call it: without this, to try would end the process.
    """

    def __init__(self, function: Kernel, **options: Any) -> None:
        self.function, self.options = function, options

    @functools.cached_property
    def dispatcher(self) -> Any:
        return numba.njit(pipeline_class=_InnerCompiler, **self.options)(self.function)

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks an object for that compiled code refers to."""
        return self.dispatcher._numba_type_

    def __call__(self, *_arguments: Any) -> Any:
        raise TypeError(f"{self.function.__name__} can only be called from compiled code")


def compiled_with(function: Kernel, **options: Any) -> Kernel:
    """Decorate a function that is called from compiled code only, with options of `numba.njit`."""
    return function if numba.config.DISABLE_JIT else _Inner(function, **options)


def inner(function: Kernel) -> Kernel:
    """Decorate a serial function that is called from compiled code only."""
    return compiled_with(function, fastmath=CONTRACT, **OPTIONS, **NOT_FROM_PYTHON, **NOT_FROM_C)
