"""The command `fastfnn`: in this process on a few small images, and as an installed program."""

import io
import re
import sys

import numpy as np
import pytest
from commands import PNG, by_api, installed_command, run, train, write_part
from small_networks import bits

import fastfnn as fnn
from fastfnn import cli
from fastfnn.cli import compile as cli_compile
from fastfnn.kernels.compiler import cache as compiler_cache
from fastfnn.kernels.workers import threads

pytestmark = pytest.mark.usefixtures("thread_count")


# train


def test_train_prints_the_network_a_line_per_epoch_and_the_result(data, capsys):
    assert train(data, "--epochs", "3") == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0].split() == ["layer", "weights", "activation", "parameters"]
    assert "30 training and 10 test samples" in output.out
    epochs = [line for line in lines if line.startswith("epoch ")]
    number = r"\d+\.\d{4}"
    for i, line in enumerate(epochs, 1):
        assert re.fullmatch(
            rf"epoch {i}/3  loss {number}  accuracy {number}  test loss {number}  test accuracy {number}  "
            r"[\d,]+ samples/s",
            line,
        )
    assert len(epochs) == 3
    result = re.fullmatch(
        rf"test accuracy ({number}), test loss ({number}) after 3 epochs, \d+\.\d\d s of training", lines[-1]
    )
    assert f"test loss {result[2]}  test accuracy {result[1]}" in epochs[-1]


def test_quiet_prints_only_the_result(data, capsys):
    assert train(data, "--quiet") == 0
    output = capsys.readouterr()
    assert re.fullmatch(r"test accuracy .* of training\n", output.out)
    assert output.err == ""


def test_train_saves_the_curves_and_the_network(data, tmp_path, capsys):
    plot, saved = tmp_path / "loss.png", tmp_path / "net.safetensors"
    assert train(data, "--plot", str(plot), "--out", str(saved)) == 0
    assert capsys.readouterr().out.endswith(f"network: {saved}\ncurves: {plot}\n")
    assert plot.read_bytes().startswith(PNG)
    assert bits(fnn.load(saved)) == bits(by_api(data))


