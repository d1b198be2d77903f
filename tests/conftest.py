"""Settings of the test-suite, and its option --kernel.

Property tests draw the same examples in every run; Ctrl-C works in child processes.
"""

import signal

import numba
import pytest
from hypothesis import settings

# without the JIT the kernels are Python loops: fewer examples
settings.register_profile(
    "fastfnn", deadline=None, derandomize=True, max_examples=25 if numba.config.DISABLE_JIT else 40
)
settings.load_profile("fastfnn")

# Where the tests are started in the background SIGINT is ignored, also by the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--kernel", metavar="NAME", help="only the tests of one kernel, such as softmax or adam_update")


def pytest_collection_modifyitems(config, items):
    if not (name := config.getoption("kernel")):
        return
    from kernel_selection import kernels_of, selects

    try:
        kernels_of(name)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    chosen = [item for item in items if selects(name, item.nodeid)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
