"""Invalid input raises an error that names the argument, what came and what was expected, and changes nothing."""

import contextlib
import copy
import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfnn as fnn
from fastfnn import validation

X = np.arange(12.0).reshape(4, 3) / 10
LABELS = np.array([0, 1, 1, 0])
TARGETS = {
    "softmax_cross_entropy": LABELS,
    "sigmoid_cross_entropy": np.array([[0, 1], [1, 1], [0.5, 0], [1, 0]]),
    "squared_error": np.array([[0, 1], [-1, 1], [0.5, 7], [1, 0]]),
    "poisson": np.array([[0, 1], [1, 1], [0.5, 7], [1, 0]]),
}
LOSSES = tuple(TARGETS)

# Every public method that takes data: how it is called, and the names of its arguments in messages.
METHODS = {
    "predict": (lambda net, x, t: net.predict(x), "x", None),
    "loss": (lambda net, x, t: net.loss(x, t), "x", "t"),
    "accuracy": (lambda net, x, t: net.accuracy(x, t), "x", "t"),
    "evaluate": (lambda net, x, t: net.evaluate(x, t), "x", "t"),
    "gradient": (lambda net, x, t: net.gradient(x, t), "x", "t"),
    "numerical_gradient": (lambda net, x, t: net.numerical_gradient(x, t), "x", "t"),
    "fit": (lambda net, x, t: net.fit(x, t, epochs=2, batch_size=2), "x", "t"),
    "partial_fit": (lambda net, x, t: net.partial_fit(x, t, batch_size=2), "x", "t"),
    "validation_data": (
        lambda net, x, t: net.fit(X, TARGETS[net.loss_name], epochs=2, batch_size=2, validation_data=(x, t)),
        "validation_data[0]",
        "validation_data[1]",
    ),
}
WITH_TARGETS = [name for name, (_, _, t_name) in METHODS.items() if t_name]


def network(loss="softmax_cross_entropy", **options):
    return fnn.FNN((3, 4, 2), **({"loss": loss, "seed": 0} | options))


@contextlib.contextmanager
def rejected(net, error, message):
    """Check that the block raises `error` with a message that matches, and leaves the network unchanged.

    As it was: every bit of the parameters, and the random numbers that the next training draws.
    """
    twin = copy.deepcopy(net)
    with pytest.raises(error, match=message) as caught:
        yield
    assert caught.type is error
    for name, param in twin.params.items():
        assert net.params[name].tobytes() == param.tobytes()
    for each in (net, twin):
        each.fit(X, TARGETS[net.loss_name], epochs=2, batch_size=1)
    for name, param in twin.params.items():
        assert net.params[name].tobytes() == param.tobytes()


def with_element(array, index, value):
    array = np.array(array, np.result_type(array, value))
    array[index] = value
    return array


# x

BAD_X = {
    "no axis": (1.0, ValueError, r"shape \(samples, 3\), got shape \(\)"),
    "three axes": (X[:, np.newaxis], ValueError, r"shape \(samples, 3\), got shape \(4, 1, 3\)"),
    "too narrow": (X[:, :2], ValueError, r"3 columns, got shape \(4, 2\)"),
    "too wide": (np.ones((4, 5)), ValueError, r"3 columns, got shape \(4, 5\)"),
    "transposed": (X.T, ValueError, r"3 columns, got shape \(3, 4\)"),
    "no rows": (X[:0], ValueError, r"at least one row, got shape \(0, 3\)"),
    "empty list": ([[]], ValueError, r"3 columns, got shape \(1, 0\)"),
    "NaN": (with_element(X, (2, 1), math.nan), ValueError, r"finite in float32, got nan at \[2, 1\]"),
    "infinity": (with_element(X, (0, 0), math.inf), ValueError, r"finite in float32, got inf at \[0, 0\]"),
    "-infinity": (with_element(X, (3, 2), -math.inf), ValueError, r"finite in float32, got -inf at \[3, 2\]"),
    "two bad ones": (with_element(with_element(X, (3, 0), math.inf), (1, 2), math.nan), ValueError, r"nan at \[1, 2\]"),
    "text": (X.astype(str), TypeError, "hold real numbers, got dtype <U"),
    "complex": (X + 0j, TypeError, "hold real numbers, got dtype complex128"),
    "object": (X.astype(object), TypeError, "hold real numbers, got dtype object"),
    "dates": (X.astype("M8[s]"), TypeError, r"hold real numbers, got dtype datetime64\[s\]"),
    "records": (np.zeros((4, 3), "f4,f4"), TypeError, "hold real numbers, got dtype "),
    "None": (None, TypeError, "hold real numbers, got dtype object"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", BAD_X)
def test_an_invalid_x_is_rejected(method, case):
    call, name, _ = METHODS[method]
    value, error, message = BAD_X[case]
    if method == "numerical_gradient":
        message = message.replace("float32", "float64")  # numerical_gradient computes in float64
    net = network()
    with rejected(net, error, f"^{re.escape(name)} must .*{message}"):
        call(net, value, LABELS)


@pytest.mark.parametrize("method", METHODS)
def test_a_ragged_x_is_rejected(method):
    call, name, _ = METHODS[method]
    net = network()
    with rejected(net, ValueError, rf"^{re.escape(name)} must "):
        call(net, [[1, 2, 3], [4, 5]], LABELS[:2])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "predict"])
