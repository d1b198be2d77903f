"""Damaged sections of estimators: each is a ValueError that names the file, in little memory and at once."""

import copy
import json
import tracemalloc

import numpy as np
import pytest
from estimator_twins import SMALL, X, quiet
from safetensors.numpy import load, save
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastfnn.sklearn
from fastfnn import files
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

MEGABYTE = 1 << 20

# Values of other types, sizes and signs than any entry has. `...` leaves an entry out.
ODD = (
    ..., None, True, -1, 10**400, 1e999, "", "\ud800", [[1]], {"a": 1}, json.loads("[" * 900 + "]" * 900),
    {"class": "os.system", "rate": "ls"},
)  # fmt: skip


@pytest.fixture(scope="module")
def models():
    """Small models of both kinds, fitted, with every section."""
    words = np.array(["blue", "green", "red"])[np.arange(len(X)) % 3]
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(class_weight={"red": 1, "green": 2, "blue": 1}, **SMALL))
    optimizer = fastfnn.AdamW(fastfnn.schedules.Cosine(0.1, steps=10))
    regressor = MLPRegressor(loss="quantile", quantile=[0.1, 0.9], optimizer=optimizer, early_stopping=True, **SMALL)
    return {
        "classifier": quiet(pipeline.fit, X, words),
        "two classes": quiet(MLPClassifier(**SMALL).fit, X, (X[:, 0] > 0).astype(int)),
        "labels": quiet(MLPClassifier(**SMALL).fit, X, (X[:, :3] > 0).astype(int)),
        "regressor": quiet(regressor.fit, X, X[:, 0]),
    }


@pytest.fixture
def sections(models, tmp_path):
    """A function that returns the arrays, the metadata and the section of a model's file."""

    def read(kind):
        path = tmp_path / "good"
        fastfnn.sklearn.save(models[kind], path)
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header["__metadata__"]
        return load(content), metadata, json.loads(metadata["estimator"])

    return read


def loaded(path, tensors, metadata, section):
    text = section if isinstance(section, str) else json.dumps(section)
    path.write_bytes(save(tensors, metadata | {"estimator": text}))
    return fastfnn.sklearn.load(path)


def refused(path, *content):
    """Assert that a file is refused as it must be."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"hostile\.safetensors") as caught:
            loaded(path, *content)
        assert tracemalloc.get_traced_memory()[1] < 150 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert caught.type is ValueError
    assert len(str(caught.value)) < 1000


def places(value, before=()):
    """The path of every entry of a section; of lists the first entry alone."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in pairs:
        yield (*before, key)
        yield from places(item, (*before, key))


def changed(section, path, value):
    """The section with another value at a path; None if it has nothing there."""
    section = copy.deepcopy(section)
    inner = section
    for key in path[:-1]:
        try:
            inner = inner[key]
        except (KeyError, IndexError):
            return None
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return section


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_any_entry_that_is_changed_is_refused_or_does_no_harm(sections, tmp_path, kind):
    tensors, metadata, section = sections(kind)
    path = tmp_path / "hostile.safetensors"
    refusals = 0
    for place in places(section):
        for value in ODD:
            told = changed(section, place, value)
            try:
                model = loaded(path, tensors, metadata, told)
            except ValueError as error:
                assert type(error) is ValueError and path.name in str(error), (place, value)
                assert len(str(error)) < 1000
                refusals += 1
            else:  # a value that a user may give, too
                assert place[0] in ("parameters", "fitted", "feature_names", "classes", "pipeline"), (place, value)
                model.predict(X)
                repr(model)
    assert refusals > 200


