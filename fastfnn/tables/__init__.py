"""Tables of mixed columns, and networks that predict one of the columns from the others.

`fastfnn train table.csv --target price --out model.safetensors` makes a model; `load` reads it. The extra
``fastfnn[tables]`` installs pandas, pyarrow and scikit-learn; nothing else in this package imports them for tables.

`reading.py` turns files into frames, `columns.py` tells what the columns are, `preparation.py` makes numbers of them
and `target.py` of the column to predict. `training.py` makes and trains the network. `model.py` holds all of it
together, `stored.py` is its part of the file. The commands in `fastfnn.cli` call them; nothing here prints.
"""

try:
    import pandas  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as _error:
    raise ImportError("tables need pandas and scikit-learn: pip install 'fastfnn[tables]'") from _error

from fastfnn.tables.model import TableModel, load

__all__ = ["TableModel", "load"]
