"""The parameters of a network by name, as views of one flat vector."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation


class Params(MutableMapping[str, np.ndarray]):
    """The parameters W1, b1, W2, ... of a network: writable views of one flat vector.

    Parameters
    ----------
    flat : (P,) float32 or float64 array
        The vector that holds all parameters; the views share its memory.
    layer_sizes : sequence of int
        Units of the input, of each hidden layer and of the output.
    batch_norm : bool
        Whether hidden layers have the parameters of batch normalization.

    Notes
    -----
    Layer l has ``W`` (in_features, out_features) and ``b`` (out_features,). With batch normalization a hidden layer
    also has ``gamma`` and ``beta`` (out_features,) after its ``b``. Names and shapes are fixed. A view may be changed
    in place, without any check. Assigning to a name checks the values and copies them.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 3, 1), loss="squared_error")
    >>> net.params
    Params(W1 (2, 3), b1 (3,), W2 (3, 1), b2 (1,))
    >>> net.params["b1"] = [1, 2, 3]
    >>> net.params["b1"] -= 1
    >>> net.params["b1"].tolist()
    [0.0, 1.0, 2.0]
    """

    def __init__(self, flat: np.ndarray, layer_sizes: Sequence[int], batch_norm: bool = False) -> None:
        self.flat = flat
        self.layer_sizes: tuple[int, ...] = tuple(layer_sizes)
        self.batch_norm = batch_norm
        self._place: dict[str, tuple[slice, tuple[int, ...]]] = {}
        start = 0
        for name, shape in parameter_shapes(layer_sizes, batch_norm):
            stop = start + math.prod(shape)
            self._place[name] = slice(start, stop), shape
            start = stop
        self._views = self.views_of(flat)

    def views_of(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return views of another vector (P,) under the same names and with the same shapes."""
        views = {}
        for name, (place, shape) in self._place.items():
            view = flat[place]
            views[name] = view.reshape(shape) if len(shape) > 1 else view
        return views

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._views = self.views_of(self.flat)  # a copy has a flat vector of its own

    @staticmethod
    def count(layer_sizes: Sequence[int], batch_norm: bool = False) -> int:
        """Return the number of parameters of a network."""
        vectors = 2 * sum(layer_sizes[1:-1]) if batch_norm else 0
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(layer_sizes)) + vectors

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __setitem__(self, name: str, value: npt.ArrayLike) -> None:
        if name in self._views and value is self._views[name]:
            return  # `params[name] -= change` has already changed the view in place
        checked = self._checked(name, value)
        self._views[name][...] = checked

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params has fixed names and cannot lose one, got del params[{name!r}]")

    def update(self, values: Any = (), /, **more: Any) -> None:
        """Assign each entry of a mapping, or of pairs: all of them, or none if one is wrong."""
        # Copies, because an entry may be a view of a parameter that is assigned before it.
        checked = {name: self._checked(name, value).copy() for name, value in dict(values, **more).items()}
        for name, array in checked.items():
            self._views[name][...] = array

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def __repr__(self) -> str:
        return f"Params({', '.join(f'{name} {shape}' for name, (_, shape) in self._place.items())})"

    def _checked(self, name: str, value: npt.ArrayLike) -> np.ndarray:
        if name not in self._place:
            raise KeyError(f"params has {', '.join(self._place)}; got {name!r}")
        param = self[name]
        array = validation.real_array(f"params[{name!r}]", value, param.dtype)
        if array.shape != param.shape:
            raise ValueError(f"params[{name!r}] must have shape {param.shape}, got {array.shape}")
        return array


def parameter_shapes(layer_sizes: Sequence[int], batch_norm: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the shape of each parameter: W1, b1, W2, ..."""
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(layer_sizes), 1):
        yield f"W{layer}", (inputs, outputs)
        vectors = ("b", "gamma", "beta") if batch_norm and layer < len(layer_sizes) - 1 else ("b",)
        for name in vectors:
            yield f"{name}{layer}", (outputs,)


def statistics_shapes(hidden_sizes: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the shape of each running statistic of batch normalization: mean1, variance1, mean2, ..."""
    for layer, size in enumerate(hidden_sizes, 1):
        for name in ("mean", "variance"):
            yield f"{name}{layer}", (size,)


def running_statistics(flat: np.ndarray, hidden_sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """Return views of the running statistics of batch normalization: mean1, variance1, mean2, ..., each (O,)."""
    views, start = {}, 0
    for name, (size,) in statistics_shapes(hidden_sizes):
        views[name] = flat[start : start + size]
        start += size
    return views
