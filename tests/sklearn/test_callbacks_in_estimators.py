"""The callbacks of fastfnn in the estimators."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastfnn as fnn
from fastfnn.callbacks import (
    CSVLogger,
    EarlyStopping,
    LearningRateLogger,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from fastfnn.sklearn import MLPClassifier, MLPRegressor

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, "n_iter_no_change": 100, "early_stopping": True}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(estimator):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4))
    return x, (x[:, 0] > 0).astype(int) if estimator is MLPClassifier else x[:, 0] + x[:, 1]


class Keep(fnn.Callback):
    """Keeps the history, where a test finds that of a clone too."""

    histories: list = []  # noqa: RUF012

    def begin(self, net, history):
        self.histories.append(history)


@pytest.fixture
def histories(monkeypatch):
    monkeypatch.setattr(Keep, "histories", [])
    return Keep.histories


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("cloned", [False, True])
def test_all_callbacks_work_in_an_estimator(estimator, cloned, tmp_path, monkeypatch, histories):
    pytest.importorskip("tensorboardX")
    monkeypatch.chdir(tmp_path)
    callbacks = [
        ModelCheckpoint("best-{epoch}-{val_loss:.2f}", save_best_only=True),
        ReduceLROnPlateau(patience=1, min_delta=1e9, factor=0.5),
        CSVLogger("log.csv"),
        LearningRateLogger(),
        TensorBoard("logs", histogram_freq=3),
        TerminateOnNaN(),
        EarlyStopping(patience=50),
        Keep(),
    ]
    mlp = estimator(**SMALL, callbacks=callbacks)
    mlp = clone(mlp) if cloned else mlp
    mlp.fit(*data(estimator))
    (history,) = histories
    assert history.epochs == 6
    rates = [0.001 * 0.5**k for k in (0, 0, 1, 2, 3, 4)]
    assert history.learning_rate == rates
    best = int(np.argmin(history.val_loss))
    assert (tmp_path / f"best-{best + 1}-{history.val_loss[best]:.2f}").exists()
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert len(lines) == 7 and lines[0].startswith("epoch,loss,")
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["train", "validation"]
    mlp.fit(*data(estimator))  # the reduced rate belongs to the training, not to the estimator
    assert histories[1].learning_rate == rates


def test_a_checkpoint_holds_the_network(tmp_path):
    x, y = data(MLPRegressor)
    mlp = MLPRegressor(**SMALL | {"early_stopping": False}, callbacks=[ModelCheckpoint(tmp_path / "net")]).fit(x, y)
    np.testing.assert_array_equal(fnn.load(tmp_path / "net").predict(x)[:, 0], mlp.predict(x))


@pytest.mark.parametrize("sparse", [False, True])
def test_accuracy_on_the_training_samples_can_be_monitored(sparse, histories):
    from scipy.sparse import csr_array

    x, y = data(MLPClassifier)
    stopping = EarlyStopping(patience=2, monitor="accuracy")
    mlp = MLPClassifier(**SMALL, callbacks=[stopping, Keep()])
    mlp.fit(csr_array(x) if sparse else x, y, eval_set=(x, y))
    (history,) = histories
    assert stopping.best == max(history.accuracy)
    assert history.accuracy == history.val_accuracy


def test_callbacks_work_in_a_pipeline(tmp_path):
    mlp = MLPRegressor(**SMALL, callbacks=[CSVLogger(tmp_path / "log.csv")])
    make_pipeline(StandardScaler(), mlp).fit(*data(MLPRegressor))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 7


def test_callbacks_see_the_optimizer():
    seen = []
    mlp = MLPRegressor(**SMALL, callbacks=[lambda net, history: seen.append(net.optimizer.learning_rate)])
    mlp.fit(*data(MLPRegressor))
    assert seen == [0.001] * 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"callbacks": [CSVLogger("log.csv")], "n_estimators": 2},
            "callbacks[0] needs n_estimators=1, got 2: they would write the same files",
        ),
        (
            {"callbacks": [ReduceLROnPlateau()], "solver": "sgd", "learning_rate": "adaptive"},
            "callbacks[0] changes the learning rate, as does learning_rate='adaptive': one of them",
        ),
        (
            {"callbacks": [ReduceLROnPlateau()], "schedule": fnn.schedules.Constant(0.1)},
            "callbacks[0] changes the learning rate, which must be a number then and no schedule, got Adam(",
        ),
        (
            {"callbacks": [EarlyStopping(monitor="val_loss")], "early_stopping": False},
            "early_stopping must be True or eval_set be given for callbacks[0] to monitor 'val_loss', got neither",
        ),
        (
            {"callbacks": [EarlyStopping(monitor="val_mae")]},
            "callbacks[0].monitor must be one of loss, val_loss; got 'val_mae'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(parameters, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlp = MLPRegressor(**SMALL | parameters)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        mlp.fit(*data(MLPRegressor))
    assert not hasattr(mlp, "coefs_")
    assert list(tmp_path.iterdir()) == []


def test_the_rate_may_fall_where_the_solver_ignores_its_rule(histories):
    mlp = MLPRegressor(
        **SMALL, solver="adam", learning_rate="adaptive", callbacks=[ReduceLROnPlateau(), LearningRateLogger(), Keep()]
    )
    mlp.fit(*data(MLPRegressor))
    assert histories[0].learning_rate == [0.001] * 6
