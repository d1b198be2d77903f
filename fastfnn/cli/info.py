"""`fastfnn info`: what the file of a model holds; without one, versions, processor and threads."""

import argparse
import json
import os
from typing import Any

from fastfnn import backend, files, network, options
from fastfnn.cli.arguments import Commands

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


def _info(given: argparse.Namespace) -> None:
    if "model" not in given:
        if "json" in given:
            raise ValueError("--json needs a MODEL")
        backend.show_config()
        return
    path = given.model
    with files.opened(path) as saved:
        has_table = "table" in saved.sections
        kind = saved.sections.get("estimator", {}).get("kind")
        version = saved.version
    told: dict[str, Any] = {"file": path, "bytes": os.stat(path).st_size}
    if has_table:
        from fastfnn.tables import model

        table = model.load(path)
        net = table.network
        told |= {"task": table.task, "target": table.target}
        told |= {"labels": table.labels} if table.labels is not None else {}
        told |= {"columns": table.described()["columns"], "origin": table.origin}
    else:
        net = network.load(path)
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
    if "json" in given:
        print(json.dumps(told))
        return
    print(f"{path}: {told['bytes']:,} bytes")
    if has_table:
        print(f"trained {told['origin']['time']} by fastfnn {told['origin']['version']}")
        print(f"task: {told['task']} of {told['target']!r}")
        if "labels" in told:
            print(f"classes: {_listed(told['labels'])}")
        print(f"columns: {len(told['columns'])}")
        for column in told["columns"]:
            print(f"  {_column(column)}")
    elif kind:
        print(f"estimator: {told['estimator']}, which fastfnn.sklearn.load reads")
    net.summary()


def _column(column: dict[str, Any]) -> str:
    fill = "" if column["fill"] is None else f", {column['fill']!r} where it is missing"
    if column["kind"] == "number":
        return f"{column['name']}: a number, mean {column['mean']:.6g}, standard deviation {column['scale']:.6g}{fill}"
    return f"{column['name']}: {len(column['values'])} categories, {_listed(column['values'])}{fill}"


def _listed(items: list[Any]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more
