"""Registration and matched levels: begin, watch, cancel, and look at what came of it like at any series.

POST /api/align {fixed, moving, kind}          -> a job
GET /api/align/{job}                           -> progress, numbers, and addresses when it is done
GET /api/align/{job}/registered/frames.json    -> a source for the viewer (also difference, checkerboard)
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import Response

from errors import StudyError
from storage.studies import linking, mixing, transport
from storage.views import User
from ui.aligning import Busy, Derived, End, Job
from ui.context import Context, In, Reader
from ui.rendering import encode
from ui.routes_frames import REDUCED, describe, frame_out, headers_of, packed
from ui.wire import DerivedOut, FramesOut, FrameUrlsOut, LegendOut, WindowOut
from ui.wire_align import AlignIn, AlignOut, EndIn, EndOut, LevelIn, LevelOut, MotionOut, PlanesOut, QualityOut, SourcesOut

router = APIRouter()

_WORDS: dict[Derived, str] = {
    "registered": "registered ({kind}), not the original",
    "difference": "current minus prior after registration ({kind}), display aid",
    "checkerboard": "squares of current and registered prior ({kind}), display aid",
}
_AS_STORED = WindowOut(name="as stored", center=127.5, width=255, function="LINEAR_EXACT")


@router.get("/api/planes")
def planes(here: In, user: Reader, a: int = Query(ge=1), b: int = Query(ge=1)) -> PlanesOut:
    """Whether the slices of two series can be scrolled together."""
    fit = linking.planes(here.series(a, user)[1], here.series(b, user)[1])
    return PlanesOut(compatible=fit.compatible, angle=fit.angle, same_frame_of_reference=fit.same_frame, reason=fit.reason)


@router.post("/api/level")
def level(body: LevelIn, here: In, user: Reader) -> LevelOut:
    """The slice of the other series that shows the same level, proposed with how sure that is."""
    first = _end(here, user, EndIn(series_id=body.series_id, frame=body.frame))
    second = _end(here, user, EndIn(series_id=body.other_series_id, frame=0))
    if unlike := _unlike(here, user, first, second):
        return LevelOut(frame=None, method="", confidence=0.0, sure="", reason=unlike, offset_mm=None)
    return LevelOut(**asdict(here.alignments.level(first, second)))


@router.post("/api/align")
def start(body: AlignIn, here: In, user: Reader) -> AlignOut:
    """Begin to lay `moving` over `fixed`; 409 when that would mean nothing, or when the two do not belong together and nobody said why."""
    fixed, moving = _end(here, user, body.fixed), _end(here, user, body.moving)
    if (fixed.series_id, fixed.frame) == (moving.series_id, moving.frame):
        raise HTTPException(409, "An image cannot be laid over itself; choose one of another date.")
    fit = linking.planes(fixed.series, moving.series)
    if linking.apart(fixed.series, moving.series):
        raise HTTPException(409, fit.reason.replace("they are not linked", "they are not registered"))
    if fit.angle is not None and fit.angle > linking.PARALLEL and (body.volume is False or min(_slices(fixed), _slices(moving)) < 4):
        raise HTTPException(409, fit.reason.replace("their slices are not linked", "the images are not registered"))
    if unlike := _unlike(here, user, fixed, moving):
        here.store.audit(user, "mismatch", "series", f"{fixed.series_id}:{moving.series_id}", "minor")
        raise HTTPException(409, unlike)
    try:
        return _out(here.alignments.start(user.id, fixed, moving, body.kind, body.volume))
    except Busy as error:
        raise HTTPException(429, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def job(job: str, here: In, user: Reader) -> Job:
    """A job of this reader; 404 otherwise."""
    found = here.alignments.get(job, user.id)
    if found is None:
        raise HTTPException(404, "There is no such registration, or it is not yours; start it again.")
    return found


Mine = Annotated[Job, Depends(job)]


@router.get("/api/align/{job}")
def watch(found: Mine) -> AlignOut:
    """How far it is, and what came of it."""
    return _out(found)


@router.delete("/api/align/{job}")
def cancel(found: Mine) -> AlignOut:
    """Stop it; within one step of its optimiser."""
    found.cancel.set()
    if not found.finished:
        found.stage = "cancelling"
    return _out(found)


@router.get("/api/align/{job}/{which}/frames.json")
def frames(which: Derived, found: Mine, here: In, user: Reader) -> FramesOut:
    """The registered prior, the difference or the checkerboard as the viewer opens a series: on the current's grid."""
    _done(found)
    base = describe(here, user, found.fixed.series_id)
    own = describe(here, user, found.moving.series_id) if which == "registered" else base
    form = transport.form(found.moving_frame)
    if which != "registered":
        form = transport.Form("uint8", 3 if which == "difference" else 1)
    listed = tuple(frame_out(n, found.fixed_frame(n), form, f"{found.id}-{which}-{n}") for n in range(found.frames))
    scale = found.scale
    legend = LegendOut(unit=scale.unit, low=-scale.limit, high=scale.limit) if scale is not None and which == "difference" else None
    return own.model_copy(
        update={
            "spacing_known": base.spacing_known,
            "color": form.channels == 3,
            "luts": own.luts if which == "registered" else {},
            "units": own.units if which == "registered" else "",
            "windows": own.windows if which == "registered" else () if which == "difference" else (_AS_STORED,),
            "urls": FrameUrlsOut(
                pixels=f"/pixels/align/{found.id}/{which}/{{n}}/values", reduced=f"/pixels/align/{found.id}/{which}/{{n}}/reduced.jpg"
            ),
            "frames": listed,
            "derived": DerivedOut(kind=which, job=found.id, words=_WORDS[which].format(kind=found.kind), legend=legend),
        }
    )


