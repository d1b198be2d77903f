"""The share of a piece of work that each thread gets."""

import itertools

from helpers import from_python
from hypothesis import given
from hypothesis import strategies as st

from fastfnn.kernels.workers.crew import share


@given(st.integers(0, 2_000), st.integers(1, 130))
def test_share_divides_everything_and_evenly(count, parts):
    divided = from_python(share)
    shares = [divided(count, parts, index) for index in range(parts)]
    assert shares[0][0] == 0 and shares[-1][1] == count
    assert all(before[1] == after[0] for before, after in itertools.pairwise(shares))
    lengths = [stop - start for start, stop in shares]
    assert max(lengths) - min(lengths) <= 1
