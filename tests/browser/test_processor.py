"""Comparing where there is no WebGL: measured, marked, laid over each other and registered by the processor's renderer."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.browser.samples import pair

pytestmark = pytest.mark.browser

CHOOSE = "(name) => name ? localStorage.setItem('interval.renderer', name) : localStorage.removeItem('interval.renderer')"


def test_comparing_on_the_processor_reads_the_same_and_its_marks_lie_where_they_were(room: Room, tmp_path: Path) -> None:
    """Half a pixel lies between the two renderers; a mark drawn on one stays on its pixels on the other."""
    room.page.evaluate(CHOOSE, "cpu")
    room.reload()
    room.upload(pair(tmp_path))
    films = Comparing(room)
    films.viewport(1)
    films.viewport(2)
    stage = films.page.locator(".stage")
    expect(stage).to_have_attribute("data-renderer", "cpu")
    films.draw("length", 1, (20, 20), (60, 20))
    films.draw("length", 2, (20, 20), (70, 20))
    before, after = (float(films.rows.nth(row).locator(".value").inner_text().removesuffix(" mm")) for row in (0, 1))
    assert (before, after) == (pytest.approx(16, abs=0.25), pytest.approx(20, abs=0.25))
    films.pair(1)
    expect(films.page.get_by_test_id("change")).to_contain_text(" mm/day")
    films.draw("ellipse", 2, (40, 70), (50, 80))
    expect(films.rows.nth(1).locator(".value")).to_contain_text("mean 2600, SD 0.0")
    films.draw_point(1, (30, 70))
    films.expect_saved()
    kept = films.drawn()

    films.page.emulate_media(reduced_motion="reduce")
    box = films.page.get_by_test_id("grid").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] * 0.4
    left, right = (box["x"] + box["width"] * (0.5 + side * 0.06) for side in (-1, 1))
    films.mode("Swipe")
    films.wait_grey(left, y, below=90)
    films.wait_grey(right, y, above=130)
    films.mode("Fade")
    films.wait_grey(left, y, above=90, below=130)
    films.mode("Side by side")
    films.expect_saved()

    films.page.evaluate(CHOOSE, None)
    room.reload()
    films.viewport(1)
    films.viewport(2)
    expect(stage).to_have_attribute("data-renderer", "webgl")
    expect(films.rows).to_have_count(3)
    assert films.drawn() == kept
