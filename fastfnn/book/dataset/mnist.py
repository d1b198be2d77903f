"""The digits of this package under the name of the book's module, for programs that are run without its folder."""

import functools
from typing import Any

from fastfnn import datasets, streams

__all__ = ["load_mnist"]

OTHER_DIGITS = (
    "fastfnn.book: the book's dataset/mnist.py is not found: load_mnist gives the 10,000 digits of fastfnn, 8,000 for "
    "training and 2,000 for test; for MNIST's 60,000 and 10,000 put the folder dataset of "
    "github.com/oreilly-japan/deep-learning-from-scratch beside those of the chapters, or name a folder with its four "
    "files, load_mnist(folder=...)"
)


@functools.wraps(datasets.load_mnist)
def load_mnist(*arguments: Any, **named: Any) -> tuple[datasets.Arrays, datasets.Arrays]:
    if named.get("folder") is None:
        _say_which()
    return datasets.load_mnist(*arguments, **named)


@functools.cache
def _say_which() -> None:
    """Say once that these are not the digits of the book."""
    streams.tell(OTHER_DIGITS)
