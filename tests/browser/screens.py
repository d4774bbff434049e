"""Draws the gallery `docs/screens` anew from the served page: every scene in both sizes, dark and light.

    python -m tests.browser.screens [FOLDER [SCENE...]]

With the bundled model at hand (`make screens`) the answers on the pictures are the model's own; without it a stand-in
answers, and the pictures say `fake` where the model's name is. Named scenes are drawn alone; of their chapters the
others are played all the same, because each scene goes on from the last.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from settings import Settings, load
from tests.browser import scenes
from tests.browser.case_scenes import CASE
from tests.browser.conftest import ARGS, installed, serve
from tests.browser.room import Room
from tests.browser.scenes import Scene, played
from tests.conftest import ROOT, models_folder
from tests.ui.desk import Desk, Tap
from ui.server import create_app

CHAPTERS = (*scenes.CHAPTERS, CASE)
SIZES = {"1440": (1440, 900), "1024": (1024, 768)}
THEMES = ("dark", "light")
QUALITY = 78
"""Of WebP: words stay sharp, and the whole gallery stays under 12 MB."""

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


def main(folder: Path, wanted: Sequence[str]) -> None:
    """Serve, draw, and say what was drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        settings, desk, tap = load(data_dir=Path(temporary) / "data", new_role="adjudicator"), Desk(), Tap()
        tap.open()
        desk.says("The right mid zone consolidation is worse than on the prior study.", gate=tap)
        models = models_folder()
        if models is not None:
            link_models(settings, models)
        address = serve(create_app(settings, None if models else desk.factory))
        browser = playwright.chromium.launch(executable_path=installed(), args=ARGS)
        try:
            draw(browser, next(address), folder, Path(temporary), wanted)
        finally:
            browser.close()
            address.close()
    if not wanted:
        (folder / "README.md").write_text(page(), encoding="utf-8")


def link_models(settings: Settings, models: Path) -> None:
    """Give the throw-away data directory the built model."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.models_dir.symlink_to(models.resolve(), target_is_directory=True)


def draw(browser: Browser, address: str, folder: Path, temporary: Path, wanted: Sequence[str]) -> None:
    """Play the scenes once, and draw each in every size and theme."""
    for chapter in CHAPTERS:
        if wanted and not any(scene.name in wanted for scene in chapter):
            continue
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", reduced_motion="reduce")
        context.set_default_timeout(180_000)
        context.add_init_script("localStorage.setItem('interval.notice', '1')")
        room = Room.open(context, address)
        expect(room.patients).to_have_count(4)
        for scene in chapter:
            with played(scene, room, temporary):
                if not wanted or scene.name in wanted:
                    pictures(room, folder, scene)
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
    parts = ["# Screens\n\nDrawn by `make screens` from the served page; every image is synthetic.\n"]
    for scene in (scene for chapter in CHAPTERS for scene in chapter):
        others = ", ".join(
            f"[{theme} {size}]({scene.name}-{theme}-{size}.webp)" for theme in THEMES for size in SIZES if (theme, size) != ("dark", "1440")
        )
        parts.append(f"## {scene.words}\n\n![{scene.words}]({scene.name}-dark-1440.webp)\n\n{others}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens", sys.argv[2:])
