"""A training goes on only if it is the same: all parameters and all rows are compared, through every door."""

import functools
import inspect
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from safetensors import safe_open
from safetensors.numpy import save_file

import fastfnn as fnn
from fastfnn import cli, digests, same_training
from fastfnn.parallel import measuring
from fastfnn.sklearn import MLPClassifier, MLPRegressor, going_on
from fastfnn.tabular import TabularClassifier, TabularRegressor

pytestmark = [
    pytest.mark.jit, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]  # fmt: skip

ROWS = 300
X = np.random.default_rng(0).normal(size=(ROWS, 4))
LABELS = (X[:, 0] > 0).astype(int)
NUMBERS = X @ [1.0, -1.0, 0.5, 0.0]
REFUSED = "resume=True must go on with the training of"


def metric(estimator, x, y):
    return 1.0


# The parameters of the estimators

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, "batch_size": 32}
CHANGED = {
    "hidden_layer_sizes": (6,), "activation": "tanh", "solver": "sgd", "alpha": 0.5, "batch_size": 16,
    "learning_rate": "adaptive", "learning_rate_init": 0.01, "power_t": 0.3, "max_iter": 3, "shuffle": False,
    "random_state": 1, "tol": 0.5, "verbose": True, "warm_start": True, "momentum": 0.5, "nesterovs_momentum": False,
    "early_stopping": True, "validation_fraction": 0.2, "beta_1": 0.5, "beta_2": 0.5, "epsilon": 1e-3,
    "n_iter_no_change": 5, "max_fun": 10, "dropout": 0.25, "batch_norm": True, "optimizer": "sgd",
    "schedule": fnn.schedules.Constant(0.01), "clip_norm": 1.0, "init": "he", "eval_metric": metric,
    "callbacks": [fnn.callbacks.LearningRateLogger()], "progress": True, "n_estimators": 3, "n_jobs": 2, "n_threads": 1,
    "dtype": "float32", "class_weight": {0: 2.0}, "loss": "absolute_error", "quantile": 0.25,
    "label_smoothing": 0.1, "delta": 2.0,
}  # fmt: skip
# By what a message calls it, where that is not the name of the parameter.
CALLED = {"hidden_layer_sizes": "layer_sizes", "schedule": "learning_rate"}
KINDS = {MLPClassifier: LABELS, MLPRegressor: NUMBERS}
PARAMETERS = [(kind, name) for kind in KINDS for name in kind().get_params()]


def test_the_table_changes_every_parameter():
    assert set(CHANGED) == {name for _, name in PARAMETERS}
    for kind, name in PARAMETERS:
        assert repr((SMALL | kind().get_params())[name]) != repr(CHANGED[name])
    assert set(going_on.MAY_DIFFER) | set(going_on.COMPARED_OTHERWISE) <= set(CHANGED)
    assert not set(going_on.MAY_DIFFER) & set(going_on.COMPARED_OTHERWISE)


@pytest.mark.parametrize("networks", [1, 2])
@pytest.mark.parametrize(("kind", "name"), PARAMETERS)
def test_a_training_with_another_parameter_is_another_one_unless_it_may_differ(tmp_path, kind, name, networks):
    parameters = SMALL | {"n_estimators": networks}
    kind(**parameters).fit(X, KINDS[kind], checkpoint=tmp_path)
    other = kind(**(parameters | {name: CHANGED[name]}))
    if name in going_on.MAY_DIFFER:
        other.fit(X, KINDS[kind], checkpoint=tmp_path, resume=True)
        return
    before = vars(other).copy()
    with pytest.raises(ValueError, match=REFUSED) as caught:
        other.fit(X, KINDS[kind], checkpoint=tmp_path, resume=True)
    assert f"{CALLED.get(name, name)} " in str(caught.value)
    assert vars(other) == before


@pytest.mark.parametrize("networks", [1, 2])
@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (lambda: 0, lambda: np.int64(0), True),
        (lambda: 0, lambda: 1, False),
        (lambda: None, lambda: None, True),
        (lambda: None, lambda: 0, False),
        (lambda: 0, lambda: None, False),
        (lambda: np.random.RandomState(0), lambda: np.random.RandomState(0), True),
        (lambda: np.random.RandomState(0), lambda: np.random.RandomState(1), False),
        (lambda: np.random.RandomState(0), lambda: 0, False),
    ],
)
def test_a_random_state_is_compared_by_its_number_or_its_state(tmp_path, first, second, same, networks):
    parameters = SMALL | {"n_estimators": networks}
    one = MLPRegressor(**(parameters | {"random_state": first()})).fit(X, NUMBERS, checkpoint=tmp_path)
    two = MLPRegressor(**(parameters | {"random_state": second()}))
    if not same:
        with pytest.raises(ValueError, match="random_state "):
            two.fit(X, NUMBERS, checkpoint=tmp_path, resume=True)
        return
    two.fit(X, NUMBERS, checkpoint=tmp_path, resume=True)
    assert two.predict(X).tobytes() == one.predict(X).tobytes()


