"""Many pairs in the background: of the library, or of a pair file with its images; watched, stopped (`/api/runs/ID/stop`), as CSV."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from inference.prompts import FINDINGS
from inference.report import clear
from storage.views import User
from ui import batching
from ui.batching import Batch, Batches, Row
from ui.context import Context, In, Reader
from ui.routes_upload import received
from ui.wire_batch import BatchIn, BatchOut, BatchRowOut

router = APIRouter(prefix="/api/batch")


def batches(request: Request) -> Batches:
    """The app's batches."""
    found: Batches = request.app.state.batches
    return found


All = Annotated[Batches, Depends(batches)]


@router.post("/library")
def library(body: BatchIn, here: In, user: Reader, known: All) -> BatchOut:
    """Read pairs of the reader's studies."""
    wanted = set(body.patients)
    patients = [patient for patient in here.store.patients(user) if not wanted or patient.id in wanted]
    rows, read = batching.of_library(here, user, patients, every=body.every)
    return _out(known.start(here, user, rows, read))


@router.post("/files")
async def files(request: Request, here: In, user: Reader, known: All) -> BatchOut:
    """Read the pairs of an uploaded pair file (`pairs.csv`) whose images were uploaded with it (`images/...`); nothing is imported."""
    inbox = await received(request, here)
    return await anyio.to_thread.run_sync(_begin, here, user, known, inbox.folder)


def _begin(here: Context, user: User, known: Batches, folder: Path) -> BatchOut:
    try:
        rows, read = batching.of_files(here, folder)
        return _out(known.start(here, user, rows, read, folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@router.get("")
def newest(user: Reader, known: All, after: int = 0) -> BatchOut | None:
    """The reader's last batch, its rows from `after` on; null when there is none."""
    found = known.newest(user)
    return None if found is None else _out(found, max(0, after))


@router.get("/{batch}.csv")
def table(batch: str, here: In, user: Reader, known: All) -> Response:
    """What was read, as a file for a spreadsheet."""
    found = known.newest(user)
    if found is None or found.id != batch:
        raise HTTPException(404, "There is no such batch, or it is not yours; start it again.")
    here.store.audit(user, "export", "batch", found.id)
    headers = {"content-disposition": 'attachment; filename="interval-pairs.csv"', "cache-control": "no-store"}
    return Response(batching.table(found).encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


def _out(batch: Batch, first: int = 0) -> BatchOut:
    rows = list(batch.rows)
    return BatchOut(
        id=batch.id,
        state=batch.state,
        stage=batch.stage,
        error=batch.error,
        total=len(rows),
        done=batch.done,
        failed=sum(row.state == "failed" for row in rows),
        seconds=round(batch.seconds, 1),
        model=batch.model,
        first=first,
        findings=FINDINGS,
        rows=tuple(_row(row) for row in rows[first:]),
    )


def _row(row: Row) -> BatchRowOut:
    found = row.found
    progression, overall = (found.progression, found.overall) if found else ({}, {})
    return BatchRowOut(
        number=row.number,
        prior=row.prior,
        current=row.current,
        patient=row.patient,
        patient_id=row.patient_id,
        studies=row.studies,
        state=row.state,
        progression=progression,
        overall=overall,
        clear={"overall": clear(overall), **{finding: clear(shares) for finding, shares in progression.items()}},
        warnings=found.warnings if found else (),
        error=row.error,
        seconds=round(row.seconds, 2),
    )
