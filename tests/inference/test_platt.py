"""A percentage is shown only when enough answers of that kind were reviewed, and then it means what it says."""

from __future__ import annotations

import numpy as np
import pytest

from inference.platt import LEAST, Reviewed, coverage, fit, reliability


def overconfident(count: int, seed: int = 0, kind: str = "temporal") -> list[Reviewed]:
    """A model that says `share` where `0.5 + (share - 0.5) / 2` is true."""
    draw = np.random.default_rng(seed)
    shares = draw.uniform(0.4, 0.999, count)
    right = draw.random(count) < 0.5 + (shares - 0.5) / 2
    return [Reviewed(kind, float(share), bool(hit), f"patient {n // 2}") for n, (share, hit) in enumerate(zip(shares, right, strict=True))]


def test_nothing_is_fitted_below_two_hundred_reviewed_answers_of_that_kind() -> None:
    enough = overconfident(LEAST)
    assert fit(enough[:-1], "temporal") is None
    assert fit(enough, "comparison") is None
    assert fit([*enough[:-1], *overconfident(500, kind="comparison")], "temporal") is None
    assert fit(enough, "temporal") is not None


def test_probabilities_mean_what_they_say() -> None:
    fitted = fit(overconfident(4000), "temporal")
    assert fitted is not None
    assert fitted.before.error > 0.1
    assert fitted.reliability.error < 0.04
    assert fitted.probability(0.95) == pytest.approx(0.725, abs=0.05)
    assert fitted.probability(0.9) > fitted.probability(0.5)
    assert 0 < fitted.probability(0.0) < fitted.probability(1.0) < 1


def test_answers_that_are_all_right_or_whose_share_misleads_get_no_percentage() -> None:
    assert fit([Reviewed("temporal", 0.9, True)] * 300, "temporal") is None
    misled = [Reviewed("temporal", n / 400, n < 200, str(n)) for n in range(400)]
    assert fit(misled, "temporal") is None


def test_figures_held_out_are_never_the_models_own() -> None:
    """Where one half of the patients had right answers only, the shares of the other half passed for what the fit says of them."""
    items = [Reviewed("temporal", 0.6 + (n % 40) / 100, n % 2 == 0 or n % 40 > 15, str(n)) for n in range(400)]
    fitted = fit(items, "temporal")
    assert fitted is not None
    said = [probability for probability, _ in fitted.held_out]
    assert not {round(one.share, 6) for one in items} & {round(one, 6) for one in said[1::2]}


def test_the_reliability_diagram_has_bins_of_equal_mass_and_the_curve_ends_at_the_whole() -> None:
    said = np.linspace(0.05, 0.95, 100)
    found = reliability(said, said > 0.5)
    assert [one.count for one in found.bins] == [10] * 10
    assert found.error == pytest.approx(np.mean([abs(one.said - one.right) for one in found.bins]))
    curve = coverage([0.9, 0.8, 0.1], [True, True, False])
    assert curve[0] == (pytest.approx(1 / 3), 0.0)
    assert curve[-1] == (1.0, pytest.approx(1 / 3))


def test_a_share_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="no probability"):
        Reviewed("temporal", 1.2, True)


def test_what_a_threshold_leaves_is_counted_on_answers_held_out_of_the_fit() -> None:
    reviewed = overconfident(1000)
    fitted = fit(reviewed, "temporal")
    assert fitted is not None
    assert fitted.kept(0) == (1000, sum(one.right for one in reviewed))
    assert fitted.kept(1) == (0, 0)
    (many, right), (few, surer) = fitted.kept(0.6), fitted.kept(0.7)
    assert 0 < few < many < 1000
    assert surer / few > right / many > sum(one.right for one in reviewed) / 1000
