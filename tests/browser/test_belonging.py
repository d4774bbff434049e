"""What belongs to one patient, case or session stays with it, in whatever order the server's answers come."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from inference.engine import Request
from tests.browser.compare_page import Comparing
from tests.browser.conftest import Served
from tests.browser.room import Room, caught
from tests.browser.samples import pair, plain, radiograph
from tests.browser.test_duel import other
from tests.fakes import FakeEngine
from tests.ui.desk import Tap

__all__ = ["other"]
pytestmark = pytest.mark.browser

MARKS = "id => fetch(`/api/sessions/${id}/marks`).then((one) => one.json())"
SLOTS = "id => fetch(`/api/sessions/${id}`).then((one) => one.json()).then((one) => one.slots.map((slot) => slot.window))"
SESSIONS = "() => fetch('/api/sessions').then((one) => one.json())"


def worse(_request: Request) -> Mapping[str, float]:
    return {"worse": 0.0, "stable": -3.0}


def hold(page: Page, address: re.Pattern[str], method: str) -> list[Route]:
    """Requests of this kind wait here until a test lets them go on."""
    held: list[Route] = []
    page.route(address, lambda route: held.append(route) if route.request.method == method else route.continue_())
    return held


def go_on(page: Page, held: list[Route], address: re.Pattern[str]) -> None:
    """Let the oldest held request go on, and wait for what the server says to it."""
    with page.expect_response(address):
        caught(page, held).continue_()


def answered(room: Room, served: Served, folder: Path) -> None:
    served.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    room.upload(pair(folder))
    room.ask("What changed since the prior?")
    room.expect_answered("The opacity is worse.")
    expect(room.page.get_by_test_id("trust-state")).to_be_visible()


def test_context_of_one_patient_goes_when_an_image_of_another_comes_into_one_viewport(room: Room, tmp_path: Path) -> None:
    """It stayed as long as one image of the first was left, and so outlived them all when they were exchanged one by one."""
    room.upload([radiograph(tmp_path / "other.dcm", plain(900), patient="0815", name="Roe^Jo")])
    room.upload(pair(tmp_path))
    told = room.page.get_by_test_id("along-clinical")
    told.click()
    room.page.get_by_test_id("clinical-on").check()
    room.page.get_by_test_id("clinical-indication").fill("known lymphoma")
    expect(told).to_have_text("Context: 1")
    room.viewport(2).activate()
    hangs = room.page.evaluate("import('/app/state.js').then(({ state }) => state.slots[0].series.pseudonym)")
    room.page.locator(f".patient:not([data-pseudonym='{hangs}'])").get_by_test_id("study").first.click()
    expect(room.page.get_by_test_id("mixing")).to_be_visible()
    expect(told).to_have_text("Context")
    expect(room.page.get_by_test_id("clinical-indication")).to_have_value("")


def test_leaving_a_title_by_the_mouse_leaves_the_focus_where_it_went(room: Room, served: Served, tmp_path: Path) -> None:
    """It came back to the button when the server had answered, and letters typed into the question were then shortcuts."""
    answered(room, served, tmp_path)
    page = room.page
    address = re.compile(r"/api/sessions/\d+$")
    held = hold(page, address, "PATCH")
    page.locator(".talkhead").get_by_label("Rename this session").click()
    page.get_by_label("Title of this session").fill("Follow-up of March")
    room.question.click()
    go_on(page, held, address)
    expect(page.get_by_test_id("session-title")).to_have_text("Follow-up of March")
    expect(room.question).to_be_focused()
    page.keyboard.type("Why yes")
    expect(room.question).to_have_value("Why yes")
    expect(page.get_by_test_id("verdict")).to_have_count(0)


def test_a_title_that_is_being_written_in_the_list_outlives_an_answer(room: Room, served: Served, tmp_path: Path) -> None:
    answered(room, served, tmp_path)
    tap = Tap()
    served.desk.says("Now stable.", gate=tap)
    room.ask("And now?")
    room.sessions.first.get_by_label("Rename this session").click()
    field = room.page.get_by_label("Title of the session")
    field.press_sequentially("March")
    with room.page.expect_response(re.compile(r"/api/sessions\?search=")):
        tap.open()
    room.expect_answered("Now stable.", turn=2)
    expect(field).to_be_focused()
    expect(field).to_have_value("March")
    field.press("Enter")
    expect(room.sessions.first).to_contain_text("March")


def test_a_part_written_while_another_is_being_saved_stays_as_it_was_written(room: Room, served: Served, tmp_path: Path) -> None:
    """The reply to the first part put the server's older words over the second."""
    answered(room, served, tmp_path)
    page = room.page
    page.keyboard.press("Escape")
    room.question.blur()
    page.keyboard.press("Shift+D")
    findings, impression = page.get_by_test_id("report-findings"), page.get_by_test_id("report-impression")
    expect(impression).to_have_value(re.compile("worse"))
    address = re.compile(r"/report\?")
    held = hold(page, address, "POST")
    findings.fill("Effusion, larger.")
    impression.focus()
    expect(page.get_by_test_id("report-saved")).to_have_text("saving")
    impression.fill("Clearly worse.")
    page.get_by_test_id("report-comparison").focus()
    go_on(page, held, address)
    expect(page.get_by_test_id("report-saved")).to_have_text("saving")
    expect(impression).to_have_value("Clearly worse.")
    go_on(page, held, address)
    expect(page.get_by_test_id("report-saved")).to_have_text(re.compile(r"^saved \d"))
    page.unroute(address)
    page.get_by_test_id("close-report").click()
    page.keyboard.press("Shift+D")
    expect(findings).to_have_value("Effusion, larger.")
    expect(impression).to_have_value("Clearly worse.")


