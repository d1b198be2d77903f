"""Shared functions, entry points, calls by address, and what is compiled when."""

import itertools
import threading
import types
from typing import NamedTuple

import numba
import numpy as np
import pytest
from helpers import DTYPES, NOJIT

import fastfnn  # noqa: F401 - so that all kernels are imported
from fastfnn.kernels.compiler import cache, decorators
from fastfnn.kernels.compiler.decorators import (
    address_in_code,
    address_of,
    called_through,
    entry,
    everything,
    functions_listed,
    inner,  # noqa: F401 - for `module_of`
    prepare,
    shared,
    shared_callees,
)
from fastfnn.kernels.compiler.memory import array_at
from fastfnn.kernels.compiler.signature import Real, Vector, WrittenVector

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """The functions of this file are not kept on disk, whose files do not depend on it."""
    monkeypatch.setattr(cache, "folders", lambda: cache.Folders((), None))


@pytest.fixture
def heard(monkeypatch):
    """The functions that are compiled, with their numbers."""
    progress = []
    monkeypatch.setattr(cache, "compile_listeners", [progress.append])
    return progress


_numbers = itertools.count()


def module_of(source, name=None):
    """A new module with functions of its own, which nothing has compiled yet."""
    module = types.ModuleType(name or f"module_{next(_numbers)}")
    names = ("address_in_code", "address_of", "called_through", "entry", "inner", "shared", "Real", "Vector", "np")
    vars(module).update({name: globals()[name] for name in names})
    exec(compile(source, module.__name__, "exec"), vars(module))
    return module


# Calls


class Pair(NamedTuple):
    count: int
    scale: float


class Box(NamedTuple):
    width: Real
    height: Real


@called_through
def call_member(function: int, pair: Pair, box: Box, number: float, last: int, one: Real) -> float:
    """The type of `weighted` and `reversed_weighted`."""


@shared
def weighted(pair: Pair, box: Box, number: float, last: int, one: Real) -> float:
    return 100000 * pair.count + 10000 * pair.scale + 1000 * box.width + 100 * box.height + 10 * number + last


@shared
def reversed_weighted(pair: Pair, box: Box, number: float, last: int, one: Real) -> float:
    return pair.count + 10 * pair.scale + 100 * box.width + 1000 * box.height + 10000 * number + 100000 * last


@entry
def by_address(x: Vector, function: int) -> float:
    one = x.dtype.type(1)
    return call_member(function, Pair(1, 2.0), Box(x[0], x[1]), 5.0, 6, one)


@entry
def by_address_in_code(x: Vector, other: bool) -> float:
    one = x.dtype.type(1)
    function = address_in_code(weighted, one)
    if other:
        function = address_in_code(reversed_weighted, one)
    return call_member(function, Pair(1, 2.0), Box(x[0], x[1]), 5.0, 6, one)


@entry
def copied(target: WrittenVector, source: Vector) -> None:
    target[0] = source[0]


@pytest.mark.jit
@every_dtype
def test_an_entry_point_reads_arrays_that_may_not_be_written_and_does_not_write_them(dtype):
    target, source = np.zeros(2, dtype), np.ones(2, dtype)
    source.flags.writeable = False
    copied(target, source)
    assert target.tolist() == [1, 0]
    target.flags.writeable = False
    with pytest.raises(TypeError, match="readonly array"):
        copied(target, source)
    assert target.tolist() == [1, 0]


@entry
def by_name(x: Vector) -> float:
    one = x.dtype.type(1)
    return weighted(Pair(1, 2.0), Box(x[0], x[1]), 5.0, 6, one)


@entry
def address_inside(x: Vector) -> int:
    return address_in_code(weighted, x.dtype.type(1))


@every_dtype
def test_functions_are_called_through_their_addresses(dtype):
    x = np.array([3, 4], dtype)
    assert by_address(x, address_of(weighted, dtype)) == 123456
    assert by_address(x, address_of(reversed_weighted, dtype)) == 654321


@every_dtype
def test_addresses_in_code_are_those_of_the_right_functions(dtype):
    x = np.array([3, 4], dtype)
    assert by_address_in_code(x, False) == 123456
    assert by_address_in_code(x, True) == 654321
    assert address_inside(x) == address_of(weighted, dtype)


@every_dtype
def test_shared_functions_are_called_by_name(dtype):
    assert by_name(np.array([3, 4], dtype)) == 123456


@pytest.mark.jit
def test_each_dtype_has_code_of_its_own():
    assert len({address_of(function, dtype) for function in (weighted, reversed_weighted) for dtype in DTYPES}) == 4


@called_through
def call_half(function: int, value: Real, one: Real) -> Real:
    """The type of `half`."""


