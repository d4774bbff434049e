"""Blind reads: what a learner said of each finding of a teaching case before any answer was shown, kept once and for good.

The truth of that day is kept with it, so that a score stays what it was when a case is changed later. A case is known by a key, never by
its studies: whoever erases those keeps what learners said, which shows nobody's image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import InputError, StoreHeld
from storage import audit, dialect
from storage.schema import BlindReadRow
from storage.views import User

UNCERTAIN = "uncertain"
_GROWS, _SHRINKS = ("new", "worse"), ("improved", "resolved")
MISSES = (
    "missed worsening",
    "missed improvement",
    "change said where nothing changed",
    "right direction, another word",
)
"""What a wrong word can be, gravest first."""


@dataclass(frozen=True)
class Miss:
    """A finding whose word is not the reference's: which of `MISSES` it is, what was said and what is true."""

    kind: str
    finding: str
    said: str
    true: str


@dataclass(frozen=True)
class Score:
    """Of `total` findings `right` are as the reference and `open` were left uncertain, which is neither right nor wrong."""

    right: int
    open: int
    total: int
    missed: tuple[Miss, ...]


@dataclass(frozen=True)
class BlindRead:
    """One committed reading: finding -> class, as it was said and as it was true."""

    id: int
    key: str
    cells: Mapping[str, str]
    reference: Mapping[str, str]
    created: datetime

    @property
    def score(self) -> Score:
        """How it compares with the reference."""
        return scored(self.cells, self.reference)


def scored(cells: Mapping[str, str], reference: Mapping[str, str]) -> Score:
    """The words of a reading against the reference, by finding; a finding without a word is open."""
    said = {finding: cells.get(finding) or UNCERTAIN for finding in reference}
    missed = [
        Miss(_kind(said[finding], true), finding, said[finding], true)
        for finding, true in reference.items()
        if said[finding] not in (true, UNCERTAIN)
    ]
    missed.sort(key=lambda miss: MISSES.index(miss.kind))
    right = sum(said[finding] == true for finding, true in reference.items())
    return Score(right, sum(name == UNCERTAIN for name in said.values()), len(reference), tuple(missed))


def _kind(said: str, true: str) -> str:
    for way, kind in ((_GROWS, MISSES[0]), (_SHRINKS, MISSES[1])):
        if true in way:
            return MISSES[3] if said in way else kind
    return MISSES[2]


def commit(session: Session, user: User, key: str, cells: Mapping[str, str], reference: Mapping[str, str]) -> int:
    """Keep a reading; its id. Raises `StoreHeld` when the user read the case already, `InputError` when a finding has no word."""
    if set(cells) != set(reference):
        raise InputError("a reading says one word of each finding of its case; say uncertain where you cannot tell")
    dialect.one_writer(session.connection(), "blind_reads")
    if find(session, user, key) is not None:
        raise StoreHeld("you committed a reading of this case already, and a blind read is made once; see what the model says of it")
    row = BlindReadRow(user_id=user.id, case_key=key, cells=dict(cells), reference=dict(reference))
    session.add(row)
    session.flush()
    audit.append(session, user.id, "blind-read", "blind-read", row.id)
    return row.id


def find(session: Session, user: User, key: str) -> BlindRead | None:
    """The user's reading of a case, None before they committed one."""
    row = session.scalar(select(BlindReadRow).where(BlindReadRow.user_id == user.id, BlindReadRow.case_key == key))
    return None if row is None else _view(row)


def of_reader(session: Session, user: User) -> tuple[BlindRead, ...]:
    """The user's readings, newest first."""
    query = select(BlindReadRow).where(BlindReadRow.user_id == user.id).order_by(BlindReadRow.id.desc())
    return tuple(_view(row) for row in session.scalars(query))


def _view(row: BlindReadRow) -> BlindRead:
    return BlindRead(row.id, row.case_key, row.cells, row.reference, row.created)
