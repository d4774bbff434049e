"""What a reader does while an answer or an upload is on its way: nothing is lost, nothing lands on another case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.browser.conftest import Served
from tests.browser.room import Room, caught
from tests.browser.samples import pair, plain, radiograph
from tests.ui.desk import Tap

pytestmark = pytest.mark.browser

UNREADABLE = """([good, bytes]) => {
  const entry = (name, file) => ({ isFile: true, fullPath: `/case/${name}`, file });
  const entries = [
    entry("locked.dcm", (_, no) => no(new DOMException("no", "NotReadableError"))),
    entry(good, (yes) => yes(new File([new Uint8Array(bytes)], good))),
    { isFile: false, fullPath: "/case/closed",
      createReader: () => ({ readEntries: (_, no) => no(new DOMException("no", "NotFoundError")) }) },
  ];
  const drop = new Event("drop", { bubbles: true, cancelable: true });
  const items = entries.map((one) => ({ webkitGetAsEntry: () => one }));
  Object.defineProperty(drop, "dataTransfer", { value: { types: ["Files"], items, files: [], getData: () => "" } });
  document.querySelector(".stage").dispatchEvent(drop); }"""


def test_model_is_shown_the_window_on_the_screen(room: Room, served: Served, tmp_path: Path) -> None:
    """The window of the viewport goes to the model, is kept with the answer, and comes back with the session; inversion does not."""
    ramp = np.tile(np.linspace(600, 1200, 80, dtype=np.uint16), (96, 1))
    room.upload([radiograph(tmp_path / f"{date}.dcm", ramp, date=date) for date in ("20240102", "20240116")])
    engine = served.desk.says("One.", "Two.", "Three.")
    room.ask("What changed?")
    room.expect_answered("One.")
    first = room.viewport(1)
    chosen = first.window.locator("option").last.get_attribute("value")
    before = first.levels.inner_text()
    first.window.select_option(chosen)
    expect(first.levels).not_to_have_text(before)
    first.activate()
    room.tool("invert").click()
    expect(first.levels).to_contain_text("inverted on the screen only")
    room.ask("And in this window?")
    room.expect_answered("Two.", turn=2)
    plainly, windowed = (request.images for request in engine.requests)
    assert windowed[0].sha256 != plainly[0].sha256
    assert windowed[1].sha256 == plainly[1].sha256
    middle = windowed[0].pixels[windowed[0].pixels.shape[0] // 2, windowed[0].pixels.shape[1] // 2, 0]
    assert abs(int(middle) - (255 - first.grey())) <= 2

    room.turns.nth(1).get_by_test_id("provenance").click()
    tiles = room.page.get_by_test_id("tile")
    expect(tiles).to_have_count(2)
    expect(tiles.first).to_have_attribute("data-same", "true")
    expect(tiles.first).to_contain_text("window C")
    expect(tiles.nth(1)).not_to_contain_text("window C")
    room.reload()
    expect(first.window).to_have_value(chosen or "")
    room.turns.nth(1).get_by_test_id("again").click()
    room.expect_answered("Three.", turn=2)
    assert [image.sha256 for image in engine.requests[2].images] == [image.sha256 for image in windowed]


def test_upload_that_ends_during_an_answer_leaves_it_alone(room: Room, served: Served, tmp_path: Path) -> None:
    """The answer is written to its end beside its own images; the new study waits behind a button."""
    room.upload(pair(tmp_path))
    grey = room.viewport(1).grey()
    tap = Tap()
    served.desk.says("One two three four.", gate=tap)
    room.ask("What changed?")
    tap.let(2)
    expect(room.words()).to_have_text("One two")
    room.upload([radiograph(tmp_path / "other.dcm", plain(3800), patient="99", name="Other^One")])
    waiting = room.page.get_by_test_id("toast-good")
    expect(waiting).to_contain_text("what you have open stays")
    tap.open()
    room.expect_answered("One two three four.")
    assert room.viewport(1).grey() == grey
    waiting.get_by_role("button", name="Open").click()
    expect(room.turns).to_have_count(0)
    room.viewport(2).expect_empty()
    assert room.viewport(1).grey() > grey


def test_upload_that_ends_after_the_reader_went_on_waits_behind_a_button(room: Room, tmp_path: Path) -> None:
    held: list[Route] = []
    room.case(1).click()
    room.viewport(2).expect_shown()
    room.page.route("**/api/upload", lambda route: held.append(route))
    room.page.get_by_test_id("files").set_input_files([str(path) for path in pair(tmp_path)])
    expect(room.page.get_by_test_id("upload-status")).to_have_text("Sending 2 files")
    room.question.fill("Is the opacity")
    caught(room.page, held).continue_()
    expect(room.page.get_by_test_id("toast-good").get_by_role("button", name="Open")).to_be_visible()
    assert "SYNTHETIC" in room.viewport(1).text()


def test_an_upload_opened_from_another_work_space_is_seen(room: Room, tmp_path: Path) -> None:
    """ "Open" hung it behind Train, and nothing was seen of it."""
    room.page.get_by_test_id("tab-train").click()
    expect(room.page.get_by_test_id("app")).to_have_attribute("data-place", "train")
    room.page.get_by_test_id("files").set_input_files([str(path) for path in pair(tmp_path)])
    room.page.get_by_test_id("toast-good").get_by_role("button", name="Open").click()
    expect(room.page.get_by_test_id("tab-read")).to_have_attribute("aria-selected", "true")
    room.viewport(2).expect_shown()


def test_opening_another_case_stops_the_answer_and_keeps_its_words(room: Room, served: Served, tmp_path: Path) -> None:
    """The other case begins without a session; the one left behind has the words so far."""
    room.upload(pair(tmp_path))
    tap = Tap()
    served.desk.says("One two three four.", gate=tap)
    room.ask("What changed?")
    tap.let(2)
    expect(room.words()).to_have_text("One two")
    [(_, stopped)] = served.app.state.context.runs.values()
    room.case(2).click()
    expect(room.turns).to_have_count(0)
    expect(room.stop_button).to_be_hidden()
    assert stopped.wait(30)
    tap.open()
    assert "session=" not in room.page.url
    served.desk.says("Another case.")
    room.ask("What is here?")
    room.expect_answered("Another case.")
    expect(room.sessions).to_have_count(2)
    room.sessions.nth(1).locator(".open").click()
    expect(room.turns.first).to_contain_text("Stopped by the reader")
    expect(room.words()).to_have_text("One two")


def test_regenerate_rests_during_an_answer_and_comes_back(room: Room, served: Served, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    tap = Tap()
    served.desk.says("One two.", gate=tap)
    again = room.turns.first.get_by_test_id("again")
    room.ask("And now?")
    expect(again).to_be_disabled()
    room.turns.first.get_by_test_id("disagree").click()
    expect(room.turns.first.get_by_label("Comment on this answer")).to_be_visible()
    expect(again).to_be_disabled()
    tap.open()
    room.expect_answered("One two.", turn=2)
    expect(again).to_be_enabled()


def test_unreadable_entries_of_a_drop_are_named_and_the_rest_is_sent(room: Room, tmp_path: Path) -> None:
    path = radiograph(tmp_path / "good.dcm", plain(900))
    room.page.evaluate(UNREADABLE, [path.name, list(path.read_bytes())])
    expect(room.page.get_by_test_id("upload-status")).to_have_text("1 imported, 2 refused")
    for name in ("locked.dcm", "closed"):
        expect(room.outcomes.filter(has_text=name)).to_contain_text("ould not be read by the browser")
    room.viewport(1).expect_shown()


def test_upload_can_be_stopped_while_it_is_sent(room: Room, tmp_path: Path) -> None:
    held: list[Route] = []
    room.page.route("**/api/upload", lambda route: held.append(route))
    room.page.get_by_test_id("files").set_input_files([str(path) for path in pair(tmp_path)])
    room.page.get_by_test_id("stop-upload").click()
    expect(room.page.get_by_test_id("toast-good")).to_contain_text("stopped")
    expect(room.page.get_by_test_id("report")).to_be_hidden()
    room.page.unroute("**/api/upload")
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()


def test_a_page_at_rest_draws_nothing(reader: BrowserContext, served: Served) -> None:
    """Frames that nobody sees take processor time from the model; Gradio's sign of loading asked for sixty a second for ever."""
    counts = "window.asked = 0; window.requestAnimationFrame = (draw) => { window.asked += 1; return ask(draw); };"
    reader.add_init_script(f"const ask = requestAnimationFrame; {counts}")
    room = Room.open(reader, served.url)
    twenty = "for (let n = 0; n < 20; n += 1) await new Promise((go) => requestAnimationFrame(go));"
    counted = f"const before = asked; {twenty} const others = asked - before - 20; if (others < 3) return true;"
    assert room.page.evaluate(f"async () => {{ for (let tries = 0; tries < 60; tries += 1) {{ {counted} }} return false; }}")
