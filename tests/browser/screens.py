"""Draws the gallery `docs/screens` anew from the served page: every scene in both sizes, dark and light.

    python -m tests.browser.screens [FOLDER [SCENE...]]
    python -m tests.loop --keep LOOP && python -m tests.browser.screens --loop LOOP [FOLDER [SCENE...]]

The second draws the scenes of review and training, out of what a rehearsal of learning left. With the bundled model at hand (`make
screens`) the answers on the pictures are the model's own; without it a stand-in answers, and the pictures say `fake` where the model's
name is. Named scenes are drawn alone; of their chapters the others are played all the same, because each scene goes on from the last.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from settings import Settings, load
from storage.store import Store
from tests.browser import learning_scenes, scenes
from tests.browser.case_scenes import CASE
from tests.browser.conftest import ARGS, installed, serve
from tests.browser.learning_scenes import ANA, CLEO
from tests.browser.room import Room
from tests.browser.scenes import NotThere, Scene, played
from tests.browser.teach_scenes import AHEAD, TEACH
from tests.conftest import ROOT, models_folder
from tests.ui.desk import Desk, Tap
from ui import security
from ui.server import create_app

CHAPTERS = (*scenes.CHAPTERS, CASE, TEACH, AHEAD)
ANA_TOKEN = "ana".ljust(43, "-")
"""The cookie under which the rehearsal's reader is let in."""
SIZES = {"1440": (1440, 900), "1024": (1024, 768)}
THEMES = ("dark", "light")
QUALITY = 78
"""Of WebP: words stay sharp, and the whole gallery stays under 18 MB."""

SETTLED = """() => {
  const surfaces = [...document.querySelectorAll('.viewport:not([hidden]) .surface')];
  const fits = surfaces.every((one) => {
    const canvas = one.querySelector('canvas');
    return !canvas || Math.abs(canvas.clientWidth - one.clientWidth) < 2 && Math.abs(canvas.width - one.clientWidth * devicePixelRatio) < 2;
  });
  const there = [...document.images].filter((one) => one.src && one.loading !== 'lazy').every((one) => one.complete);
  const named = document.documentElement.dataset.theme;
  return fits && there && !document.querySelector('.viewport:not([hidden])[data-state="loading"]') ? named : false;
}"""
"""Every viewport has the size of its place, every picture is there, nothing loads."""


def main(folder: Path, wanted: Sequence[str], loop: Path | None = None) -> None:
    """Serve, draw, and say what was drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=ARGS)
        try:
            (rehearsed if loop else read)(browser, folder, Path(temporary), wanted, loop)
        finally:
            browser.close()
    if not wanted:
        (folder / "README.md").write_text(page(), encoding="utf-8")


def read(browser: Browser, folder: Path, temporary: Path, wanted: Sequence[str], _loop: Path | None) -> None:
    """The chapters of reading and reviewing, in an empty data directory."""
    settings, desk, tap = load(data_dir=temporary / "data", new_role="adjudicator"), Desk(), Tap()
    tap.open()
    desk.says("The right mid zone consolidation is worse than on the prior study.", gate=tap)
    models = models_folder()
    if models is not None:
        link_models(settings, models)
    address = serve(create_app(settings, None if models else desk.factory))
    draw(browser, next(address), folder, temporary, wanted, CHAPTERS)
    address.close()


def rehearsed(browser: Browser, folder: Path, temporary: Path, wanted: Sequence[str], loop: Path | None) -> None:
    """The chapters of learning, in a copy of the rehearsal's data directory."""
    assert loop is not None
    shutil.copytree(loop, temporary / "data", symlinks=True)
    settings = load(data_dir=temporary / "data")
    app = create_app(settings)
    store: Store = app.state.context.store
    learning_scenes.set_out(store, ANA_TOKEN)
    address = serve(app)
    url = next(address)
    draw(browser, url, folder, temporary, wanted, (CLEO,), lambda room: learning_scenes.allow_everything(store, room, "Cleo"))
    cookie = {"name": security.COOKIE, "value": ANA_TOKEN, "url": url}
    draw(browser, url, folder, temporary, wanted, (ANA,), cookies=[cookie])
    address.close()


def link_models(settings: Settings, models: Path) -> None:
    """Give the throw-away data directory the built model."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.models_dir.symlink_to(models.resolve(), target_is_directory=True)


def draw(
    browser: Browser,
    address: str,
    folder: Path,
    temporary: Path,
    wanted: Sequence[str],
    chapters: Sequence[Sequence[Scene]],
    introduce: Callable[[Room], None] = lambda _room: None,
    cookies: Sequence[Any] = (),
) -> None:
    """Play the scenes once, and draw each in every size and theme; `introduce` is told of each chapter's reader."""
    for chapter in chapters:
        if wanted and not any(scene.name in wanted for scene in chapter):
            continue
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", reduced_motion="reduce")
        context.set_default_timeout(180_000)
        context.add_init_script("localStorage.setItem('interval.notice', '1')")
        context.add_cookies(cookies)
        room = Room.open(context, address)
        expect(room.patients.nth(3)).to_be_attached()
        introduce(room)
        for scene in chapter:
            try:
                with played(scene, room, temporary):
                    if not wanted or scene.name in wanted:
                        pictures(room, folder, scene)
            except NotThere as error:
                print(f"{scene.name}: {error}", flush=True)
        context.close()


def pictures(room: Room, folder: Path, scene: Scene) -> None:
    """The scene in both sizes and themes; the page is left as it was."""
    for theme in THEMES:
        put_on(room, theme)
        for size, (width, height) in SIZES.items():
            room.page.set_viewport_size({"width": width, "height": height})
            room.page.wait_for_function(SETTLED)
            room.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            path = folder / f"{scene.name}-{theme}-{size}.webp"
            shot = room.page.screenshot(animations="disabled")
            Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=QUALITY, method=5)
            print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB", flush=True)
    put_on(room, THEMES[0])
    room.page.set_viewport_size({"width": 1440, "height": 900})


def put_on(room: Room, theme: str) -> None:
    """Dark or light, without the mouse, which a scene may have left somewhere."""
    if room.page.locator("html").get_attribute("data-theme") != theme:
        room.page.get_by_test_id("theme").evaluate("button => button.click()")
    expect(room.page.locator("html")).to_have_attribute("data-theme", theme)


def page() -> str:
    """The gallery as a page: each scene dark and large, with links to the others."""
    drawn = "Drawn by `make screens` (review and training: `make screens LOOP=DIR`) from the served page; every image is synthetic."
    parts = [f"# Screens\n\n{drawn}\n"]
    for scene in (scene for chapter in (*CHAPTERS, CLEO, ANA) for scene in chapter):
        others = ", ".join(
            f"[{theme} {size}]({scene.name}-{theme}-{size}.webp)" for theme in THEMES for size in SIZES if (theme, size) != ("dark", "1440")
        )
        parts.append(f"## {scene.words}\n\n![{scene.words}]({scene.name}-dark-1440.webp)\n\n{others}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screens", description="Draw the gallery anew.")
    parser.add_argument("--loop", type=Path, metavar="DIR", help="what `python -m tests.loop --keep DIR` left: draw review and training")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs" / "screens")
    parser.add_argument("scenes", nargs="*")
    given = parser.parse_args()
    main(given.folder, given.scenes, given.loop)
