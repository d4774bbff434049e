"""What a reader says of an answer, and who the reader is."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, HTTPException

from finetune import flags
from storage.feedback import CLASSES, CODES, OVERALL
from storage.roles import RIGHTS
from storage.schema import now
from storage.views import User
from ui.context import Context, In, Reader
from ui.wire_review import FeedbackIn, FlagOut, FormOut, MeOut, NameIn, SaidOut

router = APIRouter(prefix="/api")


@router.post("/feedback")
def feedback(body: FeedbackIn, here: In, user: Reader) -> SaidOut:
    """Keep what the reader says of an answer as a new row, which then stands in the reviewers' queue."""
    within_quota(here, user)
    added = here.store.add_feedback(body.version_id, user, body.said())
    return SaidOut(id=added, feedback=here.store.statement(added, user))


@router.get("/feedback/form")
def form(user: Reader) -> FormOut:
    """What the form offers."""
    return FormOut(codes=tuple(CODES.items()), classes=CLASSES, overall=OVERALL)


@router.get("/flags")
def flagged(here: In, user: Reader) -> tuple[FlagOut, ...]:
    """What the reader said of answers, newest first, how far reviewers came with it, and what candidates say to it now."""
    found = flags.fates(here.settings)
    return tuple(FlagOut(flag=one, fate=flags.of(found, one.statements)) for one in here.store.flags(user))


@router.get("/me")
def me(here: In, user: Reader) -> MeOut:
    """The reader with name, role and rights as they are now."""
    found = here.store.member(user)
    return MeOut(id=found.id, name=found.name, role=found.role, rights=RIGHTS[found.role])


@router.put("/me")
def call(body: NameIn, here: In, user: Reader) -> MeOut:
    """What the reader wants to be called."""
    here.store.call(user, body.name)
    return me(here, user)


def within_quota(here: Context, user: User) -> None:
    """429 for a reader who said more in a day than the site allows: nobody may flood what the model learns from."""
    most = here.settings.feedback_a_day
    if here.store.statements_since(user, now() - timedelta(days=1)) >= most:
        raise HTTPException(429, f"You have given {most} statements in 24 hours, the most this site allows (INTERVAL_FEEDBACK_A_DAY).")
