"""Loss: a user's two functions in networks, on arrays and in files; invalid arguments."""

import json
import math
import pathlib
import re
import shutil

import numpy as np
import pytest
from helpers import NOJIT, run_python
from small_networks import BACKENDS, DTYPES, assert_same_params, bits, network, samples
from test_hostile_files import DESCRIPTION, good

import fastfnn as fnn
from fastfnn import losses
from fastfnn.backend import cache_folder, get_num_threads, set_num_threads

DELTA, LEVEL = 0.5, 0.8


def huber(y, t):
    r = abs(y - t)
    if r <= DELTA:
        return r * r / 2
    return DELTA * (r - DELTA / 2)


def slope_of_huber(y, t):
    return max(-DELTA, min(DELTA, y - t))


def pinball(y, t):
    return LEVEL * (t - y) if t > y else (1 - LEVEL) * (y - t)


def slope_of_pinball(y, t):
    return -LEVEL if t > y else 1 - LEVEL if t < y else 0


def log_cosh(y, t):
    return abs(y - t) + math.log1p(math.exp(-2 * abs(y - t))) - math.log(2)


def slope_of_log_cosh(y, t):
    return math.tanh(y - t)


# Built-in losses, and the same written by a user, who may give them the same names.
TWINS = {
    "huber": (fnn.Loss(huber, slope_of_huber), losses.Huber(delta=DELTA)),
    "quantile": (fnn.Loss(pinball, slope_of_pinball), losses.Quantile(levels=LEVEL)),
    "squared_error": (fnn.Loss(lambda y, t: (y - t) ** 2 / 2, lambda y, t: y - t, "half"), losses.SquaredError()),
}
every_twin = pytest.mark.parametrize(("own", "built_in"), TWINS.values(), ids=TWINS)
LOG_COSH = fnn.Loss(log_cosh, slope_of_log_cosh)


def data(count=150, outputs=1):
    return samples("huber", count=count, outputs=outputs)


# What a network computes

WEIGHTS = np.linspace(0, 2, 150)
TRAININGS = {
    "minibatches": {"batch_size": 16},
    "one sample a step": {"batch_size": 1, "optimizer": fnn.SGD(0.01)},
    "one sample a step, with momentum": {"batch_size": 1, "optimizer": fnn.Adam(0.001)},
    "all samples": {"batch_size": None},
    "weights": {"batch_size": 16, "sample_weight": WEIGHTS},
    "weights, one sample a step": {"batch_size": 1, "sample_weight": WEIGHTS, "optimizer": fnn.SGD(0.01)},
    "with replacement": {"batch_size": 7, "sampling": "replacement"},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", TRAININGS)
@every_twin
def test_a_built_in_loss_that_a_user_writes_trains_the_same_network(own, built_in, kind, dtype):
    x, t = data()
    results, weighted = [], []
    for loss in (own, built_in):
        net = network((4, 9, 1), loss=loss, dtype=dtype)
        history = net.fit(x, t, epochs=2, validation_data=(x[::2], t[::2]), **TRAININGS[kind])
        part = net.partial_fit(x[:30], t[:30], batch_size=8)
        weighted.append(net.loss(x, t, WEIGHTS))
        steps = history.step_loss.tobytes(), part.step_loss.tobytes()
        results.append((bits(net), *steps, history.val_loss, net.loss(x, t)))
        results[-1] += bits(net.gradient(x, t)), net.evaluate(x, t)
    assert results[0] == results[1]
    assert weighted[0] == pytest.approx(weighted[1], rel=1e-13)


@pytest.mark.parametrize("batch_size", [1, 37, 1500])
@every_twin
def test_tall_steps_and_any_number_of_threads_have_the_same_bits(own, built_in, batch_size):
    """A batch of 1500 samples is tall for this network."""
    x, t = data(count=4000)
    before, results = get_num_threads(), []
    try:
        for threads in (1, max(before, 1)):
            set_num_threads(threads)
            for loss in (own, built_in):
                net = network((4, 9, 1), loss=loss)
                history = net.fit(x, t, epochs=1, batch_size=batch_size)
                results.append((history.step_loss.tobytes(), bits(net)))
    finally:
        set_num_threads(before)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, {"batch_norm": True, "weight_decay": 0.01}], ids=str)