def test_words_for_one_report_are_kept_with_it_when_another_session_opens(room: Room, served: Served, tmp_path: Path) -> None:
    """The session was slow to come, the reader went on writing: the words of the first were saved as the report of the second."""
    answered(room, served, tmp_path)
    page = room.page
    page.get_by_test_id("new-session").click()
    served.desk.engine = FakeEngine(["It is stable."], scores=worse)
    room.ask("Is there an effusion?")
    room.expect_answered("It is stable.")
    room.question.blur()
    page.keyboard.press("Shift+D")
    findings = page.get_by_test_id("report-findings")
    expect(page.get_by_test_id("report-impression")).to_have_value(re.compile("stable"))
    first = int(room.sessions.nth(1).get_attribute("data-session") or 0)
    held = hold(page, re.compile(rf"/api/sessions/{first}$"), "GET")
    room.sessions.nth(1).locator(".open").click()
    findings.fill("Of the second session.")
    with page.expect_response(re.compile(r"/report\?")) as saved:
        caught(page, held).continue_()
    assert f"/sessions/{first}/" not in saved.value.url or saved.value.request.method == "GET"
    expect(page.get_by_test_id("report-impression")).to_have_value(re.compile("worse"))
    expect(findings).not_to_have_value("Of the second session.")
    page.unroute_all()
    with page.expect_response(re.compile(r"/report\?")):
        room.sessions.filter(has_text="Is there an effusion?").locator(".open").click()
    expect(findings).to_have_value("Of the second session.")


def test_session_of_a_first_mark_stays_with_its_case_when_another_is_opened_meanwhile(room: Room, tmp_path: Path) -> None:
    """It came under the other case's images, with the first one's mark."""
    page = room.page
    room.upload(pair(tmp_path))
    films = Comparing(room)
    films.viewport(2)
    address = re.compile(r"/api/sessions$")
    held = hold(page, address, "POST")
    films.draw("length", 1, (20, 20), (60, 20))
    room.case(2).click()
    expect(films.rows).to_have_count(0)
    expect(room.viewport(1).element).to_contain_text("SYNTHETIC")
    with page.expect_response(re.compile(r"/api/sessions/\d+/marks$")):
        caught(page, held).continue_()
    expect(room.sessions).to_have_count(1)
    assert "session=" not in page.url
    expect(page.get_by_test_id("session-title")).to_have_text("New session")
    made = page.evaluate(SESSIONS)[0]["id"]
    assert [mark["kind"] for mark in page.evaluate(MARKS, made)["marks"]] == ["length"]
    room.sessions.first.locator(".open").click()
    expect(films.rows).to_have_count(1)


