"""Training on a file that is larger than memory: its rate beside that on arrays in memory, and the memory it takes.

    python tools/large_file.py --gigabytes 6 --limit-mb 1024

Writes a file of float32 and one of uint8, with the same numbers of bytes, and reads them so that the system keeps them
in its cache. For each of two networks a process then trains on arrays in memory, and another one on the file under a
limit of memory: by a control group if this process may make one, else by RLIMIT_DATA, which counts allocated memory and
no pages of files. The last epoch is what counts.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

COLUMNS = 784
BLOCK = 20_000  # rows that are written at a time; they repeat
NETWORKS = {"784-50-10": ((784, 50, 10), 100), "784-512-512-10": ((784, 512, 512, 10), 128)}
MOST_ROWS = {"784-50-10": None, "784-512-512-10": 500_000}  # an epoch of the large network on all rows would take long

# Trains; the argument is the task as JSON. The limit comes first, so that it counts everything.
PROGRAM = """
import json, os, resource, sys, warnings
warnings.simplefilter("ignore")  # the network makes no progress, and shall not
task = json.loads(sys.argv[1])
if task["group"]:
    open(task["group"] + "/cgroup.procs", "w").write(str(os.getpid()))
elif task["limit"]:
    resource.setrlimit(resource.RLIMIT_DATA, (task["limit"], task["limit"]))
import numpy as np
import fastfnn as fnn

x, t = np.load(task["x"], mmap_mode="r")[: task["rows"]], np.load(task["t"])[: task["rows"]]
net = fnn.FNN(task["layers"], init=1e-3, seed=0)
options = {"batch_size": task["batch"], "optimizer": fnn.SGD(1e-6)}  # no loss falls, and no work becomes less
net.fit(x[:1000], t[:1000], epochs=1, **options)  # compiles the kernels, or loads them
data = (np.load(task["x"])[: task["rows"]], t) if task["in_memory"] else (fnn.sources.ArraySource(x, t),)
history = net.fit(*data, epochs=task["epochs"], **options)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"rate": history.samples_per_second, "peak_kb": int(status["VmHWM"].split()[0])}))
"""


def write(folder: pathlib.Path, dtype: str, size: int) -> int:
    """Write samples and labels of a dtype unless they are there; return the number of rows."""
    rows = size // (COLUMNS * np.dtype(dtype).itemsize)
    path = folder / f"x-{dtype}.npy"
    if path.exists() and np.load(path, mmap_mode="r").shape == (rows, COLUMNS):
        return rows
    rng = np.random.default_rng(0)
    block = rng.random((BLOCK, COLUMNS), np.float32)
    block = (255 * block).astype(dtype) if dtype == "uint8" else block
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, COLUMNS)}
        )
        for first in range(0, rows, BLOCK):
            file.write(block[: rows - first])
    np.save(folder / f"t-{dtype}.npy", rng.integers(0, 10, rows).astype(np.uint8))
    return rows


def warm(path: pathlib.Path) -> None:
    """Read a file, so that its pages are in the cache of the system."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 24)
        while file.readinto(buffer):
            pass


@contextlib.contextmanager
def limited(limit: int):
    """Give the path of a control group with a limit of memory below that of this process, or None."""
    group = None
    try:
        with open("/proc/self/cgroup", encoding="ascii") as file:
            lines = [line.strip().split(":", 2) for line in file]
        first = next((line for line in lines if "memory" in line[1].split(",")), None)
        root, limit_file = (
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes") if first else ("/sys/fs/cgroup", "memory.max")
        )
        group = pathlib.Path(root + (first or lines[-1])[2], f"fastfnn-{os.getpid()}")
        group.mkdir()
        (group / limit_file).write_text(str(limit))
    except (OSError, IndexError):
        if group is not None and group.exists():
            group.rmdir()
        group = None
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def run(**task: object) -> dict:
    """Run the program in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(task)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"a training of {task} failed with the exit status {done.returncode}")
    return json.loads(done.stdout)


def measure(folder: pathlib.Path, size: int, limit: int, epochs: int, say=print) -> dict:
    """Return rates in rows a second and peaks of resident memory in MB, for each dtype and network."""
    found = {}
    for dtype in ("float32", "uint8"):
        rows = write(folder, dtype, size)
        for name, (layers, batch) in NETWORKS.items():
            count = min(rows, MOST_ROWS[name] or rows)
            task = {"x": str(folder / f"x-{dtype}.npy"), "t": str(folder / f"t-{dtype}.npy"), "rows": count}
            task |= {"layers": layers, "batch": batch, "epochs": epochs, "limit": 0, "group": ""}
            memory = run(**task, in_memory=True)
            warm(folder / f"x-{dtype}.npy")
            with limited(limit) as group:
                source = run(**(task | {"limit": limit, "group": "" if group is None else str(group)}), in_memory=False)
                how = "RLIMIT_DATA" if group is None else "a control group"
            result = {
                "rows": count, "rate_in_memory": memory["rate"][-1], "rate_of_source": source["rate"][-1],
                "ratio": source["rate"][-1] / memory["rate"][-1], "peak_mb_in_memory": memory["peak_kb"] >> 10,
                "peak_mb_of_source": source["peak_kb"] >> 10, "limited_by": how,
            }  # fmt: skip
            found[f"{name}, {dtype}"] = result
            say(
                f"{name:15} {dtype:8} {count:>9,} rows: {result['rate_in_memory']:>10,.0f} rows/s in memory, "
                f"{result['rate_of_source']:>10,.0f} from the file, ratio {result['ratio']:.2f}; "
                f"peak {result['peak_mb_of_source']} MB under {limit >> 20} MB by {how}, "
                f"{result['peak_mb_in_memory']} MB in memory"
            )
    return found


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=6, help="size of each of the two files (6)")
    parser.add_argument("--limit-mb", type=int, default=1024, help="memory of the training on the file (1024)")
    parser.add_argument("--epochs", type=int, default=2, help="epochs, of which the last one counts (2)")
    parser.add_argument("--folder", help="where the files are kept for the next run; by default they are removed")
    parser.add_argument("--json", help="a file for the result")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or stack.enter_context(tempfile.TemporaryDirectory())
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        size = int(options.gigabytes * 1e9)
        found = measure(pathlib.Path(folder), size, options.limit_mb << 20, options.epochs)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
