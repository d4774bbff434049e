"""Teach: the case library, a blind read committed once, and only then what the model says and what is true. Anyone who reads may learn."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from errors import InputError, StoreHeld
from storage import teaching as kept
from storage.teaching import BlindRead
from storage.views import Slot, User
from ui import hanging, teaching
from ui.context import Context, In, Reader
from ui.teaching import TeachingCase
from ui.wire import HangingOut
from ui.wire_teach import CommitIn, LineOut, ModelIn, ModelReadOut, ReadOut, ReferenceOut, RevealIn, TeachCaseOut, TeachOut

router = APIRouter(prefix="/api/teach")


@router.get("")
def library(here: In, user: Reader) -> TeachOut:
    """Every case, and what this reader read."""
    found = teaching.cases(here, user)
    titles = {case.key: _title(case) for case in found}
    reads = here.store.blind_reads(user)
    done = {read.key for read in reads}
    return TeachOut(
        cases=tuple(_line(case, case.key in done) for case in found),
        reads=tuple(_read(read, titles.get(read.key, "A case that is no longer here")) for read in reads),
    )


@router.get("/cases/{key}")
def case(key: str, here: In, user: Reader) -> TeachCaseOut:
    """A case to read."""
    found = _case(here, user, key)
    hung, mine = _hung(here, user, found), _mine(here, user, key)
    return TeachCaseOut(
        key=key,
        title=_title(found),
        slots=hung.slots,
        relation=hung.relation,
        findings=found.findings,
        cells=dict(mine.cells) if mine else None,
        committed=mine.created if mine else None,
    )


@router.post("/cases/{key}/commit")
def commit(key: str, body: CommitIn, here: In, user: Reader) -> dict[str, int]:
    """Keep a reading for good; 409 when this reader committed one of the case before."""
    found = _case(here, user, key)
    return {"id": here.store.commit_blind(user, key, teaching.checked(found, body.cells), found.reference)}


@router.post("/cases/{key}/model")
def model(key: str, body: ModelIn, here: In, user: Reader) -> ModelReadOut:
    """What the model says of the case, with its prior or without; 409 before the reader committed."""
    found = _case(here, user, key)
    _committed(here, user, key)
    slots = []
    for shown, frame in zip(_hung(here, user, found).slots, body.frames, strict=True):
        if frame >= shown.series.frames:
            raise InputError(f"image {frame + 1} was asked for and the series has {shown.series.frames}; choose one of them")
        slots.append(Slot(shown.series.id, frame, shown.role, shown.when))
    said = teaching.model_read(here, user, found, tuple(slots), alone=body.alone)
    return ModelReadOut(
        progression={finding: dict(shares) for finding, shares in said.progression.items()},
        cells=dict(said.cells),
        claims=sum(name not in ("stable", kept.UNCERTAIN) for name in said.cells.values()),
        model=said.model,
        state=said.trust.state if said.trust else "",
        words=said.trust.words if said.trust else "",
        explanation=said.trust.explanation if said.trust else "",
    )


@router.post("/cases/{key}/reference")
def reference(key: str, body: RevealIn, here: In, user: Reader) -> ReferenceOut:
    """What is true of the case, and how the reading and the model's classes compare with it; 409 before the reader committed."""
    found = _case(here, user, key)
    mine = _committed(here, user, key)
    return ReferenceOut(
        reference=dict(mine.reference),
        absent=found.absent,
        title=found.title,
        lesson=found.lesson,
        yours=mine.score,
        model=kept.scored(body.model, mine.reference) if body.model else None,
    )


def _case(here: Context, user: User, key: str) -> TeachingCase:
    for found in teaching.cases(here, user):
        if found.key == key:
            return found
    raise HTTPException(404, "There is no such teaching case; choose one from the list.")


def _mine(here: Context, user: User, key: str) -> BlindRead | None:
    return next((read for read in here.store.blind_reads(user) if read.key == key), None)


def _committed(here: Context, user: User, key: str) -> BlindRead:
    mine = _mine(here, user, key)
    if mine is None:
        raise StoreHeld("model and reference are shown once you committed your own reading of the case; say a word of each finding first")
    return mine


def _hung(here: Context, user: User, found: TeachingCase) -> HangingOut:
    return hanging.hang(here, user, [study.id for study in found.studies])


def _title(found: TeachingCase) -> str:
    """A title that tells nothing of what happened."""
    description = found.studies[1].description.removeprefix("SYNTHETIC ") or ", ".join(found.studies[1].modalities)
    return f"Case {found.number}: {description}"


def _line(found: TeachingCase, read: bool) -> LineOut:
    first = found.studies[1].series[0]
    return LineOut(
        key=found.key,
        title=_title(found),
        modality=", ".join(found.studies[1].modalities),
        apart=found.apart,
        images=len(found.studies),
        series=first.id,
        frame=first.frames // 2,
        read=read,
    )


def _read(read: BlindRead, title: str) -> ReadOut:
    score = read.score
    return ReadOut(key=read.key, title=title, created=read.created, right=score.right, open=score.open, total=score.total)
