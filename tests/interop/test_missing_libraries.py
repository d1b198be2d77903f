"""No library of others is imported before it is needed; where it is missing, the error says how to install it."""

import pathlib
import sys

import pytest
from helpers import run_python

import fastfnn as fnn
from fastfnn import interop


def test_fastfnn_imports_none_of_them():
    code = (
        "import sys, fastfnn, fastfnn.sklearn, fastfnn.interop\n"
        "print({'onnx', 'onnxruntime', 'torch', 'keras'} & set(sys.modules))\n"
        "print([name for name in sys.modules if name.startswith('fastfnn.interop.')])"
    )
    assert run_python(code).split() == ["set()", "[]"]


def test_a_name_that_is_imported_later_is_like_any_other():
    code = (
        "import fastfnn\n"
        "print({'from_torch', 'from_keras', 'from_sklearn'} <= set(dir(fastfnn)))\n"
        "from fastfnn import from_torch, from_keras, from_sklearn\n"
        "print(fastfnn.from_torch is from_torch)\n"
        "from fastfnn import *\n"
        "print(from_keras is fastfnn.from_keras)"
    )
    assert run_python(code).split() == ["True"] * 3
    with pytest.raises(AttributeError, match="module 'fastfnn' has no attribute 'from_nothing'"):
        fnn.from_nothing  # noqa: B018


@pytest.mark.parametrize(
    "library, call, message",
    [
        ("torch", lambda: fnn.from_torch(None), "fastfnn.from_torch needs PyTorch: pip install torch"),
        ("torch", lambda: fnn.FNN((2, 3)).to_torch(), "FNN.to_torch needs PyTorch: pip install torch"),
        ("keras", lambda: fnn.from_keras(None), "fastfnn.from_keras needs Keras: pip install keras"),
        ("onnx", lambda: fnn.FNN((2, 3)).to_onnx("x.onnx"), "need the package onnx: pip install 'fastfnn[onnx]'"),
        ("fastfnn.sklearn", lambda: fnn.from_sklearn(None), "needs scikit-learn: pip install 'fastfnn[sklearn]'"),
    ],
)
def test_the_error_without_a_library_says_how_to_install_it(library, call, message, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        call()
    assert message in str(caught.value)


def test_the_package_names_its_modules():
    folder = pathlib.Path(interop.__file__).parent
    missing = [path.name for path in folder.glob("*.py") if path.name not in interop.__doc__]
    assert missing == ["__init__.py"]
