"""Before a question is sent: questions that fit, a reader's own templates, and what the draft takes of the context."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.conftest import Running, events, send, slots
from tests.ui.desk import Desk


@pytest.fixture
def hung(browser: TestClient, tmp_path: Path) -> dict[str, Any]:
    hang: dict[str, Any] = send(browser, *pair(tmp_path))["hang"]
    return hang


def fit(browser: TestClient, hang: dict[str, Any], **more: Any) -> list[str]:
    ids = [slot["series"]["id"] for slot in hang["slots"]]
    found: list[str] = browser.post("/api/suggestions", json={"series_ids": ids, **more}).json()
    return found


def test_a_readers_own_templates_are_offered_filled_and_given_back(browser: TestClient, stranger: TestClient, hung: dict[str, Any]) -> None:
    usual = fit(browser, hung)
    assert usual[0] == "What changed since the prior?"
    assert browser.put("/api/templates/temporal", json={"texts": [" Is {mark} larger? ", "Compare with the prior."]}).json()["own"] is True
    assert fit(browser, hung, marks=["A", "C"]) == ["Is region A larger?", "Is region C larger?", "Compare with the prior."]
    assert fit(browser, hung) == ["Compare with the prior."]
    assert browser.get("/api/templates").json()["temporal"] == {"texts": ["Is {mark} larger?", "Compare with the prior."], "own": True}
    assert stranger.get("/api/templates").json()["temporal"]["own"] is False
    assert browser.put("/api/templates/temporal", json={"texts": []}).json()["own"] is False
    assert fit(browser, hung) == usual


@pytest.mark.parametrize("texts", [["Is the {organ} larger?"], ["x" * 401], [""], ["What?"] * 25], ids=["place", "long", "empty", "many"])
def test_a_template_that_cannot_be_used_is_refused_with_a_sentence(browser: TestClient, texts: list[str]) -> None:
    answer = browser.put("/api/templates/temporal", json={"texts": texts})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"].endswith(".")
    assert browser.get("/api/templates").json()["temporal"]["own"] is False


def test_a_draft_is_counted_with_all_that_goes_along(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    def taken(**more: Any) -> dict[str, Any]:
        found: dict[str, Any] = browser.post("/api/budget", json={"slots": slots(hung), **more}).json()
        return found

    empty = taken()
    assert (empty["images"], empty["earlier"], empty["whole"], empty["fits"]) == (2 * CARD.tokens_per_image, 0, CARD.context_tokens, True)
    assert empty["taken"] == empty["images"] + empty["words"] + empty["answer"]
    told = taken(question="What changed?", clinical={"prior_report": "Small effusion on the left. " * 20})
    marked = taken(marks=[{"image": 0, "label": "A", "kind": "point", "points": [[3, 4]]}])
    assert min(told["words"], marked["words"]) > empty["words"]
    begun = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hung)}).text)[0]
    later = taken(session_id=begun["session_id"])
    assert (later["earlier_questions"], later["left_out"]) == (1, "")
    assert later["earlier"] > 0
    running.desk.engine = FakeEngine(card=replace(CARD, context_tokens=200))
    running.desk.card = running.desk.engine.card
    try:
        assert taken()["fits"] is False
    finally:
        running.desk.card = CARD


def test_a_draft_is_reckoned_while_the_model_loads_or_another_is_counted(
    browser: TestClient, running: Running, hung: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each count waited for the model; forty of them held every thread of the server, and the page stood still."""
    reached, go = Event(), Event()

    def held(_desk: Desk, _request: object) -> list[int]:
        reached.set()
        assert go.wait(60)
        return [0] * 500

    def taken() -> dict[str, Any]:
        found: dict[str, Any] = browser.post("/api/budget", json={"slots": slots(hung)}).json()
        return found

    monkeypatch.setattr(Desk, "counts", lambda _desk: False, raising=False)
    monkeypatch.setattr(Desk, "token_ids", held, raising=False)
    assert (taken()["exact"], reached.is_set()) == (False, False)
    monkeypatch.setattr(Desk, "counts", lambda _desk: True, raising=False)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(taken)
        assert reached.wait(60)
        assert [taken()["exact"] for _ in range(3)] == [False] * 3
        go.set()
        assert first.result(60)["exact"] is True


def test_a_draft_of_somebody_elses_case_is_not_counted(browser: TestClient, stranger: TestClient, hung: dict[str, Any]) -> None:
    assert stranger.post("/api/budget", json={"slots": slots(hung)}).status_code == 404
    assert stranger.post("/api/suggestions", json={"series_ids": [hung["slots"][0]["series"]["id"]]}).status_code == 404
