"""A parametric thorax in Hounsfield units for the CT demo case: body, cage, lungs with vessels, heart, liver, table, one nodule.

Lengths are mm in patient coordinates: x to the patient's left, y to the back, z to the head (DICOM's LPS). Every voxel is
computed from its centre; a slice averages positions across its thickness, so partial volume is real.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

AIR, LUNG, FAT, MUSCLE, BLOOD, LIVER, MARROW, CORTEX = -1000.0, -865.0, -105.0, 52.0, 165.0, 95.0, 210.0, 720.0
LENGTH = 250.0  # apex to the lowest slice
FIELD_OF_VIEW = 372.0


@dataclass(frozen=True)
class Nodule:
    """A solid nodule: centre in mm and diameter in mm."""

    centre: tuple[float, float, float]
    diameter: float


@dataclass(frozen=True)
class Slice:
    """Coordinates of one slice: `x` (1, N), `y` (N, 1), `z` in mm, and `s` 0 apex .. 1 base."""

    x: Floats
    y: Floats
    z: float

    @property
    def s(self) -> float:
        """Height as a share of the thorax, 0 apex .. 1 base."""
        return -self.z / LENGTH

    def disc(self, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0, soft: float = 1.2) -> Floats:
        """A filled ellipse with an edge `soft` mm wide, (N, N) in 0..1."""
        dx, dy = self.x - cx, self.y - cy
        a, b = np.cos(tilt), np.sin(tilt)
        q = np.sqrt(((a * dx + b * dy) / rx) ** 2 + ((a * dy - b * dx) / ry) ** 2)
        return np.asarray(np.clip((1 - q) * min(rx, ry) / soft + 0.5, 0, 1), dtype=np.float32)


def _put(image: Floats, where: Floats, value: float | Floats) -> None:
    image += where * (value - image)


def _body(image: Floats, c: Slice) -> None:
    wide, deep = 148 + 14 * np.sin(2.6 * c.s + 0.5), 96 + 12 * c.s
    _put(image, c.disc(0, 4, wide + 18, deep + 14), FAT)
    _put(image, c.disc(0, 4, wide + 2, deep + 2), MUSCLE)
    for side in (-1, 1):  # axillary fat and pectoral muscle of the upper chest
        if c.s < 0.5:
            _put(image, c.disc(side * (wide - 12), -14, 16, 30 * (1 - c.s), 0.3 * side), FAT)
            pectoral = c.disc(side * 62, -deep + 12 + 6 * c.s, 52, 9 * (1 - c.s) + 2, 0.26 * side)
            _put(image, pectoral * c.disc(0, 4, wide + 8, deep + 6), MUSCLE + 8)


def cage(s: float) -> tuple[float, float]:
    """Half width and half depth of the inner chest wall in mm at height `s`."""
    rise = min(1.0, max(0.0, s + 0.02) / 0.42) ** 0.55
    return 36 + 99 * rise, 32 + 55 * rise


def _lungs(c: Slice) -> Floats:
    wide, deep = cage(c.s)
    inside = c.disc(0, 2, wide, deep)
    middle = 20 + 16 * min(1.0, c.s * 2)
    centre = c.disc(0, 6, middle, deep * 0.96) if c.s < 0.45 else c.disc(4, -12, middle + 4, deep * 0.86)
    gutter = c.disc(0, deep - 6, 27, 27)
    heart = _heart(c)[0]
    diaphragm = _abdomen(c)[0]
    return np.asarray(inside * (1 - centre) * (1 - gutter) * (1 - heart) * (1 - diaphragm), dtype=np.float32)


def _heart(c: Slice) -> tuple[Floats, Floats, Floats]:
    """Heart with its fat, its chambers, and the myocardium between, (N, N) in 0..1."""
    t = (c.z + 168) / 58
    if abs(t) >= 1:
        none = np.zeros((len(c.y), c.x.shape[1]), dtype=np.float32)
        return none, none, none
    size = (1 - t**2) ** 0.5
    whole = c.disc(22, -24, 68 * size, 49 * size, 0.42)
    muscle = c.disc(22, -24, 63 * size, 44 * size, 0.42)
    left, right = c.disc(42, -14, 27 * size, 21 * size, 0.5), c.disc(-6, -38, 31 * size, 20 * size, 0.3)
    return whole, muscle, np.maximum.reduce([left, right, c.disc(-2, 8, 30 * size, 16 * size)])


def _abdomen(c: Slice) -> tuple[Floats, Floats, Floats]:
    """Everything under the diaphragm, the liver, and gas of the stomach, (N, N) in 0..1."""
    parts = []
    for cx, top, rx, ry in ((-58, -192, 86, 76), (62, -206, 78, 72)):
        reach = np.clip((top - c.z) / 75, 0, 1)
        size = (1 - (1 - reach) ** 2) ** 0.5
        parts.append(
            c.disc(cx, 2, rx * size + 0.01, ry * size + 0.01) if reach > 0 else np.zeros((len(c.y), c.x.shape[1]), dtype=np.float32)
        )
    gas = c.disc(58, -34, 26, 15) * parts[1] if c.z < -224 else np.zeros_like(parts[0])
    return np.maximum(parts[0], parts[1]), parts[0], np.asarray(gas, dtype=np.float32)


def _vessels_and_airways(image: Floats, c: Slice) -> None:
    if c.s < 0.40:
        _put(image, c.disc(0, 8 + 14 * c.s, 9.5, 9.5), MUSCLE)
        _put(image, c.disc(0, 8 + 14 * c.s, 8.2, 8.2), AIR)
    elif c.s < 0.56:
        for side in (-1, 1):
            cx = side * (8 + 150 * (c.s - 0.40))
            _put(image, c.disc(cx, 15, 7.6, 6.6), MUSCLE)
            _put(image, c.disc(cx, 15, 6.3, 5.4), AIR)
    _put(image, c.disc(9, 31, 6, 4.5), MUSCLE)
    if 0.26 < c.s < 0.34:  # aortic arch
        _put(image, c.disc(17, 5, 37, 10.5, 1.08), BLOOD)
    if c.s >= 0.32:
        _put(image, c.disc(26 - 10 * c.s, 38 + 10 * c.s, 12.5, 12.5), BLOOD)
    if 0.32 <= c.s < 0.60:
        _put(image, c.disc(-16, -22, 15.5, 15.5), BLOOD)
        _put(image, c.disc(-32, -8, 9, 10), BLOOD + 20)
    if 0.42 <= c.s < 0.54:  # pulmonary trunk and its branches
        _put(image, c.disc(14, -26, 15, 13), BLOOD + 15)
        _put(image, c.disc(-18, 1, 30, 7.5, -0.1), BLOOD + 15)
        _put(image, c.disc(34, 2, 17, 8, 0.6), BLOOD + 15)
    if c.s < 0.30:  # arch vessels and veins
        for cx, cy, radius in ((-18, -8, 6.5), (6, -6, 4.5), (20, 2, 5.5), (-24, -18, 8), (16, -22, 7)):
            _put(image, c.disc(cx, cy, radius, radius), BLOOD)


def _bone(image: Floats, cx: float, cy: float, rx: float, ry: float, tilt: float, c: Slice, cortex: float = 1.6) -> None:
    _put(image, c.disc(cx, cy, rx, ry, tilt), CORTEX)
    _put(image, c.disc(cx, cy, max(rx - cortex, 0.5), max(ry - cortex, 0.5), tilt), MARROW)


def _skeleton(image: Floats, c: Slice) -> None:
    wide, deep = cage(c.s)
    back = deep + 2
    disc_gap = abs(((c.z / 23.0) % 1.0) - 0.5) > 0.40
    for side in (-1, 1):  # pedicles, transverse processes, laminae
        _put(image, c.disc(side * 13, back + 15, 4.5, 8, 0.2 * side), CORTEX - 250)
        _put(image, c.disc(side * 25, back + 19, 14, 4.2, 0.28 * side), CORTEX - 330)
        _put(image, c.disc(side * 7, back + 26, 9, 3.2, 0.6 * side), CORTEX - 250)
    _put(image, c.disc(0, back + 36, 3.2, 11), CORTEX - 280)
    _bone(image, 0, back, 17.5, 14, 0, c)
    if disc_gap:
        _put(image, c.disc(0, back, 16.5, 13), 85.0)
    _put(image, c.disc(0, back + 18, 8.2, 7.4), 30.0)
    for number in range(-1, 13):  # ribs slope down and forward: each crosses a slice once on a side
        along = (-c.z - (number * 21.0 - 14)) / 92.0
        if not 0 < along < 1:
            continue
        angle = np.pi * (0.43 - 0.90 * along)
        for side in (-1, 1):
            cx, cy = side * (wide + 5.5) * np.cos(angle), 2 + (deep + 5.5) * np.sin(angle)
            tangent = np.arctan2((deep + 5) * np.cos(angle), -side * (wide + 5) * np.sin(angle))
            _bone(image, float(cx), float(cy), 11.5, 4.6, float(tangent), c, cortex=1.4)
    if 0.12 < c.s < 0.80:
        _bone(image, 0, -deep - 5, 21 - 9 * c.s, 6, 0, c)
    if c.s < 0.58:
        for side in (-1, 1):
            _bone(image, side * (112 + 12 * c.s), 64 + 16 * c.s, 38 * (1 - 0.6 * c.s), 4.2, -0.72 * side, c, cortex=1.3)
    if c.s < 0.10:
        for side in (-1, 1):
            _bone(image, side * 62, -34, 46, 6.2, -0.35 * side, c)


def _table(image: Floats, c: Slice) -> None:
    radius = 330.0
    from_axis = np.sqrt(c.x**2 + (c.y - (131 - radius)) ** 2)
    across = np.clip((176 - np.abs(c.x)) / 4, 0, 1)
    shell = np.exp(-(((from_axis - radius) / 1.5) ** 2)) + np.exp(-(((from_axis - radius - 19) / 1.6) ** 2))
    image += (np.clip(shell, 0, 1) * across * 820).astype(np.float32) * (image < -900)
    mattress = (from_axis < radius) & (from_axis > radius - 12) & (image < -900)
    image[mattress] = -955.0


@lru_cache(maxsize=4)
def vessel_tree(seed: int) -> NDArray[np.float32]:
    """Pulmonary vessels as points (n, 4): x, y, z and radius in mm."""
    rng = np.random.default_rng([seed, 0xC7])
    points: list[NDArray[np.float64]] = []
    for side in (-1, 1):
        for _ in range(22):
            heading = np.array([side * rng.uniform(0.35, 1.0), rng.uniform(-0.8, 0.9), rng.uniform(-1.0, 0.95)])
            _grow(
                rng,
                np.array([side * rng.uniform(30, 42), rng.uniform(-4, 14), rng.uniform(-142, -98)]),
                heading,
                rng.uniform(3.0, 4.8),
                28.0,
                points,
            )
    return np.concatenate(points).astype(np.float32)


def _grow(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    heading: NDArray[np.float64],
    radius: float,
    length: float,
    out: list[NDArray[np.float64]],
) -> None:
    if radius < 0.62:
        return
    steps = max(4, int(length / 1.6))
    turns = heading / np.linalg.norm(heading) + np.cumsum(rng.normal(0, 0.035, (steps, 3)), axis=0)
    path = start + np.cumsum(turns / np.linalg.norm(turns, axis=1)[:, None] * (length / steps), axis=0)
    out.append(np.concatenate([path, np.linspace(radius, 0.8 * radius, steps)[:, None]], axis=1))
    for _ in range(2):
        _grow(rng, path[-1], turns[-1] + rng.normal(0, 0.42, 3), radius * rng.uniform(0.62, 0.82), length * rng.uniform(0.72, 0.95), out)


def _tree(c: Slice, points: NDArray[np.float32], share: Floats) -> Floats:
    """Vessels that cross this slice, (N, N) in 0..1, only where `share` is lung."""
    near = points[np.abs(points[:, 2] - c.z) < points[:, 3]]
    image = np.zeros(share.shape, dtype=np.float32)
    step = float(c.x[0, 1] - c.x[0, 0])
    x0, y0 = float(c.x[0, 0]), float(c.y[0, 0])
    for x, y, z, radius in near:
        r = np.sqrt(max(radius**2 - (z - c.z) ** 2, 0.0))
        row, column, reach = (y - y0) / step, (x - x0) / step, r / step + 1.5
        rows = slice(max(0, int(row - reach)), int(row + reach) + 2)
        columns = slice(max(0, int(column - reach)), int(column + reach) + 2)
        distance = np.hypot(c.x[:, columns] - x, c.y[rows] - y)
        image[rows, columns] = np.maximum(image[rows, columns], np.clip((r - distance) / step + 0.6, 0, 1))
    return image * share


def _nodule(c: Slice, nodule: Nodule) -> Floats:
    dx, dy, dz = c.x - nodule.centre[0], c.y - nodule.centre[1], c.z - nodule.centre[2]
    angle = np.arctan2(dy, dx)
    radius = nodule.diameter / 2 * (1 + 0.06 * np.cos(3 * angle + 0.4) + 0.05 * np.cos(7 * angle + dz * 0.4))
    distance = np.sqrt(dx**2 + dy**2 + dz**2)
    spicule = np.clip(np.cos(9 * angle + 0.7) - 0.72, 0, 1) * 2.2 * np.exp(-np.clip(distance - radius, 0, None) / 3.0)
    return np.asarray(np.clip((radius - distance) / 1.2 + 0.5, 0, 1) + 0.35 * spicule * (distance > radius), dtype=np.float32)


def plane(z: float, size: int, seed: int, nodule: Nodule | None) -> Floats:
    """One infinitely thin plane at `z`, (size, size) float32 HU without noise."""
    step = FIELD_OF_VIEW / size
    axis = ((np.arange(size) - (size - 1) / 2) * step).astype(np.float32)
    c = Slice(axis[None, :], axis[:, None] + np.float32(14), z)
    image = np.full((size, size), AIR, dtype=np.float32)
    _body(image, c)
    wide, deep = cage(c.s)
    _put(image, c.disc(0, 2, wide, deep), FAT + 25)
    lungs = _lungs(c)
    whole, muscle, chambers = _heart(c)
    for where, value in ((whole, FAT), (muscle, 88.0), (chambers, BLOOD)):
        _put(image, where, value)
    _vessels_and_airways(image, c)
    below, liver, gas = _abdomen(c)
    _put(image, below * c.disc(0, 2, wide, deep), MUSCLE + 40)
    _put(image, liver * c.disc(0, 2, wide, deep), LIVER)
    _put(image, gas * c.disc(0, 2, wide, deep), AIR + 20)
    _put(image, lungs, (LUNG + 0.32 * (c.y + 40)).astype(np.float32))
    _put(image, _tree(c, vessel_tree(seed), lungs), 40.0)
    if nodule is not None:
        _put(image, np.clip(_nodule(c, nodule), 0, 1) * lungs, 35.0)
    _skeleton(image, c)
    _table(image, c)
    return image


def volume(
    seed: int, positions: list[float], thickness: float, nodule: Nodule | None, size: int = 256, noise: float = 16.0, acquisition: int = 0
) -> NDArray[np.int16]:
    """Slices (n, size, size) int16 HU at `positions` (z of their centres, mm), each `thickness` mm thick.

    `acquisition` seeds the noise, so two dates of one patient (`seed`) differ in it. Same arguments, same voxels.
    """
    rng = np.random.default_rng([seed, acquisition, 0x7071])
    slices = []
    for z in positions:
        offsets = (np.arange(5) - 2) * thickness / 5
        image = np.mean([plane(z + float(offset), size, seed, nodule) for offset in offsets], axis=0)
        grain = ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.75) * 2.4
        image = ndimage.gaussian_filter(image, 0.45) + noise * grain * (0.35 + 0.65 * (image > -950))
        slices.append(np.clip(np.round(image), -1024, 3071).astype(np.int16))
    return np.stack(slices)
