"""A column is the same, and the same is said about it, whichever door it comes through: command line or estimator."""

import csv
import datetime
import decimal
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone
from small_tables import run

import fastfnn.tables
import fastfnn.tabular
from fastfnn.tabular import TabularClassifier, TabularRegressor

pytestmark = pytest.mark.jit

ROWS = 200
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=ROWS).tolist()
PLACES = RNG.permutation(ROWS).tolist()
NUMBERS = [round(place * 37.25 - 1000, 2) for place in PLACES]
DAYS = [datetime.datetime(2020, 1, 1) + datetime.timedelta(days=place) for place in PLACES]
ISO = [day.strftime("%Y-%m-%d") for day in DAYS]
LARGE = [2**60 + place % 3 for place in PLACES]
EUROPEAN = [f"{number:,.2f}".translate({ord(","): ".", ord("."): ","}) for number in NUMBERS]


def every(step, values, other):
    """Values with another one in place of some."""
    return [other if row % step == 0 else value for row, value in enumerate(values)]


class Case:
    """Values of a column, its kind, what must be said about it, and what the user has chosen."""

    def __init__(self, values, kind, told="", like=None, **chosen):
        self.values, self.kind, self.told, self.like, self.chosen = values, kind, told, like, chosen


CASES = {
    "numbers": Case(NUMBERS, "number"),
    "numbers as texts": Case(list(map(str, NUMBERS)), "number", like="numbers"),
    "numbers, some missing": Case(every(40, NUMBERS, None), "number"),
    "numbers and marks": Case(every(40, list(map(str, NUMBERS)), "?"), "number", like="numbers, some missing"),
    "numbers and other words": Case(
        every(40, list(map(str, NUMBERS)), "broken"), "number", "'broken': they count as missing",
        like="numbers, some missing",
    ),
    "thousands": Case([f"{number:,}" for number in NUMBERS], "number", like="numbers"),
    "thousands by spaces": Case([f"{n:,}".replace(",", " ") for n in NUMBERS], "number", like="numbers"),
    "a decimal comma": Case(EUROPEAN, "number", like="numbers", decimal=","),
    "a decimal comma, both named": Case(EUROPEAN, "number", like="numbers", decimal=",", thousands="."),
    "a decimal comma that is not named": Case(EUROPEAN, "left out", "decimal"),
    "Decimal objects": Case([decimal.Decimal(str(number)) for number in NUMBERS], "number", like="numbers"),
    "large integers": Case(LARGE, "number"),
    "large integers as texts": Case(list(map(str, LARGE)), "number", like="large integers"),
    "large integers, some missing": Case(every(40, LARGE, None), "number"),
    "Booleans": Case([place % 2 == 0 for place in PLACES], "number"),
    "Booleans as texts": Case([str(place % 2 == 0) for place in PLACES], "number", like="Booleans"),
    "Booleans, some missing": Case(every(40, [place % 2 == 0 for place in PLACES], None), "number"),
    "dates": Case(DAYS, "date"),
    "dates as texts": Case(ISO, "date", like="dates"),
    "dates and marks": Case(every(40, ISO, "n/a"), "date"),
    "dates and other words": Case(every(40, ISO, "soon"), "date", "'soon'", like="dates and marks"),
    "dates with zones": Case([f"{day}T09:00+09:00" for day in ISO], "date"),
    "dates of which some have zones": Case(every(40, ISO, "2020-01-01T00:00Z"), "left out", "time zones"),
    "categories": Case([f"city {place % 4}" for place in PLACES], "category"),
    "few numbers and a word": Case(every(40, [str(place % 4) for place in PLACES], "many"), "category"),
    "codes": Case([f"{place % 15:03}" for place in PLACES], "category", categories=True),
    "names": Case([f"name {place}" for place in PLACES], "left out", "text, 200 different ones in 200 rows"),
    "names that are wanted": Case([f"name {place // 4}" for place in PLACES], "category", want="category"),
    "numbers that are categories": Case([place % 5 for place in PLACES], "category", want="category"),
    "row numbers": Case(list(range(7, 7 + ROWS)), "left out", "row numbers"),
    "row numbers as texts": Case([str(row) for row in range(ROWS)], "left out", "row numbers"),
    "row numbers that are wanted": Case(list(range(ROWS)), "number", want="number"),
    "what is ignored": Case(NUMBERS, "left out", want="ignore"),
    "texts and more numbers": Case(
        [f"no {row}" if row % 9 == 0 else str(number) for row, number in enumerate(NUMBERS)], "left out",
        "look like numbers, but for such as 'no 0'",
    ),
    "half of them numbers, which is wanted": Case(
        every(2, list(map(str, NUMBERS)), "no"), "number", "'no': they count as missing", want="number"
    ),
    "one value": Case(["a"] * ROWS, "left out"),
    "one number as texts": Case(every(3, ["1.0"] * ROWS, "1"), "left out"),
    "nothing": Case([None] * ROWS, "left out"),
}  # fmt: skip
TARGET = (np.array(NOISE) + np.array(PLACES) / ROWS).tolist()
OPTIONS = {"number": "--numbers", "category": "--categories", "date": "--dates", "ignore": "--ignore"}


