"""How much memory of their own other processes take, from outside: what they map from files or share does not count."""

import os
import re
import sys
import threading
import time

import pytest

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
EVERY = 0.01  # seconds between two looks


def private_bytes(pid):
    """Memory that is behind no file, which a process shares with nobody."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return int(re.search(r"^Anonymous:\s+(\d+) kB", lines.read(), re.MULTILINE)[1]) * 1024


def pid_after_a_while(*_):
    """The number of the process, after long enough that other workers get the next call. A scorer, too."""
    time.sleep(0.2)
    return os.getpid()


class Growth:
    """Within the context, watches processes; then `bytes` is by how much the one that grew most did so."""

    def __init__(self, pids):
        self.start = {pid: private_bytes(pid) for pid in pids}
        self.bytes = 0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self):
        self._watcher.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._watcher.join()

    def _watch(self):
        while not self._stop.wait(EVERY):
            self.bytes = max(self.bytes, *(private_bytes(pid) - start for pid, start in self.start.items()))
