"""Work on single elements.

constants.py, operations.py, tracing.py    what the elementary functions are made of
elementary.py       exp, log, tanh and others that become vector code
tanh_table.py       tanh in float32 by a table in registers, on AVX-512
primitives.py       two operations for other kernels: a fused multiply-add, a choice without a branch
settings.py         the settings of a training step, as a record
checks.py           whether numbers are finite, and rows distributions
activations/        one file each, and a table of their codes
losses/             one file each, and a table of their codes
user_functions.py, code_fingerprint.py    functions that a user writes in Python, compiled
user_activations.py, user_losses.py       activations and losses of a user, which consist of them
update_rules/       one file each, and a table
dropout.py          outputs set to 0 at random
normalization.py    batch normalization
strided.py          rows of matrices with any strides
"""
