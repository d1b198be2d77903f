"""Networks that several ranks have trained are those that one process would have trained."""

import numpy as np
import pytest
from mpi import needs_mpi, run
from mpi_cases import CASES, LABELS, X

import fastfnn as fnn
from fastfnn import reference
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.shards import divided

pytestmark = [pytest.mark.jit, needs_mpi]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came out on 1, 2 and 4 ranks, by the number and the name of the run."""
    folder = tmp_path_factory.mktemp("results")
    for ranks in (1, 2, 4):
        (folder / str(ranks)).mkdir()
        run("cases.py", ranks, folder / str(ranks))
    return lambda ranks, name: dict(np.load(folder / str(ranks) / f"{name}.npz"))


@pytest.mark.parametrize("name", CASES)
def test_a_fixed_order_gives_the_same_bits_on_1_2_and_4_ranks(results, name):
    want = results(1, f"fixed-{name}")
    for ranks in (2, 4):
        got = results(ranks, f"fixed-{name}")
        assert got.keys() == want.keys()
        for key in want:
            if key == "val_loss":  # a mean of the ranks' means
                np.testing.assert_allclose(got[key], want[key], rtol=1e-12)
            else:
                assert np.array_equal(got[key], want[key]), (ranks, key)
    assert want["step_loss"][-1] < want["step_loss"][0]


# In these the gradient of a batch depends on how it is divided.
DIVIDED = ("dropout", "batch_norm", "whole", "reference")


@pytest.mark.parametrize("name", [name for name in CASES if name not in DIVIDED])
def test_the_fast_mode_gives_the_same_results_up_to_rounding(results, name):
    pairs = [(results(1, f"fast-{name}"), results(2, f"fast-{name}"))]
    if name in ("sgd", "clip", "float64"):
        pairs += [(results(1, f"fast4-{name}"), results(ranks, f"fast4-{name}")) for ranks in (2, 4)]
    for want, got in pairs:
        for key in ("params", "step_loss", "val_loss"):
            np.testing.assert_allclose(got[key], want[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", DIVIDED)
def test_the_fast_mode_trains_with_a_share_of_each_batch(results, name):
    for ranks in (1, 2):
        loss = results(ranks, f"fast-{name}")["step_loss"]
        assert np.isfinite(loss).all() and loss[-1] < loss[0]


def emulated(options, targets, sizes, seed=7):
    """A training in float64 in plain NumPy, of parts of these sizes; the parameters and the losses of the steps."""
    net = fnn.FNN(**options, seed=seed, backend="reference")
    parts = Parts(sizes, 0, len(sizes), 20, "shuffle")
    optimizer = fnn.AdamW()
    moments = optimizer.flat_state(net.params)
    settings = net._settings(optimizer.flat_settings())
    losses, number = [], 0
    for _ in range(3):
        (order,) = parts.draw_orders(net._rng, 1)
        for step in range(parts.steps):
            number += 1
            begin, total = parts.edges[step], parts.edges[step + 1] - parts.edges[step]
            grad, statistics, loss = np.zeros_like(net._flat), np.zeros_like(net._statistics), 0.0
            for count in parts.counts[:, step]:
                rows, begin = order[begin : begin + count], begin + count
                own_grad, own_statistics = np.zeros_like(grad), net._statistics.copy()
                if count:
                    own_loss = reference.network_gradient(
                        own_grad, own_statistics, net._flat, X[rows], targets[rows], np.empty(0), net._sizes,
                        net._codes("identity"), settings, net._loss_parameters, net._loss_code, number,
                    )  # fmt: skip
                    grad += count / total * own_grad
                    statistics += count / total * own_statistics
                    loss += count / total * own_loss
            net._statistics[...] = statistics
            reference.network_update(
                net._flat, *moments, grad, net._sizes, settings, optimizer.code, 0.001, 1.0, number
            )
            losses.append(loss)
    return net._flat, net._statistics, np.array(losses)


@pytest.mark.parametrize(("ranks", "name", "shares"), [(4, "fixed-batch_norm", [101]), (2, "uneven", [90, 11])])
def test_a_step_is_that_of_the_sum_of_the_parts_gradients(results, ranks, name, shares):
    got = results(ranks, name)
    sizes = [size for share in shares for size in divided(share, 8 // len(shares))]
    params, statistics, losses = emulated(CASES["batch_norm"][0], LABELS, sizes)
    np.testing.assert_allclose(got["params"], params, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(got["statistics"], statistics, rtol=1e-6)
    np.testing.assert_allclose(got["step_loss"], losses, rtol=1e-6)


@pytest.mark.parametrize("name", ["float64", "batch_norm"])
def test_averages_are_those_of_networks_that_take_steps_by_themselves(results, name):
    got = results(2, f"averaged-{name}")
    options, targets, _ = CASES[name]
    sizes = (71, 30)
    nets = [fnn.FNN(**options, seed=7, backend="reference") for _ in sizes]
    parts = [Parts(sizes, rank, 1, 20, "shuffle") for rank in (0, 1)]
    rules = [fnn.RMSprop() if name == "float64" else fnn.AdamW() for _ in sizes]
    states = [(net._flat, net._statistics, *rule.flat_state(net.params)) for net, rule in zip(nets, rules, strict=True)]
    losses, number = [], 0
    for _ in range(3):
        orders = [part.draw_orders(net._rng, 1)[0] for part, net in zip(parts, nets, strict=True)]
        for step in range(parts[0].steps):
            total = 0.0
            for rank, (net, rule) in enumerate(zip(nets, rules, strict=True)):
                rows = orders[rank][parts[rank].edges[step] : parts[rank].edges[step + 1]] + (0, 71)[rank]
                if not len(rows):
                    continue
                loss, (flat, statistics, first, second) = np.empty(1), states[rank]
                reference.train_steps(
                    flat, first, second, statistics, loss, np.empty(0), X[rows], targets[rows], np.empty(0),
                    np.empty(0), np.arange(len(rows)), np.array([rule.learning_rate]), net._sizes,
                    net._codes("identity"), net._settings(rule.flat_settings()), net._loss_parameters,
                    net._loss_code, rule.code, len(rows), number,
                )  # fmt: skip
                total += loss[0] * len(rows) / min(20, 101 - 20 * step)
            losses.append(total)
            number += 1
            if step % 2 or step == parts[0].steps - 1:
                for arrays in zip(*states, strict=True):
                    mean = 71 / 101 * arrays[0] + 30 / 101 * arrays[1]
                    for array in arrays:
                        array[...] = mean
    for key, want in zip(("params", "statistics", "first", "second"), states[0], strict=True):
        np.testing.assert_allclose(got[key], want, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(got["step_loss"], losses, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_averages_train_networks_of_every_kind(results, name):
    loss = results(2, f"averaged-{name}")["step_loss"]
    assert np.isfinite(loss).all() and (loss[-3:].mean() < loss[:3].mean() or name in ("whole", "batch_norm"))
