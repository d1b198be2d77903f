"""The lecture notes: a test for each definition, algorithm and example, in their order.

NOTES.md has the table. Numbers are those that the notes print, where they print any.
"""

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn import FN, fitting, functions, layers

RNG_SEED = 0


@pytest.fixture
def rng():
    return np.random.default_rng(RNG_SEED)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def random_net(rng, sizes=(4, 5, 3), activation="sigmoid", loss="softmax_cross_entropy", **options):
    net = fnn.FNN(sizes, activation=activation, loss=loss, dtype="float64", init=0.0, **options)
    for name in net.params:
        net.params[name] = rng.standard_normal(net.params[name].shape)
    return net


# Section 1


def test_definition_of_fn(rng):
    W, b, x = rng.standard_normal((3, 2)), rng.standard_normal(3), rng.standard_normal(2)
    np.testing.assert_allclose(FN(W, b, np.tanh)(x), np.tanh(W @ x + b), rtol=1e-14)


def test_definition_of_a_multilayer_network(rng):
    first = FN(rng.standard_normal((3, 2)), rng.standard_normal(3), "tanh")
    second = FN(rng.standard_normal((4, 3)), rng.standard_normal(4), "sigmoid")
    x = rng.standard_normal(2)
    np.testing.assert_array_equal((second @ first)(x), second(first(x)))
    with pytest.raises(ValueError, match=r"3.*2"):
        first @ second @ first  # the dimensions do not agree


def test_example_1_1():
    net = FN(np.array([[1, 2, 3], [4, 5, 6]]), np.array([7, 8]), lambda x: 2 * x)
    got = net(np.array([1, 2, 3]))
    assert got.tolist() == [42, 80] and got.dtype.kind == "i"


# Section 2