def flavoured():
    class Flavoured(MLPRegressor):
        def __init__(self, flavour="plain", max_iter=2):
            super().__init__(hidden_layer_sizes=(5,), random_state=0, max_iter=max_iter)
            self.flavour = flavour

    return Flavoured


def test_a_parameter_that_a_class_of_your_own_adds_is_compared(tmp_path):
    kind = flavoured()
    kind("plain").fit(X, NUMBERS, checkpoint=tmp_path)
    kind("plain", max_iter=3).fit(X, NUMBERS, checkpoint=tmp_path, resume=True)
    with pytest.raises(ValueError, match="flavour 'plain', got 'salty'"):
        kind("salty").fit(X, NUMBERS, checkpoint=tmp_path, resume=True)


def test_a_parameter_that_came_later_was_at_its_default(tmp_path):
    class Flavoured(MLPRegressor):
        def __init__(self, max_iter=2):
            super().__init__(hidden_layer_sizes=(5,), random_state=0, max_iter=max_iter)

    Flavoured().fit(X, NUMBERS, checkpoint=tmp_path)
    flavoured()("plain").fit(X, NUMBERS, checkpoint=tmp_path, resume=True)
    with pytest.raises(ValueError, match="flavour 'plain', got 'salty'"):
        flavoured()("salty").fit(X, NUMBERS, checkpoint=tmp_path, resume=True)


def test_names_of_the_same_setting_are_the_same(tmp_path):
    MLPClassifier(**SMALL | {"hidden_layer_sizes": 5, "activation": "logistic"}).fit(X, LABELS, checkpoint=tmp_path)
    other = SMALL | {"hidden_layer_sizes": [5], "activation": "sigmoid", "alpha": np.float32(0.0001).item()}
    with pytest.raises(ValueError, match=r"it has alpha 0\.0001, got"):
        MLPClassifier(**other).fit(X, LABELS, checkpoint=tmp_path, resume=True)
    MLPClassifier(**other | {"alpha": np.float64(0.0001)}).fit(X, LABELS, checkpoint=tmp_path, resume=True)


# The arguments of `FNN` and of its `fit`

NETWORK = {"layer_sizes": (4, 5, 2), "seed": 0}
FIT = {"epochs": 2, "batch_size": 32, "sample_weight": np.ones(ROWS), "validation_data": (X[:50], LABELS[:50])}
CHANGED_NETWORK = {
    "layer_sizes": (4, 6, 2), "activation": "tanh", "loss": fnn.losses.SoftmaxCrossEntropy(label_smoothing=0.5),
    "init": "he", "dtype": "float64", "seed": 1, "backend": "reference", "weight_decay": 0.1, "dropout": 0.1,
    "batch_norm": True, "book": True,
}  # fmt: skip
CHANGED_FIT = {
    "x": X + 1, "t": 1 - LABELS, "epochs": 3, "batch_size": 16, "optimizer": "adam", "sampling": "replacement",
    "validation_data": (X[:40], LABELS[:40]), "validation_split": 0.2, "metrics": ["f1"],
    "sample_weight": np.arange(1.0, ROWS + 1), "class_weight": {0: 2.0},
    "callbacks": [fnn.callbacks.LearningRateLogger()], "progress": "line", "on_divergence": "warn",
}  # fmt: skip
BY_OTHERS = {"self", "checkpoint", "resume", "comm"}  # where to write, whether to go on, and the ranks


def fit(network, arguments, **more):
    arguments = {"x": X, "t": LABELS} | FIT | arguments | more
    if "validation_split" in arguments:
        del arguments["validation_data"]
    return fnn.FNN(**(NETWORK | network)).fit(**arguments)


def test_the_tables_change_every_argument_of_a_network_and_of_its_fit():
    assert set(CHANGED_NETWORK) == set(inspect.signature(fnn.FNN).parameters)
    assert set(CHANGED_FIT) == set(inspect.signature(fnn.FNN.fit).parameters) - BY_OTHERS
    assert not set(same_training.MAY_DIFFER) & set(same_training.COMPARED_OTHERWISE)


@pytest.mark.parametrize("name", [*CHANGED_NETWORK, *CHANGED_FIT])
def test_another_argument_makes_another_training_unless_it_may_differ(tmp_path, name):
    fit({}, {}, checkpoint=tmp_path)
    network = {name: CHANGED_NETWORK[name]} if name in CHANGED_NETWORK else {}
    arguments = {name: CHANGED_FIT[name]} if name in CHANGED_FIT else {}
    if name in same_training.MAY_DIFFER:
        fit(network, arguments, checkpoint=tmp_path, resume=True)
        return
    with pytest.raises(ValueError, match=REFUSED) as caught:
        fit(network, arguments, checkpoint=tmp_path, resume=True)
    called = {"loss": "loss_options"}
    assert f"{called.get(name, name)} " in str(caught.value)


