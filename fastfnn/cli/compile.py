"""`fastfnn compile`: the kernels are compiled ahead of their first use."""

import argparse
import time

import numba

from fastfnn import backend, streams
from fastfnn.cli import paths
from fastfnn.cli.arguments import Commands

ERASE_TO_END = "\x1b[K"  # of the line, in a terminal


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    compile_ahead = commands.add_parser(
        "compile",
        help="compile the kernels ahead of their first use",
        description="Compile all kernels for this processor into the cache on disk, from which later processes load "
        "them: for container images, CI, or a first call without a wait. The environment variable NUMBA_CACHE_DIR "
        "names the folder of the cache, for this command and for the processes that use it.",
    )
    compile_ahead.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        nargs="+",
        default=["float32"],
        help="dtypes of the networks that will use them (default: float32)",
    )
    compile_ahead.set_defaults(run=_compile)
    paths.register(compile_ahead, shown=False)


def _compile(options: argparse.Namespace) -> None:
    if numba.config.DISABLE_JIT:
        raise ValueError("NUMBA_DISABLE_JIT is set: there is nothing to compile")
    folder = backend.cache_folder()
    for dtype in dict.fromkeys(options.dtype):
        compiled, start = 0, time.perf_counter()

        def show(kernel: backend.CompileProgress, dtype: str = dtype) -> None:
            nonlocal compiled
            if folder is None:
                raise OSError("there is no folder for the cache that can be written to: name one by NUMBA_CACHE_DIR")
            compiled += 1
            if streams.is_terminal(streams.errors()):
                line = f"{dtype}: compiling kernel {kernel.number} of {kernel.total}, {kernel.name}"
                print(f"\r{line}{ERASE_TO_END}", end="", file=streams.errors(), flush=True)

        try:
            with backend.on_compilation(show):
                backend.compile_kernels(dtype)
        finally:
            if compiled and streams.is_terminal(streams.errors()):
                print(f"\r{ERASE_TO_END}", end="", file=streams.errors(), flush=True)
        seconds = time.perf_counter() - start
        print(f"{dtype}: compiled {compiled} kernels in {seconds:.1f} s" if compiled else f"{dtype}: already compiled")
    print(f"cache: {folder or 'complete, and read-only'}")
