"""Asking with more than words: marks that the model sees, clinical context, options to choose from, the cost told before, own templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from inference.engine import Request
from tests.browser.compare_page import Comparing
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair, plain, radiograph
from tests.browser.test_look import stands
from tests.fakes import CARD, FakeEngine
from tests.ui.desk import Desk, Tap

pytestmark = pytest.mark.browser


def hung(room: Room, served: Served, folder: Path, *answers: str) -> FakeEngine:
    """A pair hangs and an engine is there to be asked."""
    served.desk.engine = FakeEngine(answers or ("The opacity is worse.",), scores=worse)
    room.upload(pair(folder))
    return served.desk.engine


def worse(_request: Request) -> Mapping[str, float]:
    return {"A: worse": -0.2, "B: worse": -0.2, "worse": -0.2, "stable": -2.0, "improved": -3.0}


def test_a_mark_is_shown_to_the_model_until_its_reader_leaves_it_out(room: Room, served: Served, tmp_path: Path) -> None:
    engine = hung(room, served, tmp_path)
    along = room.page.get_by_test_id("along-marks")
    expect(along).to_be_hidden()
    Comparing(room).draw("box", 2, (20, 30), (60, 70))
    expect(along).to_have_text("Mark A")
    expect(room.page.get_by_test_id("suggestions")).to_contain_text("Has region A changed since the prior?")
    room.ask("Has A grown?")
    room.expect_answered("The opacity is worse.")
    assert [[mark.label for mark in image.marks] for image in engine.requests[0].images] == [[], ["A"]]
    expect(room.turns.first).to_contain_text("with mark A")
    room.turns.first.get_by_test_id("provenance").click()
    expect(room.page.get_by_test_id("tile").nth(1)).to_contain_text("Drawn in: A")
    expect(room.page.locator(".facts")).to_contain_text("-0.10 (not calibrated)")  # and no percentage that nothing here bears out
    expect(room.page.locator(".facts")).not_to_contain_text("%")
    expect(room.page.get_by_test_id("prompt")).to_contain_text("Marks on image 2, in per cent of its width and height: A, a box from")
    along.click()
    room.ask("And without it?")
    room.expect_answered("The opacity is worse.", turn=2)
    assert [image.marks for image in engine.requests[1].images] == [(), ()]


def test_context_is_told_only_when_the_reader_says_so_and_never_of_another_patient(room: Room, served: Served, tmp_path: Path) -> None:
    engine = hung(room, served, tmp_path)
    room.page.get_by_test_id("along-clinical").click()
    indication = room.page.get_by_test_id("clinical-indication")
    expect(indication).to_be_disabled()
    room.page.get_by_test_id("clinical-on").check()
    indication.fill("cough")
    room.page.get_by_test_id("clinical-age").fill("61")
    expect(room.page.get_by_test_id("along-clinical")).to_have_text("Context: 2")
    room.ask("What changed since the prior?")
    room.expect_answered("The opacity is worse.")
    assert engine.requests[0].clinical == (("Indication", "cough"), ("Age", "61"))
    expect(room.turns.first).to_contain_text("with clinical context")
    room.reload()
    expect(room.page.get_by_test_id("along-clinical")).to_have_text("Context: 2")
    room.upload([radiograph(tmp_path / "other.dcm", plain(900), patient="0815", name="Roe^Jo")])
    expect(room.page.get_by_test_id("along-clinical")).to_have_text("Context")


def test_options_are_asked_weighed_and_read_out_of_a_pasted_question(room: Room, served: Served, tmp_path: Path) -> None:
    engine = hung(room, served, tmp_path)
    room.page.get_by_test_id("along-choices").click()
    rows = room.page.get_by_test_id("choice")
    rows.first.fill("worse")
    rows.first.press("Enter")
    room.question.fill("How has the opacity changed?")
    expect(room.ask_button).to_be_disabled()
    expect(room.ask_button).to_have_attribute("title", re.compile("two options at least"))
    rows.nth(1).fill("stable")
    room.ask_button.click()
    room.expect_answered("The opacity is worse.")
    assert engine.requests[0].question == "How has the opacity changed?\nA: worse\nB: stable"
    shares = room.page.get_by_test_id("option-shares").locator("li")
    expect(shares).to_have_count(2)
    expect(shares.first).to_have_attribute("data-top", "true")
    expect(room.page.get_by_test_id("choices")).to_be_hidden()
    room.turns.first.hover()
    room.turns.first.get_by_test_id("edit-question").click()
    expect(room.question).to_have_value("How has the opacity changed?")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_have_value("stable")
    room.page.get_by_test_id("choices-close").click()
    room.question.fill("Which fits?\nA) larger\nB) smaller\nC) the same")
    room.question.dispatch_event("paste")
    expect(rows).to_have_count(3)
    expect(room.question).to_have_value("Which fits?")


def test_a_question_that_does_not_fit_is_told_before_it_is_sent(room: Room, served: Served, tmp_path: Path) -> None:
    hung(room, served, tmp_path)
    meter = room.page.get_by_test_id("budget")
    expect(meter).to_have_attribute("data-fits", "true")
    expect(meter).to_have_attribute("title", re.compile(r"of 4,096 tokens: images 128, words \d+, room for the answer 160\. Reckoned"))
    served.desk.card = replace(CARD, context_tokens=320)
    try:
        room.question.fill("What changed since the prior? " * 12)
        expect(meter).to_have_attribute("data-fits", "false")
        expect(room.ask_button).to_be_disabled()
        expect(room.ask_button).to_have_attribute("title", re.compile("the model holds 320"))
        expect(room.page.get_by_test_id("caution")).to_contain_text("the model holds 320")
    finally:
        served.desk.card = CARD
    room.question.fill("a" * 100_000)
    expect(room.page.get_by_test_id("caution")).to_contain_text("has 100000 characters and at most 8000 are read")
    expect(room.ask_button).to_be_disabled()
    room.question.fill("What changed?")
    expect(meter).to_have_attribute("data-fits", "true")
    expect(room.ask_button).to_be_enabled()


def test_what_was_reckoned_during_the_checks_is_counted_behind_them(
    room: Room, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed reckoned until another letter was typed, because the checks had the engine when it was asked for."""
    monkeypatch.setattr(Desk, "counts", lambda _desk: True, raising=False)
    monkeypatch.setattr(Desk, "token_ids", lambda _desk, _request: [0] * 300, raising=False)
    tap = Tap()

    def slow(request: Request) -> Mapping[str, float]:
        tap(0)
        return worse(request)

    served.desk.engine = FakeEngine(["The opacity is worse."], scores=slow)
    room.upload(pair(tmp_path))
    meter = room.page.get_by_test_id("budget")
    expect(meter).to_have_attribute("title", re.compile("Counted by the model"))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    expect(meter).to_have_attribute("title", re.compile("Reckoned"))
    tap.open()
    expect(room.page.get_by_test_id("trust-state")).to_be_visible()
    expect(meter).to_have_attribute("title", re.compile("Counted by the model"))


