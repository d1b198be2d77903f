"""What is timed beside other processes: short calls of the API. Peers do the training steps and the predictions."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import fastfnn
from fastfnn import backend, layers, validation
from fastfnn.bench.cases import Case, Data, build, make_data, set_weights
from fastfnn.bench.peer import Peer, Unsupported

# So small that the last call does the same work as the first: nothing converges, diverges or becomes denormal.
LEARNING_RATE = 1e-9

# Modules with the peers. "fastfnn-1" is fastfnn on one thread.
OURS = "fastfnn"
ONE_THREAD = "fastfnn-1"
PEERS = {
    "numpy": "fastfnn.bench.numpy_peer",
    "torch": "fastfnn.bench.neighbours.eager_torch_peer",
    "jax": "fastfnn.bench.jax_peer",
    "onnxruntime": "fastfnn.bench.onnx_peer",
}


@dataclass(frozen=True)
class Call(Case):
    """A call on `batches` batches of a network's data.

    method  fit, partial_fit, gradient, loss, predict; textbook, layers and kernel for the other ways to compute
    """

    learning_rate: float = LEARNING_RATE
    method: str = "partial_fit"
    batches: int = 1

    @property
    def steps(self) -> int:
        return self.batches

    @property
    def description(self) -> str:
        """A line such as "fit, 4 batches of 100, 100-200-10"."""
        rows = f"{self.batch_size:,} rows" if self.batches == 1 else f"{self.batches} batches of {self.batch_size}"
        return f"{TITLES[self.method]}, {rows}, {'-'.join(map(str, self.layers))}"


TITLES = {
    **{name: name for name in ("fit", "partial_fit", "gradient", "loss", "predict")},
    "textbook": "TwoLayerNet.gradient",
    "layers": "forward and backward of fastfnn.layers",
    "kernel": "affine_forward",
}

_SHORT = Call("partial_fit", (100, 200, 10), 100)
_NOTES = Call("loss", (784, 50, 10), 100, activation="sigmoid", method="loss")

CALLS = {
    call.name: call
    for call in (
        replace(_SHORT, name="fit", method="fit", batches=4),
        _SHORT,
        replace(_SHORT, name="gradient", method="gradient"),
        _NOTES,
        replace(_SHORT, name="predict-64", method="predict", batch_size=64, predict=True),
        replace(_SHORT, name="predict-1000", method="predict", batch_size=1000, predict=True),
        Call("wide", (784, 512, 512, 10), 128),
        Call("tiny", (30, 64, 64, 1), 32, loss="squared_error", optimizer="adam"),
        replace(_NOTES, name="textbook", method="textbook"),
        replace(_NOTES, name="layers", method="layers"),
        Call("kernel", (784, 100), 100, method="kernel"),
    )
}

# What a second training process does again and again.
TRAINING = replace(_SHORT, name="training", method="fit", batches=100)


def chosen(names: Sequence[str], dtype: str) -> list[Call]:
    """The calls with these names, in the order of the table; all calls if there are no names."""
    for name in names:
        validation.choice("--calls", name, tuple(CALLS))
    return [replace(call, dtype=dtype) for name, call in CALLS.items() if name in names or not names]


def prepared(library: str, call: Call) -> tuple[Callable[[], object], dict[str, str]]:
    """A function that makes the call in a library, and the library's versions; Unsupported if it has no such call."""
    data = make_data(call)
    if library in (OURS, ONE_THREAD):
        return _ours(call, data), {"fastfnn": fastfnn.__version__}
    if call.method not in ("fit", "partial_fit", "predict"):
        raise Unsupported("peers train and predict only")
    peer: Peer = importlib.import_module(PEERS[library]).Peer(call, data)
    peer.reset()
    return lambda: peer.work(1), peer.versions


def _ours(call: Call, data: Data) -> Callable[[], object]:
    """The call as a user of fastfnn writes it."""
    x, targets, batch_size = data.x, data.targets, call.batch_size
    if call.method == "kernel":
        (weight, bias), affine_forward = data.weights[0], backend.BACKENDS["kernels"].affine_forward
        out = x @ weight
        return lambda: affine_forward(out, x, weight, bias)
    if call.method == "layers":
        return _by_layers(data)
    if call.method == "textbook":
        book = fastfnn.TwoLayerNet(*call.layers, activation=call.activation, seed=0, dtype=call.dtype)
        set_weights(book, data)
        return lambda: book.gradient(x, targets)
    net, optimizer = build(call, data), call.make_optimizer()
    ways: dict[str, Callable[[], Any]] = {
        "fit": lambda: net.fit(x, targets, epochs=1, batch_size=batch_size, optimizer=optimizer),
        "partial_fit": lambda: net.partial_fit(x, targets, batch_size=batch_size, optimizer=optimizer),
        "gradient": lambda: net.gradient(x, targets),
        "loss": lambda: net.loss(x, targets),
        "predict": lambda: net.predict(x),
    }
    return ways[call.method]


def _by_layers(data: Data) -> Callable[[], object]:
    """A gradient by the layers of the textbook's fifth chapter."""
    (weight1, bias1), (weight2, bias2) = data.weights
    chain: list[Any] = [layers.Affine(weight1, bias1), layers.Sigmoid(), layers.Affine(weight2, bias2)]
    last = layers.SoftmaxWithLoss()

    def gradient() -> object:
        out = data.x
        for layer in chain:
            out = layer.forward(out)
        last.forward(out, data.targets)
        dout = last.backward()
        for layer in reversed(chain):
            dout = layer.backward(dout)
        return dout

    return gradient
