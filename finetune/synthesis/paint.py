"""Disease on a clean film: opacity that covers lung markings, free air that removes them, a heart that grows.

Every finding becomes an opacity map in 0..1 that does not fall anywhere when severity rises (pneumothorax: a map of darkening),
so mean contrast is monotonic. Where and how a finding looks (`Look`) is drawn once per patient; severity alone changes
between two dates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as also

import numpy as np

from finetune.synthesis import devices
from finetune.synthesis.scene import Field, Floats, Scene, field, low_pass, noise, ramp
from finetune.synthesis.truth import DEVICE, Finding

ZONE_CENTRE = {"upper": 0.25, "mid": 0.50, "lower": 0.76, "whole": 0.5, "": 0.5}
Sides = Mapping[str, Field]


@dataclass(frozen=True)
class Canvas:
    """A scene made ready for painting: lung coordinates, whole and cropped, broad brightness, the brightness of dense tissue.

    `kept` holds what two dates, or a film and its map, share, so that it is drawn once.
    """

    scene: Scene
    lungs: Mapping[str, Field]
    broad: Floats
    dense: float
    seed: tuple[int, ...]
    boxed: Mapping[str, Field]
    kept: dict[object, Floats] = also(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Look:
    """How one finding looks in one lung: `rng` as seeded for the patient, and noise that is drawn once for both dates."""

    rng: np.random.Generator
    board: Canvas
    key: tuple[int, ...]
    box: tuple[slice, slice]

    def noise(self, cells: tuple[int, ...]) -> Floats:
        """Noise of the film cut to the lung; to be the last thing that is drawn from `rng`."""
        kept = self.board.kept.get((self.key, cells))
        if kept is None:
            height, width = self.board.scene.film.shape
            kept = self.board.kept[self.key, cells] = noise(self.rng, height, width, cells)
        return kept[self.box]


def canvas(scene: Scene, seed: tuple[int, ...]) -> Canvas:
    """Prepare `scene`; `seed` fixes how findings look on it."""
    lungs = {"right": field(scene.right, True), "left": field(scene.left, False)}
    broad = low_pass(scene.film, max(4, scene.film.shape[1] // 24))
    rows = np.flatnonzero((scene.right + scene.left).max(axis=1) > 0.5)
    columns = np.flatnonzero((scene.right + scene.left).max(axis=0) > 0.5)
    box = broad[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) and len(columns) else broad
    dense = float(np.percentile(box[::4, ::4], 90))
    return Canvas(
        scene, lungs, broad, min(0.97, max(dense, float(box.mean()) + 0.12)), seed, {name: lung.cropped() for name, lung in lungs.items()}
    )


def _fields(board: Canvas, side: str) -> list[Field]:
    return [board.boxed[name] for name in ("right", "left") if side in (name, "bilateral")]


def _consolidation(lung: Field, zone: str, severity: float, look: Look) -> Floats:
    rng = look.rng
    centre_u, centre_v = rng.uniform(0.3, 0.7), ZONE_CENTRE[zone] + rng.uniform(-0.07, 0.07)
    stretch, lobar = rng.uniform(0.75, 1.3), rng.random() < 0.35
    rough = look.noise((7, 16, 37))
    aspect = lung.height / lung.width
    reach = 0.20 + 0.55 * severity
    distance = np.sqrt((lung.u - centre_u) ** 2 + ((lung.v - centre_v) * aspect * stretch) ** 2) / reach - 0.24 * rough
    soft = ramp(distance, 1.15, 0.45)
    if lobar:
        soft = (
            soft * ramp(lung.v, centre_v - 0.02, centre_v + 0.01)
            if zone == "lower"
            else soft * ramp(lung.v, centre_v + 0.14, centre_v + 0.11)
        )
    mottled = 1 - 0.10 * np.clip(-rough, 0, 1)
    return np.asarray(lung.mask * soft * mottled * (0.40 + 0.50 * severity), dtype=np.float32)


def _diffuse(lung: Field, zone: str, severity: float, look: Look) -> Floats:
    del zone
    rng = look.rng
    pattern, texture = rng.integers(4), rng.integers(3)
    spread = 0.35 + 0.5 * severity
    if pattern == 0:  # perihilar, bat wing
        where = np.exp(-((lung.u / (0.9 * spread + 0.25)) ** 4) - ((lung.v - 0.5) / (0.6 * spread + 0.15)) ** 4)
    elif pattern == 1:  # basal
        where = ramp(lung.v, 0.65 - 0.7 * severity, 0.95 - 0.5 * severity)
    elif pattern == 2:  # peripheral
        where = ramp(lung.u, 0.85 - 0.7 * severity, 1.15 - 0.5 * severity) * ramp(lung.v, -0.1, 0.5)
    else:  # whole lung
        where = np.full((1, 1), 0.8, dtype=np.float32)
    grain = _grain(int(texture), severity, look)
    return np.asarray(lung.mask * where * grain * (0.40 + 0.50 * severity), dtype=np.float32)


def _grain(texture: int, severity: float, look: Look) -> Floats:
    if texture == 0:  # haze
        return 0.85 + 0.15 * np.clip(look.noise((4, 9)), -1, 1)
    if texture == 1:  # patches that grow and merge
        return 0.40 + 0.60 * ramp(look.noise((7, 15)) + np.float32(1.6 * severity), 0.2, 1.3)
    fine = np.abs(look.noise((26, 52)))  # reticular
    return 0.55 + 0.45 * ramp(fine, 0.75, 0.1)


def _effusion(lung: Field, zone: str, severity: float, look: Look) -> Floats:
    del zone
    rng = look.rng
    climb, inner = rng.uniform(0.10, 0.20), rng.uniform(0.0, 0.05)
    surface = 0.985 - 0.62 * severity**1.1 - climb * np.clip(lung.u, 0, 1) ** 2.2 - inner * np.clip(1 - 3 * lung.u, 0, 1)
    layer = ramp(lung.v - surface.astype(np.float32), -0.035, 0.045)
    veil = 0.18 * severity * ramp(lung.v, 0.1, 0.9)
    return np.asarray(lung.mask * np.maximum(layer * 0.93, veil), dtype=np.float32)


def _nodule(lung: Field, zone: str, severity: float, look: Look) -> Floats:
    rng = look.rng
    u, v = rng.uniform(0.32, 0.72), ZONE_CENTRE[zone] + rng.uniform(-0.08, 0.08)
    radius = (0.085 + 0.26 * severity) * lung.width
    dx, dy = (lung.u - u) * lung.width, (lung.v - v) * lung.height
    angle = np.arctan2(dy, dx)
    lobes = 1 + 0.07 * np.cos(rng.integers(2, 6) * angle + rng.uniform(0, 6)) + 0.04 * np.cos(7 * angle + rng.uniform(0, 6))
    distance = np.sqrt(dx**2 + dy**2) / (radius * lobes)
    return np.asarray(lung.mask * ramp(distance.astype(np.float32), 1.12, 0.78) * (0.58 + 0.25 * severity), dtype=np.float32)


def _cardiomegaly(lung: Field, right: bool, severity: float, rng: np.random.Generator) -> Floats:
    peak = rng.uniform(0.66, 0.78)
    reach = severity * (0.26 if right else 0.78)
    edge = reach * np.exp(-(((lung.v - peak) / 0.34) ** 2)) - 0.06
    where = np.maximum(lung.mask, ramp(lung.u, -0.45, -0.25) * ramp(lung.u, 0.3, 0.1)) * ramp(lung.v, 1.02, 0.96)
    return np.asarray(where * ramp(edge.astype(np.float32) - lung.u, -0.05, 0.05) * 0.90, dtype=np.float32)


def _atelectasis(lung: Field, zone: str, severity: float, look: Look) -> Floats:
    rng = look.rng
    total = np.zeros(lung.mask.shape, dtype=np.float32)
    for _ in range(int(rng.integers(2, 4))):
        u, v = rng.uniform(0.3, 0.65), ZONE_CENTRE[zone] + rng.uniform(-0.10, 0.12)
        tilt = rng.uniform(-0.35, 0.35)
        dx, dy = (lung.u - u) * lung.width, (lung.v - v) * lung.height
        along, across = dx * np.cos(tilt) + dy * np.sin(tilt), dy * np.cos(tilt) - dx * np.sin(tilt)
        length, thick = (0.26 + 0.30 * severity) * lung.width, (0.035 + 0.075 * severity) * lung.width
        band = ramp(np.abs(along) / length, 1.15, 0.35) * ramp(np.abs(across) / thick, 1.35, 0.35)
        total = np.maximum(total, band)
    return lung.mask * total * (0.42 + 0.40 * severity)


def _pneumothorax(lung: Field, severity: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Free air and the visceral pleural line, both (H, W) in 0..1."""
    lateral, apical = rng.uniform(0.26, 0.42), rng.uniform(0.32, 0.48)
    edge_u = 1.02 - (0.05 + lateral * 1.25 * severity) * (1.15 - 0.55 * np.clip(lung.v, 0, 1))
    edge_v = (0.05 + apical * severity) * (0.65 + 0.7 * np.clip(lung.u, 0, 1)) - 0.03
    outside = np.maximum((lung.u - edge_u) * lung.width, (edge_v - lung.v) * lung.height)
    pixel = max(1.0, lung.width / 75)
    air = lung.mask * ramp(outside.astype(np.float32), -pixel, pixel)
    line = lung.mask * np.exp(-((outside / (0.9 * pixel)) ** 2))
    return np.asarray(air, dtype=np.float32), np.asarray(line, dtype=np.float32)


