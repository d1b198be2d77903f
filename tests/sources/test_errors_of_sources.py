"""What cannot be had with a source is an error that names the cure, before anything is changed."""

import numpy as np
import pytest
from source_samples import ArraySource, BatchSource, Chunks, T, W, X, network, parts, trained

import fastfnn as fnn

SOURCE = ArraySource(X, T)
WRONG_ARGUMENTS = {
    "t": ({"t": T}, TypeError, "t must be None with a source: the source gives the targets; got ndarray"),
    "sample_weight": ({"sample_weight": W}, ValueError, "the source gives the weights"),
    "validation_split": ({"validation_split": 0.1}, ValueError, "give validation_data, a pair of arrays or another"),
    "sampling": ({"sampling": "replacement"}, ValueError, "sampling must be 'shuffle' with a source"),
    "batch_size": ({"batch_size": None}, ValueError, "batch_size must be an int with ArraySource"),
    "class_weight": ({"class_weight": "balanced"}, ValueError, "class_weight must be a dict"),
    "label": ({"class_weight": {7: 1.0}}, ValueError, "labels from 0 to 2, got 7"),
    "metrics": ({"metrics": ["f1"]}, ValueError, "metrics need validation_data with a source"),
    "epochs": ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    "monitor": (
        {"callbacks": [fnn.EarlyStopping(monitor="accuracy")], "validation_data": (X, T)}, ValueError,
        "x must be arrays for .* to monitor 'accuracy': on a source only the loss is measured",
    ),
    "no validation": ({"callbacks": [fnn.EarlyStopping()]}, ValueError, "validation_data must be given"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG_ARGUMENTS.values(), ids=list(WRONG_ARGUMENTS))
def test_arguments_that_need_all_samples_are_refused(arguments, kind, message):
    net = network()
    before = net._flat.copy()
    with pytest.raises(kind, match=message):
        net.fit(SOURCE, **arguments)
    assert net.history is None
    assert (net._flat == before).all()


def test_arrays_need_targets():
    with pytest.raises(TypeError, match="t must be given with an array x, got None"):
        network().fit(X)
    with pytest.raises(TypeError, match="t must be given with an array x, got None"):
        network().evaluate(X)
    with pytest.raises(TypeError, match="t must be None with a source"):
        network().evaluate(SOURCE, T)


def test_an_iterator_is_refused_where_a_second_pass_would_find_it_empty(tmp_path):
    with pytest.raises(
        ValueError, match=r"epochs must be 1 or less with an iterator, .* got 3: give a list, a DataLoader"
    ):
        trained(iter(parts(10, X, T)))
    with pytest.raises(ValueError, match="epochs must be 1 or less with an iterator"):
        trained(SOURCE, validation_data=iter(parts(10, X, T)))
    source = BatchSource(iter(parts(10, X, T)))
    trained(source, epochs=1)
    with pytest.raises(ValueError, match="epochs must be 0 with an iterator"):
        trained(source, epochs=1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: parts(10, X, T), "must be a function without arguments: missing a required argument: 'x'"),
        (lambda: 3, "must be a function that returns an iterator, got int from it"),
    ],
)
def test_a_function_must_need_no_argument_and_return_an_iterator(function, message):
    with pytest.raises(TypeError, match=f"^batches {message}"):
        trained(BatchSource(function))
    with pytest.raises(TypeError, match=f"^x {message}"):
        network().fit(function)
    with pytest.raises(TypeError, match=f"^validation_data {message}"):
        network().fit(X, T, validation_data=function)


def test_checkpoints_need_to_know_how_many_steps_an_epoch_has(tmp_path):
    with pytest.raises(ValueError, match="checkpoint needs samples, the number of rows of the source, got None"):
        trained(BatchSource(parts(10, X, T)), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="checkpoint needs batch_size with a source, got None"):
        trained(BatchSource(parts(10, X, T), samples=137), batch_size=None, checkpoint=tmp_path)


