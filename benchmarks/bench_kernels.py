"""Each kernel at a few shapes: the layers of the notes' network, a medium layer, and one too small to matter."""

import numpy as np

from fastfnn import kernels

from .common import DTYPES, Compiled, normal

# (batch, in_features, out_features)
LAYERS = [(1, 784, 50), (100, 784, 50), (100, 50, 10), (128, 512, 512)]
ROWS = [(1, 10), (100, 10), (100, 50), (1024, 512)]
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


class SGDUpdate(Compiled):
    params = [[(784, 50), (512, 512)], DTYPES]
    param_names = ["shape", "dtype"]

    def setup(self, shape, dtype):
        self.param, self.grad = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype)
        self.compiled(lambda: kernels.sgd_update(self.param, self.grad, 1e-6))

    def time_sgd_update(self, shape, dtype):
        kernels.sgd_update(self.param, self.grad, 1e-6)
