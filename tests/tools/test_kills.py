"""tools/kills.py kills trainings and says whether they end with the same bits."""

import os
import sys

import pytest
from programs import run, tool

from fastfnn import checkpoint

pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(os.name == "nt", reason="needs POSIX"),
    pytest.mark.skipif(not (checkpoint and os.path.isdir("tools")), reason="the tools are not beside the tests"),
]
