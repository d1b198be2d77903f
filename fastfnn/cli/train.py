"""`fastfnn train`: its options, and which training they mean.

`train_tabular.py` trains what tables get unless an option asks for a plain network, which `train_plain.py` trains;
`train_digits.py` trains on images.
"""

import argparse
import functools
import pathlib
from collections.abc import Callable

from fastfnn import backend
from fastfnn.cli import arguments, paths, ranks
from fastfnn.cli.arguments import INIT_NAMES, Commands
from fastfnn.cli.settings import DIGITS, MOST_PATIENT, TABLE
from fastfnn.datasets import SHIPPED_NAME
from fastfnn.network import HIDDEN_ACTIVATIONS
from fastfnn.optimizers import BY_NAME

FOR_TABLES = (
    "target", "task", "valid", "missing", "numbers", "categories", "dates", "ignore", "sep", "encoding", "decimal",
    "thousands", "na_values", "keep_na", "balanced", "patience", "preset", "time_budget", "quantiles",
)  # fmt: skip
# Options that ask for the tabular network, and those that ask for a plain one. EITHER ask for a plain one, too, unless
# one of TABULAR is given, whose recipe they change.
TABULAR = ("preset", "time_budget", "quantiles")
PLAIN = (
    "missing", "activation", "init", "dtype", "optimizer", "sampling", "average_every", "fixed_order",
)  # fmt: skip
EITHER = ("layers", "dropout", "learning_rate", "weight_decay")
PRESETS = ("default", "best", "fast", "plain")

DESCRIPTION = """\
Train a network to predict a column of a table from the others, or to tell handwritten digits.

  fastfnn train flats.csv --target price --out flats.safetensors

A table is a CSV file (also .gz, .bz2, .xz; - is standard input), a Parquet file, an array .npy whose columns are
numbered from 0, or .npz with the arrays x and t. Whole numbers with few different values, texts and booleans are
classes, other numbers are predicted as numbers. Texts are categories, or dates if all of them are such as 2020-01-31.
Values may be missing, and rows are held out to stop in time; all of this is printed, and stored in the model. --preset
chooses how much is trained.

Without DATA the 10,000 digits in the package are learned, with the defaults of the lecture notes; a folder holds
MNIST-format IDX files, gzipped or not.

  mpiexec -n 4 fastfnn train flats.csv --target price --out flats.safetensors

trains one plain network on four processes, also of several machines, with mpi4py: pip install 'fastfnn[mpi]'."""


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
    valid_help = "share of the rows to hold out, 0 for none, or a file with such rows (default: 0.1)"
    add("--valid", metavar="SHARE", help=valid_help)
    for option, meaning in (
        ("--numbers", "columns of numbers: texts that are none count as missing"),
        ("--categories", "columns of categories, though they are numbers or texts of which most differ"),
        ("--dates", "columns of dates: texts that are none count as missing"),
        ("--ignore", "columns not to use"),
    ):
        add(option, type=arguments.names, metavar="NAME[,NAME...]", help=meaning)
    add("--balanced", action="store_true", help="weight the rows so that all classes count the same")
    arguments.add_format(add)
    add = train.add_argument_group("the training").add_argument
    batch_help = f"samples a step; 'all' for gradient descent {_defaults('batch_size')}"
    add("--batch-size", type=arguments.batch_size, metavar="N", help=batch_help)
    add("--epochs", type=int, metavar="N", help=f"most passes over the training rows {_defaults('epochs')}")
    patience_help = f"epochs without a better validation loss after which to stop {_defaults('patience')}"
    add("--patience", type=int, metavar="N", help=patience_help)
    add("--seed", type=int, metavar="N", help="seed of weights, batches and held-out rows (default: 0)")
    threads_help = "most threads to use, with MPI of each rank (default: all cores, shared by the ranks of a host)"
    add("--threads", type=int, metavar="N", help=threads_help)
    add = train.add_argument_group("the tabular network, which tables get").add_argument
    preset_help = "how much is trained; plain is a plain network (default: default)"
    add("--preset", choices=PRESETS, help=preset_help)
    add("--time-budget", type=float, metavar="SECONDS", help="time that the training takes at most; it is planned")
    quantiles_help = "predict these quantiles of a number, too, such as 0.1,0.5,0.9"
    add("--quantiles", type=arguments.quantiles, metavar="Q[,Q...]", help=quantiles_help)
    add = train.add_argument_group("a plain network, or what differs from --preset where that is given").add_argument
    layers_help = f"units of each hidden layer; '' for none {_defaults('layers')}"
    add("--layers", type=arguments.layer_sizes, metavar="N[,N...]", help=layers_help)
    add("--dropout", type=float, metavar="P", help=f"probability to drop a hidden unit {_defaults('dropout')}")
    add("--learning-rate", type=float, metavar="RATE", help=f"size of the steps {_defaults('learning_rate')}")
    decay_help = f"L2 penalty of the weights, decoupled with --preset {_defaults('weight_decay')}"
    add("--weight-decay", type=float, metavar="RATE", help=decay_help)
    add = train.add_argument_group("a plain network, which each of these options chooses").add_argument
    missing_help = "values of a table that are missing: refuse it, or fill in numbers by the median or the mean and "
    add(
        "--missing",
        choices=("refuse", "median", "mean"),
        help=f"{missing_help}categories by the most frequent one (default: refuse)",
    )
    activation_help = f"activation of the hidden layers {_defaults('activation')}"
    add("--activation", choices=HIDDEN_ACTIVATIONS, help=activation_help)
    init_help = f"standard deviation of the initial weights, or {INIT_NAMES} {_defaults('init')}"
    add("--init", type=arguments.init, metavar="STD", help=init_help)
    add("--dtype", choices=("float32", "float64"), help="dtype of the arithmetic (default: float32)")
    rules = tuple(name.lower() for name in BY_NAME)
    add("--optimizer", choices=rules, help=f"rule of the steps {_defaults('optimizer')}")
    add("--sampling", choices=("shuffle", "replacement"), help="how batches are drawn (default: shuffle)")
    add = train.add_argument_group("a plain network on ranks, if mpiexec or srun has started several").add_argument
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
    reads = {"DATA": paths.samples, "--target": paths.array, "--valid": paths.number_or_file}
    paths.register(train, reads=reads, writes=("--out", "--plot", "--log"))


