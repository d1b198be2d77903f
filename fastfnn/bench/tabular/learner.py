"""What a learner must offer to be compared."""

from typing import Any, NamedTuple

import pandas as pd

from fastfnn.bench.tabular.data import Split


class Fitted(NamedTuple):
    """A model after its training.

    model              what `predict` of the learner's module takes
    seconds            that fit took
    epochs             passes over the training rows, if there are such
    epoch_seconds      seconds of one of them
    """

    model: Any
    seconds: float
    epochs: int | None = None
    epoch_seconds: float | None = None


class Learner:
    """Base of the learners: fits models, and predicts the rows of a frame. Beside each stands its VERSIONS."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, split: Split, seed: int, shared: str | None) -> Fitted:
        """Fit a model to the training rows. `shared` is the file in which ours leaves what PyTorch's TabM needs."""
        raise NotImplementedError

    def predict(self, fitted: Fitted, x: pd.DataFrame) -> Any:
        """Return numbers (N,), or probabilities (N, classes)."""
        raise NotImplementedError