Painter = Callable[[Field, str, float, Look], Floats]
PAINTERS: dict[str, Painter] = {
    "consolidation": _consolidation,
    "diffuse opacity": _diffuse,
    "pleural effusion": _effusion,
    "nodule": _nodule,
    "atelectasis": _atelectasis,
}


def opacity(board: Canvas, finding: Finding) -> Floats:
    """Opacity of one finding in 0..1, (H, W): 0 leaves the film, 1 covers it. Zero for pneumothorax and devices."""
    kept = board.kept.get(finding)
    if kept is None:
        kept = board.kept[finding] = _opacity(board, finding)
    return kept


def _opacity(board: Canvas, finding: Finding) -> Floats:
    total = np.zeros(board.scene.film.shape, dtype=np.float32)
    if finding.severity <= 0 or finding.name in ("pneumothorax", DEVICE):
        return total
    code = [*board.seed, *finding.name.encode()]
    if finding.name == "cardiomegaly":
        for side in ("right", "left"):
            total = np.maximum(total, _cardiomegaly(board.lungs[side], side == "right", finding.severity, np.random.default_rng(code)))
        return total
    for number, lung in enumerate(_fields(board, finding.side)):
        own = (*code,) if finding.name == "diffuse opacity" else (*code, number)  # one process in both lungs looks alike
        look = Look(np.random.default_rng(own), board, own, lung.box)
        drawn = PAINTERS[finding.name](lung, finding.zone, finding.severity, look)
        total[lung.box] = np.maximum(total[lung.box], drawn)
    return total


