"""Networks, optimizers and the Trainer of `common`, in small programs like those of chapters 4 to 6.

Each program trains the network of `fastfnn.book` and one of plain NumPy layers from the same seed, and compares what
they print.
"""

# ruff: noqa: F403, F405  (names come from `import *`, as in the programs of the book)

import numpy as np
import pytest
from helpers import DIFFERENCE_TOL, assert_close
from plain_layers import CURVE, PLAIN_BOOK, small_data
from plain_layers import MultiLayerNet as PlainNet

import fastfnn.book

# isort: split
import itertools

from common.functions import *
from common.gradient import numerical_gradient
from common.layers import *
from common.multi_layer_net import MultiLayerNet
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.optimizer import *
from common.trainer import Trainer
from common.util import shuffle_dataset, smooth_curve

pytestmark = pytest.mark.usefixtures("numpy_seed")

RTOL = CURVE["float64"]
SIZES = (6, 5, 4, 3)
LAYER_OPTIONS = {  # of MultiLayerNetExtend: dropout and normalization of the plain network
    "plain": ({}, None, None),
    "dropout": ({"use_dropout": True, "dropout_ration": 0.25}, {}, None),
    "normalized": ({"use_batchnorm": True}, None, {}),
    "both": ({"use_dropout": True, "dropout_ration": 0.25, "use_batchnorm": True}, {}, {}),
}


def networks(kind="plain", activation="relu", weight_decay=0.0, weight_init_std="relu", std=None):
    """Return the network of `common` and the plain one, with equal weights."""
    options, dropout, normalization = LAYER_OPTIONS[kind]
    np.random.seed(0)
    ours = MultiLayerNetExtend(6, [5, 4], 3, activation, weight_init_std, weight_decay, **options)
    np.random.seed(0)
    plain = PlainNet(PLAIN_BOOK, SIZES, activation.title(), dropout, normalization, weight_decay, std=std)
    return ours, plain


def data(count=30):
    """Return samples of float32, as `load_mnist` does, and one-hot targets of float64."""
    x, t = small_data(count=count)
    return x.astype(np.float32), t


def step_of_gradient_descent(params, grads, lr=0.1):
    for key in params:
        params[key] -= lr * grads[key]


def trained(network, update, steps=40, batch_size=10):
    """Return the losses of a loop by hand."""
    x, t = data()
    np.random.seed(1)
    losses = []
    for _ in range(steps):
        batch = np.random.choice(len(x), batch_size)
        update(network.params, network.gradient(x[batch], t[batch]))
        losses.append(network.loss(x[batch], t[batch]))
    return losses


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("kind", LAYER_OPTIONS)
def test_networks_train_as_in_plain_numpy(kind, activation):
    x, t = data()
    ours, plain = networks(kind, activation, weight_decay=0.1)
    for name, param in plain.params.items():
        np.testing.assert_array_equal(ours.params[name], param)
        assert ours.params[name].dtype == np.float64
    got, want = trained(ours, SGD(lr=0.1).update), trained(plain, step_of_gradient_descent)
    np.testing.assert_allclose(got, want, rtol=RTOL)
    np.testing.assert_allclose(ours.predict(x), plain.predict(x), rtol=1e-7)  # logits
    assert ours.accuracy(x, t) == ours.accuracy(x, t.argmax(axis=1)) == plain.accuracy(x, t)


def test_labels_and_one_hot_rows_give_the_same_network():
    x, t = data()
    net, _ = networks("normalized")
    assert net.loss(x, t) == net.loss(x, t.argmax(axis=1).astype(np.uint8))
    rows, labels = net.gradient(x, t), net.gradient(x, t.argmax(axis=1).astype(np.uint8))
    for name in rows:
        np.testing.assert_array_equal(rows[name], labels[name])


def test_the_network_without_extensions_is_the_same():
    np.random.seed(0)
    net = MultiLayerNet(6, [5, 4], 3, weight_decay_lambda=0.1)
    extended, _ = networks(weight_decay=0.1)
    assert trained(net, SGD(lr=0.1).update) == trained(extended, SGD(lr=0.1).update)


