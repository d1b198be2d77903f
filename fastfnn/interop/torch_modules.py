"""Modules that PyTorch lacks; imported by `torch.py` where a network needs one. At the top of a module for pickle."""

from typing import Any

import torch


class Exp(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not among the tools
    """e^x, the output of networks with the Poisson deviance."""

    def forward(self, x: Any) -> Any:
        """Return e^x."""
        return torch.exp(x)
