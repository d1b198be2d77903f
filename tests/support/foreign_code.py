"""Compiles kernels for a processor, this machine's or another one's, and prints the inline assembly that they hold.

    python foreign_code.py [TRIPLE CPU FEATURES [MODULES]]

LLVM makes machine code for any processor; what it makes for another one is not run here. MODULES limits the kernels to
those of modules whose name contains it. Without arguments the kernels are this machine's, of both dtypes.

A process of its own: it tells Numba that it runs on that processor, and LLVM ends it if it cannot compile something.
"""

import json
import os
import re
import sys

_ASSEMBLY = re.compile(r'\basm\s+(?:\w+\s+)*"((?:[^"\\]|\\.)*)"')

# What `main` prints if this LLVM does not know the processor.
UNKNOWN = "unknown"


def inline_assembly(code):
    """The texts of all inline assembly in LLVM code, which may belong to a function or to the module."""
    return sorted(set(_ASSEMBLY.findall(code)))


def pretend(triple, cpu, features):
    """Let Numba, which must not have been imported, compile for this processor; returns whether LLVM knows it."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        llvm.Target.from_triple(triple)
    except RuntimeError:
        return False
    llvm.get_process_triple = lambda: triple
    os.environ |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    return True


def compile_kernels(dtypes, modules):
    """Compile kernels; returns the number of functions, and those with inline assembly and its texts."""
    import fastfnn
    from fastfnn.kernels.compiler import decorators

    assert fastfnn.kernels
    count, found = 0, {}
    for dtype in dtypes:
        chosen = [pair for pair in decorators.everything(dtype) if modules in pair[0].__module__]
        decorators.prepare(chosen)
        for record in (*decorators._shared.values(), *decorators._entries.values()):
            if dtype not in record.compiled:
                continue
            compiled = record.compiled[dtype]
            code = compiled[0] if isinstance(compiled, tuple) else compiled
            (version,) = code.overloads.values()
            count += 1
            if texts := inline_assembly(str(version.library._get_module_for_linking())):
                found[f"{record.function.__name__} of {dtype}"] = texts
    return count, found


def main(triple="", cpu="", features="", modules=""):
    if triple and not pretend(triple, cpu, features):
        print(json.dumps(UNKNOWN))
        return
    import numpy as np

    dtypes = [np.dtype("float32")] if triple else [np.dtype("float32"), np.dtype("float64")]
    print(json.dumps(compile_kernels(dtypes, modules)))


if __name__ == "__main__":
    main(*sys.argv[1:])
