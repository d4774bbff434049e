"""Page object of the viewer: what the bridge says of a slot, and the greys that are really on its canvas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from tests.browser.conftest import PATIENCE
from tests.dicoms import dataset, write

Point = tuple[float, float]

UNTIL = """async (bridge, ...given) => {{
  const end = performance.now() + {patience};
  while (!(await ({work})(bridge, ...given))) {{
    if (performance.now() > end) throw new Error(`it never became true: ${{given}}`);
    await new Promise(requestAnimationFrame);
  }}
}}"""
BRIDGE = "async (given) => {{ const bridge = await (await import('/app/stage.js')).viewer(); return await ({work})(bridge, ...given); }}"
SHADE_AT = """(bridge, slot, x, y) => {
  const canvas = bridge.element(slot).querySelector('canvas');
  const ratio = canvas.width / canvas.clientWidth;
  return canvas.getContext('2d').getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data[0];
}"""
SHADE = f"(bridge, slot, point) => ({SHADE_AT})(bridge, slot, ...bridge.imageToCanvas(slot, point))"
ON_SCREEN = """(bridge, slot, point) => {
  const [x, y] = bridge.imageToCanvas(slot, point);
  const box = bridge.element(slot).querySelector('.surface').getBoundingClientRect();
  return [box.left + x, box.top + y];
}"""


class Looking:
    """The viewer of a page. Slots are counted from 0, image points are (column, row)."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def do(self, work: str, *given: object) -> Any:
        """Run `work`, a JavaScript function of the bridge and `given`, and return what it returns."""
        return self.page.evaluate(BRIDGE.format(work=work), list(given))

    def until(self, work: str, *given: object) -> None:
        """Wait until `work` is true; a function that returns a promise, which `wait_for_function` would take for true."""
        self.do(UNTIL.format(work=work, patience=PATIENCE), *given)

    def shade(self, slot: int, point: Point) -> int:
        """Grey on the canvas where the image point lies now."""
        return int(self.do(SHADE, slot, list(point)))

    def expect_shade(self, slot: int, point: Point, grey: float, within: float = 2) -> None:
        """Wait until the canvas shows `grey` at the image point."""
        self.until(
            f"(bridge, slot, point, grey, within) => Math.abs(({SHADE})(bridge, slot, point) - grey) <= within",
            slot,
            list(point),
            grey,
            within,
        )

    def on_screen(self, slot: int, point: Point) -> Point:
        """Where an image point lies in the page, CSS pixels."""
        x, y = self.do(ON_SCREEN, slot, list(point))
        return x, y

    def drag(self, slot: int, start: Point, by: Point, button: str = "left") -> None:
        """Drag from an image point by CSS pixels, in steps, as a hand does."""
        x, y = self.on_screen(slot, start)
        self.page.mouse.move(x, y)
        self.page.mouse.down(button=button)  # type: ignore[arg-type]
        for part in range(1, 6):
            self.page.mouse.move(x + by[0] * part / 5, y + by[1] * part / 5)
        self.page.mouse.up(button=button)  # type: ignore[arg-type]

    def frame(self, slot: int) -> int:
        return int(self.do("(bridge, slot) => bridge.frame(slot)", slot))


def film(path: Path, pixels: NDArray[Any], date: str = "20240102", **changes: object) -> Path:
    """A radiograph at `path` with these stored values."""
    uid = f"1.2.826.0.1.3680043.10.7.{date}"
    path.parent.mkdir(parents=True, exist_ok=True)
    given: dict[str, object] = {
        "StudyInstanceUID": uid,
        "SeriesInstanceUID": f"{uid}.1",
        "SOPInstanceUID": f"{uid}.1.1",
        "StudyDate": date,
        "SeriesDate": date,
        "AcquisitionDate": date,
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "ImagerPixelSpacing": [0.5, 0.5],
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        **changes,
    }
    return write(dataset(pixels, modality="DX", **given), path)


def quarters(rows: int = 120, columns: int = 160) -> NDArray[np.uint16]:
    """Four quarters of different values, so that every turn and mirror shows: 3000 2000 above, 400 1200 below."""
    made = np.full((rows, columns), 3000, dtype=np.uint16)
    made[: rows // 2, columns // 2 :] = 2000
    made[rows // 2 :, : columns // 2] = 400
    made[rows // 2 :, columns // 2 :] = 1200
    return made
