"""Another case that goes on from one of a case's questions: its images, marks, questions and answers up to there are copied.

Both cases then go their own ways. What readers said of the answers, and reports, stay with the case they were said in, so that nothing
counts twice.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import StoreMissing
from storage import audit, history
from storage.schema import SessionStateRow, TurnRow, VersionRow
from storage.views import Relationship, Slot, User

OWN = {"id", "session_id", "turn_id"}


def branch(session: Session, session_id: int, turn_id: int, user: User) -> int:
    """Begin a case that holds everything up to this question; its id. Raises `StoreError`."""
    row = history.own(session, session_id, user)
    turns = session.scalars(select(TurnRow).where(TurnRow.session_id == session_id, TurnRow.id <= turn_id).order_by(TurnRow.id)).all()
    if not turns or turns[-1].id != turn_id:
        raise StoreMissing(f"question {turn_id} was not found in this session; choose one of its questions")
    last = turns[-1]
    made = history.start(session, user, f"{row.title} (branch)", [Slot(*one) for one in last.slots], cast(Relationship, last.relationship))
    for turn in turns:
        copy = TurnRow(session_id=made, **_values(turn))
        session.add(copy)
        session.flush()
        versions = session.scalars(select(VersionRow).where(VersionRow.turn_id == turn.id).order_by(VersionRow.number))
        session.add_all(VersionRow(turn_id=copy.id, **_values(version)) for version in versions)
    drawn = session.get(SessionStateRow, session_id)
    if drawn is not None:
        session.add(SessionStateRow(session_id=made, version=1, document=drawn.document))
    audit.append(session, user.id, "branch", "session", session_id)
    return made


def _values(row: TurnRow | VersionRow) -> dict[str, Any]:
    """Every column but the row's own number and where it belongs."""
    return {name: getattr(row, name) for name in set(row.__table__.columns.keys()) - OWN}
