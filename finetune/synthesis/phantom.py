"""A parametric chest radiograph: tissue thickness along the beam, attenuation, scatter, tone and noise.

Every structure adds or removes path length of soft tissue or bone at each pixel (chords of ellipsoids, tubes for ribs
and vessels); the film is the logarithm of the transmitted beam. Anatomy varies with the patient's seed; nothing
here comes from a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from finetune.synthesis import lungs
from finetune.synthesis.scene import Floats, Scene, low_pass, noise, ramp

Path = NDArray[np.float64]  # (n, 2) points as (x, y) in 0..1 of width and height

SOFT, BONE = 1.0, 2.3  # attenuation of a unit of depth, relative to soft tissue
TUBE_PROFILE = ((1.0, 0.42), (0.82, 0.66), (0.6, 0.84), (0.36, 1.0))
RIB_PROFILE = ((1.0, 0.75), (0.86, 1.0), (0.66, 0.72), (0.4, 0.62))  # cortex denser than marrow


@dataclass(frozen=True)
class Anatomy:
    """One patient's proportions, drawn from `seed`; lengths in units of the film's width unless said otherwise."""

    seed: int
    aspect: float
    right: Path
    left: Path
    centre: float
    half: float
    apex: float
    base: float
    female: bool
    rng: np.random.Generator = field(repr=False)


def anatomy(seed: int) -> Anatomy:
    """Proportions of patient `seed`."""
    rng = np.random.default_rng([seed, 0xA7A])
    half = rng.uniform(0.355, 0.40)
    height = rng.uniform(0.62, 0.72)
    shape = [rng.normal(0.5, 0.008), rng.uniform(0.11, 0.16), half, height, rng.normal(0, 0.012)]
    shape += [rng.normal(-0.02, 0.02), rng.normal(0.02, 0.02), rng.normal(0, 0.03), rng.normal(0, 0.03)]
    shape += [rng.normal(0.05, 0.15), rng.normal(0.0, 0.22), rng.normal(0.05, 0.06), rng.normal(-0.03, 0.02), rng.normal(-0.02, 0.02)]
    right, left = lungs.placed(np.asarray(shape))
    base = float(max(right[:, 1].max(), left[:, 1].max()))
    female = bool(rng.random() < 0.45)
    return Anatomy(seed, rng.uniform(0.98, 1.12), right, left, shape[0], half, shape[1], base, female, rng)


@dataclass(frozen=True)
class Grid:
    """Pixel coordinates of a film: `x` (1, W) and `y` (H, 1) in 0..1, and tools that draw on it."""

    height: int
    width: int
    x: Floats
    y: Floats

    def chord(self, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0, power: float = 0.5) -> Floats:
        """Relative chord length of an ellipsoid, (H, W): 1 at its centre, 0 outside."""
        dx, dy = self.x - cx, (self.y - cy) * (self.height / self.width)
        a, b = np.cos(tilt), np.sin(tilt)
        ry = ry * self.height / self.width
        q = ((a * dx + b * dy) / rx) ** 2 + ((a * dy - b * dx) / ry) ** 2
        return np.asarray(np.clip(1 - q, 0, None) ** power, dtype=np.float32)

    def tubes(self, paths: list[tuple[Path, Path | float]], profile: tuple[tuple[float, float], ...] = TUBE_PROFILE) -> Floats:
        """Tubes along `paths` with given widths (units of film width, one or one per point), (H, W) in 0..1."""
        scale = 2
        canvas = Image.new("L", (self.width * scale, self.height * scale))
        draw = ImageDraw.Draw(canvas)
        for share, level in profile:
            for path, widths in paths:
                _draw_tube(draw, path * [canvas.width, canvas.height], np.broadcast_to(widths, len(path)) * share * canvas.width, level)
        return np.asarray(canvas.resize((self.width, self.height), Image.Resampling.BOX), dtype=np.float32) * np.float32(1 / 255)


def _draw_tube(draw: ImageDraw.ImageDraw, points: Path, widths: NDArray[np.float64], level: float) -> None:
    for (start, end), width in zip(pairwise(points), widths, strict=False):
        draw.line([tuple(start), tuple(end)], fill=round(255 * level * min(1.0, width)), width=max(1, round(width)))
        if width > 3:
            r = width / 2 - 0.5
            draw.ellipse([end[0] - r, end[1] - r, end[0] + r, end[1] + r], fill=round(255 * level))


def grid(height: int, width: int) -> Grid:
    """Coordinates of an (height, width) film."""
    x = (((np.arange(width) + 0.5) / width)[None, :]).astype(np.float32)
    y = (((np.arange(height) + 0.5) / height)[:, None]).astype(np.float32)
    return Grid(height, width, x, y)


def _body(g: Grid, a: Anatomy) -> Floats:
    """Soft-tissue thickness of neck, shoulders, trunk and upper arms, (H, W)."""
    y = g.y
    trunk = a.half * (1.17 + 0.05 * np.sin(2.2 * y))
    shoulders = ramp(y, a.apex - 0.14, a.apex + 0.10)
    half = 0.13 + 0.02 * np.cos(9 * y) + (trunk + 0.10 * (1 - ramp(y, 0.15, 0.5)) - 0.13) * shoulders
    across = (g.x - a.centre) / half
    depth = np.clip(1 - np.abs(across) ** 2.6, 0, None) ** 0.5
    arms = sum(g.chord(a.centre + s * (a.half * 1.42), 0.62, 0.10, 0.50, tilt=0.06 * s) for s in (-1, 1))
    return np.asarray(depth * (0.86 + 0.22 * ramp(y, 0.35, 1.0)) + 0.42 * np.asarray(arms), dtype=np.float32)


def _air(g: Grid, mask: Floats) -> Floats:
    """Air depth of one lung (H, W): rises quickly from the pleura, full in the middle."""
    reach = 0.11 * g.width
    inside = ndimage.distance_transform_edt(mask > 0.5)
    t = np.clip(inside / reach, 0, 1)
    return np.asarray(mask * (0.34 + 0.66 * np.sqrt(1 - (1 - t) ** 2)), dtype=np.float32)


def _mediastinum(g: Grid, a: Anatomy, span: float) -> tuple[Floats, Floats]:
    """Heart and great vessels: added depth of soft tissue, and the share of air they displace, both (H, W)."""
    r, c, top = a.rng, a.centre, a.apex
    heart = g.chord(c + 0.15 * a.half, top + 0.71 * span, (0.43 + r.normal(0, 0.03)) * a.half, 0.19 * span, tilt=0.6, power=0.5)
    atrium = g.chord(c - 0.09 * a.half, top + 0.68 * span, 0.24 * a.half, 0.17 * span)
    knob = g.chord(c + (0.17 + r.normal(0, 0.015)) * a.half, top + 0.30 * span, 0.085 * a.half, 0.05 * span, power=0.4)
    trunk = g.chord(c + 0.22 * a.half, top + 0.42 * span, 0.09 * a.half, 0.07 * span, power=0.4)
    aorta = g.tubes([(np.array([[c + 0.16 * a.half, top + 0.28 * span], [c + 0.13 * a.half, top + 0.95 * span]]), 0.13 * a.half)])
    column = np.exp(-(((g.x - c) / (0.20 * a.half)) ** 4)) * ramp(g.y, top - 0.12, top + 0.12)
    cava = g.chord(c - 0.15 * a.half, top + 0.24 * span, 0.09 * a.half, 0.2 * span)
    total = 0.24 * heart + 0.17 * atrium + 0.16 * knob + 0.10 * trunk + 0.05 * aorta + 0.12 * column + 0.07 * cava
    borders = np.clip(2.4 * np.maximum.reduce([heart, 0.9 * atrium, knob, trunk, 0.5 * cava]), 0, 1) * 0.85
    sigma = g.width / 320
    return ndimage.gaussian_filter(total, sigma).astype(np.float32), ndimage.gaussian_filter(borders, sigma).astype(np.float32)


def _airway(g: Grid, a: Anatomy, span: float) -> Floats:
    carina = np.array([a.centre - 0.005, a.apex + 0.31 * span])
    top = np.array([a.centre + a.rng.normal(0, 0.004), max(0.0, a.apex - 0.16)])
    right = carina + np.array([-0.22 * a.half, 0.13 * span])
    left = carina + np.array([0.30 * a.half, 0.13 * span])
    tubes = g.tubes([(np.array([top, carina]), 0.048), (np.array([carina, right]), 0.036), (np.array([carina, left]), 0.030)])
    return np.asarray(ndimage.gaussian_filter(tubes, g.width / 200), dtype=np.float32)


def _spine(g: Grid, a: Anatomy) -> Floats:
    """Vertebral bodies with discs, pedicles and spinous processes, (H, W)."""
    count, half = a.rng.uniform(15, 17), 0.052
    phase = (g.y * count) % 1.0
    body = np.exp(-(((g.x - a.centre) / half) ** 6)) * (0.62 + 0.38 * ramp(np.abs(phase - 0.5), 0.46, 0.36))
    result = body.astype(np.float32)
    for row in np.arange(0.3, count):
        y = (row + 0.2) / count
        for side in (-1, 1):
            result += 0.30 * g.chord(a.centre + side * 0.033, y, 0.011, 0.013)
        result += 0.25 * g.chord(a.centre, y + 0.025, 0.009, 0.02)
    edge = np.exp(-(((np.abs(g.x - a.centre) - half) / 0.006) ** 2)) * ramp(np.abs(phase - 0.5), 0.5, 0.3)
    return np.asarray(ndimage.gaussian_filter(result + 0.18 * edge, g.width / 320), dtype=np.float32)


def _rib_paths(a: Anatomy, span: float) -> tuple[list[tuple[Path, Path | float]], list[tuple[Path, Path | float]]]:
    """Posterior and anterior ribs of both sides; they meet, running straight down, at the lateral chest wall."""
    back: list[tuple[Path, Path | float]] = []
    front: list[tuple[Path, Path | float]] = []
    turn = np.linspace(0, np.pi / 2, 28)
    pitch, slope = span * a.rng.uniform(0.090, 0.098), a.rng.uniform(0.85, 1.15)
    for number, side in product(range(11), (-1, 1)):
        start = np.array([a.centre + side * 0.030, a.apex - 0.02 + number * pitch])
        drop = slope * span * (0.085 + 0.016 * min(number, 7))
        wall = np.array([_wall(a, side, start[1] + drop) + side * 0.010, start[1] + drop])
        x = start[0] + (wall[0] - start[0]) * np.sin(turn)
        y = start[1] + drop * (1 - np.cos(turn)) - 0.016 * np.sin(2 * turn) * (1.2 - np.sin(turn))
        back.append((np.stack([x, y], axis=1), 0.022 - 0.004 * np.sin(turn)))
        if number < 8:
            end = np.array([a.centre + side * a.half * (0.33 + 0.055 * number), wall[1] + span * (0.115 + 0.014 * number)])
            x = wall[0] + (end[0] - wall[0]) * (1 - np.cos(turn))
            y = wall[1] + (end[1] - wall[1]) * np.sin(turn)
            front.append((np.stack([x, y], axis=1), 0.018 + 0.008 * turn))
    return back, front


def _wall(a: Anatomy, side: int, y: float) -> float:
    """Lateral edge of the lung at height `y`, carried on straight below the costophrenic angle."""
    outline = a.right if side < 0 else a.left
    lateral = outline[np.abs(outline[:, 0] - a.centre) > 0.42 * a.half]
    near = lateral[np.argsort(np.abs(lateral[:, 1] - y))[:6], 0]
    edge = float(near.min() if side < 0 else near.max())
    return edge if y > a.apex + 0.04 else a.centre + side * 0.55 * a.half


def _shoulders(a: Anatomy) -> tuple[list[tuple[Path, Path | float]], list[Path]]:
    """Clavicles as tubes and scapulae as outlines."""
    bones: list[tuple[Path, Path | float]] = []
    blades: list[Path] = []
    t = np.linspace(0, 1, 20)
    rise = a.rng.uniform(0.02, 0.055)
    for side in (-1, 1):
        x = a.centre + side * (0.035 + (a.half * 0.98 - 0.02) * t)
        y = a.apex + 0.088 - rise * 1.6 * t**0.8 + 0.013 * np.sin(2 * np.pi * t)
        bones.append((np.stack([x, y], axis=1), 0.030 - 0.008 * np.sin(np.pi * t)))
        outer = a.centre + side * a.half * 1.16
        blades.append(
            np.array(
                [
                    [outer, a.apex - 0.0],
                    [outer - side * 0.12, a.apex + 0.05],
                    [outer - side * 0.055, a.apex + 0.33],
                    [outer + side * 0.015, a.apex + 0.18],
                ]
            )
        )
        head = np.array([[outer + side * 0.085, a.apex + 0.035], [outer + side * 0.125, a.apex + 0.35]])
        bones.append((np.array([head[0], head[0] + [side * 0.004, 0.03]]), 0.075))
        bones.append((head, 0.055))
    return bones, blades


def _skeleton(g: Grid, a: Anatomy, span: float) -> Floats:
    back, front = _rib_paths(a, span)
    bones, blades = _shoulders(a)
    sigma = g.width / 420
    ribs = 0.105 * g.tubes(back, RIB_PROFILE) + 0.065 * g.tubes(front, RIB_PROFILE)
    canvas = Image.new("L", (g.width, g.height))
    for blade in blades:
        outline = lungs.smooth_outline(tuple(map(tuple, blade)), 40) * [g.width, g.height]
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in outline], fill=200, outline=255)
    plates = ndimage.gaussian_filter(np.asarray(canvas, dtype=np.float32) / 255, g.width / 110)
    clavicles = g.tubes(bones, RIB_PROFILE)
    return np.asarray(ndimage.gaussian_filter(ribs + 0.13 * clavicles, sigma) + 0.025 * plates, dtype=np.float32)


def _branch(rng: np.random.Generator, start: Path, angle: float, width: float, length: float, out: list[tuple[Path, Path | float]]) -> None:
    """One vessel and its daughters, appended to `out`; at most 70 a tree."""
    if width < 0.0020 or len(out) > 70:
        return
    steps = 6
    bend = rng.normal(0, 0.26)
    angles = angle + bend * np.linspace(0, 1, steps)
    moves = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / steps
    path = np.concatenate([start[None], start + np.cumsum(moves, axis=0)])
    out.append((path, np.linspace(width, 0.74 * width, len(path))))
    for sign in (-1, 1):
        share = rng.uniform(0.62, 0.82)
        _branch(rng, path[-1], float(angles[-1]) + sign * rng.uniform(0.22, 0.62), width * share, length * rng.uniform(0.66, 0.9), out)
    if width > 0.005:
        _branch(rng, path[3], angle + rng.choice([-1, 1]) * rng.uniform(0.5, 0.9), width * 0.5, length * 0.7, out)


def _vessels(g: Grid, a: Anatomy, span: float) -> Floats:
    """Arteries and veins branching from both hila, (H, W)."""
    trees: list[tuple[Path, Path | float]] = []
    for side in (-1, 1):
        hilum = np.array([a.centre + side * 0.19 * a.half, a.apex + (0.45 if side < 0 else 0.42) * span])
        for direction in (-1.15, -0.75, -0.35, 0.1, 0.5, 0.85, 1.2):
            angle = direction + a.rng.normal(0, 0.08)
            heading = angle if side > 0 else np.pi - angle
            thick = 0.0135 if direction > 0.3 else 0.0105
            start = hilum + a.rng.normal(0, 0.008, 2)
            tree: list[tuple[Path, Path | float]] = []
            _branch(a.rng, start, float(heading), thick * a.rng.uniform(0.8, 1.15), 0.105 * (1 + 0.25 * (direction > 0)), tree)
            trees += tree
    drawn = g.tubes(trees)
    hila = sum(
        0.9 * g.chord(a.centre + s * 0.21 * a.half, a.apex + (0.47 if s < 0 else 0.43) * span, 0.030, 0.060, tilt=-0.3 * s, power=0.8)
        for s in (-1, 1)
    )
    return np.asarray(ndimage.gaussian_filter(drawn, g.width / 480) + 0.40 * np.asarray(hila), dtype=np.float32)


def _below(g: Grid, a: Anatomy) -> Floats:
    """Gas under the left dome (stomach, flexure) as depth removed, (H, W)."""
    dome = float(a.left[(a.left[:, 0] > a.centre + 0.4 * a.half), 1].max())
    x, y = a.centre + (0.52 + a.rng.normal(0, 0.06)) * a.half, dome + a.rng.uniform(0.0, 0.03)
    size = a.rng.uniform(0.5, 1.2)
    bubble = g.chord(x, y, 0.09 * size, 0.035 * size) + 0.5 * g.chord(x + 0.09, y + 0.06, 0.05 * size, 0.04)
    return np.asarray(ndimage.gaussian_filter(bubble, g.width / 200), dtype=np.float32)


def thickness(a: Anatomy, height: int, width: int) -> tuple[Floats, Floats, Floats]:
    """Attenuation along the beam (height, width) float32, and the right and left lung masks."""
    g = grid(height, width)
    span = a.base - a.apex
    shape = lungs.Lungs(a.right, a.left, 0.0)
    right, left = shape.masks(height, width)
    body = _body(g, a)
    centre, displaced = _mediastinum(g, a, span)
    air = (_air(g, right) + _air(g, left)) * (1 - displaced)
    inside = np.clip(right + left, 0, 1)
    texture = noise(a.rng, height, width, (30, 60, 120)) * 0.010
    total = SOFT * (body - 0.60 * air + centre - 0.20 * _airway(g, a, span))
    total += SOFT * inside * (1 - 0.5 * displaced) * (0.17 * _vessels(g, a, span) + texture) - 0.16 * _below(g, a) * (1 - inside)
    total += BONE * (0.060 * _spine(g, a) + _skeleton(g, a, span) * ramp(body, 0.02, 0.2))
    if a.female:
        for side in (-1, 1):
            total += 0.10 * g.chord(a.centre + side * 0.55 * a.half, a.apex + 0.78 * span, 0.42 * a.half, 0.22 * span, power=0.7)
    return total.astype(np.float32), right, left


def expose(total: Floats, rng: np.random.Generator, sharp: bool = False) -> Floats:
    """Attenuation (H, W) -> film in 0..1: transmission, scatter, quantum noise, logarithm, tone curve."""
    beam = np.exp(-2.6 * np.clip(total, 0, None))
    scatter = low_pass(beam.astype(np.float32), max(4, total.shape[1] // 14))
    beam = 0.88 * beam + 0.12 * np.clip(scatter, 1e-4, None)
    quanta = 9000.0 if sharp else 5000.0
    beam = beam + rng.standard_normal(beam.shape, dtype=np.float32) * np.sqrt(np.clip(beam, 1e-4, None) / quanta) * 0.35
    density = -np.log(np.clip(beam, 1e-3, None))
    return _tone(density.astype(np.float32))


def _tone(density: Floats) -> Floats:
    """Film look of a processed digital radiograph: fine detail raised against broad density, then a sigmoid."""
    broad = ndimage.gaussian_filter(density, density.shape[1] / 22)
    processed = 0.72 * broad + 1.45 * (density - broad)
    low, high = np.percentile(processed[density > 0.25], (3, 97.5))
    t = (processed - low) / (high - low)
    return np.asarray(np.clip(1.10 / (1 + np.exp(-3.6 * (t - 0.47))) - 0.07, 0, 1), dtype=np.float32)


def render(seed: int, width: int = 320, sharp: bool = False) -> Scene:
    """Film of patient `seed`, `width` pixels wide, without disease."""
    a = anatomy(seed)
    height = round(width * a.aspect)
    total, right, left = thickness(a, height, width)
    film = expose(total, a.rng, sharp)
    return Scene(film=film, right=right, left=left, patient=f"phantom-{seed:05d}")


def stamp(film: Floats, text: str, x: float, y: float, size: float, level: float = 0.95) -> Floats:
    """`film` (H, W) with a lead marker `text` at (x, y) in 0..1, `size` of the width."""
    canvas = Image.fromarray(np.zeros(film.shape, dtype=np.uint8))
    font = ImageFont.load_default(size=max(6, size * film.shape[1]))
    ImageDraw.Draw(canvas).text((x * film.shape[1], y * film.shape[0]), text, fill=255, font=font)
    drawn = np.asarray(canvas, dtype=np.float32) / 255
    return np.asarray(film + drawn * (level - film), dtype=np.float32)


@dataclass(frozen=True)
class PhantomSource:
    """Phantom patients. `split` keeps train and dev patients apart; `patients` bounds how many are kept in memory."""

    split: str = "train"
    patients: int = 400
    width: int = 288

    @property
    def count(self) -> int:
        """Number of different patients."""
        return self.patients

    def scene(self, index: int) -> Scene:
        """Film of patient number `index` of this split."""
        offset = {"train": 0, "dev": 500_000}.get(self.split, 1_000_000)
        return _kept(offset + index % self.patients, self.width)


@lru_cache(maxsize=512)
def _kept(seed: int, width: int) -> Scene:
    return render(seed, width)
