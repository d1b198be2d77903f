"""Features become numbers, and the gradient of the tables from which they come.

The embedding of a number is linear between the edges of bins: with the bias b and the rows W_s of its table, its value
at edge t is b + sum_{s < t} W_s. These values, the knots, are summed once a step; then a sample costs two rows of them,
however many bins there are:

    e = (1 - f) knots_t + f knots_{t + 1}          position p = t + f: bin t, place f

and its gradient goes back to two rows, whose sums from the last knot to the first are the gradient of the table.
"""

from ..compiler.decorators import inner
from ..compiler.memory import array_at, as_type_of, copy_elements, itemsize
from ..workers.crew import share
from .records import BINS, CATEGORIES, PLAIN, embedded_from, feature_of, grad_embedded_from


@inner
def find_knots(tabular, params, crew, one):
    """Sum up the knots of this thread's share of the features."""
    start, stop = share(tabular.features, crew.members, crew.rank)
    for number in range(start, stop):
        feature = feature_of(tabular, number)
        if feature.kind == BINS:
            row, width = feature.width * itemsize(one), feature.width
            table, knots = params + feature.table, tabular.knots + feature.table
            copy_elements(knots, table, width, one)
            for t in range(1, feature.count + 1):
                before, knot = array_at(knots + (t - 1) * row, width, one), array_at(knots + t * row, width, one)
                difference = array_at(table + t * row, width, one)
                for c in range(width):
                    knot[c] = before[c] + difference[c]


@inner
def bin_of(position, count):
    """The bin of a position: its integer part, the first or last one for what lies beyond them, the first of NaN."""
    if not position >= 1:
        return 0
    return count - 1 if position >= count else int(position)


@inner
def number_at(tabular, feature, sample, one):
    """The number of a feature in a sample of the list."""
    address = array_at(tabular.samples, sample + 1, 0)[sample]
    return array_at(address + feature.input, 1, one)[0]


@inner
def embed(tabular, params, start, stop, one):
    """The embeddings of samples `start` to `stop` of the list."""
    for number in range(tabular.features):
        feature = feature_of(tabular, number)
        width, row = feature.width, feature.width * itemsize(one)
        for i in range(start, stop):
            x = number_at(tabular, feature, i, one)
            out = array_at(embedded_from(tabular, i).address + feature.column, width, one)
            if feature.kind == PLAIN:
                out[0] = x
                continue
            number_of_bin = bin_of(x, feature.count)
            if feature.kind == CATEGORIES:
                category = array_at(params + feature.table + number_of_bin * row, width, one)
                not_finite = x - x  # 0, or NaN
                for c in range(width):
                    out[c] = category[c] + not_finite
                continue
            place = x - as_type_of(number_of_bin, one)
            knot = array_at(tabular.knots + feature.table + number_of_bin * row, 2 * width, one)
            for c in range(width):
                out[c] = knot[c] + place * (knot[width + c] - knot[c])


@inner
def embed_back(tabular, gradient, samples, crew, first, last, one):
    """Add the gradient of the tables over samples 0 to `samples` of the list, for this thread's share of the features.

    gradient  the address of the gradient of all parameters
    first     whether these are the first samples of the batch: the gradient begins with 0
    last      whether they are the last ones: the gradient of the knots becomes that of the table
    """
    start, stop = share(tabular.features, crew.members, crew.rank)
    for number in range(start, stop):
        feature = feature_of(tabular, number)
        if feature.kind == PLAIN:
            continue
        width, row, table = feature.width, feature.width * itemsize(one), gradient + feature.table
        rows = feature.count + 1 if feature.kind == BINS else feature.count
        if first:
            array_at(table, rows * width, one)[:] = one - one
        for i in range(samples):
            x = number_at(tabular, feature, i, one)
            number_of_bin = bin_of(x, feature.count)
            grad = array_at(grad_embedded_from(tabular, i).address + feature.column, width, one)
            if feature.kind == CATEGORIES:
                category = array_at(table + number_of_bin * row, width, one)
                for c in range(width):
                    category[c] += grad[c]
                continue
            place = x - as_type_of(number_of_bin, one)
            knot = array_at(table + number_of_bin * row, 2 * width, one)
            for c in range(width):
                knot[c] += (one - place) * grad[c]
                knot[width + c] += place * grad[c]
        if last and feature.kind == BINS:
            for t in range(feature.count - 1, -1, -1):
                above, knot = row_at_table(table, t + 1, width, one), row_at_table(table, t, width, one)
                for c in range(width):
                    knot[c] += above[c]


@inner
def row_at_table(table, number, width, one):
    """A row of a table."""
    return array_at(table + number * width * itemsize(one), width, one)
