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
    """Coordinates inside one lung: `u` 0 medial .. 1 lateral, `v` 0 apex .. 1 base, (H, W) float32, and its `mask`.

    `width` and `height` are the lung's mean width and height in pixels.
    """

    u: Floats
    v: Floats
    mask: Floats
    width: float
    height: float


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
    v = np.broadcast_to(((every - top) / max(bottom - top, 1)).astype(np.float32)[:, None], mask.shape)
    return Field(u=u, v=v, mask=mask, width=float(span[top : bottom + 1].mean()), height=float(bottom - top + 1))


def resize(image: Floats, height: int, width: int, smooth: bool = True) -> Floats:
    """(h, w) float32 -> (height, width) float32, bicubic or, with `smooth` False, box averaging."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((width, height), how), dtype=np.float32)


def low_pass(image: Floats, cell: int) -> Floats:
    """Broad brightness of (H, W): box average over cells of `cell` pixels, smoothly interpolated."""
    height, width = image.shape
    small = resize(image, max(3, round(height / cell)), max(3, round(width / cell)), smooth=False)
    return resize(small, height, width)


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
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
