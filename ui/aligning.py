"""Registrations on their way: one at a time in a thread of its own, with progress, cancellable, each for the reader who asked.

What is kept of a finished one is its transform. Registered, difference and checkerboard pixels are made slice by slice when
they are looked at, so a job of two large volumes holds no volume.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from errors import Cancelled, IntervalError, StudyError
from inference import align, level, scene
from inference.align import AlignKind, Alignment
from storage import studies
from storage.studies import Series, Study, linking, transport, voi
from storage.studies.cache import Cache
from storage.studies.linking import Grid
from storage.studies.transport import Form

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "cancelled", "failed"]
Derived = Literal["registered", "difference", "checkerboard"]
Bytes8 = NDArray[np.uint8]

KEPT = 16
"""Jobs that are remembered; the oldest finished one goes."""
MOST_WAITING = 4
_COOL, _STILL, _WARM = (np.array(colour, dtype=np.float32) for colour in ((70, 160, 255), (28, 30, 34), (255, 150, 40)))


@dataclass(frozen=True)
class End:
    """One side of a registration."""

    series_id: int
    frame: int
    study: Study
    series: Series


@dataclass(frozen=True)
class Scale:
    """How a difference is shown: prior * gain + bias is held against the current, up to `limit` in `unit`."""

    gain: float
    bias: float
    limit: float
    unit: str


@dataclass
class Job:
    """One registration. Written by its thread, read by the routes; every field is replaced whole."""

    id: str
    user_id: int
    fixed: End
    moving: End
    kind: AlignKind
    grids: tuple[Grid, Grid] | None
    calibrated: bool
    state: State = "waiting"
    progress: float = 0.0
    stage: str = "waiting"
    error: str = ""
    seconds: float = 0.0
    found: Alignment | None = None
    scale: Scale | None = None
    cancel: Event = field(default_factory=Event)

    @property
    def dimensions(self) -> int:
        """2 for a pair of images, 3 for a pair of volumes."""
        return 3 if self.grids is not None else 2

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""
        return self.state in ("done", "cancelled", "failed")

    @property
    def frames(self) -> int:
        """How many frames its pictures have."""
        return len(self.fixed.series.frames) if self.grids is not None else 1

    def fixed_frame(self, number: int) -> studies.Frame:
        """The fixed frame under picture `number`."""
        return self.fixed.series.frames[number if self.grids is not None else self.fixed.frame]

    @property
    def moving_frame(self) -> studies.Frame:
        """The moving frame whose form its pixels keep: the first of a volume, else the one that is laid."""
        return self.moving.series.frames[self.moving.frame if self.grids is None else 0]


class Busy(IntervalError):
    """Too many registrations wait already."""


class Alignments:
    """All registrations of one served app; safe between threads."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._levels: Cache[Alignment] = Cache(limit=32)
        self._pixels: Cache[tuple[Form, NDArray[np.generic]]] = Cache(limit=96 << 20)
        self._lock, self._turn, self._matching = Lock(), Lock(), Lock()

    def start(self, user_id: int, fixed: End, moving: End, kind: AlignKind, volume: bool | None) -> Job:
        """Begin; returns at once. `volume` None registers volumes where both series are. Raises `Busy`."""
        grids = scene.grids(fixed.series, moving.series) if volume is not False else None
        frames = (fixed.series.frames[fixed.frame], moving.series.frames[moving.frame])
        job = Job(secrets.token_urlsafe(12), user_id, fixed, moving, kind, grids, all(frame.spacing is not None for frame in frames))
        with self._lock:
            if sum(not one.finished for one in self._jobs.values()) > MOST_WAITING:
                raise Busy("several registrations are waiting already; cancel one or wait until it is done")
            self._jobs[job.id] = job
            for old in [one.id for one in self._jobs.values() if one.finished][: max(0, len(self._jobs) - KEPT)]:
                del self._jobs[old]
        Thread(target=self._work, args=(job,), name=f"align-{job.id}", daemon=True).start()
        return job

    def get(self, job_id: str, user_id: int) -> Job | None:
        """A job of this user, or None."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job if job is not None and job.user_id == user_id else None

    def close(self) -> None:
        """Cancel everything."""
        with self._lock:
            for job in self._jobs.values():
                job.cancel.set()

    def level(self, first: End, second: End) -> level.Level:
        """The frame of `second` that shows the level of `first`; the registration behind it is remembered. Raises `StudyError`."""
        key = f"{first.series.uid}|{len(first.series.frames)}|{second.series.uid}|{len(second.series.frames)}"

        def aligned() -> Alignment:
            with self._matching:
                found = self._levels.get(key)
                if found is None:
                    found = level.coarse(first.series, second.series, Event())
                    self._levels.put(key, found, 1)
            return found

        return level.match(first.series, first.frame, second.series, aligned)

    def _work(self, job: Job) -> None:
        while not self._turn.acquire(timeout=0.1):
            if job.cancel.is_set():
                job.state = "cancelled"
                return
        started = time.monotonic()
        try:
            job.state = "running"
            job.found = _register(job)
            job.scale = _scale(job)
            job.progress, job.stage, job.state = 1.0, "done", "done"
        except Cancelled:
            job.state = "cancelled"
        except StudyError as error:
            job.error, job.state = f"An image of the pair {error.reason}.", "failed"
        except IntervalError as error:
            job.error, job.state = _sentence(str(error)), "failed"
        except Exception:
            log.exception("registration %s failed", job.id)
            job.error, job.state = (
                "The registration failed inside the server; the log has the cause, and the images are as they were.",
                "failed",
            )
        finally:
            job.seconds = time.monotonic() - started
            self._turn.release()

    def pixels(self, job: Job, which: Derived, number: int) -> tuple[Form, NDArray[np.generic]]:
        """Values of one picture of a finished job, remembered. Raises `StudyError`."""
        key = f"{job.id}|{which}|{number}"
        found = self._pixels.get(key)
        if found is None:
            makers: dict[Derived, Callable[[Job, int], tuple[Form, NDArray[np.generic]]]] = {
                "registered": registered, "difference": difference, "checkerboard": checkerboard,
            }  # fmt: skip
            found = makers[which](job, number)
            self._pixels.put(key, found, found[1].nbytes)
        return found


def _register(job: Job) -> Alignment:
    """The work itself, in the job's thread."""

    def tell(done: float, words: str) -> None:
        job.progress, job.stage = done, words

    if job.grids is None:
        fixed, moving = job.fixed_frame(0), job.moving.series.frames[job.moving.frame]
        still, other = (
            scene.picture(frame, calibrated=job.calibrated, kind=scene.kind_of(end.series))
            for frame, end in ((fixed, job.fixed), (moving, job.moving))
        )
        return align.register(still, other, job.kind, job.cancel, tell)
    first = scene.volume(job.fixed.series, job.grids[0], job.cancel, lambda done, words: tell(0.1 * done, words))
    second = scene.volume(job.moving.series, job.grids[1], job.cancel, lambda done, words: tell(0.1 + 0.1 * done, words))
    same = linking.planes(job.fixed.series, job.moving.series).same_frame
    return align.register(first, second, job.kind, job.cancel, lambda done, words: tell(0.2 + 0.8 * done, words), centred=not same)


