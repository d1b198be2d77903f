"""The process that runs the cases of fuzz.py, so that one of them may crash or hang:

    python tools/fuzz_worker.py

Requests and answers are lines of JSON, see fastfnn/bench/child.py:

    {"case": {...}}     {"wrong": ["predict at [0, 3] is ..."], "compared": 12, "loose": 0}
"""

import traceback
import warnings
from collections.abc import Callable
from typing import Any

from child import serve

MOST_LINES = 3


class Worker:
    """Runs cases on up to `threads` threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What is wrong in a case; an exception is wrong too."""
        from fuzz_rounding import Comparison

        comparison = Comparison()
        try:
            wrong = runner(request["case"]["kind"])(request["case"], self.threads, comparison)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            wrong = [f"{type(error).__name__}: {error} (in {where.name}, {where.filename}:{where.lineno})"]
        return {"wrong": wrong[:MOST_LINES], "compared": comparison.compared, "loose": comparison.loose}


def runner(kind: str) -> Callable[..., list[str]]:
    """The function that runs cases of a kind."""
    import fuzz_files
    import fuzz_kernels
    import fuzz_layers
    import fuzz_network
    import fuzz_table
    import fuzz_tabular
    import fuzz_wrong

    modules = {"network": fuzz_network, "kernel": fuzz_kernels, "layers": fuzz_layers, "file": fuzz_files}
    return (modules | {"wrong": fuzz_wrong, "tabular": fuzz_tabular, "table": fuzz_table})[kind].run


def main() -> None:
    """Answer requests until standard input ends."""

    def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
        import fastfnn as fnn

        warnings.simplefilter("ignore", RuntimeWarning)  # some of the networks diverge
        runner("network")
        return Worker(fnn.get_num_threads()).answer

    serve(prepare)


if __name__ == "__main__":
    main()
