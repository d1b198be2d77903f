"""What threads need from the processor to wait for each other: atomic numbers, a pause, the way to offer a core.

Also its clock. Without the JIT there is one thread, and these are plain Python.
"""

import time
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from ..compiler.emit import call_function, emitted_by, read_register
from ..compiler.memory import array_at
from ..compiler.processor import architecture
from ..compiler.writer import INT, INT32


def _pointer(builder: ir.IRBuilder, address: Any) -> Any:
    return builder.inttoptr(address, INT.as_pointer())


def _emit_add(builder: ir.IRBuilder, address: Any, value: Any) -> Any:
    return builder.atomic_rmw("add", _pointer(builder, address), value, "acq_rel")


@emitted_by(_emit_add)
def add(address: int, value: int) -> int:
    """Add to the number at an address, atomically; returns its old value."""
    number = array_at(address, 1, np.int64(0))
    number[0] += value
    return number[0] - value


def _emit_compare_and_swap(builder: ir.IRBuilder, address: Any, old: Any, new: Any) -> Any:
    pair = builder.cmpxchg(_pointer(builder, address), old, new, "acq_rel", "acquire")
    return builder.zext(builder.extract_value(pair, 1), INT)


@emitted_by(_emit_compare_and_swap)
def compare_and_swap(address: int, old: int, new: int) -> int:
    """Change the number at an address from `old` to `new`, atomically; returns 1, or 0 if it was not `old`."""
    number = array_at(address, 1, np.int64(0))
    if number[0] != old:
        return 0
    number[0] = new
    return 1


def _emit_exchange(builder: ir.IRBuilder, address: Any, value: Any) -> Any:
    return builder.atomic_rmw("xchg", _pointer(builder, address), value, "acq_rel")


@emitted_by(_emit_exchange)
def exchange(address: int, value: int) -> int:
    """Write the number at an address, atomically; returns the old one. What its writer wrote before is visible then."""
    number = array_at(address, 1, np.int64(0))
    old, number[0] = number[0], value
    return old


def _emit_load(builder: ir.IRBuilder, address: Any) -> Any:
    return builder.load_atomic(_pointer(builder, address), "acquire", 8)


@emitted_by(_emit_load)
def load(address: int) -> int:
    """The number at an address; what its writer wrote before is visible afterwards."""
    return array_at(address, 1, np.int64(0))[0]


def _emit_store(builder: ir.IRBuilder, address: Any, value: Any) -> None:
    builder.store_atomic(value, _pointer(builder, address), "release", 8)


@emitted_by(_emit_store)
def store(address: int, value: int) -> None:
    """Write the number at an address, after everything that this thread wrote before."""
    array_at(address, 1, np.int64(0))[0] = value


def _emit_pause(builder: ir.IRBuilder) -> None:
    if architecture() == "x86":
        call_function(builder, "llvm.x86.sse2.pause", ir.VoidType())
    elif architecture() == "arm":
        call_function(builder, "llvm.aarch64.hint", ir.VoidType(), INT32(1))


@emitted_by(_emit_pause)
def pause() -> None:
    """Tell the processor that this thread is waiting in a loop."""


def _emit_offer_core(builder: ir.IRBuilder) -> None:
    for name in ("sched_yield", "SwitchToThread"):  # of POSIX and of Windows
        if llvm.address_of_symbol(name) is not None:  # asked while Numba compiles: LLVM knows symbols only then
            call_function(builder, name, INT32)
            break


@emitted_by(_emit_offer_core)
def offer_core() -> None:
    """Let another thread of the system run on this core, if one is ready."""


def _emit_clock(builder: ir.IRBuilder) -> Any:
    if architecture() == "x86":
        return call_function(builder, "llvm.readcyclecounter", INT)
    if architecture() == "arm":  # systems let every program read this counter, but not that of cycles
        return read_register(builder, "cntvct_el0")
    return INT(0)


@emitted_by(_emit_clock)
def clock() -> int:
    """Ticks of a counter with a constant rate; always 0 on processors without one that is known here."""
    return time.perf_counter_ns()
