"""NetworkEstimator: an estimator that holds a network: how it is drawn, limited to threads, asked and pickled.

`estimator.BaseMLP` trains it. Classifier and regressor add what they do with y, in the methods without a body here.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from fastfnn import FNN, names, validation
from fastfnn.backend import thread_limit
from fastfnn.initialization import draw_weights
from fastfnn.sklearn import ensemble, holder
from fastfnn.sklearn.data import Data, dtypes_to_keep, feature_names, outputs
from fastfnn.sklearn.parameters import activations
from fastfnn.sklearn.teams import ALONE, Team
from fastfnn.sklearn.workers import in_worker


class NetworkEstimator(BaseEstimator):
    """Base class of the estimators: all but their training."""

    out_activation_: str

    # What classifier and regressor define

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return samples and targets as arrays, or sparse arrays, by scikit-learn's validation."""
        raise NotImplementedError

    def _note_classes(self, y: Any, classes: Any) -> None:
        """Set the classes that the first `partial_fit` of a classifier is told."""

    def _learn_targets(self, y: Any, incremental: bool, team: Team = ALONE) -> None:
        """Set the attributes that describe the targets, those of all ranks of a team."""

    def _encoded(self, y: Any) -> np.ndarray:
        """Return validated targets as labels from 0 (N,), or as rows (N, K)."""
        raise NotImplementedError

    def _class_weights(self, y: Any, incremental: bool, team: Team = ALONE) -> np.ndarray | None:
        """Return the weight of each sample by its class, or None; classes are those of all ranks of a team."""
        return None

    def _output_count(self, targets: np.ndarray) -> int:
        """Return the number of outputs of the network."""
        raise NotImplementedError

    def _output_activation(self) -> str:
        """Return the output activation by scikit-learn's name."""
        raise NotImplementedError

    def _network_loss(self) -> Any:
        """Return the loss of the network, as `FNN` takes it."""
        raise NotImplementedError

    def _class_labels(self) -> Any:
        """Return the labels that the outputs of a classifier stand for; None for a regressor."""
        return None

    def _loss_divisor(self) -> int:
        """Return what the loss of the network is divided by where it is reported."""
        return 1

    def _classes_to_stratify(self, targets: np.ndarray) -> np.ndarray | None:
        """Return the classes whose shares the validation split keeps, or None."""
        return None

    def _score_of_outputs(self, out: np.ndarray, data: Data) -> float:
        """Return the score of the network's outputs, before the output activation, on validation data."""
        raise NotImplementedError

    # The network

    def _draw_network(self) -> FNN:
        """Return a network with initial weights, drawn in the order of scikit-learn, and make it the estimator's."""
        net = self._undrawn_network()
        # scikit-learn draws the weights of a network without hidden layers by its activation, too.
        kinds = net.activation or activations(self, 1 if isinstance(self.activation, str) else 0)
        draw_weights(net.params, self.init, kinds, self._random_state)
        if self.dropout:
            net._seed = int(self._random_state.randint(2**32, dtype=np.uint32))
        holder.bind(self, net)
        self.n_iter_ = self.t_ = 0
        return net

    def _undrawn_network(self) -> FNN:
        return FNN._undrawn(
            self._layer_sizes, activation=activations(self, len(self._layer_sizes) - 2), loss=self._network_loss(),
            dtype=self._dtype, weight_decay=0.0, dropout=float(self.dropout), batch_norm=bool(self.batch_norm),
            book=False,
        )  # fmt: skip

    def _threads(self) -> contextlib.AbstractContextManager[object]:
        """Limit the threads of kernels: to `n_threads`; inside a worker of joblib or Dask to one."""
        if self.n_threads is not None:
            return thread_limit(self.n_threads)
        return thread_limit(1) if in_worker() else contextlib.nullcontext()

    # Prediction

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the network, (N, K); of an ensemble, their mean."""
        check_is_fitted(self, ("coefs_", "estimators_"), all_or_any=any)
        if not self._is_valid(X):
            with validation.explained("X", X):
                X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=dtypes_to_keep(X), reset=False)
        activation = names.ACTIVATIONS.get(self.out_activation_, self.out_activation_)
        with self._threads():
            if hasattr(self, "estimators_"):
                return ensemble.mean_outputs(self, X, activation)
            return outputs(holder.network_of(self), X, activation)

    def _is_valid(self, X: Any) -> bool:
        """Return whether scikit-learn's validation would return X as it is: asking it takes longer than the network."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and X.dtype in (np.float64, np.float32)
            and getattr(self, "feature_names_in_", None) is None  # of X without names scikit-learn warns
            and validation.are_finite(X, X.dtype)
        )

    @property
    def network_(self) -> FNN:
        """The trained network, with what `coefs_` and `intercepts_` hold: for `FNN.save` and the like."""
        check_is_fitted(self, ("coefs_", "estimators_"), all_or_any=any)
        if hasattr(self, "estimators_"):
            raise AttributeError(f"network_ is that of a single network, got an ensemble of {len(self.estimators_)}")
        return holder.network_of(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained estimator to a safetensors file, which `fastfnn.sklearn.load` reads.

        `fastfnn.sklearn.save` does the same and says what the file holds; it also takes a pipeline that standardizes.

        Parameters
        ----------
        path : str or path-like
            The file; an existing file is replaced in one step.

        Raises
        ------
        OSError
            If the file cannot be written: an existing file is as it was.
        ValueError
            If the estimator is an ensemble, or parameters of the network were changed after the training.
        sklearn.exceptions.NotFittedError
            If the estimator is not trained.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastfnn.sklearn
        >>> model = fastfnn.sklearn.MLPRegressor(random_state=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "line.safetensors")
        ...     model.save(path)
        ...     twin = fastfnn.sklearn.load(path)
        >>> bool(twin.predict([[4.0]]) == model.predict([[4.0]]))
        True
        """
        from fastfnn.sklearn import files  # it imports the estimators

        files.write(self, path)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to an ONNX file, with the inputs and outputs that skl2onnx gives its models.

        Parameters
        ----------
        path : str or path-like
            The file, which is replaced in one step.

        Raises
        ------
        ImportError
            If the package onnx is missing: the extra ``fastfnn[onnx]`` has it.
        OSError
            If the file cannot be written.
        ValueError
            If the estimator has a `fastfnn.Activation` of a user, or more than 2 GiB of parameters.

        Notes
        -----
        The input is "X" (N, features), of the dtype of the weights. A classifier has the outputs "label" (N,), integers
        or strings, and "probabilities" (N, classes), as an array and not as dicts; with several labels "label" is 0 or
        1 for each, (N, classes). A regressor has the output "variable" (N, outputs). All networks of an ensemble are in
        the file. Names of features are in its property "feature_names".

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import onnxruntime
        >>> from fastfnn.sklearn import MLPRegressor
        >>> X = np.arange(3.0).reshape(3, 1)
        >>> model = MLPRegressor(random_state=0).fit(X, [1.0, 3.0, 5.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "line.onnx")
        ...     model.to_onnx(path)
        ...     session = onnxruntime.InferenceSession(path)
        >>> (out,) = session.run(["variable"], {"X": X})
        >>> np.allclose(out[:, 0], model.predict(X))
        True
        """
        from fastfnn.interop import onnx

        check_is_fitted(self, ("coefs_", "estimators_"), all_or_any=any)
        networks = [holder.network_of(member) for member in getattr(self, "estimators_", [self])]
        model = onnx.estimator_model(networks, self._class_labels(), type(self).__name__, feature_names(self))
        onnx.write(path, model)

    def __getstate__(self) -> dict[str, Any]:
        return holder.state_of(self, super().__getstate__())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
