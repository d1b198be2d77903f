"""The sizes of tiles: they fit the registers, their numbers in compiled code, and the choice between them."""

import itertools

import pytest

from fastfnn.kernels.products import blocks

# What an instruction set has: vector registers, and bits in one.
REGISTERS = {
    "avx512": (32, 512),
    "avx512_256": (32, 512),
    "avx2": (16, 256),
    "neon": (32, 128),
    "sse2": (16, 128),
}
BITS = (32, 64)
every_set = pytest.mark.parametrize("name", REGISTERS)


def panels_of(monkeypatch, name, bits):
    monkeypatch.setattr(blocks, "PANELS", blocks._FLOAT32_PANELS[name])
    return blocks.panels(bits)


def test_every_instruction_set_has_its_panels():
    assert set(blocks._FLOAT32_PANELS) == set(blocks._FLOAT32_STREAM) == set(REGISTERS)
    assert blocks.instruction_set() in REGISTERS


@every_set
@pytest.mark.parametrize("bits", BITS)
def test_tiles_fit_the_registers(name, bits, monkeypatch):
    registers, width = REGISTERS[name]
    for panel in panels_of(monkeypatch, name, bits):
        assert panel.lanes * bits <= width
        assert panel.rows * panel.vectors + panel.vectors + 1 <= registers  # sums, a row of b, an element of a
        assert panel.rows >= 1


@every_set
@pytest.mark.parametrize("bits", BITS)
def test_panels_become_narrower(name, bits, monkeypatch):
    """So that the last one that is wide enough is the narrowest."""
    panels = panels_of(monkeypatch, name, bits)
    widths = [panel.width for panel in panels]
    assert widths == [panel.lanes * panel.vectors for panel in panels]
    assert all(wider > narrower for wider, narrower in itertools.pairwise(widths))


@every_set
def test_float64_has_half_the_columns_and_the_same_rows(name, monkeypatch):
    single, double = (panels_of(monkeypatch, name, bits) for bits in (32, 64))
    assert [(panel.width, panel.rows) for panel in single] == [(2 * panel.width, panel.rows) for panel in double]


@every_set
def test_the_panel_of_a_stream_is_made_of_whole_vectors(name, monkeypatch):
    monkeypatch.setattr(blocks, "instruction_set", lambda: name)
    _, width = REGISTERS[name]
    single, double = (blocks.stream_panel(bits) for bits in BITS)
    assert single.lanes * 32 == double.lanes * 64 <= width
    assert single.vectors == double.vectors >= 4  # sums, so that none waits for itself
    assert double.width >= 16


@every_set
@pytest.mark.parametrize("bits", BITS)
def test_tiles_are_numbered_as_documented(name, bits, monkeypatch):
    """Those of the widest panel without a mask, then those of each panel with one, each by its rows from 1."""
    panels = panels_of(monkeypatch, name, bits)
    variants = blocks.variants.__wrapped__(bits)
    assert len(set(variants)) == len(variants)
    assert variants[: panels[0].rows] == tuple((panels[0], rows, False) for rows in range(1, panels[0].rows + 1))
    masked = [(panel, rows, True) for panel in panels for rows in range(1, panel.rows + 1)]
    assert list(variants[panels[0].rows :]) == masked


@pytest.mark.parametrize("bits", BITS)
def test_the_numbers_that_compiled_code_counts_with(bits):
    """A tile is number FIRST_FULL or FIRST_MASKED[panel] + rows - 1, in both types."""
    variants, panels = blocks.variants(bits), blocks.panels(bits)
    assert blocks.WIDTHS.tolist() == [panel.width * bits // 32 for panel in panels]
    assert blocks.ROWS.tolist() == [panel.rows for panel in panels]
    assert blocks.stream_panel(bits).width * bits // 32 == blocks.STREAM
    for rows in range(1, panels[0].rows + 1):
        assert variants[blocks.FIRST_FULL + rows - 1] == (panels[0], rows, False)
    for panel, first in zip(panels, blocks.FIRST_MASKED, strict=True):
        for rows in range(1, panel.rows + 1):
            assert variants[first + rows - 1] == (panel, rows, True)
