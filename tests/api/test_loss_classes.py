"""Losses as objects: their parameters, what a network computes with them, and their checks."""

import copy
import dataclasses
import json
import pickle
import re

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from small_networks import BACKENDS, CROSS_ENTROPIES, DTYPES, LOSSES, assert_same_params, bits, network, samples

import fastfnn as fnn
from fastfnn import backend as backends
from fastfnn import losses

# Every loss with parameters that are not those by default, for three outputs.
OBJECTS = (
    losses.SoftmaxCrossEntropy(label_smoothing=0.2),
    losses.SigmoidCrossEntropy(label_smoothing=0.2),
    losses.SquaredError(),
    losses.Poisson(),
    losses.Huber(delta=0.5),
    losses.AbsoluteError(),
    losses.Quantile(levels=(0.1, 0.5, 0.8)),
)
every_object = pytest.mark.parametrize("loss", OBJECTS, ids=str)


def loss_by_hand(loss, y, t):
    """E of each sample, from the outputs after their activation."""
    if t.ndim == 1:
        t = np.eye(y.shape[1])[t]
    match loss:
        case losses.SoftmaxCrossEntropy(s):
            terms = -((1 - s) * t + s / y.shape[1]) * np.log(y)
        case losses.SigmoidCrossEntropy(s):
            t = (1 - s) * t + s / 2
            terms = -t * np.log(y) - (1 - t) * np.log(1 - y)
        case losses.SquaredError():
            terms = (y - t) ** 2 / 2
        case losses.Poisson():
            terms = y - t + t * np.log(np.where(t == 0, 1, t) / y)
        case losses.Huber(delta):
            terms = np.where(abs(y - t) <= delta, (y - t) ** 2 / 2, delta * (abs(y - t) - delta / 2))
        case losses.AbsoluteError():
            terms = abs(y - t)
        case losses.Quantile(levels):
            levels = np.array(levels)
            terms = np.where(t > y, levels * (t - y), (1 - levels) * (y - t))
    return terms.sum(axis=1)


def test_there_is_an_object_for_every_loss_of_the_kernels():
    assert tuple(losses.BY_NAME) == backends.LOSSES == LOSSES
    assert [type(loss) for loss in OBJECTS] == list(losses.BY_NAME.values())
    assert {name for name, kind in losses.BY_NAME.items() if kind.has_accuracy} == set(CROSS_ENTROPIES)


@pytest.mark.parametrize("name", LOSSES)
def test_a_name_stands_for_the_object_with_the_defaults(name):
    net, other = network(loss=name), network(loss=losses.BY_NAME[name]())
    assert net.loss_function == other.loss_function == losses.BY_NAME[name]()
    assert net.loss_name == other.loss_name == name
    assert repr(net) == repr(other)
    x, t = samples(name)
    assert net.evaluate(x, t) == other.evaluate(x, t)


# What a network computes


@BACKENDS
@pytest.mark.parametrize("dtype", DTYPES)
@every_object
def test_all_losses_of_a_network_are_those_by_hand(loss, dtype, backend):
    net = network(loss=loss, dtype=dtype, backend=backend)
    x, t = samples(loss.name)
    weight = np.linspace(0, 2, len(x))
    each = loss_by_hand(loss, network(loss=loss).predict(x), t)
    near = {"rel": 1e-12 if dtype == "float64" else 2e-5}
    assert net.loss(x, t) == pytest.approx(each.mean(), **near)
    assert net.evaluate(x, t)["loss"] == pytest.approx(each.mean(), **near)
    assert net.loss(x, t, weight) == pytest.approx((weight * each).mean(), **near)
    history = net.fit(x, t, epochs=1, batch_size=None, optimizer=fnn.SGD(0), validation_data=(x, t))
    assert history.loss[0] == pytest.approx(each.mean(), **near)
    assert history.val_loss[0] == pytest.approx(each.mean(), **near)