@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
def test_both_backends_train_alike(dtype, rtol, batch_size, options):
    x, t = data(23, 3)
    nets, curves = [], []
    for backend in ("kernels", "reference"):
        net = network((4, 6, 3), activation="tanh", loss=LOG_COSH, dtype=dtype, backend=backend, **options)
        curves.append(net.fit(x, t, epochs=3, batch_size=batch_size, optimizer=fnn.Momentum(0.01)).step_loss)
        nets.append(net)
    np.testing.assert_allclose(*curves, rtol=rtol, atol=rtol)
    assert_same_params(nets[0].params, nets[1].params, rtol=rtol)


@BACKENDS
def test_the_gradient_is_that_of_the_loss(backend):
    net, (x, t) = network(loss=LOG_COSH, activation="tanh", backend=backend), data(7, 3)
    assert_same_params(net.gradient(x, t), net.numerical_gradient(x, t), rtol=3e-8)


@BACKENDS
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_losses_of_a_network_are_those_by_hand(dtype, backend):
    net, (x, t) = network(loss=LOG_COSH, dtype=dtype, backend=backend), data(9, 3)
    weight = np.linspace(0, 2, len(x))
    each = np.log(np.cosh(net.predict(x).astype(float) - t)).sum(axis=1)
    near = {"rel": 1e-12 if dtype == "float64" else 1e-5}
    assert net.loss(x, t) == pytest.approx(each.mean(), **near)
    assert net.loss(x, t, weight) == pytest.approx((weight * each).mean(), **near)
    assert net.evaluate(x, t) == {"loss": net.loss(x, t)}
    history = net.fit(x, t, epochs=1, batch_size=None, optimizer=fnn.SGD(0), validation_data=(x, t))
    assert history.loss[0] == pytest.approx(each.mean(), **near)
    assert history.val_loss[0] == net.loss(x, t)


def test_a_float32_network_computes_its_loss_in_float64():
    net = fnn.FNN((1, 1), loss=fnn.Loss(lambda y, t: 1 + y * y, lambda y, t: 2 * y), init=0.0)
    net.params["b1"] = [1e-5]
    assert net.loss([[1.0]], [0.0]) - 1 == pytest.approx(1e-10, rel=1e-5)


@pytest.mark.parametrize("targets", [[0.5, -3.0], [[0.5], [-3.0]], [0, -3]])
def test_targets_of_one_output_may_have_one_axis_and_be_any_numbers(targets):
    net = fnn.FNN((1, 1), loss=fnn.Loss(lambda y, t: t, lambda y, t: 0, "poisson"), init=0.0)
    assert net.loss([[1.0], [2.0]], targets) == np.mean(targets)


def test_callbacks_and_early_stopping_see_the_loss():
    x, t = data(60)
    net, seen = network((4, 9, 1), loss=LOG_COSH), []
    watchers = [lambda net, history: seen.append(history.val_loss[-1]), fnn.EarlyStopping(patience=2)]
    history = net.fit(x, t, epochs=50, optimizer=fnn.SGD(0.2), validation_data=(x[:9], t[:9]), callbacks=watchers)
    assert seen == history.val_loss and len(seen) > 2
    with pytest.raises(ValueError, match=r"^accuracy needs a network with a cross-entropy loss, got loss 'log_cosh'$"):
        net.accuracy(x, t)


@BACKENDS
def test_a_loss_that_is_nan_is_a_divergence(backend):
    x, t = data(20)
    rooted = fnn.Loss(lambda y, t: np.sqrt(y - t), lambda y, t: 0.5 / np.sqrt(y - t), "rooted")
    net = network((4, 3, 1), loss=rooted, backend=backend)
    before = bits(net)
    with np.errstate(all="ignore"), pytest.raises(fnn.DivergenceError):
        net.fit(x, t, epochs=1)
    assert bits(net) == before


