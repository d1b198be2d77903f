"""Files that hold what training goes on with: it goes on with the same bits, and damaged ones are refused."""

import copy
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save
from small_networks import bits, samples
from test_hostile_files import MEGABYTE, address_space  # noqa: F401 (a fixture)

import fastfnn as fnn
from fastfnn import checkpoint, files, schedules, stored

X, T = samples(count=23)

OPTIMIZERS = {
    "SGD": lambda: fnn.SGD(0.1),
    "Momentum": lambda: fnn.Momentum(schedules.Step(0.1, every=7), 0.8),
    "Nesterov": lambda: fnn.Nesterov(schedules.Exponential(0.1, 0.9)),
    "AdaGrad": lambda: fnn.AdaGrad(schedules.InverseScaling(0.1), clip_norm=2.0),
    "RMSprop": lambda: fnn.RMSprop(schedules.Constant(0.01), 0.9, 1e-5),
    "Adam": lambda: fnn.Adam(schedules.Cosine(0.1, steps=20, final=0.01), 0.8, 0.95, 1e-4, book=True),
    "AdamW": lambda: fnn.AdamW(0.02, weight_decay=0.1),
}


def some_net(**options):
    return fnn.FNN((4, 5, 3), **({"activation": "tanh", "seed": 1, "dtype": "float64", "dropout": 0.3} | options))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_after_loading_with_the_same_bits(tmp_path, name, dtype):
    net = some_net(dtype=dtype, batch_norm=True)
    net.fit(X, T, epochs=2, batch_size=4, optimizer=OPTIMIZERS[name]())
    net.gradient(X, T)
    net.save(tmp_path / "net", training=True)
    twin = fnn.load(tmp_path / "net")
    assert (repr(twin.optimizer), twin.optimizer.steps) == (repr(net.optimizer), 12)
    for each in (net, twin):
        each.partial_fit(X, T, batch_size=4)
        each.fit(X, T, epochs=2, batch_size=4, optimizer=each.optimizer, sampling="replacement")
    assert bits(twin) == bits(net)
    assert bits(twin._running()) == bits(net._running())
    assert bits(twin.gradient(X, T)) == bits(net.gradient(X, T))  # the masks of dropout


def test_a_network_without_a_training_keeps_its_random_state(tmp_path):
    net = some_net()
    net.save(tmp_path / "net", training=True)
    twin = fnn.load(tmp_path / "net")
    assert twin.optimizer is None
    for each in (net, twin):
        each.fit(X, T, epochs=2, batch_size=4)
    assert bits(twin) == bits(net)


def test_a_name_that_the_optimizer_was_given_as_goes_on(tmp_path):
    net = some_net()
    net.partial_fit(X, T, optimizer="adam")
    net.save(tmp_path / "net", training=True)
    twin = fnn.load(tmp_path / "net")
    twin.partial_fit(X, T, optimizer="adam")
    assert twin.optimizer.steps == 2


def test_without_training_a_file_holds_the_network_only(tmp_path):
    net = some_net()
    net.fit(X, T, epochs=1)
    net.save(tmp_path / "net")
    assert sorted(load_file(tmp_path / "net")) == ["W1", "W2", "b1", "b2"]
    assert fnn.load(tmp_path / "net").optimizer is None


def test_an_optimizer_that_has_trained_another_network_since_starts_anew_and_is_not_disturbed(tmp_path):
    net, other, optimizer = some_net(), some_net(), fnn.Adam()
    for each in (net, other):
        each.fit(X, T, epochs=1, optimizer=optimizer)
    net.save(tmp_path / "net", training=True)
    assert fnn.load(tmp_path / "net").optimizer.steps == 0
    assert (optimizer.steps, optimizer.flat_state(other.params)[0].any()) == (1, True)


def test_a_function_as_learning_rate_is_refused_when_saving(tmp_path):
    net = some_net()
    net.fit(X, T, epochs=1, optimizer=fnn.SGD(lambda step: 0.1))
    with pytest.raises(
        ValueError, match=r"learning_rate of the optimizer must be a number or a schedule .* got a func"
    ):
        net.save(tmp_path / "net", training=True)
    with pytest.raises(TypeError, match="training must be True or False, got int"):
        net.save(tmp_path / "net", training=1)
    assert not (tmp_path / "net").exists()


