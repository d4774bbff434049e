"""How studies relate: prior and current, views of one study, left and right, or nothing; guessed from headers, always shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from storage.studies.model import Series, Study

Relationship = Literal["temporal", "views", "sides", "unrelated"]
Item = tuple[Study, Series]


@dataclass(frozen=True)
class Relation:
    """What two or more series are to each other.

    `roles` and `whens` are in the order given; `order` holds their indices from oldest to newest; `reason` is one
    sentence; `interval_days` spans first to last date, None when unknown; `blocking` means ask the reader before
    going on (two different patients).
    """

    relationship: Relationship
    roles: tuple[str, ...]
    whens: tuple[str, ...]
    order: tuple[int, ...]
    interval_days: float | None
    reason: str
    warnings: tuple[str, ...] = ()
    blocking: bool = False


def relate(first: Item, second: Item) -> Relation:
    """Relation of two series, in the order shown."""
    return relate_many((first, second))


def relate_many(items: Sequence[Item]) -> Relation:
    """Relation of one to eight series, in the order shown."""
    raise NotImplementedError
