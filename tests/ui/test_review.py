"""Feedback and review over HTTP: what is kept, who may do what, and what a refusal says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from settings import load
from storage.feedback import CODES
from storage.schema import now
from storage.store import Store
from storage.views import LOCAL
from tests.browser.samples import pair
from tests.finetune import ordered
from tests.ui.conftest import HERE, Running, events, send, slots
from tests.ui.desk import Desk
from ui import routes_feedback
from ui.guidelines import guidelines, written
from ui.server import create_app


def promote(running: Running, client: TestClient, role: str) -> int:
    """Give the browser's reader a role; their number."""
    number: int = client.get("/api/me").json()["id"]
    store: Store = running.app.state.context.store
    store.give_role(store.user(LOCAL), number, role)
    return number


@pytest.fixture
def answer(browser: TestClient, tmp_path: Path) -> dict[str, Any]:
    """A version of an answer of this browser's reader."""
    hang = send(browser, *pair(tmp_path))["hang"]
    told = browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang), "ability": "temporal"})
    version: dict[str, Any] = events(told.text)[-1]["version"]
    return version


FLAG = {"verdict": "disagree", "codes": ["images-swapped"], "cells": {"effusion": "worse"}, "severity": "major"}


def flagged(browser: TestClient, version: dict[str, Any], **more: object) -> int:
    """Flag an answer; the case's number in the queue."""
    said = browser.post("/api/feedback", json={"version_id": version["id"], **FLAG, **more})
    assert said.status_code == 200, said.text
    return int(said.json()["id"])


def queued(client: TestClient, version: dict[str, Any], **filters: object) -> dict[str, Any]:
    """The line of an answer in the queue; other tests' cases are there too."""
    page = client.post("/api/review/queue?limit=200", json={"order": "newest", **filters}).json()
    line: dict[str, Any] = page["items"][0]
    return line