OPTIONS = {
    "none": ([], {}),
    "layers": (["--layers", "4,6"], {"layers": (12, 4, 6, 3)}),
    "no hidden layer": (["--layers", ""], {"layers": (12, 3)}),
    "activation": (["--activation", "tanh"], {"activation": "tanh"}),
    "init number": (["--init", "0.5"], {"init": 0.5}),
    "init he": (["--init", "he"], {"init": "he"}),
    "init xavier": (["--init", "xavier"], {"init": "xavier"}),
    "init glorot": (["--init", "glorot"], {"init": "glorot"}),
    "init torch": (["--init", "torch"], {"init": "torch"}),
    "batch size": (["--batch-size", "7"], {"batch_size": 7}),
    "batch size all": (["--batch-size", "all"], {"batch_size": None}),
    "epochs": (["--epochs", "1"], {"epochs": 1}),
    "learning rate": (["--learning-rate", "0.7"], {"learning_rate": 0.7}),
    "sampling": (["--sampling", "replacement"], {"sampling": "replacement"}),
    "dtype": (["--dtype", "float64"], {"dtype": "float64"}),
    "threads": (["--threads", "1"], {}),
    "seed": (["--seed", "3"], {"seed": 3}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_every_option_of_train_has_the_effect_of_the_api(data, tmp_path, case):
    arguments, options = OPTIONS[case]
    assert train(data, "--quiet", "--out", str(tmp_path / "net"), *arguments) == 0
    net = fnn.load(tmp_path / "net")
    want = by_api(data, **options)
    assert repr(net) == repr(want)
    assert bits(net) == bits(want)
    if case not in ("none", "threads"):
        assert bits(net) != bits(by_api(data))  # the option has an effect


def test_the_option_threads_sets_the_number_of_threads(data):
    for count in {1, threads.max_threads()}:
        assert train(data, "--quiet", "--threads", str(count)) == 0
        assert threads.get_num_threads() == count


@pytest.mark.jit
def test_the_defaults_are_the_training_of_the_notes(tmp_path, capsys):
    assert cli.main(["train", "--epochs", "1", "--out", str(tmp_path / "net")]) == 0
    assert "8,000 training and 2,000 test samples from mnist10k" in capsys.readouterr().out
    want = by_api(None, layers=(784, 50, 10), epochs=1, batch_size=100)
    assert bits(fnn.load(tmp_path / "net")) == bits(want)


def test_help_shows_every_option_and_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--help"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in ("plot", "out", "log", "quiet", "threads", "target", "valid", "missing", "sep", "quantiles"):
        assert f"--{option} " in text
    assert "--save" not in text
    for option, default in {
        "layers": "of the preset; of a plain network 256,128; for digits 50",
        "activation": "relu; for digits sigmoid",
        "init": "torch; for digits 0.01",
        "batch-size": "of the preset; of a plain network 128; for digits 100",
        "epochs": "of the preset; of a plain network 200; for digits 10",
        "optimizer": "adam; for digits sgd",
        "learning-rate": "of the preset; of a plain network 0.001; for digits 0.1",
        "sampling": "shuffle",
        "valid": "0.1",
        "patience": "of the preset; of a plain network 20",
        "preset": "default",
        "missing": "refuse",
        "dtype": "float32",
        "seed": "0",
    }.items():
        assert re.search(rf"--{option} \S.*?\(default: {re.escape(default)}\)", text), option
    assert "identity,sigmoid,tanh,relu" in text
    assert "IDX" in text


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    assert {"train", "bench", "compile", "info"} <= set(capsys.readouterr().out.split())


# Bad input

BAD = {
    "layers text": (["--layers", "a"], "--layers.*'a'"),
    "layers gap": (["--layers", "5,,5"], "--layers.*'5,,5'"),
    "layers zero": (["--layers", "0"], r"layer.* at least 1, got 0"),
    "activation": (["--activation", "swish"], "--activation: .*'swish'.*relu"),
    "softmax": (["--activation", "softmax"], "--activation: .*'softmax'.*relu"),
    "init": (["--init", "-1"], "init must be finite and not negative, got -1"),
    "init text": (["--init", "lecun"], "--init.*a number, he, xavier, glorot or torch, got 'lecun'"),
    "batch size zero": (["--batch-size", "0"], "batch.size must be at least 1, got 0"),
    "batch size negative": (["--batch-size", "-5"], "batch.size must be at least 1, got -5"),
    "batch size text": (["--batch-size", "some"], "--batch-size.*'some'"),
    "epochs": (["--epochs", "0"], "--epochs must be at least 1, got 0"),
    "epochs fraction": (["--epochs", "1.5"], "--epochs.*'1.5'"),
    "learning rate": (["--learning-rate", "-0.1"], "learning.rate must be finite and not negative, got -0.1"),
    "learning rate nan": (["--learning-rate", "nan"], "learning.rate must be finite and not negative, got nan"),
    "sampling": (["--sampling", "bootstrap"], "--sampling: .*'bootstrap'.*replacement"),
    "dtype": (["--dtype", "float16"], "--dtype: .*'float16'.*float64"),
    "threads": (["--threads", "0"], "must be from 1 to [0-9]+, got 0"),
    "threads too many": (["--threads", "1000000"], "must be from 1 to [0-9]+, got 1000000"),
    "seed": (["--seed", "-1"], "seed must be at least 0, got -1"),
    "target": (["--target", "price"], "--target is for tables, and .*idx holds images"),
    "patience": (["--patience", "3"], "--patience is for tables"),
    "plot": (["--plot", "no-such-folder/loss.png"], "--plot must .* existing folder, got .*no-such-folder"),
    "out": (["--out", "no-such-folder/net"], "--out must .* existing folder, got .*no-such-folder"),
    "out is a folder": (["--out", "."], "--out|directory"),
    "plot is a folder": (["--plot", "."], "--plot|directory"),
    "plot format": (["--plot", "loss.nonsense"], "--plot must name a file of type .*png.*; got loss.nonsense"),
    "one file for both": (["--plot", "both.png", "--out", "./both.png"], "--plot must not name the file of --out"),
    "layers beyond memory": (["--layers", "100000000000"], "[Uu]nable to allocate|memory"),
    "layers beyond integers": (["--layers", "9" * 30], "large"),
    "unknown option": (["--speed", "11"], "--speed"),
}


def status_of(arguments):
    try:
        return cli.main(arguments)
    except SystemExit as stopped:
        return stopped.code


@pytest.mark.parametrize("case", BAD)
def test_invalid_input_exits_with_2_and_a_message_without_traceback(data, tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    small = [str(data), "--layers", "5", "--epochs", "1", "--quiet"]
    assert status_of(["train", *small, *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert re.search("^fastfnn( train)?: ", error, re.MULTILINE)
    assert "Traceback" not in error
    assert not re.search(r"\b_\w+", error)  # messages do not show names of private functions


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "t10k-labels-idx1-ubyte").unlink(), "t10k-labels-idx1-ubyte: no such file"),
        (lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(b"PK"), "train-images-idx3-ubyte: expected"),
        (lambda folder: write_part(folder, "train", 0, seed=0), "idx.*empty|idx.*no |at least one"),
        (lambda folder: write_part(folder, "t10k", 0, seed=0), "idx.*empty|idx.*no |at least one"),
        (
            lambda folder: [write_part(folder, part, 0, 0) for part in ("train", "t10k")],
            "idx.*empty|idx.*no |at least one",
        ),
    ],
    ids=["missing", "broken", "no training samples", "no test samples", "no samples"],
)
def test_invalid_data_exits_with_2_and_a_message(data, capsys, damage, message):
    damage(data)
    assert train(data, "--quiet") == 2
    assert re.search(f"^fastfnn train: .*({message})", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["fly"]])
