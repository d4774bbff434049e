"""Two models on one question: both answers kept, nothing told of their names while it is blind, the preference kept as feedback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from errors import ModelNotLoaded
from inference.select import Selection
from settings import Settings
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.conftest import Running, events, send, slots
from ui.rivals import Choice


class Other:
    """Another model for the app: opened by name, closed when it is no longer needed."""

    def __init__(self) -> None:
        self.engine = FakeEngine(["It is stable."], card=replace(CARD, name="other", sha256="1" * 64))
        self.opened: list[str] = []

    def open(self, _settings: Settings, name: str) -> Selection:
        self.opened.append(name)
        if name == "broken":
            raise ModelNotLoaded("the weights of broken are damaged; add the model again")
        return Selection(self.engine, "A fake rival.")


@pytest.fixture
def other(running: Running) -> Iterator[Other]:
    rivals, made = running.app.state.rivals, Other()
    before = rivals.opener, rivals.choices
    rivals.opener, rivals.choices = made.open, lambda _settings: (Choice("other", "other · fake"), Choice("broken", "broken · fake"))
    yield made
    rivals.close()
    rivals.opener, rivals.choices = before


def body(hang: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"question": "What changed?", "slots": slots(hang), "models": ["", "other"], **more}


def test_both_answers_are_kept_under_the_question_and_blind_names_neither(
    browser: TestClient, running: Running, other: Other, tmp_path: Path
) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    text = browser.post("/api/duel", json=body(hang)).text
    told = events(text)
    assert told[-1] == {"type": "done"}
    answers = [event for event in told if event["type"] == "answer"]
    assert {answer["text"] for answer in answers} == {"The opacity is worse.", "It is stable."}
    assert not [event for event in told if event["type"] == "token"]
    assert '"other"' not in text
    assert CARD.sha256 not in text
    versions = browser.get(f"/api/sessions/{told[0]['session_id']}").json()["turns"][0]["versions"]
    assert {(version["model"], version["text"]) for version in versions} == {("fake", "The opacity is worse."), ("other", "It is stable.")}
    asked, rival = running.desk.engine.requests[-1], other.engine.requests[-1]
    assert (asked.question, asked.options, [image.sha256 for image in asked.images]) == (
        rival.question, rival.options, [image.sha256 for image in rival.images],
    )  # fmt: skip


def test_a_preference_is_feedback_on_the_better_answer(browser: TestClient, other: Other, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    told = events(browser.post("/api/duel", json=body(hang, blind=False)).text)
    assert "".join(event["text"] for event in told if event["type"] == "token" and event["side"] == 1) == "It is stable."
    first, second = (event["version_id"] for event in told if event["type"] == "answer")
    assert browser.post("/api/feedback", json={"version_id": second, "preferred_over": first}).status_code == 200
    versions = browser.get(f"/api/sessions/{told[0]['session_id']}").json()["turns"][0]["versions"]
    assert [version["feedback"][-1]["preferred_over"] if version["feedback"] else None for version in versions] == [None, first]


def test_order_is_drawn_when_it_is_blind_and_kept_when_it_is_not(browser: TestClient, other: Other, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]

    def first(blind: bool) -> str:
        told = events(browser.post("/api/duel", json=body(hang, blind=blind)).text)
        return str(next(event["text"] for event in told if event["type"] == "answer" and event["side"] == 0))

    assert {first(False) for _ in range(3)} == {"The opacity is worse."}
    assert len({first(True) for _ in range(24)}) == 2
    assert other.opened == ["other"]


def test_only_two_different_offered_models_are_asked(browser: TestClient, other: Other, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    offered = browser.get("/api/models").json()
    assert offered[0]["name"] == ""
    assert [one["name"] for one in offered[1:]] == ["other", "broken"]
    for models in (["", ""], ["", "/etc/passwd"], ["", "bundled+/tmp/mine"]):
        refused = browser.post("/api/duel", json=body(hang, models=models))
        assert refused.status_code == 400, models
        assert refused.json()["error"].endswith(".")
    assert other.opened == []


def test_a_model_that_cannot_be_opened_is_a_sentence_and_the_other_answer_is_kept(
    browser: TestClient, other: Other, tmp_path: Path
) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    told = events(browser.post("/api/duel", json=body(hang, models=["", "broken"], blind=False)).text)
    assert told[-1]["type"] == "error"
    assert "damaged" in told[-1]["error"]
    versions = browser.get(f"/api/sessions/{told[0]['session_id']}").json()["turns"][0]["versions"]
    assert [version["text"] for version in versions] == ["The opacity is worse."]
    assert json.loads(browser.get("/api/engine").text)["state"] == "ready"
