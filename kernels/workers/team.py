"""Threads that take the steps of one call together, and meet between the parts of a step.

Opening a parallel region costs a microsecond with two threads and six with sixteen, and a training step of a small
network lasts ten. So a call opens one region, whose threads go through all steps and wait for each other at barriers,
which cost a tenth of that.

A barrier needs to know who will come. That is not sure: the threading layer may give fewer threads than parts, and runs
one part after the other then. So nobody ever waits for a part that has not begun:

- Each part that begins joins the team and gets a rank. Rank 0 leads.
- The leader opens each step for those who have joined by then, or the first few of them, see pace.py; the barriers in
  the step are for these members. The others wait for a step that has them.
- A part that joins late takes part from the next step on. One that joins after the last step has nothing to do.
- A step ends with a barrier, after which its members touch nothing that the next step uses, which may have fewer.

How a step is divided may so differ from run to run. That is no harm, since results do not depend on it.

The state of a team is an array of int64 at an address; numbers that different threads write lie in different cache
lines.
"""

from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiler.jit import inner
from ..compiler.vectors import array_at

# Elements of the array, and the place of each number in it, in bytes. Processors fetch lines in pairs.
LINES = 128
JOINED, OPENED, COUNTED, MET, TAKEN = (place * LINES for place in range(5))
TEAM_SIZE = 5 * LINES // 8

# OPENED holds the number of the step, counted from 1, times this, plus the members; or DONE.
STEP = 1 << 16
DONE = -1

# How often the leader looks for the others before the first step. They come within 2 us, or 50 if they slept: this is
# 50 to 150 us, and lost only where the threading layer cannot give a thread for each part, as never without the JIT.
PATIENCE = 0 if numba.config.DISABLE_JIT else 4000

# After so many looks a waiting thread offers its core to others: there may be fewer cores than threads.
LOOKS = 2000

INT = ir.IntType(64)


@intrinsic
def _add(_context, address, value):
    """Add to the number at an address, at once; returns what it was."""

    def code(_context, builder, _signature, values):
        return builder.atomic_rmw("add", builder.inttoptr(values[0], INT.as_pointer()), values[1], "acq_rel")

    return types.intp(types.intp, types.intp), code


@intrinsic
def _load(_context, address):
    """The number at an address, and whatever its writer wrote before."""

    def code(_context, builder, _signature, values):
        return builder.load_atomic(builder.inttoptr(values[0], INT.as_pointer()), "acquire", 8)

    return types.intp(types.intp), code


@intrinsic
def _store(_context, address, value):
    """Write the number at an address, after everything written before."""

    def code(context, builder, _signature, values):
        builder.store_atomic(values[1], builder.inttoptr(values[0], INT.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), code


# What tells the processor that a thread waits: an LLVM intrinsic and its arguments. Elsewhere a thread just waits.
_PAUSE: tuple[str, list[Any]] | None = None
if llvm.get_process_triple().startswith(("x86_64", "i686")):
    _PAUSE = "llvm.x86.sse2.pause", []
elif llvm.get_process_triple().startswith(("aarch64", "arm64")):
    _PAUSE = "llvm.aarch64.hint", [ir.Constant(ir.IntType(32), 1)]


@intrinsic
def _pause(_context):
    """Tell the processor that this thread waits."""

    def code(context, builder, _signature, _values):
        if _PAUSE is not None:
            name, arguments = _PAUSE
            kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def _offer_core(_context):
    """Let another thread of the system run, if one wants to."""

    def code(context, builder, _signature, _values):
        if llvm.address_of_symbol("sched_yield") is not None:  # which LLVM knows only once Numba compiles something
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), code


def _plain_add(address, value):
    number = array_at(address, 1, np.int64(0))
    number[0] += value
    return number[0] - value


def _plain_load(address):
    return array_at(address, 1, np.int64(0))[0]


def _plain_store(address, value):
    array_at(address, 1, np.int64(0))[0] = value


def _nothing() -> None:
    pass


_PLAIN: dict[str, Any] = {"add": _plain_add, "load": _plain_load, "store": _plain_store}
_PLAIN |= {"pause": _nothing, "offer_core": _nothing}
_COMPILED: dict[str, Any] = {"add": _add, "load": _load, "store": _store, "pause": _pause, "offer_core": _offer_core}
_chosen = _PLAIN if numba.config.DISABLE_JIT else _COMPILED
add, load, store, pause, offer_core = (_chosen[name] for name in ("add", "load", "store", "pause", "offer_core"))


@inner
def join(team):
    """Become a member; returns the rank."""
    return add(team + JOINED, 1)


@inner
def await_others(team, parts):
    """Wait for a moment for all parts to join."""
    for _ in range(PATIENCE):
        if load(team + JOINED) >= parts:
            break
        pause()


@inner
def joined(team):
    """How many parts have joined so far."""
    return load(team + JOINED)


@inner
def lead(team, step, members):
    """The leader's: begin a step for so many members, the first by rank of all who have joined; 0: none is left."""
    store(team + TAKEN, 0)
    store(team + OPENED, (step + 1) * STEP + members if members > 0 else DONE)


@inner
def follow(team, rank, step):
    """The others': wait for the next step after `step` that has this rank as a member; returns it and the members."""
    looks = 0
    while True:
        opened = load(team + OPENED)
        if opened == DONE:
            return step, 0
        if opened // STEP > step + 1 and opened % STEP > rank:
            return opened // STEP - 1, opened % STEP
        looks += 1
        pause()
        if looks % LOOKS == 0 or (opened > 0 and opened % STEP <= rank):  # the others can do without this thread
            offer_core()


@inner
def take(team):
    """The number of the next piece of work in this step, from 0: each goes to one member, whoever comes first."""
    return add(team + TAKEN, 1)


@inner
def meet(team, members):
    """A barrier: returns when all members have come, and sees what they wrote."""
    if members > 1:
        met = load(team + MET)
        if add(team + COUNTED, 1) == members - 1:
            store(team + COUNTED, 0)
            store(team + MET, met + 1)
        else:
            looks = 0
            while load(team + MET) == met:
                looks += 1
                pause()
                if looks % LOOKS == 0:
                    offer_core()