def test_only_predict_accepts_a_single_sample_with_one_axis(method):
    call, name, _ = METHODS[method]
    net = network()
    with rejected(net, ValueError, rf"^{re.escape(name)} must have shape \(samples, 3\), got shape \(3,\)"):
        call(net, X[0], LABELS[:1])


@pytest.mark.parametrize("width", [0, 2, 4])
def test_predict_rejects_a_single_sample_of_the_wrong_width(width):
    net = network()
    with rejected(net, ValueError, rf"^x must have 3 columns, got shape \(1, {width}\)"):
        net.predict(np.ones(width))


@pytest.mark.parametrize("method", ["predict", "loss", "fit"])
def test_an_x_beyond_the_range_of_the_dtype_is_rejected(method):
    net = network()
    with rejected(net, ValueError, r"^x must be finite in float32, got .* at \[1, 0\]"):
        METHODS[method][0](net, with_element(X, (1, 0), 1e39), LABELS)
    METHODS[method][0](network(dtype="float64"), with_element(X, (1, 0), 1e39), LABELS)


def test_large_numbers_whose_squares_overflow_are_accepted():
    assert np.isfinite(network().predict([[1e30, -1e30, 3e38]])).all()


@given(st.integers(0, 3), st.integers(0, 2), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_the_position_of_an_invalid_element_is_reported_in_any_layout(row, column, value):
    x = with_element(X, (row, column), value)
    narrow, half = x.astype(np.float32), x.astype(np.float16)
    layouts = x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x.tolist(), narrow, narrow.T.copy().T, half
    for layout in layouts:
        with pytest.raises(ValueError, match=rf"^x must be finite in float32, got {value} at \[{row}, {column}\]$"):
            network().predict(layout)


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray], ids=["C", "F"])
@pytest.mark.parametrize("source", ["float16", "float32", "float64", ">f4", "longdouble"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_an_element_that_is_not_finite_in_any_dtype(method, source, form):
    call, name, _ = METHODS[method]
    dtype = "float64" if method == "numerical_gradient" else "float32"
    net = network()
    message = rf"^{re.escape(name)} must be finite in {dtype}, got inf at \[2, 1\]$"
    with rejected(net, ValueError, message):
        call(net, form(with_element(X, (2, 1), math.inf).astype(source)), LABELS)


def test_the_position_is_that_in_the_whole_array(monkeypatch):
    monkeypatch.setattr(validation, "ELEMENTS_PER_CHECK", 7)  # two rows at a time
    for row, source in itertools.product(range(9), (np.float64, np.float32)):
        x = np.ones((9, 3), source)
        x[row, 1] = math.nan
        for given_x in (x, np.asfortranarray(x)):
            with pytest.raises(ValueError, match=rf"^x must be finite in float32, got nan at \[{row}, 1\]$"):
                network().predict(given_x)


def test_only_small_samples_that_several_epochs_read_are_converted_at_once(monkeypatch):
    monkeypatch.setattr(validation, "CONVERT_ONCE_BYTES", 4 * 6 * 4)
    for x, epochs, converted in ((np.ones((6, 4)), 2, True), (np.ones((6, 4)), 1, False), (np.ones((7, 4)), 9, False)):
        got = validation.samples_for_epochs(x, epochs, "float32")
        assert (got is not x) == converted and got.dtype == ("float32" if converted else "float64")
    locked = np.ones((6, 4), np.float32)
    locked.flags.writeable = False
    assert validation.samples_for_epochs(locked, 2, np.dtype("float32")) is locked


@pytest.mark.parametrize("source", ["float16", "float32", "float64", "uint8", "int64", "bool"])
def test_samples_are_not_copied(source):
    x = np.ones((6, 4), source)
    locked = x.copy()
    locked.flags.writeable = False
    for given_x in (x, locked, x.T[:, :4], x[:, ::2], x[::-1]):
        for check in (validation.samples, validation.unchecked_samples):
            assert check("x", given_x, given_x.shape[1], np.dtype("float32")) is given_x


# t

ROWS = np.eye(2)[LABELS]
NUMBER = re.escape("give each class a number: classes, t = np.unique(t, return_inverse=True); ")

BAD_T = {
    "softmax_cross_entropy": {
        "negative label": ([0, 1, -1, 0], ValueError, "labels from 0 to 1, got -1"),
        "label too large": ([0, 1, 2, 0], ValueError, "labels from 0 to 1, got 2"),
        "label far too large": (np.array([0, 1, 2**64 - 1, 0], np.uint64), ValueError, f"got {2**64 - 1}"),
        "label beyond any integer": ([0, 1, 2**70, 0], TypeError, "integer labels .*, got dtype object"),
        "float labels": ([0.0, 0.5, 1.0, 0.0], TypeError, "integer labels .*, got 0.5 of dtype float64; real targets"),
        "NaN among labels": ([0.0, math.nan, 1.0, 0.0], TypeError, "integer labels .*, got nan of dtype float64"),
        "float label too large": ([0.0, 1e300, 1.0, 0.0], ValueError, "labels from 0 to 1, got 1e.300"),
        "text labels": (["0", "1", "1", "0"], TypeError, f"integer labels .*, got dtype <U1; {NUMBER}"),
        "objects": (np.array([0, "b", None, 1], object), TypeError, f"integer labels .*, got dtype object; {NUMBER}"),
        "signs": ([-1, 1, 1, -1], ValueError, f"labels from 0 to 1, got -1; {NUMBER}"),
        "labels from 1": ([1, 2, 2, 1], ValueError, f"labels from 0 to 1, got 2; {NUMBER}"),
        "more classes": ([0, 1, 2, 3], ValueError, "got 3; 4 classes need 4 outputs, the last of layer_sizes"),
        "too few labels": (LABELS[:3], ValueError, "one entry per row of x, 4, got 3"),
        "too many labels": (np.zeros(5, int), ValueError, "one entry per row of x, 4, got 5"),
        "column of words": ([["a"], ["b"], ["b"], ["a"]], TypeError, f"integer labels .*, got dtype <U1; {NUMBER}"),
        "rows that sum to 0.9": ([[0, 1], [0.4, 0.5], [1, 0], [1, 0]], ValueError, "sum to 1, got 0.9 in row 1"),
        "rows that sum to 2": (np.ones((4, 2)), ValueError, "sum to 1, got 2 in row 0"),
        "the worst row is told": ([[1, 0], [0.9, 0], [0.2, 0.1], [0, 0.9]], ValueError, "sum to 1, got 0.3 in row 2"),
        "row of zeros": ([[0, 1], [0, 0], [1, 0], [1, 0]], ValueError, "sum to 1, got 0 in row 1"),
        "negative probability": ([[0, 1], [1.5, -0.5], [1, 0], [1, 0]], ValueError, "from 0 to 1, got -0.5"),
    },
    "sigmoid_cross_entropy": {
        "negative": (with_element(ROWS, (1, 1), -0.25), ValueError, "from 0 to 1, got -0.25"),
        "larger than one": (with_element(ROWS, (1, 1), 1.5), ValueError, "from 0 to 1, got 1.5"),
        "labels": (
            LABELS,
            ValueError,
            r"rows of shape \(samples, 2\), got shape \(4,\); np.eye\(2\).* labels",
        ),
    },
    "poisson": {
        "negative": (with_element(ROWS, (1, 1), -0.25), ValueError, "at least 0 for the loss poisson, got -0.25"),
        "labels": (
            LABELS,
            ValueError,
            r"rows of shape \(samples, 2\), got shape \(4,\); np.eye\(2\).* labels",
        ),
    },
    "squared_error": {
        "one axis": (ROWS[:, 0], ValueError, r"rows of shape \(samples, 2\), got shape \(4,\)"),
    },
}
BAD_ROWS = {
    "no axis": (1, ValueError, r"got shape \(\)"),
    "too wide": (np.zeros((4, 3)), ValueError, r"rows of shape \(samples, 2\), got shape \(4, 3\)"),
    "three axes": (ROWS[np.newaxis], ValueError, r"rows of shape \(samples, 2\), got shape \(1, 4, 2\)"),
    "too few rows": (ROWS[:3], ValueError, "one entry per row of x, 4, got 3"),
    "too many rows": (np.vstack([ROWS, ROWS]), ValueError, "one entry per row of x, 4, got 8"),
    "no rows": (ROWS[:0], ValueError, "one entry per row of x, 4, got 0"),
    "NaN": (with_element(ROWS, (1, 1), math.nan), ValueError, r"finite in .*, got nan at \[1, 1\]"),
    "infinity": (with_element(ROWS, (3, 0), math.inf), ValueError, r"finite in .*, got inf at \[3, 0\]"),
    "text": (ROWS.astype(str), TypeError, "real numbers, got dtype <U"),
    "complex": (ROWS + 0j, TypeError, "real numbers, got dtype complex128"),
    "object": (ROWS.astype(object), TypeError, "real numbers, got dtype object"),
    "None": (None, ValueError, r"got shape \(\)"),
}
BAD_TARGETS = [
    pytest.param(method, loss, *bad, id=f"{method}-{loss}-{case}")
    for method in WITH_TARGETS
    for loss in LOSSES
    if method != "accuracy" or loss.endswith("cross_entropy")  # the others have no accuracy
    for case, bad in (BAD_ROWS | BAD_T[loss]).items()
]


@pytest.mark.parametrize(("method", "loss", "value", "error", "message"), BAD_TARGETS)
def test_an_invalid_t_is_rejected(method, loss, value, error, message):
    call, _, name = METHODS[method]
    net = network(loss)
    if value is None and method in ("fit", "partial_fit", "evaluate"):  # what a source leaves out
        error, message = TypeError, "got None"
    with rejected(net, error, f"^{re.escape(name)} must .*{message}"):
        call(net, X, value)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["loss", "fit", "validation_data"])
def test_a_ragged_t_is_rejected(method, loss):
    call, _, name = METHODS[method]
    net = network(loss)
    with rejected(net, ValueError, rf"^{re.escape(name)} must "):
        call(net, X[:2], [[0, 1], [1]])


@pytest.mark.parametrize("excess", [1e-7, 1e-4])
def test_the_message_distinguishes_a_target_just_above_one_from_one(excess):
    # otherwise the message would read "must hold numbers from 0 to 1, got 1"
    net = network("sigmoid_cross_entropy", dtype="float64")
    with pytest.raises(ValueError, match=rf"^t must hold numbers from 0 to 1, got {1 + excess}"):
        net.loss(X, with_element(ROWS, (2, 0), 1 + excess))


def test_rows_that_sum_to_one_within_rounding_are_accepted():
    rows = np.full((4, 2), 0.5)
    rows[1] = 0.5004, 0.5
    assert math.isfinite(network().loss(X, rows))
    rows[1] = 0.502, 0.5
    with pytest.raises(ValueError, match=r"sum to 1, got 1\.002 in row 1"):
        network().loss(X, rows)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_targets_that_kernels_can_read_are_not_copied(loss):
    for t in (np.arange(4), np.eye(4, dtype=np.float32)) if loss == "softmax_cross_entropy" else (np.eye(4),):
        t.flags.writeable = False
        got = validation.targets("t", t, 4, 4, loss, np.float64 if loss == "squared_error" else np.float32)
        assert got is t


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 3))
def test_exactly_the_labels_from_zero_to_classes_are_accepted(label, place):
    labels = with_element(LABELS, place, label)
    if 0 <= label < 2:
        network().loss(X, labels)
    else:
        with pytest.raises(ValueError, match=f"^t must hold labels from 0 to 1, got {label};"):
            network().loss(X, labels)


