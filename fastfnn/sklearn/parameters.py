"""The parameters of the estimators: what each may be, and what they say about the network and the optimizer."""

import copy
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastfnn import Activation, names, optimizers, validation
from fastfnn.callbacks import checked_callbacks
from fastfnn.initialization import INITS
from fastfnn.optimizers import Optimizer
from fastfnn.options import HIDDEN_ACTIVATIONS, checked_activations, checked_dtype


class Names(StrOptions):
    """Names among `options`, or those by which other libraries know them."""

    def __init__(self, options: set[str], others: Mapping[str, str]) -> None:
        super().__init__(options)
        self.others = others

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether `val` is such a name."""
        return isinstance(val, str) and names.canonical(val, self.options, self.others) in self.options


# What scikit-learn's validation of parameters accepts; its own parameters in its order, then ours.
CONSTRAINTS: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [Names({"logistic", *HIDDEN_ACTIVATIONS}, names.ACTIVATIONS), Activation, list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "batch_norm": ["boolean"],
    "optimizer": [Optimizer, Names(set(optimizers.BY_NAME), names.OPTIMIZERS), None],
    "schedule": [callable, None],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "init": [StrOptions(set(INITS)), Interval(Real, 0, None, closed="left")],
    "eval_metric": [str, callable, None],
    "callbacks": [list, tuple, None],
    "progress": ["boolean"],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Interval(Integral, None, -1, closed="right"), Interval(Integral, 1, None, closed="left"), None],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "dtype": [StrOptions({"float32", "float64"}), type, np.dtype, None],
}

# Parameters that have no meaning for solver="lbfgs", and their values that do no harm.
ONLY_STOCHASTIC: Mapping[str, Any] = {
    "dropout": 0,
    "batch_norm": False,
    "schedule": None,
    "clip_norm": None,
    "callbacks": None,
    "progress": False,
}


def uses_lbfgs(estimator: Any) -> bool:
    """Whether the solver is L-BFGS: an optimizer takes the place of the solver."""
    return estimator.solver == "lbfgs" and estimator.optimizer is None


def scales_rate(estimator: Any) -> bool:
    """Whether the parameter `learning_rate` decides about the learning rate: for solver="sgd" alone."""
    return estimator.solver == "sgd" and estimator.optimizer is None and estimator.schedule is None


def hidden_layer_sizes(estimator: Any) -> list[int]:
    """Return the units of each hidden layer."""
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    for i, size in enumerate(sizes):
        if not isinstance(size, Integral):
            raise TypeError(f"hidden_layer_sizes[{i}] must be an int, got {type(size).__name__}")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return sizes


def activations(estimator: Any, hidden_layers: int) -> tuple[str | Activation, ...]:
    """Return the activation of each hidden layer, by our names."""
    return checked_activations(estimator.activation, hidden_layers)


def check_combination(estimator: Any, hidden_layers: int, eval_set: Any, incremental: bool) -> None:
    """Raise ValueError if parameters that are valid by themselves contradict each other."""
    activations(estimator, hidden_layers)
    if estimator.dtype is not None:
        checked_dtype(estimator.dtype)
    _check_callbacks(estimator, eval_set)
    if isinstance(estimator.eval_metric, str) and estimator.eval_metric not in get_scorer_names():
        raise ValueError(
            f"eval_metric must be the name of a scorer, see get_scorer_names, got {estimator.eval_metric!r}"
        )
    if uses_lbfgs(estimator):
        for name, harmless in ONLY_STOCHASTIC.items():
            value = getattr(estimator, name)
            if value is not harmless and value != harmless:
                raise ValueError(f"{name} needs a stochastic solver, got {name}={value!r} with solver='lbfgs'")
        if eval_set is not None:
            raise ValueError("eval_set needs a stochastic solver, got solver='lbfgs'")
    if estimator.optimizer is not None and (estimator.schedule is not None or estimator.clip_norm is not None):
        name = "schedule" if estimator.schedule is not None else "clip_norm"
        raise ValueError(f"{name} must be given to the optimizer itself, got {name} beside optimizer")
    if estimator.schedule is not None and estimator.solver == "sgd" and estimator.learning_rate != "constant":
        raise ValueError(f"learning_rate must be 'constant' beside a schedule, got {estimator.learning_rate!r}")
    if incremental and (estimator.early_stopping or eval_set is not None):
        raise ValueError("partial_fit does not support early_stopping=True")


def _check_callbacks(estimator: Any, eval_set: Any) -> None:
    """Raise if callbacks cannot observe the training of this estimator."""
    validated = estimator.early_stopping or eval_set is not None
    found = checked_callbacks(estimator.callbacks, validated, is_classifier(estimator))
    for i, callback in enumerate(found):
        if callback._writes_files and estimator.n_estimators > 1:
            count = estimator.n_estimators
            raise ValueError(f"callbacks[{i}] needs n_estimators=1, got {count}: they would write the same files")
        if callback._changes_rate and scales_rate(estimator) and estimator.learning_rate != "constant":
            rate = estimator.learning_rate
            raise ValueError(f"callbacks[{i}] changes the learning rate, as does learning_rate={rate!r}: one of them")


def new_optimizer(estimator: Any) -> Optimizer:
    """Return the optimizer that the parameters describe, without state."""
    if estimator.optimizer is not None:
        optimizer = copy.deepcopy(optimizers.checked_optimizer(estimator.optimizer))
        optimizer.reset()
        return optimizer
    rate = estimator.learning_rate_init if estimator.schedule is None else estimator.schedule
    if estimator.schedule is not None:
        validation.nonnegative("schedule(0)", estimator.schedule(0))
    if estimator.solver == "adam":
        return optimizers.Adam(
            rate, estimator.beta_1, estimator.beta_2, estimator.epsilon, book=True, clip_norm=estimator.clip_norm
        )
    if estimator.momentum == 0:
        return optimizers.SGD(rate, clip_norm=estimator.clip_norm)
    rule = optimizers.Nesterov if estimator.nesterovs_momentum else optimizers.Momentum
    return rule(rate, estimator.momentum, clip_norm=estimator.clip_norm)
