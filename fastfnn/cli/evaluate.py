"""`fastfnn evaluate`: the predictions of a model beside the truth, as text, JSON or a picture."""

import argparse
import json
from typing import Any

from fastfnn.cli import arguments, paths
from fastfnn.cli.arguments import Commands

MOST_IN_TEXT = 20  # classes of a confusion matrix that is printed


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a model on rows with known targets",
        description="Predict the rows of a table that has the target too, and print how good the predictions are: "
        "accuracy, log loss, precision, recall and F1 of each class and the confusion matrix; or for numbers the root "
        "of the mean squared error (RMSE), the mean absolute error (MAE) and R2.",
        argument_default=argparse.SUPPRESS,
    )
    add = evaluate.add_argument
    add("model", metavar="MODEL", help="a file that fastfnn train --out wrote")
    rows_help = (
        "a table: CSV, Parquet, .npy or .npz; - or nothing is CSV from standard input; mnist10k or a folder of images"
    )
    add("rows", metavar="ROWS", nargs="?", default="-", help=rows_help)
    target_help = "column of the target, if it has another name than in training; for .npy also a file .npy"
    add("--target", metavar="NAME", help=target_help)
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--plot", metavar="FILE", help="draw the confusion matrix or the residuals, as PNG, SVG, PDF, ...")
    add("--threads", type=int, metavar="N", help="most threads to use (default: all cores)")
    arguments.add_format(add)
    evaluate.set_defaults(run=_evaluate)
    reads = {"MODEL": paths.a_file, "ROWS": paths.samples, "--target": paths.array}
    paths.register(evaluate, reads=reads, writes=("--plot",))


def _evaluate(options: argparse.Namespace) -> None:
    from fastfnn.cli import models
    from fastfnn.tables import scores

    net = models.loaded(options)
    found = scores.measured(net, models.parts(net, options, with_target=True))
    summary = found.summary()
    if "json" in options:
        told = {"task": net.task, "target": net.target, "rows": len(found.truth), **summary}
        if isinstance(found, scores.Classified):
            told |= {"classes": found.per_class(), "confusion": found.confusion().tolist()}
        elif found.levels:
            told |= {"below": found.below()}
        print(json.dumps(told))
    else:
        print(f"{len(found.truth):,} rows: {scores.line(summary)}")
        if isinstance(found, scores.Classified):
            print(_class_table(found.per_class()))
            if len(found.labels) <= MOST_IN_TEXT:
                print(f"\nrows by their class, columns by the prediction:\n{_matrix(found)}")
        else:
            for level, share in found.below().items():
                print(f"below the quantile {level}: {100 * share:.1f} % of the rows")
    if "plot" in options:
        from fastfnn.cli import charts

        charts.draw(found, options.plot)
        if "json" not in options:
            print(f"chart: {options.plot}")


def _class_table(classes: dict[str, dict[str, float]]) -> str:
    width = max(5, *map(len, classes))
    lines = [f"\n{'class':<{width}}  precision  recall      F1     rows"]
    for label, s in classes.items():
        scores = f"{s['precision']:9.4f}  {s['recall']:.4f}  {s['f1']:.4f}"
        lines.append(f"{label:<{width}}  {scores}  {s['rows']:>7,}")
    return "\n".join(lines)


def _matrix(found: Any) -> str:
    """Return the confusion matrix of a `scores.Classified` as a table."""
    counts = [[f"{count:,}" for count in row] for row in found.confusion().tolist()]
    label_width = max(map(len, found.labels))
    width = max(label_width if label_width <= 12 else 0, max(len(cell) for row in counts for cell in row))
    head = " " * label_width + "".join(f"  {label[:width]:>{width}}" for label in found.labels)
    rows = [
        f"{label:<{label_width}}" + "".join(f"  {cell:>{width}}" for cell in row)
        for label, row in zip(found.labels, counts, strict=True)
    ]
    return "\n".join([head, *rows])
