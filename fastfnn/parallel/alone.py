"""`Alone`: what a trainer asks of the ranks that train with it where there are no others."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from fastfnn.parallel.options import DataParallel


class Alone:
    """The only process of a training; see `ranks.Ranks`."""

    rank: int = 0
    size: int = 1
    first: bool = True
    parallel: DataParallel | None = None

    def agreed(self) -> contextlib.AbstractContextManager[None]:
        """See `Ranks`."""
        return contextlib.nullcontext()

    def gathered(self, value: Any) -> list[Any]:
        """See `Ranks`."""
        return [value]

    def check_equal(self, asked: Mapping[str, Any]) -> None:
        """See `Ranks`."""
