"""Does a version of fastfnn compute the same bits as another one?

    python tools/digest.py 1a1abb0                    the commit against the working tree
    python tools/digest.py 1a1abb0 --new HEAD --only tanh

Both versions train the networks of digest_worker.py on this machine, each in a process of its own, on one thread and on
two. What they compute (parameters, losses of the steps, gradients, losses and predictions) is hashed and compared.
Every network whose bits differ is named. The exit status is 1 if there is one, 2 if a process ended early,
else 0.

Only results of the same machine can be compared: vectors of another width sum in another order.

A change that moves or renames code changes no bits. One that changes them on purpose says so in its commit.
"""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from builds import HOME, ROOT, Build, BuildError, build
from child import Child, ChildEnded

WORKER = pathlib.Path(__file__).resolve().with_name("digest_worker.py")
THREADS = (1, 2)


def main(arguments: Sequence[str] | None = None, say: Callable[[str], object] = print) -> int:
    """Compare two versions and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", help="a commit, or a folder with fastfnn/ and kernels/ in it")
    parser.add_argument("--new", default=str(ROOT), help="the version to compare with it (default: the working tree)")
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    chosen = parser.parse_args(arguments)
    try:
        return compare(build(chosen.base, HOME), build(chosen.new, HOME), chosen.only, say)
    except (BuildError, ChildEnded) as error:
        print(f"digest: {error}", file=sys.stderr)
        return 2


def compare(base: Build, new: Build, only: str, say: Callable[[str], object]) -> int:
    """Say which networks differ; 1 if there are any, or no networks at all."""
    with contextlib.closing(start(base)) as old_process, contextlib.closing(start(new)) as new_process:
        # Both lists come from the same file, but a version may lack what a network needs.
        listed = [process.ask(do="list")["networks"] for process in (old_process, new_process)]
        names = [name for name in dict.fromkeys(listed[0] + listed[1]) if only in name]
        different = 0
        for name in names:
            old, new_ = (process.ask(do="hash", name=name, threads=THREADS) for process in (old_process, new_process))
            if found := differences(old, new_):
                different += 1
                say(f"{name}: {', '.join(found)}")
    say(f"{len(names)} networks, {len(names) - different} with the same bits, {different} with others")
    return 1 if different or not names else 0


def start(version: Build) -> Child:
    """A process that answers for this version. Close it after use."""
    arguments = [str(WORKER), str(version.site)]
    return Child(f"the process with {version.title}", arguments, version.variables(max(THREADS)), folder=version.site)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between the answers of two versions, or in the new version between numbers of threads."""
    answers = {"the base": old, "the new version": new}
    if failed := [
        f"{which} has no result: {answer['error']}" for which, answer in answers.items() if "error" in answer
    ]:
        return failed
    found = []
    for threads in map(str, THREADS):
        before, after = old[threads], new[threads]
        found += [f"{what} on {threads}" for what in before | after if before.get(what) != after.get(what)]
    first, second = (new[str(threads)] for threads in THREADS)
    found += [f"{what} by threads" for what in first if first[what] != second[what]]
    return found


if __name__ == "__main__":
    sys.exit(main())
