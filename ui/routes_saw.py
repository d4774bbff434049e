"""What the model saw: for one answer, exactly the pixels it was given, in order, and the words around them.

The pixels are not kept twice. They are made again from the kept images by the same functions, and the hash kept with the
answer says whether they are the same to the last bit; when they are not, the page says so.
"""

from __future__ import annotations

import io
import math

from fastapi import APIRouter, HTTPException
from PIL import Image as Pillow
from starlette.responses import Response

from errors import IntervalError, StoreError
from inference.engine import Image
from inference.pixels import tile
from storage.views import AnswerRecord, Slot, TurnView, User
from ui import asking, requests
from ui.context import Context, In, Reader
from ui.rendering import window_of
from ui.wire import SawImage, SawOut

router = APIRouter(prefix="/api/sessions/{session_id}/turns/{turn_id}/versions/{version_id}")


@router.get("/saw")
def saw(session_id: int, turn_id: int, version_id: int, here: In, user: Reader) -> SawOut:
    """Images in order with role, time and hash, the prompt, the options and the model."""
    turn, record = _kept(here, user, session_id, turn_id, version_id)
    base = f"/api/sessions/{session_id}/turns/{turn_id}/versions/{version_id}/images"
    images = []
    for number, sha256 in enumerate(record.image_hashes):
        made = _again(here, user, turn, number) if number < len(turn.slots) else None
        images.append(
            SawImage(
                number=number + 1,
                role=record.roles[number] if number < len(record.roles) else "",
                when=record.whens[number] if number < len(record.whens) else "",
                sha256=sha256,
                same=made is not None and made.sha256 == sha256,
                url=f"{base}/{number + 1}.png",
                tile=_tile(record),
                marks=tuple(mark.label for mark in turn.marks_on(number)),
                series=_place(here, user, turn.slots[number]) if number < len(turn.slots) else "",
            )
        )
    mean = math.exp(sum(record.logprobs) / len(record.logprobs)) if record.logprobs else None
    return SawOut(
        images=tuple(images),
        prompt=record.prompt,
        clinical=turn.clinical.labelled,
        model=record.model,
        engine=record.engine,
        model_digest=record.model_digest,
        adapter_digest=record.adapter_digest,
        made=record.created,
        options=dict(record.options),
        seed=record.seed,
        timings=dict(record.timings),
        tokens=len(record.tokens),
        mean_probability=mean,
    )


@router.get("/images/{number}.png")
def image(session_id: int, turn_id: int, version_id: int, number: int, here: In, user: Reader) -> Response:
    """Image `number` (from 1) as the model's own tile, without loss."""
    turn, record = _kept(here, user, session_id, turn_id, version_id)
    if not 1 <= number <= min(len(turn.slots), len(record.image_hashes)):
        raise HTTPException(404, "There is no such image in this answer.")
    made = _again(here, user, turn, number - 1)
    if made is None:
        raise HTTPException(404, "This image is no longer in the store.")
    size = _tile(record)
    out = io.BytesIO()
    Pillow.fromarray(tile(made.pixels, size) if size else made.pixels).save(out, "PNG", compress_level=1)
    return Response(out.getvalue(), media_type="image/png", headers={"cache-control": "private, no-cache", "vary": "cookie"})


def _kept(here: Context, user: User, session_id: int, turn_id: int, version_id: int) -> tuple[TurnView, AnswerRecord]:
    try:
        asked = asking.find(here, user, session_id, turn_id)
        if asked is not None and any(version.id == version_id for version in asked.turn.versions):
            return asked.turn, here.store.answer(version_id, user)
    except StoreError as error:
        raise HTTPException(404, "There is no such answer, or it is not yours.") from error
    raise HTTPException(404, "There is no such answer, or it is not yours.")


def _again(here: Context, user: User, turn: TurnView, number: int) -> Image | None:
    try:
        return requests.image(here.store, user, turn.slots[number], turn.marks_on(number))
    except (IntervalError, IndexError, ValueError):
        return None


def _place(here: Context, user: User, slot: Slot) -> str:
    try:
        study, series = here.store.series(slot.series_id, user)
    except StoreError:
        return "no longer in the store"
    window = window_of(slot.window)
    grey = f"window C {window.center:g} W {window.width:g}" if window else ""
    place = f"image {slot.frame + 1} of {len(series.frames)}"
    words = (study.patient_id, series.modality, series.description or series.view, place, grey)
    return " · ".join(word for word in words if word)


def _tile(record: AnswerRecord) -> int:
    """Side of the square the model was given, in pixels; 0 when the record does not say."""
    kept = record.options.get("tile")
    return kept if isinstance(kept, int) and 1 <= kept <= 4096 else 0