CASES = {
    "empty": lambda s: {},
    "text": lambda s: "{",
    "list": lambda s: "[]",
    "null": lambda s: "null",
    "nested": lambda s: "[" * 100_000 + "]" * 100_000,
    "NaN": lambda s: '{"kind": NaN}',
    "entry twice": lambda s: json.dumps(s)[:-1] + ', "kind": "MLPRegressor"}',
    "unknown entry": lambda s: s | {"flavour": "vanilla"},
    "long number": lambda s: json.dumps(s).replace('"max_iter": 6', '"max_iter": ' + "9" * 5000),
    "many small lists": lambda s: s | {"feature_names": [[]] * (MEGABYTE // 8)},
    "unknown parameter": lambda s: s | {"parameters": s["parameters"] | {"self": 1}},
    "callbacks": lambda s: s | {"parameters": s["parameters"] | {"callbacks": ["os"]}},
    **{
        f"kind {kind!r}": lambda s, kind=kind: s | {"kind": kind}
        for kind in ("MLPRegressor", "mlpclassifier", "Pipeline", "os.system", "")
    },
    **{
        f"parameter {name} {value!r}": lambda s, name=name, value=value: s | {
            "parameters": s["parameters"] | {name: value}
        }
        for name, values in {
            "hidden_layer_sizes": (10**9, [10**9, 10**9], [7], [7, 6], [7, 5, 5], "75", [7.0, 5], [True, 5]),
            "activation": ("tanh", "softmax", "mine", ["relu"], ["relu", "tanh"], 3, None),
            "dropout": (0.5, 1, "0"),
            "batch_norm": (True, 1, "yes"),
            "label_smoothing": (0.5, 1.0),
            "alpha": (-1, "inf", "0", 1e999),
            "max_iter": (0, 1.5, "inf"),
            "n_iter_no_change": ("nan", "-inf"),
            "solver": ("newton", None),
            "random_state": (-1, 2**32, "0"),
            "class_weight": ("even", 3, [3], {"labels": [1]}, {"labels": [1], "weights": []},
                             {"labels": [[1]], "weights": [1]}, {"labels": [1], "weights": ["x"]}),
            "optimizer": ("sgdd", {}, {"class": "Optimizer"}, {"class": "SGD", "rate": 1}, {"class": "SGD", "lr": []},
                          {"class": "SGD", "learning_rate": -1}, {"class": "SGD", "learning_rate": {"class": "Adam"}},
                          {"class": ["SGD"]}, {"class": "Adam", "self": 1}, {"class": "Adam", "learning_rate": "x"}),
            "schedule": ("print", {"class": "Step"}, {"class": "Step", "rate": 1, "every": 0}, {"class": "SGD"}),
            "eval_metric": ({"class": "Cosine", "rate": 1, "steps": 1}, 3),
            "dtype": ("float16", "O", 3, ["float32"]),
            "init": ("zeros", -1),
            "n_jobs": (0, "all"), "n_threads": (True, 0), "shuffle": (1, "yes"),
        }.items()
        for value in values
    },
    **{
        f"feature names {value!r:.20}": lambda s, value=value: s | {"feature_names": value}
        for value in (["a"], list("abcdefg"), [*"abcde", 1], "abcdef", {"a": 1})
    },
    **{
        f"{dtype} classes {labels!r:.40}": lambda s, dtype=dtype, labels=labels: s | {
            "classes": labels, "classes_dtype": dtype
        }
        for dtype, labels in (
            ("str", ["a", "b"]), ("str", list("abcd")), ("str", ["a", "a", "b"]), ("str", ["b", "a", "c"]),
            ("str", ["a", "a\0", "b"]), ("str", ["a", "b", 3]), ("str", ["a", "b", "c" * 3 * MEGABYTE]),
            ("object", ["a", "b", ["c"]]), ("object", ["a", "a", "b"]), ("object", [1, 2, 3]), ("O", ["a", "b", "c"]),
            ("int64", [1, 2, 2**63]), ("int8", [1, 2, 300]), ("uint8", [-1, 0, 1]), ("int64", [1.0, 2.0, 3.0]),
            ("int64", [False, 1, 2]), ("bool", [False, True, True]), ("bool", [0, 1, 2]), ("int64", [0, 1, 10**400]),
            ("float64", [0.0, 1.0, 1e999]), ("float32", [0.0, 1.0, 1e300]), ("float32", [0.0, 0.5, 1 / 3]),
            ("float64", [0.0, 1.0, 10**400]), ("float64", [0.0, 1.0, "nan"]), ("f4,f4", [0, 1, 2]),
            ("U999999999", ["a"] * 3),            ("int64", None), ("int64", {"0": 1}), (None, [0, 1, 2]),
        )
    },
    **{
        f"target_type {value!r}": lambda s, value=value: s | {"target_type": value}
        for value in ("binary", "multilabel-indicator", "continuous", "", None)
    },
    **{
        f"fitted {name} {value!r}": lambda s, name=name, value=value: s | {"fitted": s["fitted"] | {name: value}}
        for name, values in {
            "n_iter_": (-1, 2.0, 2**63, "1", None), "t_": (-1, 2**64, 10**400),
            "loss_": ("x", None, 10**400, [0.1]), "loss_curve_": (None, 3, ["x"], [10**400], [[0.1]]),
            "best_loss_": (None, "1", [1]), "validation_scores_": ([], [0.5]), "best_validation_score_": (0.5, "inf"),
            "_no_improvement_count": (-1, None, 0.5), "coefs_": ([[1.0]], None),
        }.items()
        for value in values
    },
    **{
        f"scaler {name} {value!r}": lambda s, name=name, value=value: s | {
            "pipeline": s["pipeline"] | {"scaler": s["pipeline"]["scaler"] | {name: value}}
        }
        for name, values in {
            "mean_": (None, [0.0] * 5, [0.0] * 7, ["inf"] * 6, ["x"] * 6, [10**400] * 6, 0.0), "var_": (None, [[]] * 6),
            "scale_": (None, [0.0] * 6, [-1.0] * 6, ["nan"] * 6), "with_mean": (1, None), "copy": ("yes",),
            "n_samples_seen_": (-1, 2**63, "5", [5], 1e999, 10**400), "output": ("frame", 1), "clip": (True,),
            "feature_names": (["a"],),
        }.items()
        for value in values
    },
    **{
        f"steps {value!r}": lambda s, value=value: s | {"pipeline": s["pipeline"] | {"steps": value}}
        for value in (["a"], ["a", "a"], ["a", "b__c"], ["a", "steps"], ["a", 1], "ab", None, ["a", "b", "c"])
    },
    "sparse labels": lambda s: s | {"sparse_targets": True},
    "pipeline of nothing": lambda s: s | {"pipeline": None},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_section_is_a_valueerror_that_names_the_file(sections, tmp_path, case):
    tensors, metadata, section = sections("classifier")
    refused(tmp_path / "hostile.safetensors", tensors, metadata, CASES[case](section))


@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_cross_entropy", "softmax_cross_entropy"])
def test_the_loss_of_another_kind_of_estimator_is_refused(sections, tmp_path, loss):
    path = tmp_path / "hostile.safetensors"
    for kind in ("classifier", "regressor", "two classes"):
        tensors, metadata, section = sections(kind)
        network = json.loads(metadata["network"])
        if network["loss"] != loss:
            network.pop("loss_options", None)
            refused(path, tensors, metadata | {"network": json.dumps(network | {"loss": loss})}, section)


@pytest.mark.parametrize("option", [{"weight_decay": 0.1}, {"book": True}, {"dropout": 0.5}])
def test_options_of_a_network_that_no_estimator_has_are_refused(sections, tmp_path, option):
    tensors, metadata, section = sections("regressor")
    network = json.dumps(json.loads(metadata["network"]) | option)
    refused(tmp_path / "hostile.safetensors", tensors, metadata | {"network": network}, section)


def test_a_section_is_not_longer_than_a_header(sections, tmp_path):
    tensors, metadata, section = sections("classifier")
    section["kind"] = "x" * files.HEADER_LIMIT
    refused(tmp_path / "hostile.safetensors", tensors, metadata, section)


def test_the_file_that_the_others_are_made_of_loads(sections, tmp_path):
    for kind in ("classifier", "two classes", "labels", "regressor"):
        loaded(tmp_path / "good", *sections(kind)).predict(X)
