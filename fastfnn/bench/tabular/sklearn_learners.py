"""scikit-learn's learners: gradient boosting on histograms, and the multilayer perceptron on scaled columns."""

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastfnn.bench.tabular.data import Split
from fastfnn.bench.tabular.learner import Fitted
from fastfnn.bench.tabular.learner import Learner as Base

VERSIONS = {"scikit-learn": sklearn.__version__}

# As its defaults are, but for a smaller learning rate, and as many trees as help on a part of the training rows.
LONG: dict[str, Any] = {"learning_rate": 0.05, "max_iter": 2000, "early_stopping": True, "n_iter_no_change": 20}


class Learner(Base):
    """An estimator with its defaults."""

    def fit(self, split: Split, seed: int, shared: str | None) -> Fitted:
        model = self._make(split, seed)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is the default
            model.fit(split.x_train, split.y_train)
        seconds = time.perf_counter() - start
        if self.name != "mlp":
            return Fitted(model, seconds)
        network = model.regressor_[-1] if isinstance(model, TransformedTargetRegressor) else model[-1]
        return Fitted(model, seconds, network.n_iter_, seconds / network.n_iter_)

    def predict(self, fitted: Fitted, x: pd.DataFrame) -> np.ndarray:
        model = fitted.model
        found: np.ndarray = model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)
        return found

    def _make(self, split: Split, seed: int) -> Any:
        if self.name != "mlp":
            kind = HistGradientBoostingClassifier if split.classes else HistGradientBoostingRegressor
            options: dict[str, Any] = LONG if self.name == "boosting-long" else {}
            return kind(categorical_features="from_dtype", random_state=seed, **options)
        texts = list(split.x_train.select_dtypes("category").columns)
        numbers = [name for name in split.x_train.columns if name not in texts]
        prepared = make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), texts),
        )
        kind = MLPClassifier if split.classes else MLPRegressor
        model = make_pipeline(prepared, kind(early_stopping=True, random_state=seed))
        return model if split.classes else TransformedTargetRegressor(model, transformer=StandardScaler())
