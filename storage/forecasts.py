"""The forecast ledger: what answers about what is to come foretold, and what a reader saw when it was time.

A forecast is kept with its answer, the model's shares as they were, and never changed; nothing but a reader's word on it is ever added.
It is due when the patient has a study about as much later as the question looked ahead. Another word of a reader's is another row, and
the newest counts. No forecast goes into a report, into training, or into the calibrators of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, insert, select
from sqlalchemy.orm import Session

from errors import InputError, StoreMissing
from storage import audit, dialect, history, horizons, library
from storage.schema import ForecastRow, OutcomeRow, PatientRow, SeriesRow, SessionRow, StudyRow, TurnRow, VersionRow, clean
from storage.views import Slot, User

UNTOLD = "cannot tell"
"""What a reader says when the later study does not show what came; it counts for nothing."""
TOLERANCE = 1 / 3
"""Part of a horizon by which a later study may be early or late: follow-up is itself recommended in ranges as wide (6 to 12 months;
Fleischner Society 2017, doi 10.1148/radiol.2017161659)."""
LONGEST = 400
"""Characters of a comment."""
MOST = 500


@dataclass(frozen=True)
class Later:
    """A study on which a forecast can be resolved; `days` after the one it was made of."""

    study_id: int
    acquired: datetime
    description: str
    days: int


@dataclass(frozen=True)
class Outcome:
    """What a reader said came of a forecast, on a study `days` after the one it was made of."""

    came: str
    comment: str
    days: int
    created: datetime


@dataclass(frozen=True)
class ForecastView:
    """One forecast of a reader's case: `shares` class -> the model's own, uncalibrated; `later` and `outcomes` newest last.

    `patient` is ``, `study_id` and `acquired` are None when the study it was made of is gone; `due` is None for "at the next study".
    """

    id: int
    session: int
    title: str
    version: int
    question: str
    patient: str
    study_id: int | None
    acquired: datetime | None
    horizon: str
    due: datetime | None
    shares: Mapping[str, float]
    model: str
    created: datetime
    later: tuple[Later, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def state(self) -> str:
        """`resolved`, `due` (there is a study to resolve it on) or `open`."""
        return "resolved" if self.outcomes else "due" if self.later else "open"


@dataclass(frozen=True)
class Foretold:
    """A resolved forecast of any reader: the model with its adapter, what it said, and what came."""

    model: str
    model_digest: str
    adapter_digest: str
    shares: Mapping[str, float]
    came: str


def keep(session: Session, version_id: int) -> None:
    """Keep what an answer foretells, if it does: a whole one to a question ahead, weighed by its model; once for a question and model."""
    version = session.get_one(VersionRow, version_id)
    turn = session.get_one(TurnRow, version.turn_id)
    horizon = horizons.asked(turn.question)
    decided = version.checks.get("decided")
    shares = decided.get("seen") if isinstance(decided, Mapping) else None
    if horizon is None or not shares or not turn.slots or version.state != "complete":
        return
    slots = [Slot(*one) for one in turn.slots]
    series = next((slot for slot in reversed(slots) if slot.role == "current"), slots[-1]).series_id
    dialect.one_writer(session.connection(), "forecasts")
    owner = select(SessionRow.owner_id).where(SessionRow.id == turn.session_id).scalar_subquery()
    known = select(ForecastRow.id).join(VersionRow, VersionRow.id == ForecastRow.version_id)
    known = known.join(TurnRow, TurnRow.id == VersionRow.turn_id).join(SessionRow, SessionRow.id == TurnRow.session_id)
    known = known.where(ForecastRow.series_id == series, TurnRow.question == turn.question, SessionRow.owner_id == owner)
    known = known.where(VersionRow.model_digest == version.model_digest, VersionRow.adapter_digest == version.adapter_digest)
    if session.scalar(known.limit(1)) is None:
        session.add(ForecastRow(version_id=version_id, series_id=series, horizon=horizon.words, days=horizon.days, shares=dict(shares)))
        session.flush()


def of_reader(session: Session, user: User) -> tuple[ForecastView, ...]:
    """The forecasts of the user's cases, newest first, at most `MOST`: three queries."""
    rows = session.execute(_listed(user).order_by(ForecastRow.id.desc()).limit(MOST)).all()
    patients = {row.patient_id for row in rows if row.patient_id is not None}
    query = select(StudyRow.id, StudyRow.patient_id, StudyRow.acquired, StudyRow.description)
    query = query.where(StudyRow.patient_id.in_(patients), StudyRow.acquired.is_not(None), library.visible(user))
    studies: dict[int, list[Any]] = {}
    for study in session.execute(query.order_by(StudyRow.acquired, StudyRow.id)):
        studies.setdefault(study.patient_id, []).append(study)
    said: dict[int, list[Outcome]] = {}
    of_these = OutcomeRow.forecast_id.in_([row.ForecastRow.id for row in rows])
    for kept in session.scalars(select(OutcomeRow).where(of_these).order_by(OutcomeRow.id)):
        said.setdefault(kept.forecast_id, []).append(Outcome(kept.came, kept.comment, kept.days, kept.created))
    return tuple(_view(row, studies.get(row.patient_id, ()), said.get(row.ForecastRow.id, ())) for row in rows)


