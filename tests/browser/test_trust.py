"""Trust in the Read tab: checks after the answer, their evidence one click away, progression, and words that light up an image."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from errors import EngineError
from inference.engine import Request
from tests.browser.conftest import Served
from tests.browser.room import Room, caught
from tests.browser.samples import pair
from tests.fakes import FakeEngine
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser


def order_blind(request: Request) -> Mapping[str, float]:
    """Worse of any two pictures in either order, stable of one picture twice; `new` of no finding."""
    first, second = (image.sha256 for image in request.images)
    return {"stable": 0.0, "worse": -3.0} if first == second else {"worse": 0.0, "stable": -3.0}


def answered(room: Room, served: Served, folder: Path, words: str) -> None:
    """A pair is open, a question answered, its checks made."""
    served.desk.engine = FakeEngine([words], scores=order_blind)
    room.upload(pair(folder))
    room.ask("What changed since the prior?")
    room.expect_answered(words)
    expect(room.page.get_by_test_id("trust-state")).to_have_attribute("data-trust", "order-blind")


def test_the_state_is_in_words_and_its_evidence_one_click_away(room: Room, served: Served, tmp_path: Path) -> None:
    """Also after a reload, because checks are kept with the answer."""
    answered(room, served, tmp_path, "The opacity is worse.")
    state = room.page.get_by_test_id("trust-state")
    expect(state).to_have_text("Order-blind")
    expect(room.page.get_by_test_id("evidence")).to_have_count(0)
    state.click()
    found = room.page.get_by_test_id("evidence").locator("[data-check='exchange']")
    expect(found).to_have_attribute("data-passed", "false")
    expect(found).to_contain_text("their order is not used")
    expect(found.locator("tbody tr").nth(1).locator("[data-top='true']")).to_have_attribute("data-share", re.compile(r"0\.9"))
    expect(room.page.get_by_test_id("evidence")).not_to_contain_text("%")
    room.reload()
    expect(state).to_have_text("Order-blind")
    state.click()
    expect(found).to_contain_text("their order is not used")


def test_words_that_say_otherwise_are_flagged_and_what_was_asked_is_shown(room: Room, served: Served, tmp_path: Path) -> None:
    """Without opening anything; inside stands the closed question that was checked in place of the reader's own."""
    served.desk.engine = FakeEngine(["The effusion is smaller; overall improved."], scores=order_blind)
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    expect(room.page.get_by_test_id("flag")).to_have_text("The answer says improved; asked for one of 3 options the model says worse.")
    room.page.get_by_test_id("trust-state").click()
    assert room.page.get_by_test_id("evidence").evaluate("one => one.scrollWidth - one.clientWidth") == 0
    expect(room.page.get_by_test_id("stands-for")).to_contain_text("“Overall, is the disease worse, stable or improved since the prior?")
    room.page.get_by_test_id("more-undated").click()
    expect(room.page.get_by_test_id("evidence").locator("[data-check='undated']")).to_contain_text(
        "Told no dates the model says worse again."
    )
    expect(room.page.get_by_test_id("more-undated")).to_have_count(0)


def test_a_percentage_stands_beside_its_diagram_once_enough_was_reviewed(
    room: Room, served: Served, tmp_path: Path, reviewed: Callable[[], None]
) -> None:
    page = room.page
    answered(room, served, tmp_path, "The opacity is worse.")
    page.get_by_test_id("trust-state").click()
    expect(page.get_by_test_id("no-percentage")).to_contain_text("it takes 200 reviewed temporal questions")
    expect(page.get_by_test_id("calibrated")).to_have_count(0)
    reviewed()
    room.reload()
    page.get_by_test_id("calibrated").click()
    expect(page.get_by_test_id("percentage")).to_have_text(re.compile(r"^Right in such cases here: \d\d %\.$"))
    expect(page.get_by_test_id("calibration").locator(".reliability .points path")).to_have_count(20)
    page.get_by_test_id("matrix-open").click()
    expect(page.get_by_test_id("matrix").get_by_test_id("percentage")).to_contain_text("consolidation")
    page.get_by_test_id("calibrated").click()
    page.get_by_test_id("again").click()
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    expect(page.get_by_test_id("trust-state")).to_be_visible()


