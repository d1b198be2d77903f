"""Schedules: their equations, single steps and arrays of steps, and their use by the optimizers."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import bits, samples

import fastfnn as fnn
from fastfnn.fitting import Pace
from fastfnn.schedules import Constant, Cosine, Exponential, InverseScaling, Step

# Each schedule with its equation for a single step, in Python's arithmetic.
EQUATIONS = {
    Constant(0.5): lambda step: 0.5,
    Step(0.5, 7): lambda step: 0.5 * 0.1 ** (step // 7),
    Step(0.5, 3, 0.75): lambda step: 0.5 * 0.75 ** (step // 3),
    Step(0.5, 3, 0): lambda step: 0.5 if step < 3 else 0.0,
    Exponential(0.5, 0.9): lambda step: 0.5 * 0.9**step,
    Exponential(0.5, 0.9, every=12): lambda step: 0.5 * 0.9 ** (step / 12),
    Cosine(0.5, 40): lambda step: 0.25 * (1 + math.cos(math.pi * min(step, 40) / 40)),
    Cosine(0.5, 40, final=0.125): lambda step: 0.125 + 0.1875 * (1 + math.cos(math.pi * min(step, 40) / 40)),
    Cosine(0.25, 40, final=0.75): lambda step: 0.75 - 0.25 * (1 + math.cos(math.pi * min(step, 40) / 40)),
    InverseScaling(0.5): lambda step: 0.5 / math.sqrt(step + 1),
    InverseScaling(0.5, 0.25): lambda step: 0.5 / (step + 1) ** 0.25,
    InverseScaling(0.5, power=0): lambda step: 0.5,
}
SCHEDULES = list(EQUATIONS)

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)


# The equations


@every_schedule
def test_rates_follow_the_equation(schedule):
    want = [EQUATIONS[schedule](step) for step in range(100)]
    got = [schedule(step) for step in range(100)]
    assert all(type(rate) is float for rate in got)
    np.testing.assert_allclose(
        got, want, rtol=2.0**-48, atol=2.0**-54
    )  # a few rounding errors; near 0 those of the cosine


def test_rates_agree_with_numbers_by_hand():
    assert [Step(1, 2, 0.5)(step) for step in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert [Exponential(1, 0.25, every=2)(step) for step in range(4)] == [1, 0.5, 0.25, 0.125]
    assert [Cosine(1, 2)(step) for step in (0, 1, 2, 3)] == pytest.approx([1, 0.5, 0, 0], abs=1e-16)
    assert [InverseScaling(1)(step) for step in (0, 3, 8)] == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("final", [0.0, 0.1, 3.0])
def test_cosine_begins_and_ends_exactly_at_the_given_rates(final):
    schedule = Cosine(0.3, 17, final)
    assert schedule(0) == 0.3
    assert schedule(17) == schedule(10**9) == final


@every_schedule
@given(steps=st.lists(st.integers(0, 10**6), max_size=40))
def test_an_array_of_steps_gives_the_bits_of_single_steps(schedule, steps):
    want = [schedule(step) for step in steps]
    got = schedule(np.array(steps, np.int64))
    assert got.dtype == np.float64
    assert got.tolist() == want


@every_schedule
def test_arrays_of_steps_keep_their_shape(schedule):
    want = np.array([[schedule(0), schedule(5), schedule(50)], [schedule(9), schedule(9), schedule(7)]])
    np.testing.assert_array_equal(schedule([[0, 5, 50], [9, 9, 7]]), want)
    assert schedule(np.empty((0, 2), int)).shape == (0, 2)
    assert type(schedule(np.int32(5))) is type(schedule(np.array(5))) is float


# Equality, repr, arguments


@every_schedule
def test_repr_recreates_an_equal_schedule(schedule):
    assert eval(repr(schedule), vars(fnn.schedules)) == schedule


def test_repr_names_every_number():
    assert repr(Step(0.1, 600)) == "Step(rate=0.1, every=600, factor=0.1)"
    assert repr(fnn.SGD(Cosine(0.1, 50))) == "SGD(Cosine(rate=0.1, steps=50, final=0.0))"


@every_schedule
def test_a_schedule_is_immutable(schedule):
    with pytest.raises(AttributeError):
        schedule.rate = 1.0
    assert len({schedule, copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))}) == 1


def test_schedules_with_other_numbers_or_of_another_kind_differ():
    assert len(set(SCHEDULES)) == len(EQUATIONS)
    assert Step(1, 2, 0.5) != Exponential(1, 0.5, 2)


def test_numbers_may_have_any_real_type():
    assert Step(Fraction(1, 2), np.int8(3), 1) == Step(0.5, 3, 1.0)
    assert type(Step(1, np.int8(3)).every) is int
    assert type(Step(1, 3).rate) is float


NOT_NONNEGATIVE = [
    (-0.5, ValueError),
    (math.nan, ValueError),
    (math.inf, ValueError),
    ("1", TypeError),
    (True, TypeError),
]
NOT_COUNTS = [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), (None, TypeError)]
ARGUMENTS = {
    Constant: {"rate": 0.5},
    Step: {"rate": 0.5, "every": 3, "factor": 0.5},
    Exponential: {"rate": 0.5, "decay": 0.5, "every": 3},
    Cosine: {"rate": 0.5, "steps": 3, "final": 0.5},
    InverseScaling: {"rate": 0.5, "power": 0.5},
}
BAD_ARGUMENTS = [
    pytest.param(kind, name, *bad, id=f"{kind.__name__}-{name}-{bad[0]}")
    for kind, arguments in ARGUMENTS.items()
    for name in arguments
    for bad in (NOT_COUNTS if name in ("every", "steps") else NOT_NONNEGATIVE)
]


@pytest.mark.parametrize(("kind", "name", "value", "error"), BAD_ARGUMENTS)
def test_invalid_arguments_are_rejected_by_name(kind, name, value, error):
    with pytest.raises(error, match=f"^{name} must be .*got {value if error is ValueError else type(value).__name__}$"):
        kind(**(ARGUMENTS[kind] | {name: value}))


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (-1, ValueError, "not be negative, got -1"),
        ([3, -2], ValueError, "not be negative, got -2"),
        (math.nan, ValueError, "be finite"),
        ("1", TypeError, "hold real numbers"),
        (None, TypeError, "hold real numbers"),
    ],
)
def test_invalid_steps_are_rejected(step, error, message):
    with pytest.raises(error, match=f"^step must {message}"):
        Constant(1)(step)


# With the optimizers


CLASSES = [fnn.SGD, fnn.Momentum, fnn.Nesterov, fnn.AdaGrad, fnn.RMSprop, fnn.Adam, fnn.AdamW]


def halving(step):
    """A user's own schedule."""
    assert type(step) is int
    return 0.5 * 2.0 ** -(step // 2)


def name_of(rate):
    return getattr(rate, "__name__", str(rate))


RATES = [Step(0.5, 4, 0.5), Exponential(0.5, 0.9), Cosine(0.5, 9, 0.01), InverseScaling(0.5), halving]


def network(**options):
    return fnn.FNN((4, 5, 3), **({"activation": "tanh", "dtype": "float64", "seed": 1} | options))


def loop_by_hand(net, optimizer, epochs):
    """Train like `fit` with batches of 4, in its order of the samples."""
    x, t = samples(count=23)
    for _ in range(epochs):
        order = net._rng.permutation(len(x))
        for start in range(0, len(order), 4):
            chosen = order[start : start + 4]
            optimizer.update(net.params, net.gradient(x[chosen], t[chosen]))


@pytest.mark.parametrize("rate", RATES, ids=name_of)
def test_rates_continue_from_the_steps_that_were_taken(rate):
    optimizer, params = fnn.SGD(rate), {"p": np.zeros(2)}
    want = [rate(step) for step in range(12)]
    assert optimizer.rates(12).tolist() == want
    for step in range(5):
        before = params["p"].copy()
        optimizer.update(params, {"p": np.ones(2)})
        np.testing.assert_array_equal(params["p"], before - want[step])
    assert optimizer.rates(7).tolist() == want[5:]
    assert optimizer.rates(0).shape == (0,)
    optimizer.reset()
    assert optimizer.rates(12).tolist() == want


@pytest.mark.parametrize("rate", [*RATES, Constant(0.25)], ids=name_of)
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_and_update_use_the_same_rates(dtype, kind, rate):
    net, by_hand = network(dtype=dtype), network(dtype=dtype)
    optimizer, other = kind(rate), kind(rate)
    net.fit(*samples(count=23), epochs=2, batch_size=4, optimizer=optimizer)
    loop_by_hand(by_hand, other, 2)
    assert bits(net.params) == bits(by_hand.params)
    loop_by_hand(net, optimizer, 1)  # and continue in the opposite order
    by_hand.fit(*samples(count=23), epochs=1, batch_size=4, optimizer=other)
    assert bits(net.params) == bits(by_hand.params)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_constant_schedule_is_the_number(kind):
    nets = [network() for _ in range(2)]
    for net, rate in zip(nets, (0.125, Constant(0.125)), strict=True):
        net.fit(*samples(count=23), epochs=2, batch_size=4, optimizer=kind(rate))
    assert bits(nets[0].params) == bits(nets[1].params)


def test_parameters_stop_changing_where_the_rate_becomes_zero():
    x, t = samples(count=23)
    net, short = network(), network()
    net.fit(x, t, epochs=3, batch_size=4, optimizer=fnn.SGD(Step(0.5, 6, factor=0)))
    short.fit(x, t, epochs=1, batch_size=4, optimizer=fnn.SGD(0.5))
    assert bits(net.params) == bits(short.params)


def test_a_function_is_called_once_for_each_step_in_order():
    seen = []
    net = network()
    net.fit(*samples(count=23), epochs=3, batch_size=4, optimizer=fnn.SGD(lambda step: seen.append(step) or 0.1))
    assert seen == list(range(18))


def test_a_schedule_restarts_with_other_parameters():
    optimizer, grads = fnn.SGD(lambda step: 2.0**-step), {"p": np.ones(1)}
    first, second = {"p": np.zeros(1)}, {"p": np.zeros(1)}
    for params in (first, first, second):
        optimizer.update(params, grads)
    assert (first["p"], second["p"]) == (-1.5, -1.0)


BAD_RATES = [
    (lambda step: -0.1, ValueError, "must be finite and not negative, got -0.1"),
    (lambda step: math.nan, ValueError, "must be finite and not negative, got nan"),
    (lambda step: math.inf, ValueError, "must be finite and not negative, got inf"),
    (lambda step: None, TypeError, "must be a number, got NoneType"),
    (lambda step: np.ones(1), TypeError, "must be a number, got ndarray"),
]
LATER = [(lambda step, bad=bad: 0.1 if step < 2 else bad(step), *rest) for bad, *rest in BAD_RATES]
GROWTH = (Exponential(1, 1e200), ValueError, "must be finite and not negative, got inf")


@pytest.mark.parametrize(("rate", "error", "message"), [*LATER, GROWTH])
def test_an_invalid_rate_is_reported_with_its_step_and_changes_nothing(rate, error, message):
    optimizer, params = fnn.Momentum(rate), {"p": np.zeros(2)}
    for _ in range(2):
        optimizer.update(params, {"p": np.ones(2)})
    before = params["p"].tobytes(), optimizer.steps, optimizer._state["p"][0].tobytes()
    with pytest.raises(error, match=rf"^learning_rate\(2\) {message}$"):
        optimizer.update(params, {"p": np.ones(2)})
    assert (params["p"].tobytes(), optimizer.steps, optimizer._state["p"][0].tobytes()) == before


@pytest.mark.parametrize(("rate", "error", "message"), BAD_RATES)
def test_an_invalid_first_rate_keeps_the_state_of_other_parameters(rate, error, message):
    optimizer, params = fnn.Momentum(0.1), {"p": np.zeros(2)}
    optimizer.update(params, {"p": np.ones(2)})
    optimizer.learning_rate = rate
    with pytest.raises(error, match=rf"^learning_rate\(0\) {message}$"):
        optimizer.update({"q": np.zeros(2)}, {"q": np.ones(2)})
    optimizer.learning_rate = 0.1
    optimizer.update(params, {"p": np.ones(2)})
    np.testing.assert_allclose(params["p"], [-0.29, -0.29], rtol=1e-15)  # 0.1, then 0.1 + 0.9 * 0.1


@pytest.mark.parametrize(("rate", "error", "message"), LATER)
def test_an_invalid_rate_ends_a_fit_and_keeps_the_trained_parameters(rate, error, message, monkeypatch):
    monkeypatch.setattr(Pace, "FIRST_WORK", 0)  # the first call takes one step
    net = network()
    before = bits(net.params)
    with pytest.raises(error, match=rf"^learning_rate\(2\) {message}$"):
        net.fit(*samples(count=23), epochs=2, batch_size=4, optimizer=fnn.SGD(rate))
    assert bits(net.params) != before
    assert all(np.isfinite(param).all() for param in net.params.values())


@pytest.mark.parametrize("value", [Step, fnn.SGD, float])
def test_a_class_is_rejected_as_a_schedule(value):
    with pytest.raises(TypeError, match=f"^learning_rate must be a number or a schedule, got class {value.__name__}$"):
        fnn.SGD(value)
