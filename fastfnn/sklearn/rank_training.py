"""The epochs of a `fit` on several ranks: steps, losses and scores are those of the samples of all.

`parallel.prepared_descent` makes a `RankTraining`. All ranks run the same loop, so that they meet in the same messages.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from fastfnn import FNN, metrics
from fastfnn.callbacks import Callback
from fastfnn.fitting import TrainingLoop
from fastfnn.history import History
from fastfnn.keeper import Keeper
from fastfnn.optimizers import Optimizer
from fastfnn.parallel.gradients import OrderedSteps
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.sharing import new_steps, prepare, share_changes
from fastfnn.sklearn import going_on, validation_data
from fastfnn.sklearn.data import Data, dense_rows, outputs
from fastfnn.sklearn.teams import RankTeam
from fastfnn.sklearn.training import Training
from fastfnn.sklearn.validation_data import HeldOut
from fastfnn.steps import Steps


class RankTraining(Training):
    """One rank's share of the epochs of a `fit`; see `Training`.

    Parameters
    ----------
    estimator, net, optimizer, data, chosen, watchers, stop, keeper, before_split
        See `Training`; data are those of this rank. Only rank 0 has watchers and a keeper.
    held_out : HeldOut or None
        Validation data of this rank.
    stops_early : bool
        Whether there are validation data on some rank.
    parts : Parts
        Of this rank.
    team : RankTeam
    """

    parts: Parts
    team: RankTeam
    held_out: HeldOut | None
    samples: int
    verbose: bool
    progress: bool
    warns: bool
    observed: bool
    measures: bool
    keeps: bool  # whether rank 0 has callbacks or writes checkpoints
    trained_on: Data | None  # if callbacks ask for the accuracy on them
    sparse: bool  # samples of some rank

    def __init__(
        self, estimator: Any, net: FNN, optimizer: Optimizer, data: Data, chosen: np.ndarray, held_out: HeldOut | None,
        stops_early: bool, parts: Parts, watchers: list[Callback], stop: threading.Event, team: RankTeam,
        keeper: Keeper | None, before_split: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        score = RankScore(estimator, net, held_out, team) if stops_early else None
        super().__init__(
            estimator, net, optimizer, data, chosen, parts.batch_size, score, watchers, self._measure, stop, keeper,
            before_split,
        )  # fmt: skip
        self.parts, self.team, self.held_out, self.samples = parts, team, held_out, parts.samples
        if not team.first:
            self.verbose = self.progress = self.warns = False
        wants_accuracy = "accuracy" in [name for watcher in watchers for _, name in watcher._reads()]
        told = self.observed, bool(watchers) and stops_early, wants_accuracy, bool(watchers or keeper)
        self.observed, self.measures, wants_accuracy, self.keeps = team.gathered(told)[0]
        self.trained_on = data.at(chosen) if wants_accuracy else None
        self.sparse = any(team.gathered(self.sparse))

    # What `training.Training` leaves to this class

    def _new_steps(self) -> Steps:
        data, count = self.data, max(int(self.parts.counts.sum(axis=0).max()), 1)
        samples = _dense(data.x[:count]), data.targets[:count], self.weights[:count]
        return new_steps(
            self.team.parallel, self.net, self.state, self.parts, self.team, samples, shows=self.verbose,
            batch_l2=self.estimator.alpha,
        )  # fmt: skip

    def _loop(self, history: History, epochs: int, atomic: bool) -> TrainingLoop:
        loop = super()._loop(history, epochs, atomic)
        loop.edges = self.parts.edges
        prepare(loop, self.state, self.team.parallel, self.team, self.batch_size)
        return loop

    def _compile(self, loop: TrainingLoop) -> None:
        row = Data(_dense(self.data.x[:1]), self.data.targets[:1], None)
        nothing = np.empty(0)
        weights = self.weights[:1]
        self.steps(nothing, row.x, row.targets, weights, np.zeros((1, 1), np.int64), nothing)

    def _own_work(self) -> contextlib.AbstractContextManager[None]:
        return self.team.agreed()

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        return self.team.guarded()

    def _share_beginning(self, loop: TrainingLoop, history: History, stops: bool) -> bool:
        team, estimator, optimizer, net = self.team, self.estimator, self.optimizer, self.net
        team.broadcast(*self.state.arrays)
        rate = optimizer.learning_rate
        told = (
            stops, optimizer.steps, None if callable(rate) else rate, net._seed, estimator._random_state,
            going_on.noted(estimator), estimator.n_iter_, vars(estimator).get("loss_"),
            {name: history._values(name) for name in history._columns()}, loop.step_losses[: self.state.taken],
            loop.seconds_before,
        )  # fmt: skip
        stops, steps, rate, seed, random_state, noted, epochs, loss, lists, step_losses, seconds = team.from_first(told)
        if not team.first:
            optimizer.steps, net._seed, estimator._random_state, estimator.n_iter_ = steps, seed, random_state, epochs
            going_on.restore(estimator, noted)
            if rate is not None:
                optimizer.learning_rate = rate
            if loss is not None:
                estimator.loss_ = loss
            if len(step_losses):
                history._extend(**lists)
                loop.resume(step_losses, seconds, None)
        between = loop.between
        if team.from_first(between is not None):
            loop.between = lambda: self._between(between)
        return bool(stops)

    def _between(self, own: Callable[[], object] | None) -> None:
        with self.team.agreed():
            if own is not None:
                own()

    def _share_epoch(self, stops: bool) -> bool:
        if self.keeps:
            return share_changes(self.team, self.net, self.optimizer, stops)
        return bool(self.team.from_first(stops))

    def _drawn_from(self) -> dict[str, Any]:
        return {"random": going_on.random_of(self.estimator._random_state), "order": None}

    def _restore_order(self, order: None) -> None:
        """Do nothing: orders of parts are drawn anew in each epoch."""

    def _draw_orders(self, count: int) -> np.ndarray:
        if not self.estimator.shuffle:
            return self.parts.draw_orders(np.random.default_rng(0), count, self.order)
        seeds = [self.estimator._random_state.randint(2**32, dtype=np.uint32) for _ in range(count)]
        return np.concatenate(
            [self.parts.draw_orders(np.random.default_rng(seed), 1, self.order) for seed in seeds]
        )  # fmt: skip

    # Steps

    def _batch_weights(self, orders: np.ndarray, count: int) -> np.ndarray:
        """Return what the loss of each of the next `count` batches is divided by: the weight of all ranks' samples."""
        parts = self.parts
        steps = (self.state.taken + np.arange(count)) % parts.steps
        if self.data.weights is None:
            return parts.totals[steps].astype(np.float64)
        counts = parts.counts[:, steps]
        groups = np.repeat(np.arange(counts.size), counts.T.ravel())  # of each sample: its step, and there its part
        of_groups = np.zeros(counts.size)
        np.add.at(of_groups, groups, self.data.weights[orders.ravel()])
        sums = of_groups.reshape(count, -1).T
        total = np.empty(count)
        if isinstance(self.steps, OrderedSteps):
            self.steps.sum_losses(total, sums)
        else:
            self.team.comm.Allreduce(sums.sum(axis=0), total)
        return np.where(total == 0, np.inf, total)

    def _take_sparse_steps(
        self, losses: np.ndarray, half_squares: np.ndarray, sizes: np.ndarray, orders: np.ndarray, rates: np.ndarray
    ) -> None:
        """Take as many steps at a time as all ranks can whose samples are sparse; others need not copy theirs."""
        parts, first = self.parts, self.state.taken % self.parts.steps
        edges = parts.edges - (parts.edges[first] if len(orders) == 1 else 0)
        most = dense_rows(self.data.x, self.net.dtype) // max(int(parts.counts.sum(axis=0).max()), 1)
        at_once, step = max(min(self.team.comm.allgather(most)), 1), 0
        while step < len(losses):
            epoch, begin = divmod(first + step, parts.steps)
            count = min(at_once, parts.steps - begin, len(losses) - step)
            order = orders[epoch : epoch + 1, edges[begin] : edges[begin + count]]
            data = self.data
            if scipy.sparse.issparse(data.x):
                data = data.at(order[0])
                data, order = data._replace(x=data.x.toarray()), np.arange(data.samples)[np.newaxis]
            steps = slice(step, step + count)
            weights = sizes[steps] if data.weights is not None else sizes[:0]
            self._train_steps(losses[steps], half_squares[steps], weights, data, order, rates[steps], step)
            step += count

    # Measurements

    def _measure(self, history: History) -> None:
        """Append the loss and the accuracy on the samples of all ranks, see `validation_data.measure`."""
        net, held_out = self.net, self.held_out
        values = {}
        if self.trained_on is not None:
            out = outputs(net, self.trained_on.x, "identity")
            accuracy = metrics.accuracy(net.loss_name, out, self.trained_on.targets) if len(out) else 0.0
            values["accuracy"] = accuracy, float(len(out))
        names = ["val_loss", "val_accuracy"] if net.loss_function.has_accuracy else ["val_loss"]
        if held_out is None or not held_out.data.samples:
            values |= dict.fromkeys(names, (0.0, 0.0))
        else:
            data, own = held_out.data, History()
            validation_data.measure(net, held_out, None, own)
            weight = float(data.samples if data.weights is None else data.weights.sum())
            for name, of_all in zip(names, (weight, float(data.samples)), strict=False):
                values[name] = own._values(name)[-1], of_all
        told = self.team.comm.allgather(values)
        for name in values:
            pairs = [of_rank[name] for of_rank in told]
            mean = sum(value * weight for value, weight in pairs if weight) / sum(weight for _, weight in pairs)
            history._extend(**{name: [mean]})


