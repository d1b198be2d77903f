"""Weights of samples and of classes."""

import copy

import numpy as np
import pytest
from small_networks import (
    DTYPES,
    LIKELY,
    LOG_9,
    LOSSES,
    RARE,
    assert_same_params,
    bits,
    linear_net,
    locked,
    network,
    orders,
    samples,
    softmax_net,
    some_weights,
)

import fastfnn as fnn
from fastfnn import validation


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_weighted_loss_is_the_weighted_sum_over_samples_divided_by_their_number(loss, backend, dtype):
    net, (x, t), weight = network(loss=loss, backend=backend, dtype=dtype), samples(loss), some_weights()
    want = sum(w * net.loss(x[i : i + 1], t[i : i + 1]) for i, w in enumerate(weight)) / 7
    got = net.loss(x, t, weight)
    assert type(got) is float
    rtol = 1e-13 if dtype == "float64" else 1e-6  # the kernels compute exponentials in the dtype
    np.testing.assert_allclose(got, want, rtol=rtol)
    np.testing.assert_allclose(net.loss(x, t, np.ones(7)), net.loss(x, t), rtol=rtol)
    assert net.loss(x, t, np.zeros(7)) == 0


def test_a_weighted_loss_agrees_with_numbers_by_hand():
    assert softmax_net().loss([[0], [LOG_9]], [1, 1], [4, 0.5]) == pytest.approx((4 * LIKELY + 0.5 * RARE) / 2)
    assert softmax_net().loss([[0], [0]], [[0.25, 0.75], [1, 0]], sample_weight=[2, 0]) == pytest.approx(
        0.25 * RARE + 0.75 * LIKELY
    )
    assert linear_net().loss([[1], [3]], [[1, 2], [6, 1]], [1, 2]) == (0.5 * 5 + 2 * 0.5 * 9) / 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("labels", [[1], [0]])
def test_a_weighted_loss_is_correct_where_the_probability_underflows(labels):
    for loss, t in (("softmax_cross_entropy", labels), ("sigmoid_cross_entropy", np.eye(2)[labels])):
        net = fnn.FNN((1, 2), loss=loss)
        net.params["W1"] = [[1e4, -1e4]]
        assert net.loss([[1]], t, [0.5]) == net.loss([[1]], t) / 2


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_weighted_steps_follow_the_weighted_gradient(batch_size, dtype, backend, loss):
    net = network(activation="tanh", loss=loss, dtype=dtype, backend=backend)
    by_hand, (x, t), weight = copy.deepcopy(net), samples(loss), some_weights()
    losses, size = [], batch_size or 7
    order = orders(net, 7, epochs=1)[0]
    for start in range(0, 7, size):
        chosen = order[start : start + size]
        losses.append(by_hand.loss(x[chosen], t[chosen], weight[chosen]))
        grads = [by_hand.gradient(x[i : i + 1], t[i : i + 1]) for i in chosen]
        for name in by_hand.params:
            step = sum(w * grad[name] for w, grad in zip(weight[chosen], grads, strict=True)) / len(chosen)
            by_hand.params[name] -= 0.2 * step
    history = net.fit(x, t, epochs=1, batch_size=batch_size, optimizer=fnn.SGD(0.2), sample_weight=weight)
    rtol = 1e-12 if dtype == "float64" else 1e-5  # rounding errors of a few steps
    np.testing.assert_allclose(history.step_loss, losses, rtol=rtol)
    assert_same_params(net.params, by_hand.params, rtol=rtol)


@pytest.mark.parametrize("loss", LOSSES)
def test_history_has_weighted_training_losses_and_plain_validation_losses(loss):
    net, (x, t), weight = network(loss=loss), samples(loss), some_weights()
    history = net.fit(x, t, epochs=2, batch_size=3, optimizer=fnn.SGD(0), sample_weight=weight, validation_data=(x, t))
    np.testing.assert_allclose(history.loss, [net.loss(x, t, weight)] * 2, rtol=1e-13)
    assert history.val_loss == [net.loss(x, t)] * 2


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_samples_of_weight_zero_do_not_change_the_training(sampling):
    (x, t), weight = samples(count=20), np.arange(20) % 3 != 0
    nets = []
    for noise in (0, 1):
        nets.append(network())
        disturbed = x + noise * ~weight[:, np.newaxis]
        nets[-1].fit(disturbed, t, epochs=2, batch_size=6, sampling=sampling, sample_weight=weight)
    assert bits(nets[0]) == bits(nets[1])


def weighted_fit(t, **weights):
    net = network()
    net.fit(samples()[0], t, epochs=2, batch_size=3, optimizer=fnn.SGD(0.2), **weights)
    return bits(net)


LABELS = np.array([0, 2, 2, 0, 2, 2, 2])  # 2 of class 0, none of class 1, 5 of class 2


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(
    ("class_weight", "by_class"),
    [
        ({0: 2, 1: 5, 2: 0.5}, [2, 5, 0.5]),
        ({2: 3}, [1, 1, 3]),
        ({np.int64(0): np.float32(0.5)}, [0.5, 1, 1]),
        ({}, [1, 1, 1]),
        ("balanced", [7 / (2 * 2), 0, 7 / (2 * 5)]),  # two of the classes occur
    ],
)
def test_class_weights_are_weights_of_samples(class_weight, by_class, rows):
    t, of_samples = np.eye(3)[LABELS] if rows else LABELS, np.array(by_class)[LABELS]
    assert weighted_fit(t, class_weight=class_weight) == weighted_fit(t, sample_weight=of_samples)
    weight = some_weights()
    got = weighted_fit(t, class_weight=class_weight, sample_weight=weight)
    assert got == weighted_fit(t, sample_weight=weight * of_samples)


def test_balanced_classes_have_the_same_total_weight():
    weight = validation.class_weight("class_weight", "balanced", LABELS, 3)[LABELS]
    np.testing.assert_allclose([weight[label == LABELS].sum() for label in (0, 2)], 7 / 2)


@pytest.mark.parametrize(
    "form", [list, tuple, lambda w: w.astype(np.float32), lambda w: np.repeat(w, 2)[::2], lambda w: locked(w)]
)
def test_weights_may_be_any_kind_of_array(form):
    weight = np.array([0, 1, 0.5, 2, 3, 1, 0.25])
    assert weighted_fit(LABELS, sample_weight=form(weight.copy())) == weighted_fit(LABELS, sample_weight=weight)
    kept = weight.copy()
    weighted_fit(LABELS, sample_weight=weight, class_weight={0: 2})
    np.testing.assert_array_equal(weight, kept)
