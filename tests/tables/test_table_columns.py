"""What columns and targets are found to be, and the numbers that a network gets of them."""

import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from small_tables import flats

from fastfnn.interop.columns import CategoryColumn
from fastfnn.tables import columns, target
from fastfnn.tables.preparation import Preparation

FEATURES = flats().drop(columns=["price", "kind"])


def series(*values, name="c", **options):
    return pd.Series(list(values), name=name, **options)


def plan_of(column, **options):
    plan = columns.plan(pd.DataFrame({"c": column, "other": 1}), **options)
    return "number" if plan.numbers else "category" if plan.categories else plan.left_out["c"]


def test_a_table_is_divided_into_numbers_categories_and_the_rest():
    plan = columns.plan(FEATURES)
    assert plan.numbers == ("area", "rooms", "garden") and plan.categories == ("city",)
    assert plan.left_out == {"id": "row numbers", "country": "a single value"}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (series(1, 2, 2), "number"),
        (series(1, 2, 3), "row numbers"),
        (series(3, 2, 1), "row numbers"),
        (series(1.5, None, 1.5), "number"),
        (series(None, None, dtype=float), "no values"),
        (series(True, False, None), "number"),
        (series(True, False, None, dtype="boolean"), "number"),
        (series(1, None, 3, dtype="Int64"), "number"),
        (series("a", "b", None), "category"),
        (series("a", "a"), "a single value"),
        (series("a", "a", None), "category"),
        (series(*[f"name {i}" for i in range(30)]), "text, 30 different ones in 30 rows"),
        (series(*[f"name {i % 21}" for i in range(63)]), "category"),
        (series(*[1, 2, 2], dtype="category"), "category"),
        (series(*[f"name {i}" for i in range(30)], "name 0", dtype="category"), "category"),
        (series(*[f"name {i}" for i in range(30)], dtype="category"), "text, 30 different ones in 30 rows"),
        (series(*pd.to_datetime(["2020-01-01", "2021-01-01"])), "dates"),
        (series("2020-01-01", "2021-01-01 10:30", None), "dates"),
        (series("2020-01-01T10:30:00.25", " 2021-01-01 "), "dates"),
        (series("2020-01-01T10:30:00Z", "2021-01-01 10:30+09:00"), "dates"),
        (series("2020-01-01T10:30:00Z", "2021-01-01"), "dates with and without time zones"),
        (series(datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)), "dates"),
        (series("01/02/2020", "02/02/2020"), "category"),
        (series("2020-02-29", "2021-02-29"), "category"),
        (series("2020-01-01", "soon"), "category"),
        (series(*["2020-01-01", "2020-01-02"], dtype="category"), "category"),
        (series(20200101, 20200103), "number"),
        (series(*pd.to_timedelta([5, 7], unit="s")), "number"),
    ],
    ids=str,
)
def test_what_a_column_is(column, kind):
    assert plan_of(column) == kind


def test_a_column_of_lists_is_an_error_unless_it_is_ignored():
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [[1], [2]]})
    with pytest.raises(TypeError, match="column 'b' must hold numbers, dates or texts, got list"):
        columns.plan(frame)
    assert columns.plan(frame, wanted={"b": "ignore"}).left_out == {"b": "ignored"}


def test_dates_are_used_where_they_are_wanted():
    plan = columns.plan(pd.DataFrame({"a": ["2020-01-01", "2020-01-02"], "b": [1, 1]}), with_dates=True)
    assert plan[:5] == ((), (), {"b": "a single value"}, ("a",), ("a",))


def test_columns_can_be_named():
    assert plan_of(series("2020-01-01", "2020-01-02"), wanted={"c": "category"}) == "category"
    assert plan_of(series(1, 2, 2), wanted={"c": "category"}) == "category"
    assert plan_of(series(1, 2, 2), wanted={"c": "ignore"}) == "ignored"


def test_the_inputs_are_those_of_scikit_learn():
    plan = columns.plan(FEATURES)
    got = Preparation.fit(FEATURES, plan).transform(FEATURES, "float64")
    theirs = ColumnTransformer(
        [("n", StandardScaler(), list(plan.numbers)), ("c", OneHotEncoder(sparse_output=False), ["city"])]
    ).fit_transform(FEATURES)
    np.testing.assert_allclose(got, theirs, rtol=1e-12, atol=1e-12)


