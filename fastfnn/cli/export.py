"""`fastfnn export`: a model in the format of other programs; `fastfnn.interop` writes it."""

import argparse
from typing import Any

from fastfnn import files, network
from fastfnn.cli import paths
from fastfnn.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    export = commands.add_parser(
        "export",
        help="write a model as ONNX",
        description="Write a model as ONNX, with which ONNX Runtime and other programs predict. A model of a table has "
        "an input for each of its columns, of numbers or texts as they are in the table; preparation and labels are "
        "part of the ONNX model. A tabular network has no such form. The extra fastfnn[onnx] installs what this needs.",
        argument_default=argparse.SUPPRESS,
    )
    export.add_argument("model", metavar="MODEL", help="a file that fastfnn train --out wrote")
    export.add_argument("--onnx", metavar="FILE", required=True, help="the file to write")
    export.set_defaults(run=_export)
    paths.register(export, reads={"MODEL": paths.a_file}, writes=("--onnx",))


def _export(options: argparse.Namespace) -> None:
    if files.format_of(options.model) == files.TABULAR_FORMAT:
        raise ValueError(
            f"{options.model} must hold a plain network, got a tabular one: fastfnn train --preset plain makes a model "
            "that ONNX can hold"
        )
    with files.opened(options.model) as saved:
        sections = saved.sections
    if "table" not in sections:
        load = _load_estimator if "estimator" in sections else network.load
        load(options.model).to_onnx(options.onnx)
        print(f"ONNX: {options.onnx}")
        return
    from fastfnn.interop import onnx
    from fastfnn.tables import model

    table = model.load(options.model)
    assert isinstance(table, model.TableModel)
    labels = table.labels
    if labels is not None and isinstance(labels[0], bool):
        labels = [str(label) for label in labels]  # ONNX has labels that are integers or texts
    target = None if labels is not None else (table.about.mean, table.about.scale)
    made = onnx.table_model(table.preparation.columns, table.network, labels=labels, target=target)
    onnx.write(options.onnx, made)
    print(f"ONNX: {options.onnx}")


def _load_estimator(path: str) -> Any:
    """Return the estimator in a file; ValueError if it is part of a pipeline, whose scaling a model would not have."""
    import fastfnn.sklearn

    estimator = fastfnn.sklearn.load(path)
    if not hasattr(estimator, "to_onnx"):
        raise ValueError(f"{path} must hold a network, an estimator or a model of a table, got a pipeline that scales")
    return estimator
