"""An answer about what is to come is weighed as a forecast and never stands as a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Event

import numpy as np
import pytest

from inference.answer import Answer, as_json, ask
from inference.calibrated import of_answer
from inference.checks import checked
from inference.engine import Image, Request
from inference.report import Report, Source, Words, cautions, draft, provenance
from tests.fakes import FakeEngine

QUESTION = "Will the effusion be larger in a year?"


def pair(question: str) -> Request:
    """Two different pictures of one patient, with a question."""
    pixels = [np.full((8, 8, 3), grey, np.uint8) for grey in (40, 200)]
    return Request((Image(pixels[0], "a" * 64, "prior"), Image(pixels[1], "b" * 64, "current")), question)


def answered(question: str) -> tuple[Answer, FakeEngine]:
    engine = FakeEngine(["It will be worse."], scores={"worse": 0.0, "stable": -2.0, "improved": -3.0})
    (answer,) = [one for one in checked(engine, ask(engine, pair(question), Event(), progression=True), Event()) if isinstance(one, Answer)]
    return answer, engine


def test_it_is_weighed_ahead_of_the_current_study_and_nothing_is_due_of_an_exchange() -> None:
    answer, _ = answered(QUESTION)
    decided = answer.checks["decided"]
    assert decided.question.startswith("Compared with the current study, will the pleural effusion in a year be worse, stable or improved?")
    assert max(decided.seen, key=lambda name: decided.seen[name]) == "worse"
    assert [answer.checks[name].verdict for name in ("exchange", "identical")] == ["not made", "not made"]
    assert answer.checks["no_image"].verdict != "not made"
    assert answer.progression == {}


def test_json_marks_a_forecast_and_nothing_else() -> None:
    found = as_json(answered(QUESTION)[0])["forecast"]
    assert isinstance(found, Mapping)
    assert (found["mark"], found["horizon"], found["days"]) == ("Forecast, not a finding", "in a year", 365)
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert as_json(answered("How has the effusion changed in a year?")[0])["forecast"] is None


def test_no_percentage_of_reviewed_answers_is_put_to_a_forecast() -> None:
    made = {name: check.as_json() for name, check in answered(QUESTION)[0].checks.items()}
    assert of_answer(made) is None
    assert of_answer({name: check.as_json() for name, check in answered("How has the effusion changed?")[0].checks.items()}) is not None


def test_report_names_it_and_states_it_nowhere() -> None:
    seen = Source(1, "What changed?", "temporal", "The effusion is larger.", overall={"worse": 0.8, "stable": 0.1, "improved": 0.1})
    ahead = Source(2, QUESTION, "temporal", "It will be gone.", progression={"pleural effusion": {"resolved": 1.0}}, forecast=True)
    sources: Sequence[Source] = (seen, ahead)
    words = draft((), sources)
    assert words.impression.startswith("The effusion is larger.")
    assert not any("gone" in part or "ffusion." in part for part in (words.findings, words.comparison))
    assert draft((), (ahead,)) == Words()
    assert f"“{QUESTION}”: forecast, not a finding; its answer stands in no part of the draft." in cautions(sources)
    rows = dict(provenance(Report("P-1", words, (), sources, ()))[-1])
    assert rows["Forecast, not a finding"] == "It will be gone."
    assert "Answer" not in rows