@BACKENDS
@every_object
def test_the_gradient_is_that_of_the_loss(loss, backend):
    net = network(loss=loss, activation="tanh", backend=backend)
    x, t = samples(loss.name)
    assert_same_params(net.gradient(x, t), net.numerical_gradient(x, t), rtol=3e-8)


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@every_object
def test_both_backends_train_alike(loss, dtype, rtol, batch_size):
    x, t = samples(loss.name, count=23)
    nets, curves = [], []
    for backend in ("kernels", "reference"):
        net = network((4, 6, 3), activation="tanh", loss=loss, dtype=dtype, backend=backend)
        curves.append(net.fit(x, t, epochs=3, batch_size=batch_size, optimizer=fnn.Adam(0.01)).step_loss)
        nets.append(net)
    np.testing.assert_allclose(*curves, rtol=rtol)
    assert_same_params(nets[0].params, nets[1].params, rtol=rtol)


@every_object
def test_samples_of_weight_zero_do_not_count(loss):
    (x, t), other = samples(loss.name, count=9), samples(loss.name, count=9, seed=1)[1]
    weight = np.arange(9) % 3
    results = []
    for targets in (t, np.where((weight > 0).reshape(-1, *[1] * (t.ndim - 1)), t, other)):
        net = network(loss=loss)
        net.fit(x, targets, epochs=2, batch_size=4, sample_weight=weight)
        results.append(bits(net))
    assert results[0] == results[1]


def test_label_smoothing_changes_the_training_and_not_the_accuracy():
    x, t = samples(count=23)
    nets = [network(loss=losses.SoftmaxCrossEntropy(smoothing)) for smoothing in (0.0, 0.3)]
    assert nets[0].accuracy(x, t) == nets[1].accuracy(x, t) == nets[1].evaluate(x, t)["accuracy"]
    for net in nets:
        net.fit(x, t, epochs=1)
    assert bits(nets[0]) != bits(nets[1])


def test_smoothed_labels_are_one_hot_rows_that_were_smoothed_before():
    x, t = samples(count=23)
    by_label, by_row = network(loss=losses.SoftmaxCrossEntropy(0.3)), network()
    rows = 0.7 * np.eye(3)[t] + 0.1
    got = by_label.fit(x, t, epochs=3, batch_size=4)
    np.testing.assert_allclose(got.step_loss, by_row.fit(x, rows, epochs=3, batch_size=4).step_loss, rtol=1e-12)
    assert_same_params(by_label.params, by_row.params)


def test_the_share_of_targets_below_a_quantile_is_its_level():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 1))
    t = np.sin(2 * x) + (1 + x) * rng.standard_normal((4000, 1))
    levels = (0.1, 0.5, 0.9)
    net = fnn.FNN((1, 16, 3), activation="tanh", loss=losses.Quantile(levels), seed=0)
    net.fit(x, np.repeat(t, 3, axis=1), epochs=60, batch_size=100, optimizer=fnn.Adam(fnn.schedules.Cosine(0.01, 2400)))
    out = net.predict(x)
    np.testing.assert_allclose(np.mean(t < out, axis=0), levels, atol=0.015)
    for half in (x[:, 0] < 0, x[:, 0] >= 0):
        np.testing.assert_allclose(np.mean(t[half] < out[half], axis=0), levels, atol=0.04)


def test_a_poisson_network_learns_positive_rates():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 1))
    rates = np.exp(1 + x - x**2)
    net = fnn.FNN((1, 16, 1), activation="tanh", loss="poisson", seed=0)
    net.fit(x, rng.poisson(rates), epochs=40, batch_size=100, optimizer=fnn.Adam(fnn.schedules.Cosine(0.01, 1600)))
    out = net.predict(x)
    assert (out > 0).all()
    assert net.loss(x, rates) < 0.01  # 0.4 for the mean of all