def test_of_a_checkpoint_with_a_function_as_learning_rate_training_asks_for_it(tmp_path):
    net = some_net()
    net.fit(X, T, epochs=1, optimizer=fnn.Momentum(lambda step: 0.1), checkpoint=tmp_path)
    twin = fnn.load(tmp_path / checkpoint.FILE)
    with pytest.raises(ValueError, match=r"learning_rate was a function .* set net\.optimizer\.learning_rate"):
        twin.partial_fit(X, T)
    for each in (net, twin):
        each.optimizer.learning_rate = 0.2
        each.partial_fit(X, T)
    assert bits(twin) == bits(net)


def test_an_optimizer_of_a_class_of_ones_own_is_refused(tmp_path):
    class Mine(fnn.SGD):
        pass

    net = some_net()
    net.fit(X, T, epochs=1, optimizer=Mine(0.1))
    with pytest.raises(ValueError, match=r"must be of a class of fastfnn\.optimizers to be saved, got Mine"):
        net.save(tmp_path / "net", training=True)


def test_a_training_that_diverged_can_be_saved(tmp_path):
    net = some_net(loss="squared_error", activation="relu")
    with pytest.warns(RuntimeWarning, match="not finite"):
        net.fit(X, X[:, :3], epochs=3, optimizer=fnn.Momentum(1e300), on_divergence="warn", checkpoint=tmp_path)
    twin = fnn.load(tmp_path / checkpoint.FILE)
    assert np.isnan(twin.params.flat).any()


# Damaged files


