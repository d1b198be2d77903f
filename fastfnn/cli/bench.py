"""`fastfnn bench`: the speed beside that of other libraries; `fastfnn.bench` measures."""

import argparse
import json
import math
import os
from collections.abc import Sequence

from fastfnn import atomic, streams, validation
from fastfnn.cli import paths
from fastfnn.cli.arguments import Commands, layer_sizes, names

ROUNDS = 7

DEFAULT_PRESETS = ("default",)

OWN_NETWORK = ("layers", "batch_size", "activation", "loss", "optimizer", "predict")


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    bench = commands.add_parser(
        "bench",
        help="compare the speed with that of other libraries",
        description="Time training steps and predictions of this and other libraries, each in a process of its own, in "
        "turn, and print medians and ratios. --layers times a network of your own, --neighbours short calls while "
        "other processes want the same cores, --tabular compares scores and times on tables.",
    )
    add = bench.add_argument
    cases_help = "some of notes, online, medium, large, tabular, tiny, predict (default: all)"
    add("--case", nargs="+", metavar="NAME", default=[], help=cases_help)
    peers_help = (
        "some of notes, numpy, torch, jax, sklearn, onnxruntime (which only predicts), with --neighbours of numpy, "
        "torch, jax, onnxruntime, with --tabular of boosting, boosting-long, mlp, tabm (default: all installed ones); "
        "'' for none"
    )
    add("--peers", type=names, metavar="NAME[,NAME...]", help=peers_help)
    add("--dtype", default="float32", metavar="DTYPE", help="float32 or float64 (default: float32)")
    rounds_help = "measurements of each library in each case (default: 7; 3 with --neighbours)"
    add("--rounds", type=int, metavar="N", help=rounds_help)
    add("--seconds", type=float, default=0.3, metavar="S", help="approximate time of a measurement (default: 0.3)")
    add("--threads", type=int, metavar="N", help="threads of every library (default: the library's own)")
    add("--json", metavar="FILE", default=argparse.SUPPRESS, help="save all measurements")
    add("--plot", metavar="FILE", default=argparse.SUPPRESS, help="save a bar chart as a PNG")
    own = bench.add_argument_group("a network of your own")
    add = own.add_argument
    unset = argparse.SUPPRESS
    add(
        "--layers",
        type=layer_sizes,
        metavar="N,N[,N...]",
        default=unset,
        help="units of input, hidden layers and output",
    )
    add("--batch-size", type=int, metavar="N", default=unset, help="samples a step (default: 100)")
    add("--activation", metavar="NAME", default=unset, help="sigmoid, tanh, relu or identity (default: relu)")
    add(
        "--loss",
        metavar="NAME",
        default=unset,
        help="softmax_cross_entropy (default), sigmoid_cross_entropy, squared_error",
    )
    add("--optimizer", metavar="NAME", default=unset, help="sgd or adam (default: sgd)")
    add("--predict", action="store_true", default=unset, help="time the prediction of --batch-size rows")
    beside = bench.add_argument_group("calls beside other processes")
    add = beside.add_argument
    add("--neighbours", action="store_true", help="time short calls beside a busy process, a training process, ...")
    calls_help = (
        "some of fit, partial_fit, gradient, loss, predict-64, predict-1000, wide, tiny, textbook, layers, kernel"
    )
    add("--calls", type=names, metavar="NAME[,NAME...]", default=(), help=f"{calls_help} (default: all)")
    states_help = "some of quiet, busy, busy-pinned, training, quota, affinity, late-affinity, pause (default: all)"
    add("--states", type=names, metavar="NAME[,NAME...]", default=(), help=states_help)
    add("--before", metavar="FILE", help="a result that an earlier version saved by --json, to compare the pauses with")
    add("--no-fail", action="store_true", help="exit with 0 even if a call takes more than is promised")
    tables = bench.add_argument_group("networks for tables")
    add = tables.add_argument
    add("--tabular", action="store_true", help="compare scores and times on tables with boosting and other networks")
    add("--data", nargs="+", metavar="FILE", default=(), help="tables: files, or names of files in --data-folder")
    add("--data-folder", metavar="FOLDER", help="where names are looked up (default: $FASTFNN_TABLES)")
    add("--target", metavar="COLUMN", help="the column to predict (default: the last one)")
    add("--seeds", type=int, metavar="N", help="splits into training and test rows (default: 3)")
    presets_help = "some of default, best, fast (default: default)"
    add("--presets", type=names, metavar="NAME[,NAME...]", default=DEFAULT_PRESETS, help=presets_help)
    add("--step", action="store_true", help="time a training step of TabM-mini, beside PyTorch's with --peers tabm")
    bench.set_defaults(run=_bench)
    paths.register(bench, reads={"--before": paths.a_file, "--data": _tables}, writes=("--json", "--plot"))


