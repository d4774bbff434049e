"""A server that fails for a moment: what is then unknown is said to be, and nothing of before stands in its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.room import Room, caught
from tests.browser.samples import pair, plain, radiograph
from tests.browser.test_belonging import answered, hold
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser


def failing(page: Page, address: str) -> None:
    """Requests of this address fail until the next that a test lets through."""
    page.route(re.compile(address), lambda route: route.fulfill(status=503, json={"error": "The server is overloaded."}))


def again(room: Room) -> None:
    room.page.unroute_all()
    room.toasts.get_by_role("button", name="Try again").click()


def test_images_whose_relation_is_unknown_are_not_asked_about(room: Room, tmp_path: Path) -> None:
    """The relation of the patient before stood over two different ones: no cover, and a question about change was let through."""
    page = room.page
    room.upload([radiograph(tmp_path / "other.dcm", plain(900), patient="0815", name="Roe^Jo")])
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    room.question.fill("What changed?")
    expect(room.ask_button).to_be_enabled()
    failing(page, r"/api/relate$")
    room.viewport(2).activate()
    hangs = page.evaluate("import('/app/state.js').then(({ state }) => state.slots[0].series.pseudonym)")
    page.locator(f".patient:not([data-pseudonym='{hangs}'])").get_by_test_id("study").first.click()
    expect(room.toasts).to_contain_text("The server is overloaded.")
    expect(room.ask_button).to_be_disabled()
    expect(room.ask_button).to_have_attribute("title", re.compile("How these images belong together is not known yet"))
    again(room)
    expect(page.get_by_test_id("mixing")).to_be_visible()
    expect(room.ask_button).to_be_disabled()


def test_a_reload_in_a_bad_moment_loses_no_session(room: Room, served: Served, tmp_path: Path) -> None:
    """One 503 took the session out of the address and its images out of the tab."""
    answered(room, served, tmp_path)
    failing(room.page, r"/api/sessions/\d+$")
    room.reload()
    expect(room.toasts).to_contain_text("The server is overloaded.")
    assert "session=" in room.page.url
    again(room)
    room.viewport(2).expect_shown()
    expect(room.words()).to_have_text("The opacity is worse.")


@pytest.mark.parametrize("address", [r"/api/series/\d+$", r"/api/start$", r"/api/relate$"])
def test_a_reload_in_a_bad_moment_loses_no_image(room: Room, tmp_path: Path, address: str) -> None:
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    failing(room.page, address)
    room.page.reload(wait_until="commit")
    expect(room.toasts).to_contain_text("The server is overloaded.")
    again(room)
    room.viewport(1).expect_shown()
    room.viewport(2).expect_shown()
    expect(room.viewport(1).role).to_have_value("prior")


def test_a_session_that_is_gone_is_forgotten_and_the_images_of_the_tab_hang(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    room.page.goto(f"{room.origin}/?session=999999", wait_until="commit")
    room.expect_ready()
    room.viewport(2).expect_shown()
    assert "session=" not in room.page.url


def test_a_time_point_is_hung_in_the_priors_place_however_late_the_roles_come(room: Room, tmp_path: Path) -> None:
    """Before it was known which image is the prior a click on the strip could replace the current one."""
    page = room.page
    dates = ("20240101", "20240111", "20240410")
    room.upload([radiograph(tmp_path / f"{date}.dcm", plain(900 + 600 * number), date=date) for number, date in enumerate(dates)])
    room.viewport(2).button("Close this image").click()
    expect(page.get_by_test_id("viewport-3")).to_have_count(0)
    expect(room.viewport(2).role).to_have_value("current")
    held = hold(page, re.compile(r"/api/relate$"), "POST")
    page.reload(wait_until="commit")
    room.viewport(2).expect_shown()
    room.viewport(2).activate()
    points = page.get_by_test_id("time-point")
    points.nth(1).click()
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    caught(page, held).continue_()
    page.unroute_all()
    expect(points.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(points.nth(0)).to_have_attribute("aria-pressed", "false")
    expect(points.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(room.viewport(2).role).to_have_value("current")


def test_two_patients_are_compared_a_second_time(room: Room, tmp_path: Path) -> None:
    """The reason of the first time hid the cover of the second, and the question was refused for want of a reason."""
    page = room.page
    two = [pair(tmp_path / "one", patient="A")[0], pair(tmp_path / "two", patient="B")[1]]
    mixing = page.get_by_test_id("mixing")
    for _ in range(2):
        room.upload(two)
        if mixing.is_hidden():
            page.get_by_test_id("toast-good").get_by_role("button", name="Open").click()
        expect(mixing).to_be_visible()
        page.get_by_test_id("mixing-reason").fill("Twins are compared.")
        page.get_by_test_id("mixing-go").click()
        expect(mixing).to_be_hidden()
        room.question.fill("What changed?")
        expect(room.ask_button).to_be_enabled()
        room.question.fill("")
        room.case(1).click()
        room.viewport(2).expect_empty()


def test_the_open_session_clicked_while_it_answers_keeps_the_answer(room: Room, served: Served, tmp_path: Path) -> None:
    """It was read anew from the store, which has no answer yet, and the one on its way was stopped."""
    answered(room, served, tmp_path)
    tap = Tap()
    served.desk.says("One two three.", gate=tap)
    room.ask("And now?")
    tap.let(1)
    expect(room.words(2)).to_have_text("One")
    session = room.sessions.first.get_attribute("data-session")
    room.sessions.first.locator(".open").click()
    page = room.page
    page.evaluate("(id) => fetch(`/api/sessions/${id}`).then((one) => one.text())", session)
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    tap.let(1)
    expect(room.words(2)).to_have_text("One two")
    tap.open()
    room.expect_answered("One two three.", turn=2)


def test_the_layout_of_a_patient_that_is_opened_is_not_kept_with_the_session_that_is_left(
    room: Room, served: Served, tmp_path: Path
) -> None:
    """Opening one by its name set the layout first, and it was saved with the marks of the other."""
    page = room.page
    room.upload(pair(tmp_path / "other", patient="0815", name="Roe^Jo"))
    answered(room, served, tmp_path)
    hangs = page.evaluate("import('/app/state.js').then(({ state }) => state.slots[0].series.pseudonym)")
    with page.expect_response(lambda answer: answer.url.endswith("/marks") and answer.request.method == "PUT"):
        page.evaluate("import('/app/stage.js').then(({ setLayout }) => setLayout('2x1'))")
    session = page.evaluate("() => new URL(location.href).searchParams.get('session')")
    page.locator(f".patient:not([data-pseudonym='{hangs}']):has(.case .name.clip)").first.locator(".case").click()
    expect(page.get_by_test_id("session-title")).to_have_text("New session")
    page.evaluate("import('/app/kept.js').then(({ flush }) => flush())")
    assert page.evaluate("(id) => fetch(`/api/sessions/${id}/marks`).then((one) => one.json())", session)["layout"] == "2x1"
