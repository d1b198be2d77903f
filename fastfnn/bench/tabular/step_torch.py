"""PyTorch's step of TabM-mini and TabM: modules of the packages tabm and rtdl_num_embeddings, and AdamW.

The embedding is that of version "A", which computes what ours does, with positions in bins of width 1. `Peer` takes the
parameters of our network; so both must reach the same losses.
"""

from typing import Any

import numpy as np
import rtdl_num_embeddings
import tabm
import torch

from fastfnn.bench.peer import seconds_of
from fastfnn.bench.tabular.step import CHECKED_STEPS, StepCase

TRIED = 0.3  # seconds for which each variant of AdamW is timed, to keep the faster one
RATE, DECAY = 1e-3, 0.01  # as fastfnn.AdamW


class _Network(torch.nn.Module):
    """Embeddings of the features, a backbone of members, and a head for each."""

    def __init__(self, case: StepCase) -> None:
        super().__init__()
        edges = [torch.arange(case.bins + 1, dtype=torch.float32)] * case.features
        self.embedding: Any = rtdl_num_embeddings.PiecewiseLinearEmbeddings(
            edges, case.width, activation=False, version="A"
        )
        self.view: Any = tabm.EnsembleView(k=case.members)
        self.backbone: Any = tabm.make_tabm_backbone(
            d_in=case.features * case.width,
            n_blocks=len(case.hidden),
            d_block=case.hidden[0],
            dropout=0.0,
            k=case.members,
            arch_type="tabm" if case.scaled else "tabm-mini",
            start_scaling_init="normal",
            start_scaling_init_chunks=[case.width] * case.features,
        )
        self.output: Any = tabm.LinearEnsemble(case.hidden[-1], 1, k=case.members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.output(self.backbone(self.view(self.embedding(x).flatten(1))))
        return out


class Peer:
    """A step as users of PyTorch write it, on all threads."""

    x: torch.Tensor
    targets: torch.Tensor
    optimizer: torch.optim.Optimizer
    variant: str

    def __init__(self, case: StepCase, name: str) -> None:
        self.case: StepCase = case
        self.versions: dict[str, str] = {"torch": str(torch.__version__), "tabm": str(tabm.__version__)}
        self.x, self.targets = map(torch.from_numpy, case.data())
        self.rng: np.random.Generator = np.random.default_rng(1)
        self.module: Any = _Network(case)
        self._set(case.network().arrays)
        self.network: Any = torch.compile(self.module) if name == "torch-compiled" else self.module
        self.optimizer, self.variant = self._faster()

    def losses(self) -> list[float]:
        """Return the losses of the first steps, on the first rows, and begin anew."""
        self._set(self.case.network().arrays)
        self.optimizer.state.clear()
        batches = torch.arange(CHECKED_STEPS * self.case.batch_size).split(self.case.batch_size)
        return [float(self._step(rows)) for rows in batches]

    def work(self, passes: int) -> None:
        for _ in range(passes):
            for rows in torch.from_numpy(self.rng.permutation(len(self.x))).split(self.case.batch_size):
                self._step(rows)

    def _step(self, rows: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        out = self.network(self.x[rows])
        loss = 0.5 * (out - self.targets[rows].unsqueeze(1)).square().sum(-1).mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _faster(self) -> tuple[torch.optim.Optimizer, str]:
        """Return the fastest AdamW of PyTorch's three, and its name."""
        times = {}
        for variant in ("foreach", "fused", "for-loop"):
            kinds = {"foreach": variant == "foreach", "fused": variant == "fused"}
            made = torch.optim.AdamW(self.module.parameters(), lr=RATE, weight_decay=DECAY, **kinds)
            self.optimizer = made
            self.work(1)
            times[variant] = seconds_of(lambda: self.work(1), TRIED), made
        best = min(times, key=lambda variant: times[variant][0])
        return times[best][1], f"AdamW {best}"

    @torch.no_grad()
    def _set(self, arrays: dict[str, np.ndarray]) -> None:
        """Set the parameters to those of our network, whose matrices are transposed."""
        tables = np.stack([arrays[f"embedding{number}"] for number in range(self.case.features)])
        self.module.embedding.linear.bias.copy_(torch.from_numpy(tables[:, 0]))
        self.module.embedding.linear.weight.copy_(torch.from_numpy(tables[:, 1:]))
        if not self.case.scaled:
            self.module.backbone.affine.weight.copy_(torch.from_numpy(arrays["scale1"]))
        for number, block in enumerate(self.module.backbone.blocks, 1):
            block[0].weight.copy_(torch.from_numpy(arrays[f"weight{number}"].T))
            block[0].bias.copy_(torch.from_numpy(arrays[f"bias{number}"]))
            if self.case.scaled:
                block[0].r.copy_(torch.from_numpy(arrays[f"scale{number}"]))
                block[0].s.copy_(torch.from_numpy(arrays[f"scale_out{number}"]))
        self.module.output.weight.copy_(torch.from_numpy(arrays["head"]))
        self.module.output.bias.copy_(torch.from_numpy(arrays["head_bias"]))
