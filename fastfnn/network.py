"""FNN, a feed-forward neural network: parameters, prediction, gradient, training, files."""

import contextlib
import functools
import itertools
import json
import math
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.activation import Activation
from fastfnn.backend import ACTIVATIONS, BACKENDS, LOSSES, SETTINGS, TOGETHER, aligned_zeros, on_first_compilation
from fastfnn.callbacks import Callback, checked_callbacks
from fastfnn.history import History
from fastfnn.optimizers import SGD, Optimizer
from fastfnn.params import Params

HIDDEN_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name != "softmax")

# Each loss is computed from the last layer's sums, with the output activation inside it where it has one.
OUTPUT_ACTIVATION = {
    "softmax_cross_entropy": "softmax",
    "sigmoid_cross_entropy": "sigmoid",
    "squared_error": "identity",
}

# Weights of a layer with n inputs have standard deviation sqrt(gain / n).
INIT_GAIN = {"he": 2.0, "xavier": 1.0}

# Batch normalization: what is added to the variance, and how much of the running statistics a step keeps.
NORM_EPSILON, BOOK_NORM_EPSILON, NORM_MOMENTUM = 1e-5, 1e-6, 0.9

# Step of the central difference: its error h^2 f'''/6 and the rounding error eps f / h are both below 1e-8 in float64.
DIFFERENCE_STEP = 1e-4

FILE_FORMAT = "fastfnn-1"


