"""Feedback where the answer stands: by keyboard, whole, with its history; and the work spaces beside Read."""

from __future__ import annotations

import shutil
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import expect

from tests.browser.compare_page import Comparing
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.finetune import ordered
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser

STANDS = """async () => {
  const { state } = await import('/app/state.js');
  return state.turns.at(-1).versions.at(-1).feedback.at(-1);
}"""
HANGS = """async () => {
  const [{ state }, { viewer }] = await Promise.all(['state', 'stage'].map((name) => import(`/app/${name}.js`)));
  const bridge = await viewer();
  return [state.slots.map((slot) => slot && [slot.series.id, slot.frame, slot.role]), state.layout, state.drawn.marks.length,
    state.session.id, state.slots.map((_, slot) => bridge.camera(slot)?.zoom.toFixed(3))];
}"""


@pytest.fixture
def answered(room: Room, tmp_path: Path) -> Room:
    """A question with its answer."""
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    room.question.blur()
    return room


def test_the_common_case_is_four_keys(answered: Room) -> None:
    """Disagree, the code, the severity, keep: no mouse, nothing to look for. The issue asks for less than ten seconds by hand."""
    page = answered.page
    began = monotonic()
    page.keyboard.press("Shift+y")
    expect(page.get_by_test_id("statement")).to_be_visible()
    page.keyboard.press("3")
    page.keyboard.press("s")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("statement")).to_have_count(0)
    assert monotonic() - began < 10
    expect(page.get_by_test_id("verdict")).to_have_text("You disagree: Change missed, major")
    answered.reload()
    expect(page.get_by_test_id("verdict")).to_have_text("You disagree: Change missed, major")


def test_the_whole_form_is_kept_and_every_change_is_in_the_history(answered: Room) -> None:
    page = answered.page
    found = Comparing(answered)
    found.draw("box", 2, (20, 20), (60, 50))
    answered.turns.first.get_by_test_id("disagree").click()
    page.get_by_test_id("codes").get_by_role("button", name="Wrong side").click()
    page.get_by_test_id("corrected").fill("The opacity on the right is worse.")
    page.get_by_test_id("remark").fill("Left and right.")
    page.get_by_test_id("place").select_option(index=1)
    page.get_by_test_id("keep").click()
    expect(page.get_by_test_id("corrected-answer")).to_have_text("The opacity on the right is worse.")
    stands = page.evaluate(STANDS)
    assert (stands["codes"], stands["comment"], stands["mark"]["image"], stands["mark"]["kind"]) == (
        ["wrong-side"],
        "Left and right.",
        1,
        "box",
    )
    page.get_by_test_id("edit-feedback").click()
    page.keyboard.press("9")
    page.get_by_test_id("keep").click()
    expect(page.get_by_test_id("verdict")).to_contain_text("Wrong side, Other")
    page.get_by_test_id("feedback-history").click()
    expect(page.get_by_test_id("history").locator("li")).to_have_count(3)
    assert page.evaluate(STANDS)["mark"]["kind"] == "box", "what was not touched stands"
    answered.turns.first.get_by_test_id("agree").click()
    expect(page.get_by_test_id("verdict")).to_have_text("You agree")
    answered.turns.first.get_by_test_id("agree").click()
    expect(page.get_by_test_id("feedback-history")).to_have_text("Hide history")
    expect(page.get_by_test_id("history").locator("li")).to_have_count(4)


def test_one_answer_is_preferred_over_another(answered: Room, served: Served) -> None:
    served.desk.says("The opacity is the same.")
    page = answered.page
    answered.turns.first.get_by_test_id("again").click()
    answered.expect_answered("The opacity is the same.")
    page.get_by_test_id("agree").click()
    page.get_by_test_id("edit-feedback").click()
    page.get_by_test_id("better-than").select_option(label="Better than version 1")
    page.get_by_test_id("keep").click()
    expect(answered.turns.first).to_contain_text("Better than another version")
    assert page.evaluate(STANDS)["verdict"] == "agree"


