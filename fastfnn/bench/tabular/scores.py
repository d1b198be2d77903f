"""Scores of predictions. The error is what tables and charts compare: smaller is better, whatever the target is."""

import numpy as np

SMALLEST = 1e-15  # a probability below this counts as this one in the log loss


def scores(truth: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """Return the scores of predicted numbers (N,), or of probabilities (N, classes).

    A regression has rmse, and error is the same number; classes have accuracy, log_loss, and error = 1 - accuracy.
    """
    if not np.isfinite(predicted).all():
        raise ArithmeticError("a prediction is not finite")
    if not classes:
        rmse = float(np.sqrt(np.mean((np.asarray(predicted, np.float64).reshape(-1) - truth) ** 2)))
        return {"rmse": rmse, "error": rmse}
    wrong = float(np.mean(predicted.argmax(axis=1) != truth))
    likelihood = predicted[np.arange(len(truth)), truth].astype(np.float64)
    log_loss = float(-np.log(likelihood.clip(SMALLEST)).mean())
    return {"accuracy": 1 - wrong, "log_loss": log_loss, "error": wrong}
