"""What a reader may do beyond reading: five roles, each a set of rights.

    reader        asks, corrects, gives feedback
    annotator     also reviews what others said
    adjudicator   also decides where reviewers disagree
    educator      also prepares cases for teaching
    admin         all of it, and trains, promotes, gives roles

Everybody begins as the setting `new_role` says; the reader at the terminal is an admin, and the only one who can make another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from errors import InputError, StoreRefused
from storage import audit
from storage.schema import FeedbackRow, ReviewRow, UserRow
from storage.views import Role, User

Right = Literal["review", "adjudicate", "teach", "train", "admin"]

RIGHTS: Mapping[Role, tuple[Right, ...]] = {
    "reader": (),
    "annotator": ("review",),
    "adjudicator": ("review", "adjudicate"),
    "educator": ("teach",),
    "admin": ("review", "adjudicate", "teach", "train", "admin"),
}
REVIEWERS = tuple(role for role, rights in RIGHTS.items() if "review" in rights)
NEEDED: Mapping[Right, Role] = {
    "review": "annotator",
    "adjudicate": "adjudicator",
    "teach": "educator",
    "train": "admin",
    "admin": "admin",
}
"""The least role that has a right."""

MAX_NAME = 80


@dataclass(frozen=True)
class Member:
    """A reader as an admin sees them: `statements` and `reviews` count what they said."""

    id: int
    name: str
    role: Role
    created: datetime
    statements: int = 0
    reviews: int = 0


def role_of(session: Session, user: User) -> Role:
    """The user's role as it is now."""
    return cast(Role, session.scalar(select(UserRow.role).where(UserRow.id == user.id)) or "reader")


def require(session: Session, user: User, right: Right) -> None:
    """Raises `StoreRefused` with the remedy when the user lacks the right."""
    role = role_of(session, user)
    if right not in RIGHTS[role]:
        raise StoreRefused(
            f"this needs the role {NEEDED[right]} and you are reader {user.id} with the role {role}; "
            f"whoever looks after Interval can run `python app.py users role {user.id} {NEEDED[right]}`"
        )


def member(session: Session, user: User) -> Member:
    """The user with name and role as they are now."""
    row = session.get_one(UserRow, user.id)
    return Member(row.id, row.name, cast(Role, row.role), row.created)


def give(session: Session, by: User, user_id: int, role: str) -> Member:
    """Give a user another role, audited. Raises `InputError` for a role or user that is none."""
    if role not in get_args(Role):
        raise InputError(f"{role!r} is no role; choose of {', '.join(get_args(Role))}")
    row = session.get(UserRow, user_id)
    if row is None:
        raise InputError(f"there is no reader {user_id}; `python app.py users list` shows them")
    row.role = role
    audit.append(session, by.id, "role", "user", f"{user_id}:{role}")
    return Member(row.id, row.name, cast(Role, role), row.created)


def rename(session: Session, user: User, name: str) -> None:
    """What the reader wants to be called."""
    words = " ".join(name.split())
    if len(words) > MAX_NAME:
        raise InputError(f"the name has {len(words)} characters; shorten it to {MAX_NAME}")
    row = session.get_one(UserRow, user.id)
    row.name = words


def members(session: Session) -> tuple[Member, ...]:
    """Everybody who ever opened the page, oldest first."""
    said = _counted(session, FeedbackRow)
    reviewed = _counted(session, ReviewRow)
    return tuple(
        Member(row.id, row.name, cast(Role, row.role), row.created, said.get(row.id, 0), reviewed.get(row.id, 0))
        for row in session.scalars(select(UserRow).order_by(UserRow.id))
    )


def _counted(session: Session, table: type[FeedbackRow] | type[ReviewRow]) -> dict[int, int]:
    rows = session.execute(select(table.user_id, func.count().label("many")).group_by(table.user_id))
    return {row.user_id: row.many for row in rows}
