"""What columns of frames and arrays become, and which values they take afterwards."""

import datetime
import decimal
import pickle
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfnn as fnn
from fastfnn.tabular import TabularClassifier, TabularRegressor
from fastfnn.tabular.columns import PARTS, learn
from fastfnn.tabular.encoding import Encoding
from fastfnn.tabular.importance import measured
from fastfnn.tabular.kinds import decide
from fastfnn.tabular.network import TabularNetwork
from fastfnn.tabular.reading import Raw, read
from fastfnn.tabular.recipe import Recipe

pytestmark = pytest.mark.jit


def learnt(values, target=None, weights=None, **recipe):
    """What is learnt about a column of these values."""
    array = np.array(values) if isinstance(values, np.ndarray) else np.array(values, object)
    return learnt_of(Raw("c", array), target, weights, **recipe)


def learnt_of(raw, target=None, weights=None, **recipe):
    """What is learnt about a column."""
    rows = len(raw.values)
    weights = np.ones(rows) if weights is None else np.array(weights, float)
    return learn(raw, decide(raw), weights, np.zeros(rows) if target is None else target, Recipe(**recipe))


def raw_of(X):
    """The only column of a frame or an array."""
    (raw,) = read(TabularRegressor(), X, reset=True)
    return raw


def inputs(column, values):
    """The inputs of the network for values of a column, a row each."""
    array = np.array(values) if isinstance(values, np.ndarray) else np.array(values, object)
    return np.stack(column.encode(Raw(column.name, array)), axis=1).tolist()


def test_the_kinds_of_columns_are_found_in_a_frame(table, quick):
    frame, rent = table
    model = TabularRegressor(**quick | {"max_epochs": 1}).fit(frame, rent)
    assert {column.name: column.kind for column in model.columns_} == {
        "area": "number", "rooms": "number", "city": "category", "station": "category", "garden": "number",
        "built": "date", "country": "left out", "empty": "left out", "tenant": "left out",
    }  # fmt: skip
    area, rooms, city, station, garden, built = model.columns_[:6]
    assert (area.missing, area.bins, rooms.bins) == (True, 8, 4)
    assert [(part.name, part.bins) for part in built.parts] == [("time", 8), ("day of week", 6), ("day of year", 8)]
    assert (city.values, city.missing, city.width) == (("Kyoto", "Osaka", "Tokyo"), True, 0)
    assert (len(station.values), station.missing, station.width) == (12, False, 8)
    assert (garden.edges.tolist(), garden.missing) == ([0, 1], False)
    kinds = ["bins", "plain", "bins", "plain", "plain", "plain", "plain", "categories", "plain", *["bins"] * 3]
    assert [feature.kind for feature in model.network_.features] == kinds
    assert [column.reason for column in model.columns_[6:]] == [
        "a single value", "no values", "text, 300 different ones in 300 rows"
    ]  # fmt: skip


def test_frames_of_pandas_and_polars_and_pyarrow_give_the_same_samples(table, quick):
    frame, rent = table
    model = TabularRegressor(**quick | {"max_epochs": 1}).fit(frame, rent)
    want = model._prepared(frame)
    polars = pl.from_pandas(frame)
    assert np.array_equal(model._prepared(polars), want)
    assert np.array_equal(model._prepared(polars.to_arrow()), want)
    assert np.array_equal(model._prepared(frame.convert_dtypes()), want)
    assert np.array_equal(model._prepared(frame.astype({"city": "category", "garden": object})), want)
    assert np.array_equal(TabularRegressor(**quick | {"max_epochs": 1}).fit(polars, rent)._prepared(frame), want)


def test_arrays_of_objects_and_rows_of_lists_are_read_like_frames(quick):
    rows = [[1.5, "a", True], [2.5, "b", False], [None, "a", True], [3.5, None, None]] * 10
    frame = pd.DataFrame(rows, columns=["x0", "x1", "x2"])
    want = TabularRegressor(**quick | {"max_epochs": 1}).fit(frame, np.arange(40.0))._prepared(frame)
    for X in (rows, np.array(rows, object)):
        model = TabularRegressor(**quick | {"max_epochs": 1}).fit(X, np.arange(40.0))
        assert np.array_equal(model._prepared(X), want)
        assert [column.kind for column in model.columns_] == ["number", "category", "number"]


