"""Tubes and lines: an endotracheal tube, a central venous line, a nasogastric tube or a pacing lead, drawn on a painted film.

Not disease, so they have no extent; what matters is whether one is there and how deep its tip lies. Courses are given in
chest coordinates: x from the midline in half widths of the chest (patient's left positive), y 0 at the apices, 1 at the
bases. Kind and course are drawn once per patient; the depth of the tip alone differs between two dates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.interpolate import PchipInterpolator

from finetune.synthesis.scene import Floats, Scene
from finetune.synthesis.truth import DEPTHS

Points = NDArray[np.float64]
SCALE = 2


@dataclass(frozen=True)
class Device:
    """A course through `knots`; `tips` are the knots where a high, a good and a low tip end; widths in half widths of the chest."""

    knots: tuple[tuple[float, float], ...]
    tips: tuple[int, int, int]
    width: float
    wall: float
    level: float
    box: tuple[float, float, float] | None = None


_TRACHEA = ((0.0, -0.5), (0.0, -0.2), (0.0, 0.02), (0.0, 0.10), (0.0, 0.20), (-0.02, 0.31), (-0.17, 0.45), (-0.2, 0.49))
_CAVA = ((-0.15, 0.24), (-0.18, 0.42), (-0.17, 0.60), (-0.13, 0.76), (-0.12, 0.80))
_GULLET = ((0.02, -0.5), (0.01, -0.1), (0.04, 0.25), (0.05, 0.45), (0.05, 0.8))
_STOMACH = ((0.13, 0.98), (0.32, 1.06), (0.2, 1.13), (-0.04, 1.11), (-0.1, 1.1))
_LEAD = ((0.62, 0.13), (0.5, 0.04), (0.15, 0.08), *_CAVA[:3], (0.02, 0.76), (0.3, 0.80), (0.45, 0.97), (0.47, 1.0))
DEVICES: tuple[Device, ...] = (
    Device(_TRACHEA, (2, 4, 6), 0.085, 0.3, 0.62),
    Device(((-0.25, -0.4), (-0.2, -0.1), (-0.16, 0.1), *_CAVA), (2, 4, 6), 0.026, 1.0, 0.75),
    Device(((-0.8, 0.2), (-0.55, 0.07), (-0.3, 0.04), *_CAVA), (2, 4, 6), 0.026, 1.0, 0.75),
    Device(((0.8, 0.18), (0.5, 0.05), (0.15, 0.10), *_CAVA), (2, 4, 6), 0.026, 1.0, 0.75),
    Device((*_GULLET, *_STOMACH), (3, 6, 8), 0.045, 0.35, 0.70),
    Device(_LEAD, (4, 7, 8), 0.028, 1.0, 0.9, (0.70, 0.15, 0.13)),
)
SHARES = (0.30, 0.18, 0.09, 0.09, 0.20, 0.14)
GASTRIC = 4


@dataclass(frozen=True)
class _Chest:
    """Where the chest lies on a film, in pixels: midline at the apices, half width, apex row, height of the lungs."""

    centre: float
    half: float
    apex: float
    height: float


def _chest(scene: Scene) -> _Chest:
    right, left = scene.right > 0.5, scene.left > 0.5
    rows = np.flatnonzero((right | left).any(axis=1))
    if not right.any() or not left.any():
        height, width = scene.film.shape
        return _Chest(width / 2, 0.36 * width, 0.13 * height, 0.68 * height)
    apex, base = float(rows[0]), float(rows[-1])
    upper = slice(int(apex + 0.12 * (base - apex)), int(apex + 0.45 * (base - apex)))
    medial = np.flatnonzero(right[upper].any(axis=0))[-1], np.flatnonzero(left[upper].any(axis=0))[0]
    across = np.flatnonzero((right | left).any(axis=0))
    return _Chest(float(sum(medial)) / 2, float(across[-1] - across[0]) / 2, apex, base - apex)


def _chosen(rng: np.random.Generator, chest: _Chest, rows: int) -> tuple[Device, Points]:
    """The patient's device and its knots in pixels, bent a little; no nasogastric tube where the film ends above the stomach."""
    kind = int(rng.choice(len(DEVICES), p=SHARES))
    if kind == GASTRIC and (rows - chest.apex) / chest.height < 1.18:
        kind = 1
    device = DEVICES[kind]
    knots = np.asarray(device.knots, dtype=np.float64)
    knots = knots + rng.normal(0, 1, knots.shape) * (0.006, 0.003) + (rng.normal(0, 0.025), 0)
    return device, knots * (chest.half, chest.height) + (chest.centre, chest.apex)


def course(knots: Points, tips: tuple[int, int, int], depth: float) -> Points:
    """Points (n, 2) in pixels from the entry to the tip at `depth` (0..1; see `truth.DEPTHS`)."""
    end = float(np.interp(depth, (0.0, *DEPTHS.values(), 1.0), (tips[0] - 1.0, *tips, tips[2] + 1.0)))
    return np.asarray(PchipInterpolator(np.arange(len(knots)), knots)(np.linspace(0, end, 60)))


def drawn(scene: Scene, depth: float, rng: np.random.Generator) -> Floats:
    """A device with its tip at `depth` on `scene`, (H, W) in 0..1; `rng` fixes kind and course."""
    rows, columns = scene.film.shape
    chest = _chest(scene)
    device, knots = _chosen(rng, chest, rows)
    level = device.level * rng.uniform(0.85, 1.15)
    path = [tuple(point) for point in course(knots, device.tips, depth) * SCALE]
    canvas = Image.new("L", (columns * SCALE, rows * SCALE))
    pen = ImageDraw.Draw(canvas)
    width = max(SCALE * 1.5, device.width * chest.half * SCALE)
    pen.line(path, fill=round(255 * min(1.0, level)), width=round(width), joint="curve")
    if device.wall < 1 and width > 4:
        pen.line(path, fill=round(255 * level * 0.35), width=max(1, round(width * (1 - 2 * device.wall))), joint="curve")
        pen.line(path[:-2], fill=round(255 * level * 0.8), width=1)
    if device.box is not None:
        x, y, radius = device.box
        middle = np.array([chest.centre + x * chest.half, chest.apex + y * chest.height]) * SCALE
        reach = np.array([radius, 0.9 * radius]) * chest.half * SCALE
        pen.rounded_rectangle([*(middle - reach), *(middle + reach)], radius=float(reach[0] * 0.6), fill=round(255 * 0.85))
    return np.asarray(canvas.resize((columns, rows), Image.Resampling.BOX), dtype=np.float32) * np.float32(1 / 255)
