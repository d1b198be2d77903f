"""Threads: the same bits for every number of them, forks, two Python threads, how work is divided."""

import concurrent.futures
import hashlib
import itertools
import json
import os
import threading

import numpy as np
import pytest
from helpers import normal, poisoned, run_python
from hypothesis import given
from hypothesis import strategies as st

from fastfnn import kernels
from fastfnn.kernels import threads
from fastfnn.kernels import training as training_module
from fastfnn.kernels.network import LARGE_WEIGHT

ACTIVATION_NAMES = ("sigmoid", "tanh", "relu")  # the identity is NumPy's copy, on one thread
NETWORK = np.array([40, 50, 10]), np.array([3, 0])  # ReLU, identity
COUNT = 4  # threads of the child processes, whatever the machine has


def inputs(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [normal(rng, shape, dtype) for shape in shapes]


# Each case: dtype -> everything that a kernel writes, at a size that is worth many threads, which divide it unevenly.


def affine_forward(dtype):
    x, weight, bias = inputs(dtype, (301, 70), (70, 53), 53)
    out = poisoned((301, 53), dtype)
    kernels.affine_forward(out, x, weight, bias)
    return [out]


def affine_backward(dtype):
    grad_out, x, weight = inputs(dtype, (301, 53), (301, 70), (70, 53))
    outputs = [poisoned(shape, dtype) for shape in ((301, 70), (70, 53), 53)]
    kernels.affine_backward(*outputs, grad_out, x, weight)
    return outputs


def activation_forward(name):
    def case(dtype):
        (x,) = inputs(dtype, (401, 503))
        out = poisoned(x.shape, dtype)
        getattr(kernels, name)(out, x)
        return [out]

    return case


def activation_backward(name):
    def case(dtype):
        grad_out, out = inputs(dtype, (401, 503), (401, 503))
        grad_x = poisoned(out.shape, dtype)
        getattr(kernels, name)(grad_x, grad_out, out)
        return [grad_x]

    return case


def loss(name, labels=False):
    def case(dtype):
        logits, targets = inputs(dtype, (20_011, 10), (20_011, 10))
        grad = poisoned(logits.shape, dtype)
        return [getattr(kernels, name)(grad, logits, targets.argmax(axis=1) if labels else abs(targets)), grad]

    return case


def sgd_update(dtype):
    param, grad = inputs(dtype, (401, 503), (401, 503))
    kernels.sgd_update(param, grad, 0.1)
    return [param]


def network_inputs(dtype):
    params, x = inputs(dtype, 41 * 50 + 51 * 10, (301, 40))
    return params, x, np.arange(301) % 10


def network_forward(dtype):
    params, x, _ = network_inputs(dtype)
    out = poisoned((301, 10), dtype)
    kernels.network_forward(out, params, x, *NETWORK)
    return [out]


def network_gradient(dtype):
    params, x, labels = network_inputs(dtype)
    grad_params = poisoned(params.shape, dtype)
    return [kernels.network_gradient(grad_params, params, x, labels, *NETWORK, 0), grad_params]


def train_steps(dtype):
    params, x, labels = network_inputs(dtype)
    order = np.random.default_rng(1).permutation(301)
    step_losses = np.full(5, np.nan)
    first, second = np.zeros_like(params), np.zeros_like(params)
    settings = np.array([0.01, 0.9, 0.999, 1e-8, 0.0, 0.0])
    adam = kernels.OPTIMIZERS.index("adam")
    kernels.train_steps(params, first, second, step_losses, x, labels, order, *NETWORK, settings, 0, adam, 67, 0)
    return [params, step_losses]


def random_network(dtype, sizes, samples):
    """Parameters, samples, targets, and the description of a network of tanh and, at the end, the identity."""
    count = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    params, x, targets = inputs(dtype, count, (samples, sizes[0]), (samples, sizes[-1]))
    params *= dtype.type(0.125)
    codes = np.array([kernels.ACTIVATIONS.index("tanh")] * (len(sizes) - 2) + [0])
    return params, x, targets, np.array(sizes), codes


def training(optimizer, sizes, samples, batch_size):
    """Steps with an L2 penalty, on samples in an order, the last of which may be a small batch."""

    def case(dtype):
        params, x, targets, *description = random_network(dtype, sizes, samples)
        order = np.random.default_rng(1).permutation(samples)
        step_losses = np.full(-(-samples // batch_size), np.nan)
        first, second = np.zeros_like(params), np.zeros_like(params)
        settings = np.array([0.01, 0.9, 0.999, 1e-8, 0.0, 0.01])
        codes = kernels.LOSSES.index("squared_error"), kernels.OPTIMIZERS.index(optimizer)
        kernels.train_steps(
            params, first, second, step_losses, x, targets, order, *description, settings, *codes, batch_size, 0
        )
        return [params, first, second, step_losses]

    return case


def gradient_of_a_tall_batch(dtype):
    params, x, targets, *description = random_network(dtype, (4, 32, 16, 4), 2001)
    grad_params = poisoned(params.shape, dtype)
    squared_error = kernels.LOSSES.index("squared_error")
    return [kernels.network_gradient(grad_params, params, x, targets, *description, squared_error), grad_params]


def forward_of_a_wide_network(dtype):
    params, x, _, *description = random_network(dtype, (300, 400, 400, 10), 300)
    out = poisoned((300, 10), dtype)
    kernels.network_forward(out, params, x, *description)
    return [out]


CASES = {
    "affine_forward": affine_forward,
    "affine_backward": affine_backward,
    **{f"{name}_forward": activation_forward(f"{name}_forward") for name in ACTIVATION_NAMES},
    **{f"{name}_backward": activation_backward(f"{name}_backward") for name in ACTIVATION_NAMES},
    "softmax": activation_forward("softmax"),
    "softmax_cross_entropy": loss("softmax_cross_entropy"),
    "softmax_cross_entropy of labels": loss("softmax_cross_entropy", labels=True),
    "sigmoid_cross_entropy": loss("sigmoid_cross_entropy"),
    "squared_error": loss("squared_error"),
    "sgd_update": sgd_update,
    "network_forward": network_forward,
    "network_gradient": network_gradient,
    "train_steps": train_steps,
    "network_forward, wide": forward_of_a_wide_network,
    "network_gradient of a tall batch": gradient_of_a_tall_batch,
    "train_steps on tall batches": training("adam", (4, 32, 16, 4), 4101, 2000),  # the last is not tall
    "train_steps, weights divided by columns": training("sgd", (300, 400, 400, 10), 150, 64),
    "train_steps, weights divided by columns, with state": training("adam", (300, 400, 400, 10), 70, 64),
    "train_steps on one sample": training("sgd", (810, 830, 10), 5, 1),
    "train_steps on one sample, three layers": training("sgd", (610, 640, 640, 10), 5, 1),
    "train_steps on one sample, with state": training("momentum", (600, 700, 10), 3, 1),
}


def digest(arrays):
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


def print_digests():
    """Run in a child: for each case, float32 and float64, the digest of the results for every number of threads."""
    results = {}
    for name, case in CASES.items():
        for dtype in ("float32", "float64"):
            results[f"{name} {dtype}"] = digests = {}
            for count in range(1, threads.max_threads() + 1):
                threads.set_num_threads(count)
                digests[count] = digest(case(np.dtype(dtype)))
    print(json.dumps({"layer": threads.threading_layer(), "results": results}))


@pytest.fixture(scope="module")
def digests():
    return json.loads(run_python("import test_threads; test_threads.print_digests()", NUMBA_NUM_THREADS=COUNT))


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_every_number_of_threads_gives_the_same_bits(digests, name, dtype):
    results = digests["results"][f"{name} {dtype}"]
    assert list(results) == [str(count) for count in range(1, COUNT + 1)]
    assert len(set(results.values())) == 1, results


@pytest.mark.jit
@pytest.mark.parametrize("name", CASES)
def test_this_process_gives_the_same_bits_as_another(digests, name):
    assert digest(CASES[name](np.dtype("float32"))) == digests["results"][f"{name} float32"]["1"]


@pytest.mark.jit
def test_every_threading_layer_gives_the_same_bits(digests):
    other = json.loads(
        run_python(
            "import test_threads; test_threads.print_digests()",
            NUMBA_NUM_THREADS=2,
            NUMBA_THREADING_LAYER="workqueue",
        )
    )
    assert other["layer"] == "workqueue"
    for name, results in other["results"].items():
        assert set(results.values()) == set(digests["results"][name].values()), name


@pytest.mark.jit
def test_the_cases_are_large_enough_for_every_thread():
    """Else the comparison of bits would compare the serial kernel with itself."""
    code = """
import sys, numpy as np, test_threads
from fastfnn.kernels import threads
answers = []
original = threads.threads_for
def recorded(operations):
    answers.append(original(operations))
    return answers[-1]
for name, module in list(sys.modules.items()):
    if name.startswith("fastfnn.kernels") and hasattr(module, "threads_for"):
        module.threads_for = recorded
for name, case in test_threads.CASES.items():
    answers.clear()
    case(np.dtype("float32"))
    assert answers and answers[-1] == threads.max_threads() == 4, (name, answers)
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


def test_the_cases_take_every_form():
    assert training_module._tall_groups(2000, (5 * 32 + 33 * 16 + 17 * 4) * 8) > 0
    assert training_module._tall_groups(64, 10_000) == 0
    for weight in (300 * 400, 400 * 400):
        assert weight * 4 >= LARGE_WEIGHT


FORK = """
import os, numpy as np, test_threads
from fastfnn.kernels import threads
float32 = np.dtype("float32")
want = {name: test_threads.digest(case(float32)) for name, case in test_threads.CASES.items()}
assert threads.get_num_threads() == 4

def works():
    for name, case in test_threads.CASES.items():
        if test_threads.digest(case(float32)) != want[name]:
            return False
    return True

def fork(work):
    child = os.fork()
    if child == 0:
        status = 3
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0

assert fork(works), "the child died or got other results"
assert fork(lambda: fork(works)), "the grandchild died or got other results"
assert works(), "the parent does not work any more"
assert threads.get_num_threads() == 4
"""


@pytest.mark.jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_can_run_kernels():
    run_python(FORK, NUMBA_NUM_THREADS=COUNT, NUMBA_THREADING_LAYER_PRIORITY="omp tbb workqueue")


@pytest.mark.jit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_of_a_parent_that_ran_nothing_can_run_kernels():
    code = """
import os, numpy as np, test_threads
child = os.fork()
if child == 0:
    status = 3
    try:
        test_threads.affine_forward(np.dtype("float32"))
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
test_threads.affine_forward(np.dtype("float32"))
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


def call_from_python_threads(count=4, repetitions=10):
    """Raise if kernels that several Python threads call at once give other results than alone."""
    dtype = np.dtype("float32")
    cases = [affine_forward, affine_backward, network_gradient, train_steps]
    want = [digest(case(dtype)) for case in cases]
    together = threading.Barrier(count)

    def work(offset):
        together.wait()
        for number in range(repetitions):
            index = (number + offset) % len(cases)
            assert digest(cases[index](dtype)) == want[index], cases[index].__name__

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, offset) for offset in range(count)]:
            future.result()


@pytest.mark.jit
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_several_python_threads_may_call_kernels_at_once(layer):
    """Numba's workqueue ends the process where two threads enter it at once."""
    run_python(
        "import test_threads; test_threads.call_from_python_threads()",
        NUMBA_NUM_THREADS=COUNT,
        NUMBA_THREADING_LAYER=layer,
    )


@given(st.integers(0, 2_000), st.integers(1, 130))
def test_share_divides_everything_and_evenly(count, parts):
    shares = [threads.share(count, parts, index) for index in range(parts)]
    assert shares[0][0] == 0 and shares[-1][1] == count
    assert all(before[1] == after[0] for before, after in itertools.pairwise(shares))
    lengths = [stop - start for start, stop in shares]
    assert max(lengths) - min(lengths) <= 1


@pytest.fixture
def restored():
    """Give the number of threads back."""
    count = threads._limit
    yield
    threads.set_num_threads(count)


def test_small_work_gets_one_thread():
    assert threads.threads_for(0) == threads.threads_for(1) == threads.threads_for(2 * threads.GRAIN - 1) == 1


def test_large_work_gets_all_threads_that_are_allowed(restored):
    assert threads.threads_for(10**12) == threads.get_num_threads() <= threads.max_threads()
    threads.set_num_threads(1)
    assert threads.threads_for(10**12) == threads.get_num_threads() == 1


@pytest.mark.jit
def test_threads_grow_with_the_work_up_to_the_limit():
    code = """
from fastfnn.kernels import threads
counts = [threads.threads_for(operations) for operations in range(0, 10 * threads.GRAIN, 1000)]
assert counts == sorted(counts) and set(counts) == {1, 2, 3, 4}, counts
assert all(count == 1 or count * threads.GRAIN <= 1000 * number for number, count in enumerate(counts))
threads.set_num_threads(3)
assert threads.get_num_threads() == threads.threads_for(10**12) == 3
assert threads.max_threads() == 4
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)


@pytest.mark.jit
def test_workqueue_runs_everything_on_one_thread():
    code = """
from fastfnn.kernels import threads
assert threads.threading_layer() == "workqueue"
assert threads.must_be_serial() and threads.get_num_threads() == threads.threads_for(10**12) == 1
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT, NUMBA_THREADING_LAYER="workqueue")


@pytest.mark.jit
def test_numba_keeps_its_own_number_of_threads():
    code = """
import numba, numpy as np, test_threads
from fastfnn.kernels import threads
for count in (4, 2, 1):
    threads.set_num_threads(count)
    test_threads.affine_forward(np.dtype("float32"))
    assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS == 4
"""
    run_python(code, NUMBA_NUM_THREADS=COUNT)