def test_values_of_rows_of_lists_keep_their_types():
    rows = [["01", 1, np.nan, "x"], ["02", 2.5, "b", 1.0]]
    columns = read(TabularRegressor(), rows, reset=True)
    assert [decide(column).kind for column in columns] == ["category", "number", "category", "category"]
    assert [column.as_texts() for column in columns] == [["01", "02"], ["1", "2.5"], [None, "b"], ["x", "1"]]


def test_texts_of_an_array_that_are_all_numbers_are_numbers():
    texts = np.array([["1", "a"], ["2", "b"], ["10", "a"]])
    numbers, categories = read(TabularRegressor(), texts, reset=True)
    assert (decide(numbers).kind, numbers.as_numbers().tolist()) == ("number", [1, 2, 10])
    assert (decide(categories).kind, categories.as_texts()) == ("category", ["a", "b", "a"])
    assert decide(raw_of(texts[:, :1].astype("S"))).kind == "number"
    assert decide(raw_of(texts[:, :1].astype(object))).kind == "number"


@pytest.mark.parametrize("days", [1, 25])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_is_the_same_number_in_each_unit(unit, days):
    seconds = days * 86_400 * 700 + (0 if unit == "s" else 0.123)
    ticks = np.array([[round(seconds * 1000)]], "datetime64[ms]").astype(f"datetime64[{unit}]")
    for X in (ticks, ticks - np.datetime64(0, "s"), pd.DataFrame(ticks)):
        assert raw_of(X).values[0] == seconds


def test_nanoseconds_are_kept():
    length = np.array([100, 900], "timedelta64[ns]")
    for X in (length[:, np.newaxis], pd.DataFrame({"c": length}), pd.DataFrame({"c": list(length)}, dtype=object)):
        assert raw_of(X).as_numbers().tolist() == [1e-7, 9e-7]


@pytest.mark.parametrize("days", [np.array(["2020-01-02", "NaT", "1970-01-01"], "datetime64[D]")])
def test_dates_are_seconds_in_frames_and_arrays(days):
    want = [86_400.0 * 18_263, np.nan, 0.0]
    for X in (days[:, np.newaxis], pd.DataFrame({"x0": days.astype("datetime64[s]")}), pl.DataFrame({"x0": days})):
        (raw,) = read(TabularRegressor(), X, reset=True)
        np.testing.assert_array_equal(raw.values, want)


def read_dates(values):
    return raw_of(pd.DataFrame({"c": values}))


def test_dates_of_every_library_and_kind_are_the_same():
    days = [datetime.date(2020, 1, 31), None, datetime.date(2021, 2, 28)]
    series = pd.to_datetime(pd.Series(days))
    want = [86_400.0 * 18_292, np.nan, 86_400.0 * 18_686]
    arrays = [np.array([list(values)], object).T for values in (days, series, series.to_numpy("datetime64[ns]"))]
    arrays[2][:, 0] = [np.datetime64("2020-01-31"), np.datetime64("NaT"), np.datetime64("2021-02-28")]
    frames = [pd.DataFrame({"c": days}), pl.DataFrame({"c": days}), pa.table({"c": days}), series.to_frame()]
    for X in (*arrays, *frames, [[day] for day in days], series.dt.to_period("D").to_frame()):
        raw = raw_of(X)
        assert decide(raw).kind == "naive"
        np.testing.assert_array_equal(raw.as_dates("naive"), want)
    frame = series.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").to_frame("c")
    for X in (frame, pl.from_pandas(frame), frame.to_numpy(object)):
        raw = raw_of(X)
        assert decide(raw).kind == "aware"
        np.testing.assert_array_equal(raw.as_dates("aware"), want)


@pytest.mark.parametrize(
    ("start", "step", "count", "parts"),
    [
        ("2020-01-01", "D", 5, ["time"]),
        ("2020-01-01", "D", 9, ["time", "day of week"]),
        ("2020-01-06 09:00", "7D", 60, ["time", "day of year"]),  # always Monday, at 9
        ("2020-01-01", "h", 48, ["time", "time of day"]),
        ("1950-01-01", "37h", 999, ["time", "time of day", "day of week", "day of year"]),
    ],
)
def test_a_date_has_inputs_for_the_cycles_that_the_rows_cover(start, step, count, parts):
    column = learnt_of(read_dates(pd.date_range(start, periods=count, freq=step)))
    assert [part.name for part in column.parts] == parts
    assert len(column.features()) == len(parts)


