"""Settings of the test-suite: property tests draw the same examples in every run; Ctrl-C works in child processes."""

import signal

import numba
from hypothesis import settings

# without the JIT the kernels are Python loops: fewer examples
settings.register_profile(
    "fastfnn", deadline=None, derandomize=True, max_examples=25 if numba.config.DISABLE_JIT else 40
)
settings.load_profile("fastfnn")

# Where the tests are started in the background SIGINT is ignored, also by the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