@pytest.mark.parametrize("label", [-1, 0, 1, 2])
def test_labels_just_outside_the_classes_are_rejected(label):
    good = 0 <= label <= 1
    with contextlib.nullcontext() if good else pytest.raises(ValueError, match=f"got {label}"):
        network().loss(X[:1], [label])


# Options of fit

BAD_FIT = {
    "epochs": [
        (0, ValueError, "at least 1, got 0"),
        (-3, ValueError, "at least 1, got -3"),
        (1.5, TypeError, "an int, got float"),
        (2.0, TypeError, "an int, got float"),
        (True, TypeError, "an int, got bool"),
        (np.True_, TypeError, "an int, got bool"),
        ("3", TypeError, "an int, got str"),
        (None, TypeError, "an int, got NoneType"),
        (np.array([3]), TypeError, "an int, got ndarray"),
    ],
    "batch_size": [
        (0, ValueError, "at least 1, got 0"),
        (-1, ValueError, "at least 1, got -1"),
        (np.int64(0), ValueError, "at least 1, got 0"),
        (1.5, TypeError, "an int, got float"),
        (True, TypeError, "an int, got bool"),
        ("a", TypeError, "an int, got str"),
        ([10], TypeError, "an int, got list"),
    ],
    "sampling": [
        ("random", ValueError, "one of shuffle, replacement; got 'random'"),
        ("Shuffle", ValueError, "one of shuffle, replacement; got 'Shuffle'"),
        ("", ValueError, "one of shuffle, replacement; got ''"),
        (None, TypeError, "a str, one of shuffle, replacement; got NoneType"),
        (True, TypeError, "a str, one of shuffle, replacement; got bool"),
    ],
    "optimizer": [
        (0.1, TypeError, "an optimizer such as .*; got float"),
        ("sdg", ValueError, "one of SGD, .*; got 'sdg'; did you mean 'SGD'?"),
        (fnn.SGD, TypeError, "an optimizer such as .*; got the class SGD"),
    ],
    "validation_data": [
        (X, TypeError, r"a pair \(x, t\), got ndarray"),
        ((X,), TypeError, r"a pair \(x, t\), got .*1"),
        ((X, LABELS, LABELS), TypeError, r"a pair \(x, t\), got .*3"),
        ("ab", TypeError, r"a pair \(x, t\), got str"),
        (0, TypeError, r"a pair \(x, t\), got int"),
    ],
    "class_weight": [
        ([1, 2], TypeError, r"a dict \{label: weight\} or 'balanced', got list"),
        ("balance", TypeError, r"a dict \{label: weight\} or 'balanced', got 'balance'"),
        (1.0, TypeError, r"a dict \{label: weight\} or 'balanced', got float"),
    ],
    "callbacks": [
        (fnn.EarlyStopping(), TypeError, "a list, got EarlyStopping"),
        (3, TypeError, "a list, got int"),
    ],
}


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [pytest.param(name, *bad, id=f"{name}-{bad[2]}") for name, cases in BAD_FIT.items() for bad in cases],
)
def test_an_invalid_option_of_fit_is_rejected(option, value, error, message):
    net = network()
    with rejected(net, error, f"^{option} must be {message}"):
        net.fit(X, LABELS, **{"epochs": 1, "batch_size": 2, option: value})


