"""The record of a training run, and its plot."""

import copy
import json
import math
import pickle
import sys

import matplotlib.image
import numpy as np
import pytest

import fastfnn as fnn

PNG = b"\x89PNG\r\n\x1a\n"


def a_history():
    return fnn.History(
        loss=[2.0, 1.0, 0.5],
        accuracy=[0.3, 0.6, 0.9],
        val_loss=[2.1, 1.5, 1.2],
        val_accuracy=[0.2, 0.5, 0.7],
        seconds=[1.0, 1.0, 1.0],
        samples_per_second=[10.0, 10.0, 10.0],
        step_loss=np.arange(6.0),
    )


def lines_of(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_new_histories_are_empty_and_share_nothing():
    first, second = fnn.History(), fnn.History()
    first.loss.append(1.0)
    assert (first.epochs, second.epochs) == (1, 0)
    assert second.loss == second.accuracy == second.val_loss == second.val_accuracy == []
    assert second.step_loss.shape == (0,)


@pytest.mark.parametrize(
    ("history", "text"),
    [
        (fnn.History(), "0 epochs"),
        (fnn.History(loss=[0.123456], seconds=[0.01234]), "1 epoch in 0.0123 s: loss 0.1235"),
        (
            a_history(),
            "3 epochs in 3 s: loss 0.5; accuracy 0.9; val_loss 1.2; val_accuracy 0.7",
        ),
        (
            fnn.History(loss=[3.0, 1.0, 2.0], val_accuracy=[0.5, 0.75, 0.75, 0.25], val_loss=[math.nan, math.inf]),
            "3 epochs: loss 2, best 1 in epoch 2; val_loss inf; val_accuracy 0.25, best 0.75 in epoch 2",
        ),
        (fnn.History(loss=[math.nan]), "1 epoch: loss nan"),
    ],
)
def test_the_repr_is_one_line_with_the_last_and_the_best_values(history, text):
    assert repr(history) == f"History({text})"


def test_a_frame_has_a_row_for_each_epoch():
    frame = a_history().to_frame()
    assert (frame.index.tolist(), frame.index.name) == ([1, 2, 3], "epoch")
    assert frame.columns.tolist() == [
        "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "samples_per_second"
    ]  # fmt: skip
    assert frame["val_loss"].tolist() == [2.1, 1.5, 1.2]
    assert frame.loc[2, "accuracy"] == 0.6


def test_a_frame_has_only_what_was_measured():
    frame = fnn.History(loss=[2.0, 1.0, 0.5], val_loss=[3.0]).to_frame()
    assert frame.columns.tolist() == ["loss", "val_loss"]
    np.testing.assert_array_equal(frame["val_loss"], [3.0, np.nan, np.nan])
    empty = fnn.History().to_frame()
    assert (empty.shape, empty.columns.tolist()) == ((0, 1), ["loss"])


def test_json_holds_everything_and_is_valid():
    history = a_history()
    got = json.loads(history.to_json())
    assert got.pop("step_loss") == history.step_loss.tolist()
    assert got == {name: getattr(history, name) for name in got}
    assert len(got) == 7
    values = [1.5, math.nan, math.inf, -math.inf, np.float32(0.5), 2]
    text = fnn.History(loss=values).to_json()
    assert json.loads(text, parse_constant=pytest.fail)["loss"] == [1.5, None, None, None, 0.5, 2.0]
    json.loads(fnn.History().to_json(), parse_constant=pytest.fail)


def test_the_history_of_a_training_and_its_copies_can_be_converted():
    net = fnn.FNN((2, 3, 2), seed=0)
    x, t = np.eye(2), [0, 1]
    history = net.fit(x, t, epochs=3, validation_data=(x, t))
    for item in (history, copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert item.to_frame()["loss"].tolist() == history.loss
        assert json.loads(item.to_json())["val_loss"] == history.val_loss
        assert repr(item) == repr(history)


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^History\.to_frame needs pandas: pip install pandas$"):
        a_history().to_frame()


def test_plot_draws_loss_and_accuracy_over_epochs():
    figure = a_history().plot()
    loss, accuracy = figure.axes
    assert lines_of(loss) == {
        "training": ([1, 2, 3], [2.0, 1.0, 0.5]),
        "validation": ([1, 2, 3], [2.1, 1.5, 1.2]),
    }
    assert lines_of(accuracy) == {
        "training": ([1, 2, 3], [0.3, 0.6, 0.9]),
        "validation": ([1, 2, 3], [0.2, 0.5, 0.7]),
    }


def test_plots_have_labels():
    loss, accuracy = a_history().plot().axes
    assert (loss.get_xlabel(), loss.get_ylabel(), loss.get_title()) == ("epoch", "mean loss per sample", "Loss")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel(), accuracy.get_title()) == ("epoch", "accuracy", "Accuracy")
    assert legend_of(loss) == legend_of(accuracy) == ["training", "validation"]
    for axes in (loss, accuracy):  # ticks are whole epochs
        assert all(tick == int(tick) for tick in axes.get_xticks())


def test_without_validation_only_the_training_loss_is_drawn():
    (axes,) = fnn.History(loss=[2.0, 1.0]).plot().axes
    assert lines_of(axes) == {"training": ([1, 2], [2.0, 1.0])}
    assert legend_of(axes) == ["training"]


def test_the_plot_of_a_squared_error_has_no_accuracy(tmp_path):
    x = np.random.default_rng(0).standard_normal((6, 2))
    net = fnn.FNN((2, 1), loss="squared_error", seed=0)
    history = net.fit(x, x[:, 0], epochs=2, validation_data=(x, x[:, 0]))
    (axes,) = history.plot(tmp_path / "loss.png").axes
    assert lines_of(axes) == {"training": ([1, 2], history.loss), "validation": ([1, 2], history.val_loss)}


def test_a_single_epoch_can_be_plotted(tmp_path):
    history = fnn.History(loss=[2.0], accuracy=[0.3], val_loss=[2.1], val_accuracy=[0.2])
    history.plot(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


def test_the_only_tick_of_a_single_epoch_is_that_epoch():
    (axes,) = fnn.History(loss=[2.0]).plot().axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize("epochs", [1, 30, 31, 300])
def test_a_long_curve_has_few_markers_and_all_its_points(epochs):
    (axes,) = fnn.History(loss=[1.0] * epochs).plot().axes
    (line,) = axes.lines
    assert len(line.get_xdata()) == epochs
    marked = range(0, epochs, line.get_markevery())
    assert min(epochs, 15) <= len(marked) <= 30


def test_a_loss_that_is_not_finite_can_be_plotted(tmp_path):
    fnn.History(loss=[2.0, np.inf, np.nan]).plot(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("as_text", [True, False])
def test_plot_saves_an_image_that_is_not_blank(tmp_path, as_text):
    path = tmp_path / "loss.png"
    figure = a_history().plot(str(path) if as_text else path)
    assert path.read_bytes().startswith(PNG)
    pixels = matplotlib.image.imread(path)[..., :3]
    height, width, _ = pixels.shape
    np.testing.assert_allclose((width, height), 120 * figure.get_size_inches(), atol=1)
    assert (pixels != 1).any(axis=2).mean() > 0.01  # not blank
    for half in (pixels[:, : width // 2], pixels[:, width // 2 :]):  # both halves have the colours of both lines
        colours = {tuple(colour) for colour in np.round(255 * half).astype(int).reshape(-1, 3)}
        assert {(31, 119, 180), (255, 127, 14)} <= colours


def test_plot_without_a_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_history().plot()
    assert list(tmp_path.iterdir()) == []


def test_plot_does_not_change_the_state_of_pyplot():
    plt = pytest.importorskip("matplotlib.pyplot")
    before = plt.get_fignums()
    a_history().plot()
    assert plt.get_fignums() == before


def test_plot_rejects_an_unknown_format(tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        a_history().plot(tmp_path / "loss.nonsense")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'fastfnn\[plot\]'") as caught:
        a_history().plot()
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_history_without_epochs_cannot_be_plotted():
    with pytest.raises(ValueError, match="at least one finished epoch"):
        fnn.History().plot()
