"""Loss and accuracy, on numbers worked out by hand."""

import numpy as np
import pytest
from small_networks import DTYPES, LIKELY, LOG_9, RARE, linear_net, network, samples, sigmoid_net, softmax_net

import fastfnn as fnn

BY_HAND = [
    (softmax_net, [[0]], [0], RARE, 0),
    (softmax_net, [[0]], [1], LIKELY, 1),
    (softmax_net, [[0], [LOG_9]], [1, 1], (LIKELY + RARE) / 2, 0.5),
    (softmax_net, [[0], [LOG_9]], [[0, 1], [1, 0]], LIKELY, 1),
    (softmax_net, [[0], [0]], [[0.25, 0.75], [1, 0]], (0.25 * RARE + 0.75 * LIKELY + RARE) / 2, 0.5),
    (softmax_net, [[0]], [[False, True]], LIKELY, 1),
    (sigmoid_net, [[0]], [[0, 1]], 2 * LIKELY, 1),
    (sigmoid_net, [[0]], [[1, 1]], RARE + LIKELY, 0),  # one wrong output makes the sample wrong
    (sigmoid_net, [[0], [LOG_9]], [[0, 0], [1, 1]], (LIKELY + RARE + 2 * LIKELY) / 2, 0.5),
    (sigmoid_net, [[0]], [[0.25, 0.75]], 2 * (0.25 * RARE + 0.75 * LIKELY), 1),
    (linear_net, [[1]], [[2, 0]], 0, None),
    (linear_net, [[1], [3]], [[1, 2], [6, 1]], (0.5 * (1 + 4) + 0.5 * 9) / 2, None),
]


@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "x", "t", "loss", "accuracy"), BY_HAND)
def test_loss_accuracy_and_evaluate_agree_with_numbers_by_hand(make, x, t, loss, accuracy, dtype, backend):
    net = make(dtype=dtype, backend=backend)
    near = {"rel": 1e-14 if dtype == "float64" else 1e-6, "abs": 1e-12}
    assert net.loss(x, t) == pytest.approx(loss, **near)
    if accuracy is None:
        assert net.evaluate(x, t) == {"loss": net.loss(x, t)}
        with pytest.raises(ValueError, match=r"accuracy needs .* cross-entropy loss, got loss 'squared_error'"):
            net.accuracy(x, t)
    else:
        assert net.accuracy(x, t) == accuracy
        assert net.evaluate(x, t) == {"loss": net.loss(x, t), "accuracy": accuracy}
        assert type(net.accuracy(x, t)) is float
    assert type(net.loss(x, t)) is float


def test_softmax_loss_is_correct_where_the_probability_underflows():
    net = fnn.FNN((1, 2))
    net.params["W1"] = [[1e4, -1e4]]
    assert net.loss([[1]], [1]) == pytest.approx(2e4)
    assert net.loss([[1]], [0]) == 0


@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "squared_error"])
def test_targets_of_one_output_may_have_one_axis(loss):
    net = network((4, 5, 1), loss=loss)
    x, t = samples(loss, outputs=1)
    assert net.loss(x, t[:, 0]) == net.loss(x, t)
    np.testing.assert_array_equal(net.gradient(x, t[:, 0])["W1"], net.gradient(x, t)["W1"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, "list"])
def test_labels_may_have_any_integer_dtype(dtype):
    net, (x, t) = network(), samples()
    given_labels = t.tolist() if dtype == "list" else t.astype(dtype)
    assert net.evaluate(x, given_labels) == net.evaluate(x, t)
    np.testing.assert_array_equal(net.gradient(x, given_labels)["W1"], net.gradient(x, t)["W1"])
