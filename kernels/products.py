"""The three matrix products of a layer, each for a range of rows of its result.

Forward    out         = x W          sums over the in_features
Backward   grad_x      = grad_out W^T sums over the out_features
           grad_weight = x^T grad_out sums over the batch

The inner loops run along rows, which are contiguous in the common case, so that they vectorise.
"""

from .jit import inner, inner_sum


@inner
def product(out, a, b, start, stop):
    """out[start:stop] = a[start:stop] @ b"""
    for i in range(start, stop):
        for j in range(out.shape[1]):
            out[i, j] = 0
        for k in range(a.shape[1]):
            value = a[i, k]
            for j in range(out.shape[1]):
                out[i, j] += value * b[k, j]


@inner_sum
def product_by_transpose(out, a, b, start, stop):
    """out[start:stop] = a[start:stop] @ b.T, each element one dot product of two rows"""
    for i in range(start, stop):
        for j in range(out.shape[1]):
            total = a.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[j, k]
            out[i, j] = total


@inner
def product_of_transpose(out, a, b, start, stop):
    """out[start:stop] = (a.T @ b)[start:stop]; walks a and b once per block of rows of out"""
    for i in range(start, stop):
        for j in range(out.shape[1]):
            out[i, j] = 0
    for k in range(a.shape[0]):
        for i in range(start, stop):
            value = a[k, i]
            for j in range(out.shape[1]):
                out[i, j] += value * b[k, j]


@inner
def column_sums(out, a, start, stop):
    """out[start:stop] = a.sum(axis=0)[start:stop]"""
    for j in range(start, stop):
        out[j] = 0
    for i in range(a.shape[0]):
        for j in range(start, stop):
            out[j] += a[i, j]
