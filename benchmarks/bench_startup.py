"""What a user waits for before the first step: import, the first call with and without a cache, the download."""

import io
import os
import pathlib
import subprocess
import sys
import time
import zipfile

import fastfnn

FIRST_FIT = """
import numpy as np
import fastfnn as fnn
fnn.FNN((784, 50, 10), activation="sigmoid").fit(np.zeros((100, 784), "f4"), np.zeros(100, "i8"), epochs=1)
"""


def first_fit(cache):
    """Run a process from its start to the end of its first fit; compiled code is kept in the folder `cache`."""
    subprocess.run([sys.executable, "-c", FIRST_FIT], check=True, env={**os.environ, "NUMBA_CACHE_DIR": cache})


class Import:
    """Imports in a new process, without the start of Python itself."""

    repeat = (3, 5, 10.0)

    def timeraw_fastfnn(self):
        return "import fastfnn"

    def timeraw_numba(self):
        """The largest part of importing fastfnn."""
        return "import numba"

    def timeraw_numpy(self):
        return "import numpy"


class FirstFit:
    """A whole process (start, import, first call of `fit`) with an empty cache and with all code in the cache."""

    timeout = 600
    rounds = 1
    number = 1
    repeat = 5
    warmup_time = 0

    def setup_cache(self):
        """Fill a cache: its folder, and the seconds that this took."""
        folder = os.path.abspath("numba-cache")  # asv runs this in a folder that it deletes at the end
        start = time.perf_counter()
        first_fit(folder)
        return folder, time.perf_counter() - start

    def track_cold(self, cache):
        return cache[1]

    def time_warm(self, cache):
        first_fit(cache[0])

    setup_cache.timeout = 600
    track_cold.unit = "seconds"


class Wheel:
    """The size of the package's files, compressed as in a wheel. It does not depend on how fastfnn is installed."""

    def setup(self):
        package = pathlib.Path(fastfnn.__file__).parent
        self.code = files(package, "fastfnn", "*.py")
        # In a checkout this is a symlink, which the search above does not follow.
        self.code |= files(pathlib.Path(fastfnn.kernels.__file__).parent, "fastfnn/kernels", "*.py")
        self.data = files(package / "data", "fastfnn/data", "*.*")

    def track_size(self):
        return zipped_size(self.code | self.data)

    def track_size_of_code(self):
        return zipped_size(self.code)

    track_size.unit = track_size_of_code.unit = "bytes"


def files(folder, prefix, pattern):
    """The files below a folder that match a pattern, by their names in the wheel."""
    return {f"{prefix}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob(pattern)}


def zipped_size(by_name):
    """The size in bytes of an archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(by_name.items()):
            archive.write(path, name)
    return buffer.getbuffer().nbytes
