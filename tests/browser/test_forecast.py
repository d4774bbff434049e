"""An answer about what is to come says on every screen that it is no finding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import expect

from inference.engine import Request
from inference.foretold import LEAST
from storage.forecasts import Foretold
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair, plain, radiograph
from tests.browser.test_duel import other as other
from tests.fakes import FakeEngine
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser

QUESTION = "Will the effusion be larger in a year?"


def worse(_request: Request) -> Mapping[str, float]:
    return {"worse": 0.0, "stable": -3.0, "improved": -4.0}


def test_a_forecast_is_marked_from_the_first_word_and_is_no_part_of_the_report(room: Room, served: Served, tmp_path: Path) -> None:
    page = room.page
    tap = Tap()
    served.desk.engine = FakeEngine(["The effusion is larger.", "It will be worse."], scores=worse)
    room.upload(pair(tmp_path))
    room.ask("Is the effusion larger?")
    room.expect_answered("The effusion is larger.")
    expect(room.turns.nth(0).get_by_test_id("trust-state")).to_be_visible()
    expect(page.get_by_test_id("forecast")).to_have_count(0)
    served.desk.engine = FakeEngine(["It will be worse."], scores=worse, gate=tap)
    room.ask(QUESTION)
    mark = room.turns.nth(1).get_by_test_id("forecast")
    expect(mark).to_contain_text("Forecast, not a finding")
    tap.open()
    room.expect_answered("It will be worse.", 2)
    expect(mark).to_be_in_viewport(ratio=1)
    expect(room.turns.nth(1).get_by_test_id("trust-state")).to_be_visible()
    room.reload()
    expect(room.turns.nth(1).get_by_test_id("forecast")).to_contain_text("Forecast, not a finding")
    page.keyboard.press("Shift+D")
    expect(page.get_by_test_id("report-impression")).to_have_value("The effusion is larger.\nAs a whole: worse.")
    expect(page.get_by_test_id("report-findings")).not_to_have_value("")
    assert "will be" not in page.get_by_test_id("report-findings").input_value()
    about = page.get_by_test_id("report-about")
    about.locator("summary").click()
    expect(about.locator("li", has_text=QUESTION)).to_contain_text("forecast, not a finding; its answer stands in no part of the draft")
    room.assert_calm()


def test_both_answers_of_two_models_are_marked(room: Room, other: FakeEngine, tmp_path: Path) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    page.keyboard.press("Shift+M")
    page.get_by_test_id("duel-question").fill(QUESTION)
    page.get_by_test_id("duel-ask").click()
    expect(page.get_by_test_id("duel-0")).to_be_focused()
    for number in (1, 2):
        expect(page.get_by_test_id(f"duel-side-{number}").get_by_test_id("forecast")).to_contain_text("Forecast, not a finding")


def test_a_forecast_is_resolved_on_the_study_of_its_time(
    room: Room, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was foretold is not told before the reader has said what came, and no figure stands on one forecast."""
    page = room.page

    def look() -> None:
        page.get_by_test_id("case-more").click()
        page.get_by_test_id("open-ledger").click()

    served.desk.engine = FakeEngine(["It will be worse."], scores=worse)
    room.upload(pair(tmp_path))
    room.ask(QUESTION)
    room.expect_answered("It will be worse.")
    expect(room.turns.nth(0).get_by_test_id("trust-state")).to_be_visible()
    entry = page.get_by_test_id("forecast-entry")
    look()
    expect(entry).to_contain_text("Foretold: worse.")
    expect(page.get_by_test_id("ledger").get_by_test_id("forecast")).to_contain_text("Forecast, not a finding")
    page.get_by_test_id("close-ledger").click()
    room.upload([radiograph(tmp_path / "later.dcm", plain(900), date="20250110")])
    look()
    expect(entry).to_have_attribute("data-state", "due")
    expect(entry).not_to_contain_text("worse.")
    entry.get_by_test_id("look").click()
    expect(room.turns).to_have_count(0)
    expect(entry.get_by_test_id("resolve")).to_be_disabled()
    entry.get_by_test_id("came").select_option("stable")
    entry.get_by_test_id("outcome-comment").fill("As large as before.")
    entry.get_by_test_id("resolve").click()
    expect(entry).to_have_attribute("data-state", "resolved")
    expect(entry).to_contain_text("stable came, 360 days later. As large as before.")
    expect(page.get_by_test_id("standing").first).to_contain_text("are missing")
    rows = (Foretold("bundled", "m", "", {"worse": 0.8, "stable": 0.2}, "worse"),) * LEAST
    monkeypatch.setattr(served.app.state.context.store, "resolved_forecasts", lambda: rows)
    entry.locator(".caseline").click()
    page.get_by_test_id("close-ledger").click()
    room.expect_answered("It will be worse.")
    look()
    expect(page.get_by_test_id("standing")).to_contain_text("Brier score 0.08 over 100 resolved forecasts")
    expect(page.get_by_test_id("reliability").locator(".main-svg").first).to_be_visible()
    room.assert_calm()
