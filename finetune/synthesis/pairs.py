"""A prior and a current film with known truth, from a seed: what the bundled model learns interval change from.

    pair = pairs.generate(7, phantom.PhantomSource())
    pair.overall                # worse | stable | improved | uncertain (unrelated patients)
    pair.changes                # {"consolidation": "worse"}

The same seed and source give the same bytes, whatever was generated before. A source knows how to fetch a patient's
clean film with its lungs; painting, acquisition and truth are the same for all sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from errors import TuneError
from finetune.synthesis import acquire, paint
from finetune.synthesis.films import FilmSource
from finetune.synthesis.scene import Scene
from finetune.synthesis.truth import (
    CLEAR_EXTENT,
    DEPTHS,
    DEVICE,
    EXTENT_DEAD_ZONE,
    INVERSE,
    INVERSE_OVERALL,
    Change,
    Finding,
    Overall,
    Side,
    Truth,
    Zone,
    changes,
    overall,
)
from inference.prompts import FINDINGS

Kind = Literal["pair", "identical", "unrelated", "single"]


@dataclass(frozen=True)
class Pair:
    """Two films and what is true of them.

    `prior` and `current` are (size, size) uint8; `changes` names every finding present at either end. `kind`:
    `pair` (one patient, two acquisitions; half of the stable ones differ by acquisition alone), `identical` (the same
    bytes twice), `unrelated` (two patients: `changes` empty, `overall` uncertain), `single` (only `current` counts;
    `prior` is the same array). `clean` tells of each end whether the truth is complete: on a film that may carry disease of
    its own, painted findings are present but nothing may be called absent, new or resolved. `maps` (2, F, cells, cells), when they
    were asked for, tell where each of `FINDINGS` was painted at both ends, 0..255.
    """

    prior: NDArray[np.uint8]
    current: NDArray[np.uint8]
    prior_truth: Truth
    current_truth: Truth
    changes: Mapping[str, Change]
    overall: Overall
    interval_days: float
    patient: str
    kind: Kind
    seed: int
    clean: tuple[bool, bool] = (True, True)
    maps: NDArray[np.uint8] | None = None


def exchanged(pair: Pair) -> Pair:
    """The same films in the other order, with every change inverted."""
    return replace(
        pair,
        clean=pair.clean[::-1],
        maps=None if pair.maps is None else pair.maps[::-1],
        prior=pair.current,
        current=pair.prior,
        prior_truth=pair.current_truth,
        current_truth=pair.prior_truth,
        changes={name: INVERSE[change] for name, change in pair.changes.items()},
        overall=INVERSE_OVERALL[pair.overall],
    )


class Source(Protocol):
    """Where clean films come from; `scene(i)` for i in 0..count-1 is always the same film."""

    @property
    def count(self) -> int:
        """Number of films."""
        ...

    def scene(self, index: int) -> Scene:
        """Film number `index`, without acquisition differences."""
        ...


# name: share among findings, sides with their shares, zones
FREQUENCY: dict[str, float] = {
    "consolidation": 0.21,
    "diffuse opacity": 0.22,
    "pleural effusion": 0.16,
    "pneumothorax": 0.07,
    "nodule": 0.09,
    "cardiomegaly": 0.075,
    "atelectasis": 0.075,
    DEVICE: 0.10,
}
SIDES: dict[str, tuple[float, float, float]] = {  # right, left, bilateral
    "consolidation": (0.44, 0.44, 0.12),
    "diffuse opacity": (0.15, 0.15, 0.70),
    "pleural effusion": (0.40, 0.40, 0.20),
    "pneumothorax": (0.5, 0.5, 0.0),
    "nodule": (0.5, 0.5, 0.0),
    "atelectasis": (0.42, 0.42, 0.16),
}
ZONED = ("consolidation", "nodule", "atelectasis")
KINDS: tuple[tuple[Kind, float], ...] = (("pair", 0.78), ("identical", 0.07), ("unrelated", 0.08), ("single", 0.07))
LEAST, STEP = 0.15, 0.20
Ends = tuple[float, float]


def _place(name: str, rng: np.random.Generator) -> tuple[Side, Zone]:
    side: Side = ""
    if name in SIDES:
        side = ("right", "left", "bilateral")[int(rng.choice(3, p=SIDES[name]))]
    zone: Zone = ("upper", "mid", "lower")[int(rng.integers(3))] if name in ZONED else ""
    return side, "lower" if name == "pleural effusion" else zone


def _ends(direction: int, clean: bool, rng: np.random.Generator) -> Ends:
    """Severity at both ends for a finding that worsens (1), stays (0) or improves (-1)."""
    if direction == 0:
        level = rng.uniform(LEAST, 0.95)
        return level, float(np.clip(level + rng.uniform(-0.02, 0.02), LEAST, 1.0))
    if clean and rng.random() < 0.35:
        low, high = 0.0, rng.uniform(0.25, 1.0)
    else:
        low = rng.uniform(LEAST, 0.70)
        high = rng.uniform(low + STEP, 1.0)
    return (low, high) if direction > 0 else (high, low)


def _device(clean: bool, rng: np.random.Generator) -> list[tuple[Zone, float]]:
    """Zone and depth of a device's tip at both ends: put in or taken out where the film is clean, else left or moved."""
    zones: tuple[Zone, ...] = ("upper", "mid", "lower")
    first, second = (int(level) for level in rng.permutation(3)[:2])
    course = rng.random()
    ends = [first, first if course < 0.6 else second]
    depths = [list(DEPTHS.values())[level] for level in ends]
    if clean and rng.random() < 0.5:
        depths[int(rng.integers(2))] = 0.0
    return [(zones[level], depth) for level, depth in zip(ends, depths, strict=True)]


