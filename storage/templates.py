"""A reader's own wordings of questions, one list for each ability; without a list the program's own are offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from errors import StoreError
from storage import codec, dialect
from storage.schema import TemplatesRow
from storage.views import Ability, User

MOST, LONGEST = 24, 400
"""Templates a list may have, and characters of one."""


def load(session: Session, user: User) -> Mapping[Ability, tuple[str, ...]]:
    """The reader's own lists, by ability."""
    rows = session.execute(select(TemplatesRow.ability, TemplatesRow.texts).where(TemplatesRow.user_id == user.id))
    return {cast(Ability, row.ability): tuple(row.texts) for row in rows}


def save(session: Session, user: User, ability: Ability, texts: Sequence[str]) -> None:
    """Keep the list in the place of the one before; an empty one brings the program's own back. Raises `StoreError`."""
    if len(texts) > MOST or any(not text.strip() or len(text) > LONGEST for text in texts):
        raise StoreError(f"at most {MOST} templates of up to {LONGEST} characters are kept, none of them empty; shorten the list")
    dialect.one_writer(session.connection(), "reader_templates")
    session.execute(delete(TemplatesRow).where(TemplatesRow.user_id == user.id, TemplatesRow.ability == ability))
    if texts:
        session.add(TemplatesRow(user_id=user.id, ability=ability, texts=codec.plain([text.strip() for text in texts])))
