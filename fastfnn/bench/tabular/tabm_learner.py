"""PyTorch's TabM with the samples, the network, the batches and the epochs of ours, which has left them in a file.

Modules are those of the packages tabm and rtdl_num_embeddings, put together as their README does. The learning rate
has the same schedule, and the state with the best validation score is kept, as ours does.
"""

import copy
import json
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rtdl_num_embeddings
import tabm
import torch
from torch import nn
from torch.nn import functional

from fastfnn.bench.peer import Unsupported
from fastfnn.bench.tabular.data import Split
from fastfnn.bench.tabular.learner import Fitted
from fastfnn.bench.tabular.learner import Learner as Base

VERSIONS: dict[str, str] = {"torch": str(torch.__version__), "tabm": str(tabm.__version__)}

PREDICTED_ROWS = 1024  # at a time


LEAST_GAP = 1e-3  # of knots on the scale of the standard normal distribution


def rising(knots: Sequence[float]) -> np.ndarray:
    """Return knots that rise, as the package demands: those at the ends of our scale are equal."""
    found = np.array(knots, np.float32)
    for number in range(1, len(found)):
        found[number] = max(found[number], found[number - 1] + LEAST_GAP)
    return found


class _Network(nn.Module):
    """Embeddings of the columns, a backbone of members, and a head for each.

    The embedding of bins is that of version "B", which the package recommends for TabM; numbers that ours takes as they
    are, 0 and 1 among them, go to the backbone as they are.
    """

    def __init__(self, settings: dict[str, Any], outputs: int) -> None:
        super().__init__()
        features, hidden, members = settings["features"], settings["hidden"], settings["members"]
        if len(set(hidden)) > 1:
            raise Unsupported("all hidden layers of the package have the same width")
        self.columns: dict[str, list[int]] = {
            kind: [number for number, feature in enumerate(features) if feature["kind"] == kind]
            for kind in ("plain", "bins", "categories")
        }
        of_bins = [features[number] for number in self.columns["bins"]]
        self.knots: list[torch.Tensor] = [torch.tensor(rising(feature["knots"])) for feature in of_bins]
        width = of_bins[0]["width"] if of_bins else 0
        self.bins: Any = (
            rtdl_num_embeddings.PiecewiseLinearEmbeddings(self.knots, width, activation=False, version="B")
            if of_bins
            else None
        )
        self.categories: nn.ModuleList = nn.ModuleList(
            nn.Embedding(features[number]["count"], features[number]["width"]) for number in self.columns["categories"]
        )
        chunks = [width] * len(of_bins) + [1] * len(self.columns["plain"])
        chunks += [table.embedding_dim for table in self.categories]
        self.view: Any = tabm.EnsembleView(k=members)
        self.backbone: Any = tabm.make_tabm_backbone(
            d_in=sum(chunks),
            n_blocks=len(hidden),
            d_block=hidden[0],
            dropout=settings["dropout"],
            k=members,
            arch_type="tabm" if settings["scaled"] else "tabm-mini",
            start_scaling_init="normal",
            start_scaling_init_chunks=chunks,
        )
        self.output: Any = tabm.LinearEnsemble(hidden[-1], outputs, k=members)

    def numbers(self, x: np.ndarray) -> torch.Tensor:
        """Return prepared samples with positions in bins replaced by the numbers between the knots."""
        found = x.copy()
        for number, knots in zip(self.columns["bins"], self.knots, strict=True):
            edges, position = knots.numpy(), x[:, number]
            below = np.clip(np.floor(position), 0, len(edges) - 2).astype(np.int64)
            found[:, number] = edges[below] + (position - below) * np.diff(edges)[below]
        return torch.from_numpy(found)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x[:, self.columns["plain"]]]
        if self.bins is not None:
            parts.insert(0, self.bins(x[:, self.columns["bins"]]).flatten(1))
        for table, number in zip(self.categories, self.columns["categories"], strict=True):
            parts.append(table(x[:, number].long().clamp(0, table.num_embeddings - 1)))
        out: torch.Tensor = self.output(self.backbone(self.view(torch.cat(parts, 1))))
        return out


