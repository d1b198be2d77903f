"""What `fastfnn bench --tabular` compares. Nothing here imports a library: the worker does."""

import importlib.util
from typing import NamedTuple

OURS = "fastfnn"
BASELINE = "boosting"  # what errors are compared with, where it was measured


class Kind(NamedTuple):
    """A learner: its title, the module that has its function `fit`, the packages that this imports, its colour."""

    title: str
    module: str
    packages: tuple[str, ...]
    colour: str  # of Okabe and Ito


# Each preset of ours is a learner of its own: "fastfnn", "fastfnn best", ...
PEERS = {
    "boosting": Kind("HistGradientBoosting", "sklearn_learners", ("sklearn",), "#0072B2"),
    "boosting-long": Kind("HistGradientBoosting, long", "sklearn_learners", ("sklearn",), "#56B4E9"),
    "mlp": Kind("scikit-learn MLP", "sklearn_learners", ("sklearn",), "#009E73"),
    "tabm": Kind("PyTorch TabM", "tabm_learner", ("torch", "tabm", "rtdl_num_embeddings"), "#E69F00"),
}
OURS_COLOURS = ("#D55E00", "#CC79A7", "#999999")
OURS_MODULE = "ours"


def installed() -> tuple[str, ...]:
    """Return the peers that can be compared here."""
    return tuple(name for name, kind in PEERS.items() if all(map(importlib.util.find_spec, kind.packages)))


def module_of(name: str) -> str:
    """Return the module with the class of a learner."""
    return f"fastfnn.bench.tabular.{PEERS[name].module if name in PEERS else OURS_MODULE}"


def title(name: str) -> str:
    return PEERS[name].title if name in PEERS else name