def test_a_statement_is_answered_with_what_stands(browser: TestClient, answer: dict[str, Any]) -> None:
    mark = {"image": 1, "label": "A", "kind": "box", "points": [[1.5, 2], [8, 9]]}
    flagged(browser, answer, mark=mark, corrected_answer=" It is worse. ")
    again = browser.post("/api/feedback", json={"version_id": answer["id"], "cells": {"effusion": "", "overall": "worse"}}).json()[
        "feedback"
    ]
    assert again["codes"] == ["images-swapped"]
    assert again["cells"] == {"overall": "worse"}
    assert (again["corrected_answer"], again["severity"], again["mark"]["points"]) == ("It is worse.", "major", [[1.5, 2.0], [8.0, 9.0]])


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({}, 400, "says nothing"),
        ({"verdict": "maybe"}, 422, "verdict"),
        ({"codes": ["rude"]}, 400, "no error code"),
        ({"cells": {"effusion": "gone"}}, 400, "new, worse, stable"),
        ({"mark": {"image": 5, "points": [[1, 1]]}}, 400, "image 6"),
        ({"mark": {"image": 0, "points": []}}, 422, "points"),
        ({"preferred_over": 10**6}, 400, "same question"),
        ({"surprise": 1}, 422, "surprise"),
        ({"version_id": 10**9, "verdict": "agree"}, 404, "was not found"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_sentence(
    browser: TestClient, answer: dict[str, Any], said: dict[str, Any], status: int, words: str
) -> None:
    refused = browser.post("/api/feedback", json={"version_id": answer["id"], **said})
    assert (refused.status_code, words in refused.json()["error"]) == (status, True), refused.text


def test_readers_are_kept_out_of_review_with_the_remedy(browser: TestClient, answer: dict[str, Any]) -> None:
    me = browser.get("/api/me").json()
    assert (me["role"], me["rights"]) == ("reader", [])
    for refused in (
        browser.post("/api/review/queue", json={}),
        browser.get("/api/review/facets"),
        browser.get("/api/review/items/1"),
        browser.post("/api/review/items/1/take"),
        browser.post("/api/review/next", json={}),
        browser.post("/api/review/items/1/decision", json={"decision": "judged"}),
        browser.get("/api/review/agreement"),
        browser.get("/api/review/guidelines"),
        browser.get("/api/review/statements/1"),
    ):
        assert refused.status_code == 403
        assert f"users role {me['id']} annotator" in refused.json()["error"]


def test_a_reviewer_takes_sees_and_decides(browser: TestClient, stranger: TestClient, running: Running, answer: dict[str, Any]) -> None:
    flagged(browser, answer)
    number = promote(running, stranger, "annotator")
    line = queued(stranger, answer)
    case = stranger.get(f"/api/review/items/{line['id']}").json()
    assert [slot["role"] for slot in case["slots"]] == ["prior", "current"]
    assert case["case"]["turn"]["versions"][0]["text"] == answer["text"]
    assert case["suggestion"]["answer"] == "The effusion is worse."
    series = case["slots"][0]["series"]["id"]
    assert stranger.get(f"/pixels/{series}/0.jpg").status_code == 200
    assert stranger.get(f"/api/series/{series}/frames.json").status_code == 200
    listed = stranger.get("/api/library").json()["patients"]  # what other tests shared with everyone may be among them
    assert series not in [one["id"] for patient in listed for study in patient["studies"] for one in study["series"]]
    assert all(study["shared"] for patient in listed for study in patient["studies"])
    decision = {"decision": "judged", "verdict": "disagree", "codes": ["images-swapped"], "cells": {"effusion": "worse"}}
    early = stranger.post(f"/api/review/items/{line['id']}/decision", json=decision)
    assert (early.status_code, "take it again" in early.json()["error"]) == (409, True)
    held = stranger.post(f"/api/review/items/{line['id']}/take").json()
    assert held["holder"] == number
    done = stranger.post(f"/api/review/items/{line['id']}/decision", json=decision).json()
    assert (done["state"], done["accepted"], done["reviews"]) == ("submitted", True, 1)
    assert browser.get(f"/pixels/{series}/0.jpg").status_code == 200


def test_a_statement_leads_to_its_case_also_when_its_reader_said_more(
    browser: TestClient, stranger: TestClient, running: Running, answer: dict[str, Any]
) -> None:
    first = flagged(browser, answer)
    flagged(browser, answer, comment="And one thing more.")
    promote(running, stranger, "annotator")
    assert stranger.get(f"/api/review/statements/{first}").json() == {"item": queued(stranger, answer)["id"]}
    missing = stranger.get("/api/review/statements/1000000")
    assert (missing.status_code, "is in no case of the queue" in missing.json()["error"]) == (404, True)


def test_another_who_holds_it_is_said_so(browser: TestClient, stranger: TestClient, running: Running, answer: dict[str, Any]) -> None:
    flagged(browser, answer)
    promote(running, stranger, "annotator")
    third = TestClient(running.app, base_url=HERE)
    third.get("/")
    promote(running, third, "adjudicator")
    item = queued(stranger, answer)["id"]
    stranger.post(f"/api/review/items/{item}/take")
    refused = third.post(f"/api/review/items/{item}/take")
    assert (refused.status_code, refused.json()["error"]) == (
        409, "Somebody else has this case in work; take another, or come back in some minutes",
    )  # fmt: skip
    assert stranger.post("/api/review/release").json() == {"released": 1}
    assert third.post(f"/api/review/items/{item}/take").status_code == 200
    assert third.get("/api/review/items/999999").status_code == 404


def test_a_reader_who_floods_is_stopped_for_the_day(browser: TestClient, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    flagged(browser, answer)
    monkeypatch.setattr(routes_feedback, "now", lambda: now())
    monkeypatch.setattr(Store, "statements_since", lambda *_: 500)
    refused = browser.post("/api/feedback", json={"version_id": answer["id"], "verdict": "agree"})
    assert refused.status_code == 429
    assert "500 statements in 24 hours" in refused.json()["error"]


def test_a_name_is_kept_and_shown_in_the_queue(browser: TestClient, stranger: TestClient, running: Running, answer: dict[str, Any]) -> None:
    assert browser.put("/api/me", json={"name": " Dr.  Reader "}).json()["name"] == "Dr. Reader"
    flagged(browser, answer)
    promote(running, stranger, "annotator")
    assert queued(stranger, answer)["reader_name"] == "Dr. Reader"


def test_guidelines_have_every_code_once_and_examples_that_would_be_accepted() -> None:
    found = guidelines()
    assert [one.code for one in found.codes] == list(CODES)
    for one in found.codes:
        assert one.code == "other" or one.examples
        assert all(set(example.codes) <= set(CODES) for example in one.examples)
        assert all(
            name in ("new", "worse", "stable", "improved", "resolved", "uncertain") for e in one.examples for name in e.cells.values()
        )


def test_corrected_findings_are_written_as_sentences() -> None:
    assert written({"overall": "worse", "effusion": "resolved", "nodule": "new"}) == (
        "The effusion has resolved. There is a new nodule. As a whole the disease is worse."
    )


def test_a_site_may_make_everybody_an_annotator(tmp_path: Path) -> None:
    app = create_app(load(data_dir=tmp_path, new_role="annotator"), Desk().factory, demo=False)
    with TestClient(app, base_url=HERE) as client:
        client.get("/")
        assert client.get("/api/me").json()["rights"] == ["review"]
        assert client.get("/api/review/agreement").json()["items"] == 0


def test_whoever_flagged_is_told_what_a_candidate_says_to_it(
    running: Running, browser: TestClient, stranger: TestClient, answer: dict[str, Any]
) -> None:
    number = flagged(browser, answer)
    (told,) = browser.get("/api/flags").json()
    assert (told["flag"]["version"], told["flag"]["state"], told["fate"]) == (answer["id"], "pending", None)
    sheet = {**ordered.sheet("asked-again"), "replayed": [ordered.told(number, "fixed", "What changed?", "better", "worse", "worse")]}
    place = ordered.run(running.app.state.context.settings, "asked-again", sheet=sheet)
    try:
        (told,) = browser.get("/api/flags").json()
        assert (told["fate"]["state"], told["fate"]["after"], told["fate"]["live"]) == ("fixed", "worse", False)
        assert stranger.get("/api/flags").json() == []
        promote(running, stranger, "annotator")
        line = queued(stranger, answer)
        assert stranger.get(f"/api/review/items/{line['id']}").json()["fate"]["run"] == "asked-again"
    finally:
        shutil.rmtree(place)
