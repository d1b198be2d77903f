"""Metrics of networks with a cross-entropy, from logits and targets; `named` gives them their names.

`out` are the logits (N, K) of the last layer, `targets` labels (N,) or rows (N, K). With softmax a sample belongs to
the class of its label, or of the largest entry of its row, and is predicted to belong to that of its largest logit.
With the sigmoid each output is a question of its own, whose answer is yes if target or probability is above 1/2.

Precision, recall and F1 are those of class 1 if softmax chooses between two classes, else the mean over the classes
that occur among targets or predictions; with the sigmoid the mean over the outputs. A fraction of nothing counts as 0.
"""

from typing import NamedTuple

import numpy as np

from fastfnn.metrics.outputs import nan_of_nan


class Counts(NamedTuple):
    """For each class, or each output of a sigmoid: how many samples are right, predicted and true; (C,) each."""

    right: np.ndarray
    predicted: np.ndarray
    true: np.ndarray

    def of(self, classes: np.ndarray | slice) -> "Counts":
        """Return the counts of some classes."""
        return Counts(*(values[classes] for values in self))


@nan_of_nan
def precision(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the fraction of the samples predicted to be of a class that are of it."""
    right, predicted, _ = _asked(loss, _counts(loss, out, targets))
    return _mean_ratio(right, predicted)


@nan_of_nan
def recall(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the fraction of the samples of a class that are predicted to be of it."""
    right, _, true = _asked(loss, _counts(loss, out, targets))
    return _mean_ratio(right, true)


@nan_of_nan
def f1(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall of a class."""
    right, predicted, true = _asked(loss, _counts(loss, out, targets))
    return _mean_ratio(2 * right, predicted + true)


@nan_of_nan
def balanced_accuracy(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean recall of the classes that occur; with the sigmoid that of yes and no, averaged over outputs."""
    counts = _counts(loss, out, targets)
    if loss == "softmax_cross_entropy":
        right, _, true = counts.of(counts.true > 0)
        return _mean_ratio(right, true)
    right, predicted, true = counts
    negative = len(out) - true
    rejected = negative - (predicted - right)
    each = _ratio(right, true) + _ratio(rejected, negative)
    return float(np.mean(each / ((true > 0).astype(np.int64) + (negative > 0))))


@nan_of_nan
def auc(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a sample of a class gets a higher score than one that is not.

    With softmax over more than two classes it is the mean over the classes, each against the others; with the sigmoid
    the mean over the outputs. Those that all samples or none belong to do not count; NaN if there are no others.
    """
    z = out.astype(np.float64)
    if loss == "sigmoid_cross_entropy":
        truth, scores = targets > 0.5, z
    else:
        labels = _labels(targets)
        if z.shape[1] == 2:
            truth, scores = labels[:, np.newaxis] == 1, z[:, 1:] - z[:, :1]
        else:
            truth = labels[:, np.newaxis] == np.arange(z.shape[1])
            scores = z - np.logaddexp.reduce(z, axis=1, keepdims=True)  # log softmax(z)
    areas = [_area(truth[:, k], scores[:, k]) for k in range(scores.shape[1])]
    known = [area for area in areas if not np.isnan(area)]
    return float(np.mean(known)) if known else np.nan


def _area(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve of one class, from the mean ranks of equal scores."""
    positive = int(np.count_nonzero(truth))
    negative = len(truth) - positive
    if not (positive and negative):
        return np.nan
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2
    return float((ranks[place[truth]].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _labels(targets: np.ndarray) -> np.ndarray:
    return targets if targets.ndim == 1 else targets.argmax(axis=1)


def _counts(loss: str, out: np.ndarray, targets: np.ndarray) -> Counts:
    if loss == "sigmoid_cross_entropy":
        true, predicted = targets > 0.5, out > 0
        return Counts(*(np.count_nonzero(yes, axis=0) for yes in (true & predicted, predicted, true)))
    labels, guesses, classes = _labels(targets), out.argmax(axis=1), out.shape[1]
    return Counts(*(np.bincount(of, minlength=classes) for of in (labels[labels == guesses], guesses, labels)))


def _asked(loss: str, counts: Counts) -> Counts:
    """Return the counts of the classes over which precision, recall and F1 are averaged."""
    if loss == "sigmoid_cross_entropy":
        return counts
    return counts.of(slice(1, 2) if len(counts.true) == 2 else counts.predicted + counts.true > 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return result


def _mean_ratio(part: np.ndarray, whole: np.ndarray) -> float:
    return float(np.mean(_ratio(part, whole)))
