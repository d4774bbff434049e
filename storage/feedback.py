"""What readers say of answers. Append-only: a change is a new row, and each row is the reader's whole statement after it.

    store.add_feedback(version, reader, Said("disagree", codes=("change-missed",), cells={"effusion": "worse"}))

The codes are those of errors that only questions about several images have, plus the few that any question has. Every statement
also stands in the queue of the reviewers (`storage.review`): nothing a reader says trains anything before another reader saw it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Row, bindparam, func, insert, select
from sqlalchemy.orm import Session

from errors import InputError, StoreMissing
from storage import audit, codec, review
from storage.schema import FeedbackRow, ReviewRow, VersionRow, now
from storage.views import AskedMark, FeedbackView, Severity, User, Verdict

CODES: Mapping[str, str] = {
    "images-swapped": "Prior and current are taken for each other",
    "change-hallucinated": "A change is claimed where there is none",
    "change-missed": "A change is there and not told",
    "wrong-side": "Left and right, or the place, are wrong",
    "wrong-time-point": "A finding is told of the wrong date",
    "positioning-or-technique": "Positioning or technique is taken for disease",
    "forecast-as-fact": "What may come is told as what is",
    "wrong-view": "What one view shows is told of another",
    "other": "Something else is wrong",
}
"""Errors, and what each means, in the order they are offered."""

CLASSES = ("new", "worse", "stable", "improved", "resolved", "uncertain")
WHOLE = "overall"
"""The name in `cells` of the disease as a whole, which is worse, stable or improved."""
OVERALL = ("worse", "stable", "improved")

MAX_COMMENT = 10_000
MAX_ANSWER = 8_000
MAX_CELLS = 64
_FAR = 1e6

_SAID = FeedbackRow.metadata.tables["feedback"]
_STANDING = (
    select(_SAID)
    .where(_SAID.c.version_id == bindparam("version"), _SAID.c.user_id == bindparam("user"))
    .order_by(_SAID.c.id.desc())
    .limit(1)
)
_ADD = insert(_SAID).returning(_SAID.c.id)
"""Made once: putting a statement together takes SQLAlchemy longer than asking it."""


@dataclass(frozen=True)
class Said:
    """What a reader says now. None leaves what stood before; an empty value takes it back.

    `cells` are corrected classes by finding and join those that stand, finding by finding ('' takes one back). `mark` is a place
    in one of the question's images. `preferred_over` is another answer to the same question that this one is better than.
    """

    verdict: Verdict = ""
    comment: str | None = None
    codes: Sequence[str] | None = None
    severity: Severity | None = None
    corrected_answer: str | None = None
    cells: Mapping[str, str] | None = None
    mark: AskedMark | Literal[""] | None = None
    preferred_over: int | None = None

    def __post_init__(self) -> None:
        """Raises `InputError` for what means nothing."""
        if self.verdict not in ("agree", "disagree", ""):
            raise InputError(f"feedback is agree or disagree, not {self.verdict!r}")
        if self.severity not in (None, "", "minor", "major", "critical"):
            raise InputError(f"a severity is minor, major or critical, not {self.severity!r}")
        for name, text, most in (("comment", self.comment, MAX_COMMENT), ("corrected answer", self.corrected_answer, MAX_ANSWER)):
            if text is not None and len(text) > most:
                raise InputError(f"the {name} has {len(text):,} characters; shorten it to {most:,}")
        if unknown := sorted(set(self.codes or ()) - CODES.keys()):
            raise InputError(f"{unknown[0]!r} is no error code; choose of {', '.join(CODES)}")
        _check_cells(self.cells or {})
        if isinstance(self.mark, AskedMark):
            _check_mark(self.mark)


def add(session: Session, version_id: int, turn: Row[*tuple[Any, ...]], user: User, said: Said) -> int:
    """Keep what the reader says of an answer to `turn`, which they may see; the row's id. Raises `InputError`."""
    if said == Said():
        raise InputError("the feedback says nothing; agree, disagree, or correct something")
    if said.preferred_over:
        _check_other(session, version_id, said.preferred_over, turn)
    if isinstance(said.mark, AskedMark) and said.mark.image >= len(turn.slots):
        raise InputError(f"the mark is on image {said.mark.image + 1} and the question has {len(turn.slots)}")
    row = {"version_id": version_id, "user_id": user.id, "created": now()} | _joined(_standing(session, version_id, user), said)
    added = int(session.connection().execute(_ADD, row).scalar_one())
    audit.append(session, user.id, "feedback", "answer", version_id)
    review.enqueue(session, added, row, review.About(turn.ability, turn.slots, turn.model, turn.checks))
    return added