def test_an_answer_that_is_right_less_often_than_asked_for_is_folded_until_it_is_wanted(
    room: Room, served: Served, tmp_path: Path, reviewed: Callable[[], None]
) -> None:
    """Without enough reviewed answers the control rests and says what is missing; the choice outlives a reload."""
    page = room.page
    answered(room, served, tmp_path, "The opacity is worse.")
    page.get_by_test_id("trust-state").click()
    expect(page.get_by_test_id("at-least")).to_be_disabled()
    expect(page.get_by_test_id("at-least-told")).to_contain_text("more reviewed temporal questions are needed first")
    reviewed()
    room.reload()
    page.get_by_test_id("calibrated").click()
    expect(page.get_by_test_id("at-least-told")).to_have_text("Every answer is shown.")
    page.get_by_test_id("at-least").focus()
    page.get_by_test_id("at-least").select_option("95")
    answer = page.get_by_test_id("answer").locator(".words")
    expect(answer).to_be_hidden()
    expect(page.get_by_test_id("withheld-answer")).to_contain_text(
        re.compile(r"right in about \d\d of 100 here, and you asked for at least 95")
    )
    expect(page.get_by_test_id("at-least-told")).to_contain_text(
        re.compile(r"Of 600 reviewed temporal questions, \d+ would be shown and \d+")
    )
    expect(page.get_by_test_id("at-least")).to_be_focused()
    room.reload()
    expect(answer).to_be_hidden()
    page.get_by_test_id("matrix-open").click()
    rows = page.get_by_test_id("matrix").locator("tbody tr")
    expect(rows.first).to_have_attribute("data-withheld", "true")
    expect(rows.first.locator(".cell").first).to_have_text("–")
    expect(rows.first.locator(".cell").first).to_have_attribute("title", re.compile("^Withheld: "))
    page.get_by_test_id("anyway-findings").click()
    expect(rows.first.locator(".cell").nth(1)).to_have_text(re.compile(r"\.\d\d"))
    expect(answer).to_be_hidden()
    page.get_by_label("Copy the answer").click()
    expect(page.locator(".toast").last).to_contain_text("The answer is withheld; show it before you copy it.")
    page.get_by_test_id("anyway-answer").click()
    expect(answer).to_have_text("The opacity is worse.")
    expect(page.get_by_test_id("withheld-answer")).to_have_count(0)


def test_an_answer_that_may_be_withheld_is_not_shown_before_that_is_known(
    room: Room, served: Served, tmp_path: Path, reviewed: Callable[[], None]
) -> None:
    """Its words came one by one and folded at the end, when they had been read."""
    page = room.page
    reviewed()
    page.evaluate("localStorage.setItem('interval.at_least', '95')")
    room.reload()
    gate = Tap()
    served.desk.engine = FakeEngine(["The opacity is worse."], scores=order_blind, gate=gate)
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    gate.let(2)
    expect(page.get_by_test_id("answer").locator(".words")).to_have_text("The opacity ")
    expect(page.get_by_test_id("weighing")).to_contain_text("Being weighed")
    expect(page.get_by_test_id("answer").locator(".words")).to_be_hidden()
    gate.open()
    expect(page.get_by_test_id("withheld-answer")).to_contain_text("you asked for at least 95")
    expect(page.get_by_test_id("answer").locator(".words")).to_be_hidden()


@pytest.mark.parametrize("end", ["next question", "stop", "failure"])
def test_an_answer_whose_checks_end_early_stays_folded_until_it_is_checked(
    room: Room, served: Served, tmp_path: Path, reviewed: Callable[[], None], end: str
) -> None:
    """It showed itself, because nothing was left that could weigh it."""
    page, tap = room.page, Tap()
    reviewed()
    page.evaluate("localStorage.setItem('interval.at_least', '95')")
    room.reload()

    def slow(request: Request) -> Mapping[str, float]:
        tap(0)
        if end == "failure":
            raise EngineError("the model cannot be asked")
        return order_blind(request)

    served.desk.engine = FakeEngine(["The opacity is worse.", "It is stable."], scores=slow)
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    expect(page.get_by_test_id("weighing")).to_contain_text("Being weighed")
    if end == "next question":
        room.ask("And now?")
        expect(room.turns).to_have_count(2)
    elif end == "stop":
        page.get_by_test_id("checks-stop").click()
    tap.open()
    first = room.turns.first
    expect(first.get_by_test_id("withheld-answer")).to_contain_text("Its checks were not made to the end.")
    expect(first.locator(".words")).to_be_hidden()
    if end == "next question":
        expect(room.turns.nth(1).get_by_test_id("trust-state")).to_be_visible()
    served.desk.engine = FakeEngine(["The opacity is worse."], scores=order_blind)
    first.get_by_test_id("weigh-again").click()
    expect(first.get_by_test_id("withheld-answer")).to_contain_text("you asked for at least 95")
    expect(first.locator(".words")).to_be_hidden()


