"""The reviewers' queue: every reader's newest statement on an answer waits here until another reader has judged it.

    pending     nobody but its reader has said anything, or what a reviewer added waits for a second voice
    submitted   reader and reviewers say the same, and each part of it was said by two: it may train
    disputed    they contradict each other; a third, an adjudicator, decides
    adjudicated decided
    skipped     a reviewer left it for another, or its reader took everything back

Whoever works on an item holds it for some minutes; a hold that ran out is nobody's. Decisions are append-only (`reviews`), the item is
only where they stand. A statement that its reader changes waits anew. The smart order puts first what teaches most: answers that
did not turn round with the images, that saw change between an image and itself, of an ability that is often wrong, decided narrowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, and_, bindparam, case, delete, desc, exists, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session, aliased

from errors import StoreHeld, StoreMissing, StoreRefused
from storage import audit, roles, statements
from storage.review_views import Facets, Filters, Judgement, Order, QueueItem, QueuePage
from storage.schema import (
    Base,
    FeedbackRow,
    ReviewCodeRow,
    ReviewItemRow,
    ReviewRow,
    TurnRow,
    UserRow,
    VersionRow,
    now,
)
from storage.statements import Statement
from storage.views import User

PAGE = 50
UNKNOWN = 0.5
"""Weight of a check that was not made: between one that passed (0) and one that failed (1)."""
AGREED = 0.5
"""Share of its merit that an answer keeps which its reader agrees with."""
OPEN = ("pending", "skipped", "disputed")
_MEANS = ("verdict", "codes", "cells", "corrected_answer", "preferred_over", "mark", "comment")
"""Columns of a statement of which one says something, or it takes everything back."""
_BEGINNING = 240


_SERIES = Base.metadata.tables["series"]
_ITEMS, _CODES, _SEEN = (Base.metadata.tables[name] for name in ("review_items", "review_codes", "review_series"))
_WAITS = (
    select(_ITEMS.c.id, _ITEMS.c.codes)
    .where(_ITEMS.c.version_id == bindparam("version"), _ITEMS.c.reader_id == bindparam("reader"))
    .with_for_update()
)
_SHOWN = select(_SERIES.c.id, _SERIES.c.modality).where(_SERIES.c.id.in_(bindparam("series", expanding=True)))
_ANEW = update(_ITEMS).where(_ITEMS.c.id == bindparam("item"))
_ADD = insert(_ITEMS).returning(_ITEMS.c.id)
_DISAGREED = func.sum(case((_ITEMS.c.verdict == "disagree", 1), else_=0))
_WRONG = select(_ITEMS.c.ability, _DISAGREED, func.count()).group_by(_ITEMS.c.ability).order_by(_ITEMS.c.ability)
"""Tables and not rows, and made once: this is part of every statement, and most of what it costs beside the flush to the disk."""


@dataclass(frozen=True)
class About:
    """What of an answer and its question the queue wants to know; `slots` as the table of turns keeps them."""

    ability: str
    slots: Sequence[Sequence[Any]]
    model: str
    checks: Mapping[str, Any]


def enqueue(session: Session, feedback_id: int, said: Mapping[str, Any], about: About) -> int:
    """Put a statement just made into the queue, in the place of the reader's earlier one on the same answer; the item's id.

    `said` are the columns of the statement's row.
    """
    run = session.connection().execute
    empty = not any(said[name] for name in _MEANS)
    values = {
        "feedback_id": feedback_id,
        "verdict": said["verdict"],
        "codes": said["codes"],
        "state": "skipped" if empty else "pending",
        "accepted": False,
        "updated": said["created"],
        "locked_by": None,
        "locked_until": None,
        "merit": merit(about.checks, said["verdict"]),
    }
    before = run(_WAITS, {"version": said["version_id"], "reader": said["user_id"]}).first()
    if before is not None:
        run(_ANEW, values | {"item": before.id})
        if before.codes != said["codes"]:
            run(delete(_CODES).where(_CODES.c.item_id == before.id))
            _add_codes(session, before.id, said["codes"])
        return int(before.id)
    series = list(dict.fromkeys(slot[0] for slot in about.slots))
    known = {row.id: row.modality for row in run(_SHOWN, {"series": series})}
    shown = [one for one in series if one in known]
    values |= {"version_id": said["version_id"], "reader_id": said["user_id"], "ability": about.ability, "model": about.model}
    values |= {"modality": known[shown[0]] if shown else "", "created": said["created"]}
    item = int(run(_ADD, values).scalar_one())
    _add_codes(session, item, said["codes"])
    if shown:
        run(insert(_SEEN), [{"item_id": item, "series_id": one} for one in shown])
    return item


def _add_codes(session: Session, item: int, codes: Sequence[str]) -> None:
    if codes:
        session.connection().execute(insert(_CODES), [{"item_id": item, "code": code} for code in codes])


def weigh(session: Session, version_id: int) -> None:
    """Checks of an answer were made after a reader spoke of it: its items get the merit they deserve."""
    version = session.get_one(VersionRow, version_id)
    for item in session.scalars(select(ReviewItemRow).where(ReviewItemRow.version_id == version_id)):
        item.merit = merit(version.checks, item.verdict)


def merit(checks: Mapping[str, Any], verdict: str) -> float:
    """How much there is to learn, from 0.5 to 8: exchange disagreement x no-change failure x how narrowly it was decided."""

    def failed(name: str) -> float:
        passed = (checks.get(name) or {}).get("passed")
        return UNKNOWN if passed is None else float(not passed)

    shares = sorted((checks.get("overall") or {}).values(), reverse=True)
    margin = shares[0] - shares[1] if len(shares) > 1 else UNKNOWN
    return (1 + failed("exchange")) * (1 + failed("identical")) * (2 - margin) * (AGREED if verdict == "agree" else 1.0)


def page(session: Session, user: User, filters: Filters, offset: int = 0, limit: int = PAGE) -> QueuePage:
    """A part of the queue: four statements, however many items there are. Raises `StoreRefused` without the right to review."""
    roles.require(session, user, "review")
    moment = now()
    weights = _weights(session, filters.order)
    tally, lines = _asked(filters, user.id if filters.mine else 0, tuple(weights))
    counts: dict[str, int] = {}
    for state, in_work, count in session.execute(tally, {"moment": moment}):
        name = "in work" if in_work else state
        counts[name] = counts.get(name, 0) + count
    total = counts.get(filters.state, 0) if filters.state else sum(counts.values())
    given = {"moment": moment, "most": limit, "first": offset, **{f"weight{n}": value for n, value in enumerate(weights.values())}}
    return QueuePage(tuple(_item(row, moment) for row in session.execute(lines, given)), total, counts)


@lru_cache(maxsize=32)
def _asked(filters: Filters, user: int, abilities: Sequence[str]) -> tuple[Select[str, bool, int], Select[Any]]:
    """What a page asks, counts by state and lines: putting these together takes SQLAlchemy a fifth of the whole page."""
    wanted = _wanted(user, filters)
    held = and_(ReviewItemRow.locked_until > bindparam("moment"), ReviewItemRow.state.in_(OPEN))
    tally = select(ReviewItemRow.state, held.label("held"), func.count()).where(*wanted).group_by(ReviewItemRow.state, "held")
    query = _ordered(filters.order, {ability: bindparam(f"weight{n}", type_=Float) for n, ability in enumerate(abilities)})
    query = query.where(*wanted, *_state(filters.state, held)).limit(bindparam("most")).offset(bindparam("first"))
    return tally, _lines(query, filters.order)


def facets(session: Session, user: User) -> Facets:
    """What the queue can be narrowed to."""
    roles.require(session, user, "review")

    def found(column: Any) -> tuple[str, ...]:
        return tuple(one for one in session.scalars(select(column).distinct().order_by(column)) if one)

    readers = select(UserRow.id, UserRow.name).where(UserRow.id.in_(select(ReviewItemRow.reader_id))).order_by(UserRow.id)
    return Facets(
        found(ReviewItemRow.ability),
        found(ReviewItemRow.modality),
        found(ReviewItemRow.model),
        found(ReviewCodeRow.code),
        tuple((row.id, row.name) for row in session.execute(readers)),
    )


def of_statement(session: Session, feedback_id: int, user: User) -> int:
    """The case that a statement is part of, also one that its reader changed since. Raises `StoreMissing`, or `StoreRefused`."""
    roles.require(session, user, "review")
    same = and_(FeedbackRow.version_id == ReviewItemRow.version_id, FeedbackRow.user_id == ReviewItemRow.reader_id)
    found = session.scalar(select(ReviewItemRow.id).join(FeedbackRow, same).where(FeedbackRow.id == feedback_id))
    if found is None:
        raise StoreMissing(f"statement {feedback_id} is in no case of the queue; it was erased, or made on another machine")
    return found


def take(session: Session, item_id: int, user: User, hold: timedelta) -> QueueItem:
    """Hold an item to work on it, or hold it longer; what the user held before is let go.

    Raises `StoreHeld` when another has it or it is done, `StoreRefused` for one's own statement or without the right.
    """
    moment = now()
    row = _row(session, item_id)
    _may(session, row, user)
    if row.locked_by not in (None, user.id) and row.locked_until is not None and row.locked_until > moment:
        raise StoreHeld("somebody else has this case in work; take another, or come back in some minutes")
    fresh = row.locked_by != user.id or row.locked_until is None or row.locked_until <= moment
    let_go(session, user, but=item_id)
    row.locked_by, row.locked_until = user.id, moment + hold
    session.flush()
    if fresh:
        audit.append(session, user.id, "take", "item", item_id)
    return one(session, item_id)


def take_next(session: Session, user: User, filters: Filters, hold: timedelta) -> QueueItem | None:
    """Hold the first free item that this user may judge, in the order of the filters; None when there is none."""
    roles.require(session, user, "review")
    moment = now()
    rights = roles.RIGHTS[roles.role_of(session, user)]
    states = ["pending", *(["disputed"] if "adjudicate" in rights else [])]
    chosen = (ReviewItemRow.state == filters.state) if filters.state in OPEN else ReviewItemRow.state.in_(states)
    free = or_(ReviewItemRow.locked_until.is_(None), ReviewItemRow.locked_until <= moment, ReviewItemRow.locked_by == user.id)
    query = _ordered(filters.order, _weights(session, filters.order)).where(*_wanted(user.id, filters), *_others(user.id), chosen, free)
    found = session.execute(query.limit(1)).first()
    return take(session, found.id, user, hold) if found is not None else None


def let_go(session: Session, user: User, but: int = 0) -> int:
    """Let go of everything the user holds, except item `but`; how many."""
    held = session.scalars(select(ReviewItemRow).where(ReviewItemRow.locked_by == user.id, ReviewItemRow.id != but)).all()
    for row in held:
        row.locked_by = row.locked_until = None
        audit.append(session, user.id, "release", "item", row.id)
    return len(held)


def decide(session: Session, item_id: int, user: User, judgement: Judgement, wanted: int) -> QueueItem:
    """Keep a decision on an item the user holds; `wanted` reviewers must agree with its reader. Where it stands then.

    Raises `StoreHeld` when the hold ran out, or the reader said something else meanwhile.
    """
    row = _row(session, item_id)
    _may(session, row, user)
    if row.locked_by != user.id or row.locked_until is None or row.locked_until <= now():
        raise StoreHeld("your time for this case ran out, or its reader changed it; take it again, what you wrote is still on the page")
    adjudicates = row.state == "disputed" and judgement.decision != "skipped"
    _keep(session, row, user, judgement, adjudicates)
    row.locked_by = row.locked_until = None
    row.updated = now()
    row.state, row.accepted = _standing(session, row, judgement, adjudicates, wanted)
    session.flush()
    audit.append(session, user.id, "adjudicate" if adjudicates else "review", "item", item_id)
    return one(session, item_id)


def one(session: Session, item_id: int) -> QueueItem:
    """One line of the queue. Raises `StoreError`."""
    found = session.execute(_lines(_ordered("smart", _weights(session, "smart")).where(ReviewItemRow.id == item_id), "smart")).first()
    if found is None:
        raise StoreMissing(f"case {item_id} was not found in the queue; choose one from it")
    return _item(found, now())


def judged(session: Session, row: ReviewItemRow) -> Sequence[ReviewRow]:
    """The decisions on the item's statement as it is now, oldest first, skips left out."""
    query = select(ReviewRow).where(ReviewRow.item_id == row.id, ReviewRow.feedback_id == row.feedback_id, ReviewRow.decision != "skipped")
    return session.scalars(query.order_by(ReviewRow.id)).all()


