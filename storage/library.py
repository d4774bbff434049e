"""Finding what was imported: lists for the page, whole studies for the viewer and the model, each as one user may see it.

A study is seen by its owner and, when shared, by everyone. To anyone else it does not exist: "not found" is the
answer for a study that is not there and for one that is another's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session, contains_eager, selectinload

from errors import StoreError
from storage import codec, roles
from storage.content import ContentStore
from storage.schema import InstanceRow, ReviewSeriesRow, SeriesRow, SessionRow, StudyRow, UserRow
from storage.studies.model import Frame, Series, Study
from storage.views import Listed, PatientSummary, SeriesSummary, StudySummary, User


def visible(user: User) -> ColumnElement[bool]:
    """The condition on `studies` under which this user sees one."""
    return or_(StudyRow.owner_id == user.id, StudyRow.shared)


def shown(user: User) -> ColumnElement[bool]:
    """The condition on `series` under which this user sees one: theirs, or one that a case of the review queue is about.

    Reviewers see those without finding them in their list.
    """
    return or_(visible(user), and_(exists().where(ReviewSeriesRow.series_id == SeriesRow.id), _reviewer(user)))


def _reviewer(user: User) -> ColumnElement[bool]:
    return exists().where(UserRow.id == user.id, UserRow.role.in_(roles.REVIEWERS))


def patients(session: Session, user: User) -> tuple[PatientSummary, ...]:
    """Everyone with a study this user may see, the last import first and its patients as read; two queries, however many there are."""
    query = (
        select(StudyRow)
        .join(StudyRow.patient)
        .where(visible(user))
        .options(contains_eager(StudyRow.patient), selectinload(StudyRow.series))
        .order_by(StudyRow.imported.desc(), StudyRow.id)
    )
    found: dict[int, list[StudyRow]] = {}
    for row in session.scalars(query):
        found.setdefault(row.patient_id, []).append(row)
    return tuple(_patient(rows, user) for rows in found.values())


def patient(session: Session, patient_id: int, user: User) -> PatientSummary:
    """One patient with the studies this user may see. Raises `StoreError` when there is none."""
    return _whole(session, patient_id, user, f"patient {patient_id} was not found; choose one from the list")


def patient_of(session: Session, series_id: int, user: User) -> PatientSummary:
    """The patient of a series this user may see. Raises `StoreError` when it is not visible.

    Of a series under review: with those studies that are under review too.
    """
    query = select(StudyRow.patient_id).join(StudyRow.series).where(SeriesRow.id == series_id, shown(user))
    missing = f"series {series_id} was not found; choose one from the list"
    reviewed = exists().where(SeriesRow.study_id == StudyRow.id, ReviewSeriesRow.series_id == SeriesRow.id)
    return _whole(session, session.scalar(query), user, missing, and_(reviewed, _reviewer(user)))


def _whole(session: Session, patient_id: int | None, user: User, missing: str, also: ColumnElement[bool] | None = None) -> PatientSummary:
    seen = visible(user) if also is None else or_(visible(user), also)
    query = select(StudyRow).join(StudyRow.patient).where(StudyRow.patient_id == patient_id, seen)
    rows = session.scalars(query.options(contains_eager(StudyRow.patient), selectinload(StudyRow.series))).all()
    if not rows:
        raise StoreError(missing)
    return _patient(rows, user)


class Frames:
    """Frames of the series opened last, so that a viewer scrolling through one does not unpack its geometry for each image.

    A series only ever grows, so its number of frames tells whether what is remembered still holds.
    """

    def __init__(self, content: ContentStore, remembered: int = 16) -> None:
        self._content = content
        self._remembered = remembered
        self._known: OrderedDict[tuple[int, int], tuple[Frame, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, session: Session, rows: Sequence[SeriesRow]) -> list[tuple[Frame, ...]]:
        """The frames of each series; at most one query, for those not remembered."""
        keys = [(row.id, row.frame_count) for row in rows]
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
        missing = [key for key in keys if key not in found]
        if missing:
            found |= self._read(session, missing)
        with self._lock:
            for key in keys:
                self._known[key] = found[key]
                self._known.move_to_end(key)
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return [found[key] for key in keys]

    def forget(self) -> None:
        """Remember nothing: a series was erased."""
        with self._lock:
            self._known.clear()

    def _read(self, session: Session, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], tuple[Frame, ...]]:
        query = select(InstanceRow.series_id, InstanceRow.sha256, InstanceRow.kind, InstanceRow.frames)
        files: dict[int, list[codec.FileRow]] = {}
        for row in session.execute(query.where(InstanceRow.series_id.in_([number for number, _ in keys]))):
            files.setdefault(row.series_id, []).append(row)
        return {key: codec.frames_value(files.get(key[0], ()), self._content) for key in keys}


def study(session: Session, frames: Frames, study_id: int, user: User) -> Study:
    """One study with all series and frames."""
    query = select(StudyRow).where(StudyRow.id == study_id, visible(user)).options(selectinload(StudyRow.series))
    row = session.scalar(query)
    if row is None:
        raise StoreError(f"study {study_id} was not found; choose one from the list")
    rows = sorted(row.series, key=_by_number)
    return codec.study_value(row, tuple(map(codec.series_value, rows, frames.of(session, rows))))


def series(session: Session, frames: Frames, series_ids: Sequence[int], user: User) -> tuple[tuple[Study, Series], ...]:
    """Each of the series with its frames, and its study holding that series alone: at most two queries."""
    query = select(SeriesRow).join(SeriesRow.study).where(SeriesRow.id.in_(series_ids), shown(user))
    rows = {row.id: row for row in session.scalars(query.options(contains_eager(SeriesRow.study)))}
    missing = next((number for number in series_ids if number not in rows), None)
    if missing is not None:
        raise StoreError(f"series {missing} was not found; choose one from the list")
    asked = [rows[number] for number in series_ids]
    values = map(codec.series_value, asked, frames.of(session, asked))
    return tuple((codec.study_value(row.study, (value,)), value) for row, value in zip(asked, values, strict=True))


def frame_counts(session: Session, series_ids: Sequence[int], user: User) -> dict[int, int]:
    """Number of frames of each of the series that this user may see."""
    query = select(SeriesRow.id, SeriesRow.frame_count).join(SeriesRow.study).where(SeriesRow.id.in_(series_ids), visible(user))
    return {row.id: row.frame_count for row in session.execute(query)}


def everything(session: Session) -> tuple[Listed, ...]:
    """Every reader's studies and cases, oldest first: for whoever looks after the store, at its terminal."""
    studies = session.scalars(select(StudyRow).join(StudyRow.patient).options(contains_eager(StudyRow.patient)).order_by(StudyRow.id))
    named = [
        Listed("study", row.id, f"{row.patient.pseudonym} {row.description}".strip(), f"{row.acquired:%Y-%m-%d}" if row.acquired else "")
        for row in studies
    ]
    cases = session.scalars(select(SessionRow).order_by(SessionRow.id))
    return (*named, *(Listed("session", row.id, row.title, f"{row.updated:%Y-%m-%d}") for row in cases))


