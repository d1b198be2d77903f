"""The one parallel region: every kernel that runs on several threads enters it here.

A kernel describes its work in a record and hands over the address of a shared function, which each thread calls with
the number of its part. So Numba compiles one parallel region per dtype, whatever a process runs.
"""

import numpy as np
from numba import prange

from ..compiler.decorators import called_through, inner, shared
from ..compiler.signature import Real


@called_through
def call_part(function: int, arguments: int, parts: int, part: int, one: Real) -> None:
    """Run part number `part` of `parts` of the work that the record at `arguments` describes."""


def _in_parallel(function: int, arguments: int, parts: int, one: Real) -> None:
    for part in prange(parts):
        call_part(function, arguments, parts, np.int64(part), one)


in_parallel = shared(_in_parallel, parallel=True)


@inner
def in_parts(function, arguments, parts, one):
    """Run all parts of a work at once: `function` is the address of a function as `call_part` calls it."""
    if parts == 1:
        call_part(function, arguments, 1, 0, one)
    else:
        in_parallel(function, arguments, parts, one)