@shared
def half(value: Real, one: Real) -> Real:
    return value / 2


@called_through
def call_store(function: int, address: int, one: Real) -> None:
    """The type of `store_two`."""


@shared
def store_two(address: int, one: Real) -> None:
    array_at(address, 1, one)[0] = 2


@entry
def store_both(x: WrittenVector, function: int) -> None:
    one = x.dtype.type(1)
    store_two(x.ctypes.data, one)
    call_store(function, x.ctypes.data + x.itemsize, one)


@every_dtype
def test_functions_without_a_result(dtype):
    x = np.zeros(3, dtype)
    assert store_both(x, address_of(store_two, dtype)) is None
    assert x.tolist() == [2, 2, 0]


@entry
def half_of(x: WrittenVector, function: int) -> bool:
    x[0] = call_half(function, x[0], x.dtype.type(1))
    return x[0] == x[1]


@every_dtype
def test_a_result_may_be_of_the_dtype(dtype):
    x = np.array([1 / 3, 1 / 6], dtype)
    assert half_of(x, address_of(half, dtype)) is True or NOJIT
    assert x[0] == dtype.type(1 / 6)


def test_a_float32_cannot_hold_what_a_float64_can():
    for dtype in DTYPES:
        x = np.array([1 / 3, 0], dtype)
        half_of(x, address_of(half, dtype))
        assert x[0] == dtype.type(1 / 3) / 2


@shared
def divided(value: float, divisor: float, one: Real) -> float:
    return value / divisor


@entry
def division(x: Vector, divisor: float) -> float:
    return divided(1.0, divisor, x.dtype.type(1))


@pytest.mark.jit
def test_a_division_by_zero_is_infinite():
    assert division(np.ones(1), 0.0) == np.inf


def test_an_entry_point_keeps_its_name_and_docstring():
    @entry
    def documented(x: Vector) -> None:
        """What it does."""

    assert documented.__name__ == "documented" and documented.__doc__ == "What it does."


# Callees


CHAIN = """
@shared
def last(one: Real) -> int:
    return 7

@shared
def never_called(one: Real) -> int:
    return last(one)

@inner
def second_inner(one):
    return last(one)

@inner
def first_inner(one):
    return second_inner(one) + 1

@shared
def middle(one: Real) -> int:
    return first_inner(one) + 1

@entry
def begin(x: Vector) -> int:
    return middle(x.dtype.type(1))

@shared
def chosen(one: Real) -> int:
    return address_in_code(last, one)

@inner
def calls_itself(one):
    return [first_inner(one) for _ in range(2)][0] + calls_itself(one)

@shared
def closure(one: Real) -> int:
    return [middle(one) for _ in range(1)][0]

@shared
def recursive(one: Real) -> int:
    return recursive(one) + calls_itself(one)
"""


@pytest.mark.jit
def test_callees_are_found_by_following_names_through_inner_functions():
    chain = module_of(CHAIN)
    assert shared_callees(chain.last) == ()
    assert shared_callees(chain.middle) == (chain.last,)
    assert shared_callees(chain.begin.__wrapped__) == (chain.middle,)
    assert shared_callees(chain.chosen) == (chain.last,), "an address is enough"
    assert shared_callees(chain.closure) == (chain.middle,), "in a comprehension, too"
    assert shared_callees(chain.recursive) == (chain.last,), "functions that call themselves end"


def test_a_call_reaches_through_the_chain():
    chain = module_of(CHAIN)
    assert chain.begin(np.ones(1)) == 9


@pytest.mark.jit
def test_what_is_not_called_is_not_compiled(heard):
    chain = module_of(CHAIN)
    assert not heard, "nothing is compiled at the definition"
    chain.begin(np.ones(1))
    assert heard == [("last", 1, 3), ("middle", 2, 3), ("begin", 3, 3)]
    assert decorators._shared[chain.never_called].compiled == {}
    assert list(decorators._shared[chain.last].compiled) == [np.dtype("float64")]
    chain.begin(np.ones(2))
    assert len(heard) == 3
    chain.begin(np.ones(2, np.float32))
    assert heard[3:] == [("last", 1, 3), ("middle", 2, 3), ("begin", 3, 3)]


@pytest.mark.jit
def test_what_is_ready_is_not_counted(heard):
    chain = module_of(CHAIN)
    address_of(chain.last, np.dtype("float64"))
    assert heard == [("last", 1, 1)]
    chain.begin(np.ones(1))
    assert heard[1:] == [("middle", 1, 2), ("begin", 2, 2)]


