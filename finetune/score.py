"""Small measures that training and the model card share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune import uncertainty


def balanced(guesses: Sequence[float], truths: Sequence[float]) -> float:
    """Mean recall over the classes that occur, 0..1; NaN without items."""
    guess, truth = np.asarray(guesses), np.asarray(truths)
    recalls = [float((guess[truth == kind] == kind).mean()) for kind in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else float("nan")


def auc(scores: Sequence[float], truths: Sequence[float]) -> float:
    """Area under the ROC curve of `scores` for the positive (> 0.5) of `truths`, ties counted half; NaN with one class."""
    score, positive = np.asarray(scores, dtype=float), np.asarray(truths) > 0.5
    if positive.all() or not positive.any():
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(wins / (positive.sum() * (~positive).sum()))


def auc_interval(scores: Sequence[float], truths: Sequence[float], clusters: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """95 % interval of `auc` by cluster bootstrap; NaN with one class or one cluster."""
    return uncertainty.interval(auc_draws(scores, truths, clusters, seed))


def auc_draws(scores: Sequence[float], truths: Sequence[float], clusters: Sequence[str], seed: int = 0) -> NDArray[np.float64]:
    """(draws,) areas of resampled clusters; NaN where a draw has one class. The same seed and clusters draw alike."""
    names, row = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    score, positive = np.asarray(scores, dtype=float), np.asarray(truths) > 0.5
    if len(names) < 2 or positive.all() or not positive.any():
        return np.full(1, np.nan)
    weights = uncertainty.drawn(len(names), seed=seed)[:, row]
    above, below = weights[:, positive], weights[:, ~positive]
    first, second = score[positive][:, None], score[~positive][None, :]
    wins = (first > second) + 0.5 * (first == second)
    count = above.sum(1) * below.sum(1)
    result: NDArray[np.float64] = np.divide(((above @ wins) * below).sum(1), count, out=np.full(len(weights), np.nan), where=count > 0)
    return result
