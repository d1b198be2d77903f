"""Parquet files: opened in one place, so that every error of pyarrow names the file.

pyarrow is imported when a file is opened. `ParquetSource` and the tables of the command line call this. Nothing here
knows what the columns mean.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

SUFFIXES = (".parquet", ".pq")


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """Yield the `pyarrow.parquet.ParquetFile` at a path.

    Raises
    ------
    ImportError
        If pyarrow is missing.
    OSError
        If the file cannot be opened.
    ValueError
        If it is no Parquet file, or what is read of it in this context cannot be read.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'fastfnn[tables]'") from error
    with open(path, "rb"):  # the errors of Python name the file
        pass
    with explained(path), pq.ParquetFile(path, memory_map=True) as file:
        yield file


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Let an error of pyarrow about what comes from a file name the file."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowMemoryError as error:
        raise MemoryError(f"{path} does not fit into memory: {error}") from error
    except (pa.ArrowException, KeyError, UnicodeError, OverflowError, NotImplementedError) as error:
        raise ValueError(f"{path} is no Parquet file that can be read: {_text(error)}") from error
    except OSError as error:
        if error.errno is None:  # pyarrow's for what is wrong within a file
            raise ValueError(f"{path} is no Parquet file that can be read: {_text(error)}") from error
        raise OSError(error.errno, os.strerror(error.errno), path) from error


def _text(error: Exception) -> str:
    return " ".join(str(error).split())
