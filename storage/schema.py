"""The tables, typed. One place says what is kept; `storage/migrations` says how it came to be.

    users ──< studies >── patients          a study belongs to the user who imported it
    studies ──< series ──< instances >── contents
    users ──< sessions ──< slots >── series
    sessions ──< turns ──< answer_versions ──< feedback >── users
    feedback ──  review_items ──< reviews   what reviewers made of it; review_codes and review_series find items by code and image
    sessions ──  session_states             marks, measurements, layout: one document with a version
    answer_versions ── forecasts            what an answer foretold; forecasts ──< forecast_outcomes, what came of it
    sessions ──< reports                    the words of its report, a row for each saving
    users ──< reader_templates              a reader's own wordings of questions, by ability
    users ──< overrides                     a warning of a mixed pair, and why a reader went past it
    users ──< blind_reads                   what a learner said of a teaching case before any answer was shown
    audit                                   a chain of hashes, refers to nothing it could lose

Frames are JSON in `instances.frames`: geometry is read and written whole, never searched. `APPEND_ONLY` names what is append-only, here and
by triggers in the database; only erasing a whole case removes its feedback and forecasts (`storage.erasing`). Numbers of studies, series,
sessions, turns and answers are never given twice. Nothing in this file is particular to SQLite.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, DateTime, Dialect, ForeignKey, Index, MetaData, Text, UniqueConstraint, event
from sqlalchemy.orm import DeclarativeBase, Mapped, ORMExecuteState, Session, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from errors import StoreError

APPEND_ONLY = ("feedback", "reviews", "audit", "overrides", "forecasts", "forecast_outcomes", "blind_reads")
"""Tables whose rows are never changed or deleted."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """An aware time, kept in UTC; SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC. Raises `ValueError` for a time without a zone, which could mean anything."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time to be stored has no zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Back to an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text from people, files and models: NUL and lone surrogates, which no database keeps, become U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Text both databases accept."""
        return None if value is None else clean(value)


def clean(text: str) -> str:
    """`text` without NUL and lone surrogates."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\x00", "\ufffd")


class Base(DeclarativeBase):
    """Common ground of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration
        str: Words,
        datetime: Moment,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Fact(Base):
    """One fact about this store as a whole, such as which salt its pseudonyms come from."""

    __tablename__ = "facts"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


def key_hash(key: str) -> str:
    """What is kept of a reader's key."""
    return hashlib.sha256(key.encode()).hexdigest()


class UserRow(Base):
    """A reader; the key is a secret, so only its SHA-256 is here."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(default="")
    role: Mapped[str] = mapped_column(default="reader")
    created: Mapped[datetime] = mapped_column(default=now)


class PatientRow(Base):
    """A pseudonym; says nothing of who may see which study."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    pseudonym: Mapped[str] = mapped_column(unique=True)
    sex: Mapped[str] = mapped_column(default="")
    birth_year: Mapped[int | None]


class StudyRow(Base):
    """One user's copy of a study; its pixels are shared through `contents`."""

    __tablename__ = "studies"
    __table_args__ = (UniqueConstraint("owner_id", "uid"), Index(None, "patient_id"), Index(None, "shared"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    uid: Mapped[str]
    acquired: Mapped[datetime | None] = mapped_column(DateTime())
    description: Mapped[str] = mapped_column(default="")
    synthetic: Mapped[bool] = mapped_column(default=False)
    shared: Mapped[bool] = mapped_column(default=False)
    imported: Mapped[datetime] = mapped_column(default=now)
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)

    patient: Mapped[PatientRow] = relationship()
    series: Mapped[list[SeriesRow]] = relationship(back_populates="study")


class SeriesRow(Base):
    """One series; `frame_count` is kept so that a list of studies opens no geometry."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("study_id", "uid"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    uid: Mapped[str]
    number: Mapped[int | None]
    modality: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    laterality: Mapped[str] = mapped_column(default="")
    view: Mapped[str] = mapped_column(default="")
    plane: Mapped[str] = mapped_column(default="")
    acquired: Mapped[datetime | None] = mapped_column(DateTime())
    frame_count: Mapped[int] = mapped_column(default=0)
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)

    study: Mapped[StudyRow] = relationship(back_populates="series")
    instances: Mapped[list[InstanceRow]] = relationship(back_populates="series")


class ContentRow(Base):
    """One file of the content store, whoever imported it."""

    __tablename__ = "contents"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(default=now)


class InstanceRow(Base):
    """One file in one series. `frames` is a list of frames as JSON, each with its `place` in the series."""

    __tablename__ = "instances"
    __table_args__ = (UniqueConstraint("series_id", "sha256"), Index(None, "sha256"))

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    sha256: Mapped[str] = mapped_column(ForeignKey("contents.sha256"))
    kind: Mapped[str]
    uid: Mapped[str] = mapped_column(default="")
    frames: Mapped[list[Any]] = mapped_column(default=list)

    series: Mapped[SeriesRow] = relationship(back_populates="instances")


class SessionRow(Base):
    """One reader's case."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "owner_id", "updated"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str]
    relationship: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=now)
    updated: Mapped[datetime] = mapped_column(default=now)


