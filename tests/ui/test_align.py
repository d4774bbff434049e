"""Registration over the wire: progress, numbers, pictures on the current's grid, cancelling, and for nobody else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from storage.studies import dicomfile, pixels
from tests.browser.samples import plain, radiograph
from tests.pairs import known_pair
from tests.ui.conftest import Running, send
from tests.volumes import ct_series


def finished(browser: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job when its thread has ended."""
    for thread in threading.enumerate():
        if thread.name == f"align-{job['job']}":
            thread.join(120)
    found: dict[str, Any] = browser.get(f"/api/align/{job['job']}").json()
    assert found["state"] in ("done", "failed", "cancelled")
    return found


@pytest.fixture
def films(browser: TestClient, tmp_path: Path) -> tuple[int, int]:
    """(prior, current) series of a radiograph pair with a known transform."""
    known = known_pair(3, 160, scaled=False)
    paths = [
        radiograph(tmp_path / f"{date}.dcm", (np.clip(values, 0, 1.2) * 3000).astype(np.uint16), patient="aligned", date=date)
        for values, date in ((known.prior, "20240102"), (known.current, "20240116"))
    ]
    slots = send(browser, *paths)["hang"]["slots"]
    return slots[0]["series"]["id"], slots[1]["series"]["id"]


def begin(browser: TestClient, prior: int, current: int, kind: str = "rigid") -> dict[str, Any]:
    answer = browser.post("/api/align", json={"fixed": {"series_id": current}, "moving": {"series_id": prior}, "kind": kind})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def picture(browser: TestClient, source: str) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    listed = browser.get(source).json()
    frame = listed["frames"][0]
    body = browser.get(listed["urls"]["pixels"].replace("{n}", "0"))
    assert body.status_code == 200, body.text
    shape = (frame["rows"], frame["columns"], 3) if frame["channels"] == 3 else (frame["rows"], frame["columns"])
    return listed, np.frombuffer(body.content, np.dtype(frame["dtype"]).newbyteorder("<")).reshape(shape)


def test_radiograph_pair_is_registered_with_numbers_and_pictures(browser: TestClient, stranger: TestClient, films: tuple[int, int]) -> None:
    prior, current = films
    done = finished(browser, begin(browser, prior, current))
    assert (done["state"], done["progress"], done["dimensions"], done["better"]) == ("done", 1, 2, True)
    assert done["after"]["correlation"] > done["before"]["correlation"]
    assert done["motion"]["unit"] == "mm"
    fixed = browser.get(f"/api/series/{current}/frames.json").json()
    _, target = picture(browser, f"/api/series/{current}/frames.json")
    listed, laid = picture(browser, done["sources"]["registered"])
    assert listed["derived"]["words"] == "registered (rigid), not the original"
    assert listed["frames"][0]["spacing"] == fixed["frames"][0]["spacing"]
    inside = (slice(24, -24), slice(24, -24))
    assert np.corrcoef(target[inside].ravel(), laid[inside].ravel())[0, 1] > 0.9
    listed, colours = picture(browser, done["sources"]["difference"])
    assert listed["derived"]["legend"]["high"] > 0
    assert "display aid" in listed["derived"]["words"]
    row, column = round(0.675 * 159), round(0.3 * 159)
    assert colours[row, column, 0] > colours[row, column, 2] + 40, "the new opacity is warm"
    _, squares = picture(browser, done["sources"]["checkerboard"])
    assert squares.shape == target.shape
    reduced = browser.get(f"/pixels/align/{done['job']}/registered/0/reduced.jpg")
    assert reduced.headers["content-type"] == "image/jpeg"
    again = browser.get(f"/pixels/align/{done['job']}/registered/0/values", headers={"if-none-match": "x"})
    assert browser.get(again.url.path, headers={"if-none-match": again.headers["etag"]}).status_code == 304
    assert browser.get(f"/pixels/align/{done['job']}/registered/1/values").status_code == 404
    for path in (f"/api/align/{done['job']}", done["sources"]["registered"], f"/pixels/align/{done['job']}/difference/0/values"):
        assert stranger.get(path).status_code == 404, path


def test_registration_is_cancelled(browser: TestClient, films: tuple[int, int]) -> None:
    job = begin(browser, *films, kind="bspline")
    assert browser.delete(f"/api/align/{job['job']}").status_code == 200
    done = finished(browser, job)
    assert (done["state"], done["sources"], done["after"]) == ("cancelled", None, None)
    assert browser.get(f"/api/align/{job['job']}/registered/frames.json").status_code == 409


