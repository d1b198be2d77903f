"""The child processes of fastfnn/bench/child.py, for programs that must not import fastfnn.

The tools run other versions of fastfnn in child processes, which may have no such file, and compare them even where the
working tree's package cannot be imported. So the file is loaded by its path, in the parent and in the child.
"""

import importlib.util
import pathlib

PATH = pathlib.Path(__file__).resolve().parents[1] / "fastfnn/bench/child.py"

_spec = importlib.util.spec_from_file_location("fastfnn_bench_child", PATH)
assert _spec and _spec.loader
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

Child, ChildEnded, serve = _module.Child, _module.ChildEnded, _module.serve
