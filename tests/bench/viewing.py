"""From bytes to something on the screen: a chest pair's reduced pictures, their size, a long series' first slice, and memory."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless
from starlette.testclient import TestClient

from settings import load
from storage.store import Store
from storage.studies import Budget, Frame, dicomfile, dicompixels, pixels, transport
from tests.bench.figures import Figure, seconds
from tests.bench.subjects import radiograph
from tests.dicoms import dataset, write
from tests.fakes import FakeEngine
from ui.rendering import Renderer
from ui.routes_frames import REDUCED

ROOT = Path(__file__).resolve().parents[2]
TIMES = 5
SLICES = 500
KINDS = {"uncompressed": ExplicitVRLittleEndian, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}


def bare(paths: Sequence[Path]) -> None:
    """The fastest there is: our own chosen decoder without checks or keeping, one look-up per pixel, shrink, JPEG; both at once."""

    def one(path: Path) -> None:
        opened = dicomfile.open_header(path, Budget())
        values = dicompixels.decode(opened, dicomfile.pixel_format(opened, Budget()), 0)
        picture = Image.fromarray((np.arange(65536) >> 4).clip(0, 255).astype(np.uint8)[values])
        scale = REDUCED / max(picture.size)
        shrunk = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
        shrunk.save(io.BytesIO(), "JPEG", quality=90, subsampling=0)

    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(one, paths))


def reduced(renderer: Renderer, frames: Sequence[Frame]) -> list[bytes]:
    """Both reduced pictures at once, as the page asks for them."""
    with ThreadPoolExecutor(len(frames)) as pool:
        return list(pool.map(lambda frame: renderer.jpeg(frame, None, REDUCED), frames))


def first_pictures() -> list[Figure]:
    """A kept pair that nobody has looked at: both reduced pictures over the bare work, and their bytes over the raw ones."""
    found: list[Figure] = []
    for name, syntax in KINDS.items():
        ratios, share = [], 0.0
        with tempfile.TemporaryDirectory() as folder, Store(load(data_dir=Path(folder) / "data")) as store:
            reader = store.user("local")
            for number in range(TIMES + 1):
                dates = ((2 * number, f"20{number + 10}0504"), (2 * number + 1, f"20{number + 10}0518"))
                paths = [radiograph(Path(folder) / f"{seed}.dcm", seed, date, syntax) for seed, date in dates]
                report = store.import_paths(paths, reader)
                studies = [store.study(study_id, reader) for study_id in report.study_ids]
                frames = [study.series[0].frames[0] for study in studies]
                _forget()
                renderer = Renderer()

                ratios.append(seconds(lambda made=renderer, of=frames: reduced(made, of)) / seconds(lambda paths=paths: bare(paths)))
                share = sum(map(len, reduced(renderer, frames))) / sum(2 * frame.rows * frame.columns for frame in frames)
        how = f"both reduced pictures of a kept pair over bare decode, shrink and JPEG; median of {TIMES}"
        found.append(Figure(f"first pictures of a chest pair, {name}", statistics.median(ratios[1:]), "x", 1.2, how))
    return [*found, Figure("bytes to the first picture", share, "of raw", 0.05, "two reduced pictures over two raw ones")]


def _forget() -> None:
    """As after a restart: no header is remembered and nothing that was decoded."""
    pixels.forget()


def first_slice() -> list[Figure]:
    """Geometry and first slice of a 500-slice CT through the served routes, over decoding a tenth of the series."""
    from inference.select import Selection
    from ui.server import create_app

    with tempfile.TemporaryDirectory() as folder:
        values = np.random.default_rng(0).integers(-1000, 1500, (512, 512)).astype(np.int16)
        files = Path(folder) / "series"
        files.mkdir()
        for number in range(SLICES):
            made = dataset(
                np.roll(values, number, axis=0), PatientID="long", SOPInstanceUID=f"1.2.3.4.{number + 1}", InstanceNumber=number + 1,
                ImagePositionPatient=[0, 0, number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[0.7, 0.7],
                RescaleSlope=1, RescaleIntercept=0,
            )  # fmt: skip
            made.compress(JPEGLSLossless, generate_instance_uid=False)
            write(made, files / f"{number}.dcm")
        app = create_app(load(data_dir=Path(folder) / "data"), lambda _: Selection(FakeEngine(), "bench"), demo=False)
        with TestClient(app, base_url="http://127.0.0.1") as client:
            client.get("/")
            here = app.state.context
            reader = here.reader(client.cookies["interval_reader"])
            report = here.store.import_paths([files], reader)
            series_id = here.store.patients(reader)[0].studies[0].series[0].id
            frames = here.store.study(report.study_ids[0], reader).series[0].frames

            def opened() -> None:
                client.get(f"/api/series/{series_id}/frames.json").raise_for_status()
                client.get(f"/pixels/{series_id}/{SLICES // 2}/reduced.jpg").raise_for_status()
                client.get(f"/pixels/{series_id}/{SLICES // 2}/values").raise_for_status()

            ratios = []
            for _ in range(3):
                _forget()
                took = seconds(opened)
                _forget()
                ratios.append(took / seconds(lambda: [transport.values(frame) for frame in frames[: SLICES // 10]]))
    how = f"frames.json, reduced picture and values of one slice over decoding {SLICES // 10} slices (JPEG-LS 512 x 512); median of 3"
    return [Figure(f"first slice of a {SLICES}-slice series", statistics.median(ratios), "x", 1.0, how)]


_WEIGHED = """
import json, sys
from pathlib import Path
from storage.studies import display, read, transport
from ui.rendering import Renderer
def held(name):
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
small = read([Path(sys.argv[3])]).studies[0].series[0].frames[0]
Renderer().jpeg(small, None, 512), transport.values(small)
Path("/proc/self/clear_refs").write_text("5")
before = held("VmRSS")
renderer = Renderer()
for study in read([Path(path) for path in sys.argv[1:3]]).studies:
    frame = study.series[0].frames[0]
    renderer.jpeg(frame, None, 512)
    transport.values(frame)[1].tobytes()
print(json.dumps(held("VmHWM") - before))
"""


def pair_memory() -> list[Figure]:
    """Peak memory of reading a pair and sending its pictures and values, in a process of its own, over raw and 8-bit bytes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [radiograph(Path(folder) / f"{seed}.dcm", seed, f"20210{seed}04", JPEGLSLossless) for seed in (4, 5)]
        small = write(dataset(np.zeros((16, 16), dtype=np.uint16), modality="DX"), Path(folder) / "small.dcm")
        done = subprocess.run(
            [sys.executable, "-c", _WEIGHED, *map(str, paths), str(small)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        raw = sum(pydicom.dcmread(path, stop_before_pixels=True).Rows * 2048 * 3 for path in paths)
    return [
        Figure(
            "peak memory of a radiograph pair",
            json.loads(done.stdout) / raw,
            "x",
            2.5,
            "over raw and 8-bit bytes; high-water mark of a process of its own",
        )
    ]