def series(values):
    """Values as pandas reads them; of integers of which some are missing it makes float64 unless it is told not to."""
    is_large = {type(value) for value in values} == {int, type(None)}
    return pd.Series(values, dtype="Int64" if is_large else None)


DOORS = {
    "pandas": lambda c: pd.DataFrame({"c": series(c), "noise": NOISE}),
    "pandas, its strings": lambda c: pd.DataFrame({"c": series(c).convert_dtypes(), "noise": NOISE}),
    "pandas, of arrow": lambda c: pa.table({"c": pa.array(c), "noise": NOISE}).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda c: pl.DataFrame({"c": c, "noise": NOISE}),
    "pyarrow": lambda c: pa.table({"c": pa.array(c), "noise": NOISE}),
    "dict": lambda c: {"c": c, "noise": NOISE},
    "rows": lambda c: [list(row) for row in zip(c, NOISE, strict=True)],
}


def chosen_parameters(case, name="c"):
    chosen = dict(case.chosen)
    chosen.pop("categories", None)
    kind = chosen.pop("want", None)
    return chosen | ({"columns": {name: kind}} if kind else {})


def found(estimator, X, name):
    """The column that an estimator has learnt, and what the network gets of it."""
    places = dict(zip([column.name for column in estimator.columns_], estimator._encoding.places(), strict=True))
    column = next(column for column in estimator.columns_ if column.name == name)
    return column, estimator._prepared(X)[:, places[name]]


