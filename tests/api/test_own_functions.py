"""What an Activation and a Loss share: values, copies and pickles, and their names in files."""

import copy
import math
import pickle

import numpy as np
import pytest
from helpers import run_python
from small_networks import bits, network, samples

import fastfnn as fnn


def bent(x):
    return x / (1 + abs(x))


def slope_of_bent(x):
    return 1 / (1 + abs(x)) ** 2


def fourth(y, t):
    return (y - t) ** 4 / 4


def cube(y, t):
    return (y - t) ** 3


def local_functions():
    def local(x):
        return x

    return local, lambda x: 1.0


OWN = {
    "an activation": lambda name=None: fnn.Activation(bent, slope_of_bent, name),
    "an activation of ufuncs": lambda name=None: fnn.Activation(np.sin, np.cos, name),
    "an activation of math": lambda name=None: fnn.Activation(math.sin, math.cos, name),
    "a loss": lambda name=None: fnn.Loss(fourth, cube, name),
}
every_own = pytest.mark.parametrize("make", OWN.values(), ids=OWN)


def net_of(own):
    if isinstance(own, fnn.Activation):
        return network((4, 5, 3), activation=own, loss="squared_error")
    return network((4, 5, 3), loss=own)


# Values


@every_own
def test_own_functions_are_immutable_and_compared_by_value(make):
    own = make()
    assert own == make() and hash(own) == hash(make()) and own != make("other")
    assert own != fnn.Activation(bent, lambda x: 1.0, own.name) and own != own.name
    for name in ("name", "derivative"):
        with pytest.raises(AttributeError):
            setattr(own, name, None)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_is_the_object_itself_whatever_its_functions_are(duplicate):
    for own in (*(make() for make in OWN.values()), fnn.Activation(*local_functions())):
        assert duplicate(own) is own
        x, t = samples("squared_error")
        net = net_of(own)
        twin = duplicate(net)
        assert twin.evaluate(x, t) == net.evaluate(x, t)


# Pickles


@every_own
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_functions_with_names_are_pickled_without_the_addresses_of_their_code(make, protocol):
    own, (x, t) = make("mine"), samples("squared_error")
    net = net_of(own)
    want = net.evaluate(x, t)
    code = own.code("kernels", "float64")
    content = pickle.dumps((own, net), protocol)
    assert code.to_bytes(8, "little") not in content
    twin, other = pickle.loads(content)
    assert twin == own and twin.name == "mine" and twin.code("kernels", "float64") == code
    assert other.evaluate(x, t) == want
    for each in (net, other):
        each._rng = np.random.default_rng(0)
        each.fit(x, t, epochs=2, batch_size=3)
    assert bits(other) == bits(net)


UNPICKLE = """
import sys, pickle
import numpy as np
with open(sys.argv[1], "rb") as file:
    net, x, t = pickle.load(file)
print(repr(net.loss(x, t)))
net.fit(x, t, epochs=1)
print(repr(net.loss(x, t)))
"""


@pytest.mark.jit
@every_own
def test_another_process_unpickles_a_network_that_has_been_used(make, tmp_path):
    (x, t), net = samples("squared_error"), net_of(make())
    want = [net.loss(x, t)]
    with open(tmp_path / "net", "wb") as file:
        pickle.dump((net, x, t), file)
    net.fit(x, t, epochs=1)
    want.append(net.loss(x, t))
    assert [float(line) for line in run_python(UNPICKLE, tmp_path / "net").split()] == want


@pytest.mark.parametrize(
    ("own", "function"),
    [
        (fnn.Activation(lambda x: x, slope_of_bent), "<lambda>"),
        (fnn.Activation(bent, lambda x: 1.0), "<lambda>"),
        (fnn.Activation(*local_functions()), "local_functions.<locals>"),
        (fnn.Loss(lambda y, t: y, cube, "mine"), "<lambda>"),
        (fnn.Loss(fourth, lambda y, t: y), "<lambda>"),
    ],
    ids=repr,
)
def test_pickle_refuses_functions_without_a_place_in_a_module_and_names_them(own, function):
    for thing in (own, net_of(own)):
        with pytest.raises((pickle.PicklingError, AttributeError), match=function):
            pickle.dumps(thing)


def test_cloudpickle_writes_any_function():
    cloudpickle = pytest.importorskip("cloudpickle")
    scale = 2.0
    own = fnn.Activation(lambda x: scale * x, lambda x: scale)
    twin = cloudpickle.loads(cloudpickle.dumps(own))
    np.testing.assert_array_equal(twin([1.0, 2.0]), [2.0, 4.0])


# Files


@pytest.mark.parametrize(
    "other", [fnn.Activation(lambda x: x, lambda x: 1.0), fnn.Activation(np.tanh, np.cos, "<lambda>")]
)
def test_two_activations_of_one_name_are_not_saved(tmp_path, other):
    first = fnn.Activation(lambda x: x * x, lambda x: 2 * x)
    message = (
        "^activations of a network that is saved must have different names, got two with the name '<lambda>': give"
    )
    with pytest.raises(ValueError, match=message):
        fnn.FNN((2, 3, 3, 1), activation=(first, other)).save(tmp_path / "net")
    assert not list(tmp_path.iterdir())
    fnn.FNN((2, 3, 3, 3, 1), activation=(first, "tanh", copy.deepcopy(first))).save(tmp_path / "net")
    assert fnn.load(tmp_path / "net", activations=[first]).activation == (first, "tanh", first)


@pytest.mark.parametrize("name", ["tanh", "softmax"])
def test_an_activation_with_the_name_of_a_built_in_one_is_not_saved(tmp_path, name):
    own = fnn.Activation(bent, slope_of_bent, name)
    message = (
        f"^activation of a network that is saved must not have the name of a built-in one, got your own '{name}': "
    )
    with pytest.raises(ValueError, match=message):
        fnn.FNN((2, 3, 1), activation=own).save(tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_activations_of_one_name_cannot_be_meant_in_a_file(tmp_path):
    own, other = fnn.Activation(bent, slope_of_bent), fnn.Activation(np.tanh, np.cos, "bent")
    fnn.FNN((2, 3, 1), activation=own, seed=0).save(tmp_path / "net")
    with pytest.raises(ValueError, match=r"^activations must have different names, got two with the name 'bent'$"):
        fnn.load(tmp_path / "net", activations=[own, other])
    fnn.load(tmp_path / "net", activations=[own, own])
