"""The text of a case's report as its reader left it; every saving is a row of its own, so that it shows what was changed and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import InputError
from storage import audit, history
from storage.schema import ReportRow, clean
from storage.views import User

LONGEST = 20_000
"""Characters of one part."""


@dataclass(frozen=True)
class ReportText:
    """One saving: the three parts, and when."""

    findings: str
    comparison: str
    impression: str
    id: int = 0
    created: datetime | None = None


def newest(session: Session, session_id: int, user: User) -> ReportText | None:
    """The report as it was last saved, None when it never was. Raises `StoreError` for somebody else's case."""
    history.own(session, session_id, user)
    row = session.scalar(select(ReportRow).where(ReportRow.session_id == session_id).order_by(ReportRow.id.desc()).limit(1))
    return None if row is None else ReportText(row.findings, row.comparison, row.impression, row.id, row.created)


def save(session: Session, session_id: int, user: User, text: ReportText) -> int:
    """Keep the report's text; the row's id, that of the newest row when it says the same. Raises `InputError`, `StoreError`."""
    before = newest(session, session_id, user)
    parts = {name: clean(getattr(text, name)).strip() for name in ("findings", "comparison", "impression")}
    longest = max(len(part) for part in parts.values())
    if longest > LONGEST:
        raise InputError(f"a part of the report has {longest:,} characters and at most {LONGEST:,} are kept; shorten it")
    if before is not None and all(getattr(before, name) == part for name, part in parts.items()):
        return before.id
    row = ReportRow(session_id=session_id, user_id=user.id, **parts)
    session.add(row)
    session.flush()
    audit.append(session, user.id, "report", "session", session_id)
    return row.id
