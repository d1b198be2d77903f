"""The command `fastfnn`: parses the command line and calls the package."""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence

import numba

from fastfnn import __version__, atomic, backend, datasets, interruption, outputs, validation
from fastfnn.initialization import INITS
from fastfnn.network import FNN, HIDDEN_ACTIVATIONS
from fastfnn.optimizers import SGD

EXIT_DIVERGED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # of a program that Ctrl-C has ended, 128 + SIGINT

INIT_NAMES = f"{', '.join(INITS[:-1])} or {INITS[-1]}"

ERASE_TO_END = "\x1b[K"  # of the line, in a terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `fastfnn`.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the name of the program; by default that of the process.

    Returns
    -------
    int
        Exit status: 0; after a message, 1 if the training diverged, 2 for bad input or a file that cannot be read or
        written, 130 after Ctrl-C; 1 if `bench --neighbours` finds a call that takes more than is promised.
    """
    options = _parser().parse_args(arguments)
    try:
        with interruption.heeded():
            return options.run(options) or 0
    except KeyboardInterrupt as stop:
        status, message = EXIT_INTERRUPTED, f"interrupted{stop}"
    except FloatingPointError as error:
        status, message = EXIT_DIVERGED, str(error)
    except (ValueError, TypeError, OSError, ImportError, OverflowError, MemoryError) as error:
        status, message = EXIT_BAD_INPUT, str(error) or "out of memory"
    print(f"fastfnn {options.command}: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastfnn", description="Feed-forward neural networks, trained fast on a CPU.")
    parser.add_argument("--version", action="version", version=f"fastfnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_bench(commands)
    _add_compile(commands)
    info = commands.add_parser("info", help="print versions, processor and threads")
    info.set_defaults(run=lambda options: backend.show_config())
    return parser


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser(
        "train",
        help="train a network on handwritten digits",
        description="Train a network on handwritten digits. The defaults are the job of the lecture notes: 784-50-10, "
        "sigmoid, softmax cross-entropy, minibatches of 100, learning rate 0.1.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = train.add_argument
    data_help = "mnist10k, the 10,000 digits in the package, or a folder of MNIST-format IDX files, gzipped or not"
    add("--data", default="mnist10k", metavar="DATA", help=data_help)
    add("--layers", type=_sizes, default="50", metavar="N[,N...]", help="units of each hidden layer; '' for none")
    add("--activation", choices=HIDDEN_ACTIVATIONS, default="sigmoid", help="activation of the hidden layers")
    init_help = f"standard deviation of the initial weights, or {INIT_NAMES}"
    add("--init", type=_init, default=0.01, metavar="STD", help=init_help)
    add("--batch-size", type=_batch_size, default=100, metavar="N", help="samples a step; 'all' for gradient descent")
    add("--epochs", type=int, default=10, metavar="N", help="passes over the training data")
    add("--learning-rate", type=float, default=0.1, metavar="RATE", help="learning rate of gradient descent")
    add("--sampling", choices=("shuffle", "replacement"), default="shuffle", help="how batches are drawn")
    add("--dtype", choices=("float32", "float64"), default="float32", help="dtype of parameters and arithmetic")
    add("--threads", type=int, metavar="N", default=argparse.SUPPRESS, help="most threads to use (default: all cores)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the initial weights and the batches")
    add(
        "--plot",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="save the curves of loss and accuracy, as PNG, PDF, SVG, ...",
    )
    add(
        "--save",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="save the trained network as safetensors; after Ctrl-C too",
    )
    add("--quiet", action="store_true", default=argparse.SUPPRESS, help="print only the result")
    train.set_defaults(run=_train)


def _add_compile(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compile_ahead = commands.add_parser(
        "compile",
        help="compile the kernels ahead of their first use",
        description="Compile all kernels for this processor into the cache on disk, from which later processes load "
        "them: for container images, CI, or a first call without a wait. The environment variable NUMBA_CACHE_DIR "
        "names the folder of the cache, for this command and for the processes that use it.",
    )
    compile_ahead.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        nargs="+",
        default=["float32"],
        help="dtypes of the networks that will use them (default: float32)",
    )
    compile_ahead.set_defaults(run=_compile)


def _compile(options: argparse.Namespace) -> None:
    if numba.config.DISABLE_JIT:
        raise ValueError("NUMBA_DISABLE_JIT is set: there is nothing to compile")
    folder = backend.cache_folder()
    for dtype in dict.fromkeys(options.dtype):
        compiled, start = 0, time.perf_counter()

        def show(kernel: backend.CompileProgress, dtype: str = dtype) -> None:
            nonlocal compiled
            if folder is None:
                raise OSError("there is no folder for the cache that can be written to: name one by NUMBA_CACHE_DIR")
            compiled += 1
            if sys.stderr.isatty():
                line = f"{dtype}: compiling kernel {kernel.number} of {kernel.total}, {kernel.name}"
                print(f"\r{line}{ERASE_TO_END}", end="", file=sys.stderr, flush=True)

        try:
            with backend.on_compilation(show):
                backend.compile_kernels(dtype)
        finally:
            if compiled and sys.stderr.isatty():
                print(f"\r{ERASE_TO_END}", end="", file=sys.stderr, flush=True)
        seconds = time.perf_counter() - start
        print(f"{dtype}: compiled {compiled} kernels in {seconds:.1f} s" if compiled else f"{dtype}: already compiled")
    print(f"cache: {folder or 'complete, and read-only'}")


def _add_bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    bench = commands.add_parser(
        "bench",
        help="compare the speed with that of other libraries",
        description="Time training steps and predictions of this and other libraries, each in a process of its own, in "
        "turn, and print medians and ratios. --layers times a network of your own, --neighbours short calls while "
        "other processes want the same cores.",
    )
    add = bench.add_argument
    cases_help = "some of notes, online, medium, large, tabular, tiny, predict (default: all)"
    add("--case", nargs="+", metavar="NAME", default=[], help=cases_help)
    peers_help = (
        "some of notes, numpy, torch, jax, sklearn, onnxruntime (which only predicts), with --neighbours of numpy, "
        "torch, jax, onnxruntime (default: all installed ones); '' for none"
    )
    add("--peers", type=_names, metavar="NAME[,NAME...]", help=peers_help)
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
    add("--layers", type=_sizes, metavar="N,N[,N...]", default=unset, help="units of input, hidden layers and output")
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
    add("--calls", type=_names, metavar="NAME[,NAME...]", default=(), help=f"{calls_help} (default: all)")
    states_help = "some of quiet, busy, busy-pinned, training, quota, affinity, late-affinity, pause (default: all)"
    add("--states", type=_names, metavar="NAME[,NAME...]", default=(), help=states_help)
    add("--before", metavar="FILE", help="a result that an earlier version saved by --json, to compare the pauses with")
    add("--no-fail", action="store_true", help="exit with 0 even if a call takes more than is promised")
    bench.set_defaults(run=_bench)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected integers separated by commas, got {text!r}") from error


def _init(text: str) -> float | str:
    try:
        return text if text in INITS else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number, {INIT_NAMES}, got {text!r}") from error


def _batch_size(text: str) -> int | None:
    try:
        return None if text == "all" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected an integer or all, got {text!r}") from error


def _train(options: argparse.Namespace) -> None:
    outputs.check(options, "save", "plot")
    if "threads" in options:
        backend.set_num_threads(options.threads)
    epochs = validation.integer("--epochs", options.epochs, 1)
    optimizer = SGD(options.learning_rate)
    folder = None if options.data == "mnist10k" else options.data
    (x, t), (x_test, t_test) = datasets.load_mnist(folder=folder)
    for part, images in (("training", x), ("test", x_test)):
        if len(images) == 0:
            raise ValueError(f"--data {options.data} must hold at least one {part} sample, got none")
    classes = int(max(t.max(), t_test.max())) + 1
    net = FNN(
        (x.shape[1], *options.layers, classes),
        activation=options.activation,
        init=options.init,
        dtype=options.dtype,
        seed=options.seed,
    )
    quiet = "quiet" in options
    if not quiet:
        net.summary()
        print(f"{len(x):,} training and {len(x_test):,} test samples from {options.data}")
    with interruption.rescue(net, getattr(options, "save", None)):
        history = net.fit(
            x,
            t,
            epochs=epochs,
            batch_size=options.batch_size,
            optimizer=optimizer,
            sampling=options.sampling,
            validation_data=(x_test, t_test),
            progress=not quiet,
        )
    if "save" in options:
        net.save(options.save)  # before anything that can fail
    print(
        f"test accuracy {history.val_accuracy[-1]:.4f}, test loss {history.val_loss[-1]:.4f} "
        f"after {epochs} epochs, {sum(history.seconds):.2f} s of training"
    )
    if "save" in options:
        print(f"network: {options.save}")
    if "plot" in options:
        outputs.draw(history, options.plot)
        print(f"curves: {options.plot}")


ROUNDS = 7

OWN_NETWORK = ("layers", "batch_size", "activation", "loss", "optimizer", "predict")


def _bench(options: argparse.Namespace) -> int:
    from fastfnn.bench import cases, report, runner

    outputs.check(options, "json", "plot")
    _check_neighbours(options)
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
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(report.table(result))
    if "json" in options:
        atomic.replace(options.json, f"{json.dumps(result, indent=1)}\n".encode())
        print(f"measurements: {options.json}")
    if "plot" in options:
        report.plot(result, options.plot)
        print(f"chart: {options.plot}")
    return 0


def _check_neighbours(options: argparse.Namespace) -> None:
    """Refuse options that --neighbours does not know, and without it its own."""
    if options.neighbours:
        others = ("plot", *OWN_NETWORK)
        given = [name for name in others if name in options]
        given += ["case"] * bool(options.case) + ["threads"] * (options.threads is not None)
        why = "does not go with --neighbours"
    else:
        given = [name for name in ("calls", "states", "before", "no_fail") if getattr(options, name)]
        why = "needs --neighbours"
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} {why}")
