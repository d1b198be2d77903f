"""The panels and tiles of products on this processor, as tables for the writers of LLVM and for compiled code.

The columns of a product are cut into panels, the rows of a panel into tiles. A panel is a number of vectors wide; its
full tile has as many rows as fill the processor's vector registers: rows x vectors sums, a row of b and one broadcast
element of a. Wider panels load less for each multiply-add; narrower ones waste fewer lanes on the last columns. So a
product is cut into the widest panel, as often as it fits, and the narrowest panel that holds the rest. Vectors are
masked where a panel may be wider than what is left: lanes outside the product are neither read nor written.

Each tile is a function of its own, so only a few heights exist. Where rows are cut does not change results, since each
element is one sum. The sizes are those of kernels/tuning.py.
"""

import functools
from typing import NamedTuple

import numpy as np

from .. import tuning
from ..compiler.processor import instruction_set


class Panel(NamedTuple):
    """A panel of `vectors` vectors of `lanes` elements, and the heights of its tiles, the full one first."""

    lanes: int
    vectors: int
    heights: tuple[int, ...]

    @property
    def width(self) -> int:
        """Columns of the panel."""
        return self.lanes * self.vectors


class Tile(NamedTuple):
    """One shape of tile. Without a mask all columns of the panel exist."""

    panel: Panel
    rows: int
    masked: bool


def panels(bits: int) -> tuple[Panel, ...]:
    """The panels for a float type with this many bits, widest first."""
    return tuple(
        Panel(lanes * 32 // bits, vectors, heights) for lanes, vectors, heights in tuning.PANELS[instruction_set()]
    )


def stream_panel(bits: int) -> tuple[int, int]:
    """Lanes and vectors of the panel of W when it meets one sample, see one_row.py."""
    lanes, vectors = tuning.STREAM_PANELS[instruction_set()]
    return lanes * 32 // bits, vectors


@functools.cache
def tiles(bits: int) -> tuple[Tile, ...]:
    """Every tile; its number is its index: those of the widest panel when it is filled, then masked ones."""
    widest, *others = panels(bits)
    masked = [widest, *others] if IS_WIDEST_MASKED else others
    return (
        *(Tile(widest, rows, False) for rows in widest.heights),
        *(Tile(panel, rows, True) for panel in masked for rows in panel.heights),
    )


def cost(panel: Panel, cut: tuple[int, ...]) -> int:
    """An estimate of the time of tiles of these heights, in multiply-adds: few sums wait for the latency of each."""
    return sum(max(rows * panel.vectors, tuning.LATENCY_SUMS) + 1 for rows in cut)


@functools.cache
def best_cut(panel: Panel, rows: int) -> tuple[int, ...]:
    """The heights of the tiles that a panel of `rows` rows is cut into."""
    if rows > 2 * panel.heights[0]:
        return (panel.heights[0], *best_cut(panel, rows - panel.heights[0]))
    cuts = [(height, *best_cut(panel, rows - height)) for height in panel.heights if height <= rows]
    return min(cuts, key=lambda cut: cost(panel, cut), default=())


def next_panel(columns: int) -> int:
    """The panel where `columns` columns of float32 are left: the widest if it is filled, else one that holds them.

    That is the narrowest, but a width between those of SPLIT begins with a panel of the second kind.
    """
    if SPLIT[0] < columns <= SPLIT[1] and columns != PANELS[0].width:
        return 1
    wide_enough = [number for number, panel in enumerate(PANELS) if panel.width >= columns]
    return wide_enough[-1] if wide_enough else 0


def tile_number(panel: Panel, rows: int, masked: bool) -> int:
    """The number of a tile for float32, or 0 if it does not exist."""
    tile = Tile(panel, rows, masked)
    return tiles(32).index(tile) if tile in tiles(32) else 0


# From here on for compiled code, which is the same for both types: columns are those of float32.

PANELS = panels(32)
SPLIT = tuning.SPLIT_WIDTHS.get(instruction_set(), (0, 0))

# Columns of each panel.
WIDTHS = np.array([panel.width for panel in PANELS])

# The panel for the next columns of a product, by the columns that are left, or by the last index if there are more.
NEXT_PANEL = np.array([next_panel(columns) for columns in range(max(PANELS[0].width, *SPLIT) + 2)])
IS_WIDEST_MASKED = 0 in NEXT_PANEL[1 : PANELS[0].width]

# The height of the next tile by panel and by the rows that are left, or by the last index if there are more; and the
# number of this tile with a mask, and of the widest panel without.
_REST = range(2 * max(panel.heights[0] for panel in PANELS) + 2)
_CUTS = [[best_cut(panel, rest) or (0,) for rest in _REST] for panel in PANELS]
HEIGHTS = np.array([[cut[0] for cut in cuts] for cuts in _CUTS])
MASKED = np.array([[tile_number(PANELS[n], cut[0], True) for cut in cuts] for n, cuts in enumerate(_CUTS)])
FILLED = np.array([tile_number(PANELS[0], cut[0], False) for cut in _CUTS[0]])

# Columns of the narrowest panel. Up to NARROW_MOST columns more than a multiple of it are computed by narrow.py: in a
# tile they would take the time of a whole panel.
NARROWEST = PANELS[-1].width
NARROW_MOST = NARROWEST // 4
