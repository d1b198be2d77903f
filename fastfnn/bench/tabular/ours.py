"""Our estimators with a preset, and what they leave for PyTorch's TabM: the same samples, network and schedule."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pandas as pd

import fastfnn
from fastfnn.bench.tabular.data import Split
from fastfnn.bench.tabular.learner import Fitted
from fastfnn.bench.tabular.learner import Learner as Base
from fastfnn.bench.tabular.learners import OURS
from fastfnn.tabular import TabularClassifier, TabularRegressor

VERSIONS = {"fastfnn": fastfnn.__version__}

WARM_UP_ROWS = 400

# Fields of the recipe that PyTorch's TabM takes over.
SHARED = ("weight_decay", "dropout", "label_smoothing")


class Learner(Base):
    """An estimator with a preset: "fastfnn" has the default one, "fastfnn best" that of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.preset: str = name.removeprefix(OURS).strip() or "default"
        self.warm: set[bool] = set()

    def fit(self, split: Split, seed: int, shared: str | None) -> Fitted:
        if (kind := bool(split.classes)) not in self.warm:  # what the first fit of a process loads is not timed
            self.warm.add(kind)
            self._make(split, seed, max_epochs=1).fit(split.x_train[:WARM_UP_ROWS], split.y_train[:WARM_UP_ROWS])
        model = self._make(split, seed).fit(split.x_train, split.y_train)
        if shared is not None:
            leave(shared, model, split)
        epochs = model.n_epochs_ * len(model.networks_)
        return Fitted(model, model.fit_time_, model.n_epochs_, model.fit_time_ / epochs)

    def predict(self, fitted: Fitted, x: pd.DataFrame) -> np.ndarray:
        model = fitted.model
        found: np.ndarray = model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)
        return found

    def _make(self, split: Split, seed: int, **options: Any) -> Any:
        kind = TabularClassifier if split.classes else TabularRegressor
        return kind(self.preset, random_state=seed, **options)


def leave(path: str, model: Any, split: Split) -> None:
    """Write the prepared rows and the settings of a fitted estimator to a file that tabm_learner.py reads."""
    network, recipe = model.network_, model.recipe_
    held_out = round(model.validation_fraction * len(split.x_train))
    batch_size = recipe.batch(len(split.x_train) - held_out)
    steps = math.ceil((len(split.x_train) - held_out) / batch_size)
    planned = recipe.epochs(steps) * steps
    settings = {
        "features": [dataclasses.asdict(feature) for feature in network.features],
        "hidden": network.layer_sizes[1:-1],
        "members": network.members,
        "scaled": network.scaled,
        "held_out": held_out,
        "batch_size": batch_size,
        "epochs": model.n_epochs_,
        **{name: getattr(recipe, name) for name in SHARED},
    }
    np.savez(
        path,
        settings=np.array(json.dumps(settings)),
        rates=recipe.rates(np.arange(model.n_epochs_ * steps) / planned),
        x_train=model._prepared(split.x_train).astype(np.float32),
        x_test=model._prepared(split.x_test).astype(np.float32),
    )
