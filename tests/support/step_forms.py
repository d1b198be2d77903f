"""The forms that a training step may take, see kernels/training/run.py, and problems that take each of them."""

from typing import NamedTuple

import numpy as np
import pytest
from helpers import DTYPES, NOJIT, arrange
from networks import DROPOUT, EVERY, codes, count_parameters, problem_of

from fastfnn import kernels
from fastfnn.kernels import LOSSES, OPTIMIZERS
from fastfnn.kernels.elementwise.conversion import IN_PLACE
from fastfnn.kernels.training import workspace
from fastfnn.kernels.training.tall_step import _blocks_of
from fastfnn.kernels.tuning import SAMPLES_PER_GROUP

SGD = OPTIMIZERS.index("sgd")

# Samples and batch_size of each form; in the first two the last batch is smaller, in the second it is not tall. The
# third, whose last group of steps is smaller, is that of gradient descent without dropout, batch normalization and a
# limit; with any other rule or setting one sample is a batch of one.
FORMS = {"batch": (20, 8), "tall batch": (1200, 1025), "one sample": (SAMPLES_PER_GROUP + 3, 1)}
every_form = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=pytest.mark.jit if form == "tall batch" else ()) for form in FORMS]
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


class Extra(NamedTuple):
    """What a training step has beside the rule: whether it has batch normalization, and settings."""

    normalized: bool
    settings: dict


EXTRAS = {
    "nothing": Extra(False, {}),
    "dropout": Extra(False, DROPOUT),
    "batch normalization": Extra(True, {}),
    "both": Extra(True, DROPOUT),
}
every_extra = pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)

# The fewest samples that are tall, and one less; the last sample of a block and the first of the next; several blocks;
# two blocks at a time through the network, and one. What is needed of them is asserted in test_tall_step.py.
TALL = [255, 256, 257, 511, 513, 1023, 1024, 1025, 1280, 3000, 5000]
TALL_NETWORK = (20, 40, 3)

# Widths around whole vectors of 2 to 16, pieces of 16 columns, panels of 16 to 64 columns, eights of rows.
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 50, 64, 65, 130) if not NOJIT else (1, 2, 9, 17)


def problem_in(form, rng, shape, names, loss, dtype, **options):
    """A problem with the samples of a form, and its batch_size."""
    samples, batch_size = FORMS[form]
    problem = problem_of(rng, shape, names, loss, samples, dtype, **options)
    tall = [_blocks_of(batch, problem.params.nbytes).groups > 0 for batch in (batch_size, samples % batch_size)]
    assert tall == [form == "tall batch", False], "the network has too few parameters for the form, or too many"
    return problem, batch_size


def arranged(problem, layout):
    """The problem with its samples and targets in a memory layout."""
    return problem._replace(x=arrange(problem.x, layout), targets=arrange(problem.targets, layout))


def orders_of(rng, samples, epochs, ordered):
    """A random order for each epoch, or none."""
    return np.stack([rng.permutation(samples) if ordered else EVERY for _ in range(epochs)])


def shape_of(sizes, batch, dtype, **options):
    """The key of a workspace for gradient descent on labelled samples, or with other options, see `Shape`."""
    names = [*["tanh"] * (len(sizes) - 2), "identity"]
    plain = workspace.Shape(
        sizes=np.array(sizes, np.int64).tobytes(), activations=codes(kernels, names, dtype).tobytes(),
        itemsize=dtype.itemsize,
        parameters=count_parameters(sizes, options.get("normalized", False)), batch=batch, source=IN_PLACE,
        loss=LOSSES.index("softmax_cross_entropy"), optimizer=SGD, labelled=True, ordered=False, weighted=False,
        divided=False, squared=False, drops=False, clips=False, normalized=False, threads=1,
    )  # fmt: skip
    return plain._replace(**options)


def form_of_step(shape):
    """The function that takes the steps of a `Shape`, the rows of the buffers, and the groups of a tall batch."""
    return workspace._form_of_step(shape, shape.itemsize)
