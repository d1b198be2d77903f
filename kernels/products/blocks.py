"""The sizes of tiles and blocks, and how they follow from the processor.

A product's columns are cut into panels, a panel's rows into tiles. A panel is so many vectors wide; its tile has as
many rows as leave the processor's vector registers just full: rows x vectors sums, a row of b, and one broadcast
element of a. Wider panels load less for each multiply-add; narrower ones waste fewer lanes on the last columns of a
product. So a product of any width is cut into as many of the widest panel as fit, and one panel, the narrowest that
will do, for the rest. Its vectors are masked: lanes outside the product are neither read nor written.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..compiler.processor import instruction_set


class Panel(NamedTuple):
    """A panel of `vectors` vectors with `lanes` elements each, whose tile has up to `rows` rows."""

    lanes: int
    vectors: int
    rows: int

    @property
    def width(self) -> int:
        """Columns of the panel."""
        return self.lanes * self.vectors


# Panels for float32, widest first, by instruction set; for float64 the lanes are half as many.
#
#              registers     panels: lanes, vectors, rows     why
# avx512       32 of 16      16 x 3 x 9:  27 sums + 3 + 1     2.25 multiply-adds a load, no spill
#                            16 x 2 x 14: 28 sums + 2 + 1     1.75
#                            16 x 1 x 14                      14 independent sums hide a latency of 4 at 2 a cycle
# avx512_256   32 of 16      16 x 2 x 14                      processors that execute 512 bits as two halves: a
#                             8 x 3 x 9:  27 sums + 3 + 1     vector of 8 costs half of one of 16, so that the last
#                             8 x 2 x 14: 28 sums + 2 + 1     columns are cut finer. Three of 8, not two of 16, for 17
#                             8 x 1 x 14                      to 24 columns
# avx2         16 of 8        8 x 2 x 6:  12 sums + 2 + 1     the classic 6 x 16
#                             8 x 1 x 12: 12 sums + 1 + 1
# neon         32 of 4        4 x 4 x 6:  24 sums + 4 + 1
#                             4 x 2 x 12: 24 sums + 2 + 1
#                             4 x 1 x 14
# sse2         16 of 4        4 x 2 x 6:  12 sums + 2 + 1     no fused multiply-add and no masked loads: right, not fast
#                             4 x 1 x 12
_FLOAT32_PANELS: dict[str, tuple[Panel, ...]] = {
    "avx512": (Panel(16, 3, 9), Panel(16, 2, 14), Panel(16, 1, 14)),
    "avx512_256": (Panel(16, 2, 14), Panel(8, 3, 9), Panel(8, 2, 14), Panel(8, 1, 14)),
    "avx2": (Panel(8, 2, 6), Panel(8, 1, 12)),
    "neon": (Panel(4, 4, 6), Panel(4, 2, 12), Panel(4, 1, 14)),
    "sse2": (Panel(4, 2, 6), Panel(4, 1, 12)),
}  # fmt: skip

# The panel of a matrix that moves past one sample, see matvec.py. The sums of its columns and the change of its rows
# stay in registers: 4 sums at least, so that none waits for itself. The 256-bit vectors of processors with half-wide
# units cross fewer cache lines than those of 512 bits: 50 columns take 2.55 us instead of 2.8.
_FLOAT32_STREAM = {
    "avx512": Panel(16, 4, 1),
    "avx512_256": Panel(8, 8, 1),
    "avx2": Panel(8, 4, 1),
    "neon": Panel(4, 8, 1),
    "sse2": Panel(4, 8, 1),  # too many for its registers, but panels have at least 16 columns, in float64 too
}

PANELS = _FLOAT32_PANELS[instruction_set()]


def stream_panel(bits: int) -> Panel:
    """The panel of a matrix-vector product for a float type of so many bits."""
    panel = _FLOAT32_STREAM[instruction_set()]
    return panel._replace(lanes=panel.lanes * 32 // bits)


def panels(bits: int) -> tuple[Panel, ...]:
    """The panels for a float type of so many bits, widest first."""
    return tuple(panel._replace(lanes=panel.lanes * 32 // bits) for panel in PANELS)


@functools.cache
def variants(bits: int) -> tuple[tuple[Panel, int, bool], ...]:
    """Every tile (panel, rows, masked): its number is its place here. The widest panel also exists without a mask."""
    widest = panels(bits)[0]
    full = [(widest, rows, False) for rows in range(1, widest.rows + 1)]
    return (*full, *((panel, rows, True) for panel in panels(bits) for rows in range(1, panel.rows + 1)))


# The same as arrays, for compiled code: columns and rows of each panel for float32, and the numbers of its first tiles.
WIDTHS = np.array([panel.width for panel in PANELS])
ROWS = np.array([panel.rows for panel in PANELS])
FIRST_FULL = 0
FIRST_MASKED = np.array([variants(32).index((panel, 1, True)) for panel in PANELS])

# Up to so many columns, where they are more than the widest panel's, are two panels of the second kind, which a vector
# that is left alone would slow down.
SPLIT = 64 if instruction_set() == "avx512" else 0

# For float32: so few columns over a multiple of the narrowest panel are computed across, see tail.py. By a tile they
# would take the time of that panel.
NARROW = PANELS[-1].width
TAIL = NARROW // 4

# Columns of the panel of a matrix-vector product for float32.
STREAM = stream_panel(32).width
