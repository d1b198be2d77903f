"""PyTorch without torch.compile, which takes longer to compile than all calls beside other processes take."""

from collections.abc import Callable

from fastfnn.bench import torch_peer


class Peer(torch_peer.Peer):
    """Eager, with the faster of the two optimizers."""

    def ways(self) -> "dict[str, Callable[[], torch_peer.Eager | torch_peer.Compiled]]":
        return {name: make for name, make in super().ways().items() if name != "compiled"}
