"""Callbacks: functions that `FNN.fit` calls during training, to observe, to change the learning rate or to stop.

    net.fit(x, t, epochs=1000, validation_data=held_out, callbacks=[EarlyStopping(patience=20)])

A plain function (net, history) is called after each epoch; training stops when it returns a true value. This package
does not import the network: `net` is an `FNN` in all signatures.
"""

from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.checks import call_after_epoch as call_after_epoch
from fastfnn.callbacks.checks import checked_callbacks as checked_callbacks
from fastfnn.callbacks.csv_logger import CSVLogger
from fastfnn.callbacks.early_stopping import EarlyStopping
from fastfnn.callbacks.learning_rate_logger import LearningRateLogger
from fastfnn.callbacks.model_checkpoint import ModelCheckpoint
from fastfnn.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from fastfnn.callbacks.tensorboard import TensorBoard
from fastfnn.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LearningRateLogger",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
