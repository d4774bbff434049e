"""From studies just read to rows that can be listed, opened and asked about; nothing kept twice.

Files come first, rows after: a row never names a file that is not on the disk. Rows of whole studies
are written together, so a crash in the middle of a large import loses whole studies at worst, and importing again brings them.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from sqlalchemy import insert, select
from sqlalchemy.orm import Session, selectinload

from storage import audit, codec, dialect
from storage.content import ContentStore
from storage.database import Database
from storage.schema import ContentRow, InstanceRow, PatientRow, SeriesRow, StudyRow, now
from storage.studies.dicom import PROJECTION
from storage.studies.model import FileOutcome, Frame, Reading, Series, Study
from storage.views import ImportReport, User

BATCH_FRAMES = 300
DUPLICATE = "is already in the store; nothing was added"
SAME_INSTANCE = "is an instance already in the store with other bytes; the first one is kept; erase its study to have this one"


@dataclass
class Kept:
    """What became of the files of one import, by hash, and the rows they are in."""

    added: set[str] = field(default_factory=set)
    known: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    study_ids: list[int] = field(default_factory=list)
    patients: set[int] = field(default_factory=set)
    series: set[int] = field(default_factory=set)

    def outcome(self, file: FileOutcome) -> FileOutcome:
        """The last word on one file: what reading said, unless keeping it found otherwise."""
        if file.outcome != "imported" or not file.sha256:
            return file
        if reason := self.failed.get(file.sha256):
            return replace(file, outcome="refused", reason=reason)
        if file.sha256 not in self.added and file.sha256 in self.known:
            return replace(file, outcome="duplicate", reason=self.known[file.sha256])
        return file


def keep(database: Database, content: ContentStore, reading: Reading, failed: Mapping[str, str], user: User, shared: bool) -> ImportReport:
    """Write the rows of `reading`, whose files are in `content` but for those in `failed` (hash -> reason)."""
    kept, moment = Kept(failed=dict(failed)), now()
    for batch in _batches(reading.studies, kept.failed):
        with database.write() as session:
            for study in batch:
                _keep_study(session, content, study, user, shared, moment, kept)
    return ImportReport(
        patients=len(kept.patients),
        studies=len(kept.study_ids),
        series=len(kept.series),
        instances=len(kept.added | set(kept.known)),
        files=_outcomes(reading.files, kept),
        study_ids=tuple(kept.study_ids),
        warnings=reading.warnings,
    )


def _batches(studies: Iterable[Study], failed: Mapping[str, str]) -> Iterator[list[Study]]:
    """Studies with something to keep, some hundred frames together: each batch is one transaction, one wait for the disk."""
    batch: list[Study] = []
    frames = 0
    for study in studies:
        whole = _without(study, failed)
        if whole.series:
            batch.append(whole)
            frames += sum(len(series.frames) for series in whole.series)
        if frames >= BATCH_FRAMES:
            yield batch
            batch, frames = [], 0
    if batch:
        yield batch


def _outcomes(files: Iterable[FileOutcome], kept: Kept) -> tuple[FileOutcome, ...]:
    """One line per file; of several files with the same bytes in one import, the first is the one that was added."""
    seen: set[str] = set()
    lines = []
    for file in files:
        line = kept.outcome(file)
        if line.outcome == "imported" and line.sha256 and line.sha256 in seen:
            line = replace(line, outcome="duplicate", reason=DUPLICATE)
        seen.add(line.sha256)
        lines.append(line)
    return tuple(lines)


def _without(study: Study, failed: Mapping[str, str]) -> Study:
    """The study without frames whose file could not be kept, and without series left empty by that."""
    series = [replace(one, frames=tuple(frame for frame in one.frames if frame.source.sha256 not in failed)) for one in study.series]
    return replace(study, series=tuple(one for one in series if one.frames))


def _keep_study(session: Session, content: ContentStore, study: Study, user: User, shared: bool, moment: datetime, kept: Kept) -> None:
    """One study, new or known, with its series."""
    dialect.one_writer(session.connection(), "studies")
    row = session.scalar(select(StudyRow).where(StudyRow.owner_id == user.id, StudyRow.uid == study.uid))
    if row is None:
        row = StudyRow(owner_id=user.id, patient_id=_patient(session, study).id, uid=study.uid, warnings=[], facts=codec.study_facts(study))
        row.imported = moment
        row.acquired, row.description = _wall_clock(study.acquired), study.description
        session.add(row)
    row.shared = row.shared or shared
    row.synthetic = bool(row.synthetic) or synthetic(study)
    row.warnings = _union(row.warnings, study.warnings)
    session.flush()
    known = select(SeriesRow).where(SeriesRow.study_id == row.id).options(selectinload(SeriesRow.instances))
    rows = list(session.scalars(known))
    for series in study.series:
        _keep_series(session, content, series, row.id, rows, kept)
    audit.append(session, user.id, "import", "study", row.id)
    kept.patients.add(row.patient_id)
    if row.id not in kept.study_ids:
        kept.study_ids.append(row.id)


def _patient(session: Session, study: Study) -> PatientRow:
    """The patient of this pseudonym; a study that names nobody is a patient of its own."""
    pseudonym = study.patient_id or "unnamed-" + hashlib.sha256(study.uid.encode()).hexdigest()[:12]
    row = session.scalar(select(PatientRow).where(PatientRow.pseudonym == pseudonym))
    if row is None:
        row = PatientRow(pseudonym=pseudonym, sex="", birth_year=None)
        session.add(row)
    row.sex = row.sex or study.patient_sex
    row.birth_year = row.birth_year or study.patient_birth_year
    session.flush()
    return row


def _keep_series(session: Session, content: ContentStore, series: Series, study_id: int, rows: list[SeriesRow], kept: Kept) -> None:
    """One series: files the study has already (in `rows`) are noted, the others go into the row they belong to, old or new."""
    frames = list({frame.key: frame for frame in series.frames}.values())
    fresh = _new_files(frames, rows, kept)
    if not fresh:
        return
    row = _home(series, rows)
    if row is None:
        row = _new_row(series, study_id, rows)
        session.add(row)
        rows.append(row)
    row.warnings = _union(row.warnings, series.warnings)
    session.flush()
    kept.series.add(row.id)
    _add_files(session, content, row, [frame for frame in frames if frame.source.sha256 in fresh])
    session.expire(row, ["instances"])


def _new_files(frames: Iterable[Frame], rows: Sequence[SeriesRow], kept: Kept) -> set[str]:
    """Hashes of the files that no series of the study has; the others are noted as known."""
    by_hash = {instance.sha256: row.id for row in rows for instance in row.instances}
    by_uid = {instance.uid: (row.id, instance) for row in rows for instance in row.instances if instance.uid}
    files: dict[str, list[Frame]] = {}
    for frame in frames:
        files.setdefault(frame.source.sha256, []).append(frame)
    for sha256, group in files.items():
        home, instance = by_uid.get(group[0].instance_uid, (0, None))
        if sha256 in by_hash:
            kept.known[sha256] = DUPLICATE
            kept.series.add(by_hash[sha256])
        elif instance is not None and _same_picture(instance, group):
            kept.known[sha256] = SAME_INSTANCE
            kept.series.add(home)
        else:
            kept.added.add(sha256)
    return {sha256 for sha256 in files if sha256 not in kept.known}


def _same_picture(instance: InstanceRow, frames: Sequence[Frame]) -> bool:
    """Whether a file with the identifier of a kept one also claims its size and place; else both are kept."""
    if len(instance.frames) != len(frames):
        return False
    first, found = frames[0], instance.frames[0]
    position = codec.plain(first.position)
    return bool((found["rows"], found["columns"], found.get("position")) == (first.rows, first.columns, position))


def _home(series: Series, rows: Sequence[SeriesRow]) -> SeriesRow | None:
    """The row these files belong to: same identifier and same geometry, and for projections the same side.

    Reading splits a series whose images differ and gives the lesser parts a numbered identifier; which part is the
    lesser depends on the upload, the geometry does not.
    """
    alike = (row for row in rows if _related(row.uid, series.uid) and (row.modality, row.view) == (series.modality, series.view))
    sided = (row for row in alike if series.modality not in PROJECTION or row.laterality == series.laterality)
    return next((row for row in sided if _stackable(row, series)), None)


def _new_row(series: Series, study_id: int, rows: Sequence[SeriesRow]) -> SeriesRow:
    """A row for a series that has none, under another number when its identifier is another part's already."""
    uid = series.uid
    if any(row.uid == uid for row in rows):
        uid = f"{uid[:53]}.{zlib.crc32(repr((series.view, series.laterality, *_geometry(series.frames[0]))).encode())}"
    return SeriesRow(
        study_id=study_id,
        uid=uid,
        number=series.number,
        modality=series.modality,
        description=series.description,
        body_part=series.body_part,
        laterality=series.laterality,
        view=series.view,
        plane=series.plane,
        acquired=_wall_clock(series.acquired),
        warnings=[],
        facts=codec.series_facts(series),
        frame_count=0,
        instances=[],
    )


