"""What the trainers of networks and of estimators share on several ranks: which steps they take, what they exchange."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn import streams
from fastfnn.fitting import Pace, TrainingLoop
from fastfnn.parallel.averaging import AveragedSteps, chosen_every
from fastfnn.parallel.gradients import OrderedSteps, ReducedSteps
from fastfnn.parallel.options import DataParallel
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.ranks import Ranks
from fastfnn.snapshot import Snapshot, TrainingState
from fastfnn.steps import Steps

Samples = tuple[np.ndarray, np.ndarray, np.ndarray]


def new_steps(
    parallel: DataParallel, net: Any, state: TrainingState, parts: Parts, ranks: Ranks, samples: Samples, *,
    shows: bool, batch_l2: float = 0.0,
) -> Steps:  # fmt: skip
    """Return what takes the steps, and note in `parallel` how many lie between two averages.

    Parameters
    ----------
    parallel, net, state, parts, ranks
        See `GradientSteps`.
    samples : tuple of array
        Some samples of this rank, targets and weights, as many as it gives to a step; steps are measured on them.
    shows : bool
        Whether to print what was chosen and why.
    batch_l2 : float
        The L2 penalty that is divided by the weight of a batch.
    """
    every = parallel.average_every
    if isinstance(every, str):
        choice = chosen_every(net, state, parts, ranks, samples)
        every = choice.every
        if shows:
            how = "gradients are summed in each step" if every == 1 else f"averages every {every} steps"
            streams.say(f"{how}: a message takes {_time(choice.message_seconds)}, a step {_time(choice.step_seconds)}")
    parallel.averaged_every = every
    if parallel.fixed_order:
        return OrderedSteps(net, state, parts, ranks, {"batch_l2": batch_l2})
    if every == 1:
        return ReducedSteps(net, state, parts, ranks, {"batch_l2": batch_l2})
    return AveragedSteps(net, state, parts, ranks, every, batch_l2)


def prepare(loop: TrainingLoop, state: TrainingState, parallel: DataParallel, ranks: Ranks, batch_size: int) -> None:
    """Let all ranks take the same numbers of steps at a time, which Ctrl-C can interrupt at any moment."""
    loop.before_call = Snapshot(state)  # a call is a Python loop over steps
    if (every := parallel.averaged_every or 1) > 1:
        loop.pace = Pace(every, 3 * batch_size * state.params.size)
    loop.pace.agreed = ranks.from_first


def share_changes(ranks: Ranks, net: Any, optimizer: Any, stopped: bool) -> bool:
    """Give all ranks what callbacks of rank 0 may have changed; return whether training is stopped there."""
    rate = optimizer.learning_rate
    told = stopped, None if callable(rate) else rate, optimizer.clip_norm, optimizer.settings
    stopped, rate, clip_norm, settings = ranks.from_first(told if ranks.first else None)
    if not ranks.first:
        optimizer.clip_norm, optimizer.settings = clip_norm, settings
        if rate is not None:
            optimizer.learning_rate = rate
    ranks.broadcast(net._flat, net._statistics)
    return stopped


def described_optimizer(optimizer: Any) -> tuple[Any, ...]:
    """Return class and settings of an optimizer; of a function that tells the learning rate only that it is one."""
    rate = optimizer.learning_rate
    settings = tuple(optimizer.settings.items())
    return type(optimizer).__name__, "a function" if callable(rate) else rate, optimizer.clip_norm, *settings


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