NOT_FINITE = X.copy()
NOT_FINITE[50, 2] = np.nan
WRONG_CHUNKS = {
    "no pair": ([X], TypeError, "a source must yield pairs .x, t. or triples .x, t, w., got ndarray"),
    "a tuple of one": ([(X,)], TypeError, "got tuple of 1"),
    "a dict": ([{"x": X, "t": T}], TypeError, "got dict"),
    "a vector": ([(X[:, 0], T)], ValueError, "x of the source must have shape .samples, features., got shape .137,."),
    "columns": ([(X[:, :3], T)], ValueError, "x of the source must have 4 columns, got shape"),
    "other columns": ([(X[:9], T[:9]), (X[9:, :3], T[9:])], ValueError, "must have 4 columns of float32 like x"),
    "other dtypes": ([(X[:9], T[:9]), (X[9:].astype("f8"), T[9:])], ValueError, "got 4 of float64"),
    "other targets": ([(X[:9], T[:9]), (X[9:], np.eye(3)[T[9:]])], ValueError, "must have the shape of t"),
    "some weights": ([(X[:9], T[:9], W[:9]), (X[9:], T[9:])], ValueError, "in all chunks of a source or in none"),
    "fewer targets": (
        [(X, T[:9])],
        ValueError,
        "t of the source must have one entry per row of x, 137, got shape .9,.",
    ),
    "fewer weights": ([(X, T, W[:9])], ValueError, "sample_weight of the source must have one entry per row"),
    "negative weights": ([(X, T, -W)], ValueError, "sample_weight of the source must not be negative"),
    "labels": ([(X, T + 1)], ValueError, "t of the source must .* 0 to 2"),
    "text": ([(X.astype(str), T)], TypeError, "x of the source must hold real numbers"),
    "not finite": ([(NOT_FINITE, T)], ValueError, r"x of the source must be finite in float32, got nan at \[50, 2\]"),
    "nothing": ([], ValueError, "a source must have at least one row in each epoch, got 0 rows"),
    "no rows": ([(X[:0], T[:0])], ValueError, "a source must have at least one row in each epoch, got 0 rows"),
}


@pytest.mark.parametrize(("chunks", "kind", "message"), WRONG_CHUNKS.values(), ids=list(WRONG_CHUNKS))
def test_what_is_wrong_with_a_chunk_is_said(chunks, kind, message):
    with pytest.raises(kind, match=message):
        trained(Chunks(chunks))


@pytest.mark.parametrize("window", [16, 64])
def test_the_message_says_where_a_number_is_not_finite(window):
    with pytest.raises(ValueError, match=r"x from row (.*) on must be finite in float32, got nan at ") as caught:
        trained(ArraySource(NOT_FINITE, T, window=window))
    row, index = (
        int(part.split()[0].strip("[,")) for part in str(caught.value).replace("at [", "row [").split("row ")[1:]
    )
    assert row + index == 50


WRONG_SOURCES = {
    "window": (lambda: ArraySource(X, T, window=0), ValueError, "window must be at least 1, got 0"),
    "shuffle": (lambda: ArraySource(X, T, shuffle="no"), TypeError, "shuffle must be True or False"),
    "no targets": (lambda: ArraySource(X), TypeError, "t must be given"),
    "targets": (lambda: ArraySource(X, T[:9]), ValueError, "t must have one entry per row of x, 137"),
    "weights": (lambda: ArraySource(X, T, W[:9]), ValueError, "sample_weight must have one entry per row"),
    "vector": (lambda: ArraySource(T, T), ValueError, "x must have shape .samples, features."),
    "batches": (lambda: BatchSource(3), TypeError, "batches must be an iterable of .x, t. or a function, got int"),
    "text": (lambda: BatchSource("path"), TypeError, "batches must be an iterable"),
    "samples": (lambda: BatchSource([], samples=0), ValueError, "samples must be at least 1"),
}


@pytest.mark.parametrize(("make", "kind", "message"), WRONG_SOURCES.values(), ids=list(WRONG_SOURCES))
def test_wrong_arguments_of_a_source_are_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_class_without_chunks_says_so():
    class Nothing(fnn.sources.Source):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define chunks"):
        trained(Nothing())


def test_lists_and_frames_are_no_sources():
    net = network()
    with pytest.raises(TypeError, match="t must be given"):
        net.fit([[0.0, 1.0, 2.0, 3.0]])
    assert net.fit([[0.0, 1.0, 2.0, 3.0]], [1], epochs=1).epochs == 1


class TwoRanks:
    """What `fit` asks a communicator before anything is sent."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 2


def test_a_source_is_refused_on_several_ranks():
    net = fnn.FNN((2, 3), seed=0)
    before = net.params.flat.copy()
    source = fnn.sources.ArraySource(np.ones((4, 2), np.float32), np.zeros(4, int))
    with pytest.raises(ValueError, match=r"^comm needs samples as arrays, of each rank its share, got a source"):
        net.fit(source, comm=TwoRanks())
    assert (net.params.flat == before).all()
