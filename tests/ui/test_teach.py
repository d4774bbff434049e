"""Teach over the wire: nothing of the truth before a reading is committed, a reading once, the model with and without its prior."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from starlette.testclient import TestClient

from inference.engine import Request
from settings import load
from tests.fakes import FakeEngine
from tests.ui.conftest import HERE, Running
from tests.ui.desk import Desk
from ui.server import create_app
from ui.teaching import ASKED, cases


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the demo cases."""
    folder = tmp_path_factory.mktemp("school")
    desk = Desk()
    app = create_app(load(data_dir=folder), desk.factory)
    with TestClient(app, base_url=HERE):
        assert app.state.context.ready.wait(120)
        yield Running(app, desk, folder)


@pytest.fixture
def learner(school: Running) -> TestClient:
    client = TestClient(school.app, base_url=HERE)
    client.get("/")
    return client


def read(client: TestClient, number: int = 0) -> tuple[str, dict[str, Any]]:
    """The address of a case and what is told of it."""
    key = client.get("/api/teach").json()["cases"][number]["key"]
    return f"/api/teach/cases/{key}", client.get(f"/api/teach/cases/{key}").json()


def likely(request: Request) -> Mapping[str, float]:
    """A model that says stable of a pair and worse of a single image, whatever is shown."""
    return {"stable": -0.1} if len(request.images) > 1 else {"worse": -0.1}


def test_nothing_of_the_truth_is_told_before_a_reading_is_committed(learner: TestClient, school: Running) -> None:
    listed = learner.get("/api/teach")
    assert len(listed.json()["cases"]) == 5
    here = school.app.state.context
    known = cases(here, here.store.user("local"))
    told = listed.text
    elsewhere = learner.get("/api/start").text + learner.get("/api/library").text
    for number, case in enumerate(known):
        address, found = read(learner, number)
        assert len(found["findings"]) == ASKED
        told += learner.get(address).text
        refused = [learner.post(f"{address}/reference", json={}), learner.post(f"{address}/model", json={"frames": [0, 0]})]
        assert [answer.status_code for answer in refused] == [409, 409]
        assert "once you committed your own reading" in refused[0].json()["error"]
        told += "".join(answer.text for answer in refused)
        assert case.title not in told
        assert case.lesson[:40] not in told
        assert 'reference"' not in told
    for demo in here.cases:
        assert demo.name not in told + elsewhere, "its name tells what happened"


def test_a_reading_is_committed_once_then_model_and_reference_follow(learner: TestClient, school: Running) -> None:
    school.desk.engine = FakeEngine(scores=likely)
    address, found = read(learner)
    said = dict.fromkeys(found["findings"], "stable")
    assert learner.post(f"{address}/commit", json={"cells": {**said, "nodule": "huge"}}).status_code == 400
    assert learner.post(f"{address}/commit", json={"cells": said}).status_code == 200
    again = learner.post(f"{address}/commit", json={"cells": dict.fromkeys(said, "worse")})
    assert (again.status_code, again.json()["error"].count(".")) == (409, 0)
    assert learner.get(address).json()["cells"] == said

    model = learner.post(f"{address}/model", json={"frames": [0, 0]}).json()
    assert (set(model["cells"].values()), model["claims"], model["words"]) == ({"stable"}, 0, "not image-dependent")
    assert set(model["progression"]) == set(said)
    alone = learner.post(f"{address}/model", json={"frames": [0, 0], "alone": True}).json()
    assert (set(alone["cells"].values()), alone["claims"]) == ({"worse"}, ASKED)
    assert {len(request.images) for request, _ in school.desk.engine.scored} == {1, 2}
    assert learner.post(f"{address}/model", json={"frames": [0, 1]}).status_code == 400

    truth = learner.post(f"{address}/reference", json={"model": model["cells"]}).json()
    assert {name: truth["reference"][name] for name in ("consolidation", "pleural effusion")} == {
        "consolidation": "worse",
        "pleural effusion": "new",
    }
    assert len(truth["absent"]) == 3
    assert (truth["yours"]["right"], truth["model"]["right"]) == (3, 3)
    assert [miss["kind"] for miss in truth["yours"]["missed"]] == ["missed worsening"] * 2
    (mine,) = learner.get("/api/teach").json()["reads"]
    assert (mine["right"], mine["open"], mine["total"]) == (3, 0, ASKED)
    stranger = TestClient(school.app, base_url=HERE)
    stranger.get("/")
    assert stranger.get("/api/teach").json()["reads"] == []
    assert stranger.get(address).json()["cells"] is None
