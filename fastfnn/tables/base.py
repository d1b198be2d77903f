"""What models of tables have in common: the target, and predictions for the rows of a frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from fastfnn.tables import columns, stored
from fastfnn.tables.stored import Written
from fastfnn.tables.target import Target


class BaseModel(ABC):
    """A network that predicts one column of a table from others."""

    is_plain = False  # not trained on a table

    def __init__(self, target: Target, origin: Mapping[str, str] | None, written: Written | None = None) -> None:
        self.about = target
        self.written: Written = Written() if written is None else written
        self.origin: dict[str, str] = dict(stored.new_origin() if origin is None else origin)

    @property
    def task(self) -> str:
        """What is predicted: "classification" or "regression"."""
        return self.about.task

    @property
    def target(self) -> str:
        """Name of the column that is predicted."""
        return self.about.name

    @property
    def labels(self) -> list[str] | list[int] | list[bool] | None:
        """Labels of the classes, in the order of the outputs; None for regression."""
        return None if self.about.labels is None else list(self.about.labels)  # type: ignore[return-value]

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the columns that the network uses."""

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles of a number that are predicted besides it; most models have none."""
        return ()

    @property
    @abstractmethod
    def text_columns(self) -> list[str]:
        """Names of those whose values are texts, even if they look like numbers.

        :meta private:
        """

    @abstractmethod
    def unknown(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Return, by column, the categories of a table that the model does not know; none that are missing.

        :meta private:
        """

    @property
    @abstractmethod
    def _dtype(self) -> npt.DTypeLike:
        """The dtype of the network."""

    @abstractmethod
    def _computed(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the outputs (N, K) for the rows of a frame whose columns have names, at least one row."""

    def _computed_quantiles(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the quantiles (N, Q) for such rows, if the model has any."""
        raise NotImplementedError

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Predict the target of each row.

        Parameters
        ----------
        frame : DataFrame
            Columns are found by their names; others are ignored. Frames of polars and tables of pyarrow are taken too.

        Returns
        -------
        (N,) array
            Labels, or numbers in the dtype of the network.

        Raises
        ------
        ValueError
            If a column is missing, or a value is missing or of the wrong kind.
        """
        return self.about.predictions(self._outputs(frame))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the label of the most probable class of each row.

        Parameters
        ----------
        probabilities : (N, K) array
            Those of `predict_proba`.

        Returns
        -------
        (N,) array
            Labels.
        """
        return self.about.predictions(probabilities)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        frame : DataFrame
            See `predict`.

        Returns
        -------
        (N, K) array
            In the order of `labels`.

        Raises
        ------
        ValueError
            For regression, and see `predict`.
        """
        if self.about.labels is None:
            raise ValueError("probabilities need a model of classes, got one for regression")
        return self._outputs(frame)

    def predict_quantiles(self, frame: pd.DataFrame) -> np.ndarray:
        """Predict quantiles of the target of each row.

        Parameters
        ----------
        frame : DataFrame
            See `predict`.

        Returns
        -------
        (N, Q) array
            In the order of `quantiles`, in which they ascend in each row.

        Raises
        ------
        ValueError
            If the model was not trained with ``--quantiles``, and see `predict`.
        """
        if not self.quantiles:
            raise ValueError("quantiles need a model that was trained with --quantiles")
        frame = self._cleaned(self._named(frame))
        return self._computed_quantiles(frame) if len(frame) else np.empty((0, len(self.quantiles)), self._dtype)

    def truth(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the targets of a table: numbers of classes, or numbers.

        :meta private:
        """
        column = frame[self.target]
        form = self.written.format.form
        return self.about.numbers(column, form) if self.labels is None else self.about.encode(column, form)

    def _outputs(self, frame: pd.DataFrame) -> np.ndarray:
        frame = self._cleaned(self._named(frame))
        return self._computed(frame) if len(frame) else np.empty((0, self.about.outputs), self._dtype)

    def _cleaned(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame without the texts that count as missing in columns of numbers and dates."""
        return columns.cleaned(frame, self.written.texts, self._dates, self.written.format.form)

    @property
    def _dates(self) -> Sequence[str]:
        """Names of the columns of dates."""
        return ()

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame of pandas whose columns have names, those of the model among them."""
        if hasattr(frame, "to_pandas"):  # of polars or pyarrow
            frame = frame.to_pandas()
        if not all(isinstance(name, str) for name in frame.columns):  # of an array
            frame = frame.set_axis([str(name) for name in frame.columns], axis="columns")
        columns.check_names(frame, self.columns)  # of a frame without rows, too
        return frame