BAD_WEIGHTS = [
    (1.0, ValueError, r"have shape \(4,\), got shape \(\)"),
    (np.ones((4, 1)), ValueError, r"have shape \(4,\), got shape \(4, 1\)"),
    ([1, 1, 1], ValueError, "have one entry per row of x, 4, got 3"),
    ([], ValueError, "have one entry per row of x, 4, got 0"),
    ([1, 1, -0.5, 1], ValueError, r"not be negative, got -0.5 at \[2\]"),
    ([1, math.nan, 1, 1], ValueError, r"be finite in float32, got nan at \[1\]"),
    ([1, 1, 1, math.inf], ValueError, r"be finite in float32, got inf at \[3\]"),
    ([1, 1, 1, 1e39], ValueError, r"be finite in float32, got inf at \[3\]"),
    (["1", "1", "1", "1"], TypeError, "hold real numbers, got dtype <U1"),
    ([1, 1, 1, None], TypeError, "hold real numbers, got dtype object"),
    ([[1], [1, 2]], ValueError, "be an array with rows of one length"),
]


@pytest.mark.parametrize("method", ["fit", "loss"])
@pytest.mark.parametrize(("value", "error", "message"), [pytest.param(*bad, id=bad[2]) for bad in BAD_WEIGHTS])
def test_invalid_weights_of_samples_are_rejected(value, error, message, method):
    net = network()
    with rejected(net, error, f"^sample_weight must {message}"):
        getattr(net, method)(X, LABELS, sample_weight=value)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({2: 1.0}, ValueError, "class_weight must have labels from 0 to 1, got 2"),
        ({-1: 1.0}, ValueError, "a label in class_weight must be at least 0, got -1"),
        ({"0": 1.0}, TypeError, "a label in class_weight must be an int, got str"),
        ({0: -1.0}, ValueError, r"class_weight\[0\] must be finite and not negative, got -1.0"),
        ({1: math.nan}, ValueError, r"class_weight\[1\] must be finite and not negative, got nan"),
        ({1: "2"}, TypeError, r"class_weight\[1\] must be a number, got str"),
        ({1: None}, TypeError, r"class_weight\[1\] must be a number, got NoneType"),
    ],
)
def test_invalid_weights_of_classes_are_rejected(value, error, message):
    net = network()
    with rejected(net, error, f"^{message}"):
        net.fit(X, LABELS, class_weight=value)


