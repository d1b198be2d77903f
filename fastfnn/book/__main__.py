"""`python -m fastfnn.book SCRIPT [ARGUMENTS]` runs a program of the book on the kernels."""

import os
import pathlib
import runpy
import sys

import fastfnn.book  # noqa: F401  (puts its modules in the place of the book's)
from fastfnn import streams

USAGE = "usage: python -m fastfnn.book SCRIPT [ARGUMENTS]"


def main(arguments: list[str]) -> int:
    """Run a program as Python itself would from the program's own folder, where the book's expect to be started."""
    if not arguments or arguments[0] in ("-h", "--help"):
        streams.say(f"{USAGE}\n\nruns a program of the book 'Deep Learning from Scratch' from its own folder")
        return 0 if arguments else 2
    script = pathlib.Path(arguments[0])
    if not script.is_file():
        streams.tell(f"{USAGE}\nfastfnn.book: there is no file {script}")
        return 2
    os.chdir(script.parent)
    sys.argv = [script.name, *arguments[1:]]
    sys.path[0] = os.getcwd()
    runpy.run_path(script.name, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
