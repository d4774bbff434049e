"""Where a model looked: laid over the images it saw, off until it is asked for, with what the map does not say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from inference.select import Selection
from tests.browser.conftest import Served
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.fakes import CARD, FakeEngine
from tests.ui.test_looked import Looker

pytestmark = pytest.mark.browser

ALPHA = """canvas => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return [...data].filter((_, at) => at % 4 === 3); }"""


@pytest.fixture
def transformers(served: Served) -> Iterator[None]:
    """The served model as if transformers ran it."""
    room = served.app.state.context.engine
    before = room._selection
    room._selection = Selection(Looker(card=replace(CARD, engine="torch")), "transformers")
    yield
    room._selection = before


def test_map_is_off_until_it_is_asked_for_and_says_what_it_does_not_say(room: Room, transformers: None, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    room.turns.first.get_by_test_id("provenance").click()
    maps = room.page.get_by_test_id("heat")
    expect(room.page.get_by_test_id("tile")).to_have_count(2)
    expect(maps).to_have_count(0)
    button = room.page.get_by_test_id("looked")
    button.click()
    expect(maps).to_have_count(2)
    assert [maps.nth(number).evaluate(ALPHA) for number in (0, 1)] == [[0, 0, 0, 0], [0, 0, 72, 217]]
    expect(room.page.get_by_test_id("looked-limits")).to_contain_text("Image 2: 100 %")
    expect(room.page.get_by_test_id("looked-limits")).to_contain_text("does not say why")
    button.click()
    expect(maps.first).to_be_hidden()
    button.click()
    expect(maps.first).to_be_visible()


def test_where_the_open_model_cannot_look_the_reader_is_told_and_nothing_is_laid_over_the_images(
    room: Room, served: Served, transformers: None, tmp_path: Path
) -> None:
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    room.turns.first.get_by_test_id("provenance").click()
    served.app.state.context.engine._selection = Selection(FakeEngine(card=CARD), "no maps")
    button = room.page.get_by_test_id("looked")
    button.click()
    expect(room.page.get_by_text("Maps are made by transformers")).to_contain_text("this one is of fake through torch")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(button).to_be_enabled()
    expect(room.page.get_by_test_id("heat")).to_have_count(0)


def test_an_answer_of_another_engine_offers_no_map(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    room.turns.first.get_by_test_id("provenance").click()
    expect(room.page.get_by_test_id("tile")).to_have_count(2)
    expect(room.page.get_by_test_id("looked")).to_have_count(0)
