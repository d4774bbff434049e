"""Draws `docs/screens/*.png` anew from the served page, both sizes, dark and light.

    python -m tests.browser.screens [FOLDER]

With the bundled model at hand (`make screens`) the answers on the pictures are the model's own; without it a stand-in
answers, and the pictures say `fake` where the model's name is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright
from pydicom import dcmread
from pydicom.uid import generate_uid

from settings import Settings, load
from tests.browser.conftest import ARGS, installed, serve
from tests.browser.room import Room
from tests.conftest import ROOT, models_folder
from tests.ui.desk import Desk, Tap
from ui.server import create_app

LARGEST = 300_000
"""Bytes above which a picture is reduced to a palette."""
READ_ONLY = ("light-1440", "dark-1024")
SIZES = {"1440": (1440, 900), "1024": (1024, 768)}


def main() -> None:
    """Serve, draw, and say what was drawn."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        settings, desk, tap = load(data_dir=Path(temporary) / "data"), Desk(), Tap()
        tap.open()
        desk.says("The right mid zone consolidation is worse than on the prior study.", gate=tap)
        models = models_folder()
        if models is not None:
            link_models(settings, models)
        address = serve(create_app(settings, None if models else desk.factory))
        browser = playwright.chromium.launch(executable_path=installed(), args=ARGS)
        try:
            draw(browser, next(address), folder, Path(temporary))
        finally:
            browser.close()
            address.close()


def link_models(settings: Settings, models: Path) -> None:
    """Give the throw-away data directory the built model."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.models_dir.symlink_to(models.resolve(), target_is_directory=True)


def draw(browser: Browser, address: str, folder: Path, temporary: Path) -> None:
    """Every picture."""
    for size, (width, height) in SIZES.items():
        for theme in ("dark", "light"):
            context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", reduced_motion="reduce")
            context.set_default_timeout(180_000)
            context.add_init_script(f"localStorage.setItem('interval.theme', '{theme}'); localStorage.setItem('interval.notice', '1')")
            room = Room.open(context, address)
            expect(room.patients).to_have_count(4)
            scenes(room, folder, f"{theme}-{size}", temporary)
            context.close()


def scenes(room: Room, folder: Path, name: str, temporary: Path) -> None:
    """What one reader goes through; of the sizes in `READ_ONLY` only a case with its answer is drawn."""
    if name not in READ_ONLY:
        save(room, folder / f"start-{name}.png")
    room.case(1).click()
    room.viewport(2).expect_shown()
    room.ask("What changed since the prior?")
    expect(room.turns.first.get_by_test_id("provenance")).to_be_visible()
    save(room, folder / f"read-{name}.png")
    if name in READ_ONLY:
        return
    room.turns.first.get_by_test_id("provenance").click()
    expect(room.page.get_by_test_id("tile")).to_have_count(2)
    save(room, folder / f"saw-{name}.png")
    room.case(3).click()
    room.viewport(2).expect_shown()
    expect(room.page.get_by_test_id("suggestions")).to_have_attribute("data-ability", "coreference")
    save(room, folder / f"ct-{name}.png")
    room.case(4).click()
    room.viewport(3).expect_shown()
    save(room, folder / f"three-{name}.png")
    letter = temporary / "referral letter.dcm"
    letter.write_text("Dear colleague")
    room.upload([*own(temporary / name), letter])
    room.viewport(2).expect_shown()
    save(room, folder / f"upload-{name}.png")


def own(folder: Path) -> list[Path]:
    """A demo pair under another patient, as if it were the reader's own."""
    folder.mkdir()
    paths = []
    for number, path in enumerate(sorted((ROOT / "assets" / "demo" / "effusion-improved").rglob("*.dcm")), start=1):
        data = dcmread(path)
        data.PatientID = f"OWN-{folder.name}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID = (generate_uid() for _ in range(3))
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        paths.append(folder / f"chest-{number}.dcm")
        data.save_as(paths[-1])
    return paths


def save(room: Room, path: Path) -> None:
    """Write a picture once every image in view is there, small enough for a repository."""
    room.page.wait_for_function("() => [...document.images].filter(i => i.src && i.loading !== 'lazy').every(i => i.complete)")
    room.page.evaluate("() => document.activeElement?.blur()")
    room.page.mouse.move(0, 0)
    room.page.screenshot(path=path, animations="disabled")
    if path.stat().st_size > LARGEST:
        reduced(Image.open(path).convert("RGB")).save(path, optimize=True)
    print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")


def reduced(picture: Image.Image) -> Image.Image:
    """256 colours: an even ramp of greys for the images, the rest for what is coloured, so that neither eats the other."""
    pixels = np.asarray(picture).reshape(-1, 3).astype(np.int16)
    coloured = pixels[np.ptp(pixels, axis=1) > 16].astype(np.uint8)
    tints = Image.fromarray(coloured[None]).quantize(112, dither=Image.Dither.NONE).getpalette() or []
    greys = [value for level in np.linspace(0, 255, 144).round().astype(int) for value in (level, level, level)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*greys, *tints[: 112 * 3]])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
