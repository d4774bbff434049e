"""Cases as one JSON document, and back: questions, answers with how they were made, what readers said, marks; images by hash.

The document names no reader and holds no pixel. Taken in, its cases belong to the reader at the terminal, so everybody here sees
them; a case whose images are not here is left out and said, one that is here already is not doubled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from errors import InputError, StoreError
from storage import audit, forecasts, horizons, library, marks, review, upgrade
from storage.database import Database
from storage.schema import (
    FeedbackRow,
    InstanceRow,
    ReportRow,
    SeriesRow,
    SessionRow,
    SessionStateRow,
    SlotRow,
    StudyRow,
    TurnRow,
    VersionRow,
    now,
)
from storage.views import Clinical, TakenIn, User

FORMAT = 1
NOTICE = "For research and teaching, not a medical device. Answers were written by a model and may be wrong."
MOST_BYTES = 1 << 30
_ANSWER = tuple(column.name for column in VersionRow.__table__.columns if column.name not in ("id", "turn_id"))
"""Columns of an answer that go along: all but its numbers."""
_SAID: Mapping[str, Any] = {
    "verdict": "",
    "comment": "",
    "codes": [],
    "severity": "",
    "corrected_answer": "",
    "cells": {},
    "mark": None,
}
"""Columns of a statement that go along, each with what it is in an older export."""
_PARTS = ("findings", "comparison", "impression")


def document(database: Database, user: User) -> dict[str, Any]:
    """Every reader's cases as plain JSON values; audited."""
    with database.write() as session:
        known: dict[int, dict[str, Any]] = {}
        cases = [_case(session, row, known) for row in session.scalars(select(SessionRow).order_by(SessionRow.id))]
        audit.append(session, user.id, "export", "store", f"cases-{len(cases)}")
    series = {str(number): one for number, one in sorted(known.items())}
    return {"format": FORMAT, "notice": NOTICE, "schema": upgrade.newest(), "created": now().isoformat(), "series": series, "cases": cases}


def _case(session: Session, row: SessionRow, known: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """One case; the series it names are described in `known`."""
    slots = [
        [one.series_id, one.frame, one.role, one.interval, one.window]
        for one in session.scalars(select(SlotRow).where(SlotRow.session_id == row.id).order_by(SlotRow.position))
    ]
    turns = [_turn(session, one) for one in session.scalars(select(TurnRow).where(TurnRow.session_id == row.id).order_by(TurnRow.id))]
    drawn = session.get(SessionStateRow, row.id)
    for number in {slot[0] for part in (slots, *(turn["slots"] for turn in turns)) for slot in part}:
        if number not in known and (described := _series(session, number)) is not None:
            known[number] = described
    return {
        "title": row.title,
        "relationship": row.relationship,
        "created": row.created.isoformat(),
        "updated": row.updated.isoformat(),
        "slots": slots,
        "turns": turns,
        "drawn": drawn.document if drawn is not None else None,
        "reports": [
            {name: getattr(one, name) for name in _PARTS} | {"created": one.created.isoformat()} for one in _reports(session, row.id)
        ],
    }


def _reports(session: Session, number: int) -> Sequence[ReportRow]:
    return session.scalars(select(ReportRow).where(ReportRow.session_id == number).order_by(ReportRow.id)).all()


def _series(session: Session, number: int) -> dict[str, Any] | None:
    row = session.get(SeriesRow, number)
    if row is None:
        return None
    files = session.scalars(select(InstanceRow.sha256).where(InstanceRow.series_id == number).order_by(InstanceRow.sha256))
    return {"uid": row.uid, "modality": row.modality, "description": row.description, "files": list(files)}


def _turn(session: Session, row: TurnRow) -> dict[str, Any]:
    versions = []
    for version in session.scalars(select(VersionRow).where(VersionRow.turn_id == row.id).order_by(VersionRow.number)):
        said = session.scalars(select(FeedbackRow).where(FeedbackRow.version_id == version.id).order_by(FeedbackRow.id))
        answer = {name: getattr(version, name) for name in _ANSWER} | {"created": version.created.isoformat()}
        foretold = forecasts.plain(session, version.id)
        versions.append({**answer, "feedback": [_statement(session, one) for one in said], "forecast": foretold})
    asked = {"question": row.question, "ability": row.ability, "relationship": row.relationship}
    told = {"marks": row.marks, "clinical": row.clinical}
    if horizons.asked(row.question) is not None:
        told |= {"note": horizons.MARK}
    return {**asked, **told, "created": row.created.isoformat(), "slots": row.slots, "versions": versions}


def _statement(session: Session, row: FeedbackRow) -> dict[str, Any]:
    """What a reader said; another answer to the same question is named by its place among them."""
    over = session.get(VersionRow, row.preferred_over) if row.preferred_over else None
    kept = {name: getattr(row, name) for name in _SAID}
    return {**kept, "preferred_over": over.number if over is not None else None, "created": row.created.isoformat()}


def read(path: Path) -> dict[str, Any]:
    """The document in a file. Raises `InputError` with a sentence when it is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than any export ({MOST_BYTES >> 30} GB); name the file that `db export` wrote")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as an export; name the file that `db export` wrote") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("cases"), list):
        raise InputError(f"{path} is not an export of this version; name the file that `db export` wrote")
    return found


def take_in(database: Database, found: Mapping[str, Any], user: User) -> TakenIn:
    """Add the document's cases for `user`, all or none. Raises `InputError` for a document that contradicts itself."""
    added: list[int] = []
    doubled = lost = 0
    try:
        with database.write() as session:
            places = {int(number): _place(session, one["files"], user) for number, one in found["series"].items()}
            for case in found["cases"]:
                here = select(SessionRow.id).where(SessionRow.owner_id == user.id, SessionRow.created == _moment(case["created"]))
                if session.scalar(here.where(SessionRow.title == case["title"])) is not None:
                    doubled += 1
                elif any(places.get(slot[0]) is None for slot in case["slots"]):
                    lost += 1
                else:
                    added.append(_add(session, case, places, user))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"the export is damaged ({type(error).__name__}); nothing was taken in, export again") from error
    return TakenIn(tuple(added), doubled, lost)


