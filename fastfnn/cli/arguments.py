"""Values of options: each function turns the text of one into a value, or says what was expected."""

import argparse
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastfnn.initialization import INITS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object

INIT_NAMES = f"{', '.join(INITS[:-1])} or {INITS[-1]}"


def names(text: str) -> tuple[str, ...]:
    """Return names separated by commas."""
    return tuple(text.split(",")) if text else ()


def layer_sizes(text: str) -> tuple[int, ...]:
    """Return integers separated by commas; none for an empty text."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected integers separated by commas, got {text!r}") from error


def init(text: str) -> float | str:
    """Return the standard deviation of initial weights, or the name of a rule."""
    try:
        return text if text in INITS else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number, {INIT_NAMES}, got {text!r}") from error


def batch_size(text: str) -> int | None:
    """Return the number of samples of a step, None for all of them."""
    try:
        return None if text == "all" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected an integer or all, got {text!r}") from error


def quantiles(text: str) -> tuple[float, ...]:
    """Return numbers between 0 and 1, in order, that are separated by commas."""
    try:
        levels = tuple(map(float, text.split(",")))
    except ValueError:
        levels = ()
    if not levels or not all(low < high for low, high in itertools.pairwise((0.0, *levels, 1.0))):
        raise argparse.ArgumentTypeError(f"expected numbers between 0 and 1 in ascending order, got {text!r}")
    return levels


def average_every(text: str) -> int | str:
    """Return the number of steps between two averages, or "auto"."""
    try:
        return text if text == "auto" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected an integer or auto, got {text!r}") from error


def add_format(add: Callable[..., Any]) -> None:
    """Add the options that say how a CSV file is written; `add` is a method add_argument."""
    sep_help = "separator of a CSV file (default: a comma, of .tsv a tab)"
    add("--sep", type=_separator, metavar="CHAR", default=argparse.SUPPRESS, help=sep_help)
    encoding_help = "encoding of a CSV file, such as cp932 or latin-1 (default: utf-8)"
    add("--encoding", metavar="NAME", default=argparse.SUPPRESS, help=encoding_help)
    decimal_help = "character before the fraction of numbers (default: a point, or as in training)"
    add("--decimal", metavar="CHAR", default=argparse.SUPPRESS, help=decimal_help)
    thousands_help = "character between groups of three digits (default: a comma, a space or an apostrophe, or as in "
    add("--thousands", metavar="CHAR", default=argparse.SUPPRESS, help=f"{thousands_help}training)")
    na_help = "texts that mark missing values, besides those such as NA and nan (default: none, or as in training)"
    add("--na-values", type=names, metavar="TEXT[,TEXT...]", default=argparse.SUPPRESS, help=na_help)
    keep_help = "read NA, None, null and the like as texts: only what is empty, and --na-values, is missing"
    add("--keep-na", action="store_true", default=argparse.SUPPRESS, help=keep_help)


def _separator(text: str) -> str:
    text = "\t" if text in ("\\t", "tab") else text
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"expected one character, got {text!r}")
    return text
