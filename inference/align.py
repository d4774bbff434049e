"""Laying the prior over the current: rigid, similarity, affine and, on request, B-spline registration in 2-D and 3-D (SimpleITK).

    found = register(fixed, moving, "rigid", cancel=Event(), progress=print)
    found.after.correlation > found.before.correlation
    laid = resample(moving, fixed, found.transform)

A transform maps points of the fixed picture to points of the moving one, in mm (or pixels where nothing is calibrated).
Nothing is decided here: quality before and after are numbers for the reader, and the caller keeps the original in view.

Method: brightness clipped to percentiles; a start from the better of the given geometry and a phase correlation (Kuglin and
Hines 1975) or a search along the slices; then gradient descent on the normalised correlation, or on mutual information
(Mattes 2003) where the two differ in kind, from coarse to fine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, degrees
from threading import Event
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documents use
from numpy.typing import NDArray

from errors import Cancelled

AlignKind = Literal["rigid", "similarity", "affine", "bspline"]
Array = NDArray[np.float32]
Progress = Callable[[float, str], None]

FINEST = 512
"""Longest side, in pixels, at which a 2-D pair is compared; the transform it gives holds for the whole picture."""
MOST_VOXELS = 2_500_000
_BINS = 32
_ITERATIONS = 120
_SEED = 20240501
_MESH = {2: 8, 3: 5}
_SHARE = 0.25
_NEIGHBOURHOOD = 24


@dataclass(frozen=True, eq=False)
class Picture:
    """Brightness on a grid: (H, W) or (D, H, W) float32, with spacing, origin and direction in ITK's order (x, y[, z])."""

    values: Array
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    kind: str = ""

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return self.values.ndim


@dataclass(frozen=True)
class Quality:
    """How well two pictures lie on each other: normalised correlation and mutual information where they overlap, and that share."""

    correlation: float
    mutual_information: float
    overlap: float


@dataclass(frozen=True)
class Motion:
    """What the linear part of a transform does: shift of the picture's centre, rotation in degrees, scale."""

    shift: float
    rotation_degrees: float
    scale: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """A finished registration. `better` is False when the pictures did not lie better on each other than before."""

    transform: sitk.Transform
    kind: AlignKind
    before: Quality
    after: Quality
    motion: Motion

    @property
    def better(self) -> bool:
        """Whether both measures of likeness rose, or one did and the other held."""
        gain = self.after.correlation - self.before.correlation
        told = self.after.mutual_information - self.before.mutual_information
        return max(gain, told) > 1e-3 and min(gain, told) > -1e-2


def flat(values: Array, spacing: tuple[float, float] = (1.0, 1.0), kind: str = "") -> Picture:
    """A 2-D picture from (H, W) and its (row, column) spacing; its middle is the origin, so that pictures start centred."""
    rows, columns = values.shape
    across, down = spacing[1], spacing[0]
    return Picture(values, (across, down), (-across * (columns - 1) / 2, -down * (rows - 1) / 2), (1.0, 0.0, 0.0, 1.0), kind)