def _place(session: Session, files: Sequence[str], user: User) -> int | None:
    """The series here that holds exactly these files and that the user sees."""
    wanted = sorted(files)
    if not wanted:
        return None
    query = (
        select(InstanceRow.series_id)
        .join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
        .join(StudyRow, StudyRow.id == SeriesRow.study_id)
    )
    for number in session.scalars(query.where(InstanceRow.sha256 == wanted[0], library.visible(user)).order_by(InstanceRow.series_id)):
        held = session.scalars(select(InstanceRow.sha256).where(InstanceRow.series_id == number).order_by(InstanceRow.sha256))
        if list(held) == wanted:
            return number
    return None


def _add(session: Session, case: Mapping[str, Any], places: Mapping[int, int | None], user: User) -> int:
    """One case with new numbers; its id."""
    row = SessionRow(owner_id=user.id, title=str(case["title"]), relationship=str(case["relationship"]))
    row.created, row.updated = _moment(case["created"]), _moment(case["updated"])
    session.add(row)
    session.flush()
    for position, (series, frame, role, when, window) in enumerate(case["slots"]):
        place = places[series]
        assert place is not None
        session.add(
            SlotRow(session_id=row.id, position=position, series_id=place, frame=int(frame), role=role, interval=when, window=window)
        )
    for turn in case["turns"]:
        _add_turn(session, turn, places, row.id, user)
    if case["drawn"] is not None:
        session.add(SessionStateRow(session_id=row.id, version=1, document=_moved(case["drawn"], places)))
    for one in case.get("reports", []):
        words = {name: str(one[name]) for name in _PARTS}
        session.add(ReportRow(session_id=row.id, user_id=user.id, created=_moment(one["created"]), **words))
    audit.append(session, user.id, "import", "session", row.id)
    return row.id


def _add_turn(session: Session, turn: Mapping[str, Any], places: Mapping[int, int | None], session_id: int, user: User) -> None:
    """A question with its answers. An image that is not here is number 0, which the page shows as lost."""
    slots = [[places.get(series) or 0, *rest] for series, *rest in turn["slots"]]
    asked = TurnRow(
        session_id=session_id, question=turn["question"], ability=turn["ability"], relationship=turn["relationship"], slots=slots
    )
    asked.marks = [[int(image), str(label), str(kind), points] for image, label, kind, points in turn.get("marks", ())]
    asked.clinical = asdict(Clinical(**turn.get("clinical", {})))
    asked.created = _moment(turn["created"])
    session.add(asked)
    session.flush()
    numbers: dict[int, int] = {}
    for version in turn["versions"]:
        answer = VersionRow(turn_id=asked.id, **{name: version[name] for name in _ANSWER if name != "created"})
        answer.created = _moment(version["created"])
        session.add(answer)
        session.flush()
        numbers[answer.number] = answer.id
        if foretold := version.get("forecast"):
            forecasts.take_in(session, answer.id, user, foretold, places.get(foretold["series"]) or 0)
    said = FeedbackRow.metadata.tables["feedback"]
    for version in turn["versions"]:
        for one in version["feedback"]:
            row = {"version_id": numbers[version["number"]], "user_id": user.id, **{name: one.get(name, _SAID[name]) for name in _SAID}}
            row |= {"preferred_over": numbers.get(one.get("preferred_over") or 0), "created": _moment(one["created"])}
            added = session.connection().execute(insert(said).returning(said.c.id), row).scalar_one()
            review.enqueue(session, added, row, review.About(asked.ability, asked.slots, version["model"], version["checks"]))


def _moved(drawn: Mapping[str, Any], places: Mapping[int, int | None]) -> dict[str, Any]:
    """What was drawn, on the numbers that series have here; what lay on others is left out."""
    marks.read({**drawn, "version": 0})
    found: dict[str, Any] = json.loads(json.dumps(drawn))

    def here(*numbers: int) -> bool:
        return all(places.get(number) is not None for number in numbers)

    found["marks"] = [{**one, "series_id": places[one["series_id"]]} for one in found["marks"] if here(one["series_id"])]
    left = {one["id"] for one in found["marks"]}
    found["pairs"] = [one for one in found["pairs"] if {one["prior"], one["current"]} <= left]
    found["key_images"] = [{**one, "series_id": places[one["series_id"]]} for one in found["key_images"] if here(one["series_id"])]
    anchors = [one for one in found["links"]["anchors"] if here(one["a_series"], one["b_series"])]
    found["links"]["anchors"] = [{**one, "a_series": places[one["a_series"]], "b_series": places[one["b_series"]]} for one in anchors]
    return found


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time has no zone")
    return found


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the document to the new file `path`, for this user's eyes only. Raises `StoreError`."""
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            json.dump(content, file, ensure_ascii=False, indent=1, allow_nan=False)
    except FileExistsError as error:
        raise StoreError(f"{path} exists already; name a new file") from error
    except OSError as error:
        raise StoreError(f"the export {path} could not be written: {(error.strerror or 'failed').lower()}; choose another place") from error
