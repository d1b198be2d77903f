"""Samples, targets and labels in any form of array give the same bits."""

import numpy as np
import pytest
from small_networks import LOSSES, bits, locked, network, samples, spread

X_FORMS = {
    "list": np.ndarray.tolist,
    "int": lambda x: x.astype(int),
    "uint8": lambda x: x.astype(np.uint8),
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
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
@pytest.mark.parametrize("form", X_FORMS)
def test_x_in_any_form_gives_the_same_bits(form):
    x = np.random.default_rng(0).integers(0, 256, (11, 4)).astype(np.float32)
    t = np.arange(11) % 3
    results = []
    for given_x in (x, X_FORMS[form](x)):
        net = network(dtype="float32", activation="sigmoid", init=0.01)
        history = net.fit(given_x, t, epochs=2, batch_size=4, validation_data=(given_x, t))
        grad = net.gradient(given_x, t)["W1"].tobytes()
        results.append((bits(net), history.val_loss, grad, net.predict(given_x).tobytes(), net.loss(given_x, t)))
    assert results[0] == results[1]


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
