"""The estimators of fastfnn.sklearn: `fit` and `predict` on synthetic data, and the memory that large samples take."""

import contextlib
import importlib
import tempfile
import warnings

import numpy as np

from .common import DTYPES, Compiled, normal

# (samples, features, classes)
SIZES = {"small": (150, 4, 3), "medium": (2000, 64, 10)}
EPOCHS = {"small": 20, "medium": 5}


def classifier(**options):
    """An MLPClassifier; NotImplementedError where this version, or scikit-learn, is not there."""
    try:
        module = importlib.import_module("fastfnn.sklearn")
    except ImportError as error:
        raise NotImplementedError("no fastfnn.sklearn") from error
    return module.MLPClassifier(random_state=0, **options)


def fit(model, x, y):
    """Fit without the warning that a few epochs do not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)


class _Estimator(Compiled):
    params = [list(SIZES), DTYPES]
    param_names = ["size", "dtype"]

    def prepare(self, size, dtype):
        samples, features, classes = SIZES[size]
        self.x, self.y = normal(samples, features, dtype=dtype), np.arange(samples) % classes
        self.model = classifier(max_iter=EPOCHS[size])
        fit(self.model, self.x, self.y)


class EstimatorFit(_Estimator):
    """Some epochs of the default network, one hidden layer of 100, with Adam and batches of 200."""

    regress = [("small", "float64"), ("medium", "float32")]

    def setup(self, size, dtype):
        self.prepare(size, dtype)

    def time_fit(self, size, dtype):
        fit(self.model, self.x, self.y)


class EstimatorPredict(_Estimator):
    """`predict` of all samples: from classes to labels, with the checks of scikit-learn."""

    def setup(self, size, dtype):
        self.prepare(size, dtype)
        self.model.predict(self.x)

    def time_predict(self, size, dtype):
        self.model.predict(self.x)


class EstimatorPredictOneRow(_Estimator):
    """`predict` of one row: what the checks of each call cost."""

    def setup(self, size, dtype):
        self.prepare(size, dtype)
        self.row = self.x[:1].copy()
        self.model.predict(self.row)

    def time_predict(self, size, dtype):
        self.model.predict(self.row)


class MemoryOfSamples(Compiled):
    """The peak memory of a process that fits samples of 1 GB in a file: a copy of them would show.

    The kernel counts the pages of the file that the process has read. float64 samples train a float32 network.
    """

    params = [DTYPES]
    param_names = ["samples"]

    BYTES = 1 << 30
    FEATURES = 1 << 10

    def setup_cache(self):
        """Compile in another process, since the compiler needs more memory than a fit."""
        with contextlib.suppress(NotImplementedError):  # `setup` raises it again; here asv takes it for a failure
            for samples in self.params[0]:
                self.prepare(samples, 4096)
                fit(self.model, self.x, self.y)

    def setup(self, samples):
        self.prepare(samples, 4096)
        fit(self.model, self.x, self.y)  # loads what `setup_cache` has compiled
        self.prepare(samples, self.BYTES // (self.FEATURES * np.dtype(samples).itemsize))

    def prepare(self, samples, count):
        with tempfile.TemporaryFile() as file:
            file.truncate(count * self.FEATURES * np.dtype(samples).itemsize)
            self.x = np.memmap(file, samples, "r", shape=(count, self.FEATURES))
        self.y = np.arange(count) % 4
        self.model = classifier(hidden_layer_sizes=(16,), batch_size=512, max_iter=2, dtype="float32")

    def peakmem_fit(self, samples):
        fit(self.model, self.x, self.y)
