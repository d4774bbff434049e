"""Many pairs in the background: of the library and of a pair file; a stop keeps what was read; the table as CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from inference.engine import Request
from inference.prompts import FINDINGS
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.conftest import Running, send

BATCH = "/api/batch"


def brighter(request: Request) -> Mapping[str, float]:
    """Worse where the second picture is the brighter one, improved where it is the darker, so that both ways agree."""
    first, second = (float(np.mean(image.pixels)) for image in request.images)
    said, other = ("worse", "improved") if second > first else ("improved", "worse")
    return {said: -0.05, "stable": -4.0, other: -4.0}


def finished(browser: TestClient) -> dict[str, Any]:
    """The batch once it has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found: dict[str, Any] = browser.get(BATCH).json()
        if found["state"] not in ("waiting", "running"):
            return found
        Event().wait(0.02)
    raise AssertionError("the batch does not end")


def test_every_patients_newest_study_is_read_with_its_prior(browser: TestClient, running: Running, tmp_path: Path) -> None:
    send(browser, *pair(tmp_path / "a", patient="1"))
    send(browser, *pair(tmp_path / "b", patient="2", days=("20240301", "20240302")))
    running.desk.engine = FakeEngine(scores=brighter)
    begun = browser.post(f"{BATCH}/library", json={}).json()
    assert begun["total"] == 2
    found = finished(browser)
    assert (found["state"], found["done"], found["failed"], found["model"]) == ("done", 2, 0, "fake")
    for row in found["rows"]:
        assert row["clear"]["overall"] == "worse"
        assert set(row["progression"]) == set(FINDINGS)
        assert len(row["studies"]) == 2
        assert row["prior"].split()[1:] == ["DX", "Chest", "PA"]
    assert len(browser.get(BATCH, params={"after": 1}).json()["rows"]) == 1
    hung = running.desk.engine.scored[0][0]
    assert [(image.role, image.when) for image in hung.images] in (
        [("prior", "14 days earlier"), ("current", "")],
        [("prior", "1 day earlier"), ("current", "")],
    )


def test_a_pair_file_is_read_as_predict_reads_it_and_keeps_a_bad_line(
    browser: TestClient, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a (1).png", "b.png"]
    for name, grey in zip(names, (60, 160), strict=True):
        Pillow.new("L", (40, 40), grey).save(tmp_path / name)
    pairs = (
        ("films/a (1).png", "films/b.png"),
        ("films/b.png", "films/a (1).png"),
        ("../../etc/passwd", "films/b.png"),
        ("=1+1", "films/b.png"),
    )
    lines = "\n".join(["prior_path,current_path", *(",".join(paths) for paths in pairs)])
    running.desk.engine = FakeEngine(scores=brighter)
    monkeypatch.setattr(running.desk, "card", replace(CARD, adapter="f" * 64))
    images = [("files", (f"images/films/{name}", (tmp_path / name).read_bytes())) for name in names]
    answer = browser.post(f"{BATCH}/files", files=[("files", ("pairs.csv", lines.encode())), *images])
    assert answer.status_code == 200, answer.text
    found = finished(browser)
    assert [row["state"] for row in found["rows"]] == ["done", "done", "failed", "failed"]
    assert [row["clear"].get("overall") for row in found["rows"][:2]] == ["worse", "improved"]
    assert found["rows"][0]["overall"]["worse"] == found["rows"][1]["overall"]["improved"]
    assert found["rows"][0]["prior"] == "films/a (1).png"
    assert found["rows"][2]["error"].endswith(".")
    assert not [path for path in (running.folder / "uploads").iterdir() if path.is_dir() and (path / "pairs.csv").exists()]
    table = browser.get(f"{BATCH}/{found['id']}.csv")
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert [row["overall"] for row in rows[:2]] == ["worse", "improved"]
    assert rows[0]["consolidation"] == "worse"
    assert (rows[0]["model_sha256"], rows[0]["adapter_sha256"]) == (CARD.sha256, "f" * 64)
    assert abs(sum(float(rows[0][f"overall: {name}"]) for name in ("worse", "stable", "improved")) - 1) < 1e-5
    assert rows[3]["prior"] == "'=1+1"
    assert "not a medical device" in table.text


def test_a_stop_keeps_what_was_read_and_the_next_batch_may_begin(browser: TestClient, running: Running, tmp_path: Path) -> None:
    for number in range(3):
        send(browser, *pair(tmp_path / str(number), patient=f"s{number}"))
    reached, go = Event(), Event()

    def slow(request: Request) -> Mapping[str, float]:
        """Everything after the first pair waits."""
        if len(engine.scored) > 2 * (len(FINDINGS) + 1):
            reached.set()
            assert go.wait(60)
        return brighter(request)

    engine = running.desk.engine = FakeEngine(scores=slow)
    begun = browser.post(f"{BATCH}/library", json={"every": True}).json()
    assert reached.wait(60)
    second = browser.post(f"{BATCH}/library", json={})
    assert (second.status_code, "is running" in second.json()["error"]) == (400, True)
    assert browser.post(f"/api/runs/{begun['id']}/stop").json() == {"stopped": True}
    go.set()
    found = finished(browser)
    assert (found["state"], found["done"], [row["state"] for row in found["rows"]]) == ("stopped", 1, ["done", "waiting", "waiting"])
    running.desk.engine = FakeEngine(scores=brighter)
    assert browser.post(f"{BATCH}/library", json={"patients": [found["rows"][2]["patient_id"]]}).json()["total"] == 1
    assert finished(browser)["state"] == "done"


def test_a_promotion_ends_a_batch_because_two_models_would_stand_under_one_digest(
    browser: TestClient, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        send(browser, *pair(tmp_path / str(number), patient=f"s{number}"))

    def promoting(request: Request) -> Mapping[str, float]:
        if len(running.desk.engine.scored) > 2 * (len(FINDINGS) + 1):
            monkeypatch.setattr(running.desk, "card", replace(CARD, adapter="f" * 64))
        return brighter(request)

    running.desk.engine = FakeEngine(scores=promoting)
    browser.post(f"{BATCH}/library", json={"every": True})
    found = finished(browser)
    assert (found["state"], [row["state"] for row in found["rows"]]) == ("failed", ["done", "waiting", "waiting"])
    assert found["error"].startswith("Another adapter was promoted meanwhile")
    rows = list(csv.DictReader(io.StringIO(browser.get(f"{BATCH}/{found['id']}.csv").content.decode("utf-8-sig"))))
    assert (rows[0]["adapter_sha256"], rows[0]["offsets_sha256"]) == ("", "")


def test_what_cannot_be_a_batch_is_refused_in_a_sentence(browser: TestClient, stranger: TestClient, tmp_path: Path) -> None:
    assert browser.get(BATCH).json() is None
    none = browser.post(f"{BATCH}/library", json={})
    assert (none.status_code, "with a prior" in none.json()["error"]) == (400, True)
    for body, words in ((b"a;b\n1;2\n", "separated by semicolons"), (b"prior_path,current_path\n", "no pair")):
        refused = browser.post(f"{BATCH}/files", files=[("files", ("pairs.csv", body))])
        assert refused.status_code == 400
        assert words in refused.json()["error"]
        assert str(tmp_path.anchor + "tmp") not in refused.json()["error"]
    missing = browser.post(f"{BATCH}/files", files=[("files", ("images/a.png", b"x"))])
    assert "holds no pair file" in missing.json()["error"]
    assert stranger.get(f"{BATCH}/nothing.csv").status_code == 404