def checkpoint_content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    net = some_net(batch_norm=True)
    stop = fnn.EarlyStopping(5)
    net.fit(X, T, epochs=2, batch_size=4, optimizer=fnn.Adam(schedules.Cosine(0.1, steps=20)), checkpoint=folder,
            validation_data=(X, T), callbacks=[stop])  # fmt: skip
    return folder / checkpoint.FILE


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The metadata and the arrays of a checkpoint."""
    path = checkpoint_content(tmp_path_factory)
    with files.opened(path) as saved:
        description = saved.description
        section = saved.sections["training"]
    return description, section, load_file(path)


def at(section, path):
    """The object that holds the last name of a path, and that name."""
    *names, last = (int(name) if name.isdigit() else name for name in path.split("."))
    for name in names:
        section = section[name]
    return section, last


def put(path, value):
    """Another value at a path of the section; `...` leaves the entry out."""

    def change(section, arrays):
        holder, last = at(section, path)
        if value is ...:
            del holder[last]
        else:
            holder[last] = value

    return change


def tensor(name, value):
    """Another array; None leaves it out."""

    def change(section, arrays):
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value

    return change


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def deep_schedule(depth):
    value = 0.1
    for _ in range(depth):
        value = {"schedule": "Constant", "rate": value}
    return value


JUNK = (None, True, -1, 1.5, "x", [], {}, 10**30, [1], {"$float": "nan"})
FIELDS = {
    "optimizer": (True, 3, "Adam", [], {}),
    "optimizer.name": (None, 3, "SGD", "Momentum", "Optimizer", [], {}),
    "optimizer.learning_rate": (True, -1, "x", [], [1], {}, 10**400, {"$float": "inf"}),
    "optimizer.learning_rate.schedule": (None, "Schedule", "Step", [], {}),
    "optimizer.learning_rate.rate": (None, -1, "x", [], {}, 10**400, {"$float": "nan"}),
    "optimizer.learning_rate.steps": (None, 0, -1, 1.5, "x", 10**30),
    "optimizer.clip_norm": (True, 0, -1, "x", [], {}),
    "optimizer.settings": (None, 3, [], {}),
    "optimizer.settings.beta1": (None, True, 1, -1, "x", {"$float": "nan"}),
    "optimizer.settings.epsilon": (None, 0, 1e-300),
    "optimizer.settings.book": (None, 0, "x"),
    "optimizer.given_as": (True, 3, [], {}),
    "optimizer.steps": JUNK,
    "optimizer.first": JUNK,
    "optimizer.second": JUNK,
    "random_state": JUNK,
    "random_state.name": ("MT19937", None, 3),
    "random_state.state": (None, 3, "", "-1", "1.5", "x", "9" * 39, "9" * 5000, "１"),
    "random_state.increment": (None, 3, "", "2", "9" * 40),
    "random_state.has_uint32": (None, True, 2, -1),
    "random_state.uint32": (None, -1, 1 << 32, 0.5),
    "dropout_seed": (*JUNK, 1 << 32),
    "gradients": JUNK,
    "fit": (True, -1, "x", [], {}, 10**30),
    "fit.asked": (None, 3, [], {}),
    "fit.asked.samples": (*JUNK, 0, 5, 10**15),
    "fit.asked.batch_size": (*JUNK, 0, 7, 24),
    "fit.epochs": (*JUNK, 1, 3, 10**15),
    "fit.steps": (*JUNK, 11, 13, 18, 10**15),
    "fit.seconds": (None, True, -1, "x", {"$float": "inf"}, {"$float": "nan"}),
    "fit.stopped": (None, 0, 1, "x"),
    "fit.history": (None, 3, [], {}),
    "fit.history.loss": JUNK,
    "fit.history.step_loss": JUNK,
    "fit.callbacks": (None, True, 3, {}, [1], [{}], [{"kind": 1, "state": {}}]),
    "fit.callbacks.0.kind": (None, 3, []),
    "fit.callbacks.0.state": (None, 3, []),
    "fit.callbacks.0.state.params": ({"$array": "training.nothing"}, {"$array": 3}, {"$array": "W1"}, {"$what": 1}),
    "fit.good": (True, 3, [], {}, {"params": 1}),
    "fit.estimator": (True, 3, "x", []),
}  # fmt: skip
FIRST = "training.optimizer.first"
SIZE = 4 * 5 + 5 + 5 + 5 + 5 * 3 + 3

DAMAGE = {
    **{f"{path} {str(value)[:40]!r}": put(path, value) for path, values in FIELDS.items() for value in values},
    **{f"no {path}": put(path, ...) for path in FIELDS if path not in ("fit", "fit.asked.beta1")},
    **{f"{path} unknown": put(path, 1) for path in ("x", "optimizer.x", "optimizer.settings.x", "random_state.x",
       "fit.x", "fit.history.x", "fit.callbacks.0.x", "optimizer.learning_rate.x")},
    "nested callbacks": put("fit.callbacks.0.state.best", nested(40)),
    "nested lists": put("fit.asked.x", json.loads("[" * 400 + "]" * 400)),
    "nested schedule": put("optimizer.learning_rate", deep_schedule(200)),
    "array twice": put("optimizer.second", {"$array": FIRST}),
    "array missing": tensor(FIRST, None),
    "array too many": tensor("training.x", np.zeros(3)),
    "array of other dtype": tensor(FIRST, np.zeros(SIZE, "float32")),
    "array of other shape": tensor(FIRST, np.zeros(SIZE + 1)),
    "array of two axes": tensor(FIRST, np.zeros((1, SIZE))),
    "short history": tensor("training.fit.history.loss", np.zeros(1)),
    "history of float32": tensor("training.fit.history.loss", np.zeros(2, "float32")),
    "short accuracy": tensor("training.fit.history.val_accuracy", np.zeros(1)),
    "no losses": tensor("training.fit.history.loss", np.zeros(0)),
    "short losses of steps": tensor("training.fit.history.step_loss", np.zeros(11)),
}  # fmt: skip


def rewritten(parts, change, path):
    description, section, arrays = copy.deepcopy(parts)
    change(section, arrays)
    content = save(arrays, {
        "format": files.FILE_FORMAT, "version": "0", "network": json.dumps(description),
        "training": json.dumps(section),
    })  # fmt: skip
    path.write_bytes(content)


def test_the_checkpoint_that_the_others_are_made_of_loads(tmp_path, parts):
    rewritten(parts, lambda section, arrays: None, tmp_path / "good")
    assert fnn.load(tmp_path / "good").optimizer.steps == 12


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_training_is_a_valueerror_that_names_the_file(tmp_path, parts, address_space, case):  # noqa: F811
    path = tmp_path / "hostile.safetensors"
    rewritten(parts, DAMAGE[case], path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"hostile\.safetensors") as caught:
            fnn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 50 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert caught.type is ValueError
    assert len(str(caught.value)) < 1000


STATES = {
    "best 'x'": put("fit.callbacks.0.state.best", "x"),
    "best nan": put("fit.callbacks.0.state.best", {"$float": "nan"}),
    "best null": put("fit.callbacks.0.state.best", None),
    "no best": put("fit.callbacks.0.state.best", ...),
    "best_epoch 0": put("fit.callbacks.0.state.best_epoch", 0),
    "best_epoch 'x'": put("fit.callbacks.0.state.best_epoch", "x"),
    "unknown": put("fit.callbacks.0.state.x", 1),
    "other weights": tensor("training.fit.callbacks.0.state.params", np.zeros(3)),
    "weights of float32": tensor("training.fit.callbacks.0.state.params", np.zeros(SIZE, "float32")),
    "kind": put("fit.callbacks.0.kind", "Other"),
    "no callbacks": put("fit.callbacks", []),
}


@pytest.mark.parametrize("case", STATES)
def test_a_checkpoint_with_a_damaged_callback_is_not_resumed_and_changes_nothing(tmp_path, parts, case):
    rewritten(parts, STATES[case], tmp_path / checkpoint.FILE)
    net, optimizer = some_net(batch_norm=True), fnn.Adam(schedules.Cosine(0.1, steps=20))
    before = bits(net)
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors"):
        net.fit(X, T, epochs=3, batch_size=4, optimizer=optimizer, checkpoint=tmp_path, resume=True,
                validation_data=(X, T), callbacks=[fnn.EarlyStopping(5)])  # fmt: skip
    assert (bits(net), optimizer.steps) == (before, 0)


def test_what_a_hostile_checkpoint_claims_to_have_been_asked_for_is_no_description(tmp_path, parts):
    rewritten(parts, put("fit.asked.layer_sizes", [4, 6, 3]), tmp_path / checkpoint.FILE)
    net = fnn.FNN((4, 6, 3), activation="tanh", seed=1, dtype="float64", dropout=0.3, batch_norm=True)
    with pytest.raises(ValueError, match=r"layer_sizes \[4, 5, 3\], got \[4, 6, 3\]$"):
        net.fit(X, T, epochs=3, batch_size=4, optimizer=fnn.Adam(schedules.Cosine(0.1, steps=20)), checkpoint=tmp_path,
                resume=True, validation_data=(X, T), callbacks=[fnn.EarlyStopping(5)])  # fmt: skip


@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_changed_and_cut_checkpoints_load_or_are_a_valueerror(tmp_path_factory, parts, changes, kept):
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    rewritten(parts, lambda section, arrays: None, path)
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for place, value in changes:
        content[int(place * header)] = value
    path.write_bytes(bytes(content[: round(kept * len(content))]))
    try:
        net = fnn.load(path)
    except ValueError as error:
        assert type(error) is ValueError and path.name in str(error)
    else:
        assert net.optimizer is None or net.optimizer.steps >= 0


# Nested values


def test_nested_values_come_back():
    value = {"a": [1, -2.5, True, None, "x", ()], "b": {"c": np.arange(3), "d": [np.float32(1.5), np.zeros((2, 0))]},
             "e": [float("inf"), -float("inf"), float("nan")]}  # fmt: skip
    told, arrays = stored.packed(value, "v")
    assert list(arrays) == ["v.b.c", "v.b.d.1"]
    entries = {name: {"dtype": stored.DTYPES[a.dtype.name], "shape": list(a.shape)} for name, a in arrays.items()}
    back = stored.read(stored.unpacked(json.loads(json.dumps(told, allow_nan=False)), entries, Tensors(arrays)))
    assert repr(back) == repr(value).replace("()", "[]").replace("np.float32(1.5)", "1.5")


class Tensors:
    def __init__(self, arrays):
        self.get_tensor = arrays.__getitem__


UNSTORABLE = [
    {1, 2}, {1: 2}, {"$a": 1}, b"x", 1j, np.array(["x"]), np.array([1j]), nested(30), object(),
    {"a.b": np.ones(1), "a": {"b": np.ones(1)}},
]  # fmt: skip


@pytest.mark.parametrize("value", UNSTORABLE)
def test_what_cannot_be_stored_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"^v[.\w]* must"):
        stored.packed(value, "v")
