"""Trust over the wire: checks made after an answer and kept with it, mentions and measurements of its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from inference.engine import Request
from inference.offsets import Offset
from inference.prompts import FINDINGS
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.conftest import Running, events, send, slots
from ui.security import COOKIE


@pytest.fixture
def hung(browser: TestClient, tmp_path: Path) -> dict[str, Any]:
    hang: dict[str, Any] = send(browser, *pair(tmp_path))["hang"]
    return hang


def answered(browser: TestClient, hang: dict[str, Any]) -> tuple[int, int, int]:
    """Session, turn and version of one answered question."""
    told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)
    assert told[-1]["type"] == "answer", told[-1]
    return told[0]["session_id"], told[0]["turn"]["id"], told[-1]["version"]["id"]


def address(session: int, turn: int, version: int) -> str:
    return f"/api/sessions/{session}/turns/{turn}/versions/{version}/checks"


def worse(_request: Request) -> Mapping[str, float]:
    return {"worse": -0.1, "stable": -3.0, "improved": -3.0}


def test_checks_of_an_answer_are_made_told_and_kept(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    running.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    session, turn, version = answered(browser, hung)
    told = events(browser.post(address(session, turn, version), json={}).text)
    assert told[0]["type"] == "checking"
    assert [event["text"] for event in told if event["type"] == "stage" and event["name"] == "scoring"][-1] == "scoring finding 8 of 8"
    assert told[-1]["type"] == "checked"
    made = told[-1]["version"]
    assert made["checks"]["trust"]["words"] == "not image-dependent"
    assert made["checks"]["exchange"]["verdict"] == "order-blind"
    assert set(made["progression"]) == set(FINDINGS)
    assert (made["text"], made["id"]) == ("The opacity is worse.", version)
    kept = browser.get(f"/api/sessions/{session}").json()["turns"][0]["versions"]
    assert [{**one, "created": ""} for one in kept] == [{**made, "created": ""}]
    assert kept[0]["checks"]["confidence"]["entropy"] < 1


def test_a_check_on_request_is_put_to_those_that_are_there(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    running.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    where = answered(browser, hung)
    browser.post(address(*where), json={})
    made = events(browser.post(address(*where), json={"names": ["paraphrase"]}).text)[-1]["version"]
    assert {"exchange", "paraphrase", "no_image"} <= set(made["checks"])
    assert made["checks"]["trust"]["words"] == "not image-dependent"
    assert set(made["progression"]) == set(FINDINGS)
    assert browser.post(address(*where), json={"names": ["everything"]}).status_code == 422


def test_one_models_answer_is_not_checked_by_another(
    browser: TestClient, running: Running, hung: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser of two models was checked with the served one's likelihoods, and so was an answer from before a promotion."""
    where = answered(browser, hung)
    monkeypatch.setattr(running.desk, "card", replace(CARD, adapter="f" * 64))
    told = events(browser.post(address(*where), json={}).text)
    assert told[-1] == {
        "type": "error",
        "error": "This answer is of another adapter, and only the model that gave it can check it; ask again to have one of fake.",
    }
    monkeypatch.setattr(running.desk, "card", replace(CARD, sha256="1" * 64, name="other"))
    assert "This answer is of fake" in events(browser.post(address(*where), json={}).text)[-1]["error"]