def test_a_reader_writes_the_questions_that_are_suggested(room: Room, served: Served, tmp_path: Path) -> None:
    hung(room, served, tmp_path)
    chips = room.page.get_by_test_id("suggestions").locator(".chip")
    expect(chips.first).to_have_text("What changed since the prior?")
    room.page.get_by_test_id("templates-open").click()
    dialog = room.page.get_by_test_id("templates")
    dialog.get_by_test_id("template").first.fill("Is the {finding} gone?")
    dialog.get_by_test_id("templates-save").click()
    expect(dialog).to_have_count(0)
    expect(chips.first).to_have_text("Is the pleural effusion gone?")
    room.reload()
    expect(chips.first).to_have_text("Is the pleural effusion gone?")
    room.page.get_by_test_id("templates-open").click()
    dialog.get_by_test_id("templates-reset").click()
    expect(chips.first).to_have_text("What changed since the prior?")


def test_on_a_small_screen_options_beside_many_marks_leave_the_button_in_reach(room: Room, served: Served, tmp_path: Path) -> None:
    """The marks' switch takes a line of its own there, and pushed half of Ask below the screen's edge."""
    page = room.page
    page.set_viewport_size({"width": 1024, "height": 768})
    hung(room, served, tmp_path)
    for row in (10, 30, 50, 70):
        Comparing(room).draw("box", 2, (20, row), (40, row + 10))
    page.get_by_test_id("along-choices").click()
    page.get_by_test_id("choices").get_by_text("worse, stable, improved").click()
    room.question.fill("How has region B changed since the prior?")
    expect(page.get_by_test_id("along-marks")).to_have_text("Marks A, B, C, D")
    expect(page.get_by_test_id("budget")).to_be_in_viewport(ratio=1)
    expect(room.ask_button).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
def test_everything_unfolded_stands_and_can_be_read(
    room: Room, served: Served, tmp_path: Path, width: int, height: int, theme: str
) -> None:
    page = room.page
    page.set_viewport_size({"width": width, "height": height})
    if theme == "light":
        page.get_by_test_id("theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    hung(room, served, tmp_path)
    Comparing(room).draw("box", 2, (20, 30), (60, 70))
    room.ask("Which fits?\nA: worse\nB: stable")
    expect(page.get_by_test_id("option-shares")).to_be_visible()
    page.get_by_test_id("matrix-open").click()
    expect(page.locator(".matrix .bars path").first).to_be_attached()
    page.locator("[data-cell='nodule:new']").click()
    expect(page.get_by_test_id("matrix-told")).to_contain_text("1 cell of yours")
    stands(room)
    page.get_by_test_id("along-choices").click()
    page.get_by_test_id("along-clinical").click()
    page.get_by_test_id("clinical-on").check()
    expect(page.get_by_test_id("budget")).to_be_visible()
    expect(room.ask_button).to_be_in_viewport(ratio=1)
    stands(room)
    for name in ("clinical", "choices"):  # on a small screen the suggestions make room for what is unfolded
        page.get_by_test_id(f"along-{name}").click()
    page.get_by_test_id("templates-open").click()
    expect(page.get_by_test_id("templates")).to_be_visible()