class RankScore:
    """The score on the validation data of all ranks: outputs are collected on rank 0, which computes it.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    net : FNN
    held_out : HeldOut or None
        Of this rank.
    team : RankTeam
    """

    estimator: Any
    net: FNN
    held_out: HeldOut | None
    team: RankTeam
    collected: bool  # whether rank 0 has the targets of all ranks
    data: Data | None  # that is, on rank 0: targets and weights without the samples

    def __init__(self, estimator: Any, net: FNN, held_out: HeldOut | None, team: RankTeam) -> None:
        self.estimator, self.net, self.held_out, self.team = estimator, net, held_out, team
        self.collected, self.data = False, None

    def __call__(self) -> float:
        """Return the score, on all ranks."""
        team = self.team
        score = math.nan
        if self.estimator.eval_metric is not None:
            with team.agreed():
                if team.first and self.held_out is not None:
                    score = validation_data.scorer(self.estimator, self.net, self.held_out)()
            return float(team.from_first(score))
        self._collect()
        out = team.comm.gather(
            None if self.held_out is None else outputs(self.net, self.held_out.data.x, "identity")
        )  # fmt: skip
        with team.agreed():
            if out is not None and self.data is not None:
                whole = np.concatenate([part for part in out if part is not None])
                score = validation_data.score_of(self.estimator, whole, self.data)
        return float(team.from_first(score))

    def _collect(self) -> None:
        """Give rank 0 the targets of all ranks, once."""
        if self.collected:
            return
        told = self.team.comm.gather(None if self.held_out is None else self.held_out.data._replace(x=None))
        if told is not None:
            some = [of_rank for of_rank in told if of_rank is not None]
            weights = None if some[0].weights is None else np.concatenate([each.weights for each in some])
            self.data = Data(None, np.concatenate([each.targets for each in some]), weights)
        self.collected = True


def _dense(rows: Any) -> np.ndarray:
    """Return some rows as an array."""
    array: np.ndarray = rows.toarray() if scipy.sparse.issparse(rows) else rows
    return array
