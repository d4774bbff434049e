"""Sessions, questions, answers and what readers said of them.

Every list is a fixed number of queries, however long: a session of ten thousand turns is five, and prompts, tokens
and log-probabilities are read only when one answer is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from sqlalchemy import BindParameter, ColumnElement, Row, bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from errors import StoreError, StoreMissing
from storage import audit, codec, dialect, feedback, horizons, library, review
from storage.schema import SessionRow, SlotRow, TurnRow, UserRow, VersionRow, key_hash, now
from storage.views import (
    LOCAL,
    Ability,
    AnswerRecord,
    AskedMark,
    Clinical,
    FeedbackView,
    Relationship,
    SessionSummary,
    SessionView,
    Slot,
    State,
    TurnView,
    User,
    VersionView,
)

MAX_TITLE = 200

_LISTED = (
    VersionRow.id,
    VersionRow.turn_id,
    VersionRow.number,
    VersionRow.text,
    VersionRow.state,
    VersionRow.model,
    VersionRow.engine,
    VersionRow.created,
    VersionRow.roles,
    VersionRow.timings,
    VersionRow.checks,
    VersionRow.progression,
    VersionRow.confidence,
    VersionRow.warnings,
)

_ASKED = (
    TurnRow.id,
    TurnRow.question,
    TurnRow.ability,
    TurnRow.relationship,
    TurnRow.created,
    TurnRow.slots,
    TurnRow.marks,
    TurnRow.clinical,
)


def start(session: Session, user: User, title: str, slots: Sequence[Slot], relationship: Relationship) -> int:
    """Begin a case; its id."""
    _check_slots(session, slots, user)
    row = SessionRow(owner_id=user.id, title=_title(title) or "Untitled case", relationship=relationship)
    session.add(row)
    session.flush()
    _put_slots(session, row.id, slots)
    audit.append(session, user.id, "start", "session", row.id)
    return row.id


def update_slots(session: Session, row: SessionRow, user: User, slots: Sequence[Slot], relationship: Relationship | None) -> None:
    """Other images of a case of the user's, or another order or role, from here on."""
    _check_slots(session, slots, user)
    if slots_of(session, row.id) != tuple(slots):
        session.execute(delete(SlotRow).where(SlotRow.session_id == row.id))
        _put_slots(session, row.id, slots)
    row.relationship = relationship or row.relationship
    row.updated = now()


def rename(session: Session, session_id: int, user: User, title: str) -> None:
    """Another title."""
    row = own(session, session_id, user)
    if not _title(title):
        raise StoreError("a session needs a title; type one")
    row.title, row.updated = _title(title), now()


def sessions(session: Session, user: User, search: str, limit: int) -> tuple[SessionSummary, ...]:
    """The user's cases and those asked at the terminal, last used first."""
    turns = select(func.count()).where(TurnRow.session_id == SessionRow.id).scalar_subquery()
    query = select(SessionRow.id, SessionRow.title, SessionRow.updated, turns.label("turns"), SessionRow.relationship)
    query = query.where(visible(user.id))
    for word in search.lower().split():
        asked = exists().where(TurnRow.session_id == SessionRow.id, func.lower(TurnRow.question).contains(word, autoescape=True))
        answered = exists().where(
            TurnRow.session_id == SessionRow.id,
            VersionRow.turn_id == TurnRow.id,
            func.lower(VersionRow.text).contains(word, autoescape=True),
        )
        query = query.where(or_(func.lower(SessionRow.title).contains(word, autoescape=True), asked, answered))
    query = query.order_by(SessionRow.updated.desc(), SessionRow.id.desc()).limit(limit)
    return tuple(
        SessionSummary(row.id, row.title, row.updated, row.turns, cast(Relationship, row.relationship)) for row in session.execute(query)
    )


def view(session: Session, session_id: int, user: User) -> SessionView:
    """One case with everything the page shows of it."""
    row = own(session, session_id, user)
    return SessionView(
        id=row.id,
        title=row.title,
        relationship=cast(Relationship, row.relationship),
        created=row.created,
        updated=row.updated,
        slots=slots_of(session, session_id),
        turns=_turns(session, session_id, user),
    )


