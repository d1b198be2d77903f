"""`fastfnn train` that gets Ctrl-C on all ranks, and on rank 0 twice, once the CSV file of its --log has three rows."""

import os
import pathlib
import signal
import sys
import threading
import time

from fastfnn.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
log = pathlib.Path(sys.argv[sys.argv.index("--log") + 1])


def interrupt():
    while not (log.exists() and log.read_text().count("\n") > 3):
        time.sleep(0.02)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.002)


threading.Thread(target=interrupt, daemon=True).start()
sys.exit(main())
