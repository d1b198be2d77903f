"""scikit-learn is an extra: fastfnn does not import it, and fastfnn.sklearn says what to install without it."""

import pytest
from helpers import run_python

# Raises ModuleNotFoundError for scikit-learn, SciPy and joblib as if they were not installed.
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sklearn", "scipy", "joblib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def test_nothing_else_imports_scikit_learn():
    code = "import fastfnn, fastfnn.kernels, fastfnn.cli, fastfnn.losses, sys\n"
    code += "print(sorted({'sklearn', 'joblib', 'pandas'} & set(sys.modules)))"
    assert run_python(code).split() == ["[]"]


def test_the_module_of_tables_imports_scikit_learn_when_an_estimator_is_used():
    code = "import fastfnn.tabular, sys\nfrom fastfnn.tabular import Recipe\n"
    code += "print(*sorted({'sklearn', 'joblib', 'pandas'} & set(sys.modules)), dir(fastfnn.tabular).count('load'))\n"
    code += "from fastfnn.tabular import TabularClassifier\nprint('sklearn' in sys.modules)"
    assert run_python(code).split() == ["1", "True"]


@pytest.mark.parametrize("command", ["", "train", "predict", "evaluate", "export", "info"])
def test_the_help_of_a_command_imports_no_library_of_tables(command):
    code = f"import sys\nfrom fastfnn.cli.main import main\ntry:\n    main([*{command.split()!r}, '--help'])\n"
    code += "except SystemExit:\n    pass\nprint(sorted({'sklearn', 'joblib', 'pandas'} & set(sys.modules)))"
    assert run_python(code).split()[-1] == "[]"


def test_fastfnn_works_without_scikit_learn():
    code = BLOCK + "import fastfnn as fnn\nfnn.FNN((2, 3)).predict([[1.0, 2.0]])\nprint('works')"
    assert run_python(code).split() == ["works"]


def test_without_scikit_learn_the_error_names_the_extra():
    code = BLOCK + "try:\n    import fastfnn.sklearn\nexcept ImportError as error:\n    print(error)"
    assert "fastfnn[sklearn]" in run_python(code)
    code = (
        BLOCK + "try:\n    from fastfnn.tabular import TabularRegressor\nexcept ImportError as error:\n    print(error)"
    )
    assert "fastfnn[sklearn]" in run_python(code)


def test_an_error_inside_scikit_learn_is_not_hidden():
    """The cause is kept."""
    code = BLOCK + "try:\n    import fastfnn.sklearn\nexcept ImportError as error:\n    print(repr(error.__cause__))"
    assert "No module named" in run_python(code)


def test_estimators_and_files_are_what_the_module_exports():
    import fastfnn.sklearn

    assert sorted(fastfnn.sklearn.__all__) == ["MLPClassifier", "MLPRegressor", "load", "save"]
    for name in fastfnn.sklearn.__all__:
        assert getattr(fastfnn.sklearn, name).__module__.startswith("fastfnn.sklearn")
