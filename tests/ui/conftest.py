"""One app for all route tests, spoken to as browsers speak: each test is another reader with a cookie of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from settings import load
from tests.ui.desk import Desk
from ui.server import create_app

HERE = "http://127.0.0.1"


@dataclass(frozen=True)
class Running:
    """A started app with its engine's inside and data directory."""

    app: FastAPI
    desk: Desk
    folder: Path


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("running")
    desk = Desk()
    app = create_app(load(data_dir=folder, max_upload_mb=4), desk.factory, demo=False)
    with TestClient(app, base_url=HERE):
        yield Running(app, desk, folder)


@pytest.fixture
def browser(running: Running) -> TestClient:
    """A browser that has opened the page and so has its cookie."""
    running.desk.says("The opacity is worse.")
    client = TestClient(running.app, base_url=HERE)
    assert client.get("/").status_code == 200
    return client


@pytest.fixture
def stranger(running: Running) -> TestClient:
    """Another browser."""
    client = TestClient(running.app, base_url=HERE)
    client.get("/")
    return client


def send(client: TestClient, *paths: Path, names: dict[Path, str] | None = None) -> dict[str, Any]:
    """Upload files and return the last line of the answer: report and hanging."""
    files = [("files", ((names or {}).get(path, path.name), path.read_bytes())) for path in paths]
    answer = client.post("/api/upload", files=files)
    assert answer.status_code == 200, answer.text
    last: dict[str, Any] = json.loads(answer.text.strip().splitlines()[-1])
    return last


def events(text: str) -> list[dict[str, Any]]:
    """Server-sent events of an answer, in order."""
    return [json.loads(block.removeprefix("data: ")) for block in text.split("\n\n") if block.startswith("data: ")]


def slots(hang: dict[str, Any]) -> list[dict[str, Any]]:
    """What hangs, as a question sends it."""
    return [{"series_id": s["series"]["id"], "frame": s["frame"], "role": s["role"], "when": s["when"]} for s in hang["slots"]]