def _laid(job: Job, number: int) -> tuple[Form, NDArray[np.float32]]:
    """The moving side's stored values on the fixed grid, NaN outside."""
    if job.found is None:
        raise IntervalError("the registration is not done; wait for it or start it again")
    transform = job.found.transform
    if job.grids is None:
        moving = job.moving.series.frames[job.moving.frame]
        return scene.laid_flat(moving, job.fixed_frame(0), transform, calibrated=job.calibrated)
    return scene.laid_slice(job.moving.series, job.grids[1], job.grids[0], number, transform)


def registered(job: Job, number: int) -> tuple[Form, NDArray[np.generic]]:
    """The prior laid over the current, in its own stored type; black where it has nothing."""
    form, laid = _laid(job, number)
    missing = ~np.isfinite(laid)
    dark = 0.0
    if form.channels == 1 and not missing.all():
        dark = float(np.nanmax(laid) if form.inverse == (form.slope > 0) else np.nanmin(laid))
    whole = np.where(missing, np.float32(dark), laid)
    if form.dtype == "float32":
        return form, np.ascontiguousarray(whole, dtype="<f4")
    limits = np.iinfo(form.dtype)
    little = np.dtype(form.dtype).newbyteorder("<")
    return form, np.ascontiguousarray(np.clip(np.rint(whole), limits.min, limits.max).astype(little))


