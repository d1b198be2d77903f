"""The command `fastfnn` for its tests: in this process on a few small images, and as an installed program."""

import os
import pathlib
import subprocess
import sys
import sysconfig

import numpy as np

import fastfnn as fnn
from fastfnn import cli

ROOT = pathlib.Path(fnn.__file__).absolute().parent.parent
PNG = b"\x89PNG\r\n\x1a\n"


def write_idx(path, array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes())


def write_part(folder, part, count, seed):
    rng = np.random.default_rng(seed)
    write_idx(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 3, 4)))
    write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count) % 3)


def train(data, *options):
    return cli.main(["train", str(data), "--layers", "5", "--batch-size", "10", "--epochs", "2", *options])


def by_api(data, *, layers=(12, 5, 3), epochs=2, batch_size=10, learning_rate=0.1, sampling="shuffle", **options):
    """Return the network that `train` must give with these options, trained with the API."""
    (x, t), _ = fnn.datasets.load_mnist(folder=data)
    net = fnn.FNN(layers, **({"activation": "sigmoid", "init": 0.01, "seed": 0} | options))
    net.fit(x, t, epochs=epochs, batch_size=batch_size, optimizer=fnn.SGD(learning_rate), sampling=sampling)
    return net


def run(command, tmp_path, **environment):
    return subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def installed_command():
    script = pathlib.Path(sysconfig.get_path("scripts")) / ("fastfnn.exe" if os.name == "nt" else "fastfnn")
    if script.is_file():
        return [str(script)]
    return [sys.executable, "-c", "import sys; from fastfnn.cli import main; sys.exit(main())"]
