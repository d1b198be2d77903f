"""Models of tables with an estimator: the frames that it is given, and descriptions that pretend to be one."""

import numpy as np
import pandas as pd
import pytest
from small_tables import flats

from fastfnn.tables import columns, stored
from fastfnn.tables.tabular import TabularModel
from fastfnn.tables.target import Target
from fastfnn.tabular import TabularRegressor

TABLE = flats()
NUMBERS, CATEGORIES = ["area", "rooms", "garden"], ["city"]


def model(numbers=NUMBERS, categories=CATEGORIES, dates=()):
    return TabularModel(TabularRegressor(), Target("price", None), numbers, categories, dates)


def test_the_estimator_gets_numbers_and_texts_and_nothing_in_place_of_missing_ones():
    frame = TABLE.astype({"garden": object})
    frame.loc[2, ["area", "city", "garden"]] = None
    prepared = model(categories=["city", "kind"]).prepared(frame, np.array([5, 2]))
    assert list(prepared.columns) == [*NUMBERS, "city", "kind"]
    assert prepared.iloc[0].tolist() == frame.loc[5, [*NUMBERS, "city", "kind"]].tolist()
    assert prepared[NUMBERS].isna().to_numpy().tolist() == [[False] * 3, [True, False, True]]
    assert prepared["city"].isna().tolist() == [False, True]
    assert [prepared[name].dtype for name in NUMBERS] == [np.float64] * 3


def test_a_part_of_a_table_is_prepared_like_the_whole(monkeypatch):
    want = model().prepared(TABLE)
    monkeypatch.setattr(columns, "ROWS_AT_ONCE", 7)
    pd.testing.assert_frame_equal(model().prepared(TABLE), want)
    part = model().prepared(TABLE.iloc[10:20])
    pd.testing.assert_frame_equal(part, want.iloc[10:20].reset_index(drop=True))


def test_numbers_of_float32_are_not_widened():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32), columns=NUMBERS)
    assert set(model(categories=[]).prepared(frame).dtypes) == {np.dtype(np.float32)}
    assert set(model(categories=[]).prepared(frame.astype({"area": "float64"})).dtypes) == {np.dtype(np.float64)}


def test_categories_that_are_numbers_become_texts():
    prepared = model(["area"], ["rooms"]).prepared(TABLE)
    assert prepared["rooms"].tolist() == [str(value) for value in TABLE["rooms"]]
    prepared = model([], ["rooms"]).prepared(TABLE)
    assert prepared.shape == (60, 1)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TABLE.drop(columns="city"), "the table must have the column 'city'"),
        (TABLE.assign(area=np.inf), "column 'area', row 1, must be finite, got inf"),
        (TABLE.assign(area="wide"), "column 'area', row 1, must be a number, got 'wide'"),
        (pd.concat([TABLE, TABLE[["area"]]], axis=1), "the table must have the column 'area' once"),
    ],
)
def test_a_table_that_the_estimator_cannot_use_is_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        model().prepared(frame)


def test_the_estimator_gets_dates_of_texts():
    frame = TABLE.assign(built="2020-01-31", sold="2020-01-31T09:00+09:00").mask(TABLE["id"] == 2)
    prepared = model(dates=["built", "sold"]).prepared(frame, np.array([5, 2]))
    assert list(prepared.columns) == [*NUMBERS, *CATEGORIES, "built", "sold"]
    for name, date in (("built", "2020-01-31"), ("sold", "2020-01-31T09:00+09:00")):
        assert prepared[name].tolist()[0] == date
        assert prepared[name].isna().tolist() == [False, True]


GOOD = model(dates=["built"]).described()
COLUMNS = [*NUMBERS, *CATEGORIES, "built"]


def test_what_is_written_is_read():
    want = ("price", NUMBERS, CATEGORIES, ["built"], GOOD["origin"], stored.Written())
    assert stored.checked_columns(GOOD, COLUMNS) == want


@pytest.mark.parametrize("entry", GOOD)
@pytest.mark.parametrize(
    "value", [..., None, 3, [], {}, True, -1, [None], ["area", "area"], "\ud800", [["a"]]], ids=str
)
def test_a_hostile_description_is_an_error(entry, value):
    told = {name: item for name, item in GOOD.items() if name != entry} | ({} if value is ... else {entry: value})
    with pytest.raises((TypeError, ValueError)):
        stored.checked_columns(told, COLUMNS)


@pytest.mark.parametrize(
    "changed",
    [
        {"flavour": "vanilla"},
        {"target": "area"},
        {"numbers": CATEGORIES, "categories": NUMBERS},
        {"categories": ["kind"]},
        {"dates": []},
        {"numbers": [*NUMBERS, "built"], "dates": []},
    ],
    ids=str,
)
def test_a_description_of_other_columns_is_an_error(changed):
    with pytest.raises(ValueError, match="must be"):
        stored.checked_columns(GOOD | changed, COLUMNS)