def test_an_unknown_command_exits_with_2(capsys, arguments):
    assert status_of(arguments) == 2
    assert re.fullmatch("fastfnn: .*; fastfnn --help explains\n", capsys.readouterr().err)


# info


def test_info_prints_the_configuration(capsys):
    assert cli.main(["info"]) == 0
    output = capsys.readouterr().out
    fnn.show_config()
    assert output == capsys.readouterr().out
    assert f"numpy            {np.__version__}\n" in output


# As it is installed


@pytest.mark.parametrize(("arguments", "status"), [(["info"], 0), (["train", "--epochs", "0"], 2)])
def test_the_exit_status_reaches_the_shell(tmp_path, arguments, status):
    result = run([*installed_command(), *arguments], tmp_path)
    assert result.returncode == status, result.stderr
    if status:
        assert result.stderr == "fastfnn train: --epochs must be at least 1, got 0\n"
    else:
        assert "threads" in result.stdout


@pytest.mark.parametrize("command", ["installed", "module"])
def test_the_version_is_that_of_the_package(tmp_path, command):
    start = installed_command() if command == "installed" else [sys.executable, "-m", "fastfnn"]
    assert run([*start, "--version"], tmp_path).stdout == f"fastfnn {fnn.__version__}\n"
    failed = run([*start, "train", "--epochs", "0"], tmp_path)
    assert (failed.returncode, failed.stderr) == (2, "fastfnn train: --epochs must be at least 1, got 0\n")


