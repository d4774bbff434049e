"""Where each study of a patient lies in time: true days before the newest, its rank, and the words a reader sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.studies.relations import interval_words

_DAY = 86400.0


@dataclass(frozen=True)
class Point:
    """One study in time. `days` before the newest study and `ordinal` (1 is the oldest) are None without a date.

    `words` are `current`, `14 days earlier`, or empty; `of` counts the studies that have a date.
    """

    days: float | None
    ordinal: int | None
    of: int
    words: str


def points(moments: Sequence[datetime | None]) -> tuple[Point, ...]:
    """A point for each study, in the order given; studies of one moment rank in that order."""
    dated = [index for index, found in enumerate(moments) if found is not None]
    ranked = sorted(dated, key=lambda index: (moments[index] or datetime.min, index))
    newest = max((found for found in moments if found is not None), default=None)
    return tuple(_point(found, newest, ranked.index(index) + 1 if found else None, len(dated)) for index, found in enumerate(moments))


def _point(found: datetime | None, newest: datetime | None, ordinal: int | None, of: int) -> Point:
    if found is None or newest is None:
        return Point(None, None, of, "")
    days = (newest - found).total_seconds() / _DAY
    return Point(days, ordinal, of, "current" if ordinal == of else f"{interval_words(days)} earlier" if days else "same time")
