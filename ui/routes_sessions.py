"""Sessions, questions and what readers say of answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import StreamingResponse

from errors import StoreError
from storage.studies import Series, Study
from storage.views import SessionSummary, SessionView, Slot, User
from ui import asking, hanging
from ui.context import Context, In, Models, Reader
from ui.wire import AgainIn, AskIn, SessionOut, SlotOut, SlotsIn, TitleIn

router = APIRouter(prefix="/api")
STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}


@router.get("/sessions")
def sessions(here: In, user: Reader, search: str = "") -> tuple[SessionSummary, ...]:
    """The reader's sessions, last used first."""
    return here.store.sessions(user, search[:200])


@router.get("/sessions/{session_id}")
def session(session_id: int, here: In, user: Reader) -> SessionOut:
    """One session with images, questions, answers and feedback."""
    view = _session(here, user, session_id)
    slots: list[SlotOut] = []
    items: list[tuple[Study, Series]] = []
    lost: list[str] = []
    for number, slot in enumerate(view.slots, start=1):
        try:
            item = here.store.series(slot.series_id, user)
        except StoreError:
            lost.append(f"Image {number} ({slot.role or 'no role'}) is no longer in the store.")
            continue
        slots.append(hanging.slot_out(slot, item))
        items.append(item)
    return SessionOut(
        id=view.id,
        title=view.title,
        updated=view.updated,
        slots=tuple(slots),
        relation=hanging.relation(items, view.relationship),
        turns=view.turns,
        lost=tuple(lost),
    )


@router.patch("/sessions/{session_id}")
def rename(session_id: int, body: TitleIn, here: In, user: Reader) -> dict[str, str]:
    """Another title."""
    _session(here, user, session_id)
    here.store.rename_session(session_id, user, body.title)
    return {"title": body.title}


@router.put("/sessions/{session_id}/slots")
def slots(session_id: int, body: SlotsIn, here: In, user: Reader) -> dict[str, int]:
    """Other images; questions already asked keep theirs."""
    _session(here, user, session_id)
    _items(here, user, [slot.slot() for slot in body.slots])
    here.store.update_slots(session_id, user, [slot.slot() for slot in body.slots], body.relationship)
    return {"slots": len(body.slots)}


@router.post("/ask")
async def ask(body: AskIn, request: Request, here: In, user: Reader, known: Models) -> StreamingResponse:
    """Ask about images in declared order; the answer comes as server-sent events."""
    asked = await anyio.to_thread.run_sync(begin, here, user, body)
    run = asking.Answering(here, asked, partial(known.use, body.model))
    return StreamingResponse(run.events(request), media_type="text/event-stream", headers=STREAM)


@router.post("/sessions/{session_id}/turns/{turn_id}/again")
async def again(session_id: int, turn_id: int, body: AgainIn, request: Request, here: In, user: Reader, known: Models) -> StreamingResponse:
    """Answer a kept question again, of the same images; every version is kept."""
    asked = await anyio.to_thread.run_sync(_turn, here, user, session_id, turn_id)
    run = asking.Answering(here, asked, partial(known.use, body.model))
    return StreamingResponse(run.events(request), media_type="text/event-stream", headers=STREAM)


@router.post("/sessions/{session_id}/turns/{turn_id}/branch")
def branch(session_id: int, turn_id: int, here: In, user: Reader) -> dict[str, int]:
    """Another session that goes on from this question; this one stays as it is."""
    try:
        return {"id": here.store.branch(session_id, turn_id, user)}
    except StoreError as error:
        raise HTTPException(404, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


@router.post("/runs/{run}/stop")
def stop(run: str, here: In, user: Reader) -> dict[str, bool]:
    """Stop an answer of this reader's; one that has ended already is fine."""
    owner, cancel = here.runs.get(run, (0, None))
    if cancel is not None and owner == user.id:
        cancel.set()
    return {"stopped": cancel is not None and owner == user.id}


def _session(here: Context, user: User, session_id: int) -> SessionView:
    try:
        return here.store.session(session_id, user)
    except StoreError as error:
        raise HTTPException(404, "There is no such session, or it is not yours.") from error


def _items(here: Context, user: User, chosen: Sequence[Slot]) -> tuple[tuple[Study, Series], ...]:
    """The series of the slots; 404 for one that is not visible, 400 for a frame that is not there."""
    items = here.several([slot.series_id for slot in chosen], user)
    for number, (slot, (_, series)) in enumerate(zip(chosen, items, strict=True), start=1):
        if slot.frame >= len(series.frames):
            raise HTTPException(400, f"Image {number} asks for slice {slot.frame + 1} of {len(series.frames)}.")
    return items


def begin(here: Context, user: User, body: AskIn) -> asking.Asked:
    """Check, then keep session and question before anything is computed."""
    chosen = [slot.slot() for slot in body.slots]
    items = _items(here, user, chosen)
    if len(chosen) > here.settings.max_images:
        raise HTTPException(400, f"A question may carry {here.settings.max_images} images and {len(chosen)} are open; close some.")
    blocking = hanging.relation(items, body.relationship).blocking
    if blocking and not body.different_patients:
        raise HTTPException(409, "The images are of different patients; say so in the question box, or exchange one.")
    session_id = body.session_id
    if session_id is None:
        title = f"{body.question[:100]} · {items[-1][0].patient_id}".rstrip(" ·")
        session_id = here.store.start_session(user, title, chosen, body.relationship)
    marks, clinical = [mark.mark() for mark in body.marks], body.clinical.clinical()
    other = None if body.session_id is None else chosen
    try:
        turn_id = here.store.add_turn(session_id, user, body.question, body.ability, body.relationship, marks, clinical, other)
    except StoreError as error:
        raise HTTPException(404, "There is no such session, or it is not yours.") from error
    if blocking:
        here.store.audit(user, "mismatch", "session", session_id)
    return _found(here, user, session_id, turn_id)


def _turn(here: Context, user: User, session_id: int, turn_id: int) -> asking.Asked:
    """A kept question whose images are all still there."""
    asked = _found(here, user, session_id, turn_id)
    _items(here, user, asked.turn.slots)
    return asked


def _found(here: Context, user: User, session_id: int, turn_id: int) -> asking.Asked:
    try:
        asked = asking.find(here, user, session_id, turn_id)
    except StoreError as error:
        raise HTTPException(404, "There is no such session, or it is not yours.") from error
    if asked is None:
        raise HTTPException(404, "There is no such question in this session.")
    return asked
