"""The kernel that applies a loss by its code: the loss of each sample, its gradient, the mean."""

import numpy as np
import pytest
from helpers import DTYPES, LAYOUTS, TOLERANCES, arrange, assert_close, dtypes, framed, poisoned, sizes, unchanged
from hypothesis import given
from hypothesis import strategies as st
from test_losses import FUNCTIONS, KINDS, arguments_of, logits_for, loss, targets_for
from user_codes import GIVEN, loss_code_of, twin_of

from fastfnn import kernels, reference

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_kind = pytest.mark.parametrize("kind", KINDS)


def parameters_of(kind, outputs):
    if kind in ("labels", "one-hot", "soft", "sigmoid"):
        return np.zeros(1)
    return np.concatenate([np.empty(0), *map(np.atleast_1d, arguments_of(kind, outputs))])


def by_code(module, out, targets, parameters, code, layout="C"):
    losses, grad = np.full(len(out), np.nan), poisoned(out.shape, out.dtype, layout)
    return module.sample_losses(losses, grad, out, targets, parameters, code), losses, grad


def case(kind, batch, outputs, dtype):
    rng = np.random.default_rng(batch)
    out, targets = logits_for(kind, rng, batch, outputs, dtype), targets_for(kind, rng, batch, outputs, dtype)
    return out, targets, parameters_of(kind, outputs), kernels.LOSSES.index(FUNCTIONS[kind])


@every_dtype
@every_kind
@pytest.mark.parametrize("shape", [(1, 1), (9, 1), (37, 5), (400, 10)])
def test_the_mean_has_the_bits_of_the_kernel_of_the_loss(shape, kind, dtype):
    arguments = case(kind, *shape, dtype)
    with unchanged(*arguments[:3]):
        mean, losses, grad = by_code(kernels, *arguments)
    want, want_grad = loss(kernels, kind, *arguments[:2])
    assert isinstance(mean, float) and mean == want
    np.testing.assert_allclose(losses.mean(), want, rtol=1e-13)
    eps = TOLERANCES[dtype].eps  # the largest terms of the softmax's differences are about 1
    np.testing.assert_allclose(grad, want_grad * dtype.type(len(grad)), rtol=4 * eps, atol=4 * eps)


@every_dtype
@every_kind
def test_each_sample_has_the_loss_and_the_gradient_that_it_has_alone(kind, dtype):
    out, targets, parameters, code = case(kind, 9, 5, dtype)
    _, losses, grad = by_code(kernels, out, targets, parameters, code)
    for i in range(len(out)):
        one = slice(i, i + 1)
        mean, alone, grad_alone = by_code(kernels, out[one], targets[one], parameters, code)
        np.testing.assert_allclose([mean, alone[0]], losses[i], rtol=1e-14)
        np.testing.assert_array_equal(grad_alone, grad[one])


@given(
    sizes,
    sizes.filter(bool),
    dtypes,
    st.sampled_from(["labels", "huber", GIVEN]),
    st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
)
def test_every_shape_and_layout_matches_the_reference(batch, outputs, dtype, kind, layouts):
    known = "huber" if kind == GIVEN else kind
    out, targets, parameters, code = case(known, batch, outputs, dtype)
    if kind == GIVEN:
        parameters, code = np.empty(0), loss_code_of(GIVEN, dtype)
    out, targets = arrange(out, layouts[0]), targets if targets.ndim == 1 else arrange(targets, layouts[1])
    with unchanged(out, targets):
        mean, losses, grad = by_code(kernels, out, targets, parameters, code, layouts[2])
    lifted = out.astype(np.float64), targets if targets.ndim == 1 else targets.astype(np.float64)
    want, want_losses, want_grad = by_code(reference, *lifted, parameters, int(twin_of(code, dtype)))
    eps = (outputs + 40) * TOLERANCES[dtype].eps
    if batch == 0:
        assert np.isnan(mean) and np.isnan(want)
    else:
        np.testing.assert_allclose(mean, want, rtol=eps, atol=eps)
    np.testing.assert_allclose(losses, want_losses, rtol=eps, atol=eps)
    assert_close(grad, want_grad, eps * (1 + np.abs(want_grad)))


@every_dtype
def test_nothing_outside_the_outputs_is_written(dtype):
    out, targets, parameters, code = case("huber", 33, 7, dtype)
    with framed(out.shape, dtype=dtype) as (grad,), framed((1, len(out)), dtype=np.dtype(np.float64)) as (losses,):
        kernels.sample_losses(losses[0], grad, out, targets, parameters, code)


@every_dtype
@pytest.mark.parametrize("kind", ["huber", GIVEN])
def test_one_nan_makes_the_loss_of_one_sample_nan(kind, dtype):
    out, targets, parameters, code = case("huber", 37, 5, dtype)
    if kind == GIVEN:
        parameters, code = np.empty(0), loss_code_of(GIVEN, dtype)
    out[30, 2] = np.nan
    mean, losses, grad = by_code(kernels, out, targets, parameters, code)
    assert np.isnan(mean)
    np.testing.assert_array_equal(np.isnan(losses), np.arange(37) == 30)
    np.testing.assert_array_equal(np.isnan(grad), np.isnan(out))
