"""Each public kernel: its time, its ratio to the NumPy twin, and its share of memory bandwidth or of peak."""

import math

import numpy as np

from fastfnn import kernels, reference

from .arguments import arguments_of, bytes_moved, call_of
from .common import DTYPES, Compiled, normal
from .measure import bandwidth, peak, rate, ratio, share_of_bandwidth, share_of_peak, warm_peak

ACTIVATIONS = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu"]
ELEMENTWISE = [f"{name}_{way}" for name in (*ACTIVATIONS, "activation") for way in ("forward", "backward")]
LOSSES = [
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "poisson", "huber", "absolute_error", "quantile",
    "sample_losses",
]  # fmt: skip
UPDATES = [f"{name}_update" for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")]
NORMALIZATIONS = ["batch_norm_forward", "batch_norm_backward"]

# (batch, out_features): the notes' hidden layer, too small for a second thread, and a medium layer
ROWS = [(100, 50), (1024, 512)]
MEDIUM = ROWS[-1]
# Larger than any cache
LARGE = (4096, 2048)


class _Kernel(Compiled):
    """A kernel and its twin on the same arrays, in turn."""

    param_names = ["kernel", "shape", "dtype"]

    def setup(self, kernel, shape, dtype):
        arguments = arguments_of(kernel, shape, dtype)
        self.call, self.twin = call_of(kernels, kernel, arguments), call_of(reference, kernel, arguments)
        self.call()

    def time_kernel(self, kernel, shape, dtype):
        self.call()

    def track_ratio_to_numpy(self, kernel, shape, dtype):
        return ratio(self.twin, self.call)

    track_ratio_to_numpy.unit = "times NumPy's speed"


class Activation(_Kernel):
    params = [ELEMENTWISE, ROWS, DTYPES]
    regress = [(kernel, MEDIUM, "float32") for kernel in ELEMENTWISE]


class Softmax(_Kernel):
    params = [["softmax"], [(100, 10), (10_000, 10), MEDIUM], DTYPES]
    regress = [("softmax", (10_000, 10), "float32")]


class Exp(_Kernel):
    params = [["exp_forward"], ROWS, DTYPES]
    regress = [("exp_forward", MEDIUM, "float32")]


class Loss(_Kernel):
    params = [LOSSES, [(100, 10), (10_000, 10), MEDIUM], DTYPES]
    regress = [(kernel, (10_000, 10), "float32") for kernel in LOSSES]


class LossOfRows(_Kernel):
    """Softmax cross-entropy with rows of targets instead of labels."""

    params = [["softmax_cross_entropy"], [(100, 10), (10_000, 10)], DTYPES]

    def setup(self, kernel, shape, dtype):
        rows = np.eye(shape[1], dtype=dtype)[np.arange(shape[0]) % shape[1]]
        arguments = arguments_of(kernel, shape, dtype, targets=rows)
        self.call, self.twin = call_of(kernels, kernel, arguments), call_of(reference, kernel, arguments)
        self.call()


class Update(_Kernel):
    params = [UPDATES, [(784, 50), (784, 512)], DTYPES]
    regress = [(kernel, (784, 512), "float32") for kernel in UPDATES]


class Normalization(_Kernel):
    params = [NORMALIZATIONS, ROWS, DTYPES]
    regress = [(kernel, MEDIUM, "float32") for kernel in NORMALIZATIONS]


class Dropout(_Kernel):
    params = [["dropout_mask"], ROWS, DTYPES]
    regress = [("dropout_mask", MEDIUM, "float32")]


class Network(_Kernel):
    """Kernels of whole networks, with all batches of a case in one call."""

    params = [
        ["network_forward", "network_loss", "network_gradient", "network_update", "train_steps"],
        ["notes", "medium", "tiny"],
        DTYPES,
    ]
    param_names = ["kernel", "case", "dtype"]
    regress = [(kernel, "notes", "float32") for kernel in params[0]]


class Affine(_Kernel):
    """A layer, forward and backward; bench_products.py times each product alone."""

    params = [["affine_forward", "affine_backward"], [(100, 784, 50), (128, 512, 512)], DTYPES]
    param_names = ["kernel", "batch, in, out", "dtype"]
    regress = [(kernel, (128, 512, 512), "float32") for kernel in params[0]]

    def setup(self, kernel, shape, dtype):
        arguments = arguments_of(kernel, shape, dtype)
        self.call, self.twin = call_of(kernels, kernel, arguments), call_of(reference, kernel, arguments)
        self.operations = (2 if kernel == "affine_forward" else 4) * math.prod(shape)
        self.call()
        warm_peak(dtype)

    def track_gflops(self, kernel, shape, dtype):
        return rate(self.call, self.operations) / 1e9

    def track_share_of_peak(self, kernel, shape, dtype):
        return share_of_peak(self.call, self.operations, dtype)

    track_gflops.unit = "GFLOP/s"
    track_share_of_peak.unit = "of the FMA peak"


class Bandwidth(Compiled):
    """Kernels that do little arithmetic per element, on arrays larger than any cache."""

    params = [[*ELEMENTWISE, "softmax", "exp_forward", *LOSSES, *UPDATES, *NORMALIZATIONS, "dropout_mask"]]
    param_names = ["kernel"]

    def setup(self, kernel):
        arguments = arguments_of(kernel, LARGE, "float32")
        self.call, self.moved = call_of(kernels, kernel, arguments), bytes_moved(kernel, arguments)
        self.call()

    def track_gbytes_per_second(self, kernel):
        return rate(self.call, self.moved) / 1e9

    def track_share_of_bandwidth(self, kernel):
        return share_of_bandwidth(self.call, self.moved)

    track_gbytes_per_second.unit = "GB/s"
    track_share_of_bandwidth.unit = "of the bandwidth of memory"


class Machine(Compiled):
    """The peak and the memory bandwidth of the machine, to which the shares refer."""

    def setup(self):
        warm_peak("float32")

    def track_peak(self):
        return peak("float32") / 1e9

    def track_bandwidth(self):
        return bandwidth() / 1e9

    track_peak.unit = "GFLOP/s"
    track_bandwidth.unit = "GB/s"


def softplus(x):
    """An activation as a user would write it."""
    return math.log1p(math.exp(x))


def softplus_slope(x, y):
    return 1 - math.exp(-y)


class GivenActivation(Compiled):
    """A user's activation and the built-in one that computes the same."""

    params = [["compile_activation"], DTYPES]
    param_names = ["kernel", "dtype"]
    regress = [("compile_activation", "float32")]

    def setup(self, kernel, dtype):
        if not hasattr(kernels, "compile_activation"):
            raise NotImplementedError("fastfnn.kernels has no compile_activation")
        code = kernels.compile_activation(softplus, softplus_slope, np.dtype(dtype))
        x = normal(*MEDIUM, dtype=dtype)
        out = np.empty_like(x)
        self.given = lambda: kernels.activation_forward(out, x, code)
        self.built_in = lambda: kernels.softplus_forward(out, x)
        self.given()
        self.built_in()

    def time_kernel(self, kernel, dtype):
        """The call at the start of each fit, which finds the activation compiled."""
        kernels.compile_activation(softplus, softplus_slope, np.dtype(dtype))

    def track_ratio_to_built_in(self, kernel, dtype):
        return ratio(self.built_in, self.given)

    track_ratio_to_built_in.unit = "times the built-in's speed"


def huber(y, t):
    """A loss as a user would write it."""
    r = abs(y - t)
    return r * r / 2 if r <= 1 else r - 0.5


def huber_slope(y, t):
    return min(max(y - t, -1), 1)


class GivenLoss(Compiled):
    """A user's loss and the built-in one that computes the same."""

    params = [["compile_loss"], DTYPES]
    param_names = ["kernel", "dtype"]
    regress = [("compile_loss", "float32")]

    def setup(self, kernel, dtype):
        if not hasattr(kernels, "compile_loss"):
            raise NotImplementedError("fastfnn.kernels has no compile_loss")
        code = kernels.compile_loss(huber, huber_slope, np.dtype(dtype))
        out, targets = (normal(*MEDIUM, dtype=dtype, seed=seed) for seed in (0, 1))
        arrays = np.empty(len(out)), np.empty_like(out), out, targets
        self.given = lambda: kernels.sample_losses(*arrays, np.empty(0), code)
        self.built_in = lambda: kernels.sample_losses(*arrays, np.ones(1), kernels.LOSSES.index("huber"))
        self.given()
        self.built_in()

    def time_kernel(self, kernel, dtype):
        """The call at the start of each fit, which finds the loss compiled."""
        kernels.compile_loss(huber, huber_slope, np.dtype(dtype))

    def track_ratio_to_built_in(self, kernel, dtype):
        return ratio(self.built_in, self.given)

    track_ratio_to_built_in.unit = "times the built-in's speed"