def test_volumes_are_matched_and_registered_slice_by_slice(browser: TestClient, tmp_path: Path) -> None:
    prior = ct_series(tmp_path / "a", patient="volumes")
    current = ct_series(tmp_path / "b", slices=30, thickness=4.0, first=-60, shift=(6, 4, 500), date="20240301", patient="volumes")
    slots = send(browser, *prior, *current, names={path: f"{path.parent.name}/{path.name}" for path in (*prior, *current)})["hang"]["slots"]
    first, second = (slot["series"]["id"] for slot in slots)
    fit = browser.get("/api/planes", params={"a": first, "b": second}).json()
    assert (fit["compatible"], fit["same_frame_of_reference"]) == (True, False)
    level = browser.post("/api/level", json={"series_id": first, "frame": 10, "other_series_id": second}).json()
    assert (level["method"], level["sure"]) == ("registration", "high")
    assert abs(-60 + 4 * level["frame"] - (-70 + 6 * 10)) <= 4
    done = finished(browser, begin(browser, first, second))
    assert (done["state"], done["dimensions"]) == ("done", 3), done
    listed = browser.get(done["sources"]["registered"]).json()
    assert len(listed["frames"]) == 30
    own = [
        np.frombuffer(browser.get(url.replace("{n}", "15")).content, "<i2")
        for url in (listed["urls"]["pixels"], browser.get(f"/api/series/{second}/frames.json").json()["urls"]["pixels"])
    ]
    assert np.corrcoef(*own)[0, 1] > 0.9


def test_what_cannot_be_registered_is_a_sentence(browser: TestClient, running: Running, stranger: TestClient, tmp_path: Path) -> None:
    series = send(browser, radiograph(tmp_path / "a.dcm", plain(900), patient="alone"))["hang"]["slots"][0]["series"]["id"]
    same = browser.post("/api/align", json={"fixed": {"series_id": series}, "moving": {"series_id": series}})
    assert (same.status_code, "over itself" in same.json()["error"]) == (409, True)
    beyond = browser.post("/api/align", json={"fixed": {"series_id": series, "frame": 7}, "moving": {"series_id": series}})
    assert beyond.status_code == 400
    assert stranger.post("/api/align", json={"fixed": {"series_id": series}, "moving": {"series_id": series}}).status_code == 404
    assert browser.get("/api/align/nothing").status_code == 404


def test_damaged_image_ends_a_job_with_a_sentence(browser: TestClient, running: Running, films: tuple[int, int]) -> None:
    here = running.app.state.context
    frame = here.store.series(films[0], here.reader(browser.cookies["interval_reader"]))[1].frames[0]
    frame.source.path.chmod(0o600)
    frame.source.path.write_bytes(b"not a picture any more")
    for memory in (dicomfile._headers, pixels._formats, pixels._arrays):
        memory.clear()
    done = finished(browser, begin(browser, *films))
    assert done["state"] == "failed"
    assert done["error"].startswith("An image of the pair ")
    assert done["error"].endswith(".")
    assert done["sources"] is None


def test_other_parts_of_the_body_are_not_registered(browser: TestClient, tmp_path: Path) -> None:
    chest = ct_series(tmp_path / "a", slices=4, side=8, patient="parts")
    head = ct_series(tmp_path / "b", slices=4, side=8, patient="parts", date="20240301", more={"BodyPartExamined": "HEAD"})
    slots = send(browser, *chest, *head, names={path: f"{path.parent.name}/{path.name}" for path in (*chest, *head)})["hang"]["slots"]
    first, second = (slot["series"]["id"] for slot in slots)
    answer = browser.post("/api/align", json={"fixed": {"series_id": first}, "moving": {"series_id": second}})
    assert answer.status_code == 409
    assert "different parts of the body" in answer.json()["error"]
    assert browser.post("/api/level", json={"series_id": first, "frame": 1, "other_series_id": second}).json()["frame"] is None


def test_two_patients_are_registered_only_after_a_reason(browser: TestClient, running: Running, tmp_path: Path) -> None:
    """The page's warning is no lock: the server itself must refuse, and the audit must name the reason before it goes on."""
    films = ((tmp_path / "p.dcm", 900, "P", "20240101"), (tmp_path / "q.dcm", 901, "Q", "20240102"))
    paths = [radiograph(path, plain(value), patient=patient, date=date) for path, value, patient, date in films]
    first, second = (slot["series"]["id"] for slot in send(browser, *paths)["hang"]["slots"])
    ends = {"fixed": {"series_id": second}, "moving": {"series_id": first}}
    refused = browser.post("/api/align", json=ends)
    assert refused.status_code == 409
    assert refused.json()["error"].startswith("The images belong to different patients. They are registered only after a reason")
    level = {"series_id": first, "frame": 0, "other_series_id": second}
    assert "different patients" in browser.post("/api/level", json=level).json()["reason"]
    other = {"series_ids": [first, second], "codes": ["laterality"], "reason": "the sides were exchanged"}
    assert browser.post("/api/overrides", json=other).status_code == 200
    assert browser.post("/api/align", json=ends).status_code == 409, "a reason for another warning is none for this one"
    assert browser.post("/api/overrides", json={**other, "codes": ["patient"], "reason": "twins, for teaching"}).status_code == 200
    finished(browser, begin(browser, first, second))
    with running.app.state.context.store._database.read() as session:
        rows = session.connection().exec_driver_sql("SELECT event, outcome FROM audit WHERE event IN ('mismatch', 'override')").fetchall()
    assert [tuple(row) for row in rows][-4:] == [("mismatch", 4), ("override", 0), ("mismatch", 4), ("override", 0)]
