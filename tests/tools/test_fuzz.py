"""tools/fuzz.py: that it sees small mistakes in every kind of result, survives crashes and hangs, and repeats cases."""

import contextlib
import functools
import json
import pathlib
import textwrap

import numpy as np
import pytest
from programs import TOOLS, tool

import fastfnn as fnn
import fastfnn.tabular
from fastfnn import FNN, files, kernels, layers, validation

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

fuzz, cases, shrinking = tool("fuzz"), tool("fuzz_cases"), tool("fuzz_shrink")
worker, rounding, network = tool("fuzz_worker"), tool("fuzz_rounding"), tool("fuzz_network")
wrong_input = tool("fuzz_wrong")

MOST_CASES = 150  # in ten seconds, about
MOST_SAMPLES = 100  # NumPy's threads and those of the kernels disturb each other in this process
THREADS = fnn.get_num_threads()


def found(kind, most=MOST_CASES, having=""):
    """What the first case of the kind that fails says, among small cases of a seed; None if there is none.

    Of cases that can show a mistake, their text has `having`.
    """
    run, count, number = worker.runner(kind), 0, 0
    while count < most:
        case = cases.draw(5, number)
        number += 1
        if case["kind"] == kind and case.get("samples", 0) <= MOST_SAMPLES and having in cases.describe(case):
            count += 1
            if wrong := run(case, THREADS, rounding.Comparison()):
                return wrong[0]
    return None


@pytest.mark.parametrize("kind", cases.KINDS if cases else [])
def test_correct_kernels_pass(kind):
    assert found(kind, 5) is None


def last_element(array):
    array[(-1,) * array.ndim] *= 1.001


def last_column(array):
    array[..., -1] = 0


def last_row(array):
    array[-1] = 0


# A function of the kernels, which argument of it is changed after the call, how, and which kind of case sees it.
MUTATIONS = [
    ("network_forward", 0, last_element, "network"),
    ("network_forward", 0, last_column, "network"),
    ("network_gradient", 0, last_element, "network"),
    ("train_steps", 0, last_element, "network"),
    ("train_steps", 4, last_element, "network"),  # the loss of the last step
    ("train_steps", 3, last_element, "network"),  # the running statistics
    ("affine_forward", 0, last_element, "kernel"),
    ("affine_forward", 0, last_column, "kernel"),
    ("affine_backward", 0, last_element, "kernel"),
    ("affine_backward", 1, last_row, "kernel"),
    ("affine_backward", 2, last_element, "kernel"),
    ("activation_forward", 0, last_element, "kernel"),
    ("activation_backward", 0, last_element, "kernel"),
    ("softmax_cross_entropy", 0, last_element, "kernel"),
    ("sigmoid_cross_entropy", 0, last_column, "kernel"),
    ("squared_error", 0, last_row, "kernel"),
    ("poisson", 0, last_element, "kernel"),
    ("quantile", 0, last_column, "kernel"),
    ("batch_norm_forward", 3, last_element, "kernel"),
    ("batch_norm_backward", 0, last_column, "kernel"),
    ("adam_update", 0, last_element, "kernel"),
    ("adagrad_update", 1, last_element, "kernel"),
    ("dropout_mask", 0, last_element, "kernel"),
    ("affine_backward", 1, last_element, "layers"),
    ("tanh_backward", 0, last_row, "layers"),
    ("batch_norm_backward", 1, last_element, "layers"),
    ("tabular_forward", 0, last_element, "tabular"),
    ("tabular_gradient", 0, last_element, "tabular"),
    ("tabular_steps", 0, last_element, "tabular"),
    ("tabular_steps", 3, last_element, "tabular"),  # the loss of the last step
]
# What a case must have to show it.
HAVING = {"train_steps 3": "batch_norm", "tanh_backward 0": "Tanh", "batch_norm_backward 1": "batch_norm"}
HAVING |= {"softmax_cross_entropy 0": "softmax", "sigmoid_cross_entropy 0": "sigmoid", "squared_error 0": "squared"}
HAVING |= {"poisson 0": "poisson", "quantile 0": "quantile"}
HAVING |= {"adam_update 0": '"adam"', "adagrad_update 1": "adagrad", "batch_norm_backward 0": "batch_norm"}
HAVING |= {"train_steps 19": "Adam", "train_steps 8": "sample_weight", "network_gradient 11": "dropout"}
HAVING |= {"tabular_gradient 11": "dropout"}


