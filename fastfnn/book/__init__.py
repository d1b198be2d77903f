"""The programs of the book 'Deep Learning from Scratch', chapters 3 to 6, as they stand, on the compiled kernels.

    python -m fastfnn.book ch05/train_neuralnet.py

runs a program of the book, from any folder. In a notebook, or at the top of a program of one's own,

    import fastfnn.book

puts the modules of `fastfnn.book.common` in the place of the book's package `common`: `from common.layers import *`
then imports layers that run on the kernels. They have the names, the arguments and the numbers of the book, also where
fastfnn corrects it; each module says what it takes from the book.

`dataset.mnist` is the book's own where Python finds it. Where it does not, `load_mnist` loads the digits of this
package, 8,000 for training and 2,000 for test, and says so.

References
----------
K. Saito, "Deep Learning from Scratch", O'Reilly Japan, 2016.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import sys
from collections.abc import Sequence
from types import ModuleType

MODULES = (
    "common",
    "common.functions",
    "common.gradient",
    "common.layers",
    "common.multi_layer_net",
    "common.multi_layer_net_extend",
    "common.optimizer",
    "common.trainer",
    "common.util",
)


class _ShippedDigits(importlib.abc.MetaPathFinder):
    """Finds `dataset.mnist` in this package. It is asked last, after the script has added its folders to the path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        folder = pathlib.Path(__file__).parent / "dataset"
        if fullname == "dataset":
            return importlib.util.spec_from_file_location(fullname, folder / "__init__.py")
        if fullname == "dataset.mnist":
            return importlib.util.spec_from_file_location(fullname, folder / "mnist.py")
        return None


def install() -> None:
    """Let `common` and its modules be those of this package, for all imports that follow.

    Raises
    ------
    ImportError
        If another package `common` has been imported before.
    """
    for name in MODULES:
        ours = importlib.import_module(f"{__name__}.{name}")
        known = sys.modules.setdefault(name, ours)
        if known is not ours:
            where = getattr(known, "__file__", None) or "elsewhere"
            raise ImportError(f"import fastfnn.book before anything from common: {name} came from {where}")
    if not any(isinstance(finder, _ShippedDigits) for finder in sys.meta_path):
        sys.meta_path.append(_ShippedDigits())


install()
