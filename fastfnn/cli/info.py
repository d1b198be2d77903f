"""`fastfnn info`: what the file of a model holds; without one, versions, processor and threads."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastfnn import backend, files, network, options
from fastfnn.cli import paths
from fastfnn.cli.arguments import Commands

if TYPE_CHECKING:
    from fastfnn.tables.base import BaseModel

SHOWN = 20  # columns, labels and categories of a line


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    info = commands.add_parser(
        "info",
        help="print what a model is; without one versions, processor and threads",
        description="Print what the file of a model holds: network, task, columns, labels, when and by which version "
        "it was trained. Without a file print versions, processor and threads.",
        argument_default=argparse.SUPPRESS,
    )
    info.add_argument("model", metavar="MODEL", nargs="?", help="a file that fastfnn train --out wrote")
    info.add_argument("--json", action="store_true", help="print one JSON object instead of text; needs MODEL")
    info.set_defaults(run=_info)
    paths.register(info, reads={"MODEL": paths.a_file})


def _info(given: argparse.Namespace) -> None:
    if "model" not in given:
        if "json" in given:
            raise ValueError("--json needs a MODEL")
        backend.show_config()
        return
    path = given.model
    told: dict[str, Any] = {"file": path, "bytes": os.stat(path).st_size}
    tabular = files.format_of(path) == files.TABULAR_FORMAT
    more, show_network = _of_tabular(path) if tabular else _of_plain(path)
    told |= more
    if "json" in given:
        print(json.dumps(told))
        return
    print(f"{path}: {told['bytes']:,} bytes")
    if "origin" in told:
        print(f"trained {told['origin']['time']} by fastfnn {told['origin']['version']}")
        print(f"task: {told['task']} of {told['target']!r}")
        if "labels" in told:
            print(f"classes: {_listed(told['labels'])}")
        if "quantiles" in told:
            print(f"quantiles: {_listed(told['quantiles'])}")
        print(f"columns: {len(told['columns'])}")
        for column in told["columns"]:
            print(f"  {_column(column)}")
    elif "estimator" in told:
        reader = "fastfnn.tabular.load" if tabular else "fastfnn.sklearn.load"
        print(f"estimator: {told['estimator']}, which {reader} reads")
    show_network()


Told = tuple[dict[str, Any], Callable[[], object]]


def _of_plain(path: str) -> Told:
    """Return what the file of an FNN, of an estimator or of a table says, and what prints the network."""
    with files.opened(path) as saved:
        has_table = "table" in saved.sections
        kind = saved.sections.get("estimator", {}).get("kind")
        version = saved.version
    if has_table:
        from fastfnn.tables import model

        table = model.load(path)
        assert isinstance(table, model.TableModel)
        told, net = _of_table(table, table.described()["columns"]), table.network
    else:
        told, net = {}, network.load(path)
    told |= {"version": version} | ({"estimator": str(kind)} if kind else {})
    told["network"] = {
        "layer_sizes": list(net.layer_sizes),
        "activation": [options.activation_name(name) for name in net.activation],
        "loss": net.loss_name,
        "dtype": str(net.dtype),
        "parameters": int(net.params.flat.size),
        "dropout": net.dropout,
        "weight_decay": net.weight_decay,
        "batch_norm": net.batch_norm,
    }
    return told, net.summary


def _of_tabular(path: str) -> Told:
    """Return what the file of a tabular estimator says, and what prints the network."""
    from fastfnn.tables import tabular
    from fastfnn.tabular import files as tabular_files

    estimator, sections = tabular_files.read(path)
    told: dict[str, Any] = {"estimator": type(estimator).__name__}
    if "table" in sections:
        table = tabular.load(path)
        told |= _of_table(table, table.described_columns())
    net = estimator.network_
    told["network"] = {
        "layer_sizes": list(net.layer_sizes),
        "activation": [options.activation_name(name) for name in net.activation],
        "loss": net.loss_function.name,
        "dtype": str(net.dtype),
        "parameters": int(net.params.size),
        "dropout": net.dropout,
        "members": net.members,
        "scaled": net.scaled,
        "networks": len(estimator.networks_),
    }
    several = f", {len(estimator.networks_)} such networks" if len(estimator.networks_) > 1 else ""
    line = f"network: {tabular.described(net)} of {net.dtype}, loss {told['network']['loss']}{several}"
    return told, lambda: print(line)


def _of_table(table: BaseModel, columns: list[dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"task": table.task, "target": table.target}
    told |= {"labels": table.labels} if table.labels is not None else {}
    told |= {"quantiles": list(table.quantiles)} if table.quantiles else {}
    return told | {"columns": columns, "origin": table.origin}


def _column(column: dict[str, Any]) -> str:
    """Return a line about a column, of a plain or of a tabular network."""
    kind = column["kind"]
    if kind == "left out":
        return f"{column['name']}: left out, {column['reason']}"
    if column.get("fill") is not None:
        missing = f", {column['fill']!r} where it is missing"
    else:
        missing = ", may be missing" if column.get("missing") else ""
    if kind == "category":
        return f"{column['name']}: {len(column['values'])} categories, {_listed(column['values'])}{missing}"
    if kind == "date":
        low, high = column["range"]
        cycles = f", {', '.join(column['cycles'])}" if column["cycles"] else ""
        return f"{column['name']}: a date, {low} to {high}{cycles}{missing}"
    if "range" not in column:
        about = f"mean {column['mean']:.6g}, standard deviation {column['scale']:.6g}"
    else:
        low, high = column["range"]
        about = f"{low:.6g} to {high:.6g}" + (f", {column['bins']} bins" if column["bins"] else "")
    return f"{column['name']}: a number, {about}{missing}"


def _listed(items: list[Any]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more
