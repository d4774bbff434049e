"""What the viewer draws from: a series' geometry as JSON, a reduced picture, and each frame's own values.

    GET /api/series/12/frames.json
    GET /pixels/12/0/reduced.jpg     at most 512 pixels a side, first on the screen
    GET /pixels/12/0/values          little-endian numbers, read as frames.json says

A frame is decoded here once, under the reader's budgets; the browser never sees a file. Entity tags name the content.
"""

from __future__ import annotations

import gzip
import ipaddress

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from errors import StudyError
from storage.studies import Frame, Series, Study, Window, timeline, transport
from storage.studies.dicom import PROJECTION
from storage.studies.transport import Form
from storage.views import PatientSummary, User
from ui.context import Context, In, Reader
from ui.hanging import words_of
from ui.rendering import window_of
from ui.wire import FrameOut, FramesOut, FrameStudyOut, FrameUrlsOut, Kind, LutOut

router = APIRouter()

REDUCED = 512
"""Longest side of a reduced picture, in pixels."""
_AT_DETECTOR = "spacing is at the detector, not in the patient"
_WORTH = 0.9
_LARGE = 1 << 16


@router.get("/api/series/{series_id}/frames.json")
def frames(series_id: int, here: In, user: Reader) -> FramesOut:
    """Everything the viewer needs to draw and measure a series, without its pixels."""
    return describe(here, user, series_id)


def describe(here: Context, user: User, series_id: int) -> FramesOut:
    """A series as the viewer opens it: opens its headers and decodes one frame. 404 when it is not the user's."""
    study, series = here.series(series_id, user)
    first = series.frames[0]
    listed = tuple(_frame(number, frame) for number, frame in enumerate(series.frames))
    try:
        windows = transport.windows(series)
        luts = {lut.key: lut for frame, out in zip(series.frames, listed, strict=True) if out.lut and (lut := transport.table(frame))}
    except StudyError:
        windows, luts = (), {}
    return FramesOut(
        **words_of(study, series, windows),
        series_id=series_id,
        uid=series.uid,
        units=first.units,
        kind=kind(series),
        color=any(frame.channels == 3 for frame in listed),
        spacing_known=all(frame.spacing is not None for frame in series.frames),
        spacing_note=_AT_DETECTOR if _AT_DETECTOR in first.warnings else "",
        luts={key: LutOut(first=lut.first, top=max(lut.top, 1.0), entries=tuple(lut.entries.tolist())) for key, lut in luts.items()},
        study=_study(here.store.patient_of(series_id, user), series_id, study, named=here.settings.keep_identity),
        urls=FrameUrlsOut(pixels=f"/pixels/{series_id}/{{n}}/values", reduced=f"/pixels/{series_id}/{{n}}/reduced.jpg"),
        frames=listed,
    )


@router.get("/pixels/{series_id}/{frame}/values")
def values(request: Request, series_id: int, frame: int, here: In, user: Reader) -> Response:
    """The frame's values in the type frames.json names; 304 when the browser has them."""
    series, chosen = _chosen(here, here.series(series_id, user)[1], frame)
    headers = headers_of(transport.tag(chosen, "values"))
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        array = transport.values(chosen)[1]
    except StudyError as error:
        raise _unreadable(series, frame, error) from error
    return packed(request, array.tobytes(), headers)


def packed(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """Numbers as they are, or packed where that saves the browser time."""
    smaller = gzip.compress(body, 1) if len(body) >= _LARGE and _distant(request) else body
    if len(smaller) < _WORTH * len(body):
        headers = headers | {"content-encoding": "gzip"}
        body = smaller
    return Response(body, media_type="application/octet-stream", headers=headers)


@router.get("/pixels/{series_id}/{frame}/reduced.jpg")
def reduced(request: Request, series_id: int, frame: int, here: In, user: Reader, window: str = "") -> Response:
    """The frame at most 512 pixels a side through the display pipeline, in the series' first window unless one is given."""
    series, chosen = _chosen(here, here.series(series_id, user)[1], frame)
    grey = window_in(window)
    headers = headers_of(transport.tag(chosen, f"reduced|{window}"))
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        return Response(here.renderer.jpeg(chosen, grey, REDUCED), media_type="image/jpeg", headers=headers)
    except StudyError as error:
        raise _unreadable(series, frame, error) from error


def kind(series: Series) -> Kind:
    """Which table of window presets fits."""
    if series.modality in ("CT", "MR", "MG"):
        return series.modality  # type: ignore[return-value]
    return "XR" if series.modality in PROJECTION else "other"


def _frame(number: int, frame: Frame) -> FrameOut:
    found, error = transport.readable(frame)
    return frame_out(number, frame, found, transport.tag(frame), f"Image {number + 1} {error}." if error else "")


def frame_out(number: int, frame: Frame, found: Form, key: str, error: str = "") -> FrameOut:
    """Geometry of a frame with the form of its values."""
    return FrameOut(
        n=number,
        key=key,
        rows=frame.rows,
        columns=frame.columns,
        spacing=frame.spacing,
        position=frame.position,
        orientation=frame.orientation,
        location=frame.location,
        frame_of_reference=frame.frame_of_reference,
        dtype=found.dtype,
        channels=found.channels,
        slope=found.slope,
        intercept=found.intercept,
        inverse=found.inverse,
        lut=found.lut,
        error=error,
    )


def _study(patient: PatientSummary, series_id: int, study: Study, *, named: bool) -> FrameStudyOut:
    at = next(index for index, one in enumerate(patient.studies) if any(series.id == series_id for series in one.series))
    point = timeline.points([one.acquired for one in patient.studies])[at]
    return FrameStudyOut(
        id=patient.studies[at].id,
        uid=study.uid,
        date=study.acquired,
        description=study.description,
        pseudonym=patient.pseudonym,
        name=study.patient_name if named else "",
        patient_id=patient.id,
        relative=point.words,
        ordinal=point.ordinal,
        of=point.of,
    )


def _chosen(here: Context, series: Series, number: int) -> tuple[Series, Frame]:
    if not 0 <= number < len(series.frames):
        raise HTTPException(404, f"This series has images 1 to {len(series.frames)}.")
    return series, series.frames[number]


def headers_of(tag: str) -> dict[str, str]:
    """Headers of pixels: kept by the browser, asked for again by their entity tag."""
    return {"etag": f'"{tag}"', "cache-control": "private, no-cache", "vary": "cookie, accept-encoding"}


def window_in(text: str) -> Window | None:
    """A window as it comes in an address; 400 for one that cannot be."""
    try:
        return window_of(text)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


def _unreadable(series: Series, number: int, error: StudyError) -> HTTPException:
    name = series.description or series.modality
    return HTTPException(422, f"Image {number + 1} of {name} {error.reason}.")


def _distant(request: Request) -> bool:
    """Whether the browser is on another machine and takes gzip: over loopback packing costs more than it saves."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return False
    host = request.client.host if request.client else ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    return not near or "x-forwarded-for" in request.headers
