"""TableModel: a plain network with what it needs to read tables and to name its predictions; `load` reads any model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fastfnn import files
from fastfnn.interop.columns import CategoryColumn, NumberColumn
from fastfnn.network import FNN, read
from fastfnn.tables import stored, tabular
from fastfnn.tables.base import BaseModel
from fastfnn.tables.preparation import Preparation
from fastfnn.tables.tabular import TabularModel
from fastfnn.tables.target import Target


class TableModel(BaseModel):
    """A plain network that predicts one column of a table: ``fastfnn train --preset plain`` makes it, `load` reads it.

    Attributes
    ----------
    network : FNN
        The network, whose inputs are standardized numbers and one-hot categories.
    origin : dict
        The version of fastfnn that made the model, and the time.

    Examples
    --------
    The command ``fastfnn train birds.csv --target species --preset plain --out birds.safetensors`` makes a model, which
    is then asked for the species of two birds:

    >>> import os, subprocess, sys, tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> import fastfnn.tables
    >>> birds = pd.DataFrame({"wing": np.linspace(180, 230, 200), "species": ["Adelie"] * 100 + ["Gentoo"] * 100})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table, path = os.path.join(folder, "birds.csv"), os.path.join(folder, "birds.safetensors")
    ...     birds.to_csv(table, index=False)
    ...     train = ["train", table, "--target", "species", "--preset", "plain", "--out", path]
    ...     done = subprocess.run([sys.executable, "-m", "fastfnn", *train], capture_output=True, check=True)
    ...     model = fastfnn.tables.load(path)
    >>> model.columns, model.labels
    (['wing'], ['Adelie', 'Gentoo'])
    >>> two = pd.DataFrame({"wing": [185.0, 225.0]})
    >>> model.predict(two).tolist()
    ['Adelie', 'Gentoo']
    >>> probabilities = model.predict_proba(two)
    >>> probabilities.round(1).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> model.decide(probabilities).tolist()
    ['Adelie', 'Gentoo']
    """

    preparation: Preparation

    def __init__(
        self, network: FNN, preparation: Preparation, target: Target, origin: Mapping[str, str] | None = None,
        written: stored.Written | None = None,
    ) -> None:  # fmt: skip
        super().__init__(target, origin, written)
        self.network = network
        self.preparation = preparation

    def __repr__(self) -> str:
        return f"TableModel({self.task} of {self.target!r} from {len(self.columns)} columns; {self.network!r})"

    @property
    def columns(self) -> list[str]:
        """Names of the columns that the network uses."""
        return [column.name for column in self.preparation.columns]

    @property
    def text_columns(self) -> list[str]:
        """Names of the columns of categories.

        :meta private:
        """
        return [column.name for column in self.preparation.columns if isinstance(column, CategoryColumn)]

    def unknown(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Return, by column, the values of a table that are none of the column's categories.

        :meta private:
        """
        return self.preparation.unknown(frame)

    @property
    def _dtype(self) -> npt.DTypeLike:
        return self.network.dtype

    def _computed(self, frame: pd.DataFrame) -> np.ndarray:
        return self.network.predict(self.preparation.transform(frame, self.network.dtype))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network and preparation to a safetensors file, see `FNN.save`; `fastfnn.load` reads the network of it.

        Parameters
        ----------
        path : str or path-like
            The file; an existing file is replaced in one step.

        Raises
        ------
        OSError
            If the file cannot be written: an existing file is as it was.
        """
        self.network._write(path, {"table": self.described()})

    def described(self) -> dict[str, Any]:
        """Return what a file holds about the table, as an object of JSON.

        :meta private:
        """
        return stored.described(self.preparation, self.about, self.origin, self.written)


def load(path: str | os.PathLike[str], *, plain: bool = False) -> TableModel | TabularModel:
    """Read a model that `fastfnn train` made of a table.

    Parameters
    ----------
    path : str or path-like
        A safetensors file.
    plain : bool, default False
        Also take a network that was not trained on a table: its columns are named 0, 1, 2, ..., as those of arrays,
        and its target t; labels are the numbers of the outputs.

    Returns
    -------
    TabularModel or TableModel
        The model that was saved, with a tabular or a plain network.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file does not hold such a model.

    Notes
    -----
    A file may come from anywhere: it holds no code, and all of it is checked before it is used.

    Examples
    --------
    `TabularModel` and `TableModel` have examples with a model of a table. This is a network of arrays:

    >>> import os, tempfile
    >>> import pandas as pd
    >>> import fastfnn as fnn
    >>> import fastfnn.tables
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     fnn.FNN((2, 3), seed=0).save(path)
    ...     model = fnn.tables.load(path, plain=True)
    >>> model.columns, model.labels
    (['0', '1'], [0, 1, 2])
    >>> model.predict(pd.DataFrame([[0.5, 1.0]])).shape
    (1,)
    """
    if files.format_of(path) == files.TABULAR_FORMAT:
        return tabular.load(path)
    net, saved = read(path, {}, {})
    if "table" not in saved.sections:
        if "estimator" in saved.sections:  # its network alone knows neither labels nor scales
            raise ValueError(f"{os.fspath(path)} holds an estimator: fastfnn.sklearn.load reads it, in Python")
        if plain:
            return of_network(net)
        raise ValueError(f"{os.fspath(path)} holds a network, but no table that it was trained on")
    with files.damage_reported(path):
        parts = stored.checked(saved.sections["table"], net)
    return TableModel(net, *parts)


def of_network(net: FNN) -> TableModel:
    """Return a model for a network that was not trained on a table.

    Its columns are named 0, 1, 2, ..., as those of arrays, and are used as they are. The target is named t; its labels
    are the numbers of the outputs.
    """
    columns = [NumberColumn(str(i), None, 0.0, 1.0) for i in range(net.layer_sizes[0])]
    if net.loss_name == "softmax_cross_entropy":
        target = Target("t", tuple(range(net.layer_sizes[-1])))
    elif net.loss_name in stored.REAL_LOSSES and net.layer_sizes[-1] == 1:
        target = Target("t", None)
    else:
        raise ValueError(f"the network must have classes or one real output, got {net!r}")
    model = TableModel(net, Preparation(columns), target, {})
    model.is_plain = True
    return model
