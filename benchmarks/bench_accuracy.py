"""Accuracy of the float32 kernels, measured against their NumPy twins in float64."""

import numpy as np

from fastfnn import kernels, reference

from .arguments import arguments_of, call_of
from .bench_kernels import ELEMENTWISE, LOSSES, NORMALIZATIONS, UPDATES
from .bench_products import PRODUCTS, SHAPES, Arrays
from .bench_tabular import KERNELS as TABULAR
from .cases import CASES, TABLE_CASES
from .common import Compiled, normal

EPS = np.finfo(np.float32).eps
SHAPE = (256, 256)
WIDE = np.float32(4)  # standard deviation of the inputs: some reach the tails
RATE = 0.1  # learning rate, large enough that updates change the parameters visibly


def up(argument):
    """A copy of an array, in float64 if it is float32; anything else unchanged."""
    if not isinstance(argument, np.ndarray):
        return argument
    return argument.astype(np.float64) if argument.dtype == np.float32 else argument.copy()


def largest_error(kernel, arguments, scale_of):
    """The largest difference from the twin, in the returned value or in any of the arrays.

    It is counted in ulps of `scale_of(abs(exact result))`.
    """
    exact = [up(argument) for argument in arguments]
    with np.errstate(all="ignore"):  # underflow in an intermediate value is harmless
        returned = call_of(kernels, kernel, arguments)(), call_of(reference, kernel, exact)()
    results = [(got, want) for got, want in zip(arguments, exact, strict=True) if np.size(got) > 1]
    if returned[0] is not None:
        results.append(returned)
    return finite(np.max([np.max(errors(got, want, scale_of)) for got, want in results]))


def finite(error):
    """The error as a float; ArithmeticError if it is not finite, since asv takes NaN for a skipped benchmark."""
    if not np.isfinite(error):
        raise ArithmeticError(f"the largest error is {error}")
    return float(error)


def errors(got, want, scale_of):
    """The error of each element in ulps; 0 below the smallest normal number, where a kernel may write 0."""
    magnitude = np.abs(want)
    ulp = np.spacing(np.asarray(scale_of(magnitude), np.float32))
    return np.where(magnitude < np.finfo(np.float32).tiny, 0, np.abs(got - want) / ulp)


class Activation(Compiled):
    """Activations, each element in its own ulps."""

    params = [[kernel for kernel in (*ELEMENTWISE, "softmax", "exp_forward") if not kernel.endswith("_backward")]]
    param_names = ["kernel"]

    def setup(self, kernel):
        self.arguments = arguments_of(kernel, SHAPE, "float32", x=WIDE * normal(*SHAPE))
        largest_error(kernel, self.arguments, np.abs)

    def track_max_error_ulp(self, kernel):
        return largest_error(kernel, self.arguments, np.abs)

    track_max_error_ulp.unit = "ulp"


class Slope(Compiled):
    """Derivatives, in ulps of the largest value: they have zeros, and some are computed from rounded outputs."""

    params = [[kernel for kernel in ELEMENTWISE if kernel.endswith("_backward")]]
    param_names = ["kernel"]

    def setup(self, kernel):
        forward, x = kernel.replace("backward", "forward"), WIDE * normal(*SHAPE)
        out, one = np.empty_like(x), np.ones_like(x)
        call_of(reference, forward, arguments_of(forward, SHAPE, "float32", x=x, out=out))()
        self.arguments = arguments_of(kernel, SHAPE, "float32", grad_out=one, x=x, out=out)
        largest_error(kernel, self.arguments, np.max)

    def track_max_error_ulp(self, kernel):
        return largest_error(kernel, self.arguments, np.max)

    track_max_error_ulp.unit = "ulp of the largest"


class Other(Compiled):
    """Kernels with sums that may cancel, in ulps of the largest element of the result."""

    networks = ("network_forward", "network_loss", "network_gradient", "network_update", "train_steps")
    shapes = dict.fromkeys(networks, "notes") | dict.fromkeys(TABULAR, "small")
    params = [[*LOSSES, *UPDATES, *NORMALIZATIONS, "dropout_mask", *shapes]]
    param_names = ["kernel"]

    def setup(self, kernel):
        case = TABLE_CASES["small"] if kernel in TABULAR else CASES["notes"]
        rates = np.full(case.batches, RATE)
        shape = self.shapes.get(kernel, SHAPE)
        self.arguments = arguments_of(kernel, shape, "float32", learning_rate=RATE, learning_rates=rates)
        largest_error(kernel, self.arguments, np.max)

    def track_max_error_ulp(self, kernel):
        return largest_error(kernel, self.arguments, np.max)

    track_max_error_ulp.unit = "ulp of the largest"


class Product(Compiled):
    """The products of a layer, as a share of the bound (K + 8) eps (|x| |W| + |b|) for sums of length K."""

    params = [PRODUCTS, SHAPES[:-1]]  # without the largest, which takes longer than all others
    param_names = ["product", "batch, in, out"]

    def setup(self, product, shape):
        self.arrays = Arrays(shape, "float32")
        self.arrays.kernel(product)()

    def track_max_error_to_bound(self, product, shape):
        self.arrays.kernel(product)()
        return error_to_bound(self.arrays, product)

    track_max_error_to_bound.unit = "of the bound"


def error_to_bound(arrays, product):
    x, weight, grad_out, bias = map(up, (arrays.x, arrays.weight, arrays.grad_out, arrays.bias))
    left, right, add = {
        "x W": (x, weight, bias), "G W^T": (grad_out, weight.T, 0 * x[:1]), "x^T G": (x.T, grad_out, 0 * bias)
    }[product]  # fmt: skip
    bound = (left.shape[1] + 8) * EPS * (np.abs(left) @ np.abs(right) + np.abs(add))
    return finite(np.max(np.abs(arrays.result(product) - (left @ right + add)) / bound))
