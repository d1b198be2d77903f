"""Activation: a user's two functions on arrays, in FN, in networks and in files; invalid arguments."""

import math

import numpy as np
import pytest
from helpers import NOJIT

import fastfnn as fnn


def forward(x):
    return math.log1p(math.exp(x))


def of_input(x):
    return 1 / (1 + math.exp(-x))


def of_both(x, y):
    return 1 - math.exp(-y)


def one_minus_square(x, y):
    return 1 - y * y


SOFTPLUS = {"of x": fnn.Activation(forward, of_input, "softplus"), "of x and y": fnn.Activation(forward, of_both)}
CUBE = fnn.Activation(lambda x: x**3 / 9, lambda x: x * x / 3, name="cube")


def data(dtype="float32", samples=60):
    rng = np.random.default_rng(0)
    return rng.standard_normal((samples, 5)).astype(dtype), rng.integers(0, 3, samples)


def curve(activation, **options):
    x, t = data(options.get("dtype", "float32"))
    net = fnn.FNN(
        (5, 17, 9, 3), activation=activation, seed=1, **options
    )  # widths that are not multiples of the vector width
    return net.fit(x, t, epochs=4, batch_size=16, optimizer=fnn.Adam(0.01)).step_loss


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-13)])
@pytest.mark.parametrize("kind", SOFTPLUS)
def test_training_equals_that_of_the_same_built_in_activation(kind, dtype, rtol):
    np.testing.assert_allclose(curve(SOFTPLUS[kind], dtype=dtype), curve("softplus", dtype=dtype), rtol=rtol)


def test_training_with_a_new_activation_agrees_with_the_reference():
    want = curve((CUBE, "tanh"), dtype="float64", backend="reference")
    np.testing.assert_allclose(curve((CUBE, "tanh"), dtype="float64"), want, rtol=1e-12)
    assert abs(curve("tanh", dtype="float64") - want).max() > 0.1


@pytest.mark.parametrize("activation", [CUBE, SOFTPLUS["of x and y"]], ids=repr)
def test_gradient_matches_central_differences(activation):
    x, t = data(samples=7)
    net = fnn.FNN((5, 6, 3), activation=activation, seed=2, dtype="float64")
    want = net.numerical_gradient(x, t)
    for name, got in net.gradient(x, t).items():
        np.testing.assert_allclose(got, want[name], atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (0, 3)])
def test_an_activation_of_an_array_keeps_its_shape(shape, dtype):
    x = np.asarray(np.random.default_rng(3).standard_normal(shape), dtype)
    for got, want in ((CUBE(x), x**3 / 9), (CUBE.derivative_at(x), x * x / 3)):
        assert got.shape == shape and got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps)


def test_an_activation_of_a_number_is_a_number():
    assert isinstance(CUBE(3), np.float64) and CUBE(3) == 3
    assert isinstance(CUBE.derivative_at(np.float32(3)), np.float32) and CUBE.derivative_at(3) == 3


def test_strided_and_integer_arrays_are_accepted():
    x = np.arange(24).reshape(4, 6)
    np.testing.assert_allclose(CUBE(x[::2, ::-1]), x[::2, ::-1] ** 3 / 9)


def test_the_array_is_not_changed():
    x = np.ones((2, 3), np.float32)
    CUBE(x), CUBE.derivative_at(x)
    np.testing.assert_array_equal(x, 1)


def test_an_activation_works_in_fn():
    got = fnn.FN([[1.0, 2.0]], [3.0], CUBE)([1.0, 1.0])
    np.testing.assert_allclose(got, [24.0])


def test_a_network_shows_and_saves_the_name_of_an_activation(tmp_path, capsys):
    net = fnn.FNN((5, 4, 3), activation=CUBE, seed=0)
    net.summary()
    assert "cube" in capsys.readouterr().out and "cube" in repr(net)
    net.save(tmp_path / "net.safetensors")
    x, _ = data()
    loaded = fnn.load(tmp_path / "net.safetensors", activations=[CUBE])
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    with pytest.raises(ValueError, match="activations must hold the network's own activation 'cube'"):
        fnn.load(tmp_path / "net.safetensors")


