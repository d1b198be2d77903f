"""Settings of the test-suite: property tests draw the same examples in every run."""

import numba
from hypothesis import settings

# without the JIT the kernels are Python loops: fewer examples
settings.register_profile(
    "fastfnn", deadline=None, derandomize=True, max_examples=25 if numba.config.DISABLE_JIT else 40
)
settings.load_profile("fastfnn")