def test_the_places_of_a_date_in_its_cycles():
    dates = pd.Series(pd.to_datetime(["1969-12-31 23:00", "2020-02-29 12:30", "2023-01-01 00:00", None]))
    seconds = read_dates(dates).values
    got = {name: part(seconds).tolist() for name, (_, part) in PARTS.items()}
    for name, want in (
        ("time of day", dates.dt.hour * 3600 + dates.dt.minute * 60),
        ("day of week", dates.dt.day_of_week),
        ("day of year", dates.dt.day_of_year - 1),
    ):
        np.testing.assert_array_equal(got[name], want)


def test_missing_dates_have_one_input_and_a_single_date_none():
    dates = pd.Series(pd.date_range("2020-01-01", periods=30)).mask(np.arange(30) == 3)
    column = learnt_of(read_dates(dates))
    assert [feature.kind for feature in column.features()] == ["bins", "plain", "bins"]
    assert np.stack(column.encode(read_dates(dates)))[1].tolist() == [float(row == 3) for row in range(30)]
    assert np.isfinite(np.stack(column.encode(read_dates(pd.Series([None, None]))))).all()
    assert learnt_of(read_dates(pd.Series([dates[0]] * 3))).reason == "a single value"
    assert [part.name for part in learnt_of(read_dates(pd.Series([dates[0], None]))).parts] == ["time"]
    assert learnt_of(read_dates(pd.Series([pd.NaT, pd.NaT]))).reason == "no values"


