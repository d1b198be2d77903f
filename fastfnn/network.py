"""FNN, a feed-forward neural network: prediction, loss, gradient, training, files.

A minibatch goes through `training.Training`: `draw_orders` draws it, `take_steps` hands it to the compiled loop, which
computes the forward pass, the loss, the backward pass and the update. `reference/` shows the same computation in
NumPy. `base.NetworkBase` holds the parameters and calls the kernels.
"""

from __future__ import annotations

import math
import os
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from fastfnn import continuation, files, stored, streams, validation
from fastfnn.activation import Activation
from fastfnn.backend import ACTIVATIONS
from fastfnn.base import NetworkBase
from fastfnn.callbacks import Callback
from fastfnn.checkpoint import Checkpoint
from fastfnn.history import History
from fastfnn.initialization import INIT_GAIN
from fastfnn.keeper import checked_training
from fastfnn.loss import Loss
from fastfnn.losses import BY_NAME, described_loss
from fastfnn.metrics import accuracy, checked_metrics
from fastfnn.optimizers import Optimizer
from fastfnn.options import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATION, activation_name, check_saved_name, saved_names
from fastfnn.own_functions import OwnFunctions
from fastfnn.parallel import training as parallel
from fastfnn.parallel.options import checked_parallel
from fastfnn.penalty import add_l2_gradient
from fastfnn.sources import Source
from fastfnn.sources.batches import as_source
from fastfnn.sources.evaluation import SourcePart
from fastfnn.sources.training import SourceTraining, check_unused
from fastfnn.training import Training

__all__ = ["FNN", "HIDDEN_ACTIVATIONS", "INIT_GAIN", "OUTPUT_ACTIVATION", "load"]

# Step h of the central difference: its error h^2 f'''/6 and the rounding error eps f / h are below 1e-8 in float64.
DIFFERENCE_STEP = 1e-4