def _related(one: str, other: str) -> bool:
    """Equal, or equal but for the number of a part."""
    short, long = sorted((one, other), key=len)
    return one == other or bool(re.fullmatch(re.escape(short) + r"\.\d{1,10}", long))


def _stackable(row: SeriesRow, series: Series) -> bool:
    """Whether the frames kept and the frames come lie in one stack."""
    if not row.instances:
        return True
    found = row.instances[0].frames[0]
    known = (found["rows"], found["columns"], found.get("samples", 1), _direction(found.get("orientation")))
    return known == _geometry(series.frames[0])


def _geometry(frame: Frame) -> tuple[object, ...]:
    return frame.rows, frame.columns, frame.samples, _direction(frame.orientation)


def _direction(cosines: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(round(value, 2) + 0.0 for value in cosines or ())


def _add_files(session: Session, content: ContentStore, row: SeriesRow, new: Sequence[Frame]) -> None:
    """Instances and contents of the new files; the frames of the whole series are put in order again."""
    frames = ordered(codec.frames_value(row.instances, content), new)
    files: dict[str, list[object]] = {}
    for place, frame in enumerate(frames):
        files.setdefault(frame.source.sha256, []).append(codec.frame_json(frame, place))
    for instance in row.instances:
        instance.frames = files[instance.sha256]
    first = {frame.source.sha256: frame for frame in reversed(new)}
    _add_contents(session, content, first)
    session.execute(
        insert(InstanceRow),
        [
            {
                "series_id": row.id,
                "sha256": sha256,
                "kind": frame.source.kind,
                "uid": frame.instance_uid,
                "frames": files[sha256],
            }
            for sha256, frame in first.items()
        ],
    )
    row.frame_count = len(frames)


def _add_contents(session: Session, content: ContentStore, hashes: Iterable[str]) -> None:
    """Rows of the files, for those that nobody brought before."""
    known = _present(session, hashes)
    missing = [
        {"sha256": sha256, "size": content.path(sha256).stat().st_size, "created": now()} for sha256 in hashes if sha256 not in known
    ]
    if missing:
        session.execute(insert(ContentRow), missing)


def _present(session: Session, wanted: Iterable[str]) -> set[str]:
    """Which of many hashes have a row, asked in portions that every database takes."""
    hashes = list(wanted)
    portions = (hashes[start : start + 500] for start in range(0, len(hashes), 500))
    return set(chain.from_iterable(session.scalars(select(ContentRow.sha256).where(ContentRow.sha256.in_(part))) for part in portions))


def ordered(known: Sequence[Frame], new: Sequence[Frame]) -> tuple[Frame, ...]:
    """Frames of a series that grew: by place when each has its own, as reading orders them, else the new after the known."""
    frames = (*known, *new)
    places = {frame.location for frame in frames}
    if not known or None in places or len(places) < len(frames):
        return frames
    return tuple(sorted(frames, key=lambda frame: frame.location or 0.0))


def synthetic(study: Study) -> bool:
    """Whether the study calls itself generated, in its own description or in one of its series'."""
    return any("SYNTHETIC" in text.upper() for text in (study.description, *(series.description for series in study.series)))


def _wall_clock(moment: datetime | None) -> datetime | None:
    """Acquisition times are kept as the study says them, without a zone."""
    return moment.replace(tzinfo=None) if moment is not None else None


def _union(known: Sequence[str], new: Sequence[str]) -> list[str]:
    """Both, in order, each once."""
    return list(dict.fromkeys((*known, *new)))