def image_of(picture: Picture) -> sitk.Image:
    """The picture as ITK holds it."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(picture.values, dtype=np.float32))
    image.SetSpacing(picture.spacing)
    image.SetOrigin(picture.origin)
    image.SetDirection(picture.direction)
    return image


def register(
    fixed: Picture,
    moving: Picture,
    kind: AlignKind = "rigid",
    cancel: Event | None = None,
    progress: Progress | None = None,
    *,
    centred: bool = True,
) -> Alignment:
    """Find the transform that lays `moving` over `fixed`. Raises `Cancelled` within one iteration of `cancel` being set.

    `centred` False trusts the coordinates of both (one frame of reference); True lets the middles meet first.
    `progress(done 0..1, words)`.
    """
    run = _Run(cancel or Event(), progress or (lambda done, words: None))
    run.tell(0.0, "preparing")
    target, source = _prepared(fixed), _prepared(moving)
    alike = fixed.kind == moving.kind
    start = _start(target, source, centred)
    before = quality(target, source, start)
    found = _first(target, source, start, run)
    near, far = (_local(target), _local(source)) if fixed.dimensions == 2 else (target, source)
    stages = _stages(kind)
    for number, stage in enumerate(stages):
        run.span = (0.15 + 0.8 * number / len(stages), 0.15 + 0.8 * (number + 1) / len(stages))
        found = _stage(near, far, stage, found, run, alike)
    run.tell(0.97, "measuring")
    after = quality(target, source, found)
    return Alignment(found, kind, before, after, _motion(target, start, found))


def resample(moving: sitk.Image, grid: sitk.Image, transform: sitk.Transform, outside: float) -> NDArray[np.float32]:
    """`moving` on the grid of another image, linear; `outside` where there is nothing of it."""
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(moving, grid, transform, sitk.sitkLinear, outside, sitk.sitkFloat32)))


def quality(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> Quality:
    """Likeness of `moving`, laid through `transform`, to `fixed`, where they overlap."""
    still = np.asarray(sitk.GetArrayViewFromImage(fixed))
    laid = resample(moving, fixed, transform, np.nan)
    there = np.isfinite(laid)
    share = float(there.mean())
    if there.sum() < 64:
        return Quality(0.0, 0.0, share)
    left, right = still[there].astype(np.float64), laid[there].astype(np.float64)
    return Quality(_correlation(left, right), _mutual(left, right), share)


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    left, right = left - left.mean(), right - right.mean()
    size = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum() / size) if size > 1e-12 else 0.0


def _mutual(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Normalised mutual information, 0 (independent) to 1 (one tells the other) (Strehl and Ghosh 2002)."""
    joint = np.histogram2d(left, right, bins=_BINS)[0]
    joint /= joint.sum()
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    own = [-float((part[part > 0] * np.log(part[part > 0])).sum()) for part in (rows, columns, joint.ravel())]
    whole = (own[0] * own[1]) ** 0.5
    return (own[0] + own[1] - own[2]) / whole if whole > 1e-12 else 0.0


class _Run:
    """One registration on its way: where it is, and whether anybody still wants it."""

    def __init__(self, cancel: Event, progress: Progress) -> None:
        self.cancel, self._progress = cancel, progress
        self.span = (0.0, 0.15)

    def tell(self, done: float, words: str) -> None:
        """Pass on progress. Raises `Cancelled` when nobody waits any more."""
        if self.cancel.is_set():
            raise Cancelled("the registration was cancelled; the images are as they were")
        self._progress(done, words)

    def watch(self, method: sitk.ImageRegistrationMethod, words: str, levels: int) -> None:
        """Report each iteration, and stop the method when it is cancelled."""
        level = [0]

        def next_level() -> None:
            level[0] += 1

        def step() -> None:
            if self.cancel.is_set():
                method.StopRegistration()
                return
            part = (max(level[0], 1) - 1 + min(method.GetOptimizerIteration() / 40, 1.0)) / levels
            low, high = self.span
            self._progress(low + (high - low) * part, f"{words}, level {max(level[0], 1)} of {levels}")

        method.AddCommand(sitk.sitkMultiResolutionIterationEvent, next_level)
        method.AddCommand(sitk.sitkIterationEvent, step)