def test_what_is_withheld_is_told_neither_by_the_form_nor_by_a_later_prompt(
    room: Room, served: Served, tmp_path: Path, reviewed: Callable[[], None]
) -> None:
    """ "Start from the answer" wrote it out, and so did the prompt of the next question, which repeats it."""
    page = room.page
    reviewed()
    page.evaluate("localStorage.setItem('interval.at_least', '95')")
    room.reload()
    served.desk.engine = FakeEngine(["The opacity is worse.", "It is stable."], scores=order_blind)
    room.upload(pair(tmp_path))
    for turn, question in enumerate(("What changed since the prior?", "And now?")):
        room.ask(question)
        expect(room.turns.nth(turn).get_by_test_id("withheld-answer")).to_contain_text("you asked for at least 95")
    first, second = room.turns.nth(0), room.turns.nth(1)
    first.get_by_test_id("disagree").click()
    expect(first.get_by_test_id("corrected")).to_be_visible()
    expect(first.get_by_role("button", name="Start from the answer")).to_have_count(0)
    second.get_by_test_id("provenance").click()
    expect(second.get_by_test_id("prompt-withheld")).to_be_visible()
    expect(second.get_by_test_id("saw")).not_to_contain_text("The opacity is worse.")
    first.get_by_test_id("anyway-answer").click()
    second.get_by_test_id("provenance").click()
    second.get_by_test_id("provenance").click()
    expect(second.get_by_test_id("prompt")).to_contain_text("The opacity is worse.")


def test_a_cell_pressed_twice_at_once_is_said_once(room: Room, served: Served, tmp_path: Path) -> None:
    answered(room, served, tmp_path, "The opacity is worse.")
    room.page.get_by_test_id("matrix-open").click()
    sent: list[Request] = []
    room.page.route("**/api/feedback", lambda route: (sent.append(route.request), route.continue_()))
    cell = room.page.locator("[data-cell='nodule:new']")
    cell.dblclick()
    expect(room.page.get_by_test_id("matrix-told")).to_contain_text("1 cell of yours")
    room.page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert len(sent) == 1


def test_the_progression_of_each_finding_is_a_table_of_bars(room: Room, served: Served, tmp_path: Path) -> None:
    """The chart library is fetched with the first chart, and the bars follow the theme."""
    answered(room, served, tmp_path, "The opacity is worse.")
    assert room.page.evaluate("typeof Plotly") == "undefined"
    room.page.get_by_test_id("matrix-open").click()
    rows = room.page.get_by_test_id("matrix").locator("tbody tr")
    expect(rows).to_have_count(9)
    expect(rows.first.locator("td")).to_have_count(6)
    expect(rows.first.locator("[data-top='true']")).to_have_count(1)
    expect(rows.first.locator("td").nth(1)).to_have_attribute("data-top", "true")
    expect(room.page.get_by_test_id("matrix")).to_contain_text("Not calibrated")
    bars = room.page.locator(".matrix .bars .bars path")
    expect(bars).to_have_count(9 * 6)
    dark = bars.nth(9).evaluate("bar => getComputedStyle(bar).fill")
    room.page.get_by_test_id("theme").click()
    expect(bars.nth(9)).not_to_have_css("fill", dark)


