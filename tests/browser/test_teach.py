"""Teach in the browser: a case is read blind with the keyboard, committed, held against the model and then the reference."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.fakes import FakeEngine
from tests.ui.test_teach import likely

pytestmark = pytest.mark.browser

CELLS = ["stable", "new", "uncertain", "stable", "stable"]
"""What is said of the five findings, first to last."""
CLASSES = ["new", "worse", "stable", "improved", "resolved", "uncertain"]


def test_a_case_is_read_blind_then_held_against_model_and_reference(room: Room, served: Served) -> None:
    served.desk.engine = FakeEngine(scores=likely)
    page = room.page
    page.keyboard.press("Alt+2")
    pane = page.get_by_test_id("teach-pane")
    expect(pane).to_contain_text("Read a case before the model does")
    cases = page.get_by_test_id("teach-case")
    expect(cases).to_have_count(5)
    cases.first.click()
    for number in (1, 2):
        room.viewport(number).expect_shown()
    rows = pane.locator(".progression tbody tr")
    expect(rows).to_have_count(5)
    expect(pane.get_by_test_id("teach-commit")).to_be_disabled()
    expect(pane.get_by_test_id("teach-model")).to_have_count(0)
    rows.nth(0).locator(".cell").first.focus()
    at = 0
    for row, name in enumerate(CELLS):
        if row:
            page.keyboard.press("ArrowDown")
        step = CLASSES.index(name) - at
        for _ in range(abs(step)):
            page.keyboard.press("ArrowRight" if step > 0 else "ArrowLeft")
        at += step
        page.keyboard.press("Enter")
        expect(rows.nth(row).locator('[aria-pressed="true"]')).to_have_count(1)
    pane.get_by_test_id("teach-commit").click()

    expect(pane.get_by_test_id("matrix-told")).to_contain_text("Committed")
    pane.get_by_test_id("teach-model").press("Enter")
    table = pane.get_by_test_id("teach-table")
    expect(table.locator("thead th")).to_have_text(["Finding", "You", "Model"])
    expect(pane.get_by_test_id("teach-trust")).to_contain_text("fake, of the disease as a whole: not image-dependent")
    pane.get_by_test_id("teach-alone").click()
    expect(pane.get_by_test_id("teach-hidden")).to_contain_text("still claims change in 5 findings")
    expect(pane.get_by_test_id("teach-hidden")).to_contain_text("0 of 5 answers are the same")
    expect(pane.get_by_test_id("teach-score")).to_have_count(0)
    pane.get_by_test_id("teach-reference").click()
    expect(table.locator("thead th")).to_have_text(["Finding", "You", "Model", "Model, no prior", "Reference"])
    expect(pane.get_by_test_id("teach-score")).to_contain_text("3 of 5 findings as the reference, 1 left open; the model 3 of 5.")
    missed = pane.get_by_test_id("teach-score").locator("li")
    expect(missed).to_have_text(["Missed worsening: consolidation is worse, you said stable."])
    expect(pane.get_by_test_id("teach-history").locator("tbody tr")).to_have_count(1)
    expect(cases.first).to_contain_text("read")
    rows.nth(0).locator(".cell").first.click()
    expect(rows.nth(0).locator('[aria-pressed="true"]')).to_have_attribute("data-cell", "consolidation:stable")
    page.get_by_test_id("tab-read").click()
    room.viewport(1).expect_empty()
    page.get_by_test_id("tab-teach").click()
    expect(pane.get_by_test_id("teach-score")).to_contain_text("3 of 5")
    room.viewport(1).expect_shown()
