"""Numba's compiler with passes of our own, and inner functions that are made into machine code with their callers only.

Numba optimizes each function for itself and makes machine code of it, even if only other compiled functions call it,
into which its code goes anyway. `Inner` leaves that out.

Numba keeps all machine code until the process ends. `CodeOfItsOwn` holds that of one function and frees it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
from llvmlite.binding.ffi import ObjectRef
from llvmlite.binding.newpassmanagers import NewPassManager
from numba import types
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.typed_passes import IRLegalization

from .writer import written


def compiler_with(*added: tuple[type, type]) -> Any:
    """Numba's compiler with more passes: pairs of a pass and the one that it comes after."""

    class Compiler(CompilerBase):
        def define_pipelines(self) -> list[Any]:
            passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
            for each, after in added:
                passes.add_pass_after(each, after)
            passes.finalize()
            return [passes]

    return Compiler


class _CodeToLink(JITCodeLibrary):
    """The code of an inner function: linked into its callers and optimized there, never made into machine code."""

    def _optimize_functions(self, _module: Any) -> None:
        pass

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        return 0  # as for a function that is not defined

    @property
    def codegen(self) -> Any:
        """Numba calls its `set_env` with what Python would need to call the function."""
        return self

    def set_env(self, _name: str, _environment: Any) -> None:
        pass


def code_to_link(codegen: Any, name: str) -> Any:
    """New code of an inner function, see `_CodeToLink`."""
    return _CodeToLink(codegen, name)


class _CodeWithWritten(JITCodeLibrary):
    """Code that calls functions of a `Writer`, which are linked in after the code has been optimized.

    A writer chooses the instructions itself; optimizing the tiles of products would take longer than all the rest of
    their compilation.
    """

    def _optimize_final_module(self) -> None:
        super()._optimize_final_module()
        module = self._final_module
        for name in [each.name for each in module.functions if each.is_declaration and each.name in written]:
            added = llvm.parse_assembly(written[name])
            added.triple, added.data_layout = module.triple, self._codegen._data_layout
            module.link_in(added)


@register_pass(mutates_CFG=False, analysis_only=True)
class _LinkWritten(AnalysisPass):
    """Before code generation: put the code into a `_CodeWithWritten`."""

    _name = "fastfnn_link_written"

    def __init__(self) -> None:
        AnalysisPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _CodeWithWritten(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return True


@register_pass(mutates_CFG=False, analysis_only=True)
class LinkOnly(AnalysisPass):
    """Before code generation: put the code into a `_CodeToLink`."""

    _name = "fastfnn_link_only"

    def __init__(self) -> None:
        AnalysisPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _CodeToLink(state.targetctx.codegen(), state.func_id.func_qualname)
        return True


SharedCompiler: Any = compiler_with((_LinkWritten, IRLegalization))
_InnerCompiler = compiler_with((LinkOnly, IRLegalization))


class CodeOfItsOwn(JITCPUCodegen):
    """A code generator for one function: its machine code is freed with this object, and with it all that made it."""

    def __init__(self) -> None:
        self._used: list[NewPassManager] = []
        super().__init__("fastfnn.own")

    def _module_pass_manager(self, **options: Any) -> Any:
        return self._kept(super()._module_pass_manager(**options))

    def _function_pass_manager(self, **options: Any) -> Any:
        return self._kept(super()._function_pass_manager(**options))

    def _kept(self, passes: Any) -> Any:
        self._used.append(passes[0])
        return passes

    def finish(self) -> None:
        """Free what has optimized the code, once it is machine code: llvmlite 0.50 does not, of its own accord."""
        used, self._used = self._used, []
        for passes in used:
            if type(passes)._dispose is ObjectRef._dispose:
                NewPassManager._dispose(passes)
                passes.detach()


class _Target(NamedTuple):
    """What a dispatcher compiles for."""

    typing_context: Any
    target_context: Any
    options: Any


def compile_into(dispatcher: Any, codegen: CodeOfItsOwn) -> None:
    """Let Numba's object for a function make its machine code by a code generator of its own."""
    dispatcher.targetctx = dispatcher.targetctx.subtarget(_internal_codegen=codegen)
    former = dispatcher.targetdescr
    dispatcher._compiler.targetdescr = _Target(former.typing_context, dispatcher.targetctx, former.options)


class Inner:
    """A function that Numba learns of when it first compiles a caller.

    Most processes find all callers in the cache, and telling Numba of all functions would delay every import, see
    Experiments: late-registration. Python cannot call it: it has no machine code of its own.
    """

    function: Callable[..., Any]
    options: dict[str, Any]

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function, self.options = function, options

    @functools.cached_property
    def dispatcher(self) -> Any:
        """Numba's object for the function.

        Numba would compile a version of its own for each constant among the arguments; here a constant counts as any
        number of its type. The optimizer sees it all the same, in the caller's code.
        """
        dispatcher = numba.njit(pipeline_class=_InnerCompiler, **self.options)(self.function)
        call_template = dispatcher.get_call_template

        def without_constants(args: Any, kws: Any) -> Any:
            return call_template(tuple(map(types.unliteral, args)), {name: types.unliteral(kws[name]) for name in kws})

        dispatcher.get_call_template = without_constants
        return dispatcher

    @property
    def _numba_type_(self) -> Any:
        """The type under which compiled code refers to this object."""
        return self.dispatcher._numba_type_

    def __call__(self, *_arguments: Any) -> Any:
        raise TypeError(f"{self.function.__name__} can only be called from compiled code")
