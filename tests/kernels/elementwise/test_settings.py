"""The record of settings: its fields lie where the vector has the numbers of these names."""

import numba
import numpy as np

from fastfnn import kernels, reference
from fastfnn.kernels.elementwise.settings import Settings, settings_at

vector = np.arange(1.0, len(kernels.SETTINGS) + 1)


@numba.njit
def some_fields(address):
    setting = settings_at(address)
    return setting.beta1, setting.l2, setting.seed


def test_the_names_are_those_of_the_reference_and_of_the_record():
    assert kernels.SETTINGS == reference.SETTINGS == tuple(Settings.__annotations__)


def test_a_field_of_the_record_is_the_number_of_its_name_in_the_vector():
    want = [vector[kernels.SETTINGS.index(name)] for name in ("beta1", "l2", "seed")]
    assert list(some_fields(vector.ctypes.data)) == want
