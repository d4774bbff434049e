"""Page object of comparing: links, measurements, marks, modes, the strip of studies, registration. It waits on what is shown."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.room import Room, Viewport

PLACE = """async ([slot, column, row]) => {
  const { viewer } = await import('/app/stage.js');
  const bridge = await viewer();
  const end = performance.now() + 60000;
  let place = bridge.imageToCanvas(slot, [column, row]);
  while (!place) {  // the image is on its way
    if (performance.now() > end) throw new Error('no image hangs there');
    await new Promise(requestAnimationFrame);
    place = bridge.imageToCanvas(slot, [column, row]);
  }
  const [x, y] = place;
  const box = bridge.viewport(slot).element.getBoundingClientRect();
  return [box.left + x, box.top + y];
}"""
MORE = """async count => {
  const { state } = await import('/app/state.js');
  const end = performance.now() + 60000;
  while (state.drawn.marks.length <= count) {
    if (performance.now() > end) throw new Error('no mark was drawn');
    await new Promise(requestAnimationFrame);
  }
}"""
SAVED = """async () => {
  const { state } = await import('/app/state.js');
  const end = performance.now() + 60000;
  while (!state.session || !state.saved) {
    if (performance.now() > end) throw new Error('nothing was saved');
    await new Promise(requestAnimationFrame);
  }
}"""
DRAWN = "async () => (await import('/app/state.js')).state.drawn"


class Comparing:
    """What a reader does with two images beside each other."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.page: Page = room.page
        self.bar = self.page.get_by_test_id("compare-bar")
        self.link_state = self.page.get_by_test_id("link-state")
        self.match = self.page.get_by_test_id("match")
        self.drawer = self.page.get_by_test_id("drawer")
        self.rows = self.page.get_by_test_id("measure")
        self.saved = self.page.get_by_test_id("saved")
        self.points = self.page.get_by_test_id("time-point")
        self.mixing = self.page.get_by_test_id("mixing")

    def viewport(self, number: int) -> Viewport:
        """A viewport that shows an image."""
        view = self.room.viewport(number)
        view.expect_shown()
        return view

    def action(self, name: str) -> Locator:
        """The toolbar's button of an action or tool."""
        return self.page.locator(f'.toolbar [data-action="{name}"]')

    def use(self, tool: str) -> None:
        """Take a tool by its command, as its key would."""
        self.page.evaluate("async name => (await import('/app/stage.js')).viewer().then(bridge => bridge.tool(name))", tool)

    def at(self, number: int, column: float, row: float) -> tuple[float, float]:
        """Where a pixel of the image in viewport `number` lies on the page."""
        x, y = self.page.evaluate(PLACE, [number - 1, column, row])
        return x, y

    def drag(self, number: int, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from pixel to pixel of one image."""
        self.page.mouse.move(*self.at(number, *start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(number, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2), steps=3)
        self.page.mouse.move(*self.at(number, *end), steps=3)
        self.page.mouse.up()

    def draw(self, tool: str, number: int, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw with a tool of two places, and wait for the new mark."""
        before = len(self.drawn()["marks"])
        self.use(tool)
        self.drag(number, start, end)
        self.page.evaluate(MORE, before)
        self.use("window")

    def draw_point(self, number: int, place: tuple[float, float]) -> None:
        """Set a point, and wait for it."""
        before = len(self.drawn()["marks"])
        self.use("point")
        self.page.mouse.click(*self.at(number, *place))
        self.page.evaluate(MORE, before)
        self.use("window")

    def drawn(self) -> dict[str, list[dict[str, object]]]:
        """The marks as the page keeps them."""
        found: dict[str, list[dict[str, object]]] = self.page.evaluate(DRAWN)
        return found

    def expect_saved(self) -> None:
        expect(self.saved).to_have_text("saved")

    def expect_saved_session(self) -> None:
        """What was arranged has a session, and the server has the newest of it."""
        self.page.evaluate(SAVED)

    def to_slice(self, number: int, slice_number: int) -> None:
        """Go to a slice, counted from 1, as the slider does; the others follow where they are linked."""
        view = self.room.viewport(number)
        view.slider.fill(str(slice_number - 1))
        self.expect_slice(number, slice_number)

    def expect_slice(self, number: int, slice_number: int) -> None:
        expect(self.room.viewport(number).count).to_have_text(re.compile(rf"^{slice_number} /"))

    def slice(self, number: int) -> int:
        """The slice shown, counted from 1."""
        return int(self.room.viewport(number).count.inner_text().split("/")[0])

    def mode(self, name: str) -> None:
        """Side by side, Swipe, Fade or Flicker."""
        self.bar.get_by_role("radio", name=name, exact=True).click()

    def pair(self, row: int) -> None:
        """Pair the measurement of a row, counted from 1, with its counterpart at the other date."""
        self.rows.nth(row - 1).get_by_role("button", name="Pair with the other date").click()

    def grey(self, x: float, y: float) -> int:
        """Grey of the page as it is seen at a place, 0..255."""
        shot = self.page.screenshot(clip={"x": round(x), "y": round(y), "width": 1, "height": 1}, animations="disabled")
        pixel = np.asarray(Image.open(io.BytesIO(shot)).convert("L"))
        return int(pixel[0, 0])

    def wait_grey(self, x: float, y: float, above: int = -1, below: int = 256) -> None:
        """Wait until the page shows a grey between the two at a place; the screenshot itself waits for the next frame."""
        for _ in range(60):
            if above < (found := self.grey(x, y)) < below:
                return
        raise AssertionError(f"grey {found} at ({x:.0f}, {y:.0f}) is not between {above} and {below}")