def test_weights_with_an_infinite_product_are_rejected():
    net = network()
    with rejected(net, ValueError, r"^sample_weight times class_weight must be finite in float32, got inf at \[1\]"):
        net.fit(X, LABELS, sample_weight=[1, 1e30, 1, 1], class_weight={1: 1e30})


@pytest.mark.parametrize("rows", [[[0, 1], [0.5, 0.5], [1, 0], [1, 0]], [[0, 1], [0.9999, 0], [1, 0], [1, 0]]])
def test_class_weights_need_one_class_for_each_sample(rows):
    net = network()
    with rejected(net, ValueError, r"^t must be labels or one-hot rows with class_weight, got \[.*\] in row 1$"):
        net.fit(X, rows, class_weight="balanced")


@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "squared_error"])
def test_class_weights_need_classes(loss):
    net = network(loss)
    with rejected(net, ValueError, f"^class_weight needs a network with softmax cross-entropy, got loss '{loss}'"):
        net.fit(X, TARGETS[loss], class_weight={0: 1.0})


@pytest.mark.parametrize("option", ["batch_size", "optimizer"])
def test_an_invalid_option_of_partial_fit_is_rejected(option):
    for value, error, message in BAD_FIT[option]:
        net = network()
        with rejected(net, error, f"^{option} must be {message}"):
            net.partial_fit(X, LABELS, **{"batch_size": 2, option: value})


