"""The forecast ledger over the wire: asked, due with the study of the time, resolved by its reader, counted by model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from inference.foretold import LEAST
from storage.forecasts import Foretold
from tests.browser.samples import pair, plain, radiograph
from tests.fakes import FakeEngine
from tests.ui.conftest import Running, events, send, slots
from tests.ui.test_trust import address, worse

QUESTION = "Will the effusion be larger in a year?"


@pytest.fixture
def foretold(browser: TestClient, running: Running, tmp_path: Path) -> dict[str, Any]:
    """What the ledger holds after an answer about the year to come was checked."""
    running.desk.engine = FakeEngine(["It will be worse."], scores=worse)
    hang = send(browser, *pair(tmp_path))["hang"]
    told = events(browser.post("/api/ask", json={"question": QUESTION, "slots": slots(hang)}).text)
    where = address(told[0]["session_id"], told[0]["turn"]["id"], told[-1]["version"]["id"])
    assert events(browser.post(where, json={}).text)[-1]["type"] == "checked"
    (one,) = ledger(browser)["forecasts"]
    return one


def ledger(client: TestClient) -> dict[str, Any]:
    answer = client.get("/api/forecasts")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_forecast_waits_for_its_study_and_for_the_readers_word(
    browser: TestClient, stranger: TestClient, foretold: dict[str, Any], tmp_path: Path
) -> None:
    forecast = foretold["forecast"]
    assert (foretold["state"], forecast["question"], forecast["horizon"]) == ("open", QUESTION, "in a year")
    assert max(forecast["shares"], key=forecast["shares"].get) == "worse"
    send(browser, radiograph(tmp_path / "soon.dcm", plain(900), date="20240301"))
    assert ledger(browser)["forecasts"][0]["state"] == "open"
    send(browser, radiograph(tmp_path / "later.dcm", plain(900), date="20250110"))
    (due,) = ledger(browser)["forecasts"]
    assert (due["state"], [one["days"] for one in due["forecast"]["later"]]) == ("due", [360])
    where, study = f"/api/forecasts/{forecast['id']}/outcomes", due["forecast"]["later"][0]["study_id"]
    assert browser.post(where, json={"came": "larger", "study_id": study}).status_code == 400
    assert browser.post(where, json={"came": "worse", "study_id": study, "comment": "x" * 401}).status_code == 422
    assert stranger.post(where, json={"came": "worse", "study_id": study}).status_code == 404
    assert ledger(stranger)["forecasts"] == []
    (done,) = browser.post(where, json={"came": "stable", "study_id": study, "comment": "As before."}).json()["forecasts"]
    (outcome,) = done["forecast"]["outcomes"]
    assert (done["state"], outcome["came"], outcome["comment"], outcome["days"]) == ("resolved", "stable", "As before.", 360)
    assert sum(one["resolved"] for one in ledger(stranger)["standing"]) >= 1, "everybody's count for a model"


def test_figures_of_a_model_come_with_a_hundred(browser: TestClient, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    store = running.app.state.context.store
    rows = [Foretold("bundled", "m", "a" * 64, {"worse": 0.8, "stable": 0.2}, "worse")] * LEAST
    monkeypatch.setattr(store, "resolved_forecasts", lambda: tuple(rows[1:]))
    found = ledger(browser)
    assert (found["least"], found["standing"][0]["resolved"], found["standing"][0]["diagram"]) == (LEAST, LEAST - 1, None)
    monkeypatch.setattr(store, "resolved_forecasts", lambda: tuple(rows))
    (one,) = ledger(browser)["standing"]
    assert (one["model"], one["adapter"], one["brier"], one["even"]) == ("bundled", "aaaaaaaa", pytest.approx(0.08), pytest.approx(0.5))
    assert [(part["count"], part["said"], part["right"]) for part in one["diagram"]["bins"]] == [(20, pytest.approx(0.8), 1.0)] * 5