def _free_air(board: Canvas, finding: Finding) -> Iterator[tuple[Field, Floats, Floats]]:
    """Each lung with a pneumothorax, its free air and its pleural line, cut to the lung."""
    for number, lung in enumerate(_fields(board, finding.side)):
        rng = np.random.default_rng([*board.seed, *finding.name.encode(), number])
        yield lung, *_pneumothorax(lung, finding.severity, rng)


def _device(board: Canvas, finding: Finding) -> Floats:
    kept = board.kept.get(finding)
    if kept is None:
        rng = np.random.default_rng([*board.seed, *finding.name.encode()])
        kept = board.kept[finding] = devices.drawn(board.scene, finding.severity, rng)
    return kept


def place(board: Canvas, finding: Finding) -> Floats:
    """Where a finding shows, (H, W) in 0..1: its opacity, a pneumothorax's free air, a device's shadow."""
    if finding.name == DEVICE and finding.severity > 0:
        return _device(board, finding)
    if finding.name != "pneumothorax":
        return opacity(board, finding)
    total = np.zeros_like(board.scene.film)
    for lung, air, _ in _free_air(board, finding):
        total[lung.box] = np.maximum(total[lung.box], air)
    return total


def paint(board: Canvas, findings: tuple[Finding, ...]) -> Floats:
    """The film (H, W) float32 in 0..1 with `findings` on it."""
    film = board.scene.film
    if not findings:
        return film
    detail = film - board.broad
    broad, keep = board.broad.copy(), np.ones_like(film)
    clear = np.ones_like(film)
    line = np.zeros_like(film)
    for finding in findings:
        if finding.name == "pneumothorax":
            for lung, air, edge in _free_air(board, finding):
                box = lung.box
                broad[box] -= air * np.float32(0.05 + 0.30 * 0.4) * np.clip(broad[box] * 2.2, 0.15, 1)
                keep[box] *= 1 - 0.55 * air
                line[box] = np.maximum(line[box], edge)
                clear[box] *= 1 - lung.mask * (1 - air) * np.float32(0.20 * finding.severity)
        elif finding.name != DEVICE:
            clear *= 1 - opacity(board, finding)
    film = _covered(broad, detail, keep, clear, line, board.dense)
    for finding in findings:
        if finding.name == DEVICE and finding.severity > 0:
            film = _with_device(film, _device(board, finding))
    return film


def _covered(broad: Floats, detail: Floats, keep: Floats, clear: Floats, line: Floats, dense: float) -> Floats:
    """What is left of the film, (H, W): dense where covered, its detail faded there, the pleural line where it is not."""
    cover = 1 - clear
    fill = dense - broad
    np.clip(fill, 0, None, out=fill)
    fill *= cover
    fill += broad
    detail *= keep
    detail *= 1 - 0.7 * cover
    fill += detail
    line *= np.float32(0.10)
    line *= 1 - cover
    fill += line
    return np.clip(fill, 0, 1, out=fill)


def _with_device(film: Floats, tube: Floats) -> Floats:
    """A tube or line over everything else, with the dark rim that processing gives a thin bright structure."""
    rim = np.clip(low_pass(tube, 4) - tube, 0, None)
    return np.asarray(np.clip(film + 0.55 * tube * (1.08 - film) - 0.30 * rim * film, 0, 1), dtype=np.float32)
