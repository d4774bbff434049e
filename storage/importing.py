"""From studies just read to rows that can be listed, opened and asked about; nothing kept twice.

Files come first, rows after: a row never names a file that is not on the disk. Each study is one transaction, so a
crash in the middle of a large import loses whole studies at worst, and importing again brings them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from sqlalchemy import insert, select
from sqlalchemy.orm import Session, selectinload

from storage import audit, codec, dialect
from storage.content import ContentStore
from storage.database import Database
from storage.schema import ContentRow, InstanceRow, PatientRow, SeriesRow, StudyRow, now
from storage.studies.model import FileOutcome, Frame, Reading, Series, Study
from storage.views import ImportReport, User

DUPLICATE = "is already in the store; nothing was added"
SAME_INSTANCE = "is an instance already in the store with other bytes; the first one is kept"


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
    kept = Kept(failed=dict(failed))
    for study in reading.studies:
        whole = _without(study, kept.failed)
        if not whole.series:
            continue
        with database.write() as session:
            _keep_study(session, content, whole, user, shared, kept)
    return ImportReport(
        patients=len(kept.patients),
        studies=len(kept.study_ids),
        series=len(kept.series),
        instances=len(kept.added | set(kept.known)),
        files=_outcomes(reading.files, kept),
        study_ids=tuple(kept.study_ids),
        warnings=reading.warnings,
    )


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


def _keep_study(session: Session, content: ContentStore, study: Study, user: User, shared: bool, kept: Kept) -> None:
    """One study, new or known, with its series."""
    dialect.one_writer(session.connection(), "studies")
    row = session.scalar(select(StudyRow).where(StudyRow.owner_id == user.id, StudyRow.uid == study.uid))
    if row is None:
        row = StudyRow(owner_id=user.id, patient_id=_patient(session, study).id, uid=study.uid, warnings=[], facts=codec.study_facts(study))
        row.acquired, row.description = _wall_clock(study.acquired), study.description
        session.add(row)
    row.shared = row.shared or shared
    row.synthetic = bool(row.synthetic) or _synthetic(study)
    row.warnings = _union(row.warnings, study.warnings)
    session.flush()
    for series in study.series:
        _keep_series(session, content, series, row.id, kept)
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


def _keep_series(session: Session, content: ContentStore, series: Series, study_id: int, kept: Kept) -> None:
    """One series, new or known, with the files it does not have yet."""
    query = select(SeriesRow).where(SeriesRow.study_id == study_id, SeriesRow.uid == series.uid).options(selectinload(SeriesRow.instances))
    row = session.scalar(query)
    if row is None:
        row = SeriesRow(study_id=study_id, uid=series.uid, number=series.number, modality=series.modality, frame_count=0, warnings=[])
        row.description, row.body_part, row.laterality = series.description, series.body_part, series.laterality
        row.view, row.plane, row.acquired = series.view, series.plane, _wall_clock(series.acquired)
        row.facts, row.instances = codec.series_facts(series), []
        session.add(row)
    row.warnings = _union(row.warnings, series.warnings)
    session.flush()
    kept.series.add(row.id)
    new = _new_files(series, row, kept)
    if new:
        _add_files(session, content, row, series, new)


def _new_files(series: Series, row: SeriesRow, kept: Kept) -> dict[str, list[Frame]]:
    """Frames by file, for files the series does not have; the others are noted as known."""
    files: dict[str, list[Frame]] = {}
    for frame in series.frames:
        files.setdefault(frame.source.sha256, []).append(frame)
    hashes = {instance.sha256 for instance in row.instances}
    uids = {instance.uid for instance in row.instances if instance.uid}
    for sha256, frames in list(files.items()):
        if sha256 in hashes or frames[0].instance_uid in uids:
            kept.known[sha256] = DUPLICATE if sha256 in hashes else SAME_INSTANCE
            del files[sha256]
        else:
            kept.added.add(sha256)
            uids |= {frames[0].instance_uid} - {""}
    return files


def _add_files(session: Session, content: ContentStore, row: SeriesRow, series: Series, new: Mapping[str, Sequence[Frame]]) -> None:
    """Instances and contents of the new files; the frames of the whole series are put in order again."""
    frames = ordered(codec.frames_value(row.instances, content), [frame for frame in series.frames if frame.source.sha256 in new])
    files: dict[str, list[object]] = {}
    for place, frame in enumerate(frames):
        files.setdefault(frame.source.sha256, []).append(codec.frame_json(frame, place))
    for instance in row.instances:
        instance.frames = files[instance.sha256]
    present = (
        set(session.scalars(select(ContentRow.sha256).where(ContentRow.sha256.in_(new)))) if len(new) < 500 else _present(session, new)
    )
    missing = [{"sha256": sha256, "size": content.path(sha256).stat().st_size, "created": now()} for sha256 in new if sha256 not in present]
    if missing:
        session.execute(insert(ContentRow), missing)
    session.execute(
        insert(InstanceRow),
        [
            {
                "series_id": row.id,
                "sha256": sha256,
                "kind": frames[0].source.kind,
                "uid": frames[0].instance_uid,
                "frames": files[sha256],
            }
            for sha256, frames in new.items()
        ],
    )
    row.frame_count = sum(map(len, files.values()))


def _present(session: Session, wanted: Iterable[str]) -> set[str]:
    """Which of many hashes have a row, asked in portions that every database takes."""
    hashes = list(wanted)
    portions = (hashes[start : start + 500] for start in range(0, len(hashes), 500))
    return set(chain.from_iterable(session.scalars(select(ContentRow.sha256).where(ContentRow.sha256.in_(part))) for part in portions))


def ordered(known: Sequence[Frame], new: Sequence[Frame]) -> tuple[Frame, ...]:
    """Frames of a series that grew, in geometric order when all lie on one line, else the new after the known."""
    frames = (*known, *new)
    if not known or any(frame.location is None for frame in frames) or len({frame.orientation for frame in frames}) > 1:
        return frames
    falling = len(known) > 1 and (known[0].location or 0.0) > (known[-1].location or 0.0)
    return tuple(sorted(frames, key=lambda frame: frame.location or 0.0, reverse=falling))


def _synthetic(study: Study) -> bool:
    """Whether the study calls itself generated, in its own description or in one of its series'."""
    return any("SYNTHETIC" in text.upper() for text in (study.description, *(series.description for series in study.series)))


def _wall_clock(moment: datetime | None) -> datetime | None:
    """Acquisition times are kept as the study says them, without a zone."""
    return moment.replace(tzinfo=None) if moment is not None else None


def _union(known: Sequence[str], new: Sequence[str]) -> list[str]:
    """Both, in order, each once."""
    return list(dict.fromkeys((*known, *new)))
