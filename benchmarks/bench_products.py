"""The three products of a layer, each alone, for the shapes of typical networks."""

import functools
import math

import numpy as np

from fastfnn import kernels

from .common import Compiled, normal
from .measure import rate, ratio, share_of_peak, warm_peak

PRODUCTS = ["x W", "G W^T", "x^T G"]

# (batch, in_features, out_features)
SHAPES = [
    (100, 784, 50),  # the notes' network
    (100, 50, 10),
    (1, 784, 50),  # one sample
    (32, 64, 64),  # too small for a second thread
    (128, 784, 512),  # a medium network
    (128, 512, 512),
    (128, 512, 10),  # few columns
    (10_000, 4, 32),  # a tall batch
    (512, 2048, 2048),  # packed panels
    (8192, 784, 512),  # a deep batch
]


class Arrays:
    """The arrays of a layer, and each of its products as a call of a kernel and as one of NumPy."""

    def __init__(self, shape, dtype):
        batch, inputs, outputs = shape
        self.x, self.weight = normal(batch, inputs, dtype=dtype), normal(inputs, outputs, dtype=dtype, seed=1)
        self.grad_out, self.bias = normal(batch, outputs, dtype=dtype, seed=2), normal(outputs, dtype=dtype, seed=3)
        self.out, self.grad_x = np.empty_like(self.grad_out), np.empty_like(self.x)
        self.grad_weight = np.empty_like(self.weight)

    def kernel(self, product):
        """A call that computes one product. affine_backward leaves out a product whose result has no rows."""
        if product == "x W":
            return functools.partial(kernels.affine_forward, self.out, self.x, self.weight, self.bias)
        grad_x, grad_weight = self.grad_x, self.grad_weight
        outputs = (grad_x, grad_weight[:0]) if product == "G W^T" else (grad_x[:0], grad_weight)
        inputs = self.grad_out, self.x, self.weight
        return functools.partial(kernels.affine_backward, *outputs, self.bias[:0], *inputs)

    def numpy(self, product):
        match product:
            case "x W":
                return lambda: np.add(np.matmul(self.x, self.weight, out=self.out), self.bias, out=self.out)
            case "G W^T":
                return lambda: np.matmul(self.grad_out, self.weight.T, out=self.grad_x)
            case _:
                return lambda: np.matmul(self.x.T, self.grad_out, out=self.grad_weight)

    def result(self, product):
        return {"x W": self.out, "G W^T": self.grad_x, "x^T G": self.grad_weight}[product]


class _Product(Compiled):
    param_names = ["product", "batch, in, out"]

    def setup(self, product, shape):
        arrays = Arrays(shape, self.dtype)
        warm_peak(self.dtype)
        self.kernel, self.numpy = arrays.kernel(product), arrays.numpy(product)
        self.operations = 2 * math.prod(shape)
        self.kernel()

    def time_product(self, product, shape):
        self.kernel()

    def track_gflops(self, product, shape):
        return rate(self.kernel, self.operations) / 1e9

    def track_share_of_peak(self, product, shape):
        return share_of_peak(self.kernel, self.operations, self.dtype)

    def track_ratio_to_numpy(self, product, shape):
        return ratio(self.numpy, self.kernel)

    track_gflops.unit = "GFLOP/s"
    track_share_of_peak.unit = "of the FMA peak"
    track_ratio_to_numpy.unit = "times NumPy's speed"


class Product(_Product):
    dtype = "float32"
    params = [PRODUCTS, SHAPES]
    regress = [(product, shape) for product in PRODUCTS for shape in ((100, 784, 50), (128, 784, 512))]


class ProductFloat64(_Product):
    dtype = "float64"
    params = [PRODUCTS, [(100, 784, 50), (128, 512, 512)]]
