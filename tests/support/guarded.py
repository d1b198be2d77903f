"""Runs kernels on arrays beside protected pages: reading or writing one element out of bounds ends the process.

    python guarded.py KERNELS DTYPE PLACES
    python guarded.py wrong FOLDER

KERNELS and PLACES are names separated by commas. The places are "end", where every array ends at a protected page, and
"begin", where every array begins at one. Each case is printed before it runs, so that after a crash the last line names
the case. Inputs are on read-only pages and surrounded by NaN; outputs are surrounded by marks, which the call must not
overwrite. The second form runs each of WRONG_RUNS in a process of its own and writes its output and exit status into
files.
"""

import ctypes
import functools
import itertools
import mmap
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numba
import numpy as np
from helpers import ELEMENTWISE_EPS, SUM_SLACK, TOLERANCES, assert_close, normal
from tabular_problems import MIXED, NUMBERS, random_tabular
from user_codes import ELEMENTWISE, GIVEN, by_input, code_of, loss_code_of, twin_of
from whole_team import use_whole_teams

from fastfnn import kernels, reference
from fastfnn.kernels.compiler.memory import Memory
from fastfnn.kernels.elementwise.losses.table import parameters_of
from fastfnn.kernels.tuning import FEW_ROWS
from fastfnn.kernels.workers import threads

THREADS = (1, 4)
PAGE = mmap.PAGESIZE
GUARD = 16 * PAGE  # wider than a row of a matrix, so that the next row does not lie beyond it
NO_ACCESS = 0  # PROT_NONE, which the module mmap does not define
NAN, MARK = 0xFF, 0x5A  # bytes: repeated, the first makes a NaN, the second a large number

# Row and column stride, in elements, of a matrix with the given numbers of rows and columns. A vector is one row.
LAYOUTS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "C": lambda rows, columns: (columns, 1),
    "F": lambda rows, columns: (1, rows),
    "padded": lambda rows, columns: (columns + 3, 1),  # the last row has no padding
    "padded F": lambda rows, columns: (1, rows + 3),
    "strided": lambda rows, columns: (7 * columns, 3),
    "reversed": lambda rows, columns: (-columns, -1),
    "upside down": lambda rows, columns: (-columns, 1),  # the last row comes first
}


# Memory


@functools.cache
def libc():
    library = ctypes.CDLL(None, use_errno=True)
    library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return library


def protect(address, length, access):
    if length and libc().mprotect(address, length, access):  # an empty array has no pages
        raise OSError(ctypes.get_errno(), "mprotect failed")


