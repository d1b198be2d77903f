"""`fastfnn train` with the tabular network, and the other commands on its models, in this process."""

import csv
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from small_tables import flats, run

import fastfnn.tabular
from fastfnn import interruption, tables
from fastfnn.cli import train, train_tabular
from fastfnn.kernels.workers import threads

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--preset", "fast", "--layers", "6", "--epochs", "3"]
NAMES = {"price": ["--quantiles", "0.1,0.5,0.9"], "kind": [], "rooms": ["--categories", "garden"], "garden": []}


def holes():
    """A table of flats in which values are missing, of the target too."""
    frame = flats(160)
    frame.loc[[1, 5], "area"] = np.nan
    frame.loc[3, "city"] = None
    frame.loc[7, "price"] = np.nan
    return frame


TABLE = holes()


def trained(target, *options):
    return run("train", "flats.csv", "--target", target, "--out", "m.st", *SMALL, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table, and with a model of each column of `NAMES`."""
    folder = tmp_path_factory.mktemp("tabular")
    TABLE.to_csv(folder / "flats.csv", index=False)
    for name, options in NAMES.items():
        line = ["train", folder / "flats.csv", "--target", name, "--out", folder / f"{name}.st", *SMALL, "--quiet"]
        assert run(*line, *options) == 0
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The tests are in a folder with a table; the number of threads is restored afterwards."""
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("flats.csv", index=False)
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def test_train_says_what_it_found_and_what_came_out(capsys):
    assert trained("price", "--ignore", "kind") == 0
    output = capsys.readouterr()
    *found, network, result, saved = output.out.splitlines()
    assert found == [
        "flats.csv: 160 rows, 8 columns",
        "left out: 1 rows without a target",
        "task: regression of 'price', 155 different numbers (--task classification if these are labels)",
        "columns: 3 of numbers; 1 of categories: city (3)",
        "left out: id (row numbers), country (a single value), kind (ignored)",
        "left out although values differ: 'id' (row numbers: --numbers 'id' uses it as numbers); --ignore 'id' leaves "
        "it out without this warning",
        "missing values: area (2), city (1); the network learns what they mean",
        "rows: 143 for training, 16 for validation, drawn at random",
    ]
    assert re.fullmatch(r"network: \d+-6-1 relu, \d+ members, [\d,]+ parameters, preset fast", network)
    number = r"-?\d[\d.]*"
    assert re.fullmatch(
        rf"validation RMSE {number}, MAE {number}, R2 {number} after 3 epochs, the best is \d, {number} s of training",
        result,
    )
    assert saved == "model: m.st"
    assert output.err == "", "progress is for a terminal"
    assert fastfnn.tabular.load("m.st").progress is False


def test_quiet_prints_the_result_only(capsys):
    assert run("train", "flats.csv", "--target", "kind", "--quiet", *SMALL) == 0
    output = capsys.readouterr()
    assert re.fullmatch(r"validation accuracy [\d.]+, log loss [\d.]+ after 3 epochs, .*\n", output.out)
    assert output.err == ""


def reason(*arguments, ranks=1):
    parser = sys.modules["fastfnn.cli.main"]._parser()
    return train._reason_for_plain(parser.parse_args(["train", "flats.csv", *arguments]), ranks)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ""), ("--epochs 5 --batch-size 7 --seed 1 --threads 1 --patience 2 --valid 0 --balanced", ""),
        ("--preset best --layers 5 --dropout 0.1 --learning-rate 0.1 --weight-decay 0.1", ""),
        ("--quantiles 0.5 --layers 5", ""), ("--time-budget 9 --dropout 0.1", ""), ("--alone", ""),
        ("--preset plain", "--preset plain"), ("--preset plain --layers 5", "--preset plain"),
        ("--layers 5", "--layers"), ("--dropout 0.1", "--dropout"), ("--learning-rate 0.1", "--learning-rate"),
        ("--weight-decay 0.1", "--weight-decay"), ("--missing median", "--missing"), ("--init he", "--init"),
        ("--activation relu", "--activation"), ("--dtype float64", "--dtype"), ("--optimizer sgd", "--optimizer"),
        ("--sampling shuffle", "--sampling"), ("--average-every 2", "--average-every"),
        ("--fixed-order", "--fixed-order"),
    ],
)  # fmt: skip
def test_options_of_a_plain_network_choose_it(arguments, expected):
    assert reason(*arguments.split()) == expected