def test_x_and_t_of_different_lengths_are_rejected():
    net = network()
    with rejected(net, ValueError, "^t must have one entry per row of x, 2, got 4"):
        net.fit(X[:2], LABELS)


def test_invalid_validation_data_is_rejected_before_training_starts():
    # invalid validation data must be found before the training
    net = network()
    with rejected(net, ValueError, r"^validation_data\[1\] must hold labels from 0 to 1, got 5"):
        net.fit(X, LABELS, validation_data=(X, [0, 1, 5, 0]))


# Construction

BAD_OPTIONS = [
    ("layer_sizes", {"layer_sizes": 5}, TypeError, "a sequence of ints, got int"),
    ("layer_sizes", {"layer_sizes": None}, TypeError, "a sequence of ints, got NoneType"),
    ("layer_sizes", {"layer_sizes": "32"}, TypeError, "a sequence of ints, got str"),
    ("layer_sizes", {"layer_sizes": b"32"}, TypeError, "a sequence of ints, got bytes"),
    ("layer_sizes", {"layer_sizes": {3, 2}}, TypeError, "a sequence of ints, got set"),
    ("layer_sizes", {"layer_sizes": iter([3, 2])}, TypeError, "a sequence of ints, got list_iterator"),
    ("layer_sizes", {"layer_sizes": np.array(3)}, TypeError, "a sequence of ints, got"),
    ("layer_sizes", {"layer_sizes": ()}, ValueError, "at least two entries, .*, got 0"),
    ("layer_sizes", {"layer_sizes": (3,)}, ValueError, "at least two entries, .*, got 1"),
    ("layer_sizes[1]", {"layer_sizes": (3, 0, 2)}, ValueError, "at least 1, got 0"),
    ("layer_sizes[0]", {"layer_sizes": (-3, 2)}, ValueError, "at least 1, got -3"),
    ("layer_sizes[1]", {"layer_sizes": (3, 2.0)}, TypeError, "an int, got float"),
    ("layer_sizes[0]", {"layer_sizes": np.array([3.0, 2.0])}, TypeError, "an int, got float64"),
    ("layer_sizes[0]", {"layer_sizes": (True, 2)}, TypeError, "an int, got bool"),
    ("layer_sizes[1]", {"layer_sizes": (3, "2")}, TypeError, "an int, got str"),
    ("layer_sizes[1]", {"layer_sizes": (3, None)}, TypeError, "an int, got NoneType"),
    ("layer_sizes[0]", {"layer_sizes": [[3, 2], [2, 1]]}, TypeError, "an int, got list"),
    ("layer_sizes[0]", {"layer_sizes": [[3, 2], [1]]}, TypeError, "an int, got list"),
    ("activation", {"activation": "mish"}, ValueError, "one of identity, sigmoid, tanh, relu, .*, gelu; got 'mish'"),
    ("activation", {"activation": "rleu"}, ValueError, "one of .*, gelu; got 'rleu'; did you mean 'relu'?"),
    ("activation", {"activation": "softmax"}, ValueError, "one of identity, .*, gelu; got 'softmax'"),
    ("activation", {"activation": "exp"}, ValueError, "one of identity, .*, gelu; got 'exp'"),
    ("activation", {"activation": None}, TypeError, "a name, an Activation or a sequence of these, got NoneType"),
    ("activation", {"activation": np.tanh}, TypeError, "a name, an Activation or a sequence of these, got ufunc"),
    ("activation", {"activation": ()}, ValueError, "one name per hidden layer, 1, got 0"),
    (
        "activation",
        {"activation": ("relu", "relu")},
        ValueError,
        "one name .* 1, got 2; the output has .* loss$",
    ),
    ("activation", {"activation": ("relu",) * 3}, ValueError, "one name per hidden layer, 1, got 3$"),
    ("activation[0]", {"activation": ["mish"]}, ValueError, "one of .*; got 'mish'"),
    ("activation[0]", {"activation": [1]}, TypeError, "one of .*, or an Activation; got int"),
    ("loss", {"loss": "hinge"}, ValueError, "one of softmax_cross_entropy, .*, quantile; got 'hinge'"),
    ("loss", {"loss": None}, TypeError, "one of .*, an object of .* or a fastfnn.Loss; got NoneType"),
    ("loss", {"loss": fnn.losses.Huber}, TypeError, "one of .*, an object of .* or a .*; got the class Huber"),
    ("loss", {"loss": fnn.losses.LossBase()}, TypeError, "one of .* or a fastfnn.Loss; got LossBase"),
    ("levels", {"loss": fnn.losses.Quantile((0.1, 0.5, 0.9))}, ValueError, "one for all .* each of 2 outputs, got 3"),
    ("init", {"init": "lecun"}, ValueError, "one of he, xavier, glorot, torch; got 'lecun'"),
    ("init", {"init": -0.01}, ValueError, "finite and not negative, got -0.01"),
    ("init", {"init": math.nan}, ValueError, "finite and not negative, got nan"),
    ("init", {"init": math.inf}, ValueError, "finite and not negative, got inf"),
    ("init", {"init": None}, TypeError, "a number, got NoneType"),
    ("init", {"init": True}, TypeError, "a number, got bool"),
    ("init", {"init": 1j}, TypeError, "a number, got complex"),
    ("init", {"init": np.zeros(1)}, TypeError, "a number, got ndarray"),
    ("dtype", {"dtype": "float16"}, ValueError, "float32 or float64, got float16"),
    ("dtype", {"dtype": int}, ValueError, "float32 or float64, got int64"),
    ("dtype", {"dtype": "complex128"}, ValueError, "float32 or float64, got complex128"),
    ("dtype", {"dtype": ">f8"}, ValueError, "float32 or float64, got >f8"),
    ("dtype", {"dtype": "single precision"}, TypeError, "float32 or float64, got 'single precision'"),
    ("dtype", {"dtype": 32}, TypeError, "float32 or float64, got 32"),
    ("dtype", {"dtype": None}, TypeError, "float32 or float64, got None"),
    ("seed", {"seed": -1}, ValueError, "at least 0, got -1"),
    ("seed", {"seed": 1.0}, TypeError, "an int, got float"),
    ("seed", {"seed": "0"}, TypeError, "an int, got str"),
    ("seed", {"seed": False}, TypeError, "an int, got bool"),
    ("backend", {"backend": "torch"}, ValueError, "one of kernels, reference; got 'torch'"),
    ("backend", {"backend": None}, TypeError, "a str, one of kernels, reference; got NoneType"),
]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [pytest.param(*bad, id=f"{bad[0]}-{bad[3]}") for bad in BAD_OPTIONS],
)
def test_an_invalid_option_of_fnn_is_rejected(name, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(name)} must (be|have) {message}") as caught:
        fnn.FNN(**{"layer_sizes": (3, 4, 2)} | options)
    assert caught.type is error


