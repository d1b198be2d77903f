"""Denormal numbers count as zero inside kernels: a processor takes a hundred times as long for them.

They appear where a weight, or an optimizer's memory of a gradient, decays towards zero. The mode of the calling thread
is restored before Python goes on. On processors other than x86-64 and 64-bit ARM nothing is changed.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from ..compiler.emit import emitted_by
from ..compiler.writer import INT, INT32

_TRIPLE = llvm.get_process_triple()
_X86, _ARM = _TRIPLE.startswith(("x86_64", "i686")), _TRIPLE.startswith(("aarch64", "arm64"))

# Of MXCSR: denormal results become zero, denormal operands count as zero. Of FPCR: both.
_X86_FLUSH, _ARM_FLUSH = 1 << 15 | 1 << 6, 1 << 24

_BYTE_POINTER = ir.IntType(8).as_pointer()


def _x86_mode(builder: ir.IRBuilder, name: str, place: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_BYTE_POINTER])
    called = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(called, [builder.bitcast(place, _BYTE_POINTER)])


def _set_mode(builder: ir.IRBuilder, mode: Any) -> None:
    if _X86:
        place = cgutils.alloca_once(builder, INT32)
        builder.store(builder.trunc(mode, INT32), place)
        _x86_mode(builder, "ldmxcsr", place)
    elif _ARM:
        builder.call(ir.InlineAsm(ir.FunctionType(ir.VoidType(), [INT]), "msr fpcr, $0", "r", True), [mode])


def _emit_flush_denormals(builder: ir.IRBuilder) -> Any:
    if _X86:
        place = cgutils.alloca_once(builder, INT32)
        _x86_mode(builder, "stmxcsr", place)
        mode = builder.zext(builder.load(place), INT)
        _set_mode(builder, builder.or_(mode, INT(_X86_FLUSH)))
        return mode
    if _ARM:
        mode = builder.call(ir.InlineAsm(ir.FunctionType(INT, []), "mrs $0, fpcr", "=r", True), [])
        _set_mode(builder, builder.or_(mode, INT(_ARM_FLUSH)))
        return mode
    return INT(0)


@emitted_by(_emit_flush_denormals)
def flush_denormals() -> int:
    """Let denormal numbers be zero on this thread; returns the mode before."""
    return 0


def _emit_restore_mode(builder: ir.IRBuilder, mode: Any) -> None:
    _set_mode(builder, mode)


@emitted_by(_emit_restore_mode)
def restore_mode(mode: int) -> None:
    """Go back to a mode that `flush_denormals` returned."""
