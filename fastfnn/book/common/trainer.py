"""The book's `common.trainer`."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastfnn import streams, validation
from fastfnn.book.common import optimizer as optimizers
from fastfnn.book.common.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["Trainer", "os", "sys"]
__all__ += optimizers.__all__

_OPTIMIZERS = {
    "sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adagrad": AdaGrad, "rmsprop": RMSprop, "adam": Adam
}  # fmt: skip


class Trainer:
    """Trains a network by minibatches that `np.random.choice` draws anew for each step.

    Parameters
    ----------
    network : object
        Has `gradient`, `loss` and `accuracy`, and the arrays `params`.
    x_train, t_train, x_test, t_test : array
        Samples and targets.
    epochs : int, default 20
    mini_batch_size : int, default 100
    optimizer : str, default "SGD"
        Name of an optimizer of `common.optimizer`, in upper or lower case.
    optimizer_param : dict, optional
        Its arguments; ``{"lr": 0.01}`` by default.
    evaluate_sample_num_per_epoch : int, optional
        Measure accuracies on that many samples only.
    verbose : bool, default True
        Print the loss of each step, and the accuracies of each epoch.

    Attributes
    ----------
    train_loss_list : list of float
        Loss after each step, on its batch.
    train_acc_list, test_acc_list : list of float
        Accuracies, once an epoch: after its first step.
    """

    network: Any
    verbose: bool
    x_train: np.ndarray
    t_train: np.ndarray
    x_test: np.ndarray
    t_test: np.ndarray
    epochs: int
    batch_size: int
    current_epoch: int
    current_iter: int

    def __init__(
        self,
        network: Any,
        x_train: np.ndarray,
        t_train: np.ndarray,
        x_test: np.ndarray,
        t_test: np.ndarray,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, Any] = {"lr": 0.01},
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        self.network, self.verbose = network, verbose
        self.x_train, self.t_train, self.x_test, self.t_test = x_train, t_train, x_test, t_test
        self.epochs, self.batch_size = epochs, mini_batch_size
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        name = validation.choice("optimizer", optimizer.lower(), tuple(_OPTIMIZERS))
        self.optimizer: Any = _OPTIMIZERS[name](**optimizer_param)
        self.train_size: int = len(x_train)
        self.iter_per_epoch: float = max(self.train_size / mini_batch_size, 1)
        self.max_iter: int = int(epochs * self.iter_per_epoch)
        self.current_iter = self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []

    def train_step(self) -> None:
        """Take one step; measure the accuracies if it is the first of an epoch."""
        batch = np.random.choice(self.train_size, self.batch_size)
        x, t = self.x_train[batch], self.t_train[batch]
        self.optimizer.update(self.network.params, self.network.gradient(x, t))
        loss = self.network.loss(x, t)
        self.train_loss_list.append(loss)
        if self.verbose:
            streams.say(f"train loss:{loss}")
        if self.current_iter % self.iter_per_epoch == 0:
            self.current_epoch += 1
            count = self.evaluate_sample_num_per_epoch
            self.train_acc_list.append(self.network.accuracy(self.x_train[:count], self.t_train[:count]))
            self.test_acc_list.append(self.network.accuracy(self.x_test[:count], self.t_test[:count]))
            if self.verbose:
                train_acc, test_acc = self.train_acc_list[-1], self.test_acc_list[-1]
                streams.say(f"=== epoch:{self.current_epoch}, train acc:{train_acc}, test acc:{test_acc} ===")
        self.current_iter += 1

    def train(self) -> None:
        """Take all steps, then measure the accuracy on the test samples."""
        for _ in range(self.max_iter):
            self.train_step()
        accuracy = self.network.accuracy(self.x_test, self.t_test)
        if self.verbose:
            streams.say("=============== Final Test Accuracy ===============")
            streams.say(f"test acc:{accuracy}")