class FNN(NetworkBase):
    """A feed-forward neural network (multilayer perceptron).

    Parameters
    ----------
    layer_sizes : sequence of int
        Units of the input, of each hidden layer and of the output; at least two.
    activation : str, Activation, or sequence of these, default "relu"
        Activation of the hidden layers, or one for each: "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu",
        "softplus", "silu", "gelu" or an `Activation`.
    loss : str, object of `fastfnn.losses`, or Loss, default "softmax_cross_entropy"
        What training minimizes; it decides the output activation, see Notes.
    init : float or {"he", "xavier", "glorot", "torch"}, default "xavier"
        Initial weights: the standard deviation of normal weights, or a rule, see Notes.
    dtype : {"float32", "float64"}, default "float32"
        Dtype of the parameters and of the arithmetic. Losses are accumulated in float64.
    seed : int, optional
        Makes the initial weights and every `fit` reproducible, bit for bit, with any number of threads.
    backend : {"kernels", "reference"}, default "kernels"
        The compiled kernels, or their plain NumPy twins.
    weight_decay : float, default 0
        L2 penalty: training minimizes the loss plus ``weight_decay / 2 * ||W||^2`` for each W. Biases are not
        penalized, and reported losses are without the penalty.
    dropout : float, default 0
        Probability with which training sets an output of a hidden layer to 0. It divides the other outputs by
        ``1 - dropout``, so that predictions need no scaling.
    batch_norm : bool, default False
        Normalize the sums of hidden layers over the batch; predictions use running statistics.
    book : bool, default False
        Use the book's variants: dropout scales the outputs by ``1 - dropout`` in predictions instead of training, and
        batch normalization adds 1e-6 to the variance instead of 1e-5.

    Attributes
    ----------
    params : Params
        W1, b1, W2, ... by name: writable views, W of shape (in_features, out_features).
    loss_function : Loss
        The loss, an object of `fastfnn.losses`; its name is `loss_name`.
    history : History or None
        That of the last `fit` or `partial_fit`, which fills it as it goes: what was measured up to an exception, such
        as KeyboardInterrupt, is here. None before the first one.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value. Every method checks its arguments before it changes anything.

    Notes
    -----
    With activations ``f_l`` and layers l = 1 to L, the network computes, from its input ``x_0``, ::

        u_l = x_{l-1} W_l + b_l
        x_l = f_l(u_l)

    With batch normalization a hidden layer is ``x_l = f_l(gamma_l n(u_l) + beta_l)``, where n subtracts the mean of the
    batch and divides by its standard deviation.

    The loss decides the activation ``f_L`` of the output:

    - "softmax_cross_entropy", for classes that exclude each other: softmax;
    - "sigmoid_cross_entropy", for two classes as one output, or for several labels: the sigmoid;
    - "squared_error", "huber", "absolute_error", "quantile", for real targets, and a `Loss`: the identity;
    - "poisson", for counts: the exponential.

    Initial weights of a layer with I inputs and O outputs, by `init`:

    - a number s, "xavier" or "he": normal with the standard deviation s, ``sqrt(1 / I)`` or ``sqrt(2 / I)``; biases are
      0;
    - "torch": weights and biases uniform within ``+-sqrt(1 / I)``, as in PyTorch;
    - "glorot": weights and biases uniform within ``+-sqrt(6 / (I + O))``, with 2 instead of 6 for the sigmoid, as in
      scikit-learn.

    The page "Initialization" of the documentation compares them.

    Names that activations and losses have in Keras, PyTorch and scikit-learn, such as "swish" and "mse", are known,
    whatever their case; a loss of such a name may differ from ours by a constant factor or term.

    Samples of any real dtype and memory layout are converted to `dtype` a batch at a time, so that there is no copy of
    all of them: they may be a read-only memory map larger than memory. Only small ones, up to 32 MB in `dtype`, are
    converted once for all epochs of a `fit`, and those in another byte order than the machine's and long doubles as a
    whole. Arrays of `dtype` whose rows are contiguous are read where they lie and train fastest; in Fortran order, each
    element of a random row lies on another cache line.

    Frames of pandas and polars are converted as a whole, unless all of their columns have one dtype of NumPy. Nullable
    and Boolean columns count as numbers.

    References
    ----------
    Lecture notes, sections 1 and 3, in the orientation of their code (``x W + b``).

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 8, 2), activation="tanh", seed=0)
    >>> history = net.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=1000, optimizer=fnn.SGD(0.5))
    >>> net.accuracy([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])
    1.0
    """

    history: History | None = None
    _optimizer: Optimizer | None = None  # of the last training
    _optimizer_name: str | None = None  # what it was given as, if that was a name
    _compiled_for: tuple[object, ...] | None = None  # what decides which kernels it used

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer of the last `fit` or `partial_fit`, with its state; None before the first one."""
        return self._optimizer

    def predict(self, x: ArrayLike) -> np.ndarray:
        """Compute the output of the network.

        Parameters
        ----------
        x : (N, I) or (I,) array
            Samples, or a single sample.

        Returns
        -------
        (N, K) or (K,) array
            Probabilities for the cross-entropies, expected counts for the Poisson deviance, else values, in the
            network's dtype.

        Raises
        ------
        TypeError, ValueError
            If x does not hold finite real numbers, I for each sample.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((2, 3), init=0.0, dtype="float64")
        >>> net.predict([[1.0, 2.0], [3.0, 4.0]]).round(4)
        array([[0.3333, 0.3333, 0.3333],
               [0.3333, 0.3333, 0.3333]])
        >>> net.predict([1.0, 2.0]).shape
        (3,)
        """
        array = validation.as_array("x", x)
        single = array.ndim == 1
        rows = self._samples_to_predict("x", array[np.newaxis] if single else array)
        out = self._forward(rows, self.loss_function.output_activation)
        return out[0] if single else out

    def loss(self, x: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the mean loss of the predictions.

        Parameters
        ----------
        x : (N, I) array
            Samples.
        t : array
            Targets. Softmax cross-entropy takes labels from 0 to K - 1, (N,) or (N, 1), as whole numbers (booleans for
            K = 2), or rows (N, K) that sum to 1. Sigmoid cross-entropy takes rows (N, K) in [0, 1], the Poisson
            deviance rows of at least 0, the other losses rows of real numbers; with K = 1 all of these also take (N,).
            With a `Loss` of your own NaN may stand for a target that is missing.
        sample_weight : (N,) array, optional
            Weights ``w_i`` of the samples, finite and not negative; 1 by default.

        Returns
        -------
        float
            ``sum_i w_i E_i / N``, accumulated in float64, without the L2 penalty.

        Raises
        ------
        TypeError, ValueError
            If samples, targets or weights have a wrong type, shape or value.

        Notes
        -----
        The loss ``E_i`` of a sample with targets ``t_k`` and outputs ``y_k``, k = 1 to K, is ::

            softmax_cross_entropy  -sum_k t_k log y_k
            sigmoid_cross_entropy  -sum_k (t_k log y_k
                                           + (1 - t_k) log(1 - y_k))
            squared_error          1/2 sum_k (t_k - y_k)^2
            poisson                sum_k (y_k - t_k
                                          + t_k log(t_k / y_k))
            huber                  sum_k h(t_k - y_k)
            absolute_error         sum_k |t_k - y_k|
            quantile               sum_k max(q_k r_k, (q_k - 1) r_k)
            a `Loss`               sum_k e(y_k, t_k)

        with ``r_k = t_k - y_k``, Huber's function h and the levels ``q_k``.

        The classes of `fastfnn.losses` tell more of each, and have its parameters.

        References
        ----------
        Lecture notes, section 3.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((2, 3), init=0.0)
        >>> x, t = [[1.0, 2.0], [3.0, 4.0]], [2, 0]
        >>> round(net.loss(x, t), 4)  # -log(1/3)
        1.0986
        >>> round(net.loss(x, t, sample_weight=[1, 0]), 4)  # divided by the number of samples
        0.5493
        """
        if sample_weight is None:
            rows = validation.unchecked_samples("x", x, self.layer_sizes[0], self.dtype)
            loss = self._prediction_loss(rows, self._targets("t", t, len(rows)))
            if math.isnan(loss):
                self._samples("x", rows)  # raises if the samples are the reason
            return loss
        rows = self._samples("x", x)
        targets = self._targets("t", t, len(rows))
        weights = self._sample_weights(sample_weight, None, targets)
        losses = self._loss_of_each(self._forward(rows, "identity"), targets)
        return float((weights * losses).sum() / len(rows))

    def accuracy(self, x: ArrayLike, t: ArrayLike) -> float:
        """Compute the fraction of samples that are predicted correctly.

        Parameters
        ----------
        x, t : array
            Samples and targets, see `loss`.

        Returns
        -------
        float
            In [0, 1].

        Raises
        ------
        ValueError
            If the loss is not a cross-entropy: the others have no accuracy.

        Notes
        -----
        Softmax: the most probable class is the (most probable) target class. Sigmoid: all outputs of the sample are on
        the same side of 1/2 as their targets.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((1, 2))
        >>> net.params["W1"] = [[-1.0, 1.0]]  # class 1 for positive samples
        >>> net.accuracy([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 0, 1])
        0.75
        """
        if not self.loss_function.has_accuracy:
            raise ValueError(f"accuracy needs a network with a cross-entropy loss, got loss {self.loss_name!r}")
        rows = self._samples_to_predict("x", x)
        targets = self._targets("t", t, len(rows))
        return accuracy(self.loss_name, self._forward(rows, "identity"), targets)

    def evaluate(
        self,
        x: ArrayLike | Source | Iterable[Any],
        t: ArrayLike | None = None,
        metrics: Sequence[str | Callable[..., float]] | None = None,
    ) -> dict[str, float]:
        """Compute loss, accuracy and other metrics in one forward pass.

        Parameters
        ----------
        x : (N, I) array, or source
            Samples, see `loss`; or a source, as `fit` takes it, whose weights of samples multiply their losses. For
            `metrics` the outputs for all its rows are in memory.
        t : array
            Targets, see `loss`. None with a source.
        metrics : list of str or callable, optional
            Names of metrics, or functions of (t, y), see `fit`.

        Returns
        -------
        dict
            ``{"loss": ..., "accuracy": ...}``, "accuracy" only for the cross-entropies, and the metrics by name.

        Raises
        ------
        TypeError, ValueError
            If samples or targets have a wrong type, shape or value, or a metric does not suit the loss.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((1, 1), loss="squared_error", dtype="float64")
        >>> net.params["W1"], net.params["b1"] = [[2.0]], [1.0]
        >>> net.evaluate([[0.0], [1.0]], [1.0, 5.0], metrics=["mae", "r2"])
        {'loss': 1.0, 'mae': 1.0, 'r2': 0.5}
        """
        measured = checked_metrics(metrics, self.loss_function)
        if (source := as_source("x", x)) is not None:
            check_unused(t=t)
            return SourcePart(source).evaluate(self, measured)
        if t is None:
            raise TypeError("t must be given with an array x, got None; a source has none")
        rows = self._samples_to_predict("x", cast(ArrayLike, x))
        targets = self._targets("t", t, len(rows))
        return self._evaluate(self._forward(rows, "identity"), targets, measured)

    def gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, np.ndarray]:
        """Compute the gradient of a training step by back-propagation.

        Parameters
        ----------
        x, t : array
            Samples and targets, see `loss`.

        Returns
        -------
        dict of str to array
            The gradient with respect to each of `params`, under its name and in its shape.

        Raises
        ------
        TypeError, ValueError
            If samples or targets have a wrong type, shape or value.

        Notes
        -----
        With ``delta_l = dE/du_l``, where E is the mean loss, the recursion runs from the last layer to the first: ::

            delta_L = (y - t) / N
            delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T)
            dE/dW_l = x_{l-1}^T delta_l
            dE/db_l = sum of the rows of delta_l

        `fastfnn.reference.back_propagation` is this recursion in NumPy, in a few lines.

        The gradient includes that of the L2 penalty. Dropout draws a new mask at each call. Batch normalization uses
        the statistics of the rows of x and updates its running statistics.

        References
        ----------
        Lecture notes, section 3; D. Rumelhart, G. Hinton and R. Williams, Nature 323, 1986.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((1, 1), loss="squared_error", init=0.0, dtype="float64")
        >>> net.gradient([[1.0], [2.0]], [1.0, 3.0])  # the means of x (y - t) and of y - t, with y = 0
        {'W1': array([[-3.5]]), 'b1': array([-2.])}
        """
        if self.batch_norm:  # the kernel updates the running statistics even if a sample is not finite
            rows = self._samples("x", x)
        else:
            rows = validation.unchecked_samples("x", x, self.layer_sizes[0], self.dtype)
        targets = self._targets("t", t, len(rows))
        grad = np.empty(self._flat.size, self.dtype)
        loss = self._training_gradient(grad, self._statistics, rows, targets, self._steps + 1)
        if math.isnan(loss):
            self._samples("x", rows)  # raises if the samples are the reason
        self._steps += 1
        grads = self.params.views_of(grad)
        if self.weight_decay:
            add_l2_gradient(grads, self.params, self.weight_decay)
        return grads

    def numerical_gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, np.ndarray]:
        """Compute the gradient by central differences: slow, a check of `gradient`.

        Parameters
        ----------
        x, t : array
            Samples and targets, see `loss`.

        Returns
        -------
        dict of str to float64 array
            ``(E(w + h) - E(w - h)) / 2h`` for each parameter w, with h = 1e-4, computed in float64 for every dtype.

        Raises
        ------
        TypeError, ValueError
            If samples or targets have a wrong type, shape or value.

        Notes
        -----
        Dropout uses the mask of the last call of `gradient`.

        References
        ----------
        Lecture notes, section 4.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((2, 3, 2), activation="tanh", dtype="float64", seed=0)
        >>> x, t = [[0.0, 1.0], [1.0, 0.0]], [0, 1]
        >>> exact, numerical = net.gradient(x, t), net.numerical_gradient(x, t)
        >>> bool(max(abs(exact[name] - numerical[name]).max() for name in exact) < 1e-8)
        True
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

    def _in_float64(self) -> FNN:
        """Return a copy of the network in float64, for predictions and losses of training."""
        twin = FNN._undrawn(self.layer_sizes, backend=self.backend, **(self._options() | {"dtype": "float64"}))
        twin._flat[...], twin._steps, twin._seed = self._flat, self._steps, self._seed
        return twin

    def fit(
        self,
        x: ArrayLike | Source | Iterable[Any] | Callable[[], Iterable[Any]],
        t: ArrayLike | None = None,
        *,
        epochs: int = 10,
        batch_size: int | None = 100,
        optimizer: Optimizer | str | None = None,
        sampling: str = "shuffle",
        validation_data: tuple[ArrayLike, ArrayLike] | Source | Iterable[Any] | None = None,
        validation_split: float | None = None,
        metrics: Sequence[str | Callable[..., float]] | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | str | None = None,
        callbacks: Sequence[Callback | Callable[[FNN, History], Any]] | None = None,
        progress: bool | str = False,
        on_divergence: str = "raise",
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        resume: bool = False,
        comm: Any = None,
    ) -> History:
        """Train the network by gradient descent on minibatches.

        Parameters
        ----------
        x : (N, I) array, or source
            Training samples, see `loss`; or samples and targets of a `fastfnn.sources.Source`, for data larger than
            memory, or of an iterable of pairs (x, t), such as a DataLoader of PyTorch, see Notes.
        t : array
            Training targets, see `loss`. None with a source.
        epochs : int, default 10
            Passes over the training samples, at least 1.
        batch_size : int or None, default 100
            Samples per step: 1 is stochastic gradient descent, None is full-batch gradient descent, or, with an
            iterable, takes each of its items for a batch. The last batch of an epoch may be smaller.
        optimizer : Optimizer or str, optional
            From `fastfnn.optimizers`; SGD(0.1) by default. It keeps its state: a second `fit` with it continues. A name
            such as "adam" stands for a new object of that class with its default settings.
        sampling : {"shuffle", "replacement"}, default "shuffle"
            "shuffle" visits every sample once per epoch in random order. "replacement" draws each batch from all
            samples, as the code of the lecture notes does.
        validation_data : (x, t) or source, optional
            Samples and targets on which loss and accuracy are measured after each epoch. The accuracy on the training
            samples is then measured too, unless they are a source.
        validation_split : float, optional
            In place of `validation_data`: the fraction of the samples, between 0 and 1, that are held out from the
            training for it, see Notes.
        metrics : list of str or callable, optional
            What else to measure after each epoch, on the training samples and on validation data: names, or functions
            of (t, y) that return a number, see Notes.
        sample_weight : (N,) array, optional
            Weights ``w_i`` of the samples, finite and not negative, one of them above 0, see Notes.
        class_weight : dict or "balanced", optional
            Weights of the classes, by label, for softmax cross-entropy with labels or one-hot rows, see Notes.
        callbacks : list, optional
            `Callback` objects, or functions of (net, history) called after each epoch. Training stops after an epoch
            for which one of them returns a true value.
        progress : bool or "line", default False
            True shows a progress bar and prints a line for each epoch. "line" shows a single line in a terminal, with
            the losses, the speed and the time left, and nothing elsewhere.
        on_divergence : {"raise", "warn"}, default "raise"
            What happens if a loss, a parameter or a running statistic becomes NaN or infinite: "raise" goes back to the
            last good epoch and raises DivergenceError, "warn" trains on and warns at the end.
        checkpoint : Checkpoint, str or path-like, optional
            A folder, or a `Checkpoint` that tells more, where `fit` writes all that it needs to go on.
        resume : bool, default False
            Go on from the checkpoint if there is one, and begin anew if not, see Notes.
        comm : communicator of mpi4py or DataParallel, optional
            Train with all processes of this communicator, each of which calls `fit` with its share of the samples, see
            Notes; a `DataParallel` tells more.

        Returns
        -------
        History
            Losses, accuracies and times of the run: `history`; of a resumed one, from its first epoch on.

        Raises
        ------
        DivergenceError
            If training diverges and `on_divergence` is "raise". Parameters, running statistics and the optimizer are
            those after the last good epoch, with which `history` ends.
        OSError
            If a checkpoint cannot be written or read. The one before is as it was.
        ValueError
            If the checkpoint to resume from is damaged, or that of another training: the message names all that
            differs, and nothing is changed.

        Warns
        -----
        RuntimeWarning
            If the last training loss, or the parameters after it, are not finite and `on_divergence` is "warn".
        UnscaledDataWarning
            If, after ten steps or more, the loss is no better than that of a constant prediction, and the scales of two
            features differ by more than a factor of 100, or values of a feature or of real targets are above 30.

        Notes
        -----
        A step minimizes the sum of ``w_i E_i`` over its batch, divided by the number of samples, not by the sum of the
        weights. The losses in the history are such means, also those of samples that `validation_split` holds out;
        metrics do without weights. `class_weight` multiplies `sample_weight`, and does not affect `validation_data`: a
        dict maps labels to weights, 1 for missing ones, and "balanced" stands for
        ``N / (classes in t * samples of the class)``.

        `validation_split` draws samples at random: the last ones may all be of one class. It draws the same ones for
        the same number of samples, so that trainings can be compared, and so that a second `fit` does not hold out what
        the first one has seen. x is not copied.

        The names of `metrics` are "accuracy", "balanced_accuracy", "precision", "recall", "f1" and "auc" for
        cross-entropies, "mse", "rmse", "mae" and "r2" for other losses. A function gets targets t as labels (N,) or
        rows (N, K), and what `predict` returns, y (N, K). The history has them as ``history.metrics["mae"]`` and
        ``["val_mae"]``, but the accuracy as `History.accuracy` and `History.val_accuracy`.

        A source is read in windows of rows that are shuffled together; `fastfnn.sources.Source` says how. What needs
        all samples at once is an error: `sample_weight` (the source has the weights), `validation_split`,
        ``sampling="replacement"`` and ``class_weight="balanced"``. Metrics are measured on `validation_data` alone,
        and checkpoints need the number of samples. Of an iterable a `fastfnn.sources.BatchSource` is made.

        The checkpoint is one file, which is replaced in one step, about every 10 seconds and at the end. A training
        that was killed and resumed ends with the same bits as one that was not. To resume it, all rows and all
        arguments of the network and of `fit` must be the same, but for `epochs`, `progress` and `comm`. Without
        `resume` the first checkpoint that is written replaces an existing one.

        With `comm`, `batch_size` is the number of samples of a step over all ranks, and all arguments but samples must
        be the same on all of them. The network, its random state and the optimizer are those of rank 0, which alone
        shows progress, calls its callbacks and writes checkpoints; a callback may change learning rate and parameters.
        Validation data are those of all ranks together. An error on one rank is raised on all, or ends their processes
        if it comes in the middle of an epoch. A checkpoint can be resumed on another number of ranks: an unfinished
        epoch then goes on with the batches of that number, unless `DataParallel.parts` is the same.

        Any other exception, for example KeyboardInterrupt, leaves the network as it is after the last whole step. The
        optimizer's `steps` and the `history` agree with it: ``history.step_loss`` has the loss of each step, those of
        an unfinished epoch too. Training can go on with another `fit`.

        Compiled calls take about 0.2 seconds, so that Ctrl-C ends a training within half a second. What is not divided
        is a single step (that of full-batch gradient descent on many samples can take longer) and a user's own code.
        With "raise", `on_divergence` needs memory for a copy of the parameters and the optimizer's state.

        References
        ----------
        Lecture notes, section 4.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> (x, t), test = fnn.datasets.load_mnist()
        >>> net = fnn.FNN((784, 50, 10), seed=0)
        >>> history = net.fit(x, t, epochs=3, optimizer=fnn.Adam(), validation_data=test)
        >>> history.epochs, history.val_accuracy[-1] > 0.9
        (3, True)

        Until the loss on samples that are held out no longer falls, with another metric, and with the optimizer's state
        of the first training:

        >>> history = net.fit(
        ...     x, t, epochs=100, optimizer=net.optimizer, validation_split=0.2, metrics=["f1"],
        ...     callbacks=[fnn.EarlyStopping(patience=2)],
        ... )
        >>> history.epochs < 100, sorted(history.metrics)
        (True, ['f1', 'val_f1'])
        """
        arguments: dict[str, Any] = {
            name: value for name, value in locals().items() if name not in ("self", "x", "t", "comm")
        }
        arguments["given"] = None if checkpoint is None else dict(arguments)  # all of them: see `same_training`
        source, samples, targets = as_source("x", x), cast(ArrayLike, x), cast(ArrayLike, t)
        if comm is not None and (together := checked_parallel(comm)).parts > 1:
            if source is not None:
                raise ValueError("comm needs samples as arrays, of each rank its share, got a source")
            return parallel.fit(self, samples, targets, together, arguments)
        if source is not None:
            return SourceTraining(self, source, t, **arguments).run()
        return Training(self, samples, targets, **arguments).run()

    def partial_fit(
        self,
        x: ArrayLike,
        t: ArrayLike,
        *,
        batch_size: int | None = 100,
        optimizer: Optimizer | str | None = None,
        on_divergence: str = "raise",
    ) -> History:
        """Train for one epoch on the given samples, shuffled: for data that arrive in parts.

        Parameters
        ----------
        x, t : array
            Samples and targets, see `loss`.
        batch_size : int or None, default 100
            Samples per step; None takes one step with all of them.
        optimizer : Optimizer or str, optional
            By default that of the last `fit` or `partial_fit` of this network, which continues from its state; SGD(0.1)
            if there was none. The name that the last one got continues, too; another name begins anew.
        on_divergence : {"raise", "warn"}, default "raise"
            See `fit`; but the network stays as the step left it, since a copy would take long beside a few steps.

        Returns
        -------
        History
            Of this epoch.

        Raises
        ------
        DivergenceError
            If training diverges and `on_divergence` is "raise".
        TypeError, ValueError
            If samples, targets or other arguments have a wrong type, shape or value.

        Examples
        --------
        >>> import numpy as np
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((1, 1), loss="squared_error", seed=0)
        >>> for part in np.linspace(0, 1, 500).reshape(5, 100, 1):
        ...     history = net.partial_fit(part, 2 * part + 1, batch_size=10, optimizer="adam")
        >>> net.optimizer.steps
        50
        """
        if optimizer is None or (isinstance(optimizer, str) and optimizer == self._optimizer_name):
            optimizer = self._optimizer
        training = Training(
            self, x, t, epochs=1, batch_size=batch_size, optimizer=optimizer, on_divergence=on_divergence, partial=True
        )  # fmt: skip
        return training.run()

    def summary(self) -> None:
        """Print a line for each layer: its weights, activation and number of parameters.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> fnn.FNN((784, 50, 10)).summary()
        layer         weights  activation  parameters
            1        784 x 50  relu            39,250
            2         50 x 10  softmax            510
        total 39,760 parameters of float32, loss softmax_cross_entropy
        """
        names = [*map(activation_name, self.activation), self.loss_function.output_activation]
        streams.say(f"{'layer':>5}  {'weights':>14}  {'activation':<10}  {'parameters':>10}")
        for layer, name in enumerate(names, 1):
            inputs, outputs = self.layer_sizes[layer - 1 : layer + 1]
            count = sum(self.params[key].size for key in self.params if key.lstrip(string.ascii_letters) == str(layer))
            streams.say(f"{layer:>5}  {f'{inputs} x {outputs}':>14}  {name:<10}  {count:>10,}")
        streams.say(f"total {self._flat.size:,} parameters of {self.dtype}, loss {self.loss_function}")

    def save(self, path: str | os.PathLike[str], *, training: bool = False) -> None:
        """Write the parameters and the description of the network to a safetensors file.

        Parameters
        ----------
        path : str or path-like
            The file; an existing file is replaced, with its permissions. A symbolic link is followed.
        training : bool, default False
            Write also what training goes on with: the optimizer with its settings and state, and the random state. Of
            the loaded network `partial_fit`, and `fit` with its `optimizer`, continue with the same bits.

        Raises
        ------
        OSError
            If the file cannot be written: an existing file is as it was.
        ValueError
            If the name of a user's `Activation` or `Loss` is that of another one of the network or of a built-in one.
            With `training`, also if the optimizer is of a class of the user's own, or its learning rate is a function
            that is no schedule of `fastfnn.schedules`: a file holds no code.

        Notes
        -----
        `fastfnn.load` reads the file. It holds the names of a user's `Activation` and `Loss`, not their code.

        The network is written to a temporary file in the same folder, flushed to the disk, and given the name of the
        file in one step. Whenever the process or the machine fails, the file is the old or the new one, whole.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastfnn as fnn
        >>> net = fnn.FNN((2, 8, 2), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "net.safetensors")
        ...     net.save(path)
        ...     twin = fnn.load(path)
        >>> bool((twin.predict([1.0, 2.0]) == net.predict([1.0, 2.0])).all())
        True
        """
        training = validation.boolean("training", training)
        self._write(
            path, training=continuation.described(self, self._optimizer, self._optimizer_name) if training else None
        )

    def _description(self) -> dict[str, Any]:
        """Return the description of the network that a file holds; ValueError if a name in it would be ambiguous."""
        names = saved_names(self.activation)
        if not self.loss_function.built_in:
            check_saved_name("loss", self.loss_name, BY_NAME)
        loss = {"loss": self.loss_name, "loss_options": self.loss_function.options()}
        description = {"layer_sizes": list(self.layer_sizes)} | self._options() | loss | {"activation": names}
        if not loss["loss_options"]:
            del description["loss_options"]  # earlier versions of the package do not know it
        return description

    def _write(
        self,
        path: str | os.PathLike[str],
        sections: Mapping[str, Mapping[str, Any]] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the file of the network, with sections for what belongs to it, and what its training goes on with."""
        told, arrays = dict(sections or {}), dict[str, np.ndarray]()
        if training is not None:
            told["training"], arrays = stored.packed(training, "training")
        files.write(path, {**self.params, **self._running(), **arrays}, self._description(), told)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the network to an ONNX file, which ONNX Runtime and many other programs predict with.

        Parameters
        ----------
        path : str or path-like
            The file, which is replaced in one step, as by `save`.

        Raises
        ------
        ImportError
            If the package onnx is missing: the extra ``fastfnn[onnx]`` has it.
        OSError
            If the file cannot be written.
        ValueError
            If the network has an `Activation` of a user, or more than 2 GiB of parameters.

        Notes
        -----
        The model has the input "x" (N, I) and the output "out" (N, K), both of the network's dtype, with any number of
        rows N. It computes what `predict` returns, up to rounding. Batch normalization is part of the weights, dropout
        disappears. A network with a `Loss` of a user has the identity as output activation here too.

        The file is for predictions; `save` and `fastfnn.load` keep a network for more training.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import onnxruntime
        >>> import fastfnn as fnn
        >>> net, x = fnn.FNN((2, 8, 2), seed=0), np.ones((3, 2), np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "net.onnx")
        ...     net.to_onnx(path)
        ...     session = onnxruntime.InferenceSession(path)
        >>> (out,) = session.run(["out"], {"x": x})
        >>> np.allclose(out, net.predict(x))
        True
        """
        from fastfnn.interop import onnx

        onnx.write(path, onnx.network_model(self))

    def to_torch(self) -> Any:
        """Return the network as an ``nn.Sequential`` of PyTorch, with equal predictions.

        Returns
        -------
        torch.nn.Sequential
            In evaluation mode, with copies of the parameters, of the network's dtype. Its last module is the output
            activation, if there is one.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        ValueError
            If the network has an `Activation` of a user.

        See Also
        --------
        fastfnn.from_torch : The other direction.

        Notes
        -----
        A hidden layer is Linear, BatchNorm1d, the activation, Dropout; the identity is nn.Identity. ``model.train()``
        makes it ready for training with PyTorch, whose losses of logits, such as CrossEntropyLoss, take
        ``model[:-1]``.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> import fastfnn as fnn
        >>> net, x = fnn.FNN((2, 8, 2), seed=0), np.ones((3, 2), np.float32)
        >>> np.allclose(net.to_torch()(torch.from_numpy(x)).detach(), net.predict(x))
        True
        """
        from fastfnn.interop import torch

        return torch.to_torch(self)


def load(path: str | os.PathLike[str], *, activations: Sequence[Activation] = (), losses: Sequence[Loss] = ()) -> FNN:
    """Read a network that `FNN.save` wrote.

    Parameters
    ----------
    path : str or path-like
        A safetensors file.
    activations : sequence of Activation, optional
        The user's own activations that the network has; they are found by their names.
    losses : sequence of Loss, optional
        The user's own losses, of which the network may have one; it is found by its name.

    Returns
    -------
    FNN
        A network with the same predictions, bit for bit. If the file holds what training goes on with, `optimizer` is
        that of the saved network.

    Raises
    ------
    OSError
        If the file cannot be read, for example FileNotFoundError.
    ValueError
        If the file does not hold a network of fastfnn, `activations` lacks one of the network's activations, or
        `losses` its loss.

    Notes
    -----
    A file may come from anywhere: it holds no code, and whatever it describes, nothing is allocated that its arrays do
    not fill.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn as fnn
    >>> double = fnn.Activation(lambda x: 2 * x, lambda x: 2.0, name="double")
    >>> net = fnn.FNN((2, 8, 2), activation=double, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     net.save(path)
    ...     twin = fnn.load(path, activations=[double])
    >>> twin
    FNN(2-8-2, double; softmax_cross_entropy; float32)
    """
    return read(path, by_name("activations", activations, Activation), by_name("losses", losses, Loss))[0]


def read(
    path: str | os.PathLike[str], own: Mapping[str, Activation], own_losses: Mapping[str, Loss]
) -> tuple[FNN, files.SavedNetwork]:
    """Return the network of a file, and what else the file holds, of which the sections are unchecked; see `load`.

    `own` and `own_losses` are the user's activations and losses by their names.
    """
    with files.opened(path) as saved:
        options = saved.description
        dtype, loss = options["dtype"], options["loss"]
        # What compiling raises is no damage of the file.
        for name in options["activation"]:
            if name in own:
                own[name].code("kernels", dtype)
            elif name not in ACTIVATIONS:
                wanted = files.shortened(repr(name))
                raise ValueError(f"activations must hold the network's own activation {wanted} of {path}")
        options["activation"] = [own.get(name, name) for name in options["activation"]]
        if isinstance(loss, str) and loss not in BY_NAME:
            if loss not in own_losses:
                raise ValueError(f"losses must hold the network's own loss {files.shortened(repr(loss))} of {path}")
            own_losses[loss].code("kernels", dtype)
        with files.damage_reported(path):
            options["loss"] = described_loss(loss, options.pop("loss_options"), own_losses)
            net = FNN._undrawn(**options)
            training = checked_training(saved) if "training" in saved.sections else None
        saved.copy_into({**net.params, **net._running()})
        if training is not None:
            training.restore(net, training.optimizer)
            net._optimizer, net._optimizer_name = training.optimizer, training.given_as
    return net, saved


Own = TypeVar("Own", Activation, Loss)


def by_name(argument: str, values: Any, kind: type[Own]) -> dict[str, Own]:
    """Return the user's activations or losses by their names."""
    if isinstance(values, (str, OwnFunctions)) or not isinstance(values, Iterable):
        raise TypeError(f"{argument} must be a sequence of {kind.__name__}, got {type(values).__name__}")
    own: dict[str, Own] = {}
    for i, item in enumerate(values):
        if not isinstance(item, kind):
            wanted = "an Activation" if kind is Activation else "a Loss"
            raise TypeError(f"{argument}[{i}] must be {wanted}, got {type(item).__name__}")
        if own.setdefault(item.name, item) != item:
            raise ValueError(f"{argument} must have different names, got two with the name {item.name!r}")
    return own