def test_a_preparation_is_made_again_from_its_columns_bit_by_bit():
    first = Preparation.fit(FEATURES, columns.plan(FEATURES), "median")
    again = Preparation(first.columns)
    assert again.transform(FEATURES).tobytes() == first.transform(FEATURES).tobytes()
    assert first.transform(FEATURES).dtype == np.float32


@pytest.mark.parametrize(("missing", "value"), [("median", 3.0), ("mean", 20.0)])
def test_missing_values_are_filled_in(missing, value):
    frame = pd.DataFrame({"n": [1, 3, 56, np.nan], "c": ["a", "b", "b", None]})
    prepared = Preparation.fit(frame, columns.plan(frame), missing)
    assert [column.fill for column in prepared.columns] == [value, "b"]
    filled = frame.assign(n=[1, 3, 56, value], c=["a", "b", "b", "b"])
    np.testing.assert_array_equal(prepared.transform(frame), prepared.transform(filled))


def test_missing_values_are_refused_and_all_columns_named():
    frame = pd.DataFrame({"n": [1, 5, np.nan], "m": [1, 2, 2], "c": ["a", None, None]})
    with pytest.raises(ValueError, match=r"values are missing in 3 rows of n \(1\), c \(2\): --missing median"):
        Preparation.fit(frame, columns.plan(frame))
    whole = pd.DataFrame({"n": [1, 5, 3], "m": [1, 2, 2], "c": ["a", "b", "a"]})
    prepared = Preparation.fit(whole, columns.plan(whole))
    with pytest.raises(ValueError, match="column 'n', row 3, has no value: the model was trained without --missing"):
        prepared.transform(frame)


def test_an_unknown_category_is_all_zero():
    prepared = Preparation.fit(FEATURES, columns.plan(FEATURES))
    got = prepared.transform(FEATURES.assign(city="Nara"))
    assert (got[:, 3:] == 0).all() and got.shape == (60, 6)


def test_only_the_most_frequent_categories_are_used(monkeypatch):
    from fastfnn.tables import preparation

    monkeypatch.setattr(preparation, "MAX_CATEGORIES", 2)
    frame = pd.DataFrame({"c": ["c", "b", "a", "c", "b", "c"]})
    (column,) = Preparation.fit(frame, columns.plan(frame), "mean").columns
    assert column == CategoryColumn("c", ("b", "c"), "c")


def test_rows_are_looked_at_and_converted_in_parts(monkeypatch):
    from fastfnn.tables import preparation

    rows = np.arange(60)[::2]
    plan = columns.plan(FEATURES)
    prepared = Preparation.fit(FEATURES, plan, rows=rows)
    whole = prepared.transform(FEATURES, "float64", rows)
    np.testing.assert_array_equal(whole, prepared.transform(FEATURES.iloc[rows], "float64"))
    for module in (preparation, columns):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    assert columns.plan(FEATURES) == plan
    assert prepared.transform(FEATURES, "float64", rows).tobytes() == whole.tobytes()
    again = Preparation.fit(FEATURES, plan, rows=rows)
    np.testing.assert_allclose(again.transform(FEATURES, "float64", rows), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area": "wide"}, "column 'area', row 1, must be a number, got 'wide'"),
        ({"area": np.inf}, "column 'area', row 1, must be finite, got inf"),
        ({"area": None}, "column 'area', row 1, has no value .60 of 60 are missing."),
        ({"city": None}, "column 'city', row 1, has no value"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(change, message):
    prepared = Preparation.fit(FEATURES, columns.plan(FEATURES))
    with pytest.raises(ValueError, match=message):
        prepared.transform(FEATURES.assign(**change))


def test_columns_are_found_by_name_and_missing_ones_named():
    prepared = Preparation.fit(FEATURES, columns.plan(FEATURES))
    other = FEATURES[reversed(FEATURES.columns)].assign(more=1)
    np.testing.assert_array_equal(prepared.transform(other), prepared.transform(FEATURES))
    with pytest.raises(ValueError, match="the table must have the column 'area'; is it the column 'Area '"):
        prepared.transform(FEATURES.rename(columns={"area": "Area "}))
    twice = pd.concat([FEATURES, FEATURES[["area"]]], axis=1)
    with pytest.raises(ValueError, match="the column 'area' once"):
        prepared.transform(twice)


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (series("1", " 2.5", "true", None), [1, 2.5, 1, np.nan]),
        (series(True, False, None), [1, 0, np.nan]),
        (series(1, None, dtype="Int8"), [1, np.nan]),
        (series(*pd.to_timedelta(["1.5s", None])), [1.5, np.nan]),
    ],
)
def test_numbers_of_a_column(column, want):
    np.testing.assert_array_equal(columns.numbers(column), want)


