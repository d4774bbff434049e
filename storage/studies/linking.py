"""Where a slice of one series lies in another: planes, places in mm, and whether scrolling them together means anything.

    fit = planes(first, second)
    if fit.compatible and fit.same_frame:
        number = nearest(second, first.frames[12])      # by patient coordinates

Two examinations hardly ever share a frame of reference; then the reader, or a registration, declares one pair of slices to
match, and `linked` carries that over to every other slice in mm, whatever the thickness, direction and spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.studies import geometry
from storage.studies.mixing import part_of, same_part
from storage.studies.model import Frame, Series

Place = NDArray[np.float64]
"""A patient coordinate (x, y, z) in mm."""
PARALLEL = 25.0
"""Degrees between two planes up to which their slices are scrolled together."""
_EVEN = 0.1


@dataclass(frozen=True)
class Fit:
    """Whether two series can be scrolled together, the angle between their planes, and one sentence of reason."""

    compatible: bool
    angle: float | None
    same_frame: bool
    reason: str


@dataclass(frozen=True)
class Grid:
    """A stack of parallel, evenly spaced slices: (slices, rows, columns), spacing (x, y, z) and origin in mm (LPS).

    `direction` is row-major as ITK has it; z runs from the first frame to the last.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]


def planes(first: Series, second: Series) -> Fit:
    """Judge two series. Different body parts and crossing planes are refused; series without planes are radiographs."""
    same = bool(first.frames and second.frames) and _reference(first) == _reference(second) != ""
    if apart(first, second):
        parts = f"{part_of(first.body_part)} and {part_of(second.body_part)}"
        return Fit(False, None, same, f"They show different parts of the body ({parts}), so they are not linked.")
    angle = _angle(first, second)
    if angle is None:
        return Fit(False, None, same, "At least one of them states no planes, so slices cannot be matched in mm.")
    if angle > PARALLEL:
        return Fit(False, angle, same, f"Their planes differ by {angle:.0f} degrees, so their slices are not linked.")
    where = "in one frame of reference" if same else "in different frames of reference"
    return Fit(True, angle, same, f"Their planes are parallel within {angle:.0f} degrees, {where}.")


def apart(first: Series, second: Series) -> bool:
    """Whether both state a body part and neither covers the other."""
    left, right = part_of(first.body_part), part_of(second.body_part)
    return bool(left and right and not same_part(left, right))


def _reference(series: Series) -> str:
    return series.frames[0].frame_of_reference


def _angle(first: Series, second: Series) -> float | None:
    """Degrees between the planes, whichever way their normals point."""
    if not first.frames or not second.frames:
        return None
    left, right = first.frames[0], second.frames[0]
    if left.orientation is None or right.orientation is None or left.position is None or right.position is None:
        return None
    along = abs(float(np.dot(geometry.normal(left.orientation), geometry.normal(right.orientation))))
    return float(np.degrees(np.arccos(min(along, 1.0))))


def centre(frame: Frame) -> Place | None:
    """Patient coordinates of the middle of a frame in mm; None without geometry."""
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        return None
    across = np.asarray(frame.orientation[:3]) * frame.spacing[1] * (frame.columns - 1) / 2
    down = np.asarray(frame.orientation[3:]) * frame.spacing[0] * (frame.rows - 1) / 2
    return np.asarray(frame.position) + across + down


def nearest(series: Series, frame: Frame) -> tuple[int, float] | None:
    """The frame of `series` that lies nearest to the middle of `frame` in shared coordinates, and how far off in mm."""
    middle = centre(frame)
    return nearest_point(series, middle) if middle is not None else None


def nearest_point(series: Series, point: Sequence[float] | Place) -> tuple[int, float] | None:
    """The frame whose plane is nearest to a patient coordinate, and its distance in mm; None without geometry."""
    first = series.frames[0]
    if first.orientation is None or any(one.location is None or one.position is None for one in series.frames):
        return None
    at = float(np.dot(np.asarray(point), geometry.normal(first.orientation)))
    gaps = [abs((one.location or 0.0) - at) for one in series.frames]
    index = int(np.argmin(gaps))
    return index, gaps[index]


def linked(first: Series, second: Series, anchor: tuple[int, int], frame: int) -> tuple[int, float] | None:
    """Which slice of `second` belongs to `frame` of `first` when the two of `anchor` (first, second) match; and how far off in mm.

    The way along both normals is the same; normals that point opposite ways are turned. None for series that do not fit.
    """
    fit = planes(first, second)
    if not fit.compatible or any(one.location is None for one in (*first.frames, *second.frames)):
        return None
    left, right = first.frames[0].orientation, second.frames[0].orientation
    assert left is not None
    assert right is not None
    sense = 1.0 if float(np.dot(geometry.normal(left), geometry.normal(right))) >= 0 else -1.0
    moved = (first.frames[frame].location or 0.0) - (first.frames[anchor[0]].location or 0.0)
    wanted = (second.frames[anchor[1]].location or 0.0) + sense * moved
    gaps = [abs((one.location or 0.0) - wanted) for one in second.frames]
    index = int(np.argmin(gaps))
    return index, gaps[index]


def grid(series: Series) -> Grid | None:
    """The series as one volume; None when its slices are fewer than four, of different size, oblique to each other or uneven."""
    frames = series.frames
    first, last = frames[0], frames[-1]
    if len(frames) < 4 or first.orientation is None or first.spacing is None or first.position is None or last.position is None:
        return None
    if any((one.rows, one.columns, one.samples, one.spacing) != (first.rows, first.columns, 1, first.spacing) for one in frames):
        return None
    places = np.array([one.position if one.position is not None else (np.nan,) * 3 for one in frames])
    steps = np.diff(places, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    usual = float(np.median(lengths))
    if not np.isfinite(lengths).all() or usual < 0.05 or (np.abs(lengths - usual) > _EVEN * usual).any():
        return None
    along = (places[-1] - places[0]) / np.linalg.norm(places[-1] - places[0])
    if abs(float(np.dot(along, geometry.normal(first.orientation)))) < 0.95:
        return None
    axes = np.column_stack([first.orientation[:3], first.orientation[3:], _upright(along, first)])
    return Grid(
        (len(frames), first.rows, first.columns),
        (first.spacing[1], first.spacing[0], float(np.linalg.norm(places[-1] - places[0]) / (len(frames) - 1))),
        first.position,
        tuple(float(value) for value in axes.ravel()),
    )


def _upright(along: Place, frame: Frame) -> Place:
    """The normal of the plane, pointing the way the slices run."""
    assert frame.orientation is not None
    normal = np.asarray(geometry.normal(frame.orientation))
    return normal if float(np.dot(normal, along)) >= 0 else -normal
