"""Which model answers: a reader's choice for their own questions, its checks by the same model, and what cannot be chosen."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from starlette.testclient import TestClient

from inference.select import Selection
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


def test_a_second_chosen_model_waits_for_no_one_and_says_who_keeps_it_out(
    browser: TestClient, running: Running, other: Other, tmp_path: Path
) -> None:
    """One model is open beside the served; while it answers somebody another cannot take its place, and the served one answers on."""
    hang = send(browser, *pair(tmp_path))["hang"]
    question = {"question": "What changed?", "slots": slots(hang)}
    with running.app.state.rivals.use("other", Event(), lambda _ahead: None):
        refused = events(browser.post("/api/ask", json={**question, "model": "broken"}).text)
        served = events(browser.post("/api/ask", json=question).text)
        assert not other.engine.closed
    assert refused[-1]["error"] == "Another chosen model is answering somebody now, and one is open beside the served; ask again later."
    assert browser.get(f"/api/sessions/{refused[0]['session_id']}").json()["turns"][0]["versions"] == []
    assert served[-1]["version"]["text"] == "The opacity is worse."
    assert other.opened == ["other"]
    assert "broken are damaged" in events(browser.post("/api/ask", json={**question, "model": "broken"}).text)[-1]["error"]
    assert other.engine.closed


def test_a_model_that_did_not_fit_beside_the_served_is_tried_again_with_the_next_question(
    browser: TestClient, running: Running, other: Other, tmp_path: Path
) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    question = {"question": "What changed?", "slots": slots(hang), "model": "other"}

    def full(_settings: object, _name: str) -> Selection:
        raise MemoryError

    running.app.state.rivals.opener = full
    refused = events(browser.post("/api/ask", json=question).text)
    assert refused[-1]["error"] == "The engine could not be opened; the log has the cause."
    assert browser.get("/api/engine").json()["state"] == "ready"
    running.app.state.rivals.opener = other.open
    assert events(browser.post("/api/ask", json=question).text)[-1]["version"]["text"] == "It is stable."
