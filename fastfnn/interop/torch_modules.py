"""Modules that PyTorch lacks; imported by `torch.py` where a network needs one. At the top of a module for pickle."""

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:  # PyTorch is not among the tools
    Module = object
else:
    from torch.nn import Module


class Exp(Module):
    """e^x, the output of networks with the Poisson deviance."""

    def forward(self, x: Any) -> Any:
        """Return e^x."""
        return torch.exp(x)