@pytest.mark.parametrize("name", CHANGED_NETWORK)
def test_another_network_is_another_training_on_a_source(tmp_path, name):
    source = {"x": fnn.sources.ArraySource(X, LABELS), "t": None, "sample_weight": None}
    fit({}, source, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=REFUSED) as caught:
        fit({name: CHANGED_NETWORK[name]}, source, checkpoint=tmp_path, resume=True)
    assert f"{ {'loss': 'loss_options'}.get(name, name) } " in str(caught.value)


def test_an_argument_that_a_network_of_your_own_adds_is_compared(tmp_path):
    class Flavoured(fnn.FNN):
        def __init__(self, *arguments, flavour="plain", **options):
            super().__init__(*arguments, **options)
            self.flavour = flavour

    def start(flavour, **more):
        Flavoured((4, 5, 2), seed=0, flavour=flavour).fit(X, LABELS, epochs=2, checkpoint=tmp_path, **more)

    start("plain")
    start("plain", resume=True)
    with pytest.raises(ValueError, match="flavour 'plain', got 'salty'"):
        start("salty", resume=True)


def test_no_other_door_goes_on_with_a_training():
    """The command line and the tabular estimators write no checkpoints; if they come to do so, they belong here."""
    for kind in (TabularClassifier, TabularRegressor):
        assert not {"checkpoint", "resume"} & inspect.signature(kind.fit).parameters.keys()
    with pytest.raises(SystemExit):
        cli.main(["train", "--resume"])


# The rows


def by_arrays(folder, x, t, **more):
    fnn.FNN((4, 5, 2), seed=0).fit(x, t, epochs=1, checkpoint=folder / "kept", **more)


def by_validation_data(folder, x, t, **more):
    fnn.FNN((4, 5, 2), seed=0).fit(X, LABELS, epochs=1, validation_data=(x, t), checkpoint=folder / "kept", **more)


def by_weights(folder, x, t, **more):
    fnn.FNN((4, 5, 2), seed=0).fit(
        X, LABELS, epochs=1, sample_weight=1 + np.abs(x[:, 0]), checkpoint=folder / "kept", **more
    )


def by_memory_map(folder, x, t, **more):
    np.save(folder / "x.npy", x)
    by_arrays(folder, np.load(folder / "x.npy", mmap_mode="r"), t, **more)


def by_array_source(folder, x, t, **more):
    np.save(folder / "x.npy", x)
    by_arrays(folder, fnn.sources.ArraySource(folder / "x.npy", t), None, **more)


def by_shards(folder, x, t, **more):
    data = folder / "shards"
    data.mkdir(exist_ok=True)
    for number, rows in enumerate(np.array_split(np.arange(ROWS), 3)):
        np.savez(data / f"{number}.npz", x=x[rows], t=t[rows])
    by_arrays(folder, fnn.sources.ShardSource(data), None, **more)


def by_parquet(folder, x, t, **more):
    table = pa.table({name: x[:, i] for i, name in enumerate("abcd")} | {"t": t})
    pq.write_table(table, folder / "t.parquet", row_group_size=100)
    by_arrays(folder, fnn.sources.ParquetSource(folder / "t.parquet", "t"), None, **more)


def by_estimator(folder, x, t, convert=np.asarray, **more):
    MLPRegressor(**SMALL).fit(convert(x), t, checkpoint=folder / "kept", **more)


def by_evaluation_set(folder, x, t, **more):
    MLPRegressor(**SMALL).fit(X, NUMBERS, eval_set=(x, t), checkpoint=folder / "kept", **more)


DOORS = {
    "arrays": by_arrays, "validation_data": by_validation_data, "sample_weight": by_weights,
    "memory map": by_memory_map, "ArraySource": by_array_source, "ShardSource": by_shards, "ParquetSource": by_parquet,
    "estimator": by_estimator, "eval_set": by_evaluation_set,
    "CSR": functools.partial(by_estimator, convert=scipy.sparse.csr_array),
    "CSC": functools.partial(by_estimator, convert=scipy.sparse.csc_array),
    "Fortran order": functools.partial(by_estimator, convert=np.asfortranarray),
}  # fmt: skip


