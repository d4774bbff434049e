"""What is drawn and arranged on a case, saved as one document with a version; and why a warning was gone past."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse

from errors import StoreConflict, StoreError
from storage import marks
from storage.views import OverrideView, User
from ui.context import Context, In, Reader
from ui.wire import OverrideIn, StartIn

router = APIRouter(prefix="/api")


@router.post("/sessions")
def start(body: StartIn, here: In, user: Reader) -> dict[str, int | str]:
    """Begin a session without a question, so that marks made before the first one are kept."""
    chosen = [slot.slot() for slot in body.slots]
    items = [here.series(slot.series_id, user) for slot in chosen]
    for number, (slot, (_, series)) in enumerate(zip(chosen, items, strict=True), start=1):
        if slot.frame >= len(series.frames):
            raise HTTPException(400, f"Image {number} asks for slice {slot.frame + 1} of {len(series.frames)}.")
    title = body.title or f"{len(chosen)} image{'s' if len(chosen) > 1 else ''} · {items[-1][0].patient_id}".rstrip(" ·")
    return {"id": here.store.start_session(user, title, chosen, body.relationship), "title": title}


@router.get("/sessions/{session_id}/marks")
def load(session_id: int, here: In, user: Reader) -> JSONResponse:
    """The document as it was last saved; version 0 and empty when it never was."""
    try:
        return JSONResponse(asdict(here.store.marks(session_id, user)))
    except StoreError as error:
        raise _missing() from error


@router.put("/sessions/{session_id}/marks")
async def save(session_id: int, request: Request, here: In, user: Reader) -> JSONResponse:
    """Keep the document over the version it names: 409 with the newest version when another tab was faster, 413 when too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > marks.MOST_BYTES:
            raise HTTPException(413, f"The marks take more than {marks.MOST_BYTES >> 10:,} kB; remove some free shapes.")
    return await anyio.to_thread.run_sync(_save, session_id, bytes(body), here, user)


@router.post("/overrides")
def override(body: OverrideIn, here: In, user: Reader) -> dict[str, int]:
    """Keep why the reader compares images that a warning says do not belong together."""
    for series_id in body.series_ids:
        here.series(series_id, user)
    return {"id": here.store.override(user, body.series_ids, body.codes, body.reason)}


@router.get("/overrides")
def overrides(here: In, user: Reader) -> tuple[OverrideView, ...]:
    """The warnings this reader went past, oldest first."""
    return here.store.overrides(user)


def _save(session_id: int, body: bytes, here: Context, user: User) -> JSONResponse:
    found: Any
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(422, "The marks are not JSON; reload the page and try again.") from None
    if not isinstance(found, dict):
        raise HTTPException(422, "The marks are not an object of JSON; reload the page and try again.")
    given = marks.read(found)
    try:
        return JSONResponse({"version": here.store.save_marks(session_id, user, given)})
    except StoreConflict as error:
        text = str(error)
        return JSONResponse({"error": f"{text[:1].upper()}{text[1:]}.", "version": error.version}, 409)
    except StoreError as error:
        raise _missing() from error


def _missing() -> HTTPException:
    return HTTPException(404, "There is no such session or image, or it is not yours.")