class SlotRow(Base):
    """One image of a session, in declared order from 0."""

    __tablename__ = "slots"
    __table_args__ = (Index(None, "series_id"),)

    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    frame: Mapped[int] = mapped_column(default=0)
    role: Mapped[str] = mapped_column(default="")
    interval: Mapped[str] = mapped_column(default="")
    window: Mapped[str] = mapped_column(default="")


class SessionStateRow(Base):
    """What is drawn and arranged on a session (`storage.marks`), whole, with the number of times it was saved."""

    __tablename__ = "session_states"

    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"), primary_key=True)
    version: Mapped[int]
    document: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated: Mapped[datetime] = mapped_column(default=now)


class OverrideRow(Base):
    """Why a reader compared what a blocking warning advised against, in their words. Append-only; the audit names row and hash."""

    __tablename__ = "overrides"
    __table_args__ = (Index(None, "user_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    series: Mapped[list[Any]] = mapped_column(default=list)
    codes: Mapped[list[Any]] = mapped_column(default=list)
    reason: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=now)


class ReportRow(Base):
    """The words of a case's report as they were saved; a later saving is another row."""

    __tablename__ = "reports"
    __table_args__ = (Index(None, "session_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    findings: Mapped[str] = mapped_column(default="")
    comparison: Mapped[str] = mapped_column(default="")
    impression: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime] = mapped_column(default=now)


class TurnRow(Base):
    """One question; `slots` are the images as they were when it was asked, `marks` what was drawn on them, `clinical` what was told."""

    __tablename__ = "turns"
    __table_args__ = (
        Index(None, "session_id"),
        CheckConstraint("ability IN ('temporal', 'comparison', 'reasoning', 'coreference')", name="ability"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id"))
    question: Mapped[str]
    ability: Mapped[str]
    relationship: Mapped[str]
    slots: Mapped[list[Any]] = mapped_column(default=list)
    marks: Mapped[list[Any]] = mapped_column(default=list)
    clinical: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)


class TemplatesRow(Base):
    """A reader's own wordings of questions for one ability, in their order; without a row the program's own stand."""

    __tablename__ = "reader_templates"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    ability: Mapped[str] = mapped_column(primary_key=True)
    texts: Mapped[list[Any]] = mapped_column(default=list)


class VersionRow(Base):
    """One answer to a turn with its whole provenance."""

    __tablename__ = "answer_versions"
    __table_args__ = (
        UniqueConstraint("turn_id", "number"),
        CheckConstraint("state IN ('complete', 'stopped', 'incomplete')", name="state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id"))
    number: Mapped[int]
    text: Mapped[str]
    state: Mapped[str]
    model: Mapped[str]
    engine: Mapped[str]
    model_digest: Mapped[str]
    adapter_digest: Mapped[str] = mapped_column(default="")
    prompt: Mapped[str] = mapped_column(default="")
    seed: Mapped[int] = mapped_column(BigInteger, default=0)
    confidence: Mapped[float | None]
    image_hashes: Mapped[list[Any]] = mapped_column(default=list)
    roles: Mapped[list[Any]] = mapped_column(default=list)
    whens: Mapped[list[Any]] = mapped_column(default=list)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    timings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    checks: Mapped[dict[str, Any]] = mapped_column(default=dict)
    progression: Mapped[dict[str, Any]] = mapped_column(default=dict)
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    tokens: Mapped[list[Any]] = mapped_column(default=list)
    logprobs: Mapped[list[Any]] = mapped_column(default=list)
    created: Mapped[datetime] = mapped_column(default=now)


class FeedbackRow(Base):
    """What a reader says of one answer version, whole (`storage.feedback`). Append-only: the newest row is what counts."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index(None, "version_id"),
        Index(None, "user_id", "created"),
        CheckConstraint("verdict IN ('agree', 'disagree', '')", name="verdict"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("answer_versions.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    verdict: Mapped[str]
    comment: Mapped[str] = mapped_column(default="")
    codes: Mapped[list[Any]] = mapped_column(default=list)
    severity: Mapped[str] = mapped_column(default="")
    corrected_answer: Mapped[str] = mapped_column(default="")
    cells: Mapped[dict[str, Any]] = mapped_column(default=dict)
    mark: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    preferred_over: Mapped[int | None] = mapped_column(ForeignKey("answer_versions.id"))
    created: Mapped[datetime] = mapped_column(default=now)


class ForecastRow(Base):
    """What an answer foretold (`storage.forecasts`): class -> share, `days` after the study of `series_id`. Append-only."""

    __tablename__ = "forecasts"
    __table_args__ = (UniqueConstraint("version_id"), Index(None, "series_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("answer_versions.id"))
    series_id: Mapped[int]
    horizon: Mapped[str] = mapped_column(default="")
    days: Mapped[int | None]
    shares: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)


class OutcomeRow(Base):
    """What came of a forecast, as a reader saw it on a study `days` later. Append-only: the newest row is what counts."""

    __tablename__ = "forecast_outcomes"
    __table_args__ = (Index(None, "forecast_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    forecast_id: Mapped[int] = mapped_column(ForeignKey("forecasts.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    came: Mapped[str]
    comment: Mapped[str] = mapped_column(default="")
    days: Mapped[int]
    created: Mapped[datetime] = mapped_column(default=now)


class BlindReadRow(Base):
    """What a learner said of each finding of a teaching case, and what was true (`storage.teaching`): once a case. Append-only."""

    __tablename__ = "blind_reads"
    __table_args__ = (UniqueConstraint("user_id", "case_key"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    case_key: Mapped[str]
    cells: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reference: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)


class ReviewItemRow(Base):
    """One reader's newest statement on one answer, in the reviewers' queue, beside what it is searched and ordered by."""

    __tablename__ = "review_items"
    __table_args__ = (
        UniqueConstraint("version_id", "reader_id"),
        Index(None, "state", "merit"),
        Index(None, "reader_id"),
        Index(None, "locked_by"),
        CheckConstraint("state IN ('pending', 'submitted', 'skipped', 'disputed', 'adjudicated')", name="state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("answer_versions.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    feedback_id: Mapped[int] = mapped_column(ForeignKey("feedback.id"))
    state: Mapped[str] = mapped_column(default="pending")
    accepted: Mapped[bool] = mapped_column(default=False)
    ability: Mapped[str]
    modality: Mapped[str] = mapped_column(default="")
    model: Mapped[str] = mapped_column(default="")
    verdict: Mapped[str] = mapped_column(default="")
    codes: Mapped[list[Any]] = mapped_column(default=list)
    merit: Mapped[float] = mapped_column(default=1.0)
    locked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    locked_until: Mapped[datetime | None]
    created: Mapped[datetime] = mapped_column(default=now)
    updated: Mapped[datetime] = mapped_column(default=now)


class ReviewCodeRow(Base):
    """An error code of an item, to filter by."""

    __tablename__ = "review_codes"
    __table_args__ = (Index(None, "code"),)

    item_id: Mapped[int] = mapped_column(ForeignKey("review_items.id"), primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)


class ReviewSeriesRow(Base):
    """A series that an item's question was asked of: reviewers may see it."""

    __tablename__ = "review_series"
    __table_args__ = (Index(None, "series_id"),)

    item_id: Mapped[int] = mapped_column(ForeignKey("review_items.id"), primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)


class ReviewRow(Base):
    """What a reviewer decided on one statement of a reader's. Append-only."""

    __tablename__ = "reviews"
    __table_args__ = (
        Index(None, "item_id"),
        Index(None, "user_id"),
        CheckConstraint("decision IN ('judged', 'unusable', 'skipped')", name="decision"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("review_items.id"))
    feedback_id: Mapped[int] = mapped_column(ForeignKey("feedback.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    decision: Mapped[str]
    adjudicates: Mapped[bool] = mapped_column(default=False)
    blind: Mapped[bool] = mapped_column(default=False)
    verdict: Mapped[str] = mapped_column(default="")
    codes: Mapped[list[Any]] = mapped_column(default=list)
    severity: Mapped[str] = mapped_column(default="")
    corrected_answer: Mapped[str] = mapped_column(default="")
    cells: Mapped[dict[str, Any]] = mapped_column(default=dict)
    comment: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime] = mapped_column(default=now)


class AuditRow(Base):
    """One audited event (DICOM PS3.15 A.5): identifiers only, chained by hash. Append-only."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "object_kind", "object_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[datetime]
    user_id: Mapped[int]
    event: Mapped[str]
    action: Mapped[str]
    code: Mapped[str]
    outcome: Mapped[int]
    object_kind: Mapped[str]
    object_id: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)


def _refuse(*_: object) -> None:
    raise StoreError(f"rows of {', '.join(APPEND_ONLY)} are append-only; add a new row instead of changing one")


for _row in (FeedbackRow, ReviewRow, AuditRow, OverrideRow, ForecastRow, OutcomeRow, BlindReadRow):
    event.listen(_row, "before_update", _refuse)
    event.listen(_row, "before_delete", _refuse)


@event.listens_for(Session, "do_orm_execute")
def _refuse_bulk(state: ORMExecuteState) -> None:
    """Statements that would change many append-only rows at once are refused like single changes."""
    if (state.is_update or state.is_delete) and getattr(getattr(state.statement, "table", None), "name", "") in APPEND_ONLY:
        _refuse()
