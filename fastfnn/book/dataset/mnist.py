"""The digits of this package under the name of the book's module, for programs that are run without its folder."""

from fastfnn.datasets import load_mnist

__all__ = ["load_mnist"]
