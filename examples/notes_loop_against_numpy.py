"""Time per step of the loop in example 4.1 of the notes, with TwoLayerNet and with the same class in plain NumPy.

A step is the body of that loop: draw a batch of 100, compute the gradient, update the four parameters, compute the loss
of the batch. All networks start from the same weights and see the same batches, so that their losses can be compared.

In the notes the weights are float64 and the samples float32, as load_mnist returns them, so that NumPy converts the
samples in each product. Here NumPy runs like this ("as typed") and with float64 samples ("NumPy"); a float64 network of
fastfnn runs with both ("64 of 32" and "float64"). The networks take turns of 50 steps, and the medians are printed.

Run it with the Python of the environment in which fastfnn is installed. An argument is the number of turns, usually 21.
"""

import sys
import time

import numpy as np

import fastfnn as fnn

STEPS, BATCH, RATE = 50, 100, 0.1

# Seconds between two turns: threads spin for a while before they sleep, and would disturb the next network.
PAUSE = 0.2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    power = np.exp(x - x.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


class NumPyNet:
    """784-50-10 with sigmoid and softmax cross-entropy, as section 4 of the notes writes it in NumPy."""

    def __init__(self, params):
        self.params = {name: value.astype(np.float64) for name, value in params.items()}

    def forward(self, x):
        sums = np.dot(x, self.params["W1"]) + self.params["b1"]
        hidden = sigmoid(sums)
        return sums, hidden, softmax(np.dot(hidden, self.params["W2"]) + self.params["b2"])

    def loss(self, x, t):
        _, _, y = self.forward(x)
        return -np.sum(np.log(y[np.arange(len(x)), t.argmax(axis=1)] + 1e-7)) / len(x)

    def gradient(self, x, t):
        sums, hidden, y = self.forward(x)
        dy = (y - t) / len(x)
        da = (1 - sigmoid(sums)) * sigmoid(sums) * np.dot(dy, self.params["W2"].T)  # sigmoid_grad of the notes
        return {"W1": np.dot(x.T, da), "b1": da.sum(axis=0), "W2": np.dot(hidden.T, dy), "b2": dy.sum(axis=0)}


def turn(network, x, t, batches):
    """The loop of the notes; returns the losses and the microseconds per step."""
    losses = []
    start = time.perf_counter()
    for batch_mask in batches:
        x_batch, t_batch = x[batch_mask], t[batch_mask]
        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= RATE * grad[key]
        losses.append(network.loss(x_batch, t_batch))
    return losses, (time.perf_counter() - start) / len(batches) * 1e6


def main(turns=21):
    (x, t), _ = fnn.datasets.load_mnist(one_hot_label=True)
    params = fnn.TwoLayerNet(784, 50, 10, seed=0).params
    runs = {
        "NumPy": (NumPyNet(params), x.astype(np.float64), t.astype(np.float64)),
        "as typed": (NumPyNet(params), x.astype(np.float32), t.astype(np.float32)),
    }
    for name, dtype, given in (
        ("float32", "float32", "float32"), ("float64", "float64", "float64"), ("64 of 32", "float64", "float32")
    ):  # fmt: skip
        network = fnn.TwoLayerNet(784, 50, 10, dtype=dtype)
        network.params.update({key: value.copy() for key, value in params.items()})
        runs[name] = network, x.astype(given), t.astype(given)
        batch = [array[:BATCH] for array in runs[name][1:]]
        network.loss(*batch), network.gradient(*batch)  # compiles
    rng = np.random.default_rng(0)
    times = {name: [] for name in runs}
    losses = {name: [] for name in runs}
    for _ in range(turns):
        batches = rng.integers(0, len(x), (STEPS, BATCH))
        for name, run in runs.items():
            time.sleep(PAUSE)
            seen, microseconds = turn(*run, batches)
            times[name].append(microseconds)
            losses[name] += seen
    notes, typed = (np.median(times[name]) for name in ("NumPy", "as typed"))
    for name, values in times.items():
        low, median, high = np.percentile(values, [25, 50, 75])
        difference = max(abs(np.subtract(losses[name], losses["NumPy"])))
        print(
            f"{name:8} {median:7.1f} us a step (quartiles {low:.0f}, {high:.0f}), {notes / median:5.2f} times as fast"
            f" as NumPy, {typed / median:5.2f} as typed; largest difference of the losses {difference:.1e}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
