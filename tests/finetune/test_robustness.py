"""Robustness curves: known readers get known curves, a stopped run goes on, the drawing is one whole file."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from finetune import robustness
from finetune.curves import Curve, Panel, panels
from finetune.degrade import DEGRADATIONS, MISSING, SEVERITIES
from finetune.heldout import Held
from finetune.robustness import ABSENT, CANNOT, CHANGE, IDENTICAL, INVENTS, SENTENCES, TELLS, Point
from inference.engine import Engine, Request
from inference.select import Selection
from settings import Settings
from tests.fakes import FakeEngine
from tests.finetune import tiny
from tests.readers import always_stable

PAIRS = 4


@cache
def held() -> tuple[Held, ...]:
    """Pairs of every class."""
    return tuple(Held("phantom", tiny.pair(seed)) for seed in range(PAIRS))


def drawn(engine: Engine, tmp_path: Path) -> dict[tuple[str, str, int], Point]:
    found = robustness.readings(engine, held(), tmp_path / "kept.jsonl", lambda _words: None)
    return {(one.degradation, one.measure, one.severity): one for one in robustness.points(held(), found)}


def honest() -> FakeEngine:
    """Says that it cannot tell when it is shown one image, or a prior whose lower half is black, and else that all is stable."""

    def scores(request: Request) -> Mapping[str, float]:
        first = request.images[0].pixels
        blind = len(request.images) == 1 or not first[len(first) // 2 :].any()
        return {CANNOT[0]: 0.0 if blind else -20.0, SENTENCES[1]: -1.0, "stable": -1.0}

    return FakeEngine(scores=scores)


def test_a_reader_that_always_says_stable_is_at_chance_on_change_and_perfect_on_identical(tmp_path: Path) -> None:
    found = drawn(always_stable(), tmp_path)
    classes = len({one.pair.overall for one in held()})
    assert classes > 1
    for kind in DEGRADATIONS:
        for severity in SEVERITIES if kind != MISSING else ():
            assert found[kind, CHANGE, severity].value == pytest.approx(1 / classes if "stable" in {h.pair.overall for h in held()} else 0)
            assert found[kind, IDENTICAL, severity].value == 1
    assert found["noise", CHANGE, 0].patients == len({one.pair.patient for one in held()})


def test_saying_that_one_cannot_tell_counts_where_the_prior_is_missing(tmp_path: Path) -> None:
    found = drawn(honest(), tmp_path)
    assert [found[MISSING, TELLS, severity].value for severity in (0, 1, 3, 5, ABSENT)] == [0, 0, 1, 1, 1]
    assert [found[MISSING, INVENTS, severity].value for severity in (0, 5, ABSENT)] == [0, 0, 0]
    inventor = drawn(FakeEngine(scores={SENTENCES[0]: 0.0}), tmp_path / "second")
    assert inventor[MISSING, INVENTS, ABSENT].value == 1


def test_ends_are_degraded_apart_and_the_absent_prior_is_one_image(tmp_path: Path) -> None:
    """Two acquisitions of one film differ by their noise, or an identical pair would test nothing."""
    engine = always_stable()
    drawn(engine, tmp_path)
    alone = [request for request, _ in engine.scored if len(request.images) == 1]
    assert len(alone) == PAIRS
    assert {request.images[0].role for request in alone} == {""}
    same = robustness.Asked(robustness.Condition("noise", 3), IDENTICAL, 0)
    prior, current = robustness.shown(held()[0], same)
    assert (prior != current).any()
    change = robustness.Asked(robustness.Condition("noise", 3), CHANGE, 0)
    assert (robustness.shown(held()[0], change)[1] == current).all()  # encoded once for both measures
    clean = robustness.Asked(robustness.Condition("", 0), IDENTICAL, 0)
    assert len({film.tobytes() for film in robustness.shown(held()[0], clean)}) == 1


def test_a_stopped_run_asks_only_what_it_has_not_asked(tmp_path: Path) -> None:
    engine, again = always_stable(), always_stable()
    first = drawn(engine, tmp_path)
    lines = (tmp_path / "kept.jsonl").read_text().splitlines()
    (tmp_path / "kept.jsonl").write_text("\n".join(lines[:-7]) + "\n")
    assert drawn(again, tmp_path) == first
    assert len(again.scored) == 7


def test_the_plan_is_counted_before_it_is_read() -> None:
    count = len(robustness.plan(PAIRS))
    assert count == PAIRS * (3 + 7 * 5 * 2 + 6)
    assert len(set(robustness.plan(PAIRS))) == count


def test_the_command_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("inference.select.open_engine", lambda *_asked: Selection(honest(), "a fake"))
    monkeypatch.setattr(robustness, "load", lambda **_given: Settings(data_dir=tmp_path / "data"))
    monkeypatch.setattr(robustness.heldout, "draw", lambda *_given: list(held()[:2]))
    assert robustness.main(["--pairs", "2", "--out", str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert written["readings"] == len(robustness.plan(2))
    assert written["pairs"] == {"phantom": 2}
    assert any(MISSING in sentence and "one image alone" in sentence for sentence in written["sentences"])
    root = ElementTree.fromstring((tmp_path / "out" / "robustness.svg").read_text())
    text = " ".join(part.text or "" for part in root.iter())
    assert all(kind in text for kind in DEGRADATIONS)
    assert "prefers-color-scheme: dark" in text
    assert "readings of 2 held-out pairs" in capsys.readouterr().err


def test_curves_leave_out_what_was_not_measured_and_escape_names() -> None:
    nan = float("nan")
    text = panels("a < b", [Panel("p & q", ("0", "1", "2"), (Curve("c", (0.5, nan, 1.0), (0.4, nan, 0.9), (0.6, nan, 1.0)),), 1 / 3)])
    root = ElementTree.fromstring(text)
    dots = [part for part in root.iter() if part.get("class") == "dot"]
    assert [dot.get("cy") for dot in dots] == ["75.0", "0.0"]
    assert "nan" not in text
    assert "a &lt; b" in text
