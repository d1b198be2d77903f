"""threadpoolctl, if it is installed, shows and limits the threads of the kernels like those of BLAS."""

import importlib.util
from typing import Any

from fastfnn.backend import max_threads, process_threads, set_num_threads

# The workers are not in a shared library of their own; Numba's is always loaded with them.
LIBRARY = "libllvmlite"


def register() -> None:
    """Make the kernels known to threadpoolctl; without it, do nothing."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return
    import threadpoolctl  # type: ignore[import-untyped]

    class Kernels(threadpoolctl.LibController):  # type: ignore[misc] # it has no types
        """What threadpoolctl asks about the kernels, and tells them."""

        user_api = "fastfnn"
        internal_api = "fastfnn"
        filename_prefixes = (LIBRARY, "llvmlite")

        def get_num_threads(self) -> int:
            return process_threads()  # which it restores for the process

        def set_num_threads(self, num_threads: int) -> None:
            set_num_threads(min(max(int(num_threads), 1), max_threads()))

        def get_version(self) -> Any:
            import fastfnn

            return fastfnn.__version__

    threadpoolctl.register(Kernels)