def test_an_activation_that_no_layer_uses_is_checked():
    with pytest.raises(ValueError, match="activation must be one of"):
        fnn.FNN((3, 2), activation="mish")


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("input_size", 0, ValueError),
        ("hidden_size", 0, ValueError),
        ("output_size", 1.5, TypeError),
        ("weight_init_std", -1, ValueError),
        ("weight_init_std", None, TypeError),
    ],
)
def test_two_layer_net_names_its_own_arguments(argument, value, error):
    with pytest.raises(error, match=f"^{argument} must be"):
        fnn.TwoLayerNet(**{"input_size": 3, "hidden_size": 4, "output_size": 2, argument: value})


# Numbers

BAD_NUMBERS = [
    (-0.1, ValueError, "finite and not negative, got -0.1"),
    (-1, ValueError, "finite and not negative, got -1"),
    (Fraction(-1, 2), ValueError, "finite and not negative, got -1/2"),
    (math.nan, ValueError, "finite and not negative, got nan"),
    (math.inf, ValueError, "finite and not negative, got inf"),
    (-math.inf, ValueError, "finite and not negative, got -inf"),
    (10**400, ValueError, "finite and not negative, got 1000"),
    ("0.1", TypeError, "a number or a schedule, got str"),
    (None, TypeError, "a number or a schedule, got NoneType"),
    (True, TypeError, "a number or a schedule, got bool"),
    (0.1j, TypeError, "a number or a schedule, got complex"),
    ([0.1], TypeError, "a number or a schedule, got list"),
    (np.array(0.1), TypeError, "a number or a schedule, got ndarray"),
]


