"""What is measured of given outputs: the loss of each sample, accuracy, and the metrics of `FNN.fit`.

Nothing here knows the network. `outputs` has the losses and the accuracy, `classification` and `regression` the other
metrics, `named` their names and the metrics of a user.
"""

from fastfnn.metrics.named import Metric, checked_metrics, higher_is_better
from fastfnn.metrics.outputs import accuracy, loss_of_each

__all__ = ["Metric", "accuracy", "checked_metrics", "higher_is_better", "loss_of_each"]
