"""What is there to read: the page's start, studies, and how chosen series hang and relate."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from inference.answer import MAX_QUESTION
from storage.hanging import arrange
from ui import hanging
from ui.context import In, Reader
from ui.engine_room import EngineStatus
from ui.wire import HangIn, HangingOut, LibraryOut, LimitsOut, NoticeIn, RelateIn, RelationOut, SeriesOut, StartOut, TimelineOut

router = APIRouter(prefix="/api")


@router.get("/start")
def start(here: In, user: Reader) -> StartOut:
    """Everything the page needs at its start."""
    limits = LimitsOut(max_images=here.settings.max_images, max_upload_mb=here.settings.max_upload_mb, max_question=MAX_QUESTION)
    return StartOut(engine=here.engine.status(), limits=limits, library=library(here, user), sessions=here.store.sessions(user))


@router.get("/engine")
def engine(here: In, user: Reader) -> EngineStatus:
    """The engine's state."""
    return here.engine.status()


@router.post("/engine/open")
def open_engine(here: In, user: Reader) -> EngineStatus:
    """Try again to open an engine that was missing or failed."""
    here.engine.start()
    return here.engine.status()


@router.get("/library")
def library(here: In, user: Reader) -> LibraryOut:
    """Patients and studies this reader may see, and which of them are demo cases."""
    return LibraryOut(patients=here.store.patients(user), cases=here.cases, preparing=not here.ready.is_set())


@router.get("/series/{series_id}")
def series(series_id: int, here: In, user: Reader) -> SeriesOut:
    """One series."""
    return hanging.series_out(series_id, here.series(series_id, user))


@router.post("/hang")
def hang(body: HangIn, here: In, user: Reader) -> HangingOut:
    """Choose and order the series of some studies."""
    return hanging.hang(here, user, body.study_ids)


@router.get("/patients/{patient_id}/hanging")
def open_patient(patient_id: int, here: In, user: Reader, current: int | None = None) -> HangingOut:
    """A patient as it opens: newest study, or `current`, with the most relevant prior, the rule and the reason."""
    patient = here.patient(patient_id, user)
    if current is not None and current not in {study.id for study in patient.studies}:
        raise HTTPException(404, "There is no such study of this patient.")
    return hanging.open_patient(here, user, patient, current)


@router.get("/patients/{patient_id}/timeline")
def timeline(patient_id: int, here: In, user: Reader) -> TimelineOut:
    """Every study of a patient at its true distance in time."""
    patient = here.patient(patient_id, user)
    return hanging.timeline_of(patient, arrange(patient, here.rules).current)


@router.post("/relate")
def relate(body: RelateIn, here: In, user: Reader) -> RelationOut:
    """How series relate in the order shown."""
    return hanging.relation([here.series(series_id, user) for series_id in body.series_ids], body.relationship)


@router.post("/notice")
def notice(body: NoticeIn, here: In, user: Reader) -> dict[str, bool]:
    """Keep in the audit that the reader has read the research-use notice."""
    here.store.audit(user, body.action, "notice", "research-use")
    return {"kept": True}
