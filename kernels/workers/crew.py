"""Who works on something together, and what part of it each one takes."""

from typing import NamedTuple

import numpy as np

from ..compiler.decorators import inner


class Crew(NamedTuple):
    """The threads that take a step together: the address of their team's state, how many they are, and which this is.

    A team of 0 means that the thread works by itself, though others may do the same elsewhere.
    """

    team: int
    members: int
    rank: int


class Share(NamedTuple):
    """Part number `part` of `parts` of a piece of work."""

    parts: int
    part: int


ALONE = Crew(0, 1, 0)
WHOLE = Share(1, 0)


@inner
def share(count, parts, part):
    """The half-open range of `count` items that part number `part` of `parts` gets; sizes differ by at most one."""
    part = np.int64(part)
    return count * part // parts, count * (part + 1) // parts