@pytest.mark.parametrize(
    ("weight_init_std", "std"),
    [(0.5, 0.5), ("He", None), ("relu", None), ("xavier", "xavier"), ("sigmoid", "xavier"), (0, 0.0)],
)
def test_weights_are_drawn_as_in_the_book(weight_init_std, std):
    ours, _ = networks(weight_init_std=weight_init_std)
    np.random.seed(0)
    for number, (inputs, outputs) in enumerate(itertools.pairwise(SIZES), 1):
        scale = {"xavier": np.sqrt(1 / inputs), None: np.sqrt(2 / inputs)}.get(std, std)
        np.testing.assert_array_equal(ours.params[f"W{number}"], scale * np.random.randn(inputs, outputs))
        np.testing.assert_array_equal(ours.params[f"b{number}"], np.zeros(outputs))


def test_networks_have_the_attributes_of_the_book():
    net = MultiLayerNetExtend(6, [5, 4], 3, use_dropout=True, use_batchnorm=True, weight_decay_lambda=0.5)
    hidden = ["Affine{}", "BatchNorm{}", "Activation_function{}", "Dropout{}"]
    assert list(net.layers) == [name.format(number) for number in (1, 2) for name in hidden] + ["Affine3"]
    assert net.layers["Affine2"].W is net.params["W2"] and net.layers["BatchNorm1"].gamma is net.params["gamma1"]
    assert isinstance(net.last_layer, SoftmaxWithLoss) and isinstance(net.layers["Activation_function1"], Relu)
    assert (net.input_size, net.hidden_size_list, net.output_size, net.hidden_layer_num) == (6, [5, 4], 3, 2)
    assert (net.use_dropout, net.use_batchnorm, net.weight_decay_lambda) == (True, True, 0.5)


@pytest.mark.parametrize("options", [{"activation": "tanh"}, {"weight_init_std": "large"}])
def test_unknown_names_are_rejected_with_the_known_ones(options):
    with pytest.raises(ValueError, match=r"must be one of relu|must be one of sigmoid, relu"):
        MultiLayerNet(6, [5], 3, **options)


def averages_of_differences(network, x, t):
    """The gradient check of the chapters on back-propagation and normalization."""
    numerical, backward = network.numerical_gradient(x, t), network.gradient(x, t)
    assert list(numerical) == list(backward)
    return {key: np.average(np.abs(backward[key] - numerical[key])) for key in numerical}


