"""Two readers on one server: neither sees the other's images, sessions or answers. And what a stranger's page may not do."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser


def test_two_browsers_never_see_each_others_images(room: Room, chromium: Browser, served: Served, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    seen: list[str] = []
    room.page.on("request", lambda request: seen.append(request.url))
    room.turns.first.get_by_test_id("provenance").click()
    expect(room.page.get_by_test_id("tile")).to_have_count(2)
    room.reload()
    room.viewport(2).expect_shown()
    own = sorted({url for url in seen if "/pixels/" in url or url.endswith("/saw") or "/images/" in url or "/api/sessions/" in url})
    assert any("/pixels/" in url for url in own)
    assert any("/images/" in url for url in own)

    other = chromium.new_context()
    try:
        stranger = Room.open(other, served.url)
        expect(stranger.patients).to_have_count(4)
        expect(stranger.sessions).to_have_count(0)
        theirs = {url: stranger.page.evaluate("url => fetch(url).then(r => r.status)", url) for url in own}
        shared = {f"{served.url}{image.get_attribute('src')}" for image in stranger.page.locator(".rail .thumb").all()}
        assert {url: status for url, status in theirs.items() if url not in shared and status != 404} == {}
        stranger.page.goto(room.page.url)
        stranger.expect_ready()
        expect(stranger.turns).to_have_count(0)
        stranger.viewport(1).expect_empty()
    finally:
        other.close()


def test_two_tabs_of_one_reader_keep_their_own_images(room: Room, served: Served, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    second = Room.open(room.page.context, served.url)
    second.viewport(1).expect_empty()
    second.case(2).click()
    second.viewport(1).expect_shown()
    assert "SYNTHETIC" in second.viewport(1).text()
    assert "SYNTHETIC" not in room.viewport(1).text()


def test_leaving_the_page_stops_the_engine_and_keeps_the_words(room: Room, served: Served, tmp_path: Path) -> None:
    """A tab that is closed in the middle of an answer must not keep the only engine busy for everyone else."""
    room.upload(pair(tmp_path))
    tap = Tap()
    served.desk.says("One two three four five.", gate=tap)
    room.ask("What changed?")
    tap.let(2)
    expect(room.words()).to_have_text("One two")
    context, address = room.page.context, room.page.url
    room.page.close()
    assert tap.reached.acquire(timeout=10)
    again = Room.open(context, served.url, address.removeprefix(served.url))
    served.desk.says("A fresh answer.")
    again.ask("And now?")
    tap.let(1)
    again.expect_answered("A fresh answer.", turn=2)
    again.reload()
    expect(again.turns.first).to_contain_text("Stopped by the reader")
    expect(again.words(1)).to_have_text("One two")


def test_question_waits_for_the_one_before_and_can_be_stopped_there(room: Room, chromium: Browser, served: Served) -> None:
    """While another reader's answer is being written, the question says what it waits for, and Stop takes it back."""
    tap = Tap()
    served.desk.says("Slow words here.", "Quick.", gate=tap)
    room.case(1).click()
    room.viewport(2).expect_shown()
    room.ask("What changed?")
    expect(room.stage).to_have_text("reading the question")
    other = chromium.new_context()
    try:
        second = Room.open(other, served.url)
        second.case(2).click()
        second.viewport(2).expect_shown()
        second.ask("And here?")
        expect(second.stage).to_have_text("waiting for the engine, 1 before you")
        second.stop_button.click()
        expect(second.turns.first).to_contain_text("Not answered yet")
        expect(second.ask_button).to_be_visible()
        tap.open()
        room.expect_answered("Slow words here.")
        second.turns.first.get_by_test_id("again").click()
        second.expect_answered("Quick.")
    finally:
        tap.open()
        other.close()
