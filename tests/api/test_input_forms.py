"""Samples, targets and labels in any form of array give the same bits."""

import numpy as np
import pytest
from small_networks import LOSSES, bits, locked, network, samples, spread

from fastfnn import validation


def unaligned(x):
    view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64")
X_FORMS = {
    "list": np.ndarray.tolist,
    **{name: lambda x, name=name: x.astype(name) for name in (*INTEGERS, "float64", "float16")},
    "Fortran uint8": lambda x: np.asfortranarray(x.astype(np.uint8)),
    "strided int64": lambda x: np.repeat(x.astype(np.int64), 2, axis=1)[:, ::2],
    "backwards float64": lambda x: x.astype(np.float64)[::-1, ::-1].copy()[::-1, ::-1],
    "read-only uint8": lambda x: locked(x.astype(np.uint8)),
    "unaligned": unaligned,
    "unaligned float64": lambda x: unaligned(x.astype(np.float64)),
    "columns of a wider array": lambda x: np.hstack([x, np.full_like(x, np.nan)])[:, : x.shape[1]],
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f4"),
    "Fortran": np.asfortranarray,
    "strided": spread,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "read-only": locked,
    "read-only float64": lambda x: locked(x.astype(np.float64)),
    "broadcast": lambda x: np.broadcast_to(x[np.newaxis], (2, *x.shape))[1],
    "subclass": lambda x: x.view(np.matrix),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore::fastfnn.UnscaledDataWarning")
@pytest.mark.parametrize("form", X_FORMS)
@pytest.mark.parametrize("batch_size", [4, 1, None])
@pytest.mark.parametrize("once", [True, False], ids=["once", "by batches"])
def test_x_in_any_form_gives_the_same_bits(form, batch_size, once, monkeypatch):
    monkeypatch.setattr(validation, "CONVERT_ONCE_BYTES", 1000 if once else 0)
    x = np.random.default_rng(0).integers(0, 256, (11, 4)).astype(np.float32)
    t = np.arange(11) % 3
    results = []
    for given_x in (x, X_FORMS[form](x)):
        net = network(dtype="float32", activation="sigmoid", init=0.01)
        history = net.fit(given_x, t, epochs=2, batch_size=batch_size, validation_data=(given_x, t))
        grad = net.gradient(given_x, t)["W1"].tobytes()
        results.append((bits(net), history.val_loss, grad, net.predict(given_x).tobytes(), net.loss(given_x, t)))
    assert results[0] == results[1]


def test_booleans_are_zeros_and_ones(monkeypatch):
    monkeypatch.setattr(validation, "CONVERT_ONCE_BYTES", 0)
    x = np.random.default_rng(0).integers(0, 2, (11, 4))
    results = []
    for given_x in (x.astype(np.float32), x.astype(bool), np.asfortranarray(x.astype(bool))):
        net = network(dtype="float32")
        net.fit(given_x, np.arange(11) % 3, epochs=2, batch_size=4)
        results.append((bits(net), net.predict(given_x).tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("form", ["uint8", "float64", "float16", "Fortran", "backwards float64"])
def test_the_reference_takes_x_in_any_form(form, monkeypatch):
    monkeypatch.setattr(validation, "CONVERT_ONCE_BYTES", 0)
    x = np.random.default_rng(0).integers(0, 256, (11, 4)).astype(np.float32)
    results = []
    for given_x in (x, X_FORMS[form](x)):
        net = network(dtype="float32", activation="sigmoid", init=0.01, backend="reference")
        net.fit(given_x, np.arange(11) % 3, epochs=2, batch_size=4)
        results.append((net.params["W1"].copy(), net.predict(given_x), net.loss(given_x, np.arange(11) % 3)))
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


T_FORMS = {
    "list": np.ndarray.tolist,
    "int": lambda t: t.astype(int),
    "bool": lambda t: t.astype(bool),
    "float64": lambda t: t.astype(np.float64),
    "Fortran": np.asfortranarray,
    "strided": spread,
    "read-only": locked,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", T_FORMS)
def test_target_rows_in_any_form_give_the_same_bits(form, loss):
    x, _ = samples(count=11)
    t = np.eye(3, dtype=np.float32)[np.arange(11) % 3]
    results = []
    for given_t in (t, T_FORMS[form](t)):
        net = network(dtype="float32", loss=loss)
        net.fit(x, given_t, epochs=2, batch_size=4, validation_data=(x, given_t))
        results.append((bits(net), net.evaluate(x, given_t), net.gradient(x, given_t)["W1"].tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("form", ["strided", "read-only"])
def test_labels_in_any_form_give_the_same_bits(form):
    x, t = samples(count=11)
    given_t = np.repeat(t, 2)[::2] if form == "strided" else locked(t)
    results = []
    for labels in (t, given_t):
        net = network(dtype="float32")
        net.fit(x, labels, epochs=2, batch_size=4)
        results.append((bits(net), net.evaluate(x, labels)))
    assert results[0] == results[1]
