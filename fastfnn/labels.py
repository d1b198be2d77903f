"""Labels of classes: whole numbers from 0, as `validation.targets` hands them to the softmax cross-entropy.

What is no such label is refused with the line that makes it one.
"""

from typing import Any

import numpy as np

NUMBER = (
    "give each class a number: classes, t = np.unique(t, return_inverse=True); "
    "for further samples: t = np.searchsorted(classes, t)"
)


def checked_labels(name: str, array: np.ndarray, classes: int) -> np.ndarray:
    """Return labels (N,) from 0 to classes - 1 as int64.

    Whole numbers of any dtype are accepted, and for two classes booleans.
    """
    usable = array.dtype == np.int64 and array.flags.c_contiguous and array.flags.aligned
    if usable and len(array) and array.view(np.uint64).max() < classes:  # as unsigned, a negative label is huge
        return array
    if array.dtype.kind == "O":
        array = _of_one_kind(array)
    accepted = array.dtype.kind in ("biuf" if classes == 2 else "iuf")
    if not accepted:
        raise TypeError(f"{name} must hold integer labels if it has one axis, got dtype {array.dtype}; {NUMBER}")
    if array.dtype.kind == "f" and not (whole := np.isfinite(array) & (np.trunc(array) == array)).all():
        raise TypeError(
            f"{name} must hold integer labels if it has one axis, got {array[int(np.argmin(whole))]} of dtype "
            f"{array.dtype}; real targets need another loss, such as squared_error"
        )
    if len(array):
        for label in (array.min(), array.max()):
            if not 0 <= label < classes:
                hint = _hint(len(np.unique(array)), classes)
                raise ValueError(f"{name} must hold labels from 0 to {classes - 1}, got {label}; {hint}")
    return np.require(array, np.int64, ("C", "A"))


def check_sortable(name: str, labels: Any) -> None:
    """Raise TypeError unless labels of any types can be sorted, as classes are."""
    if getattr(getattr(labels, "dtype", None), "kind", "") == "O":
        try:
            np.unique(labels)
        except TypeError as error:
            raise TypeError(
                f"{name} must hold labels of one type that can be sorted, got {type_names(labels)}"
            ) from error


def type_names(labels: np.ndarray) -> str:
    """Return the names of the types of labels."""
    return " and ".join(sorted({type(label).__name__ for label in np.ravel(labels).tolist()}))


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Return weights with which all classes that occur count alike, from the number of samples of each class."""
    weights: np.ndarray = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights


def _hint(distinct: int, classes: int) -> str:
    """Return what to do about labels of which some are out of range."""
    if classes == 1:
        return "two classes need two outputs, or one with the loss sigmoid_cross_entropy"
    if distinct > classes:
        return f"{distinct} classes need {distinct} outputs, the last of layer_sizes"
    return NUMBER


def _of_one_kind(array: np.ndarray) -> np.ndarray:
    """Return an array of Python objects in the dtype that they have in common, if there is one."""
    try:
        common = np.asarray(array.tolist())
    except ValueError:
        return array
    return common if common.shape == array.shape else array
