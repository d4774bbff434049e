"""Registration on the page: stopped, in three dimensions, and what its pictures show, by their pixels."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from inference import align
from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.browser.samples import Pixels, radiograph
from tests.browser.viewer_page import Looking
from tests.volumes import ct_series

pytestmark = pytest.mark.browser

SIDE = 160
COLOUR = """(bridge, slot, point) => {
  const canvas = bridge.element(slot).querySelector('canvas');
  const ratio = canvas.width / canvas.clientWidth;
  const [x, y] = bridge.imageToCanvas(slot, point).map((value) => Math.floor(value * ratio));
  return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3);
}"""


def shapes() -> Pixels:
    """A picture with enough in it to be found again, (160, 160) uint16."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    spots = ((60, 70, 26, 16), (100, 90, 14, 30), (64, 112, 9, 9))
    picture = sum(1200.0 * np.exp(-(((rows - y) / tall) ** 2) - ((columns - x) / wide) ** 2) for y, x, tall, wide in spots)
    return np.clip(600 + picture, 0, 4095).astype(np.uint16)


@pytest.fixture
def films(room: Room, tmp_path: Path) -> Comparing:
    """A prior that lies elsewhere than the current; the current is 700 brighter everywhere and has a new spot at (40, 120)."""
    current = shapes() + np.uint16(700)
    current[108:132, 28:52] += 900
    room.upload(
        [
            radiograph(tmp_path / "prior.dcm", np.roll(shapes(), (5, -7), (0, 1)), date="20240102"),
            radiograph(tmp_path / "current.dcm", current, date="20240116"),
        ]
    )
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    return found


def test_registration_is_stopped_and_can_be_begun_again(films: Comparing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The button ends the work on the server; nothing is shown of it, and the next registration runs."""
    real = align.register

    def slow(fixed: Any, moving: Any, kind: Any, cancel: Event, tell: Any, **more: Any) -> Any:
        tell(0.4, "rigid, halfway")
        cancel.wait(120)
        return real(fixed, moving, kind, cancel, tell, **more)

    monkeypatch.setattr(align, "register", slow)
    choice, running = films.page.get_by_test_id("align"), films.page.get_by_test_id("align-running")
    choice.select_option("rigid")
    expect(running).to_contain_text("rigid, halfway")
    expect(running.get_by_role("progressbar")).to_have_js_property("value", 0.4)
    expect(choice).to_be_hidden()
    with films.page.expect_response(lambda answer: answer.request.method == "DELETE") as stopped:
        films.page.get_by_test_id("align-cancel").click()
    assert stopped.value.ok
    expect(running).to_be_hidden()
    expect(choice).to_be_visible()
    badge = films.room.viewport(1).element.get_by_test_id("badge")
    expect(badge).to_be_hidden()
    monkeypatch.setattr(align, "register", real)
    films.page.keyboard.press("Shift+G")
    expect(badge).to_contain_text("Registered (rigid)")


def test_difference_and_checkerboard_show_what_they_say_by_their_pixels(films: Comparing) -> None:
    """Where nothing changed but the exposure the map is dark, the new spot is warm; the squares are of both images in turns."""
    films.page.get_by_test_id("align").select_option("rigid")
    badge = films.room.viewport(1).element.get_by_test_id("badge")
    expect(badge).to_contain_text("Registered (rigid)")
    films.viewport(1)
    looking = Looking(films.page)
    looking.until(f"(bridge, slot, point) => ({COLOUR})(bridge, slot, point)[0] > 0", 0, [80, 80])
    views = films.page.get_by_test_id("align-view")

    views.select_option("difference")
    expect(badge).to_contain_text("Difference")
    films.viewport(1)
    warm = f"(bridge, slot, point) => {{ const [r, , b] = ({COLOUR})(bridge, slot, point); return r - b > 100; }}"
    looking.until(warm, 0, [40, 120])
    for place in ((70, 60), (110, 64), (120, 110)):
        red, green, blue = looking.do(COLOUR, 0, list(place))
        assert max(red, green, blue) < 90, (place, red, green, blue)
    expect(badge.locator(".legend")).to_contain_text("grey levels")

    views.select_option("checkerboard")
    expect(badge).to_contain_text("Checkerboard")
    films.viewport(1)
    current = shapes() + np.uint16(700)
    for (column, row), brighter in {(70, 70): 700, (90, 70): 0, (70, 90): 0, (90, 90): 700}.items():
        value = int(current[row, column]) - 700 + brighter
        looking.expect_shade(0, (column, row), 255 * value / 4095, within=7)
    expect(films.room.viewport(1).window).to_be_visible()


def test_volumes_are_registered_in_three_dimensions_and_scroll_with_the_current(room: Room, tmp_path: Path) -> None:
    """Of other frames of reference, thickness and direction; the registered prior lies on the slices of the current."""
    room.upload(
        [
            *ct_series(tmp_path / "prior", slices=20, date="20240102", shift=(4.0, -6.0, 210.0)),
            *ct_series(tmp_path / "current", slices=24, thickness=5.0, date="20240301", head_first=False),
        ]
    )
    stacks = Comparing(room)
    stacks.viewport(1)
    stacks.viewport(2)
    expect(room.viewport(1).count).to_have_text("11 / 20")
    stacks.page.get_by_test_id("align").select_option("rigid")
    badge = room.viewport(1).element.get_by_test_id("badge")
    expect(badge).to_contain_text("Registered (rigid)")
    numbers = re.search(r"correlation (-?[\d.]+) → ([\d.]+)", badge.inner_text())
    assert numbers, badge.inner_text()
    assert float(numbers[2]) > max(0.9, float(numbers[1]))
    stacks.viewport(1)
    expect(room.viewport(1).count).to_have_text("13 / 24")
    stacks.to_slice(2, 8)
    stacks.expect_slice(1, 8)
    stacks.page.keyboard.press("q")
    expect(badge).to_be_hidden()
    stacks.viewport(1)
    expect(room.viewport(1).count).to_have_text(re.compile("/ 20$"))