def _defaults(name: str) -> str:
    """Return the end of the help for an option: its value for a plain network on a table and on digits."""
    table, digits = (
        ",".join(map(str, value)) if isinstance(value, tuple) else value
        for value in (getattr(TABLE, name), getattr(DIGITS, name))
    )
    for_digits = "" if digits in (table, MOST_PATIENT) else f"; for digits {digits}"
    if name in PLAIN:
        return f"(default: {table}{for_digits})"
    return f"(default: of the preset; of a plain network {table}{for_digits})"


def _train(options: argparse.Namespace) -> None:
    processes = ranks.joined(options)
    with processes.agreed():
        if options.launch is not None and processes.first:  # `main` checks those of a process by itself
            paths.check(options)
        if "threads" in options:
            backend.set_num_threads(options.threads)
        train = _training(options, processes)
    train(options, processes)


def _training(options: argparse.Namespace, processes: ranks.Processes) -> Callable[..., None]:
    """Return what trains on the data that the options name."""
    if options.data == SHIPPED_NAME or pathlib.Path(options.data).is_dir():
        given = [name for name in FOR_TABLES if name in options]
        if given:
            raise ValueError(f"{_flag(given[0])} is for tables, and {options.data} holds images")
        from fastfnn.cli import train_digits

        return train_digits.run
    reason = _reason_for_plain(options, processes.size)
    if not reason:
        from fastfnn.cli import train_tabular

        return train_tabular.run
    from fastfnn.cli import train_plain

    return functools.partial(train_plain.run, reason=reason)


def _reason_for_plain(options: argparse.Namespace, processes: int) -> str:
    """Return what asks for a plain network on a table, "" if nothing does."""
    is_plain = getattr(options, "preset", None) == "plain"
    tabular = [_flag(name) for name in TABULAR if name in options and not (is_plain and name == "preset")]
    plain = ["--preset plain"] if is_plain else []
    plain += [_flag(name) for name in PLAIN if name in options]
    plain += [f"{processes} ranks"] if processes > 1 else []
    if tabular and plain:
        raise ValueError(f"{tabular[0]} is for the tabular network, and {plain[0]} for a plain one: give one of them")
    if not tabular:
        plain += [_flag(name) for name in EITHER if name in options]
    return plain[0] if plain else ""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
