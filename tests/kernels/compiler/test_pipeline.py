"""Inner functions: made into machine code with their callers only, and unknown to Numba until then."""

import numba
import numpy as np
import pytest
from helpers import run_python
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.untyped_passes import InlineClosureLikes

from fastfnn.kernels.compiler.decorators import OPTIONS, inner
from fastfnn.kernels.compiler.pipeline import Inner, compiler_with

compiled = numba.njit(**OPTIONS)


@inner
def double(x):
    return 2 * x


@inner
def quadruple(x):
    return double(double(x))


@compiled
def call(x):
    return quadruple(x)


def test_compiled_code_calls_inner_functions():
    assert call(3) == 12 and type(call(3)) is int
    assert call(np.float32(0.25)) == 1 and call(0.25) == 1


@pytest.mark.jit
def test_an_inner_function_tells_python_that_it_cannot_be_called():
    with pytest.raises(TypeError, match=r"^double can only be called from compiled code$"):
        double(3)


@pytest.mark.jit
def test_an_inner_function_is_part_of_its_callers_code():
    """And has no machine code of its own: its library gives no address."""
    assert call(3) == 12
    for function in (double, quadruple):
        for version in function.dispatcher.overloads.values():
            assert version.library.get_pointer_to_function(version.fndesc.llvm_func_name) == 0


@pytest.mark.jit
def test_constants_among_the_arguments_share_one_version():
    @inner
    def add(x, y):
        return x + y

    @compiled
    def add_constants(x):
        return add(x, 1) + add(x, 2) + add(3, x) + add(x, y=4)

    assert add_constants(10) == 50
    assert list(add.dispatcher.overloads) == [(numba.int64, numba.int64)]


@pytest.mark.jit
def test_an_import_tells_numba_of_no_function():
    code = """
import sys, fastfnn
from fastfnn.kernels.compiler.pipeline import Inner
modules = [module for name, module in sys.modules.items() if name.startswith("fastfnn.kernels")]
functions = [value for module in modules for value in vars(module).values() if isinstance(value, Inner)]
assert len(functions) > 50
assert not any("dispatcher" in vars(function) for function in functions)
"""
    run_python(code)


@pytest.mark.jit
def test_options_reach_numba():
    function = Inner(lambda x: 1 / x, error_model="numpy")
    assert function.dispatcher.targetoptions["error_model"] == "numpy"


@pytest.mark.jit
def test_a_compiler_runs_the_added_pass():
    names = []

    @register_pass(mutates_CFG=False, analysis_only=True)
    class Note(FunctionPass):
        _name = "note_the_name"

        def __init__(self):
            FunctionPass.__init__(self)

        def run_pass(self, state):
            names.append(state.func_id.func_name)
            return False

    @numba.njit(pipeline_class=compiler_with((Note, InlineClosureLikes)))
    def seen(x):
        return x + 1

    assert seen(1) == 2
    assert names == ["seen"]
