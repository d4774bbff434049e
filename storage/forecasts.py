"""The forecast ledger: what answers about what is to come foretold, and what a reader saw on the next study.

A forecast is kept once, with the model's shares as they were, and is never changed. When a later study of the same patient is in the
store it is due; a reader says what came of it. Another reading of the same later study is another row, and the newest counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from errors import InputError, StoreMissing
from storage import audit, dialect, history, horizons, library
from storage.schema import ForecastRow, OutcomeRow, PatientRow, SeriesRow, SessionRow, StudyRow, TurnRow, VersionRow
from storage.views import Slot, User

UNTOLD = "uncertain"
"""What a reader says when the later study does not tell what came; it counts for nothing."""
MOST = 500


@dataclass(frozen=True)
class Later:
    """A study of the same patient that was made after the one a forecast was made of."""

    study_id: int
    acquired: datetime
    description: str


@dataclass(frozen=True)
class Outcome:
    """What came of a forecast, by the study of `acquired`."""

    came: str
    study_id: int
    acquired: datetime
    created: datetime


@dataclass(frozen=True)
class ForecastView:
    """One forecast of a reader's case: `shares` class -> probability, uncalibrated; `later` newest last; `outcomes` newest last.

    `patient` is `` and `study_id` None when the study it was made of was erased.
    """

    id: int
    session: int
    title: str
    question: str
    patient: str
    study_id: int | None
    acquired: datetime | None
    horizon: str
    days: int | None
    shares: Mapping[str, float]
    model: str
    model_digest: str
    adapter_digest: str
    created: datetime
    later: tuple[Later, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def state(self) -> str:
        """`resolved`, `due` (there is a later study) or `open`."""
        return "resolved" if self.outcomes else "due" if self.later else "open"


@dataclass(frozen=True)
class Foretold:
    """A resolved forecast of any reader: whose model it was, what it said, what came."""

    model: str
    model_digest: str
    adapter_digest: str
    shares: Mapping[str, float]
    came: str


def keep(session: Session, version_id: int, user: User, shares: Mapping[str, float]) -> int | None:
    """Keep what an answer of the user's foretells; the row's id, that of the same model's for another answer to the same question.

    None for an answer that is not whole or no forecast, or without shares. Raises `StoreMissing`.
    """
    history.turn_of(session, version_id, user)
    version = session.get_one(VersionRow, version_id)
    turn = session.get_one(TurnRow, version.turn_id)
    horizon = horizons.asked(turn.question)
    if horizon is None or not shares or version.state != "complete":
        return None
    dialect.one_writer(session.connection(), "forecasts")
    same = select(ForecastRow.id).join(VersionRow, VersionRow.id == ForecastRow.version_id)
    same = same.where(VersionRow.turn_id == turn.id, VersionRow.model_digest == version.model_digest)
    known = session.scalar(same.where(VersionRow.adapter_digest == version.adapter_digest))
    if known is not None:
        return known
    slots = [Slot(*one) for one in turn.slots]
    current = next((slot for slot in reversed(slots) if slot.role == "current"), slots[-1])
    when = select(func.coalesce(SeriesRow.acquired, StudyRow.acquired)).join(StudyRow, StudyRow.id == SeriesRow.study_id)
    row = ForecastRow(
        version_id=version_id,
        series_id=current.series_id,
        acquired=session.scalar(when.where(SeriesRow.id == current.series_id)),
        horizon=horizon.words,
        days=horizon.days,
        shares=dict(shares),
    )
    session.add(row)
    session.flush()
    audit.append(session, user.id, "forecast", "answer", version_id)
    return row.id


def of_reader(session: Session, user: User) -> tuple[ForecastView, ...]:
    """The forecasts of the user's cases, newest first, at most `MOST`: three queries."""
    rows = session.execute(_listed(user).order_by(ForecastRow.id.desc()).limit(MOST)).all()
    patients = {row.patient_id for row in rows if row.patient_id is not None}
    studies = select(StudyRow.id, StudyRow.patient_id, StudyRow.acquired, StudyRow.description)
    studies = studies.where(StudyRow.patient_id.in_(patients), StudyRow.acquired.is_not(None), library.visible(user))
    later: dict[int, list[Later]] = {}
    for one in session.execute(studies.order_by(StudyRow.acquired)):
        later.setdefault(one.patient_id, []).append(Later(one.id, one.acquired, one.description))
    said: dict[int, list[Outcome]] = {}
    of_these = OutcomeRow.forecast_id.in_([row.ForecastRow.id for row in rows])
    for kept in session.scalars(select(OutcomeRow).where(of_these).order_by(OutcomeRow.id)):
        said.setdefault(kept.forecast_id, []).append(Outcome(kept.came, kept.study_id, kept.acquired, kept.created))
    return tuple(
        ForecastView(
            one.id, row.session_id, row.title, row.question, row.pseudonym or "", row.study_id, one.acquired, one.horizon, one.days,
            one.shares, row.model, row.model_digest, row.adapter_digest, one.created,
            tuple(study for study in later.get(row.patient_id, ()) if one.acquired and study.acquired > one.acquired),
            tuple(said.get(one.id, ())),
        )
        for row in rows
        for one in [row.ForecastRow]
    )  # fmt: skip


