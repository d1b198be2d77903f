"""scikit-learn: its fitted multilayer perceptrons become the estimators of `fastfnn.sklearn`."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfnn.interop.missing import imported

if TYPE_CHECKING:
    from fastfnn.sklearn import MLPClassifier, MLPRegressor

# What fitted attributes without a final underscore training goes on with.
PRIVATE = ("_label_binarizer", "_no_improvement_count")


def from_sklearn(model: Any) -> MLPClassifier | MLPRegressor:
    """Make an estimator of `fastfnn.sklearn` of a fitted one of scikit-learn, with equal predictions.

    Parameters
    ----------
    model : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted. It is not changed.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Of `fastfnn.sklearn`, fitted, with the parameters and the attributes of the model. Its `network_` is the `FNN`.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError
        If `model` is something else.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Notes
    -----
    The state of the optimizer comes along: `partial_fit` goes on as scikit-learn's would, up to rounding.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> import fastfnn as fnn
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(max_iter=1000, random_state=0).fit(X, y)
    >>> ours = fnn.from_sklearn(model)
    >>> bool((ours.predict(X) == model.predict(X)).all())
    True
    >>> ours.network_
    FNN(4-100-3, relu; softmax_cross_entropy; float64)
    """
    ours = imported("fastfnn.sklearn", "fastfnn.from_sklearn needs scikit-learn", "'fastfnn[sklearn]'")
    from sklearn import neural_network
    from sklearn.utils.validation import check_is_fitted

    if isinstance(model, neural_network.MLPClassifier):
        kind: type[MLPClassifier | MLPRegressor] = ours.MLPClassifier
    elif isinstance(model, neural_network.MLPRegressor):
        kind = ours.MLPRegressor
    else:
        name = type(model).__name__
        hint = ", a step of it" if hasattr(model, "steps") else ""
        raise TypeError(f"model must be an MLPClassifier or MLPRegressor of scikit-learn{hint}, got {name}")
    check_is_fitted(model, "coefs_")
    known = kind._get_param_names()
    parameters = {name: value for name, value in model.get_params(deep=False).items() if name in known}
    estimator = kind(**copy.deepcopy(parameters))
    for name, value in vars(model).items():
        if name in PRIVATE or (name.endswith("_") and name not in ("coefs_", "intercepts_")):
            setattr(estimator, name, copy.deepcopy(value))
    _give_network(estimator, model)
    return estimator


def _give_network(estimator: Any, model: Any) -> None:
    """Give the estimator a network with the weights of the model, and what its training goes on with."""
    from fastfnn.sklearn import holder
    from fastfnn.sklearn.parameters import new_optimizer

    estimator._dtype = model.coefs_[0].dtype
    estimator._layer_sizes = (len(model.coefs_[0]), *(weight.shape[1] for weight in model.coefs_))
    net = estimator._undrawn_network()
    _copy(net.params, model.coefs_, model.intercepts_)
    holder.bind(estimator, net)
    if model.early_stopping and hasattr(model, "_best_coefs"):
        best, known = net._flat.copy(), math.isfinite(model.best_validation_score_)
        _copy(net.params.views_of(best), model._best_coefs, model._best_intercepts)
        estimator._best = (best, net._statistics.copy()) if known else None
    theirs = getattr(model, "_optimizer", None)
    if theirs is None:
        return
    optimizer = estimator._optimizer = new_optimizer(estimator)
    moments = (theirs.ms, theirs.vs) if model.solver == "adam" else (theirs.velocities,)
    for ours, arrays in zip(optimizer.flat_state(net.params), moments, strict=False):
        if ours.size:  # gradient descent without momentum has no state
            layers = len(model.coefs_)
            _copy(net.params.views_of(ours), arrays[:layers], arrays[layers:])
    if model.solver == "adam":
        optimizer.steps = theirs.t
    else:
        optimizer.learning_rate = float(theirs.learning_rate)


def _copy(named: Any, weights: list[np.ndarray], biases: list[np.ndarray]) -> None:
    """Copy the arrays of each layer into those with the names W1, b1, W2, ..."""
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        named[f"W{layer}"][...], named[f"b{layer}"][...] = weight, bias
