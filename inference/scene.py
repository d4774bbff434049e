"""From series to pictures that can be registered, and back: brightness of a frame or a volume, and a slice laid on another's grid.

A large volume is never held whole: for registration it is read reduced, and a registered slice reads only those slices of the
other series that it cuts.
"""

from __future__ import annotations

from threading import Event

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documents use
from numpy.typing import NDArray

from errors import Cancelled, StudyUnsupported
from inference.align import MOST_VOXELS, Array, Picture, Progress, flat
from storage.studies import linking, transport
from storage.studies.dicom import PROJECTION
from storage.studies.linking import Grid
from storage.studies.model import Frame, Series
from storage.studies.transport import Form

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def brightness(frame: Frame) -> Array:
    """(H, W) float32: units of the modality, larger is brighter on the screen; colour by its luma. Raises `StudyError`."""
    form, values = transport.values(frame)
    if form.channels == 3:
        return values.astype(np.float32) @ _LUMA
    units = values.astype(np.float32) * np.float32(form.slope) + np.float32(form.intercept)
    return -units if form.inverse else units


def picture(frame: Frame, *, calibrated: bool, kind: str = "") -> Picture:
    """One frame as a 2-D picture, its middle at the origin; in mm when `calibrated`, else as wide as a thousand units."""
    values = brightness(frame)
    if calibrated and frame.spacing is not None:
        return flat(values, frame.spacing, kind)
    pitch = 1000.0 / max(frame.rows, frame.columns)
    return flat(values, (pitch, pitch), kind)


def kind_of(series: Series) -> str:
    """What two series must share to be compared by correlation: units that mean the same."""
    return "radiograph" if series.modality in PROJECTION else series.modality


