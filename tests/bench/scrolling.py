"""Linked scrolling through two CTs that are in the browser already, against two bare Cornerstone viewports in the same page and run."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from settings import load
from tests.bench.figures import Figure
from tests.dicoms import dataset, write
from tests.fakes import FakeEngine

SCRIPT = Path(__file__).with_name("scrolling.js")
SLICES, SIDE, STEPS = 200, 512, 60
BOUND = 1.2
OPEN = """async ([patient, bytes, most]) => {
  const bridge = await (await import('/app/stage.js')).viewer();
  await (await import('/app/hang.js')).openPatient(patient);
  const end = performance.now() + most;
  while (bridge.held() < bytes || bridge.frame(0) === null || bridge.frame(1) === null) {
    if (performance.now() > end) throw new Error(`only ${bridge.held()} of ${bytes} bytes came`);
    await new Promise(requestAnimationFrame);
  }
}"""
PATIENCE = 300_000


def exams(folder: Path) -> list[Path]:
    """Two CTs of one patient, 200 slices of 512 x 512 each, in one frame of reference, so that they are linked from the start."""
    values = np.random.default_rng(0).integers(-1000, 1500, (SIDE, SIDE)).astype(np.int16)
    paths = []
    for date in ("20240102", "20240402"):
        uid = f"1.2.826.0.1.3680043.10.9.{date}"
        (folder / date).mkdir(parents=True)
        for number in range(SLICES):
            made = dataset(
                np.roll(values, 3 * number, axis=0), PatientID="scrolled", StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1",
                SOPInstanceUID=f"{uid}.1.{number + 1}", FrameOfReferenceUID="1.2.826.0.1.3680043.10.9.7", StudyDate=date, SeriesDate=date,
                AcquisitionDate=date, InstanceNumber=number + 1, BodyPartExamined="CHEST", ImagePositionPatient=[0, 0, float(number)],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[0.7, 0.7], SliceThickness=1, RescaleSlope=1, RescaleIntercept=0,
                WindowCenter=40, WindowWidth=400,
            )  # fmt: skip
            paths.append(write(made, folder / date / f"{number}.dcm"))
    return paths


def figure(renderer: str, ours: Sequence[float], bare: Sequence[float]) -> Figure:
    """The medians of both sides as one ratio."""
    mine, theirs = statistics.median(ours), statistics.median(bare)
    how = f"two views painted, {1000 * mine:.0f} ms over {1000 * theirs:.0f} ms of two bare Cornerstone viewports of that size"
    return Figure(
        f"linked scroll step, {renderer}", mine / theirs, "x", BOUND, f"{how}; {SLICES} kept slices of {SIDE} x {SIDE}, {STEPS} steps"
    )


def scrolling() -> list[Figure]:
    """Seconds from asking for a slice to both views painted, over bare Cornerstone's, on both renderers."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        print("scroll: playwright is not installed, so scrolling is not measured", file=sys.stderr)
        return []
    from inference.select import Selection
    from tests.browser.conftest import ARGS, installed, serve
    from ui.server import create_app

    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playing:
        app = create_app(load(data_dir=Path(folder) / "data"), lambda _: Selection(FakeEngine(), "bench"), demo=False)
        address = serve(app)
        browser = playing.chromium.launch(executable_path=installed(), args=ARGS)
        try:
            origin = next(address)
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.goto(origin, wait_until="commit")
            page.locator("[data-testid=app][data-ready=true]").wait_for()
            here = app.state.context
            token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "interval_reader")
            reader = here.reader(token)
            here.store.import_paths(exams(Path(folder) / "exams"), reader)
            patient = here.store.patients(reader)[0].id
            page.evaluate(OPEN, [patient, 2 * SLICES * SIDE * SIDE * 2, PATIENCE])
            for name, cpu in (("WebGL", False), ("processor", True)):
                ours, bare = page.evaluate(SCRIPT.read_text(encoding="utf-8"), {"steps": STEPS, "cpu": cpu})
                found.append(figure(name, ours, bare))
        finally:
            browser.close()
            address.close()
    return found