def of_versions(session: Session, version_ids: Any, user: User) -> dict[int, list[FeedbackView]]:
    """This user's statements on the versions of a subquery, oldest first, by version."""
    found: dict[int, list[FeedbackView]] = {}
    query = select(_SAID).where(_SAID.c.version_id.in_(version_ids), _SAID.c.user_id == user.id).order_by(_SAID.c.id)
    for row in session.execute(query):
        found.setdefault(row.version_id, []).append(view(row))
    return found


def since(session: Session, user: User, moment: datetime) -> int:
    """How many statements and reviews this user made after `moment`."""
    return sum(
        session.scalar(select(func.count()).select_from(table).where(table.user_id == user.id, table.created > moment)) or 0
        for table in (FeedbackRow, ReviewRow)
    )


def own(session: Session, feedback_id: int, user: User) -> FeedbackView:
    """One statement of the user's. Raises `StoreMissing`."""
    row = session.execute(select(_SAID).where(_SAID.c.id == feedback_id, _SAID.c.user_id == user.id)).first()
    if row is None:
        raise StoreMissing(f"statement {feedback_id} was not found among yours")
    return view(row)


def view(row: Row[*tuple[Any, ...]]) -> FeedbackView:
    """A row of the table as a value."""
    return FeedbackView(
        id=row.id,
        version_id=row.version_id,
        verdict=cast(Verdict, row.verdict),
        comment=row.comment,
        created=row.created,
        codes=tuple(row.codes),
        severity=cast(Severity, row.severity),
        corrected_answer=row.corrected_answer,
        cells=dict(row.cells),
        mark=mark_of(row.mark),
        preferred_over=row.preferred_over,
    )


def mark_of(found: Mapping[str, Any] | None) -> AskedMark | None:
    """A mark as the table keeps it, as a value."""
    if not found:
        return None
    return AskedMark(found["image"], found["label"], found["kind"], tuple((column, row) for column, row in found["points"]))


def _standing(session: Session, version_id: int, user: User) -> FeedbackView | None:
    row = session.connection().execute(_STANDING, {"version": version_id, "user": user.id}).first()
    return None if row is None else view(row)


def _joined(before: FeedbackView | None, said: Said) -> dict[str, Any]:
    """The columns of the whole statement. A verdict that turns begins anew: what explained the old one goes, cells stay."""
    turned = before is not None and said.verdict and said.verdict != before.verdict
    kept = before if before is not None and not turned else FeedbackView(0, 0, "", "", now())
    cells = {**(before.cells if before else {}), **(said.cells or {})}
    codes = kept.codes if said.codes is None else tuple(code for code in CODES if code in said.codes)
    verdict = said.verdict or (before.verdict if before else "") or ("disagree" if codes else "")
    if verdict == "agree" and codes:
        raise InputError("an answer that is agreed with has no error codes; disagree with it, or leave them out")
    mark = kept.mark if said.mark is None else said.mark or None
    over = (before.preferred_over if before else None) if said.preferred_over is None else said.preferred_over or None
    return {
        "verdict": verdict,
        "comment": (kept.comment if said.comment is None else said.comment).strip(),
        "codes": list(codes),
        "severity": kept.severity if said.severity is None else said.severity,
        "corrected_answer": (kept.corrected_answer if said.corrected_answer is None else said.corrected_answer).strip(),
        "cells": {finding: name for finding, name in cells.items() if name},
        "mark": codec.plain(asdict(mark)) if mark else None,
        "preferred_over": over,
    }


def _check_other(session: Session, version_id: int, other: int, turn: Row[*tuple[Any, ...]]) -> None:
    found = session.scalar(select(VersionRow.turn_id).where(VersionRow.id == other))
    if found != turn.id or other == version_id:
        raise InputError("a preference is between two answers to the same question; choose another version of this one")


def _check_cells(cells: Mapping[str, str]) -> None:
    if len(cells) > MAX_CELLS:
        raise InputError(f"there are {len(cells)} corrected findings; {MAX_CELLS} can be kept")
    for finding, name in cells.items():
        allowed = OVERALL if finding == WHOLE else CLASSES
        if not finding.strip() or len(finding) > 80:
            raise InputError("a corrected finding needs a name of at most 80 characters")
        if name and name not in allowed:
            raise InputError(f"{finding} can be {', '.join(allowed)}, not {name!r}")


def _check_mark(mark: AskedMark) -> None:
    if not 0 <= mark.image < 8 or not 1 <= len(mark.points) <= 2000 or len(mark.label) > 16 or len(mark.kind) > 16:
        raise InputError("the mark is on no image of the question, or has no points")
    if not all(math.isfinite(number) and abs(number) < _FAR for point in mark.points for number in point):
        raise InputError("the mark's points are not places in an image")
