"""What goes along with a question beside its images: marks drawn into them, and clinical context."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from inference.engine import Image
from inference.images import frame_image
from inference.marked import YELLOW
from tests.browser.samples import pair, radiograph
from tests.inference.test_burned import printed
from tests.ui.conftest import Running, events, send, slots
from tests.ui.desk import Tap
from ui import requests
from ui.security import COOKIE

BOX = {"image": 1, "label": "A", "kind": "box", "points": [[20, 30], [80, 30], [20, 70], [80, 70]]}


@pytest.fixture
def hung(browser: TestClient, tmp_path: Path) -> dict[str, Any]:
    hang: dict[str, Any] = send(browser, *pair(tmp_path))["hang"]
    return hang


def asked(browser: TestClient, hang: dict[str, Any], **more: Any) -> tuple[dict[str, Any], str]:
    """The turn as it was begun, and the address of its answer."""
    told = events(browser.post("/api/ask", json={"question": "Has A grown?", "slots": slots(hang), **more}).text)
    assert told[-1]["type"] == "answer", told[-1]
    turn = told[0]["turn"]
    return turn, f"/api/sessions/{told[0]['session_id']}/turns/{turn['id']}/versions/{told[-1]['version']['id']}"


def test_marks_are_drawn_into_the_image_told_in_the_prompt_and_shown_again(
    browser: TestClient, running: Running, hung: dict[str, Any]
) -> None:
    turn, address = asked(browser, hung, marks=[BOX])
    (request,) = running.desk.engine.requests
    assert [[mark.label for mark in image.marks] for image in request.images] == [[], ["A"]]
    assert turn["marks"] == [{**BOX, "points": [[float(x), float(y)] for x, y in BOX["points"]]}]
    seen = browser.get(f"{address}/saw").json()
    assert [image["marks"] for image in seen["images"]] == [[], ["A"]]
    assert [image["same"] for image in seen["images"]] == [True, True], "made again from what was kept, to the last bit"
    assert "Marks on image 2, in per cent of its width and height: A, a box from" in seen["prompt"]
    picture = np.asarray(Pillow.open(io.BytesIO(browser.get(seen["images"][1]["url"]).content)))
    assert np.any(np.all(picture == YELLOW, axis=2)), "what the page shows has the mark in it"


def test_a_case_of_a_picture_without_a_patient_is_called_by_its_question_alone(browser: TestClient, tmp_path: Path) -> None:
    """It was called "Has A grown? · ", with a dot that led nowhere."""
    Pillow.fromarray(np.full((32, 32), 90, np.uint8)).save(tmp_path / "one.png")
    hang = send(browser, tmp_path / "one.png")["hang"]
    told = events(browser.post("/api/ask", json={"question": "What is this?", "slots": slots(hang)}).text)
    assert told[0]["title"] == "What is this?"


def test_the_next_question_about_the_same_images_renders_nothing_and_another_mark_or_window_does(
    browser: TestClient, running: Running, hung: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rendering and hashing a pair took longer than a warm model takes to its first word."""
    made: list[str] = []

    def counted(*args: Any, **more: Any) -> Image:
        made.append("image")
        return frame_image(*args, **more)

    monkeypatch.setattr("ui.requests.frame_image", counted)
    asked(browser, hung, marks=[{**BOX, "points": [[1, 2], [3, 2], [1, 4], [3, 4]]}])
    made.clear()
    asked(browser, hung, marks=[{**BOX, "points": [[1, 2], [3, 2], [1, 4], [3, 4]]}])
    assert made == []
    asked(browser, hung, marks=[{**BOX, "points": [[2, 2], [4, 2], [2, 4], [4, 4]]}])
    assert made == ["image"]
    first, second, third = running.desk.engine.requests
    assert [one.sha256 for one in first.images] == [one.sha256 for one in second.images]
    assert first.images[0].sha256 == third.images[0].sha256
    assert first.images[1].sha256 != third.images[1].sha256
    assert [one.role for one in third.images] == ["prior", "current"]


