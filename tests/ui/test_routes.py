"""Our own routes as a program sees them: pixels, hanging, questions, answers, and who may have which."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from storage.views import LOCAL, Slot
from tests.browser.samples import pair, plain, radiograph
from tests.fakes import CARD
from tests.ui.conftest import Running, events, send, slots


@pytest.fixture
def hung(browser: TestClient, tmp_path: Path) -> dict[str, Any]:
    """A radiograph pair, uploaded and hung."""
    hang: dict[str, Any] = send(browser, *pair(tmp_path))["hang"]
    return hang


def ask(client: TestClient, hang: dict[str, Any], question: str = "What changed?", **more: object) -> list[dict[str, Any]]:
    answer = client.post("/api/ask", json={"question": question, "slots": slots(hang), **more})
    assert answer.status_code == 200, answer.text
    return events(answer.text)


def test_pair_hangs_oldest_left_with_roles_times_and_reason(hung: dict[str, Any]) -> None:
    assert [slot["role"] for slot in hung["slots"]] == ["prior", "current"]
    assert [slot["when"] for slot in hung["slots"]] == ["14 days earlier", ""]
    assert "14 days" in hung["relation"]["reason"]


def test_pixels_are_the_displayed_frame_at_the_size_asked(browser: TestClient, hung: dict[str, Any]) -> None:
    series = hung["slots"][1]["series"]["id"]
    answer = browser.get(f"/pixels/{series}/0.jpg?size=1024")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("JPEG", (80, 96))
    assert abs(picture.getpixel((40, 48)) - 2600 / 4095 * 255) < 3
    assert max(Image.open(io.BytesIO(browser.get(f"/pixels/{series}/0.jpg?size=50").content)).size) == 96


def test_window_changes_the_pixels_and_their_tag(browser: TestClient, hung: dict[str, Any]) -> None:
    series = hung["slots"][0]["series"]["id"]
    plain_one = browser.get(f"/pixels/{series}/0.jpg")
    wide = browser.get(f"/pixels/{series}/0.jpg?window=900,100")
    assert wide.content != plain_one.content
    assert wide.headers["etag"] != plain_one.headers["etag"]
    again = browser.get(f"/pixels/{series}/0.jpg?window=900,100", headers={"if-none-match": wide.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert wide.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("window", ["nan,1", "1", "a,b", "10,0", "10,-5", "1,inf", "1,2,EXEC"])
def test_impossible_window_is_a_sentence(browser: TestClient, hung: dict[str, Any], window: str) -> None:
    answer = browser.get(f"/pixels/{hung['slots'][0]['series']['id']}/0.jpg", params={"window": window})
    assert answer.status_code == 400
    assert "window" in answer.json()["error"]


def test_frame_that_is_not_there_is_a_sentence(browser: TestClient, hung: dict[str, Any]) -> None:
    assert browser.get(f"/pixels/{hung['slots'][0]['series']['id']}/1.jpg").status_code == 404


def test_question_is_answered_word_by_word_and_kept(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    told = ask(browser, hung)
    kinds = [event["type"] for event in told]
    assert kinds[0] == "turn"
    assert [event["text"] for event in told if event["type"] == "token"] == ["The", " opacity", " is", " worse."]
    assert [event["text"] for event in told if event["type"] == "stage"][:2] == ["encoding image 1 of 2", "encoding image 2 of 2"]
    assert kinds[-1] == "answer"
    assert told[-1]["version"]["text"] == "The opacity is worse."
    kept = browser.get(f"/api/sessions/{told[0]['session_id']}").json()
    assert kept["turns"][0]["versions"][0]["id"] == told[-1]["version"]["id"]
    assert [slot["series"]["id"] for slot in kept["slots"]] == [slot["series"]["id"] for slot in hung["slots"]]
    assert kept["relation"]["relationship"] == "temporal"


def test_what_the_model_saw_is_made_again_bit_for_bit(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    told = ask(browser, hung)
    base = f"/api/sessions/{told[0]['session_id']}/turns/{told[0]['turn']['id']}/versions/{told[-1]['version']['id']}"
    saw = browser.get(f"{base}/saw").json()
    sent = running.desk.engine.requests[-1].images
    assert [image["sha256"] for image in saw["images"]] == [image.sha256 for image in sent]
    assert all(image["same"] for image in saw["images"])
    assert [image["role"] for image in saw["images"]] == ["prior", "current"]
    assert (saw["model_digest"], saw["adapter_digest"]) == (CARD.sha256, "")
    assert datetime.fromisoformat(saw["made"]) == datetime.fromisoformat(told[-1]["version"]["created"])
    picture = Image.open(io.BytesIO(browser.get(saw["images"][1]["url"]).content))
    assert picture.format == "PNG"
    assert "What changed?" in saw["prompt"]


def test_other_reader_gets_404_for_everything(browser: TestClient, stranger: TestClient, hung: dict[str, Any]) -> None:
    told = ask(browser, hung)
    session, turn, version = told[0]["session_id"], told[0]["turn"]["id"], told[-1]["version"]["id"]
    series = hung["slots"][0]["series"]["id"]
    base = f"/api/sessions/{session}/turns/{turn}/versions/{version}"
    for path in (f"/pixels/{series}/0.jpg", f"/api/series/{series}", f"/api/sessions/{session}", f"{base}/saw", f"{base}/images/1.png"):
        assert browser.get(path).status_code == 200, path
        assert stranger.get(path).status_code == 404, path
    assert stranger.post("/api/ask", json={"question": "?", "slots": slots(hung)}).status_code == 404
    assert stranger.post(f"/api/sessions/{session}/turns/{turn}/again", json={}).status_code == 404
    assert stranger.post("/api/feedback", json={"version_id": version, "verdict": "agree"}).status_code == 404
    assert stranger.patch(f"/api/sessions/{session}", json={"title": "mine"}).status_code == 404
    assert stranger.put(f"/api/sessions/{session}/slots", json={"slots": []}).status_code == 404
    assert stranger.post("/api/relate", json={"series_ids": [series]}).status_code == 404
    assert stranger.get("/api/sessions").json() == []
    assert stranger.get("/api/library").json()["patients"] == []


def test_another_answer_is_sampled_and_both_are_kept(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    running.desk.says("Worse.", "Stable.")
    told = ask(browser, hung)
    answer = browser.post(f"/api/sessions/{told[0]['session_id']}/turns/{told[0]['turn']['id']}/again", json={})
    assert events(answer.text)[-1]["version"]["text"] == "Stable."
    versions = browser.get(f"/api/sessions/{told[0]['session_id']}").json()["turns"][0]["versions"]
    assert [version["text"] for version in versions] == ["Worse.", "Stable."]
    assert [request.options.temperature for request in running.desk.engine.requests] == [0.0, 0.7]


def test_feedback_is_appended_never_changed(browser: TestClient, hung: dict[str, Any]) -> None:
    told = ask(browser, hung)
    version = told[-1]["version"]["id"]
    for verdict, comment in (("agree", ""), ("disagree", "wrong side")):
        said = {"version_id": version, "verdict": verdict, "comment": comment}
        assert browser.post("/api/feedback", json=said).json()["feedback"]["verdict"] == verdict
    kept = browser.get(f"/api/sessions/{told[0]['session_id']}").json()["turns"][0]["versions"][0]["feedback"]
    assert [(one["verdict"], one["comment"]) for one in kept] == [("agree", ""), ("disagree", "wrong side")]


def test_different_patients_are_refused_until_the_reader_says_so(browser: TestClient, tmp_path: Path) -> None:
    first = radiograph(tmp_path / "a.dcm", plain(900), patient="A")
    second = radiograph(tmp_path / "b.dcm", plain(1900), patient="B", date="20240201")
    hang = send(browser, first, second)["hang"]
    assert hang["relation"]["blocking"]
    answer = browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)})
    assert answer.status_code == 409
    assert "different patients" in answer.json()["error"]
    assert ask(browser, hang, different_patients=True)[-1]["type"] == "answer"


@pytest.mark.parametrize(
    "change",
    [
        {"question": "   "},
        {"question": "x" * 8001},
        {"slots": []},
        {"ability": "clairvoyance"},
        {"relationship": "friends"},
        {"extra": 1},
        {"slots": [{"series_id": 1, "frame": -1}]},
    ],
)
def test_question_that_is_not_one_is_a_sentence(browser: TestClient, hung: dict[str, Any], change: dict[str, object]) -> None:
    body = {"question": "What changed?", "slots": slots(hung), **change}
    answer = browser.post("/api/ask", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The request is not right at")


def test_engine_that_dies_keeps_its_words(browser: TestClient, running: Running, hung: dict[str, Any]) -> None:
    running.desk.says("The opacity is worse now.", dies_after=2)
    told = ask(browser, hung)
    assert told[-1]["type"] == "answer"
    assert told[-1]["version"]["state"] == "incomplete"
    assert told[-1]["version"]["text"] == "The opacity"
    assert told[-1]["error"]


def test_roles_follow_the_relationship_the_reader_chooses(browser: TestClient, hung: dict[str, Any]) -> None:
    ids = [slot["series"]["id"] for slot in hung["slots"]]
    for chosen, roles in (("sides", ["left", "right"]), ("unrelated", ["", ""]), ("temporal", ["prior", "current"])):
        relation = browser.post("/api/relate", json={"series_ids": ids, "relationship": chosen}).json()
        assert (relation["relationship"], relation["guessed"], relation["roles"]) == (chosen, "temporal", roles)
    assert browser.post("/api/relate", json={"series_ids": ids[::-1]}).json()["roles"] == ["current", "prior"]


def test_study_of_the_command_line_is_seen_by_every_reader(
    browser: TestClient, stranger: TestClient, running: Running, tmp_path: Path
) -> None:
    store = running.app.state.context.store
    path = radiograph(tmp_path / "shared.dcm", plain(1234), patient="everyone")
    report = store.import_paths([path], store.user(LOCAL), shared=True)
    for client in (browser, stranger):
        studies = [study for patient in client.get("/api/library").json()["patients"] for study in patient["studies"]]
        assert report.study_ids[0] in {study["id"] for study in studies}


def test_session_asked_at_the_terminal_opens_in_the_browser(browser: TestClient, running: Running, tmp_path: Path) -> None:
    """`ask` printed a session id that no page could open."""
    store = running.app.state.context.store
    local = store.user(LOCAL)
    report = store.import_paths([radiograph(tmp_path / "shared.dcm", plain(1234), patient="terminal")], local, shared=True)
    series = next(st.series[0].id for pt in store.patients(local) for st in pt.studies if st.id == report.study_ids[0])
    session = store.start_session(local, "Asked at the terminal", [Slot(series, 0, "current", "")], "temporal")
    assert session in {one["id"] for one in browser.get("/api/sessions").json()}
    assert browser.get(f"/api/sessions/{session}").json()["title"] == "Asked at the terminal"


def test_of_many_time_points_the_newest_hang(browser: TestClient, tmp_path: Path) -> None:
    """Ten dates hung the eight oldest, and the current study was not among them."""
    dates = [f"202401{day:02d}" for day in range(10, 20)]
    hang = send(browser, *(radiograph(tmp_path / f"{date}.dcm", plain(1000), date=date) for date in dates))["hang"]
    assert len(hang["slots"]) == 8
    shown = [slot["series"]["acquired"] for slot in hang["slots"]]
    assert shown == sorted(shown)
    library = browser.get("/api/library").json()["patients"]
    newest = max(study["acquired"] for patient in library for study in patient["studies"] if study["own"])
    assert shown[-1][:10] == newest[:10]
