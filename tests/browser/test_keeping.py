"""What a reader drew and arranged is kept: over a reload, in another tab, against a lost route and a script that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.compare_page import Comparing
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair

pytestmark = pytest.mark.browser

MARKS = "**/api/sessions/*/marks"
SESSION = "async () => (await import('/app/state.js')).state.session.id"
KEPT = """async () => {
  const { state } = await import('/app/state.js');
  const kept = await (await fetch(`/api/sessions/${state.session.id}`)).json();
  return state.slots.every((slot, at) => kept.slots[at].window === (slot.window ?? ''));
}"""
FAIL = """async () => {
  const { on, update } = await import('/app/state.js');
  on('a-thing', () => { throw new Error('a thing went wrong'); });
  setTimeout(() => update({ 'a-thing': 1 }));
}"""


@pytest.fixture
def films(room: Room, tmp_path: Path) -> Comparing:
    """Two radiographs of one patient, two weeks apart, with one length on the prior that is saved."""
    room.upload(pair(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    found.draw("length", 1, (20, 20), (60, 20))
    found.expect_saved()
    return found


def refuse_saving(page: Page) -> None:
    page.route(MARKS, lambda route: route.abort() if route.request.method == "PUT" else route.continue_())


def beside(films: Comparing, served: Served) -> Comparing:
    """The same session in a second tab of the same reader."""
    second = Room.open(films.page.context, served.url, f"/?session={films.page.evaluate(SESSION)}")
    found = Comparing(second)
    found.viewport(2)
    expect(found.rows).to_have_count(1)
    return found


def labels(tab: Comparing) -> list[object]:
    return sorted(str(mark["label"]) for mark in tab.drawn()["marks"])


def test_two_tabs_of_one_session_show_the_same_marks(films: Comparing, served: Served) -> None:
    second = beside(films, served)
    second.draw("length", 2, (20, 60), (60, 60))
    second.expect_saved()
    expect(films.rows).to_have_count(2)
    films.page.bring_to_front()
    films.draw("length", 1, (20, 70), (40, 70))
    expect(second.rows).to_have_count(3)
    assert labels(films) == labels(second) == ["1", "2", "3"]
    second.room.assert_calm()


def test_tab_that_saves_over_anothers_version_joins_both_and_takes_back_only_its_own(films: Comparing, served: Served) -> None:
    """The server refuses a version that is not the newest (409): nothing of either tab is lost, and the page says what happened."""
    second = beside(films, served)
    films.page.bring_to_front()
    refuse_saving(films.page)
    films.draw("length", 1, (20, 80), (60, 80))
    expect(films.room.toasts).to_contain_text("cannot be reached")
    second.page.bring_to_front()
    second.draw("length", 2, (20, 60), (60, 60))
    second.expect_saved()
    films.page.bring_to_front()
    films.page.unroute(MARKS)
    expect(films.page.get_by_test_id("toast-good")).to_contain_text("is kept together")
    films.expect_saved()
    expect(films.rows).to_have_count(3)
    expect(second.rows).to_have_count(3)
    assert labels(films) == labels(second) == ["1", "2", "3"]
    films.page.keyboard.press("Control+z")
    expect(films.rows).to_have_count(2)
    films.expect_saved()
    expect(second.rows).to_have_count(2)
    assert {mark["series_id"] for mark in films.drawn()["marks"]} == {mark["series_id"] for mark in second.drawn()["marks"]}
    assert len({mark["series_id"] for mark in films.drawn()["marks"]}) == 2


def test_marks_that_never_left_a_tab_join_a_newer_version_after_a_reload(films: Comparing, served: Served) -> None:
    """They lay in the tab's own storage; once they were thrown away when another tab had saved meanwhile."""
    second = beside(films, served)
    films.page.bring_to_front()
    refuse_saving(films.page)
    films.draw("length", 1, (20, 80), (60, 80))
    expect(films.room.toasts).to_contain_text("cannot be reached")
    second.page.bring_to_front()
    second.draw("length", 2, (20, 60), (60, 60))
    second.expect_saved()
    films.page.bring_to_front()
    films.room.reload()
    films.viewport(2)
    expect(films.rows).to_have_count(3)
    films.page.unroute(MARKS)
    films.expect_saved()
    expect(second.rows).to_have_count(3)


def test_script_that_fails_says_so_and_a_reload_keeps_the_marks(films: Comparing) -> None:
    films.page.evaluate(FAIL)
    expect(films.room.toasts).to_contain_text("A part of this page failed (a thing went wrong)")
    films.page.get_by_role("button", name="Reload").click()
    films.room.expect_ready()
    films.viewport(2)
    expect(films.rows).to_have_count(1)
    assert films.room.errors == ["a thing went wrong"]
    films.room.errors.clear()


def test_session_comes_back_as_it_was_arranged_in_a_tab_that_never_saw_it(films: Comparing, served: Served) -> None:
    """Layout, mode, links, windows and marks; the second tab knows nothing but the list of sessions."""
    films.draw("length", 2, (20, 20), (70, 20))
    films.pair(1)
    films.draw_point(2, (40, 60))
    films.page.keyboard.press("k")
    films.action("layout-2x1").evaluate("button => button.click()")
    films.page.get_by_test_id("link-window").click()
    films.room.viewport(1).activate()
    films.use("window")
    films.drag(1, (30, 30), (50, 40))
    films.mode("Fade")
    change = films.page.get_by_test_id("change").first.inner_text()
    assert change.endswith("mm/day")
    levels = [films.room.viewport(number).levels.text_content() for number in (1, 2)]
    films.expect_saved()
    kept = films.drawn()
    films.page.evaluate("() => dispatchEvent(new Event('pagehide'))")
    films.page.wait_for_function(KEPT)

    other = Room.open(films.page.context, served.url)
    other.sessions.first.locator(".open").click()
    again = Comparing(other)
    again.viewport(1)
    again.viewport(2)
    expect(again.rows).to_have_count(2)
    assert again.drawn() == kept
    expect(other.page.get_by_test_id("grid")).to_have_attribute("data-mode", "fade")
    expect(other.page.get_by_test_id("link-window")).to_have_attribute("aria-pressed", "true")
    expect(again.action("layout-2x1")).to_have_attribute("aria-pressed", "true")
    expect(other.page.get_by_test_id("change").first).to_have_text(change)
    expect(other.page.get_by_test_id("key-images").get_by_role("listitem")).to_have_count(1)
    assert [other.viewport(number).levels.text_content() for number in (1, 2)] == levels
    other.assert_calm()
