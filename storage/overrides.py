"""Why a reader went on past a warning that two images do not belong together: their own words, kept for good.

The audit chain takes identifiers only, so that no name can slip into it. The words are a row of `overrides`, which can
only be added to; the chain holds the row's number and the hash of its words, so a changed reason shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from errors import InputError, StoreError
from storage import audit, library
from storage.schema import OverrideRow, clean, now
from storage.views import OverrideView, User

SHORTEST, LONGEST = 5, 400
"""Characters of a reason."""


def add(session: Session, user: User, series_ids: Sequence[int], codes: Sequence[str], reason: str) -> int:
    """Keep a reason and audit it; the row's id. Raises `InputError` for a reason that is none, `StoreError` for hidden series."""
    words = " ".join(clean(reason).split())
    if not SHORTEST <= len(words) <= LONGEST:
        raise InputError(f"a reason has {SHORTEST} to {LONGEST} characters and this one has {len(words)}; say why the images are compared")
    missing = set(series_ids) - library.frame_counts(session, list(series_ids), user).keys()
    if missing or not codes:
        raise StoreError("the images or warnings of this reason were not found; open the images again")
    row = {"user_id": user.id, "series": list(series_ids), "codes": list(codes), "reason": words, "created": now()}
    table = OverrideRow.metadata.tables["overrides"]
    added = int(session.connection().execute(insert(table).returning(table.c.id), row).scalar_one())
    audit.append(session, user.id, "override", "override", f"{added}:{hashlib.sha256(words.encode()).hexdigest()[:32]}")
    return added


def of_user(session: Session, user: User) -> tuple[OverrideView, ...]:
    """What this user went past, oldest first."""
    rows = session.scalars(select(OverrideRow).where(OverrideRow.user_id == user.id).order_by(OverrideRow.id))
    return tuple(OverrideView(row.id, tuple(row.series), tuple(row.codes), row.reason, row.created) for row in rows)
