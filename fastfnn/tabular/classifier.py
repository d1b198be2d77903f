"""TabularClassifier: labels of classes from the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from fastfnn import validation
from fastfnn.labels import check_sortable, type_names
from fastfnn.sklearn.weights import ScoreByWeights
from fastfnn.tabular.base import TabularEstimator
from fastfnn.tabular.reading import _is_missing
from fastfnn.tabular.recipe import Recipe
from fastfnn.tabular.target import LabelTarget, Target


class TabularClassifier(ScoreByWeights, ClassifierMixin, TabularEstimator):
    """Predict classes from the columns of a table.

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
    label_smoothing : float, optional
        Smoothing of the labels in the training.
    class_weight : dict or "balanced", optional
        Weights of the classes, by which those of the rows are multiplied, also those of `eval_set`; a class of weight 0
        is left out.
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
    classes_ : (n_classes,) array
        The labels, sorted.
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
        Log loss on the validation rows after each epoch, lower is better.
    loss_curve_ : list of float
        Mean loss of each epoch.
    fit_time_ : float
        Seconds that `fit` took.

    References
    ----------
    Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS
    2022. Y. Gorishniy, A. Kotelnikov and A. Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient
    Ensembling", ICLR 2025. D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data", NeurIPS 2024.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastfnn.tabular import TabularClassifier
    >>> wing, island = [181, 186, None, 230, 220, 225], ["T", "T", "T", "B", "B", None]
    >>> birds = pd.DataFrame({"wing": wing * 10, "island": island * 10})
    >>> species = ["Adelie", "Adelie", "Adelie", "Gentoo", "Gentoo", "Gentoo"] * 10
    >>> model = TabularClassifier(preset="fast", random_state=0).fit(birds, species)
    >>> model.predict(pd.DataFrame({"wing": [190.0, 228.0], "island": ["T", "somewhere else"]}))
    array(['Adelie', 'Gentoo'], dtype='<U6')
    """

    classes_: np.ndarray

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
        label_smoothing: float | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.time_budget = time_budget
        self.n_threads = n_threads
        self.random_state = random_state
        self.progress = progress
        self.columns = columns
        self.decimal = decimal
        self.thousands = thousands

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : frame or (n_samples, n_features) array
            Rows with the columns of `fit`.

        Returns
        -------
        (n_samples, n_classes) array
            Probabilities, in the order of `classes_`.

        Raises
        ------
        ValueError
            If columns are others than in `fit`.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from fastfnn.tabular import TabularClassifier
        >>> model = TabularClassifier(preset="fast", random_state=0).fit([[0.0], [1.0]], ["no", "yes"])
        >>> model.predict_proba([[0.0], [1.0]]).round()
        array([[1., 0.],
               [0., 1.]])
        """
        out = self._outputs(X)
        probabilities: np.ndarray = out / out.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each row.

        Parameters
        ----------
        X : frame or (n_samples, n_features) array
            Rows with the columns of `fit`.

        Returns
        -------
        (n_samples,) array
            The most probable label of each row.

        Raises
        ------
        ValueError
            If columns are others than in `fit`.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from fastfnn.tabular import TabularClassifier
        >>> model = TabularClassifier(preset="fast", random_state=0).fit([["a"], ["b"]], [1, 2])
        >>> model.predict([["b"]])
        array([2])
        """
        out = self._outputs(X)
        labels: np.ndarray = self.classes_[out.argmax(axis=1)]
        return labels

    def _checked_targets(self, y: Any) -> np.ndarray:
        labels: np.ndarray = column_or_1d(y, warn=True)
        if labels.dtype.kind == "f":
            assert_all_finite(labels, input_name="y")
        values = y if isinstance(y, (list, tuple)) else labels  # NumPy makes texts of missing values between texts
        if missing := sum(map(_is_missing, values)):
            raise ValueError(
                f"y must have no missing labels, got {missing} in {len(labels)} rows: leave these rows out"
            )
        check_sortable("y", labels)
        check_classification_targets(labels)
        return labels

    def _learn_target(self, y: np.ndarray, weights: np.ndarray, recipe: Recipe) -> Target:
        self.classes_ = np.unique(y)
        return LabelTarget(self.classes_, recipe.label_smoothing, recipe.metric)

    def _encoded(self, y: np.ndarray, target: Target) -> np.ndarray:
        classes = self.classes_
        try:
            places = np.minimum(np.searchsorted(classes, y), len(classes) - 1).astype(np.int64)
        except TypeError as error:
            raise TypeError(
                f"y must hold labels of the type of fit, {type_names(classes)}; got {type_names(y)}"
            ) from error
        unknown = classes[places] != y
        if np.any(unknown):
            raise ValueError(f"y must hold labels of fit, {classes.tolist()}; got {y[unknown].tolist()[0]!r}")
        return places

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        validation.check_class_weight("class_weight", self.class_weight)
        weights: np.ndarray = compute_sample_weight(self.class_weight, y)
        return weights