def test_what_is_no_date_as_in_fit_is_an_error_that_names_the_column(quick):
    dates = pd.date_range("2020-01-01", periods=40)
    frame = pd.DataFrame({"a": dates, "b": [7, *range(39)]})
    model = TabularRegressor(**quick | {"max_epochs": 1}).fit(frame, range(40))
    for values, message in (
        ({"a": [7.5]}, r"column 'a' must hold dates, as in fit; got 7\.5"),
        ({"a": ["soon"]}, "column 'a' must hold dates, as in fit; got 'soon'"),
        ({"a": dates[:1].tz_localize("UTC")}, "'a' must hold dates without time zones, as in fit; got dates with time"),
        ({"a": [dates[:1].tz_localize("UTC")[0]]}, "'a' must hold dates without time zones, as in fit; got dates with"),
        ({"b": dates[:1]}, "column 'b' must hold numbers, as in fit; got dates"),
        ({"b": pd.Series(dates[:1], dtype=object)}, "column 'b' must hold numbers, as in fit; got Timestamp"),
        (
            {"b": pd.Series([np.datetime64(5, "ns")], dtype=object)},
            "column 'b' must hold numbers, as in fit; got np.dat",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(pd.DataFrame({"a": dates[:1], "b": [1.0]} | values))


def test_a_weekly_cycle_is_learnt(quick):
    dates = pd.Series(pd.date_range("2020-01-01", periods=400))
    frame, is_weekend = dates.to_frame("day"), dates.dt.day_of_week >= 5
    assert TabularRegressor(**quick).fit(frame[:300], is_weekend[:300]).score(frame[300:], is_weekend[300:]) > 0.9


def test_times_of_day_and_durations_are_seconds():
    frame = pl.DataFrame(
        {"time": [datetime.time(1, 0, 30), None], "length": [datetime.timedelta(days=1), None]}
    )  # fmt: skip
    time, length = read(TabularRegressor(), frame, reset=True)
    np.testing.assert_array_equal(time.as_numbers(), [3630, np.nan])
    np.testing.assert_array_equal(length.as_numbers(), [86_400, np.nan])
    time, length = read(TabularRegressor(), np.array(frame.rows(), object), reset=True)
    np.testing.assert_array_equal(time.as_numbers(), [3630, np.nan])
    np.testing.assert_array_equal(length.as_numbers(), [86_400, np.nan])
    assert (decide(time).kind, decide(length).kind) == ("number", "number")


def test_a_number_becomes_its_position_in_bins_of_equal_share():
    column = learnt(np.arange(100.0), bins=4)
    assert (column.edges.tolist(), column.bins) == ([0, 24, 49, 74, 99], 4)
    assert inputs(column, np.array([-5, 0, 12, 24, 61.5, 99, 1e300])) == [[0], [0], [0.5], [1], [2.5], [4], [4]]
    assert np.all(np.diff(column.knots) > 0)
    assert np.abs(column.knots).max() < 3
    assert learnt(np.arange(100.0), bins=10).edges.tolist() == [0, *range(9, 100, 10)], "in spite of rounding"


@pytest.mark.parametrize("unit", [2.0**-1070, 1.0, 2.0**1020])
@pytest.mark.parametrize("bins", [0, 4])
def test_numbers_may_be_as_small_and_as_large_as_float64_permits(bins, unit):
    values = np.append(np.arange(-9.0, 10), 11.0)
    assert inputs(learnt(values * unit, bins=bins), values * unit) == inputs(learnt(values, bins=bins), values)
    assert np.isfinite(inputs(learnt(np.append(values, [0, 1e-310, 1e-309])), np.array([0.0, 5e-310]))).all()
    assert inputs(learnt(np.array([-1.5e308, 1.5e308])), np.array([-1.5e308, 0, 1.5e308])) == [[-1], [0], [1]]


def test_a_number_of_few_different_values_has_a_bin_between_two_of_them():
    column = learnt([1, 2, 4, 4, 1, 2])
    assert column.edges.tolist() == [1, 2, 4]
    assert inputs(column, [1, 3, 4]) == [[0], [1.5], [2]]


def test_a_frequent_value_has_edges_beside_it_if_bins_are_left():
    counts = np.repeat(np.arange(30.0), [700, *[10] * 29])
    assert learnt(counts, bins=8).edges.tolist() == [0, 1, 5, 17, 29]
    around = np.concatenate([np.zeros(600), -np.arange(1.0, 201), np.arange(1.0, 201)])
    assert learnt(around, bins=7).edges.tolist() == [-200, -58, -1, 0, 1, 58, 200]
    assert learnt(around, bins=2).edges.tolist() == [-200, 0, 200]


def test_a_number_of_two_values_is_plain():
    column = learnt([0, 1, 1])
    assert (column.bins, inputs(column, [0, 1, 0.5, 7])) == (0, [[-1], [1], [0], [1]])


def test_missing_numbers_have_an_input_and_the_median():
    column = learnt(np.array([0.0, 1, 2, 3, 4, np.nan]))
    assert inputs(column, np.array([1, np.nan])) == [[1, 0], [2, 1]]


def test_a_number_missing_for_the_first_time_is_the_weighted_median():
    assert inputs(learnt(np.array([0.0, 1, 2, 3, 4])), np.array([np.nan])) == [[2]]
    assert learnt(np.repeat([0.0, 50, 99], [70, 20, 10])).median == 0
    assert learnt(np.repeat([0.0, 1], [80, 20])).median == 0
    assert learnt(np.array([0.0, 1, 2, 3]), weights=[1, 1, 1, 9]).median == 3


def test_without_bins_a_number_has_as_many_knots_as_values_up_to_256():
    assert len(learnt(np.arange(200.0), bins=0).knots) == 200
    assert len(learnt(np.arange(1000.0), bins=0).knots) == 257


def test_a_single_number_beside_missing_ones_is_an_indicator():
    assert inputs(learnt([5, None, 5]), [5, None]) == [[0], [1]]


@pytest.mark.parametrize("scaling", ["quantile", "robust"])
def test_without_bins_numbers_are_scaled_and_limited(scaling):
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(5, 10, 2000), [1e6])
    column = learnt(values, bins=0, scaling=scaling)
    scaled = np.array(inputs(column, values))[:, 0]
    assert column.bins == 0
    assert np.abs(scaled).max() <= 3
    assert abs(np.median(scaled)) < 0.05
    assert 0.85 < scaled.std() < 1.1
    assert np.all(np.diff(scaled[np.argsort(values)]) >= 0)


def test_bins_by_a_tree_are_where_the_target_changes():
    values = np.arange(1000.0)
    column = learnt(values, (values > 333).astype(float), bins=2, bins_by="tree")
    assert column.edges.tolist() == [0, 333.5, 999]
    column = learnt(values, (values > 333).astype(np.int64), bins=2, bins_by="tree")
    assert column.edges.tolist() == [0, 333.5, 999]


def test_two_categories_are_one_input_and_unknown_ones_are_in_the_middle():
    assert inputs(learnt(["a", "b", "a"]), ["a", "b", "c", None]) == [[-1], [1], [0], [0]]
    assert inputs(learnt(["a", None, "a"]), ["a", "c", None]) == [[-1], [0], [1]]


def test_few_categories_have_an_input_each():
    assert inputs(learnt(["a", "b", None]), ["b", None, "?"]) == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_many_categories_have_a_code_and_rare_or_unknown_ones_the_last():
    texts = [f"v{number}" for number in range(10)] * 3 + ["rare"]
    column = learnt(texts)
    assert (column.width, column.features()[0].count) == (8, 11)
    assert inputs(column, ["v3", "rare", "?", None]) == [[3], [10], [10], [10]]
    assert learnt(texts[:3] * 2, one_hot=2).width == 3
    assert [learnt(texts[:count] * 2).width for count in (8, 9)] == [0, 8], "8 categories have an input each"


@pytest.mark.parametrize(("rows", "least"), [(400, 2), (2_000, 4), (40_000, 30)])
def test_a_category_of_few_rows_is_rare_and_in_large_tables_so_is_one_of_30(rows, least):
    others = [f"v{number}" for number in range(10)] * (rows // 10)
    texts = ["rare"] * (least - 1) + ["known"] * least + others
    column = learnt(texts[:rows])
    assert "known" in column.values
    assert "rare" not in column.values


def test_texts_are_left_out_if_more_than_20_and_more_than_half_of_the_rows_are_different():
    texts = [f"text {number}" for number in range(21)]
    assert [learnt([*texts[:20], None]).kind, learnt(texts * 2).kind] == ["category", "category"]
    assert learnt(texts * 2 + ["another"]).reason == "text, 22 different ones in 43 rows"
    assert learnt(texts[:20]).reason == "20 categories, each in fewer than 2 rows"


@pytest.mark.parametrize("count", [5, 150])
def test_columns_that_a_frame_declares_as_categories_are_categories(count):
    numbers = np.arange(200) % count
    texts = numbers.astype(str).tolist()
    for X in (
        pd.DataFrame({"c": pd.Series(numbers, dtype="category")}), pd.DataFrame({"c": pd.Categorical(texts)}),
        pa.table({"c": pa.array(numbers).dictionary_encode()}),
        pl.DataFrame({"c": pl.Series(texts, dtype=pl.Enum(sorted(set(texts))))}),
        pl.DataFrame({"c": pl.Series(texts, dtype=pl.Categorical)}),
    ):  # fmt: skip
        column = learnt_of(raw_of(X))
        assert column.kind == "category"
        assert set(column.values) == {text for text in texts if texts.count(text) > 1}
        want = column.codes(raw_of(X)).tolist()
        for other in (numbers[:, np.newaxis], numbers[:, np.newaxis].astype(float), np.array([texts]).T):
            assert column.codes(raw_of(other)).tolist() == want
    names = pd.Categorical([f"name {number}" for number in range(30)])
    assert learnt_of(raw_of(pd.DataFrame({"c": names}))).reason == "text, 30 different ones in 30 rows"


def test_what_a_category_is_does_not_depend_on_the_other_rows():
    X = np.array([["01"], ["x"], ["02"], ["y"]])
    column = learnt_of(raw_of(X))
    assert column.codes(raw_of(X)).tolist() == [0, 2, 1, 3]
    assert column.codes(raw_of(X[[0, 2]])).tolist() == [0, 1]
    mixed = np.array([[datetime.time(1)], ["x"]], object)
    assert learnt_of(raw_of(mixed)).codes(raw_of(mixed[:1])).tolist() == [0]


def test_whole_numbers_that_float64_does_not_hold_are_different_categories():
    numbers = np.array([[2**53], [2**53 + 1]])
    column = learnt_of(raw_of(pd.DataFrame(numbers, dtype="category")))
    assert column.codes(raw_of(numbers)).tolist() == [0, 1]


@pytest.mark.parametrize("known", [[True, False], [True, False, None], [True, True, None], ["true", "False"]], ids=str)
def test_booleans_are_the_same_numbers_in_every_container(known):
    column = learnt(known)
    assert column.kind == decide(raw_of(np.array([[True], [False]]))).kind == "number"
    want = inputs(column, [True, False])
    for X in ([True, False], [1, 0], [1.0, 0.0], ["True", "False"], np.array(["True", "False"], object)):
        assert np.stack(column.encode(raw_of(np.array([X]).T)), axis=1).tolist() == want


def test_masked_values_are_missing():
    mask = [[False], [True], [False]]
    for values, got in (
        ([1.5, 999, 2], [1.5, np.nan, 2]), ([1, 999, 2], [1, np.nan, 2]), (["1", "?", "2"], [1, np.nan, 2]),
        (np.array([5, 7, 9], "timedelta64[s]"), [5, np.nan, 9]),
    ):  # fmt: skip
        raw = raw_of(np.ma.array(np.array([values]).T, mask=mask))
        assert decide(raw).kind == "number"
        np.testing.assert_array_equal(raw.as_numbers(), got)
    assert raw_of(np.ma.array([["a"], ["b"], ["a"]], mask=mask)).as_texts() == ["a", None, "a"]
    assert raw_of(np.ma.array([[True], [False], [True]], mask=mask)).as_texts() == ["True", None, "True"]


def test_objects_with_a_text_of_their_own_are_categories():
    values = [uuid.UUID(int=1), uuid.UUID(int=2), b"caf\xc3\xa9", b"\xff"]
    assert raw_of(pd.DataFrame({"c": values})).as_texts() == [*map(str, values[:2]), "café", "\\xff"]


@pytest.mark.parametrize(
    "value",
    [[1], {"a": 1}, {1}, (1,), np.arange(2), 1j, np.complex64(1), object()],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_meaning_are_errors_that_name_column_and_type(quick, value):
    column = np.empty(40, object)
    column[:] = [value] * 40
    frame = pd.DataFrame({"a": np.arange(40.0), "b": column})
    message = f"column 'b' must hold numbers, dates or texts, got {type(value).__name__}"
    with pytest.raises(TypeError, match=message):
        TabularRegressor(**quick).fit(frame, np.arange(40.0))


def test_lists_and_structs_of_polars_are_errors_that_name_the_column():
    for values, name in (([[1], [2]], "list"), ([{"a": 1}, {"a": 2}], "dict")):
        with pytest.raises(TypeError, match=f"column 'c' must hold numbers, dates or texts, got {name}"):
            raw_of(pl.DataFrame({"c": values}))


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="polars 1.18 is the first that has them")
def test_numbers_of_128_bits_are_read():
    frame = pl.DataFrame({"c": pl.Series([2**100, None], dtype=pl.Int128)})
    np.testing.assert_array_equal(raw_of(frame).as_numbers(), [2.0**100, np.nan])


def test_numbers_of_every_length_are_read():
    assert raw_of(pd.DataFrame({"c": [decimal.Decimal("0.1"), 2**70]})).as_numbers().tolist() == [0.1, 2.0**70]
    assert np.isnan(raw_of(pd.DataFrame({"c": [decimal.Decimal("NaN"), 7]})).as_numbers()).tolist() == [True, False]
    with pytest.raises(ValueError, match="infinity in column 'c'"):
        raw_of(pd.DataFrame({"c": [10**400]}, dtype=object)).as_numbers()


def test_a_lazy_frame_is_an_error_that_says_what_to_do():
    with pytest.raises(TypeError, match="X must be a frame in memory, got LazyFrame: collect it first"):
        raw_of(pl.LazyFrame({"c": [1]}))


def test_dates_with_and_without_time_zones_in_one_column_are_left_out_and_an_error_if_dates_are_asked_for():
    dates = pd.date_range("2020-01-01", periods=2)
    for values in ([dates[0], dates[1].tz_localize("UTC")], ["2020-01-01", "2020-01-02T00:00Z"]):
        raw = read_dates(pd.Series(values))
        assert (decide(raw).reason, decide(raw).cure) == ("dates with and without time zones", "zones")
        with pytest.raises(ValueError, match="column 'c' must hold dates with time zones or without, got both"):
            decide(raw, "date")


def test_dates_where_categories_were_are_an_error_that_names_the_column():
    with pytest.raises(ValueError, match="column 'c' must hold categories, as in fit; got dates"):
        learnt(["a", "b"]).encode(read_dates(pd.date_range("2020-01-01", periods=2)))


def test_a_column_of_categories_that_was_used_is_equal_and_can_be_pickled():
    used, fresh = learnt(["a", "b", None]), learnt(["a", "b", None])
    inputs(used, ["a"])
    assert used == fresh == pickle.loads(pickle.dumps(used))


def test_a_category_is_the_same_whether_it_comes_as_a_number_or_a_text():
    column = learnt(["1", "2", "x", "1"])
    assert inputs(column, ["1", 2, "x"]) == inputs(column, [1.0, 2.0, "x"]) == inputs(column, [1, "2", "x"])


def test_an_unknown_category_has_the_mean_of_the_embeddings_of_the_rows(quick):
    class Watcher(fnn.Callback):
        def begin(self, net, history):
            self.first = net.arrays["embedding0"][-1].tolist()

    X = np.array([[f"v{number % 10}"] for number in range(200)], object)
    model = TabularRegressor(**quick)
    model._watchers = [Watcher()]
    model.fit(X, np.arange(200) % 10.0)
    assert model._watchers[0].first == [0] * 8  # until training is over
    embedding = model.network_.arrays["embedding0"]
    np.testing.assert_allclose(embedding[-1], embedding[:-1].mean(axis=0), atol=0.1)
    assert np.abs(embedding[-1]).max() > 0
    assert 2 < model.predict([["never seen"]])[0] < 7


def test_an_unknown_category_has_what_rare_ones_trained_or_else_the_mean_by_rows():
    encoding = Encoding([learnt(["a"] * 3 + ["b"] * 2, one_hot=1)])
    network = TabularNetwork(encoding.features, (2,), 1, seed=0)
    network.arrays["embedding0"][:] = [[0, 0], [10, 20], [7, 7]]
    encoding.settle_unknown(network, np.array([[0.0], [0.0], [1.0], [2.0]]))
    assert network.arrays["embedding0"][-1].tolist() == [7, 7]
    encoding.settle_unknown(network, np.array([[0.0], [0.0], [0.0], [1.0]]))
    assert network.arrays["embedding0"][-1].tolist() == [2.5, 5]


def test_the_importance_of_a_column_that_does_harm_is_below_0():
    encoding = Encoding([learnt([1, 2, 4, 3]), learnt(["a"] * 4)])

    def score(estimator, x, y):
        return -np.mean(x[:, 0] == y)

    x = np.arange(4.0)[:, np.newaxis]
    got = measured(TabularRegressor(), x, x[:, 0], encoding, 3, score, np.random.RandomState(0))
    assert got.mean[0] < 0
    assert (got.mean[1], got.std[1]) == (0, 0)


def test_a_model_of_a_mixed_table_predicts_other_rows(table, others, quick):
    model = TabularRegressor(**quick).fit(*table)
    assert model.score(*others) > 0.85  # an area in ten is missing
    frame, rent = table
    classes = np.where(rent > 300, "dear", "cheap")
    classifier = TabularClassifier(**quick).fit(frame, classes)
    assert classifier.score(others[0], np.where(others[1] > 300, "dear", "cheap")) > 0.85


def test_a_table_without_anything_to_learn_from_gives_the_mean(quick):
    model = TabularRegressor(**quick).fit(pd.DataFrame({"a": ["x"] * 60, "b": 1.0}), np.arange(60.0))
    assert abs(model.predict(pd.DataFrame({"a": ["y"], "b": [2.0]}))[0] - 29.5) < 1


def test_infinity_is_an_error_that_names_the_column(table, quick):
    frame, rent = table
    frame.loc[3, "area"] = np.inf
    with pytest.raises(ValueError, match="infinity in column 'area'"):
        TabularRegressor(**quick).fit(frame, rent)


def test_a_text_where_numbers_were_is_an_error_that_names_it(quick):
    model = TabularRegressor(**quick).fit(pd.DataFrame({"a": np.arange(40.0)}), np.arange(40.0))
    assert model.predict(pd.DataFrame({"a": ["7", None]})).shape == (2,)
    with pytest.raises(ValueError, match="column 'a' must hold numbers, as in fit; got 'seven'"):
        model.predict(pd.DataFrame({"a": ["seven"]}))


def test_other_columns_than_those_of_fit_are_errors(table, quick):
    frame, rent = table
    model = TabularRegressor(**quick | {"max_epochs": 1}).fit(frame, rent)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"area": "surface"}))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])
    with pytest.raises(ValueError, match=r"twice|2 times"):
        TabularRegressor(**quick).fit(pd.concat([frame, frame], axis=1), rent)
    with pytest.raises(ValueError, match="0 sample"):
        model.predict(frame.iloc[:0])
