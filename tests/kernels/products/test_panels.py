"""The panels and tiles of every instruction set: they fit the registers, and tables give the numbers that exist."""

import importlib
import itertools

import pytest

from fastfnn.kernels import tuning
from fastfnn.kernels.compiler import processor
from fastfnn.kernels.products import panels as here

# What an instruction set has: vector registers, and bits in one.
REGISTERS = {
    "avx512": (32, 512),
    "avx512_256": (32, 512),
    "avx2": (16, 256),
    "neon": (32, 128),
    "sse2": (16, 128),
}
BITS = (32, 64)
every_set = pytest.mark.parametrize("panels", REGISTERS, indirect=True)


@pytest.fixture
def panels(request, monkeypatch):
    """The module as it is on a processor with this instruction set."""
    with monkeypatch.context() as patch:
        patch.setattr(processor, "instruction_set", lambda: request.param)
        spec = importlib.util.find_spec(here.__name__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    module.name = request.param
    monkeypatch.setattr(module, "instruction_set", lambda: request.param)
    return module


def test_every_instruction_set_has_its_panels():
    assert set(tuning.PANELS) == set(tuning.STREAM_PANELS) == set(REGISTERS)
    assert here.instruction_set() in REGISTERS


@every_set
@pytest.mark.parametrize("bits", BITS)
def test_tiles_fit_the_registers(panels, bits):
    registers, width = REGISTERS[panels.name]
    for panel in panels.panels(bits):
        assert panel.lanes * bits <= width
        assert panel.heights[0] * panel.vectors + panel.vectors + 1 <= registers  # sums, a row of b, an element of a


@every_set
def test_heights_become_smaller_down_to_one(panels):
    for panel in panels.PANELS:
        assert all(taller > lower for taller, lower in itertools.pairwise(panel.heights))
        assert panel.heights[-1] == 1


@every_set
@pytest.mark.parametrize("bits", BITS)
def test_panels_become_narrower(panels, bits):
    widths = [panel.width for panel in panels.panels(bits)]
    assert widths == [panel.lanes * panel.vectors for panel in panels.panels(bits)]
    assert all(wider > narrower for wider, narrower in itertools.pairwise(widths))


@every_set
def test_float64_has_half_the_columns_and_the_same_heights(panels):
    single, double = (panels.panels(bits) for bits in BITS)
    assert [(each.width, each.heights) for each in single] == [(2 * each.width, each.heights) for each in double]


@every_set
def test_the_panel_of_a_stream_is_made_of_whole_vectors(panels):
    _, width = REGISTERS[panels.name]
    (lanes, vectors), (double_lanes, double_vectors) = (panels.stream_panel(bits) for bits in BITS)
    assert lanes * 32 == double_lanes * 64 <= width
    assert vectors == double_vectors >= 4  # independent sums hide the latency of the addition
    assert double_lanes * double_vectors >= 16


@every_set
def test_there_are_few_tiles(panels):
    assert len(panels.tiles(32)) <= 23


@every_set
@pytest.mark.parametrize("bits", BITS)
def test_tiles_have_the_same_numbers_in_both_types(panels, bits):
    tiles = panels.tiles(bits)
    assert len(set(tiles)) == len(tiles)
    order = [[panel.width for panel in panels.panels(size)] for size in (32, bits)]
    numbered = [(order[1].index(tile.panel.width), tile.rows, tile.masked) for tile in tiles]
    assert numbered == [(order[0].index(tile.panel.width), tile.rows, tile.masked) for tile in panels.tiles(32)]


@every_set
def test_any_number_of_rows_is_cut_into_tiles_that_exist(panels):
    tiles, last = panels.tiles(32), panels.HEIGHTS.shape[1] - 1
    for number, panel in enumerate(panels.PANELS):
        assert last >= 2 * panel.heights[0] + 1
        for rows in range(1, 5 * panel.heights[0]):
            rest, cut = rows, []
            while rest > 0:
                height = int(panels.HEIGHTS[number, min(rest, last)])
                if number > 0 or panels.IS_WIDEST_MASKED:
                    assert tiles[panels.MASKED[number, min(rest, last)]] == (panel, height, True)
                if number == 0:
                    assert tiles[panels.FILLED[min(rest, last)]] == (panel, height, False)
                cut.append(height)
                rest -= height
            assert rest == 0
            assert tuple(cut) == panels.best_cut(panel, rows)


@every_set
def test_a_cut_takes_the_least_time(panels):
    for panel in panels.PANELS:
        for rows in range(1, 2 * panel.heights[0] + 1):
            fewest = [1 << 30] * (rows + 1)
            fewest[0] = 0
            for reached in range(1, rows + 1):
                fewest[reached] = min(
                    fewest[reached - height] + panels.cost(panel, (height,))
                    for height in panel.heights
                    if height <= reached
                )
            assert panels.cost(panel, panels.best_cut(panel, rows)) == fewest[rows]


def test_how_a_panel_is_cut():
    panel = here.Panel(16, 2, (14, 8, 5, 4, 3, 2, 1))
    cuts = {rows: here.best_cut(panel, rows) for rows in (0, 1, 14, 15, 30, 100)}
    assert cuts == {0: (), 1: (1,), 14: (14,), 15: (8, 4, 3), 30: (14, 8, 8), 100: (14,) * 6 + (8, 8)}


@every_set
def test_the_next_panel_is_filled_or_holds_the_rest(panels):
    widest = panels.PANELS[0].width
    for columns in range(1, len(panels.NEXT_PANEL)):
        panel = panels.PANELS[panels.NEXT_PANEL[columns]]
        holding = [each.width for each in panels.PANELS if each.width >= columns]
        if panels.SPLIT[0] < columns <= panels.SPLIT[1] and columns != widest:
            assert panel is panels.PANELS[1]
        else:
            assert panel.width == (min(holding) if holding else widest)
        if panel is panels.PANELS[0] and columns < widest:
            assert panels.IS_WIDEST_MASKED
    assert panels.NEXT_PANEL[-1] == 0  # for all wider products, too
