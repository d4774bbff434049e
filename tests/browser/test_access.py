"""Comparing without a mouse, without sharp eyes, without motion: focus that is seen, names that are heard, contrast, rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.browser.samples import pair
from tests.browser.test_look import probe

pytestmark = pytest.mark.browser

FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body || !element.closest('.iv')) return null;
  const box = element.getBoundingClientRect();
  const ring = (one) => { const style = getComputedStyle(one); return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 || style.boxShadow !== 'none'; };
  const named = element.getAttribute('aria-label') || element.title || element.innerText?.trim() || element.labels?.[0]?.innerText;
  const text = `${element.tagName}.${element.className} ${element.getAttribute('aria-label') ?? element.innerText ?? ''}`.slice(0, 90);
  return { text, named: Boolean(named), seen: ring(element) || ring(element.parentElement.closest('.box') ?? element), placed: box.width > 0 && box.height > 0 };
}"""  # noqa: E501
WRONG = """() => {
  const bad = [];
  const say = (element, why) => bad.push(`${why}: ${element.outerHTML.slice(0, 120)}`);
  const ids = new Map();
  for (const one of document.querySelectorAll('.iv [id]')) ids.set(one.id, (ids.get(one.id) ?? 0) + 1);
  for (const [id, count] of ids) if (count > 1) bad.push(`two elements are called ${id}`);
  for (const one of document.querySelectorAll('.iv *')) {
    for (const name of ['aria-controls', 'aria-labelledby', 'aria-describedby', 'popovertarget']) {
      const id = one.getAttribute(name);
      if (id && !document.getElementById(id)) say(one, `${name} leads nowhere`);
    }
    if (one.tabIndex > 0) say(one, 'jumps the order');
    const pressed = one.getAttribute('aria-pressed');
    if (pressed !== null && !['true', 'false'].includes(pressed)) say(one, 'aria-pressed');
    if (one.matches('[role=radiogroup]') && one.querySelectorAll('[role=radio][aria-checked=true]').length !== 1 && !one.hidden) say(one, 'not one choice');
    if (one.matches('[role=radiogroup]') && one.querySelectorAll('[role=radio][tabindex="0"]').length !== 1 && !one.hidden) say(one, 'not one stop');
    if (one.matches('button, a, [tabindex="0"]') && one.closest('[aria-hidden=true]')) say(one, 'can be reached but not heard');
    if (one.matches('img') && one.getAttribute('alt') === null) say(one, 'no alt');
    if (one.matches('table') && !one.querySelector('th')) say(one, 'a table without heads');
  }
  return bad;
}"""  # noqa: E501


@pytest.fixture
def films(room: Room, tmp_path: Path) -> Comparing:
    """A pair with a measured pair of lengths, a mark and a key image: everything that comparing shows is on the page."""
    room.upload(pair(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    found.draw("length", 1, (20, 20), (60, 20))
    found.draw("length", 2, (20, 20), (70, 20))
    found.pair(1)
    found.page.keyboard.press("k")
    found.page.get_by_test_id("recist-switch").click()
    expect(found.page.get_by_test_id("recist")).to_contain_text("stable disease")
    return found


def test_every_stop_of_the_tab_key_is_seen_and_has_a_name(films: Comparing) -> None:
    """From the first control through the tools, the views and the table, to the question; a stop without a ring is a lost reader."""
    page = films.page
    page.get_by_role("button", name="Show or hide the list").focus()
    stops: list[dict[str, Any]] = []
    for _ in range(220):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found is None:
            break
        stops.append(found)
    texts = " ".join(stop["text"] for stop in stops)
    for part in (
        "Link scroll",
        "Side by side",
        "Role of this image",
        "Window",
        "CSV",
        "Question",
        "Table of measurements",
        "Turn clockwise",
    ):
        assert part in texts, part
    assert len(stops) > 40
    assert [stop["text"] for stop in stops if not stop["named"]] == []
    assert [stop["text"] for stop in stops if not stop["placed"]] == []
    assert [stop["text"] for stop in stops if not stop["seen"]] == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_comparing_is_legible_and_rightly_marked_up(films: Comparing, theme: str) -> None:
    """WCAG AA for every word off the pixels, with the table, the sum, a badge and the list of keys on the page."""
    page = films.page
    if theme == "light":
        page.get_by_test_id("theme").click()
    page.get_by_test_id("align").select_option("rigid")
    expect(films.room.viewport(1).element.get_by_test_id("badge")).to_contain_text("Registered")
    films.viewport(1)
    assert probe(films.room, "faint") == []
    assert page.evaluate(WRONG) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert probe(films.room, "faint") == []
    page.keyboard.press("Escape")


def test_nothing_moves_by_itself_where_less_motion_is_asked_for(films: Comparing) -> None:
    page = films.page
    page.emulate_media(reduced_motion="reduce")
    films.mode("Flicker")
    grid = page.get_by_test_id("grid")
    expect(grid).to_have_attribute("data-front", "first")
    moving = "() => document.getAnimations().filter((one) => one.playState === 'running').map((one) => String(one.animationName))"
    assert page.evaluate(moving) == []
    page.keyboard.press("f")
    expect(grid).to_have_attribute("data-front", "second")
    assert page.evaluate(moving) == []