class FNN:
    """A feed-forward neural network: x_l = f_l(x_{l-1} W_l + b_l) for layers l = 1 to L.

    layer_sizes  units of the input, of each hidden layer and of the output: at least two
    activation   of the hidden layers: "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu",
                 "gelu" or an `Activation`; or a sequence with one per hidden layer
    loss         "softmax_cross_entropy" (classes; softmax output), "sigmoid_cross_entropy" (binary or multi-label;
                 sigmoid output) or "squared_error" (real targets; identity output)
    init         standard deviation of the initial weights: a number, "he" for sqrt(2 / in_features) or "xavier" for
                 sqrt(1 / in_features); biases start at 0
    dtype        "float32" or "float64": of the parameters and of all arithmetic but the losses, which are float64
    seed         an int makes the initial weights and every `fit` repeat bit for bit, with any number of threads
    backend      "kernels", or "reference" for the same in plain NumPy
    weight_decay the L2 penalty: weight_decay * W is added to the gradient of each W, as by weight_decay / 2 ||W||^2 on
                 the loss, which is reported without it; biases are not decayed
    dropout      in training, the share of outputs of hidden layers that are set to 0 at random; the others are divided
                 by 1 - dropout, so that a prediction needs neither
    batch_norm   normalize the sums of hidden layers over the batch, x_l = f_l(gamma_l n(x_{l-1} W_l + b_l) + beta_l);
                 predictions use running statistics
    book         dropout that multiplies by 1 - dropout in predictions instead, and 1e-6 instead of 1e-5 added to the
                 variance, as in the book that the notes draw on

    Inputs of any real dtype are converted to `dtype`. Bad input raises TypeError or ValueError and changes nothing.
    Source: sections 1 and 3 of the notes, in the orientation of their code (W of shape (in, out)).
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        activation: str | Activation | Sequence[str | Activation] = "relu",
        loss: str = "softmax_cross_entropy",
        init: float | str = "he",
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        backend: str = "kernels",
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = False,
        book: bool = False,
    ) -> None:
        self.layer_sizes = _layer_sizes(layer_sizes)
        self.activation = _activations(activation, len(self.layer_sizes) - 2)
        self.loss_name = validation.choice("loss", loss, tuple(OUTPUT_ACTIVATION))
        self.dtype = _dtype(dtype)
        self.backend = validation.choice("backend", backend, tuple(BACKENDS))
        self.weight_decay = validation.nonnegative("weight_decay", weight_decay)
        self.dropout = validation.fraction("dropout", dropout)
        self.batch_norm = validation.boolean("batch_norm", batch_norm)
        self.book = validation.boolean("book", book)
        self._rng = np.random.default_rng(None if seed is None else validation.integer("seed", seed, 0))
        self._sizes = np.array(self.layer_sizes, np.int64)
        self._flat = aligned_zeros(Params.count(self.layer_sizes, self.batch_norm), self.dtype)
        self.params = Params(self._flat, self.layer_sizes, self.batch_norm)
        self._statistics = np.zeros(2 * sum(self.layer_sizes[1:-1]) if self.batch_norm else 0, self.dtype)
        for name, values in self._running().items():
            values[...] = name.startswith("variance")
        self._codes_for: dict[str, np.ndarray] = {}
        self._steps, self._seed = 0, 0  # of dropout
        self._optimizer: Optimizer | None = None  # of the last training
        for layer, inputs in enumerate(self.layer_sizes[:-1], 1):
            weight = self.params[f"W{layer}"]
            weight[...] = init_std(init, inputs) * self._rng.standard_normal(weight.shape)
            if f"gamma{layer}" in self.params:
                self.params[f"gamma{layer}"] = np.ones(self.layer_sizes[layer])
        if self.dropout:
            self._seed = int(self._rng.integers(2**32))
        self._codes("identity")  # compiles an activation of the user's, so that its errors come here

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.layer_sizes))
        names = ", ".join(map(_name, self.activation)) or "no hidden layer"
        return f"FNN({sizes}, {names}; {self.loss_name}; {self.dtype})"

    def predict(self, x: npt.ArrayLike) -> np.ndarray:
        """The network's output: probabilities for the cross-entropies, values for the squared error.

        x  (N, I), or (I,) for one sample

        Returns (N, K), or (K,) for one sample, of the network's dtype.
        """
        array = validation.as_array("x", x)
        single = array.ndim == 1
        rows = self._samples("x", array[np.newaxis] if single else array)
        out = self._forward(rows, OUTPUT_ACTIVATION[self.loss_name])
        return out[0] if single else out

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """The mean loss over the samples: sum over i of w_i E_i, divided by N.

        x              (N, I)
        t              for softmax cross-entropy integer labels (N,) or rows (N, K) that sum to 1; for sigmoid
                       cross-entropy rows (N, K) in [0, 1]; for the squared error rows (N, K). With K = 1 the last two
                       also take (N,)
        sample_weight  w (N,), finite, not negative; None for 1
        """
        if sample_weight is None:
            rows = validation.samples_to_take_in("x", x, self.layer_sizes[0], self.dtype)
            loss = self._prediction_loss(rows, self._targets("t", t, len(rows)))
            if math.isnan(loss):
                self._samples("x", rows)  # are they the reason?
            return loss
        rows = self._samples("x", x)
        targets = self._targets("t", t, len(rows))
        weights = self._sample_weights(sample_weight, None, targets)
        losses = _loss_of_each(self.loss_name, self._forward(rows, "identity"), targets)
        return float((weights * losses).sum() / len(rows))

    def accuracy(self, x: npt.ArrayLike, t: npt.ArrayLike) -> float:
        """The share of samples that are predicted right; x and t as in `loss`.

        Softmax: the most probable class is the (most probable) target class. Sigmoid: every output is on the target's
        side of 1/2. The squared error has no accuracy: ValueError.
        """
        if self.loss_name == "squared_error":
            raise ValueError("accuracy needs a network with a cross-entropy loss, got loss 'squared_error'")
        rows = self._samples("x", x)
        return self._accuracy_of(self._forward(rows, "identity"), self._targets("t", t, len(rows)))

    def evaluate(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, float]:
        """`{"loss": ..., "accuracy": ...}` from one forward pass; without "accuracy" for the squared error."""
        rows = self._samples("x", x)
        return self._evaluate(rows, self._targets("t", t, len(rows)))

    def gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, np.ndarray]:
        """The gradient of `loss` with respect to every parameter, by back-propagation: an array for each name.

        It is that of a training step: with the weight decay's part, with dropout drawn anew at each call, and with
        batch normalization over the rows of x, which also moves its running statistics.
        """
        if self.batch_norm:  # whose statistics the kernel changes, whatever it finds
            rows = self._samples("x", x)
        else:
            rows = validation.samples_to_take_in("x", x, self.layer_sizes[0], self.dtype)
        targets = self._targets("t", t, len(rows))
        grad = np.empty(self._flat.size, self.dtype)
        loss = self._training_gradient(grad, self._statistics, rows, targets, self._steps + 1)
        if math.isnan(loss):
            self._samples("x", rows)  # are they the reason?
        self._steps += 1
        grads = self.params.views_of(grad)
        if self.weight_decay:
            for layer in range(1, len(self.layer_sizes)):
                grads[f"W{layer}"] += self.dtype.type(self.weight_decay) * self.params[f"W{layer}"]
        return grads

    def numerical_gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, np.ndarray]:
        """The same by central differences, (E(w + h) - E(w - h)) / 2h for each w in turn: slow, to check `gradient`.

        Computed in float64 whatever the network's dtype, and returned so. What dropout leaves out is what it left out
        in the last call of `gradient`.
        """
        twin = self._in_float64()
        rows = twin._samples("x", x)
        targets = twin._targets("t", t, len(rows))
        grad = np.empty_like(twin._flat)
        for i, value in enumerate(twin._flat):
            twin._flat[i] = value + DIFFERENCE_STEP
            above = twin._training_loss(rows, targets)
            twin._flat[i] = value - DIFFERENCE_STEP
            below = twin._training_loss(rows, targets)
            twin._flat[i] = value
            grad[i] = (above - below) / (2 * DIFFERENCE_STEP)
        return twin.params.views_of(grad)

    def fit(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        epochs: int = 10,
        batch_size: int | None = 100,
        optimizer: Optimizer | None = None,
        sampling: str = "shuffle",
        validation_data: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | str | None = None,
        callbacks: Sequence[Callback | Callable[["FNN", History], Any]] | None = None,
        progress: bool = False,
    ) -> History:
        """Train on the samples; returns the `History` of the run.

        x, t             as in `loss`
        epochs           passes over the data, at least 1
        batch_size       samples a step: None is gradient descent on all of them, 1 is the stochastic form, else the
                         minibatch form; the last batch of an epoch may be smaller
        optimizer        from fastfnn.optimizers; SGD(0.1) if None. It keeps its state: a second fit with it goes on
        sampling         "shuffle": each epoch visits every sample once, in random order; "replacement": each step draws
                         its batch anew from all samples, as the code of the notes does
        validation_data  (x, t) to measure loss and accuracy on after each epoch; the accuracy on x, t is then too
        sample_weight    w (N,), finite, not negative: what is made small is the mean over the batch of w_i E_i, divided
                         by the number of samples, not by the sum of w; the losses of the history are such means
        class_weight     for softmax cross-entropy with labels or one-hot rows: a dict {label: weight}, 1 where there is
                         none, or "balanced", N / (number of classes in t * number of samples of the class). It
                         multiplies sample_weight; neither has an effect on validation_data
        callbacks        a list of `Callback` such as EarlyStopping, or of functions (net, history) to call after each
                         epoch: training stops if one returns something true, and the history ends there
        progress         show a progress bar and a line for each epoch

        An exception, that of Ctrl-C too, leaves the parameters as they are at that point.
        Source: section 4 of the notes.
        """
        rows = self._samples("x", x)
        targets = self._targets("t", t, len(rows))
        epochs = validation.integer("epochs", epochs, 1)
        batch = len(rows) if batch_size is None else min(validation.integer("batch_size", batch_size, 1), len(rows))
        sampling = validation.choice("sampling", sampling, ("shuffle", "replacement"))
        optimizer = SGD(0.1) if optimizer is None else optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an optimizer such as SGD(0.1), got {type(optimizer).__name__}")
        held_out = self._validation_data(validation_data)
        weights = self._sample_weights(sample_weight, class_weight, targets)
        watchers = checked_callbacks(callbacks, held_out is not None, self.loss_name != "squared_error")
        history = History()
        for watcher in watchers:
            watcher.begin(self, history)
        self._optimizer = optimizer
        steps = math.ceil(len(rows) / batch)
        step_losses = np.empty(epochs * steps)
        pace = _Pace(TOGETHER if batch == 1 else 1)
        with _progress(progress, epochs * steps) as (advance, report):
            take = self._trainer(rows, targets, weights, batch, optimizer)
            take(step_losses[:0], np.empty((1, 0), np.int64))  # compiles
            observed = held_out is not None or watchers or progress
            while history.epochs < epochs:
                done = history.epochs
                together = 1 if observed else min(pace.epochs(steps, len(rows)), epochs - done)
                orders = self._orders(len(rows), batch, sampling, together)
                step_loss = step_losses[done * steps : (done + together) * steps]
                start = time.perf_counter()
                for first, last in pace.slices(together * steps):  # of several epochs, all
                    take(step_loss[first:last], orders if together > 1 else orders[:, first * batch : last * batch])
                    advance(last - first)
                seconds = (time.perf_counter() - start) / together
                history.seconds += [seconds] * together
                history.samples_per_second += [len(rows) / seconds] * together
                history.loss += _epoch_losses(step_loss.reshape(together, steps), batch, len(rows))
                history.step_loss = step_losses[: (done + together) * steps]
                self._measure(history, rows, targets, held_out)
                report(history, epochs)
                if any([watcher.epoch(self, history) for watcher in watchers]):  # a list: none is left out
                    break
        if history.epochs < epochs:
            history.step_loss = history.step_loss.copy()  # lets go of the room for the others
        for watcher in watchers:
            watcher.end(self, history)
        if not math.isfinite(history.loss[-1]):
            message = "the training loss is not finite: try a smaller learning rate"
            warnings.warn(message, RuntimeWarning, stacklevel=_callers_level())
        return history

    def partial_fit(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        batch_size: int | None = 100,
        optimizer: Optimizer | None = None,
    ) -> History:
        """Train for one pass over the samples, shuffled: for data that arrive in parts.

        x, t, batch_size  as in `fit`
        optimizer         None is that of the last `fit` or `partial_fit` of this network, which goes on from its state,
                          or SGD(0.1) if there was none
        """
        if optimizer is None:
            optimizer = self._optimizer
        return self.fit(x, t, epochs=1, batch_size=batch_size, optimizer=optimizer)

    def summary(self) -> None:
        """Print a line for each layer: its weights, activation and number of parameters."""
        names = [*map(_name, self.activation), OUTPUT_ACTIVATION[self.loss_name]]
        print(f"{'layer':>5}  {'weights':>14}  {'activation':<10}  {'parameters':>10}")
        for layer, name in enumerate(names, 1):
            inputs, outputs = self.layer_sizes[layer - 1 : layer + 1]
            count = sum(self.params[key].size for key in self.params if key.endswith(str(layer)))
            print(f"{layer:>5}  {f'{inputs} x {outputs}':>14}  {name:<10}  {count:>10,}")
        print(f"total {self._flat.size:,} parameters of {self.dtype}, loss {self.loss_name}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters and the description of the network to a safetensors file; `fastfnn.load` reads it.

        Of an `Activation` it holds the name, not the code.
        """
        from safetensors.numpy import save

        description = {
            "layer_sizes": list(self.layer_sizes),
            "activation": list(map(_name, self.activation)),
            "loss": self.loss_name,
            "dtype": self.dtype.name,
            "weight_decay": self.weight_decay,
            "dropout": self.dropout,
            "batch_norm": self.batch_norm,
            "book": self.book,
        }
        with open(path, "wb") as file:  # so that a bad path raises OSError, which names it
            file.write(
                save({**self.params, **self._running()}, {"format": FILE_FORMAT, "network": json.dumps(description)})
            )

    @property
    def _kernels(self) -> Any:
        return BACKENDS[self.backend]

    @property
    def _loss_code(self) -> int:
        return LOSSES.index(self.loss_name)

    def _settings(self, values: dict[str, float]) -> np.ndarray:
        """The vector that the compiled loop takes: the network's settings, and an optimizer's."""
        return _settings(self.weight_decay, self.dropout, self.book, self._seed, tuple(values.items()))

    def _codes(self, output_activation: str) -> np.ndarray:
        """The codes of all layers' activations."""
        if output_activation not in self._codes_for:
            codes = [
                item.code(self.backend, self.dtype) if isinstance(item, Activation) else ACTIVATIONS.index(item)
                for item in (*self.activation, output_activation)
            ]
            self._codes_for[output_activation] = np.array(codes, np.int64)
        return self._codes_for[output_activation]

    def _samples(self, name: str, value: npt.ArrayLike) -> np.ndarray:
        return validation.samples(name, value, self.layer_sizes[0], self.dtype)

    def _targets(self, name: str, value: npt.ArrayLike, count: int) -> np.ndarray:
        return validation.targets(name, value, count, self.layer_sizes[-1], self.loss_name, self.dtype)

    def _sample_weights(self, sample_weight: Any, class_weight: Any, targets: np.ndarray) -> np.ndarray:
        """The weight of each sample (N,), or (0,) where all are 1."""
        weights = np.empty(0, self.dtype)
        if sample_weight is not None:
            weights = validation.sample_weight("sample_weight", sample_weight, len(targets), self.dtype)
        if class_weight is None:
            return weights
        if self.loss_name != "softmax_cross_entropy":
            raise ValueError(f"class_weight needs a network with softmax cross-entropy, got loss {self.loss_name!r}")
        labels = targets if targets.ndim == 1 else validation.one_hot_labels("t", targets)
        by_class = validation.class_weight("class_weight", class_weight, labels, self.layer_sizes[-1])[labels]
        product = by_class * weights if len(weights) else by_class
        return validation.sample_weight("sample_weight times class_weight", product, len(targets), self.dtype)

    def _validation_data(self, pair: Any) -> tuple[np.ndarray, np.ndarray] | None:
        if pair is None:
            return None
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            size = f" of {len(pair)}" if isinstance(pair, (tuple, list)) else ""
            raise TypeError(f"validation_data must be a pair (x, t), got {type(pair).__name__}{size}")
        rows = self._samples("validation_data[0]", pair[0])
        return rows, self._targets("validation_data[1]", pair[1], len(rows))

    def _in_float64(self) -> "FNN":
        twin = FNN(
            self.layer_sizes, activation=self.activation, loss=self.loss_name, init=0.0, dtype="float64",
            backend=self.backend, weight_decay=self.weight_decay, dropout=self.dropout, batch_norm=self.batch_norm,
            book=self.book,
        )  # fmt: skip
        twin._flat[...], twin._steps, twin._seed = self._flat, self._steps, self._seed
        return twin

    def _training_gradient(
        self, grad: np.ndarray, statistics: np.ndarray, rows: np.ndarray, targets: np.ndarray, step: int
    ) -> float:
        loss: float = self._kernels.network_gradient(
            grad, statistics, self._flat, rows, targets, self._sizes, self._codes("identity"), self._settings({}),
            self._loss_code, step,
        )  # fmt: skip
        return loss

    def _training_loss(self, rows: np.ndarray, targets: np.ndarray) -> float:
        """What a training step lowers: with dropout, the batch's own statistics, and the penalty of weight decay."""
        if self.dropout or self.batch_norm:
            grad, statistics = np.empty_like(self._flat), self._statistics.copy()
            loss = self._training_gradient(grad, statistics, rows, targets, max(self._steps, 1))
        else:
            loss = self._prediction_loss(rows, targets)
        return loss + self._penalty()

    def _penalty(self) -> float:
        """weight_decay / 2 times the sum of the squares of all weights."""
        if not self.weight_decay:
            return 0.0
        weights = [self.params[f"W{layer}"].astype(np.float64) for layer in range(1, len(self.layer_sizes))]
        return 0.5 * self.weight_decay * sum(float((weight * weight).sum()) for weight in weights)

    def _running(self) -> dict[str, np.ndarray]:
        """Views of the running statistics of batch normalization: mean1, variance1, mean2, ..."""
        views, start = {}, 0
        for layer, size in enumerate(self.layer_sizes[1:-1] if self.batch_norm else (), 1):
            for name in ("mean", "variance"):
                views[f"{name}{layer}"] = self._statistics[start : start + size]
                start += size
        return views

    def _prediction_params(self) -> np.ndarray:
        """The parameters of the network that predicts the same without batch normalization and dropout.

        With the running mean m and variance v, s = gamma / sqrt(v + eps): gamma n(x W + b) + beta = x (W s) +
        ((b - m) s + beta). What the book's dropout multiplies outputs by goes into the weights that follow.
        """
        if not self.batch_norm and not (self.book and self.dropout):
            return self._flat
        flat = np.empty(Params.count(self.layer_sizes), self.dtype)
        folded, running, keep = Params(flat, self.layer_sizes), self._running(), 1.0
        for layer in range(1, len(self.layer_sizes)):
            weight, bias = self.params[f"W{layer}"] * self.dtype.type(keep), self.params[f"b{layer}"]
            if f"gamma{layer}" in self.params:
                gamma, beta = self.params[f"gamma{layer}"], self.params[f"beta{layer}"]
                scale = gamma / np.sqrt(running[f"variance{layer}"] + self.dtype.type(_norm_epsilon(self.book)))
                weight, bias = weight * scale, (bias - running[f"mean{layer}"]) * scale + beta
            folded[f"W{layer}"][...], folded[f"b{layer}"][...] = weight, bias
            keep = 1 - self.dropout if self.book else 1.0
        return flat

    def _forward(self, rows: np.ndarray, output_activation: str) -> np.ndarray:
        out = np.empty((len(rows), self.layer_sizes[-1]), self.dtype)
        params = self._prediction_params()
        self._kernels.network_forward(out, params, rows, self._sizes, self._codes(output_activation))
        return out

    def _prediction_loss(self, rows: np.ndarray, targets: np.ndarray) -> float:
        loss: float = self._kernels.network_loss(
            self._prediction_params(), rows, targets, self._sizes, self._codes("identity"), self._loss_code
        )
        return loss

    def _loss_of(self, out: np.ndarray, targets: np.ndarray) -> float:
        return float(getattr(self._kernels, self.loss_name)(np.empty_like(out), out, targets))

    def _accuracy_of(self, out: np.ndarray, targets: np.ndarray) -> float:
        if self.loss_name == "sigmoid_cross_entropy":
            return float(np.mean(np.all((out > 0) == (targets > 0.5), axis=1)))
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        return float(np.mean(out.argmax(axis=1) == labels))

    def _evaluate(self, rows: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        out = self._forward(rows, "identity")
        result = {"loss": self._loss_of(out, targets)}
        if self.loss_name != "squared_error":
            result["accuracy"] = self._accuracy_of(out, targets)
        return result

    def _orders(self, count: int, batch: int, sampling: str, epochs: int) -> np.ndarray:
        """The order of the samples in each epoch, a row for each; empty rows for all of them as they come."""
        if sampling == "replacement":
            return np.stack([self._rng.integers(count, size=count) for _ in range(epochs)])
        if batch == count:
            return np.empty((epochs, 0), np.int64)
        return np.stack([self._rng.permutation(count) for _ in range(epochs)])

    def _trainer(
        self, rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, batch: int, optimizer: Optimizer
    ) -> Callable[[np.ndarray, np.ndarray], None]:
        """A function of step losses to be written and the orders of samples, which takes that many steps."""
        first, second = optimizer.flat_state(self.params)
        codes, loss, train_steps = self._codes("identity"), self._loss_code, self._kernels.train_steps

        def take(step_loss: np.ndarray, orders: np.ndarray) -> None:
            rates, settings = optimizer.rates(len(step_loss)), self._settings(optimizer.flat_settings())
            train_steps(
                self._flat, first, second, self._statistics, step_loss, rows, targets, weights, orders, rates,
                self._sizes, codes, settings, loss, optimizer.code, batch, optimizer.steps,
            )  # fmt: skip
            optimizer.steps += len(step_loss)

        return take

    def _measure(
        self,
        history: History,
        rows: np.ndarray,
        targets: np.ndarray,
        held_out: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        if held_out is None:
            return
        result = self._evaluate(*held_out)
        history.val_loss.append(result["loss"])
        if "accuracy" in result:
            history.val_accuracy.append(result["accuracy"])
            history.accuracy.append(self._accuracy_of(self._forward(rows, "identity"), targets))


def _norm_epsilon(book: bool) -> float:
    return BOOK_NORM_EPSILON if book else NORM_EPSILON


@functools.lru_cache
def _settings(
    weight_decay: float, dropout: float, book: bool, seed: int, of_optimizer: tuple[tuple[str, float], ...]
) -> np.ndarray:
    """See FNN._settings; kept for the next call of `gradient`."""
    named = {
        **dict(of_optimizer),
        "l2": weight_decay,
        "dropout": dropout,
        "dropout_scale": 1.0 if book else 1 / (1 - dropout),
        "norm_epsilon": _norm_epsilon(book),
        "norm_momentum": NORM_MOMENTUM,
        "seed": seed,
    }
    return np.array([named.get(name, 0.0) for name in SETTINGS])


def load(path: str | os.PathLike[str], *, activations: Sequence[Activation] = ()) -> FNN:
    """The network that `FNN.save` wrote to a safetensors file: the same predictions, bit for bit.

    activations  those of the user that the network has, found by their names

    Raises FileNotFoundError, or ValueError if the file is not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):
        pass  # a file that cannot be read raises OSError, which names it
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{os.fspath(path)} is not a safetensors file: {error}") from error
    if metadata.get("format") != FILE_FORMAT:
        raise ValueError(
            f"{os.fspath(path)} must be a network saved by fastfnn, format {FILE_FORMAT!r}; "
            f"got format {metadata.get('format')!r}"
        )
    try:
        net = _from_description(json.loads(metadata["network"]), {item.name: item for item in activations})
        expected = {**net.params, **net._running()}
        if set(tensors) != set(expected):
            raise ValueError(f"it must hold {', '.join(expected)}; got {', '.join(sorted(tensors))}")
        for name, tensor in tensors.items():  # NaN too: a network that diverged loads as it was saved
            if tensor.shape != expected[name].shape or tensor.dtype != net.dtype:
                raise ValueError(f"{name} must be {expected[name].shape} of {net.dtype}, got {tensor.shape}")
            expected[name][...] = tensor
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: {error}") from error
    return net


def _from_description(description: dict[str, Any], given: dict[str, Activation]) -> FNN:
    names = description.pop("activation")
    for name in names:
        if name not in given and name not in ACTIVATIONS:
            raise ValueError(f"activations must hold the network's own activation {name!r}")
    activation = [given.get(name, name) for name in names]
    return FNN(description.pop("layer_sizes"), init=0.0, activation=activation, **description)


def _layer_sizes(value: Any) -> tuple[int, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)) or np.ndim(value) == 0:
        raise TypeError(f"layer_sizes must be a sequence of ints, got {type(value).__name__}")
    if len(value) < 2:
        raise ValueError(f"layer_sizes must have at least two entries, input and output, got {len(value)}")
    return tuple(validation.integer(f"layer_sizes[{i}]", size, 1) for i, size in enumerate(value))


def _activations(value: Any, hidden: int) -> tuple[str | Activation, ...]:
    def one(name: str, item: Any) -> str | Activation:
        if isinstance(item, Activation):
            return item
        if not isinstance(item, str):
            names = ", ".join(HIDDEN_ACTIVATIONS)
            raise TypeError(f"{name} must be one of {names}, or an Activation; got {type(item).__name__}")
        return validation.choice(name, item, HIDDEN_ACTIVATIONS)

    if isinstance(value, (str, Activation)):
        return (one("activation", value),) * hidden
    if not isinstance(value, Sequence):
        kinds = "a name, an Activation or a sequence of these"
        raise TypeError(f"activation must be {kinds}, got {type(value).__name__}")
    if len(value) != hidden:
        raise ValueError(f"activation must have one name per hidden layer, {hidden}, got {len(value)}")
    return tuple(one(f"activation[{i}]", item) for i, item in enumerate(value))


def _name(activation: str | Activation) -> str:
    return activation.name if isinstance(activation, Activation) else activation


def _dtype(value: npt.DTypeLike) -> np.dtype[Any]:
    try:
        dtype = np.dtype("" if value is None else value)  # NumPy takes None for float64
    except TypeError as error:
        raise TypeError(f"dtype must be float32 or float64, got {value!r}") from error
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}")
    return dtype


def init_std(init: float | str, inputs: int) -> float:
    """The standard deviation of the initial weights of a layer, see FNN."""
    if isinstance(init, str):
        return math.sqrt(INIT_GAIN[validation.choice("init", init, tuple(INIT_GAIN))] / inputs)
    return validation.nonnegative("init", init)


def _callers_level() -> int:
    """The stack level at which a warning points to the code that called into this file."""
    frames = (frame for frame, _ in traceback.walk_stack(sys._getframe(1)))
    return 1 + sum(1 for _ in itertools.takewhile(lambda frame: frame.f_globals is globals(), frames))


def _loss_of_each(loss: str, out: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The loss E_i of each sample, from the sums of the last layer: (N,) float64."""
    z = out.astype(np.float64)
    if loss == "squared_error":
        terms = 0.5 * np.square(z - targets)
    elif loss == "sigmoid_cross_entropy":
        terms = np.logaddexp(0, z) - z * targets
    else:
        rows = np.eye(z.shape[1])[targets] if targets.ndim == 1 else targets
        below = np.logaddexp.reduce(z, axis=1, keepdims=True) - z  # -log of the probabilities; 0 times infinity is 0
        terms = np.multiply(rows, below, out=np.zeros_like(z), where=rows != 0)
    return terms.sum(axis=1)  # type: ignore[no-any-return]


def _epoch_losses(step_losses: np.ndarray, batch: int, samples: int) -> list[float]:
    """For each epoch, a row, the mean over samples of the batches' mean losses: the last batch may be smaller."""
    last = samples - batch * (step_losses.shape[1] - 1)
    losses: list[float] = ((batch * step_losses[:, :-1].sum(axis=1) + last * step_losses[:, -1]) / samples).tolist()
    return losses


class _Pace:
    """How many steps to take in a compiled call: as many as take a fifth of a second, so that Python gets its turn.

    Between calls the progress bar moves and Ctrl-C is heard. A single step is not divided, however long it takes.

    together  whole multiples of so many steps go into a call, since a call's steps on one sample each are computed in
              such groups: rounding would else follow the clock
    """

    SECONDS = 0.2
    MOST_SAMPLES = 1 << 17  # of several epochs: their order takes 8 bytes for each

    def __init__(self, together: int) -> None:
        self.together = self.count = together

    def epochs(self, steps: int, samples: int) -> int:
        """How many epochs of so many steps, and samples, may go into one call: one, if it is not sure that more may."""
        return max(1, min(self.count // steps, self.MOST_SAMPLES // samples))

    def slices(self, steps: int) -> Iterator[tuple[int, int]]:
        """Ranges of steps, one for each call, which are timed while the caller is at them."""
        first = 0
        while first < steps:
            last = min(first + self.count, steps)
            start = time.perf_counter()
            yield first, last
            seconds = max(time.perf_counter() - start, 1e-6)
            possible = int(min((last - first) * self.SECONDS / seconds, 10 * self.count))  # the first may be slower
            self.count = max(possible // self.together, 1) * self.together
            first = last


@contextlib.contextmanager
def _progress(show: bool, steps: int) -> Iterator[Any]:
    """Two functions, to call after some steps and after each epoch: for a bar of so many steps and a line per epoch."""
    if not show:
        yield lambda count: None, lambda history, epochs: None
        return
    from tqdm import tqdm

    def announce() -> None:
        tqdm.write("compiling the kernels for this machine: once, then they are loaded from disk")

    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar, on_first_compilation(announce):
        yield bar.update, lambda history, epochs: tqdm.write(_epoch_line(history, epochs))


def _epoch_line(history: History, epochs: int) -> str:
    parts = [f"epoch {history.epochs:>{len(str(epochs))}}/{epochs}", f"loss {history.loss[-1]:.4f}"]
    if history.accuracy:
        parts.append(f"accuracy {history.accuracy[-1]:.4f}")
    if history.val_loss:
        parts.append(f"test loss {history.val_loss[-1]:.4f}")
    if history.val_accuracy:
        parts.append(f"test accuracy {history.val_accuracy[-1]:.4f}")
    return "  ".join([*parts, f"{history.samples_per_second[-1]:,.0f} samples/s"])
