"""How far are the predictions of exchanged networks apart? Tables for docs and changes in fastfnn/interop/.

    python tools/parity.py                 # with each of ONNX Runtime, PyTorch and Keras that is installed
    python tools/parity.py onnx torch

A number is the largest difference of 1,000 predictions, relative to the largest prediction, for float32 / float64. The
networks have the layers 20-64-32-3, biases, running statistics and gammas that differ from those of the beginning.
"""

import argparse
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import fastfnn as fnn
from fastfnn.losses import BY_NAME
from fastfnn.options import HIDDEN_ACTIVATIONS

LAYERS, ROWS = (20, 64, 32, 3), 1000
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_norm": {"batch_norm": True},
    "dropout": {"dropout": 0.2},
    "both": {"batch_norm": True, "dropout": 0.2},
    "book": {"batch_norm": True, "dropout": 0.2, "book": True},
}


def network(**options: Any) -> fnn.FNN:
    """Return a network with arbitrary weights."""
    if options.get("loss") == "quantile":
        options["loss"] = fnn.losses.Quantile((0.1, 0.5, 0.9))
    net, rng = fnn.FNN(LAYERS, init="he", seed=0, **options), np.random.default_rng(0)
    for name, value in {**net.params, **net._running()}.items():
        if not name.startswith("W"):
            low = 0.5 if name.startswith(("gamma", "variance")) else -1.0
            value[...] = rng.uniform(low, 1.5, value.shape)
    return net


def samples(dtype: Any) -> np.ndarray:
    """Return samples."""
    return np.random.default_rng(1).normal(size=(ROWS, LAYERS[0])).astype(dtype)


def difference(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number."""
    return float(np.abs(got - want).max() / np.abs(want).max())


def of_onnx(net: fnn.FNN) -> float:
    """Compare with the outputs of ONNX Runtime."""
    import onnxruntime

    from fastfnn.interop.onnx import network_model

    session = onnxruntime.InferenceSession(network_model(net).SerializeToString(), providers=["CPUExecutionProvider"])
    return difference(session.run(None, {"x": samples(net.dtype)})[0], net.predict(samples(net.dtype)))


def of_torch(net: fnn.FNN) -> float:
    """Compare with the outputs of PyTorch, there and back."""
    import torch

    model = net.to_torch()
    with torch.no_grad():
        theirs = model(torch.from_numpy(samples(net.dtype))).numpy()
    back = fnn.from_torch(model, loss=net.loss_function).predict(samples(net.dtype))
    return max(difference(net.predict(samples(net.dtype)), theirs), difference(back, theirs))


def of_keras(net: fnn.FNN) -> float:
    """Compare a model of Keras with the same layers with the network that is made of it."""
    import keras

    keras.config.set_floatx(net.dtype.name)
    keras.config.set_dtype_policy(net.dtype.name)
    layers = keras.layers
    model = keras.Sequential([keras.Input(LAYERS[:1])])
    for units, activation in zip(LAYERS[1:-1], net.activation, strict=True):
        model.add(layers.Dense(units))
        if net.batch_norm:
            model.add(layers.BatchNormalization(epsilon=1e-6 if net.book else 1e-3))
        leaky = activation == "leaky_relu"
        name = "linear" if activation == "identity" else activation
        model.add(layers.LeakyReLU(negative_slope=0.01) if leaky else layers.Activation(name))
        if net.dropout:
            model.add(layers.Dropout(net.dropout))
    output = {"identity": "linear", "exp": "exponential"}
    model.add(layers.Dense(LAYERS[-1], activation=output.get(name := net.loss_function.output_activation, name)))
    arrays = {**net.params, **net._running()}
    for layer, dense in enumerate((item for item in model.layers if isinstance(item, layers.Dense)), 1):
        dense.set_weights([arrays[f"W{layer}"], arrays[f"b{layer}"]])
    for layer, norm in enumerate((item for item in model.layers if isinstance(item, layers.BatchNormalization)), 1):
        norm.set_weights([arrays[f"{name}{layer}"] for name in ("gamma", "beta", "mean", "variance")])
    ours = fnn.from_keras(model, loss=net.loss_function)
    return difference(ours.predict(samples(net.dtype)), model.predict(samples(net.dtype), verbose=0))


PEERS: dict[str, tuple[str, Callable[[fnn.FNN], float]]] = {
    "onnx": ("onnxruntime", of_onnx),
    "torch": ("torch", of_torch),
    "keras": ("keras", of_keras),
}


def table(title: str, columns: dict[str, dict[str, Any]], compare: Callable[[fnn.FNN], float]) -> None:
    """Print a table with a row for each activation."""
    print(f"\n| {title} | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for activation in HIDDEN_ACTIVATIONS:
        cells = []
        for options in columns.values():
            pair = (compare(network(activation=activation, dtype=dtype, **options)) for dtype in ("float32", "float64"))
            cells.append(" / ".join(f"{value:.0e}" for value in pair))
        print(f"| {activation} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables of the peers that are named, or installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("peers", nargs="*", choices=[[], *PEERS], default=[], metavar="PEER", help=" or ".join(PEERS))
    chosen = parser.parse_args().peers
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    for peer, (module, compare) in PEERS.items():
        if peer in chosen or (not chosen and importlib.util.find_spec(module)):
            if peer != "keras":
                table(f"{peer}, by loss", {loss: {"loss": loss} for loss in BY_NAME}, compare)
            table(f"{peer}, softmax cross-entropy", OPTIONS, compare)


if __name__ == "__main__":
    main()
