"""Degradations: each severity is more of the same, the shape stays, a seed gives the same film, and each does what its name says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from errors import TuneError
from finetune.degrade import AMOUNTS, DEGRADATIONS, MISSING, SEVERITIES, UNITS, WORDS, degrade
from finetune.synthesis import pairs
from tests.finetune import tiny

Film = NDArray[np.uint8]


@cache
def film() -> Film:
    return pairs.generate(3, tiny.SOURCE, 256, "pair").current


def worn(kind: str, severity: int, seed: int = 5) -> Film:
    return degrade(kind, film(), severity, np.random.default_rng(seed))


def distance(one: Film) -> float:
    return float(np.abs(one.astype(float) - film()).mean())


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_higher_severity_is_further_from_the_film(kind: str) -> None:
    far = [distance(worn(kind, severity)) for severity in SEVERITIES]
    assert far[0] > 0
    assert far == sorted(far)
    assert far[-1] > 1.5 * far[0]


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_shape_and_type_stay_and_a_seed_gives_the_same_film(kind: str) -> None:
    before = film().tobytes()
    one = worn(kind, 3)
    assert one.shape == film().shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, worn(kind, 3))
    assert film().tobytes() == before


@pytest.mark.parametrize("kind", ["noise", "rotation", "crop", "burned-in text", "exposure"])
def test_another_draw_is_another_film(kind: str) -> None:
    assert any(not np.array_equal(worn(kind, 4), worn(kind, 4, seed)) for seed in range(6, 12))


def test_every_degradation_has_five_amounts_and_a_unit() -> None:
    assert set(UNITS) == set(AMOUNTS)
    assert {len(amounts) for amounts in AMOUNTS.values()} == {len(SEVERITIES)}
    assert max(AMOUNTS["burned-in text"]) <= len(WORDS)


def test_what_is_burned_in_says_nothing_of_disease() -> None:
    """A mark that names a change would test obedience to text, not to films."""
    said = " ".join(WORDS).lower()
    assert not any(word in said for word in ("worse", "stable", "improved", "new", "normal", "pneumonia", "effusion"))


def test_blur_takes_edges_and_noise_adds_them() -> None:
    def edges(one: Film) -> float:
        return float(np.abs(np.diff(one.astype(float), axis=1)).mean())

    assert edges(worn("blur", 5)) < 0.8 * edges(film())
    assert edges(worn("noise", 5)) > 1.5 * edges(film())


def test_a_missing_prior_is_black_from_below_and_at_last_gone() -> None:
    half = worn(MISSING, 2)
    cut = round(0.6 * len(film()))
    assert np.array_equal(half[:cut], film()[:cut])
    assert not half[cut:].any()
    assert not worn(MISSING, 5).any()


@pytest.mark.parametrize(("kind", "severity"), [("fog", 1), ("noise", 0), ("noise", 6)])
def test_what_we_do_not_have_is_one_sentence(kind: str, severity: int) -> None:
    with pytest.raises(TuneError, match=f"no degradation {kind} of severity {severity}"):
        degrade(kind, film(), severity, np.random.default_rng(0))
