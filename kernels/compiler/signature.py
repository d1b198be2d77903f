"""Signatures of kernels, read from their annotations.

An annotation says what a parameter is to compiled code:

    int, float, bool         a 64-bit integer or address, a float64, a boolean
    Real                     a scalar of the dtype that the kernel is compiled for, float32 or float64
    a NamedTuple             its fields, which travel together and cost what they would cost one by one
    Vector, Matrix2D, ...    arrays that an entry point reads, for Python to pass; they may be read-only
    WrittenVector, ...       arrays that it writes

No annotation of the result means no result.
"""

import inspect
import weakref
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, get_args, get_origin

import numba
import numpy as np
from numba import types

# A scalar of the dtype. By convention a shared function's last parameter is one of the value 1, called `one`.
Real: TypeAlias = Any

# Arrays of the dtype that a kernel reads: contiguous and with any strides. A signature for any strides serves every
# memory layout. Numba passes read-only arrays and writable ones for them, without a copy.
Vector = Annotated[np.ndarray, "real", 1, "C", "read"]
StridedVector = Annotated[np.ndarray, "real", 1, "A", "read"]
Matrix2D = Annotated[np.ndarray, "real", 2, "A", "read"]
# Arrays of other types that a kernel reads, contiguous.
Integers = Annotated[np.ndarray, "int64", 1, "C", "read"]
IntegerRows = Annotated[np.ndarray, "int64", 2, "C", "read"]
Doubles = Annotated[np.ndarray, "float64", 1, "C", "read"]
Bytes = Annotated[np.ndarray, "uint8", 1, "C", "read"]
# Arrays that a kernel writes, itself or through their addresses: a read-only one is rejected.
WrittenVector = Annotated[np.ndarray, "real", 1, "C", "written"]
WrittenMatrix = Annotated[np.ndarray, "real", 2, "A", "written"]
WrittenDoubles = Annotated[np.ndarray, "float64", 1, "C", "written"]

_SCALARS = {int: types.intp, float: types.float64, bool: types.boolean, None: types.void, type(None): types.void}


_known: weakref.WeakKeyDictionary[Callable[..., Any], dict[str, Any]] = weakref.WeakKeyDictionary()


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    if function not in _known:
        _known[function] = inspect.get_annotations(function, eval_str=True)
    return _known[function]


def has_signature(function: Callable[..., Any]) -> bool:
    """Whether a function's parameters are annotated."""
    return bool(_annotations(function))


def numba_type(annotation: Any, dtype: Any) -> Any:
    """The Numba type of an annotation, for kernels of a dtype: a NumPy dtype or Numba's type of it."""
    real = dtype if isinstance(dtype, types.Type) else numba.from_dtype(np.dtype(dtype))
    if annotation is Real:
        return real
    if get_origin(annotation) is Annotated:
        _, element, dimensions, layout, use = get_args(annotation)
        item = real if element == "real" else getattr(types, element)
        return types.Array(item, dimensions, layout, readonly=use == "read")
    if isinstance(annotation, type) and issubclass(annotation, tuple):
        fields = [numba_type(field, real) for field in inspect.get_annotations(annotation, eval_str=True).values()]
        if all(field == fields[0] for field in fields):
            return types.NamedUniTuple(fields[0], len(fields), annotation)
        return types.NamedTuple(tuple(fields), annotation)
    return _SCALARS[annotation]


def signature_of(function: Callable[..., Any], dtype: Any) -> Any:
    """The Numba signature of an annotated function for a dtype."""
    annotations = dict(_annotations(function))
    result = numba_type(annotations.pop("return", None), dtype)
    return result(*(numba_type(annotation, dtype) for annotation in annotations.values()))


def with_context(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of an intrinsic that takes a function's place: Numba's context comes first."""
    signature = inspect.signature(function)
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(parameters=[context, *signature.parameters.values()])
