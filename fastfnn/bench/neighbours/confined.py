"""Runs a worker under a limit that holds before anything is imported: python -P confined.py LIBRARY [OPTION VALUE] ...

    cpu    number of the only CPU that the process may use
    group  folder of the control group that it joins

Imports nothing but Python's standard library at first: libraries count the CPUs when they are imported.
"""

import os
import pathlib
import runpy
import sys


def confine(options: dict[str, str]) -> None:
    """Put this process under the limits."""
    if "group" in options:
        pathlib.Path(options["group"], "cgroup.procs").write_text(str(os.getpid()))
    if "cpu" in options:
        os.sched_setaffinity(0, {int(options["cpu"])})


if __name__ == "__main__":
    confine(dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True)))
    del sys.argv[2:]
    runpy.run_module("fastfnn.bench.neighbours.worker", run_name="__main__")