def add_turn(
    session: Session,
    row: SessionRow,
    user: User,
    question: str,
    ability: Ability,
    relationship: Relationship,
    slots: Sequence[Slot],
    marks: Sequence[AskedMark] = (),
    clinical: Clinical | None = None,
) -> int:
    """A question of a case of the user's, with the images it is about, what is drawn on them for it, and what is told with it; its id."""
    turn = TurnRow(
        session_id=row.id,
        question=question,
        ability=ability,
        relationship=relationship,
        slots=[[slot.series_id, slot.frame, slot.role, slot.when, slot.window] for slot in slots],
        marks=codec.plain([[one.image, one.label, one.kind, one.points] for one in marks]),
        clinical=codec.plain({name: text for name, text in asdict(clinical or Clinical()).items() if text}),
    )
    session.add(turn)
    row.updated = now()
    session.flush()
    audit.append(session, user.id, "ask", "turn", turn.id)
    return turn.id


def add_version(session: Session, turn_id: int, record: AnswerRecord) -> int:
    """One more answer to a turn; its id."""
    dialect.one_writer(session.connection(), "answer_versions")
    session_id = session.scalar(select(TurnRow.session_id).where(TurnRow.id == turn_id))
    if session_id is None:
        raise StoreError(f"question {turn_id} was not found; ask it again")
    number = 1 + (session.scalar(select(func.max(VersionRow.number)).where(VersionRow.turn_id == turn_id)) or 0)
    row = VersionRow(turn_id=turn_id, number=number, **_columns(record))
    session.add(row)
    session.execute(update(SessionRow).where(SessionRow.id == session_id).values(updated=now()))
    session.flush()
    return row.id


Settled = Callable[[Mapping[str, object], Mapping[str, Mapping[str, float]]], Mapping[str, object]]
"""From all checks and the whole progression of an answer to what else is kept among its checks: what they come to together."""


def add_checks(
    session: Session,
    version_id: int,
    user: User,
    checks: Mapping[str, object],
    progression: Mapping[str, Mapping[str, float]],
    settled: Settled | None = None,
) -> None:
    """Put checks and progression made later to those of one of the user's answers; its words and how they were made stay as they are.

    Two runs may make them at once, so what they come to is settled here, of those of both.
    """
    dialect.one_writer(session.connection(), "answer_versions")
    turn_of(session, version_id, user)
    row = session.get_one(VersionRow, version_id)
    row.progression = {**row.progression, **codec.plain(progression)}
    together = {**row.checks, **codec.plain(checks)}
    row.checks = {**together, **codec.plain(settled(together, row.progression) if settled else {})}
    session.flush()
    review.weigh(session, version_id)
    audit.append(session, user.id, "check", "answer", version_id)


def answer(session: Session, version_id: int, user: User) -> AnswerRecord:
    """The whole record of one of the user's answers."""
    turn_of(session, version_id, user)
    row = session.get_one(VersionRow, version_id)
    return AnswerRecord(
        text=row.text,
        state=cast(State, row.state),
        model=row.model,
        engine=row.engine,
        model_digest=row.model_digest,
        image_hashes=tuple(row.image_hashes),
        roles=tuple(row.roles),
        whens=tuple(row.whens),
        prompt=row.prompt,
        adapter_digest=row.adapter_digest,
        options=row.options,
        seed=row.seed,
        timings=row.timings,
        checks=row.checks,
        progression=row.progression,
        confidence=row.confidence,
        tokens=tuple(row.tokens),
        logprobs=tuple(float("-inf") if value is None else value for value in row.logprobs),
        warnings=tuple(row.warnings),
        created=row.created,
    )


def turn_of(session: Session, version_id: int, user: User) -> Row[*tuple[Any, ...]]:
    """`id`, `slots` and `ability` of the question of an answer this user may see, its `model` and `checks`. Raises `StoreMissing`."""
    row = session.connection().execute(_TURN_OF, {"version": version_id, "owner": user.id}).first()
    if row is None:
        raise StoreMissing(f"answer {version_id} was not found; choose one from the session's history")
    return row


def visible(owner: int | BindParameter[int]) -> ColumnElement[bool]:
    """A case is its reader's own, or was asked at this machine's terminal, whose studies all readers see too."""
    terminal = select(UserRow.id).where(UserRow.key_hash == key_hash(LOCAL)).scalar_subquery()
    return or_(SessionRow.owner_id == owner, SessionRow.owner_id == terminal)


_TURN_OF = (
    select(TurnRow.id, TurnRow.slots, TurnRow.ability, VersionRow.model, VersionRow.checks)
    .join(VersionRow, VersionRow.turn_id == TurnRow.id)
    .join(SessionRow, SessionRow.id == TurnRow.session_id)
    .where(VersionRow.id == bindparam("version"), visible(bindparam("owner")))
)


def own(session: Session, session_id: int, user: User) -> SessionRow:
    """The session's row, when it is this user's. Raises `StoreError` otherwise."""
    row = session.scalar(select(SessionRow).where(SessionRow.id == session_id, visible(user.id)))
    if row is None:
        raise StoreError(f"session {session_id} was not found; choose one from the history")
    return row