def test_outliers_pull_less_at_the_robust_losses():
    x, t = np.zeros((5, 1)), np.array([0.0, 1, 2, 3, 100])
    found = {}
    for loss in ("squared_error", losses.Huber(2.0), "absolute_error"):
        net = fnn.FNN((1, 1), loss=loss, dtype="float64", seed=0)
        net.fit(x, t, epochs=4000, batch_size=None, optimizer=fnn.SGD(0.01))
        found[net.loss_name] = float(net.predict([0.0])[0])
    assert found["squared_error"] == pytest.approx(21.2)
    # between 1 and 3: the sum of y - t over 0 to 3, of which none is further than 2, is 2 at y = 2
    assert found["huber"] == pytest.approx(2, abs=1e-6)
    assert found["absolute_error"] == pytest.approx(2, abs=0.01)


# Objects


@pytest.mark.parametrize(
    ("loss", "shown"),
    [
        (losses.Huber(delta=2), "huber(delta=2.0)"),
        (losses.Huber(), "huber(delta=1.0)"),
        (losses.Quantile([0.25, 0.75]), "quantile(levels=(0.25, 0.75))"),
        (losses.Quantile(), "quantile(levels=0.5)"),
        (losses.SoftmaxCrossEntropy(0.1), "softmax_cross_entropy(label_smoothing=0.1)"),
        (losses.SigmoidCrossEntropy(), "sigmoid_cross_entropy"),
        (losses.Poisson(), "poisson"),
    ],
)
def test_a_network_shows_the_parameters_of_its_loss(capsys, loss, shown):
    net = fnn.FNN((4, 2), loss=loss)
    assert repr(net) == f"FNN(4-2, no hidden layer; {shown}; float32)"
    net.summary()
    assert capsys.readouterr().out.endswith(f" of float32, loss {shown}\n")


@every_object
def test_losses_are_immutable_and_compared_by_value(loss):
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), type(loss)(**dataclasses.asdict(loss))):
        assert twin == loss and hash(twin) == hash(loss) and repr(twin) == repr(loss)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.delta = 3.0
    net = copy.deepcopy(network(loss=loss))
    x, t = samples(loss.name)
    assert net.loss_function == loss and net.evaluate(x, t) == network(loss=loss).evaluate(x, t)


def test_levels_are_one_for_all_outputs_or_one_for_each():
    for given in (0.25, np.float32(0.25), [0.25], np.array([0.25]), (0.25, 0.25, 0.25)):
        loss = losses.Quantile(given)
        np.testing.assert_array_equal(loss.parameters(3), [0.25] * 3)
        hash(loss)
    x, t = samples("quantile")
    for net in (network(loss=losses.Quantile(0.25)), network(loss=losses.Quantile([0.25]))):
        assert net.loss(x, t) == network(loss=losses.Quantile([0.25] * 3)).loss(x, t)


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        (losses.Huber, 0, ValueError, "delta must be at least 1e-30, got 0"),
        (losses.Huber, -1.0, ValueError, "delta must be finite and not negative, got -1.0"),
        (losses.Huber, float("inf"), ValueError, "delta must be finite and not negative, got inf"),
        (losses.Huber, "1", TypeError, "delta must be a number, got str"),
        (losses.Quantile, 0.0, ValueError, "levels must be above 0 and below 1, got 0.0"),
        (losses.Quantile, 1.0, ValueError, "levels must be less than 1, got 1.0"),
        (losses.Quantile, [0.5, -0.5], ValueError, "levels[1] must be finite and not negative, got -0.5"),
        (losses.Quantile, [0.5, None], TypeError, "levels[1] must be a number, got NoneType"),
        (losses.Quantile, [[0.5]], TypeError, "levels[0] must be a number, got list"),
        (losses.Quantile, [], ValueError, "levels must be a number, or one for each output, got none"),
        (losses.Quantile, "0.5", TypeError, "levels must be a number, got str"),
        (losses.Quantile, None, TypeError, "levels must be a number, got NoneType"),
        (losses.SoftmaxCrossEntropy, 1.0, ValueError, "label_smoothing must be less than 1, got 1.0"),
        (losses.SoftmaxCrossEntropy, -0.1, ValueError, "label_smoothing must be finite and not negative, got -0.1"),
        (losses.SigmoidCrossEntropy, 1, ValueError, "label_smoothing must be less than 1, got 1"),
        (losses.SigmoidCrossEntropy, True, TypeError, "label_smoothing must be a number, got bool"),
    ],
)
def test_an_invalid_parameter_is_rejected(kind, value, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        kind(value)


@pytest.mark.parametrize("loss", [loss for loss in OBJECTS if loss.name not in CROSS_ENTROPIES], ids=str)
def test_only_cross_entropies_have_an_accuracy(loss):
    net, (x, t) = network(loss=loss), samples(loss.name)
    with pytest.raises(ValueError, match=rf"^accuracy needs .* cross-entropy loss, got loss '{loss.name}'$"):
        net.accuracy(x, t)
    assert list(net.evaluate(x, t)) == ["loss"]
    history = net.fit(x, t, epochs=1, validation_data=(x, t))
    assert history.val_accuracy == history.accuracy == [] and len(history.val_loss) == 1
    with pytest.raises(ValueError, match=r"^callbacks\[0\]\.monitor must be one of loss, val_loss; got 'val_accuracy'"):
        net.fit(x, t, validation_data=(x, t), callbacks=[fnn.EarlyStopping(monitor="val_accuracy")])


# Files


@every_object
def test_a_file_holds_the_parameters_of_the_loss(tmp_path, loss):
    net, (x, t) = network(loss=loss), samples(loss.name)
    net.save(tmp_path / "net")
    twin = fnn.load(tmp_path / "net")
    assert twin.loss_function == loss
    assert twin.evaluate(x, t) == net.evaluate(x, t)
    for each in (net, twin):
        each._rng = np.random.default_rng(0)
        each.fit(x, t, epochs=2, batch_size=3)
    assert bits(twin) == bits(net)


def description_of(path):
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["network"])


