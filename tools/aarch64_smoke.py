"""Train on another processor, see aarch64.py: `python tools/aarch64_smoke.py FOLDER`, twice with the same folder.

Losses and predictions must be those of the reference, and the same bits on one thread and on two. The first process
leaves what it found in the folder; the second must find the same bits without compiling anything. The exit status is 1
if not.
"""

import pathlib
import platform
import sys
import time

import numpy as np

import fastfnn as fnn
from fastfnn.kernels.compiler import cache

# Between the kernels and the reference, which adds in another order.
TOLERANCE = 1e-5

SIZES, SAMPLES, BATCH = (64, 48, 10), 512, 256  # large enough for two threads


def trained(backend: str, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """The losses of a training, and predictions afterwards."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, SIZES[0])).astype("float32")
    fnn.set_num_threads(threads)
    net = fnn.FNN(SIZES, seed=1, backend=backend)
    history = net.fit(
        x, x[:, : SIZES[-1]].argmax(axis=1), epochs=5, batch_size=BATCH, optimizer=fnn.Adam(0.01), progress=False
    )
    return np.array(history.loss), net.predict(x)


def main(folder: str) -> int:
    """Returns the exit status."""
    compiled: list[str] = []
    cache.compile_listeners.append(lambda progress: compiled.append(progress.name))
    start, before = time.perf_counter(), pathlib.Path(folder, "found.npz")
    (loss, output), two = trained("kernels", 1), trained("kernels", 2)
    want_loss, want_output = trained("reference", 1)
    difference = max(np.abs(loss - want_loss).max(), np.abs(output - want_output).max())
    problems = []
    if not difference < TOLERANCE:
        problems.append(f"kernels and reference differ by {difference:.1e}")
    if not (np.array_equal(loss, two[0]) and np.array_equal(output, two[1])):
        problems.append("the bits depend on the number of threads")
    if not loss[-1] < loss[0]:
        problems.append(f"the loss does not fall: {loss}")
    if before.exists():
        with np.load(before) as found:
            if not (np.array_equal(loss, found["loss"]) and np.array_equal(output, found["output"])):
                problems.append("kernels that are loaded from disk give other bits than those just compiled")
        if compiled:
            problems.append(f"a second process compiles kernels again: {', '.join(compiled)}")
    else:
        np.savez(before, loss=loss, output=output)
    took = f"{len(compiled)} kernels compiled, {time.perf_counter() - start:.0f} s"
    print(f"{platform.machine()}: {took}, difference {difference:.1e}, losses {loss}")
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
