"""Trust checks of kept answers, and what their words point at."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import StreamingResponse

from errors import StoreError
from storage.views import AnswerRecord, User
from ui import asking, trusting
from ui.checking import Checking
from ui.context import Context, In, Models, Reader
from ui.wire_trust import CalibrationOut, ChecksIn, TrustOut

router = APIRouter(prefix="/api/sessions/{session_id}")
_STREAM = {"cache-control": "no-store", "x-accel-buffering": "no"}


@router.get("/trust")
def trust(session_id: int, here: In, user: Reader) -> TrustOut:
    """Mentions and measurements of every whole answer of the session, with the marks as they are now."""
    try:
        return trusting.spoken(here, user, here.store.session(session_id, user))
    except StoreError as error:
        raise HTTPException(404, "There is no such session, or it is not yours.") from error


@router.get("/turns/{turn_id}/versions/{version_id}/calibration")
def calibration(
    session_id: int, turn_id: int, version_id: int, here: In, user: Reader, at_least: Annotated[int, Query(ge=0, le=99)] = 0
) -> CalibrationOut:
    """How often answers of its type by its model were right, as far as reviewers of this site judged enough of them.

    Below `at_least` of 100 an answer is to be withheld; 0 withholds nothing.
    """
    asked, record = _kept(here, user, session_id, turn_id, version_id)
    return here.calibrators.of(here.store, asked.turn.ability, record, at_least)


@router.post("/turns/{turn_id}/versions/{version_id}/checks")
async def checks(
    session_id: int, turn_id: int, version_id: int, body: ChecksIn, request: Request, here: In, user: Reader, known: Models
) -> StreamingResponse:
    """Score progression and make the checks of a whole answer; server-sent events, last the version with them. Closing it stops them."""
    asked, record = await anyio.to_thread.run_sync(_kept, here, user, session_id, turn_id, version_id)
    run = Checking(here, asked, version_id, record, partial(known.use, body.model), body.names)
    return StreamingResponse(run.events(request), media_type="text/event-stream", headers=_STREAM)


def _kept(here: Context, user: User, session_id: int, turn_id: int, version_id: int) -> tuple[asking.Asked, AnswerRecord]:
    try:
        asked = asking.find(here, user, session_id, turn_id)
        version = next((one for one in asked.turn.versions if one.id == version_id), None) if asked else None
        if asked is None or version is None:
            raise HTTPException(404, "There is no such answer, or it is not yours.")
        if version.state != "complete":
            raise HTTPException(409, "Only a whole answer can be checked; ask again.")
        return asked, here.store.answer(version_id, user)
    except StoreError as error:
        raise HTTPException(404, "There is no such answer, or it is not yours.") from error
