"""The columns of a table: what `fastfnn.tables` learns about them, and `onnx.table_model` makes inputs of."""

from typing import NamedTuple


class NumberColumn(NamedTuple):
    """A column of numbers, which the network gets as ``(x - mean) / scale``.

    name   of the input
    fill   what a missing number, NaN, is replaced by; None leaves NaN, and `fastfnn.tables` refuses it
    mean, scale
    """

    name: str
    fill: float | None
    mean: float
    scale: float


class CategoryColumn(NamedTuple):
    """A column of categories as text, of which the network gets one input for each value: 1 for the value, else 0.

    name    of the input
    values  the categories; for any other text all inputs are 0
    fill    what missing text, the empty string, is replaced by; None treats it like any other text, and
            `fastfnn.tables` refuses it
    """

    name: str
    values: tuple[str, ...]
    fill: str | None