def test_one_model_of_a_server_does_not_check_anothers_answer(
    browser: TestClient, running: Running, hung: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server tells no digest, so all its models passed for one."""
    monkeypatch.setattr(running.desk, "card", replace(CARD, sha256="", engine="remote"))
    where = answered(browser, hung)
    monkeypatch.setattr(running.desk, "card", replace(CARD, name="other", sha256="", engine="remote"))
    told = events(browser.post(address(*where), json={}).text)
    assert told[-1]["error"].startswith("This answer is of fake, and only the model that gave it can check it")


def test_a_stop_keeps_the_checks_already_made(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    where = answered(browser, hung)
    engine = FakeEngine(scores=lambda request: stop_at(18))

    def stop_at(call: int) -> Mapping[str, float]:
        """The first 18 calls score eight findings and the whole, the next one is that without images."""
        if len(engine.scored) == call:
            for _, cancel in list(running.app.state.context.runs.values()):
                cancel.set()
        return {}

    running.desk.engine = engine
    assert events(browser.post(address(*where), json={}).text)[-1]["type"] in ("checked", "stage", "checking")
    kept = browser.get(f"/api/sessions/{where[0]}").json()["turns"][0]["versions"][0]
    assert len(kept["progression"]) == len(FINDINGS)
    assert {"decided", "rotation"} <= set(kept["checks"])
    assert "exchange" not in kept["checks"]
    assert kept["checks"]["trust"]["state"] == "unchecked"


def test_a_promotion_in_the_middle_keeps_the_checks_of_the_model_that_answered(
    browser: TestClient, running: Running, hung: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = answered(browser, hung)

    def promoting(request: Request) -> Mapping[str, float]:
        if len(running.desk.engine.scored) == 18:
            monkeypatch.setattr(running.desk, "card", replace(CARD, adapter="f" * 64))
        return worse(request)

    running.desk.engine = FakeEngine(scores=promoting)
    told = events(browser.post(address(*where), json={}).text)
    assert [one["error"] for one in told if one["type"] == "error"] == [
        "The checks are not complete: another adapter was promoted meanwhile, and figures of two models are not mixed; begin again."
    ]
    made = told[-1]["version"]
    assert set(made["progression"]) == set(FINDINGS)
    assert not {"no_image", "exchange"} & set(made["checks"])
    assert made["checks"]["trust"]["state"] == "unchecked"


def test_what_two_runs_of_checks_make_at_once_is_judged_together(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    """The later run judged what it had found when it began, and put "not checked" over "not image-dependent"."""
    where = answered(browser, hung)
    other: list[Any] = []

    def between(request: Request) -> Mapping[str, float]:
        if len(running.desk.engine.scored) == 2:
            here = running.app.state.context
            store, user = here.store, here.reader(str(browser.cookies.get(COOKIE)))
            blind = {"check": "C1", "verdict": "not image-dependent", "explanation": "It leans as before.", "passed": False}
            other.append(store.add_checks(where[2], user, {"no_image": blind}, {"nodule": {"new": 0.9, "stable": 0.1}}))
        return worse(request)

    running.desk.engine = FakeEngine(scores=between)
    made = events(browser.post(address(*where), json={"names": ["decided"]}).text)[-1]["version"]
    assert other
    assert made["checks"]["trust"]["words"] == "not image-dependent"


def test_a_stop_in_the_last_reading_is_made_good_by_the_next_run(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    """All findings were there, so the change as a whole was never read again."""
    where = answered(browser, hung)

    def stop(request: Request) -> Mapping[str, float]:
        if len(running.desk.engine.scored) == 17:
            for _, cancel in list(running.app.state.context.runs.values()):
                cancel.set()
        return worse(request)

    running.desk.engine = FakeEngine(scores=stop)
    browser.post(address(*where), json={})
    kept = browser.get(f"/api/sessions/{where[0]}").json()["turns"][0]["versions"][0]
    assert (set(kept["progression"]), kept["checks"]["overall"]) == (set(FINDINGS), {})
    running.desk.engine = FakeEngine(scores=worse)
    made = events(browser.post(address(*where), json={}).text)[-1]["version"]
    assert max(made["checks"]["overall"], key=made["checks"]["overall"].get) == "worse"
    assert sum(request.question.startswith("How has") for request, _ in running.desk.engine.scored) == 0, "no finding is read twice"


def test_checks_that_fail_keep_what_was_made(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    """Options that look alike without their signs once ended in a KeyError, and the scores made before it were lost."""
    where = answered(browser, hung)

    def broken(request: Request) -> Mapping[str, float]:
        if len(running.desk.engine.scored) == 19:
            raise KeyError("improved")
        return worse(request)

    running.desk.engine = FakeEngine(scores=broken)
    told = events(browser.post(address(*where), json={}).text)
    assert "failed inside the server" in next(one["error"] for one in told if one["type"] == "error")
    assert told[-1]["type"] == "checked"
    assert set(told[-1]["version"]["progression"]) == set(FINDINGS)


def test_an_answer_weighed_with_other_offsets_is_not_checked_with_these(
    browser: TestClient, running: Running, hung: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = answered(browser, hung)
    monkeypatch.setattr(running.desk, "card", replace(CARD, offsets=(Offset("overall", (("worse",), ("stable",)), (0.0, 1.0)),)))
    told = events(browser.post(address(*where), json={}).text)
    assert told[-1]["error"].startswith("This answer is of other offsets")


def test_only_ones_own_whole_answers_can_be_checked(
    browser: TestClient, stranger: TestClient, running: Running, hung: dict[str, Any]
) -> None:
    where = answered(browser, hung)
    assert stranger.post(address(*where), json={}).status_code == 404
    assert stranger.get(f"/api/sessions/{where[0]}/trust").status_code == 404
    assert browser.post(address(where[0], where[1], 10**6), json={}).status_code == 404
    running.desk.says("The opacity is worse.", dies_after=2)
    told = events(browser.post(f"/api/sessions/{where[0]}/turns/{where[1]}/again", json={}).text)
    refused = browser.post(address(where[0], where[1], told[-1]["version"]["id"]), json={})
    assert (refused.status_code, refused.json()["error"]) == (409, "Only a whole answer can be checked; ask again.")


def test_mentions_and_measurements_stand_beside_the_words(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    running.desk.says("Region A of the second image is smaller than in the prior; the third image is clear.")
    session, _, version = answered(browser, hung)
    prior, current = (slot["series"]["id"] for slot in hung["slots"])
    marks = [
        {"id": name, "kind": "length", "series_id": series, "frame": 0, "points": [[0, 0], [0, length]], "label": label}
        for name, label, series, length in (("a", "A", prior, 10), ("b", "B", current, 40))
    ]
    document = {"version": 0, "marks": marks, "pairs": [{"id": "a:b", "prior": "a", "current": "b"}]}
    assert browser.put(f"/api/sessions/{session}/marks", json=document).status_code == 200
    found = browser.get(f"/api/sessions/{session}/trust").json()["answers"][str(version)]
    assert [(one["text"], one["images"], one["reason"]) for one in found["mentions"]] == [
        ("Region A", [0], ""),
        ("the second image", [1], ""),
        ("the prior", [0], ""),
        ("the third image", [], "there are 2 images, none is number 3"),
    ]
    (measured,) = found["measured"]
    assert measured["conflicts"] is True
    assert measured["sentence"].startswith("A and B measure")
    assert measured["sentence"].endswith("but the answer says smaller.")


def test_a_measurement_contradicts_no_answer_about_other_images_or_about_what_is_to_come(
    browser: TestClient, running: Running, hung: dict[str, Any]
) -> None:
    running.desk.says("It is smaller.")
    session, _, version = answered(browser, hung)
    prior, current = (slot["series"]["id"] for slot in hung["slots"])
    alone = {"question": "Is it smaller?", "slots": slots(hung)[1:], "session_id": session}
    ahead = {"question": "Will it be smaller in a year?", "slots": slots(hung), "session_id": session}
    others = [events(browser.post("/api/ask", json=body).text)[-1]["version"]["id"] for body in (alone, ahead)]
    marks = [
        {"id": name, "kind": "length", "series_id": series, "frame": 0, "points": [[0, 0], [0, length]], "label": name}
        for name, series, length in (("A", prior, 10), ("B", current, 40))
    ]
    document = {"version": 0, "marks": marks, "pairs": [{"id": "A:B", "prior": "A", "current": "B"}]}
    assert browser.put(f"/api/sessions/{session}/marks", json=document).status_code == 200
    found = browser.get(f"/api/sessions/{session}/trust").json()["answers"]
    assert [one["conflicts"] for one in found[str(version)]["measured"]] == [True]
    assert [found[str(other)]["measured"] for other in others] == [[], []]