@pytest.mark.parametrize(("name", "argument", "change", "kind"), MUTATIONS)
def test_a_small_mistake_in_a_kernel_is_found(monkeypatch, name, argument, change, kind):
    right = getattr(kernels, name)

    def wrong(*arguments):
        result = right(*arguments)
        if arguments[argument].size:
            change(arguments[argument])
        return result

    monkeypatch.setattr(kernels, name, wrong)
    assert found(kind, having=HAVING.get(f"{name} {argument}", ""))


# Mistakes in the arguments of a kernel: its name, the argument, and what a wrong caller would hand over.
ARGUMENTS = [
    ("network_loss", 2, lambda targets: np.roll(targets, 1, axis=0)),  # targets of other samples
    ("network_gradient", 4, lambda targets: np.roll(targets, 1, axis=0)),
    ("train_steps", 7, lambda targets: np.roll(targets, 1, axis=0)),
    ("train_steps", 11, lambda rates: rates * 1.001),
    ("train_steps", 18, lambda batch: max(batch - 1, 1)),
    ("train_steps", 19, lambda steps: steps + 1),  # the steps before, which Adam and dropout depend on
    ("train_steps", 8, lambda weights: weights[:0]),
    ("network_gradient", 11, lambda step: step + 1),
    ("tabular_gradient", 3, lambda targets: np.roll(targets, 1, axis=0)),
    ("tabular_gradient", 11, lambda step: step + 1),
    ("tabular_steps", 8, lambda rates: rates * 1.001),
]


@pytest.mark.parametrize(("name", "argument", "change"), ARGUMENTS)
def test_a_wrong_argument_of_a_kernel_is_found(monkeypatch, name, argument, change):
    right = getattr(kernels, name)

    def wrong(*arguments):
        return right(*arguments[:argument], change(arguments[argument]), *arguments[argument + 1 :])

    monkeypatch.setattr(kernels, name, wrong)
    kind = "tabular" if name.startswith("tabular") else "network"
    assert found(kind, having=HAVING.get(f"{name} {argument}", ""))


@pytest.mark.skipif(THREADS == 1, reason="needs two threads")
@pytest.mark.parametrize(("name", "kind"), [("network_forward", "network"), ("affine_forward", "kernel")])
def test_a_bit_that_depends_on_the_threads_is_found(monkeypatch, name, kind):
    right = getattr(kernels, name)

    def wrong(out, *arguments):
        right(out, *arguments)
        if out.size and fnn.get_num_threads() == 1:
            out[0, 0] = np.nextafter(out[0, 0], out.dtype.type(9))

    monkeypatch.setattr(kernels, name, wrong)
    assert "other bits" in found(kind)


def test_predictions_of_tables_that_are_not_finite_are_found(monkeypatch):
    monkeypatch.setattr(kernels, "tabular_forward", lambda out, *arguments: out.fill(np.nan))
    assert found("table") == "predictions are not finite"


def test_other_predictions_of_a_table_after_loading_are_found(monkeypatch):
    right = fastfnn.tabular.load

    def wrong(path):
        model = right(path)
        model.networks_[0].params[-1] += 1
        return model

    monkeypatch.setattr(fastfnn.tabular, "load", wrong)
    assert found("table") == "other bits after save and load"


