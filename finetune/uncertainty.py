"""A figure with its interval: means over independent units, resampled as wholes.

Slices of one tumour and films of one patient are not independent, so clusters are drawn, never items. Everything is held as sums
and counts per cluster and group; 2,000 draws are then one matrix product, and two systems compared share their draws.

    low, high = bootstrap(np.array([1.0, 0.0, 1.0]), ["patient 1", "patient 1", "patient 2"])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
NAN = float("nan")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """One figure of the sheet with its 95 % interval, nan where there is none.

    `chance` is the figure of choosing at random, nan where there is none; `units` are the independent units (clusters)
    and `items` the questions behind it; `kind` is `accuracy`, `recall`, `similarity` or, of `baselines`, `random`, `majority`
    or `text rule`; `headline` marks the figures that a subset is known by.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float
    units: int
    items: int
    note: str = ""
    kind: str = "accuracy"
    headline: bool = False


@dataclass(frozen=True)
class Tally:
    """Sums and counts of n values by cluster and group, both (clusters, groups)."""

    sums: Floats
    counts: Floats

    @property
    def clusters(self) -> int:
        """Independent units."""
        return len(self.sums)


def tally(values: Floats | Sequence[float], clusters: Sequence[str], groups: Sequence[str] | None = None) -> Tally:
    """Add up n values by cluster and group; without groups all are in one."""
    _, row = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    _, column = np.unique(np.asarray(groups if groups is not None else [""] * len(values), dtype=np.str_), return_inverse=True)
    shape = (int(row.max(initial=-1)) + 1, int(column.max(initial=-1)) + 1)
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (row, column), np.asarray(values, dtype=np.float64))
    np.add.at(counts, (row, column), 1.0)
    return Tally(sums, counts)


def estimate(data: Tally, weights: Floats | None = None) -> Floats:
    """Mean over groups of the mean inside each, (draws,); `weights` (draws, clusters) say how often each cluster was drawn.

    A group that a draw has nothing of is left out of that draw; a draw without any group is nan.
    """
    if weights is None:
        weights = np.ones((1, data.clusters))
    sums, counts = weights @ data.sums, weights @ data.counts
    inside = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    there = (counts > 0).sum(axis=1)
    result: Floats = np.divide(inside.sum(axis=1), there, out=np.full(len(sums), NAN), where=there > 0)
    return result


@lru_cache(maxsize=2)
def drawn(clusters: int, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each cluster is drawn, with replacement, in each draw: (draws, clusters), read-only."""
    picked = np.random.default_rng(seed).integers(clusters, size=(draws, clusters)) + np.arange(draws)[:, None] * clusters
    counts = np.bincount(picked.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(np.float64)
    counts.flags.writeable = False
    return counts


def interval(estimates: Floats) -> tuple[float, float]:
    """The middle 95 % of the draws."""
    known = estimates[~np.isnan(estimates)]
    if not len(known):
        return NAN, NAN
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def bootstrap(
    values: Floats | Sequence[float], clusters: Sequence[str], groups: Sequence[str] | None = None, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean (over groups of the mean inside each) by cluster bootstrap; nan for fewer than two clusters."""
    return spread(tally(values, clusters, groups), draws, seed)


def spread(data: Tally, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """`bootstrap` of what is already added up."""
    return interval(estimate(data, drawn(data.clusters, draws, seed))) if data.clusters > 1 else (NAN, NAN)


def paired(
    first: Floats | Sequence[float],
    second: Floats | Sequence[float],
    clusters: Sequence[str],
    groups: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float, float]:
    """(difference, low, high) of first - second on the same items, the same clusters drawn for both."""
    one, two = tally(first, clusters, groups), tally(second, clusters, groups)
    difference = float((estimate(one) - estimate(two))[0]) if len(one.sums) else NAN
    if one.clusters < 2:
        return difference, NAN, NAN
    weights = drawn(one.clusters, draws, seed)
    return difference, *interval(estimate(one, weights) - estimate(two, weights))
