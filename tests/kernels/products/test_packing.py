"""Right factors in panels, packed during a product or beforehand, and the room that this takes."""

import numpy as np
import pytest
from helpers import DTYPES, NOJIT, assert_sums_close, from_python
from product_cases import EDGE_COLUMNS, HEIGHT, PARTS, SHAPES, Problem, narrow_widths

from fastfnn.kernels.products import packing
from fastfnn.kernels.products.narrow import LEAST_DEPTH
from fastfnn.kernels.products.panels import PANELS, next_panel
from fastfnn.kernels.tuning import PACK_LEAST_BYTES, PACK_LEAST_ROWS

panel_for = packing.panel_for if NOJIT else from_python(packing.panel_for)
room_bytes = packing.room_bytes if NOJIT else from_python(packing.room_bytes)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_panel_for_any_number_of_columns(scale):
    for columns in range(1, 5 * PANELS[0].width):
        assert panel_for(columns, scale) == next_panel(columns * scale)


def test_there_is_room_for_the_widest_panel():
    for depth in (0, 1, 784):
        assert room_bytes(depth) == depth * PANELS[0].width * 4


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "strided"])
def test_a_right_factor_in_panels_gives_the_same_bits(layout, dtype):
    columns = [*EDGE_COLUMNS, *narrow_widths(dtype)]
    shapes = [*SHAPES, *((HEIGHT + 3, width, LEAST_DEPTH + number % 3) for number, width in enumerate(columns))]
    for number, shape in enumerate(shapes):
        problem = Problem(np.random.default_rng(number), shape, dtype, layout=layout)
        want = problem.run(1, bias=True)
        for parts in PARTS:
            problem.pack(parts)
            assert problem.run(parts, bias=True).tobytes() == want.tobytes(), (shape, parts)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_panel_packed_during_a_product_gives_the_bits_of_one_that_is_not(layout, dtype):
    # a large right factor is packed for many rows and not for few: each row is a sum of its own
    columns = 600
    depth = PACK_LEAST_BYTES // (columns * dtype.itemsize) + 1
    assert depth * columns * dtype.itemsize >= PACK_LEAST_BYTES
    problem = Problem(np.random.default_rng(0), (PACK_LEAST_ROWS + 9, columns, depth), dtype, layout=layout)
    want = problem.run(1)
    assert_sums_close(want, *problem.sums(), depth)
    assert problem.run(3).tobytes() == want.tobytes()
    problem.a, problem.before, problem.y = problem.a[:5], problem.before[:5], problem.y[:5]
    assert problem.run(1).tobytes() == want[:5].tobytes()
