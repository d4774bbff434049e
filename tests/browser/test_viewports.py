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
    expect(first.element.locator(".count")).to_have_text("12 / 22")
    first.element.locator(".area").hover()
    room.page.mouse.wheel(0, 60)
    expect(first.element.locator(".count")).to_have_text("13 / 22")
    first.slider.fill("0")
    expect(first.element.locator(".count")).to_have_text("1 / 22")
    first.element.locator(".area").focus()
    room.page.keyboard.press("End")
    expect(first.element.locator(".count")).to_have_text("22 / 22")
    expect(room.viewport(2).element.locator(".count")).to_have_text("12 / 22")
    before = first.image.get_attribute("src")
    room.page.keyboard.press("2")
    expect(first.image).not_to_have_attribute("src", before or "")
    first.expect_shown()
    first.button("Reset this view (0)").click()
    expect(first.window).to_have_value("")


def test_zoom_invert_and_reset_change_the_view_only(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    first = room.viewport(1)
    first.expect_shown()
    size = first.image.bounding_box()
    assert size is not None
    first.button("Zoom in (+)").click()
    larger = first.image.bounding_box()
    assert larger is not None
    assert larger["width"] > size["width"] * 1.2
    first.button("Invert grey levels (I)").click()
    expect(first.image).to_have_css("filter", "invert(1)")
    expect(room.viewport(2).image).to_have_css("filter", "none")
    first.button("Reset this view (0)").click()
    expect(first.image).to_have_css("filter", "none")
    assert first.image.bounding_box() == size


def test_closed_image_leaves_nothing_behind(room: Room, tmp_path: Path) -> None:
    """Old pixels are taken down at once when a viewport is emptied or another study hangs (a viewer once kept them)."""
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    room.viewport(2).button("Close this image").click()
    room.viewport(2).expect_empty()
    dark = room.viewport(1).grey()
    other = radiograph(tmp_path / "other.dcm", plain(3800), patient="99", name="Other^One")
    room.upload([other])
    expect(room.viewport(1).element).to_contain_text("P-")
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