def _tables(options: argparse.Namespace, names: Sequence[str]) -> Sequence[os.PathLike[str]]:
    """Return the files of tables, for the register of paths."""
    if not options.tabular or not names:
        return []
    from fastfnn.bench.tabular import data

    return [data.find(name, options.data_folder) for name in names]


def _bench(options: argparse.Namespace) -> int:
    from fastfnn.bench import cases, report, runner

    _check_modes(options)
    if options.tabular:
        from fastfnn.bench.tabular import command as tabular

        return tabular.run(options)
    if options.neighbours:
        from fastfnn.bench.neighbours import command

        return command.run(options)
    own = {name: getattr(options, name) for name in OWN_NETWORK if name in options}
    if own and "layers" not in own:
        raise ValueError(f"--{next(iter(own)).replace('_', '-')} describes a network of your own and needs --layers")
    if own and options.case:
        raise ValueError("--case and --layers exclude each other: expected one of them, got both")
    selected = [cases.custom(**own, dtype=options.dtype)] if own else cases.chosen(options.case, options.dtype)
    peers = runner.installed() if options.peers is None else options.peers
    for name in peers:
        validation.choice("--peers", name, runner.PEERS)
    if not (math.isfinite(options.seconds) and options.seconds > 0):
        raise ValueError(f"--seconds must be finite and above 0, got {options.seconds:g}")
    if options.threads is not None:
        validation.integer("--threads", options.threads, 1)
    result = runner.run(
        selected,
        tuple(dict.fromkeys(peers)),
        rounds=ROUNDS if options.rounds is None else validation.integer("--rounds", options.rounds, 1),
        seconds=options.seconds,
        threads=options.threads,
        say=streams.tell,
    )
    print(report.table(result))
    if "json" in options:
        atomic.replace(options.json, f"{json.dumps(result, indent=1)}\n".encode())
        print(f"measurements: {options.json}")
    if "plot" in options:
        report.plot(result, options.plot)
        print(f"chart: {options.plot}")
    return 0


def _check_modes(options: argparse.Namespace) -> None:
    """Refuse options that --neighbours or --tabular does not know, and without them their own."""
    own = [name for name in OWN_NETWORK if name in options]
    plain = own + ["case"] * bool(options.case)
    beside = [name for name in ("calls", "states", "before", "no_fail") if getattr(options, name)]
    tables = [name for name in ("data", "data_folder", "target", "seeds", "step") if getattr(options, name)]
    tables += ["presets"] * (tuple(options.presets) != DEFAULT_PRESETS)
    if options.neighbours:
        others = plain + ["plot"] * ("plot" in options) + ["threads"] * (options.threads is not None) + tables
        _refuse([*others, *["tabular"] * options.tabular], "does not go with --neighbours")
    elif options.tabular:
        _refuse(plain + beside, "does not go with --tabular")
    else:
        _refuse(beside, "needs --neighbours")
        _refuse(tables, "needs --tabular")


def _refuse(given: list[str], why: str) -> None:
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} {why}")
