"""An answer about what is to come says on every screen that it is no finding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import expect

from inference.engine import Request
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
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