class Model(NamedTuple):
    network: Any
    x_test: torch.Tensor
    center: float
    scale: float


class Learner(Base):
    """Trains and predicts with PyTorch, on all threads."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.classes: int = 0

    def fit(self, split: Split, seed: int, shared: str | None) -> Fitted:
        settings, rates, x_train, x_test = _left(shared)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        self.classes = split.classes
        center, scale = (0.0, 1.0) if split.classes else (split.y_train.mean(), split.y_train.std())
        network = _Network(settings, split.classes or 1)
        x = network.numbers(x_train)
        y = torch.from_numpy(split.y_train if split.classes else ((split.y_train - center) / scale).astype(np.float32))
        start = time.perf_counter()
        permuted = torch.from_numpy(rng.permutation(len(x)))
        valid, train = permuted.split([settings["held_out"], len(x) - settings["held_out"]])
        self._train(network, settings, rates, x, y, train, valid, rng)
        seconds = time.perf_counter() - start
        fitted = Model(network, network.numbers(x_test), float(center), float(scale))
        return Fitted(fitted, seconds, settings["epochs"], seconds / settings["epochs"])

    def predict(self, fitted: Fitted, x: pd.DataFrame) -> np.ndarray:
        """Return the predictions of the test rows, which ours has prepared."""
        model: Model = fitted.model
        assert len(x) == len(model.x_test)
        out = self._outputs(model.network, model.x_test).double().numpy()
        return out if self.classes else out[:, 0] * model.scale + model.center

    def _train(
        self, network: _Network, settings: dict[str, Any], rates: np.ndarray, x: torch.Tensor, y: torch.Tensor,
        train: torch.Tensor, valid: torch.Tensor, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Train for the epochs of ours, and leave the network with the parameters of the best one."""
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=settings["weight_decay"], fused=True)
        rate = iter(rates.tolist())
        best, kept = math.inf, copy.deepcopy(network.state_dict())
        for _ in range(settings["epochs"]):
            network.train()
            for rows in train[torch.from_numpy(rng.permutation(len(train)))].split(settings["batch_size"]):
                optimizer.param_groups[0]["lr"] = next(rate)
                optimizer.zero_grad(set_to_none=True)
                self._loss(network(x[rows]), y[rows], settings["label_smoothing"]).backward()
                optimizer.step()
            error = self._error(self._outputs(network, x[valid]), y[valid]) if len(valid) else -math.inf
            if error <= best:
                best, kept = error, copy.deepcopy(network.state_dict())
        network.load_state_dict(kept)

    def _loss(self, out: torch.Tensor, y: torch.Tensor, smoothing: float) -> torch.Tensor:
        """Return the mean of the members' losses for outputs (rows, members, outputs)."""
        if not self.classes:
            return functional.mse_loss(out[:, :, 0], y[:, None].expand(-1, out.shape[1])) / 2
        labels = y.repeat_interleave(out.shape[1])
        return functional.cross_entropy(out.flatten(0, 1), labels, label_smoothing=smoothing)

    def _error(self, out: torch.Tensor, y: torch.Tensor) -> float:
        if not self.classes:
            return float(functional.mse_loss(out[:, 0], y))
        return float(functional.nll_loss(out.clamp_min(1e-15).log(), y))

    @torch.inference_mode()
    def _outputs(self, network: _Network, x: torch.Tensor) -> torch.Tensor:
        """Return the mean over the members of numbers, or of probabilities."""
        network.eval()
        outs = [network(part) for part in x.split(PREDICTED_ROWS)]
        return torch.cat([(out.softmax(-1) if self.classes else out).mean(1) for out in outs])


def _left(shared: str | None) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    """Return what ours has left in the file: settings, learning rates, prepared rows for training and for the test."""
    try:
        with np.load(shared or "") as file:
            return json.loads(str(file["settings"])), file["rates"], file["x_train"], file["x_test"]
    except FileNotFoundError:
        raise Unsupported("it takes the samples of fastfnn, with which no preset was compared") from None
