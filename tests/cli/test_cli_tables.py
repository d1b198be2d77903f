"""`fastfnn train` with a plain network, `predict`, `evaluate`, `info` and `export` on tables, in this process."""

import csv
import functools
import io
import json
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from small_tables import flats, model, run, train

import fastfnn as fnn
from fastfnn import cli, interruption, tables
from fastfnn.kernels.workers import threads
from fastfnn.tables import reading

PNG = b"\x89PNG\r\n\x1a\n"
TABLE = flats()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The tests are in a folder with a table and models; the number of threads is restored afterwards."""
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("flats.csv", index=False)
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.fixture
def models():
    for name in ("price", "kind"):
        model(name).save(f"{name}.st")


# train


def test_train_says_what_it_found_and_what_came_out(capsys):
    assert train("flats.csv", "--ignore", "kind", "--out", "m.st") == 0
    output = capsys.readouterr()
    *found, result, saved = output.out.splitlines()
    assert found == [
        "flats.csv: 60 rows, 8 columns",
        "task: regression of 'price', 59 different numbers (--task classification if these are labels)",
        "columns: 3 of numbers, standardized; 1 of categories, one-hot: city (3)",
        "left out: id (row numbers), country (a single value), kind (ignored)",
        "left out although values differ: 'id' (row numbers: --numbers 'id' uses it as numbers); --ignore 'id' leaves "
        "it out without this warning",
        "rows: 54 for training, 6 for validation, drawn at random",
        "model: plain network, because of --layers",
        "network: 6-6-1 relu, 49 parameters, adam",
    ]
    number = r"-?\d[\d.]*"
    assert re.fullmatch(
        rf"validation RMSE {number}, MAE {number}, R2 {number} after 3 epochs, the best is \d, {number} s of training",
        result,
    )
    assert saved == "model: m.st"
    assert output.err == "", "progress is for a terminal"


def test_quiet_prints_the_result_only(capsys):
    assert train("flats.csv", "--quiet", target="kind") == 0
    output = capsys.readouterr()
    assert re.fullmatch(r"validation accuracy [\d.]+, log loss [\d.]+ after 3 epochs, .*\n", output.out)
    assert output.err == ""


def test_a_model_that_is_not_saved_is_told(capsys):
    assert train("flats.csv") == 0
    assert capsys.readouterr().out.endswith("the model is not saved: --out FILE saves it\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_terminal_a_line_shows_the_progress_and_is_erased(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert train("flats.csv") == 0
    lines = terminal.getvalue().split("\r")
    assert any(re.match(r" *\d+% .* rows/s, .* left  epoch \d/3", line) for line in lines)
    assert lines[-1] == "" and not lines[-2].strip(), "the last thing that is printed erases the line"
    assert "\n" not in terminal.getvalue()


def test_a_process_without_standard_output_trains(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert train("flats.csv", "--out", "m.st") == 0
    assert tables.load("m.st").target == "price"


def test_the_same_seed_gives_the_same_model_and_another_another():
    nets = []
    for seed in (1, 1, 2):
        assert train("flats.csv", "--out", "m.st", "--seed", seed, "--threads", "1") == 0
        nets.append(tables.load("m.st"))
    bits = [net.network.params.flat.tobytes() for net in nets]
    assert bits[0] == bits[1] != bits[2]
    assert nets[0].described()["columns"] == nets[1].described()["columns"] != nets[2].described()["columns"]


OPTIONS = {
    "layers": (["--layers", "4,3"], lambda net: net.layer_sizes[1:-1] == (4, 3)),
    "no layers": (["--layers", ""], lambda net: len(net.layer_sizes) == 2),
    "activation": (["--activation", "tanh"], lambda net: net.activation == ("tanh",)),
    "dropout": (["--dropout", "0.5"], lambda net: net.dropout == 0.5),
    "weight decay": (["--weight-decay", "0.01"], lambda net: net.weight_decay == 0.01),
    "dtype": (["--dtype", "float64"], lambda net: net.dtype == "float64"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_of_the_network(case):
    arguments, check = OPTIONS[case]
    assert train("flats.csv", "--out", "m.st", *arguments) == 0
    assert check(fnn.load("m.st"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--optimizer", "sgd"], ["--learning-rate", "0.1"], ["--batch-size", "7"], ["--batch-size", "all"],
        ["--sampling", "replacement"], ["--init", "he"], ["--epochs", "2"], ["--valid", "0.3"], ["--balanced"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_options_of_the_training_have_an_effect(arguments):
    flat = []
    for more in ([], arguments):
        assert train("flats.csv", "--out", "m.st", "--batch-size", "5", *more, target="kind") == 0
        flat.append(fnn.load("m.st").params.flat.tobytes())
    assert flat[0] != flat[1]


def test_training_stops_when_the_validation_loss_no_longer_improves(capsys):
    assert train("flats.csv", "--epochs", "2000", "--patience", "3", "--learning-rate", "0.05", "--out", "m.st") == 0
    found = re.search(r"after (\d+) epochs, the best is (\d+)", capsys.readouterr().out)
    assert int(found[1]) == int(found[2]) + 3 < 2000


def test_validation_rows_may_be_in_a_file_or_not_at_all(capsys):
    flats(30, seed=1).to_csv("valid.csv", index=False)
    assert train("flats.csv", "--valid", "valid.csv") == 0
    assert "rows: 60 for training, 30 for validation, valid.csv\n" in capsys.readouterr().out
    assert train("flats.csv", "--valid", "0") == 0
    output = capsys.readouterr().out
    assert "rows: 60 for training, none for validation\n" in output
    assert re.search("\ntraining RMSE .* after 3 epochs, [0-9.]+ s", output)


def test_missing_values_are_refused_or_filled_in_as_chosen(capsys):
    frame = TABLE.copy()
    frame.loc[[1, 5], "area"] = np.nan
    frame.loc[3, "city"] = None
    frame.loc[7, "price"] = np.nan
    frame.to_csv("holes.csv", index=False)
    assert train("holes.csv") == 2
    assert capsys.readouterr().err == (
        "fastfnn train: column 'price', row 8, has no value: --missing median or --missing mean leaves out rows "
        "without a target\n"
    )
    assert train("holes.csv", "--missing", "median", "--valid", "0", "--out", "m.st") == 0
    output = capsys.readouterr().out
    assert "left out: 1 rows without a target\n" in output
    assert "missing values: area (2), city (1); filled in by the median, or the most frequent category\n" in output
    assert run("predict", "m.st", "holes.csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 61


def test_a_log_has_a_row_for_each_epoch_and_is_written_as_it_goes(monkeypatch):
    assert train("flats.csv", "--log", "run.csv", target="kind") == 0
    log = pd.read_csv("run.csv")
    assert list(log.columns) == [
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "samples_per_second",
    ]  # fmt: skip
    assert log["epoch"].tolist() == [1, 2, 3] and np.isfinite(log.to_numpy()).all()
    stop_in(monkeypatch, KeyboardInterrupt(), epoch=2)
    assert train("flats.csv", "--log", "run.csv") == 130
    assert len(pd.read_csv("run.csv")) == 2


def test_curves_are_drawn(tmp_path):
    assert train("flats.csv", "--plot", "loss.png") == 0
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


def stop_in(monkeypatch, error, epoch):
    """Raise an error after an epoch of the training."""
    fit = fnn.FNN.fit

    def stopping(net, *arguments, callbacks, **options):
        def stop(net, history):
            if history.epochs == epoch:
                raise error

        return fit(net, *arguments, callbacks=[*callbacks, stop], **options)

    monkeypatch.setattr(fnn.FNN, "fit", stopping)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (interruption.Terminated(), 143, "terminated"),
        (FloatingPointError("it diverged"), 1, "it diverged"),
    ],
)
def test_a_training_that_is_cut_short_saves_the_best_model_so_far(monkeypatch, capsys, error, status, message):
    assert train("flats.csv", "--epochs", "2", "--out", "want.st") == 0
    stop_in(monkeypatch, error, epoch=2)
    capsys.readouterr()
    assert train("flats.csv", "--epochs", "50", "--quiet", "--out", "m.st") == status
    assert capsys.readouterr() == ("", f"fastfnn train: {message}; the best model so far is saved: m.st\n")
    want, got = tables.load("want.st"), tables.load("m.st")
    assert got.predict(TABLE).tolist() == want.predict(TABLE).tolist()


@pytest.mark.parametrize("data", ["x.npz", "x.npy"])
def test_arrays_train_too(data):
    x = TABLE[["area", "rooms"]].to_numpy()
    np.save("x.npy", x)
    np.save("t.npy", TABLE["garden"])
    np.savez("x.npz", x=x, t=TABLE["garden"])
    target = [] if data == "x.npz" else ["--target", "t.npy"]
    assert run("train", data, *target, "--epochs", "2", "--out", "m.st") == 0
    assert tables.load("m.st").labels == [False, True]
    assert run("predict", "m.st", "x.npy") == 0
    assert run("evaluate", "m.st", data, *target) == 0


def test_prepared_rows_beyond_memory_are_in_a_temporary_file(monkeypatch, capsys):
    from fastfnn.tables import training

    models = []
    for limit in (2**30, 0):
        monkeypatch.setattr(training, "IN_MEMORY", limit)
        assert train("flats.csv", "--out", "m.st") == 0
        models.append(fnn.load("m.st").params.flat.tobytes())
        assert ("are in a temporary file\n" in capsys.readouterr().out) == (limit == 0)
    assert models[0] == models[1]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_categories_that_the_model_does_not_know_are_told(models, capsys, monkeypatch, command):
    monkeypatch.setattr(reading, "parts", functools.partial(reading.parts, rows=4))
    assert run(command, "kind.st", "flats.csv") == 0
    assert capsys.readouterr().err == ""
    rows = TABLE.copy()
    rows.loc[[1, 3, 6], "city"] = "Nara", "Kobe", "Nara"
    rows.to_csv("new.csv", index=False)
    assert run(command, "kind.st", "new.csv") == 0
    assert capsys.readouterr().err == (
        f"fastfnn {command}: warning: 'city' has 3 values that the model does not know, such as 'Nara': they are "
        "predicted like no category\n"
    )


def test_numbers_may_be_categories():
    assert train("flats.csv", "--categories", "rooms", "--out", "m.st") == 0
    assert dict(tables.load("m.st").preparation.columns[2]._asdict())["values"] == ("1", "2", "3", "4", "5")
    assert run("predict", "m.st", "flats.csv") == 0


BAD = {
    "no file": (["nothing.csv", "--target", "a"], r"No such file or directory: 'nothing\.csv'"),
    "no target": (["flats.csv"], "--target must name the column to predict: id, area"),
    "wrong target": (["flats.csv", "--target", "Price"], "got 'Price'; did you mean 'price'"),
    "ignored target": (["flats.csv", "--target", "price", "--ignore", "price"], "--ignore must not name the target"),
    "wrong column": (["flats.csv", "--target", "price", "--ignore", "citty"], "--ignore must name a column.*'city'"),
    "valid": (["flats.csv", "--target", "price", "--valid", "much"], "--valid must be a share of the rows"),
    "valid 1": (["flats.csv", "--target", "price", "--valid", "1"], "--valid must be less than 1"),
    "valid tiny": (["flats.csv", "--target", "price", "--valid", "0.001"], "leaves none for training or none to hold"),
    "text as number": (["flats.csv", "--target", "kind", "--task", "regression"], "column 'kind', row 1, must be"),
    "fractions": (["flats.csv", "--target", "price", "--task", "classification"], "classes must be whole numbers"),
    "balanced": (["flats.csv", "--target", "price", "--balanced"], "--balanced is for classification"),
    "epochs": (["flats.csv", "--target", "price", "--epochs", "0"], "--epochs must be at least 1, got 0"),
    "patience": (["flats.csv", "--target", "price", "--patience", "0"], "--patience must be at least 1, got 0"),
    "patience without validation": (
        ["flats.csv", "--target", "price", "--patience", "3", "--valid", "0"],
        "--patience needs rows for validation, and --valid is 0",
    ),
    "sep": (["flats.csv", "--target", "price", "--sep", ",,"], "--sep: expected one character"),
    "out": (["flats.csv", "--target", "price", "--out", "no/m.st"], "--out must name a file in an existing folder"),
    "log": (["flats.csv", "--target", "price", "--log", "no/m.st"], "--log must name a file in an existing folder"),
    "no columns": (["flats.csv", "--target", "price", "--ignore", "area,rooms,city,garden,kind"], "no column is left"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(capsys, case):
    arguments, message = BAD[case]
    assert run("train", *arguments) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"^fastfnn train: .*{message}", error)


def test_a_warning_is_one_line(monkeypatch, capsys):
    import warnings

    monkeypatch.setattr("fastfnn.backend.show_config", lambda: warnings.warn("careful\nnow", stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("info") == 0
    assert capsys.readouterr().err == "fastfnn info: warning: careful now\n"


# predict


def predictions(capsys, *arguments):
    capsys.readouterr()
    assert run("predict", *arguments) == 0
    return list(csv.reader(capsys.readouterr().out.splitlines()))


def test_predict_prints_a_prediction_for_each_row_in_the_shortest_form(models, capsys):
    head, *rows = predictions(capsys, "price.st", "flats.csv")
    want = tables.load("price.st").predict(TABLE)
    assert head == ["prediction"] and [row[0] for row in rows] == [str(value) for value in want]
    assert np.array_equal(np.array([row[0] for row in rows], np.float32), want)
    assert max(len(row[0]) for row in rows) < 12


def test_predict_prints_labels_and_their_probabilities(models, capsys):
    head, *rows = predictions(capsys, "kind.st", "flats.csv", "--proba")
    made = tables.load("kind.st")
    assert head == ["prediction", "probability_large", "probability_small"]
    assert [row[0] for row in rows] == made.predict(TABLE).tolist()
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), made.predict_proba(TABLE))


def test_rows_come_from_parquet_or_standard_input_or_in_parts(models, capsys, monkeypatch):
    want = predictions(capsys, "price.st", "flats.csv")
    TABLE.to_parquet("flats.parquet")
    assert predictions(capsys, "price.st", "flats.parquet") == want
    for arguments in (["price.st"], ["price.st", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.to_csv(index=False).encode())))
        assert predictions(capsys, *arguments) == want
    parts = tables.model.pd.read_csv

    def small(*arguments, **options):
        return parts(*arguments, **options | {"chunksize": 7})

    monkeypatch.setattr(pd, "read_csv", small)
    got = predictions(capsys, "price.st", "flats.csv")
    np.testing.assert_allclose(np.array(got[1:], np.float32), np.array(want[1:], np.float32), rtol=1e-5)


def test_predictions_go_to_a_file_that_is_whole_or_not_there(models, capsys, tmp_path):
    want = predictions(capsys, "price.st", "flats.csv")
    assert run("predict", "price.st", "flats.csv", "--out", "p.csv") == 0
    assert list(csv.reader((tmp_path / "p.csv").read_text().splitlines())) == want
    TABLE.drop(columns="area").to_csv("bad.csv", index=False)
    assert run("predict", "price.st", "bad.csv", "--out", "q.csv") == 2
    assert not (tmp_path / "q.csv").exists()


def test_a_terminal_is_no_table(models, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert run("predict", "price.st") == 2
    assert "standard input is a terminal: name a table" in capsys.readouterr().err


def test_no_rows_give_the_head_only(models, capsys):
    TABLE[:0].to_csv("none.csv", index=False)
    assert predictions(capsys, "price.st", "none.csv") == [["prediction"]]


def test_what_predict_cannot_use_is_one_line(models, capsys):
    TABLE.drop(columns="area").to_csv("bad.csv", index=False)
    for arguments, message in (
        (["price.st", "bad.csv"], "the table must have the column 'area'"),
        (["price.st", "no.csv"], "No such file"),
        (["no.st", "flats.csv"], "No such file"),
        (["flats.csv", "flats.csv"], r"flats\.csv is not a safetensors file"),
        (["price.st", "flats.csv", "--proba"], "--proba needs a model of classes"),
    ):
        assert run("predict", *arguments) == 2
        output = capsys.readouterr()
        assert output.out == "" and re.fullmatch(f"fastfnn predict: .*{message}.*\n", output.err)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_a_closed_pipe_is_silent(models):
    big = pd.concat([TABLE] * 400)
    big.to_csv("big.csv", index=False)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fastfnn.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", "price.st", "big.csv"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"prediction\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 128 + signal.SIGPIPE


# evaluate


def test_evaluate_prints_scores_a_table_of_classes_and_the_confusion_matrix(models, capsys):
    from sklearn import metrics

    assert run("evaluate", "kind.st", "flats.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    made = tables.load("kind.st")
    predicted, truth = made.predict(TABLE), TABLE["kind"]
    accuracy = metrics.accuracy_score(truth, predicted)
    p = made.predict_proba(TABLE).astype(float)
    loss = metrics.log_loss(truth, p / p.sum(axis=1, keepdims=True), labels=["large", "small"])
    assert lines[0] == f"60 rows: accuracy {accuracy:.4f}, log loss {loss:.4f}"
    recall = metrics.recall_score(truth, predicted, average=None)
    assert lines[3].split()[0] == "large" and float(lines[3].split()[2]) == pytest.approx(recall[0], abs=1e-4)
    matrix = [list(map(int, line.split()[1:])) for line in lines[-2:]]
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(truth, predicted))


def test_evaluate_prints_the_errors_of_numbers(models, capsys):
    assert run("evaluate", "price.st", "flats.csv") == 0
    error = TABLE["price"] - tables.load("price.st").predict(TABLE)
    found = re.fullmatch(r"60 rows: RMSE (.*), MAE (.*), R2 (.*)\n", capsys.readouterr().out)
    assert float(found[1]) == pytest.approx((error**2).mean() ** 0.5, rel=1e-4)
    assert float(found[2]) == pytest.approx(error.abs().mean(), rel=1e-4)


def test_evaluate_prints_one_object_of_json(models, capsys):
    for name, keys in (
        ("kind", {"accuracy", "log_loss", "classes", "confusion"}), ("price", {"rmse", "mae", "r2"}),
    ):  # fmt: skip
        assert run("evaluate", f"{name}.st", "flats.csv", "--json", "--plot", "c.png") == 0
        told = json.loads(capsys.readouterr().out)
        assert set(told) == {"task", "target", "rows"} | keys and told["rows"] == 60


@pytest.mark.parametrize("name", ["kind", "price"])
def test_evaluate_draws(models, tmp_path, capsys, name, monkeypatch):
    from fastfnn.cli import charts

    assert run("evaluate", f"{name}.st", "flats.csv", "--plot", "c.png") == 0
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)
    assert capsys.readouterr().out.endswith("chart: c.png\n")
    monkeypatch.setattr(charts, "POINTS_UP_TO", 10)
    assert run("evaluate", f"{name}.st", "flats.csv", "--plot", "c.svg") == 0
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


def test_evaluate_needs_the_target_and_known_classes(models, capsys):
    TABLE.drop(columns="kind").to_csv("bad.csv", index=False)
    assert run("evaluate", "kind.st", "bad.csv") == 2
    assert "must have the column 'kind', the target" in capsys.readouterr().err
    TABLE.assign(kind="huge").to_csv("bad.csv", index=False)
    assert run("evaluate", "kind.st", "bad.csv") == 2
    assert "column 'kind', row 1, must be one of the classes large, small; got 'huge'" in capsys.readouterr().err
    TABLE.rename(columns={"kind": "size"}).to_csv("other.csv", index=False)
    assert run("evaluate", "kind.st", "other.csv", "--target", "size") == 0


# Networks of images


def test_a_network_of_images_predicts_and_is_measured(capsys):
    net = fnn.FNN((784, 10), seed=0)
    net.save("digits.st")
    _, (x, t) = fnn.datasets.load_mnist()
    assert run("evaluate", "digits.st", "mnist10k") == 0
    assert f"2,000 rows: accuracy {net.accuracy(x, t):.4f}" in capsys.readouterr().out
    np.save("x.npy", x[:5])
    assert [int(row[0]) for row in predictions(capsys, "digits.st", "x.npy")[1:]] == list(net.predict(x[:5]).argmax(1))
    pd.DataFrame(x[:5], columns=[f"pixel {i}" for i in range(784)]).to_csv("x.csv", index=False)
    assert len(predictions(capsys, "digits.st", "x.csv")) == 6


# info


def test_info_prints_what_a_model_holds(models, capsys):
    assert run("info", "kind.st") == 0
    output = capsys.readouterr().out
    for text in (
        "kind.st: ", f"by fastfnn {fnn.__version__}", "task: classification of 'kind'", "classes: large, small",
        "  city: 3 categories, Kyoto, Osaka, Tokyo\n", "  area: a number, mean ", "loss softmax_cross_entropy",
    ):  # fmt: skip
        assert text in output
    assert run("info", "kind.st", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"] == ["large", "small"] and told["network"]["layer_sizes"] == [7, 5, 2]
    fnn.FNN((3, 2)).save("net")
    assert run("info", "net") == 0
    assert "total 8 parameters" in capsys.readouterr().out
    assert run("info", "--json") == 2


# export


def test_a_file_of_an_estimator_is_not_taken_for_its_network(capsys):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import fastfnn.sklearn

    x, y = TABLE[["area", "rooms"]].fillna(0).to_numpy(), TABLE["kind"].to_numpy()
    pipeline = make_pipeline(StandardScaler(), fastfnn.sklearn.MLPClassifier((3,), max_iter=1, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fastfnn.sklearn.save(pipeline.fit(x, y), "pipeline.st")
    pipeline[-1].save("estimator.st")
    np.save("x.npy", x)
    for name in ("pipeline.st", "estimator.st"):
        for command in ("predict", "evaluate"):
            assert run(command, name, "x.npy") == 2
            assert f"{name} holds an estimator: fastfnn.sklearn.load" in capsys.readouterr().err
        assert run("info", name) == 0
        assert "estimator: MLPClassifier" in capsys.readouterr().out
    assert run("export", "pipeline.st", "--onnx", "m.onnx") == 2
    assert "got a pipeline that scales" in capsys.readouterr().err
    assert run("export", "estimator.st", "--onnx", "m.onnx") == 0
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, which has no wheel for each Python")
    labels, _ = onnxruntime.InferenceSession("m.onnx").run(None, {"X": x.astype(pipeline[-1].network_.dtype)})
    assert labels.tolist() == pipeline[-1].predict(x).tolist()


@pytest.mark.parametrize("name", ["kind", "price", "garden"])
def test_an_exported_model_predicts_the_same(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, which has no wheel for each Python")
    made = model(name, missing="median")
    made.save("m.st")
    assert run("export", "m.st", "--onnx", "m.onnx") == 0
    session = onnxruntime.InferenceSession("m.onnx")
    rows = TABLE.copy()
    rows.loc[3, "city"], rows.loc[4, "area"] = "Nara", np.nan
    feed = {
        item.name: rows[[item.name]].to_numpy(object if "string" in item.type else np.float32)
        for item in session.get_inputs()
    }
    outputs = session.run(None, feed)
    if name == "price":
        np.testing.assert_allclose(outputs[0].ravel(), made.predict(rows), rtol=1e-4)
    else:
        assert outputs[0].ravel().tolist() == made.predict(rows).astype(str).tolist()
        np.testing.assert_allclose(outputs[1], made.predict_proba(rows), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "info", "export", "bench", "compile"])
def test_every_command_has_a_help(command, capsys):
    assert run(command, "--help") == 0
    assert f"usage: fastfnn {command}" in capsys.readouterr().out


def test_the_command_does_not_import_the_extras():
    from helpers import run_python

    code = "import fastfnn.cli, sys\nprint(sorted({'pandas', 'sklearn', 'pyarrow', 'matplotlib'} & set(sys.modules)))"
    assert run_python(code).split() == ["[]"]
    assert cli.__all__ == ["main"]
