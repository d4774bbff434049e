"""Where the images bear on a kept answer; only where transformers runs the very model that gave it."""

from __future__ import annotations

from threading import Event

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from errors import IntervalError, StoreError
from inference.relevance import LIMITS, Looking
from storage.views import AnswerRecord, User
from ui import asking, requests
from ui.asking import Asked
from ui.context import Context, In, Reader

router = APIRouter(prefix="/api/sessions/{session_id}/turns/{turn_id}/versions/{version_id}")

DIGITS = 6


class LookedOut(BaseModel):
    """One map for each image in order, (patches, patches) row by row, all together 1; each image's `shares`; what maps do not say."""

    maps: tuple[tuple[tuple[float, ...], ...], ...]
    shares: tuple[float, ...]
    limits: str


@router.get("/looked")
def looked(session_id: int, turn_id: int, version_id: int, here: In, user: Reader) -> LookedOut:
    """Compute the maps of a whole answer."""
    asked, record = _kept(here, user, session_id, turn_id, version_id)
    if record.state != "complete" or not record.text:
        raise HTTPException(409, "Only a whole answer has a map; ask again.")
    try:
        request = requests.of_record(here.store, user, asked.history, asked.turn, record)
        cancel, given = Event(), (record.model_digest, record.adapter_digest, record.engine)
        with here.engine.use(cancel) as engine:
            card = engine.card
            if not isinstance(engine, Looking) or (card.sha256, card.adapter, card.engine) != given:
                whose = f"this one is of {record.model} through {record.engine}"
                if (card.sha256, card.engine) == (record.model_digest, record.engine):
                    whose += " with another adapter"
                raise HTTPException(409, f"Maps are made by transformers, of the answers of the model that is open, and {whose}.")
            found = engine.relevance(request, record.text, cancel)
    except IntervalError as error:
        text = str(error)
        raise HTTPException(422, f"{text[:1].upper()}{text[1:]}.") from error
    maps = tuple(tuple(tuple(round(float(value), DIGITS) for value in row) for row in one) for one in found)
    return LookedOut(maps=maps, shares=tuple(round(float(one.sum()), 4) for one in found), limits=LIMITS)


def _kept(here: Context, user: User, session_id: int, turn_id: int, version_id: int) -> tuple[Asked, AnswerRecord]:
    try:
        asked = asking.find(here, user, session_id, turn_id)
        if asked is not None and any(version.id == version_id for version in asked.turn.versions):
            return asked, here.store.answer(version_id, user)
    except StoreError as error:
        raise HTTPException(404, "There is no such answer, or it is not yours.") from error
    raise HTTPException(404, "There is no such answer, or it is not yours.")
