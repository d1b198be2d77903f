"""BatchSource: any iterable of (x, t), such as a DataLoader of PyTorch; and what `fit` takes for one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from fastfnn import validation
from fastfnn.sources.base import Source


class BatchSource(Source):
    """What an iterable yields: pairs (x, t) or triples (x, t, w) of any number of rows.

    `FNN.fit` makes one of an iterable that it is given, such as a DataLoader.

    Parameters
    ----------
    batches : iterable or callable
        An object that can be iterated over once for each epoch, such as a ``torch.utils.data.DataLoader``; or a
        function without arguments that returns a new iterator for each epoch, such as a generator function. An
        iterator, which is empty after one pass, is enough for one epoch.
    samples : int, optional
        Number of rows, if it is known: checkpoints need it.
    window : int, optional
        See `Source`. The rows of several items become a window.
    shuffle : bool, default True
        Whether the rows of each window are shuffled. The order of the items is the iterable's.

    Attributes
    ----------
    samples : int or None
        The argument of this name.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    With ``batch_size=None`` `FNN.fit` takes each item for one batch, as it comes.

    Arrays and tensors are converted by NumPy, without importing their library: a tensor must be in the memory of the
    processor.

    Examples
    --------
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> def batches():
    ...     rng = np.random.default_rng(0)
    ...     for _ in range(20):
    ...         x = rng.standard_normal((50, 2))
    ...         yield x, x[:, 0] > 0
    >>> net = fnn.FNN((2, 8, 2), seed=0)
    >>> history = net.fit(fnn.sources.BatchSource(batches), epochs=3)  # or net.fit(batches, epochs=3)
    >>> history.step_loss.size  # 1,000 rows an epoch
    30
    >>> history = net.fit(batches, epochs=1, batch_size=None)
    >>> history.step_loss.size
    20
    """

    samples: int | None
    _name: str = "batches"  # the argument that messages name: that of `fit`, if `fit` has made the source

    def __init__(
        self,
        batches: Iterable[Any] | Callable[[], Iterator[Any]],
        *,
        samples: int | None = None,
        window: int | None = None,
        shuffle: bool = True,
    ) -> None:
        super().__init__(window=window, shuffle=shuffle)
        _check_batches("batches", batches)
        self.samples = None if samples is None else validation.integer("samples", samples, 1)
        self._batches = batches
        self._one_shot = isinstance(batches, Iterator)
        self._used = False

    def chunks(self) -> Iterator[Any]:
        """Yield the items, see `Source.chunks`.

        :meta private:
        """
        self._check_passes("passes", 1)
        self._used = True
        batches = self._batches if isinstance(self._batches, Iterable) else self._batches()
        try:
            iterator = iter(batches)
        except TypeError:
            returned = type(batches).__name__
            raise TypeError(
                f"{self._name} must be a function that returns an iterator, got {returned} from it"
            ) from None
        yield from iterator

    def _check_passes(self, name: str, epochs: int) -> None:
        if self._one_shot and epochs > 1 - self._used:
            raise ValueError(
                f"{name} must be {'0' if self._used else '1 or less'} with an iterator, which is empty after one pass, "
                f"got {epochs}: give a list, a DataLoader, or a function that returns a new iterator for each pass"
            )


def _check_batches(name: str, batches: Any) -> None:
    """Raise TypeError unless the argument `name` is an iterable, or a function that can be called without arguments."""
    if isinstance(batches, Iterable) and not isinstance(batches, (str, bytes)):
        return
    if not callable(batches):
        raise TypeError(f"{name} must be an iterable of (x, t) or a function, got {type(batches).__name__}")
    try:
        signature = inspect.signature(batches)
    except (TypeError, ValueError):  # of a function in C, which need not tell
        return
    try:
        signature.bind()
    except TypeError as error:
        raise TypeError(f"{name} must be a function without arguments: {error}") from None


def as_source(name: str, value: Any) -> Source | None:
    """Return what `fit` is given as the argument `name` as a source; None if it is an array or the like.

    Arrays, frames, sequences and mappings are not taken for iterables of batches; what else can be iterated over, is.
    """
    if value is None or type(value) is np.ndarray:  # nearly always
        return None
    if isinstance(value, Source):
        return value
    if isinstance(value, (Sequence, Mapping, Set, type)):
        return None
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__buffer__", "shape", "to_numpy")):
        return None
    if not (isinstance(value, Iterable) or callable(value)):
        return None
    _check_batches(name, value)
    source = BatchSource(value)
    source._name = name
    return source
