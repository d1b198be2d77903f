"""Names of fastfnn for programs that must not import it, or run with several versions of it.

tests/tools/test_names.py compares them with those of the package.
"""

# The activations of hidden layers, in the order of their table.
ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu")
