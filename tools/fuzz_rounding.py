"""How far results may be off: the one place of fuzz.py that decides it.

The exact result is that of fastfnn/reference in float64. `rounding` makes the reference err as the kernels may. A
sum of n products gets an error of (sqrt(n) / 2 + n / 16) eps times the size of its partial sums, since equal terms
round alike and others at random; an activation, derivative, statistic or update gets one of 2 eps. Here eps is that of
the dtype under test, and signs are random. What these errors do to a result shows what dtype, depth, conditioning,
steps of training and a ReLU that rounding turns on or off may do to it: the bound of a column is FACTOR times its
largest deviation. Errors and their opposites are tried in turn, since only one of the two turns a given ReLU over.

For one product of 100 terms a bound is about 50 eps of a column's largest element, and it grows where errors do. A
column that is wrong, or missing, exceeds it by orders of magnitude, which tests/tools/test_fuzz.py proves.
"""

import contextlib
import math
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastfnn import reference
from fastfnn.reference import losses, tabular, update_rules

FACTOR = 6
STEP_EPS = 2.0  # error of a few operations on one element, in eps
FLOAT64_EPS = 2.0**-52
SURE_EPS = 32  # a result this near, relative to its column, needs no rounding to be tried

# Pairs of roundings that are tried, and how much larger they are than usual. A row only decides where those before it
# found a difference.
TRIES = ((1,), (1, 2), (1, 3, 3))

# Larger numbers may overflow in float32 on the way to the next result.
COMPARABLE = 1e15

# A bound above this share of the largest number means that errors grow from step to step, more than the rounding that
# was tried can tell, and can hide mistakes: it is multiplied by LOOSE_FACTOR, and counted, see `Comparison.loose`. A
# bound above the largest number means that there is nothing to compare, as where a variance of 0 is normalized.
LOOSE, LOOSE_FACTOR = 1e-2, 10

Results = dict[str, Any]


def sum_eps(terms: int) -> float:
    """The error of a sum of so many terms in eps, relative to the size of its partial sums."""
    return terms**0.5 / 2 + terms / 16


