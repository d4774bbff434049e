"""Marks over the wire: saved, reloaded, refused when another tab was faster, and for nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.browser.samples import pair
from tests.ui.conftest import Running, send, slots


@pytest.fixture
def case(browser: TestClient, tmp_path: Path) -> tuple[str, list[int]]:
    """(address of the marks of a session begun without a question, its series)."""
    chosen = slots(send(browser, *pair(tmp_path))["hang"])
    begun = browser.post("/api/sessions", json={"slots": chosen}).json()
    assert begun["title"].startswith("2 images · ")
    return f"/api/sessions/{begun['id']}/marks", [slot["series_id"] for slot in chosen]


def length(series: int, name: str = "m1") -> dict[str, Any]:
    return {"id": name, "kind": "length", "series_id": series, "frame": 0, "points": [[1, 2], [30.5, 40]], "values": {"mm": 18.2}}


def test_session_without_a_question_is_in_the_history(browser: TestClient, case: tuple[str, list[int]]) -> None:
    listed = browser.get("/api/sessions").json()
    assert case[0].split("/")[3] in {str(one["id"]) for one in listed}


def test_marks_come_back_after_a_reload(browser: TestClient, running: Running, case: tuple[str, list[int]]) -> None:
    url, series = case
    assert browser.get(url).json()["version"] == 0
    saved = browser.put(url, json={"version": 0, "marks": [length(series[0]), length(series[1], "m2")], "layout": "2x1",
                                   "pairs": [{"id": "p", "prior": "m1", "current": "m2"}], "mode": "fade"})  # fmt: skip
    assert saved.json() == {"version": 1}
    again = TestClient(running.app, base_url="http://127.0.0.1", cookies=dict(browser.cookies))
    found = again.get(url).json()
    assert (found["version"], found["layout"], found["mode"]) == (1, "2x1", "fade")
    assert found["marks"][0]["points"] == [[1, 2], [30.5, 40]]
    assert found["marks"][0]["values"] == {"mm": 18.2}


def test_second_tab_is_told_the_newest_version(browser: TestClient, case: tuple[str, list[int]]) -> None:
    url, _ = case
    browser.put(url, json={"version": 0, "layout": "1x2"})
    late = browser.put(url, json={"version": 0, "layout": "2x2"})
    assert (late.status_code, late.json()["version"]) == (409, 1)
    assert "another tab" in late.json()["error"]
    assert browser.get(url).json()["layout"] == "1x2"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 100_000])
def test_body_that_is_no_document_is_a_sentence(browser: TestClient, case: tuple[str, list[int]], body: bytes) -> None:
    answer = browser.put(case[0], content=body)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")


def test_wrong_field_and_too_large_are_sentences(browser: TestClient, case: tuple[str, list[int]]) -> None:
    wrong = browser.put(case[0], json={"version": 0, "colour": "red"})
    assert (wrong.status_code, "colour" in wrong.json()["error"]) == (400, True)
    large = browser.put(case[0], content=b" " * (1 << 21))
    assert large.status_code == 413
    hidden = browser.put(case[0], json={"version": 0, "marks": [length(10**6)]})
    assert hidden.status_code == 404


def test_other_reader_neither_reads_nor_writes(browser: TestClient, stranger: TestClient, case: tuple[str, list[int]]) -> None:
    url, series = case
    assert stranger.get(url).status_code == 404
    assert stranger.put(url, json={"version": 0}).status_code == 404
    assert stranger.post("/api/sessions", json={"slots": [{"series_id": series[0]}]}).status_code == 404
    assert stranger.post("/api/overrides", json={"series_ids": series, "codes": ["patient"], "reason": "because I can"}).status_code == 404
    assert browser.get(url).json()["version"] == 0


def test_override_needs_a_typed_reason(browser: TestClient, case: tuple[str, list[int]]) -> None:
    for body in ({"reason": ""}, {"reason": "   "}, {"reason": "a" * 500}, {}):
        answer = browser.post("/api/overrides", json={"series_ids": case[1], "codes": ["laterality"], **body})
        assert answer.status_code in (400, 422)
        assert answer.json()["error"]
    kept = browser.post("/api/overrides", json={"series_ids": case[1], "codes": ["laterality"], "reason": "side marker is wrong"})
    assert kept.status_code == 200
    assert [one["reason"] for one in browser.get("/api/overrides").json()] == ["side marker is wrong"]
