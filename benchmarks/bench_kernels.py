"""Each kernel at a few shapes: the layers of the notes' network, a medium layer, and one too small to matter."""

import numpy as np

from fastfnn import kernels

from .common import DTYPES, Compiled, normal

# (batch, in_features, out_features)
LAYERS = [(1, 784, 50), (100, 784, 50), (100, 50, 10), (128, 512, 512)]
ROWS = [(1, 10), (100, 10), (100, 50), (1024, 512)]
# Arrays of state, and the scalars: small steps, so that any number of them keeps the numbers ordinary
RULES = {
    "sgd": (0, (1e-9,)),
    "momentum": (1, (1e-9, 0.9)),
    "nesterov": (1, (1e-9, 0.9)),
    "adagrad": (1, (1e-9, 1e-7)),
    "rmsprop": (1, (1e-9, 0.99, 1e-7)),
    "adam": (2, (1e-9, 0.9, 0.999, 1e-8, 3)),
    "adamw": (2, (1e-9, 0.9, 0.999, 1e-8, 0.01, 3)),
}
ACTIVATIONS = ["identity", "sigmoid", "tanh", "relu"]


class AffineForward(Compiled):
    params = [LAYERS, DTYPES]
    param_names = ["batch, in, out", "dtype"]

    def setup(self, layer, dtype):
        batch, inputs, outputs = layer
        x, weight, bias = (
            normal(batch, inputs, dtype=dtype),
            normal(inputs, outputs, dtype=dtype),
            normal(outputs, dtype=dtype),
        )
        self.arguments = np.empty((batch, outputs), dtype), x, weight, bias
        self.compiled(lambda: kernels.affine_forward(*self.arguments))

    def time_affine_forward(self, layer, dtype):
        kernels.affine_forward(*self.arguments)


class AffineBackward(Compiled):
    params = [LAYERS, DTYPES]
    param_names = ["batch, in, out", "dtype"]

    def setup(self, layer, dtype):
        batch, inputs, outputs = layer
        x, weight, grad_out = (
            normal(batch, inputs, dtype=dtype),
            normal(inputs, outputs, dtype=dtype),
            normal(batch, outputs, dtype=dtype),
        )
        self.arguments = np.empty_like(x), np.empty_like(weight), np.empty(outputs, dtype), grad_out, x, weight
        self.compiled(lambda: kernels.affine_backward(*self.arguments))

    def time_affine_backward(self, layer, dtype):
        kernels.affine_backward(*self.arguments)


class Activation(Compiled):
    params = [ACTIVATIONS, ROWS, DTYPES]
    param_names = ["activation", "rows", "dtype"]

    def setup(self, activation, rows, dtype):
        self.forward = getattr(kernels, f"{activation}_forward")
        self.backward = getattr(kernels, f"{activation}_backward")
        self.x = normal(*rows, dtype=dtype)
        self.out = np.empty_like(self.x)
        self.compiled(lambda: (self.forward(self.out, self.x), self.backward(self.out, self.x, self.x)))

    def time_forward(self, activation, rows, dtype):
        self.forward(self.out, self.x)

    def time_backward(self, activation, rows, dtype):
        self.backward(self.out, self.x, self.x)


class Loss(Compiled):
    params = [["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"], ROWS, DTYPES]
    param_names = ["loss", "rows", "dtype"]

    def setup(self, loss, rows, dtype):
        self.loss = getattr(kernels, loss)
        self.logits = normal(*rows, dtype=dtype)
        self.targets = np.eye(rows[1], dtype=dtype)[np.arange(rows[0]) % rows[1]]
        self.grad = np.empty_like(self.logits)
        self.compiled(lambda: self.loss(self.grad, self.logits, self.targets))

    def time_loss(self, loss, rows, dtype):
        self.loss(self.grad, self.logits, self.targets)


class SoftmaxCrossEntropyLabels(Compiled):
    params = [ROWS, DTYPES]
    param_names = ["rows", "dtype"]

    def setup(self, rows, dtype):
        self.logits = normal(*rows, dtype=dtype)
        self.labels = np.arange(rows[0]) % rows[1]
        self.grad = np.empty_like(self.logits)
        self.compiled(lambda: kernels.softmax_cross_entropy(self.grad, self.logits, self.labels))

    def time_loss(self, rows, dtype):
        kernels.softmax_cross_entropy(self.grad, self.logits, self.labels)


class Softmax(Compiled):
    params = [ROWS, DTYPES]
    param_names = ["rows", "dtype"]

    def setup(self, rows, dtype):
        self.x = normal(*rows, dtype=dtype)
        self.out = np.empty_like(self.x)
        self.compiled(lambda: kernels.softmax(self.out, self.x))

    def time_softmax(self, rows, dtype):
        kernels.softmax(self.out, self.x)


class Update(Compiled):
    params = [sorted(RULES), [(784, 50), (512, 512)], DTYPES]
    param_names = ["rule", "shape", "dtype"]

    def setup(self, rule, shape, dtype):
        states, scalars = RULES[rule]
        arrays = [np.abs(normal(*shape, dtype=dtype, seed=i)) for i in range(2 + states)]
        update = getattr(kernels, f"{rule}_update")
        self.call = lambda: update(*arrays, *scalars)
        self.compiled(self.call)

    def time_update(self, rule, shape, dtype):
        self.call()
