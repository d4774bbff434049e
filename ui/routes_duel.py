"""Two models or adapters on one question: which there are, and both answers as they come."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import StreamingResponse

from ui.context import In, Models, Reader
from ui.dueling import Duel
from ui.routes_sessions import STREAM, begin
from ui.wire_duel import DuelIn, ModelOut

router = APIRouter(prefix="/api")


@router.get("/models")
def models(user: Reader, known: Models) -> tuple[ModelOut, ...]:
    """Models that can answer here, the one that does first."""
    return tuple(ModelOut(name=one.name, words=one.words) for one in known.offered())


@router.post("/duel")
async def duel(body: DuelIn, request: Request, here: In, user: Reader, known: Models) -> StreamingResponse:
    """Ask two models; server-sent events, the answers without a model's name when it is blind. Closing it stops them."""
    if body.models[0] == body.models[1]:
        raise HTTPException(400, "Two different models are needed; choose another one.")
    offered = {one.name for one in await anyio.to_thread.run_sync(known.offered)}
    if not set(body.models) <= offered:
        raise HTTPException(400, "That model is no longer here; choose another from the list.")
    asked = await anyio.to_thread.run_sync(begin, here, user, body)
    run = Duel(here, asked, known, body.models, blind=body.blind)
    return StreamingResponse(run.events(request), media_type="text/event-stream", headers=STREAM)
