"""What the tests of kernels share: tolerances, sizes, memory layouts, comparison in ulps, child processes."""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import numba
import numpy as np
from hypothesis import strategies as st

import fastfnn
from fastfnn.kernels.compiler.pipeline import SharedCompiler

NOJIT = bool(numba.config.DISABLE_JIT)
ROOT = pathlib.Path(fastfnn.__file__).absolute().parent.parent

# The folders in which child processes find the modules of the tests. All names of modules differ.
TESTS = pathlib.Path(__file__).parents[1]
TEST_FOLDERS = sorted({path.parent for path in TESTS.rglob("*.py")})

DTYPES = (np.dtype("float32"), np.dtype("float64"))
OTHER = dict(zip(DTYPES, DTYPES[::-1], strict=True))


class Tolerance(NamedTuple):
    eps: float  # the distance from 1 to the next larger number
    tiny: float  # the smallest normal number; results below it may be 0
    chain: float  # error of a whole network, relative to the largest element of its result


TOLERANCES = {
    np.dtype("float32"): Tolerance(eps=2.0**-23, tiny=2.0**-126, chain=2.0**-15),
    np.dtype("float64"): Tolerance(eps=2.0**-52, tiny=2.0**-1022, chain=2.0**-44),
}
ACTIVATION_ULPS = 4  # of the exactly rounded value
ELEMENTWISE_EPS = 4  # a few operations on one element, relative to its exact value
SUM_SLACK = 8  # a sum of n terms may err by (n + SUM_SLACK) eps times the sum of magnitudes
FLOAT64_RTOL = 1e-12  # a loss, which is accumulated in float64 whatever the dtype of the arrays
DIFFERENCE_TOL = 1e-7  # central differences in float64

SIZES = [
    1,  # strides have no meaning, a matrix is a vector
    0,  # nothing to do and nothing to read
    2,  # one float64 vector of SSE2 or NEON
    3,  # one less than a vector of 4: SSE2 float32, AVX2 float64
    5,  # one more
    7,  # one less than a vector of 8: AVX2 float32, AVX-512 float64
    8,  # exactly that: no remainder
    9,  # one more
    15,  # one less than a vector of 16: AVX-512 float32
    16,  # exactly that
    17,  # one more
]
if not NOJIT:
    SIZES += [
        31,  # one less than the width of a tile: two vectors of 16 or four of 8
        33,  # one more than the width of a tile
        50,  # the hidden layer of the notes: a multiple of no vector width
        63,  # one less than several tiles
        65,  # one more than several tiles
        129,  # one more than a block of 128 rows
    ]

LAYOUTS = ("C", "F", "strided", "reversed", "transposed")

sizes = st.sampled_from(SIZES)
positive_sizes = st.sampled_from([size for size in SIZES if size > 0])
dtypes = st.sampled_from(DTYPES)
seeds = st.integers(0, 2**32 - 1)


def layouts(count):
    """A strategy for tuples of memory layouts, one for each of `count` arrays."""
    return st.tuples(*[st.sampled_from(LAYOUTS)] * count)


def arrange(values, layout):
    """A copy of `values` in a memory layout. The memory between its elements holds NaN, or 0 for integers."""
    values = np.asarray(values)
    if layout == "strided":
        surroundings = np.nan if values.dtype.kind == "f" else 0
        larger = np.full([3 * size + 2 for size in values.shape], surroundings, values.dtype)
        view = larger[tuple(slice(1, 1 + 3 * size, 3) for size in values.shape)]
        view[...] = values
        return view
    if layout == "reversed":
        backwards = (slice(None, None, -1),) * values.ndim
        return np.array(values[backwards], order="C")[backwards]
    if layout == "transposed":
        return arrange(values.T, "strided").T
    return np.array(values, order=layout)


def poisoned(shape, dtype, layout="C"):
    """An output full of NaN, so that an element stays NaN if a kernel forgets it or adds to it."""
    return arrange(np.full(shape, np.nan, dtype), layout)