@pytest.mark.parametrize(("value", "error", "message"), [pytest.param(*bad, id=bad[2]) for bad in BAD_NUMBERS])
def test_an_invalid_learning_rate_is_rejected(value, error, message):
    with pytest.raises(error, match=f"^learning_rate must be {message}") as caught:
        fnn.SGD(value)
    assert caught.type is error


@pytest.mark.parametrize("value", [0, 1, 0.5, Fraction(1, 2), np.float32(0.5), np.int8(1), 1e-300])
def test_learning_rates_may_have_any_real_type(value):
    assert fnn.SGD(value).learning_rate == float(value)


@given(st.integers(), st.integers(-5, 5))
def test_integer_accepts_exactly_the_ints_from_the_least_on(value, least):
    if value >= least:
        assert validation.integer("n", value, least) == value
    else:
        with pytest.raises(ValueError, match=f"^n must be at least {least}, got {value}$"):
            validation.integer("n", value, least)


@pytest.mark.parametrize(
    ("count", "error", "message"),
    [
        (0, ValueError, "from 1 to [0-9]+, got 0"),
        (-1, ValueError, "from 1 to [0-9]+, got -1"),
        (10**6, ValueError, "from 1 to [0-9]+, got 1000000"),
        (1.0, TypeError, "an int, got float"),
        (True, TypeError, "an int, got bool"),
        (np.True_, TypeError, "an int, got bool"),
        ("2", TypeError, "an int, got str"),
        (None, TypeError, "an int, got NoneType"),
    ],
)
def test_an_invalid_thread_count_is_rejected(count, error, message):
    before = fnn.get_num_threads()
    with pytest.raises(error, match=f"^count must be {message}") as caught:
        fnn.set_num_threads(count)
    assert caught.type is error
    assert fnn.get_num_threads() == before


# Masked arrays


def masked(array):
    """A masked array with one element masked: the first."""
    mask = np.zeros(np.shape(array), bool)
    mask.flat[0] = True
    return np.ma.array(array, mask=mask)


@pytest.mark.parametrize("method", METHODS)
def test_masked_samples_are_rejected_and_unmasked_ones_accepted(method):
    net = network()
    call, name, _ = METHODS[method]
    message = rf"^{re.escape(name)} must have no masked elements, got 1 of 12: fill them, as by .*filled\(0\), or drop"
    with rejected(net, ValueError, message):
        call(net, masked(X), LABELS)
    call(net, np.ma.array(X), LABELS)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", WITH_TARGETS)
def test_masked_targets_are_rejected_and_unmasked_ones_accepted(method, loss):
    net = network(loss)
    if method == "accuracy" and not loss.endswith("cross_entropy"):
        pytest.skip("has no accuracy")
    call, _, name = METHODS[method]
    with rejected(net, ValueError, rf"^{re.escape(name)} must have no masked elements, got 1 of {TARGETS[loss].size}"):
        call(net, X, masked(TARGETS[loss]))
    call(net, X, np.ma.array(TARGETS[loss]))


def test_masked_weights_rows_parameters_and_arrays_of_functions_are_rejected():
    net = network()
    for name, call in {
        "sample_weight": lambda: net.fit(X, LABELS, sample_weight=masked(np.ones(4))),
        r"x\[0\]": lambda: net.predict([masked(X[0]), X[1]]),
        r"x": lambda: net.predict(masked(X[0])),
        r"params\['b1'\]": lambda: net.params.update(b1=masked(np.ones(4))),
        "W": lambda: fnn.FN(masked(X), np.ones(4), "identity"),
    }.items():
        with rejected(net, ValueError, f"^{name} must have no masked elements, got 1 of "):
            call()
    with pytest.raises(ValueError, match="must have no masked elements"):
        fnn.functions.softmax(masked(X))


def test_an_unmasked_masked_array_gives_the_bits_of_a_plain_one():
    for plain, given_x in ((X, np.ma.array(X)), (X, [np.ma.array(row) for row in X])):
        assert network().predict(given_x).tobytes() == network().predict(plain).tobytes()


@pytest.mark.parametrize("error", [RuntimeError, TypeError])
def test_a_value_that_does_not_become_an_array_is_a_typeerror(error):
    class Stubborn:
        def __array__(self, *arguments, **options):
            raise error("it is on another device")

    net = network()
    with rejected(net, TypeError, "^x cannot be converted to an array: it is on another device$"):
        net.predict(Stubborn())
