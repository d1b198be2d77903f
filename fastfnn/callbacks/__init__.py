"""Callbacks: functions that `FNN.fit` calls during training, to observe, to change the learning rate or to stop.

    net.fit(x, t, epochs=1000, validation_data=held_out, callbacks=[EarlyStopping(patience=20)])

A plain function (net, history) is called after each epoch; training stops when it returns a true value. This package
does not import the network: `net` is an `FNN` in all signatures.
"""

from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.checks import checked_callbacks
from fastfnn.callbacks.early_stopping import EarlyStopping

__all__ = ["Callback", "EarlyStopping", "checked_callbacks"]
