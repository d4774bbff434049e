"""How forecasts turned out: what a model said beside what readers saw come, once enough of its forecasts are resolved.

standing(store.resolved_forecasts())     # one `Standing` for each model with its adapter
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from inference.platt import Reliability, reliability
from inference.reading import top
from storage.forecasts import Foretold

LEAST = 100
"""Resolved forecasts of one model below which no figure is shown: each of `BINS` points then stands on twenty, within 11 in 100."""
BINS = 5


@dataclass(frozen=True)
class Standing:
    """One model's forecasts. `brier` is the mean of Brier's score over all classes, 0 (always sure and right) to 2, `even` what equal
    shares would have; these and the diagram, of the likeliest class, are None below `LEAST` of `resolved`."""

    model: str
    adapter: str
    resolved: int
    brier: float | None = None
    even: float | None = None
    diagram: Reliability | None = None


def standing(resolved: Iterable[Foretold]) -> tuple[Standing, ...]:
    """How each model's forecasts stand, those of its adapters apart, the most resolved first."""
    found: dict[tuple[str, str], list[Foretold]] = {}
    for one in resolved:
        found.setdefault((one.model_digest or one.model, one.adapter_digest), []).append(one)
    return tuple(sorted((_of(rows) for rows in found.values()), key=lambda one: -one.resolved))


def brier(one: Foretold) -> float:
    """Brier's score of one forecast, summed over its classes: 0 to 2 (Brier, Monthly Weather Review 78:1, 1950)."""
    return sum((share - (name == one.came)) ** 2 for name, share in one.shares.items())


def _of(rows: list[Foretold]) -> Standing:
    newest = rows[-1]
    if len(rows) < LEAST:
        return Standing(newest.model, newest.adapter_digest, len(rows))
    right = [top(one.shares) == one.came for one in rows]
    return Standing(
        newest.model,
        newest.adapter_digest,
        len(rows),
        float(np.mean([brier(one) for one in rows])),
        float(np.mean([1 - 1 / len(one.shares) for one in rows])),
        reliability([max(one.shares.values()) for one in rows], np.asarray(right, dtype=np.float64), BINS),
    )
