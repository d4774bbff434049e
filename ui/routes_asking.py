"""Before a question is sent: questions that fit what hangs, the reader's own templates, and what the draft takes of the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import get_args

import numpy as np
from fastapi import APIRouter, HTTPException

from errors import EngineError, StoreError
from inference.budget import Budget, budget, reckoned
from inference.engine import Engine, Image, Mark, Options, Request, Turn
from inference.suggest import FINDINGS, TEMPLATES, Loaded, kind, offered, suggestions, unknown
from storage.views import Ability, Slot, TurnView, User
from ui import requests
from ui.context import Context, In, Reader
from ui.wire_asking import BudgetOut, DraftIn, FitIn, TemplatesIn, TemplatesOut

router = APIRouter(prefix="/api")
BLANK = np.zeros((1, 1, 3), np.uint8)


@router.post("/suggestions")
def suggest(body: FitIn, here: In, user: Reader) -> tuple[str, ...]:
    """Questions that fit what hangs: from the reader's own templates for the ability, else from the program's."""
    seen = [here.series(series_id, user)[1] for series_id in body.series_ids]
    found = dict.fromkeys(name for one in seen for name in FINDINGS.get(kind(one.modality, one.body_part, one.description), ()))
    loaded = Loaded(len(seen), body.relationship, tuple(found), body.marks)
    own = here.store.templates(user).get(body.ability, ())
    return suggestions(own or offered(body.ability, loaded), loaded)


@router.get("/templates")
def templates(here: In, user: Reader) -> dict[Ability, TemplatesOut]:
    """Every ability's templates as this reader has them."""
    own = here.store.templates(user)
    return {ability: TemplatesOut(texts=own.get(ability, TEMPLATES[ability]), own=ability in own) for ability in get_args(Ability)}


@router.put("/templates/{ability}")
def save_templates(ability: Ability, body: TemplatesIn, here: In, user: Reader) -> TemplatesOut:
    """Keep the reader's list for an ability; an empty one brings the program's own back."""
    for text in body.texts:
        if names := unknown(text):
            raise HTTPException(400, f"A template can name {{finding}}, {{mark}} and {{images}}; {{{names[0]}}} is none of them.")
    try:
        here.store.save_templates(user, ability, body.texts)
    except StoreError as error:
        raise HTTPException(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    return templates(here, user)[ability]


@router.post("/budget")
def reckon(body: DraftIn, here: In, user: Reader) -> BudgetOut:
    """What the draft would take of the model's context: counted by the engine when it is free, else reckoned; 503 without an engine."""
    glanced = here.engine.glance()
    if glanced is None:
        raise HTTPException(503, "The model is not there yet.")
    engine, free = glanced
    history, told = _earlier(here, user, body)
    request = Request(
        images=tuple(_image(here, user, body, number) for number in range(len(body.slots))),
        question=body.question or " ",
        ability=body.ability,
        relationship=body.relationship,
        history=history,
        options=Options(here.settings.max_answer_tokens),
        clinical=body.clinical.clinical().labelled,
    )
    return _out(_counted(here, engine, free, request), len(history), told)


def _counted(here: Context, engine: Engine, free: bool, request: Request) -> Budget:
    """One draft is counted at a time: many would hold every thread of the server while somebody's question is answered."""
    if not free or not here.counting.acquire(blocking=False):
        return reckoned(engine.card, request)
    try:
        return budget(engine, request)
    except EngineError:
        return reckoned(engine.card, request)
    finally:
        here.counting.release()


def _out(found: Budget, earlier: int, told: Sequence[str]) -> BudgetOut:
    return BudgetOut(**asdict(found), taken=found.taken, fits=found.fits, earlier_questions=earlier, left_out=" ".join(told))


def _earlier(here: Context, user: User, body: DraftIn) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """What would be remembered of the session, and what would not."""
    if body.session_id is None:
        return (), ()
    try:
        turns = here.store.session(body.session_id, user).turns
    except StoreError as error:
        raise HTTPException(404, "There is no such session, or it is not yours.") from error
    slots: tuple[Slot, ...] = tuple(slot.slot() for slot in body.slots)
    return requests.remembered(turns, TurnView(0, body.question, body.ability, body.relationship, datetime.now(UTC), slots))


def _image(here: Context, user: User, body: DraftIn, number: int) -> Image:
    """The image's words without its pixels, which no count needs."""
    slot = body.slots[number]
    frames = here.series(slot.series_id, user)[1].frames
    frame = frames[min(slot.frame, len(frames) - 1)]
    marks = tuple(
        Mark(one.label, one.kind, tuple((x / frame.columns, y / frame.rows) for x, y in one.points))
        for one in body.marks
        if one.image == number
    )
    return Image(BLANK, "", slot.role, slot.when, marks)