def test_nothing_but_the_functions_is_known_of_a_loss_with_the_name_of_a_built_in_one():
    x, t = data(20)
    for name in ("softmax_cross_entropy", "sigmoid_cross_entropy", "poisson"):
        net = network((4, 3, 1), loss=fnn.Loss(log_cosh, slope_of_log_cosh, name))
        want = network((4, 3, 1), loss=LOG_COSH)
        assert net.loss_name == name and net.loss(x, t) == want.loss(x, t)
        np.testing.assert_array_equal(net.predict(x), want.predict(x))
        np.testing.assert_array_equal(fnn.FN.from_fnn(net)(x), fnn.FN.from_fnn(want)(x))
        with pytest.raises(ValueError, match=r"^class_weight needs a network with softmax cross-entropy"):
            net.fit(x, t, class_weight={0: 2.0})


def test_a_network_shows_the_name_of_its_loss(capsys):
    net = fnn.FNN((4, 2), loss=LOG_COSH)
    assert repr(net) == "FNN(4-2, no hidden layer; log_cosh; float32)"
    net.summary()
    printed = capsys.readouterr().out
    assert "identity" in printed and printed.endswith(" of float32, loss log_cosh\n")


# On arrays


@pytest.mark.parametrize("dtype", [*DTYPES, "int64"])
@pytest.mark.parametrize(
    "shapes", [((), ()), ((3,), (3,)), ((2, 3), ()), ((2, 1), (3,)), ((2, 3, 4), (4,)), ((0, 3), ())]
)
def test_a_loss_of_arrays_is_that_of_each_element_in_float64(shapes, dtype):
    rng = np.random.default_rng(0)
    y, t = (np.asarray(3 * rng.standard_normal(shape), dtype) for shape in shapes)
    want = y.astype(float) - t
    for got, wanted in ((LOG_COSH(y, t), np.log(np.cosh(want))), (LOG_COSH.derivative_at(y, t), np.tanh(want))):
        assert got.shape == want.shape and got.dtype == np.float64
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15)


def test_a_loss_of_numbers_is_a_number():
    assert isinstance(LOG_COSH(1, 1), np.float64) and LOG_COSH(1, 1) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones(2), np.ones(3)), ValueError, r"^y and t must have shapes that broadcast, got \(2,\) and \(3,\)$"),
        ((["a"], 1.0), TypeError, "^y must hold real numbers, got dtype"),
        ((1.0, 1j), TypeError, "^t must hold real numbers, got dtype"),
    ],
)
def test_wrong_arrays_are_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        LOG_COSH(*arguments)


# Files


def test_a_file_holds_the_name_of_a_loss(tmp_path):
    net, (x, t) = network((4, 5, 3), loss=LOG_COSH), data(9, 3)
    net.save(tmp_path / "net")
    twin = fnn.load(tmp_path / "net", losses=[TWINS["huber"][0], LOG_COSH])
    assert twin.loss_function == LOG_COSH and twin.evaluate(x, t) == net.evaluate(x, t)
    for given in ((), [TWINS["huber"][0]]):
        with pytest.raises(ValueError, match=r"^losses must hold the network's own loss 'log_cosh' of .*net$"):
            fnn.load(tmp_path / "net", losses=given)


def test_a_loss_with_the_name_of_a_built_in_one_is_not_saved(tmp_path):
    own, built_in = TWINS["huber"]
    message = "^loss of a network that is saved must not have the name of a built-in one, got your own 'huber': give it"
    with pytest.raises(ValueError, match=message):
        network(loss=own).save(tmp_path / "net")
    assert not list(tmp_path.iterdir())
    network(loss=built_in).save(tmp_path / "net")
    assert fnn.load(tmp_path / "net", losses=[own]).loss_function == built_in


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["log_cosh"], TypeError, r"^losses\[0\] must be a Loss, got str$"),
        ([losses.Huber()], TypeError, r"^losses\[0\] must be a Loss, got Huber$"),
        ("log_cosh", TypeError, "^losses must be a sequence of Loss, got str$"),
        (LOG_COSH, TypeError, "^losses must be a sequence of Loss, got Loss$"),
        (None, TypeError, "^losses must be a sequence of Loss, got NoneType$"),
        ([LOG_COSH, fnn.Loss(huber, slope_of_huber, "log_cosh")], ValueError, "^losses must have different names"),
    ],
)
def test_losses_that_cannot_be_meant_are_rejected(tmp_path, given, error, message):
    fnn.FNN((2, 1)).save(tmp_path / "net")
    with pytest.raises(error, match=message):
        fnn.load(tmp_path / "net", losses=given)


