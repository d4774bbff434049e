"""Maps of a kept answer: of the model that is open and that transformers runs, else one sentence why there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from inference.engine import Request
from inference.select import Selection
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.conftest import Running, events, send, slots


class Looker(FakeEngine):
    """A model through transformers; the second image alone bears on its answers."""

    def relevance(self, request: Request, answer: str, cancel: object = None) -> tuple[NDArray[np.float32], ...]:
        assert answer == "The opacity is worse."
        return np.zeros((2, 2), dtype=np.float32), np.array([[0, 0], [0.25, 0.75]], dtype=np.float32)


def test_maps_of_both_images_with_their_limits(browser: TestClient, running: Running, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    room = running.app.state.context.engine
    before = room._selection
    room._selection = Selection(Looker(card=replace(CARD, engine="torch")), "transformers")
    try:
        told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)
        where = f"/api/sessions/{told[0]['session_id']}/turns/{told[0]['turn']['id']}/versions/{told[-1]['version']['id']}/looked"
        found = browser.get(where).json()
    finally:
        room._selection = before
    assert found["maps"][1] == [[0, 0], [0.25, 0.75]]
    assert found["shares"] == [0, 1]
    assert "does not say why" in found["limits"]
    refused = browser.get(where)
    assert refused.status_code == 409
    assert refused.json()["error"].endswith("this one is of fake through torch.")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sha256": "1" * 64}, "this one is of fake through torch."),
        ({"adapter": "2" * 64}, "this one is of fake through torch with another adapter."),
        ({"engine": "gguf"}, "this one is of fake through torch."),
    ],
)
def test_no_other_model_draws_the_map_of_an_answer(
    browser: TestClient, running: Running, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    """The engine that is open could look, but is not what answered: its map would be of another model's words."""
    hang = send(browser, *pair(tmp_path))["hang"]
    room = running.app.state.context.engine
    before, card = room._selection, replace(CARD, engine="torch")
    try:
        room._selection = Selection(Looker(card=card), "transformers")
        told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)
        room._selection = Selection(Looker(card=replace(card, **changed)), "another")
        where = f"/api/sessions/{told[0]['session_id']}/turns/{told[0]['turn']['id']}/versions/{told[-1]['version']['id']}/looked"
        refused = browser.get(where)
    finally:
        room._selection = before
    assert (refused.status_code, refused.json()["error"].endswith(said)) == (409, True), refused.text


def test_an_engine_without_maps_says_so(browser: TestClient, stranger: TestClient, tmp_path: Path) -> None:
    hang = send(browser, *pair(tmp_path))["hang"]
    told = events(browser.post("/api/ask", json={"question": "What changed?", "slots": slots(hang)}).text)
    where = f"/api/sessions/{told[0]['session_id']}/turns/{told[0]['turn']['id']}/versions/{told[-1]['version']['id']}/looked"
    refused = browser.get(where)
    assert (refused.status_code, "made by transformers" in refused.json()["error"]) == (409, True)
    assert stranger.get(where).status_code == 404
