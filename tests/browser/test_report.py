"""The draft report in the Read tab: opened from the case's menu, changed, kept, exported; the images stay in sight."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import expect

from inference.engine import Request
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.fakes import FakeEngine

pytestmark = pytest.mark.browser


def worse(_request: Request) -> Mapping[str, float]:
    return {"worse": 0.0, "stable": -3.0}


def drafted(room: Room, served: Served, folder: Path) -> None:
    """A pair is open, a question answered and checked, the report open."""
    served.desk.engine = FakeEngine(["The opacity is worse."], scores=worse)
    room.upload(pair(folder))
    room.ask("What changed since the prior?")
    room.expect_answered("The opacity is worse.")
    expect(room.page.get_by_test_id("trust-state")).to_be_visible()
    room.page.get_by_test_id("case-more").click()
    room.page.get_by_test_id("open-report").click()
    expect(room.page.get_by_test_id("report-impression")).to_have_value("The opacity is worse.\nAs a whole: worse.")


def test_report_is_changed_kept_and_drafted_again(room: Room, served: Served, tmp_path: Path) -> None:
    page = room.page
    drafted(room, served, tmp_path)
    expect(page.get_by_test_id("report-mark")).to_contain_text("Machine draft")
    expect(page.get_by_test_id("report-again")).to_be_hidden()
    findings = page.get_by_test_id("report-findings")
    expect(findings).to_have_value(re.compile("^Worse: consolidation"))
    findings.fill("Effusion, larger.")
    findings.blur()
    expect(page.get_by_test_id("report-saved")).to_contain_text("saved")
    expect(page.get_by_test_id("report-mark")).to_contain_text("edited by a reader")
    room.reload()
    room.viewport(2).expect_shown()
    page.keyboard.press("Shift+D")
    expect(findings).to_have_value("Effusion, larger.")
    page.get_by_test_id("report-again").click()
    expect(findings).to_have_value(re.compile("^Worse: consolidation"))
    expect(page.get_by_test_id("report-again")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("panel-report")).to_be_hidden()
    expect(room.question).to_be_visible()


def test_what_is_written_is_in_the_file_that_is_downloaded(room: Room, served: Served, tmp_path: Path) -> None:
    """Also when the button is pressed while the words are not kept yet."""
    page = room.page
    drafted(room, served, tmp_path)
    page.get_by_test_id("report-impression").fill("Clearly worse.")
    kinds: dict[str, bytes] = {}
    for kind in ("txt", "pdf", "dcm"):
        with page.expect_download() as told:
            page.get_by_test_id(f"report-{kind}").click()
        kinds[kind] = Path(told.value.path()).read_bytes()
        assert told.value.suggested_filename.endswith(f".{kind}")
    assert "Clearly worse." in kinds["txt"].decode()
    assert kinds["pdf"].startswith(b"%PDF")
    found = pydicom.dcmread(io.BytesIO(kinds["dcm"]))
    assert "Clearly worse." in str(found)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
def test_nothing_of_the_report_needs_scrolling(room: Room, served: Served, tmp_path: Path, width: int, height: int) -> None:
    room.page.set_viewport_size({"width": width, "height": height})
    room.page.get_by_test_id("notice-read").click()
    drafted(room, served, tmp_path)
    panel = room.page.get_by_test_id("panel-report")
    for name in ("report-comparison", "report-findings", "report-impression", "report-about", "report-pdf", "report-dcm"):
        expect(panel.get_by_test_id(name)).to_be_in_viewport(ratio=1)
    comparison = panel.get_by_test_id("report-comparison")
    comparison.fill("DX chest radiograph PA of 2015-11-05 compared with DX chest radiograph PA of 2015-10-30 (6 days earlier).")
    assert comparison.evaluate("field => field.scrollHeight - field.clientHeight") <= 0
    panel.get_by_test_id("report-about").locator("summary").click()
    expect(panel.get_by_test_id("report-about").locator("li").first).to_be_in_viewport(ratio=1)
    room.viewport(1).expect_shown()
    expect(room.viewport(2).area).to_be_in_viewport(ratio=1)


def test_a_case_without_a_question_says_what_is_missing(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.page.keyboard.press("Shift+D")
    expect(room.page.get_by_test_id("panel-report")).to_contain_text("Ask about the images first")
    room.page.get_by_test_id("close-report").click()
    expect(room.page.get_by_test_id("panel-report")).to_be_hidden()
