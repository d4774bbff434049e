"""The Train tab's routes: who may, what there is, a version out of reviewed feedback, a run as it stands, decisions that are signed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from finetune.versions import shelf
from settings import Settings, load
from tests.browser.samples import pair
from tests.finetune import ordered, shelved
from tests.inference import tiny
from tests.ui.conftest import HERE, events, send, slots
from tests.ui.desk import Desk
from ui import training
from ui.server import create_app


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, TestClient]]:
    """An app of its own, in which everybody may train, with the tiny model, a version and three runs."""
    settings = load(data_dir=tmp_path_factory.mktemp("train"), new_role="admin")
    tiny.build(settings.models_dir / "tiny")
    shelved.version(settings)
    ordered.run(settings, "good", sheet=ordered.sheet("good"))
    ordered.run(settings, "blind", sheet=ordered.sheet("blind", failed="G3"))
    ordered.run(settings, "half", "stopped", 40)
    with TestClient(create_app(settings, Desk().factory, demo=False), base_url=HERE) as client:
        assert client.get("/").status_code == 200
        yield settings, client


def test_a_reader_without_the_right_is_told_who_gives_it(browser: TestClient) -> None:
    for method, path in (("GET", ""), ("GET", "/lineage"), ("POST", "/runs/x/start"), ("POST", "/runs/x/gate")):
        refused = browser.request(method, f"/api/train{path}")
        assert refused.status_code == 403
        assert "users role" in refused.json()["error"]


def test_what_there_is_comes_in_one_answer(served: tuple[Settings, TestClient]) -> None:
    found = served[1].get("/api/train").json()
    assert [version["name"] for version in found["versions"]] == ["v1"]
    assert found["versions"][0]["counts"]["preferences"] == 6
    assert {run["name"]: (run["state"], run["gated"]) for run in found["runs"]} == {
        "good": ("finished", "passed"), "blind": ("finished", "failed"), "half": ("stopped", ""),
    }  # fmt: skip
    assert "tiny" in found["bases"]
    assert [recipe["name"] for recipe in found["recipes"]] == ["sft", "dpo", "kto"]
    assert (found["live"], found["history"]) == ([], [])


def test_a_run_comes_with_curve_log_and_sheet(served: tuple[Settings, TestClient]) -> None:
    found = served[1].get("/api/train/runs/blind").json()
    assert found["curve"][-1]["step"] == 120
    assert found["curve"][0]["samples_s"] == pytest.approx(8 / 4.2, abs=0.01)
    assert "sft step 120" in found["log"]
    assert [gate["gate"] for gate in found["sheet"]["gates"] if gate["passed"] is False] == ["G3"]
    assert not found["measuring"]
    missing = served[1].get("/api/train/runs/nobody")
    assert (missing.status_code, "there is no run" in missing.json()["error"].lower()) == (400, True)


def test_measuring_is_stopped_from_the_page(served: tuple[Settings, TestClient], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings, client = served
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    (tmp_path / "app.py").write_text(f"import signal\nopen({str(ready)!r}, 'w').close()\nsignal.pause()\n")
    monkeypatch.setattr(training, "ROOT", tmp_path)
    left = ordered.adapter(settings, "blind")
    assert client.post("/api/train/runs/blind/gate").status_code == 200
    ready.open().close()
    shutil.rmtree(left)
    assert client.get("/api/train/runs/blind").json()["measuring"]
    assert client.post("/api/train/runs/blind/gate/stop").status_code == 200
    assert not client.get("/api/train/runs/blind").json()["measuring"]
    again = client.post("/api/train/runs/blind/gate/stop")
    assert (again.status_code, again.json()["error"]) == (400, "Run blind is not being measured")


def test_a_run_is_estimated_before_it_is_ordered(served: tuple[Settings, TestClient]) -> None:
    body = {"name": "mine", "base": "tiny", "version": "v1", "recipe": "sft", "epochs": 2}
    found = served[1].post("/api/train/estimate", json=body).json()
    assert found["examples"] == 6
    assert found["memory_mb"] > 0
    assert served[1].post("/api/train/estimate", json={**body, "version": "v9"}).status_code == 400
    assert served[1].post("/api/train/estimate", json={**body, "name": "../out"}).status_code == 422
    assert served[1].post("/api/train/estimate", json={**body, "start": "whatever"}).status_code == 422


@pytest.mark.slow
def test_a_run_is_ordered_stopped_and_finished_from_the_page(served: tuple[Settings, TestClient]) -> None:
    """Stopped in the middle, it keeps its steps, and goes on from there to the end."""
    client = served[1]
    body = {"name": "mine", "base": "tiny", "version": "v1", "recipe": "sft", "epochs": 100}
    told = client.post("/api/train/runs", json=body)
    assert told.status_code == 200, told.text
    started = told.json()
    assert started["order"]["start"] == "", "nothing is live, so it starts from the model alone"
    assert (started["state"], started["steps"], started["by"].startswith("reader")) == ("running", 75, True)
    assert client.post("/api/train/runs", json=body).status_code == 400, "the name is taken"

    def run() -> dict[str, Any]:
        found: dict[str, Any] = client.get("/api/train/runs/mine").json()
        return found

    while (at := run())["run"]["state"] == "running" and at["run"]["step"] < 10:
        pass
    stopped = client.post("/api/train/runs/mine/stop")
    assert stopped.status_code == 200, at["log"]
    ordered.wait(served[0].runs_dir / "mine")
    at = run()
    assert at["run"]["state"] == "stopped", at["log"]
    assert 10 <= at["run"]["step"] < 75
    assert client.post("/api/train/runs/mine/gate").status_code == 400, "it left no adapter yet"
    assert client.post("/api/train/runs/mine/start").json()["state"] == "running"
    ordered.wait(served[0].runs_dir / "mine")
    at = run()
    assert (at["run"]["state"], at["run"]["step"]) == ("finished", 75), at["log"]
    assert [row["step"] for row in at["curve"]] == [*range(10, 71, 10), 75]
    assert client.post("/api/train/runs/mine/stop").status_code == 400
    assert {"from": "version:v1", "to": "run:mine"} in client.get("/api/train/lineage").json()["edges"]


def test_a_version_of_generated_pairs_is_built_from_the_page(served: tuple[Settings, TestClient]) -> None:
    client = served[1]
    nothing = client.post("/api/train/versions", json={"name": "none"})
    assert (nothing.status_code, nothing.json()["error"].startswith("Nothing was given to build from")) == (400, True)
    made = client.post("/api/train/versions", json={"name": "replayed", "generated": 2, "held": 0}).json()["version"]
    assert made["counts"]["source"] == {"generator": made["counts"]["train"]}
    assert made["missing_images"] == 0
    assert Path(served[0].versions_dir / "replayed" / "train.jsonl").is_file()


def test_only_what_a_second_reader_confirmed_goes_into_a_version(served: tuple[Settings, TestClient], tmp_path: Path) -> None:
    settings, reader = served
    hang = send(reader, *pair(tmp_path))["hang"]
    told = reader.post("/api/ask", json={"question": "What changed?", "slots": slots(hang), "ability": "temporal"})
    first, *_, last = events(told.text)
    version = last["version"]["id"]
    said = {
        "verdict": "disagree",
        "codes": ["change-missed"],
        "corrected_answer": "The opacity is larger.",
        "cells": {"consolidation": "worse"},
    }
    item = reader.post("/api/feedback", json={"version_id": version, **said}).json()["id"]
    early = reader.post("/api/train/versions", json={"name": "reviewed"})
    assert (early.status_code, reader.get("/api/train/reviewed").json()["items"]) == (400, 0)

    second = TestClient(reader.app, base_url=HERE)
    second.get("/")
    line = second.post("/api/review/queue?limit=1", json={"order": "newest"}).json()["items"][0]
    assert second.post(f"/api/review/items/{line['id']}/take").status_code == 200
    done = second.post(f"/api/review/items/{line['id']}/decision", json={"decision": "judged", **said})
    assert done.json()["accepted"], done.text
    assert reader.get("/api/train/reviewed").json()["items"] == 1

    made = reader.post("/api/train/versions", json={"name": "reviewed", "held": 0}).json()["version"]
    assert made["counts"]["kind"] == {"cell": 1, "corrected": 1, "mirrored": 2}
    assert made["counts"]["code"]["change-missed"] >= 2
    lines = shelf.read(settings.versions_dir, "reviewed").contents.train
    saw = reader.get(f"/api/sessions/{first['session_id']}/turns/{first['turn']['id']}/versions/{version}/saw").json()
    shown = tuple(image["sha256"] for image in saw["images"])
    assert {line.pictures for line in lines} == {shown, shown[::-1]}
    assert {line.item for line in lines} == {str(item)}


def test_nothing_goes_live_without_passed_gates_and_a_reason(served: tuple[Settings, TestClient]) -> None:
    client = served[1]
    assert client.post("/api/train/promote", json={"run": "blind", "reason": " "}).status_code == 422
    assert client.post("/api/train/promote", json={"run": "blind", "reason": "looks fine"}).status_code == 400
    assert client.post("/api/train/rollback", json={"base": "tiny", "reason": "no"}).status_code == 400
    assert client.get("/api/train").json()["history"] == []
    assert client.post("/api/train/runs/half/gate").status_code == 400, "it left no adapter"
