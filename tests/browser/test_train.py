"""The Train tab in a real browser: what there is, what a run does, what a sheet says, and that nothing is decided without a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from settings import Settings, load
from tests.browser.conftest import serve
from tests.browser.room import Room
from tests.finetune import ordered, shelved
from tests.inference import tiny
from tests.ui.desk import Desk
from ui.server import create_app

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Works:
    """An app in which everybody may train, its settings, and the folder of a run that is at work."""

    url: str
    settings: Settings
    running: Path


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    settings = load(data_dir=tmp_path_factory.mktemp("works"), new_role="admin")
    tiny.build(settings.models_dir / "tiny")
    shelved.version(settings)
    ordered.run(settings, "good", sheet=ordered.sheet("good"))
    ordered.run(settings, "blind", sheet=ordered.sheet("blind", failed="G3"))
    ordered.run(settings, "wish", method="dpo")
    running = ordered.run(settings, "busy", "running", 70, 160)
    with ordered.at_work(running):
        address = serve(create_app(settings, Desk().factory, demo=False))
        yield Works(next(address), settings, running)
        address.close()


class Train:
    """The tab, in its visitor's words."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.page: Page = room.page
        self.list = self.page.get_by_test_id("train-list")
        self.detail = self.page.get_by_test_id("train-detail")

    def look_at(self, name: str) -> Locator:
        self.list.get_by_test_id(name).click()
        return self.detail


@pytest.fixture
def train(reader: BrowserContext, works: Works) -> Iterator[Train]:
    room = Room.open(reader, works.url)
    tab = Train(room)
    tab.page.get_by_test_id("tab-train").click()
    expect(tab.list.get_by_test_id("run-busy")).to_be_visible()
    yield tab
    room.assert_calm()


def test_a_run_at_work_is_shown_first_with_live_curves_and_its_log(train: Train, works: Works) -> None:
    expect(train.detail.get_by_role("heading", name="busy")).to_be_visible()
    expect(train.detail.get_by_test_id("run-figures")).to_contain_text("70 of 160")
    for curve in ("loss", "rate", "samples_s"):
        expect(train.detail.get_by_test_id(f"curve-{curve}").locator(".scatterlayer .point").last).to_be_visible()
    expect(train.detail.get_by_test_id("log")).to_contain_text("sft step 70")
    ordered.advance(works.running, 90)
    expect(train.detail.get_by_test_id("run-figures")).to_contain_text("90 of 160")
    expect(train.detail.get_by_test_id("log")).to_contain_text("sft step 90")
    expect(train.detail.get_by_test_id("act-stop")).to_be_enabled()


def test_a_run_on_preferences_shows_how_many_it_prefers_rightly(train: Train) -> None:
    detail = train.look_at("run-wish")
    for curve in ("loss", "accuracy", "margin"):
        expect(detail.get_by_test_id(f"curve-{curve}").locator(".scatterlayer .point").last).to_be_visible()
    detail = train.look_at("run-good")
    expect(detail.get_by_test_id("curve-loss")).to_be_visible()
    expect(detail.get_by_test_id("curve-accuracy")).to_be_hidden()


def test_a_failed_gate_is_red_with_the_items_behind_it_and_cannot_be_promoted(train: Train) -> None:
    detail = train.look_at("run-blind")
    expect(detail.get_by_test_id("sheet-verdict")).to_have_text("G3 failed, so it cannot go live.")
    row = detail.get_by_test_id("gate-G3")
    expect(row.get_by_role("img", name="failed")).to_be_visible()
    expect(row).to_contain_text("0.220")
    row.get_by_role("button", name="3 cases behind it").click()
    expect(detail.get_by_role("cell", name="patient 2").first).to_be_visible()
    expect(detail.get_by_test_id("replayed")).to_contain_text("2 fixed")
    detail.get_by_test_id("replayed").get_by_test_id("look-at-case").first.click()
    expect(train.page.get_by_test_id("toast-bad")).to_contain_text("is in no case of the queue")
    expect(detail.get_by_test_id("act-promote")).to_be_disabled()


def test_promotion_asks_for_a_reason_and_says_what_is_in_the_way(train: Train) -> None:
    detail = train.look_at("run-good")
    detail.get_by_test_id("act-promote").click()
    dialog = train.page.get_by_role("dialog", name="Promote")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    detail.get_by_test_id("act-promote").click()
    dialog.get_by_test_id("sign-reason").fill("Effusions are no longer called stable.")
    dialog.get_by_test_id("sign").click()
    expect(train.page.get_by_test_id("toast-bad")).to_contain_text("has left no adapter yet")


def test_a_version_tells_what_it_holds_and_leads_to_a_run_with_its_estimate(train: Train) -> None:
    detail = train.look_at("version-v1")
    expect(detail).to_contain_text("Examples and held-back items share no patient and no image.")
    detail.get_by_test_id("train-on").click()
    expect(detail.get_by_test_id("run-name")).to_have_value("v1-sft-1")
    expect(detail.get_by_test_id("estimate")).to_contain_text("Steps")
    detail.get_by_test_id("run-recipe").select_option("dpo")
    expect(detail.get_by_test_id("run-name")).to_have_value("v1-dpo-1")
    expect(detail.get_by_test_id("estimate")).to_contain_text("6")


def test_a_version_is_built_by_a_button_and_stands_in_the_lineage_once_it_is_used(train: Train, works: Works) -> None:
    train.list.get_by_test_id("new-version").click()
    train.detail.get_by_test_id("version-name").fill("pairs")
    train.detail.get_by_test_id("version-generated").fill("2")
    train.detail.get_by_test_id("build").click()
    expect(train.detail.get_by_role("heading", name="pairs")).to_be_visible()
    expect(train.detail).to_contain_text("generator")
    detail = train.look_at("lineage-")
    expect(detail.get_by_test_id("lineage").get_by_role("button", name="blind")).to_be_visible()
    detail.get_by_test_id("lineage").get_by_role("button", name="good").click()
    expect(detail.get_by_role("heading", name="good")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
def test_nothing_is_cut_off_in_either_size(train: Train, width: int, height: int) -> None:
    train.page.set_viewport_size({"width": width, "height": height})
    for name in ("run-good", "run-busy", "version-v1", "new-run", "new-version", "lineage-"):
        train.look_at(name)
        assert train.detail.evaluate("one => one.scrollWidth <= one.clientWidth + 1"), name
        assert train.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
