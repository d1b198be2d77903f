"""Looks for the settings of a classifier with scikit-learn's GridSearchCV: one fit after the other, then two at a time.

Threads are enough for the second search, since the kernels release Python's lock, and its scores have the same bits.
Then an ensemble of networks with the best settings is measured on samples that no search has seen.

Run it with the Python of an environment that has fastfnn[sklearn].
"""

import time
import warnings

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from fastfnn.sklearn import MLPClassifier

GRID = {
    "hidden_layer_sizes": [(20,), (100,), (50, 50)],
    "activation": ["tanh", "leaky_relu"],
    "alpha": [1e-4, 1e-2],
    "dropout": [0.0, 0.2],
}


def searched(x, y, jobs):
    """The search when it is done, and the seconds that it took."""
    search = GridSearchCV(MLPClassifier(max_iter=100, random_state=0), GRID)
    start = time.perf_counter()
    with joblib.parallel_config("threading", n_jobs=jobs):
        search.fit(x, y)
    return search, time.perf_counter() - start


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)  # 100 epochs are enough to compare settings
    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, random_state=0)
    scaler = StandardScaler().fit(x)
    x, x_test = scaler.transform(x), scaler.transform(x_test)
    MLPClassifier(activation="tanh", dropout=0.2, max_iter=1).fit(x, y)  # compiles, or loads what is compiled

    alone, seconds = searched(x, y, 1)
    scores = alone.cv_results_["mean_test_score"]
    print(f"{5 * len(scores)} fits one after the other: {seconds:.1f} s")
    together, seconds = searched(x, y, 2)
    same = np.array_equal(scores, together.cv_results_["mean_test_score"])
    print(f"two at a time: {seconds:.1f} s, {'the same' if same else 'other'} scores")

    best = together.best_params_
    print(f"best: {best}, accuracy {together.best_score_:.3f} in the search")
    network = MLPClassifier(**best, random_state=0).fit(x, y)
    ensemble = MLPClassifier(**best, random_state=0, n_estimators=10, n_jobs=2).fit(x, y)
    print(f"accuracy on test samples: {network.score(x_test, y_test):.3f}, of 10 networks together", end=" ")
    print(f"{ensemble.score(x_test, y_test):.3f}")


if __name__ == "__main__":
    main()