@router.get("/pixels/align/{job}/{which}/{frame}/values")
def values(request: Request, which: Derived, frame: int, found: Mine, here: In) -> Response:
    """One picture's values, as its frames.json says."""
    headers = _headers(request, found, which, frame)
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    array = _pixels(here, found, which, frame)[1]
    return packed(request, array.tobytes(), headers)


@router.get("/pixels/align/{job}/{which}/{frame}/reduced.jpg")
def reduced(request: Request, which: Derived, frame: int, found: Mine, here: In) -> Response:
    """One picture at most 512 pixels a side, in its first window."""
    headers = _headers(request, found, which, frame)
    form, array = _pixels(here, found, which, frame)
    if which == "registered" and form.channels == 1:
        array = transport.shown(form, array, transport.windows(found.moving.series)[0], transport.table(found.moving_frame))
    return Response(encode(array.astype("uint8"), REDUCED), media_type="image/jpeg", headers=headers)


def _slices(end: End) -> int:
    return len(end.series.frames)


def _end(here: Context, user: User, wanted: EndIn) -> End:
    study, series = here.series(wanted.series_id, user)
    if wanted.frame >= len(series.frames):
        raise HTTPException(400, f"Slice {wanted.frame + 1} was asked for; the series has {len(series.frames)}.")
    return End(wanted.series_id, wanted.frame, study, series)


def _unlike(here: Context, user: User, first: End, second: End) -> str:
    """Why two images are not laid over each other, '' when they may be: they are alike, or the audit has the reader's reason."""
    found = [one for one in mixing.notices([(end.study, end.series) for end in (second, first)]) if one.blocking]
    if not found:
        return ""
    wanted = {first.series_id, second.series_id}
    excused = {code for one in here.store.overrides(user) if wanted <= set(one.series) for code in one.codes}
    left = [one.text for one in found if one.code not in excused]
    remedy = "They are registered only after a reason was given in the warning; give it, or choose other images."
    return " ".join([*left, remedy]) if left else ""


def _done(found: Job) -> None:
    if found.state != "done":
        raise HTTPException(409, "The registration is not done; wait for it, or start it again.")


def _headers(request: Request, found: Job, which: Derived, frame: int) -> dict[str, str]:
    _done(found)
    if not 0 <= frame < found.frames:
        raise HTTPException(404, f"This registration has images 1 to {found.frames}.")
    return headers_of(f"{found.id}-{which}-{frame}-{request.url.path.rsplit('/', 1)[-1]}")


def _pixels(here: Context, found: Job, which: Derived, frame: int) -> tuple[transport.Form, transport.Values]:
    try:
        return here.alignments.pixels(found, which, frame)
    except StudyError as error:
        raise HTTPException(422, f"Image {frame + 1} {error.reason}.") from error


def _out(found: Job) -> AlignOut:
    done = found.found if found.state == "done" else None
    base = f"/api/align/{found.id}"
    return AlignOut(
        job=found.id,
        state=found.state,
        progress=round(found.progress, 3),
        stage=found.stage,
        kind=found.kind,
        dimensions=found.dimensions,
        fixed=EndOut(series_id=found.fixed.series_id, frame=found.fixed.frame),
        moving=EndOut(series_id=found.moving.series_id, frame=found.moving.frame),
        before=QualityOut(**asdict(done.before)) if done else None,
        after=QualityOut(**asdict(done.after)) if done else None,
        better=done.better if done else None,
        motion=_motion(found) if done else None,
        seconds=round(found.seconds, 2),
        error=found.error,
        sources=SourcesOut(**{which: f"{base}/{which}/frames.json" for which in _WORDS}) if done else None,
    )


def _motion(found: Job) -> MotionOut:
    """The shift in mm, or in pixels of the current where nothing is calibrated."""
    assert found.found is not None
    moved = found.found.motion
    frame = found.fixed_frame(0)
    known = found.grids is not None or found.calibrated
    shift = moved.shift if known else moved.shift * max(frame.rows, frame.columns) / 1000
    return MotionOut(shift=shift, unit="mm" if known else "px", rotation_degrees=moved.rotation_degrees, scale=moved.scale)
