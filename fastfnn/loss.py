"""Loss: a loss that a user writes in Python, compiled and as fast as the built-in ones; and what all losses share.

The built-in ones are in losses.py.
"""

from __future__ import annotations

import functools
import math
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastfnn.arrays import real_arrays
from fastfnn.backend import BACKENDS, LOSSES
from fastfnn.own_functions import Function, OwnFunctions


class LossBase:
    """Base class of the losses: immutable, compared by value. A built-in loss is a dataclass of its parameters.

    Attributes
    ----------
    name : str
        What `FNN.loss_name` and a saved network call the loss.
    output_activation : str
        Activation of the last layer of a network with this loss.
    has_accuracy : bool
        Whether the targets are classes, so that predictions are right or wrong.
    built_in : bool
        Whether the name is one of the kernels', not one that a user has given.
    takes_missing : bool
        Whether targets may be NaN, which stands for one that is missing.
    """

    name: ClassVar[str]
    output_activation: ClassVar[str] = "identity"
    has_accuracy: ClassVar[bool] = False
    built_in: ClassVar[bool] = True

    @property
    def takes_missing(self) -> bool:
        """Whether targets may be NaN, which stands for one that is missing."""
        return False

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options().items())
        return f"{self.name}({options})" if options else str(self.name)

    def options(self) -> dict[str, Any]:
        """Return the arguments of the constructor by name, without a smoothing of 0, which changes nothing.

        :meta private:
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value}

    def parameters(self, outputs: int) -> np.ndarray:
        """Return what the kernels need to know of the loss, a float64 vector, for a network with `outputs` outputs.

        :meta private:
        """
        return np.array([getattr(self, field.name) for field in fields(self)], np.float64)  # type: ignore[arg-type]

    def code(self, backend: str, dtype: DTypeLike) -> int:
        """Return the code of the loss for a backend and the dtype of a network.

        :meta private:
        """
        return LOSSES.index(self.name)


class Loss(OwnFunctions, LossBase):  # type: ignore[override]  # its name is that of the functions
    """A loss of your own, ``E = sum_k e(y_k, t_k)``, given by two functions of two numbers.

    Parameters
    ----------
    value : function
        The function e(y, t) of an output and its target: a Python function, or a NumPy ufunc.
    derivative : function
        The derivative de/dy, as a function of y and t.
    name : str, optional
        What `FNN.summary` prints and a saved network remembers; by default the name of `value`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a function of two numbers.

    Notes
    -----
    The outputs y of a network with this loss are the sums of its last layer: the output activation is the identity, and
    whatever else y should go through is part of e. The loss of a network is the mean of E over the samples.

    Both functions are compiled by Numba for float64, in which the losses of float32 networks are computed, too; what
    they may do is what those of an `Activation` may. What Numba cannot compile raises a ValueError with the line, when
    a network is built.

    Nothing checks that `derivative` is the derivative of `value`: compare `FNN.gradient` with `FNN.numerical_gradient`
    once.

    Targets of a network with this loss may be NaN if both functions return numbers there, which the loss is asked once:
    so a target that is missing is left out, and the others of its sample count. Else a NaN among the targets is an
    error, as with the built-in losses.

    A Loss can be called with arrays y and t. It is immutable; pickle takes it if the functions are those that a module
    defines by ``def``, or ufuncs.

    Examples
    --------
    The logarithm of cosh, which is nearly the square of small differences and the distance of large ones:

    >>> import math
    >>> import fastfnn as fnn
    >>> def log_cosh(y, t):
    ...     return abs(y - t) + math.log1p(math.exp(-2 * abs(y - t))) - math.log(2)
    >>> loss = fnn.Loss(log_cosh, lambda y, t: math.tanh(y - t))
    >>> loss([3.0, 0.0], 0.0).round(4)
    array([2.3093, 0.    ])
    >>> fnn.FNN((8, 64, 1), loss=loss)
    FNN(8-64-1, relu; log_cosh; float32)

    Huber's loss and the pinball loss are built in, and would be written so:

    >>> def huber(y, t):
    ...     r = abs(y - t)
    ...     return r * r / 2 if r <= 1.5 else 1.5 * (r - 0.75)
    >>> own = fnn.Loss(huber, lambda y, t: min(max(y - t, -1.5), 1.5), name="my_huber")
    >>> own([1.0, 4.0], 0.0)
    array([0.5  , 4.875])
    >>> pinball = fnn.Loss(
    ...     lambda y, t: 0.9 * (t - y) if t > y else 0.1 * (y - t),
    ...     lambda y, t: -0.9 if t > y else 0.1,
    ...     name="pinball",
    ... )
    >>> pinball([1.0, 4.0], 2.0)
    array([0.9, 0.2])

    Two outputs, of which some targets are missing; ``t == t`` is false for NaN:

    >>> masked = fnn.Loss(
    ...     lambda y, t: 0.5 * (y - t) ** 2 if t == t else 0.0,
    ...     lambda y, t: y - t if t == t else 0.0,
    ...     name="masked",
    ... )
    >>> masked.takes_missing
    True
    >>> net = fnn.FNN((1, 2), loss=masked, init=0.0)
    >>> net.loss([[1.0], [2.0]], [[4.0, float("nan")], [float("nan"), 2.0]])  # (8 + 2) / 2
    5.0
    """

    _takes: ClassVar = {"value": (2,), "derivative": (2,)}
    _compile: ClassVar = "compile_loss"
    built_in: ClassVar[bool] = False

    def __init__(self, value: Function, derivative: Function, name: str | None = None) -> None:
        super().__init__(value, derivative, name)

    @functools.cached_property
    def takes_missing(self) -> bool:
        """Whether both functions return numbers for a target of NaN, so that it stands for one that is missing."""
        return all(bool(np.isfinite(result)) for result in self._of_elements(0.0, math.nan))

    @property
    def value(self) -> Function:
        """The function e, as it was given."""
        return self._functions["value"]

    @property
    def derivative(self) -> Function:
        """The derivative de/dy, as it was given."""
        return self._functions["derivative"]

    def options(self) -> dict[str, Any]:
        """Return an empty dict: the numbers of the loss are in its functions.

        :meta private:
        """
        return {}

    def parameters(self, outputs: int) -> np.ndarray:
        """Return an empty vector.

        :meta private:
        """
        return np.empty(0)

    def __call__(self, y: ArrayLike, t: ArrayLike) -> np.ndarray:
        """Return e of each element of y and t, which may have any shapes that broadcast, in float64."""
        return self._of_elements(y, t)[0]

    def derivative_at(self, y: ArrayLike, t: ArrayLike) -> np.ndarray:
        """Return de/dy of each element.

        Parameters
        ----------
        y, t : array
            Outputs and targets, of any shapes that broadcast.

        Returns
        -------
        float64 array
            In the shape to which y and t are broadcast.

        Raises
        ------
        TypeError, ValueError
            If y or t do not hold real numbers, or their shapes do not broadcast.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> loss = fnn.Loss(lambda y, t: (y - t) ** 4, lambda y, t: 4 * (y - t) ** 3, name="fourth_power")
        >>> loss.derivative_at([1.0, 2.0], 0.0)
        array([ 4., 32.])
        """
        return self._of_elements(y, t)[1]

    def _of_elements(self, y: ArrayLike, t: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        arrays = real_arrays(y=y, t=t)
        try:
            out, targets = (array.astype(np.float64) for array in np.broadcast_arrays(*arrays))
        except ValueError:
            shapes = " and ".join(str(array.shape) for array in arrays)
            raise ValueError(f"y and t must have shapes that broadcast, got {shapes}") from None
        values, slopes = np.empty(out.size), np.empty((out.size, 1))
        BACKENDS["kernels"].sample_losses(
            values, slopes, out.reshape(-1, 1), targets.reshape(-1, 1), np.empty(0), self.code("kernels", np.float64)
        )
        return values.reshape(out.shape)[()], slopes.reshape(out.shape)[()]
