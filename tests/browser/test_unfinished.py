"""What somebody has begun stays theirs until it is done: words half written, a place on the keyboard, a table that fills elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import BrowserContext, Locator, Route, expect

from tests.browser.conftest import Served
from tests.browser.review_page import Reviewing
from tests.browser.room import Room, caught
from tests.browser.samples import pair, plain, radiograph
from tests.browser.test_batch import halfway, opened
from tests.browser.test_belonging import answered, worse
from tests.browser.test_reviewing import Browsers, flag, ward
from tests.fakes import FakeEngine
from tests.ui.test_batch import brighter
from tests.ui.test_teach import likely

__all__ = ["ward"]
pytestmark = pytest.mark.browser


def seen(box: Locator) -> np.ndarray:
    """The box as it is drawn, grey, without the pointer over it."""
    box.page.mouse.move(2, 2)
    box.blur()
    return np.asarray(Pillow.open(io.BytesIO(box.screenshot())).convert("L"), float)


def test_words_of_a_reviewer_outlive_a_look_elsewhere_and_at_what_was_said(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    """Going to Read and back, a click on the case's own line, and "Show what was said" each began the form anew."""
    ward.desk.says("The opacity is worse.")
    flag(Room.open(browsers(), ward.url), tmp_path, 2)
    desk = Reviewing.open(browsers(), ward.url, ward.app.state.context.store, "annotator", "Second")
    page = desk.page
    desk.next()
    page.get_by_test_id("blind").check()
    first = desk.number()
    page.get_by_test_id("skip").click()
    expect(page.locator(".casehead h2")).not_to_have_text(f"Case {first}")
    desk.expect_case()
    remark = page.get_by_test_id("remark")
    remark.fill("Seen on both films.")
    page.get_by_test_id("tab-read").click()
    expect(page.get_by_test_id("case-pane")).to_be_hidden()
    with page.expect_response(re.compile(r"/take$")):
        page.get_by_test_id("tab-review").click()
    desk.expect_case()
    expect(remark).to_have_value("Seen on both films.")
    with page.expect_response(re.compile(r"/api/review/queue")):
        desk.lines.filter(has_text="yours").click()
    expect(remark).to_have_value("Seen on both films.")
    page.get_by_test_id("show-voices").click()
    expect(page.get_by_test_id("voices").locator(".voice")).to_have_count(1)
    expect(remark).to_have_value("Seen on both films.")
    with page.expect_response(re.compile(r"/api/review/queue")):
        desk.lines.filter(has_text="yours").click()
    expect(remark).to_have_value("Seen on both films.")
    expect(page.get_by_test_id("voices").locator(".voice")).to_have_count(1)
    desk.submit()
    expect(desk.told.first).to_be_visible()


