"""How samples are divided among ranks, parts and steps; and what `DataParallel` refuses. No process is started."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfnn as fnn
from fastfnn.parallel.parts import Parts, taken_from
from fastfnn.parallel.shards import divided


class Comm:
    def __init__(self, rank=0, size=1):
        self.Get_rank, self.Get_size = lambda: rank, lambda: size


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16]))
def test_parts_are_nearly_equal_and_those_of_powers_of_two_nest(count, parts):
    sizes = divided(count, parts)
    assert len(sizes) == parts and sum(sizes) == count and max(sizes) - min(sizes) <= 1
    finer = divided(count, 2 * parts)
    assert parts & (parts - 1) or [a + b for a, b in zip(finer[::2], finer[1::2], strict=True)] == sizes


@pytest.mark.parametrize("count", [1, 7, 8, 100, 1001])
def test_eight_parts_are_the_same_whatever_the_number_of_ranks(count):
    want = divided(count, 8)
    for ranks in (1, 2, 4, 8):
        assert [size for share in divided(count, ranks) for size in divided(share, 8 // ranks)] == want


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any), st.integers(1, 60))
def test_steps_take_every_sample_once_and_have_the_size_of_a_batch(sizes, batch):
    samples = sum(sizes)
    taken = np.minimum(np.arange(-(-samples // batch) + 1) * batch, samples)
    counts = np.array([np.diff(taken_from(part, sizes, taken)) for part in range(len(sizes))])
    assert (counts >= 0).all()
    assert counts.sum(axis=1).tolist() == sizes
    assert counts.sum(axis=0).tolist() == np.diff(taken).tolist()


def test_parts_of_one_size_give_equal_shares_to_batches_that_they_divide():
    parts = Parts([100, 100, 100], 1, 1, 30, "shuffle")
    assert parts.counts.tolist() == [[10] * 10]


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
@pytest.mark.parametrize("sizes", [[5, 0, 7, 9], [40, 41, 40, 41]])
def test_steps_take_the_same_samples_whatever_the_number_of_ranks(sampling, sizes):
    batches = {}
    for ranks in (1, 2, 4):
        own = 4 // ranks
        for rank in range(ranks):
            parts = Parts(sizes, rank * own, own, 8, sampling)
            orders = parts.draw_orders(np.random.default_rng(3), 2)
            assert orders.shape == (2, sum(parts.sizes))
            for epoch, order in enumerate(orders):
                for step in range(parts.steps):
                    rows = order[parts.edges[step] : parts.edges[step + 1]] + sum(sizes[: rank * own])
                    batches.setdefault((ranks, epoch, step), []).extend(rows.tolist())
    for ranks, epoch, step in batches:
        assert batches[ranks, epoch, step] == batches[1, epoch, step]
    for epoch in range(2):
        rows = sorted(row for key, batch in batches.items() if key[:2] == (1, epoch) for row in batch)
        assert len(rows) == sum(sizes) and (sampling == "replacement" or rows == list(range(sum(sizes))))
    assert batches[1, 0, 0] != batches[1, 1, 0]


def test_orders_hold_the_indices_of_chosen_samples():
    parts = Parts([3, 3], 0, 2, 2, "shuffle")
    chosen = np.array([1, 4, 5, 7, 8, 11])
    orders = parts.draw_orders(np.random.default_rng(0), 2, chosen)
    assert all(sorted(order) == chosen.tolist() for order in orders)
    whole = Parts([3, 3], 0, 2, 6, "shuffle")
    assert whole.draw_orders(np.random.default_rng(0), 2).shape == (2, 0)
    assert whole.draw_orders(np.random.default_rng(0), 1, chosen).tolist() == [chosen.tolist()]


def test_seeds_of_parts_do_not_depend_on_the_number_of_ranks():
    whole = Parts([4] * 4, 0, 4, 2, "shuffle")
    half = Parts([4] * 4, 2, 2, 2, "shuffle")
    assert [half.seed(5, 0), half.seed(5, 1)] == [whole.seed(5, 2), whole.seed(5, 3)]
    assert len({whole.seed(5, part) for part in range(4)}) == 4


def test_shares_are_views_of_contiguous_rows():
    x, t = np.arange(22.0).reshape(11, 2), np.arange(11)
    shares = [fnn.parallel.shard(Comm(rank, 4), x, t) for rank in range(4)]
    assert np.concatenate([share[1] for share in shares]).tolist() == list(range(11))
    assert all(np.shares_memory(share[0], x) for share in shares)
    assert fnn.parallel.shard(Comm(), t) is not None and len(fnn.parallel.shard(Comm(), t)) == 11


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((), TypeError, "shard needs at least one array, got none"),
        ((np.zeros(3), np.zeros(4)), ValueError, "arrays must have the same length, got 3, 4"),
        ((np.zeros(1),), ValueError, "the number of samples must be at least 2, got 1"),
    ],
)
def test_shard_refuses_what_it_cannot_divide(arguments, error, text):
    with pytest.raises(error, match=text):
        fnn.parallel.shard(Comm(0, 2), *arguments)


@pytest.mark.parametrize(
    ("size", "options", "error", "text"),
    [
        (2, {"average_every": 0}, ValueError, "average_every must be at least 1, got 0"),
        (2, {"average_every": "often"}, ValueError, "average_every must be one of auto; got 'often'"),
        (2, {"average_every": 2.5}, TypeError, "average_every must be an int, got float"),
        (2, {"fixed_order": 1}, TypeError, "fixed_order must be True or False, got int"),
        (2, {"fixed_order": True, "average_every": 4}, ValueError, "average_every must be 1 with fixed_order, got 4"),
        (2, {"parts": 3}, ValueError, "parts must be a multiple of the number of ranks, 2, got 3"),
        (2, {"parts": 0}, ValueError, "parts must be at least 1, got 0"),
        (3, {"fixed_order": True}, ValueError, "number of ranks must be a power of two with fixed_order, got 3"),
        (2, {"fixed_order": True, "parts": 6}, ValueError, "parts must be a power of two with fixed_order, got 6"),
    ],
)
def test_wrong_options_are_refused(size, options, error, text):
    with pytest.raises(error, match=text):
        fnn.DataParallel(Comm(0, size), **options)


def test_a_communicator_is_needed():
    with pytest.raises(TypeError, match="comm must be a communicator of mpi4py, got NoneType"):
        fnn.DataParallel(None)


def test_options_that_nothing_says_are_told():
    assert fnn.DataParallel(Comm(0, 3)).parts == 3
    assert fnn.DataParallel(Comm(0, 2), fixed_order=True).parts == 8
    assert fnn.DataParallel(Comm(0, 16), fixed_order=True).parts == 16
    assert "average_every=1, fixed_order=True, parts=8)" in repr(fnn.DataParallel(Comm(), fixed_order=True))


def test_one_rank_with_one_part_is_an_ordinary_fit():
    x, t = np.eye(4), [0, 1, 0, 1]
    nets = [fnn.FNN((4, 3, 2), seed=1, backend="reference") for _ in range(2)]
    nets[0].fit(x, t, epochs=2, batch_size=2)
    nets[1].fit(x, t, epochs=2, batch_size=2, comm=Comm())
    assert np.array_equal(nets[0].params.flat, nets[1].params.flat)
