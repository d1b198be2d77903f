"""Cases of estimators of `fastfnn.tabular` for fuzz.py: random frames go in, and finite predictions come out.

There is no reference for what is learnt of columns. The predictions must be finite, also of rows whose values the
training has not seen, have the same bits on any number of threads and after save and load, and depend on their own row
alone. Nothing may change the frames.
"""

import datetime
import pathlib
import tempfile
from typing import Any

import numpy as np
import pandas as pd
from fuzz_arrays import digest
from fuzz_cases import Case

import fastfnn as fnn
import fastfnn.tabular
from fastfnn.tabular import TabularClassifier, TabularRegressor


def column_of(rng: np.random.Generator, kind: str, count: int) -> Any:
    """The values of a column."""
    normal = rng.standard_normal(count)
    days = rng.integers(-20_000, 40_000, count)
    seconds = days * 86_400 + rng.integers(0, 86_400, count)
    stamps = pd.Series(seconds.astype("datetime64[s]"))
    match kind:
        case "numbers" | "nullable numbers":
            return pd.Series(normal, dtype="Float64" if kind.startswith("nullable") else None)
        case "whole numbers":
            return rng.integers(-1000, 1000, count)
        case "few numbers":
            return rng.integers(0, 4, count) / 2
        case "two numbers":
            return rng.integers(0, 2, count)
        case "large numbers":
            return normal * 10.0 ** rng.integers(0, 300, count)
        case "tiny numbers":
            return normal * 10.0 ** -rng.integers(0, 300, count).astype(float)
        case "Booleans" | "nullable Booleans":
            return pd.Series(normal > 0, dtype="boolean" if kind.startswith("nullable") else None)
        case "constant":
            return np.full(count, "same")
        case "nothing":
            return np.full(count, np.nan)
        case "few categories":
            return pd.Series(rng.choice(["a", "b", "京都"], count))
        case "many categories":
            return pd.Series([f"category {number}" for number in rng.integers(0, 30, count)])
        case "names":
            return pd.Series([f"name {number}" for number in rng.integers(0, 10**9, count)])
        case "mixed":
            values: Any = (1, 2.5, "2.5", True, datetime.date(2020, 1, 31), datetime.time(9))
            chosen = [values[number] for number in rng.integers(0, len(values), count)]
            return pd.Series(chosen, dtype=object)
        case "dates":
            return stamps
        case "dates with zone":
            return stamps.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        case "dates of objects":
            return pd.Series(
                [datetime.date(1970, 1, 1) + datetime.timedelta(days=int(day)) for day in days], dtype=object
            )
        case "durations":
            return pd.Series(seconds.astype("timedelta64[s]"))
    raise ValueError(kind)


def frame_of(case: Case, rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Rows of the columns of a case, of which a share is missing."""
    columns = {}
    for number, (kind, share) in enumerate(case["columns"]):
        column = pd.Series(column_of(rng, kind, count))
        columns[f"{number} {kind}"] = column.mask(rng.random(count) < share) if share else column
    return pd.DataFrame(columns)


def target_of(case: Case, rng: np.random.Generator, count: int) -> np.ndarray:
    """Targets of the rows."""
    match case["target"]:
        case "number" | "quantiles":
            return rng.standard_normal(count) * 1000
        case "two numbers":
            return rng.standard_normal((count, 2))
        case "one number":
            return np.full(count, 7.0)
        case "two classes":
            return rng.choice(["no", "yes"], count)
        case "classes":
            return rng.choice(np.array(["a", "b", "c", "d", "e"], object), count)
        case "Boolean":
            return rng.random(count) < 0.5
    return rng.integers(-2, 3, count)


def contained(case: Case, frame: pd.DataFrame) -> Any:
    """The frame as another library holds it; pandas where that cannot hold a column of mixed objects."""
    if case["container"] == "objects":
        return frame.to_numpy(object)
    if case["container"] == "pandas" or any(kind == "mixed" for kind, _ in case["columns"]):
        return frame
    if case["container"] == "polars":
        import polars

        return polars.from_pandas(frame)
    import pyarrow

    return pyarrow.Table.from_pandas(frame)


def outputs(model: Any, X: Any) -> np.ndarray:
    """What the model tells about rows."""
    if isinstance(model, TabularClassifier):
        found = model.predict_proba(X)
    else:
        found = model.predict_quantiles(X) if model.quantiles else model.predict(X)
    return np.asarray(found)


def run(case: Case, threads: int, comparison: object) -> list[str]:
    """What is wrong in a case, as sentences."""
    rng = np.random.default_rng(case["seed"])
    frame, others = (frame_of(case, rng, count) for count in (case["rows"], 20))
    y, before = target_of(case, rng, case["rows"]), (frame.copy(), others.copy())
    y_before = digest(y.astype(str))
    weights = rng.integers(0, 3, len(y)) / 2 + (np.arange(len(y)) == 0) if case.get("sample_weight") else None
    options = case["options"] | {"random_state": case["seed"]}
    X, X_others = contained(case, frame), contained(case, others)

    def fitted(count: int) -> Any:
        fnn.set_num_threads(count)
        if case["target"] in ("number", "two numbers", "one number", "quantiles"):
            levels = (0.1, 0.5, 0.8) if case["target"] == "quantiles" else None
            return TabularRegressor(quantiles=levels, **options).fit(X, y, weights)
        return TabularClassifier(**options).fit(X, y, weights)

    model = fitted(threads)
    kinds = {column.name: column.kind for column in model.columns_}
    for number, (kind, _) in enumerate(case["columns"]):
        name = f"x{number}" if case["container"] == "objects" else f"{number} {kind}"
        if kind == "mixed" and kinds[name] in ("number", "date"):  # of few rows, where other values are errors
            X_others = X
    got = outputs(model, X), outputs(model, X_others)
    if not all(np.isfinite(values).all() for values in got):
        return ["predictions are not finite"]
    if digest(outputs(fitted(1), X)) != digest(got[0]):
        return [f"other bits on 1 thread than on {threads}"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model"
        model.save(path)
        if digest(outputs(fastfnn.tabular.load(path), X_others)) != digest(got[1]):
            return ["other bits after save and load"]
    if not (frame.equals(before[0]) and others.equals(before[1]) and digest(y.astype(str)) == y_before):
        return ["the frame or the target was changed"]
    return []
