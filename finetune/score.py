"""Small measures that training and the model card share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
