"""The way from reviewed flags to an adapter that answers, and back, by clicks alone: a real version, a real run, real gates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from settings import Settings, load
from tests.browser.conftest import serve
from tests.browser.room import Room
from tests.inference import tiny
from tests.loop import planting
from tests.loop.__main__ import Rehearsal, Wanted
from ui import training
from ui.server import create_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW = 600_000
"""Milliseconds for what trains or measures, on a busy machine."""


@pytest.fixture
def reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Settings]]:
    """An app that serves the tiny model, four flags of one reader that another let through, and short gates."""
    monkeypatch.setattr(training, "MEASURE", (*training.MEASURE, "--pairs", "8"))
    settings = load(data_dir=tmp_path / "data", model="tiny", new_role="admin")
    tiny.build(settings.models_dir / "tiny")
    here = Rehearsal(settings, Wanted(flags=4, model="tiny", side=64), lambda _line: None)
    here.flagged(list(planting.plant(settings.data_dir / "films", "case", planting.each("neither"), 8, 64)))
    here.store.close()
    address = serve(create_app(settings))
    yield next(address), settings
    address.close()


def test_flags_become_an_adapter_that_answers_and_the_way_back(reader: BrowserContext, reviewed: tuple[str, Settings]) -> None:
    """Random numbers learn nothing, so the gates say no; waved through by hand, what was trained answers, and is taken back."""
    url, settings = reviewed
    room = Room.open(reader, url)
    page, detail, list_ = room.page, room.page.get_by_test_id("train-detail"), room.page.get_by_test_id("train-list")
    room.case().click()
    room.viewport(2).expect_shown()
    first = answered(room, 1)

    page.get_by_test_id("tab-train").click()
    list_.get_by_test_id("new-version").click()
    expect(detail.get_by_test_id("reviewed")).to_have_text("4")
    detail.get_by_test_id("version-name").fill("ports")
    detail.get_by_test_id("version-generated").fill("2")
    detail.get_by_test_id("build").click()
    expect(detail.get_by_role("heading", name="ports")).to_be_visible(timeout=SLOW)

    detail.get_by_test_id("train-on").click()
    detail.get_by_test_id("run-base").select_option("tiny")
    detail.get_by_test_id("run-name").fill("mine")
    detail.get_by_test_id("run-epochs").fill("40")
    expect(detail.get_by_test_id("estimate")).to_contain_text("Steps")
    detail.get_by_test_id("start-run").click()
    expect(detail.get_by_role("heading", name="mine")).to_contain_text("at work")
    expect(detail.get_by_test_id("curve-loss").locator(".scatterlayer .point").first).to_be_visible(timeout=SLOW)
    detail.get_by_test_id("act-stop").click()
    expect(detail.get_by_role("heading", name="mine")).to_contain_text("stopped", timeout=SLOW)
    expect(list_.get_by_test_id("run-mine")).to_contain_text("stopped")
    detail.get_by_test_id("act-start").click()
    expect(detail.get_by_role("heading", name="mine")).to_contain_text("finished", timeout=SLOW)

    detail.get_by_test_id("act-gate").click()
    expect(detail.get_by_text("Measuring:")).to_be_visible()
    expect(detail.get_by_test_id("sheet-verdict")).to_contain_text("failed, so it cannot go live", timeout=SLOW)
    expect(detail.get_by_test_id("replayed")).to_be_visible()
    detail.get_by_test_id("replayed").get_by_test_id("look-at-case").first.click()
    expect(page.get_by_test_id("case-state")).to_have_text("submitted")
    room.viewport(2).expect_shown()
    page.get_by_test_id("tab-train").click()
    expect(list_.get_by_test_id("run-mine")).to_contain_text("gate failed")
    expect(detail.get_by_test_id("act-promote")).to_be_disabled()
    sheet = settings.runs_dir / "mine" / "gates.json"
    sheet.write_text(json.dumps({**json.loads(sheet.read_text()), "passed": True}))

    page.get_by_test_id("tab-read").click()
    page.get_by_test_id("tab-train").click()
    signed(detail, "promote", "The ports are told.")
    expect(list_.get_by_test_id("live")).to_have_text("mine answers for tiny")
    page.get_by_test_id("tab-read").click()
    assert answered(room, 2) != first
    page.get_by_test_id("tab-train").click()
    list_.get_by_test_id("lineage-").click()
    expect(detail.get_by_test_id("decisions")).to_contain_text("promoted mine for tiny")
    expect(detail.locator(".node[data-live='true']")).to_contain_text("mine-")
    list_.get_by_test_id("run-mine").click()
    signed(detail, "rollback", "They are not.")
    expect(list_).to_contain_text("Every model answers without an adapter.")
    page.get_by_test_id("tab-read").click()
    assert answered(room, 3) == first
    room.assert_calm()


def signed(detail: Locator, act: str, reason: str) -> None:
    """Decide with a reason."""
    detail.get_by_test_id(f"act-{act}").click()
    dialog = detail.page.get_by_role("dialog")
    dialog.get_by_test_id("sign-reason").fill(reason)
    dialog.get_by_test_id("sign").click()
    expect(dialog).to_have_count(0)


def answered(room: Room, turn: int) -> tuple[str, str]:
    """Ask a question of its own session; what was answered, and by which adapter."""
    if turn > 1:
        room.page.get_by_test_id("new-session").click()
        expect(room.turns).to_have_count(0)
    room.ask("What changed since the prior?")
    expect(room.turns.first.get_by_test_id("provenance")).to_be_visible(timeout=SLOW)
    record = """async () => { const { state } = await import('/app/state.js'); const version = state.turns[0].versions[0];
      return [version.text, version.model]; }"""
    text, model = room.page.evaluate(record)
    return text, model