@pytest.mark.jit
def test_only_the_first_run_says_that_it_compiles(data, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    options = ["train", str(data), "--layers", "5", "--epochs", "1"]
    first, second = (run([*installed_command(), *options], tmp_path, NUMBA_CACHE_DIR=str(cache)) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stderr.startswith("fastfnn compiles ")
    assert "for this processor, not in its cache yet" in first.stderr
    assert first.stderr.count("\n") == 1, "what moves is for a terminal"
    assert "compil" not in first.stdout
    assert second.stderr == ""
    results = [re.search("test accuracy .*, test loss .* after", run.stdout)[0] for run in (first, second)]
    assert results[0] == results[1]


# compile


class FakeCompiler:
    """Takes the place of `backend.compile_kernels`: for a dtype it announces the kernels that are not there yet."""

    def __init__(self, monkeypatch, folder="/cache"):
        self.dtypes, self.compiled = [], set()
        monkeypatch.setattr(cli_compile.numba.config, "DISABLE_JIT", 0)
        monkeypatch.setattr(cli_compile.backend, "cache_folder", lambda: folder)
        monkeypatch.setattr(cli_compile.backend, "compile_kernels", self)

    def __call__(self, dtype):
        self.dtypes.append(dtype)
        with compiler_cache.counting(2) as count:
            for name in ("first", "second"):
                count()
                if (name, dtype) not in self.compiled:
                    compiler_cache.announce(name)
                    self.compiled.add((name, dtype))


def test_compile_says_what_it_compiled_and_where_it_is(monkeypatch, capsys):
    compiler = FakeCompiler(monkeypatch)
    assert cli.main(["compile"]) == 0
    assert re.fullmatch(r"float32: compiled 2 kernels in \d+\.\d s\ncache: /cache\n", capsys.readouterr().out)
    assert cli.main(["compile", "--dtype", "float64", "float32", "float64"]) == 0
    output = capsys.readouterr()
    assert re.fullmatch(
        r"float64: compiled 2 kernels in \d+\.\d s\nfloat32: already compiled\ncache: /cache\n", output.out
    )
    assert output.err == "", "what moves is for a terminal"
    assert compiler.dtypes == ["float32", "float64", "float32"]
    assert compiler_cache.compile_listeners == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_terminal_compile_says_how_far_it_is_and_leaves_no_trace(monkeypatch, capsys):
    FakeCompiler(monkeypatch)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli.main(["compile", "--dtype", "float64"]) == 0
    lines = [line.removesuffix("\x1b[K") for line in terminal.getvalue().split("\r")]
    assert lines == [
        "", "float64: compiling kernel 1 of 2, first", "float64: compiling kernel 2 of 2, second", "",
    ]  # fmt: skip
    shown = terminal.getvalue()
    assert cli.main(["compile", "--dtype", "float64"]) == 0
    assert terminal.getvalue() == shown, "nothing to wait for"


def test_compile_without_a_folder_or_a_compiler_is_an_error(monkeypatch, capsys):
    compiler = FakeCompiler(monkeypatch, folder=None)
    assert cli.main(["compile"]) == 2
    assert re.fullmatch("fastfnn compile: there is no folder .* NUMBA_CACHE_DIR\n", capsys.readouterr().err)
    assert (compiler.dtypes, compiler.compiled) == (["float32"], set()), "it stops at the first kernel"
    monkeypatch.setattr(cli_compile.numba.config, "DISABLE_JIT", 1)
    assert cli.main(["compile"]) == 2
    assert capsys.readouterr().err == "fastfnn compile: NUMBA_DISABLE_JIT is set: there is nothing to compile\n"
    assert compiler.dtypes == ["float32"]


def test_compile_is_content_with_a_complete_cache_that_cannot_be_written_to(monkeypatch, capsys):
    compiler = FakeCompiler(monkeypatch)
    assert cli.main(["compile"]) == 0
    capsys.readouterr()
    monkeypatch.setattr(cli_compile.backend, "cache_folder", lambda: None)
    assert cli.main(["compile"]) == 0
    assert capsys.readouterr().out == "float32: already compiled\ncache: complete, and read-only\n"
    assert compiler.dtypes == ["float32"] * 2


def test_help_of_compile_names_its_options_and_the_folder(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compile", "--help"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--dtype {float32,float64}" in text and "(default: float32)" in text
    assert "NUMBA_CACHE_DIR" in text


@pytest.mark.parametrize("arguments", [["--dtype"], ["--dtype", "float16"], ["float32"]])
def test_compile_refuses_other_dtypes(capsys, arguments):
    assert status_of(["compile", *arguments]) == 2
    assert "fastfnn compile: " in capsys.readouterr().err or arguments == ["float32"]


# What a process may need: networks of all activations, losses and rules, and the public functions.
EVERYTHING = """
import itertools
import numpy as np
import fastfnn as fnn
from fastfnn import backend, network
heard = []
rng = np.random.default_rng(0)
x, labels = rng.random((20, 5), np.float32), np.arange(20) % 3
rows = np.eye(3, dtype=np.float32)[labels]
targets = dict.fromkeys(backend.LOSSES, rows) | {"softmax_cross_entropy": labels}
losses = itertools.cycle(backend.LOSSES)
with backend.on_compilation(heard.append):
    for activation in network.HIDDEN_ACTIVATIONS:
        loss = next(losses)
        net = fnn.FNN((5, 4, 3), activation=activation, loss=loss, dtype="float32", dropout=0.5, batch_norm=True)
        net.fit(x, targets[loss], epochs=1, batch_size=7, validation_data=(x, targets[loss]))
        net.predict(x)
        net.gradient(x, targets[loss])
    for name in ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW"):
        for batch_size in (1, 20):
            optimizer = getattr(fnn, name)(0.01)
            fnn.FNN((5, 4, 3), dtype="float32").fit(x, labels, epochs=1, batch_size=batch_size, optimizer=optimizer)
print(*heard)
"""


@pytest.mark.jit
def test_after_compile_later_processes_compile_nothing(tmp_path):
    folder = tmp_path / "cache"
    command = [*installed_command(), "compile", "--dtype", "float32"]
    first = run(command, tmp_path, NUMBA_CACHE_DIR=str(folder))
    assert first.returncode == 0, first.stderr
    done = re.fullmatch(
        rf"float32: compiled (\d+) kernels in \d+\.\d s\ncache: ({re.escape(str(folder))}.*)\n", first.stdout
    )
    assert done and int(done[1]) > 60
    assert first.stderr == ""
    second = run(command, tmp_path, NUMBA_CACHE_DIR=str(folder))
    assert second.stdout == f"float32: already compiled\ncache: {done[2]}\n"
    later = run([sys.executable, "-c", EVERYTHING], tmp_path, NUMBA_CACHE_DIR=str(folder))
    assert later.returncode == 0, later.stderr
    assert later.stdout.split() == []
