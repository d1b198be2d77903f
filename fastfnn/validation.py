"""Checks of arguments at the edge of the API; the kernels check nothing.

Every function takes the name of the argument and its value, and returns the value in the form that the package uses. It
raises TypeError for a wrong type and ValueError for a wrong value, with the name, what was expected and what came.

Shapes: N samples, I inputs, K outputs.
"""

import contextlib
import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import frames, names
from fastfnn.backend import CONVERT_ONCE_BYTES, all_finite, all_finite_as, are_distributions, is_convertible
from fastfnn.labels import NUMBER, balanced_weights, checked_labels

# Largest distance from 1 of the sum of a row of target probabilities; rows computed in float32 are this accurate.
ROW_SUM_TOLERANCE = 1e-3

# Numbers that are looked at together for the one that is not finite.
ELEMENTS_PER_CHECK = 1 << 20

# The smallest positive setting. Kernels take denormal numbers for zero, also where a rule multiplies its setting first.
LEAST_POSITIVE = 1e-30


def integer(name: str, value: Any, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def nonnegative(name: str, value: Any) -> float:
    """Return `value` as a finite float of at least 0."""
    if type(value) is float and 0 <= value < math.inf:
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {value}")
    return number


def positive(name: str, value: Any) -> float:
    """Return `value` as a finite float that is above 0 for kernels of any dtype."""
    number = nonnegative(name, value)
    if number < LEAST_POSITIVE:
        raise ValueError(f"{name} must be at least {LEAST_POSITIVE:g}, got {value}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1)."""
    number = nonnegative(name, value)
    if number >= 1:
        raise ValueError(f"{name} must be less than 1, got {value}")
    return number


def unit_interval(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1]."""
    number = nonnegative(name, value)
    if number > 1:
        raise ValueError(f"{name} must be at most 1, got {value}")
    return number


def boolean(name: str, value: Any) -> bool:
    """Return `value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def choice(name: str, value: Any, options: tuple[str, ...], others: Mapping[str, str] | None = None) -> str:
    """Return `value`, which must be one of `options`; with `others`, names that stand for them, see `names`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, one of {', '.join(options)}; got {type(value).__name__}")
    found = value if others is None or value in options else names.canonical(value, options, others)
    if found not in options:
        hint = names.did_you_mean(value, options, others)
        raise ValueError(f"{name} must be one of {', '.join(options)}; got {value!r}{hint}")
    return found


def returned_number(what: str, value: Any) -> float:
    """Return `value`, which a function of the user has returned, as a float; NaN is one. `what` names the function."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must return a number, got {_kind_of(value)}")
    return float(value)


def returned_truth(what: str, value: Any) -> bool:
    """Return whether `value`, which a function of the user has returned, is true; an array is neither."""
    if not getattr(value, "ndim", 0):  # of pandas and PyTorch, too
        try:
            return bool(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{what} must return True to end the training, else False or None; got {_kind_of(value)}")


def _kind_of(value: Any) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def as_array(name: str, value: Any, missing: bool = False) -> np.ndarray:
    """Return `value` as an array of any dtype; rows of different lengths and masked elements are rejected.

    With `missing`, a frame or a series may have missing values, which become NaN.
    """
    if type(value) is np.ndarray:
        return value
    refuse_masked(name, value)
    if hasattr(value, "toarray") and hasattr(value, "nnz"):  # else NumPy makes a single object of it
        raise TypeError(f"{name} must be a dense array, got a sparse {type(value).__name__}: use its toarray()")
    if isinstance(value, (list, tuple)):
        for i, row in enumerate(value):
            refuse_masked(f"{name}[{i}]", row)
    elif frames.is_frame(value):
        return frames.frame_array(name, value, missing)
    elif frames.is_series(value):
        return frames.series_array(name, value, missing)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array with rows of one length: {error}") from error
    except (TypeError, RuntimeError) as error:  # of the value's own conversion, as of a tensor of another library
        raise TypeError(f"{name} cannot be converted to an array: {error}") from error


def refuse_masked(name: str, array: Any) -> None:
    """Raise ValueError if an element of a masked array is masked: its number underneath the mask means nothing."""
    if not isinstance(array, np.ma.MaskedArray):
        return
    mask = np.ma.getmaskarray(array)
    masked = int(np.count_nonzero(mask))
    if masked:
        raise ValueError(
            f"{name} must have no masked elements, got {masked} of {array.size}: "
            f"fill them, as by {name}.filled(0), or drop their samples"
        )


def real_array(name: str, value: Any, dtype: npt.DTypeLike, missing: bool = False) -> np.ndarray:
    """Return `value` as a C-contiguous array of `dtype` with finite numbers, copied only if necessary.

    With `missing`, NaN is allowed.
    """
    array = as_array(name, value, missing)
    check_real(name, array)
    array = _converted(array, dtype)
    if not all_finite(array.reshape(-1)):
        _raise_not_finite(name, array, missing=missing)
    return array


@contextlib.contextmanager
def explained(name: str, value: Any) -> Iterator[None]:
    """Add a note to an error of another library's check of samples, which need not name them: what is wrong."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not hasattr(value, "nnz"):  # which that library takes
            try:
                check_real(name, as_array(name, value))
            except (TypeError, ValueError) as reason:
                error.add_note(str(reason))
        raise


def check_real(name: str, array: np.ndarray) -> None:
    """Raise TypeError unless the dtype of an array is one of real numbers."""
    if array.dtype.kind not in "biuf":
        raise TypeError(_not_real(name, array, f"convert numbers by {name.split()[0]}.astype(float)"))


def _raise_not_finite(name: str, array: np.ndarray, first: int = 0, missing: bool = False) -> None:
    """Raise if a number is not finite, or infinite with `missing`. `first` is the number of the array's first row."""
    finite = ~np.isinf(array) if missing else np.isfinite(array)
    if not finite.all():
        index = np.unravel_index(int(np.argmin(finite)), array.shape)
        position = ", ".join(str(int(i) + shift) for i, shift in zip(index, (first, *[0] * array.ndim), strict=False))
        raise ValueError(f"{name} must be finite in {array.dtype}, got {array[index]} at [{position}]")


def _converted(array: np.ndarray, dtype: npt.DTypeLike) -> np.ndarray:
    """Return `array` as C-contiguous and aligned, in `dtype`; numbers beyond the range of `dtype` become infinite."""
    if array.dtype == dtype and array.flags.carray:
        return array
    with np.errstate(over="ignore"):
        return np.require(array, dtype, ("C", "A"))


def samples(name: str, value: Any, width: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return `value` as samples (N, width) for a network of `dtype`, all finite in it, N at least 1.

    They keep their dtype and layout, without a copy, if the kernels can convert them batch by batch. Only those in
    another byte order and of unusual dtypes (long double) are converted here, as a whole.
    """
    array = as_array(name, value)
    if array.dtype == dtype and array.flags.carray and all_finite(array.reshape(-1)):
        return _rows(name, array, width)
    array = _rows(name, _readable(name, array, dtype), width)
    if not are_finite(array, dtype):
        at_once = max(ELEMENTS_PER_CHECK // width, 1)
        for first in range(0, len(array), at_once):
            _raise_not_finite(name, _converted(array[first : first + at_once], dtype), first)
    return array


def are_finite(array: np.ndarray, dtype: npt.DTypeLike) -> bool:
    """Whether all numbers of a matrix are finite in `dtype`, in one pass without a copy."""
    if array.dtype.kind != "f":
        return True  # the largest integer is finite in any dtype
    flags = array.flags
    if array.dtype == dtype and flags.aligned and flags.forc:
        return bool(all_finite((array if flags.c_contiguous else array.T).reshape(-1)))
    return bool(all_finite_as(array, np.dtype(dtype)))


def samples_for_epochs(array: np.ndarray, epochs: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return checked samples in `dtype` if several epochs read them and the copy is small, else as they are."""
    if epochs > 1 and array.size * np.dtype(dtype).itemsize <= CONVERT_ONCE_BYTES:
        return _converted(array, dtype)
    return array


def unchecked_samples(name: str, value: Any, width: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return `value` as samples (N, width) that may not be finite, otherwise as `samples`.

    For kernels that check samples themselves and return NaN if one is not finite: this saves a pass over the samples.
    """
    return _rows(name, _readable(name, as_array(name, value), dtype), width)


def _readable(name: str, array: np.ndarray, dtype: npt.DTypeLike) -> np.ndarray:
    """Return `array` as it is if the kernels of a network can read it, else in `dtype`."""
    if array.dtype == dtype or is_convertible(array.dtype):
        return array
    if array.dtype.kind not in "biuf":
        cure = f"convert numbers by {name.split()[0]}.astype(float), and {frames.ENCODE}"
        raise TypeError(_not_real(name, array, cure))
    return _converted(array, dtype)


def _not_real(name: str, array: np.ndarray, cure: str) -> str:
    """Return the message about an array that holds no real numbers; objects and text may be told a cure."""
    hint = f"; {cure}" if array.dtype.kind in "OUST" and array.ndim else ""
    return f"{name} must hold real numbers, got dtype {array.dtype}{hint}"


def _rows(name: str, array: np.ndarray, width: int) -> np.ndarray:
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (samples, {width}), got shape {array.shape}")
    if array.shape[1] != width:
        raise ValueError(f"{name} must have {width} columns, got shape {array.shape}")
    if array.shape[0] == 0:
        raise ValueError(f"{name} must have at least one row, got shape {array.shape}")
    return array


def targets(
    name: str, value: Any, count: int, width: int, loss: str, dtype: npt.DTypeLike, missing: bool = False
) -> np.ndarray:
    """Return `value` as targets of a loss.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : array-like
        Labels (count,) or (count, 1) for softmax cross-entropy, or rows (count, width); (count,) also stands for one
        column.
    count, width : int
        Number of samples and of outputs.
    loss : str
        Name of the loss.
    dtype : dtype
        Dtype of the rows that are returned.
    missing : bool
        Whether NaN stands for a target that is missing, see `Loss.takes_missing`.

    Returns
    -------
    (count,) int64 array or (count, width) array
        Labels from 0 to width - 1; or rows, in [0, 1] for the cross-entropies, which sum to 1 for softmax, and at least
        0 for the Poisson deviance.
    """
    array = as_array(name, value, missing)
    if loss == "softmax_cross_entropy" and array.ndim == 2 and array.shape[1] == 1 and width > 1:
        array = array[:, 0]
    if loss == "softmax_cross_entropy" and array.ndim == 1:
        _same_count(name, array, count)
        return checked_labels(name, array, width)
    if array.ndim == 1 and width == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != width:
        labels = "integer labels of shape (samples,) or " if loss == "softmax_cross_entropy" else ""
        hint = (
            f"; np.eye({width})[{name}] has the rows of labels" if array.ndim == 1 and width > 1 and not labels else ""
        )
        raise ValueError(f"{name} must be {labels}rows of shape (samples, {width}), got shape {array.shape}{hint}")
    _same_count(name, array, count)
    if loss == "softmax_cross_entropy" and array.dtype.kind in "biuf":
        rows = _converted(array, dtype)
        if are_distributions(rows, ROW_SUM_TOLERANCE):  # one pass for correct rows; the checks below find what is wrong
            return rows
    if loss == "sigmoid_cross_entropy" and width == 1 and array.dtype.kind not in "biuf":
        raise TypeError(_not_real(name, array, NUMBER))
    rows = real_array(name, array, dtype, missing)
    if loss in ("softmax_cross_entropy", "sigmoid_cross_entropy"):
        _unit_interval(name, rows)
    if loss == "poisson" and (least := rows.min(initial=0)) < 0:
        raise ValueError(f"{name} must hold numbers of at least 0 for the loss poisson, got {least}")
    if loss == "softmax_cross_entropy":
        sums = rows.sum(axis=1, dtype=np.float64)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > ROW_SUM_TOLERANCE:
            raise ValueError(f"{name} must have rows that sum to 1, got {sums[worst]:g} in row {worst}")
    return rows


def sample_weight(name: str, value: Any, count: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return `value` as the weights (count,) of samples, finite and not negative."""
    array = real_array(name, value, dtype)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape ({count},), got shape {array.shape}")
    _same_count(name, array, count)
    least = int(np.argmin(array)) if count else 0
    if count and array[least] < 0:
        raise ValueError(f"{name} must not be negative, got {array[least]:g} at [{least}]")
    return array


def check_total_weight(name: str, total: float) -> None:
    """Raise ValueError unless the weights of all samples, of which `total` is the sum, can be trained with."""
    if not 0 < total < math.inf:
        raise ValueError(f"{name} must have a finite sum above 0, got {total:g}")


def check_class_weight(name: str, value: Any) -> None:
    """Raise unless `value` is "balanced" or a dict of weights that are finite and not negative."""
    if isinstance(value, str) and value == "balanced":
        return
    if not isinstance(value, Mapping):
        got = repr(value) if isinstance(value, str) else type(value).__name__
        raise TypeError(f"{name} must be a dict {{label: weight}} or 'balanced', got {got}")
    for label, weight in value.items():
        nonnegative(f"{name}[{label!r}]", weight)


def class_weight(name: str, value: Any, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the weight of each class.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : dict or "balanced"
        Weights by label, 1 for missing labels; or ``N / (C * count_k)`` for class k, where C is the number of classes
        that occur in `labels`.
    labels : (N,) int64 array
    classes : int
        Number of classes.

    Returns
    -------
    (classes,) float64 array
    """
    check_class_weight(name, value)
    if isinstance(value, str):
        return balanced_weights(np.bincount(labels, minlength=classes))
    weights = np.ones(classes)
    for label, weight in value.items():
        number = integer(f"a label in {name}", label, 0)
        if number >= classes:
            raise ValueError(f"{name} must have labels from 0 to {classes - 1}, got {label}")
        weights[number] = weight
    return weights


def one_hot_labels(name: str, rows: np.ndarray) -> np.ndarray:
    """Return the labels (N,) int64 of one-hot rows (N, K)."""
    labels: np.ndarray = rows.argmax(axis=1)
    wrong = (np.count_nonzero(rows, axis=1) != 1) | (rows.max(axis=1) != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{name} must be labels or one-hot rows with class_weight, got {rows[row]} in row {row}")
    return labels


def _same_count(name: str, array: np.ndarray, count: int) -> None:
    if len(array) != count:
        raise ValueError(f"{name} must have one entry per row of x, {count}, got {len(array)}")


def _unit_interval(name: str, rows: np.ndarray) -> None:
    for value in (rows.min(initial=0), rows.max(initial=1)):
        if not 0 <= value <= 1:
            hint = f"; {NUMBER}" if rows.shape[1] == 1 and len(np.unique(rows)) <= 2 else ""
            raise ValueError(f"{name} must hold numbers from 0 to 1, got {value}{hint}")
