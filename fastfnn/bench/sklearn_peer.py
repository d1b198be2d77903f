"""scikit-learn's MLPClassifier and MLPRegressor with the solver of the case, no regularization, no early stopping."""

import warnings
from typing import Any, ClassVar

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastfnn.bench.cases import Case, Data
from fastfnn.bench.peer import Peer as Base
from fastfnn.bench.peer import Unsupported

ACTIVATIONS = {"sigmoid": "logistic"}

FOREVER = 10**9


class Peer(Base):
    """`fit` with warm_start is timed; `partial_fit` is used for the check."""

    versions: ClassVar[dict[str, str]] = {"scikit-learn": sklearn.__version__}
    targets: np.ndarray
    net: Any

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops after max_iter passes on purpose
        classes = case.layers[-1]
        self.targets = data.targets
        if case.loss == "softmax_cross_entropy" and classes < 3:
            raise Unsupported("for two classes scikit-learn has one logistic output")
        if case.loss == "softmax_cross_entropy" and case.samples < classes:
            raise Unsupported("scikit-learn needs a sample of every class in every fit")
        if case.loss == "sigmoid_cross_entropy":
            if classes < 2:
                raise Unsupported("scikit-learn takes one column of targets for two classes")
            self.targets = data.targets.astype(np.int64)
        elif classes == 1:
            self.targets = data.targets.ravel()
        kind = MLPRegressor if case.loss == "squared_error" else MLPClassifier
        self.net = kind(
            hidden_layer_sizes=case.layers[1:-1],
            activation=ACTIVATIONS.get(case.activation, case.activation),
            solver=case.optimizer,
            alpha=0.0,
            batch_size=case.batch_size,
            learning_rate_init=case.learning_rate,
            shuffle=case.steps > 1,
            random_state=0,
            tol=0.0,
            momentum=0.0,
            nesterovs_momentum=False,
            n_iter_no_change=FOREVER,
        )
        self._partial_fit(self.data.x, self.targets)  # allocates the arrays

    def reset(self) -> None:
        arrays = zip(self.net.coefs_, self.net.intercepts_, self.data.weights, strict=True)
        for coefs, intercepts, (weight, bias) in arrays:
            coefs[...], intercepts[...] = weight, bias
        if hasattr(self.net, "_optimizer"):
            del self.net._optimizer  # partial_fit would continue with its state
        self.net.t_ = self.net.n_iter_ = 0
        self.net.loss_curve_ = []

    def train(self, passes: int) -> None:
        self.net.set_params(max_iter=passes, warm_start=True)
        self.net.fit(self.data.x, self.targets)

    def losses(self, steps: int) -> list[float]:
        x, targets = self.data.x[: self.case.batch_size], self.targets[: self.case.batch_size]
        # scikit-learn takes the mean of squared errors over the outputs, the case their sum.
        outputs = self.case.layers[-1] if self.case.loss == "squared_error" else 1
        found = []
        for _ in range(steps):
            self._partial_fit(x, targets)
            found.append(float(self.net.loss_) * outputs)
        return found

    def _partial_fit(self, x: np.ndarray, targets: np.ndarray) -> None:
        self.net.set_params(warm_start=False)  # with warm_start a batch would need every class
        if self.case.loss == "squared_error":
            self.net.partial_fit(x, targets)
        else:
            self.net.partial_fit(x, targets, classes=np.arange(self.case.layers[-1]))

    def predict(self) -> np.ndarray:
        result: np.ndarray
        if self.case.loss == "squared_error":
            result = self.net.predict(self.data.x)
        else:
            result = self.net.predict_proba(self.data.x)
        return result