def test_a_box_that_is_ticked_is_seen_to_be_in_both_themes(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    """On light the tick was white on white: "Judge first" looked off while it was on."""
    ward.desk.says("The opacity is worse.")
    flag(Room.open(browsers(), ward.url), tmp_path, 1)
    desk = Reviewing.open(browsers(), ward.url, ward.app.state.context.store, "annotator", "Second")
    desk.next()
    desk.page.get_by_test_id("filters").locator("summary").click()
    for theme in ("dark", "light"):
        expect(desk.page.locator("html")).to_have_attribute("data-theme", theme)
        for name in ("blind", "mine"):
            box = desk.page.get_by_test_id(name)
            box.set_checked(True)
            ticked = seen(box)
            box.set_checked(False)
            assert (np.abs(ticked - seen(box)) > 60).sum() > 30, (theme, name)
        desk.page.get_by_test_id("theme").click()


def test_keeping_one_outcome_leaves_what_is_written_of_another(room: Room, served: Served, tmp_path: Path) -> None:
    page = room.page
    served.desk.engine = FakeEngine(["It will be worse."], scores=worse)
    room.upload(pair(tmp_path))
    for turn, question in enumerate(("Will the effusion be larger in a year?", "Will the nodule be larger in a year?"), 1):
        room.ask(question)
        room.expect_answered("It will be worse.", turn)
        expect(room.turns.nth(turn - 1).get_by_test_id("trust-state")).to_be_visible()
    room.upload([radiograph(tmp_path / "later.dcm", plain(900), date="20250110")])
    page.get_by_test_id("case-more").click()
    page.get_by_test_id("open-ledger").click()
    due = page.get_by_test_id("ledger").locator("[data-testid='forecast-entry'][data-state='due']")
    expect(due).to_have_count(2)
    one, another = due.filter(has_text="nodule"), due.filter(has_text="effusion")
    one.get_by_test_id("came").select_option("stable")
    one.get_by_test_id("outcome-comment").fill("As large as before.")
    another.get_by_test_id("came").select_option("worse")
    another.get_by_test_id("resolve").click()
    expect(due).to_have_count(1)
    expect(one.get_by_test_id("outcome-comment")).to_have_value("As large as before.")
    one.get_by_test_id("resolve").click()
    expect(due).to_have_count(0)
    expect(page.get_by_test_id("ledger")).to_contain_text("As large as before.")


def test_a_reading_that_is_begun_waits_while_another_case_is_looked_at(room: Room, served: Served) -> None:
    """Its words, and what the model said of it meanwhile, were lost."""
    served.desk.engine = FakeEngine(scores=likely)
    page = room.page
    page.keyboard.press("Alt+2")
    pane, cases = page.get_by_test_id("teach-pane"), page.get_by_test_id("teach-case")
    cases.nth(0).click()
    rows = pane.locator(".progression tbody tr")
    expect(rows).to_have_count(5)
    for number in range(5):
        rows.nth(number).locator(".cell").first.click()
    title = pane.locator(".casehead h2").first.inner_text()
    cases.nth(1).click()
    expect(pane.locator(".casehead h2").first).not_to_have_text(title)
    cases.nth(0).click()
    expect(pane.locator(".casehead h2").first).to_have_text(title)
    expect(rows.locator('[aria-pressed="true"]')).to_have_count(5)
    pane.get_by_test_id("teach-commit").click()
    late: list[Route] = []
    page.route("**/model", lambda route: late.append(route))
    pane.get_by_test_id("teach-model").click()
    cases.nth(1).click()
    expect(pane.locator(".casehead h2").first).not_to_have_text(title)
    with page.expect_response("**/model"):
        caught(page, late).continue_()
    expect(pane.get_by_test_id("teach-table")).to_have_count(0)
    cases.nth(0).click()
    expect(pane.get_by_test_id("teach-table").locator("thead th")).to_have_text(["Finding", "You", "Model"])


def test_a_batch_that_another_tab_began_fills_the_table_whole(room: Room, served: Served, reader: BrowserContext, tmp_path: Path) -> None:
    """Its first rows were missing, and the ones of the batch before it stood in their place."""
    go = halfway(room, served, tmp_path)
    room.page.route(re.compile(r"/api/batch\?after"), lambda _route: None)  # held
    with room.page.expect_request(re.compile(r"/api/batch\?after")):
        pass
    other = Room.open(reader, served.url)
    opened(other)
    other.page.get_by_test_id("batch-stop").click()
    go.set()
    expect(other.page.get_by_test_id("batch-told")).to_contain_text("Stopped after")
    served.desk.engine = FakeEngine(scores=brighter)
    (tmp_path / "more").mkdir()
    films = [
        radiograph(tmp_path / "more" / f"{date}.dcm", plain(900), patient="0815", name="Roe^Jo", date=date)
        for date in ("20240102", "20240302")
    ]
    other.page.get_by_test_id("batch-close").click()
    other.upload(films)
    opened(other)
    other.page.get_by_test_id("batch-library").click()
    done = "[data-testid='batch-rows'] [data-state='done']"
    expect(other.page.locator(done)).to_have_count(6)
    room.page.unroute(re.compile(r"/api/batch\?after"))  # what is held goes on
    expect(room.page.locator(done)).to_have_count(6)
    other.assert_calm()


def test_the_keyboard_stays_where_it_was_when_a_list_is_drawn_anew(room: Room, served: Served, tmp_path: Path) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    room.expect_answered("The opacity is worse.")
    row = room.sessions.first.locator(".open")
    row.focus()
    with page.expect_response(re.compile(r"/api/sessions/\d+$")):
        page.keyboard.press("Enter")
    room.expect_answered("The opacity is worse.")
    expect(row).to_be_focused()
    rename = room.sessions.first.get_by_label("Rename this session")
    rename.press("Enter")
    page.get_by_label("Title of the session").fill("Follow-up")
    page.keyboard.press("Enter")
    expect(room.sessions.first).to_contain_text("Follow-up")
    expect(rename).to_be_focused()


def test_the_queue_keeps_the_keyboard(ward: Served, browsers: Browsers, tmp_path: Path) -> None:
    """It is asked for again every quarter of a minute, and after each choice."""
    ward.desk.says("The opacity is worse.")
    flag(Room.open(browsers(), ward.url), tmp_path, 1)
    desk = Reviewing.open(browsers(), ward.url, ward.app.state.context.store, "annotator", "Second")
    for name in ("", "pending"):
        button = desk.page.get_by_test_id("queue-states").locator(f"[data-state='{name}']")
        button.focus()
        with desk.page.expect_response(re.compile(r"/api/review/queue")):
            desk.page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(button).to_be_focused()


def test_a_work_space_that_cannot_be_loaded_keeps_no_other_from_it(room: Room) -> None:
    page = room.page
    late: list[Route] = []
    page.route("**/app/review.js", lambda route: late.append(route))
    page.get_by_test_id("tab-review").click()
    with page.expect_request("**/app/teach.js"):
        page.get_by_test_id("tab-teach").click()
    caught(page, late).abort()
    expect(room.toasts).to_contain_text("could not be loaded")
    expect(page.get_by_test_id("teach-pane")).to_be_visible()
    page.evaluate("async () => (await import('/app/hang.js')).show([], null)")
    expect(page.get_by_test_id("tab-read")).to_have_attribute("aria-selected", "true")
    assert "place=" not in page.url


def test_words_of_a_report_are_kept_over_a_reload_and_without_leaving_the_field(room: Room, served: Served, tmp_path: Path) -> None:
    """They were saved when the field was left, and a reload leaves none."""
    answered(room, served, tmp_path)
    page = room.page
    room.question.blur()
    page.keyboard.press("Shift+D")
    findings = page.get_by_test_id("report-findings")
    expect(findings).to_have_value(re.compile("^Worse"))
    with page.expect_response(re.compile(r"/report\?")):
        findings.fill("Effusion, larger.")
    expect(page.get_by_test_id("report-saved")).to_contain_text("saved ")
    expect(findings).to_be_focused()
    findings.fill("Effusion, much larger.")
    room.reload()
    room.viewport(2).expect_shown()
    page.keyboard.press("Shift+D")
    expect(findings).to_have_value("Effusion, much larger.")


def test_a_form_that_is_begun_outlives_a_second_press_and_another_answer(room: Room, served: Served, tmp_path: Path) -> None:
    """Pressing "disagree" again, or Regenerate, threw the half-written correction away."""
    answered(room, served, tmp_path)
    page, turn = room.page, room.turns.first
    turn.get_by_test_id("agree").click()
    expect(page.get_by_test_id("verdict")).to_have_text("You agree")
    page.get_by_test_id("edit-feedback").click()
    corrected = page.get_by_test_id("corrected")
    corrected.fill("Half a sentence")
    for verdict, said in (("disagree", "You disagree"), ("disagree", "You disagree"), ("agree", "You agree"), ("disagree", "You disagree")):
        turn.get_by_test_id(verdict).click()
        expect(page.get_by_test_id("verdict")).to_have_text(said)
        expect(corrected).to_have_value("Half a sentence")
    page.get_by_test_id("codes").locator("button").first.focus()
    page.keyboard.press("3")
    turn.get_by_test_id("disagree").click()
    expect(page.get_by_test_id("codes").locator("[aria-pressed='true']")).to_have_count(1)
    served.desk.says("It is stable.")
    turn.get_by_test_id("again").click()
    room.expect_answered("It is stable.")
    expect(corrected).to_have_count(0)
    turn.get_by_test_id("earlier").click()
    expect(corrected).to_have_value("Half a sentence")
    page.get_by_test_id("keep").click()
    expect(page.get_by_test_id("corrected-answer")).to_have_text("Half a sentence")
    expect(page.get_by_test_id("verdict")).to_contain_text("You disagree")
    expect(corrected).to_have_count(0)
