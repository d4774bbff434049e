"""The time that is left is told from the model's own last answers, and not told while nothing is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from inference.engine import Stage, Timings
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.conftest import Running, events, send, slots
from ui.pace import after, left

FIRST = Timings(encode_s=4.0, prefill_s=3.0, first_token_s=8.0, total_s=13.0, images_encoded=2)


def test_each_stage_leaves_what_comes_behind_it() -> None:
    pace = after(None, FIRST)
    assert left(pace, Stage("encoding", 1, 2)) == pytest.approx(2 + 2 + 3 + 5)
    assert left(pace, Stage("encoding", 2, 2)) == pytest.approx(2 + 3 + 5)
    assert left(pace, Stage("reading")) == pytest.approx(8)
    assert left(pace, Stage("writing")) == pytest.approx(5)
    assert left(pace, Stage("waiting")) is None
    assert left(None, Stage("encoding", 1, 2)) is None


def test_a_follow_up_that_encodes_nothing_says_nothing_of_images() -> None:
    pace = after(after(None, FIRST), replace(FIRST, encode_s=0.0, images_encoded=0, prefill_s=1.0, total_s=11.0))
    assert (pace.image, pace.reading, pace.writing) == (2.0, 2.0, 4.0)


def test_the_second_answer_is_told_with_the_time_that_is_left(browser: TestClient, running: Running, tmp_path: Path) -> None:
    engine = FakeEngine(["Worse."], card=replace(CARD, sha256="7" * 64), gate=lambda _: setattr(engine, "timings", FIRST))
    running.desk.engine, running.desk.card = engine, engine.card
    question = {"question": "What changed?", "slots": slots(send(browser, *pair(tmp_path))["hang"])}
    try:
        told = [events(browser.post("/api/ask", json=question).text) for _ in range(2)]
    finally:
        running.desk.card = CARD
    first, second = (
        [(event["name"], event["left"]) for event in one if event["type"] == "stage" and event["name"] == "encoding"] for one in told
    )
    assert first == [("encoding", None), ("encoding", None)]
    assert [name for name, _ in second] == ["encoding", "encoding"]
    assert second[0][1] > second[1][1] > 0
