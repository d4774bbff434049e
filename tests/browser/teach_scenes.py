"""The gallery's chapters of teaching, a case read blind and then revealed, and of what was foretold."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.scenes import Scene, Stage, pair

SAID = {"consolidation": "worse", "diffuse opacity": "stable", "pleural effusion": "uncertain", "nodule": "stable"}
"""What a learner says of the findings of the first case; of any other that nothing changed."""


def library(stage: Stage) -> None:
    stage.page.keyboard.press("Alt+2")
    expect(stage.page.get_by_test_id("teach-case").first).to_be_visible()


def unaided(stage: Stage) -> None:
    stage.page.get_by_test_id("teach-case").first.click()
    stage.shown(1, 2)
    rows = stage.page.get_by_test_id("teach-pane").locator(".progression tbody tr")
    expect(rows.first).to_be_visible()
    for number in range(rows.count()):
        name = str(rows.nth(number).get_attribute("data-finding"))
        rows.nth(number).locator(f'[data-cell="{name}:{SAID.get(name, "stable")}"]').click()
    expect(stage.page.get_by_test_id("teach-commit")).to_be_enabled()


def revealed(stage: Stage) -> None:
    for name, there in {"commit": "teach-model", "model": "teach-alone", "alone": "teach-hidden", "reference": "teach-score"}.items():
        stage.page.get_by_test_id(f"teach-{name}").click()
        expect(stage.page.get_by_test_id(there)).to_be_visible(timeout=180_000)


def ledger(stage: Stage) -> None:
    pair(stage)
    stage.room.ask("Will the consolidation have resolved in a month?")
    expect(stage.page.get_by_test_id("trust-state")).to_be_visible(timeout=180_000)
    stage.page.get_by_test_id("case-more").click()
    stage.page.get_by_test_id("open-ledger").click()
    expect(stage.page.get_by_test_id("ledger")).to_contain_text("Will the consolidation have resolved in a month?")


TEACH = (
    Scene("library", "Teach: cases with known truth", library),
    Scene("unaided", "A case read before the model does", unaided),
    Scene("revealed", "The reading beside the model's, the model's without the prior, and the reference", revealed),
)
AHEAD = (Scene("ledger", "What was foretold, and what waits to be resolved", ledger),)