def test_an_answer_made_again_sees_the_marks_of_its_question(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    """Marks moved since then change nothing in what was asked."""
    turn, address = asked(browser, hung, marks=[BOX])
    session = address.split("/")[3]
    browser.post(f"/api/sessions/{session}/turns/{turn['id']}/again", json={})
    first, second = running.desk.engine.requests
    assert [image.sha256 for image in second.images] == [image.sha256 for image in first.images]


def test_a_question_sent_while_another_is_written_is_asked_after_its_answer_and_replayed_so(
    browser: TestClient, running: Running, hung: dict[str, Any]
) -> None:
    """What was asked before was read when the question was sent, and a replay, which goes by time, put the answer between to it."""
    number = int(asked(browser, hung)[1].split("/")[3])
    tap = Tap()
    engine = running.desk.says("It is stable.", "It is worse.", gate=tap)

    def ask(question: str) -> dict[str, Any]:
        told = events(browser.post("/api/ask", json={"question": question, "slots": slots(hung), "session_id": number}).text)
        return told[-1]

    room, here = running.app.state.context.engine, running.app.state.context
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, "Is it stable?")
        assert tap.reached.acquire(timeout=60)
        second = pool.submit(ask, "Is it worse?")
        while not room.status().waiting:
            Event().wait(0.01)
        tap.open()
        assert first.result(60)["type"] == "answer"
        version = second.result(60)["version"]["id"]
    assert [turn.answer for turn in engine.requests[1].history] == ["The opacity is worse.", "It is stable."]
    user = here.reader(str(browser.cookies.get(COOKIE)))
    turns = here.store.session(number, user).turns
    again = requests.of_record(here.store, user, turns[:2], turns[2], here.store.answer(version, user))
    assert again.history == engine.requests[1].history


def test_clinical_context_is_told_and_kept_and_nothing_is_told_unasked(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    turn, address = asked(browser, hung, clinical={"indication": "  cough  ", "age": "61"})
    assert running.desk.engine.requests[-1].clinical == (("Indication", "cough"), ("Age", "61"))
    assert turn["clinical"] == {"indication": "cough", "technique": "", "prior_report": "", "age": "61"}
    seen = browser.get(f"{address}/saw").json()
    assert seen["clinical"] == [["Indication", "cough"], ["Age", "61"]]
    assert "Indication: cough\nAge: 61\n" in seen["prompt"]
    asked(browser, hung)
    assert running.desk.engine.requests[-1].clinical == ()


@pytest.mark.parametrize(
    "more",
    [
        {"marks": [{**BOX, "image": 2}]},
        {"marks": [{**BOX, "label": "<b>"}]},
        {"marks": [{**BOX, "points": []}]},
        {"marks": [{**BOX, "points": [[1e9, 0]]}]},
        {"marks": [BOX] * 27},
        {"clinical": {"prior_report": "x" * 6001}},
        {"clinical": {"name": "Jane"}},
    ],
    ids=["no such image", "no letter", "no place", "far away", "too many", "too long", "unknown field"],
)
def test_what_cannot_go_along_is_refused_before_anything_is_kept(browser: TestClient, hung: dict[str, Any], more: dict[str, Any]) -> None:
    before = browser.get("/api/sessions").json()
    answer = browser.post("/api/ask", json={"question": "Has A grown?", "slots": slots(hung), **more})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The request is not right at")
    assert "Value error" not in answer.json()["error"]
    assert browser.get("/api/sessions").json() == before


def test_text_in_the_picture_is_told_with_the_answer(browser: TestClient, tmp_path: Path) -> None:
    prior, current = (printed(text, grey=10, ink=255)[..., 0].astype(np.uint16) * 16 for text in ("", "DOE JANE"))
    films = radiograph(tmp_path / "prior.dcm", prior, date="20240102"), radiograph(tmp_path / "current.dcm", current, date="20240116")
    hang = send(browser, *films)["hang"]
    told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)
    (said,) = told[-1]["version"]["warnings"]
    assert said.startswith("Image 2 (current) has text in its picture")
