"""What the reviewers' queue takes in and hands out: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storage.statements import Statement
from storage.views import Ability, FeedbackView, TurnView, Verdict

ItemState = Literal["pending", "submitted", "skipped", "disputed", "adjudicated"]
Shown = Literal["", "pending", "in work", "submitted", "skipped", "disputed", "adjudicated"]
"""What the queue can be narrowed to: `in work` are those somebody has taken and whose time is not over."""
Order = Literal["smart", "oldest", "newest"]
Decision = Literal["judged", "unusable", "skipped"]


@dataclass(frozen=True)
class Filters:
    """Which items, in which order; '' and 0 mean all. `mine` leaves out open cases that this reviewer may not judge:
    what they said, or reviewed already."""

    state: Shown = ""
    ability: str = ""
    modality: str = ""
    model: str = ""
    code: str = ""
    reader: int = 0
    order: Order = "smart"
    mine: bool = False


@dataclass(frozen=True)
class QueueItem:
    """One line of the queue. `rank` is its place in the smart order, higher first; `holder` has it in work until `held_until`."""

    id: int
    state: ItemState
    accepted: bool
    ability: Ability
    modality: str
    model: str
    verdict: Verdict
    codes: tuple[str, ...]
    rank: float
    reader: int
    reader_name: str
    holder: int | None
    holder_name: str
    held_until: datetime | None
    question: str
    answer: str
    reviews: int
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class QueuePage:
    """A part of the queue; `total` counts what the filters let through, `counts` the same by state, whatever state is chosen."""

    items: tuple[QueueItem, ...]
    total: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Facets:
    """What there is to filter by."""

    abilities: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    readers: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What a reviewer decides: `judged` with a statement of their own, `unusable`, or `skipped` for another.

    `blind` says that it was made before anybody else's statement was looked at.
    """

    decision: Decision
    statement: Statement = field(default_factory=Statement)
    blind: bool = False


@dataclass(frozen=True)
class ReviewView:
    """One decision on the newest statement of the reader."""

    id: int
    user: int
    name: str
    decision: Decision
    adjudicates: bool
    blind: bool
    statement: Statement
    created: datetime


@dataclass(frozen=True)
class ItemView:
    """One case under review: the question with the answer, what its reader said (oldest first), what reviewers decided.

    `proposed` is what stands so far: what reader and reviewers say together, or the reader's where they contradict each other.
    `conflicts` are the parts they contradict each other in. `rivals` are the words of the answer this one was preferred over ('').
    """

    item: QueueItem
    turn: TurnView
    said: tuple[FeedbackView, ...]
    reviews: tuple[ReviewView, ...]
    proposed: Statement
    conflicts: tuple[str, ...] = ()
    rival: str = ""


@dataclass(frozen=True)
class CodeAgreement:
    """How far reviewers agree on one code: `items` judged, `either` that somebody gave it to, `both` that all did.

    `kappa` is Cohen's over pairs (who spoke first, who spoke later), `alpha` Krippendorff's over everybody; None where it is not
    defined, because nobody, or everybody, gave the code.
    """

    code: str
    items: int
    either: int
    both: int
    kappa: float | None
    alpha: float | None


@dataclass(frozen=True)
class Agreement:
    """Agreement of readers and reviewers, code by code; `blind` counts the reviews made before anything else was seen."""

    items: int
    pairs: int
    blind: int
    same: float | None
    codes: tuple[CodeAgreement, ...] = ()
    readers: tuple[tuple[int, str], ...] = field(default_factory=tuple)
