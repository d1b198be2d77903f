"""Sources: samples that are read in parts while a network trains, for data larger than memory.

`FNN.fit` and the estimators take one in place of arrays.
"""

from fastfnn.sources.arrays import ArraySource
from fastfnn.sources.base import Source
from fastfnn.sources.batches import BatchSource
from fastfnn.sources.parquet import ParquetSource
from fastfnn.sources.shards import ShardSource

__all__ = ["ArraySource", "BatchSource", "ParquetSource", "ShardSource", "Source"]
