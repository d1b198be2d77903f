"""The records through which kernels see memory."""

import importlib
import pkgutil

import numpy as np
import pytest

from fastfnn import kernels


def records():
    """Name -> dtype of every record that a module of the kernels defines."""
    modules = pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}.")
    found = {}
    for module in [importlib.import_module(module.name) for module in modules]:
        found |= {name: value for name, value in vars(module).items() if isinstance(value, np.dtype) and value.names}
    return found


RECORDS = records()


def test_there_are_records():
    assert {"NETWORK", "LAYER", "PREDICTION", "JOB", "PACE"} <= set(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_no_field_has_the_name_of_a_method_of_numpy(name):
    """Without the compiler `record.mean` would be the method."""
    methods = dir(np.zeros(1, "i8, i8").view(np.recarray)[0])
    assert not set(RECORDS[name].names) & set(methods)


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_has_8_bytes(name):
    dtype = RECORDS[name]
    assert dtype.itemsize == 8 * len(dtype.names)
    assert [dtype.fields[field][1] for field in dtype.names] == list(range(0, dtype.itemsize, 8))
