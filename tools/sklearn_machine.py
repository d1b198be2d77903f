"""What sklearn_scores.py and sklearn_grid.py say about the machine and the libraries that they measured."""

import importlib.metadata
from typing import Any

import threadpoolctl

from fastfnn.bench.runner import machine

LIBRARIES = ("fastfnn", "scikit-learn", "numpy", "numba", "joblib")


def describe() -> dict[str, Any]:
    """Processor, versions, and the threads that BLAS uses. Call it when scikit-learn and NumPy are imported."""
    blas = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"machine": machine(), "versions": versions, "blas_threads": blas}


def line(described: dict[str, Any]) -> str:
    """The same in a line."""
    where = described["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    blas = " and ".join(map(str, described["blas_threads"]))
    return f"{where['cpu']}, {where['cores']} cores; {versions}; threads of BLAS: {blas}."
