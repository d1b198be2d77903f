"""BaseMLP: `fit` and `partial_fit` of both estimators, from the arguments to the training.

A `fit` checks everything and prepares a function that trains; an error up to there leaves the estimator as it was.
Parameters are documented at `MLPClassifier`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if

from fastfnn import FNN, Checkpoint, DivergenceError, streams, validation
from fastfnn.callbacks import checked_callbacks
from fastfnn.checkpoint import checked_checkpoint
from fastfnn.improvement import never_finite
from fastfnn.options import checked_dtype
from fastfnn.parallel.alone import Alone
from fastfnn.sklearn import ensemble, going_on, holder, lbfgs, parallel, sources, teams, unscaled, validation_data
from fastfnn.sklearn.base import NetworkEstimator
from fastfnn.sklearn.data import Data, readable
from fastfnn.sklearn.going_on import Wanted
from fastfnn.sklearn.parameters import (
    CONSTRAINTS,
    check_combination,
    hidden_layer_sizes,
    new_optimizer,
    uses_lbfgs,
)
from fastfnn.sklearn.teams import ALONE, Team
from fastfnn.sklearn.training import Training
from fastfnn.sklearn.weights import checked_sample_weight
from fastfnn.sources.batches import as_source

# What training sets, and a new training must not find.
TRAINED = (
    "estimators_", "coefs_", "intercepts_", "_net", "_optimizer", "_best", "_saved", "_no_improvement_count",
    "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_",
)  # fmt: skip

LEVEL_OF_USER = 7  # the `stacklevel` of the code that has called `fit`, in `BaseMLP._descend`


class BaseMLP(NetworkEstimator):
    """Base class of the estimators: their training."""

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS

    # They belong to one process, and are nothing that a pipeline routes.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"checkpoint": UNUSED, "resume": UNUSED, "comm": UNUSED}

    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    loss_: float
    _best: tuple[np.ndarray, np.ndarray] | None  # parameters and running statistics of the best score

    # Training

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        resume: bool = False,
        comm: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame, or sparse CSR or CSC array, or source
            Samples of any real dtype; or samples and targets of a `fastfnn.sources.Source` or of an iterable of pairs
            (X, y), which are read while the network trains, see Notes.
        y : (n_samples,) or (n_samples, n_outputs) array
            Labels or targets. None with a source.
        sample_weight : (n_samples,) array, optional
            Weights of the samples, finite and not negative. Each step minimizes the weighted mean of the loss over its
            batch.
        eval_set : (X, y), optional
            Validation data of your own: training stops early, as with `early_stopping`, but by the score on them.
        checkpoint : Checkpoint, str or path-like, optional
            A folder, or a `fastfnn.Checkpoint` that tells more: there training writes all that it needs to go on. Each
            network of an ensemble has a folder in it. Not for solver="lbfgs".
        resume : bool, default False
            Go on from the checkpoint if there is one. The result has the same bits as that of a training that was not
            interrupted. All rows and all parameters must be the same, but for `max_iter`, `n_estimators`, `n_jobs`,
            `n_threads`, `verbose` and `progress`. A RandomState is compared by its state when `fit` begins.
        comm : communicator of mpi4py or DataParallel, optional
            Train with all processes of this communicator, each of which calls `fit` with its share of the samples, see
            Notes; a `fastfnn.DataParallel` tells more.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If data, parameters or their combination are wrong: the estimator is as it was. ValueError also if training
            diverges and there is no validation score from before.

        Notes
        -----
        A validation score that is not finite is never the best. With early stopping, a training that diverges ends with
        the weights of its best score, and a ConvergenceWarning; so does one whose score was finite after no epoch, with
        its last weights.

        A classifier first reads the targets of a source once, to find its classes. What needs all samples at once is
        an error: `early_stopping` (give `eval_set`), solver="lbfgs", `n_estimators`, ``class_weight="balanced"`` and
        `checkpoint`. Features of a `fastfnn.sources.ParquetSource` have their names.

        With `comm`, `batch_size` is the number of samples of a step over all ranks, and the estimator is the same on
        all of them afterwards. Classes, their weights, losses and scores are those of the samples of all ranks. The
        random state is that of rank 0, which alone prints, calls its callbacks and writes checkpoints. `early_stopping`
        keeps a share of the samples of each rank apart, drawn without regard to classes. An `eval_set` may be given on
        each rank or on rank 0 alone; `eval_metric` needs it on rank 0 alone. Ensembles and solver="lbfgs" cannot be
        trained in this way.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastfnn.sklearn import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier(max_iter=1000, random_state=0).fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
        >>> len(model.validation_scores_) == model.n_iter_ < 1000
        True
        """
        with teams.team_of(comm) as team:
            with team.agreed():
                kept = checked_checkpoint(checkpoint, resume)
                if not isinstance(team, Alone):
                    self._validate_params()  # as `_fit` does, where an error would leave the other ranks waiting
                wanted = None if kept is None else Wanted.of(self, kept, resume)
            return self._fit(X, y, sample_weight, eval_set, incremental=False, wanted=wanted, team=team)

    def _is_stochastic(self) -> bool:
        if uses_lbfgs(self):
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    @available_if(_is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on the given samples, with the optimizer's state of the calls before.

        Parameters
        ----------
        X : (n_samples, n_features) array, frame, or sparse CSR or CSC array
            Samples.
        y : (n_samples,) or (n_samples, n_outputs) array
            Targets.
        sample_weight : (n_samples,) array, optional
            Weights of the samples.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Examples
        --------
        >>> from fastfnn.sklearn import MLPRegressor
        >>> model = MLPRegressor(random_state=0)
        >>> for part in ([[0.0], [1.0]], [[2.0], [3.0]]):
        ...     model = model.partial_fit(part, [1.0, 2.0])
        >>> model.t_
        4
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, incremental: bool,
        wanted: Wanted | None = None, team: Team = ALONE, classes: Any = None,
    ) -> Self:  # fmt: skip
        """Train; `wanted` are the checkpoint and whether to resume from it, if there is to be one.

        `classes` are those of `partial_fit` of a classifier.
        """
        stop = threading.Event()
        with self._threads():
            with self._unchanged_by_errors(), team.agreed():
                if incremental:
                    self._note_classes(y, classes)
                train = self._prepared(X, y, sample_weight, eval_set, incremental, team, wanted, stop)
            train()
        return self

    @contextlib.contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Give the estimator its attributes back if an error is raised before the training begins."""
        before = vars(self).copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, incremental: bool, team: Team,
        wanted: Wanted | None, stop: threading.Event,
    ) -> Callable[[], None]:  # fmt: skip
        """Check everything that training gets; return the function that trains. `team` are the ranks that train."""
        hidden = hidden_layer_sizes(self)
        check_combination(self, len(hidden), eval_set, incremental)
        if (source := as_source("X", X)) is not None:
            if not isinstance(team, Alone):
                raise ValueError("comm needs samples as arrays, of each rank its share, got a source")
            sources.check_arguments(self, source, wanted, incremental, y=y, sample_weight=sample_weight)
            return sources.prepared(self, source, eval_set, stop)
        if wanted is not None and uses_lbfgs(self):
            raise ValueError("checkpoint needs a stochastic solver, got solver='lbfgs'")
        teams.check_parameters(self, team)
        trained = len(getattr(self, "estimators_", ())) or hasattr(self, "coefs_")  # the number of networks
        first_pass = trained != self.n_estimators or (not self.warm_start and not incremental)
        given = X, y
        with validation.explained("X", X):
            X, y = self._validated(X, y, first_pass)
        teams.check_data(self, team, X, y, sample_weight is not None, first_pass)
        self._learn_targets(y, incremental, team)
        targets = self._encoded(y)
        weights = checked_sample_weight(sample_weight, X.shape[0])
        by_class = self._class_weights(y, incremental, team)
        if by_class is not None:
            weights = by_class if weights is None else by_class * weights
            if not incremental:
                total = sum(team.gathered(float(weights.sum())))
                validation.check_total_weight("sample_weight times class_weight", total)
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._start_anew(X, targets, hidden)
        else:
            self._check_same_layers(targets, hidden)
        X = readable(X, self._layer_sizes[0], self._dtype, 1 if incremental else self.max_iter)
        arguments = X, targets, weights, given, eval_set, incremental, team, wanted, stop
        prepare = self._prepared_network if self.n_estimators == 1 else functools.partial(ensemble.prepared, self)
        train = prepare(*arguments)

        def train_and_look() -> None:
            train()
            with team.agreed():
                if team.first and not stop.is_set():
                    unscaled.warn(self, X, targets, weights)

        return train if incremental else train_and_look

    def _check_same_layers(self, targets: np.ndarray, hidden: list[int]) -> None:
        """Raise if data or parameters ask for other layers than those that were trained."""
        if hidden != list(self._layer_sizes[1:-1]):
            sizes = self._layer_sizes[1:-1]
            raise ValueError(f"hidden_layer_sizes must stay {sizes} to train on, got {tuple(hidden)}")
        outputs = self._output_count(targets)
        if outputs != self.n_outputs_:
            what = "quantile" if self.loss == "quantile" else "y"
            raise ValueError(f"{what} must stay that of {self.n_outputs_} outputs to train on, got {outputs}")

    def _start_anew(self, X: Any, targets: np.ndarray, hidden: list[int]) -> None:
        """Forget an earlier training, and set what the data of the first pass decide about the network."""
        for name in TRAINED:
            self.__dict__.pop(name, None)
        # A line search needs more precision than float32 has.
        single = X.dtype == np.float32 and not uses_lbfgs(self)
        self._dtype = checked_dtype(("float32" if single else "float64") if self.dtype is None else self.dtype)
        self.n_outputs_: int = self._output_count(targets)
        self.n_layers_: int = len(hidden) + 2
        self.out_activation_: str = self._output_activation()
        self._layer_sizes = (int(X.shape[1]), *hidden, self.n_outputs_)

    def _prepared_network(
        self, X: Any, targets: np.ndarray, weights: np.ndarray | None, given: tuple[Any, Any], eval_set: Any,
        incremental: bool, team: Team, wanted: Wanted | None, stop: threading.Event,
    ) -> Callable[[], None]:  # fmt: skip
        """Return the function that trains the one network; `given` are X and y as they came. See `_prepared`."""
        net = holder.current_network(self) if hasattr(self, "coefs_") else self._draw_network()
        data = Data(X, net._targets("y", targets, X.shape[0]), weights)
        if uses_lbfgs(self):
            run = functools.partial(self._minimize, net, data, stop)
        else:
            if isinstance(team, Alone):
                training = self._prepared_descent(net, data, given, eval_set, incremental, wanted, stop)
            else:
                training = parallel.prepared_descent(self, net, data, eval_set, team, wanted, stop)
            run = functools.partial(self._descend, net, training, 1 if incremental else self.max_iter, incremental)

        def train() -> None:
            try:
                run()
                finite = bool(np.isfinite(net._flat).all())
            except DivergenceError:
                finite = False
            if not finite:
                with team.agreed():
                    raise unscaled.diverged(self, data.x, data.targets)

        return train

    def _minimize(self, net: FNN, data: Data, stop: threading.Event) -> None:
        """Train by L-BFGS."""
        result = lbfgs.minimize(
            net, data, alpha=self.alpha, tol=self.tol, max_iter=self.max_iter, max_fun=self.max_fun,
            divisor=self._loss_divisor(), stop=stop,
        )  # fmt: skip
        self.n_iter_, self.loss_ = result.nit, np.float64(result.fun)

    def _descend(self, net: FNN, training: Training, epochs: int, incremental: bool) -> None:
        """Train by gradient descent; with early stopping, restore the weights that had the best score.

        A training that has diverged after that ends so, too, as scikit-learn's does.
        """
        training.run(epochs, incremental)
        if training.score is None:
            return
        told, finite = None, training.state.finite()
        if self._best is None:
            if finite:
                told = never_finite("the validation score")
        else:
            if not finite:
                told = "training diverged: the weights are those of the best validation score before"
            net._flat[...], net._statistics[...] = self._best
        if told and training.warns:
            streams.warn(told, ConvergenceWarning, stacklevel=LEVEL_OF_USER)

    def _prepared_descent(
        self, net: FNN, data: Data, given: tuple[Any, Any], eval_set: Any, incremental: bool,
        wanted: Wanted | None, stop: threading.Event,
    ) -> Training:  # fmt: skip
        """Return what trains by gradient descent, on all samples or on those that are not held out."""
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = new_optimizer(self)
        stops_early = self.early_stopping or eval_set is not None
        self._begin_curves(net, stops_early)
        splits = stops_early and eval_set is None
        before_split = None if wanted is None else going_on.random_of(self._random_state)
        chosen, held_out = np.arange(data.samples), None
        if splits:
            chosen, held_out = self._split(data, given)
        elif stops_early:
            held_out = self._evaluation_data(net, eval_set)
        watchers = checked_callbacks(
            self.callbacks, held_out is not None, net.loss_function.has_accuracy, optimizer=self._optimizer
        )
        keeper = None
        if wanted is not None:
            evaluation = None if splits or held_out is None else held_out.data
            told = going_on.digests(data, evaluation, net.dtype)
            keeper = going_on.new_keeper(self, wanted, net, self._optimizer, watchers, len(chosen), told)
            if keeper.found is not None:
                before_split = going_on.check_before_split(keeper)
                if splits:
                    going_on.set_random(self._random_state, before_split)
                    chosen, held_out = self._split(data, given)
                going_on.check_found(keeper, net, chosen, stops_early)
        wants_accuracy = "accuracy" in [name for watcher in watchers for _, name in watcher._reads()]
        trained_on = data.at(chosen.copy()) if wants_accuracy else None  # the order of `chosen` will change
        score = None if held_out is None else validation_data.scorer(self, net, held_out)
        return Training(
            self, net, self._optimizer, data, chosen, self._batch_size(len(chosen)), score, watchers,
            lambda history: validation_data.measure(net, held_out, trained_on, history), stop, keeper, before_split,
        )  # fmt: skip

    def _split(self, data: Data, given: tuple[Any, Any]) -> tuple[np.ndarray, validation_data.HeldOut]:
        """Return the indices of the training samples, and the validation data."""
        classes = self._classes_to_stratify(data.targets)
        return validation_data.split(
            data, None if self.eval_metric is None else given, self.validation_fraction, self._random_state, classes
        )  # fmt: skip

    def _begin_curves(self, net: FNN, stops_early: bool) -> None:
        """Set what tells when to stop, unless an earlier training of the same kind has left it."""
        if not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
        if not hasattr(self, "best_loss_") or (self.best_loss_ is None) != stops_early:
            self._no_improvement_count = 0
            self.best_loss_ = None if stops_early else np.inf
            self.validation_scores_ = [] if stops_early else None
            self.best_validation_score_ = -np.inf if stops_early else None
            self._best = None  # until a score is finite

    def _batch_size(self, samples: int) -> int:
        if isinstance(self.batch_size, str):
            return min(200, samples)
        if self.batch_size > samples:
            message = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            streams.warn(message, stacklevel=2)
        return int(min(self.batch_size, samples))

    def _evaluation_data(self, net: FNN, eval_set: Any) -> validation_data.HeldOut:
        """Return the `eval_set` of `fit` as validation data."""
        if not isinstance(eval_set, (tuple, list)) or len(eval_set) != 2:
            size = f" of {len(eval_set)}" if isinstance(eval_set, (tuple, list)) else ""
            raise ValueError(f"eval_set must be a pair (X, y), got {type(eval_set).__name__}{size}")
        try:
            with validation.explained("X", eval_set[0]):
                X, y = self._validated(eval_set[0], eval_set[1], False)
            X = readable(X, self._layer_sizes[0], self._dtype)
            data = Data(X, net._targets("y", self._encoded(y), X.shape[0]), None)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            text = "; ".join([str(error), *getattr(error, "__notes__", [])])
            raise kind(f"eval_set must be samples and targets like those of fit: {text}") from error
        return validation_data.HeldOut(data, None if self.eval_metric is None else (*eval_set, None))