def _title(title: str) -> str:
    return " ".join(title.split())[:MAX_TITLE]


def _check_slots(session: Session, slots: Sequence[Slot], user: User) -> None:
    """Every image must exist and be this user's to see."""
    frames = library.frame_counts(session, [slot.series_id for slot in slots], user)
    for slot in slots:
        if slot.series_id not in frames:
            raise StoreError(f"series {slot.series_id} was not found; choose one from the list")
        if not 0 <= slot.frame < frames[slot.series_id]:
            raise StoreError(f"series {slot.series_id} has no image {slot.frame + 1}; it has {frames[slot.series_id]}")


def slots_of(session: Session, session_id: int) -> tuple[Slot, ...]:
    """The session's images in their order."""
    rows = session.scalars(select(SlotRow).where(SlotRow.session_id == session_id).order_by(SlotRow.position))
    return tuple(Slot(row.series_id, row.frame, row.role, row.interval, row.window) for row in rows)


def _put_slots(session: Session, session_id: int, slots: Sequence[Slot]) -> None:
    rows = [
        {
            "session_id": session_id,
            "position": place,
            "series_id": one.series_id,
            "frame": one.frame,
            "role": one.role,
            "interval": one.when,
            "window": one.window,
        }
        for place, one in enumerate(slots)
    ]
    if rows:
        session.execute(insert(SlotRow), rows)


def _turns(session: Session, session_id: int, user: User) -> tuple[TurnView, ...]:
    """The session's questions with their answers and this user's feedback, oldest first: three queries."""
    of_session = select(TurnRow.id).where(TurnRow.session_id == session_id)
    of_turns = select(VersionRow.id).where(VersionRow.turn_id.in_(of_session))
    said = feedback.of_versions(session, of_turns, user)
    versions: dict[int, list[VersionView]] = {}
    for row in session.execute(select(*_LISTED).where(VersionRow.turn_id.in_(of_session)).order_by(VersionRow.number)):
        versions.setdefault(row.turn_id, []).append(_version(row, tuple(said.get(row.id, ()))))
    rows = session.execute(select(*_ASKED).where(TurnRow.session_id == session_id).order_by(TurnRow.id))
    return tuple(_turn(row, tuple(versions.get(row.id, ()))) for row in rows)


def turn_view(session: Session, version_id: int) -> TurnView:
    """The question of an answer with that answer alone, for whoever was let see it; nobody's feedback."""
    row = session.execute(select(*_ASKED).join(VersionRow, VersionRow.turn_id == TurnRow.id).where(VersionRow.id == version_id)).one()
    version = session.execute(select(*_LISTED).where(VersionRow.id == version_id)).one()
    return _turn(row, (_version(version, ()),))


def _turn(row: Row[*tuple[Any, ...]], versions: tuple[VersionView, ...]) -> TurnView:
    return TurnView(
        id=row.id,
        question=row.question,
        ability=row.ability,
        relationship=row.relationship,
        created=row.created,
        slots=tuple(Slot(*slot) for slot in row.slots),
        versions=versions,
        marks=marks_of(row.marks),
        clinical=Clinical(**row.clinical),
        forecast=horizons.asked(row.question),
    )


def marks_of(kept: Sequence[Sequence[Any]]) -> tuple[AskedMark, ...]:
    """Marks as a question's row keeps them, as values."""
    return tuple(AskedMark(image, label, kind, tuple((column, row) for column, row in points)) for image, label, kind, points in kept)


def _version(row: Row[*tuple[Any, ...]], said: tuple[FeedbackView, ...]) -> VersionView:
    return VersionView(
        id=row.id,
        number=row.number,
        text=row.text,
        state=row.state,
        model=row.model,
        engine=row.engine,
        created=row.created,
        roles=tuple(row.roles),
        timings=row.timings,
        checks=row.checks,
        progression=row.progression,
        confidence=row.confidence,
        warnings=tuple(row.warnings),
        feedback=said,
    )


def _columns(record: AnswerRecord) -> dict[str, Any]:
    """The record as column values."""
    scalars = ("text", "state", "model", "engine", "model_digest", "adapter_digest", "prompt", "seed")
    nested = (
        "image_hashes",
        "roles",
        "whens",
        "options",
        "timings",
        "checks",
        "progression",
        "warnings",
        "tokens",
        "logprobs",
        "confidence",
    )
    columns = {name: getattr(record, name) for name in scalars} | {name: codec.plain(getattr(record, name)) for name in nested}
    return columns | {"created": record.created or now()}
