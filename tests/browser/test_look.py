"""How the page stands: nothing scrolls sideways, nothing lies over anything, everything can be read, in both sizes and themes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.room import Room
from tests.browser.samples import pair

pytestmark = pytest.mark.browser

PROBES = (Path(__file__).parent / "probes.js").read_text()


def probe(room: Room, name: str) -> Any:
    """Run one of the measurements of `probes.js` on the page."""
    return room.page.evaluate(f"() => {PROBES.split(chr(10), 1)[1].strip()}.{name}()")


def overlaps(room: Room) -> list[str]:
    """Pairs of controls or words that lie over each other by more than a hair."""
    boxes = probe(room, "boxes")
    found = []
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            if one["path"][0] in other["path"] or other["path"][0] in one["path"]:
                continue
            wide = min(one["r"], other["r"]) - max(one["x"], other["x"])
            high = min(one["b"], other["b"]) - max(one["y"], other["y"])
            if wide > 1.5 and high > 1.5:
                found.append(f"{one['name']!r} over {other['name']!r}")
    return found


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
def test_nothing_overlaps_scrolls_sideways_or_fades(room: Room, tmp_path: Path, width: int, height: int, theme: str) -> None:
    page = room.page
    page.set_viewport_size({"width": width, "height": height})
    if theme == "light":
        page.get_by_test_id("theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    (tmp_path / "letter.dcm").write_text("Dear colleague")
    room.upload([*pair(tmp_path), tmp_path / "letter.dcm"])
    room.ask("What changed since the prior?")
    room.expect_answered("The opacity is worse.")
    stands(room)
    page.get_by_test_id("notice-read").click()
    room.turns.first.get_by_test_id("disagree").click()
    room.turns.first.get_by_test_id("provenance").click()
    expect(page.get_by_test_id("tile")).to_have_count(2)
    stands(room)
    room.case(5).click()
    room.viewport(3).expect_shown()
    stands(room)
    assert page.evaluate(
        "() => [innerWidth, innerHeight, document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    ) == [
        width,
        height,
        width,
        height,
    ]


def stands(room: Room) -> None:
    assert overlaps(room) == []
    assert probe(room, "wide") == []
    assert probe(room, "faint") == []


def test_theme_stays_after_a_reload_and_dark_comes_first(room: Room) -> None:
    expect(room.page.locator("html")).to_have_attribute("data-theme", "dark")
    room.page.get_by_test_id("theme").click()
    room.reload()
    expect(room.page.locator("html")).to_have_attribute("data-theme", "light")


def test_research_notice_goes_when_read_but_its_line_stays(room: Room) -> None:
    notice = room.page.get_by_test_id("notice")
    expect(notice).to_contain_text("not a medical device")
    with room.page.expect_response("**/api/notice") as answered:
        room.page.get_by_test_id("notice-read").click()
    assert answered.value.ok
    expect(notice).to_be_hidden()
    room.reload()
    expect(notice).to_be_hidden()
    expect(room.page.get_by_test_id("research")).to_be_visible()


def test_whole_round_works_from_the_keyboard(room: Room) -> None:
    """A reader without a mouse opens a case, asks, swaps and reads the answer."""
    page = room.page
    expect(room.patients).to_have_count(4)
    room.case(1).focus()
    page.keyboard.press("Enter")
    room.viewport(2).expect_shown()
    page.keyboard.press("/")
    expect(room.question).to_be_focused()
    page.keyboard.type("What changed?")
    page.keyboard.press("Enter")
    room.expect_answered("The opacity is worse.")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(room.viewport(1).role).to_have_value("current")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


def test_every_control_has_a_name(room: Room, tmp_path: Path) -> None:
    """Nothing is a bare icon to a screen reader."""
    room.upload(pair(tmp_path))
    room.ask("What changed?")
    room.expect_answered("The opacity is worse.")
    nameless = room.page.evaluate(
        "() => [...document.querySelectorAll('.iv button, .iv select, .iv input:not([hidden]), .iv textarea')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.innerText.trim())).map(e => e.outerHTML.slice(0, 120))"
    )
    assert nameless == []


def test_gradio_shows_nothing_of_its_own(room: Room) -> None:
    """No footer, no Gradio font, and the title is ours."""
    assert room.page.title() == "Interval"
    assert room.page.locator("footer").count() == 0
    assert room.page.evaluate("() => getComputedStyle(document.querySelector('.iv')).fontFamily").startswith('"Inter Variable"')
