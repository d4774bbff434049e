"""Many pairs in the page: the table fills while the batch runs, goes on behind a closed window, is stopped, exported, and opens a pair."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import expect

from inference.engine import Request
from inference.prompts import FINDINGS
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.fakes import FakeEngine
from tests.ui.test_batch import brighter

pytestmark = pytest.mark.browser

A_PAIR = 2 * (len(FINDINGS) + 1)


def opened(room: Room) -> None:
    room.page.get_by_test_id("case-more").click()
    room.page.get_by_test_id("open-batch").click()
    expect(room.page.get_by_test_id("batch")).to_be_visible()


def halfway(room: Room, served: Served, folder: Path) -> Event:
    """A batch of five pairs of which the second is being read, until the event is set."""
    reached, go = Event(), Event()

    def slow(request: Request) -> Mapping[str, float]:
        if len(engine.scored) > A_PAIR:
            reached.set()
            assert go.wait(60)
        return brighter(request)

    engine = served.desk.engine = FakeEngine(scores=slow)
    room.upload(pair(folder))
    opened(room)
    room.page.get_by_test_id("batch-library").click()
    assert reached.wait(60)
    expect(room.page.get_by_test_id("batch-told")).to_contain_text("1 of 5 pairs")
    return go


def test_table_fills_goes_on_unseen_and_keeps_what_was_read_when_stopped(room: Room, served: Served, tmp_path: Path) -> None:
    page = room.page
    go = halfway(room, served, tmp_path)
    rows = page.get_by_test_id("batch-rows").locator("tr")
    expect(rows).to_have_count(5)
    expect(page.get_by_test_id("batch-rows").locator("[data-state='done']")).to_have_count(1)
    page.get_by_test_id("batch-close").click()
    chip = page.get_by_test_id("batch-chip")
    expect(chip).to_have_text("1 of 5")
    chip.click()
    page.get_by_test_id("batch-stop").click()
    go.set()
    expect(page.get_by_test_id("batch-told")).to_contain_text("Stopped after 1 of 5 pairs")
    expect(page.get_by_test_id("batch-stop")).to_be_hidden()
    room.reload()
    opened(room)
    expect(page.get_by_test_id("batch-told")).to_contain_text("Stopped after 1 of 5 pairs")
    with page.expect_download() as told:
        page.get_by_test_id("batch-csv").click()
    found = list(csv.DictReader(io.StringIO(Path(told.value.path()).read_bytes().decode("utf-8-sig"))))
    assert [row["state"] for row in found[:5]] == ["done", *["waiting"] * 4]


def test_how_far_a_batch_is_can_be_seen_in_both_themes(room: Room, served: Served, tmp_path: Path) -> None:
    """What was done stood out from what was not by a contrast of 1.3."""
    go = halfway(room, served, tmp_path)
    bar = room.page.get_by_test_id("batch").locator("progress")
    for theme in ("dark", "light"):
        room.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        line = np.asarray(Pillow.open(io.BytesIO(bar.screenshot())).convert("RGB"), float)[2] / 255
        done, left = ((line[at] ** 2.2) @ [0.2126, 0.7152, 0.0722] for at in (len(line) // 10, -len(line) // 10))
        assert (max(done, left) + 0.05) / (min(done, left) + 0.05) >= 3, theme
    go.set()


def test_a_row_opens_its_pair(room: Room, served: Served, tmp_path: Path) -> None:
    served.desk.engine = FakeEngine(scores=brighter)
    room.upload(pair(tmp_path))
    room.case(2).click()
    opened(room)
    room.page.get_by_test_id("batch-scope").select_option("mine")
    room.page.get_by_test_id("batch-library").click()
    row = room.page.get_by_test_id("batch-rows").locator("tr")
    expect(row).to_have_count(1)
    expect(row.locator("td.whole")).to_have_attribute("data-class", "worse")
    name = row.get_by_role("button").inner_text()
    row.get_by_role("button").click()
    expect(room.page.get_by_test_id("batch")).to_be_hidden()
    expect(room.viewport(1).role).to_have_value("prior")
    expect(room.viewport(2).area).to_contain_text(name)


def test_a_pair_file_that_was_edited_since_it_was_chosen_is_said_to_be(room: Room, tmp_path: Path) -> None:
    """The browser may not read it any more; nothing happened."""
    (tmp_path / "films").mkdir()
    Pillow.new("L", (40, 40), 60).save(tmp_path / "films" / "a.png")
    listed = tmp_path / "pairs.csv"
    listed.write_text("prior_path,current_path\na.png,a.png\n")
    opened(room)
    room.page.get_by_test_id("batch-file").set_input_files(str(listed))
    room.page.get_by_test_id("batch-folder").set_input_files(str(tmp_path / "films"))
    listed.write_text("prior_path,current_path\na.png,a.png\na.png,a.png\n")
    room.page.get_by_test_id("batch-send").click()
    toast = room.toasts
    expect(toast).to_contain_text("The pair file was changed or moved since it was chosen; choose it again.")
    box = toast.bounding_box()
    assert box
    over = "([x, y]) => Boolean(document.elementFromPoint(x, y)?.closest('.toast'))"
    assert room.page.evaluate(over, [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]), "it lies over the dialog, not under it"
    toast.get_by_label("Close this message").click()
    expect(toast).to_have_count(0)
    expect(room.page.get_by_test_id("batch-send")).to_be_disabled()
    room.page.get_by_test_id("batch-close").click()
    expect(room.page.locator(".app > .toasts")).to_have_count(1)


def test_a_pair_file_goes_up_with_the_images_it_names(room: Room, served: Served, tmp_path: Path) -> None:
    served.desk.engine = FakeEngine(scores=brighter)
    folder = tmp_path / "films"
    (folder / "first").mkdir(parents=True)
    for name, grey in (("first/a (1).png", 60), ("b.png", 160), ("unnamed.png", 90)):
        Pillow.new("L", (40, 40), grey).save(folder / name)
    (tmp_path / "pairs.csv").write_text("prior_path,current_path\nfirst/a (1).png,b.png\nb.png,missing.png\n")
    opened(room)
    room.page.get_by_test_id("batch-file").set_input_files(str(tmp_path / "pairs.csv"))
    room.page.get_by_test_id("batch-folder").set_input_files(str(folder))
    with room.page.expect_request("**/api/batch/files") as sent:
        room.page.get_by_test_id("batch-send").click()
    assert sent.value.method == "POST"
    rows = room.page.get_by_test_id("batch-rows").locator("tr")
    expect(rows).to_have_count(2)
    expect(rows.first.locator("td.whole")).to_have_attribute("data-class", "worse")
    expect(rows.nth(1)).to_contain_text("missing.png")
    expect(rows.nth(1)).to_have_attribute("data-state", "failed")
