"""The network of the notes under the name and arguments that the notes give it."""

from typing import Any

from fastfnn import validation
from fastfnn.network import FNN


class TwoLayerNet(FNN):
    """Two layers with softmax cross-entropy: input, hidden, output.

    input_size, hidden_size, output_size  numbers of units
    weight_init_std                       standard deviation of the initial weights; biases start at 0
    activation                            "sigmoid" as in section 4 of the notes, or "relu" as in section 5
    dtype, seed, backend                  as in FNN

    Like the notes' class, it takes one-hot rows or integer labels, and `params` may be updated in place:

        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= learning_rate * grad[key]

    `predict` returns probabilities, as section 4 has it; the argmax is that of the logits of section 5.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        activation: str = "sigmoid",
        **options: Any,
    ) -> None:
        units = {"input_size": input_size, "hidden_size": hidden_size, "output_size": output_size}
        sizes = tuple(validation.integer(name, size, 1) for name, size in units.items())
        std = validation.nonnegative("weight_init_std", weight_init_std)
        super().__init__(sizes, activation=activation, init=std, **options)