@pytest.mark.parametrize("kind", ["plain", "normalized"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_gradient_check_finds_the_epsilon_of_the_loss_and_no_more(count, kind):
    x, t = data()
    net, _ = networks(kind, "sigmoid")
    differences = averages_of_differences(net, x[:count], t[:count])
    assert list(differences)[:4] == (["W1", "b1", "W2", "b2"] if kind == "plain" else ["W1", "b1", "gamma1", "beta1"])
    assert all(value < 1e-6 for value in differences.values())
    assert differences["b3"] > 1e-8  # log(y + 1e-7) has another derivative than log y


class NetOfFunctions:
    """The network of chapter 4: its gradient is written down by hand."""

    def __init__(self, weight_init_std=0.5):
        self.params = {}
        for number, (inputs, outputs) in enumerate([(6, 5), (5, 3)], 1):
            self.params[f"W{number}"] = weight_init_std * np.random.randn(inputs, outputs)
            self.params[f"b{number}"] = np.zeros(outputs)

    def hidden(self, x):
        return np.dot(x, self.params["W1"]) + self.params["b1"]

    def predict(self, x):
        return softmax(np.dot(sigmoid(self.hidden(x)), self.params["W2"]) + self.params["b2"])

    def loss(self, x, t):
        return cross_entropy_error(self.predict(x), t)

    def numerical_gradient(self, x, t):
        return {name: numerical_gradient(lambda _: self.loss(x, t), param) for name, param in self.params.items()}

    def gradient(self, x, t):
        dy = (self.predict(x) - t) / x.shape[0]
        da = sigmoid_grad(self.hidden(x)) * np.dot(dy, self.params["W2"].T)
        first = {"W1": np.dot(x.T, da), "b1": np.sum(da, axis=0)}
        return first | {"W2": np.dot(sigmoid(self.hidden(x)).T, dy), "b2": np.sum(dy, axis=0)}


def test_a_network_of_functions_trains_and_checks_its_gradient():
    x, t = data()
    np.random.seed(0)
    net = NetOfFunctions()
    for name, grad in net.numerical_gradient(x, t).items():
        assert_close(net.gradient(x, t)[name], grad, 10 * DIFFERENCE_TOL)  # and the epsilon of the loss
    losses = trained(net, step_of_gradient_descent)
    assert losses[-1] < losses[0]


# Optimizers


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
def test_optimizers_are_compared_on_equal_networks(name):
    ours, plain = networks()
    taken = getattr(fastfnn.book.common.optimizer, name)
    got, want = trained(ours, taken(lr=0.05).update), trained(plain, taken(lr=0.05).update)
    np.testing.assert_allclose(got, want, rtol=1e-7)  # Adam divides by small numbers
    assert smooth_curve(got).shape == (len(got),)


def test_one_optimizer_may_serve_two_networks_in_turn():
    x, t = data()
    ours, other = networks("normalized")[0], networks()[0]
    adam = Adam(lr=0.01)
    for _ in range(3):
        for net in (ours, other):
            adam.update(net.params, net.gradient(x, t))
    assert adam.steps == 6


def test_a_training_that_diverges_goes_on_as_in_numpy():
    x, t = data()
    with np.errstate(all="ignore"):
        ours, plain = networks(weight_init_std=1e100, std=1e100)
        got, want = trained(ours, SGD(lr=0.01).update, 5), trained(plain, step_of_gradient_descent, 5)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        assert np.isnan(got[-1])
        assert ours.accuracy(x, t) == plain.accuracy(x, t)


# The Trainer


def lines_of(network, optimizer, epochs=4, batch_size=10):
    """Return what the Trainer prints, from the loop that it stands for."""
    (x, t), (x_test, t_test) = data(), data(12)
    lines = []
    for step in range(epochs * 3):
        batch = np.random.choice(30, batch_size)
        optimizer.update(network.params, network.gradient(x[batch], t[batch]))
        lines.append(("train loss:", network.loss(x[batch], t[batch])))
        if step % 3 == 0:
            train_acc, test_acc = network.accuracy(x[:20], t[:20]), network.accuracy(x_test, t_test)
            lines.append((f"=== epoch:{step // 3 + 1}, train acc:", train_acc, ", test acc:", test_acc, " ==="))
    return [
        *lines,
        ("=============== Final Test Accuracy ===============",),
        ("test acc:", network.accuracy(x_test, t_test)),
    ]


def test_the_trainer_prints_and_keeps_losses_and_accuracies(capsys):
    (x, t), (x_test, t_test) = data(), data(12)
    ours, _ = networks("both")
    np.random.seed(2)
    trainer = Trainer(
        ours, x, t, x_test, t_test, epochs=4, mini_batch_size=10,
        optimizer="AdaGrad", optimizer_param={"lr": 0.1}, evaluate_sample_num_per_epoch=20,
    )  # fmt: skip
    trainer.train()
    printed = capsys.readouterr().out.splitlines()

    same, _ = networks("both")
    np.random.seed(2)
    lines = lines_of(same, AdaGrad(lr=0.1))
    assert printed == ["".join(map(str, line)) for line in lines]
    assert trainer.train_loss_list == [line[1] for line in lines if line[0] == "train loss:"]
    accuracies = [line[1::2] for line in lines if "epoch" in line[0]]
    assert list(zip(trainer.train_acc_list, trainer.test_acc_list, strict=True)) == accuracies
    assert (trainer.max_iter, trainer.current_iter, trainer.current_epoch, trainer.iter_per_epoch) == (12, 12, 4, 3.0)
    assert isinstance(trainer.optimizer, AdaGrad) and trainer.network is ours


def test_a_search_of_settings_runs_the_trainer_in_silence(capsys):
    x, t = shuffle_dataset(*data())
    results = {}
    for _ in range(3):
        weight_decay, lr = 10 ** np.random.uniform(-8, -4), 10 ** np.random.uniform(-3, -1)
        net = MultiLayerNet(6, [5, 4], 3, weight_decay_lambda=weight_decay)
        trainer = Trainer(
            net, x[10:], t[10:], x[:10], t[:10], epochs=3, optimizer="sgd", optimizer_param={"lr": lr},
            mini_batch_size=10, verbose=False,
        )  # fmt: skip
        trainer.train()
        results[lr] = trainer.test_acc_list
    assert capsys.readouterr().out == ""
    assert all(len(accuracies) == 3 for accuracies in results.values())


def test_the_trainer_names_the_optimizers_that_it_knows():
    with pytest.raises(ValueError, match=r"^optimizer must be one of sgd, momentum, .* adam; got 'lbfgs'"):
        Trainer(None, *data(), *data(), optimizer="LBFGS")
