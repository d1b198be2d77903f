"""Conversion of arrays for the kernels: dtypes, shapes, activations of arrays of any rank."""

import pickle

import numpy as np
import pytest
from helpers import ACTIVATION_ULPS, DTYPES, ELEMENTWISE_EPS, LAYOUTS, TOLERANCES, arrange, assert_close, unchanged

from fastfnn import arrays, reference
from fastfnn.backend import ACTIVATIONS

SHAPES = [
    (),  # a number
    (1,),
    (0,),
    (7,),
    (3, 5),
    (2, 0),
    (0, 2),
    (2, 3, 4),
    (2, 0, 3),
    (2, 1, 3, 2),  # images, in the book's layout
]


# dtypes


@pytest.mark.parametrize(
    ("dtypes", "want"),
    [
        (["float32"], "float32"),
        (["float64"], "float64"),
        (["float16"], "float64"),
        (["longdouble"], "float64"),
        (["int64"], "float64"),
        (["uint8"], "float64"),
        (["bool"], "float64"),
        ([">f8"], "float64"),
        (["float32", "float32"], "float32"),
        (["float32", "float64"], "float64"),
        (["float32", "float16"], "float32"),  # NumPy's result type
        (["float32", "uint8"], "float32"),
        (["float32", "int64"], "float64"),
        (["int64", "bool"], "float64"),
    ],
)
def test_float32_is_kept_and_other_dtypes_become_float64(dtypes, want):
    values = {f"x{i}": np.ones((2, 3), dtype) for i, dtype in enumerate(dtypes)}
    for array in arrays.real_arrays(**values):
        assert array.dtype == np.dtype(want)
        np.testing.assert_array_equal(array, np.ones((2, 3)))


def test_only_arrays_of_another_dtype_are_converted():
    x, weight = np.ones((2, 3), np.float32), np.ones((3, 4))
    got, same = arrays.real_arrays(x=x, weight=weight)
    assert got.dtype == np.float64 and same is weight
    unpickled = pickle.loads(pickle.dumps(weight))  # its dtype is another object
    assert arrays.real_arrays(x=unpickled, weight=weight)[0] is unpickled


def test_arrays_are_copied_only_if_necessary():
    x = np.ones((3, 4), np.float32)
    for view in (x, x.T, x[:, ::2]):
        assert arrays.real_arrays(x=view)[0] is view
    x.flags.writeable = False
    assert arrays.real_arrays(x=x)[0] is x
    unaligned = np.zeros(17, np.uint8)[1:].view(np.float64)
    assert not unaligned.flags.aligned
    assert arrays.real_arrays(x=unaligned)[0].flags.aligned


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.array(["1"]), TypeError, "^it must hold real numbers, got dtype <U1"),
        (1j, TypeError, "^it must hold real numbers, got dtype complex128"),
        (None, TypeError, "^it must hold real numbers, got dtype object"),
        ([[1, 2], [3]], ValueError, "^it must be an array with rows of one length"),
    ],
    ids=["text", "complex", "None", "ragged"],
)
def test_values_that_are_not_real_arrays_are_rejected(value, error, message):
    with pytest.raises(error, match=message):
        arrays.real_arrays(fine=1.0, it=value)


# Shapes


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_keep_the_last_axis_and_flat_samples_the_first(shape):
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    rows = arrays.rows(x)
    assert rows.ndim == 2 and rows.shape[1:] == (shape[-1:] or (1,))
    np.testing.assert_array_equal(rows.ravel(), x.ravel())
    assert rows.base is not None  # a view
    if shape:
        flat = arrays.flat_samples(x)
        assert flat.ndim == 2 and flat.shape[:1] == shape[:1]
        np.testing.assert_array_equal(flat.ravel(), x.ravel())


# Activations

ELEMENTWISE = [name for name in ACTIVATIONS if name not in ("softmax", "exp")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_work_element_by_element_on_any_rank(name, shape, dtype):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), dtype)
    want = np.empty((1, x.size))
    reference.activation_forward(want, x.astype(np.float64).reshape(1, -1), ACTIVATIONS.index(name))
    want = want.reshape(shape)
    for layout in LAYOUTS if shape else ["C"]:
        arranged = arrange(x, layout)
        with unchanged(arranged):
            got = arrays.activate(name, arranged)
        assert got.shape == shape and got.dtype == dtype
        assert not np.shares_memory(got, arranged)
        # the reference is rounded too
        assert_close(got, want, (ACTIVATION_ULPS + ELEMENTWISE_EPS) * TOLERANCES[dtype].eps * np.abs(want))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (0, 2), (2, 3, 4)])
