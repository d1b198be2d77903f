"""How threads divide a layer: where each way begins and ends."""

import pytest
from divisions import divisions_of
from helpers import DTYPES

from fastfnn.kernels.tuning import (
    BY_COLUMNS_BYTES_PER_SAMPLE,
    BY_COLUMNS_LEAST_BYTES,
    DEEP_BATCH,
    HALVES_LEAST_BYTES,
    HALVES_MOST_BYTES,
    WIDENING_FACTOR,
)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
def test_a_first_layer_of_moderate_size_is_made_of_halves(dtype):
    least, most = (size // dtype.itemsize // 512 for size in (HALVES_LEAST_BYTES, HALVES_MOST_BYTES))
    ways = [divisions_of((512, outputs), 100, dtype)[0] for outputs in (least - 1, least, most - 1, most)]
    assert ways == ["samples", "halves", "halves", "columns"]


@every_dtype
@pytest.mark.parametrize("inputs", [784, 2 * DEEP_BATCH])
def test_halves_need_more_inputs_than_samples_and_no_deep_batch(inputs, dtype):
    most = min(inputs, DEEP_BATCH)
    assert [divisions_of((inputs, 50), batch, dtype)[0] for batch in (most, most + 1)] == ["halves", "samples"]


@every_dtype
def test_a_later_layer_that_is_large_is_divided_by_columns(dtype):
    least = BY_COLUMNS_LEAST_BYTES // dtype.itemsize // 512
    ways = [divisions_of((9, 512, outputs), 10, dtype)[1] for outputs in (least - 1, least)]
    assert ways == ["samples", "columns"]


@every_dtype
def test_a_batch_of_many_samples_is_not_divided_by_columns(dtype):
    most = 512 * 512 * dtype.itemsize // BY_COLUMNS_BYTES_PER_SAMPLE
    assert [divisions_of((9, 512, 512), batch, dtype)[1] for batch in (most, most + 1)] == ["columns", "samples"]


@every_dtype
def test_a_layer_of_many_outputs_for_each_input_widens_if_the_batch_is_larger_than_its_inputs(dtype):
    inputs = 50
    outputs = WIDENING_FACTOR * inputs
    assert HALVES_LEAST_BYTES <= inputs * (outputs - 1) * dtype.itemsize < BY_COLUMNS_LEAST_BYTES
    for shape in ((inputs, outputs), (9, inputs, outputs)):
        assert divisions_of(shape, inputs + 1, dtype)[-1] == "widening"
        assert divisions_of((*shape[:-1], outputs - 1), inputs + 1, dtype)[-1] == "samples"
        assert divisions_of(shape, inputs, dtype)[-1] == ("halves" if len(shape) == 2 else "samples")


@every_dtype
def test_a_small_layer_does_not_widen(dtype):
    least = HALVES_LEAST_BYTES // dtype.itemsize // 8
    ways = [divisions_of((8, outputs), 9, dtype)[0] for outputs in (least - 1, least)]
    assert ways == ["samples", "widening"]