@pytest.mark.parametrize(
    ("name", "function"), [("sigmoid", sigmoid), ("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))]
)
def test_activation_functions(name, function):
    x = np.linspace(-6, 6, 49)
    np.testing.assert_allclose(getattr(functions, name)(x), function(x), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(FN(np.eye(49), np.zeros(49), name)(x), function(x), rtol=1e-14, atol=1e-300)


def test_example_2_1_as_it_is_typed_and_as_it_is_meant():
    W = np.array([[-0.3275861, 0.35679815, -0.93635564], [-0.3966737, 2.45340843, 0.80369067]])
    b, x = np.array([[0.73728049, -0.99336306]]), np.array([0.1, 0.2, 0.3])
    typed = FN(W, b, lambda x: 1 / 1 + np.exp(-x))(x)  # 1 + e^-x
    np.testing.assert_allclose(typed, [[1.60958626, 2.35153575]], atol=1e-8)
    np.testing.assert_allclose(FN(W, b, "sigmoid")(x), 1 / typed, rtol=1e-14)


# Section 3


def test_one_hot_vectors():
    (_, t), _ = fnn.datasets.load_mnist(one_hot_label=True)
    assert set(np.unique(t)) == {0, 1} and np.all(t.sum(axis=1) == 1)


def test_output_layer_1_the_identity(rng):
    net = random_net(rng, (4, 5, 1), loss="squared_error")
    x = rng.standard_normal((6, 4))
    W1, b1, W2, b2 = net.params.values()
    np.testing.assert_allclose(net.predict(x), sigmoid(x @ W1 + b1) @ W2 + b2, rtol=1e-12)


def test_output_layer_2_softmax(rng):
    net = random_net(rng)
    x = rng.standard_normal((6, 4))
    W1, b1, W2, b2 = net.params.values()
    power = np.exp(sigmoid(x @ W1 + b1) @ W2 + b2)
    np.testing.assert_allclose(net.predict(x), power / power.sum(axis=1, keepdims=True), rtol=1e-12)


def test_error_1_half_the_squared_distance(rng):
    net = random_net(rng, (4, 5, 2), loss="squared_error")
    x, y = rng.standard_normal((6, 4)), rng.standard_normal((6, 2))
    each = 0.5 * ((y - net.predict(x)) ** 2).sum(axis=1)
    np.testing.assert_allclose(net.loss(x, y), each.mean(), rtol=1e-13)
    np.testing.assert_allclose(functions.sum_squared_error(net.predict(x), y), each.sum(), rtol=1e-13)


def test_error_2_cross_entropy(rng):
    net = random_net(rng)
    x, y = rng.standard_normal((6, 4)), np.eye(3)[rng.integers(0, 3, 6)]
    each = -(y * np.log(net.predict(x))).sum(axis=1)
    np.testing.assert_allclose(net.loss(x, y), each.mean(), rtol=1e-12)
    np.testing.assert_allclose(functions.cross_entropy_error(net.predict(x), y), each.mean(), rtol=1e-12)


def test_example_3_1_as_it_was_computed_and_as_it_is_written():
    W_1 = np.array([[-0.85226586, -0.74838968, -0.47477658], [0.9893178, -0.17452691, 0.08049864]])
    b_1, W_2, b_2 = np.array([[-0.1930833, -1.26376165]]), np.array([[-0.79262461, -1.11520968]]), 1.4734070700523327
    x = np.array([0.1, 0.2, 0.3])
    # the printed number was computed with the wrong function of example 2.1, not with the sigmoid that is shown
    slip = FN(W_2, b_2, "identity") @ FN(W_1, b_1, lambda x: 1 + np.exp(-x))
    np.testing.assert_allclose(slip(x), [[-5.44991305]], atol=1e-7)
    written = FN(W_2, b_2, lambda x: x) @ FN(W_1, b_1, sigmoid)
    np.testing.assert_allclose((FN(W_2, b_2, "identity") @ FN(W_1, b_1, "sigmoid"))(x), written(x), rtol=1e-14)


# Section 4


def steps_by_hand(net, x, t, batches, rate):
    """Apply w <- w - rate * gradient of the mean loss for each batch of indices of samples."""
    for batch in batches:
        grads = net.numerical_gradient(x[batch], t[batch])
        for name, grad in grads.items():
            net.params[name] -= rate * grad
    return net.params


@pytest.mark.parametrize("batch_size", [None, 1, 4], ids=["gradient descent", "(a) stochastic", "(b) minibatch"])
def test_gradient_descent_in_three_forms(rng, batch_size, monkeypatch):
    # steps (1) to (5), or (1) to (6): learning rate, initial weights, samples, gradient, update, repetition
    x, t = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
    net, by_hand = random_net(rng), random_net(rng)
    for name in net.params:
        by_hand.params[name] = net.params[name]
    order = rng.permutation(8)
    monkeypatch.setattr(fnn.training, "draw_orders", lambda *arguments: order[np.newaxis])
    net.fit(x, t, epochs=1, batch_size=batch_size, optimizer=fnn.SGD(0.5))
    batches = order.reshape(-1, batch_size or 8)
    for name, value in steps_by_hand(by_hand, x, t, batches, 0.5).items():
        np.testing.assert_allclose(
            net.params[name], value, rtol=0, atol=1e-6
        )  # central differences have an error of h^2


def test_minibatches_are_a_partition_drawn_at_random(rng):
    first, second = fitting.draw_orders(rng, 20, 6, "shuffle", 2)
    assert sorted(first) == sorted(second) == list(range(20)) and first.tolist() != second.tolist()


@pytest.mark.jit
def test_training_solves_the_minimization(rng):
    # problem (1), for two classes that a line separates
    x = rng.standard_normal((200, 2))
    t = (x[:, 0] + x[:, 1] > 0).astype(int)
    net = fnn.FNN((2, 8, 2), activation="sigmoid", init="xavier", seed=0)
    before = net.loss(x, t)
    net.fit(x, t, epochs=200, batch_size=20, optimizer=fnn.SGD(0.5))
    assert net.loss(x, t) < 0.1 * before and net.accuracy(x, t) > 0.97


@pytest.mark.jit
def test_example_4_1():
    (x, t), (x_test, t_test) = fnn.datasets.load_mnist(one_hot_label=True)
    np.random.seed(0)
    network = fnn.TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
    assert {name: value.shape for name, value in network.params.items()} == {
        "W1": (784, 50), "b1": (50,), "W2": (50, 10), "b2": (10,)
    }  # fmt: skip
    losses = []
    for _ in range(1000):
        batch_mask = np.random.choice(len(x), 100)
        x_batch, t_batch = x[batch_mask], t[batch_mask]
        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= 0.1 * grad[key]
        losses.append(network.loss(x_batch, t_batch))
    # from log 10, the loss of equal probabilities, to below 1, as in the plot of the notes
    assert losses[0] == pytest.approx(np.log(10), abs=0.1)
    assert np.mean(losses[-50:]) < 0.8
    assert network.accuracy(x_test, t_test) > 0.8


# Section 5


def test_back_propagation_step_by_step(rng):
    # b = 0 as in the notes, three layers, one sample; the W of the notes is the transpose of W here
    sizes = (3, 4, 5, 2)
    net = random_net(rng, sizes, "tanh")
    for layer in (1, 2, 3):
        net.params[f"b{layer}"] = np.zeros(sizes[layer])
    W = {layer: net.params[f"W{layer}"].T for layer in (1, 2, 3)}  # step (2)
    x, label = rng.standard_normal(3), 1
    u, z = {}, {0: x}
    for layer in (1, 2, 3):  # steps (1) and (3)
        u[layer] = W[layer] @ z[layer - 1]
        z[layer] = np.tanh(u[layer]) if layer < 3 else np.exp(u[3]) / np.exp(u[3]).sum()
    delta = {3: z[3] - np.eye(2)[label]}  # step (4)
    for layer in (2, 1):  # step (5), with delta of the next layer; the notes have that of the last layer
        delta[layer] = (1 - np.tanh(u[layer]) ** 2) * (W[layer + 1].T @ delta[layer + 1])
    grads = net.gradient(x[np.newaxis], np.array([label]))
    for layer in (1, 2, 3):  # step (6)
        np.testing.assert_allclose(grads[f"W{layer}"].T, np.outer(delta[layer], z[layer - 1]), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(grads[f"b{layer}"], delta[layer], rtol=1e-12, atol=1e-15)
    wrong = (1 - np.tanh(u[1]) ** 2) * (W[2].T[:, :2] @ delta[3])  # the printed formula has the wrong shape
    assert not np.allclose(wrong, delta[1])


def test_example_5_1_relu():
    relu, x, dout = layers.Relu(), np.array([[1.0, -0.5], [-2, 3]]), np.ones((2, 2))
    np.testing.assert_array_equal(relu.forward(x), [[1, 0], [0, 3]])
    np.testing.assert_array_equal(relu.backward(dout), [[1, 0], [0, 1]])
    assert np.all(dout == 1)  # the layer of the notes overwrites dout


def test_example_5_1_affine(rng):
    W, b, x = rng.standard_normal((6, 3)), rng.standard_normal(3), rng.standard_normal((2, 3, 2))
    affine, dout = layers.Affine(W, b), rng.standard_normal((2, 3))
    np.testing.assert_allclose(affine.forward(x), x.reshape(2, 6) @ W + b, rtol=1e-13)
    np.testing.assert_allclose(affine.backward(dout), (dout @ W.T).reshape(2, 3, 2), rtol=1e-13)
    np.testing.assert_allclose(affine.dW, x.reshape(2, 6).T @ dout, rtol=1e-13)
    np.testing.assert_allclose(affine.db, dout.sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("one_hot", [False, True])
def test_example_5_1_softmax_with_loss(rng, one_hot):
    x, labels = rng.standard_normal((4, 3)), rng.integers(0, 3, 4)
    last = layers.SoftmaxWithLoss()
    t = np.eye(3)[labels] if one_hot else labels
    y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    assert last.forward(x, t) == pytest.approx(-np.log(y[np.arange(4), labels]).mean(), rel=1e-12)
    np.testing.assert_allclose(last.backward(), (y - np.eye(3)[labels]) / 4, rtol=1e-12, atol=1e-15)


def test_example_5_1_two_layer_net(rng):
    net = fnn.TwoLayerNet(6, 5, 3, weight_init_std=1.0, activation="relu", dtype="float64", seed=0)
    x, t = rng.standard_normal((7, 6)), np.eye(3)[rng.integers(0, 3, 7)]
    hand = {name: value.copy() for name, value in net.params.items()}
    chain = [layers.Affine(hand["W1"], hand["b1"]), layers.Relu(), layers.Affine(hand["W2"], hand["b2"])]
    last = layers.SoftmaxWithLoss()
    values = x
    for layer in chain:
        values = layer.forward(values)
    assert last.forward(values, t) == pytest.approx(net.loss(x, t), rel=1e-12)
    dout = last.backward()
    for layer in reversed(chain):
        dout = layer.backward(dout)
    grads, numerical = net.gradient(x, t), net.numerical_gradient(x, t)
    for name, value in {"W1": chain[0].dW, "b1": chain[0].db, "W2": chain[2].dW, "b2": chain[2].db}.items():
        np.testing.assert_allclose(grads[name], value, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(grads[name], numerical[name], rtol=0, atol=1e-7)
