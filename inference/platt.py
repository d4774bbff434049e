"""From a model's likelihood to a probability that may be shown: Platt scaling on answers that readers of this site reviewed.

A model's own figure is overconfident whatever its size, and neither asking it for its confidence nor scaling mends that; fitting two
numbers on reviewed answers does (arXiv 2604.02543). Below `LEAST` reviewed answers of one question type no percentage is shown at all.

    fitted = fit([Reviewed("temporal", 0.83, True, "patient 7"), ...], "temporal")     # None below 200
    fitted.probability(0.83), fitted.reliability.error
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 200
"""Reviewed answers of one question type below which nothing is fitted."""
BINS = 10
STEPS = 100
EDGE = 1e-6
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reviewed:
    """An answer that a reader judged: its question type, the model's share for its class (0..1), whether it was right, and whose it was."""

    kind: str
    share: float
    right: bool
    patient: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a share that is no probability."""
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share of {self.share} is no probability; give one between 0 and 1")


@dataclass(frozen=True)
class Bin:
    """Answers of about the same probability: how many, their mean probability, and the part that was right."""

    count: int
    said: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram in bins of equal mass, and its expected calibration error, 0 (none) to 1."""

    bins: tuple[Bin, ...]
    error: float


@dataclass(frozen=True)
class Platt:
    """A fitted calibrator of one question type: probability = 1 / (1 + exp(-(slope * logit(share) + offset))).

    `reliability` is that of answers held out of the fit, patient by patient (two folds); `before` is that of the raw shares. `held_out` has
    their probability, and whether each was right.
    """

    kind: str
    slope: float
    offset: float
    reviewed: int
    reliability: Reliability
    before: Reliability
    held_out: tuple[tuple[float, bool], ...] = ()

    def probability(self, share: float) -> float:
        """Probability that an answer whose class has this share is right."""
        return float(_probability(np.array([share]), self.slope, self.offset)[0])

    def kept(self, least: float) -> tuple[int, int]:
        """Of the reviewed answers, held out of the fit: how many are at least this probable, and how many of those were right."""
        right = [hit for probability, hit in self.held_out if probability >= least]
        return len(right), sum(right)


def fit(reviewed: Sequence[Reviewed], kind: str) -> Platt | None:
    """Fit on the reviewed answers of `kind`; None when there are fewer than `LEAST`, or when all were right or all wrong.

    A fit that turns the order round (a likelier answer is less often right) is refused too: such a share says nothing.
    """
    chosen = [one for one in reviewed if one.kind == kind]
    right = np.array([one.right for one in chosen], dtype=np.float64)
    if len(chosen) < LEAST or right.min() == right.max():
        return None
    shares = np.array([one.share for one in chosen])
    slope, offset = _fitted(shares, right)
    if slope <= 0:
        return None
    held_out = _held_out(shares, right, [one.patient or str(number) for number, one in enumerate(chosen)])
    judged = tuple(zip(held_out.tolist(), (one.right for one in chosen), strict=True))
    return Platt(kind, slope, offset, len(chosen), reliability(held_out, right), reliability(shares, right), judged)


def reliability(probabilities: Sequence[float] | Values, right: Sequence[bool] | Values, bins: int = BINS) -> Reliability:
    """At most `bins` bins of equal mass over the probabilities, and the mean gap between said and right, weighted by count."""
    said, hits = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    found = tuple(Bin(len(part), float(said[part].mean()), float(hits[part].mean())) for part in parts)
    gaps = sum(one.count * abs(one.said - one.right) for one in found)
    return Reliability(found, gaps / len(said) if len(said) else math.nan)


def coverage(probabilities: Sequence[float], right: Sequence[bool]) -> tuple[tuple[float, float], ...]:
    """The risk-coverage curve: (part of the answers kept, part of those that is wrong), the surest kept first."""
    order = np.argsort(-np.asarray(probabilities, dtype=np.float64), kind="stable")
    wrong = 1 - np.asarray(right, dtype=np.float64)[order]
    kept = np.arange(1, len(wrong) + 1)
    return tuple(zip((kept / len(wrong)).tolist(), (np.cumsum(wrong) / kept).tolist(), strict=True))


def _logit(shares: Values) -> Values:
    kept = np.clip(shares, EDGE, 1 - EDGE)
    return np.asarray(np.log(kept / (1 - kept)))


def _probability(shares: Values, slope: float, offset: float) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(slope * _logit(shares) + offset, -500, 500))))


def _fitted(shares: Values, right: Values) -> tuple[float, float]:
    """Newton's method with Platt's targets, which keep the fit off certainty (Platt 1999; Lin, Lin and Weng 2007)."""
    positive = right.sum()
    negative = len(right) - positive
    targets = np.where(right > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.column_stack([_logit(shares), np.ones(len(shares))])
    weights = np.array([0.0, math.log((positive + 1) / (negative + 1))])
    for _ in range(STEPS):
        said = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        slope = design.T @ (said - targets)
        curve = (design * (said * (1 - said))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        scale = min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        weights = weights - scale * step
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def _held_out(shares: Values, right: Values, patients: Sequence[str]) -> Values:
    """Probability of each answer from the fit on the other half of the patients."""
    number = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    half = np.array([number[patient] % 2 for patient in patients])
    out = shares.copy()
    for fold in (0, 1):
        inside, outside = half == fold, half != fold
        if inside.any() and outside.any():
            out[inside] = _probability(shares[inside], *_fitted(shares[outside], right[outside]))
    return out
