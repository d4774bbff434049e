"""Opening a patient: the newest study with its prior, why, what speaks against it, and every time point in its place."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from tests.browser.samples import plain, radiograph
from tests.ui.conftest import send


def opened(browser: TestClient, folder: Path, dates: tuple[str, ...], patient: str) -> int:
    send(browser, *(radiograph(folder / f"{date}.dcm", plain(1000), patient=patient, date=date) for date in dates))
    patients = browser.get("/api/library").json()["patients"]
    found: int = next(one["id"] for one in patients if len(one["studies"]) == len(dates) and one["studies"][0]["own"])
    return found


def test_patient_opens_as_a_pair_with_reason_rule_and_timeline(browser: TestClient, tmp_path: Path) -> None:
    number = opened(browser, tmp_path, ("20240101", "20240111", "20240131"), "opening")
    hung = browser.get(f"/api/patients/{number}/hanging").json()
    assert [slot["role"] for slot in hung["slots"]] == ["prior", "current"]
    assert [slot["when"] for slot in hung["slots"]] == ["20 days earlier", ""]
    assert hung["reason"] == "Prior of 20 days earlier: same modality (radiograph), body part (CHEST) and view (PA)."
    assert (hung["rule"], hung["layout"]) == ("Radiographs, prior beside current", "1x2")
    line = hung["timeline"]
    assert [point["days"] for point in line["points"]] == [30, 20, 0]
    assert [round(point["at"], 3) for point in line["points"]] == [0, 0.333, 1]
    assert [point["words"] for point in line["points"]] == ["30 days earlier", "20 days earlier", "current"]
    assert line["points"][1]["best_series_id"] == hung["prior"]["series_id"]
    assert browser.get(f"/api/patients/{number}/timeline").json() == line
    oldest = line["points"][1]["study_id"]
    again = browser.get(f"/api/patients/{number}/hanging", params={"current": oldest}).json()
    assert again["current"]["study_id"] == oldest
    assert again["slots"][0]["when"] == "10 days earlier"


def test_uploading_a_new_study_hangs_it_with_its_prior(browser: TestClient, tmp_path: Path) -> None:
    opened(browser, tmp_path, ("20240101", "20240111"), "uploading")
    hang = send(browser, radiograph(tmp_path / "new.dcm", plain(1500), patient="uploading", date="20240115"))["hang"]
    assert [slot["when"] for slot in hang["slots"]] == ["4 days earlier", ""]
    assert hang["reason"].startswith("Prior of 4 days earlier")


def test_mixing_is_told_with_codes_wherever_images_are_related(browser: TestClient, tmp_path: Path) -> None:
    first = radiograph(tmp_path / "a.dcm", plain(900), patient="A1")
    second = radiograph(tmp_path / "b.dcm", plain(1900), patient="B1", date="20240201")
    hang = send(browser, first, second)["hang"]
    notice = hang["relation"]["mixing"][0]
    assert (notice["code"], notice["blocking"]) == ("patient", True)
    pair = [radiograph(tmp_path / f"{date}.dcm", plain(700), patient="C1", date=date) for date in ("20240101", "20240201")]
    hang = send(browser, *pair)["hang"]
    assert hang["relation"]["mixing"] == []
    ids = [slot["series"]["id"] for slot in hang["slots"]]
    assert [one["code"] for one in browser.post("/api/relate", json={"series_ids": ids[::-1]}).json()["mixing"]] == ["date-inverted"]


def test_patient_of_another_reader_does_not_exist(browser: TestClient, stranger: TestClient, tmp_path: Path) -> None:
    number = opened(browser, tmp_path, ("20240101",), "hidden")
    for path in (f"/api/patients/{number}/hanging", f"/api/patients/{number}/timeline"):
        assert browser.get(path).status_code == 200
        assert stranger.get(path).status_code == 404
    assert browser.get(f"/api/patients/{number}/hanging", params={"current": 10**6}).status_code == 404
