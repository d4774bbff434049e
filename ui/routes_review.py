"""The reviewers' work space: queue, cases, holds, decisions, agreement and guidelines. Every route asks for the right to review."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from errors import StoreError
from finetune import flags
from storage.review import PAGE
from storage.review_views import Agreement, Facets, QueueItem, QueuePage
from storage.studies import Series, Study
from storage.views import User
from ui import guidelines, hanging
from ui.context import Context, In, Reviewer
from ui.routes_feedback import within_quota
from ui.wire import SlotOut
from ui.wire_review import CaseOut, FiltersIn, GuidelinesOut, JudgementIn

router = APIRouter(prefix="/api/review")


@router.post("/queue")
def queue(
    body: FiltersIn, here: In, user: Reviewer, offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=200)] = PAGE
) -> QueuePage:
    """A part of the queue that the filters let through, with counts by state."""
    return here.store.queue(user, body.filters(), offset, limit)


@router.get("/facets")
def facets(here: In, user: Reviewer) -> Facets:
    """What there is to filter by."""
    return here.store.queue_facets(user)


@router.get("/guidelines")
def rules(user: Reviewer) -> GuidelinesOut:
    """What reviewers go by."""
    return guidelines.guidelines()


@router.get("/agreement")
def agreement(here: In, user: Reviewer, first: int = 0, second: int = 0) -> Agreement:
    """How far readers and reviewers agree, by error code; of two people when both are named."""
    return here.store.agreement(user, (first, second) if first and second else None)


@router.get("/items/{item_id}")
def item(item_id: int, here: In, user: Reviewer) -> CaseOut:
    """A case with its images, for the viewer and the pane; nobody holds it by looking."""
    return _case(here, user, item_id)


@router.get("/statements/{feedback_id}")
def of_statement(feedback_id: int, here: In, user: Reviewer) -> dict[str, int]:
    """The number of the case that a statement is part of."""
    return {"item": here.store.case_of(feedback_id, user)}


@router.post("/items/{item_id}/take")
def take(item_id: int, here: In, user: Reviewer) -> QueueItem:
    """Hold a case, or hold it longer; 409 when another has it."""
    return here.store.take(item_id, user)


@router.post("/next")
def take_next(body: FiltersIn, here: In, user: Reviewer) -> QueueItem | None:
    """Hold the first free case of the filters that this reviewer may judge; null when there is none."""
    return here.store.take_next(user, body.filters())


@router.post("/release")
def release(here: In, user: Reviewer) -> dict[str, int]:
    """Let go of whatever this reviewer holds."""
    return {"released": here.store.let_go(user)}


@router.post("/items/{item_id}/decision")
def decide(item_id: int, body: JudgementIn, here: In, user: Reviewer) -> QueueItem:
    """Keep a decision on a case that this reviewer holds; 409 when the hold ran out."""
    within_quota(here, user)
    return here.store.decide(item_id, user, body.judgement())


def _case(here: Context, user: User, item_id: int) -> CaseOut:
    view = here.store.review_case(item_id, user)
    slots: list[SlotOut] = []
    items: list[tuple[Study, Series]] = []
    lost: list[str] = []
    for number, slot in enumerate(view.turn.slots, start=1):
        try:
            found = here.store.series(slot.series_id, user)
        except StoreError:
            lost.append(f"Image {number} ({slot.role or 'no role'}) is no longer in the store.")
            continue
        slots.append(hanging.slot_out(slot, found))
        items.append(found)
    relation = hanging.relation(items, view.turn.relationship)
    fate = flags.of(flags.fates(here.settings), [one.id for one in view.said])
    return CaseOut(case=view, slots=tuple(slots), relation=relation, suggestion=guidelines.suggestion(view), lost=tuple(lost), fate=fate)
