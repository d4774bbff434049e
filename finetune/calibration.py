"""Whether a model's shares can be believed: expected calibration error and the reliability diagram behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune import protocol, uncertainty
from finetune.evaluate import Evaluation
from finetune.medmim import Item
from finetune.readings import letters

Values = NDArray[np.float64]
BINS = 10


def reliability(done: Evaluation, closed: Sequence[Item]) -> dict[str, Any] | None:
    """Expected calibration error in ten bins of equal mass, and the bins: how sure the model was, how often it was right."""
    condition = done.conditions[0]
    answers = done.answers[condition]
    items = [item for item in closed if item.key in answers and answers[item.key].shares]
    if len(items) < BINS:
        return None
    told = letters(items, answers, "likelihood")
    sure = np.array([max(answers[item.key].mean) for item in items])
    right = np.array([protocol.correct(item, told[item.key]) for item in items], dtype=float)
    clusters = [item.cluster for item in items]
    low, high = error_interval(sure, right, clusters)
    bins = [
        _bin(sure[place], right[place], [clusters[i] for i in place]) for place in np.array_split(np.argsort(sure, kind="stable"), BINS)
    ]
    value = float(expected_error(sure, right, np.ones((1, len(items))))[0])
    return {"condition": condition, "ece": value, "low": low, "high": high, "items": len(items), "bins": bins}


def _bin(sure: Values, right: Values, clusters: Sequence[str]) -> dict[str, Any]:
    low, high = protocol.bootstrap(right, clusters)
    return {"items": len(sure), "confidence": float(sure.mean()), "accuracy": float(right.mean()), "low": low, "high": high}


def expected_error(sure: Values, right: Values, weights: Values) -> Values:
    """ECE of confidences and hits (n,), the items weighted by each row of `weights` (draws, n): (draws,), nan without weight."""
    order = np.argsort(sure, kind="stable")
    gap = (sure - right)[order]
    out = np.full(len(weights), math.nan)
    for draw, row in enumerate(weights[:, order]):
        if total := row.sum():
            bins = np.minimum((np.cumsum(row) - row / 2) * BINS / total, BINS - 1).astype(int)
            out[draw] = np.abs(np.bincount(bins, row * gap, BINS)).sum() / total
    return out


def error_interval(sure: Values, right: Values, clusters: Sequence[str]) -> tuple[float, float]:
    """95 % cluster interval of the ECE. A resampled ECE is too large on average (its gaps cannot cancel): the draws are moved back."""
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return math.nan, math.nan
    draws = expected_error(sure, right, uncertainty.drawn(len(names))[:, place])
    value = expected_error(sure, right, np.ones((1, len(sure))))[0]
    low, high = uncertainty.interval(draws - np.nanmean(draws) + value)
    return max(low, 0.0), high
