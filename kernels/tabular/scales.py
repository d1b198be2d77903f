"""The scales of the members: elementwise passes over rows that are in the cache, forward and backward.

Row i M + m belongs to member m of sample i, and is multiplied by row m of the scales. On the way back the products with
the scales' gradient are added up over the samples of a block, in the order of the samples; gradient.py adds the sums of
the blocks. So no sum depends on how threads divide the samples.
"""

from ..compiler.decorators import shared
from ..compiler.memory import Rows, array_at, itemsize, row_at
from ..compiler.signature import Real


@shared
def scale_copies(target: Rows, source: Rows, scale: int, samples: int, members: int, width: int, one: Real) -> None:
    """target[i M + m] = source[i] * scale[m]: the inputs of all members, from one row for each sample."""
    for i in range(samples):
        x = row_at(source, i, width, one)
        for m in range(members):
            out = row_at(target, i * members + m, width, one)
            factor = array_at(scale + m * width * itemsize(one), width, one)
            for j in range(width):
                out[j] = x[j] * factor[j]


@shared
def scale_copies_back(
    grad: Rows, grad_target: Rows, source: Rows, scale: int, sums: int, samples: int, members: int, width: int,
    one: Real,
) -> None:  # fmt: skip
    """grad[i] = sum_m grad_target[i M + m] * scale[m], and sums[m] = sum_i grad_target[i M + m] * source[i]."""
    array_at(sums, members * width, one)[:] = one - one
    for i in range(samples):
        x, g = row_at(source, i, width, one), row_at(grad, i, width, one)
        g[:] = one - one
        for m in range(members):
            place = m * width * itemsize(one)
            change, factor = row_at(grad_target, i * members + m, width, one), array_at(scale + place, width, one)
            total = array_at(sums + place, width, one)
            for j in range(width):
                g[j] += change[j] * factor[j]
                total[j] += change[j] * x[j]


@shared
def scale_rows(target: Rows, source: Rows, scale: int, samples: int, members: int, width: int, one: Real) -> None:
    """target[i M + m] = source[i M + m] * scale[m]."""
    for i in range(samples):
        for m in range(members):
            x, out = row_at(source, i * members + m, width, one), row_at(target, i * members + m, width, one)
            factor = array_at(scale + m * width * itemsize(one), width, one)
            for j in range(width):
                out[j] = x[j] * factor[j]


@shared
def scale_rows_back(
    grad: Rows, source: Rows, scale: int, sums: int, samples: int, members: int, width: int, one: Real
) -> None:
    """sums[m] = sum_i grad[i M + m] * source[i M + m], then grad[i M + m] *= scale[m]."""
    array_at(sums, members * width, one)[:] = one - one
    for i in range(samples):
        for m in range(members):
            place = m * width * itemsize(one)
            x, g = row_at(source, i * members + m, width, one), row_at(grad, i * members + m, width, one)
            factor, total = array_at(scale + place, width, one), array_at(sums + place, width, one)
            for j in range(width):
                total[j] += g[j] * x[j]
                g[j] *= factor[j]


@shared
def scale_and_add(
    target: Rows, source: Rows, scale: int, bias: int, samples: int, members: int, width: int, one: Real
) -> None:
    """target[i M + m] = source[i M + m] * scale[m] + bias[m]."""
    for i in range(samples):
        for m in range(members):
            place = m * width * itemsize(one)
            x, out = row_at(source, i * members + m, width, one), row_at(target, i * members + m, width, one)
            factor, term = array_at(scale + place, width, one), array_at(bias + place, width, one)
            for j in range(width):
                out[j] = x[j] * factor[j] + term[j]


@shared
def sum_members(sums: int, grad: Rows, samples: int, members: int, width: int, one: Real) -> None:
    """sums[m] = sum_i grad[i M + m]: of a bias of each member."""
    array_at(sums, members * width, one)[:] = one - one
    for i in range(samples):
        for m in range(members):
            g, total = row_at(grad, i * members + m, width, one), array_at(sums + m * width * itemsize(one), width, one)
            for j in range(width):
                total[j] += g[j]