def test_escape_leaves_the_form_and_what_was_written_outlives_other_news(answered: Room) -> None:
    page = answered.page
    answered.turns.first.get_by_test_id("disagree").click()
    page.get_by_test_id("corrected").fill("Half a sentence")
    page.get_by_test_id("theme").click()
    expect(page.get_by_test_id("corrected")).to_have_value("Half a sentence")
    page.get_by_test_id("corrected").press("Escape")
    expect(page.get_by_test_id("statement")).to_have_count(0)
    expect(page.get_by_test_id("verdict")).to_have_text("You disagree")
    page.get_by_test_id("theme").click()


def test_whoever_flagged_sees_whether_it_was_fixed(answered: Room, served: Served) -> None:
    """At the answer, in the list of what was flagged, and from there back to the answer."""
    page = answered.page
    page.keyboard.press("Shift+y")
    expect(page.get_by_test_id("statement")).to_be_visible()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("statement")).to_have_count(0)
    expect(page.get_by_test_id("fate")).to_have_text("Waits for a reviewer.")
    number: int = page.evaluate(STANDS)["id"]
    sheet = {**ordered.sheet("next"), "replayed": [ordered.told(number, "fixed", "What changed?", "stable", "worse", "worse")]}
    place = ordered.run(served.app.state.context.settings, "next", sheet=sheet)
    try:
        answered.reload()
        expect(page.get_by_test_id("fate")).to_contain_text(
            "Asked again next, which does not answer now, says worse where stable was said."
        )
        page.get_by_test_id("new-session").click()
        expect(answered.turns).to_have_count(0)
        page.get_by_test_id("case-more").click()
        page.get_by_test_id("open-flags").click()
        line = page.get_by_test_id("flag")
        expect(line).to_contain_text("Change missed")
        expect(line).to_contain_text("next: worse · not live")
        line.click()
        page.get_by_test_id("close-flags").click()
        answered.expect_answered("The opacity is worse.")
    finally:
        shutil.rmtree(place)


def test_a_refused_statement_is_a_sentence_and_the_form_stays(answered: Room, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    page = answered.page
    answered.turns.first.get_by_test_id("disagree").click()
    page.get_by_test_id("corrected").fill("Words that must not be lost.")
    monkeypatch.setattr(type(served.app.state.context.store), "statements_since", lambda *_: 10**6)
    page.get_by_test_id("keep").click()
    expect(answered.toasts).to_contain_text("the most this site allows")
    expect(page.get_by_test_id("corrected")).to_have_value("Words that must not be lost.")


def test_looking_at_other_work_spaces_changes_nothing_of_read(answered: Room, served: Served) -> None:
    """An answer goes on being written, and images, zoom and marks are as they were when the reader comes back."""
    page = answered.page
    found = Comparing(answered)
    found.draw("length", 1, (20, 20), (60, 50))
    answered.viewport(1).activate()
    page.keyboard.press("+")
    found.expect_saved_session()
    before = page.evaluate(HANGS)
    tap = Tap()
    served.desk.says("One two three.", gate=tap)
    answered.ask("And now?")
    tap.let(1)
    expect(answered.words(2)).to_have_text("One")
    page.get_by_test_id("tab-review").click()
    expect(page.get_by_test_id("review-refused")).to_be_visible()
    expect(answered.question).to_be_hidden()
    page.get_by_test_id("tab-train").click()
    expect(page.get_by_test_id("review-refused")).to_be_hidden()
    page.keyboard.press("x")
    tap.open()
    page.get_by_test_id("tab-train").press("ArrowLeft")
    page.get_by_test_id("tab-review").press("ArrowLeft")
    expect(page.get_by_test_id("tab-teach")).to_have_attribute("aria-selected", "true")
    page.get_by_test_id("tab-teach").press("ArrowLeft")
    expect(page.get_by_test_id("tab-read")).to_have_attribute("aria-selected", "true")
    answered.expect_answered("One two three.", turn=2)
    answered.viewport(2).expect_shown()
    assert page.evaluate(HANGS) == before
    page.keyboard.press("Alt+3")
    expect(page.get_by_test_id("review-refused")).to_be_visible()
    answered.reload()
    expect(page.get_by_test_id("review-refused")).to_be_visible()
    page.get_by_test_id("tab-read").click()
    answered.expect_answered("One two three.", turn=2)