class Rounding:
    """Errors of the size that a dtype makes, of random signs; `sign` and `size` turn and scale all of them."""

    def __init__(self, dtype: np.dtype, seed: int, sign: int, size: float) -> None:
        info = np.finfo(dtype)
        self.eps, self.tiny = float(info.eps) * size * sign, float(info.tiny) * sign
        self.rng = np.random.default_rng(seed)

    def signs(self, shape: Any) -> np.ndarray:
        alike = self.rng.random() < 0.25  # equal terms round alike
        return np.where(self.rng.random(() if alike else shape, np.float32) < 0.5, -1.0, np.ones(shape))

    def touch(self, array: np.ndarray, magnitude: Any = None, eps: float = STEP_EPS) -> None:
        """Add an error relative to each element, or to `magnitude`."""
        size = np.abs(array) if magnitude is None else magnitude
        # What is exactly 0 stays so: a ReLU at 0 is off in the kernels, too.
        array += self.signs(array.shape) * (eps * self.eps * size + self.tiny * (size > 0))

    def sums(self, out: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        """Add the errors of out = first @ second."""
        terms = first.shape[1] + 1
        partial = np.sqrt((first * first) @ (second * second) + out * out)
        self.touch(out, partial, sum_eps(terms))
        out += self.tiny * terms * self.signs(out.shape) * (partial > 0)


@contextlib.contextmanager
def rounding(errors: Rounding) -> Iterator[None]:
    """Inside the context, the reference makes these errors."""
    exact, exact_update, exact_losses = types.SimpleNamespace(**vars(reference)), update_rules.update, losses.LOSS
    exact_own_loss, exact_tabular = losses._given_loss, types.SimpleNamespace(**vars(tabular))

    def affine_forward(out: Any, x: Any, weight: Any, bias: Any) -> None:
        exact.affine_forward(out, x, weight, bias)
        errors.sums(out, x, weight)

    def affine_backward(grad_x: Any, grad_weight: Any, grad_bias: Any, grad_out: Any, x: Any, weight: Any) -> None:
        exact.affine_backward(grad_x, grad_weight, grad_bias, grad_out, x, weight)
        if len(grad_x):
            errors.sums(grad_x, grad_out, weight.T)
        if len(grad_weight):
            errors.sums(grad_weight, x.T, grad_out)
        if len(grad_bias):
            bias = grad_bias[np.newaxis]
            errors.sums(bias, np.ones((1, len(x))), grad_out)

    def activation_forward(out: Any, x: Any, code: int) -> None:
        exact.activation_forward(out, x, code)
        errors.touch(out)
        if code == reference.ACTIVATIONS.index("softmax"):  # divided by a sum
            errors.touch(out, eps=sum_eps(out.shape[1]))

    def activation_backward(grad_x: Any, grad_out: Any, x: Any, code: int) -> None:
        magnitude = np.abs(grad_out)  # derivatives near 0 are differences of numbers near 1
        exact.activation_backward(grad_x, grad_out, x, code)
        errors.touch(grad_x, magnitude)

    def batch_norm_forward(
        out: Any, normalized: Any, mean: Any, variance: Any, x: Any, gamma: Any, beta: Any, epsilon: float
    ) -> None:
        exact.batch_norm_forward(out, normalized, mean, variance, x, gamma, beta, epsilon)
        size = np.sqrt((x * x).mean(axis=0)) if len(x) else np.zeros_like(mean)
        terms = sum_eps(len(x)) + STEP_EPS
        errors.touch(normalized, np.abs(normalized) + size / np.sqrt(variance + epsilon), terms)
        errors.touch(mean, size, terms)
        errors.touch(variance, variance + size * np.sqrt(variance), terms)
        out[...] = gamma * normalized + beta
        errors.touch(out)

    def batch_norm_backward(
        grad_x: Any, grad_gamma: Any, grad_beta: Any, grad_out: Any, normalized: Any, variance: Any, gamma: Any,
        epsilon: float,
    ) -> None:  # fmt: skip
        size = np.sqrt((grad_out * grad_out).mean(axis=0)) if len(grad_out) else np.zeros_like(gamma)
        largest = np.abs(grad_out) + size * (1 + np.abs(normalized))
        exact.batch_norm_backward(
            grad_x, grad_gamma, grad_beta, grad_out, normalized, variance, gamma, epsilon
        )  # fmt: skip
        terms = sum_eps(len(grad_x)) + STEP_EPS
        errors.touch(grad_x, largest * np.abs(gamma) / np.sqrt(variance + epsilon), terms)
        for sums in (grad_gamma, grad_beta):
            errors.touch(sums, size * len(grad_x) ** 0.5 + np.abs(sums), terms)

    def update(param: Any, first: Any, second: Any, grad: Any, *rest: Any) -> None:
        errors.touch(grad)
        before = np.abs(param)
        exact_update(param, first, second, grad, *rest)
        errors.touch(param, np.maximum(before, np.abs(param)))  # a step may take away nearly all of a parameter
        for state in (first, second):  # which may hold squares: they stay positive
            state *= 1 + STEP_EPS * errors.eps * errors.signs(state.shape)

    def product(subscripts: str, first: Any, second: Any) -> Any:
        out = exact_tabular.product(subscripts, first, second)
        names, result = subscripts.replace(",", "").split("->")
        sizes = dict(zip(names, first.shape + second.shape, strict=True))
        terms = math.prod(size for name, size in sizes.items() if name not in result) + 1
        partial = np.sqrt(exact_tabular.product(subscripts, first * first, second * second) + out * out)
        errors.touch(out, partial, sum_eps(terms))
        return out

    def total(array: Any, axes: Any) -> Any:
        out = exact_tabular.total(array, axes)
        terms = array.size // max(out.size, 1)
        errors.touch(out, np.sqrt(exact_tabular.total(array * array, axes) + out * out), sum_eps(terms))
        return out

    def embedded(x: Any, tables: Any, features: Any) -> Any:
        out = exact_tabular.embedded(x, tables, features)
        sizes = exact_tabular.embedded(np.abs(x), [np.abs(table) for table in tables], features)
        in_bins = np.repeat(features[:, 0] == tabular.BINS, features[:, 2])  # the other embeddings are exact
        errors.touch(out, in_bins * (np.abs(out) + np.abs(sizes)), sum_eps(int(features[:, 1].max())))
        return out

    def embedded_backward(grads: Any, grad_out: Any, x: Any, features: Any) -> None:
        exact_tabular.embedded_backward(grads, grad_out, x, features)
        squares = [np.zeros_like(grad) for grad in grads]
        exact_tabular.embedded_backward(squares, grad_out * grad_out, x, features)
        for grad, square in zip(grads, squares, strict=True):
            errors.touch(grad, np.sqrt(np.abs(square) + grad * grad), sum_eps(len(x) + len(grad)))

    def loss(function: Callable[..., float]) -> Callable[..., float]:
        def rounded(grad: Any, logits: Any, targets: Any, *arguments: Any) -> float:
            logits = logits.copy()
            errors.touch(logits)
            value = function(grad, logits, targets, *arguments)
            rows = np.abs(targets) if targets.ndim == 2 else np.eye(logits.shape[1])[targets]
            errors.touch(grad, np.abs(grad) + rows / max(len(grad), 1))
            # In float64 for every dtype, and the logarithm of a number near 1.
            relative = (STEP_EPS + sum_eps(logits.size)) * FLOAT64_EPS * np.sign(errors.eps)
            return value + relative * (1 + abs(value))

        return rounded

    changed: dict[Any, Any] = dict(zip(exact_losses, map(loss, exact_losses), strict=True)) | {
        exact.affine_forward: affine_forward,
        exact.affine_backward: affine_backward,
        exact.activation_forward: activation_forward,
        exact.activation_backward: activation_backward,
        exact.batch_norm_forward: batch_norm_forward,
        exact.batch_norm_backward: batch_norm_backward,
        exact_update: update,
        exact_own_loss: loss(exact_own_loss),
        exact_tabular.product: product,
        exact_tabular.total: total,
        exact_tabular.embedded: embedded,
        exact_tabular.embedded_backward: embedded_backward,
    }
    changed[exact_losses] = tuple(changed[function] for function in exact_losses)
    with _in_all_modules({id(old): new for old, new in changed.items()}):
        yield


@contextlib.contextmanager
def _in_all_modules(changed: dict[int, Any]) -> Iterator[None]:
    """Inside the context, the modules of the reference have other objects in place of those with the ids `changed`."""
    modules = [module for name, module in sys.modules.items() if f"{name}.".startswith("fastfnn.reference.")]
    places = [(vars(module), name, value) for module in modules for name, value in vars(module).items()]
    places = [place for place in places if id(place[2]) in changed]
    for names, name, value in places:
        names[name] = changed[id(value)]
    try:
        yield
    finally:
        for names, name, value in places:
            names[name] = value


class Comparison:
    """Compares results with the reference's; counts the columns, and those whose bound could hide a mistake."""

    def __init__(self) -> None:
        self.compared = self.loose = 0

    def differences(self, got: Results, compute: Callable[[], Results], dtype: np.dtype) -> list[str]:
        """Which results are further from those of `compute` than rounding explains, as sentences.

        got      results by name, arrays or numbers, in the order in which they were computed
        compute  computes them with the reference in float64; called inside `rounding`, too
        dtype    in which `got` was computed
        """
        want = compute()
        if got.keys() != want.keys():
            return [f"there are {', '.join(got)}; the reference has {', '.join(want)}"]
        # What is below the normal numbers of the dtype may be 0, and errors of such numbers may add up.
        eps, tiny = float(np.finfo(dtype).eps), 100 * float(np.finfo(dtype).tiny)
        bounds = [SURE_EPS * eps * _scale(value) + tiny for value in want.values()]
        suspects = [name for name, bound in zip(want, bounds, strict=True) if _excess(got[name], want[name], bound) > 0]
        for level, sizes in enumerate(TRIES):
            if not suspects:
                break
            for number, size in enumerate(sizes):
                for sign in (1, -1):
                    with rounding(Rounding(dtype, 100 * level + number, sign, size)):
                        rounded = compute()
                    for index, (exact, value) in enumerate(zip(want.values(), rounded.values(), strict=True)):
                        bounds[index] = np.maximum(bounds[index], FACTOR * _largest(_errors(value, exact)))
            suspects = [name for name, bound in zip(want, bounds, strict=True)
                        if _excess(got[name], want[name], _widened(bound, want[name])[0]) > 0]  # fmt: skip
        found = []
        for (name, exact), bound in zip(want.items(), bounds, strict=True):
            if not np.all(np.abs(_matrix(exact)) < COMPARABLE):
                break  # overflows, and what follows from it, are not compared
            bound, loose = _widened(bound, exact)
            self.compared += np.size(bound)
            self.loose += loose
            if name in suspects:
                found.append(_sentence(name, got[name], exact, bound))
        return found


def _matrix(value: Any) -> np.ndarray:
    """A result as rows of columns that are judged alike: vectors and numbers are one column."""
    array = np.asarray(value, np.float64)
    return array if array.ndim == 2 else array.reshape(-1, 1)


def _largest(array: np.ndarray) -> np.ndarray:
    return np.max(array, axis=0, initial=0)


def _scale(value: Any) -> np.ndarray:
    return _largest(np.abs(_matrix(value)))


def _errors(got: Any, want: Any) -> np.ndarray:
    if np.shape(got) != np.shape(want):
        return np.full((1, 1), np.inf)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.abs(_matrix(got) - _matrix(want)), nan=np.inf)


def _widened(bound: np.ndarray, want: Any) -> tuple[np.ndarray, int]:
    """The bounds of the columns of a result, with loose ones widened, and how many are loose."""
    largest = np.max(_scale(want), initial=0)
    loose = bound > LOOSE * largest + 1e-30
    widened = np.where(bound > largest, np.inf, LOOSE_FACTOR * bound)
    return np.where(loose, widened, bound), int(loose.sum())


def _excess(got: Any, want: Any, bound: Any) -> float:
    return float(np.max(_errors(got, want) - bound, initial=-1))


def _sentence(name: str, got: Any, want: Any, bound: Any) -> str:
    if np.shape(got) != np.shape(want):
        return f"{name} has shape {np.shape(got)}, expected {np.shape(want)}"
    errors = _errors(got, want)
    excess = errors / bound
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(excess)), errors.shape))
    wrong = int((errors > bound).sum())
    values = f"{_matrix(got)[row, column]:.9g}, expected {_matrix(want)[row, column]:.9g}"
    limit = float(np.broadcast_to(bound, errors.shape)[row, column])
    return f"{name} at [{row}, {column}] is {values} within {limit:.2g} ({wrong} of {errors.size} outside)"