def normal(rng, shape, dtype, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(dtype)


def up(*arrays):
    """The arrays in float64, for the reference."""
    return tuple(array.astype(np.float64) for array in arrays)


@contextlib.contextmanager
def unchanged(*arrays):
    """Assert that the block changes no byte of the arrays."""
    before = [array.tobytes() for array in arrays]
    yield
    for number, (array, old) in enumerate(zip(arrays, before, strict=True)):
        assert array.tobytes() == old, f"input {number} was written to"


@contextlib.contextmanager
def framed(*shapes, dtype):
    """Outputs inside larger arrays; assert that the block writes all of them and nothing outside."""
    margin, mark = 17, 12345.0
    frames = [np.full([size + 2 * margin for size in shape], mark, dtype) for shape in shapes]
    inside = [tuple(slice(margin, margin + size) for size in shape) for shape in shapes]
    yield [frame[index] for frame, index in zip(frames, inside, strict=True)]
    for frame, index in zip(frames, inside, strict=True):
        assert not np.any(frame[index] == mark), "an output element was not written"
        frame[index] = mark
        assert np.all(frame == mark), "written outside the output"


def ulp_distance(a, b):
    """The distance from a to b in steps between neighbouring numbers, elementwise; -0.0 and 0.0 are 0 apart."""
    assert a.dtype == b.dtype
    positions = []
    for array in (a, b):
        bits = np.ascontiguousarray(array).view(f"i{array.dtype.itemsize}")
        magnitude = bits & np.iinfo(bits.dtype).max
        positions.append(np.where(bits < 0, -magnitude, magnitude).astype(np.int64))
    high, low = np.maximum(*positions), np.minimum(*positions)
    return high.view(np.uint64) - low.view(np.uint64)


def assert_within_ulps(got, want, x, ulps=ACTIVATION_ULPS):
    """Assert that `got` is near `want`, which is exactly rounded.

    An error of up to twice the smallest normal number is allowed: kernels take denormal numbers for zero.
    """
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    with np.errstate(invalid="ignore"):  # infinity minus itself
        flushed = np.abs(got - want) <= 2 * TOLERANCES[got.dtype].tiny
    distance = np.where(flushed | np.isnan(want), 0, ulp_distance(got, want))
    worst = np.unravel_index(np.argmax(distance), distance.shape)
    assert distance[worst] <= ulps, f"{distance[worst]} ulp at {x[worst]!r}: {got[worst]!r}, exact {want[worst]!r}"


def assert_close(got, want, bound):
    """Assert |got - want| <= bound + the smallest normal number, elementwise."""
    got = np.asarray(got)
    assert np.all(np.isfinite(want)), "the test expects finite numbers"
    tiny = TOLERANCES[got.dtype].tiny if got.dtype in TOLERANCES else 0
    excess = np.abs(got.astype(np.float64) - want) - (bound + tiny)
    outside = np.sum(~(excess <= 0))
    assert outside == 0, f"{outside} of {excess.size} outside the bound, by up to {np.max(excess)}"


def assert_sums_close(got, want, magnitude, terms):
    """Assert the bound of a sum of products: (terms + SUM_SLACK) eps times the sum of their magnitudes."""
    assert_close(got, want, (terms + SUM_SLACK) * TOLERANCES[got.dtype].eps * magnitude)


def assert_chain_close(got, want, scale=0.0):
    """Assert the bound of a whole network, relative to the largest element of `want` and `scale`."""
    largest = max(np.max(np.abs(want), initial=0), np.max(np.abs(scale), initial=0))
    assert_close(got, want, TOLERANCES[got.dtype].chain * largest)


def central_difference(function, x, step=1e-6):
    """The gradient of a scalar function of an array by central differences, in float64."""
    grad = np.empty_like(x)
    for index in np.ndindex(x.shape):
        plus, minus = x.copy(), x.copy()
        plus[index] += step
        minus[index] -= step
        grad[index] = (function(plus) - function(minus)) / (plus[index] - minus[index])
    return grad


@functools.cache
def from_python(function):
    """A function that Python can call, for an `inner` function of the kernels, which only compiled code can call."""
    return numba.njit(lambda *arguments: function(*arguments), pipeline_class=SharedCompiler)


def in_a_thread(function):
    """What a function returns in a Python thread of its own, for which no call has kept anything."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def assert_same_bits(got, want):
    """Assert that two sequences of arrays and numbers have the same bits."""
    assert [np.asarray(part).tobytes() for part in got] == [np.asarray(part).tobytes() for part in want]


def run_python(code, *arguments, root=ROOT, timeout=900, **environment):
    """Run `code` in a new interpreter that imports fastfnn from `root`; returns its output. `timeout` is in seconds."""
    path = os.pathsep.join(map(str, [root, *TEST_FOLDERS]))
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path} | {name: str(value) for name, value in environment.items()},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout
