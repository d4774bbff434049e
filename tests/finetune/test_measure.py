"""Figures of held-out pairs: readers whose skill is known get the figures they deserve, and what was read is not read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from errors import TuneError
from finetune import files, heldout, measure, outcomes, score
from finetune.heldout import Held
from finetune.outcomes import Figure
from finetune.synthesis.pairs import Pair
from finetune.synthesis.truth import Finding, Truth, changes, overall
from inference.engine import Request
from inference.prompts import FINDINGS
from tests.fakes import FakeEngine

GREY = 100


def film(severity: float, patient: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """A film as bright in the middle as the disease is severe, with the patient's own corner."""
    made = np.full((40, 40), GREY, dtype=np.uint8)
    made[10:30, 10:30] += round(100 * severity)
    made[0, 0] = patient
    return made


def held(patient: int, before: float, after: float, side: str = "right", source: str = "phantom") -> Held:
    """One pair with one consolidation."""
    prior, current = (Truth((Finding("consolidation", side, "mid", s),) if s else ()) for s in (before, after))  # type: ignore[arg-type]
    films = film(before, patient), film(after, patient)
    told = changes(prior, current), overall(prior, current), 14.0, f"{source}-{patient}"
    return Held(source, Pair(*films, prior, current, *told, "pair", patient))


def many(count: int = 12, source: str = "phantom") -> list[Held]:
    """Pairs that worsen, improve, stay, appear and resolve, right and left in turn."""
    ends = ((0.3, 0.8), (0.8, 0.3), (0.5, 0.5), (0.0, 0.7), (0.7, 0.0), (0.6, 0.6))
    return [held(number, *ends[number % len(ends)], ("right", "left")[number // 6 % 2], source) for number in range(count)]


def bright(request: Request) -> float:
    """How severe the disease of each image is, the last less the first."""
    levels = [float(image.pixels[20, 20, 0]) for image in request.images]
    return (levels[-1] - levels[0]) / 10


def seer(request: Request) -> Mapping[str, float]:
    """Reads the middle of the films rightly in either order; knows no side."""
    change, shown = bright(request), [image.pixels[20, 20, 0] > GREY for image in request.images]
    here = shown["second" in request.question] if len(shown) > 1 else False
    asked = here and "consolidation" in request.question
    return {
        **{"worse": change, "stable": 1 - abs(change), "improved": -change},
        **{"The first image.": -change, "The second image.": change},
        **{"Yes.": float(asked), "No.": 0.5, "Right.": 0.0, "Left.": -1.0},
        "Cannot tell: there is only one image.": 5.0 if len(request.images) == 1 else -5.0,
    }


def figures(engine: FakeEngine, chosen: Sequence[Held], folder: Path) -> dict[tuple[str, str], Figure]:
    found = measure.readings(engine, chosen, folder / "journal.jsonl")
    return {(figure.key, figure.source): figure for figure in outcomes.figures(found)}


def test_a_reader_that_sees_gets_full_marks_and_half_where_it_guesses(tmp_path: Path) -> None:
    found = figures(FakeEngine(scores=seer), many(), tmp_path)
    full = ("change both ways", "change one way", "exchange", "exchange of changed", "identical", "which image", "present", "missing prior")
    assert {key: found[key, "phantom"].value for key in full} == dict.fromkeys(full, 1.0)
    assert found["side", "phantom"].value == 0.5
    assert found["direction both ways", "phantom"].value == found["brightness", "phantom"].value == 1.0
    assert found["over brightness", "phantom"].value == 0.0
    assert found["image use", "phantom"].value > 0.5
    assert found["shuffled", "phantom"].value < 0.8


def test_a_reader_that_always_says_stable_is_at_chance_and_passes_only_what_stable_passes(tmp_path: Path) -> None:
    found = figures(FakeEngine(scores={"stable": 0.0}), many(), tmp_path)
    assert found["change both ways", "phantom"].value == pytest.approx(1 / 3)
    assert found["exchange", "phantom"].value == found["identical", "phantom"].value == 1.0
    assert found["exchange of changed", "phantom"].items == 0
    assert np.isnan(found["exchange of changed", "phantom"].value)
    assert found["direction one way", "phantom"].value == 0.5
    assert found["image use", "phantom"].value == 0.0


def test_a_reader_that_calls_every_change_worse_never_inverts_and_both_ways_it_is_none(tmp_path: Path) -> None:
    engine = FakeEngine(scores=lambda request: {"worse": 3.0 * (bright(request) != 0), "stable": 1.0})
    readings = measure.readings(engine, many(), tmp_path / "j.jsonl")
    found = {(figure.key, figure.source): figure for figure in outcomes.figures(readings)}
    assert found["exchange of changed", "phantom"].value == 0.0
    assert found["change one way", "phantom"].value == pytest.approx(2 / 3)
    assert outcomes.confusion(readings)["improved"] == {"worse": 0, "stable": 0, "improved": 0, "none": 4}


def test_sources_are_told_apart_and_together_with_intervals_by_patient(tmp_path: Path) -> None:
    chosen = [*many(12), *many(12, "painted")]
    found = figures(FakeEngine(scores=seer), chosen, tmp_path)
    assert {source for _, source in found} == {"phantom", "painted", "together"}
    whole = found["side", "together"]
    assert whole.items == found["side", "phantom"].items + found["side", "painted"].items == whole.units
    assert whole.low <= whole.value <= whole.high
    assert whole.target == 0.85


def test_what_was_read_is_not_asked_again_and_another_model_is(tmp_path: Path) -> None:
    chosen, first = many(6), FakeEngine(scores=seer)
    before = measure.readings(first, chosen, tmp_path / "j.jsonl")
    with (tmp_path / "j.jsonl").open("ab") as journal:
        journal.write(b'{"address": "cut off in the mid')
    again = FakeEngine(scores=seer)
    assert measure.readings(again, chosen, tmp_path / "j.jsonl") == before
    assert (len(first.scored) > 0, again.scored) == (True, [])
    row = json.loads((tmp_path / "j.jsonl").read_text().splitlines()[0])
    assert outcomes.recalled({name: value for name, value in row.items() if name != "address"}) == before[0]


def test_questions_about_one_pair_of_images_follow_each_other(tmp_path: Path) -> None:
    """An engine keeps one prompt's prefix: going back and forth between pairs of images would read each of them anew."""
    engine = FakeEngine(scores=seer)
    measure.read(engine, many()[0], film(0.4, 99))
    shown = [tuple(image.sha256 for image in request.images) for request, _ in engine.scored]
    runs = 1 + sum(a != b for a, b in pairwise(shown))
    assert runs == len(set(shown)) == 5


def test_right_answers_are_not_told_by_the_question() -> None:
    """Presence asks as often of what is there as of what is not, and no closed question has one answer only."""
    asked = [question for one in many(60) for question in measure.closed(one.pair)]
    for kind in ("more", "shows", "present", "side"):
        truths = [question.truth for question in asked if question.kind == kind]
        assert 0.35 < np.mean(truths) < 0.65
    assert {question.finding for question in asked if question.kind == "present"} <= set(FINDINGS)


def test_an_area_has_an_interval_that_widens_with_fewer_patients() -> None:
    draw = np.random.default_rng(0)
    truths = (np.arange(80) % 2).astype(float)
    scores = truths + draw.normal(0, 1, 80)
    wide, narrow = (score.auc_interval(scores, truths, [str(n // each) for n in range(80)]) for each in (20, 1))
    assert narrow[0] < score.auc(scores, truths) < narrow[1]
    assert wide[1] - wide[0] != narrow[1] - narrow[0]
    assert np.isnan(score.auc_interval(scores, np.ones(80), ["a"] * 80)).all()


def test_held_out_pairs_are_of_other_patients_and_the_same_each_time(tmp_path: Path) -> None:
    first, again = (heldout.draw(2, 48, None) for _ in range(2))
    assert [one.pair.current.tobytes() for one in first] == [one.pair.current.tobytes() for one in again]
    assert {one.source for one in first} == {"phantom"}
    assert all(one.pair.seed >= heldout.FIRST for one in first)
    with pytest.raises(TuneError, match="none of cxr_kermany"):
        heldout.draw(2, 48, tmp_path)
    with pytest.raises(TuneError, match="too few"):
        heldout.draw(1, 48, None)


def test_a_result_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_json(tmp_path / "a.json", {"value": float("nan"), "rows": (1.23456789,)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"value": None, "rows": [1.234568]}

    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TuneError, match=r"b\.json cannot be written \(No space left on device\)"):
        files.write_json(tmp_path / "b.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
