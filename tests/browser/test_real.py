"""Real studies through the page: six CT patients, five tumour volumes, and a patient with many films on the timeline."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, expect

from settings import load
from tests.browser.compare_page import Comparing
from tests.browser.conftest import serve
from tests.browser.room import Room
from tests.browser.samples import radiograph
from tests.browser.viewer_page import Looking
from tests.ui.desk import Desk
from ui.server import create_app

pytestmark = [pytest.mark.browser, pytest.mark.data]

CT = ("A027284", "A046441", "A048383", "A056642", "A058062", "A062055")
TUMOURS = ("01", "02", "05", "08", "09")
FILMS = "hannover-189daebe"
SPREAD = """(bridge, slot) => {
  const canvas = bridge.element(slot).querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4 * 97) seen.add(data[at]);
  return seen.size;
}"""


@pytest.fixture
def large(reader: BrowserContext, tmp_path: Path) -> Iterator[Room]:
    """The page of a server that takes uploads of any usual size."""
    desk = Desk()
    address = serve(create_app(load(data_dir=tmp_path / "data"), desk.factory, demo=False))
    room = Room.open(reader, next(address))
    yield room
    room.assert_calm()
    room.page.goto("about:blank")
    address.close()


def expect_pictures(room: Room, *numbers: int) -> None:
    """Each viewport shows an image of many greys: neither black, nor white, nor a flat field."""
    looking = Looking(room.page)
    for number in numbers:
        room.viewport(number).expect_shown()
        looking.until(f"(bridge, slot) => ({SPREAD})(bridge, slot) > 40", number - 1)


@pytest.mark.parametrize("patient", CT)
def test_ct_patient_hangs_prior_beside_current_with_the_windows_of_ct(large: Room, test_data: Path, patient: str) -> None:
    large.upload(sorted((test_data / "ct_prior_current" / patient / "axial").glob("*.dcm")))
    expect_pictures(large, 1, 2)
    expect(large.viewport(1).role).to_have_value("prior")
    expect(large.viewport(2).role).to_have_value("current")
    expect(large.reason).to_contain_text("one patient")
    first = large.viewport(1)
    first.activate()
    names = first.window.locator("option").all_inner_texts()
    large.page.keyboard.press(str(names.index("Bone") + 1))
    expect(first.levels).to_have_text("C 400 W 1800")
    found = Comparing(large)
    expect(found.points).to_have_count(2)
    expect(found.mixing).to_be_hidden()


@pytest.mark.parametrize("patient", TUMOURS)
def test_tumour_volumes_are_scrolled_together_after_a_match(large: Room, test_data: Path, patient: str) -> None:
    folder = test_data / "mr_gbm" / patient
    large.upload([folder / "Pre_Scan_T1.nii.gz", folder / "Post_Scan_T1.nii.gz"])
    expect_pictures(large, 1, 2)
    volumes = Comparing(large)
    if volumes.mixing.is_visible():
        volumes.page.get_by_test_id("mixing-reason").fill("Volumes of one patient, named by folder")
        volumes.page.get_by_test_id("mixing-go").click()
        expect(volumes.mixing).to_be_hidden()
    start = volumes.slice(1), volumes.slice(2)
    volumes.match.click()
    expect(volumes.link_state).to_contain_text("Scroll linked")
    volumes.to_slice(1, start[0] + 5)
    expect_pictures(large, 1, 2)
    Looking(large.page).until("(bridge, before) => bridge.frame(1) + 1 !== before", start[1])


def test_films_of_many_dates_stand_at_true_distances_on_the_timeline(large: Room, test_data: Path, tmp_path: Path) -> None:
    """Nine films; the newest eight hang, and each dot lies where its day puts it."""
    days: dict[float, str] = {}
    with (test_data / "pairs_cxr.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["patient"] == FILMS:
                days |= {float(row[f"offset_{when}_days"]): row[f"{when}_path"] for when in ("prior", "current")}
    assert len(days) > 5
    paths = []
    for number, (day, name) in enumerate(sorted(days.items())):
        pixels = np.asarray(Image.open(test_data / name).convert("L")).astype(np.uint16) * 16
        when = (date(2020, 3, 1) + timedelta(days=day)).strftime("%Y%m%d")
        paths.append(radiograph(tmp_path / "films" / f"{number}.dcm", pixels, patient=FILMS, date=when))
    large.upload(paths)
    films = Comparing(large)
    expect(films.points).to_have_count(len(days))
    expect_pictures(large, 1, 2)
    boxes = [box for number in range(len(days)) if (box := films.points.nth(number).bounding_box()) is not None]
    places = sorted(box["x"] + box["width"] / 2 for box in boxes)
    known = sorted(days)
    span = known[-1] - known[0]
    for place, day in zip(places, known, strict=True):
        assert (place - places[0]) / (places[-1] - places[0]) == pytest.approx((day - known[0]) / span, abs=0.012)