def test_a_question_right_after_the_first_mark_is_asked_in_the_session_of_the_mark(room: Room, served: Served, tmp_path: Path) -> None:
    """Each began a session of its own, and the answer was seen in the one it does not belong to."""
    page = room.page
    served.desk.says("It is worse.")
    room.upload(pair(tmp_path))
    films = Comparing(room)
    films.viewport(2)
    address = re.compile(r"/api/sessions$")
    held = hold(page, address, "POST")
    films.draw("length", 1, (20, 20), (60, 20))
    room.ask("Has it grown?")
    go_on(page, held, address)
    room.expect_answered("It is worse.")
    films.expect_saved()
    expect(room.sessions).to_have_count(1)
    room.reload()
    room.expect_answered("It is worse.")
    expect(films.rows).to_have_count(1)


def test_of_two_cases_that_are_clicked_the_later_one_opens(room: Room) -> None:
    """Also when its images are there first."""
    page, address = room.page, re.compile(r"/api/hang$")
    held = hold(page, address, "POST")
    room.case(1).click()
    room.case(2).click()
    titles = [room.patients.nth(number).locator(".name").inner_text() for number in (0, 1)]
    assert titles[0] != titles[1]
    late = caught(page, held)
    go_on(page, held, address)
    room.viewport(2).expect_shown()
    shown = room.viewport(1).element.get_attribute("data-series")
    with page.expect_response(address):
        late.continue_()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert room.viewport(1).element.get_attribute("data-series") == shown


def test_a_window_set_just_before_another_session_is_opened_is_kept(room: Room, served: Served, tmp_path: Path) -> None:
    """What hangs is kept with its session four tenths of a second later; that was too late."""
    answered(room, served, tmp_path)
    page = room.page
    first = int(page.evaluate("() => new URL(location.href).searchParams.get('session')"))
    window = room.viewport(1).window
    chosen = window.locator("option").last.get_attribute("value")
    with page.expect_response(re.compile(rf"/api/sessions/{first}/slots$")):
        window.select_option(chosen)
        room.case(2).click()
    assert chosen in page.evaluate(SLOTS, first)


def test_two_models_of_a_case_that_is_left_are_not_seen_beside_another(
    room: Room, served: Served, other: FakeEngine, tmp_path: Path
) -> None:
    """Neither the answers that came so far, nor the session they made."""
    page = room.page
    room.upload(pair(tmp_path))
    tap = Tap()
    served.desk.says("One two three.", gate=tap)
    page.keyboard.press("Shift+M")
    page.get_by_test_id("duel-blind").click()
    page.get_by_test_id("duel-question").fill("What changed?")
    page.get_by_test_id("duel-ask").click()
    tap.let(1)
    expect(page.get_by_test_id("duel-side-1")).to_contain_text("One")
    room.case(2).click()
    expect(page.get_by_test_id("duel-side-1")).to_be_hidden()
    tap.open()
    expect(room.sessions).to_have_count(1)
    expect(page.get_by_test_id("session-title")).to_have_text("New session")
    expect(page.get_by_test_id("duel-side-1")).to_be_hidden()
    assert "session=" not in page.url


def test_opening_a_session_whose_answers_wait_for_a_judgement_names_no_model(room: Room, other: FakeEngine, tmp_path: Path) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    room.ask("Is there an effusion?")
    room.expect_answered("The opacity is worse.")
    room.question.blur()
    page.keyboard.press("Shift+M")
    page.get_by_test_id("duel-question").fill("What changed?")
    page.get_by_test_id("duel-ask").click()
    expect(page.get_by_test_id("duel-0")).to_be_visible()
    room.sessions.first.locator(".open").click()
    expect(room.toasts).to_contain_text("Say which of the two answers is better first")
    expect(room.turns).to_have_count(1)
    page.get_by_test_id("duel-0").click()
    expect(page.get_by_test_id("duel-kept")).to_be_visible()
    room.sessions.first.locator(".open").click()
    expect(room.turns).to_have_count(2)