def resolve(session: Session, forecast_id: int, user: User, came: str, study_id: int) -> int:
    """Keep what came of a forecast, as seen on a later study; the row's id, that of the newest when it says the same.

    Raises `InputError` for a class it does not know or a study that is not later, `StoreMissing` for what is not the user's.
    """
    row = session.execute(_listed(user).where(ForecastRow.id == forecast_id)).first()
    if row is None:
        raise StoreMissing(f"forecast {forecast_id} was not found; choose one from the list")
    offered = (*row.ForecastRow.shares, UNTOLD)
    if came not in offered:
        raise InputError(f"this forecast is about {', '.join(dict.fromkeys(offered))}; choose one of them")
    study = session.scalar(select(StudyRow).where(StudyRow.id == study_id, StudyRow.patient_id == row.patient_id, library.visible(user)))
    since = row.ForecastRow.acquired
    if study is None or study.acquired is None or since is None or study.acquired <= since:
        raise InputError("a forecast is resolved on a later study of the same patient; choose one that was made after it")
    dialect.one_writer(session.connection(), "forecast_outcomes")
    newest = session.scalar(select(OutcomeRow).where(OutcomeRow.forecast_id == forecast_id).order_by(OutcomeRow.id.desc()).limit(1))
    if newest is not None and (newest.came, newest.study_id) == (came, study_id):
        return newest.id
    added = OutcomeRow(forecast_id=forecast_id, user_id=user.id, study_id=study_id, acquired=study.acquired, came=came)
    session.add(added)
    session.flush()
    audit.append(session, user.id, "resolve", "forecast", forecast_id)
    return added.id


def resolved(session: Session) -> tuple[Foretold, ...]:
    """Every forecast whose newest outcome tells what came, oldest first."""
    newest = select(func.max(OutcomeRow.id)).group_by(OutcomeRow.forecast_id)
    query = (
        select(VersionRow.model, VersionRow.model_digest, VersionRow.adapter_digest, ForecastRow.shares, OutcomeRow.came)
        .join(ForecastRow, ForecastRow.version_id == VersionRow.id)
        .join(OutcomeRow, OutcomeRow.forecast_id == ForecastRow.id)
        .where(OutcomeRow.id.in_(newest), OutcomeRow.came != UNTOLD)
        .order_by(ForecastRow.id)
    )
    return tuple(Foretold(*row) for row in session.execute(query))


def _listed(user: User) -> Select[*tuple[object, ...]]:
    """Forecasts the user may see, each with its case, question and model, and the patient and study it was made of if still there."""
    query = (
        select(
            ForecastRow, VersionRow.model, VersionRow.model_digest, VersionRow.adapter_digest, TurnRow.question,
            SessionRow.id.label("session_id"), SessionRow.title, StudyRow.id.label("study_id"), StudyRow.patient_id, PatientRow.pseudonym,
        )
        .join(VersionRow, VersionRow.id == ForecastRow.version_id)
        .join(TurnRow, TurnRow.id == VersionRow.turn_id)
        .join(SessionRow, SessionRow.id == TurnRow.session_id)
        .outerjoin(SeriesRow, SeriesRow.id == ForecastRow.series_id)
        .outerjoin(StudyRow, StudyRow.id == SeriesRow.study_id)
        .outerjoin(PatientRow, PatientRow.id == StudyRow.patient_id)
        .where(history.visible(user.id))
    )  # fmt: skip
    return query
