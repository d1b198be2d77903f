"""What callers and workers share: one piece of memory for the process, whose address compiled code knows as a symbol.

    CONTROL      numbers that hardly ever change: see below
    OWNED        1 while a call uses the workers: a second call at the same time runs on its own thread
    CLAIM        (number of the region) << 32 | (its parts) << 16 | (parts that are claimed): see region.py
    WORK         what the parts are: see below
    FINISHED     parts that workers have finished
    TEAM         the state of the team, see team.py
    NEIGHBOURS   what is known of other processes on the cores, see neighbours.py

Numbers that different threads write lie in different cache lines, 128 bytes apart, because processors fetch lines in
pairs.
"""

from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils

from ..compiler.emit import emitted_by
from ..compiler.memory import aligned_zeros
from ..compiler.writer import INT

_SPACING = 128
CONTROL, OWNED, CLAIM, WORK, FINISHED, TEAM = (place * _SPACING for place in range(6))

# Of CONTROL: 1 at the end of the process; the workers that have started; the first of them up to one that is parked;
# the ticks of the clock in a millisecond, 0 while they are not known.
STOP, STARTED, AWAKE, TICKS_PER_MS = (CONTROL + 8 * place for place in range(4))

# Of WORK: the addresses of a function and its arguments; bytes of the dtype; 1 if the parts are members of a team; the
# largest number of a worker that may claim a part.
FUNCTION, ARGUMENTS, ITEMSIZE, IN_STEPS, LAST_WORKER = (WORK + 8 * place for place in range(5))

# Of TEAM, by their distance from the team's address.
OPENED, COUNTED, MET, TAKEN, LOST = (place * _SPACING for place in range(5))
REGION, LAST_RANK = OPENED + 8, OPENED + 16
TEAM_BYTES = 5 * _SPACING

NEIGHBOURS = TEAM + TEAM_BYTES
_BYTES = NEIGHBOURS + _SPACING

_SYMBOL = "fastfnn.workers"

memory: np.ndarray = aligned_zeros(_BYTES // 8 + _SPACING // 8, np.dtype(np.int64))
ADDRESS = memory.ctypes.data + -memory.ctypes.data % _SPACING
numbers: np.ndarray = memory[(ADDRESS - memory.ctypes.data) // 8 :]  # a number at a place: numbers[place // 8]

if not numba.config.DISABLE_JIT:
    llvm.add_symbol(_SYMBOL, ADDRESS)


def _emit_state(builder: ir.IRBuilder) -> Any:
    kind = ir.FunctionType(ir.VoidType(), [])  # declared as a function, whose addresses Numba's code may be far from
    return builder.ptrtoint(cgutils.get_or_insert_function(builder.module, kind, _SYMBOL), INT)


@emitted_by(_emit_state)
def state() -> int:
    """The address of the state."""
    return ADDRESS
