"""Weights of samples, as both kinds of estimators take them: in `fit`, `partial_fit` and `score`."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight, _num_samples

from fastfnn import validation


def checked_sample_weight(value: Any, rows: int) -> np.ndarray | None:
    """Return weights as float64 (rows,), finite and not negative, with one above 0; None if there are none.

    A number is the weight of each sample. What scikit-learn refuses is refused by its texts.
    """
    if value is None:
        return None
    if not isinstance(value, numbers.Number):
        array = validation.as_array("sample_weight", value)
        if array.dtype != object:  # may hold numbers
            validation.check_real("sample_weight", array)
        value = array
    try:
        weights = _check_sample_weight(value, np.empty(rows), dtype=np.float64, allow_all_zero_weights=False)
    except (TypeError, ValueError, OverflowError) as error:
        if "sample_weight" in str(error) or "Sample weights" in str(error):
            raise
        raise ValueError(f"sample_weight must be numbers, one for each row: {error}") from error
    return validation.sample_weight("sample_weight", weights, rows, np.float64)


class ScoreByWeights:
    """Mixin before those of scikit-learn, whose `score` takes weights that `fit` refuses."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of a classifier, the coefficient of determination of a regressor.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame or sparse array
            Samples.
        y : (n_samples,) or (n_samples, n_outputs) array
            Their labels or targets.
        sample_weight : (n_samples,) array, optional
            Weights of the samples.

        Returns
        -------
        float
            At most 1.

        Raises
        ------
        TypeError, ValueError
            If samples, targets or weights are not like those of `fit`.

        Examples
        --------
        >>> from fastfnn.sklearn import MLPClassifier
        >>> X, y = [[-2.0], [-1.0], [1.0], [2.0]], ["no", "no", "yes", "yes"]
        >>> model = MLPClassifier(max_iter=500, random_state=0).fit(X, y)
        >>> model.score(X, y, sample_weight=[1, 1, 2, 2])
        1.0
        """
        if sample_weight is not None:
            sample_weight = checked_sample_weight(sample_weight, _num_samples(X))
        score: float = super().score(X, y, sample_weight=sample_weight)  # type: ignore[misc]
        return score
