"""Tables of mixed columns, and networks that predict one of the columns from the others.

`fastfnn train table.csv --target price --out model.safetensors` makes a model; `load` reads it. The extra
``fastfnn[tables]`` installs pandas, pyarrow and scikit-learn; nothing else in this package imports them for tables.

`reading.py` turns files into frames, `columns.py` tells what the columns are, `preparation.py` makes numbers of them
and `target.py` of the column to predict. `training.py` makes a plain network, and `model.py` holds all of it together;
`tabular.py` is a model with an estimator of `fastfnn.tabular` in their place, `base.py` what both have in common, and
`stored.py` their part of the file. The commands in `fastfnn.cli` call them; nothing here prints.
"""

try:
    import pandas  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as _error:
    raise ImportError("tables need pandas and scikit-learn: pip install 'fastfnn[tables]'") from _error

from fastfnn.tables.model import TableModel, load
from fastfnn.tables.tabular import TabularModel

__all__ = ["TableModel", "TabularModel", "load"]
