"""The page before there is a model, without one, and with the real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import BrowserContext, expect

from errors import ModelNotLoaded
from inference.parity import Counted, Parity
from inference.select import Selection
from settings import Settings, load
from tests.browser.conftest import Served, serve
from tests.browser.room import Room
from tests.fakes import CARD, FakeEngine
from tests.ui.desk import Desk
from ui.server import create_app

pytestmark = pytest.mark.browser


def test_page_is_there_before_the_model_and_the_question_waits(reader: BrowserContext, tmp_path: Path) -> None:
    """The page is served at once; a question asked meanwhile says that the model is loading, and is answered when it is there."""
    loaded, desk = Event(), Desk()

    def slow(settings: Settings) -> Selection:
        loaded.wait(60)
        return desk.factory(settings)

    address = serve(create_app(load(data_dir=tmp_path / "data"), slow))
    room = Room(reader.new_page(), next(address))
    room.page.goto(room.origin)
    expect(room.page.get_by_test_id("engine")).to_have_attribute("data-state", "loading")
    expect(room.patients).to_have_count(4)
    room.case(1).click()
    room.viewport(2).expect_shown()
    room.ask("What changed?")
    expect(room.stage).to_have_text("loading the model")
    loaded.set()
    room.expect_answered("The opacity is worse.")
    expect(room.page.get_by_test_id("engine")).to_have_attribute("data-state", "ready")
    room.assert_calm()
    address.close()


def test_page_without_a_model_says_how_to_build_it_and_tries_again(reader: BrowserContext, tmp_path: Path) -> None:
    desk, built = Desk(), Event()

    def factory(settings: Settings) -> Selection:
        if not built.is_set():
            raise ModelNotLoaded("the model bundled is not built; run `python app.py models build bundled`")
        return desk.factory(settings)

    address = serve(create_app(load(data_dir=tmp_path / "data"), factory, demo=False))
    room = Room(reader.new_page(), next(address))
    room.page.goto(room.origin)
    card = room.page.get_by_test_id("engine-card")
    expect(card).to_contain_text("models build bundled")
    retry = room.page.get_by_test_id("engine-retry")
    retry.focus()
    with room.page.expect_response("**/api/engine"):
        pass  # the page asks again by itself, and draws the card anew
    expect(retry).to_be_focused()
    built.set()
    room.page.keyboard.press("Enter")
    room.expect_ready()
    expect(card).to_be_hidden()
    address.close()


def test_who_answers_on_a_processor_is_told_how_far_it_is_the_full_model(room: Room, served: Served) -> None:
    """Of a model that nobody measured the page says so; a figure stands only where the engine's card carries one."""
    engine = served.app.state.context.engine
    before = engine._selection
    try:
        for told in ("", Parity(sha256="", asked=30, equal=29, second=Counted(asked=30, equal=28)).told):
            engine._selection = Selection(FakeEngine(card=replace(CARD, engine="gguf", parity=told)), "llama.cpp")
            room.reload()
            room.page.get_by_test_id("engine").click()
            expect(room.page.get_by_test_id("parity")).to_have_text(told or "Agreement with the full model not measured.")
    finally:
        engine._selection = before


@pytest.mark.model
def test_bundled_model_answers_a_demo_case_in_the_page(reader: BrowserContext, bundled: Settings) -> None:
    """The real thing: a demo pair, the suggested question, words from the bundled model, and what it saw."""
    address = serve(create_app(bundled))
    room = Room(reader.new_page(), next(address))
    room.page.goto(room.origin)
    room.expect_ready()
    expect(room.patients).to_have_count(4)
    room.case(1).click()
    room.viewport(2).expect_shown()
    room.page.get_by_test_id("suggestions").get_by_role("button").first.click()
    expect(room.turns.first.get_by_test_id("provenance")).to_contain_text("bundled", timeout=120_000)
    assert len(room.words().inner_text()) > 5
    room.turns.first.get_by_test_id("provenance").click()
    expect(room.page.get_by_test_id("tile")).to_have_count(2)
    expect(room.page.get_by_test_id("tile").first).to_have_attribute("data-same", "true")
    room.assert_calm()
    address.close()