@pytest.mark.jit
def test_code_that_is_not_prepared_is_an_error_and_not_the_end_of_the_process():
    chain = module_of(CHAIN)
    calls = module_of(
        "def by_name(one):\n    return last(one)\ndef by_address(one):\n    return address_in_code(last, one)"
    )
    calls.last = chain.last
    for function in (calls.by_name, calls.by_address):
        with pytest.raises(numba.TypingError, match="last is not compiled for float64: `shared_callees` does not"):
            numba.njit(function)(1.0)


@pytest.mark.jit
def test_the_address_of_any_other_function_is_an_error():
    with pytest.raises(numba.TypingError):
        numba.njit(lambda one: address_in_code(np.sin, one))(1.0)


SAME_NAME = """
@shared
def value(one: Real) -> int:
    return {number}

@entry
def read(x: Vector) -> int:
    return value(x.dtype.type(1))
"""


def test_functions_of_one_name_in_two_modules_do_not_collide():
    modules = [module_of(SAME_NAME.format(number=number), f"twin_{number}") for number in (1, 2)]
    for module in modules:  # before a caller is linked
        address_of(module.value, np.dtype("float64"))
    assert [module.read(np.ones(1)) for module in modules] == [1, 2]


@pytest.mark.jit
def test_every_symbol_of_the_kernels_is_another_one():
    records = [record for function, record in decorators._shared.items() if function.__module__.startswith("fastfnn")]
    assert len(records) > 40
    assert len({record.symbol("float32") for record in records}) == len(records)
    names = [record.function.__qualname__ for record in records]
    assert len(set(names)) < len(names), "names do repeat"


# Preparing


@pytest.mark.jit
def test_prepare_compiles_callees_first_and_each_function_once(heard):
    chain, dtypes = module_of(CHAIN), DTYPES
    prepare([(chain.begin, dtypes[0]), (chain.middle, dtypes[0]), (chain.last, dtypes[1]), (chain.last, dtypes[1])])
    assert heard == [("last", 1, 4), ("middle", 2, 4), ("begin", 3, 4), ("last", 4, 4)]
    prepare([(chain.begin, dtypes[0])])
    assert len(heard) == 4


@pytest.mark.jit
def test_everything_names_all_shared_functions_and_entry_points():
    chain, dtype = module_of(CHAIN), DTYPES[0]
    wanted = everything(dtype)
    assert {(chain.never_called, dtype), (chain.last, dtype), (chain.begin, dtype), (weighted, dtype)} <= set(wanted)
    assert len(set(wanted)) == len(wanted)


@pytest.mark.jit
def test_inside_the_context_functions_are_listed_and_not_compiled(heard):
    chain, dtype = module_of(CHAIN), DTYPES[0]
    with functions_listed() as functions:
        assert address_of(chain.middle, dtype) == address_of(chain.last, dtype) == 0
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(address_of(half, dtype)))
        thread.start()
        thread.join()
    assert functions == [(chain.middle, dtype), (chain.last, dtype)]
    assert elsewhere == [address_of(half, dtype)], "another thread is not listened to"
    assert not [progress for progress in heard if progress.name != "half"]
    assert address_of(chain.last, dtype) != 0


@pytest.mark.jit
def test_an_exception_ends_the_list():
    with pytest.raises(ZeroDivisionError), functions_listed():
        raise ZeroDivisionError
    assert address_of(half, DTYPES[0]) != 0


def test_without_the_compiler_nothing_is_listed_nor_prepared():
    if not NOJIT:
        pytest.skip("what happens without the compiler")
    with functions_listed() as functions:
        assert address_of(half, DTYPES[0]) != 0
    assert functions == [] and everything(DTYPES[0]) == []
    prepare([(half, DTYPES[0])])


@pytest.mark.jit
def test_a_function_that_cannot_be_compiled_leaves_the_others_usable(heard, monkeypatch):
    monkeypatch.setattr(decorators, "_shared", dict(decorators._shared))
    monkeypatch.setattr(decorators, "_entries", dict(decorators._entries))
    broken = module_of("@entry\ndef broken(x: Vector) -> int:\n    return x.nonsense\n" + CHAIN)
    for _ in range(2):
        with pytest.raises(numba.TypingError, match="nonsense"):
            broken.broken(np.ones(1))
    assert broken.begin(np.ones(1)) == 9
    assert heard[-1] == ("begin", 3, 3)


@pytest.mark.jit
def test_threads_that_come_at_once_compile_once(heard):
    chain, barrier, results = module_of(CHAIN), threading.Barrier(4), []

    def work():
        barrier.wait()
        results.append(chain.begin(np.ones(1)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [9] * 4
    assert [progress.name for progress in heard] == ["last", "middle", "begin"]