def test_options_of_an_own_loss_in_a_file_are_damage(tmp_path):
    path = tmp_path / "net"
    path.write_bytes(good(json.dumps(DESCRIPTION | {"loss": "log_cosh", "loss_options": {"delta": 1.0}})))
    message = "net is damaged: loss_options of log_cosh must be some of none; got 'delta'"
    with pytest.raises(ValueError, match=re.escape(message)):
        fnn.load(path, losses=[LOG_COSH])


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ("huber", slope_of_huber),
            TypeError,
            "^value must be a Python function or a NumPy ufunc of 2 numbers, got str$",
        ),
        ((huber, None), TypeError, "^derivative must be a Python function or a .* of 2 numbers, got NoneType$"),
        ((lambda y: y, slope_of_huber), ValueError, r"^value must take 2 numbers, got a function of \(y\)$"),
        (
            (huber, lambda y, t, d=1: y),
            ValueError,
            r"^derivative must take 2 numbers, got a function of \(y, t, d=1\)$",
        ),
        (
            (np.sin, slope_of_huber),
            ValueError,
            "^value must take 2 numbers and return one, got the ufunc sin of 1 inputs",
        ),
        ((huber, slope_of_huber, 3), TypeError, "^name must be a str, got int$"),
    ],
)
def test_invalid_arguments_of_loss_are_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        fnn.Loss(*arguments)


def test_ufuncs_of_two_inputs_are_functions_of_two_numbers():
    loss = fnn.Loss(np.subtract, lambda y, t: 1)
    assert loss.name == "subtract" and loss(3.0, 1.0) == 2


@pytest.mark.parametrize(
    ("loss", "got"), [(huber, "function"), (fnn.Loss, "the class Loss"), ((huber, slope_of_huber), "tuple")]
)
def test_what_is_no_loss_is_a_typeerror_that_names_it(loss, got):
    with pytest.raises(TypeError, match=f"an object of fastfnn.losses or a fastfnn.Loss; got {got}$"):
        fnn.FNN((2, 1), loss=loss)


def asks(y, t):
    scale = input("scale")
    return (y - t) * float(scale)


@pytest.mark.skipif(NOJIT, reason="Python runs what Numba cannot compile")
@pytest.mark.parametrize("use", [lambda loss: fnn.FNN((4, 1), loss=loss), lambda loss: loss(1.0, 2.0)])
def test_a_loss_that_cannot_be_compiled_raises_an_error_with_the_line(use):
    start = r"(?s)^value must be a function that Numba can compile: .*scale = input\(\"scale\"\)"
    with pytest.raises(ValueError, match=start):
        use(fnn.Loss(asks, slope_of_huber))


FIRST_NETWORK = """
import fastfnn as fnn
from test_own_loss import LOG_COSH, data
x, t = data()
net = fnn.FNN((4, 9, 1), loss=LOG_COSH, seed=0)
print(repr(net.fit(x, t, epochs=2, batch_size=16).step_loss[-1]))
"""


@pytest.mark.jit
def test_another_process_loads_the_loss_from_disk_and_has_the_same_bits(tmp_path):
    """In a cache of the test's own, which has all but the losses of users: to compile it would take half a minute."""
    if kept := cache_folder():
        others = shutil.ignore_patterns("own.*", "*.tmp", "fastfnn.lock")
        shutil.copytree(kept, tmp_path / pathlib.Path(kept).name, ignore=others)
    runs = [run_python(FIRST_NETWORK, NUMBA_CACHE_DIR=tmp_path) for _ in range(2)]
    assert runs[0] == runs[1]
    (code,) = pathlib.Path(tmp_path).rglob("own.loss_*.nbc")
    assert code.stat().st_size > 1000
