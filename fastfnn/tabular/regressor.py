"""TabularRegressor: numbers, or their quantiles, from the columns of a table."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_array

from fastfnn import validation
from fastfnn.sklearn.weights import ScoreByWeights
from fastfnn.tabular import kinds
from fastfnn.tabular.base import TabularEstimator
from fastfnn.tabular.recipe import Recipe
from fastfnn.tabular.target import NumberTarget, Target

LARGEST = np.finfo(np.float64).max / 4  # of targets: the difference of two is finite


class TabularRegressor(ScoreByWeights, RegressorMixin, TabularEstimator):
    """Predict numbers from the columns of a table.

    Parameters
    ----------
    preset : {"default", "fast", "best"} or Recipe
        The recipe: "fast" trains a smaller network for fewer epochs, "best" averages eight networks. A parameter
        that is None is that of the recipe.
    members : int, optional
        Networks that share their weights and are averaged; 1 for a plain network.
    hidden_layer_sizes : int or sequence of int, optional
        Units of the hidden layers.
    embedding_size : int, optional
        Numbers that a column of numbers becomes.
    bins : int, optional
        Bins of the embedding of a column of numbers, at most; 0 has numbers enter as they are, scaled. None is one for
        each 256 rows, up to the number of the recipe.
    learning_rate, weight_decay : float, optional
        Of AdamW; the learning rate falls during the training.
    dropout : float, optional
        Share of the hidden outputs that a step sets to 0; without it, none up to 100 rows.
    batch_size : int, optional
        Rows of a step; without it, small tables take fewer than others, and up to 100 rows all of them.
    max_epochs : int, optional
        Passes over the table, at most.
    patience : int, optional
        Epochs without a better validation score after which the training ends.
    validation_fraction : float, default 0.1
        Share of the rows that is kept apart to stop early and to keep the best parameters; 0 or None for none. Less
        than ten rows are not kept apart.
    quantiles : sequence of float, optional
        Rising levels in (0, 1): learn these quantiles of a single target, see `predict_quantiles`.
    time_budget : float, optional
        Seconds that `fit` may take: the training is planned so that its schedule ends in time, within an epoch if one
        takes too long. The training has at least half of them, whatever reading and compiling take.
    n_threads : int, optional
        Threads of the kernels; all by default.
    random_state : int or RandomState, optional
        Of the split, the initial parameters and the order of the rows.
    progress : bool or "line", default False
        Show a progress bar and a line for each epoch; "line" is a single line in a terminal.
    columns : dict, optional
        What columns are, by their names (those of an array are "x0", "x1", ...), where `fit` would find out something
        else: "number", "category", "date", or "ignore" to leave a column out.
    decimal : str, default "."
        The character before the fraction, in numbers that are texts.
    thousands : str, optional
        The character between groups of three digits, in numbers that are texts; without it a comma (with a decimal
        comma a point), a space or an apostrophe.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : array of str
        Their names, if X was a frame.
    columns_ : tuple
        What was learnt about each column: `name`, `kind` ("number", "date", "category" or "left out") and more.
    networks_ : list of TabularNetwork
        The trained networks: several of a small table, and with the preset "best".
    n_epochs_, best_epoch_ : int
        Epochs that were trained, and the one whose parameters were kept.
    validation_scores_ : list of float
        Root mean square error on the validation rows after each epoch, in the unit of the target (of several targets,
        in standard deviations); the mean pinball loss with `quantiles`.
    loss_curve_ : list of float
        Mean loss of each epoch, of the standardized target.
    fit_time_ : float
        Seconds that `fit` took.

    References
    ----------
    See `TabularClassifier`.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastfnn.tabular import TabularRegressor
    >>> flats = pd.DataFrame({"area": [30.0, 50.0, 70.0, 90.0] * 20, "heating": ["gas", "oil", None, "gas"] * 20})
    >>> rent = 10 * flats["area"]
    >>> model = TabularRegressor(preset="fast", random_state=0).fit(flats, rent)
    >>> bool(abs(model.predict(flats) - rent).max() < 20)
    True
    """

    def __init__(
        self,
        preset: str | Recipe = "default",
        *,
        members: int | None = None,
        hidden_layer_sizes: int | Sequence[int] | None = None,
        embedding_size: int | None = None,
        bins: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        dropout: float | None = None,
        batch_size: int | None = None,
        max_epochs: int | None = None,
        patience: int | None = None,
        validation_fraction: float | None = 0.1,
        quantiles: Sequence[float] | None = None,
        time_budget: float | None = None,
        n_threads: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        progress: bool | str = False,
        columns: Mapping[str, str] | None = None,
        decimal: str = ".",
        thousands: str | None = None,
    ) -> None:
        self.preset = preset
        self.members = members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.embedding_size = embedding_size
        self.bins = bins
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.quantiles = quantiles
        self.time_budget = time_budget
        self.n_threads = n_threads
        self.random_state = random_state
        self.progress = progress
        self.columns = columns
        self.decimal = decimal
        self.thousands = thousands

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target of each row.

        Parameters
        ----------
        X : frame or (n_samples, n_features) array
            Rows with the columns of `fit`.

        Returns
        -------
        (n_samples,) array, or (n_samples, n_targets) with several targets
            Within the range of the targets of `fit`; with `quantiles` the one nearest to the median.

        Raises
        ------
        ValueError
            If columns are others than in `fit`.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from fastfnn.tabular import TabularRegressor
        >>> model = TabularRegressor(preset="fast", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
        >>> model.predict([[0.0], [1.0]]).round(1)
        array([1., 3.])
        """
        out = self._outputs(X)
        target = self._number_target()
        values = target.decode(out)
        if target.quantiles:
            return values[:, int(np.argmin(np.abs(np.array(target.quantiles) - 0.5)))]
        return values[:, 0] if self._is_single else values

    def predict_quantiles(self, X: Any) -> np.ndarray:
        """Predict the quantiles of each row.

        Parameters
        ----------
        X : frame or (n_samples, n_features) array
            Rows with the columns of `fit`.

        Returns
        -------
        (n_samples, n_quantiles) array
            In the order of `quantiles`; they rise from left to right.

        Raises
        ------
        ValueError
            If the estimator was fitted without `quantiles`, or columns are others than in `fit`.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from fastfnn.tabular import TabularRegressor
        >>> X = np.zeros((90, 1))
        >>> y = np.linspace(0, 1, 90)
        >>> model = TabularRegressor(preset="fast", quantiles=(0.2, 0.8), random_state=0).fit(X, y)
        >>> low, high = model.predict_quantiles([[0.0]])[0]
        >>> bool(0.1 < low < 0.3 and 0.7 < high < 0.9)
        True
        """
        out = self._outputs(X)
        target = self._number_target()
        if not target.quantiles:
            raise ValueError("predict_quantiles needs an estimator that was fitted with quantiles, got one without")
        return target.decode(out)

    _is_single: bool  # whether y had no second axis

    def _number_target(self) -> NumberTarget:
        assert isinstance(self._target, NumberTarget)
        return self._target

    def _checked_targets(self, y: Any) -> np.ndarray:
        if getattr(getattr(y, "dtype", None), "kind", "") in "mM" and hasattr(y, "dtype"):
            raise TypeError(f"y must hold real numbers, got dtype {y.dtype}")
        try:
            numbers: np.ndarray = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"y must be finite numbers of float64: {error}{kinds.commas_hint(y)}") from error
        if numbers.ndim > 2 or numbers.ndim == 0:
            raise ValueError(f"y must have one or two axes, got {numbers.ndim}")
        if numbers.ndim == 2 and numbers.shape[1] == 1:
            numbers = column_or_1d(y, dtype=np.float64, warn=True)
        largest = np.abs(numbers).max()
        if largest > LARGEST:
            raise ValueError(f"y must be numbers of at most {LARGEST:.3g}, without their sign; got {largest:.3g}")
        return numbers

    def _learn_target(self, y: np.ndarray, weights: np.ndarray, recipe: Recipe) -> Target:
        self._is_single = y.ndim == 1
        rows = y.reshape(len(y), -1)
        return NumberTarget.fit(rows, weights, self._levels(rows.shape[1]))

    def _levels(self, targets: int) -> tuple[float, ...]:
        if self.quantiles is None:
            return ()
        given = np.atleast_1d(np.asarray(self.quantiles, object)).tolist()
        levels = tuple(validation.positive(f"quantiles[{i}]", level) for i, level in enumerate(given))
        if not levels or levels[-1] >= 1 or any(low >= high for low, high in itertools.pairwise(levels)):
            raise ValueError(f"quantiles must be rising levels above 0 and below 1, got {self.quantiles}")
        if targets > 1:
            raise ValueError(f"quantiles need a single target, got {targets} columns in y")
        return levels

    def _encoded(self, y: np.ndarray, target: Target) -> np.ndarray:
        assert isinstance(target, NumberTarget)
        rows, expected = y.reshape(len(y), -1), len(target.mean)
        if rows.shape[1] != expected:
            raise ValueError(f"y must have {expected} columns, as in fit; got {rows.shape[1]}")
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