def test_a_changed_input_is_found(monkeypatch):
    right = kernels.affine_forward

    def wrong(out, x, *arguments):
        right(out, x, *arguments)
        if x.size:
            x[0, 0] += 1

    monkeypatch.setattr(kernels, "affine_forward", wrong)
    with pytest.raises(AssertionError, match="x was changed"):
        found("kernel")


def test_a_write_beside_an_output_is_found(monkeypatch):
    right = kernels.affine_forward

    def wrong(out, *arguments):
        right(out, *arguments)
        if out.shape[0] > 1 and out.base is not None and out.base.ndim == 2:
            out.base[0, 0] = 0

    monkeypatch.setattr(kernels, "affine_forward", wrong)
    assert "outside the outputs" in found("kernel")


def test_an_argument_that_is_not_checked_is_found(monkeypatch):
    monkeypatch.setattr(validation, "integer", lambda name, value, least: value)
    assert found("wrong")


def test_a_message_without_the_name_is_found(monkeypatch):
    right = validation.real_array
    monkeypatch.setattr(validation, "real_array", lambda name, value, dtype: right("the array", value, dtype))
    assert "does not name the argument" in found("wrong")


def test_a_network_that_a_failing_call_has_changed_is_found(monkeypatch):
    right = FNN.fit

    @functools.wraps(right)
    def wrong(self, *arguments, **options):
        self._rng.random()
        return right(self, *arguments, **options)

    monkeypatch.setattr(FNN, "fit", wrong)
    assert "has changed" in found("wrong")


def test_other_bits_in_a_file_are_found(monkeypatch):
    right = files.SavedNetwork.copy_into

    def wrong(self, arrays):
        right(self, arrays)
        arrays["b1"][...] = 0

    monkeypatch.setattr(files.SavedNetwork, "copy_into", wrong)
    assert "other bits" in found("file")


def test_a_damaged_file_that_raises_something_else_is_found(monkeypatch):
    right = files.opened

    @contextlib.contextmanager
    def wrong(path):
        try:
            with right(path) as saved:
                yield saved
        except ValueError as error:
            raise KeyError(str(error)) from error

    monkeypatch.setattr(files, "opened", wrong)
    with pytest.raises(KeyError):
        found("file")


def test_a_wrong_layer_of_the_book_is_found(monkeypatch):
    right = layers.Relu.backward
    monkeypatch.setattr(layers.Relu, "backward", lambda self, dout: 1.001 * right(self, dout))
    assert "backward" in found("layers")


# Cases


def test_a_case_depends_on_seed_and_number_alone():
    drawn = [cases.draw(1, number) for number in range(200)]
    assert drawn == [cases.draw(1, number) for number in range(200)]
    assert drawn != [cases.draw(2, number) for number in range(200)]
    assert drawn == [json.loads(cases.describe(case)) for case in drawn]
    assert {case["kind"] for case in drawn} == set(cases.KINDS)


def test_cases_cover_what_they_should():
    text = " ".join(cases.describe(cases.draw(1, number)) for number in range(3000))
    names = [
        *cases.ACTIVATIONS,
        *cases.GIVEN,
        *cases.LOSSES,
        *cases.JUMPING_LOSSES,
        cases.OWN_LOSS,
        *cases.DTYPES,
        *cases.LAYOUTS,
        *cases.OPTIMIZERS,
        *cases.COLUMNS,
        *cases.TARGETS,
        *cases.CONTAINERS,
    ]
    names += [*cases.INPUT_DTYPES, *cases.LABEL_DTYPES, *cases.SCHEDULES, *cases.KERNELS]
    assert [name for name in names if f'"{name}"' not in text] == []


def test_a_case_shrinks_to_what_makes_it_fail():
    case = {"kind": "network", "seed": 1, "inputs": 300, "hidden": [[17, "tanh"], [33, "gelu"], [5, "relu"]]}
    case |= {
        "outputs": 10,
        "loss": "squared_error",
        "samples": 1000,
        "dropout": 0.5,
        "batch_norm": True,
        "x": {"layout": "F"},
    }
    case |= {"fit": {"optimizer": "Adam", "batch_size": 64}}

    def failing(candidate):
        return candidate["samples"] > 20 and any(name == "gelu" for _, name in candidate["hidden"])

    assert shrinking.shrink(case, failing) == {
        "kind": "network", "seed": 1, "inputs": 1, "hidden": [[1, "gelu"]], "outputs": 1, "loss": "squared_error",
        "samples": 21, "x": {},
    }  # fmt: skip


