"""How forecasts turned out: nothing below a hundred, and from there on the figures that the counts give."""

from __future__ import annotations

import pytest

from inference.foretold import LEAST, standing
from storage.forecasts import Foretold


def came(name: str, shares: dict[str, float], model: str = "m", adapter: str = "") -> Foretold:
    """A forecast that was resolved."""
    return Foretold("bundled", model, adapter, shares, name)


def test_too_few_have_a_count_and_no_figure() -> None:
    rows = [came("worse", {"worse": 0.8, "stable": 0.2})] * (LEAST - 1)
    (found,) = standing([*rows])
    assert (found.resolved, found.brier, found.even, found.diagram) == (LEAST - 1, None, None, None)
    assert standing([]) == ()


def test_figures_are_those_of_the_counts() -> None:
    """Sure of worse at 0.8 and right in 40 of 50; torn at 0.6 and right in 10 of 50."""
    sure, torn = {"worse": 0.8, "stable": 0.2, "improved": 0.0}, {"worse": 0.1, "stable": 0.6, "improved": 0.3}
    rows = [came("worse", sure)] * 40 + [came("stable", sure)] * 10 + [came("stable", torn)] * 10 + [came("improved", torn)] * 40
    (found,) = standing(rows)
    right, wrong = 0.2**2 + 0.2**2, 0.8**2 + 0.8**2
    hit, missed = 0.1**2 + 0.4**2 + 0.3**2, 0.1**2 + 0.6**2 + 0.7**2
    assert found.brier == pytest.approx((40 * right + 10 * wrong + 10 * hit + 40 * missed) / 100)
    assert found.even == pytest.approx(2 / 3)
    assert found.diagram is not None
    assert [one.count for one in found.diagram.bins] == [20] * 5
    assert (found.diagram.bins[0].said, found.diagram.bins[-1].said) == (pytest.approx(0.6), pytest.approx(0.8))
    assert sum(one.count * one.right for one in found.diagram.bins) == pytest.approx(50)


def test_models_and_adapters_stand_apart_and_a_tie_is_no_forecast() -> None:
    even = {"worse": 0.5, "improved": 0.5}
    rows = [came("worse", even, adapter="a")] * LEAST + [came("worse", even)] * 3 + [came("worse", even, "other")] * 2
    found = standing(rows)
    assert [(one.adapter, one.resolved) for one in found] == [("a", LEAST), ("", 3), ("", 2)]
    assert found[0].diagram is not None
    assert {one.right for one in found[0].diagram.bins} == {0.0}
