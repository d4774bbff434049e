"""A clean film with its lungs: what a source gives and what lesions are painted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """One patient's film before disease and acquisition.

    `film` (H, W) float32 in 0..1, bright bone; `right` and `left` lung masks (H, W) float32 in 0..1. `clean` is False when
    the film may carry disease of its own, so that nothing may be called absent on it. `label` is what the film's own record
    says: 1 diseased, 0 not (or less), -1 unknown.
    """

    film: Floats
    right: Floats
    left: Floats
    patient: str
    clean: bool = True
    label: int = -1


@dataclass(frozen=True)
class Field:
    """Coordinates inside one lung: `u` (H, W) 0 medial .. 1 lateral, `v` (H, 1) 0 apex .. 1 base, float32, and its `mask` (H, W).

    `width` and `height` are the lung's mean width and height in pixels; `box` is the part of the film that these arrays cover.
    """

    u: Floats
    v: Floats
    mask: Floats
    width: float
    height: float
    box: tuple[slice, slice]

    def cropped(self) -> Field:
        """The same lung without the film around it: outside the box the mask is 0."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        if not len(rows):
            return self
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        u, mask = (np.ascontiguousarray(plane[box]) for plane in (self.u, self.mask))
        return Field(u, self.v[box[0]], mask, self.width, self.height, box)


def field(mask: Floats, right: bool) -> Field:
    """Coordinates of a lung from its mask, (H, W); `right` is the patient's side, so lateral is towards column 0."""
    rows, columns = mask.shape
    inside = mask > 0.5
    present = np.flatnonzero(inside.any(axis=1))
    top, bottom = (int(present[0]), int(present[-1])) if len(present) else (0, rows - 1)
    first = np.argmax(inside, axis=1)[top : bottom + 1].astype(np.float32)
    last = columns - 1 - np.argmax(inside[:, ::-1], axis=1)[top : bottom + 1].astype(np.float32)
    every = np.arange(rows)
    near, far = np.interp(every, np.arange(top, bottom + 1), first), np.interp(every, np.arange(top, bottom + 1), last)
    span = np.maximum(far - near, 0.12 * columns)
    middle = (near + far) / 2
    across = (np.arange(columns, dtype=np.float32)[None, :] - middle[:, None].astype(np.float32)) / span[:, None].astype(np.float32)
    u = 0.5 - across if right else 0.5 + across
    v = ((every - top) / max(bottom - top, 1)).astype(np.float32)[:, None]
    return Field(u, v, mask, float(span[top : bottom + 1].mean()), float(bottom - top + 1), (slice(0, rows), slice(0, columns)))


def resize(image: Floats, height: int, width: int, smooth: bool = True) -> Floats:
    """(h, w) float32 -> (height, width) float32, bicubic or, with `smooth` False, box averaging."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((width, height), how), dtype=np.float32)


def low_pass(image: Floats, cell: int) -> Floats:
    """Broad brightness of (H, W): box average over cells of `cell` pixels, smoothly interpolated."""
    height, width = image.shape
    small = Image.fromarray(image).resize((max(3, round(width / cell)), max(3, round(height / cell))), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, ...] = (5, 11, 23)) -> Floats:
    """Fractal noise (height, width), about zero mean and unit deviation, with `cells` grid cells across per octave."""
    total = np.zeros((height, width), dtype=np.float32)
    power = 0.0
    for octave, count in enumerate(cells):
        weight = 0.6**octave
        grid = rng.standard_normal((max(2, round(count * height / width)), count), dtype=np.float32)
        total += weight * resize(grid, height, width)
        power += weight**2
    return total / np.float32(0.75 * power**0.5)


def ramp(values: Floats, low: float, high: float) -> Floats:
    """Smooth step from 0 at `low` to 1 at `high` (`high` may be below `low`)."""
    t = values - np.float32(low)
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    rest = 2 * t
    np.subtract(3, rest, out=rest)
    t *= t
    t *= rest
    return np.asarray(t, dtype=np.float32)