def test_several_ranks_train_a_plain_network():
    assert reason(ranks=4) == "4 ranks"
    with pytest.raises(ValueError, match="--preset is for the tabular network, and 2 ranks for a plain one"):
        reason("--preset", "best", ranks=2)


def test_the_preset_of_a_plain_network_trains_one(capsys):
    assert run("train", "flats.csv", "--target", "kind", "--ignore", "price,area,city", "--preset", "plain") == 0
    assert "\nmodel: plain network, because of --preset plain\nnetwork: 2-256-128-2 relu, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--quantiles 0.5 --optimizer sgd", "--quantiles is for the tabular network, and --optimizer for a plain one"),
        ("--preset plain --time-budget 9", "--time-budget is for the tabular network, and --preset plain for a plain"),
        ("--preset fast --missing median", "--preset is for the tabular network, and --missing for a plain one"),
        ("--quantiles 0.5,0.1", "argument --quantiles: expected numbers between 0 and 1 in ascending order, got"),
        ("--quantiles 0,0.1", "argument --quantiles: expected numbers between 0 and 1"),
        ("--quantiles all", "argument --quantiles: expected numbers between 0 and 1"),
        ("--quantiles 0.5 --target kind", "--quantiles is for regression"),
        ("--time-budget 0", "--time-budget must be at least"),
        ("--preset fast --layers=", "--layers must name at least one layer of the tabular network"),
        ("--preset good", "argument --preset: invalid choice: 'good'"),
        ("--epochs 0", "--epochs must be at least 1, got 0"),
        ("--patience 0", "--patience must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line_and_status_2(capsys, arguments, message):
    assert run("train", "flats.csv", "--target", "price", *arguments.split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.match(f"fastfnn train: {re.escape(message)}", error)


def test_options_of_the_tabular_network_are_not_for_images(capsys):
    assert run("train", "--preset", "fast") == 2
    assert "--preset is for tables, and mnist10k holds images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--layers", "7"], ["--epochs", "2"], ["--batch-size", "7"], ["--batch-size", "all"], ["--balanced"],
        ["--learning-rate", "0.1"], ["--weight-decay", "0.5"], ["--dropout", "0.5"], ["--seed", "1"],
        ["--valid", "0.3"], ["--valid", "0"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_options_of_the_training_have_an_effect(folder, arguments):
    assert trained("kind", *arguments) == 0
    before, after = tables.load(folder / "kind.st"), tables.load("m.st")
    assert before.network.params.tobytes() != after.network.params.tobytes()


def test_the_same_seed_gives_the_same_model(folder):
    assert trained("kind", "--seed", "0", "--threads", "1", "--time-budget", "600") == 0
    before, after = tables.load(folder / "kind.st"), tables.load("m.st")
    assert after.estimator.time_budget == 600
    assert before.network.params.tobytes() == after.network.params.tobytes()


def test_a_log_has_a_row_for_each_epoch_and_curves_are_drawn(tmp_path):
    assert trained("price", "--log", "run.csv", "--plot", "loss.png") == 0
    log = pd.read_csv("run.csv")
    assert log["epoch"].tolist() == [1, 2, 3] and np.isfinite(log.to_numpy()).all()
    assert {"loss", "learning_rate", "seconds"} <= set(log.columns)
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (interruption.Terminated(), 143, "terminated"),
        (FloatingPointError("it diverged"), 1, "it diverged"),
    ],
)
def test_a_training_that_is_cut_short_saves_the_best_model_so_far(monkeypatch, capsys, error, status, message):
    def stop(told, network, history):
        if history.epochs == 2:
            raise error

    monkeypatch.setattr(train_tabular._Watcher, "epoch", stop)
    assert trained("price", "--quiet") == status
    assert capsys.readouterr() == ("", f"fastfnn train: {message}; the best model so far is saved: m.st\n")
    assert np.isfinite(tables.load("m.st").predict(TABLE)).all()