def _keep(session: Session, row: ReviewItemRow, user: User, judgement: Judgement, adjudicates: bool) -> None:
    said = judgement.statement if judgement.decision == "judged" else Statement(comment=judgement.statement.comment)
    values = {
        "item_id": row.id,
        "feedback_id": row.feedback_id,
        "user_id": user.id,
        "decision": judgement.decision,
        "adjudicates": adjudicates,
        "blind": judgement.blind,
        "verdict": said.verdict,
        "codes": list(said.codes),
        "severity": said.severity,
        "corrected_answer": said.corrected_answer.strip(),
        "cells": {finding: name for finding, name in said.cells.items() if name},
        "comment": said.comment.strip(),
        "created": now(),
    }
    session.connection().execute(insert(ReviewRow.metadata.tables["reviews"]), values)


def _standing(session: Session, row: ReviewItemRow, judgement: Judgement, adjudicates: bool, wanted: int) -> tuple[str, bool]:
    """State of an item after a decision, and whether it may train."""
    if judgement.decision == "skipped":
        return ("skipped" if row.state == "pending" else row.state), False
    if adjudicates:
        return "adjudicated", judgement.decision == "judged"
    reviews = judged(session, row)
    if any(review.decision == "unusable" for review in reviews):
        return "disputed", False
    said = [statements.of_row(session.get_one(FeedbackRow, row.feedback_id)), *map(statements.of_row, reviews)]
    if any(statements.conflict(one, other) for place, one in enumerate(said) for other in said[:place]):
        return "disputed", False
    done = len(reviews) >= wanted and statements.twice_said(said)
    return ("submitted", True) if done else ("pending", False)


