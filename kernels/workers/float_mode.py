"""Denormal numbers count as zero inside kernels: a processor takes a hundred times as long for them.

They appear where a weight, or an optimizer's memory of a gradient, decays towards zero. The mode of the calling thread
is restored before Python goes on. On processors other than x86-64 and 64-bit ARM nothing is changed.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..compiler.emit import call_function, emitted_by
from ..compiler.processor import architecture
from ..compiler.writer import INT, INT32

# Of MXCSR: denormal results become zero, denormal operands count as zero. Of FPCR: both.
_X86_FLUSH, _ARM_FLUSH = 1 << 15 | 1 << 6, 1 << 24

_BYTE_POINTER = ir.IntType(8).as_pointer()


def _call_with_place(builder: ir.IRBuilder, name: str, place: Any) -> None:
    call_function(builder, name, ir.VoidType(), builder.bitcast(place, _BYTE_POINTER))


def _set_mode(builder: ir.IRBuilder, mode: Any) -> None:
    if architecture() == "x86":
        place = cgutils.alloca_once(builder, INT32)
        builder.store(builder.trunc(mode, INT32), place)
        _call_with_place(builder, "llvm.x86.sse.ldmxcsr", place)
    elif architecture() == "arm":
        call_function(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)


def _emit_flush_denormals(builder: ir.IRBuilder) -> Any:
    if architecture() == "x86":
        place = cgutils.alloca_once(builder, INT32)
        _call_with_place(builder, "llvm.x86.sse.stmxcsr", place)
        mode = builder.zext(builder.load(place), INT)
        _set_mode(builder, builder.or_(mode, INT(_X86_FLUSH)))
        return mode
    if architecture() == "arm":
        mode = call_function(builder, "llvm.aarch64.get.fpcr", INT)
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
