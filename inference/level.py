"""The slice of the other date that shows the same level: shared coordinates, else registration, else relative position; and how sure.

A proposal, never a link: the reader accepts it. Crossing planes and different parts of the body are refused with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Literal

import numpy as np

from inference import align, scene
from inference.align import Alignment
from storage.studies import geometry, linking
from storage.studies.model import Series

Method = Literal["patient coordinates", "registration", "relative position", ""]
Sure = Literal["high", "moderate", "low", ""]

VOXELS = 250_000
"""Size of the volumes a level is matched on: about 4 mm a voxel in a chest, a few seconds of one core."""
_FAR = 20.0


@dataclass(frozen=True)
class Level:
    """The proposed frame (None: refused), how it was found, how sure (0..1 and a word), one sentence, and the distance left in mm."""

    frame: int | None
    method: Method
    confidence: float
    sure: Sure
    reason: str
    offset_mm: float | None = None


Aligned = Callable[[], Alignment]


def match(first: Series, frame: int, second: Series, aligned: Aligned | None = None) -> Level:
    """The frame of `second` that shows what `frame` of `first` shows.

    `aligned` gives the registration of both volumes when there is none in shared coordinates (see `coarse`); it is called
    only then, and may raise `StudyError` or `Cancelled`.
    """
    fit = linking.planes(first, second)
    if not fit.compatible:
        return Level(None, "", 0.0, "", fit.reason)
    if fit.same_frame and (near := linking.nearest(second, first.frames[frame])) is not None and near[1] <= _FAR:
        return _found(near, "patient coordinates", 0.95, "Both series share one frame of reference")
    if scene.grids(first, second) is not None and aligned is not None:
        return _registered(first, frame, second, aligned())
    if len(first.frames) > 1 and len(second.frames) > 1:
        return _relative(first, frame, second)
    return Level(
        0 if len(second.frames) == 1 else None, "", 0.1, "low", "One of the series is a single slice, so its level cannot be checked."
    )


def coarse(first: Series, second: Series, cancel: Event) -> Alignment:
    """A quick rigid registration of two series that are volumes. Raises `StudyError`, `Cancelled`; `ValueError` when they are none."""
    found = scene.grids(first, second)
    if found is None:
        raise ValueError("the series are not volumes")

    def quiet(done: float, words: str) -> None:
        """Nobody watches a match; it takes a moment."""

    still = scene.volume(first, found[0], cancel, quiet, VOXELS)
    other = scene.volume(second, found[1], cancel, quiet, VOXELS)
    return align.register(still, other, "rigid", cancel, centred=not linking.planes(first, second).same_frame)


def _registered(first: Series, frame: int, second: Series, found: Alignment) -> Level:
    middle = linking.centre(first.frames[frame])
    near = None
    if middle is not None:
        near = linking.nearest_point(second, np.asarray(found.transform.TransformPoint(middle.tolist())))
    if near is None:
        return _relative(first, frame, second)
    agreement = max(0.0, min(1.0, (found.after.correlation - 0.3) / 0.6)) * min(1.0, found.after.overlap / 0.5)
    if near[1] > _FAR:
        return Level(near[0], "registration", 0.1, "low", f"The level lies {near[1]:.0f} mm beyond the other series.", near[1])
    return _found(near, "registration", agreement, f"Rigid registration (correlation {found.after.correlation:.2f})")


def _relative(first: Series, frame: int, second: Series) -> Level:
    """The same share of the way through the stack, along the same direction of the patient."""
    share = frame / (len(first.frames) - 1)
    left, right = first.frames[0].orientation, second.frames[0].orientation
    if left and right and float(np.dot(geometry.normal(left), geometry.normal(right))) < 0:
        share = 1 - share
    return Level(
        round(share * (len(second.frames) - 1)), "relative position", 0.3, "low", "Only the position within each series could be compared."
    )


def _found(near: tuple[int, float], method: Method, confidence: float, words: str) -> Level:
    sure: Sure = "high" if confidence >= 0.75 else "moderate" if confidence >= 0.45 else "low"
    return Level(near[0], method, round(confidence, 2), sure, f"{words}; {near[1]:.1f} mm off.", near[1])
