"""A radiograph that brings its own VOI lookup table: what the canvas shows is the table, bend and all, on both renderers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.browser.room import Room
from tests.browser.viewer_page import Looking, film, quarters

pytestmark = pytest.mark.browser

PLACES = {3000: (20.0, 15.0), 2000: (140.0, 15.0), 400: (20.0, 105.0), 1200: (140.0, 105.0)}
CPU = "localStorage.setItem('interval.renderer', 'cpu')"
ENTRIES, FIRST, WHITE = 4000, 96, 1023


def table() -> Dataset:
    """A table no window comes near: steep, flat, then falling a little."""
    share = np.interp(np.arange(ENTRIES), [0, 1000, 2500, ENTRIES - 1], [0, 0.7, 0.9, 0.6])
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [ENTRIES, FIRST, 10], "bent"
    item.LUTData = struct.pack(f"<{ENTRIES}H", *(round(WHITE * float(value)) for value in share))
    return item


def level(value: int) -> float:
    """What the table makes of a stored value, 0..255."""
    return float(255 * np.interp(value - FIRST, [0, 1000, 2500, ENTRIES - 1], [0, 0.7, 0.9, 0.6]))


@pytest.mark.parametrize("cpu", [False, True], ids=["webgl", "cpu"])
def test_table_of_the_file_is_what_the_canvas_shows(room: Room, tmp_path: Path, cpu: bool) -> None:
    if cpu:
        room.page.evaluate(f"() => {CPU}")
        room.page.reload()
        room.expect_ready()
    plain = {"WindowCenter": None, "WindowWidth": None, "BitsStored": 12, "HighBit": 11, "VOILUTSequence": Sequence([table()])}
    room.upload(
        [
            film(tmp_path / "plain.dcm", quarters(), "20240102", **plain),
            film(tmp_path / "negative.dcm", quarters(), "20240202", PhotometricInterpretation="MONOCHROME1", **plain),
        ]
    )
    for number in (1, 2):
        room.viewport(number).expect_shown()
    looking = Looking(room.page)
    for value, place in PLACES.items():
        looking.expect_shade(0, place, level(value), within=2)
        looking.expect_shade(1, place, 255 - level(value), within=2)
    looking.do("(bridge) => bridge.setWindow(0, { lower: 0, upper: 4000 }, true)")
    looking.expect_shade(0, PLACES[2000], 127.5, within=2)
    looking.do("(bridge) => bridge.reset(0, true)")
    looking.expect_shade(0, PLACES[2000], level(2000), within=2)