def _row(session: Session, item_id: int) -> ReviewItemRow:
    row = session.scalar(select(ReviewItemRow).where(ReviewItemRow.id == item_id).with_for_update())
    if row is None:
        raise StoreMissing(f"case {item_id} was not found in the queue; choose one from it")
    return row


def _may(session: Session, row: ReviewItemRow, user: User) -> None:
    """Raises when this user may not judge this item now."""
    roles.require(session, user, "review")
    if row.reader_id == user.id:
        raise StoreRefused("this is what you said yourself; another reader must judge it")
    if row.state not in OPEN:
        raise StoreHeld(f"this case is {row.state} already; take another")
    if row.state == "disputed":
        roles.require(session, user, "adjudicate")
    if any(review.user_id == user.id for review in judged(session, row)):
        third = "a third decides it" if row.state == "disputed" else "another must confirm it"
        raise StoreRefused(f"you judged this case already; {third}")


def _others(user: int) -> tuple[ColumnElement[bool], ...]:
    """What this user neither said nor reviewed."""
    mine = exists().where(
        ReviewRow.item_id == ReviewItemRow.id, ReviewRow.feedback_id == ReviewItemRow.feedback_id, ReviewRow.user_id == user
    )
    return (ReviewItemRow.reader_id != user, ~mine)


