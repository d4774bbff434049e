"""The same place at the other date: the proposed level, the cross-hair, and patients' names behind their switch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from settings import load
from tests.browser.compare_page import Comparing
from tests.browser.conftest import serve
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.browser.stacks import two_exams
from tests.ui.desk import Desk
from tests.volumes import ct_series
from ui.server import create_app

pytestmark = pytest.mark.browser


def test_same_level_is_proposed_with_how_sure_it_is_and_one_key_takes_it(room: Room, tmp_path: Path) -> None:
    """Two exams of one body in other frames of reference, 6 and 5 mm thick; the second runs from the head to the feet."""
    room.upload(
        [
            *ct_series(tmp_path / "prior", slices=20, date="20240102", shift=(4.0, -6.0, 210.0)),
            *ct_series(tmp_path / "current", slices=24, thickness=5.0, date="20240301", head_first=False),
        ]
    )
    stacks = Comparing(room)
    stacks.viewport(1)
    stacks.viewport(2)
    expect(stacks.link_state).to_contain_text("another frame of reference")
    room.viewport(1).activate()
    stacks.to_slice(1, 13)
    stacks.page.keyboard.press("n")
    told = stacks.page.get_by_test_id("toast-good")
    expect(told).to_contain_text("certainty")
    wanted = -70 + 6.0 * 12
    found = -70 + 5.0 * (24 - stacks.slice(2))
    assert abs(found - wanted) <= 5.0, told.inner_text()
    proposed = stacks.slice(2)
    stacks.page.keyboard.press("a")
    expect(stacks.link_state).to_contain_text("by the matched slices, in mm")
    stacks.to_slice(1, 8)
    stacks.expect_slice(2, proposed + 6)


def test_cross_hair_points_to_the_same_place_in_the_other_view(room: Room, tmp_path: Path) -> None:
    """The current's rows run the other way, so that a copied pixel would lie in the wrong place."""
    room.upload(two_exams(tmp_path))
    stacks = Comparing(room)
    stacks.viewport(1)
    stacks.viewport(2)
    stacks.to_slice(1, 25)
    stacks.to_slice(2, 7)
    stacks.match.click()
    expect(stacks.link_state).to_contain_text("by the matched slices")
    stacks.page.get_by_test_id("link-scroll").click()
    stacks.page.get_by_test_id("link-crosshair").click()
    cross = room.viewport(2).element.locator(".crosshair")
    stacks.page.mouse.move(*stacks.at(1, 90, 40))
    expect(cross).to_have_attribute("data-level", "here")
    x, y = cross.evaluate("cross => { const { x, y } = cross.getBoundingClientRect(); return [x, y]; }")
    assert (x, y) == pytest.approx(stacks.at(2, 90, 87), abs=2.5)
    stacks.to_slice(2, 10)
    stacks.page.mouse.move(*stacks.at(1, 91, 40))
    expect(cross).to_have_attribute("data-level", "elsewhere")
    stacks.page.get_by_test_id("link-crosshair").click()
    stacks.page.mouse.move(*stacks.at(1, 92, 40))
    expect(cross).to_be_hidden()


@pytest.fixture
def keeping(reader: BrowserContext, tmp_path: Path) -> Iterator[Room]:
    """The page of a site that keeps identities."""
    desk = Desk()
    address = serve(create_app(load(data_dir=tmp_path / "site", keep_identity=True), desk.factory, demo=False))
    room = Room.open(reader, next(address))
    yield room
    room.assert_calm()
    room.page.goto("about:blank")
    address.close()


def test_names_are_shown_by_their_switch_only(keeping: Room, tmp_path: Path) -> None:
    keeping.upload(pair(tmp_path / "files"))
    first = keeping.viewport(1)
    first.expect_shown()
    keeping.viewport(2).expect_shown()
    who = first.element.locator(".who")
    pseudonym = who.inner_text()
    assert "Doe" not in keeping.page.content()
    keeping.page.keyboard.press("Shift+N")
    expect(who).to_contain_text("Doe")
    keeping.page.keyboard.press("Shift+N")
    expect(who).to_have_text(pseudonym)
    assert "Doe" not in keeping.page.content()


def test_where_identities_are_not_kept_the_switch_does_nothing(room: Room, tmp_path: Path) -> None:
    room.upload(pair(tmp_path))
    room.viewport(2).expect_shown()
    room.page.keyboard.press("Shift+N")
    assert room.page.evaluate("async () => (await import('/app/state.js')).state.names") is False
    assert "Doe" not in room.page.content()
