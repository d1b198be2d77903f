"""Samples and targets in the form that the kernels take, dense or sparse.

Kernels read dense rows. Sparse samples are made dense as a whole if that is small, else some rows at a time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from fastfnn import FNN, validation
from fastfnn.backend import CONVERT_ONCE_BYTES, is_convertible


def dtypes_to_keep(x: Any) -> Any:
    """Return what scikit-learn's validation is told of the dtype: the kernels convert most numbers themselves."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and (is_convertible(dtype) or dtype.kind == "b"):
        return "numeric"
    return np.float64, np.float32


def feature_names(estimator: Any) -> np.ndarray | None:
    """Return the names of the features that an estimator was fitted with; None without names.

    Then it has no such attribute; other libraries, such as SHAP, set it to None.
    """
    return getattr(estimator, "feature_names_in_", None)


class Chosen(NamedTuple):
    """Rows of dense samples that are copied only when they are needed, some at a time."""

    x: np.ndarray
    indices: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rows together."""
        return len(self.indices), *self.x.shape[1:]


def choose(x: Any, indices: np.ndarray) -> Any:
    """Return rows of samples: copied if they are small or sparse, else as `Chosen`."""
    if scipy.sparse.issparse(x) or len(indices) * x.shape[1] * x.dtype.itemsize <= CONVERT_ONCE_BYTES:
        return x[indices]
    return Chosen(x, indices)


class Data(NamedTuple):
    """What a network is trained on, or measured on.

    x        (N, I) array of any dtype and layout that kernels read, a sparse CSR array, or `Chosen`
    targets  (N,) int64 labels or (N, K) rows of the network's dtype
    weights  (N,) weights of the samples, float64, or None
    """

    x: Any
    targets: np.ndarray
    weights: np.ndarray | None

    @property
    def samples(self) -> int:
        """The number of samples."""
        return int(self.x.shape[0])

    def at(self, indices: np.ndarray) -> "Data":
        """The samples at these indices."""
        weights = None if self.weights is None else self.weights[indices]
        return Data(choose(self.x, indices), self.targets[indices], weights)


def readable(x: Any, width: int, dtype: np.dtype[Any], epochs: int = 1) -> Any:
    """Return samples for several epochs, checked to be finite in a network's dtype; only small ones are copied."""
    if scipy.sparse.issparse(x):
        x = x.tocsr()
        if x.shape[0] * x.shape[1] * dtype.itemsize > CONVERT_ONCE_BYTES:
            return x
        x = x.toarray()
    return validation.samples_for_epochs(validation.samples("X", x, width, dtype), epochs, dtype)


def dense_rows(x: Any, dtype: np.dtype[Any]) -> int:
    """Return how many rows may be copied at a time."""
    return max(CONVERT_ONCE_BYTES // (int(x.shape[1]) * dtype.itemsize), 1)


def dense_parts(x: Any, dtype: np.dtype[Any]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield samples as dense rows, with the place of each part; an array is one part."""
    if isinstance(x, np.ndarray):
        yield slice(0, len(x)), x
        return
    x = x if isinstance(x, Chosen) else x.tocsr()
    at_once = dense_rows(x, dtype)
    for first in range(0, x.shape[0], at_once):
        part = slice(first, first + at_once)
        yield part, x.x[x.indices[part]] if isinstance(x, Chosen) else x[part].toarray()


def outputs(net: FNN, x: Any, activation: str) -> np.ndarray:
    """Return the outputs (N, K) of samples, with this output activation."""
    out = np.empty((x.shape[0], net.layer_sizes[-1]), net.dtype)
    for part, rows in dense_parts(x, net.dtype):
        samples = validation.unchecked_samples("X", rows, net.layer_sizes[0], net.dtype)
        out[part] = net._forward(samples, activation)
    return out