def test_a_training_that_is_cut_short_at_once_saves_nothing(monkeypatch, capsys, tmp_path):
    def stop(told, network, history):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_tabular._Watcher, "begin", stop)
    assert trained("price", "--quiet") == 130
    assert "interrupted; nothing is saved, for the network is still untrained" in capsys.readouterr().err
    assert not (tmp_path / "m.st").exists()


def test_validation_rows_may_be_in_a_file_or_not_at_all(capsys):
    flats(30, seed=1).to_csv("valid.csv", index=False)
    assert trained("price", "--valid", "valid.csv") == 0
    assert "rows: 159 for training, 30 for validation, valid.csv\n" in capsys.readouterr().out
    assert trained("price", "--valid", "0") == 0
    output = capsys.readouterr().out
    assert "rows: 159 for training, none for validation\n" in output
    assert re.search("\ntraining RMSE .* after 3 epochs, [0-9.]+ s", output)
    assert tables.load("m.st").estimator.validation_scores_ == []


def test_each_class_has_a_row_for_training(capsys):
    frame = TABLE.assign(kind=np.where(np.arange(160) < 20, np.arange(160).astype(str), "common"))
    frame.to_csv("flats.csv", index=False)
    assert trained("kind", "--valid", "0.5") == 0
    assert len(tables.load("m.st").labels) == 21


# The other commands


def predictions(capsys, *arguments):
    capsys.readouterr()
    assert run("predict", *arguments) == 0
    return list(csv.reader(capsys.readouterr().out.splitlines()))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_predicts_and_is_loaded_in_python(folder, capsys, name):
    model, estimator = tables.load(folder / f"{name}.st"), fastfnn.tabular.load(folder / f"{name}.st")
    head, *rows = predictions(capsys, folder / f"{name}.st", "flats.csv")
    predicted = model.predict(TABLE)
    assert head[0] == "prediction" and [row[0] for row in rows] == [str(value) for value in predicted]
    assert model.target == name and model.network.layer_sizes[-2] == 6
    assert estimator.predict(model.prepared(TABLE)).astype(predicted.dtype).tolist() == predicted.tolist()
    if name != "price":
        assert set(predicted.tolist()) <= set(model.labels)
        head, *rows = predictions(capsys, folder / f"{name}.st", "flats.csv", "--proba")
        assert head[1:] == [f"probability_{label}" for label in model.labels]
        np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), model.predict_proba(TABLE))
    assert model.predict(TABLE[:0]).shape == (0,)
    assert repr(model).startswith("TabularModel(")


def test_a_model_of_quantiles_predicts_a_column_for_each(folder, capsys):
    head, *rows = predictions(capsys, folder / "price.st", "flats.csv")
    assert head == ["prediction", "quantile_0.1", "quantile_0.5", "quantile_0.9"]
    values = np.array(rows, float)
    assert (np.diff(values[:, 1:], axis=1) >= 0).all() and (values[:, 0] == values[:, 2]).all()
    with pytest.raises(ValueError, match="quantiles need a model"):
        tables.load(folder / "kind.st").predict_quantiles(TABLE)
    assert tables.load(folder / "price.st").predict_quantiles(TABLE[:0]).shape == (0, 3)