# The process that runs cases


@pytest.fixture
def with_worker(tmp_path, monkeypatch):
    """A function that runs fuzz.py with a worker that answers a case by the Python statements that are given."""

    def run(statements, *arguments):
        program = f"""
            import os, sys, time
            sys.path.insert(0, {str(TOOLS)!r})
            from child import serve
            def answer(request):
                case, wrong = request["case"], []
                {statements}
                return {{"wrong": wrong, "compared": 1, "loose": 0}}
            serve(lambda: answer)
        """
        (tmp_path / "worker.py").write_text(textwrap.dedent(program))
        monkeypatch.setattr(fuzz, "WORKER", tmp_path / "worker.py")
        said = []
        return fuzz.main(["--seed", "3", *arguments], said.append), said

    return run


def test_a_crash_is_attributed_to_its_case_and_the_others_run(with_worker, monkeypatch):
    monkeypatch.setattr(fuzz, "SHRINK_SECONDS", 0)
    status, said = with_worker("if case['kind'] == 'file': os.abort()", "--seconds", "1")
    assert status == 1
    failures = [line for line in said if line.startswith("FAILED")]
    assert failures and all("(file): crash: the process ended with -6" in line for line in failures)
    number = int(failures[0].split()[2])
    assert cases.draw(3, number)["kind"] == "file"
    assert said[1] == f"    python tools/fuzz.py --seed 3 --case {number}"
    assert "network" in said[-1] and f"{len(failures)} failed" in said[-1]


def test_a_hang_is_found(with_worker, monkeypatch):
    monkeypatch.setattr(fuzz, "HANG_SECONDS", 1)
    monkeypatch.setattr(fuzz, "SHRINK_SECONDS", 0)
    status, said = with_worker("time.sleep(60)", "--case", "0")
    assert status == 1
    assert "hang: no answer in 1 seconds" in said[1]


def test_a_failure_is_shrunk_once_and_its_command_repeats_it(with_worker):
    statements = "wrong = ['predict at [0] is 1'] if case.get('samples', 0) > 3 else []"
    status, said = with_worker(statements, "--seconds", "1")
    assert status == 1
    commands = [line.split("--run ")[1].strip("'") for line in said if "--run" in line]
    kinds = {json.loads(command)["kind"] for command in commands}
    assert len(commands) == len(kinds) and all(json.loads(command)["samples"] == 4 for command in commands)
    assert with_worker(statements, "--run", commands[0])[0] == 1
    assert with_worker(statements, "--run", json.dumps(json.loads(commands[0]) | {"samples": 3}))[0] == 0


def test_a_worker_that_does_not_start_is_a_failure(with_worker):
    assert with_worker("syntax error", "--case", "0")[0] == 1


def test_a_run_of_no_cases_is_no_success(with_worker):
    assert with_worker("pass", "--seconds", "0")[0] == 1


def test_cases_run_in_a_process():
    said = []
    assert fuzz.main(["--seconds", "3", "--seed", "11"], said.append) == 0, "\n".join(said)
    assert " 0 failed; " in said[-1]


def test_files_that_odd_values_name_are_not_left_behind(monkeypatch, tmp_path):
    written = []

    def write(*arguments):
        written.append(pathlib.Path("relu").write_text("a network"))
        return []

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wrong_input, "_method", write)
    monkeypatch.setattr(wrong_input, "_constructor", write)
    assert wrong_input.run({"kind": "wrong", "seed": 1, "calls": 3}, THREADS, rounding.Comparison()) == []
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []
