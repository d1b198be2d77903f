"""Calls of kernels on samples of every dtype and layout, beside those on samples that were converted before.

    python -c "import converted_samples; converted_samples.print_differences()"

A child process runs them, with a number of threads of its own.
"""

import functools
import itertools
import json

import numpy as np
from bit_cases import ALL, CLIP, DROPOUT, NETWORK, SLOPES, WIDE, WIDENING_NETWORK, digest, forward, gradient, training
from bit_cases import prediction_loss as loss
from helpers import arrange
from whole_team import use_whole_teams

from fastfnn.kernels.workers import threads

HALVES = (301, 50, 10)
SHALLOW = (4, 32, 16, 4)  # whose batches are tall
ONE = (610, 640, 640, 10)

# Every form of a step, every division of the first layer, with and without the rest: a function of `given`.
CASES = {
    "prediction": functools.partial(forward, NETWORK, 301),
    "prediction, wide": functools.partial(forward, WIDE, 300, names=SLOPES),
    "prediction, in panels": functools.partial(forward, (120, 100, 1), 1000),
    "loss": functools.partial(loss, NETWORK, 301, labels=True),
    "gradient": functools.partial(gradient, NETWORK, 201, labels=True),
    "gradient, normalized": functools.partial(gradient, WIDE, 90, normalized=True, **DROPOUT),
    "gradient, tall": functools.partial(gradient, SHALLOW, 2001),
    "gradient, halves": functools.partial(gradient, HALVES, 90),
    "gradient, widening": functools.partial(gradient, WIDENING_NETWORK, 90),
    "gradient, deep": functools.partial(gradient, WIDE, 1100),
    "gradient, deep and normalized": functools.partial(gradient, WIDE, 1100, normalized=True),
    "a batch": functools.partial(training, "sgd", NETWORK, 301, 67, labels=True),
    "a batch, two epochs": functools.partial(training, "adam", NETWORK, 201, 67, epochs=2),
    "a batch, clipped": functools.partial(training, "sgd", NETWORK, 301, 67, weighted=True, **CLIP),
    "a batch, all of these": functools.partial(training, "adamw", (40, 50, 50, 10), 301, 67, **ALL),
    "halves": functools.partial(training, "sgd", HALVES, 150, 67),
    "halves, all of these": functools.partial(training, "rmsprop", (301, 50, 50, 10), 150, 67, **ALL),
    "tall batches, the last of which is not": functools.partial(training, "adam", SHALLOW, 4101, 2000),
    "a tall batch, weighted": functools.partial(training, "sgd", NETWORK, 600, 270, labels=True, weighted=True),
    "columns": functools.partial(training, "momentum", WIDE, 150, 64),
    "columns, all of these": functools.partial(training, "nesterov", WIDE, 70, 64, **ALL),
    "widening": functools.partial(training, "sgd", WIDENING_NETWORK, 150, 64),
    "widening, with state": functools.partial(training, "adagrad", WIDENING_NETWORK, 150, 64),
    "deep batches, the last of which is not": functools.partial(training, "adam", WIDE, 1500, 1100),
    "deep batches, widening": functools.partial(training, "sgd", (21, 403, 700, 3), 1300, 1300),
    "deep batches, normalized": functools.partial(training, "sgd", WIDE, 1500, 1100, **ALL),
    "one sample": functools.partial(training, "sgd", (810, 830, 10), 19, 1, epochs=2),
    "one sample, weighted": functools.partial(training, "sgd", ONE, 5, 1, weighted=True, names=SLOPES),
    "one sample, with state": functools.partial(training, "momentum", (600, 700, 10), 3, 1),
}

INTEGERS = ("uint8", "int64", "int8", "uint16", "int16", "uint32", "int32", "uint64", "bool")
SOURCES = ("float64", *INTEGERS[:4], "float16", *INTEGERS[4:], "float32")
LAYOUTS = ("C", "F", "strided", "rows", "reversed", "unaligned", "read-only", "transposed")


def samples_of(source, x):
    """Samples of a dtype, made from normal numbers: with fractions if it has them."""
    if np.dtype(source).kind == "f":
        return (np.pi / 3 * x).astype(source)  # in float64 and float16 with bits that float32 does not have, and fewer
    return np.abs(np.round(x)).astype(source)


def laid_out(x, layout):
    """A copy of samples in a layout."""
    if layout == "rows":  # which products read where they lie if the dtype is theirs
        return np.repeat(x, 2, axis=0)[::2]
    if layout == "unaligned":
        view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        view[...] = x
        return view
    if layout == "read-only":
        x = x.copy()
        x.flags.writeable = False
        return x
    return arrange(x, layout)


def print_differences():
    """Print the names of calls whose results differ from those on converted samples, and how many were compared."""
    use_whole_teams()
    differences, count = [], 0
    sources = itertools.cycle(SOURCES)  # 12 of them, and 8 layouts: each meets each
    pairs = zip(sources, itertools.cycle((*LAYOUTS, *LAYOUTS[1:], LAYOUTS[0])), strict=False)
    for name, build in CASES.items():
        for dtype, (source, layout) in itertools.product((np.dtype("f4"), np.dtype("f8")), itertools.islice(pairs, 4)):
            threads.set_num_threads(1)
            want = digest(build(given=lambda x, source=source: samples_of(source, x).astype(x.dtype))(dtype))
            case = build(given=lambda x, source=source, layout=layout: laid_out(samples_of(source, x), layout))
            for number in range(1, threads.max_threads() + 1):
                threads.set_num_threads(number)
                count += 1
                if digest(case(dtype)) != want:
                    differences.append(f"{name}: {source} {layout} in {dtype}, {number} threads")
    print(json.dumps({"differences": differences, "count": count}))
