"""MLPClassifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from fastfnn import Activation, losses, validation
from fastfnn.labels import check_sortable
from fastfnn.loss import LossBase
from fastfnn.optimizers import Optimizer, Rate
from fastfnn.sklearn.data import Data, dtypes_to_keep
from fastfnn.sklearn.estimator import BaseMLP
from fastfnn.sklearn.parameters import CONSTRAINTS
from fastfnn.sklearn.teams import ALONE, Team, all_labels, weights_of_classes
from fastfnn.sklearn.weights import ScoreByWeights


class MLPClassifier(ScoreByWeights, ClassifierMixin, BaseMLP):
    """A multilayer perceptron for classification, with the interface of scikit-learn's.

    With the same parameters, `random_state` and dtype, the initial weights, the order of the samples and the validation
    split are those of ``sklearn.neural_network.MLPClassifier``, so that the trained networks are equal to rounding.
    Parameters after `max_fun` are additions.

    Parameters
    ----------
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
        In [0, 1). The split keeps the shares of two classes; of more it does not, as in scikit-learn.
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
    class_weight : dict, list of dict, "balanced" or None, default None
        Weights of the classes, as in scikit-learn's other classifiers: a dict by label, a list of dicts for the columns
        of multi-label targets, or "balanced". They multiply `sample_weight`.
    label_smoothing : float, default 0
        Share in [0, 1) of a label's probability that is spread evenly over the classes.
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
        Networks of an ensemble, which are trained from different seeds; their probabilities are averaged.
    n_jobs : int, optional
        How many networks of the ensemble are trained side by side, each on one thread; as for joblib, -1 is all cores.
    n_threads : int, optional
        Most threads for one network. By default all, but one inside a worker of joblib or Dask.
    dtype : {"float32", "float64"}, optional
        Dtype of the weights and of the arithmetic; by default float32 for X of float32, else float64, as in
        scikit-learn. float32 is about twice as fast. X is not copied to this dtype.

    Attributes
    ----------
    classes_ : (n_classes,) array, or list of such
        Labels of the classes.
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
        "softmax" for several classes, "logistic" for two and for multi-label targets.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : (n_features,) array of str
        Names of the features, if X had any.
    estimators_ : list of MLPClassifier
        The networks of an ensemble, which has no `coefs_` of its own.
    network_ : FNN
        The network.

    Notes
    -----
    Sparse samples are made dense: as a whole up to 32 MB, else some batches at a time.

    References
    ----------
    F. Pedregosa et al., "Scikit-learn: Machine Learning in Python", JMLR 12, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastfnn.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(max_iter=1000, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS | {
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    loss = "log_loss"
    classes_: np.ndarray

    def __init__(
        self,
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
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | str | None = None,
        label_smoothing: float = 0.0,
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
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
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

    @available_if(lambda estimator: estimator._is_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on the given samples, with the optimizer's state of the calls before.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame, or sparse CSR or CSC array
            Samples.
        y : (n_samples,) or (n_samples, n_outputs) array
            Labels.
        sample_weight : (n_samples,) array, optional
            Weights of the samples.
        classes : (n_classes,) array, optional
            Labels of all classes; required in the first call, which may not have samples of all of them.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Examples
        --------
        >>> from fastfnn.sklearn import MLPClassifier
        >>> model = MLPClassifier(random_state=0)
        >>> for part in ([[0.0], [1.0]], [[2.0], [3.0]]):
        ...     model = model.partial_fit(part, [0, 1], classes=[0, 1, 2])
        >>> model.t_
        4
        """
        return self._fit(X, y, sample_weight, None, incremental=True, classes=classes)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the label of each sample.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame or sparse array
            Samples.

        Returns
        -------
        (n_samples,) array
            Labels; for multi-label targets 0 or 1 for each label, (n_samples, n_classes).

        Examples
        --------
        >>> from fastfnn.sklearn import MLPClassifier
        >>> X, y = [[-2.0], [-1.0], [1.0], [2.0]], ["no", "no", "yes", "yes"]
        >>> model = MLPClassifier(max_iter=500, random_state=0).fit(X, y)
        >>> model.predict([[-3.0], [3.0]])
        array(['no', 'yes'], dtype='<U3')
        """
        return self._labels(self._outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame or sparse array
            Samples.

        Returns
        -------
        (n_samples, n_classes) array
            Probabilities, in the order of `classes_`.

        Examples
        --------
        >>> from fastfnn.sklearn import MLPClassifier
        >>> X, y = [[-2.0], [-1.0], [1.0], [2.0]], ["no", "no", "yes", "yes"]
        >>> model = MLPClassifier(max_iter=500, random_state=0).fit(X, y)
        >>> model.predict_proba([[-3.0], [3.0]]).round(1)
        array([[1., 0.],
               [0., 1.]])
        """
        out = self._outputs(X)
        return np.concatenate([1 - out, out], axis=1) if self.n_outputs_ == 1 else out

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame or sparse array
            Samples.

        Returns
        -------
        (n_samples, n_classes) array
            The logarithms of `predict_proba`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastfnn.sklearn import MLPClassifier
        >>> X, y = [[-2.0], [-1.0], [1.0], [2.0]], ["no", "no", "yes", "yes"]
        >>> model = MLPClassifier(random_state=0).fit(X, y)
        >>> bool((model.predict_log_proba(X) == np.log(model.predict_proba(X))).all())
        True
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    # What BaseMLP asks for

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=dtypes_to_keep(X), reset=reset
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_sortable("y", y)
        return X, y

    def _note_classes(self, y: Any, classes: Any) -> None:
        if _check_partial_fit_first_call(self, classes):
            check_sortable("y", y)
            is_multilabel = type_of_target(y, input_name="y").startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if is_multilabel else classes)

    def _learn_targets(self, y: Any, incremental: bool, team: Team = ALONE) -> None:
        y = all_labels(team, y)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif self.warm_start and set(classes := unique_labels(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously"
                f" got {self.classes_}, `y` has {classes}"
            )

    def _encoded(self, y: Any) -> np.ndarray:
        if self._label_binarizer.y_type_.startswith("multilabel"):
            self._check_classes(unique_labels(y))
            rows: np.ndarray = self._label_binarizer.transform(y)
            return rows
        if y.ndim > 1:
            raise ValueError(f"y must be labels of shape (samples,), as in the first fit; got shape {y.shape}")
        if y.dtype.kind == self.classes_.dtype.kind:
            labels = np.searchsorted(self.classes_, y)
            known = np.array_equal(self.classes_[np.minimum(labels, len(self.classes_) - 1)], y)
        else:
            known = False
        if not known:
            self._check_classes(unique_labels(y))
            labels = np.searchsorted(self.classes_, y)
        return labels if self._label_binarizer.y_type_ == "multiclass" else labels[:, np.newaxis]

    def _check_classes(self, classes: np.ndarray) -> None:
        """Raise if there are classes that the network does not know."""
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _class_weights(self, y: Any, incremental: bool, team: Team = ALONE) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight must be a dict for partial_fit, which does not see all samples; got 'balanced'"
            )
        if isinstance(self.class_weight, list):
            for i, weights_of_output in enumerate(self.class_weight):
                validation.check_class_weight(f"class_weight[{i}]", weights_of_output)
        else:
            validation.check_class_weight("class_weight", self.class_weight)
        weights: np.ndarray = compute_sample_weight(weights_of_classes(team, self.class_weight, y), y)
        return weights

    def _output_count(self, targets: np.ndarray) -> int:
        return len(self.classes_) if targets.ndim == 1 else targets.shape[1]

    def _output_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _network_loss(self) -> LossBase:
        if self.out_activation_ == "softmax":
            return losses.SoftmaxCrossEntropy(label_smoothing=self.label_smoothing)
        return losses.SigmoidCrossEntropy(label_smoothing=self.label_smoothing)

    def _class_labels(self) -> Any:
        # Of samples of one class, both sides of 1/2 are this class.
        return np.repeat(self.classes_, 2) if self.n_outputs_ == 1 and len(self.classes_) == 1 else self.classes_

    def _classes_to_stratify(self, targets: np.ndarray) -> np.ndarray | None:
        return self.classes_[targets[:, 0].astype(int)] if self.n_outputs_ == 1 else None

    def _score_of_outputs(self, out: np.ndarray, data: Data) -> float:
        if data.targets.ndim == 1:
            right = out.argmax(axis=1) == data.targets
        else:
            right = np.all((out > 0) == (data.targets > 0.5), axis=1)
        return float(np.average(right, weights=data.weights))

    def _labels(self, out: np.ndarray) -> np.ndarray:
        kind = self._label_binarizer.y_type_
        if kind.startswith("multilabel"):
            return self._label_binarizer.inverse_transform(out)
        numbers = out.argmax(axis=1) if kind == "multiclass" else (out[:, 0] > 0.5).astype(np.intp)
        labels: np.ndarray = self._class_labels()[numbers]
        return labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