def _prepared(picture: Picture) -> sitk.Image:
    """Brightness 0..1 between the 0.5 and 99.5 percentile, at the size it is compared at."""
    finite = picture.values[np.isfinite(picture.values)]
    step = max(1, finite.size // 200_000)
    low, high = np.percentile(finite[::step], (0.5, 99.5)) if finite.size else (0.0, 1.0)
    width = float(high - low) or 1.0
    plain = np.clip((np.nan_to_num(picture.values, nan=float(low)) - low) / width, 0, 1)
    image = image_of(Picture(plain.astype(np.float32), picture.spacing, picture.origin, picture.direction))
    size = image.GetSize()
    if picture.dimensions == 2:
        factor = max(1, round(max(size) / FINEST))
        return sitk.BinShrink(image, [factor, factor]) if factor > 1 else image
    factors = [1, 1, 1]
    while np.prod([side // factor for side, factor in zip(size, factors, strict=True)]) > MOST_VOXELS:
        pitch = [spacing * factor for spacing, factor in zip(picture.spacing, factors, strict=True)]
        factors[int(np.argmin(pitch))] += 1
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


def _local(image: sitk.Image) -> sitk.Image:
    """Brightness relative to its surroundings: exposure, processing and a new opacity change it, edges stay where they are."""
    width = max(image.GetSize()) / _NEIGHBOURHOOD * image.GetSpacing()[0]
    mean = sitk.SmoothingRecursiveGaussian(image, width)
    apart = image - mean
    deviation = sitk.Sqrt(sitk.Abs(sitk.SmoothingRecursiveGaussian(apart * apart, width)))
    return apart / (deviation + 0.06)


def _middle(image: sitk.Image) -> NDArray[np.float64]:
    return np.asarray(image.TransformContinuousIndexToPhysicalPoint([(side - 1) / 2 for side in image.GetSize()]))


def _start(fixed: sitk.Image, moving: sitk.Image, centred: bool) -> sitk.Transform:
    """Identity in shared coordinates, or middle on middle."""
    start = sitk.Euler2DTransform() if fixed.GetDimension() == 2 else sitk.Euler3DTransform()
    start.SetCenter(_middle(fixed).tolist())
    if centred:
        start.SetTranslation((_middle(moving) - _middle(fixed)).tolist())
    return start


def _first(fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform, run: _Run) -> sitk.Transform:
    """The best of the start and shifts of it on a very coarse grid: what gradient descent would not find on its own."""
    grid = _coarse(fixed)
    source = _coarse(moving)
    best, score = start, _score(grid, source, start)
    shifts = _phase(grid, source, start) if fixed.GetDimension() == 2 else _slides(grid)
    for number, shift in enumerate(shifts):
        run.tell(0.05 + 0.1 * number / len(shifts), "looking for a start")
        tried = _shifted(start, shift)
        found = _score(grid, source, tried)
        if found > score + 0.01:
            best, score = tried, found
    return best


def _coarse(image: sitk.Image) -> sitk.Image:
    """At most 96 pixels a side (2-D), or 8 mm a voxel (3-D)."""
    size = image.GetSize()
    if image.GetDimension() == 2:
        factor = max(1, round(max(size) / 96))
        return sitk.BinShrink(image, [factor, factor])
    return sitk.BinShrink(image, [max(1, min(side // 8, round(8 / pitch))) for side, pitch in zip(size, image.GetSpacing(), strict=True)])


def _score(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Correlation, held against a small overlap that would make anything alike."""
    found = quality(fixed, moving, transform)
    return found.correlation * min(1.0, found.overlap / 0.6) if found.overlap > 0.2 else -1.0


def _shifted(start: sitk.Transform, shift: NDArray[np.float64]) -> sitk.Transform:
    moved = type(start)(start)
    moved.SetTranslation((np.asarray(start.GetTranslation()) + shift).tolist())
    return moved


def _phase(fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform) -> list[NDArray[np.float64]]:
    """The strongest peaks of the phase correlation as shifts in the fixed picture's units."""
    still = np.asarray(sitk.GetArrayFromImage(fixed), dtype=np.float64)
    laid = np.nan_to_num(resample(moving, fixed, start, np.nan), nan=float(still.mean())).astype(np.float64)
    window = np.outer(np.hanning(still.shape[0]), np.hanning(still.shape[1]))
    spectra = [np.fft.fft2((part - part.mean()) * window) for part in (still, laid)]
    cross = spectra[1] * np.conj(spectra[0])
    peaks = np.real(np.fft.ifft2(cross / np.maximum(np.abs(cross), 1e-9)))
    found = []
    for place in np.argsort(peaks, axis=None)[-4:]:
        at = np.unravel_index(int(place), peaks.shape)
        down, across = (int(value) - side if value > side // 2 else int(value) for value, side in zip(at, peaks.shape, strict=True))
        spacing = fixed.GetSpacing()
        found.append(np.array([across * spacing[0], down * spacing[1]]))
    return found


def _slides(fixed: sitk.Image) -> list[NDArray[np.float64]]:
    """Shifts along the slices of up to 60 % of the volume, in the direction of its normal."""
    direction = np.asarray(fixed.GetDirection()).reshape(3, 3)[:, 2]
    length = fixed.GetSize()[2] * fixed.GetSpacing()[2]
    steps = np.arange(-0.6 * length, 0.6 * length + 1e-6, max(8.0, length / 40))
    return [direction * step for step in steps if abs(step) > 1e-6]


def _stages(kind: AlignKind) -> tuple[AlignKind, ...]:
    return {"rigid": ("rigid",), "similarity": ("similarity",), "affine": ("similarity", "affine"), "bspline": ("affine", "bspline")}[kind]  # type: ignore[return-value]


def _linear(kind: AlignKind, start: sitk.Transform, dimensions: int) -> sitk.Transform:
    """A transform of `kind` that does what `start` does."""
    if kind == "affine":
        made = sitk.AffineTransform(dimensions)
    elif dimensions == 2:
        made = sitk.Euler2DTransform() if kind == "rigid" else sitk.Similarity2DTransform()
    else:
        made = sitk.Euler3DTransform() if kind == "rigid" else sitk.Similarity3DTransform()
    made.SetCenter(start.GetCenter())
    made.SetMatrix(start.GetMatrix())
    made.SetTranslation(start.GetTranslation())
    return made


def _stage(fixed: sitk.Image, moving: sitk.Image, kind: AlignKind, start: sitk.Transform, run: _Run, alike: bool) -> sitk.Transform:
    """One optimisation from coarse to fine, from `start`."""
    method = sitk.ImageRegistrationMethod()
    if alike:
        method.SetMetricAsCorrelation()
    else:
        method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetInterpolator(sitk.sitkLinear)
    if fixed.GetDimension() == 3:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(_SHARE, _SEED)
    dimensions = fixed.GetDimension()
    shrink = _pyramid(fixed, kind)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([0.6 * factor + 0.6 for factor in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    if kind == "bspline":
        mesh = sitk.BSplineTransformInitializer(fixed, [_MESH[dimensions]] * dimensions, 3)
        method.SetMovingInitialTransform(start)
        method.SetInitialTransform(mesh, inPlace=False)
        method.SetOptimizerAsLBFGS2(solutionAccuracy=1e-3, numberOfIterations=30, hessianApproximateAccuracy=5)
    else:
        method.SetInitialTransform(_linear(kind, start, dimensions), inPlace=False)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=0.5 if kind == "affine" else 2.0,
            minStep=1e-3,
            numberOfIterations=_ITERATIONS,
            relaxationFactor=0.6,
            gradientMagnitudeTolerance=1e-8,
        )
        method.SetOptimizerScalesFromPhysicalShift()
    run.watch(method, kind, len(shrink))
    found: Any = method.Execute(fixed, moving)
    run.tell(run.span[1], f"{kind} done")
    if kind == "bspline":
        return sitk.CompositeTransform([start, _inner(found)])
    return _inner(found)


def _inner(found: Any) -> sitk.Transform:
    """The last transform of what SimpleITK hands back, in its own class."""
    if found.GetName() == "CompositeTransform":
        parts = sitk.CompositeTransform(found)
        return parts.GetNthTransform(parts.GetNumberOfTransforms() - 1).Downcast()
    return found.Downcast()


def _pyramid(fixed: sitk.Image, kind: AlignKind) -> list[int]:
    """Factors from coarse to fine; what follows another stage begins where that one has ended."""
    longest = max(fixed.GetSize())
    factors = [factor for factor in (8, 4, 2, 1) if longest / factor >= 32 or factor == 1]
    if fixed.GetDimension() == 3:
        factors = [factor for factor in (4, 2, 1) if min(fixed.GetSize()[:2]) / factor >= 24 or factor == 1]
    return factors[-2:] if kind in ("affine", "bspline") else factors


def _motion(fixed: sitk.Image, start: sitk.Transform, found: sitk.Transform) -> Motion:
    """What happened to the middle of the picture since `start`: shift, rotation, scale, taken from small steps around it."""
    middle = _middle(fixed)
    dimensions = len(middle)
    step = max(fixed.GetSpacing()) * 4
    jacobian = np.array(
        [
            (
                np.asarray(found.TransformPoint((middle + step * axis).tolist()))
                - np.asarray(found.TransformPoint((middle - step * axis).tolist()))
            )
            / (2 * step)
            for axis in np.eye(dimensions)
        ]
    ).T
    scale = float(abs(np.linalg.det(jacobian)) ** (1 / dimensions))
    left, _, right = np.linalg.svd(jacobian)
    turn = left @ right
    if dimensions == 2:
        angle = degrees(atan2(turn[1, 0], turn[0, 0]))
    else:
        angle = degrees(float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
    shift = np.asarray(found.TransformPoint(middle.tolist())) - np.asarray(start.TransformPoint(middle.tolist()))
    return Motion(float(np.linalg.norm(shift)), angle, scale)
