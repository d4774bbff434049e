"""Bringing in a radiograph pair, against the least anybody must do: decode it and encode a preview, in the same process."""

from __future__ import annotations

import io
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from settings import load
from storage.store import Store
from tests.bench.figures import Figure, seconds
from tests.bench.subjects import radiograph
from ui.rendering import Renderer

SIZE = 1024
TIMES = 15
KINDS = {"uncompressed": (ExplicitVRLittleEndian, 1.5), "JPEG-LS": (JPEGLSLossless, 1.5)}


def bare(paths: Sequence[Path]) -> None:
    """Decode with pydicom, one look-up per pixel, shrink, JPEG: nothing read twice, nothing kept."""
    for path in paths:
        film = pydicom.dcmread(path).pixel_array
        grey = (np.arange(4096) >> 4).astype(np.uint8)[film]
        picture = Image.fromarray(grey)
        scale = SIZE / max(picture.size)
        shrunk = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
        shrunk.save(io.BytesIO(), "JPEG", quality=90, subsampling=0)


def ours(paths: Sequence[Path], store: Store) -> None:
    """Import for real (checked, de-identified, hashed, kept durably, listed), then both previews at once, as the page asks for them."""
    reader = store.user("local")
    report = store.import_paths(paths, reader)
    if [file.outcome for file in report.files] != ["imported"] * len(paths):
        raise SystemExit(f"the pair was not imported: {report.files}")
    studies = [study for patient in store.patients(reader) for study in patient.studies if study.id in report.study_ids]
    renderer = Renderer()

    def preview(series_id: int) -> bytes:
        return renderer.jpeg(store.series(series_id, reader)[1].frames[0], None, SIZE)

    with ThreadPoolExecutor(len(paths)) as viewports:
        made = list(viewports.map(preview, [series.id for study in studies for series in study.series]))
    if len(made) != len(paths):
        raise SystemExit(f"{len(made)} previews were made of {len(paths)} images")


def rounds(folder: Path, syntax: str) -> list[tuple[float, float]]:
    """Seconds of our import and of the bare work, one after the other, for pairs the open store has never seen.

    The first round, which loads the libraries, is left out.
    """
    found: list[tuple[float, float]] = []
    with Store(load(data_dir=folder / "data")) as store:
        for number in range(TIMES + 1):
            seeds = ((2 * number, f"20{number + 10}0504"), (2 * number + 1, f"20{number + 10}0518"))
            paths = [radiograph(folder / f"{seed}.dcm", seed, date, syntax) for seed, date in seeds]
            found.append((_seconds(ours, paths, store), _seconds(bare, paths)))
    return found[1:]


def _seconds(work: Callable[..., None], *given: object) -> float:
    return seconds(lambda: work(*given))


def pair_import() -> list[Figure]:
    """Both kinds of file, ours and bare interleaved in one process."""
    found: list[Figure] = []
    for name, (syntax, bound) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            timed = rounds(Path(folder), syntax)
        ratio = statistics.median(took / least for took, least in timed)
        least = statistics.median(least for _, least in timed)
        how = f"import and two previews over bare decode and JPEG of both ({least:.2f} s); median of {TIMES}"
        found.append(Figure(f"import of a 10 MB radiograph pair, {name}", ratio, "x", bound, how))
    return found
