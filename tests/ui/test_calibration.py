"""A percentage over the wire: only from two hundred reviewed answers of the question type, by the same model, with its diagram."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from inference.platt import LEAST
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.inference.test_calibrated import site
from tests.ui.conftest import Running, events, send
from tests.ui.test_review import promote, queued
from tests.ui.test_trust import address, answered, worse


@pytest.fixture
def where(browser: TestClient, running: Running, tmp_path: Path) -> tuple[int, int, int]:
    """A checked answer."""
    running.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    found = answered(browser, send(browser, *pair(tmp_path))["hang"])
    assert events(browser.post(address(*found), json={}).text)[-1]["type"] == "checked"
    return found


def reviewers_let_through(running: Running, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    store = running.app.state.context.store
    monkeypatch.setattr(store, "accepted", lambda: site(count, CARD.sha256))
    monkeypatch.setattr(store, "accepted_stamp", lambda: (count, None))


def asked(client: TestClient, where: tuple[int, int, int], at_least: int = 0) -> dict[str, Any]:
    answer = client.get(address(*where).replace("/checks", "/calibration"), params={"at_least": at_least})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_below_two_hundred_there_is_a_sentence_and_no_number(
    browser: TestClient, running: Running, where: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(browser, where)["answer"]["reviewed"] == 0
    reviewers_let_through(running, monkeypatch, LEAST - 1)
    for part in asked(browser, where).values():
        assert part["probabilities"] == {}
        assert (part["before"], part["after"]) == (None, None)
        assert part["why"].endswith(f"and there are {LEAST - 1}.")


def test_a_server_that_names_no_weights_has_no_percentage(
    browser: TestClient, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of every model of every server were one model's, and vouched for each other."""
    running.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    monkeypatch.setattr(running.desk, "card", replace(CARD, sha256="", engine="remote"))
    where = answered(browser, send(browser, *pair(tmp_path))["hang"])
    assert events(browser.post(address(*where), json={}).text)[-1]["type"] == "checked"
    store = running.app.state.context.store
    monkeypatch.setattr(store, "accepted", lambda: site(1501, ""))
    monkeypatch.setattr(store, "accepted_stamp", lambda: (1501, None))
    found = asked(browser, where, 99)["answer"]
    assert (found["probabilities"], found["withheld"], found["thresholds"]) == ({}, {}, [])
    assert found["why"].startswith("No percentage: the model server does not say what its weights are")


def test_from_two_hundred_on_answers_and_findings_have_a_percentage_and_its_diagram(
    browser: TestClient, running: Running, where: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's share lies ten points above what is right."""
    reviewers_let_through(running, monkeypatch, 1500)
    found = asked(browser, where)
    (said,) = browser.get(f"/api/sessions/{where[0]}").json()["turns"][0]["versions"]
    share = max(said["checks"]["decided"]["seen"].values())
    assert found["answer"]["why"] == ""
    assert found["answer"]["probabilities"][""] == pytest.approx(share - 0.1, abs=0.06)
    assert found["answer"]["after"]["error"] < found["answer"]["before"]["error"]
    assert sum(one["count"] for one in found["answer"]["after"]["bins"]) == found["answer"]["reviewed"] == 1500
    assert set(found["findings"]["probabilities"]) == set(said["progression"])


def test_an_answer_is_withheld_below_the_chance_asked_for_and_only_there(
    browser: TestClient, running: Running, where: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewers_let_through(running, monkeypatch, 1500)
    chance = asked(browser, where)["answer"]["probabilities"][""]
    least = int(100 * chance)
    for below in (0, least):
        assert asked(browser, where, below)["answer"]["withheld"] == {}
    found = asked(browser, where, least + 1)
    words = f"answers like this one (temporal questions) are right in about {least} of 100 here, and you asked for at least {least + 1}"
    assert found["answer"]["withheld"][""] == f"Withheld: {words}."
    assert set(asked(browser, where, 99)["findings"]["withheld"]) == set(found["findings"]["probabilities"])
    kept = [(one["least"], one["shown"], one["right"]) for one in found["answer"]["thresholds"]]
    assert [one[1] for one in kept] == sorted((one[1] for one in kept), reverse=True)
    assert all(right <= shown <= 1500 for _, shown, right in kept)


def test_what_is_withheld_stands_in_no_draft_report(
    browser: TestClient, running: Running, where: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report panel wrote out the answer that the conversation had folded."""
    reviewers_let_through(running, monkeypatch, 1500)
    report = f"/api/sessions/{where[0]}/report"
    whole, held = (browser.get(report, params={"at_least": least}).json() for least in (0, 99))
    assert whole["words"]["impression"].startswith("The opacity is worse.")
    assert (held["words"]["findings"], held["words"]["impression"]) == ("", "")
    assert "its answer is left out of what is drafted. Withheld: answers like this one" in held["cautions"][0]
    assert "Answer, withheld: The opacity is worse." in browser.get(f"{report}.txt", params={"at_least": 99}).text


def test_without_a_calibrator_nothing_is_withheld(
    browser: TestClient, running: Running, where: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewers_let_through(running, monkeypatch, LEAST - 1)
    for part in asked(browser, where, 99).values():
        assert (part["withheld"], part["thresholds"]) == ({}, [])


def test_another_reader_sees_nothing_of_it(stranger: TestClient, where: tuple[int, int, int]) -> None:
    assert stranger.get(address(*where).replace("/checks", "/calibration")).status_code == 404


def test_an_answer_counts_from_the_moment_a_reviewer_lets_it_through(
    browser: TestClient, stranger: TestClient, running: Running, where: tuple[int, int, int]
) -> None:
    """Other tests' cases are in the same store."""
    promote(running, stranger, "annotator")
    before = asked(browser, where)["answer"]["reviewed"]
    assert browser.post("/api/feedback", json={"version_id": where[2], "verdict": "agree"}).status_code == 200
    assert asked(browser, where)["answer"]["reviewed"] == before
    case = queued(stranger, {})["id"]
    assert stranger.post(f"/api/review/items/{case}/take").status_code == 200
    assert stranger.post(f"/api/review/items/{case}/decision", json={"decision": "judged", "verdict": "agree"}).status_code == 200
    assert asked(browser, where)["answer"]["reviewed"] == before + 1
