"""The draft report of a case: read, changed, and exported as text, PDF or DICOM structured report.

GET  /api/sessions/7/report          as saved, else drafted now
POST /api/sessions/7/report          keep the reader's words
GET  /api/sessions/7/report.pdf      also .txt and .dcm

`?at_least=80` leaves out of the draft what is right in fewer than 80 of 100 such answers, where that is known.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from starlette.responses import Response

from errors import InputError, StoreError, StudyError
from inference.report import Words, as_text
from storage.reports import ReportText
from storage.views import User
from ui import reporting
from ui.context import Context, In, Reader
from ui.reporting import Gathered
from ui.wire_report import ReportIn, ReportOut, WordsOut

router = APIRouter(prefix="/api/sessions/{session_id}")

AtLeast = Annotated[int, Query(ge=0, le=99)]
TYPES = {"txt": "text/plain; charset=utf-8", "pdf": "application/pdf", "dcm": "application/dicom"}


@router.get("/report")
def report(session_id: int, here: In, user: Reader, at_least: AtLeast = 0) -> ReportOut:
    """The report as it was saved, else as it is drafted now."""
    return _out(_found(here, user, session_id, at_least))


@router.post("/report")
def save(session_id: int, body: ReportIn, here: In, user: Reader, at_least: AtLeast = 0) -> ReportOut:
    """Keep the reader's words; every saving stays."""
    _found(here, user, session_id, at_least)
    here.store.save_report(session_id, user, ReportText(body.findings, body.comparison, body.impression))
    return _out(_found(here, user, session_id, at_least))


@router.get("/report.{kind}")
def export(session_id: int, kind: Literal["txt", "pdf", "dcm"], here: In, user: Reader, at_least: AtLeast = 0) -> Response:
    """The report as a file, marked as a machine draft, with the provenance of every answer behind it."""
    found = _found(here, user, session_id, at_least)
    try:
        body = _file(here, user, found, kind)
    except InputError as error:
        raise HTTPException(409, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    here.store.audit(user, "export", "session", f"{session_id}:report.{kind}")
    name = f"interval-report-{session_id}.{kind}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(body, media_type=TYPES[kind], headers=headers)


def _file(here: Context, user: User, found: Gathered, kind: str) -> bytes:
    if kind == "txt":
        return as_text(found.document).encode()
    if kind == "pdf":
        from ui.report_pdf import pdf  # the two libraries take half a second, which a start need not wait for

        return pdf(found.document, reporting.pictures(here, user, found))
    if why := reporting.refusal(found):
        raise InputError(why)
    from ui.report_sr import structured

    return structured(found.document, [frame for frame in found.frames if frame is not None], found.current)


def _found(here: Context, user: User, session_id: int, at_least: int) -> Gathered:
    try:
        return reporting.gathered(here, user, here.store.session(session_id, user), at_least)
    except StoreError as error:
        raise HTTPException(404, "There is no such session, or it is not yours.") from error
    except StudyError as error:
        raise HTTPException(422, f"An image of this case cannot be read: {error}.") from error


def _out(found: Gathered) -> ReportOut:
    document = found.document
    return ReportOut(
        words=_words(document.words),
        draft=_words(found.draft),
        edited=document.edited,
        saved=found.saved.created if found.saved else None,
        mark=document.mark,
        patient=document.patient,
        answers=len(document.sources),
        models=tuple(dict.fromkeys(source.model for source in document.sources)),
        cautions=document.cautions,
        refusal=reporting.refusal(found),
    )


def _words(words: Words) -> WordsOut:
    return WordsOut(findings=words.findings, comparison=words.comparison, impression=words.impression)
