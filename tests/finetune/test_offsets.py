"""Offsets that are fitted: a reader that leans is put right, one that knows nothing is left alone, and nobody is measured on the fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune import bundled, heldout, measure, offsets, outcomes
from finetune.offsets import Example, fit
from finetune.synthesis.films import split_of
from inference.engine import Request
from inference.offsets import Offset, weighed
from inference.prompts import OVERALL, PROGRESSION
from tests.fakes import CARD, FakeEngine
from tests.finetune.test_measure import bright, many

LEAN = np.array([0.0, 3.0, 0.0])


def readings(count: int, knows: float, kind: str = "overall", seed: int = 0) -> list[Example]:
    """Answers of a reader that leans to stable by `LEAN` and sees the truth as a rise of `knows` in noise, shrunk to a quarter."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(count):
        truth = number % 3
        logs = (LEAN + draw.normal(0, 1, 3) + knows * (np.arange(3) == truth)) / 4
        odds = np.exp(logs) / np.exp(logs).sum()
        made.append(Example(kind, f"patient {number // 2}", OVERALL, tuple(map(float, odds)), truth))
    return made


def hits(some: list[Example], given: tuple[Offset, ...]) -> float:
    guesses = [list(weighed(dict(zip(one.answers, one.odds, strict=True)), given).values()) for one in some]
    return float(np.mean([int(np.argmax(guess)) == one.truth for guess, one in zip(guesses, some, strict=True)]))


def test_a_reader_that_leans_to_stable_names_change_again_on_patients_it_was_not_fitted_on() -> None:
    found = fit("overall", readings(240, 2.5))
    assert found.offset is not None
    assert found.offset.groups == (("stable",), ("worse", "improved"))
    assert found.offset.added == (0.0, pytest.approx(6.0, abs=2.5))
    assert found.offset.contrast == pytest.approx(10.0, rel=0.3)
    assert found.offset.level == pytest.approx(10.0, rel=0.4)
    others = readings(600, 2.5, seed=1)
    assert hits(others, ()) < 0.65 < 0.75 < hits(others, (found.offset,))
    assert found.balanced[0] < found.balanced[2] - 0.1
    assert found.loss[2] < found.loss[1] < found.loss[0]


def test_a_reader_that_knows_nothing_gains_no_class_and_too_few_answers_fit_nothing() -> None:
    """Its shares come to even odds at best: nothing may look like knowledge."""
    found = fit("overall", readings(240, 0.0))
    assert found.balanced[2] < 0.42
    assert found.offset is None
    assert fit("overall", readings(offsets.LEAST - 1, 3.0)).offset is None
    assert fit("overall", [Example("overall", "one", OVERALL, (0.2, 0.5, 0.3), number % 3) for number in range(60)]).offset is None


def test_what_is_never_right_in_these_pairs_is_not_made_likelier() -> None:
    """Fitted on pairs of two patients as well, a tenth of the findings of one patient were called uncertain."""
    draw = np.random.default_rng(3)
    some = []
    for number in range(200):
        odds = np.exp(draw.normal(0, 1, 6) + 2.0 * (np.arange(6) == number % 5) + 2.0 * (np.arange(6) == 2))
        some.append(Example("progression", f"patient {number}", PROGRESSION, tuple(map(float, odds / odds.sum())), number % 5))
    found = fit("progression", some).offset
    assert found is not None
    assert found.added[found.groups.index(("uncertain",))] == 0
    assert min(found.added[1:3]) > 0


def test_a_right_reader_is_left_as_it_is() -> None:
    some = [
        Example("side", f"patient {number}", ("Right.", "Left."), ((0.96, 0.04), (0.04, 0.96))[number % 2], number % 2)
        for number in range(80)
    ]
    found = fit("side", some)
    assert found.balanced == (1.0, 1.0, 1.0)
    assert found.offset is None or max(map(abs, found.offset.added)) < 0.2


def shy(request: Request) -> Mapping[str, float]:
    """Sees the change of the middle of the films, and likes stable better whatever it sees."""
    change = bright(request)
    return {"worse": 0.1 * change, "stable": 1.0, "improved": -0.1 * change, "uncertain": -9.0}


def test_what_is_asked_is_kept_and_the_change_is_asked_in_both_orders(tmp_path: Path) -> None:
    chosen, first = many(6), FakeEngine(scores=shy)
    found = offsets.examples(first, chosen, tmp_path / "j.jsonl", lambda _line: None)
    overall = [one for one in found if one.kind == "overall"]
    assert len(overall) == 12
    assert sorted(one.answers[one.truth] for one in overall[:2]) == ["improved", "worse"]
    assert {one.kind for one in found} == {"overall", "progression", "which", "present", "side"}
    again = FakeEngine(scores=shy)
    assert offsets.examples(again, chosen, tmp_path / "j.jsonl", lambda _line: None) == found
    assert again.scored == []


def test_nobody_is_measured_on_what_was_fitted() -> None:
    fitted, measured = offsets.drawn(4, 48, None), heldout.draw(4, 48, None)
    assert not {one.pair.patient for one in fitted} & {one.pair.patient for one in measured}
    assert not {one.pair.seed for one in fitted} & set(range(heldout.FIRST, heldout.FIRST + 1_000_000))
    assert [one.pair.kind for one in fitted] == ["pair"] * 4
    assert heldout.FITTED[1] == "train"
    assert {split_of(f"patient {number}") for number in range(200)} == {"train", "dev"}


def test_readings_with_offsets_are_those_of_the_product_and_without_them_stand_beside(tmp_path: Path) -> None:
    engine = FakeEngine(
        scores=shy, card=replace(CARD, offsets=(Offset("overall", (("stable",), ("worse", "improved")), (0.0, -1.0), 0.0, 8.0),))
    )
    found = measure.readings(engine, many(), tmp_path / "j.jsonl")
    made = measure.report(engine.card, found, 1.0)
    with_, without = ({row["key"]: row["value"] for row in made[name]} for name in ("figures", "without_offsets"))
    assert (without["change one way"], with_["change one way"]) == (pytest.approx(1 / 3), 1.0)
    assert made["confusion"]["worse"]["worse"] == 4
    assert measure.report(CARD, found, 1.0)["without_offsets"] == []
    assert with_["direction both ways"] == without["direction both ways"] == 1.0
    assert outcomes.weighed(found, ()) == found


def test_the_shipped_offsets_are_of_the_shipped_weights() -> None:
    """Offsets of other weights would lean the other way; they are left out of the built model, and must not be shipped either."""
    path = bundled.PARTS / bundled.OFFSETS_FILE
    if path.exists():
        shipped = json.loads(path.read_text())
        assert shipped["revision"] == json.loads((bundled.PARTS / bundled.PARTS_FILE).read_text())["revision"]
        assert bundled.offsets() == shipped["offsets"]
