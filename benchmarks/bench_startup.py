"""What a user waits for before anything is trained: the import, and the first call with and without a cache on disk."""

import os
import subprocess
import sys
import tempfile

FIRST_FIT = """
import numpy as np
import fastfnn as fnn
fnn.FNN((784, 50, 10), activation="sigmoid").fit(np.zeros((100, 784), "f4"), np.zeros(100, "i8"), epochs=1)
"""


def run(code, **environment):
    """Run Python code in a process of its own."""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})


class Import:
    timeout = 60

    def time_import_fastfnn(self):
        run("import fastfnn")

    def time_import_numba(self):
        run("import numba")


class FirstFit:
    """A whole process: start, import, first call of `fit`."""

    timeout = 300
    rounds = 1
    number = 1
    repeat = (1, 3, 60.0)
    warmup_time = 0

    def setup_cache(self):
        """Fill a cache once for the warm case."""
        folder = os.path.abspath("numba-cache")  # asv runs this in a folder that it deletes in the end
        run(FIRST_FIT, NUMBA_CACHE_DIR=folder)
        return folder

    def time_cold(self, _warm_folder):
        with tempfile.TemporaryDirectory() as folder:
            run(FIRST_FIT, NUMBA_CACHE_DIR=folder)

    def time_warm(self, warm_folder):
        run(FIRST_FIT, NUMBA_CACHE_DIR=warm_folder)
