"""Files of the estimators for tables: what comes back, and what damaged ones do."""

import copy
import json
import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

import fastfnn
import fastfnn.tabular
from fastfnn import files
from fastfnn.tabular import Recipe, TabularClassifier, TabularRegressor
from fastfnn.tabular.files import read

pytestmark = pytest.mark.jit

MEGABYTE = 1 << 20

# Values of other types, sizes and signs than any entry has. `...` leaves an entry out.
ODD = (..., None, True, -1, 10**400, 1e999, "", "\ud800", [[1]], {"a": 1}, {"$array": "estimator.networks.0"})


@pytest.fixture
def models(table, quick):
    """Fitted estimators of each kind."""
    frame, rent = table
    quick |= {"max_epochs": 2}
    words = np.array(["cheap", "fair", "dear"])[np.digitize(rent, [150, 300])]
    weights = {"cheap": 1, "fair": 2.5, "dear": 1}
    return {
        "classes": TabularClassifier(**quick, class_weight=weights).fit(frame, words),
        "object labels": TabularClassifier(**quick).fit(frame, words.astype(object)),
        "two classes": TabularClassifier(**quick).fit(frame.to_numpy(), rent > 200),
        "numbers": TabularRegressor(**quick).fit(frame, rent),
        "targets": TabularRegressor(**quick | {"bins": 0}).fit(frame, np.stack([rent, -rent], axis=1)),
        "quantiles": TabularRegressor(**quick, quantiles=(0.2, 0.5)).fit(frame, rent),
        "bags": TabularRegressor(**quick | {"preset": Recipe(bags=2, scaling="robust", small_bags=1)}).fit(frame, rent),
        "few rows": TabularRegressor(**quick).fit([[1.0], [2.0]], [1.0, 2.0]),
    }


def bits(model, X):
    return model._outputs(X).tobytes()


def content_of(path):
    """Metadata and arrays of a file, whatever their order."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header["__metadata__"], {name: array.tobytes() for name, array in load_arrays(content).items()}


def test_what_is_loaded_predicts_the_same_bits_and_has_the_same_attributes(models, table, tmp_path):
    for name, model in models.items():
        path = tmp_path / "model"
        model.save(path)
        twin = fastfnn.tabular.load(path)
        X = [[1.5], [9.0]] if name == "few rows" else table[0].to_numpy() if name == "two classes" else table[0]
        assert np.array_equal(twin.predict(X), model.predict(X))
        assert bits(twin, X) == bits(model, X)
        assert type(twin) is type(model)
        assert twin.get_params() == model.get_params()
        for attribute in ("n_epochs_", "best_epoch_", "loss_curve_", "validation_scores_", "fit_time_", "recipe_"):
            assert getattr(twin, attribute) == getattr(model, attribute)
        assert getattr(twin, "feature_names_in_", None) is None or list(twin.feature_names_in_) == list(table[0])
        assert hasattr(twin, "feature_names_in_") == hasattr(model, "feature_names_in_")
        if name == "quantiles":
            assert np.array_equal(twin.predict_quantiles(X), model.predict_quantiles(X))
        twin.save(tmp_path / "again")
        assert content_of(tmp_path / "again") == content_of(path)


def test_copies_and_pickles_predict_the_same_bits(models, table):
    model = models["classes"]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.predict_proba(table[0]).tobytes() == model.predict_proba(table[0]).tobytes()


def test_the_kind_of_a_file_is_told_by_its_header(models, tmp_path):
    models["numbers"].save(tmp_path / "table")
    fastfnn.FNN((2, 1), seed=0).save(tmp_path / "network")
    (tmp_path / "other").write_bytes(save_arrays({"a": np.zeros(1)}))
    assert files.format_of(tmp_path / "table") == "fastfnn-tabular-1"
    assert files.format_of(tmp_path / "network") == "fastfnn-2"
    with pytest.raises(ValueError, match="other must be a file saved by fastfnn"):
        files.format_of(tmp_path / "other")
    with pytest.raises(ValueError, match="table must be a network"):
        fastfnn.load(tmp_path / "table")
    with pytest.raises(ValueError, match="network is damaged: an estimator for tables must have the format"):
        fastfnn.tabular.load(tmp_path / "network")
    with pytest.raises(FileNotFoundError):
        fastfnn.tabular.load(tmp_path / "missing")


def test_others_may_add_a_section(models, tmp_path):
    models["numbers"]._write(tmp_path / "model", {"table": {"target": "rent"}})
    model, sections = read(tmp_path / "model")
    assert sections == {"table": {"target": "rent"}}
    assert model.n_features_in_ == 9


def test_a_parameter_that_no_file_can_hold_is_warned_of(table, quick, tmp_path):
    model = TabularRegressor(**quick | {"max_epochs": 1, "random_state": np.random.RandomState(0)}).fit(*table)
    with pytest.warns(UserWarning, match="does not hold random_state of TabularRegressor") as caught:
        model.save(tmp_path / "model")
    assert caught[0].filename == __file__
    assert fastfnn.tabular.load(tmp_path / "model").random_state is None


def test_very_many_categories_take_about_their_bytes(quick, tmp_path):
    texts = np.array([f"é\ud800{number:02995d}" for number in range(1_500)], object)
    settings = quick | {"members": 1, "batch_size": 45_000, "max_epochs": 1}
    model = TabularRegressor(**settings).fit(np.repeat(texts, 30)[:, np.newaxis], np.arange(45_000.0))
    model.save(tmp_path / "model")
    size = (tmp_path / "model").stat().st_size
    assert 1_500 * 3_000 < size < 1_500 * (3_000 + 8) + model.network_.params.nbytes + 10_000
    twin = fastfnn.tabular.load(tmp_path / "model")
    assert twin.columns_ == model.columns_
    assert bits(twin, texts[:9, np.newaxis]) == bits(model, texts[:9, np.newaxis])


@pytest.mark.parametrize(("name", "value"), [("preset", "nope"), ("time_budget", -1), ("hidden_layer_sizes", [[3]])])
def test_a_parameter_that_load_would_refuse_is_not_written(models, tmp_path, name, value):
    with pytest.raises((TypeError, ValueError), match=name):
        models["numbers"].set_params(**{name: value}).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_path_leaves_the_old_file(models, tmp_path):
    models["numbers"].save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    with pytest.raises(TypeError):
        models["numbers"]._write(tmp_path / "model", {"table": {"target": object()}})
    assert (tmp_path / "model").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def places_of(value, path=()):
    """The paths to all entries of nested objects, and to the first entries of lists."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:4] if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places_of(item, (*path, key))


