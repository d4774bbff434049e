"""Pixels of one frame, for whoever may see its series: `GET /pixels/{series}/{frame}.jpg?size=1024&window=40,400`."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from storage.studies import Window
from ui.context import In, Reader
from ui.rendering import step, tag, window_of

router = APIRouter()


@router.get("/pixels/{series_id}/{frame}.jpg")
def pixels(
    request: Request, series_id: int, frame: int, here: In, user: Reader, size: int = Query(1024, ge=1, le=8192), window: str = ""
) -> Response:
    """The frame through the display pipeline, at the next larger known size; 304 when the browser has it."""
    study_series = here.series(series_id, user)[1]
    if not 0 <= frame < len(study_series.frames):
        raise HTTPException(404, f"This series has images 1 to {len(study_series.frames)}.")
    chosen, wanted = study_series.frames[frame], _window(window)
    label = f'"{tag(chosen, wanted, step(size))}"'
    headers = {"etag": label, "cache-control": "private, no-cache", "vary": "cookie"}
    if label in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(here.renderer.jpeg(chosen, wanted, step(size)), media_type="image/jpeg", headers=headers)


def _window(text: str) -> Window | None:
    try:
        return window_of(text)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
