"""The images themselves: what hangs, how it is looked at, and that nothing of a closed study stays on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair, plain, radiograph

pytestmark = pytest.mark.browser


def test_demo_pair_hangs_with_one_click_and_offers_its_question(room: Room) -> None:
    expect(room.patients).to_have_count(4)
    room.case(1).click()
    room.viewport(1).expect_shown()
    room.viewport(2).expect_shown()
    expect(room.viewport(1).role).to_have_value("prior")
    expect(room.reason).to_contain_text("one patient")
    expect(room.page.get_by_test_id("suggestions").get_by_role("button").first).to_have_text("What changed since the prior?")
    assert "SYNTHETIC" in room.viewport(1).text()


def test_three_point_series_shows_three_viewports_in_order(room: Room) -> None:
    room.case(4).click()
    for number in (1, 2, 3):
        room.viewport(number).expect_shown()
        expect(room.viewport(number).role).to_have_value(f"time {number}")
    expect(room.page.locator(".viewport")).to_have_count(3)


def test_slices_and_windows_of_a_volume(room: Room) -> None:
    """Wheel, slider and keys move through the stack; a preset changes the grey levels; reset undoes."""
    room.case(3).click()
    first = room.viewport(1)
    first.expect_shown()
    expect(first.count).to_have_text("12 / 22")
    first.area.hover()
    room.page.mouse.wheel(0, 60)
    expect(first.count).to_have_text("13 / 22")
    first.slider.fill("0")
    expect(first.count).to_have_text("1 / 22")
    first.area.focus()
    room.page.keyboard.press("End")
    expect(first.count).to_have_text("22 / 22")
    expect(room.viewport(2).count).to_have_text("12 / 22")
    own = first.levels.inner_text()
    room.page.keyboard.press("2")
    expect(first.levels).not_to_have_text(own)
    first.button("Reset this view (0)").click()
    expect(first.levels).to_have_text(own)
    expect(first.window).to_have_value("")


def test_zoom_invert_and_reset_change_the_view_only(room: Room, tmp_path: Path) -> None:
    """Only the active view changes; reset brings back the picture as it was."""
    room.upload(pair(tmp_path))
    first, second = room.viewport(1), room.viewport(2)
    first.expect_shown()
    second.expect_shown()
    first.activate()
    percent, grey, other = first.element.locator(".scale").inner_text(), first.grey(), second.grey()
    room.page.keyboard.press("+")
    expect(first.element.locator(".scale")).not_to_have_text(percent)
    room.tool("invert").click()
    expect(first.levels).to_contain_text("inverted on the screen only")
    assert abs(first.grey() - (255 - grey)) <= 1
    assert second.grey() == other
    expect(second.element.locator(".scale")).to_have_text(percent)
    first.button("Reset this view (0)").click()
    expect(first.element.locator(".scale")).to_have_text(percent)
    assert first.grey() == grey


def test_closed_image_leaves_nothing_behind(room: Room, tmp_path: Path) -> None:
    """Old pixels are taken down at once when a viewport is emptied or another study hangs (a viewer once kept them)."""
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    room.viewport(2).button("Close this image").click()
    room.viewport(2).expect_empty()
    dark = room.viewport(1).grey()
    series = room.viewport(1).element.get_attribute("data-series")
    other = radiograph(tmp_path / "other.dcm", plain(3800), patient="99", name="Other^One")
    room.upload([other])
    expect(room.viewport(1).element).not_to_have_attribute("data-series", series or "")
    assert room.viewport(1).grey() > dark
    room.viewport(2).expect_empty()


def test_series_is_put_into_the_marked_viewport_and_another_time_point_is_added(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.page.get_by_test_id("add-slot").click()
    room.viewport(3).expect_empty()
    room.page.get_by_test_id("study").first.click()
    room.viewport(3).expect_shown()
    expect(room.viewport(3).role).not_to_have_value("")


def test_reader_corrects_role_and_relationship(room: Room, served: Served, tmp_path: Path) -> None:
    """What the reader says goes to the model, and the counterpart follows."""
    room.upload(pair(tmp_path))
    room.viewport(1).role.select_option("current")
    expect(room.viewport(2).role).to_have_value("prior")
    engine = served.desk.says("As you say.")
    room.ask("What changed?")
    room.expect_answered("As you say.")
    assert [image.role for image in engine.requests[0].images] == ["current", "prior"]
    room.page.get_by_test_id("relationship").select_option("sides")
    expect(room.viewport(1).role).to_have_value("left")
    room.reload()
    expect(room.page.get_by_test_id("relationship")).to_have_value("sides")
    expect(room.viewport(2).role).to_have_value("right")


def test_images_hang_again_after_a_reload_before_any_question(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    grey = [room.viewport(n).grey() for n in (1, 2)]
    room.reload()
    assert [room.viewport(n).grey() for n in (1, 2)] == grey


def test_images_closed_one_after_the_other_leave_the_others_standing(room: Room, tmp_path: Path) -> None:
    """A picture closed before it was drawn once broke vtk's drawing of all the others: an error, or black viewports."""
    films = [radiograph(tmp_path / f"{n}.dcm", plain(500 + 300 * n), date=f"2024010{n + 1}") for n in range(6)]
    room.upload(films)
    for number in range(1, 7):
        room.viewport(number).expect_shown()
    room.tool("layout-2x2").evaluate("button => button.click()")
    for number in (1, 2):
        room.viewport(number).button("Close this image").click()
    for number in (1, 2, 3, 4):
        assert room.viewport(number).grey() > 20
