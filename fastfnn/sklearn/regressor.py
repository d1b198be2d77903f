"""MLPRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from fastfnn import Activation, Loss, losses
from fastfnn.loss import LossBase
from fastfnn.optimizers import Optimizer, Rate
from fastfnn.sklearn.data import Data, dtypes_to_keep
from fastfnn.sklearn.estimator import BaseMLP
from fastfnn.sklearn.parameters import CONSTRAINTS
from fastfnn.sklearn.weights import checked_sample_weight


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multilayer perceptron for regression, with the interface of scikit-learn's.

    With the same parameters, `random_state` and dtype, the initial weights, the order of the samples and the validation
    split are those of ``sklearn.neural_network.MLPRegressor``, so that the trained networks are equal to rounding.
    Parameters after `max_fun` are additions.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "huber", "absolute_error", "quantile"} or Loss, default "squared_error"
        "squared_error" is half the squared error; "poisson" half the Poisson deviance, for counts, with exponential
        output; the others are those of `fastfnn.losses`, less sensitive to outliers or for quantiles. A
        `fastfnn.Loss` is a loss of your own.
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str, Activation, or list of these, default "relu"
        Activation of the hidden layers, or one for each: "identity", "logistic" (also called "sigmoid"), "tanh",
        "relu", "leaky_relu", "elu", "softplus", "silu", "gelu" or a `fastfnn.Activation`.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        Adam, gradient descent with momentum, or L-BFGS on all samples at once, by SciPy.
    alpha : float, default 1e-4
        L2 penalty: ``alpha / 2`` times the sum of the squares of all weights, divided by the weight of the batch.
    batch_size : int or "auto", default "auto"
        Samples per step; "auto" is the smaller one of 200 and the number of samples.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        With solver="sgd": `learning_rate_init` all the time; ``learning_rate_init / (t_ + 1)^power_t`` after each
        epoch; or a fifth whenever training stops improving, which then goes on until the rate is 1e-6.
    learning_rate_init : float, default 1e-3
        Learning rate of solver="sgd" and "adam".
    power_t : float, default 0.5
        See `learning_rate`.
    max_iter : int, default 200
        Most epochs; with solver="lbfgs" most iterations.
    shuffle : bool, default True
        Whether each epoch has an order of its own.
    random_state : int, RandomState or None, default None
        The source of all that is random.
    tol : float, default 1e-4
        A change of the loss, or of the validation score, counts as an improvement from this size on.
    verbose : bool, default False
        Print the loss after each epoch.
    warm_start : bool, default False
        Begin with the weights of the last `fit`.
    momentum : float, default 0.9
        With solver="sgd", in [0, 1].
    nesterovs_momentum : bool, default True
        Whether `momentum` is Nesterov's.
    early_stopping : bool, default False
        Keep `validation_fraction` of the samples apart, stop when the score on them no longer improves, and restore the
        weights that had the best score.
    validation_fraction : float, default 0.1
        Share of the samples that `early_stopping` keeps apart, in [0, 1).
    beta_1, beta_2, epsilon : float, default 0.9, 0.999 and 1e-8
        Of solver="adam".
    n_iter_no_change : int, default 10
        Epochs without improvement after which training stops.
    max_fun : int, default 15000
        Most evaluations of the loss by solver="lbfgs".
    dropout : float, default 0
        Probability in [0, 1) with which training sets an output of a hidden layer to 0.
    batch_norm : bool, default False
        Normalize the sums of hidden layers over the batch.
    delta : float, default 1.0
        With loss="huber", above 0: the size of the errors from which on the loss is linear.
    quantile : float or sequence of float, default 0.5
        With loss="quantile": the level in (0, 1) of the quantile to predict, or several for a single target, each of
        which gets an output.
    optimizer : Optimizer or str, optional
        From `fastfnn.optimizers`, in place of `solver` and `learning_rate_init`. `fit` uses a copy. A name such as
        "adamw" stands for an object of that class with its default settings.
    schedule : callable, optional
        From `fastfnn.schedules`, or another function from the number of a step to its learning rate, in place of
        `learning_rate_init`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient.
    init : {"glorot", "he", "xavier", "torch"} or float, default "glorot"
        Initial weights, see `fastfnn.FNN`; "glorot" is that of scikit-learn.
    eval_metric : str or callable, optional
        What early stopping goes by: the name of a scorer of scikit-learn, or a function of (estimator, X, y) that
        returns a number. It gets the weights of the samples, too, if it has the argument `sample_weight`. By default
        the score of the estimator.
    callbacks : list, optional
        As in `fastfnn.FNN.fit`.
    progress : bool, default False
        Show a progress bar.
    n_estimators : int, default 1
        Networks of an ensemble, which are trained from different seeds; their predictions are averaged.
    n_jobs : int, optional
        How many networks of the ensemble are trained side by side, each on one thread; as for joblib, -1 is all cores.
    n_threads : int, optional
        Most threads for one network. By default all, but one inside a worker of joblib or Dask.
    dtype : {"float32", "float64"}, optional
        Dtype of the weights and of the arithmetic; by default float32 for X of float32, else float64, as in
        scikit-learn. float32 is about twice as fast. X is not copied to this dtype.

    Attributes
    ----------
    coefs_, intercepts_ : list of array
        Weights (in_features, out_features) and biases of each layer. Writable: changes take effect.
    loss_, best_loss_ : float
        Loss of the last epoch, and the lowest; `best_loss_` is None with early stopping.
    loss_curve_ : list of float
        Loss of each epoch.
    validation_scores_, best_validation_score_ : list of float, float
        Scores of each epoch and the best one, with early stopping, else None.
    t_ : int
        Samples that training has seen.
    n_iter_ : int
        Epochs of the last `fit`.
    n_layers_, n_outputs_ : int
        Layers, with that of the input; outputs.
    out_activation_ : str
        "exp" with loss="poisson", else "identity".
    n_features_in_ : int
        Number of features.
    feature_names_in_ : (n_features,) array of str
        Names of the features, if X had any.
    estimators_ : list of MLPRegressor
        The networks of an ensemble, which has no `coefs_` of its own.
    network_ : FNN
        The network.

    Notes
    -----
    The reported squared error is the mean over the outputs, as in scikit-learn; other losses are sums over them.

    `score` is the coefficient of determination, but with several quantiles the mean of their D^2 pinball scores.

    References
    ----------
    F. Pedregosa et al., "Scikit-learn: Machine Learning in Python", JMLR 12, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastfnn.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(max_iter=300, learning_rate_init=0.01, random_state=0).fit(10 * X, y / 100)
    >>> model.score(10 * X, y / 100) > 0.5
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS | {
        "loss": [StrOptions({"squared_error", "poisson", "huber", "absolute_error", "quantile"}), Loss],
        "delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
    }

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        batch_norm: bool = False,
        delta: float = 1.0,
        quantile: float | Sequence[float] = 0.5,
        optimizer: Optimizer | str | None = None,
        schedule: Rate | None = None,
        clip_norm: float | None = None,
        init: str | float = "glorot",
        eval_metric: Any = None,
        callbacks: Sequence[Any] | None = None,
        progress: bool = False,
        n_estimators: int = 1,
        n_jobs: int | None = None,
        n_threads: int | None = None,
        dtype: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.delta = delta
        self.quantile = quantile
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.init = init
        self.eval_metric = eval_metric
        self.callbacks = callbacks
        self.progress = progress
        self.n_estimators = n_estimators
        self.n_jobs = n_jobs
        self.n_threads = n_threads
        self.dtype = dtype

    def predict(self, X: Any) -> np.ndarray:
        """Predict the targets of samples.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame or sparse array
            Samples.

        Returns
        -------
        (n_samples,) or (n_samples, n_outputs) array
            Predictions; with several quantiles a column for each.

        Examples
        --------
        >>> from fastfnn.sklearn import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
        >>> model = MLPRegressor(solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
        >>> model.predict([[0.5]]).round(1)
        array([2.])
        """
        return self._predictions(self._outputs(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of the predictions; for several quantiles see the class.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame or sparse array
            Samples.
        y : (n_samples,) or (n_samples, n_outputs) array
            Targets.
        sample_weight : (n_samples,) array, optional
            Weights of the samples.

        Returns
        -------
        float
            At most 1, which is the score of predictions without an error. Targets that are missing, where the loss
            takes such, are left out.

        Examples
        --------
        >>> from fastfnn.sklearn import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
        >>> model = MLPRegressor(solver="lbfgs", random_state=0, max_iter=1000).fit(X, y)
        >>> round(model.score(X, y), 2)
        1.0
        """
        predictions = self.predict(X)
        return self._score(y, predictions, checked_sample_weight(sample_weight, len(predictions)))

    def _score(self, y: Any, predictions: np.ndarray, weights: np.ndarray | None) -> float:
        if (targets := self._with_missing(y)) is not None:
            scores = []
            rows = len(targets)
            for t, p in zip(targets.reshape(rows, -1).T, predictions.reshape(rows, -1).T, strict=True):
                if (there := ~np.isnan(t)).any():
                    scores.append(
                        r2_score(t[there], p[there], sample_weight=None if weights is None else weights[there])
                    )
            return float(np.mean(scores)) if scores else np.nan
        if len(self._levels()) < 2:
            return float(r2_score(y, predictions, sample_weight=weights))
        pairs = zip(self._levels(), predictions.T, strict=True)
        scores = [d2_pinball_score(y, column, sample_weight=weights, alpha=level) for level, column in pairs]
        return float(np.mean(scores))

    def _levels(self) -> tuple[float, ...]:
        """Return the levels of the quantiles; none for other losses."""
        if self.loss != "quantile":
            return ()
        levels = np.atleast_1d(np.asarray(self.quantile, np.float64))
        if levels.ndim != 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantile must be a number above 0 and below 1, or several, got {self.quantile!r}")
        return tuple(levels.tolist())

    def _with_missing(self, y: Any) -> np.ndarray | None:
        """Return targets of which some are NaN, where the loss is the user's own and takes that; else None."""
        if not isinstance(self.loss, Loss) or y is None:
            return None
        try:
            targets: np.ndarray = check_array(
                y, dtype="numeric", ensure_2d=False, ensure_all_finite=False, input_name="y", estimator=self
            )
        except (TypeError, ValueError):
            return None  # the checks of targets without NaN tell what is wrong
        return targets if targets.dtype.kind == "f" and np.isnan(targets).any() and self.loss.takes_missing else None

    # What BaseMLP asks for

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        some_missing = self._with_missing(y)
        if some_missing is None:
            X, y = validate_data(
                self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True, dtype=dtypes_to_keep(X),
                reset=reset,
            )  # fmt: skip
        else:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=dtypes_to_keep(X), reset=reset)
            y = some_missing
            check_consistent_length(X, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _encoded(self, y: Any) -> np.ndarray:
        if self.loss == "poisson" and y.min(initial=0) < 0:
            raise ValueError(f"y must not be negative with loss='poisson', got {y.min()}")
        levels = self._levels()
        if len(levels) < 2:
            return y.reshape(len(y), -1)
        if y.ndim != 1:
            raise ValueError(f"y must have one column with several quantiles, got shape {y.shape}")
        return np.tile(y[:, np.newaxis], len(levels))

    def _output_count(self, targets: np.ndarray) -> int:
        return targets.shape[1]

    def _output_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _network_loss(self) -> LossBase:
        if isinstance(self.loss, Loss):
            return self.loss
        if self.loss == "huber":
            return losses.Huber(delta=self.delta)
        if self.loss == "quantile":
            return losses.Quantile(levels=self._levels())
        kinds = {
            "squared_error": losses.SquaredError,
            "poisson": losses.Poisson,
            "absolute_error": losses.AbsoluteError,
        }
        return kinds[self.loss]()

    def _loss_divisor(self) -> int:
        return self.n_outputs_ if self.loss == "squared_error" else 1

    def _score_of_outputs(self, out: np.ndarray, data: Data) -> float:
        targets = data.targets[:, 0] if len(self._levels()) > 1 else data.targets
        return self._score(targets, np.exp(out) if self.loss == "poisson" else out, data.weights)

    def _predictions(self, out: np.ndarray) -> np.ndarray:
        return out.ravel() if out.shape[1] == 1 else out