def _patient(rows: Sequence[StudyRow], user: User) -> PatientSummary:
    patient = rows[0].patient
    studies = sorted(rows, key=lambda row: (row.acquired is None, row.acquired or datetime.min, row.id))
    return PatientSummary(patient.id, patient.pseudonym, patient.sex, patient.birth_year, tuple(_study(row, user) for row in studies))


def _study(row: StudyRow, user: User) -> StudySummary:
    series = tuple(_series(one) for one in sorted(row.series, key=_by_number))
    return StudySummary(
        id=row.id,
        uid=row.uid,
        acquired=row.acquired,
        description=row.description,
        modalities=tuple(dict.fromkeys(one.modality for one in series)),
        synthetic=row.synthetic,
        shared=row.shared,
        own=row.owner_id == user.id,
        imported=row.imported,
        series=series,
    )


def _series(row: SeriesRow) -> SeriesSummary:
    return SeriesSummary(
        id=row.id,
        uid=row.uid,
        number=row.number,
        modality=row.modality,
        description=row.description,
        body_part=row.body_part,
        laterality=row.laterality,
        view=row.view,
        plane=row.plane,
        frames=row.frame_count,
        acquired=row.acquired,
    )


def _by_number(row: SeriesRow) -> tuple[bool, int, int]:
    """Series in the order of their numbers, those without one last."""
    return row.number is None, row.number or 0, row.id
