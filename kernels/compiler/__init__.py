"""From Python to machine code.

processor.py   the processor that kernels are compiled for
signature.py   signatures of kernels, from their annotations
pipeline.py    Numba's compiler, with passes of our own
cache.py       the cache of compiled code on disk
exclusion.py   one compilation at a time: threads, processes, forks, Ctrl-C
decorators.py  inner, shared, entry: how a kernel is compiled and called
emit.py        functions of which compiled code has LLVM instructions, and Python an equivalent
writer.py      the writer of LLVM functions: vectors, masks, loops
memory.py      arrays and records at addresses
"""
