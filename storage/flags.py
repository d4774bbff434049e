"""What a reader said of answers, and how far each statement came: waiting, contradicted, let through, or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.review_views import ItemState
from storage.schema import FeedbackRow, ReviewItemRow, SessionRow, TurnRow, VersionRow
from storage.statements import Statement, of_row
from storage.views import User

MOST = 500


@dataclass(frozen=True)
class FlagView:
    """One answer that the reader spoke of, and what stands of it.

    `statements` are the numbers of everything they said of it, oldest first; the last one counts. `accepted` lets it train.
    """

    item: int
    statements: tuple[int, ...]
    version: int
    session: int
    title: str
    question: str
    answer: str
    said: Statement
    state: ItemState
    accepted: bool
    updated: datetime


def of_reader(session: Session, user: User) -> tuple[FlagView, ...]:
    """The reader's statements that stand, newest first, at most `MOST`: two queries."""
    item, said = ReviewItemRow, FeedbackRow
    query = (
        select(item, said, VersionRow.text, TurnRow.question, SessionRow.id.label("session_id"), SessionRow.title)
        .join(said, said.id == item.feedback_id)
        .join(VersionRow, VersionRow.id == item.version_id)
        .join(TurnRow, TurnRow.id == VersionRow.turn_id)
        .join(SessionRow, SessionRow.id == TurnRow.session_id)
        .where(item.reader_id == user.id)
        .order_by(item.updated.desc(), item.id.desc())
        .limit(MOST)
    )
    rows = session.execute(query).all()
    earlier: dict[int, list[int]] = {}
    mine = select(said.id, said.version_id).where(said.user_id == user.id).order_by(said.id)
    for row in session.execute(mine):
        earlier.setdefault(row.version_id, []).append(row.id)
    found = [
        FlagView(
            one.id, tuple(earlier[one.version_id]), one.version_id, row.session_id, row.title, row.question, row.text, of_row(newest),
            cast(ItemState, one.state), one.accepted, one.updated,
        )
        for row in rows
        for one, newest in [(row[0], row[1])]
    ]  # fmt: skip
    return tuple(one for one in found if one.said != Statement())
