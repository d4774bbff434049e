"""Every command by its key or button: what of the page it changes. A command that is in none of the lists below fails the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.compare_page import Comparing
from tests.browser.room import Room
from tests.browser.samples import pair, plain, radiograph
from tests.browser.stacks import two_exams

pytestmark = pytest.mark.browser

STATE = """async () => {
  const parts = ['state', 'stage', 'cine', 'kept'].map((name) => import(`/app/${name}.js`));
  const [{ state }, { viewer }, { cine }, { canUndo, canRedo }] = await Promise.all(parts);
  const bridge = await viewer();
  const each = (work) => state.slots.map((_, slot) => work(slot));
  return {
    camera: each((slot) => bridge.camera(slot)), window: each((slot) => bridge.window(slot)), frame: each((slot) => bridge.frame(slot)),
    tool: bridge.tool(), cine: cine.slot, active: state.active, layout: state.layout, mode: state.mode, links: state.links,
    keys: state.drawn.key_images, order: state.slots.map((slot) => slot?.series.id), steps: [canUndo(), canRedo()],
    bare: document.querySelector('.stage').classList.contains('bare'),
    rail: document.querySelector('.iv.app').classList.contains('no-rail'),
    table: document.querySelector('.drawer').hidden, list: document.querySelector('dialog.keys').open, at: document.activeElement.id,
  };
}"""
COMMANDS = "async () => Object.fromEntries((await import('/app/toolbar.js')).commands.map(({ id, keys }) => [id, keys[0] ?? null]))"
RUN = "async (id) => (await import('/app/toolbar.js')).commands.find((one) => one.id === id).run()"

TOOLS = (
    "window", "pan", "zoom", "scroll", "length", "bidirectional", "angle", "ctr", "ellipse", "rectangle", "point", "arrow", "box", "free",
)  # fmt: skip
LOOKING = (
    ("rotate", "camera"), ("flip-h", "camera"), ("flip-v", "camera"), ("zoom-in", "camera"), ("zoom-out", "camera"),
    ("invert", "window"), ("preset-2", "window"), ("preset-3", "window"), ("preset-4", "window"), ("preset-1", "window"),
    ("reset", "window"), ("zoom-in", "camera"), ("reset", "camera"), ("zoom-in", "camera"), ("reset-all", "camera"),
    ("slice-next", "frame"), ("slice-previous", "frame"), ("slice-on", "frame"), ("slice-back", "frame"), ("slice-last", "frame"),
    ("slice-first", "frame"), ("cine", "cine"), ("cine", "cine"), ("overlays", "bare"), ("overlays", "bare"),
    ("viewport-next", "active"), ("viewport-previous", "active"), ("maximise", "layout"), ("maximise", "layout"),
    ("layout-1x1", "layout"), ("layout-1x2", "layout"), ("layout-2x1", "layout"), ("layout-1xN", "layout"), ("layout-2x2", "layout"),
    ("layout-auto", "layout"), ("rail", "rail"), ("rail", "rail"), ("table", "table"), ("table", "table"),
)  # fmt: skip
COMPARING = (
    ("link-scroll", "links"), ("link-scroll", "links"), ("link-camera", "links"), ("link-window", "links"), ("link-crosshair", "links"),
    ("link-view", "links"), ("link-view", "links"), ("match", "links"), ("key-image", "keys"), ("undo", "keys"), ("redo", "keys"),
    ("mode-next", "mode"), ("mode-next", "mode"), ("mode-next", "mode"), ("mode-next", "mode"), ("swap", "order"),
)  # fmt: skip
ELSEWHERE = {
    "pair", "delete", "cancel-drawing", "level", "align", "original", "names", "earlier", "later", "mode-turn", "question", "keys",
    "panel-report", "panel-duel", "panel-batch", "panel-flags", "panel-ledger",
    "agree", "disagree", "place-read", "place-review", "place-teach", "place-train",
    "preset-5", "preset-6", "preset-7", "preset-8", "preset-9",
}  # fmt: skip
"""Tried below, or in test_feedback, test_comparing, test_matching, test_registering, test_look, test_duel, test_teach.