def changed(value, path, odd):
    """A copy of nested objects with another value at a path."""
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if odd is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = odd
    return value


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_a_damaged_description_is_a_valueerror_that_names_the_file_or_a_model_that_works(
    kind, table, quick, tmp_path
):  # fmt: skip
    path = tmp_path / "damaged"
    frame, y = table[0][["area", "city", "station", "country", "built"]], (table[1] > 200).astype(int)
    kind(**quick | {"max_epochs": 2}).fit(frame, y).save(path)
    (metadata, _), tensors = content_of(path), load_arrays(path.read_bytes())
    section = json.loads(metadata["estimator"])
    refused = loaded = 0
    tracemalloc.start()
    for place in places_of(section):
        for odd in ODD:
            text = json.dumps(changed(section, place, odd))
            path.write_bytes(save_arrays(tensors, metadata | {"estimator": text}))
            try:
                model = fastfnn.tabular.load(path)
            except ValueError as error:
                assert str(path) in str(error), (place, odd)
                refused += 1
            else:
                loaded += 1
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        assert len(model.predict(frame[:3])) == 3, (place, odd)
                    except ValueError as error:  # names of columns are what they are
                        assert "feature names" in str(error), (place, odd)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 10 * loaded > 0
    assert peak < 20 * MEGABYTE


def test_arrays_of_other_shapes_or_dtypes_are_refused(models, tmp_path):
    path = tmp_path / "damaged"
    models["numbers"].save(path)
    content = path.read_bytes()
    (metadata, _), tensors = content_of(path), load_arrays(content)
    for name, array in tensors.items():
        dtype = np.float64 if array.dtype == np.float32 else np.float32
        for other in (array[:-1], array.astype(dtype), array[np.newaxis], np.append(array, array[:1])):
            path.write_bytes(save_arrays(tensors | {name: np.ascontiguousarray(other)}, metadata))
            with pytest.raises(ValueError, match="damaged"):
                fastfnn.tabular.load(path)
    path.write_bytes(save_arrays(tensors | {"more": np.zeros(1)}, metadata))
    with pytest.raises(ValueError, match="more"):
        fastfnn.tabular.load(path)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="not a safetensors file"):
        fastfnn.tabular.load(path)


def damages(tensors, section):
    """Arrays and descriptions of two networks with two targets, each with something that no training makes."""
    for name, array in tensors.items():
        if array.dtype.kind == "f":
            for odd in (np.nan, np.inf):
                yield tensors | {name: np.where(np.arange(len(array)) == len(array) // 2, odd, array)}, section
        if name.endswith((".edges", ".knots")):
            yield tensors | {name: array[::-1]}, section
        if name.endswith(".lengths"):
            yield tensors | {name: np.array([-1, array[0] + array[1] + 1, *array[2:]])}, section
            yield tensors | {name: np.array([array[0] + 1, *array[1:]])}, section
        if name.endswith(".bytes"):
            yield tensors | {name: np.full_like(array, 0xFF)}, section
            yield tensors | {name: np.full_like(array, ord("a"))}, section
    # A column of a single edge, without an entry too many in any array.
    rows, width = len(tensors["estimator.columns.0.edges"]), section["columns"][0]["width"]
    single = {f"estimator.columns.0.{name}": tensors[f"estimator.columns.0.{name}"][:1] for name in ("edges", "knots")}
    networks = [f"estimator.networks.{number}" for number in range(2)]
    yield tensors | single | {name: np.delete(tensors[name], slice(width, rows * width)) for name in networks}, section
    target = "estimator.target."
    yield tensors | {target + "low": tensors[target + "high"], target + "high": tensors[target + "low"]}, section
    yield tensors | {target + "scale": np.zeros(2)}, section
    for place, odd in (
        (("columns", 0, "median"), {"$float": "nan"}), (("fitted", "best_epoch_"), 3), (("target", "single"), True),
        (("recipe", "bags"), 1), (("columns", 0, "width"), 1 << 40),
    ):  # fmt: skip
        yield tensors, changed(section, place, odd)


def test_what_no_training_makes_is_refused(table, quick, tmp_path):
    path, frame = tmp_path / "damaged", table[0][["area", "station", "built"]]
    model = TabularRegressor(**quick | {"preset": Recipe(bags=2, small_bags=1), "max_epochs": 2})
    model.fit(frame, np.stack([table[1], -table[1]], axis=1)).save(path)
    (metadata, _), tensors = content_of(path), load_arrays(path.read_bytes())
    for arrays, section in damages(tensors, json.loads(metadata["estimator"])):
        content = {name: np.ascontiguousarray(array, tensors[name].dtype) for name, array in arrays.items()}
        path.write_bytes(save_arrays(content, metadata | {"estimator": json.dumps(section)}))
        with pytest.raises(ValueError, match="is damaged"):
            fastfnn.tabular.load(path)