def test_the_description_names_the_loss_and_its_options(tmp_path):
    for loss, options in (
        (losses.Huber(), {"delta": 1.0}),
        (losses.Quantile((0.25, 0.75)), {"levels": [0.25, 0.75]}),
        (losses.SigmoidCrossEntropy(0.1), {"label_smoothing": 0.1}),
    ):
        fnn.FNN((3, 2), loss=loss).save(tmp_path / "net")
        told = description_of(tmp_path / "net")
        assert (told["loss"], told["loss_options"]) == (loss.name, options)


@pytest.mark.parametrize("name", [*CROSS_ENTROPIES, "squared_error"])
def test_a_loss_without_parameters_is_saved_as_earlier_versions_did(tmp_path, name):
    fnn.FNN((3, 2), loss=name).save(tmp_path / "net")
    told = description_of(tmp_path / "net")
    assert told["loss"] == name and "loss_options" not in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0}, "delta must be at least"),
        ({"levels": 0.5}, "loss_options of huber must be some of delta; got 'levels'"),
        ([1.0], "loss_options must be a mapping, got list"),
    ],
)
def test_options_of_a_loss_that_a_file_cannot_mean_are_reported(tmp_path, options, message):
    net = fnn.FNN((3, 2), loss="huber")
    told = {"layer_sizes": [3, 2], **net._options(), "activation": [], "loss": "huber", "loss_options": options}
    save_file(dict(net.params), tmp_path / "net", {"format": "fastfnn-1", "network": json.dumps(told)})
    with pytest.raises(ValueError, match=f"net is damaged: {re.escape(message)}"):
        fnn.load(tmp_path / "net")


def test_the_last_layer_exp_of_a_chain_is_a_poisson_network():
    chain = fnn.FN(np.eye(2), np.zeros(2), "exp") @ fnn.FN(np.ones((2, 3)), np.zeros(2), "tanh")
    net = chain.to_fnn()
    assert net.loss_function == losses.Poisson()
    np.testing.assert_allclose(net.predict([[0.1, 0.2, 0.3]]), chain([[0.1, 0.2, 0.3]]))