Presets go by one rule."""


def changed(page: Any, before: dict[str, Any], part: str, command: str) -> dict[str, Any]:
    """The page's state once `part` of it is another than before."""
    for _ in range(400):
        now: dict[str, Any] = page.evaluate(STATE)
        if now[part] != before[part]:
            return now
        page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    raise AssertionError(f"{command} changes nothing of {part}: {before[part]}")


def test_every_command_changes_what_it_names(room: Room, tmp_path: Path) -> None:
    room.upload(two_exams(tmp_path))
    found = Comparing(room)
    found.viewport(1)
    found.viewport(2)
    room.viewport(1).activate()
    page = room.page
    commands: dict[str, str | None] = page.evaluate(COMMANDS)
    tried = {f"tool-{name}" for name in TOOLS} | {name for name, _ in (*LOOKING, *COMPARING)}
    assert set(commands) - tried - ELSEWHERE == set()
    assert tried | ELSEWHERE == set(commands)

    now: dict[str, Any] = page.evaluate(STATE)
    for name, part in (*((f"tool-{name}", "tool") for name in (*TOOLS[1:], TOOLS[0])), *LOOKING, *COMPARING):
        key = commands[name]
        if key is None:
            page.evaluate(RUN, name)
        else:
            page.keyboard.press(key.replace("Ctrl", "Control"))
        now = changed(page, now, part, name)
        if part == "tool":
            assert now["tool"] == name.removeprefix("tool-")
        if part == "layout" and name != "maximise":
            assert now["layout"] == name.removeprefix("layout-")


def test_angle_and_diameters_read_what_was_drawn_and_leave_by_their_keys(room: Room, tmp_path: Path) -> None:
    """A right angle; 40 by 0.4 mm; Escape leaves a drawing unfinished, J says what is missing, Delete takes one off."""
    room.upload(pair(tmp_path))
    films = Comparing(room)
    films.viewport(1)
    films.viewport(2)
    page = films.page
    films.use("angle")
    films.drag(1, (20, 20), (60, 20))
    page.mouse.move(*films.at(1, 60, 60), steps=4)
    page.mouse.click(*films.at(1, 60, 60))
    expect(films.rows).to_have_count(1)
    expect(films.rows.nth(0).locator(".value")).to_contain_text("90.")
    films.draw("bidirectional", 2, (20, 40), (60, 40))
    expect(films.rows).to_have_count(2)
    expect(films.rows.nth(1).locator(".value")).to_contain_text("16.")
    page.keyboard.press("j")
    expect(films.room.toasts).to_contain_text("Draw a bidirectional on the prior too")
    page.keyboard.press("Delete")
    expect(films.rows).to_have_count(1)
    films.use("length")
    page.mouse.move(*films.at(1, 20, 70))
    page.mouse.down()
    page.mouse.move(*films.at(1, 50, 70), steps=4)
    page.keyboard.press("Escape")
    page.mouse.up()
    films.use("window")
    expect(films.rows).to_have_count(1)


def test_earlier_and_later_studies_come_by_their_keys(room: Room, tmp_path: Path) -> None:
    dates = ("20240101", "20240111", "20240410")
    room.upload([radiograph(tmp_path / f"{date}.dcm", plain(900 + 600 * number), date=date) for number, date in enumerate(dates)])
    films = Comparing(room)
    films.viewport(3)
    room.viewport(1).button("Close this image").click()
    films.viewport(2)
    expect(films.points.nth(0)).to_have_attribute("aria-pressed", "false")
    films.page.keyboard.press(",")
    expect(films.points.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(films.points.nth(1)).to_have_attribute("aria-pressed", "false")
    films.page.keyboard.press(".")
    expect(films.points.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(films.points.nth(0)).to_have_attribute("aria-pressed", "false")
