"""Who did what to which object and when, in a chain where a removed or altered row shows (DICOM PS3.15 A.5).

Each row's hash covers its own fields and the hash of the row before. Rows hold identifiers, never free text: what
could carry a name is refused before it is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from errors import StoreError
from storage import dialect
from storage.schema import AuditRow, now
from storage.views import AuditOutcome

GENESIS = "0" * 64

EVENTS = {
    "import": ("C", "110107"),
    "view": ("R", "110103"),
    "ask": ("E", "110103"),
    "feedback": ("C", "110100"),
    "take": ("U", "110100"),
    "release": ("U", "110100"),
    "review": ("C", "110100"),
    "adjudicate": ("C", "110100"),
    "role": ("U", "110137"),
    "check": ("U", "110100"),
    "start": ("C", "110100"),
    "branch": ("R", "110103"),
    "rename": ("U", "110100"),
    "search": ("E", "110112"),
    "export": ("R", "110106"),
    "backup": ("R", "110106"),
    "restore": ("C", "110107"),
    "upgrade": ("U", "110100"),
    "delete": ("D", "110105"),
    "sign-in": ("E", "110114"),
    "mismatch": ("E", "110113"),
    "override": ("E", "110113"),
    "mark": ("U", "110100"),
    "report": ("U", "110100"),
    "resolve": ("C", "110100"),
    "blind-read": ("C", "110100"),
}
"""Our words -> action code (Create, Read, Update, Delete, Execute) and DCM event code; others are E, 110100."""

OUTCOMES: dict[AuditOutcome, int] = {"success": 0, "minor": 4, "serious": 8, "major": 12}

_TABLE = AuditRow.metadata.tables["audit"]
_SEALED = ("user_id", "event", "action", "code", "outcome", "object_kind", "object_id")
_ADD = insert(_TABLE)
_LAST = select(_TABLE.c.hash).order_by(_TABLE.c.id.desc()).limit(1)
_WORD = re.compile(r"[a-z][a-z0-9-]{0,31}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def append(session: Session, user_id: int, event: str, kind: str, identifier: str | int, outcome: AuditOutcome = "success") -> None:
    """Add one row at the end of the chain, in the transaction of `session`. Raises `StoreError` for anything but identifiers."""
    if not (_WORD.fullmatch(event) and _WORD.fullmatch(kind) and _IDENTIFIER.fullmatch(str(identifier)) and outcome in OUTCOMES):
        raise StoreError("an audit row takes words and identifiers only; leave descriptions and names out of it")
    dialect.one_writer(session.connection(), "audit")
    action, code = EVENTS.get(event, ("E", "110100"))
    row = {
        "created": now(),
        "user_id": user_id,
        "event": event,
        "action": action,
        "code": code,
        "outcome": OUTCOMES[outcome],
        "object_kind": kind,
        "object_id": str(identifier),
        "previous": session.connection().execute(_LAST).scalar() or GENESIS,
    }
    session.connection().execute(_ADD, row | {"hash": sealed(row)})


def sealed(row: Mapping[str, Any]) -> str:
    """SHA-256 over the row's fields and the hash of the row before."""
    fields = (row["previous"], row["created"].isoformat(), *(row[name] for name in _SEALED))
    return hashlib.sha256("\x1f".join(map(str, fields)).encode()).hexdigest()


def broken(session: Session) -> str:
    """An empty string when the chain holds, else where it first breaks."""
    previous = GENESIS
    for row in session.execute(select(*_TABLE.c).order_by(_TABLE.c.id).execution_options(yield_per=1000)):
        if row.previous != previous:
            return f"audit row {row.id} does not follow the row before it; rows were removed or put in"
        if sealed(row._asdict()) != row.hash:
            return f"audit row {row.id} was changed after it was written"
        previous = row.hash
    return ""