def _wanted(user: int, filters: Filters) -> list[ColumnElement[bool]]:
    """The conditions of every filter but the state."""
    named = (("ability", filters.ability), ("modality", filters.modality), ("model", filters.model), ("reader_id", filters.reader))
    found: list[ColumnElement[bool]] = [getattr(ReviewItemRow, name) == value for name, value in named if value]
    if filters.code:
        found.append(exists().where(ReviewCodeRow.item_id == ReviewItemRow.id, ReviewCodeRow.code == filters.code))
    return [*found, or_(ReviewItemRow.state.not_in(OPEN), and_(*_others(user)))] if filters.mine else found


def _state(state: str, held: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    if not state:
        return ()
    if state == "in work":
        return (held,)
    at_rest = (func.coalesce(held, False).is_(False),) if state in OPEN else ()
    return (ReviewItemRow.state == state, *at_rest)


def _ordered(order: Order, weights: Mapping[str, Any]) -> Select[Any]:
    """Items with their rank, in the order wanted."""
    weight = case(weights, value=ReviewItemRow.ability, else_=1.5) if weights else literal(1.5)
    query = select(*ReviewItemRow.__table__.c, (ReviewItemRow.merit * weight if order == "smart" else ReviewItemRow.merit).label("rank"))
    if order == "smart":
        return query.order_by(desc("rank"), ReviewItemRow.id)
    return query.order_by(ReviewItemRow.id if order == "oldest" else ReviewItemRow.id.desc())


def _weights(session: Session, order: Order) -> dict[str, float]:
    """1 to 2 by ability: the share of its answers that readers disagreed with, drawn towards a half while few were judged. {} where the
    order asks for none."""
    return {ability: 1 + (bad + 1) / (count + 2) for ability, bad, count in session.execute(_WRONG)} if order == "smart" else {}


def _lines(query: Select[Any], order: Order) -> Select[Any]:
    """The lines of a query over items, with the names and words that go with them; joined to those few alone."""
    inner = query.subquery()
    reader, holder = aliased(UserRow), aliased(UserRow)
    counted = (
        select(func.count())
        .where(ReviewRow.feedback_id == inner.c.feedback_id, ReviewRow.item_id == inner.c.id, ReviewRow.decision != "skipped")
        .scalar_subquery()
    )
    full = (
        select(
            inner,
            func.substr(TurnRow.question, 1, _BEGINNING).label("question"),
            func.substr(VersionRow.text, 1, _BEGINNING).label("answer"),
            reader.name.label("reader_name"),
            holder.name.label("holder_name"),
            counted.label("reviews"),
        )
        .join(VersionRow, VersionRow.id == inner.c.version_id)
        .join(TurnRow, TurnRow.id == VersionRow.turn_id)
        .join(reader, reader.id == inner.c.reader_id)
        .outerjoin(holder, holder.id == inner.c.locked_by)
    )
    places = {"smart": (inner.c.rank.desc(), inner.c.id), "oldest": (inner.c.id,), "newest": (inner.c.id.desc(),)}
    return full.order_by(*places[order])


def _item(row: Any, moment: datetime) -> QueueItem:
    held = row.locked_by is not None and row.locked_until is not None and row.locked_until > moment and row.state in OPEN
    return QueueItem(
        id=row.id,
        state=row.state,
        accepted=row.accepted,
        ability=row.ability,
        modality=row.modality,
        model=row.model,
        verdict=row.verdict,
        codes=tuple(row.codes),
        rank=float(row.rank),
        reader=row.reader_id,
        reader_name=row.reader_name,
        holder=row.locked_by if held else None,
        holder_name=(row.holder_name or "") if held else "",
        held_until=row.locked_until if held else None,
        question=row.question,
        answer=row.answer,
        reviews=row.reviews,
        created=row.created,
        updated=row.updated,
    )
