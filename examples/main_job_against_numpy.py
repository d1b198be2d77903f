"""Trains the network of the README for seeds 0 to 4, and again in plain NumPy with the same weights and batches.

Both use float32, and the losses of the 800 steps agree to rounding. Run it with the Python of the environment in which
fastfnn is installed.
"""

import numpy as np

import fastfnn as fnn

EPOCHS, BATCH, RATE = 10, 100, np.float32(0.1)


def softmax(logits):
    """Probabilities (B, K)."""
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


def train_in_numpy(params, rng, x, t):
    """Gradient descent on `params`, in place; returns the mean loss of each batch before its update."""
    W1, b1, W2, b2 = params
    one_hot = np.eye(10, dtype=np.float32)[t]
    losses = []
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            batch = order[start : start + BATCH]
            hidden = 1 / (1 + np.exp(-(x[batch] @ W1 + b1)))
            y = softmax(hidden @ W2 + b2)
            losses.append(-np.log((y * one_hot[batch]).sum(axis=1)).mean())
            delta2 = (y - one_hot[batch]) / np.float32(BATCH)
            delta1 = (delta2 @ W2.T) * hidden * (1 - hidden)
            W2 -= RATE * (hidden.T @ delta2)
            b2 -= RATE * delta2.sum(axis=0)
            W1 -= RATE * (x[batch].T @ delta1)
            b1 -= RATE * delta1.sum(axis=0)
    return np.array(losses)


def main():
    """Print a line for each seed."""
    (x, t), (x_test, t_test) = fnn.datasets.load_mnist()
    for seed in range(5):
        net = fnn.FNN((784, 50, 10), activation="sigmoid", init=0.01, seed=seed)
        params = W1, b1, W2, b2 = [net.params[name].copy() for name in ("W1", "b1", "W2", "b2")]
        rng = np.random.default_rng(seed)  # the network draws its weights first, then the batches
        rng.standard_normal(W1.shape), rng.standard_normal(W2.shape)
        history = net.fit(x, t, epochs=EPOCHS, batch_size=BATCH, optimizer=fnn.SGD(float(RATE)))
        losses = train_in_numpy(params, rng, x, t)
        logits = (1 / (1 + np.exp(-(x_test @ W1 + b1)))) @ W2 + b2
        print(
            f"seed {seed}: test accuracy {net.accuracy(x_test, t_test):.4f}, "
            f"NumPy {np.mean(logits.argmax(axis=1) == t_test):.4f}; "
            f"largest difference of the losses {np.abs(history.step_loss - losses).max():.1e}"
        )


if __name__ == "__main__":
    main()