@pytest.mark.parametrize("row", range(0, ROWS, 13))
@pytest.mark.parametrize("door", DOORS)
def test_a_number_that_changes_in_any_row_is_noticed(tmp_path, monkeypatch, door, row):
    if row % 2:  # of some blocks
        monkeypatch.setattr(digests, "BLOCK_BYTES", 1 << 10)
        monkeypatch.setattr(digests, "SPARSE_BLOCK_ROWS", 64)
    DOORS[door](tmp_path, X, LABELS)
    DOORS[door](tmp_path, X.copy(), LABELS, resume=True)
    changed = X.copy()
    changed[row, 0] += 1.0
    with pytest.raises(ValueError, match=REFUSED + ".*digest"):
        DOORS[door](tmp_path, changed, LABELS, resume=True)


@pytest.mark.parametrize("row", [0, 151, ROWS - 1])
@pytest.mark.parametrize("door", [door for door in DOORS if door != "sample_weight"])
def test_a_target_that_changes_in_any_row_is_noticed(tmp_path, door, row):
    DOORS[door](tmp_path, X, LABELS)
    changed = LABELS.copy()
    changed[row] = 1 - changed[row]
    with pytest.raises(ValueError, match=REFUSED + ".*digest"):
        DOORS[door](tmp_path, X, changed, resume=True)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("sizes", [(300,), (150, 150), (1, 299), (299, 1), (100, 0, 200), (7, 5, 3, 285), (16, 284)])
def test_the_digest_of_rows_that_ranks_share_does_not_depend_on_the_sharing(monkeypatch, sizes, sparse):
    monkeypatch.setattr(digests, "BLOCK_BYTES", 16 * 8 * 4)
    monkeypatch.setattr(digests, "SPARSE_BLOCK_ROWS", 16)
    rows = scipy.sparse.csr_array(np.where(X > 0, X, 0)) if sparse else X
    dtype = np.dtype(np.float64)
    edges = np.cumsum([0, *sizes])
    pieces = [
        measuring._pieces(rows[first:last], int(first), dtype) if last > first else []
        for first, last in itertools.pairwise(edges)
    ]
    assert digests.of_blocks(measuring._whole_blocks(pieces, dtype), ROWS) == digests.digest(rows, dtype)


def test_a_sparse_array_has_the_digest_of_its_numbers():
    rows = scipy.sparse.csr_array(np.where(X > 0, X, 0))
    stored = rows.copy()
    stored.data[3] = 0.0
    other = scipy.sparse.csr_array(stored.toarray())
    assert stored.nnz == rows.nnz == other.nnz + 1
    assert digests.digest(stored) == digests.digest(other) != digests.digest(rows)
    assert digests.digest(rows.tocsc()) == digests.digest(rows)
    assert stored.nnz == rows.nnz  # what it was given is as it was


# Checkpoints of earlier versions


def test_a_checkpoint_of_an_earlier_version_is_refused_with_what_to_do(tmp_path):
    for start in (
        lambda **more: MLPRegressor(**SMALL).fit(X, NUMBERS, checkpoint=tmp_path, **more),
        lambda **more: fit({}, {}, checkpoint=tmp_path, **more),
    ):
        start()
        path = tmp_path / "checkpoint.safetensors"
        with safe_open(path, "numpy") as file:
            arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        section = json.loads(metadata["training"])
        del section["fit"]["asked"]["compared"]
        save_file(arrays, path, metadata | {"training": json.dumps(section)})
        with pytest.raises(ValueError, match=r"was written by another version of fastfnn.*fastfnn\.load\("):
            start(resume=True)
        assert fnn.load(path).params.flat.size
        start()


# How settings are told


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (1, 2), ("a", "b"), (None, 0), ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), ({1: 2}, {"1": 2}), ({1}, {2}),
        (np.arange(3), np.arange(4)), (np.zeros(9), np.zeros((3, 3))),
        (np.array(["a"], object), np.array(["b"], object)),
        (len, max), (functools.partial(len, 1), functools.partial(len, 2)), (np.float32, np.float64),
        (np.dtype("f4"), np.dtype("f8")), (np.random.default_rng(0), np.random.default_rng(1)),
        (np.random.RandomState(0), np.random.RandomState(1)), (MLPRegressor(alpha=1), MLPRegressor(alpha=2)),
        (list(range(999)), [*range(998), 0]), (fnn.schedules.Constant(1.0), fnn.schedules.Constant(2.0)),
    ],
)  # fmt: skip
def test_settings_that_differ_are_told_from_each_other_and_from_no_others(one, two):
    assert digests.described(one) != digests.described(two)
    assert json.loads(json.dumps(digests.described(one))) == digests.described(one)


def test_settings_of_other_types_with_the_same_value_are_the_same():
    assert digests.described(np.int64(3)) == digests.described(3)
    assert digests.described((1, 2)) == digests.described([1, 2])
    assert digests.described({2: "b", 1: "a"}) == digests.described({1: "a", 2: "b"})
    assert digests.described(np.float64(0.5)) == digests.described(0.5)
    assert digests.described(object()) == digests.described(object())