def through_estimator(kind, case, door):
    """What an estimator makes of a case, and the warnings."""
    X = DOORS[door](case.values)
    name = "x0" if door == "rows" else "c"
    y = TARGET if kind is TabularRegressor else np.array(TARGET) > 0.5
    made = kind(preset="fast", max_epochs=1, validation_fraction=0, random_state=0, **chosen_parameters(case, name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.fit(X, y)
    told = [str(item.message) for item in caught if not str(item.message).startswith("fastfnn compiles ")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return *found(made, X, name), told


def through_command_line(case, folder, capsys, file="t.csv"):
    """What `fastfnn train` makes of a case, what it says, and the file of the model."""
    path = folder / file
    if file.endswith(".csv"):
        with open(path, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["c", "noise", "y"])
            writer.writerows(zip(case.values, NOISE, TARGET, strict=True))
    else:
        pa_table = pa.table({"c": pa.array(case.values), "noise": NOISE, "y": TARGET})
        pq.write_table(pa_table, path)
    model = str(folder / "m.safetensors")
    given = [f"--{name}={value}" for name, value in case.chosen.items() if name in ("decimal", "thousands")]
    if case.chosen.get("decimal"):  # the other columns of the file are written with a point
        rows = [[str(value).replace(".", ",") for value in row] for row in zip(NOISE, TARGET, strict=True)]
        with open(path, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["c", "noise", "y"])
            writer.writerows([c, *row] for c, row in zip(case.values, rows, strict=True))
    if case.chosen.get("want"):
        given += [OPTIONS[case.chosen["want"]], "c"]
    if case.chosen.get("categories"):
        given += ["--categories", "c"]
    capsys.readouterr()
    arguments = ["--preset", "fast", "--epochs", "1", "--valid", "0", "--task", "regression", *given]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("train", path, "--target", "y", "--out", model, *arguments) == 0, capsys.readouterr().err
    output = capsys.readouterr()
    return path, model, output.out + output.err


def told_of(case, said):
    """Whether what must be said about a case is said once, and nothing if nothing must be."""
    relevant = [line for line in said if "left out although" in line or "count as missing" in line]
    if not case.told:
        return not relevant
    return len(relevant) == 1 and case.told in relevant[0] and ("'c'" in relevant[0] or "'x0'" in relevant[0])


@pytest.fixture(scope="module")
def by_pandas():
    """By the name of a case, what the network gets of it through a frame of pandas."""
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = through_estimator(TabularRegressor, CASES[name], "pandas")
        return kept[name]

    return get


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", CASES)
def test_an_estimator_makes_the_same_of_a_column_through_every_door(name, door, by_pandas):
    case = CASES[name]
    column, encoded, told = through_estimator(TabularRegressor, case, door)
    assert column.kind == case.kind
    assert told_of(case, told), told
    np.testing.assert_array_equal(encoded, by_pandas(case.like or name)[1])


@pytest.mark.parametrize("name", CASES)
def test_a_classifier_makes_the_same_of_a_column_as_a_regressor(name, by_pandas):
    column, encoded, told = through_estimator(TabularClassifier, CASES[name], "pandas")
    assert column.kind == CASES[name].kind
    assert told_of(CASES[name], told), told
    np.testing.assert_array_equal(encoded, by_pandas(name)[1])


@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("name", CASES)
def test_the_command_line_makes_the_same_of_a_column_as_an_estimator(name, file, by_pandas, tmp_path, capsys):
    case = CASES[name]
    if file == "t.parquet" and "decimal" in case.chosen:
        pytest.skip("of a Parquet file, only texts have a decimal comma")
    path, model, said = through_command_line(case, tmp_path, capsys, file)
    assert told_of(case, said.splitlines()), said
    loaded = fastfnn.tables.load(model)
    kinds = {column.name: column.kind for column in loaded.estimator.columns_}
    assert kinds.get("c", "left out") == case.kind
    if "c" in kinds:
        reference = by_pandas(name)[0]
        own = next(column for column in loaded.estimator.columns_ if column.name == "c")
        if case.kind == "number":
            np.testing.assert_array_equal(own.edges, reference.edges)
            np.testing.assert_array_equal(own.knots, reference.knots)
            assert (own.median, own.missing, own.offset) == (reference.median, reference.missing, reference.offset)
        elif case.kind == "category":
            assert (own.values, own.missing) == (reference.values, reference.missing)
        else:
            assert own.dates == reference.dates
            for part, other in zip(own.parts, reference.parts, strict=True):
                np.testing.assert_array_equal(part.edges, other.edges)
    # What was chosen at the training is in the file: predictions need no options.
    assert run("predict", model, path) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == ROWS
    assert np.isfinite(list(map(float, lines))).all()


# Hostile


def fitted(values, **parameters):
    return TabularRegressor(preset="fast", max_epochs=1, random_state=0, **parameters).fit(
        pd.DataFrame({"c": values, "noise": NOISE}), TARGET
    )


def predicted(model, value):
    """The prediction for one row, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = pd.DataFrame({"c": [value], "noise": [0.0]})
        return model.predict(frame)[0], [str(item.message) for item in caught]


def test_a_text_in_a_column_of_numbers_that_were_texts_is_missing_in_a_single_row():
    model = fitted(CASES["numbers and marks"].values)
    missing, told = predicted(model, None)
    assert not told
    for mark in ("?", " N/A ", ""):
        assert predicted(model, mark) == (missing, [])
    value, told = predicted(model, "seven")
    assert value == missing
    assert told == ["column 'c' has 1 texts that are no numbers, such as 'seven': they count as missing"]
    assert predicted(model, "37.25") == predicted(model, 37.25) == predicted(model, decimal.Decimal("37.25"))
    assert predicted(model, "1,037.25")[0] == predicted(model, 1037.25)[0]


def test_a_text_in_a_column_of_dates_that_were_texts_is_missing():
    model = fitted(ISO)
    missing, _ = predicted(model, None)
    value, told = predicted(model, "2020-13-01")
    assert value == missing
    assert told == ["column 'c' has 1 texts that are no dates, such as '2020-13-01': they count as missing"]
    assert predicted(model, "2020-02-01") == predicted(model, datetime.date(2020, 2, 1))
    with pytest.raises(ValueError, match="'c' must hold dates without time zones, as in fit; got dates with"):
        predicted(model, "2020-02-01T00:00Z")


def test_a_text_in_a_column_of_numbers_that_were_numbers_is_an_error():
    with pytest.raises(ValueError, match="column 'c' must hold numbers, as in fit; got '\\?'"):
        predicted(fitted(NUMBERS), "?")


def test_large_integers_that_float64_does_not_hold_are_told_apart():
    frame = pd.DataFrame({"c": LARGE, "noise": NOISE})
    y = np.array(LARGE) - 2**60
    model = TabularRegressor(preset="fast", random_state=0).fit(frame, y)
    assert model.score(frame, y) > 0.9
    three = LARGE[:3]
    for values in (three, list(map(str, three)), pd.array(three, "Int64"), np.array(three, "u8")):
        other = pd.DataFrame({"c": values, "noise": NOISE[:3]})
        np.testing.assert_array_equal(model.predict(other), model.predict(frame[:3]))
    for value in (-(2**63), 2**63 - 1, 2.0**70, 10**30):
        assert np.isfinite(predicted(model, value)[0])


def test_durations_are_seconds_however_they_come_and_never_large_integers():
    lengths = pd.Series(pd.to_timedelta(PLACES, unit="D"))
    model = fitted(pd.Series(list(lengths.to_numpy()), dtype=object))
    assert (model.columns_[0].kind, model.columns_[0].offset) == ("number", 0)
    frame = pd.DataFrame({"c": lengths, "noise": NOISE})
    np.testing.assert_array_equal(model.predict(frame), fitted(lengths).predict(frame))


def test_row_numbers_that_are_the_only_column_are_used():
    X, y = np.arange(100)[:, np.newaxis], np.arange(100.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TabularRegressor(preset="fast", random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        ({"columns": ["c"]}, TypeError, "columns must be a dict of names and kinds, got list"),
        ({"columns": {"d": "number"}}, ValueError, "columns must name columns of X, c, noise; got 'd'"),
        ({"columns": {"c": "numeric"}}, ValueError, "columns\\['c'\\] must be"),
        ({"columns": {3: "number"}}, TypeError, "columns must have names of columns as keys, got 3"),
        ({"columns": {"c": "number"}}, ValueError, "column 'c' must hold numbers to be read as such, got 'city"),
        ({"columns": {"noise": "date"}}, ValueError, "column 'noise' must hold dates to be read as such, got numbers"),
        ({"decimal": ",", "thousands": ","}, ValueError, "thousands must be another character than decimal"),
        ({"decimal": "comma"}, ValueError, "decimal must be one character"),
        ({"decimal": None}, TypeError, "decimal must be a character, got NoneType"),
        ({"thousands": "0"}, ValueError, "thousands must be one character"),
    ],
)
def test_what_cannot_be_chosen_is_an_error_that_names_it(parameters, kind, message):
    with pytest.raises(kind, match=message):
        fitted(CASES["categories"].values, **parameters)


def test_what_is_chosen_is_cloned_saved_and_loaded(tmp_path):
    parameters = {"columns": {"c": "number"}, "decimal": ",", "thousands": "."}
    model = fitted(EUROPEAN, **parameters)
    again = clone(model)
    assert {name: again.get_params()[name] for name in parameters} == parameters
    model.save(tmp_path / "m.safetensors")
    loaded = fastfnn.tabular.load(tmp_path / "m.safetensors")
    assert loaded.get_params() == model.get_params()
    frame = pd.DataFrame({"c": [*EUROPEAN[:3], "?"], "noise": 0.0})
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
    assert predicted(loaded, "1.234,5")[0] == predicted(model, 1234.5)[0]


@pytest.mark.parametrize("case", ["numbers and marks", "dates as texts", "large integers", "dates with zones"])
def test_a_saved_estimator_reads_texts_as_before(case, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fitted(CASES[case].values)
        model.save(tmp_path / "m.safetensors")
        loaded = fastfnn.tabular.load(tmp_path / "m.safetensors")
        frame = pd.DataFrame({"c": CASES[case].values, "noise": NOISE})
        np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
        assert predicted(loaded, None) == predicted(model, None)


def test_targets_with_a_decimal_comma_are_an_error_that_says_so():
    with pytest.raises(ValueError, match=r"they look like numbers with a decimal comma, which pandas\.read_csv"):
        TabularRegressor(preset="fast").fit(np.arange(40.0)[:, np.newaxis], [f"{row},5" for row in range(40)])


# The command line


def written(folder, lines, name="t.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_na_is_a_category_if_it_is_kept_and_other_texts_may_be_missing(tmp_path, capsys):
    countries = ["NA", "DE", "None", "unknown"]
    table = written(tmp_path, ["country,y", *(f"{countries[row % 4]},{row % 4 * 10 + row % 3}" for row in range(200))])
    model = tmp_path / "m.safetensors"
    options = ["--target", "y", "--task", "regression", "--preset", "fast", "--epochs", "2", "--out", model]
    assert run("train", table, *options) == 0
    assert fastfnn.tables.load(model).estimator.columns_[0].values == ("DE", "unknown")
    assert run("train", table, *options, "--keep-na", "--na-values", "unknown,?") == 0
    (column,) = fastfnn.tables.load(model).estimator.columns_
    assert (column.values, column.missing) == (("DE", "NA", "None"), True)
    capsys.readouterr()
    rows = written(tmp_path, ["country", *countries, "?", '""'], "rows.csv")
    assert run("predict", model, rows) == 0
    got = capsys.readouterr().out.splitlines()[1:]
    assert len(set(got[:4])) == 4, "each category has a prediction of its own, as in training"
    assert got[3] == got[4] == got[5]
    capsys.readouterr()
    assert run("info", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_a_european_file_is_read_and_its_model_predicts_without_options(tmp_path, capsys):
    lines = [f"{row},5;x{row % 3};{2 * row},25" for row in range(200)]
    table, model = written(tmp_path, ["a;c;y", *lines]), tmp_path / "m.safetensors"
    options = ["--target", "y", "--sep", ";", "--preset", "fast", "--epochs", "30"]
    assert run("train", table, *options) == 2
    error = capsys.readouterr().err
    assert "200 classes in 200 rows: they look like numbers with a decimal comma: --decimal ','" in error
    assert run("train", table, *options, "--decimal", ",", "--out", model) == 0
    assert "1 of numbers; 1 of categories: c (3)" in capsys.readouterr().out
    assert run("predict", model, table, "--sep", ";") == 0
    got = list(map(float, capsys.readouterr().out.splitlines()[1:]))
    assert np.corrcoef(got, [2 * row + 0.25 for row in range(200)])[0, 1] > 0.9
    assert run("evaluate", model, table, "--sep", ";") == 0
    other = written(tmp_path, ["a;c", "7.5;x1"], "point.csv")
    assert run("predict", model, other, "--sep", ";", "--decimal", ".") == 0


def test_the_plain_network_reads_numbers_as_texts_and_keeps_how(tmp_path, capsys):
    lines = [f'"{row * 1000:,}",{"?" if row % 40 == 0 else row / 4},{row}' for row in range(1, 200)]
    table, model = written(tmp_path, ["a,b,y", *lines]), tmp_path / "m.safetensors"
    options = ["--target", "y", "--preset", "plain", "--epochs", "2", "--out", model]
    assert run("train", table, *options) == 2
    assert "values are missing in 199 rows of b (4): --missing median" in capsys.readouterr().err
    assert run("train", table, *options, "--missing", "median") == 0
    loaded = fastfnn.tables.load(model)
    assert [column.name for column in loaded.preparation.columns] == ["a", "b"]
    frame = pd.DataFrame({"a": ["1,000", "5,000"], "b": ["?", "2.5"]})
    same = pd.DataFrame({"a": [1000, 5000], "b": [None, 2.5]})
    np.testing.assert_array_equal(loaded.predict(frame), loaded.predict(same))
    assert run("predict", model, table) == 0


def test_options_that_do_not_agree_are_errors(tmp_path, capsys):
    table = written(tmp_path, ["a,b,y", *(f"{row % 7},{row % 5},{row % 2}" for row in range(50))])
    for options, message in (
        (["--numbers", "a", "--categories", "a"], "--categories must name other columns than the options"),
        (["--dates", "y"], "--dates must not name the target 'y'"),
        (["--numbers", "z"], "--numbers must name a column"),
        (["--decimal", ",", "--thousands", ","], "--thousands must be another character than --decimal"),
        (["--dates", "a"], "column 'a' must hold dates to be read as such, got numbers"),
    ):
        assert run("train", table, "--target", "y", *options) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([f"{row},5" for row in range(60)], "look like numbers with a decimal comma: --decimal ','"),
        (["?x", *map(str, range(59))], "look like numbers, but for such as '?x': --na-values '?x'"),
        ([f"name {row}" for row in range(60)], "look like texts or ids, which cannot be predicted"),
    ],
)
def test_too_many_classes_say_what_they_may_be(tmp_path, capsys, values, message):
    table = written(tmp_path, ["a;y", *(f"{row % 7};{value}" for row, value in enumerate(values))])
    assert run("train", table, "--sep", ";", "--target", "y") == 2
    assert f"60 classes in 60 rows: they {message}" in capsys.readouterr().err
    assert run("train", table, "--sep", ";", "--target", "y", "--task", "regression") == 2
