"""`fastfnn train`: its options, and which of the two trainings they mean, `train_digits.py` or `train_plain.py`."""

import argparse
import pathlib

from fastfnn import backend, outputs
from fastfnn.cli import arguments, ranks
from fastfnn.cli.arguments import INIT_NAMES, Commands
from fastfnn.cli.settings import DIGITS, TABLE
from fastfnn.datasets import SHIPPED_NAME
from fastfnn.network import HIDDEN_ACTIVATIONS
from fastfnn.optimizers import BY_NAME

FOR_TABLES = ("target", "task", "valid", "missing", "categories", "ignore", "sep", "encoding", "balanced", "patience")

DESCRIPTION = """\
Train a network to predict a column of a table from the others, or to tell handwritten digits.

  fastfnn train flats.csv --target price --out flats.safetensors

A table is a CSV file (also .gz, .bz2, .xz; - is standard input), a Parquet file, an array .npy whose columns are
numbered from 0, or .npz with the arrays x and t. Whole numbers with few different values, texts and booleans are
classes, other numbers are predicted as numbers. Numbers are standardized, texts become one-hot categories, and rows
are held out to stop in time; all of this is printed, and stored in the model.

Without DATA the 10,000 digits in the package are learned, with the defaults of the lecture notes; a folder holds
MNIST-format IDX files, gzipped or not.

  mpiexec -n 4 fastfnn train flats.csv --target price --out flats.safetensors

trains one network on four processes, also on several machines, if mpi4py is installed: pip install 'fastfnn[mpi]'."""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    train = commands.add_parser(
        "train",
        help="train a network on a table, or on handwritten digits",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    train.add_argument("data", metavar="DATA", nargs="?", default=SHIPPED_NAME, help="a table, or a folder of images")
    add = train.add_argument_group("the table").add_argument
    add("--target", metavar="NAME", help="the column to predict; for .npy also a file .npy with the targets")
    add("--task", choices=("classification", "regression"), help="what to make of the target (default: told by it)")
    valid_help = "share of the rows to hold out, 0 for none, or a file with such rows (default: 0.15)"
    add("--valid", metavar="SHARE", help=valid_help)
    missing_help = (
        "what to do about missing values: refuse the table, or fill in numbers by the median or the mean and "
    )
    add(
        "--missing",
        choices=("refuse", "median", "mean"),
        help=f"{missing_help}categories by the most frequent one (default: refuse)",
    )
    add("--categories", type=arguments.names, metavar="NAME[,NAME...]", help="columns of numbers that are categories")
    add("--ignore", type=arguments.names, metavar="NAME[,NAME...]", help="columns not to use")
    add("--balanced", action="store_true", help="weight the rows so that all classes count the same")
    arguments.add_format(add)
    add = train.add_argument_group("the network").add_argument

    def default(name: str) -> str:
        digits, table = (
            ",".join(map(str, value)) if isinstance(value, tuple) else value
            for value in (getattr(DIGITS, name), getattr(TABLE, name))
        )
        return f"(default: {table})" if digits == table else f"(default: {table}; for digits {digits})"

    layers_help = f"units of each hidden layer; '' for none {default('layers')}"
    add("--layers", type=arguments.layer_sizes, metavar="N[,N...]", help=layers_help)
    activation_help = f"activation of the hidden layers {default('activation')}"
    add("--activation", choices=HIDDEN_ACTIVATIONS, help=activation_help)
    init_help = f"standard deviation of the initial weights, or {INIT_NAMES} {default('init')}"
    add("--init", type=arguments.init, metavar="STD", help=init_help)
    add("--dropout", type=float, metavar="P", help=f"probability to drop a hidden unit {default('dropout')}")
    add("--dtype", choices=("float32", "float64"), help=f"dtype of the arithmetic {default('dtype')}")
    add = train.add_argument_group("the training").add_argument
    add(
        "--optimizer", choices=tuple(name.lower() for name in BY_NAME), help=f"rule of the steps {default('optimizer')}"
    )
    add("--learning-rate", type=float, metavar="RATE", help=f"size of the steps {default('learning_rate')}")
    add("--weight-decay", type=float, metavar="RATE", help=f"L2 penalty of the weights {default('weight_decay')}")
    batch_help = f"samples a step; 'all' for gradient descent {default('batch_size')}"
    add("--batch-size", type=arguments.batch_size, metavar="N", help=batch_help)
    add("--epochs", type=int, metavar="N", help=f"most passes over the training rows {default('epochs')}")
    patience_help = f"epochs without a better validation loss after which to stop (default: {TABLE.patience})"
    add("--patience", type=int, metavar="N", help=patience_help)
    add("--sampling", choices=("shuffle", "replacement"), help=f"how batches are drawn {default('sampling')}")
    add("--seed", type=int, metavar="N", help=f"seed of weights, batches and held-out rows {default('seed')}")
    threads_help = "most threads to use, with MPI of each rank (default: all cores, shared by the ranks of a host)"
    add("--threads", type=int, metavar="N", help=threads_help)
    add = train.add_argument_group("the ranks, if mpiexec or srun has started several").add_argument
    every_help = "steps that each rank takes by itself before parameters are averaged; auto measures (default: 1)"
    add("--average-every", type=arguments.average_every, metavar="N", help=every_help)
    fixed_help = "sum gradients in the same order on 1, 2, 4, 8, ... ranks, so that models have the same bits"
    add("--fixed-order", action="store_true", help=fixed_help)
    add("--alone", action="store_true", help="train in each process by itself")
    add = train.add_argument_group("the result").add_argument
    add("--out", metavar="FILE", help="save the model as safetensors; after Ctrl-C the best one so far")
    add("--save", dest="out", help=argparse.SUPPRESS)  # its name in earlier versions
    add("--log", metavar="FILE", help="write a CSV file with a row for each epoch")
    add("--plot", metavar="FILE", help="save the curves of loss and accuracy, as PNG, PDF, SVG, ...")
    add("--quiet", action="store_true", help="print only the result")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    processes = ranks.joined(options)
    with processes.agreed():
        if processes.first:
            outputs.check(options, "out", "plot", "log")
        if "threads" in options:
            backend.set_num_threads(options.threads)
        on_digits = options.data == SHIPPED_NAME or pathlib.Path(options.data).is_dir()
        given = [name for name in FOR_TABLES if name in options]
        if on_digits and given:
            raise ValueError(f"--{given[0]} is for tables, and {options.data} holds images")
        if on_digits:
            from fastfnn.cli.train_digits import run
        else:
            from fastfnn.cli.train_plain import run
    run(options, processes)
