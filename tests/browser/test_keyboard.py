"""The keyboard keeps its place: after a press whose button goes away, under what lies over the page, and in a form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.browser.test_belonging import answered
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser


def test_enter_in_a_title_keeps_it_and_opens_nothing(room: Room, served: Served, tmp_path: Path) -> None:
    """The same Enter pressed the button that had the focus by then: the field opened with the old title, which was then saved."""
    answered(room, served, tmp_path)
    page = room.page
    page.locator(".talkhead").get_by_label("Rename this session").click()
    field = page.get_by_label("Title of this session")
    field.fill("Follow-up of March")
    with page.expect_response(re.compile(r"/api/sessions/\d+$")):
        field.press("Enter")
    expect(field).to_be_hidden()
    expect(page.get_by_test_id("session-title")).to_have_text("Follow-up of March")
    expect(page.locator(".talkhead").get_by_label("Rename this session")).to_be_focused()


def test_focus_stays_at_the_foot_of_an_answer(room: Room, served: Served, tmp_path: Path) -> None:
    """Each press there drew the foot anew, and the keyboard began again at the top of the page."""
    answered(room, served, tmp_path)
    page, turn = room.page, room.turns.first
    turn.get_by_test_id("agree").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("verdict")).to_have_text("You agree")
    expect(turn.get_by_test_id("agree")).to_be_focused()
    turn.get_by_test_id("provenance").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("prompt")).to_be_visible()
    expect(turn.get_by_test_id("provenance")).to_be_focused()
    served.desk.says("It is stable.")
    turn.get_by_test_id("again").focus()
    page.keyboard.press("Enter")
    room.expect_answered("It is stable.")
    expect(turn.get_by_test_id("again")).to_be_focused()


def test_focus_goes_from_ask_to_stop_to_the_question_and_from_new_there(room: Room, served: Served, tmp_path: Path) -> None:
    page, tap = room.page, Tap()
    room.upload(pair(tmp_path))
    served.desk.says("One two.", gate=tap)
    room.question.fill("What changed?")
    room.ask_button.focus()
    page.keyboard.press("Enter")
    expect(room.stop_button).to_be_focused()
    tap.open()
    room.expect_answered("One two.")
    expect(room.question).to_be_focused()
    page.get_by_test_id("new-session").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("session-title")).to_have_text("New session")
    expect(room.question).to_be_focused()


def test_what_lies_under_a_panel_is_out_of_reach_until_it_closes(room: Room, served: Served, tmp_path: Path) -> None:
    """Tab went into the question box that the report covers, and letters for the report became a question."""
    answered(room, served, tmp_path)
    page = room.page
    page.keyboard.press("Escape")
    room.question.blur()
    page.keyboard.press("Shift+D")
    expect(page.get_by_test_id("report-impression")).to_have_value(re.compile("worse"))
    inside = "() => Boolean(document.activeElement.closest('.talk > :not([data-testid=panel-report])'))"
    for _ in range(30):
        page.keyboard.press("Tab")
        assert not page.evaluate(inside)
    page.locator("body").evaluate("() => document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.get_by_test_id("panel-report")).to_be_hidden()
    expect(room.question).to_be_focused()


def test_a_shortcut_with_shift_is_no_severity(room: Room, served: Served, tmp_path: Path) -> None:
    answered(room, served, tmp_path)
    page = room.page
    room.turns.first.get_by_test_id("disagree").click()
    page.get_by_test_id("codes").locator("button").first.focus()
    page.keyboard.press("Shift+s")
    expect(page.get_by_test_id("severity").locator("[aria-pressed='true']")).to_have_count(0)
    page.get_by_test_id("codes").locator("button").first.focus()
    page.keyboard.press("s")
    expect(page.get_by_test_id("severity").locator("[aria-pressed='true']")).to_have_text("Minor")


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1024, 600)])
def test_every_entry_of_the_case_menu_is_within_reach(room: Room, width: int, height: int) -> None:
    """The last one lay below the edge of the screen."""
    page = room.page
    page.set_viewport_size({"width": width, "height": height})
    page.get_by_test_id("case-more").click()
    expect(page.get_by_test_id("case-menu").locator("button").first).to_be_focused()
    last = page.get_by_test_id("case-menu").locator("button").last
    page.keyboard.press("ArrowUp")
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport(ratio=0.95)
