"""TabularEstimator: what both estimators of tables share: fitting, outputs, importances, files.

`fit` learns what columns and targets are and trains a network for each bag, both in `fitting`. Classifier and regressor
add what they do with y.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastfnn import validation
from fastfnn.backend import thread_limit
from fastfnn.callbacks import Callback
from fastfnn.history import History
from fastfnn.sklearn.workers import in_worker
from fastfnn.tabular import fitting, importance, kinds, reading
from fastfnn.tabular.columns import Column
from fastfnn.tabular.encoding import Encoding
from fastfnn.tabular.importance import Importances
from fastfnn.tabular.network import TabularNetwork
from fastfnn.tabular.recipe import Recipe
from fastfnn.tabular.target import Target
from fastfnn.tabular.training import Training


class TabularEstimator(BaseEstimator):
    """Base class of the estimators for tables."""

    _watchers: Sequence[Callback] = ()  # of the command line

    _backend: ClassVar[str] = "kernels"  # or the reference, in tests

    # Parameters of both
    preset: str | Recipe
    validation_fraction: float | None
    dropout: float | None
    time_budget: float | None
    n_threads: int | None
    random_state: Any
    progress: bool | str
    columns: Mapping[str, str] | None
    decimal: str
    thousands: str | None

    # What `fit` sets
    networks_: list[TabularNetwork]
    recipe_: Recipe
    n_epochs_: int
    best_epoch_: int
    validation_scores_: list[float]
    loss_curve_: list[float]
    fit_time_: float
    _encoding: Encoding
    _target: Target
    _history: History

    # What classifier and regressor define

    def _checked_targets(self, y: Any) -> np.ndarray:
        """Return y as an array (N,) or (N, K), after scikit-learn's checks."""
        raise NotImplementedError

    def _learn_target(self, y: np.ndarray, weights: np.ndarray, recipe: Recipe) -> Target:
        """Return the target of checked y, and set the attributes that describe it."""
        raise NotImplementedError

    def _encoded(self, y: np.ndarray, target: Target) -> np.ndarray:
        """Return checked y as labels from 0, int64 (N,), or as numbers (N, K)."""
        raise NotImplementedError

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        """Return the weight of each row by its class, or None."""
        return None

    # Training

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: tuple[Any, Any] | None = None) -> Self:
        """Learn from a table.

        Parameters
        ----------
        X : frame or (n_samples, n_features) array
            A frame of pandas, polars or pyarrow, a dict of columns, or an array or a list of rows. Values may be
            missing.
        y : (n_samples,) array
            Labels or numbers; a regressor takes several columns of numbers, too.
        sample_weight : (n_samples,) array, optional
            Weights of the rows, not negative; rows of weight 0 are left out.
        eval_set : (X, y), optional
            Validation rows of your own, in place of a share of X; all of them have the same weight, or that of their
            class.

        Returns
        -------
        TabularClassifier or TabularRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If data or parameters are wrong: the estimator is as it was.
        DivergenceError
            If the training diverges, see Notes.

        Notes
        -----
        After Ctrl-C and any other exception that comes once an epoch is finished, the estimator is fitted, with the
        best parameters so far, and the exception is raised; before, the estimator is as it was.

        Examples
        --------
        >>> import numpy as np
        >>> from fastfnn.tabular import TabularRegressor
        >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
        >>> model = TabularRegressor(preset="fast", random_state=0).fit(X, X[:, 0] ** 2)
        >>> model.predict([[0.5]]).round(1)
        array([0.2])
        """
        start = time.perf_counter()
        self._checked_options()
        learner = self._twin()  # what is learnt is set on a twin: an exception leaves the estimator as it was
        trainings: list[Training] = []
        try:
            with self._threads():
                fitting.train(learner, fitting.learnt(learner, X, y, sample_weight, eval_set), start, trainings)
        finally:
            self._adopt(learner, trainings, start)
        return self

    def _checked_options(self) -> tuple[float, float, bool | str]:
        """Return the share of the validation rows, the seconds of a training, and what shows its progress."""
        fraction = validation.fraction("validation_fraction", self.validation_fraction or 0.0)
        budget = math.inf if self.time_budget is None else validation.positive("time_budget", self.time_budget)
        show = self.progress if self.progress == "line" else validation.boolean("progress", self.progress)
        self._threads()  # checks n_threads
        self._chosen_kinds()
        return fraction, budget, show

    def _chosen_kinds(self) -> tuple[dict[str, str], kinds.Form]:
        """Return the kinds of columns that the user has chosen, and how numbers are written as texts."""
        return kinds.checked_kinds(self.columns), kinds.checked_form(self.decimal, self.thousands)

    def _twin(self) -> Self:
        """Return an estimator with the same attributes."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def _adopt(self, learner: Self, trainings: Sequence[Training], start: float) -> None:
        """Become what `learner` is with the networks of trainings, in one step.

        A training that an exception has ended counts if it is the first and an epoch is finished.
        """
        kept = [training for training in trainings if training.ended] or trainings[:1]
        if not kept or not kept[0].best_epoch:
            return
        first = kept[0]
        learner.networks_ = [training.network for training in kept]
        learner.n_epochs_, learner.best_epoch_ = first.history.epochs, first.best_epoch
        learner.loss_curve_, learner.validation_scores_ = first.history.loss, first.scores[: first.history.epochs]
        learner._history = first.history
        learner.fit_time_ = time.perf_counter() - start
        self.__dict__ = learner.__dict__

    def _threads(self) -> contextlib.AbstractContextManager[object]:
        """Limit the threads of kernels: to `n_threads`; inside a worker of joblib or Dask to one."""
        if self.n_threads is not None:
            return thread_limit(validation.integer("n_threads", self.n_threads, 1))
        return thread_limit(1) if in_worker() else contextlib.nullcontext()

    # Prediction

    def _prepared(self, X: Any) -> np.ndarray:
        """Return the samples of a table as the networks read them."""
        raws = reading.read(self, X, reset=False)
        return self._encoding.transform(raws, self.networks_[0].dtype)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the mean of the networks' outputs (N, K), in float64."""
        check_is_fitted(self, "networks_")
        x = self._prepared(X)
        with self._threads():
            outputs = np.stack([network.predict(x) for network in self.networks_])
        out: np.ndarray = outputs.mean(axis=0, dtype=np.float64)
        return out

    @property
    def network_(self) -> TabularNetwork:
        """The first of `networks_`."""
        check_is_fitted(self, "networks_")
        return self.networks_[0]

    @property
    def columns_(self) -> tuple[Column, ...]:
        """What was learnt about each column: objects with `name` and `kind`.

        The kinds are "number", "date", "category" and "left out".
        """
        check_is_fitted(self, "networks_")
        return self._encoding.columns

    def feature_importances(
        self, X: Any, y: Any, *, repeats: int = 5, scoring: Any = None, random_state: Any = None
    ) -> Importances:
        """Measure how much the score falls where the values of a column are exchanged between rows.

        Parameters
        ----------
        X : frame or (n_samples, n_features) array
            Rows, best such as the training has not seen.
        y : array
            Their targets.
        repeats : int, default 5
            How often each column is permuted.
        scoring : str or callable, optional
            A scorer of scikit-learn, such as "neg_log_loss"; the estimator's `score` by default. A callable gets the
            rows as the networks read them, not the columns of X: it can only have the estimator predict from them.
        random_state : int or RandomState, optional
            Of the permutations.

        Returns
        -------
        Importances
            Names of the columns, mean and standard deviation of the fall.

        Raises
        ------
        TypeError, ValueError
            If data or arguments are wrong.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from fastfnn.tabular import TabularRegressor
        >>> X = np.random.default_rng(0).normal(size=(80, 2))
        >>> model = TabularRegressor(preset="fast", random_state=0).fit(X, X[:, 1])
        >>> importances = model.feature_importances(X, X[:, 1], random_state=0)
        >>> bool(importances.mean[1] > 1 > abs(importances.mean[0]))
        True
        """
        check_is_fitted(self, "networks_")
        repeats = validation.integer("repeats", repeats, 1)
        if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
            raise TypeError(f"scoring must be the name of a scorer or a callable, got {type(scoring).__name__}")
        prepared = self._prepared(X)
        asked = self._twin()
        asked.__dict__["_prepared"] = lambda prepared: prepared  # what is permuted is prepared already
        return importance.measured(
            asked, prepared, y, self._encoding, repeats, scoring, check_random_state(random_state)
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a safetensors file, which `fastfnn.tabular.load` reads.

        Parameters
        ----------
        path : str or path-like
            The file; an existing file is replaced in one step.

        Raises
        ------
        OSError
            If the file cannot be written: an existing file is as it was.
        TypeError, ValueError
            If a file cannot hold a parameter or a label, or `fit` would refuse a parameter: nothing is written.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastfnn.tabular
        >>> model = fastfnn.tabular.TabularRegressor(preset="fast", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     model.save(path)
        ...     twin = fastfnn.tabular.load(path)
        >>> bool(twin.predict([[0.5]]) == model.predict([[0.5]]))
        True
        """
        self._write(path)

    def _write(self, path: str | os.PathLike[str], sections: dict[str, Any] | None = None) -> None:
        """Do what `save` does, with further JSON objects among the metadata of the file."""
        from fastfnn.tabular import files  # it imports the estimators

        files.write(self, path, sections or {})

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_watchers"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags
