"""The settings of a training step: a record of float64, which public kernels take as a vector.

Those of the update rule come first, then those of the gradient, then those of the layers.
"""

from ..compiler.memory import RecordAt, accessor, record_of


class Settings:
    """The fields of the record."""

    beta1: float
    beta2: float
    epsilon: float  # of the update rule
    decay: float  # AdamW: decoupled weight decay
    book: float  # Adam: 1 puts epsilon under the correction of the squares, as the book does; else 0
    l2: float  # the factor of the penalty, added to the gradient
    batch_l2: float  # the same for a whole batch: divided, like its losses, by the weight of the batch
    clip_norm: float  # the largest norm of the gradient
    dropout: float  # the probability that an output is dropped
    dropout_scale: float  # what the others are multiplied by
    norm_epsilon: float  # of batch normalization
    norm_momentum: float  # of its running mean and variance
    seed: float  # of dropout, an integer in [0, 2^32)


# The names of the settings in the order of the vector.
SETTINGS: tuple[str, ...] = tuple(Settings.__annotations__)

RECORD = record_of(Settings)

# The record at an address: settings_at(address).
settings_at: RecordAt = accessor(RECORD)
