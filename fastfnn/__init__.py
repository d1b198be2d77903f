"""fastfnn: feed-forward neural networks, trained fast on a CPU.

Examples
--------
>>> import fastfnn as fnn
>>> (x, t), (x_test, t_test) = fnn.datasets.load_mnist()
>>> net = fnn.FNN((784, 50, 10), activation="sigmoid", init=0.01, seed=0)
>>> history = net.fit(x, t, epochs=10, batch_size=100, optimizer=fnn.SGD(0.1), validation_data=(x_test, t_test))
>>> net.accuracy(x_test, t_test) > 0.8
True
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastfnn import (
    callbacks,
    datasets,
    functions,
    layers,
    losses,
    optimizers,
    parallel,
    schedules,
    sources,
    threadpools,
)
from fastfnn.activation import Activation
from fastfnn.backend import get_num_threads, set_num_threads, show_config
from fastfnn.callbacks import Callback, EarlyStopping
from fastfnn.checkpoint import Checkpoint
from fastfnn.divergence import DivergenceError
from fastfnn.fn import FN
from fastfnn.history import History
from fastfnn.loss import Loss
from fastfnn.network import FNN, load
from fastfnn.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from fastfnn.parallel import DataParallel
from fastfnn.scaling import UnscaledDataWarning
from fastfnn.textbook import MultiLayerNet, TwoLayerNet

if TYPE_CHECKING:
    from fastfnn.interop.keras import from_keras
    from fastfnn.interop.scikit_learn import from_sklearn
    from fastfnn.interop.torch import from_torch

__version__ = "0.2.0"

__all__ = [
    "FN",
    "FNN",
    "SGD",
    "Activation",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Callback",
    "Checkpoint",
    "DataParallel",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "Loss",
    "Momentum",
    "MultiLayerNet",
    "Nesterov",
    "RMSprop",
    "TwoLayerNet",
    "UnscaledDataWarning",
    "callbacks",
    "datasets",
    "from_keras",
    "from_sklearn",
    "from_torch",
    "functions",
    "get_num_threads",
    "layers",
    "load",
    "losses",
    "optimizers",
    "parallel",
    "schedules",
    "set_num_threads",
    "show_config",
    "sources",
]

# The modules of functions that most programs do not need: imported when a program asks for the function.
_LATER = {
    "from_keras": "fastfnn.interop.keras",
    "from_sklearn": "fastfnn.interop.scikit_learn",
    "from_torch": "fastfnn.interop.torch",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


threadpools.register()
