"""What is kept for the next call, and when it is dropped. Each test runs in a Python thread that has kept nothing."""

import functools

import pytest
from helpers import in_a_thread

from fastfnn.kernels.network import kept
from fastfnn.kernels.network.kept import keep_workspace, this_thread

MOST, MOST_BYTES = 3, 1000


def afresh(test):
    """Run a test in a thread of its own."""

    @functools.wraps(test)
    def run(*arguments, **named):
        in_a_thread(lambda: test(*arguments, **named))

    return run


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    monkeypatch.setattr(kept, "KEEP_MOST_WORKSPACES", MOST)
    monkeypatch.setattr(kept, "KEEP_MOST_BYTES", MOST_BYTES)


@afresh
def test_workspaces_are_found_by_their_key():
    assert this_thread.workspaces == {}
    first, second = object(), object()
    keep_workspace("first", first, 10)
    keep_workspace(("a", 2), second, 10)
    assert this_thread.workspaces == {"first": first, ("a", 2): second}


@afresh
def test_one_workspace_too_many_replaces_all_others():
    for number in range(MOST):
        keep_workspace(number, object(), 1)
    assert list(this_thread.workspaces) == [0, 1, 2]
    keep_workspace(3, object(), 1)
    assert list(this_thread.workspaces) == [3]


@afresh
def test_workspaces_that_are_too_large_together_replace_each_other():
    keep_workspace("first", object(), 600)
    keep_workspace("second", object(), 400)
    assert list(this_thread.workspaces) == ["first", "second"]
    keep_workspace("third", object(), 1)
    assert list(this_thread.workspaces) == ["third"]
    keep_workspace("fourth", object(), 999)  # what has been dropped does not count any more
    assert list(this_thread.workspaces) == ["third", "fourth"]


@afresh
def test_a_workspace_that_is_too_large_alone_is_not_kept():
    keep_workspace("large", object(), MOST_BYTES + 1)
    assert list(this_thread.workspaces) == []
    keep_workspace("largest", object(), MOST_BYTES)
    assert list(this_thread.workspaces) == ["largest"]


@afresh
def test_each_python_thread_keeps_its_own():
    keep_workspace("here", object(), 1)
    assert in_a_thread(lambda: list(this_thread.workspaces)) == []
    assert list(this_thread.workspaces) == ["here"]