def test_softmax_works_along_the_last_axis(shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    want = np.exp(x.astype(np.float64))
    want /= want.sum(axis=-1, keepdims=True)
    got = arrays.activate("softmax", x)
    assert got.dtype == dtype
    assert_close(got, want, (shape[-1] + 8) * TOLERANCES[dtype].eps * want)  # the bound in the kernel's docstring


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivatives_work_element_by_element_on_any_rank(name, shape, dtype):
    x = np.asarray(np.random.default_rng(1).standard_normal(shape), dtype)
    want = np.empty((1, x.size))
    reference.activation_backward(
        want, np.ones_like(want), x.astype(np.float64).reshape(1, -1), ACTIVATIONS.index(name)
    )
    for layout in LAYOUTS if shape else ["C"]:
        arranged = arrange(x, layout)
        with unchanged(arranged):
            got = arrays.derivative(name, arranged)
        assert got.shape == shape and got.dtype == dtype
        # derivatives are at most 1; the activation is accurate to 4 ulp and some operations follow
        assert_close(got, want.reshape(shape), (2 * ACTIVATION_ULPS + ELEMENTWISE_EPS) * TOLERANCES[dtype].eps)


def test_a_gradient_must_have_the_shape_of_the_output():
    arrays.check_dout(np.ones((2, 3)), (2, 3))
    with pytest.raises(ValueError, match=r"^dout must have the shape of the output, \(2, 3\), got \(3,\)"):
        arrays.check_dout(np.ones(3), (2, 3))


# Outputs and targets

SOFTMAX, SQUARED = "softmax_cross_entropy", "squared_error"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("value", "t", "loss", "want"),
    [
        ([[0, 1], [2, 3]], [1, 0], SOFTMAX, [1, 0]),
        ([[0, 1], [2, 3]], [[0, 1], [1, 0]], SOFTMAX, [[0, 1], [1, 0]]),
        ([[0, 1]], [1], SOFTMAX, [1]),
        ([0, 1], 1, SOFTMAX, [1]),
        ([0, 1, 2], [1], SOFTMAX, [1]),
        ([0, 1], [0, 1], SOFTMAX, [[0, 1]]),
        ([0, 1], [[0, 1]], SOFTMAX, [[0, 1]]),
        ([5], [1], SOFTMAX, [[1]]),  # with one class this is a row of probabilities, as in the book
        ([[0], [1]], [3, 4], SQUARED, [[3], [4]]),
        ([0, 1], [3, 4], SQUARED, [[3, 4]]),
        ([0], 3, SQUARED, [[3]]),
    ],
)
def test_outputs_and_targets_are_converted_to_the_arrays_of_a_loss(value, t, loss, want, dtype):
    outputs, targets, shape = arrays.outputs_and_targets("y", np.array(value, dtype), t, loss)
    np.testing.assert_array_equal(outputs, np.atleast_2d(value))
    assert outputs.dtype == dtype and shape == np.shape(value)
    np.testing.assert_array_equal(targets, want)
    assert targets.dtype == (np.int64 if targets.ndim == 1 else dtype)


@pytest.mark.parametrize(
    ("value", "t", "error", "message"),
    [
        (1.0, 0, ValueError, r"^y must have shape \(outputs,\) or \(samples, outputs\), neither of them 0; got \(\)"),
        (np.ones((2, 2, 2)), [0, 1], ValueError, r"^y must have shape .* got \(2, 2, 2\)"),
        (np.ones((0, 2)), [], ValueError, r"^y must have shape .* got \(0, 2\)"),
        (np.ones((2, 0)), [0, 0], ValueError, r"^y must have shape .* got \(2, 0\)"),
        (np.ones((2, 3)), [0, 3], ValueError, "^t must hold labels from 0 to 2, got 3"),
        (np.ones((2, 3)), [0, -1], ValueError, "^t must hold labels from 0 to 2, got -1"),
        (np.ones(3), 3, ValueError, "^t must hold labels from 0 to 2, got 3"),
        (np.ones((2, 3)), [0.5, 1.0], TypeError, "^t must hold integer labels"),
        (np.ones((2, 3)), [0], ValueError, "^t must have one entry per row of x, 2, got 1"),
        (np.ones((2, 3)), [[0, 1]], ValueError, r"^t must be .*rows of shape \(samples, 3\), got shape \(1, 2\)"),
        (np.ones((2, 2)), [[1, 1], [1, 0]], ValueError, "^t must have rows that sum to 1, got 2 in row 0"),
    ],
)
def test_invalid_outputs_and_targets_are_rejected(value, t, error, message):
    with pytest.raises(error, match=message):
        arrays.outputs_and_targets("y", value, t, SOFTMAX)