def test_evaluate_tells_how_many_rows_are_below_each_quantile(folder, capsys):
    rows = TABLE.dropna(subset="price")
    rows.to_csv("whole.csv", index=False)
    assert run("evaluate", folder / "price.st", "whole.csv") == 0
    first, *more = capsys.readouterr().out.splitlines()
    assert first.startswith("159 rows: RMSE ")
    shares = (rows["price"].to_numpy()[:, None] < tables.load(folder / "price.st").predict_quantiles(rows)).mean(0)
    assert more == [
        f"below the quantile {level}: {100 * share:.1f} % of the rows"
        for level, share in zip((0.1, 0.5, 0.9), shares, strict=True)
    ]
    assert run("evaluate", folder / "price.st", "whole.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["below"] == pytest.approx(dict(zip(("0.1", "0.5", "0.9"), shares, strict=True)))


def test_evaluate_prints_and_draws_classes(folder, capsys, tmp_path):
    assert run("evaluate", folder / "kind.st", "flats.csv", "--plot", "c.png") == 0
    output = capsys.readouterr().out
    accuracy = (tables.load(folder / "kind.st").predict(TABLE) == TABLE["kind"]).mean()
    assert output.startswith(f"160 rows: accuracy {accuracy:.4f}, log loss ")
    assert "rows by their class, columns by the prediction:\n" in output
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_categories_that_the_model_does_not_know_are_told(folder, capsys, command):
    assert run(command, folder / "kind.st", "flats.csv") == 0
    assert capsys.readouterr().err == ""
    rows = TABLE.copy()
    rows.loc[[1, 4, 6], "city"] = "Nara", "Kobe", "Nara"
    rows.to_csv("new.csv", index=False)
    assert run(command, folder / "kind.st", "new.csv") == 0
    assert capsys.readouterr().err == (
        f"fastfnn {command}: warning: 'city' has 3 values that the model does not know, such as 'Nara': they are "
        "predicted like no category\n"
    )


def test_numbers_that_are_categories_are_texts_as_they_are_written(capsys):
    TABLE.assign(zip=np.where(TABLE["area"] > 70, "007", "07")).to_csv("flats.csv", index=False)
    assert trained("kind", "--categories", "zip", "--ignore", "area") == 0
    assert run("predict", "m.st", "flats.csv") == 0
    assert capsys.readouterr().err == "", "all categories are known"


def test_columns_that_are_categories_by_an_option_are_used_unless_no_value_occurs_twice(capsys):
    shops, codes = np.arange(160) % 90, np.arange(160) * 7
    TABLE.assign(shop=shops, code=codes).to_csv("flats.csv", index=False)
    assert trained("kind", "--categories", "shop,code") == 0
    output = capsys.readouterr().out
    assert "; 3 of categories: city (3), shop (" in output
    assert "\nnot used after all: code (144 categories, each in fewer than 2 rows)\nvalidation accuracy " in output
    kinds = {column.name: column.kind for column in fastfnn.tabular.load("m.st").columns_}
    assert (kinds["shop"], kinds["code"]) == ("category", "left out")


def with_dates(**more):
    days = pd.date_range("2020-01-31 09:30", periods=160, freq="37h", unit="us")
    return TABLE[["area", "price"]].assign(
        built=days.where(TABLE["id"] != 5), sold=days.tz_localize("Asia/Tokyo"), **more
    )


def test_dates_of_csv_and_parquet_files_are_used(capsys):
    with_dates().to_csv("dates.csv", index=False)
    with_dates().to_parquet("dates.parquet")
    got = {}
    for name in ("dates.csv", "dates.parquet"):
        assert run("train", name, "--target", "price", "--out", name + ".st", *SMALL) == 0
        output = capsys.readouterr().out
        assert "\ncolumns: 1 of numbers; 2 of dates: built, sold\n" in output
        assert "\nmissing values: area (2), built (1); the network" in output
        assert run("predict", name + ".st", "dates.csv") == 0
        got[name] = capsys.readouterr().out
        assert run("predict", name + ".st", "dates.parquet") == 0
        assert capsys.readouterr().out == got[name]
    assert got["dates.csv"] == got["dates.parquet"]
    assert run("info", "dates.csv.st") == 0
    output = capsys.readouterr().out
    assert re.search(
        r"\n  built: a date, 2020-01-31T09:30:00 to 2020-\d\d-\d\dT[\d:]+, time of day, day of week, may be missing\n",
        output,
    )
    assert re.search(r"\n  sold: a date, 2020-01-31T00:30:00Z to \S+Z, time of day, day of week\n", output)
    assert run("info", "dates.csv.st", "--json") == 0
    told = {column["name"]: column for column in json.loads(capsys.readouterr().out)["columns"]}
    assert told["built"]["kind"] == "date" and told["built"]["cycles"] == ["time of day", "day of week"]


def test_dates_that_are_not_like_those_of_the_training_are_one_line(capsys):
    with_dates().to_csv("dates.csv", index=False)
    assert run("train", "dates.csv", "--target", "price", "--out", "m.st", *SMALL, "--quiet") == 0
    days = with_dates()["sold"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for changes, message in (
        ({"built": 2020}, "column 'built', row 1, must be a date such as 2020-01-31 or 2020-01-31T17:30, got 2020"),
        (
            {"sold": "2020-02-01"},
            "column 'sold' must hold dates with time zones, as in fit; got dates without time zones",
        ),
        (
            {"sold": days.where(TABLE["id"] != 2, "2020-02-01")},
            "column 'sold', row 3, must have a time zone, as others",
        ),
    ):
        with_dates().assign(**changes).to_csv("other.csv", index=False)
        capsys.readouterr()
        assert run("predict", "m.st", "other.csv") == 2
        assert capsys.readouterr().err.startswith(f"fastfnn predict: {message}")


def test_a_plain_network_leaves_dates_out(capsys):
    with_dates().drop(columns="area").assign(rooms=TABLE["rooms"]).dropna().to_csv("dates.csv", index=False)
    assert run("train", "dates.csv", "--target", "price", "--preset", "plain", "--layers", "4", "--epochs", "1") == 0
    assert "\nleft out: built (dates), sold (dates)\n" in capsys.readouterr().out


def test_what_cannot_be_predicted_is_one_line(folder, capsys):
    TABLE.drop(columns="area").to_csv("bad.csv", index=False)
    assert run("predict", folder / "kind.st", "bad.csv") == 2
    assert "the table must have the column 'area'" in capsys.readouterr().err
    TABLE.assign(area=np.inf).to_csv("bad.csv", index=False)
    assert run("predict", folder / "kind.st", "bad.csv") == 2
    assert "column 'area', row 1, must be finite, got inf" in capsys.readouterr().err
    assert run("predict", folder / "price.st", "flats.csv", "--proba") == 2
    assert "--proba needs a model of classes" in capsys.readouterr().err
    assert run("export", folder / "kind.st", "--onnx", "m.onnx") == 2
    assert "fastfnn train --preset plain makes a model that ONNX can hold" in capsys.readouterr().err


def test_info_prints_what_a_model_holds(folder, capsys):
    assert run("info", folder / "kind.st") == 0
    output = capsys.readouterr().out
    for text in (
        f"by fastfnn {fastfnn.__version__}", "task: classification of 'kind'", "classes: large, small", "columns: 5\n",
        "  city: 3 categories, Kyoto, Osaka, Tokyo", "  area: a number", "loss softmax_cross_entropy",
    ):  # fmt: skip
        assert text in output
    assert run("info", folder / "price.st", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quantiles"] == [0.1, 0.5, 0.9] and told["target"] == "price"
    assert told["network"]["layer_sizes"][1:] == [6, 3]


def test_an_estimator_that_no_table_made_is_for_python(folder, capsys):
    tables.load(folder / "kind.st").estimator.save("estimator.st")
    assert run("predict", "estimator.st", "flats.csv") == 2
    assert "estimator.st holds an estimator: fastfnn.tabular.load reads it" in capsys.readouterr().err
    assert run("info", "estimator.st") == 0
    assert "estimator: TabularClassifier, which fastfnn.tabular.load reads" in capsys.readouterr().out
