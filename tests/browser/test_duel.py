"""Two models on one question in the page: blind until the reader has judged, the images in sight, the preference kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from inference.select import Selection
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from ui.rivals import Choice

pytestmark = pytest.mark.browser


@pytest.fixture
def other(served: Served) -> Iterator[FakeEngine]:
    """A second model called `april`."""
    rivals, engine = served.app.state.rivals, FakeEngine(["It is stable."], card=replace(CARD, name="april"))
    before = rivals.opener, rivals.choices
    rivals.opener, rivals.choices = (lambda _settings, _name: Selection(engine, "")), (lambda _settings: (Choice("a", "april · fake"),))
    yield engine
    rivals.close()
    rivals.opener, rivals.choices = before


def test_names_come_after_the_judgement_and_the_preference_is_kept(room: Room, other: FakeEngine, tmp_path: Path) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    page.keyboard.press("Shift+M")
    page.get_by_test_id("duel-question").fill("What changed?")
    page.get_by_test_id("duel-ask").click()
    sides = [page.get_by_test_id(f"duel-side-{number}") for number in (1, 2)]
    expect(page.get_by_test_id("duel-0")).to_be_focused()
    expect(sides[0].locator("h3")).to_have_text("Answer 1")
    expect(page.get_by_test_id("panel-duel").locator(".sides2")).not_to_contain_text("april")
    page.keyboard.press("Shift+D")
    expect(page.get_by_test_id("report-about")).to_contain_text("Rests on 1 answer of models you have not judged yet")
    page.keyboard.press("Shift+M")
    better = 0 if sides[0].locator(".words").inner_text() == "It is stable." else 1
    page.get_by_test_id(f"duel-{better}").click()
    expect(page.get_by_test_id("duel-kept")).to_contain_text("kept as feedback")
    expect(sides[better].locator("h3")).to_have_text("april")
    expect(sides[1 - better].locator("h3")).to_have_text("fake")
    session = page.evaluate("() => Number(new URL(location.href).searchParams.get('session'))")
    versions = page.evaluate("(id) => fetch(`/api/sessions/${id}`).then((one) => one.json())", session)["turns"][0]["versions"]
    said = {version["model"]: version["feedback"] for version in versions}
    assert [row["preferred_over"] for row in said["april"]] == [next(one["id"] for one in versions if one["model"] == "fake")]
    assert said["fake"] == []
    room.viewport(2).expect_shown()
    expect(room.viewport(1).area).to_be_in_viewport(ratio=1)
    page.get_by_test_id("close-duel").click()
    expect(room.turns.first.get_by_test_id("versions")).to_contain_text("of 2")


def test_open_answers_stream_under_their_names_and_one_model_alone_is_said(
    room: Room, served: Served, other: FakeEngine, tmp_path: Path
) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    page.keyboard.press("Shift+M")
    page.get_by_test_id("duel-blind").click()
    page.get_by_test_id("duel-ask").click()
    expect(page.get_by_test_id("duel-side-1").locator("h3")).to_have_text("fake")
    expect(page.get_by_test_id("duel-side-2").locator("h3")).to_have_text("april")
    page.get_by_test_id("duel-none").click()
    expect(page.get_by_test_id("duel-kept")).to_contain_text("no difference")
    page.keyboard.press("Escape")
    room.turns.first.get_by_test_id("earlier").click()
    expect(room.turns.first.get_by_test_id("verdict")).to_have_text("You said: Side by side: no difference from the other answer.")
    served.app.state.rivals.choices = lambda _settings: ()
    page.keyboard.press("Shift+M")
    expect(page.get_by_test_id("duel-why")).to_contain_text("Only one model")
    expect(page.get_by_test_id("duel-ask")).to_be_disabled()


def test_two_models_can_be_stopped_before_the_server_has_answered(room: Room, other: FakeEngine, tmp_path: Path) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    page.keyboard.press("Shift+M")
    page.get_by_test_id("duel-question").fill("What changed?")
    page.route("**/api/duel", lambda _: None)
    page.get_by_test_id("duel-ask").click()
    page.get_by_test_id("duel-stop").click()
    expect(page.get_by_test_id("duel-ask")).to_be_enabled()
    page.unroute_all()
    page.get_by_test_id("duel-ask").click()
    expect(page.get_by_test_id("duel-0")).to_be_focused()


def test_a_question_too_long_for_one_model_is_asked_of_a_larger_one_at_once(
    room: Room, served: Served, other: FakeEngine, tmp_path: Path
) -> None:
    """Ask stayed disabled until another letter was typed."""
    page, chip = room.page, room.page.get_by_test_id("engine")
    room.upload(pair(tmp_path))
    served.desk.card = replace(CARD, context_tokens=320)
    try:
        room.question.fill("What changed since the prior? " * 12)
        expect(page.get_by_test_id("budget")).to_have_attribute("data-fits", "false")
        expect(room.ask_button).to_be_disabled()
        chip.click()
        page.get_by_test_id("engine-model").nth(1).click()
        expect(chip).to_have_text("april · fake")
        expect(room.ask_button).to_be_enabled()
    finally:
        served.desk.card = CARD


def test_a_reader_chooses_who_answers_their_questions(room: Room, served: Served, other: FakeEngine, tmp_path: Path) -> None:
    """For this tab: another reader's questions go on to the served model, and so does a reloaded page."""
    page, chip = room.page, room.page.get_by_test_id("engine")
    room.upload(pair(tmp_path))
    chip.click()
    models = page.get_by_test_id("engine-model")
    expect(models).to_have_text(["fake · fake (now)", "april · fake"])
    expect(models.first).to_be_focused()
    models.nth(1).click()
    expect(chip).to_have_text("april · fake")
    expect(page.get_by_test_id("budget")).to_be_hidden()
    expect(page.get_by_test_id("caution")).to_contain_text("april · fake answers here")
    room.ask("What changed?")
    room.expect_answered("It is stable.")
    expect(room.turns.first.get_by_test_id("trust-state")).to_be_visible()
    assert len(other.requests) == 1
    chip.click()
    models.first.click()
    room.ask("What changed now?")
    room.expect_answered("The opacity is worse.", turn=2)
    room.reload()
    expect(chip).to_have_text("fake · fake")