def test_the_default_name_is_that_of_the_function():
    assert fnn.Activation(forward, of_input).name == "forward" and repr(CUBE) == "Activation(cube)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((forward, "of_input"), TypeError, "^derivative must be a Python function .* of 1 or 2 numbers, got str$"),
        ((fnn.FNN, of_input), TypeError, "^forward must be a Python function or a NumPy ufunc of 1 number, got type$"),
        ((of_both, of_input), ValueError, r"^forward must take 1 number, got a function of \(x, y\)$"),
        ((forward, lambda: 1.0), ValueError, r"^derivative must take 1 or 2 numbers, got a function of \(\)$"),
        ((lambda x, slope=2: slope * x, of_input), ValueError, "^forward must take 1 number, got a function of"),
        ((lambda *x: x[0], of_input), ValueError, "^forward must take 1 number, got a function of"),
        ((np.add, np.cos), ValueError, "^forward must take 1 number .*, got the ufunc add of 2 inputs and 1 outputs$"),
        (
            (np.sin, np.modf),
            ValueError,
            "^derivative must take 1 or 2 .*, got the ufunc modf of 1 inputs and 2 outputs$",
        ),
        ((math.hypot, np.cos), ValueError, "^forward must take 1 number, got "),
        ((forward, of_input, 3), TypeError, "^name must be a str, got int$"),
    ],
)
def test_invalid_arguments_of_activation_are_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        fnn.Activation(*arguments)


FROM_NUMPY_OR_MATH = {
    "ufuncs": ((np.sin, np.cos), (lambda x: math.sin(x), lambda x: math.cos(x))),
    "a ufunc that has vector code here": (
        (np.tanh, lambda x, y: 1 - y * y),
        (lambda x: math.tanh(x), one_minus_square),
    ),
    "a ufunc of x and y": ((lambda x: x**3 / 3, np.divide), (lambda x: x**3 / 3, lambda x, y: x / y)),
    "functions of math": ((math.sin, math.cos), (np.sin, np.cos)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", FROM_NUMPY_OR_MATH)
def test_ufuncs_and_functions_of_math_are_like_python_functions_that_call_them(case, dtype):
    given, written = (fnn.Activation(*pair) for pair in FROM_NUMPY_OR_MATH[case])
    x = np.linspace(-2, 2, 39, dtype=dtype)
    for got, want in ((given(x), written(x)), (given.derivative_at(x), written.derivative_at(x))):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps)
    x, t = data(dtype)
    for backend in ("kernels", "reference"):
        nets = [fnn.FNN((5, 7, 3), activation=f, dtype=dtype, seed=0, backend=backend) for f in (given, written)]
        curves = [net.fit(x, t, epochs=2, batch_size=16).step_loss for net in nets]
        np.testing.assert_allclose(*curves, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_the_name_of_a_ufunc_or_of_a_function_of_math_is_the_default():
    assert fnn.Activation(np.sin, np.cos).name == fnn.Activation(math.sin, math.cos).name == "sin"
    assert fnn.Activation(np.sin, np.cos, name="wave").name == "wave"


@pytest.mark.skipif(NOJIT, reason="Python runs what Numba cannot compile")
def test_a_ufunc_that_cannot_be_compiled_raises_an_error_with_its_argument():
    halved = np.frompyfunc(lambda x: x / 2, 1, 1)
    with pytest.raises(ValueError, match=r"^forward must be a Python function, or a ufunc that Numba can compile, got"):
        fnn.FNN((5, 4, 3), activation=fnn.Activation(halved, np.cos))


def asks(x):
    slope = input("slope")
    return x * float(slope)


@pytest.mark.skipif(NOJIT, reason="Python runs what Numba cannot compile")
@pytest.mark.parametrize("use", [lambda f: fnn.FNN((5, 4, 3), activation=f), lambda f: f(np.ones(3))])
def test_an_activation_that_cannot_be_compiled_raises_an_error_with_the_line(use):
    broken = fnn.Activation(asks, of_input)
    with pytest.raises(
        ValueError, match=r"(?s)^forward must be a function that Numba can compile: .*slope = input\(\"slope\"\)"
    ):
        use(broken)