class Guarded:
    """A copy of an array in a layout, on pages of its own between protected ones.

    array  the argument of the kernel; if it is empty, it points at a protected page
    room   all bytes of its pages
    """

    def __init__(self, values, layout, place, writable):
        rows, columns = values.shape if values.ndim == 2 else (1, values.size)
        steps = [step * values.itemsize for step in LAYOUTS[layout](rows, columns)[2 - values.ndim :]]
        ways = [(size - 1) * step for size, step in zip(values.shape, steps, strict=True)]
        before, after = -sum(min(way, 0) for way in ways), sum(max(way, 0) for way in ways) + values.itemsize
        if values.size == 0:
            before = after = 0
        pages = -(-(before + after) // PAGE) * PAGE
        memory = mmap.mmap(-1, pages + 2 * GUARD, flags=mmap.MAP_PRIVATE)  # lives as long as the arrays in it
        self.room = np.frombuffer(memory, np.uint8)[GUARD : GUARD + pages]
        self.room[:] = MARK if writable else NAN
        origin = GUARD + (before if place == "begin" else pages - after)
        self.array = np.ndarray(values.shape, values.dtype, memory, origin, steps)
        self.array[...] = values
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        protect(address, GUARD, NO_ACCESS)
        protect(address + GUARD + pages, GUARD, NO_ACCESS)
        if not writable:
            self.array.flags.writeable = False
            protect(address + GUARD, pages, mmap.PROT_READ)

    def take(self):
        """Copy an output and assert that nothing around it was written. The output is overwritten with marks."""
        values = self.array.copy()
        self.array[...] = np.frombuffer(bytes([MARK] * values.itemsize), values.dtype)
        assert np.all(self.room == MARK), "written outside an output"
        return values


# Cases


class Call(NamedTuple):
    """The arguments of a kernel: outputs with their values before the call, inputs, scalars."""

    outputs: list[np.ndarray]
    inputs: list[np.ndarray]
    scalars: tuple[float, ...]
    bounds: Callable[..., list[np.ndarray]]  # from the expected outputs, and the loss if any, to the allowed errors
    in_place: bool = False  # the first output is the first input


class Case(NamedTuple):
    """The description of a call: it is printed, and the call is built from it."""

    kernel: str
    shape: tuple[int, ...]
    layouts: tuple[str, ...] = ()  # of outputs and inputs, in the order of the arguments; missing ones are "C"
    options: tuple[str, ...] = ()


# Vectors hold 2 to 16 elements; tiles are 1 to 16 rows by 1 to 4 vectors.
EDGES = (*range(18), 31, 32, 33, 50, 64)  # their number is prime, as `pairwise` requires
WIDE = (24, 47, 48, 49, 63, 65, 128, 129, 200, 257)
SOME = (1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 33, 50, 65)  # their number is prime too
FEW = (1, 2, 7, 9, 16)

AFFINE_SHAPES = ((1, 17, 5), (7, 1, 9), (8, 5, 1), (9, 17, 33), (17, 33, 9), (16, 32, 64))
LARGE_AFFINE_SHAPES = ((3, 784, 50), (2, 512, 512), (70, 2050, 130), (300, 40, 6))
MATRIX_SHAPES = ((1, 17), (17, 1), (5, 3), (9, 33))
LARGE_MATRIX_SHAPES = ((129, 257), (512, 512), (784, 50), (3, 5000))


def pairwise(values, factors):
    """Tuples in which any two positions take every pair of values. The number of values must be prime."""
    count = len(values)
    for a, b in itertools.product(range(count), repeat=2):
        yield values[b], *(values[(a + factor * b) % count] for factor in range(factors - 1))


def layouts_for(free):
    """Layouts of the free arguments: each alone in each layout, all in the same, and all in different ones."""
    width = max(free) + 1
    names = list(LAYOUTS)
    for layout in names[1:]:
        for argument in free:
            yield tuple(layout if number == argument else "C" for number in range(width))
        yield tuple(layout if number in free else "C" for number in range(width))
    for turn in range(len(names)):
        yield tuple(names[(turn + 2 * number) % len(names)] if number in free else "C" for number in range(width))


def affine_cases(kernel, arrays):
    wide = [shape for size in WIDE for shape in ((size, 9, 17), (9, size, 33), (17, 5, size), (size, 1, size))]
    for shape in (*pairwise(EDGES, 3), *itertools.product(FEW, repeat=3), *wide, *LARGE_AFFINE_SHAPES):
        yield Case(kernel, shape)
    for shape, layouts in itertools.product(AFFINE_SHAPES, layouts_for(tuple(range(arrays)))):
        yield Case(kernel, shape, layouts)


def matrix_cases(kernel, arrays, options=(), smallest=0):
    wide = itertools.product((0, 1, 17), (*EDGES, *WIDE))
    tall = itertools.product((*EDGES, *WIDE), (1, 3))
    for shape in (*wide, *tall, *LARGE_MATRIX_SHAPES):
        if shape[1] >= smallest:
            yield Case(kernel, shape, (), options)
    for shape, layouts in itertools.product(MATRIX_SHAPES, layouts_for(tuple(range(arrays)))):
        yield Case(kernel, shape, layouts, options)


# Kernels: the cases of each, and the call that a case describes


def blank(shape, dtype):
    return np.full(shape, np.nan, dtype)


def affine_forward(case, dtype, rng):
    batch, inputs, outputs = case.shape
    x, weight, bias = (normal(rng, shape, dtype) for shape in ((batch, inputs), (inputs, outputs), (outputs,)))

    def bounds(want):
        magnitude = np.abs(x).astype(float) @ np.abs(weight).astype(float) + np.abs(bias)
        return [(inputs + SUM_SLACK) * TOLERANCES[dtype].eps * magnitude]

    return Call([blank((batch, outputs), dtype)], [x, weight, bias], (), bounds)


def affine_backward(case, dtype, rng):
    batch, inputs, outputs = case.shape
    shapes = (batch, outputs), (batch, inputs), (inputs, outputs)
    arrays = [normal(rng, shape, dtype) for shape in shapes]
    results = [blank(shape, dtype) for shape in (*shapes[1:], (outputs,))]

    def bounds(*want):
        magnitudes = [np.empty(array.shape) for array in want]
        reference.affine_backward(*magnitudes, *(np.abs(array).astype(float) for array in arrays))
        lengths = (outputs, batch, batch)
        return [(n + SUM_SLACK) * TOLERANCES[dtype].eps * m for n, m in zip(lengths, magnitudes, strict=True)]

    return Call(results, arrays, (), bounds)


def activation(case, dtype, rng):
    name = case.kernel.rpartition("_")[0]
    code = kernels.ACTIVATIONS.index(name or "softmax")
    x = normal(rng, case.shape, dtype, 2)
    if not case.kernel.endswith("backward"):
        return activation_call(case, [x], (), code, x)
    given = x if by_input(name) else image(x, code).astype(dtype)
    return activation_call(case, [normal(rng, case.shape, dtype), given], (), code, x)


def activation_by_code(case, dtype, rng):
    code = code_of(case.options[0], dtype)
    x = normal(rng, case.shape, dtype, 2)
    inputs = [normal(rng, case.shape, dtype), x] if case.kernel.endswith("backward") else [x]
    return activation_call(case, inputs, (code,), code, x)


def image(x, code):
    out = np.empty(x.shape)
    reference.activation_forward(out, x.astype(float), twin_of(code, x.dtype))
    return out


def activation_call(case, inputs, scalars, code, x):
    eps, in_place = TOLERANCES[x.dtype].eps, "in place" in case.options

    def bounds(want):
        if code == kernels.ACTIVATIONS.index("softmax"):
            # softmax rounds x - max(x), whose magnitude is less than 24 here
            return [(x.shape[1] + SUM_SLACK + 24) * eps * np.abs(want)]
        if case.kernel.endswith("backward"):  # derivatives are at most 1.13; outputs may be 4 ulp off
            return [3 * ELEMENTWISE_EPS * eps * np.abs(inputs[0])]
        # the reference rounds x / sqrt(2), which the tail of Phi magnifies by x^2
        tail = x * x if code == kernels.ACTIVATIONS.index("gelu") else 0
        return [(ELEMENTWISE_EPS + tail) * eps * np.abs(want)]

    result = inputs[0].copy() if in_place else blank(x.shape, x.dtype)
    return Call([result], inputs, scalars, bounds, in_place)


def activation_cases(kernel, options=()):
    arrays = 3 if kernel.endswith("backward") else 2
    yield from matrix_cases(kernel, arrays, options)
    for shape in pairwise(FEW, 2):
        yield Case(kernel, shape, (), (*options, "in place"))
    for shape, layout in itertools.product(MATRIX_SHAPES, LAYOUTS):
        yield Case(kernel, shape, (layout,), (*options, "in place"))


def activation_by_code_cases(kernel):
    names = (*ELEMENTWISE, *(() if kernel.endswith("backward") else ("softmax", "exp")))
    for turn in range(len(names)):  # the cases are divided among the activations
        yield from itertools.islice(activation_cases(kernel, (names[turn],)), turn, None, len(names))


def batch_norm_forward(case, dtype, rng):
    batch, columns = case.shape
    x, gamma, beta = (normal(rng, shape, dtype) for shape in (case.shape, columns, columns))
    in_place = "in place" in case.options

    def bounds(*want):
        # With an epsilon of 1 nothing is divided by a small number, which limits the growth of errors.
        error = 4 * (batch + SUM_SLACK) * TOLERANCES[dtype].eps * (1 + np.max(np.abs(x), initial=0)) ** 2
        return [error * (1 + np.abs(gamma) + np.abs(beta)) + 0 * want[0], *(np.full(w.shape, error) for w in want[1:])]

    result = x.copy() if in_place else blank(x.shape, dtype)
    results = [result, *(blank(shape, dtype) for shape in (x.shape, columns, columns))]
    return Call(results, [x, gamma, beta], (1.0,), bounds, in_place)


def batch_norm_backward(case, dtype, rng):
    batch, columns = case.shape
    grad_out, normalized = (normal(rng, case.shape, dtype) for _ in range(2))
    variance, gamma = np.abs(normal(rng, columns, dtype)), normal(rng, columns, dtype)
    in_place = "in place" in case.options

    def bounds(*want):
        eps = (batch + SUM_SLACK) * TOLERANCES[dtype].eps
        largest, most = np.max(np.abs(grad_out), initial=0), np.max(np.abs(normalized), initial=0)
        by_gamma, by_beta = np.abs(grad_out * normalized).sum(axis=0), np.abs(grad_out).sum(axis=0)
        return [4 * eps * np.abs(gamma) * largest * (1 + most) ** 2 + 0 * want[0], eps * by_gamma, eps * by_beta]

    result = grad_out.copy() if in_place else blank(case.shape, dtype)
    results = [result, blank(columns, dtype), blank(columns, dtype)]
    return Call(results, [grad_out, normalized, variance, gamma], (1.0,), bounds, in_place)


def batch_norm_cases(kernel):
    yield from matrix_cases(kernel, 7)
    for shape in pairwise(FEW, 2):
        yield Case(kernel, shape, (), ("in place",))


def dropout_mask(case, dtype, rng):
    layer, step, seed = (int(number) for number in rng.integers(1, 2**31, 3))
    return Call(
        [blank(case.shape, dtype)], [], (layer, step, 0.375, 1.6, seed), lambda want: [TOLERANCES[dtype].eps * want]
    )


def targets_for(kind, rng, samples, outputs, dtype):
    if kind.endswith("labels"):
        labels = rng.integers(0, outputs, samples)
        labels[:1], labels[-1:] = outputs - 1, 0
        return labels
    return rng.uniform(0, 1, (samples, outputs)).astype(dtype)


def loss(case, dtype, rng):
    batch, outputs = case.shape
    targets = targets_for(case.options[0], rng, batch, outputs, dtype)
    rows = np.eye(outputs)[targets] if targets.ndim == 1 else targets
    scalars = (0.25,) if "parameter" in case.options else ()
    vectors = [np.linspace(0.25, 0.75, outputs)] if case.kernel == "quantile" else []
    sizes = rows + sum(scalars)  # of what is subtracted from probabilities, at most

    def bounds(want, value):
        error = (outputs + SUM_SLACK + 24) * TOLERANCES[dtype].eps
        return [error * (np.abs(want) + sizes / max(batch, 1)), error * (1 + np.abs(value))]

    return Call(
        [blank((batch, outputs), dtype)], [normal(rng, (batch, outputs), dtype, 2), targets, *vectors], scalars, bounds
    )


def loss_cases(kernel):
    if kernel == "softmax_cross_entropy":  # it needs at least one class
        for kind, more in itertools.product(("labels", "rows"), ((), ("parameter",))):
            yield from matrix_cases(kernel, 3, (kind, *more), smallest=1)
        return
    count = parameters_of(kernels.LOSSES.index(kernel), 2)
    if count != 1 or kernel == "sigmoid_cross_entropy":
        yield from matrix_cases(kernel, 3, ("rows",))
    if count == 1:
        yield from matrix_cases(kernel, 3, ("rows", "parameter"))


def sample_losses(case, dtype, rng):
    batch, outputs = case.shape
    kind = case.options[0]
    out, targets = normal(rng, (batch, outputs), dtype, 2), targets_for(kind, rng, batch, outputs, dtype)

    def bounds(*want):
        error = (outputs + SUM_SLACK + 24) * TOLERANCES[dtype].eps
        return [error * (1 + np.abs(array)) for array in want]

    parameters, code = loss_of(kind, outputs, dtype)
    return Call(
        [blank((batch,), np.dtype(float)), blank(out.shape, dtype)], [out, targets, parameters], (code,), bounds
    )


def sample_losses_cases(kernel):
    kinds = ("labels", "huber", GIVEN)
    for turn, kind in enumerate(kinds):  # the cases are divided among the losses
        cases = matrix_cases(kernel, 3, (kind,), smallest=1)
        for case in itertools.islice(cases, turn, None, len(kinds)):
            yield case._replace(layouts=("C", *case.layouts))  # the losses of samples are contiguous


# Number of state arrays and scalars of each update rule. An epsilon of 1 keeps quotients about as large as grad.
UPDATES = {
    "sgd_update": (0, (0.125,)),
    "momentum_update": (1, (0.125, 0.5)),
    "nesterov_update": (1, (0.125, 0.5)),
    "adagrad_update": (1, (0.125, 1.0)),
    "rmsprop_update": (1, (0.125, 0.5, 1.0)),
    "adam_update": (2, (0.125, 0.5, 0.75, 1.0, 3)),
    "adamw_update": (2, (0.125, 0.5, 0.75, 1.0, 0.5, 3)),
}


def update(case, dtype, rng):
    states, scalars = UPDATES[case.kernel]
    param, grad = normal(rng, case.shape, dtype), normal(rng, case.shape, dtype)
    state = [np.abs(normal(rng, case.shape, dtype)) for _ in range(states)]
    magnitude = 1 + np.abs(param) + grad * grad + sum(state)
    bound = ELEMENTWISE_EPS * TOLERANCES[dtype].eps * magnitude
    return Call([param, *state], [grad], scalars, lambda *want: [bound] * (1 + states))


def update_cases(kernel):
    arrays = 2 + UPDATES[kernel][0]
    yield from matrix_cases(kernel, arrays)
    for size in EDGES:
        yield Case(kernel, (size,))
    for size, layouts in itertools.product(FEW, layouts_for(tuple(range(arrays)))):
        yield Case(kernel, (size,), layouts)


# The shape of a case is the number of samples, in training also the batch size, and then the sizes of the network. The
# options are the hidden activations (a key of HIDDEN) and the last activation; except in network_forward, the kind of
# targets; in network_gradient and train_steps, one of FEATURES; in train_steps also the name of the optimizer,
# "as they come" if there is no order, and "two epochs"; and the dtype of samples that are converted, see SOURCES.
HEAD = {"network_forward": 1, "network_loss": 1, "network_gradient": 1, "network_update": 0, "train_steps": 2}
PREDICTIONS = ("network_forward", "network_loss")
STARTS = ((9, 4), (0, 4), (4, 9), (128, 127), (129, 64), (257, 129))
SMALL_NETWORK = (5, 17, 8, 3)
# The second weights of the third are divided by columns, see BY_COLUMNS_LEAST_BYTES; the last one widens.
LARGE_NETWORKS = ((784, 50, 10), (64, 129, 130, 10), (3, 257, 259, 10), (20, 450, 3))

# Of predictions of a few rows of this network threads divide the columns of a layer, see OPERATIONS_PER_THREAD.
BY_LAYERS = (530, 301, 299, 3)

# Many rows are predicted with a copy of its weights in panels, see PACKED_LEAST_ROWS.
IN_PANELS = (130, 66, 3)

# A network that is too large for a batch of 1600 to be tall: it is deep.
DEEP = (700, 400, 3)

# Samples that are converted, whole rows or halves of rows: their dtypes, and where they stand among the arguments.
SOURCES = ("uint8", "int64", "float16", "float32", "float64")
PLACE_OF_X = {"network_forward": 2, "network_loss": 1, "network_gradient": 3, "train_steps": 6}
CONVERTED_CASES = (*(((7, 5, 3), layout) for layout in LAYOUTS), ((700, 50, 3), "C"), ((700, 50, 3), "F"))

# Kinds of targets and their losses: two for the softmax. The last activation is the identity if the loss contains one.
KINDS = dict.fromkeys(("labels", "rows", "smooth labels", "smooth rows"), "softmax_cross_entropy")
KINDS |= dict.fromkeys(("sigmoid", "smooth sigmoid"), "sigmoid_cross_entropy")
KINDS |= {"squared": "squared_error", "poisson": "poisson", "huber": "huber", "absolute": "absolute_error"}
KINDS |= {"quantile": "quantile", GIVEN: GIVEN}
OFTEN = ("labels", "rows", "sigmoid", "squared")
ENDINGS = (*(("identity", kind) for kind in KINDS), *((name, "squared") for name in ("sigmoid", "gelu", GIVEN)))
HIDDEN = {
    "smooth": ("sigmoid", "tanh"),
    "relu": ("relu", "relu"),
    "mixed": ("leaky_relu", "silu"),
    "slopes": ("softplus", GIVEN),
    "elu": ("elu", "gelu"),
}
KINKED = ("relu", "mixed")  # these need exact sums, see `grid`
FEATURES = ((), ("dropout",), ("norm",), ("weights",), ("divided", "squares"), ("clip",))
FEATURES += (tuple(itertools.chain(*FEATURES)),)


def loss_of(kind, outputs, dtype):
    """The parameters and the code of the loss of a kind of targets."""
    code = loss_code_of(KINDS[kind], dtype)
    count = parameters_of(code, outputs)
    plain = kind in ("labels", "rows", "sigmoid")  # with targets that are not smoothed
    return np.zeros(count) if plain else np.linspace(0.25, 0.75, count), code


def grid(rng, shape, dtype, terms=1):
    """Random multiples of a power of two, scaled for a sum of `terms` products.

    The inputs of a first ReLU are then exact in float32 too, and have the same signs as in float64.
    """
    return (rng.integers(-4, 5, shape) * 2.0 ** -(2 + round(np.log2(terms) / 2))).astype(dtype)


def network(case, dtype, rng):
    """[params, sizes, activations] and the statistics, which are empty without batch normalization."""
    sizes = case.shape[HEAD[case.kernel] :]
    names = (*HIDDEN[case.options[0]][: len(sizes) - 2], case.options[1])
    parts, hidden = [], sizes[1:-1] if "norm" in case.options else ()
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        parts += [grid(rng, (inputs * outputs,), dtype, inputs), grid(rng, (outputs,), dtype)]
        if layer < len(hidden):
            parts.append(grid(rng, (2 * outputs,), dtype))
    codes = [code_of(name, dtype) for name in names]
    statistics = grid(rng, (2 * sum(hidden),), dtype) ** 2
    return [np.concatenate(parts), np.array(sizes, np.int64), np.array(codes, np.int64)], statistics


def settings(case):
    values = dict.fromkeys(kernels.SETTINGS, 0.0)
    # An epsilon of 1 keeps quotients about as large as their numerators, in update rules and in batch normalization.
    values |= {"beta1": 0.5, "beta2": 0.5, "epsilon": 1.0, "decay": 0.5, "book": case.shape[0] % 2, "l2": 0.25}
    values["batch_l2"] = 0.5
    values |= {"norm_epsilon": 1.0, "norm_momentum": 0.75}
    if "clip" in case.options:
        values["clip_norm"] = 0.25  # most gradients are longer
    if "dropout" in case.options:
        values |= {"dropout": 0.5, "dropout_scale": 2.0, "seed": 7}  # with this scale sums stay exact
    return np.array(list(values.values()), float)


def network_forward(case, dtype, rng):
    (params, sizes, codes), _ = network(case, dtype, rng)
    x = samples_of(case, case.shape[0], sizes[0], dtype, rng)
    chain = TOLERANCES[dtype].chain
    return Call(
        [blank((len(x), sizes[-1]), dtype)],
        [params, x, sizes, codes],
        (),
        lambda want: [np.full(want.shape, chain * np.max(np.abs(want), initial=0))],
    )


def samples_of(case, count, inputs, dtype, rng):
    (source,) = {*SOURCES} & {*case.options} or {str(dtype)}
    if np.dtype(source).kind == "f":
        return grid(rng, (count, inputs), np.dtype(source))
    return rng.integers(0, 4, (count, inputs)).astype(source)


def network_loss(case, dtype, rng):
    kind = case.options[2]
    (params, sizes, codes), _ = network(case, dtype, rng)
    x = samples_of(case, case.shape[0], sizes[0], dtype, rng)
    parameters, code = loss_of(kind, sizes[-1], dtype)
    return Call(
        [],
        [params, x, targets_for(kind, rng, len(x), sizes[-1], dtype), sizes, codes, parameters],
        (code,),
        lambda value: [TOLERANCES[dtype].chain * (1 + np.abs(value))],
    )


def network_gradient(case, dtype, rng):
    kind = case.options[2]
    (params, sizes, codes), statistics = network(case, dtype, rng)
    x = samples_of(case, case.shape[0], sizes[0], dtype, rng)
    targets = targets_for(kind, rng, len(x), sizes[-1], dtype)

    def bounds(want, *rest):
        chain = TOLERANCES[dtype].chain
        largest = np.max(np.abs(want)) + 1 / max(len(x), 1)
        return [np.full(want.shape, chain * largest), *(chain * (1 + np.abs(value)) for value in rest)]

    weights = rng.uniform(0, 2, len(x) if "weights" in case.options else 0).astype(dtype)
    parameters, code = loss_of(kind, sizes[-1], dtype)
    inputs = [params, x, targets, weights, sizes, codes, settings(case), parameters]
    return Call([blank(params.shape, dtype), statistics], inputs, (code, 3), bounds)


def network_update(case, dtype, rng):
    (params, sizes, _), _ = network(case._replace(options=("smooth", "identity", *case.options)), dtype, rng)
    grad_params = grid(rng, params.shape, dtype)
    optimizer = case.options[0]
    state = [np.zeros(params.size if UPDATES[f"{optimizer}_update"][0] > number else 0, dtype) for number in range(2)]
    chain = TOLERANCES[dtype].chain
    return Call(
        [params, *state, grad_params],
        [sizes, settings(case)],
        (kernels.OPTIMIZERS.index(optimizer), 0.125, 4.0, 3),
        lambda *want: [np.full(array.shape, chain * (1 + np.max(np.abs(array), initial=0))) for array in want],
    )


def update_of_network_cases(kernel):
    """Every rule with every setting that concerns it, on networks whose parameters fill pieces of the norm, and not."""
    features = ((), ("norm",), ("clip",), ("norm", "clip"))
    for optimizer, chosen in itertools.product(kernels.OPTIMIZERS, features):
        for sizes in ((1, 1), SMALL_NETWORK, (63, 2), (64, 129, 130, 10)):
            yield Case(kernel, sizes, (), (optimizer, *chosen))


def train_steps(case, dtype, rng):
    count, batch_size = case.shape[:2]
    kind, options = case.options[2], case.options[3:]
    (params, sizes, codes), statistics = network(case, dtype, rng)
    samples = count if count == 0 or "as they come" in options else count // 2 + 1
    x = samples_of(case, samples, sizes[0], dtype, rng)
    order = rng.integers(0, samples, count if samples != count else 0)
    order[:1], order[-1:] = samples - 1, 0
    weights = rng.uniform(0, 2, samples if "weights" in options else 0).astype(dtype)
    steps = -(-count // batch_size)
    if "two epochs" in options:
        order, steps = np.stack((order, order[::-1])), 2 * steps
    # After an update the inputs of a ReLU are not exact any more, so that its weights must not change.
    # Powers, as of the Poisson loss, grow fast.
    rate = 0.0 if case.options[0] in KINKED else 0.125 if kind != "poisson" else 0.0005
    rates = rate * 0.75 ** np.arange(steps)
    names = [name for name in options if name in kernels.OPTIMIZERS]
    optimizer = names[0] if names else kernels.OPTIMIZERS[(len(params) + count) % len(kernels.OPTIMIZERS)]
    state = [np.zeros(params.size if UPDATES[f"{optimizer}_update"][0] > number else 0, dtype) for number in range(2)]
    batch_weights = rng.uniform(0.5, 2, steps if "divided" in options else 0) * batch_size
    squares = blank((steps if "squares" in options else 0,), np.dtype(float))
    parameters, code = loss_of(kind, sizes[-1], dtype)
    chain = TOLERANCES[dtype].chain
    return Call(
        [params, *state, statistics, blank((steps,), np.dtype(float)), squares],
        [
            x, targets_for(kind, rng, samples, sizes[-1], dtype), weights, batch_weights, order, rates, sizes, codes,
            settings(case), parameters,
        ],
        (code, kernels.OPTIMIZERS.index(optimizer), batch_size, 3),
        lambda *want: [np.full(array.shape, chain * (1 + np.max(np.abs(array), initial=0))) for array in want],
    )  # fmt: skip


# Tall batches: the number of samples, and a batch size. The last batch is smaller, and not always tall.
TALL = ((1025, 1025), (1200, 1030), (769, 9000), (3000, 1026))
SAMPLES = (19, 1)  # steps on one sample


def form_cases(kernel, options, free):
    """Tall batches; for train_steps also steps on one sample, and samples without an order."""
    turns = itertools.cycle(options)
    for start, depth in zip(TALL * 6, (2, 3, 4) * 8, strict=True):
        yield Case(kernel, start[: HEAD[kernel]] + SMALL_NETWORK[:depth], (), next(turns))
    for layouts in layouts_for(free):
        yield Case(kernel, TALL[1][: HEAD[kernel]] + SMALL_NETWORK, layouts, next(turns))
    if kernel != "train_steps":
        return
    for number, shape in enumerate(pairwise(SOME, 4)):
        yield Case(kernel, SAMPLES + shape[: 2 + number % 3], (), (*next(turns), "sgd"))
    for start, optimizer in itertools.product((SAMPLES, (9, 4), (0, 4), *TALL[:2]), ("sgd", "adam")):
        for _ in FEATURES:
            yield Case(kernel, start + SMALL_NETWORK, (), (*next(turns), optimizer, "as they come"))
            yield Case(kernel, start + SMALL_NETWORK, (), (*next(turns), optimizer, "as they come", "two epochs"))
            yield Case(kernel, start + SMALL_NETWORK, (), (*next(turns), optimizer, "two epochs"))
    for layouts in layouts_for(free):
        yield Case(kernel, SAMPLES + SMALL_NETWORK, layouts, (*plain(next(turns)), "sgd"))
        for start in (SAMPLES, (9, 4), TALL[1]):
            optimizer = "sgd" if start == SAMPLES else "adam"
            yield Case(kernel, start + SMALL_NETWORK, layouts, (*next(turns), optimizer, "as they come"))


def plain(option):
    """The options without those for which a step on one sample takes the general form."""
    return tuple(name for name in option if name not in ("dropout", "norm", "clip", "squares"))


def network_options(kernel):
    """Every hidden activation with every last one, each with the next of FEATURES."""
    if kernel == "network_forward":
        return [
            (hidden, last) for last, hidden in zip((*ELEMENTWISE, "softmax") * 5, itertools.cycle(HIDDEN), strict=False)
        ]
    turns = itertools.cycle(FEATURES if kernel not in PREDICTIONS else FEATURES[:1])
    options = []
    for hidden, ending in itertools.product(HIDDEN, ENDINGS):
        features = next(turns)
        kept = [name for name in features if name != "norm" or hidden not in KINKED]
        options.append((hidden, *ending, *kept))
    return options


def network_cases(kernel):
    head, options = HEAD[kernel], network_options(kernel)
    free = {
        "network_forward": (0, 2), "network_loss": (1, 2), "network_gradient": (3, 4, 5),
        "train_steps": tuple(range(4, 12)),
    }[kernel]  # fmt: skip
    turns = itertools.cycle(options)
    for number, shape in enumerate(pairwise(SOME, head + 4)):
        yield Case(kernel, shape[: head + 2 + number % 3], (), next(turns))
    # Losses other than these differ in their blocks alone, which have cases of their own: see `loss_cases`.
    often = [option for option in options if kernel == "network_forward" or option[2] in OFTEN]
    seldom = [option for option in options if option not in often]
    for start, option in (*itertools.product(STARTS, often), *zip(itertools.cycle(STARTS), seldom, strict=False)):
        yield Case(kernel, start[:head] + SMALL_NETWORK, (), option)
    for option, depth in (*itertools.product(often, (2, 3)), *zip(seldom, itertools.cycle((2, 3)), strict=False)):
        yield Case(kernel, STARTS[0][:head] + SMALL_NETWORK[:depth], (), option)
    if kernel in PREDICTIONS:
        for layouts in ((), *layouts_for(free)):
            yield Case(kernel, (1600, *IN_PANELS), layouts, options[0])
            for rows in (1, FEW_ROWS, FEW_ROWS + 1):
                yield Case(kernel, (rows, *BY_LAYERS), layouts, options[0])
    for sizes in LARGE_NETWORKS:
        if kernel in PREDICTIONS:
            yield Case(kernel, (100, *sizes), (), options[0])
            continue
        for features in (FEATURES[0], FEATURES[-1]):  # none and all: more would take the reference too long
            yield Case(kernel, (100, 64)[:head] + sizes, (), ("smooth", *ENDINGS[0], *features))
    for layouts in layouts_for(free):
        for _ in range(3):
            yield Case(kernel, STARTS[0][:head] + SMALL_NETWORK, layouts, next(turns))
    yield from converted_cases(kernel, turns)
    if kernel not in PREDICTIONS:
        yield from form_cases(kernel, options, free)


def converted_cases(kernel, turns):
    """Samples that are converted, in every form of a step and of a division."""
    sources, place, head = itertools.cycle(SOURCES), PLACE_OF_X[kernel] * ("C",), HEAD[kernel]
    for batch, (sizes, layout) in itertools.product((1, 9, 100, 1600), CONVERTED_CASES):
        yield Case(kernel, (batch, 64)[:head] + sizes, (*place, layout), (*next(turns), next(sources)))
    for layout, options in itertools.product(("C", "F"), (*[("smooth", "identity", "rows")] * len(SOURCES),)):
        if kernel not in PREDICTIONS:
            yield Case(kernel, (1600, 1600)[:head] + DEEP, (*place, layout), (*options, next(sources)))
        if kernel == "train_steps":
            for more in ((), ("as they come",)):
                shape, source = (33, 1, *SMALL_NETWORK), next(sources)
                yield Case(kernel, shape, (*place, layout), (*options, "sgd", source, *more))
                yield Case(kernel, TALL[1] + SMALL_NETWORK, (*place, layout), (*options, "adam", source, *more))


# Networks for tables. The shape of a case is the number of samples, in training also the batch size; members; 1 if all
# layers have their scales, else 0; hidden layers; outputs. Options: the kind of targets, "dropout" and "clip".
TABULAR_SHAPES = ((1, 0, 5), (3, 1, 17, 8), (2, 0, 33, 16, 9), (17, 1, 1, 4), (4, 0, 130))
TABULAR_OPTIONS = (("squared",), ("labels", "dropout"), ("quantile", "weights"), ("squared", "dropout", "clip"))


def tabular_cases(kernel):
    starts = ((9, 4), (0, 4), (1, 1), (40, 33)) if kernel == "tabular_steps" else ((9,), (0,), (1,), (40,))
    turns = itertools.cycle(TABULAR_OPTIONS)
    for start, shape, outputs, mixed in itertools.product(starts, TABULAR_SHAPES, (1, 2, 17), ((), ("numbers",))):
        if start != (0, 4):  # there are no steps
            yield Case(kernel, (*start, *shape, outputs), (), (*next(turns), *mixed))
    place = {"tabular_forward": 2, "tabular_gradient": 2, "tabular_steps": 4}[kernel]
    for layout in LAYOUTS:
        yield Case(kernel, (*starts[-1], *TABULAR_SHAPES[1], 2), ("C",) * place + (layout,), next(turns))
    # A batch of several parts, see TABULAR_ROWS.
    yield Case(kernel, (*(600, 600)[: len(starts[0])], 17, 1, 4, 3, 2), (), next(turns))


def tabular(case, dtype, rng):
    kernel, options = case.kernel, case.options
    head = 2 if kernel == "tabular_steps" else 1
    samples, (members, scaled, *hidden, outputs) = case.shape[0], case.shape[head:]
    settings = {"dropout": 0.5, "dropout_scale": 2.0, "seed": 7} if "dropout" in options else {}
    settings |= {"clip_norm": 0.125} if "clip" in options else {}
    p = random_tabular(
        rng, dtype, samples, hidden, outputs, members, bool(scaled), names=("tanh", "softplus"), **settings,
        features=NUMBERS if "numbers" in options else MIXED, labels=options[0] == "labels",
        loss="quantile" if options[0] == "quantile" else "squared_error", weighted="weights" in options,
    )  # fmt: skip
    chain = TOLERANCES[dtype].chain

    def bounds(*want):
        return [np.full(array.shape, chain * (1 + np.max(np.abs(array), initial=0))) for array in want]

    if kernel == "tabular_forward":
        inputs = [p.params, p.x, p.features, p.sizes, p.codes]
        return Call([blank((samples, outputs), dtype)], inputs, (members, scaled), bounds)
    described = [p.features, p.sizes, p.codes, p.settings, p.parameters]
    if kernel == "tabular_gradient":
        inputs = [p.params, p.x, p.targets, p.weights, *described]
        return Call([blank(p.params.shape, dtype)], inputs, (p.loss, 3, members, scaled), bounds)
    batch_size, order = case.shape[1], np.stack([rng.permutation(samples) for _ in range(2)])
    steps = 2 * -(-samples // batch_size)
    optimizer = kernels.OPTIMIZERS.index(("sgd", "adamw", "momentum")[samples % 3])
    state = [np.zeros(p.params.size if number < (0, 2, 1)[samples % 3] else 0, dtype) for number in range(2)]
    return Call(
        [p.params, *state, blank((steps,), np.dtype(float))],
        [p.x, p.targets, p.weights, order, 0.125 * 0.75 ** np.arange(steps), *described],
        (p.loss, optimizer, batch_size, 3, members, scaled),
        bounds,
    )


# Wrong kernels, which prove that errors are found


@numba.njit
def peek(array, index):
    return array[index]  # compiled code does not check bounds; a negative index counts from the end


@numba.njit
def poke(array, index):
    array[index] = 1


def copy(out, x):
    out[...] = x


def read_after(out, x):
    out[...] = x + 0 * peek(x, x.size)


def read_before(out, x):
    out[...] = x + 0 * peek(x, -x.size - 1)


def write_after(out, x):
    out[...] = x
    poke(out, out.size)


def write_before(out, x):
    out[...] = x
    poke(out, -out.size - 1)


def write_input(out, x):
    out[...] = x
    poke(np.asarray(Memory(x.ctypes.data, x.shape, x.strides, x.dtype)), 0)  # the array itself is read-only


def read_empty(out, x):
    peek(x, 0)


def forget_last(out, x):
    out[:-1] = x[:-1]


WRONG = {
    kernel.__name__: kernel
    for kernel in (read_after, read_before, write_after, write_before, write_input, read_empty, forget_last)
}


# Wrong kernels with a place, and the message if no page stops them.
WRONG_RUNS = (
    ("read_after", "end", None),
    ("read_before", "begin", None),
    ("write_after", "end", None),
    ("write_before", "begin", None),
    ("read_empty", "end", None),
    ("read_empty", "begin", None),
    ("write_input", "end", None),
    ("read_after", "begin", "outside the bound"),  # there is no protected page, but it reads NaN
    ("write_after", "begin", "written outside an output"),
    ("forget_last", "end", "outside the bound"),
)


def wrong_cases(kernel):
    yield Case(kernel, (0 if kernel == "read_empty" else 17,))


def wrong_call(case, dtype, rng):
    return Call([blank(case.shape, dtype)], [normal(rng, case.shape, dtype)], (), lambda want: [0 * want])


ACTIVATION_KERNELS = (
    *(f"{name}_{way}" for name in ELEMENTWISE if name != GIVEN for way in ("forward", "backward")),
    "softmax",
    "exp_forward",
)
KERNELS: dict[str, tuple[Callable[[str], Iterator[Case]], Callable[..., Call]]] = {
    "affine_forward": (lambda kernel: affine_cases(kernel, 4), affine_forward),
    "affine_backward": (lambda kernel: affine_cases(kernel, 6), affine_backward),
    **dict.fromkeys(ACTIVATION_KERNELS, (activation_cases, activation)),
    **dict.fromkeys(("activation_forward", "activation_backward"), (activation_by_code_cases, activation_by_code)),
    "batch_norm_forward": (batch_norm_cases, batch_norm_forward),
    "batch_norm_backward": (batch_norm_cases, batch_norm_backward),
    "dropout_mask": (lambda kernel: matrix_cases(kernel, 1), dropout_mask),
    **dict.fromkeys(kernels.LOSSES, (loss_cases, loss)),
    "sample_losses": (sample_losses_cases, sample_losses),
    **dict.fromkeys(UPDATES, (update_cases, update)),
    "network_forward": (network_cases, network_forward),
    "network_loss": (network_cases, network_loss),
    "network_gradient": (network_cases, network_gradient),
    "network_update": (update_of_network_cases, network_update),
    "train_steps": (network_cases, train_steps),
    **dict.fromkeys(("tabular_forward", "tabular_gradient", "tabular_steps"), (tabular_cases, tabular)),
}


# Running


def call_guarded(case, call, place):
    """Call the kernel on guarded copies of the arrays; returns the outputs, and the loss if there is one."""
    layouts = itertools.chain(case.layouts, itertools.repeat("C"))
    outputs = [Guarded(values, next(layouts), place, writable=True) for values in call.outputs]
    inputs = [Guarded(values, next(layouts), place, writable=False) for values in call.inputs]
    if call.in_place:
        inputs[0] = outputs[0]
    kernel = WRONG.get(case.kernel) or getattr(kernels, case.kernel)
    value = kernel(*(guarded.array for guarded in (*outputs, *inputs)), *call.scalars)
    return [*(guarded.take() for guarded in outputs), *as_arrays(value)]


def call_twin(case, call, dtype):
    """Call the reference in float64; returns the outputs, and the loss if there is one."""
    twin = copy if case.kernel in WRONG else getattr(reference, case.kernel)
    outputs = [array.astype(np.float64) for array in call.outputs]
    inputs = [array.astype(np.float64) if array.dtype.kind == "f" else twin_of(array, dtype) for array in call.inputs]
    scalars = [twin_of(value, dtype)[()] if isinstance(value, int) else value for value in call.scalars]
    value = twin(*outputs, *inputs, *scalars)
    return [*outputs, *as_arrays(value)]


def as_arrays(value):
    return [] if value is None or isinstance(value, bool) else [np.asarray(value)]


def main(names, dtype, places):
    import resource  # Windows does not have it, and only reads the tables of this file

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # crashes are expected: no core files
    threads.OPERATIONS_PER_THREAD = 1  # even the smallest work is divided, and some threads get nothing
    use_whole_teams()
    count = 0
    for name in names.split(","):
        cases, build = KERNELS.get(name, (wrong_cases, wrong_call))
        for index, case in enumerate(cases(name)):
            call = build(case, np.dtype(dtype), np.random.default_rng(0))
            want = call_twin(case, call, np.dtype(dtype))
            bounds = call.bounds(*want)
            several = index % 3 == 0 or max(case.shape) > 256  # large shapes take other paths on several threads
            for place, number in itertools.product(places.split(","), THREADS if several else THREADS[:1]):
                print(name, dtype, place, f"threads={number}", *case[1:], flush=True)
                threads.set_num_threads(number)
                assert threads.threads_for(1000) == number
                assert_results(call_guarded(case, call, place), want, bounds)
                count += 1
    print("passed", count, flush=True)


def assert_results(got, want, bounds):
    for g, w, bound in zip(got, want, bounds, strict=True):
        if np.isnan(w).all():
            assert np.isnan(g).all(), "the mean of an empty batch must be NaN"
        else:
            assert_close(g, w, bound)


def run_wrong(folder):
    for name, place, _ in WRONG_RUNS:
        path = pathlib.Path(folder, f"{name}-{place}")
        child = os.fork()  # faster than starting an interpreter and Numba
        if child == 0:
            for number, kind in ((1, "cases"), (2, "errors")):
                os.dup2(os.open(path.with_suffix(f".{kind}"), os.O_WRONLY | os.O_CREAT), number)
            status = 1
            try:
                main(name, "float32", place)
                status = 0
            except Exception:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        path.with_suffix(".status").write_text(str(status))


if __name__ == "__main__":
    if sys.argv[1] == "wrong":
        run_wrong(sys.argv[2])
    else:
        main(*sys.argv[1:])