def test_an_answer_that_could_not_be_weighed_says_so_and_is_weighed_again(
    room: Room, served: Served, tmp_path: Path, reviewed: Callable[[], None]
) -> None:
    """One lost request left "Being weighed" until the page was loaded anew; and its evidence is as much withheld as its words."""
    page = room.page
    reviewed()
    page.evaluate("localStorage.setItem('interval.at_least', '95')")
    page.route("**/calibration?*", lambda route: route.abort())
    room.reload()
    served.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    again = page.get_by_test_id("weigh-again")
    expect(page.get_by_test_id("withheld-answer")).to_contain_text("How often such answers are right here is not known.")
    expect(page.get_by_test_id("matrix-open")).to_have_count(0)
    page.get_by_test_id("trust-state").click()
    expect(page.get_by_test_id("evidence")).to_have_text("The evidence says what the answer is: show the answer first.")
    page.unroute_all()
    again.click()
    expect(page.get_by_test_id("withheld-answer")).to_contain_text("you asked for at least 95")
    expect(page.get_by_test_id("answer").locator(".words")).to_be_hidden()
    expect(page.get_by_test_id("evidence")).to_have_text("The evidence says what the answer is: show the answer first.")
    page.get_by_test_id("anyway-answer").click()
    expect(page.get_by_test_id("evidence").locator("[data-check='exchange']")).to_be_visible()


def test_agreeing_and_asking_again_at_once_shows_the_words_as_they_come(room: Room, served: Served, tmp_path: Path) -> None:
    """What was said of the first answer drew the question anew, without the answer that was being written."""
    answered(room, served, tmp_path)
    page, turn, tap = room.page, room.turns.first, Tap()
    served.desk.engine = FakeEngine(["One two three."], scores=worse, gate=tap)
    address = re.compile(r"/api/feedback$")
    held = hold(page, address, "POST")
    turn.get_by_test_id("agree").click()
    turn.get_by_test_id("again").click()
    tap.let(1)
    expect(room.words()).to_have_text("One")
    go_on(page, held, address)
    tap.let(1)
    expect(room.words()).to_have_text("One two")
    tap.open()
    room.expect_answered("One two three.")
    turn.get_by_test_id("earlier").click()
    expect(turn.get_by_test_id("verdict")).to_have_text("You agree")


def test_a_form_that_was_open_takes_no_cell_back(room: Room, served: Served, tmp_path: Path) -> None:
    """It held the findings as they were when it was opened, and kept them over what was pressed in the matrix since."""
    answered(room, served, tmp_path)
    page = room.page
    page.get_by_test_id("matrix-open").click()
    cell = page.locator("[data-cell='nodule:new']")
    cell.click()
    expect(cell).to_have_attribute("aria-pressed", "true")
    page.get_by_test_id("edit-feedback").click()
    remark = page.get_by_test_id("remark")
    expect(remark).to_be_visible()
    changed = page.locator("[data-cell='nodule:resolved']")
    changed.click()
    expect(changed).to_have_attribute("aria-pressed", "true")
    remark.fill("See the lateral view.")
    page.get_by_test_id("keep").click()
    expect(page.get_by_test_id("statement")).to_have_count(0)
    expect(page.get_by_test_id("verdict")).to_contain_text("See the lateral view.")
    expect(changed).to_have_attribute("aria-pressed", "true")


def test_focus_in_the_evidence_outlives_the_checks(room: Room, served: Served, tmp_path: Path) -> None:
    """Each stage of the checks drew it anew, and the keyboard began again at the top of the page."""
    tap = Tap()

    def slow(request: Request) -> Mapping[str, float]:
        tap(0)
        return worse(request)

    served.desk.engine = FakeEngine(["The opacity is worse.", "One.", "Two.", "Three."], scores=worse)
    room.upload(pair(tmp_path))
    room.ask("What changed since the prior?")
    opener = room.page.get_by_test_id("trust-state")
    expect(opener).to_be_visible()
    opener.click()
    expect(opener).to_be_focused()
    served.desk.engine.scores = slow
    more = room.page.get_by_test_id("more-paraphrase")
    more.focus()
    room.page.keyboard.press("Enter")
    expect(room.page.get_by_test_id("checking")).to_be_visible()
    expect(opener).to_be_focused()
    tap.open()
    expect(room.page.get_by_test_id("evidence").locator("[data-check='paraphrase']")).to_be_visible()
    expect(opener).to_be_focused()


def test_what_the_model_saw_can_be_asked_for_again(room: Room, served: Served, tmp_path: Path) -> None:
    """After a lost request it read "Reading…" for ever."""
    answered(room, served, tmp_path)
    page = room.page
    page.route("**/saw", lambda route: route.abort())
    page.get_by_test_id("provenance").click()
    box = page.get_by_test_id("saw")
    expect(box).to_contain_text("cannot be reached")
    page.unroute_all()
    box.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("tile")).to_have_count(2)


