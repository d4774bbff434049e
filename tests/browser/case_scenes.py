"""The gallery's chapter of what is done with a whole case: its draft report, two models on one question, many pairs in a table."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.scenes import Scene, Stage, answer, matrix, pair


def report(stage: Stage) -> None:
    pair(stage)
    answer(stage)
    matrix(stage)
    stage.later.pop()()
    stage.page.keyboard.press("Shift+D")
    expect(stage.page.get_by_test_id("report-findings")).not_to_have_value("")
    impression = stage.page.get_by_test_id("report-impression")
    impression.fill("Consolidation in the right mid zone has grown since the prior study.")
    impression.blur()
    expect(stage.page.get_by_test_id("report-saved")).to_contain_text("saved")


def blind(stage: Stage) -> None:
    """The same model on both of its engines: what is there wherever the bundled model is."""
    stage.page.keyboard.press("Shift+M")
    stage.page.get_by_test_id("duel-ask").click()
    expect(stage.page.get_by_test_id("duel-none")).to_be_visible(timeout=180_000)


def judged(stage: Stage) -> None:
    stage.page.get_by_test_id("duel-none").click()
    expect(stage.page.get_by_test_id("duel-kept")).to_be_visible()
    expect(stage.page.get_by_test_id("duel-side-1").locator("h3")).not_to_have_text("Answer 1")
    stage.later.append(lambda: stage.page.get_by_test_id("close-duel").click())


def many(stage: Stage) -> None:
    stage.page.keyboard.press("Shift+C")
    stage.page.get_by_test_id("batch-library").click()
    expect(stage.page.get_by_test_id("batch-told")).to_contain_text("read by", timeout=180_000)
    stage.later.append(lambda: stage.page.get_by_test_id("batch-close").click())


CASE = (
    Scene("report", "A draft report, changed by the reader", report),
    Scene("blind", "Two models on one question, not yet judged", blind),
    Scene("duel", "Two models on one question, with their names", judged),
    Scene("batch", "Many pairs in a table", many),
)
