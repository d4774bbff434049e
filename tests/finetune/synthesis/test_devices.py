"""Tubes and lines: their tip lies where the truth says, they look alike at both dates, and they are never disease."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.synthesis import devices, paint, pairs, truth
from finetune.synthesis.phantom import PhantomSource
from finetune.synthesis.scene import Floats
from finetune.synthesis.truth import DEPTHS, DEVICE, Finding, Truth

LOOKS = (1, 12, 2, 0, 3, 7)  # of each kind one


def shadow(source: PhantomSource, look: int, depth: str) -> Floats:
    """What the device adds to the film."""
    board = paint.canvas(source.scene(0), (look,))
    return paint.paint(board, (Finding(DEVICE, "", "", DEPTHS[depth]),)) - source.scene(0).film


def test_the_looks_cover_every_kind_of_device(source: PhantomSource) -> None:
    scene = source.scene(0)
    chest = devices._chest(scene)
    kinds = {devices._chosen(np.random.default_rng([look, *DEVICE.encode()]), chest, scene.film.shape[0])[0] for look in LOOKS}
    assert kinds == set(devices.DEVICES)


@pytest.mark.parametrize("look", LOOKS)
def test_a_deeper_tip_is_a_longer_shadow_of_the_same_course(source: PhantomSource, look: int) -> None:
    high, place, low = (shadow(source, look, depth) > 0.08 for depth in DEPTHS)
    assert 0 < high.sum() < place.sum() < low.sum()
    assert (high & low).sum() > 0.75 * high.sum()
    assert np.flatnonzero(place.any(axis=1))[-1] > np.flatnonzero(high.any(axis=1))[-1]


def test_a_tracheal_tube_ends_above_the_carina_when_it_is_in_place(source: PhantomSource) -> None:
    scene = source.scene(0)
    rows = np.flatnonzero((scene.right + scene.left).max(axis=1) > 0.5)
    tips = [np.flatnonzero((shadow(source, 1, depth) > 0.08).any(axis=1))[-1] for depth in DEPTHS]
    high, place, low = ((tip - rows[0]) / (rows[-1] - rows[0]) for tip in tips)
    assert high < 0.10
    assert 0.12 < place < 0.30
    assert 0.36 < low < 0.55


def test_a_device_is_new_stable_or_resolved_and_never_disease() -> None:
    ends = [Truth(), *(Truth((Finding(DEVICE, "", "", depth),)) for depth in DEPTHS.values())]
    for prior in ends:
        for current in ends:
            kind = truth.changes(prior, current).get(DEVICE, "absent")
            known = {(False, False): "absent", (False, True): "new", (True, False): "resolved", (True, True): "stable"}
            assert kind == known[bool(prior.findings), bool(current.findings)]
            assert truth.overall(prior, current) == "stable"


@pytest.mark.parametrize("clean", [True, False])
def test_a_device_alone_never_makes_a_pair_worse_or_improved(clean: bool) -> None:
    rng = np.random.default_rng(5)
    seen = 0
    for _ in range(600):
        prior, current = pairs.truths(rng, clean)
        kinds = truth.changes(prior, current)
        seen += DEVICE in kinds
        if truth.overall(prior, current) != "stable":
            assert any(kind != "stable" for name, kind in kinds.items() if name != DEVICE)
        if not clean:
            assert kinds.get(DEVICE, "stable") == "stable"
    assert seen > 40


def test_the_zone_of_a_tip_is_its_depth() -> None:
    rng = np.random.default_rng(6)
    found = {f for _ in range(400) for end in pairs.truths(rng, True) for f in end.findings if f.name == DEVICE}
    assert {(f.zone, truth.depth(f)) for f in found} == {("upper", "high"), ("mid", "in place"), ("lower", "low")}