def test_a_pressed_cell_is_the_readers_own_reading_until_it_is_taken_back(room: Room, served: Served, tmp_path: Path) -> None:
    answered(room, served, tmp_path, "The opacity is worse.")
    room.page.get_by_test_id("matrix-open").click()
    cell = room.page.locator("[data-cell='nodule:new']")
    told = room.page.get_by_test_id("matrix-told")
    cell.click()
    expect(cell).to_have_attribute("aria-pressed", "true")
    expect(told).to_contain_text("1 cell of yours, other than the model's: nodule")
    cell.press("ArrowDown")
    room.page.keyboard.press("ArrowRight")
    room.page.keyboard.press("Enter")
    below = room.page.locator("[data-cell='cardiomegaly:worse']")
    expect(below).to_have_attribute("aria-pressed", "true")
    expect(below).to_be_focused()
    room.page.get_by_test_id("matrix-other").fill("Rib fracture")
    room.page.get_by_test_id("matrix-other").press("Enter")
    expect(room.page.locator("[data-cell='rib fracture:new']")).to_be_focused()
    room.page.keyboard.press("Enter")
    expect(told).to_contain_text("3 cells of yours")
    room.reload()
    room.page.get_by_test_id("matrix-open").click()
    expect(told).to_contain_text("3 cells of yours")
    expect(room.page.locator("[data-cell='rib fracture:new']")).to_have_attribute("aria-pressed", "true")
    cell.click()
    expect(cell).to_have_attribute("aria-pressed", "false")
    expect(told).to_contain_text("2 cells of yours. Kept as feedback.")


def test_words_that_mean_an_image_light_it_up_and_lost_ones_are_marked(room: Room, served: Served, tmp_path: Path) -> None:
    answered(room, served, tmp_path, "The second image is worse than the prior; the third image is clear.")
    chips = room.page.get_by_test_id("mention")
    expect(chips).to_have_text(["The second image", "the prior", "the third image"])
    chips.first.hover()
    expect(room.viewport(2).element).to_have_class(re.compile(r"\bmeant\b"))
    expect(room.viewport(1).element).not_to_have_class(re.compile(r"\bmeant\b"))
    chips.nth(1).focus()
    expect(room.viewport(1).element).to_have_class(re.compile(r"\bmeant\b"))
    room.question.focus()
    expect(room.viewport(1).element).not_to_have_class(re.compile(r"\bmeant\b"))
    expect(chips.nth(2)).to_have_attribute("data-lost", "true")
    expect(chips.nth(2)).to_have_attribute("title", re.compile("none is number 3"))


def test_checks_give_way_to_a_new_question_and_can_be_asked_for_again(room: Room, served: Served, tmp_path: Path) -> None:
    """A question is never kept waiting for the checks of the one before; what is missing is made on request."""
    held: list[str] = []

    def slow(request: Request) -> Mapping[str, float]:
        """The first call waits until the checks are left."""
        if not held:
            held.append(request.question)
            *_, (_, cancel) = served.app.state.context.runs.values()
            assert cancel.wait(60)
        return order_blind(request)

    served.desk.engine = FakeEngine(["The opacity is worse.", "The heart is normal."], scores=slow)
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    expect(room.page.get_by_test_id("checking")).to_contain_text("scoring finding 1 of 8")
    room.ask("Has the heart changed?")
    room.expect_answered("The heart is normal.", turn=2)
    expect(room.turns.nth(1).get_by_test_id("trust-state")).to_have_text("Order-blind")
    first = room.turns.first
    expect(first.get_by_test_id("trust-state")).to_have_count(0)
    first.get_by_test_id("check-answer").click()
    expect(first.get_by_test_id("trust-state")).to_have_text("Order-blind")


def test_a_button_that_is_pressed_while_it_is_drawn_anew_is_clicked(room: Room, served: Served, tmp_path: Path) -> None:
    """What stands under an answer is drawn anew as its checks come in; whoever had just pressed a button there pressed nothing."""
    page, address = room.page, re.compile(r"/calibration\b")
    held: list[Route] = []
    page.route(address, lambda route: held.append(route))
    answered(room, served, tmp_path, "The opacity is worse.")
    opener = page.get_by_test_id("matrix-open")
    opener.hover()
    page.mouse.down()
    before = opener.element_handle()
    with page.expect_response(address):
        caught(page, held).continue_()
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    page.mouse.up()
    expect(page.locator("[data-cell='nodule:new']")).to_be_visible()
    assert not before.evaluate("(button) => button.isConnected")