def test_integers_as_text_do_not_depend_on_missing_values_beside_them():
    for column in (series(1, 20), series(1.0, 20.0, None), series(1, 20, None, dtype="Int64"), series("1", "20")):
        assert columns.texts(column)[:2].tolist() == ["1", "20"]
    assert columns.texts(series(1.5, None)).tolist() == ["1.5", None]


# The target

TARGETS = {
    "text": (["b", "a", "b", "a"], ("a", "b")),
    "booleans": ([True, False, True, False], (False, True)),
    "two numbers": ([3, 7, 3, 7], (3, 7)),
    "whole floats": ([0.0, 1.0, 0.0, 1.0], (0, 1)),
    "many numbers": (list(range(40)), None),
    "fractions": ([0.5, 1.5, 0.5, 1.5], None),
    "few rows": ([1, 2, 3, 4], None),
    "twenty of a hundred": ([i % 20 for i in range(100)], tuple(range(20))),
    "twenty-one": ([i % 21 for i in range(210)], None),
}


@pytest.mark.parametrize("case", TARGETS)
def test_the_task_is_told_by_the_target(case):
    values, labels = TARGETS[case]
    found, line = target.infer(series(*values, name="t"))
    assert found.labels == labels
    assert found.task in line and ("--task" in line) == (not isinstance(values[0], str | bool))


def test_the_task_can_be_chosen():
    column = series(1, 2, 3, 1, 2, 3, name="t")
    assert target.infer(column, "regression")[0].labels is None
    assert target.infer(column, "classification")[0].labels == (1, 2, 3)
    for values, task, message in (
        ("ab", "regression", "column 't', row 1, must be a number, got 'a'"),
        ([0.5, 1.0], "classification", "classes must be whole numbers or text, got 't' with the value 0.5"),
        (["a", "a"], None, "must have at least two classes, got only 'a'"),
        ([2.0, 2.0], "regression", "must have different values, got only 2"),
        (["a", "b", "c"], None, "must have several rows of a class, got 3 classes in 3 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            target.infer(series(*values, name="t"), task)


def test_a_target_is_encoded_and_predictions_are_decoded():
    texts = target.Target("t", ("a", "b"))
    assert texts.encode(series("b", "a", name="t")).tolist() == [1, 0]
    assert texts.predictions(np.array([[0.1, 0.9], [0.8, 0.2]])).tolist() == ["b", "a"]
    with pytest.raises(ValueError, match="column 't', row 2, must be one of the classes a, b; got 'c'"):
        texts.encode(series("b", "c", name="t"))
    booleans = target.Target("t", (False, True))
    assert booleans.encode(series("True", "false", name="t")).tolist() == [1, 0]
    assert booleans.predictions(np.eye(2)).tolist() == [False, True]
    with pytest.raises(ValueError, match=r"must be one of the classes 3, 7; got 3\.5"):
        target.Target("t", (3, 7)).encode(series(3, 3.5, name="t"))
    numbers = target.standardized(target.Target("t", None), series(1.0, 3.0, name="t"))
    assert (numbers.mean, numbers.scale) == (2, 1)
    assert numbers.encode(series(1.0, 4.0, name="t")).tolist() == [-1, 2]
    assert numbers.predictions(np.array([[-1], [2]], np.float32)).tolist() == [1, 4]
