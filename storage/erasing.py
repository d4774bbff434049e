"""Taking a study or a case out of the store for good: its rows, and the files nobody else's study holds.

Feedback and forecasts are append-only for everybody who works with the store; only erasing the whole case they belong to removes them. The
audit keeps that something was erased, by number, and never what. Backups made before still hold it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select
from sqlalchemy.orm import Session

from errors import StoreError
from storage import audit, dialect, marks
from storage.content import ContentStore
from storage.database import Database
from storage.schema import (
    Base,
    ContentRow,
    FeedbackRow,
    ForecastRow,
    InstanceRow,
    OutcomeRow,
    PatientRow,
    ReportRow,
    ReviewCodeRow,
    ReviewItemRow,
    ReviewRow,
    ReviewSeriesRow,
    SeriesRow,
    SessionRow,
    SessionStateRow,
    SlotRow,
    StudyRow,
    TurnRow,
    VersionRow,
    now,
)
from storage.views import LOCAL, Erased, User

_PORTION = 500


def study(database: Database, content: ContentStore, study_id: int, user: User) -> Erased:
    """Erase a study of the user's own; the reader at the terminal may erase any. Cases that showed it keep their words."""
    with database.write() as session:
        dialect.erase_pages(session.connection())
        row = session.get(StudyRow, study_id)
        if row is None or not (row.owner_id == user.id or user.key == LOCAL):
            raise StoreError(f"study {study_id} was not found among yours; `db list` shows what there is")
        patient = row.patient_id
        series = list(session.scalars(select(SeriesRow.id).where(SeriesRow.study_id == study_id)))
        hashes = set(session.scalars(select(InstanceRow.sha256).where(InstanceRow.series_id.in_(series))))
        cases = sorted(set(session.scalars(select(SlotRow.session_id).where(SlotRow.series_id.in_(series)))))
        for table, column in (
            (SlotRow, SlotRow.series_id),
            (ReviewSeriesRow, ReviewSeriesRow.series_id),
            (InstanceRow, InstanceRow.series_id),
            (SeriesRow, SeriesRow.id),
        ):
            session.execute(delete(table).where(column.in_(series)))
        _undraw(session, set(series))
        session.execute(delete(StudyRow).where(StudyRow.id == study_id))
        if session.scalar(select(StudyRow.id).where(StudyRow.patient_id == patient).limit(1)) is None:
            session.execute(delete(PatientRow).where(PatientRow.id == patient))
        orphans = hashes - _held(session, hashes)
        for part in _portions(sorted(orphans)):
            session.execute(delete(ContentRow).where(ContentRow.sha256.in_(part)))
        audit.append(session, user.id, "delete", "study", study_id)
    return Erased(len(hashes), _unlinked(database, content, orphans), tuple(cases))


def case(database: Database, session_id: int, user: User) -> Erased:
    """Erase a case of the user's own with everything asked and said of it; the reader at the terminal may erase any."""
    with database.write() as session:
        connection = session.connection()
        dialect.erase_pages(connection)
        row = session.get(SessionRow, session_id)
        if row is None or not (row.owner_id == user.id or user.key == LOCAL):
            raise StoreError(f"session {session_id} was not found among yours; `db list` shows what there is")
        turns = select(TurnRow.id).where(TurnRow.session_id == session_id)
        versions = select(VersionRow.id).where(VersionRow.turn_id.in_(turns))
        items = select(ReviewItemRow.id).where(ReviewItemRow.version_id.in_(versions))
        reviews, said = _table(ReviewRow), _table(FeedbackRow)
        _erase_guarded(connection, reviews, reviews.c.item_id.in_(items))
        session.execute(delete(ReviewCodeRow).where(ReviewCodeRow.item_id.in_(items)))
        session.execute(delete(ReviewSeriesRow).where(ReviewSeriesRow.item_id.in_(items)))
        session.execute(delete(ReviewItemRow).where(ReviewItemRow.version_id.in_(versions)))
        _erase_guarded(connection, said, said.c.version_id.in_(versions))
        foretold, came = _table(ForecastRow), _table(OutcomeRow)
        _erase_guarded(connection, came, came.c.forecast_id.in_(select(ForecastRow.id).where(ForecastRow.version_id.in_(versions))))
        _erase_guarded(connection, foretold, foretold.c.version_id.in_(versions))
        for table, condition in (
            (VersionRow, VersionRow.turn_id.in_(turns)),
            (TurnRow, TurnRow.session_id == session_id),
            (SlotRow, SlotRow.session_id == session_id),
            (SessionStateRow, SessionStateRow.session_id == session_id),
            (ReportRow, ReportRow.session_id == session_id),
            (SessionRow, SessionRow.id == session_id),
        ):
            session.execute(delete(table).where(condition).execution_options(synchronize_session=False))
        audit.append(session, user.id, "delete", "session", session_id)
    dialect.forget_log(database.engine)
    return Erased(0, 0, ())


def _erase_guarded(connection: Connection, table: Table, condition: ColumnElement[bool]) -> None:
    """Erase rows of an append-only table, its guards off only while there is something to erase."""
    if connection.execute(select(table.c.id).where(condition).limit(1)).first():
        with dialect.unguarded(connection, table.name):
            connection.execute(delete(table).where(condition))


def _undraw(session: Session, series: Collection[int]) -> None:
    """Take what was drawn on these series out of every case's document."""
    for row in session.scalars(select(SessionStateRow)):
        before = marks.read({**row.document, "version": row.version})
        if not {place for place, _ in before.places} & set(series):
            continue
        document: dict[str, Any] = asdict(before)
        document["marks"] = [mark for mark in document["marks"] if mark["series_id"] not in series]
        left = {mark["id"] for mark in document["marks"]}
        document["pairs"] = [pair for pair in document["pairs"] if {pair["prior"], pair["current"]} <= left]
        document["key_images"] = [one for one in document["key_images"] if one["series_id"] not in series]
        anchors = document["links"]["anchors"]
        document["links"]["anchors"] = [one for one in anchors if not {one["a_series"], one["b_series"]} & set(series)]
        del document["version"]
        row.document, row.version, row.updated = marks.kept(document), row.version + 1, now()


def _held(session: Session, hashes: Iterable[str]) -> set[str]:
    """Which of these files another study holds."""
    found: set[str] = set()
    for part in _portions(sorted(hashes)):
        found |= set(session.scalars(select(InstanceRow.sha256).where(InstanceRow.sha256.in_(part))))
    return found


def _unlinked(database: Database, content: ContentStore, hashes: Collection[str]) -> int:
    """Remove files that no row names, while no import can write the row of one; how many.

    Rows went first: a crash in between leaves files that `db check` notes, never rows without their file.
    """
    with database.write() as session:
        known: set[str] = set()
        for part in _portions(sorted(hashes)):
            known |= set(session.scalars(select(ContentRow.sha256).where(ContentRow.sha256.in_(part))))
        removed = sum(content.remove(sha256) for sha256 in sorted(set(hashes) - known))
    dialect.forget_log(database.engine)
    return removed


def _portions(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + _PORTION] for start in range(0, len(values), _PORTION))


def _table(row: type[Base]) -> Table:
    found: Table = Base.metadata.tables[row.__tablename__]
    return found