def _view(row: Any, studies: Sequence[Any], said: Sequence[Outcome]) -> ForecastView:
    one, since = row.ForecastRow, row.acquired
    seen = [] if since is None else [Later(it.id, it.acquired, it.description, (it.acquired - since).days) for it in studies]
    later = [study for study in seen if study.days > 0]
    within = later[:1] if one.days is None else [study for study in later if abs(study.days - one.days) <= TOLERANCE * one.days]
    due = None if since is None or one.days is None else since + timedelta(days=one.days)
    return ForecastView(
        one.id, row.session_id, row.title, one.version_id, row.question, row.pseudonym or "", row.study_id, since, one.horizon, due,
        one.shares, row.model, one.created, tuple(within), tuple(said),
    )  # fmt: skip


def resolve(session: Session, forecast_id: int, user: User, came: str, study_id: int, comment: str = "") -> int:
    """Keep what came of a forecast, as the user saw it on a later study; the row's id, that of the newest when it says the same.

    Raises `InputError` for a class the forecast does not have, a study it is not due on or a long comment, `StoreMissing` for another's.
    """
    found = next((one for one in of_reader(session, user) if one.id == forecast_id), None)
    if found is None:
        raise StoreMissing(f"forecast {forecast_id} was not found; choose one from the list")
    words = " ".join(clean(comment).split())
    study = next((one for one in found.later if one.study_id == study_id), None)
    if came not in (*found.shares, UNTOLD):
        raise InputError(f"this forecast is about {', '.join((*found.shares, UNTOLD))}; choose one of them")
    if study is None:
        raise InputError("a forecast is resolved on a study of the same patient from about the time it looks ahead to; choose one of these")
    if len(words) > LONGEST:
        raise InputError(f"a comment has at most {LONGEST} characters and this one has {len(words)}; shorten it")
    dialect.one_writer(session.connection(), "forecast_outcomes")
    newest = session.scalar(select(OutcomeRow).where(OutcomeRow.forecast_id == forecast_id).order_by(OutcomeRow.id.desc()).limit(1))
    if newest is not None and (newest.came, newest.comment, newest.days) == (came, words, study.days):
        return newest.id
    added = OutcomeRow(forecast_id=forecast_id, user_id=user.id, came=came, comment=words, days=study.days)
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


def plain(session: Session, version_id: int) -> dict[str, Any] | None:
    """What an answer foretold and what came of it, for an export; None for an answer that foretold nothing."""
    row = session.scalar(select(ForecastRow).where(ForecastRow.version_id == version_id))
    if row is None:
        return None
    came = session.scalars(select(OutcomeRow).where(OutcomeRow.forecast_id == row.id).order_by(OutcomeRow.id))
    outcomes = [{"came": one.came, "comment": one.comment, "days": one.days, "created": one.created.isoformat()} for one in came]
    kept = {"series": row.series_id, "horizon": row.horizon, "days": row.days, "shares": row.shares}
    return {**kept, "created": row.created.isoformat(), "outcomes": outcomes}


def take_in(session: Session, version_id: int, user: User, found: Mapping[str, Any], series_id: int) -> None:
    """Put a forecast of an export to an answer. Raises `KeyError`, `TypeError` or `ValueError` for one that contradicts itself."""
    shares = {str(name): float(share) for name, share in found["shares"].items()}
    days = None if found["days"] is None else int(found["days"])
    made = {"series_id": series_id, "horizon": str(found["horizon"]), "days": days, "shares": shares}
    row = ForecastRow(version_id=version_id, created=datetime.fromisoformat(found["created"]), **made)
    session.add(row)
    session.flush()
    for one in found["outcomes"]:
        if one["came"] not in (*shares, UNTOLD):
            raise ValueError("an outcome is none of the forecast's classes")
        said = {"came": one["came"], "comment": str(one["comment"]), "days": int(one["days"])}
        session.execute(
            insert(OutcomeRow).values(forecast_id=row.id, user_id=user.id, created=datetime.fromisoformat(one["created"]), **said)
        )


def _listed(user: User) -> Select[*tuple[Any, ...]]:
    """Forecasts the user may see, each with its case, question and model, and the patient and time of the study if still there."""
    return (
        select(
            ForecastRow, VersionRow.model, TurnRow.question, SessionRow.id.label("session_id"), SessionRow.title,
            StudyRow.id.label("study_id"), StudyRow.acquired, StudyRow.patient_id, PatientRow.pseudonym,
        )
        .join(VersionRow, VersionRow.id == ForecastRow.version_id)
        .join(TurnRow, TurnRow.id == VersionRow.turn_id)
        .join(SessionRow, SessionRow.id == TurnRow.session_id)
        .outerjoin(SeriesRow, SeriesRow.id == ForecastRow.series_id)
        .outerjoin(StudyRow, StudyRow.id == SeriesRow.study_id)
        .outerjoin(PatientRow, PatientRow.id == StudyRow.patient_id)
        .where(history.visible(user.id))
    )  # fmt: skip