def _bright(job: Job, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Brightness of the fixed frame and of the laid one, both (H, W), NaN where the latter has nothing."""
    form, laid = _laid(job, number)
    if form.channels == 3:
        prior = laid @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    else:
        prior = (laid * np.float32(form.slope) + np.float32(form.intercept)) * np.float32(-1 if form.inverse else 1)
    return scene.brightness(job.fixed_frame(number)), prior


def _scale(job: Job) -> Scale:
    """Hounsfield units are subtracted as they are; other brightness is first brought to the current's median and spread."""
    middle = job.frames // 2
    current, prior = _bright(job, middle)
    there = np.isfinite(prior)
    units = {end.series.frames[0].units for end in (job.fixed, job.moving)}
    gain, bias = 1.0, 0.0
    if units != {"HU"} and there.any():
        spread = [np.subtract(*np.percentile(part[there], (75, 25))) for part in (current, prior)]
        gain = float(spread[0] / spread[1]) if spread[1] > 1e-6 else 1.0
        bias = float(np.median(current[there]) - gain * np.median(prior[there]))
    apart = np.abs(current[there] - (prior[there] * gain + bias)) if there.any() else np.array([1.0])
    limit = float(np.percentile(apart, 99)) or 1.0
    size = 10 ** np.floor(np.log10(limit))
    return Scale(gain, bias, float(np.ceil(limit / size) * size), "HU" if units == {"HU"} else "grey levels")


def difference(job: Job, number: int) -> tuple[Form, NDArray[np.generic]]:
    """Current minus prior as colour, (H, W, 3) uint8: warm where the current is brighter, blue where it is darker, dark where equal."""
    if job.scale is None:
        raise IntervalError("the registration is not done; wait for it or start it again")
    current, prior = _bright(job, number)
    share = np.clip((current - (prior * job.scale.gain + job.scale.bias)) / job.scale.limit, -1, 1)
    share = np.nan_to_num(share, nan=0.0)[..., None].astype(np.float32)
    colours = _STILL + np.maximum(share, 0) * (_WARM - _STILL) + np.maximum(-share, 0) * (_COOL - _STILL)
    return Form("uint8", 3), np.ascontiguousarray(np.rint(colours).astype(np.uint8))


def checkerboard(job: Job, number: int) -> tuple[Form, NDArray[np.generic]]:
    """Squares of the current and of the prior laid over it, (H, W) uint8, eight to the shorter side."""
    fixed = job.fixed_frame(number)
    shown = studies.display(fixed, next(iter(transport.windows(job.fixed.series)), None))
    current = _grey(shown)
    form, laid = _laid(job, number)
    if form.channels == 3:
        prior = _grey(np.nan_to_num(laid, nan=0.0).astype(np.uint8))
    else:
        window = next(iter(transport.windows(job.moving.series)), studies.Window(127.5, 255.0, function="LINEAR_EXACT"))
        table = transport.table(job.moving_frame)
        bright = voi.bright((laid * form.slope + form.intercept).astype(np.float64), window, table)
        bright = np.where(np.isfinite(laid), 1 - bright if form.inverse else bright, 0.0)
        prior = np.rint(bright * 255).astype(np.uint8)
    tile = max(8, min(current.shape) // 8)
    rows, columns = np.indices(current.shape)
    odd = ((rows // tile) + (columns // tile)) % 2 == 1
    return Form("uint8"), np.ascontiguousarray(np.where(odd, prior, current).astype(np.uint8))


def _grey(shown: Bytes8) -> Bytes8:
    """(H, W) of displayed pixels, colour by its luma."""
    if shown.ndim == 2:
        return shown
    return np.rint(shown.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)).astype(np.uint8)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
