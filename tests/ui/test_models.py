"""Which model answers: a reader's choice for their own questions, its checks by the same model, and what cannot be chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.browser.samples import pair
from tests.ui.conftest import Running, events, send, slots
from tests.ui.test_duel import Other, other

__all__ = ["other"]


def test_the_chosen_model_answers_answers_again_and_checks_its_own_answer(
    browser: TestClient, running: Running, other: Other, tmp_path: Path
) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang), "model": "other"}).text)
    assert (told[-1]["version"]["model"], told[-1]["version"]["text"]) == ("other", "It is stable.")
    place = f"/api/sessions/{told[0]['session_id']}/turns/{told[0]['turn']['id']}"
    checks = f"{place}/versions/{told[-1]['version']['id']}/checks"
    assert events(browser.post(checks, json={"model": "other"}).text)[-1]["type"] == "checked"
    assert "This answer is of other" in events(browser.post(checks, json={}).text)[-1]["error"]
    again = events(browser.post(f"{place}/again", json={}).text)
    assert again[-1]["version"]["model"] == "fake"
    assert other.opened == ["other"]


@pytest.mark.parametrize(("name", "said"), [("../secret", "no longer here"), ("broken", "weights of broken are damaged")])
def test_what_cannot_be_opened_is_a_sentence_and_the_question_is_kept(
    browser: TestClient, other: Other, tmp_path: Path, name: str, said: str
) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang), "model": name}).text)
    assert told[-1]["type"] == "error"
    assert said in told[-1]["error"]
    assert browser.get(f"/api/sessions/{told[0]['session_id']}").json()["turns"][0]["question"] == "What changed?"
    assert "../secret" not in other.opened
