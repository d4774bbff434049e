"""Where a frame lies in the patient: planes, normals, order along a series, missing slices. Coordinates are LPS in mm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.studies.model import Frame, Plane

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]


def orientation_of(values: Sequence[float]) -> Orientation | None:
    """Six direction cosines, or None unless both are unit vectors at a right angle (tolerance 0.01)."""
    if len(values) != 6:
        return None
    row, column = np.asarray(values[:3]), np.asarray(values[3:])
    if abs(np.linalg.norm(row) - 1) > 0.01 or abs(np.linalg.norm(column) - 1) > 0.01 or abs(float(row @ column)) > 0.01:
        return None
    return tuple(float(value) for value in values)  # type: ignore[return-value]


def vector_of(values: Sequence[float]) -> Vector | None:
    """A patient coordinate in mm, or None."""
    return tuple(float(value) for value in values) if len(values) == 3 else None  # type: ignore[return-value]


def normal(orientation: Orientation) -> Vector:
    """Unit normal of the image plane (row x column, PS3.3 C.7.6.2)."""
    cross = np.cross(orientation[:3], orientation[3:])
    return float(cross[0]), float(cross[1]), float(cross[2])


def location(position: Vector | None, orientation: Orientation | None) -> float | None:
    """Distance of the plane from the origin along its normal, in mm."""
    if position is None or orientation is None:
        return None
    return round(float(np.dot(position, normal(orientation))), 4)


def plane(orientation: Orientation | None) -> Plane:
    """Axial, coronal or sagittal when the normal is within 25 degrees of that axis, else oblique."""
    if orientation is None:
        return ""
    axis = np.abs(normal(orientation))
    strongest = int(np.argmax(axis))
    if axis[strongest] < 0.9063:
        return "oblique"
    names: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")
    return names[strongest]


def gaps(frames: Sequence[Frame]) -> int:
    """How many slices seem to be missing between frames sorted by location."""
    places = [frame.location for frame in frames if frame.location is not None]
    if len(places) < 4 or len(places) != len(frames):
        return 0
    steps = np.diff(places)
    usual = float(np.median(steps))
    if usual <= 0.01:
        return 0
    wide = steps[steps > 1.5 * usual]
    return int(np.sum(np.round(wide / usual) - 1))