def _draw(rng: np.random.Generator, clean: bool, direction: int) -> tuple[Truth, Truth]:
    """Truth at both ends; most findings go the way of `direction`, some are stable, few go against it."""
    count = int(rng.choice([0, 1, 2, 3], p=(0.06, 0.50, 0.32, 0.12) if clean and direction == 0 else (0.0, 0.54, 0.33, 0.13)))
    names = rng.choice(list(FREQUENCY), size=count, replace=False, p=list(FREQUENCY.values()))
    prior, current = [], []
    for number, name in enumerate(map(str, names)):
        if name == DEVICE:
            (zone, before), (later, after) = _device(clean, rng)
            prior.append(Finding(name, "", zone, before))
            current.append(Finding(name, "", later, after))
            continue
        side, zone = _place(name, rng)
        mixed = rng.random()
        own = direction if number == 0 or mixed < 0.55 else 0 if mixed < 0.85 else -direction
        before, after = _ends(own, clean, rng)
        prior.append(Finding(name, side, zone, before))
        current.append(Finding(name, side, zone, after))
    return Truth(tuple(f for f in prior if f.severity > 0)), Truth(tuple(f for f in current if f.severity > 0))


def truths(rng: np.random.Generator, clean: bool) -> tuple[Truth, Truth]:
    """Truth at both ends: with identical pairs added, worse, stable and improved are equally frequent; none is a borderline case."""
    direction = int(rng.choice([-1, 0, 1], p=(0.365, 0.27, 0.365)))
    while True:
        prior, current = _draw(rng, clean, direction)
        difference = (current.extent - prior.extent) * (direction or 1)
        if difference >= CLEAR_EXTENT if direction else abs(difference) < EXTENT_DEAD_ZONE:
            return prior, current


Shot = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _shot(board: paint.Canvas, truth: Truth, look: acquire.Acquisition, size: int, cells: int) -> Shot:
    """A film (size, size) of `truth` and its maps (F, cells, cells)."""
    maps = np.zeros((len(FINDINGS), cells, cells), dtype=np.uint8)
    for finding in truth.findings if cells else ():
        maps[FINDINGS.index(finding.name)] = acquire.located(paint.place(board, finding), look, cells)
    return acquire.expose(paint.paint(board, truth.findings), look, size), maps


def _other(source: Source, scene: Scene, rng: np.random.Generator) -> Scene:
    """A film of another patient. Raises `TuneError` when the source has one patient only."""
    for _ in range(50):
        other = source.scene(int(rng.integers(source.count)))
        if other.patient != scene.patient:
            return other
    raise TuneError("unrelated pairs need films of two patients; the source seems to have one")


def ranked(seed: int, source: FilmSource, size: int = 256, strength: float = 1.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two films (size, size) uint8 as they are, nothing painted, the less diseased by its own label first (`FilmSource.contrast`)."""
    rng = np.random.default_rng([seed, 0x4A7])
    less, more = source.contrast(seed)
    return acquire.expose(less.film, acquire.draw(rng, strength), size), acquire.expose(more.film, acquire.draw(rng, strength), size)


def generate(seed: int, source: Source, size: int = 256, kind: Kind | None = None, strength: float = 1.0, cells: int = 0) -> Pair:
    """Pair number `seed` of `source`, (size, size) uint8 each.

    `kind` forces the kind (by default drawn: 78 % pair, 7 % identical, 8 % unrelated, 7 % single); `strength` scales
    the acquisition differences (0 none, 1 weak to moderate, 2 strong); `cells` asks for maps of that many cells a side.
    """
    rng = np.random.default_rng([seed, 0x9A1])
    drawn = KINDS[int(rng.choice(len(KINDS), p=[share for _, share in KINDS]))][0]
    chosen: Kind = kind or drawn
    scene = source.scene(int(rng.integers(source.count)))
    before, after = truths(rng, scene.clean)
    days = float(round(np.exp(rng.uniform(0, np.log(400)))))
    clean = (scene.clean, scene.clean)
    if chosen == "pair":
        board = paint.canvas(scene, (seed, 0x10C))
        looks = acquire.draw(rng, strength), acquire.draw(rng, strength)
        shots = [_shot(board, truth, look, size, cells) for truth, look in zip((before, after), looks, strict=True)]
    elif chosen == "unrelated":
        other = _other(source, scene, rng)
        clean = (other.clean, scene.clean)
        before = truths(rng, other.clean)[0]
        boards = paint.canvas(other, (seed + 1, 0x10C)), paint.canvas(scene, (seed, 0x10C))
        looks = acquire.draw(rng, strength), acquire.draw(rng, strength)
        shots = [_shot(*each, size, cells) for each in zip(boards, (before, after), looks, strict=True)]
    else:
        before = after
        shots = [_shot(paint.canvas(scene, (seed, 0x10C)), after, acquire.draw(rng, strength), size, cells)] * 2
    (prior, prior_maps), (current, current_maps) = shots
    unrelated = chosen == "unrelated"
    return Pair(
        prior=prior,
        current=current,
        prior_truth=before,
        current_truth=after,
        changes={} if unrelated else changes(before, after),
        overall="uncertain" if unrelated else overall(before, after),
        interval_days=days,
        patient=scene.patient,
        kind=chosen,
        seed=seed,
        clean=clean,
        maps=np.stack((prior_maps, current_maps)) if cells else None,
    )
