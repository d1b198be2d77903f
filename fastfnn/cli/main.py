"""The parser of all commands, and what a command's end means: exit status and message."""

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from fastfnn import __version__, interruption, streams
from fastfnn.cli import bench, compile, evaluate, export, info, launcher, paths, predict, ranks, train

EXIT_DIVERGED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # of a program that Ctrl-C has ended, 128 + SIGINT
EXIT_BROKEN_PIPE = 141  # of a program whose output nobody reads any more, 128 + SIGPIPE
EXIT_TERMINATED = 143  # 128 + SIGTERM

EPILOG = """\
a model from a table, and its predictions:
  fastfnn train flats.csv --target price --out flats.safetensors
  fastfnn info flats.safetensors
  fastfnn predict flats.safetensors new.csv > predictions.csv
  fastfnn evaluate flats.safetensors test.csv --plot residuals.png

exit status: 0; 1 if a training diverged or a benchmark failed; 2 for bad input or a file that cannot be read or
written; 130 after Ctrl-C, 143 after SIGTERM, 141 if the reader of the output has gone"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `fastfnn`.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the name of the program; by default that of the process.

    Returns
    -------
    int
        Exit status: 0; after a message, 1 if the training diverged, 2 for bad input or a file that cannot be read or
        written, 130 after Ctrl-C, 143 after SIGTERM; 1 if `bench --neighbours` finds a call that takes more than is
        promised. Without a message 141 if the reader of the output has gone, as `head` does.
    """
    with streams.complete():
        return _run(sys.argv[1:] if arguments is None else list(arguments))


def _run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    launch = launcher.found() if arguments[:1] == ["train"] and "--alone" not in arguments else None
    rank = None if launch is None else launch.rank
    options = _parser(silent=bool(rank)).parse_args(arguments, argparse.Namespace(launch=launch))
    try:
        with interruption.heeded(rank), _warnings_in_a_line(options.command, silent=bool(rank)):
            if launch is None:  # else the ranks do it together
                paths.check(options)
            status: int = options.run(options) or 0
            streams.output().flush()
            return status
    except interruption.Terminated as stop:
        status, message = EXIT_TERMINATED, f"terminated{stop}"
    except KeyboardInterrupt as stop:
        status, message = EXIT_INTERRUPTED, f"interrupted{stop}"
    except FloatingPointError as error:
        status, message = EXIT_DIVERGED, str(error)
    except BrokenPipeError as error:
        _forget_output()
        rescued = str(error) if error.errno is None else ""
        status, message = EXIT_BROKEN_PIPE, f"nobody reads the output{rescued}" if rescued else ""
    except (ValueError, TypeError, OSError, ImportError, OverflowError, MemoryError) as error:
        status, message = EXIT_BAD_INPUT, str(error) or "out of memory"
    if message and not rank:
        streams.tell(f"fastfnn {options.command}: {' '.join(message.splitlines())}")
    if launch is not None and status in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        ranks.end_all(status)
    return status


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line, without all of its options."""

    silent = False  # whether another process says it

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message}; {self.prog} --help explains\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        if not self.silent:
            super()._print_message(message, file)


def _parser(silent: bool = False) -> argparse.ArgumentParser:
    parser = Parser(
        prog="fastfnn",
        description="Feed-forward neural networks, trained fast on a CPU.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastfnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (train, predict, evaluate, info, export, bench, compile):
        command.add_to(commands)
    for each in (parser, *commands.choices.values()):
        each.silent = silent
    return parser


@contextlib.contextmanager
def _warnings_in_a_line(command: str, silent: bool) -> Iterator[None]:
    """Show warnings as messages of the command, without the place in the code that they come from.

    They are not shown, nor is what fastfnn logs, if another process does so.
    """

    def show(message: Any, *place: Any, **more: Any) -> None:
        if not silent:
            streams.tell(f"fastfnn {command}: warning: {' '.join(str(message).splitlines())}")

    logger = logging.getLogger("fastfnn")
    before, warnings.showwarning = (warnings.showwarning, logger.disabled), show
    logger.disabled = silent
    try:
        yield
    finally:
        warnings.showwarning, logger.disabled = before


def _forget_output() -> None:
    """Let the interpreter flush standard output at its end without another error."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, streams.output().fileno())
        os.close(nowhere)