def volume(series: Series, grid: Grid, cancel: Event, progress: Progress, most: int = MOST_VOXELS) -> Picture:
    """The series as a 3-D picture of about `most` voxels: every n-th pixel averaged, slices left out when there are many.

    Raises `StudyError` for an unreadable slice, `Cancelled`.
    """
    slices, rows, columns = grid.shape
    factor = 1
    while (rows // factor) * (columns // factor) * slices > most and min(rows, columns) // factor > 96:
        factor += 1
    skip = max(1, int(np.ceil((rows // factor) * (columns // factor) * slices / most)))
    chosen = range(0, slices, skip)
    high, wide = rows // factor, columns // factor
    values = np.empty((len(chosen), high, wide), dtype=np.float32)
    for place, number in enumerate(chosen):
        if cancel.is_set():
            raise Cancelled("the registration was cancelled; the images are as they were")
        whole = brightness(series.frames[number])[: high * factor, : wide * factor]
        values[place] = whole.reshape(high, factor, wide, factor).mean(axis=(1, 3))
        progress(place / len(chosen), "reading slices")
    axes = np.asarray(grid.direction).reshape(3, 3)
    inward = (factor - 1) / 2
    origin = np.asarray(grid.origin) + axes[:, 0] * grid.spacing[0] * inward + axes[:, 1] * grid.spacing[1] * inward
    spacing = (grid.spacing[0] * factor, grid.spacing[1] * factor, grid.spacing[2] * skip)
    return Picture(values, spacing, tuple(origin.tolist()), grid.direction, kind_of(series))


def _image(values: NDArray[np.generic], spacing: tuple[float, ...], origin: tuple[float, ...], direction: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(values, dtype=np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def laid_flat(moving: Frame, fixed: Frame, transform: sitk.Transform, *, calibrated: bool) -> tuple[Form, NDArray[np.float32]]:
    """`moving`'s stored values on the grid of `fixed` (H, W[, 3]); NaN where it has none. Raises `StudyError`."""
    form, values = transport.values(moving)
    planes = [values] if form.channels == 1 else [values[..., channel] for channel in range(3)]
    grid = picture_grid(fixed, calibrated=calibrated)
    source = picture_grid(moving, calibrated=calibrated)
    laid = []
    for plane in planes:
        image = _image(plane, source.GetSpacing(), source.GetOrigin(), source.GetDirection())
        laid.append(sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, float("nan"), sitk.sitkFloat32)))
    return form, laid[0] if form.channels == 1 else np.stack(laid, axis=-1)


def picture_grid(frame: Frame, *, calibrated: bool) -> sitk.Image:
    """The grid `picture` puts a frame on, without values."""
    pitch = 1000.0 / max(frame.rows, frame.columns)
    down, across = frame.spacing if calibrated and frame.spacing is not None else (pitch, pitch)
    image = sitk.Image(frame.columns, frame.rows, sitk.sitkUInt8)
    image.SetSpacing((across, down))
    image.SetOrigin((-across * (frame.columns - 1) / 2, -down * (frame.rows - 1) / 2))
    return image


def laid_slice(moving: Series, source: Grid, fixed: Grid, number: int, transform: sitk.Transform) -> tuple[Form, NDArray[np.float32]]:
    """Values of `moving`, stored as its first slice is, on slice `number` of the fixed grid (H, W); NaN where it has none.

    Reads only the slices of `moving` that the plane cuts. Raises `StudyError`.
    """
    _, rows, columns = fixed.shape
    axes = np.asarray(fixed.direction).reshape(3, 3)
    corner = np.asarray(fixed.origin) + axes[:, 2] * fixed.spacing[2] * number
    plane = sitk.Image(columns, rows, 1, sitk.sitkUInt8)
    plane.SetSpacing(fixed.spacing)
    plane.SetOrigin(corner.tolist())
    plane.SetDirection(fixed.direction)
    low, high = _cut(plane, source, transform)
    form = transport.form(moving.frames[0])
    if low > high:
        return form, np.full((rows, columns), np.nan, dtype=np.float32)
    parts = [_as_first(moving.frames[index], form) for index in range(low, high + 1)]
    if any(part.shape != parts[0].shape for part in parts):
        raise StudyUnsupported("has slices of different sizes, which cannot be laid over another series")
    origin = np.asarray(source.origin) + np.asarray(source.direction).reshape(3, 3)[:, 2] * source.spacing[2] * low
    image = _image(np.stack(parts), source.spacing, tuple(origin.tolist()), source.direction)
    laid = sitk.GetArrayFromImage(sitk.Resample(image, plane, transform, sitk.sitkLinear, float("nan"), sitk.sitkFloat32))
    return form, laid[0]


def _as_first(frame: Frame, form: Form) -> NDArray[np.float32]:
    """A slice's values as they would be stored with the rescale of `form`."""
    own, values = transport.values(frame)
    units = values.astype(np.float32) * np.float32(own.slope) + np.float32(own.intercept)
    return np.asarray((units - np.float32(form.intercept)) / np.float32(form.slope), dtype=np.float32)


def _cut(plane: sitk.Image, source: Grid, transform: sitk.Transform) -> tuple[int, int]:
    """First and last slice of `source` that the transformed plane passes through; last before first when it passes none."""
    axes, origin = np.asarray(source.direction).reshape(3, 3), np.asarray(source.origin)
    columns, rows, _ = plane.GetSize()
    depths = []
    for column in np.linspace(0, columns - 1, 9):
        for row in np.linspace(0, rows - 1, 9):
            there = transform.TransformPoint(plane.TransformContinuousIndexToPhysicalPoint((float(column), float(row), 0.0)))
            depths.append(float(np.dot(np.asarray(there) - origin, axes[:, 2])) / source.spacing[2])
    last = source.shape[0] - 1
    low, high = int(np.floor(min(depths) - 0.5)), int(np.ceil(max(depths) + 0.5))
    if high < 0 or low > last:
        return 1, 0
    low, high = max(0, low), min(last, high)
    return (low, high) if high > low else (max(0, low - 1), min(last, high + 1))


def grids(fixed: Series, moving: Series) -> tuple[Grid, Grid] | None:
    """Both series as volumes when they can be registered in 3-D, else None."""
    first, second = linking.grid(fixed), linking.grid(moving)
    return (first, second) if first is not None and second is not None else None
