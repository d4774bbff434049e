"""Which earlier series is the one to compare with: same kind of image and body part, then view or plane, contrast, newest first.

    best, words = choose(current, candidates)

Every step is a point of the words a reader sees, so that the choice can be judged and overruled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.studies.mixing import part_of, same_part
from storage.studies.relations import kind_of
from storage.views import SeriesSummary

_WITH = re.compile(
    r"\b(with contrast|w contrast|contrast enhanced|postcontrast|post|c\+|ce|gd|gad|enhanced|arterial|venous|portal|delayed|cta|mra)(?!\w)",
    re.I,
)
_WITHOUT = re.compile(r"\b(without|wo|w/o|plain|native|precontrast|pre|non.?contrast|unenhanced|c-)(?!\w)", re.I)
_WEIGHT = re.compile(r"\b(t1|t2|flair|dwi|adc|swi|pd|stir)w?\b", re.I)


@dataclass(frozen=True)
class Likeness:
    """How like two series are. `usable` is False for another kind of image, body part or side; `same` and `other` are words."""

    usable: bool
    points: int
    same: tuple[str, ...]
    other: tuple[str, ...]


def contrast(description: str) -> str:
    """`with` or `without` contrast agent as a description says, else ''."""
    if _WITHOUT.search(description):
        return "without"
    return "with" if _WITH.search(description) else ""


def weighting(description: str) -> str:
    """The magnetic resonance weighting a description names (`t1`, `flair`), else ''."""
    found = _WEIGHT.search(description)
    return found.group(1).lower() if found else ""


def likeness(series: SeriesSummary, target: SeriesSummary) -> Likeness:
    """Compare what is stated on both; what one of them leaves out speaks neither for nor against."""
    checks = (
        ("modality", kind_of(series.modality), kind_of(target.modality), 64, True),
        ("body part", part_of(series.body_part), part_of(target.body_part), 32, True),
        ("side", series.laterality, target.laterality, 16, True),
        ("view", _frontal(series.view), _frontal(target.view), 8, False),
        ("plane", series.plane, target.plane, 8, False),
        ("weighting", weighting(series.description), weighting(target.description), 4, False),
        ("contrast", contrast(series.description), contrast(target.description), 2, False),
        ("projection", series.view, target.view, 1, False),
    )
    points, same, other, usable = 0, [], [], True
    for name, left, right, weight, needed in checks:
        if not left or not right:
            continue
        if left == right or (name == "body part" and same_part(left, right)):
            points += weight
            same.append(name)
        else:
            points -= weight
            other.append(name)
            usable = usable and not needed
    return Likeness(usable, points, tuple(name for name in same if name != "projection"), tuple(other))


def choose(target: SeriesSummary, candidates: Sequence[tuple[datetime | None, SeriesSummary]]) -> tuple[int | None, Likeness | None]:
    """Index of the most relevant of (when, series): the most alike, of equals the newest, then the nearest in images.

    None when no candidate is usable.
    """
    ranked = [
        (alike.points, when or datetime.min, -abs(series.frames - target.frames), -index, alike)
        for index, (when, series) in enumerate(candidates)
        if (alike := likeness(series, target)).usable
    ]
    best = max(ranked, key=lambda entry: entry[:4], default=None)
    return (-best[3], best[4]) if best is not None else (None, None)


def _frontal(view: str) -> str:
    """AP and PA are both frontal: the same view, another projection."""
    return "FRONTAL" if view in ("AP", "PA", "FRONTAL") else "LATERAL" if view in ("LAT", "LL", "RL") else view