def test_marks_that_come_while_another_work_space_is_looked_at_are_there_on_return(room: Room, tmp_path: Path) -> None:
    """They were drawn over the other's case and thrown away with it; the next mark then saved itself alone over them."""
    page = room.page
    room.upload(pair(tmp_path))
    films = Comparing(room)
    films.viewport(2)
    films.draw("length", 1, (20, 20), (60, 20))
    films.expect_saved()
    made = page.evaluate(SESSIONS)[0]["id"]
    room.case(2).click()
    expect(films.rows).to_have_count(0)
    address = re.compile(rf"/api/sessions/{made}/marks$")
    held = hold(page, address, "GET")
    with page.expect_request(address):
        room.sessions.first.locator(".open").click()
    room.viewport(2).expect_shown()
    page.get_by_test_id("tab-teach").click()
    expect(page.get_by_test_id("teach-case").first).to_be_visible()
    go_on(page, held, address)
    page.unroute(address)
    page.get_by_test_id("tab-read").click()
    expect(films.rows).to_have_count(1)
    films.draw("length", 2, (20, 60), (60, 60))
    films.expect_saved()
    assert len(page.evaluate(MARKS, made)["marks"]) == 2


def test_context_outlives_a_look_at_another_work_space(room: Room, tmp_path: Path) -> None:
    page = room.page
    room.upload(pair(tmp_path))
    page.get_by_test_id("along-clinical").click()
    page.get_by_test_id("clinical-on").check()
    page.get_by_test_id("clinical-indication").fill("cough")
    page.get_by_test_id("tab-teach").click()
    page.get_by_test_id("teach-case").first.click()
    expect(page.get_by_test_id("teach-commit")).to_be_visible()
    page.get_by_test_id("tab-read").click()
    expect(page.get_by_test_id("along-clinical")).to_have_text("Context: 1")
    expect(page.get_by_test_id("clinical-indication")).to_have_value("cough")


def test_a_reason_goes_with_the_images_it_was_given_for(room: Room, tmp_path: Path) -> None:
    """It went past the warning of the two that hung when the server had kept it."""
    page = room.page
    room.upload([radiograph(tmp_path / "other.dcm", plain(900), patient="0815", name="Roe^Jo")])
    room.upload([radiograph(tmp_path / "third.dcm", plain(1500), patient="0816", name="Poe^Jo")])
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    hangs = page.evaluate("import('/app/state.js').then(({ state }) => state.slots[0].series.pseudonym)")
    strange = page.locator(f".patient:not([data-pseudonym='{hangs}']):has(.case .name.clip)")
    room.viewport(2).activate()
    strange.nth(0).get_by_test_id("study").first.click()
    mixing = page.get_by_test_id("mixing")
    expect(mixing).to_be_visible()
    address = re.compile(r"/api/overrides$")
    held = hold(page, address, "POST")
    page.get_by_test_id("mixing-reason").fill("Twins are compared.")
    page.get_by_test_id("mixing-go").click()
    page.evaluate(
        "async (id) => (await import('/app/hang.js')).place(id, 1)",
        page.evaluate(
            "(n) => import('/app/state.js').then(({ state }) => state.patients.find((one) => one.pseudonym === n).studies[0].series[0].id)",
            strange.nth(1).get_attribute("data-pseudonym"),
        ),
    )
    go_on(page, held, address)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(mixing).to_be_visible()
    expect(room.ask_button).to_be_disabled()


def test_a_part_that_could_not_be_saved_is_still_there_when_the_report_opens_again(room: Room, served: Served, tmp_path: Path) -> None:
    answered(room, served, tmp_path)
    page = room.page
    room.question.blur()
    page.keyboard.press("Shift+D")
    findings = page.get_by_test_id("report-findings")
    expect(page.get_by_test_id("report-impression")).to_have_value(re.compile("worse"))
    page.route(re.compile(r"/report\?"), lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    findings.fill("Effusion, larger.")
    findings.blur()
    expect(page.get_by_test_id("report-saved")).to_have_text("not saved")
    page.get_by_test_id("close-report").click()
    with page.expect_response(re.compile(r"/report\?")):
        page.keyboard.press("Shift+D")
    expect(findings).to_have_value("Effusion, larger.")
